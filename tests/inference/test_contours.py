"""Contours: filled again they give the mask, and with a tolerance nearly so."""

import numpy as np
import pytest

from facesegkit.inference.contours import contours


def filled(polygons, shape):
    """The pixels whose centre is inside an odd number of polygons."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = np.zeros(shape, dtype=bool)
    for polygon in polygons:
        for (x, y), (next_x, next_y) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            between = (y > rows) != (next_y > rows)
            with np.errstate(divide="ignore", invalid="ignore"):
                crossing = x + (rows - y) * (next_x - x) / (next_y - y)
            inside ^= between & (columns < crossing)
    return inside


def area(polygon):
    """Positive if the polygon runs clockwise on the screen, where y points down."""
    x, y = polygon.T
    return 0.5 * float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())


def test_contours_of_one_pixel_and_of_none():
    mask = np.zeros((3, 4), dtype=bool)
    assert contours(mask) == []
    mask[1, 2] = True
    (polygon,) = contours(mask)
    assert sorted(polygon.tolist()) == [[2, 1], [2, 2], [3, 1], [3, 2]]
    assert area(polygon) == 1


@pytest.mark.parametrize("seed", range(20))
def test_filled_contours_are_the_mask(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 24, 2)) < rng.uniform(0.1, 0.95)
    polygons = contours(mask)
    assert np.array_equal(filled(polygons, mask.shape), mask)
    assert sum(area(polygon) for polygon in polygons) == mask.sum()  # holes are negative


def test_components_run_clockwise_holes_do_not_and_the_longest_is_first():
    mask = np.zeros((20, 30), dtype=bool)
    mask[2:12, 3:20] = True
    mask[5:8, 6:9] = False
    mask[15:18, 25:28] = True
    longest, *others = contours(mask)
    assert area(longest) == 10 * 17
    assert sorted(area(polygon) for polygon in others) == [-9, 9]


def test_pixels_that_touch_at_a_corner_are_separate():
    mask = np.eye(2, dtype=bool)
    for touching in (mask, mask[::-1]):
        assert [area(polygon) for polygon in contours(touching)] == [1, 1]


def test_straight_edges_have_no_vertices_between_corners():
    coarse = np.random.default_rng(0).random((12, 12)) < 0.5
    mask = coarse.repeat(10, axis=0).repeat(10, axis=1)
    assert sum(map(len, contours(mask))) < 300


@pytest.mark.parametrize("tolerance", [0.8, 2.0])
def test_a_tolerance_saves_vertices_and_moves_the_contour_little(tolerance):
    rows, columns = np.mgrid[:80, :90]
    mask = ((columns - 45) / 35) ** 2 + ((rows - 40) / 25) ** 2 < 1
    (exact,), (rough,) = contours(mask), contours(mask, tolerance)
    assert len(rough) < len(exact) / 3
    assert (filled([rough], mask.shape) != mask).sum() < tolerance * len(exact)
    assert set(map(tuple, rough)) <= set(map(tuple, exact))  # vertices are dropped, not moved
