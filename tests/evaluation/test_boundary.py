"""Boundary F1, against contours that are counted by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from facesegkit.evaluation.boundary import boundary_f1


def square(left: int, top: int, side: int, class_id: int = 1) -> NDArray[np.uint8]:
    label_map = np.zeros((300, 400), dtype=np.uint8)
    label_map[top : top + side, left : left + side] = class_id
    return label_map


def test_boundary_f1_of_a_moved_square():
    """The diagonal is 500 pixels, so a tolerance of 0.01 are 5 pixels."""
    target = square(100, 100, 50)
    for by, expected in ((0, 1), (5, 1)):
        assert boundary_f1(target, square(100 + by, 100, 50), 2, 0.01)[1] == expected
    # Of the 196 contour pixels of a square moved by 6, the upper and lower edge match, 48 each
    # without the corners, and of one of the other edges the 6 at either end.
    moved = boundary_f1(target, square(106, 100, 50), 2, 0.01)[1]
    assert moved == pytest.approx((2 * 48 + 2 * 6) / 196)
    assert boundary_f1(target, square(110, 110, 30), 2, 0.01)[1] == 0  # inside, but too far


def test_boundary_f1_combines_precision_and_recall():
    target = np.maximum(square(50, 50, 40), square(200, 50, 40))
    recall = 0.5  # one of two equal squares; precision is 1
    expected = 2 * recall / (1 + recall)
    assert boundary_f1(target, square(50, 50, 40), 2)[1] == pytest.approx(expected)
    assert boundary_f1(square(50, 50, 40), target, 2)[1] == pytest.approx(expected)


def test_boundary_f1_of_absent_classes_and_of_the_border():
    f1 = boundary_f1(square(50, 50, 40), square(50, 50, 40, class_id=2), 4)
    assert f1[0] == 1  # the hole in the background is the same
    np.testing.assert_array_equal(f1[1:], [0, 0, np.nan])
    whole = np.ones((30, 40), dtype=np.uint8)
    assert np.isnan(boundary_f1(whole, whole, 2)).all()  # the image's border is no contour
