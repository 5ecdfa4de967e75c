"""Decoding of a detector's output, the image pyramid, non-maximum suppression."""

import math

import numpy as np
import pytest
from PIL import Image

from facesegkit.geometry import FaceROI
from facesegkit.inference.detector import Detection, decode_detections, detect_faces, nms
from facesegkit.inference.search_config import SearchConfig

SCALES, DISTANCE = SearchConfig().scales, SearchConfig().same_face_distance


def output_with(*faces, height=8, width=12):
    """Output [6, h, w] of a detector: (row, column, logit, dx, dy, log size, angle) per face."""
    output = np.full((6, height, width), -9, dtype=np.float32)
    for row, column, *values, angle in faces:
        output[:, row, column] = (*values, math.cos(angle), math.sin(angle))
    return output


def test_a_peak_is_a_detection():
    (found,) = decode_detections(output_with((3, 5, 2.0, 0.25, -0.5, 1.0, 0.3)), threshold=0.5)
    assert (found.roi.x, found.roi.y, found.roi.size) == pytest.approx((46, 24, 128))
    assert found.roi.angle == pytest.approx(0.3)
    assert found.confidence == pytest.approx(1 / (1 + math.exp(-2)))


@pytest.mark.parametrize(("log_size", "size"), [(5, 256), (-5, 16)])
def test_sizes_are_limited(log_size, size):
    (found,) = decode_detections(output_with((0, 0, 2, 0, 0, log_size, 0)), threshold=0.5)
    assert found.roi.size == size


def test_neighbours_of_a_peak_and_low_confidences_are_no_detections():
    output = output_with((3, 5, 2, 0, 0, 0, 0), (3, 6, 1.5, 0, 0, 0, 0), (6, 1, -0.5, 0, 0, 0, 0))
    assert len(decode_detections(output, threshold=0.5)) == 1
    assert len(decode_detections(output, threshold=0.3)) == 2


def test_a_face_seen_at_several_scales_is_one_detection():
    """This detector marks the same point at every scale, with a size that grows with the scale."""

    def detect(images):
        height, width = (side // 8 for side in images.shape[2:])
        size = math.log2(0.5 * images.shape[3] / 64)
        logit = 3 - abs(size)  # highest at the size that it knows best
        face = (height // 2, width // 4, logit, -0.5, -0.5, size, 0.0)
        return output_with(face, height=height, width=width)[None]

    (found,) = detect_faces(Image.new("RGB", (400, 250)), detect, SCALES, 0.5, DISTANCE)
    assert (found.roi.x, found.roi.y) == pytest.approx((100, 125), abs=12.5)
    assert found.roi.size == pytest.approx(200, abs=1)
    assert found.confidence == pytest.approx(1 / (1 + math.exp(-3)), abs=1e-3)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((20, 15), [(64, 48)]), ((100, 80), [(64, 48), (128, 104)]),
     ((3, 900), [(8, 64), (8, 128), (8, 256), (8, 512)])],
)  # fmt: skip
def test_levels_of_the_pyramid(size, expected):
    """Multiples of the stride; no upsampling by 2 or more, but always a first level."""
    levels = []

    def detect(images):
        levels.append(images.shape[:1:-1])
        return np.full((1, 6, images.shape[2] // 8, images.shape[3] // 8), -9, np.float32)

    assert detect_faces(Image.new("RGB", size), detect, SCALES, 0.5, DISTANCE) == []
    assert levels == expected


def test_nms_keeps_the_most_confident_of_those_that_overlap():
    first = Detection(FaceROI(100, 100, 50, 0), 0.9)
    near = Detection(FaceROI(118, 124, 100, 1), 0.8)  # within 0.3 of the larger side
    apart = Detection(FaceROI(119, 125, 100, 1), 0.95)
    assert nms([near, first], DISTANCE) == [first]
    assert nms([first, apart, near], DISTANCE) == [apart, first]
