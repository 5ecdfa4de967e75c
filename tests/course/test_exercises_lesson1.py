"""Checks of lesson 1 let the solutions pass, and neither blanks nor typical mistakes."""

import numpy as np
import pytest
from exercise_cells import answers, assert_asks_for_answers, assert_passes

from facesegkit.course.exercises import TryAgain
from facesegkit.course.exercises.lesson1 import (
    check_class_weights,
    check_eye_pixels,
    check_mouth_outside_lips,
    check_share_where_present,
)
from facesegkit.labels import PART_IDS

NOTEBOOK = "01-explore-the-data"
NAMES = {"np": np, "PART_IDS": PART_IDS, "eye": 512.0}


def check_prediction(prediction):
    check_eye_pixels(prediction, at_512=512.0)


EXERCISES = [
    (1, ["prediction"], check_prediction),
    (2, ["share_where_present"], check_share_where_present),
    (3, ["class_weights"], check_class_weights),
    (4, ["mouth_outside_lips"], check_mouth_outside_lips),
]


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_solutions_pass(number, wanted, check, capsys):
    assert_passes(check, answers(NOTEBOOK, number, wanted, NAMES), capsys)


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_blanks_are_told_what_is_missing(number, wanted, check):
    blanks = answers(NOTEBOOK, number, wanted, NAMES, blank=True)
    assert_asks_for_answers(check, blanks)


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (64, "too many.*square of 8 x 8"),  # divided once only
        (512, "too many"),
        (1, "too few"),
        (float("nan"), "expected"),
        ("a few", "expected a number from prediction, got 'a few'"),
    ],
)
def test_wrong_predictions(prediction, message):
    with pytest.raises(TryAgain, match=message):
        check_prediction(prediction)


def test_a_prediction_need_not_be_exact():
    check_prediction(9)


def mean_over_all_photos(label_maps, part_id):
    return (label_maps == part_id).mean()


def mean_of_nothing(label_maps, part_id):
    shares = (label_maps == part_id).mean(axis=(1, 2))
    with np.errstate(all="ignore"):
        return shares[shares > 0].sum() / np.sum(shares > 0)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (mean_over_all_photos, r"expected 0\.3 .*got 0\.15.*leave out the photos"),
        (mean_of_nothing, "no photo has one.*got nan"),
        (lambda label_maps, part_id: (label_maps == part_id).mean((1, 2)), "expected a number"),
    ],
)
def test_wrong_shares(function, message):
    with pytest.raises(TryAgain, match=message):
        check_share_where_present(function)


def weights_of_the_wrong_kind(pixels):
    return len(pixels) * pixels / pixels.sum()


def weights_that_do_not_mean_one(pixels):
    return pixels.sum() / pixels


def weights_that_are_infinite(pixels):
    weights = 1 / pixels
    return weights / weights.mean()


def weights_averaged_over_absent_classes(pixels):
    weights = np.divide(1, pixels, out=np.zeros(len(pixels)), where=pixels > 0)
    return weights / weights.mean()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (weights_of_the_wrong_kind, "weigh the same in sum.*ten times as high"),
        (weights_that_do_not_mean_one, "whose mean is 1"),
        (weights_that_are_infinite, "weight of 0 for the class without pixels"),
        (weights_averaged_over_absent_classes, "mean of 1 over the other two"),
        (lambda pixels: 1.0, "expected 3 weights"),
    ],
)
def test_wrong_weights(function, message):
    with pytest.raises(TryAgain, match=message):
        check_class_weights(function)


def outside(label_map, lips, end=1):
    """Like the solution, with other lips, or a box that leaves out its last row and column."""
    rows, columns = np.nonzero(label_map == PART_IDS["mouth"])
    box_rows, box_columns = np.nonzero(np.isin(label_map, [PART_IDS[lip] for lip in lips]))
    if not len(rows) or not len(box_rows):
        return float(len(rows) > 0)
    inside = (rows >= box_rows.min()) & (rows < box_rows.max() + end)
    inside &= (columns >= box_columns.min()) & (columns < box_columns.max() + end)
    return np.mean(~inside)


def count_instead_of_share(label_map):
    return outside(label_map, ["u_lip", "l_lip"]) * np.sum(label_map == PART_IDS["mouth"])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda label_map: outside(label_map, ["u_lip"]), "spans both lips"),
        (lambda label_map: outside(label_map, ["u_lip", "l_lip"], end=0), "borders included"),
        (count_instead_of_share, r"expected 0\.2273 .*got 5"),
        (
            lambda label_map: (
                outside(label_map, ["u_lip", "l_lip"])
                if np.any(label_map == PART_IDS["u_lip"])
                else 0.0
            ),
            "no lips",
        ),
    ],
)
def test_wrong_rules(function, message):
    with pytest.raises(TryAgain, match=message):
        check_mouth_outside_lips(function)
