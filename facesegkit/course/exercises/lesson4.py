"""Checks of the exercises of lesson 4, notebooks/exercises/04-train-on-a-cpu.ipynb."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from facesegkit.course.exercises import (
    TryAgain,
    as_number,
    expect,
    expect_number,
    expect_pair,
    expect_unchanged,
)


def check_epochs(at_256: float | None, with_small_photos: float | None) -> None:
    """Exercise 1: epochs in half an hour, to within 5 %; half of it on small photos, or none."""
    photos, minutes, photos_per_second = 24_183, 30, 60
    epochs = minutes * 60 * photos_per_second / photos
    hint = "How many photos does the network see in 30 minutes, and how many data sets are that?"
    expect_number(at_256, epochs, "epochs_at_256", hint, rtol=0.05, reveal=False)
    hint = "Half of the *time* is spent on small photos. Count the photos of each half separately."
    name = "epochs_with_small_photos"
    expect_number(with_small_photos, 2.5 * epochs, name, hint, rtol=0.05, reveal=False)
    print(f"Right: {epochs:.1f} epochs, and {2.5 * epochs:.1f} with small photos at first.")


def check_tversky_loss(tversky_loss: Callable[..., Any]) -> None:
    """Exercise 2: probabilities [B, C, H, W], target [B, H, W], alpha, beta -> Tversky loss."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 4, (2, 6, 7), generator=generator)
    target[target == 3] = 0  # class 3 is absent from the target
    logits = 2 * torch.randn((2, 4, 6, 7), generator=generator)
    for alpha, beta, hint in (
        (0.5, 0.5, "Class 0 is left out of the mean, and 1 is added above and below the line."),
        (0.8, 0.2, "alpha is the weight of false positives (FP), beta of false negatives (FN)."),
    ):
        leaf = logits.clone().requires_grad_()
        probabilities = leaf.softmax(dim=1)
        name = f"tversky_loss(..., alpha={alpha}, beta={beta})"
        answer = tversky_loss(probabilities, target, alpha, beta)
        expected = 1 - float(_tversky_indices(probabilities, target, alpha, beta)[1:].mean())
        cause = _cause_of(as_number(answer, name), probabilities, target, alpha, beta)
        expect_number(answer, expected, name, cause or hint, atol=1e-4)
        has_gradient = isinstance(answer, Tensor) and answer.requires_grad
        hint = "Use only PyTorch's operations; item(), numpy() and detach() cut the graph."
        expect(has_gradient, f"the number is right, but {name} has no gradient.", hint)
        answer.backward()
        is_used = leaf.grad is not None and torch.any(leaf.grad != 0)
        expect(is_used, f"the number is right, but the gradient of {name} is 0 everywhere.")
    print("Right: false negatives and false positives cost what they should.")


def _tversky_indices(
    probabilities: Tensor, target: Tensor, alpha: float, beta: float, smooth: float = 1.0
) -> Tensor:
    """TP / (TP + alpha FP + beta FN) of each class [C], `smooth` added above and below."""
    of_class = probabilities.detach().transpose(0, 1).flatten(1)  # [C, pixels]
    is_class = target.flatten() == torch.arange(len(of_class))[:, None]
    tp, annotated = (of_class * is_class).sum(1), is_class.sum(1)
    fp, fn = of_class.sum(1) - tp, annotated - tp
    return (tp + smooth) / (tp + alpha * fp + beta * fn + smooth)


def _cause_of(
    number: float, probabilities: Tensor, target: Tensor, alpha: float, beta: float
) -> str:
    """A hint that names the mistake behind a wrong number; empty if it is not a known one."""
    indices = _tversky_indices(probabilities, target, alpha, beta)
    swapped = _tversky_indices(probabilities, target, beta, alpha)
    unsmoothed = _tversky_indices(probabilities, target, alpha, beta, 0.0)
    hard = F.one_hot(probabilities.argmax(dim=1), probabilities.shape[1]).permute(0, 3, 1, 2)
    counted = _tversky_indices(hard.float(), target, alpha, beta)
    causes = {
        "This is the mean over all classes; leave out the background.": 1 - indices.mean(),
        "alpha and beta are swapped.": 1 - swapped[1:].mean(),
        "The 1 above and below the line is missing.": 1 - unsmoothed[1:].mean(),
        "This is the index itself; the loss is one minus it.": indices[1:].mean(),
        "This counts pixels; sum up their probabilities instead.": 1 - counted[1:].mean(),
    }
    return next((hint for hint, value in causes.items() if abs(number - float(value)) < 1e-4), "")


def check_trapezoid(trapezoid: Callable[[float, float, float], Any]) -> None:
    """Exercise 3: progress, warm-up and cool-down, all 0..1 -> learning rate factor, 0..1."""
    for progress, warmup, cooldown, expected, hint in (
        (0.0, 0.2, 0.4, 0.0, "At the very start the learning rate is 0."),
        (0.05, 0.2, 0.4, 0.25, "A quarter of the warm-up is over, so the factor is a quarter."),
        (0.2, 0.2, 0.4, 1.0, "The warm-up is over."),
        (0.5, 0.2, 0.4, 1.0, "Between warm-up and cool-down it stays at its highest."),
        (0.6, 0.2, 0.4, 1.0, "The cool-down is only about to begin."),
        (0.9, 0.2, 0.4, 0.25, "Three quarters of the cool-down, from 0.6 to 1, are over."),
        (1.0, 0.2, 0.4, 0.0, "At the very end the learning rate is 0."),
        (0.0, 0.0, 0.5, 1.0, "Without a warm-up it starts at its highest."),
        (1.0, 0.5, 0.0, 1.0, "Without a cool-down it stays at its highest to the end."),
    ):
        name = f"trapezoid({progress}, {warmup}, {cooldown})"
        try:
            answer = trapezoid(progress, warmup, cooldown)
        except ZeroDivisionError:
            hint = "warmup and cooldown may be 0; divide only if progress lies within them."
            raise TryAgain(f"{name} ends in a division by zero.", hint) from None
        expect_number(answer, expected, name, hint)
    print("Right: up, constant, and down to 0.")


def check_cut_mix(cut_mix: Callable[..., Any]) -> None:
    """Exercise 4: images [B, 3, H, W], labels [B, H, W], (top, left, bottom, right) -> mixed ones.

    In the rectangle, each photo is replaced by the next photo of the batch.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((3, 3, 8, 10), generator=generator)
    labels = torch.randint(0, 19, (3, 8, 10), generator=generator).to(torch.uint8)
    box = (2, 1, 7, 4)
    name = f"cut_mix(images, labels, {box})"
    given = images.clone(), labels.clone()
    answer = expect_pair(cut_mix(*given, box), "tensors", name)
    expect_unchanged((images, labels), given, "cut_mix()")
    for kind, mixed, own in zip(("images", "labels"), answer, (images, labels), strict=True):
        if not isinstance(mixed, Tensor) or mixed.shape != own.shape or mixed.dtype != own.dtype:
            got = f"{mixed.dtype} {list(mixed.shape)}" if isinstance(mixed, Tensor) else mixed
            raise TryAgain(f"expected {own.dtype} {list(own.shape)} as {kind}, got {got}.")
        _expect_mixed(mixed, own, box, f"the {kind} from {name}")
    print("Right: photos and labels are mixed in the same way.")


def _expect_mixed(mixed: Tensor, own: Tensor, box: tuple[int, int, int, int], name: str) -> None:
    """Compare a mixed batch with the `own` photos (or labels) of the batch, inside and outside."""
    top, left, bottom, right = box
    inside = torch.zeros(own.shape[-2:], dtype=torch.bool)
    inside[top:bottom, left:right] = True
    is_same = torch.equal(mixed[..., ~inside], own[..., ~inside])
    hint = f"rows come first; the box ends before row {bottom} and before column {right}."
    expect(is_same, f"outside the box, {name} have changed.", hint)
    got = mixed[..., inside]
    before, same, after = (own.roll(-n, dims=0)[..., inside] for n in (-1, 0, 1))
    message = f"inside the box, {name} come from the previous photo, not the next one."
    expect(not torch.equal(got, before), message, "In which direction does roll(1) move them?")
    which = "unchanged" if torch.equal(got, same) else "of another photo"
    hint = "Mix images and labels in the same way, at the same position."
    expect(torch.equal(got, after), f"inside the box, {name} are {which}, not the next.", hint)
