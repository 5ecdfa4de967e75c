"""Decoding of a detector's output, parts of large levels, non-maximum suppression."""

import math

import numpy as np
import pytest
from fake_models import output_with, upright
from PIL import Image

from facesegkit.inference.alignment import MEAN_BOX, MEAN_POINTS
from facesegkit.inference.detector import decode, detect, iou, nms_order


def box_in(roi):
    low, high = roi.on_photo(MEAN_BOX.reshape(2, 2))
    return np.concatenate([low, high])


def test_a_cell_is_decoded_to_box_points_and_score():
    roi = upright(70, 52, 60)
    found = decode(output_with((128, 96), (roi, 2.0)), (128, 96), 0.5)
    np.testing.assert_allclose(found.boxes, [box_in(roi)], atol=1e-3)
    np.testing.assert_allclose(found.points, [roi.on_photo(MEAN_POINTS)], atol=1e-3)
    np.testing.assert_allclose(found.scores, [1 / (1 + math.exp(-2))], rtol=1e-5)


def test_scores_below_the_threshold_are_no_detections():
    output = output_with((128, 96), (upright(30, 30, 40), 0.5), (upright(90, 60, 40), -0.5))
    assert len(decode(output, (128, 96), 0.5)) == 1
    assert len(decode(output, (128, 96), 0.3)) == 2


def test_cells_of_all_strides_are_where_they_belong():
    """Each cell with a zero offset has its box's centre in its own middle."""
    found = decode(np.ones((16 + 4 + 1, 15), np.float32) * [9] + 0 * MEAN_BOX[0], (32, 32), 0.5)
    sizes = np.sqrt((found.boxes[:, 2:] - found.boxes[:, :2]).prod(1))
    assert sizes[16] == pytest.approx(2 * sizes[0]) and sizes[20] == pytest.approx(4 * sizes[0])


@pytest.mark.parametrize("size", [(400, 250), (37, 900), (1, 1)])
def test_positions_are_those_of_the_photo(size):
    """The level's sides are rounded to multiples of 32, so its aspect ratio may differ."""
    levels = []

    def network(images):
        height, width = images.shape[2:]
        levels.append((width, height))
        return output_with((width, height), (upright(width / 2, height / 2, 24), 3))[None]

    found = detect(Image.new("RGB", size), network, 320, 0.5)
    ((width, height),) = levels
    assert width % 32 == height % 32 == 0 and max(width, height) == 320
    centre = (found.points[0].mean(0) - MEAN_POINTS.mean(0) * 0) / size
    assert centre == pytest.approx([0.5, 0.5], abs=0.3)
    assert (found.boxes[0] / np.tile(size, 2)).mean() == pytest.approx(0.5, abs=0.1)


def test_a_large_level_is_searched_in_parts_and_each_face_found_whole():
    """Faces are discs here; a part sees one if at least a quarter of it is in the part."""
    faces = [(300, 200), (1180, 640), (1500, 1000), (2000, 1250)]
    photo = np.zeros((1300, 2200, 3), np.uint8)
    for x, y in faces:
        photo[y - 20 : y + 20, x - 20 : x + 20] = 255
    seen = []

    def network(images):
        seen.append(images.shape[2:])
        height, width = images.shape[2:]
        white = images[0, 0] > 0.5
        found = []
        for x0 in range(0, width, 8):
            column = white[:, x0 : x0 + 8]
            if column.any() and not (x0 and white[:, x0 - 8 : x0].any()):
                rows = np.flatnonzero(white[:, x0 : x0 + 44].any(1))
                columns = np.flatnonzero(white[rows[0] : rows[0] + 42, x0 : x0 + 44].any(0)) + x0
                middle = (
                    (columns.min() + columns.max()) / 2,
                    (rows[0] + min(rows[-1], rows[0] + 40)) / 2,
                )
                found.append((upright(*middle, 40), 3))
        return output_with((width, height), *found)[None]

    found = detect(Image.fromarray(photo), network, 2200, 0.5)
    assert len(seen) == 4 and max(max(shape) for shape in seen) == 1280
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    for x, y in faces:
        assert np.hypot(*(centres - (x, y)).T).min() < 25


def test_iou():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [2, 2, 2, 2]])
    assert iou(boxes[0], boxes) == pytest.approx([1, 1 / 3, 0, 0])
    assert iou(boxes[3], boxes) == pytest.approx([0, 0, 0, 0])


def test_nms_keeps_the_most_confident_of_those_that_overlap_and_small_ones_inside_large_ones():
    boxes = np.array([[0, 0, 100, 100], [10, 0, 110, 100], [30, 30, 60, 60], [300, 0, 400, 100]])
    assert nms_order(boxes, np.array([0.7, 0.9, 0.5, 0.6]), 0.4) == [1, 3, 2]
    assert nms_order(np.zeros((2, 4)), np.array([0.5, 0.6]), 0.4) == [1, 0]
    assert nms_order(np.zeros((0, 4)), np.zeros(0), 0.4) == []
