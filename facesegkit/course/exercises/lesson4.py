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
    require_answer,
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
    for alpha, beta in ((0.5, 0.5), (0.8, 0.2)):
        leaf = logits.clone().requires_grad_()
        probabilities = leaf.softmax(dim=1)
        name = f"tversky_loss(..., alpha={alpha}, beta={beta})"
        answer = tversky_loss(probabilities, target, alpha, beta)
        expected = 1 - float(_tversky_indices(probabilities, target, alpha, beta)[1:].mean())
        hint = _cause_of(as_number(answer, name), probabilities, target, alpha, beta)
        expect_number(answer, expected, name, hint, atol=1e-4)
        has_gradient = isinstance(answer, Tensor) and answer.requires_grad
        hint = "Use only PyTorch's operations; item(), numpy() and detach() cut the graph."
        expect(has_gradient, f"the number is right, but {name} has no gradient.", hint)
        answer.backward()
        is_used = leaf.grad is not None and torch.any(leaf.grad != 0)
        expect(is_used, f"the number is right, but the gradient of {name} is 0 everywhere.")
    print("Right: false negatives and false positives cost what they should.")


def _soft_counts(probabilities: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """True positives, false positives and false negatives of each class, in probability, [C]."""
    of_class = probabilities.detach().transpose(0, 1).flatten(1)  # [C, pixels]
    is_class = target.flatten() == torch.arange(len(of_class))[:, None]
    tp = (of_class * is_class).sum(1)
    return tp, of_class.sum(1) - tp, is_class.sum(1) - tp


def _tversky_indices(
    probabilities: Tensor, target: Tensor, alpha: float, beta: float, smooth: float = 1.0
) -> Tensor:
    """TP / (TP + alpha FP + beta FN) of each class [C], `smooth` added above and below."""
    tp, fp, fn = _soft_counts(probabilities, target)
    return (tp + smooth) / (tp + alpha * fp + beta * fn + smooth)


def _cause_of(
    number: float, probabilities: Tensor, target: Tensor, alpha: float, beta: float
) -> str:
    """A hint that names the mistake behind a wrong number, or else the counts of one class."""
    indices = _tversky_indices(probabilities, target, alpha, beta)
    swapped = _tversky_indices(probabilities, target, beta, alpha)
    unsmoothed = _tversky_indices(probabilities, target, alpha, beta, 0.0)
    hard = F.one_hot(probabilities.argmax(dim=1), probabilities.shape[1]).permute(0, 3, 1, 2)
    counted = _tversky_indices(hard.float(), target, alpha, beta)
    both = zip(probabilities.split(1), target.split(1), strict=True)
    by_photo = torch.stack([_tversky_indices(*photo, alpha, beta) for photo in both])
    causes = {
        "This is the mean over all classes; leave out the background.": 1 - indices.mean(),
        "alpha and beta are swapped.": 1 - swapped[1:].mean(),
        "The 1 above and below the line is missing.": 1 - unsmoothed[1:].mean(),
        "This is the index itself; the loss is one minus it.": indices[1:].mean(),
        "This is the sum over the classes; take their mean.": (1 - indices[1:]).sum(),
        "This counts pixels; sum up their probabilities instead.": 1 - counted[1:].mean(),
        "This has sums per photo; sum over the whole batch.": 1 - by_photo[:, 1:].mean(),
    }
    named = (hint for hint, value in causes.items() if abs(number - float(value)) < 1e-4)
    counts = zip(("TP", "FP", "FN"), _soft_counts(probabilities, target), strict=True)
    first = ", ".join(f"{name} = {float(values[1]):.3f}" for name, values in counts)
    return next(named, f"For class 1 the check has {first}; print yours.")


def check_trapezoid(trapezoid: Callable[..., Any]) -> None:
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
    hint = "fit passes no cool-down: keep the default that the first line gives it."
    expect_number(trapezoid(0.85, 0.1), 0.5, "trapezoid(0.85, 0.1)", hint)
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
    """Compare a mixed batch with the `own` photos (or labels); a known mistake is named."""
    top, left, bottom, right = box
    before, after = own.roll(1, dims=0), own.roll(-1, dims=0)
    inside = _inside(own, top, left, bottom, right)
    if torch.equal(mixed, torch.where(inside, after, own)):
        return
    transposed = _inside(own, left, top, right, bottom)
    larger = _inside(own, top, left, bottom + 1, right + 1)
    causes = {
        "are unchanged": own,
        "come from the previous photo inside the box, not from the next; in which direction does "
        "roll(1) move them": torch.where(inside, before, own),
        "are mixed outside the box, not inside": torch.where(inside, own, after),
        "are the next photos as a whole, not only inside the box": after,
        "have rows and columns of the box swapped; rows come first": torch.where(
            transposed, after, own
        ),
        "have the box one row and one column too large; its last ones are not included": (
            torch.where(larger, after, own)
        ),
    }
    for cause, values in causes.items():
        expect(not torch.equal(mixed, values), f"{name} {cause}.")
    wrong = mixed != torch.where(inside, after, own)
    counts = f"{int(wrong[..., inside].sum())} inside the box and {int(wrong[..., ~inside].sum())}"
    raise TryAgain(f"{name} have {counts} outside it that differ from what was expected.")


def _inside(own: Tensor, top: int, left: int, bottom: int, right: int) -> Tensor:
    """Mask bool [H, W] of a box."""
    inside = torch.zeros(own.shape[-2:], dtype=torch.bool)
    inside[top:bottom, left:right] = True
    return inside


def check_flip_average(flip_average: Callable[..., Any]) -> None:
    """Exercise 5: model, images [B, 3, H, W] -> mean logits of the images and of flipped ones."""
    images = torch.rand((2, 3, 4, 6), generator=torch.Generator().manual_seed(0))
    answer = flip_average(_lopsided_model, images)
    require_answer(answer, "flip_average(model, images)")
    got = f"{list(answer.shape)}" if isinstance(answer, Tensor) else f"{answer!r}"
    expect(got == "[2, 3, 4, 6]", f"expected logits [2, 3, 4, 6], got {got}.")
    plain, flipped = _lopsided_model(images), _lopsided_model(images.flip(3))
    upside_down = _lopsided_model(images.flip(2)).flip(2)
    causes = {
        "are those of the images as they are": plain,
        "are those of the flipped images alone": flipped.flip(3),
        "are still flipped in one half; flip them back before you add them": (plain + flipped) / 2,
        "are the sum of both, not their mean": plain + flipped.flip(3),
        "are those of images turned upside down; columns are the last dimension": (
            (plain + upside_down) / 2
        ),
    }
    for cause, values in causes.items():
        expect(not torch.allclose(answer, values), f"the logits {cause}.")
    message = "the logits are not the mean of both predictions."
    expect(torch.allclose(answer, (plain + flipped.flip(3)) / 2), message)
    print("Right: both predictions count the same, at the same pixels.")


def _lopsided_model(images: Tensor) -> Tensor:
    """Logits [B, 3, H, W] that depend on the position, as no symmetric function would."""
    height, width = images.shape[2:]
    weight = torch.linspace(1, 2, height)[:, None] * torch.linspace(1, 3, width)
    return (images * weight).cumsum(3).cumsum(2)
