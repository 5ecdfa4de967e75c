"""Checks of the exercises of lesson 5, notebooks/exercises/05-evaluate.ipynb."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facesegkit.course.exercises import (
    as_number,
    expect,
    expect_array,
    expect_number,
    require_answer,
)

MODELS = {"A": np.array([0.9, 0.1]), "B": np.array([0.5, 0.45])}  # IoU of two classes


def check_reading(f1: float, iou: float, best_by_iou: str, best_by_f1: str) -> None:
    """Exercise 1: F1 and IoU of 60 TP, 10 FP and 30 FN, and the better one of `MODELS` by each."""
    hint = "Below the line are all pixels that are annotated or predicted."
    expect_number(iou, 0.6, "iou", hint, atol=0.005, reveal=False)
    hint = "True positives count twice, above the line and below it."
    expect_number(f1, 0.75, "f1", hint, atol=0.005, reveal=False)
    by_iou = {model: values.mean() for model, values in MODELS.items()}
    by_f1 = {model: (2 * values / (1 + values)).mean() for model, values in MODELS.items()}
    for name, answer, means, hint in (
        ("best_by_iou", best_by_iou, by_iou, "Take the mean of each model's two IoU."),
        ("best_by_f1", best_by_f1, by_f1, "First convert each IoU to F1, then take the mean."),
    ):
        require_answer(answer, name)
        expect(answer in MODELS, f"{name} is {answer!r}; expected one of {', '.join(MODELS)}.")
        is_best = means[answer] == max(means.values())
        expect(is_best, f"{name} is {answer!r}, but the other mean is higher.", hint)
    print(
        f"Right: A leads by mean IoU, {by_iou['A']:.3f} to {by_iou['B']:.3f}, and B by mean F1, "
        f"{by_f1['B']:.3f} to {by_f1['A']:.3f}."
    )


def check_mirrored(mirrored: Callable[[nn.Module], nn.Module]) -> None:
    """Exercise 2: a class whose module averages a model's logits of images and mirror images."""
    torch.manual_seed(0)
    model, images = nn.Conv2d(3, 4, 3, padding=1), torch.rand(2, 3, 6, 9)
    before = images.clone()
    with torch.inference_mode():
        answer = mirrored(model)(images)
        name = "the result of Mirrored(model)"
        require_answer(answer, name)
        expect(torch.equal(images, before), "Mirrored has modified the images.", "Use flip().")
        hint = "Return logits, as the model does."
        answer = expect_array(answer, (2, 4, 6, 9), np.float32, name, hint)
        plain, flipped = model(images), model(images.flip(-1))
        upside_down = model(images.flip(-2)).flip(-2)
    expected = (plain + flipped.flip(-1)) / 2
    mistakes = {
        "The second logits are mirrored, as their images were. Flip them back.": plain + flipped,
        "This flips from top to bottom; columns are the last dimension.": plain + upside_down,
        "These are the logits of the images alone. Add those of the flipped images.": 2 * plain,
        "These are the logits of the flipped images alone.": 2 * flipped.flip(-1),
        "The images have to be flipped as well.": plain + plain.flip(-1),
        "This is the sum of the two; expected their mean.": 4 * expected,
    }
    hint = _hint(answer, {text: logits / 2 for text, logits in mistakes.items()})
    is_right = np.allclose(answer, expected, atol=1e-5)
    expect(is_right, f"{name} is not the mean of the two logits.", hint)
    print("Right: an image and its mirror image, back in place, with equal weights.")


def _hint(answer: NDArray[Any], mistakes: dict[str, Tensor]) -> str:
    """The text of the mistake that leads to this answer, or an empty string."""
    found = (text for text, wrong in mistakes.items() if np.allclose(answer, wrong, atol=1e-5))
    return next(found, "")


def check_boundary_f1(boundary_f1: Callable[..., Any]) -> None:
    """Exercise 3: target and prediction bool [H, W], tolerance in steps -> F1 of the boundary."""
    target, wider, half, twice = np.zeros((4, 60, 60), dtype=bool)
    target[20:40, 20:40] = wider[17:43, 17:43] = half[20:40, 20:30] = True
    twice[20:40, 20:40] = twice[2:12, 2:12] = True
    shifted = np.roll(target, 1, axis=1)
    for predicted, tolerance, precision, recall, case in (
        (target, 0, 1.0, 1.0, "the target itself, tolerance 0"),
        (shifted, 1, 1.0, 1.0, "the target shifted by one pixel, tolerance 1"),
        (wider, 1, 0.0, 0.0, "a square 3 pixels too wide on each side, tolerance 1"),
        (half, 0, 20 / 29, 20 / 39, "half of the square, tolerance 0"),
        (twice, 2, 39 / 58, 1.0, "the square and a second one elsewhere, tolerance 2"),
        (wider, 4, 46 / 51, 1.0, "a square 3 pixels too wide, tolerance 4"),
    ):
        name = f"boundary_f1() of {case}"
        answer = as_number(boundary_f1(target, predicted, tolerance), name)
        expected = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        areas = 2 * (target & predicted).sum() / (target.sum() + predicted.sum())
        hints = {
            areas: "This is the F1 of the areas. Compare boundary(target) and boundary(predicted).",
            precision: "This is the precision alone.",
            recall: "This is the recall alone.",
            (precision + recall) / 2: "This is the plain mean of precision and recall.",
        }
        close = (hint for value, hint in hints.items() if np.isclose(answer, value))
        hint = next(close, "Dilate the *other* boundary by as many steps as the tolerance.")
        hint = "Precision and recall are both 0 here, which gives 0." if np.isnan(answer) else hint
        expect_number(answer, expected, name, hint)
    print("Right: boundaries within the tolerance count, missing and additional ones do not.")


def check_win_rate(win_rate: Callable[..., Any]) -> None:
    """Exercise 4: two models' matrices int64 [N, C, C], number of samples -> fraction of wins.

    A paired bootstrap: the first model wins a sample of the photos if its mean F1 is higher.
    """
    first, second = _rivals()
    for better, worse, expected in ((first, second, 1.0), (second, first, 0.0)):
        answer = win_rate(better, worse, 400)
        hint = (
            f"The first model is slightly {'better' if expected else 'worse'} on every photo. Are "
            f"the *same* photos in each sample of both, and is the result between 0 and 1?"
        )
        expect_number(answer, expected, "win_rate()", hint, atol=0.01)
    order = np.random.default_rng(1).permutation(len(first))
    mixed = np.where((order % 2)[:, None, None], first, second)
    hint = "Each model is better on half of the photos. Sample the photos with replacement."
    answer = win_rate(mixed, first + second - mixed, 400)
    expect_number(answer, 0.5, "win_rate()", hint, atol=0.48)
    print("Right: sampled with replacement, and the same photos for both models.")


def _rivals() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Matrices [40, 3, 3] of two models: photos differ a lot, and the first is always better."""
    rng = np.random.default_rng(0)
    first = np.zeros((40, 3, 3), dtype=np.int64)
    for matrix in first:
        recall = rng.uniform(0.3, 1)
        for index, pixels in enumerate((9000, 600, 400)):
            matrix[index, index] = int(pixels * recall)
            matrix[index, 0] += pixels - int(pixels * recall)
    second = first.copy()
    second[:, 1:, 0] += 8  # misses eight more pixels of each class
    second[:, [1, 2], [1, 2]] -= 8
    return first, second
