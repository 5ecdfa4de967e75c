"""Lesson 5: checks pass the solutions; blanks and typical mistakes fail with a hint."""

import numpy as np
import pytest
from exercise_cells import answers, assert_asks_for_answers, assert_passes

from facesegkit.course.exercises import TryAgain
from facesegkit.course.exercises.lesson5 import (
    check_how_often_better,
    check_outline_f1,
    check_photo_f1,
    check_reading,
)
from facesegkit.metrics import SegmentationMetrics

NOTEBOOK = "05-evaluate"


def outline(mask):
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    found = np.zeros(mask.shape, dtype=bool)
    found[:, 1:] |= across
    found[:, :-1] |= across
    found[1:] |= down
    found[:-1] |= down
    return found


def grow(mask):
    padded = np.pad(mask, 1)
    return mask | padded[2:, 1:-1] | padded[:-2, 1:-1] | padded[1:-1, 2:] | padded[1:-1, :-2]


NAMES = {"np": np, "Scores": SegmentationMetrics, "outline": outline, "grow": grow}


EXERCISES = [
    (1, ("f1", "iou", "best_by_iou", "best_by_f1"), check_reading),
    (2, ("photo_f1",), check_photo_f1),
    (3, ("outline_f1",), check_outline_f1),
    (4, ("how_often_better",), check_how_often_better),
]


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_solutions_pass(number, wanted, check, capsys):
    assert_passes(check, answers(NOTEBOOK, number, wanted, NAMES), capsys)


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_blanks_are_told_what_is_missing(number, wanted, check):
    blanks = answers(NOTEBOOK, number, wanted, NAMES, blank=True)
    assert_asks_for_answers(check, blanks, "your code here")


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ((0.75, 0.86, "A", "B"), "iou is 0.86"),  # precision
        ((0.6, 0.6, "A", "B"), "Hits count twice"),
        ((0.75, 0.6, "A", "A"), "best_by_f1 is 'A'"),  # what many expect
        ((0.75, 0.6, "B", "B"), "best_by_iou is 'B'"),
        ((0.75, 0.6, "a", "B"), "expected one of A, B"),
    ],
)
def test_reading_names_what_is_wrong(answers, message):
    with pytest.raises(TryAgain, match=message):
        check_reading(*answers)


def f1_with(absent):
    """F1 of each class; `absent` says what to give from (true pixels, predicted pixels) of 0/0."""

    def photo_f1(truth, predicted, classes):
        scores = []
        for index in range(classes):
            hits = np.sum((truth == index) & (predicted == index))
            there, found = np.sum(truth == index), np.sum(predicted == index)
            given = absent(there, found)
            scores.append(2 * hits / (there + found) if given is None else given)
        return scores

    return photo_f1


@pytest.mark.parametrize(
    ("photo_f1", "message"),
    [
        (f1_with(lambda there, found: 0.0 if there + found == 0 else None), "expected nan"),
        (f1_with(lambda there, found: 1.0 if there + found == 0 else None), "expected nan"),
        (f1_with(lambda there, found: np.nan if there == 0 else None), "expected 0"),
        (lambda truth, predicted, classes: (truth == predicted).mean(), "one number a class"),
        (
            lambda truth, predicted, classes: [
                np.mean(predicted[truth == index] == index) for index in range(classes)
            ],
            "2 TP / \\(2 TP",
        ),
    ],
)
def test_photo_f1_names_what_is_wrong(photo_f1, message):
    with pytest.raises(TryAgain, match=message):
        check_photo_f1(photo_f1)


def areas(truth, predicted, tolerance):
    return 2 * (truth & predicted).sum() / (truth.sum() + predicted.sum())


def precision_alone(truth, predicted, tolerance):
    near = outline(truth)
    for _ in range(tolerance):
        near = grow(near)
    return (outline(predicted) & near).sum() / outline(predicted).sum()


def without_tolerance(truth, predicted, tolerance):
    return areas(outline(truth), outline(predicted), 0)


@pytest.mark.parametrize("wrong", [areas, precision_alone, without_tolerance])
def test_outline_f1_names_what_is_wrong(wrong):
    with pytest.raises(TryAgain, match="outline_f1\\(\\) gives .* expected"):
        check_outline_f1(wrong)


def drawn(same, repeats, share=True):
    def how_often_better(first, second, times):
        rng = np.random.default_rng(0)
        wins = 0
        for _ in range(times):
            one = rng.choice(len(first), len(first), replace=repeats)
            other = one if same else rng.choice(len(first), len(first), replace=repeats)
            means = (
                SegmentationMetrics(first[one].sum(0)).mean_f1,
                SegmentationMetrics(second[other].sum(0)).mean_f1,
            )
            wins += means[0] > means[1]
        return wins / times if share else wins

    return how_often_better


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (drawn(same=False, repeats=True), "\\*same\\* photos"),
        (drawn(same=True, repeats=False), "with repeats"),
        (drawn(same=True, repeats=True, share=False), "between 0 and 1"),
    ],
)
def test_how_often_better_names_what_is_wrong(wrong, message):
    with pytest.raises(TryAgain, match=message):
        check_how_often_better(wrong)
