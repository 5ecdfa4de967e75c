"""The checks of lesson 5 reject typical mistakes and name them."""

import numpy as np
import pytest
from exercise_cells import SOLUTIONS, assert_rejects, rows_of, run_exercise

from facesegkit.course.exercises import lesson5
from facesegkit.metrics import SegmentationMetrics


def f1_with(absent):
    """F1 of each class; `absent` returns what replaces it from the true and predicted pixels."""

    def photo_f1(target, predicted, classes):
        scores = []
        for index in range(classes):
            hits = np.sum((target == index) & (predicted == index))
            annotated, found = np.sum(target == index), np.sum(predicted == index)
            given = absent(annotated, found)
            scores.append(2 * hits / (annotated + found) if given is None else given)
        return scores

    return photo_f1


def recall(target, predicted, classes):
    with np.errstate(all="ignore"):
        return [np.sum(predicted[target == i] == i) / np.sum(target == i) for i in range(classes)]


LESSON = run_exercise(SOLUTIONS[4], 2)  # the notebook defines `boundary` and `dilate`


def areas(target, predicted, tolerance):
    return 2 * (target & predicted).sum() / (target.sum() + predicted.sum())


def precision_alone(target, predicted, tolerance):
    near, line = LESSON["boundary"](target), LESSON["boundary"](predicted)
    for _ in range(tolerance):
        near = LESSON["dilate"](near)
    return (line & near).sum() / line.sum()


def without_tolerance(target, predicted, tolerance):
    return areas(LESSON["boundary"](target), LESSON["boundary"](predicted), 0)


def bootstrap(same, replacement, fraction=True):
    def win_rate(first, second, times):
        rng = np.random.default_rng(0)
        wins = 0
        for _ in range(times):
            one = rng.choice(len(first), len(first), replace=replacement)
            other = one if same else rng.choice(len(first), len(first), replace=replacement)
            means = (
                SegmentationMetrics(first[one].sum(0)).mean_f1,
                SegmentationMetrics(second[other].sum(0)).mean_f1,
            )
            wins += means[0] > means[1]
        return wins / times if fraction else wins

    return win_rate


WRONG = {
    lesson5.check_reading: [
        (0.75, 0.86, "A", "B", "iou is 0.86, which is too high"),  # precision
        (0.6, 0.6, "A", "B", "f1 is 0.6.*count twice"),
        (0.75, 0.6, "A", "A", "best_by_f1 is 'A'"),  # what many expect
        (0.75, 0.6, "B", "B", "best_by_iou is 'B'"),
        (0.75, 0.6, "a", "B", "expected one of A, B"),
    ],
    lesson5.check_photo_f1: [
        (f1_with(lambda annotated, found: None if annotated + found else 0.0), "expected .*nan"),
        (f1_with(lambda annotated, found: None if annotated + found else 1.0), "expected .*nan"),
        (f1_with(lambda annotated, found: None if annotated else np.nan), "so its F1 is 0"),
        (lambda target, predicted, classes: (target == predicted).mean(), "expected 4 numbers"),
        (recall, r"2 TP / \(2 TP"),
    ],
    lesson5.check_boundary_f1: [
        (areas, r"for boundary_f1\(\) of the target shifted"),
        (precision_alone, "Recall: the other way round"),
        (without_tolerance, "within the tolerance of the true one"),
    ],
    lesson5.check_win_rate: [
        (bootstrap(same=False, replacement=True), r"\*same\* photos"),
        (bootstrap(same=True, replacement=False), "with replacement"),
        (bootstrap(same=True, replacement=True, fraction=False), "between 0 and 1"),
        (lambda first, second, times: 1.0, "slightly worse"),
    ],
}


@pytest.mark.parametrize(("check", "answers", "message"), rows_of(WRONG))
def test_wrong_answers(check, answers, message):
    assert_rejects(check, answers, message)
