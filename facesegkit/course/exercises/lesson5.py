"""Checks of the exercises of lesson 5, evaluate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesegkit.course.exercises import TryAgain, require_answer

# Exercise 1: one class, and two models with the IoU of their two classes.
TP, FP, FN = 60, 10, 30
MODELS = {"A": (0.9, 0.1), "B": (0.5, 0.45)}


def check_reading(f1: float, iou: float, best_by_iou: str, best_by_f1: str) -> None:
    """Check F1 and IoU of a class, and which of two models each of them prefers.

    Args:
        f1: of `TP`, `FP` and `FN`.
        iou: of the same.
        best_by_iou: the model of `MODELS` with the higher mean IoU.
        best_by_f1: the model with the higher mean F1.

    Raises:
        TryAgain: one of them is not right yet.
    """
    answers = {"f1": f1, "iou": iou, "best_by_iou": best_by_iou, "best_by_f1": best_by_f1}
    for name, answer in answers.items():
        require_answer(answer, name)
    expected_f1, expected_iou = 2 * TP / (2 * TP + FP + FN), TP / (TP + FP + FN)
    for name, found, expected, hint in (
        ("iou", iou, expected_iou, "Below the line is everything that either of the two marked."),
        ("f1", f1, expected_f1, "Hits count twice, above the line and below it."),
    ):
        if not np.isclose(found, expected, atol=0.005):
            raise TryAgain(f"{name} is {found}, which is not it (two decimals are enough). {hint}")
    for name, chosen in (("best_by_iou", best_by_iou), ("best_by_f1", best_by_f1)):
        if chosen not in MODELS:
            raise TryAgain(f"{name} is {chosen!r}; expected one of {', '.join(MODELS)}.")
    ious = {name: np.array(values) for name, values in MODELS.items()}
    by_iou = {name: float(values.mean()) for name, values in ious.items()}
    by_f1 = {name: float((2 * values / (1 + values)).mean()) for name, values in ious.items()}
    for name, chosen, means, hint in (
        ("best_by_iou", best_by_iou, by_iou, "Take the mean of each model's two IoU."),
        ("best_by_f1", best_by_f1, by_f1, "First turn each IoU into F1, then take the mean."),
    ):
        if chosen != max(means, key=lambda model: means[model]):
            raise TryAgain(f"{name} is {chosen!r}, but the other one's mean is higher. {hint}")
    print(
        f"Right: IoU {expected_iou:.2f} and F1 {expected_f1:.2f}. By mean IoU A leads, "
        f"{by_iou['A']:.3f} to {by_iou['B']:.3f}; by mean F1 B does, "
        f"{by_f1['B']:.3f} to {by_f1['A']:.3f}."
    )


def check_photo_f1(photo_f1: Callable[..., Any]) -> None:
    """Check the F1 of each class of one photo.

    Args:
        photo_f1: (truth, predicted, classes), class ids uint8 [H, W] each and how many classes
            there are, to F1 float [classes], nan for a class that is in neither.

    Raises:
        TryAgain: it is not right yet.
    """
    truth = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 2, 2]], dtype=np.uint8)
    predicted = np.array([[0, 1, 1, 1], [0, 1, 1, 0], [0, 0, 2, 1]], dtype=np.uint8)
    answer = photo_f1(truth, predicted, 3)
    require_answer(answer, "the result of photo_f1()")
    answer = np.asarray(answer, dtype=float)
    if answer.shape != (3,):
        raise TryAgain(f"photo_f1() gives an array {answer.shape}; expected one number a class.")
    _compare(answer, np.array([8 / 10, 8 / 11, 2 / 3]), "the tiny picture of the lesson")

    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, (2, 40, 40), dtype=np.uint8)
    _compare(
        np.asarray(photo_f1(truth, predicted, 4)), _true_f1(truth, predicted, 4), "random classes"
    )
    truth[truth == 2], predicted[predicted == 2] = 0, 0
    answer = np.asarray(photo_f1(truth, predicted, 4))
    if not np.isnan(answer[2]):
        raise TryAgain(
            f"class 2 is neither in truth nor in prediction, and photo_f1() gives {answer[2]}; "
            f"expected nan. There is nothing to find, so there is nothing to judge."
        )
    truth[truth == 3] = 0
    answer = np.asarray(photo_f1(truth, predicted, 4))
    if answer[3] != 0:
        raise TryAgain(
            f"class 3 is predicted but not in truth, and photo_f1() gives {answer[3]}; expected 0. "
            f"Only a class that is in neither is nan."
        )
    print("Right: found, missed, invented and absent classes all get what they should.")


def _true_f1(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int
) -> NDArray[np.float64]:
    ids = np.arange(classes)[:, None, None]
    is_true, is_predicted = truth == ids, predicted == ids
    return (
        2
        * (is_true & is_predicted).sum(axis=(1, 2))
        / (is_true.sum(axis=(1, 2)) + is_predicted.sum(axis=(1, 2)))
    )


def _compare(found: NDArray[Any], expected: NDArray[np.float64], what: str) -> None:
    if not np.allclose(found, expected, equal_nan=True):
        raise TryAgain(
            f"on {what} photo_f1() gives {np.round(found, 3).tolist()}; expected "
            f"{np.round(expected, 3).tolist()}. F1 is 2 TP / (2 TP + FP + FN), class by class."
        )


def check_outline_f1(outline_f1: Callable[..., Any]) -> None:
    """Check a score that looks at outlines alone.

    Args:
        outline_f1: (truth, predicted, tolerance), bool [H, W] each and a number of pixels, to F1.

    Raises:
        TryAgain: it is not right yet.
    """
    truth = np.zeros((60, 60), dtype=bool)
    truth[20:40, 20:40] = True
    wider = np.zeros_like(truth)
    wider[17:43, 17:43] = True
    half = truth.copy()
    half[:, 30:] = False
    twice = truth.copy()
    twice[2:12, 2:12] = True
    for predicted, tolerance, expected, what in (
        (truth, 0, 1.0, "the truth itself"),
        (np.roll(truth, 1, axis=1), 1, 1.0, "the truth moved by one pixel, with a tolerance of 1"),
        (wider, 1, 0.0, "a square 3 pixels too wide all around, with a tolerance of 1"),
        (half, 0, _true_outline_f1(truth, half, 0), "half of the square"),
        (twice, 2, _true_outline_f1(truth, twice, 2), "the square and a second one elsewhere"),
        (wider, 4, _true_outline_f1(truth, wider, 4), "a square 3 pixels too wide, tolerance 4"),
    ):
        answer = outline_f1(truth, predicted, tolerance)
        require_answer(answer, "the result of outline_f1()")
        if not np.isclose(float(answer), expected):
            raise TryAgain(
                f"for {what} outline_f1() gives {float(answer):.3f}; expected {expected:.3f}. "
                f"Precision: how much of the predicted outline lies within the tolerance of the "
                f"true one? Recall: the other way round. Only outlines count, not what is inside."
            )
    print("Right: near outlines count as hits, missing and invented ones do not.")


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    found = np.zeros_like(mask)
    found[:, 1:] |= across
    found[:, :-1] |= across
    found[1:] |= down
    found[:-1] |= down
    return found


def _grown(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    for _ in range(steps):
        grown = mask.copy()
        grown[1:] |= mask[:-1]
        grown[:-1] |= mask[1:]
        grown[:, 1:] |= mask[:, :-1]
        grown[:, :-1] |= mask[:, 1:]
        mask = grown
    return mask


def _true_outline_f1(
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], tolerance: int
) -> float:
    line, guess = _outline(truth), _outline(predicted)
    precision = (guess & _grown(line, tolerance)).sum() / guess.sum()
    recall = (line & _grown(guess, tolerance)).sum() / line.sum()
    return float(2 * precision * recall / (precision + recall))


def check_how_often_better(how_often_better: Callable[..., Any]) -> None:
    """Check a bootstrap that compares two models on the same photos.

    Args:
        how_often_better: (first, second, times), confusion matrices int64 [N, C, C] of two models
            on the same N photos and the number of draws, to the share of draws in which the
            first has the higher mean F1.

    Raises:
        TryAgain: it is not right yet.
    """
    first, second = _rivals()
    for better, worse, low, high in ((first, second, 0.99, 1), (second, first, 0, 0.01)):
        answer = how_often_better(better, worse, 400)
        require_answer(answer, "the result of how_often_better()")
        if not 0 <= float(answer) <= 1:
            raise TryAgain(f"how_often_better() gives {answer}; a share lies between 0 and 1.")
        if not low <= float(answer) <= high:
            raise TryAgain(
                f"the first model is {'better' if low else 'worse'} by a little on every single "
                f"photo, so it is in every draw, but how_often_better() gives {float(answer):.2f}. "
                f"Are both models scored on the *same* photos in each draw?"
            )
    rng = np.random.default_rng(1)
    order = rng.permutation(len(first))
    mixed = np.where((np.arange(len(first)) % 2)[order][:, None, None], first, second)
    mirror = first + second - mixed
    answer = float(how_often_better(mixed, mirror, 400))
    if not 0.02 < answer < 0.98:
        raise TryAgain(
            f"each model is better on half of the photos, but how_often_better() gives "
            f"{answer:.2f}. Draw the photos anew, with repeats, each time."
        )
    print("Right: drawn with repeats, and the same photos for both models.")


def _rivals() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Matrices [40, 3, 3] of two models. Photos differ a lot, and the first is always better."""
    rng = np.random.default_rng(0)
    first = np.zeros((40, 3, 3), dtype=np.int64)
    for matrix in first:
        ease = rng.uniform(0.3, 1)
        for index, pixels in enumerate((9000, 600, 400)):
            matrix[index, index] = int(pixels * ease)
            matrix[index, 0] += pixels - int(pixels * ease)
    second = first.copy()
    second[:, 1:, 0] += 8  # eight pixels more of each class are missed
    for index in (1, 2):
        second[:, index, index] -= 8
    return first, second
