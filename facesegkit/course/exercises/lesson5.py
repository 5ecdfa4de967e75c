"""Checks of the exercises of lesson 5, notebooks/exercises/05-evaluate.ipynb."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesegkit.course.exercises import expect, expect_number, expect_numbers, require_answer
from facesegkit.metrics import SegmentationMetrics, confusion_matrix

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


def check_photo_f1(photo_f1: Callable[..., Any]) -> None:
    """Exercise 2: target and predicted class ids uint8 [H, W], number of classes -> F1 [C]."""
    tiny = [[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 2, 2]], [[0, 1, 1, 1], [0, 1, 1, 0], [0, 0, 2, 1]]
    both = np.random.default_rng(0).integers(0, 4, (2, 40, 40), dtype=np.uint8)
    without_2, without_3 = np.where(both == 2, 0, both), both.copy()
    without_3[0][both[0] == 3] = 0
    for hint, (true, guess) in {
        "F1 is 2 TP / (2 TP + FP + FN), class by class": np.array(tiny, dtype=np.uint8),
        "only pixels of the class itself count, in target and prediction": both,
        "class 2 is in neither target nor prediction, so nothing can be judged": without_2,
        "class 3 is predicted but not in the target, so its F1 is 0": without_3,
    }.items():
        answer = expect_numbers(photo_f1(true, guess, 4), 4, "photo_f1() of 4 classes")
        expected = SegmentationMetrics(confusion_matrix(true, guess, 4)).f1
        wanted, got = (np.round(f1, 3).tolist() for f1 in (expected, answer))
        is_right = np.allclose(answer, expected, equal_nan=True)
        expect(is_right, f"expected {wanted} from photo_f1(), got {got}.", f"{hint}.")
    print("Right for classes that are correct, missed, only predicted or absent.")


def check_boundary_f1(boundary_f1: Callable[..., Any]) -> None:
    """Exercise 3: target and prediction bool [H, W], tolerance in pixels -> F1 of the boundary."""
    target, wider, half, twice = np.zeros((4, 60, 60), dtype=bool)
    target[20:40, 20:40] = wider[17:43, 17:43] = half[20:40, 20:30] = True
    twice[20:40, 20:40] = twice[2:12, 2:12] = True
    hint = (
        "Precision is the fraction of the predicted *boundary* within the tolerance of the true "
        "one, recall the other way round. The area inside does not count."
    )
    for predicted, tolerance, expected, case in (
        (target, 0, 1.0, "the target itself"),
        (np.roll(target, 1, axis=1), 1, 1.0, "the target shifted by one pixel, tolerance 1"),
        (wider, 1, 0.0, "a square 3 pixels too wide on each side, tolerance 1"),
        (half, 0, 10 / 17, "half of the square"),  # precision 20 / 29, recall 20 / 39
        (twice, 2, 78 / 97, "the square and a second one elsewhere"),  # precision 39 / 58
        (wider, 4, 92 / 97, "a square 3 pixels too wide, tolerance 4"),  # precision 46 / 51
    ):
        answer = boundary_f1(target, predicted, tolerance)
        expect_number(answer, expected, f"boundary_f1() of {case}", hint)
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
