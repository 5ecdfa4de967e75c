"""The checks of lesson 1 reject typical mistakes and name them."""

import numpy as np
import pytest
from exercise_cells import assert_rejects, rows_of

from facesegkit.course.exercises import lesson1
from facesegkit.labels import PART_IDS


@pytest.mark.parametrize("prediction", [9.9, 6.1])
def test_a_prediction_need_not_be_exact(prediction):
    lesson1.check_eye_pixels(prediction, 512.0)


def mean_of_nothing(label_maps, part_id):
    fractions = (label_maps == part_id).mean(axis=(1, 2))
    with np.errstate(all="ignore"):
        return fractions[fractions > 0].sum() / np.sum(fractions > 0)


def infinite_weights(pixels):
    return 1 / pixels / (1 / pixels).mean()


def averaged_over_absent_classes(pixels):
    weights = np.divide(1, pixels, out=np.zeros(len(pixels)), where=pixels > 0)
    return weights / weights.mean()


def outside(label_map, lips=("u_lip", "l_lip"), end=1):
    """Like the solution, with other lips, or a box that leaves out its last row and column."""
    rows, columns = np.nonzero(label_map == PART_IDS["mouth"])
    box_rows, box_columns = np.nonzero(np.isin(label_map, [PART_IDS[lip] for lip in lips]))
    if not len(rows) or not len(box_rows):
        return float(len(rows) > 0)
    inside = (rows >= box_rows.min()) & (rows < box_rows.max() + end)
    inside &= (columns >= box_columns.min()) & (columns < box_columns.max() + end)
    return np.mean(~inside)


def count_instead_of_fraction(label_map):
    return outside(label_map) * np.sum(label_map == PART_IDS["mouth"])


def nothing_without_lips(label_map):
    return outside(label_map) if np.any(label_map == PART_IDS["u_lip"]) else 0.0


WRONG = {
    lesson1.check_eye_pixels: [
        (64, 512.0, "too high.*square of 8 x 8"),  # divided once only
        (10.1, 512.0, "too high"),
        (5.9, 512.0, "too low"),
        (float("nan"), 512.0, "prediction is nan"),
        ("a few", 512.0, "expected a number for prediction, got 'a few'"),
    ],
    lesson1.check_fraction_where_present: [
        (lambda maps, part: (maps == part).mean(), r"expected 0\.3 .*got 0\.15.*Leave out the"),
        (mean_of_nothing, "no photo shows one.*got nan"),
        (lambda maps, part: (maps == part).mean((1, 2)), "expected a number"),
    ],
    lesson1.check_class_weights: [
        (lambda pixels: len(pixels) * pixels / pixels.sum(), "same total weight.*ten times as"),
        (lambda pixels: pixels.sum() / pixels, "expected 1 for the mean of class_weights"),
        (infinite_weights, "weight of 0 for the class without pixels"),
        (averaged_over_absent_classes, "mean of 1 over the other two"),
        (lambda pixels: 1.0, "expected 3 numbers"),
    ],
    lesson1.check_mouth_outside_lips: [
        (lambda label_map: outside(label_map, ["u_lip"]), r"contains \*both\* lips"),
        (lambda label_map: outside(label_map, end=0), "includes its borders"),
        (count_instead_of_fraction, r"expected 0\.2273 .*got 5"),
        (nothing_without_lips, "without lips, got 0.*no box"),
        (lambda label_map: 0.0, "5 of 22 pixels outside"),
        (lambda label_map: outside(label_map) if 10 in label_map else 1, "a face without a mouth"),
    ],
}


@pytest.mark.parametrize(("check", "answers", "message"), rows_of(WRONG))
def test_wrong_answers(check, answers, message):
    assert_rejects(check, answers, message)
