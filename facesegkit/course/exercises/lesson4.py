"""Checks of the exercises of lesson 4, `notebooks/exercises/04-train-on-a-cpu.ipynb`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from facesegkit.course.exercises import TryAgain, as_number, require_answer


def check_epochs(at_256: float | None, with_small_photos: float | None) -> None:
    """Exercise 1: how many epochs half an hour is worth.

    Args:
        at_256: the learner's number, all photos at full size.
        with_small_photos: the same, where half of the time is four times as fast.

    Raises:
        TryAgain: one of them is off by more than a twentieth.
    """
    photos, minutes, each_second = 24_183, 30, 60
    expected = minutes * 60 * each_second / photos
    _near(
        at_256,
        expected,
        "epochs_at_256",
        "how many photos are seen in 30 minutes, and how many times the data set is that?",
    )
    _near(
        with_small_photos,
        2.5 * expected,
        "epochs_with_small_photos",
        "count the photos of the first 15 minutes and those of the last 15 minutes apart; it is "
        "half of the *time* that is spent on small photos, not half of the photos",
    )
    print(f"Right: {expected:.1f} epochs, and {2.5 * expected:.1f} with small photos at first.")


def _near(answer: float | None, expected: float, name: str, hint: str) -> None:
    require_answer(answer, name)
    number = as_number(answer, name)
    if not abs(number - expected) <= expected / 20:  # so that nan is wrong, too
        too = "many" if number > expected else "few"
        raise TryAgain(
            f"expected the number of epochs for {name}, got {number:.4g}, which is too {too}. "
            f"Hint: {hint}"
        )


def check_tversky_loss(tversky_loss: Callable[..., Any]) -> None:
    """Exercise 2: the Tversky loss.

    Args:
        tversky_loss: probabilities float32 [B, C, H, W], target int64 [B, H, W], alpha and beta ->
            scalar.

    Raises:
        TryAgain: it gives another number, or has no slope.
    """
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 4, (2, 6, 7), generator=generator)
    target[target == 3] = 0  # class 3 is absent from the truth
    scores = 2 * torch.randn((2, 4, 6, 7), generator=generator)
    for alpha, beta, hint in (
        (0.5, 0.5, "class 0 is left out of the mean, and the 1 stands above and below the line"),
        (0.8, 0.2, "alpha goes with false alarms (FP), beta with misses (FN)"),
        (0.0, 1.0, "alpha goes with false alarms (FP), beta with misses (FN)"),
    ):
        learnt = scores.clone().requires_grad_()
        probabilities = learnt.softmax(dim=1)
        what = f"tversky_loss(..., alpha={alpha}, beta={beta})"
        answer = tversky_loss(probabilities, target, alpha, beta)
        require_answer(answer, f"the result of {what}")
        expected = _tversky(probabilities, target, alpha, beta)
        number = as_number(answer, what)
        if not abs(number - expected) < 1e-4:
            raise TryAgain(
                f"expected {expected:.4f} from {what}, got {number:.4f}. "
                f"{_cause_of(number, probabilities, target, alpha, beta) or f'Hint: {hint}.'}"
            )
        _has_slope(answer, learnt, what)
    print("Right: misses and false alarms cost what they should.")


def _tversky(probabilities: Tensor, target: Tensor, alpha: float, beta: float) -> float:
    return 1 - float(_tversky_indices(probabilities, target, alpha, beta, 1.0)[1:].mean())


def _tversky_indices(
    probabilities: Tensor, target: Tensor, alpha: float, beta: float, one: float
) -> Tensor:
    """TP / (TP + alpha FP + beta FN), with a constant above and below, for each class [C]."""
    classes = probabilities.shape[1]
    of_class = probabilities.detach().transpose(0, 1).flatten(1)  # [C, pixels]
    true = target.flatten() == torch.arange(classes)[:, None]
    hits, annotated = (of_class * true).sum(1), true.sum(1)
    false_alarms, misses = of_class.sum(1) - hits, annotated - hits
    return (hits + one) / (hits + alpha * false_alarms + beta * misses + one)


def _cause_of(
    number: float, probabilities: Tensor, target: Tensor, alpha: float, beta: float
) -> str:
    """What a wrong number comes from, where that can be told."""
    indices = _tversky_indices(probabilities, target, alpha, beta, 1.0)
    swapped = _tversky_indices(probabilities, target, beta, alpha, 1.0)
    without_one = _tversky_indices(probabilities, target, alpha, beta, 0.0)
    counted = F.one_hot(probabilities.argmax(dim=1), probabilities.shape[1]).permute(0, 3, 1, 2)
    causes = {
        "Hint: that is the mean over all classes; leave the background out.": 1 - indices.mean(),
        "Hint: that has alpha and beta the wrong way round.": 1 - swapped[1:].mean(),
        "Hint: that lacks the 1 above and below the line.": 1 - without_one[1:].mean(),
        "Hint: that is the index itself; the loss is one minus it.": indices[1:].mean(),
        "Hint: that counts pixels; sum up their probabilities instead.": 1
        - _tversky_indices(counted.float(), target, alpha, beta, 1.0)[1:].mean(),
    }
    return next((hint for hint, value in causes.items() if abs(number - float(value)) < 1e-4), "")


def _has_slope(answer: Any, learnt: Tensor, what: str) -> None:
    """See that a loss can be followed back to the scores."""
    if not (isinstance(answer, Tensor) and answer.requires_grad):
        raise TryAgain(
            f"the number is right, but {what} has no slope. Hint: stay with PyTorch's own "
            f"operations from the probabilities to the result; item(), numpy() and detach() cut "
            f"the way back."
        )
    answer.backward()
    if learnt.grad is None or not torch.any(learnt.grad != 0):
        raise TryAgain(f"the number is right, but the slope of {what} is 0 everywhere.")


def check_trapezoid(trapezoid: Callable[[float, float, float], Any]) -> None:
    """Exercise 3: a schedule that rises, stays and falls.

    Args:
        trapezoid: progress 0..1, share of the warm-up, share of the fall -> share of the rate.

    Raises:
        TryAgain: it gives another share.
    """
    cases = [
        (0.0, 0.2, 0.4, 0.0, "at the very start the rate is 0"),
        (0.05, 0.2, 0.4, 0.25, "a quarter of the warm-up is over, so it is at a quarter"),
        (0.2, 0.2, 0.4, 1.0, "the warm-up is over"),
        (0.5, 0.2, 0.4, 1.0, "between warm-up and fall it stays at its highest"),
        (0.6, 0.2, 0.4, 1.0, "the fall is only about to begin"),
        (0.9, 0.2, 0.4, 0.25, "three quarters of the fall are over; it ends at 1 and lasts 0.4"),
        (1.0, 0.2, 0.4, 0.0, "at the very end the rate is 0"),
        (0.0, 0.0, 0.5, 1.0, "without a warm-up it starts at its highest"),
        (1.0, 0.5, 0.0, 1.0, "without a fall it stays at its highest to the end"),
    ]
    for progress, warm_up, cool_down, expected, hint in cases:
        what = f"trapezoid({progress}, {warm_up}, {cool_down})"
        try:
            answer = trapezoid(progress, warm_up, cool_down)
        except ZeroDivisionError:
            raise TryAgain(
                f"expected {expected} from {what}, got a division by zero. Hint: warm_up and "
                f"cool_down may be 0; divide by them only where progress lies within them."
            ) from None
        require_answer(answer, f"the result of {what}")
        number = as_number(answer, what)
        if not abs(number - expected) < 1e-6:
            raise TryAgain(f"expected {expected} from {what}, got {number:.4g}. Hint: {hint}.")
    print("Right: up, along, and down to 0.")


def check_cut_mix(cut_mix: Callable[..., Any]) -> None:
    """Exercise 4: a rectangle of each photo comes from the next one, labels included.

    Args:
        cut_mix: images [B, 3, H, W], labels [B, H, W] and (top, left, bottom, right) -> the same
            two, mixed.

    Raises:
        TryAgain: it gives something else, or changes what it was given.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((3, 3, 8, 10), generator=generator)
    labels = torch.randint(0, 19, (3, 8, 10), generator=generator).to(torch.uint8)
    top, left, bottom, right = box = (2, 1, 7, 4)
    what = f"cut_mix(images, labels, {box})"
    given = images.clone(), labels.clone()
    answer = cut_mix(*given, box)
    require_answer(answer, f"the result of {what}")
    if not (isinstance(answer, tuple) and len(answer) == 2):
        raise TryAgain(f"expected two tensors from {what}, got {type(answer).__name__}.")
    if not (torch.equal(given[0], images) and torch.equal(given[1], labels)):
        raise TryAgain(
            "expected the images and labels that were given to be as before, but cut_mix has "
            "changed them. Hint: clone() first. Where each photo takes from the next, the last one "
            "would otherwise take from a photo that is mixed already."
        )
    inside = torch.zeros((8, 10), dtype=torch.bool)
    inside[top:bottom, left:right] = True
    for name, mixed, own in zip(("images", "labels"), answer, (images, labels), strict=True):
        if not isinstance(mixed, Tensor) or mixed.shape != own.shape or mixed.dtype != own.dtype:
            raise TryAgain(
                f"expected {name} of shape {list(own.shape)} and type {own.dtype} from {what}, got "
                f"{_form(mixed)}."
            )
        if not torch.equal(mixed[..., ~inside], own[..., ~inside]):
            raise TryAgain(
                f"expected the {name} outside the box as they were, from {what}, but they differ. "
                f"Hint: rows come first in an index, columns last; the box ends before row "
                f"{bottom} and before column {right}."
            )
        if torch.equal(mixed[..., inside], own.roll(1, dims=0)[..., inside]):
            raise TryAgain(
                f"expected the {name} of the *next* photo inside the box, from {what}, got those "
                f"of the one before. Hint: which way does roll(1) move the photos?"
            )
        if not torch.equal(mixed[..., inside], own.roll(-1, dims=0)[..., inside]):
            unchanged = torch.equal(mixed[..., inside], own[..., inside])
            raise TryAgain(
                f"expected the {name} of the next photo inside the box, from {what}, got "
                f"{'their own' if unchanged else 'something else'}. Hint: images and labels have "
                f"to be mixed in the same way, from the same place of the next photo."
            )
    print("Right: photo and labels are mixed in the same way.")


def _form(answer: Any) -> str:
    if isinstance(answer, Tensor):
        return f"{list(answer.shape)} and {answer.dtype}"
    return type(answer).__name__
