"""Warping faces upright, pasting their classes back, and aligning ROIs to landmarks."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from facesegkit.geometry import FULL_IMAGE, FaceROI, RelativeCrop
from facesegkit.inference.alignment import (
    align_to_landmarks,
    is_misaligned,
    paste_classes,
    warp_crop,
)
from facesegkit.inference.landmarks import MEAN_EYES, MEAN_MOUTH, MEAN_NOSE, Landmarks
from facesegkit.inference.search_config import SearchConfig

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


def four_colours(side=64):
    """Upper left red, upper right green, lower left blue, lower right yellow."""
    colours = np.array([[RED, GREEN], [BLUE, YELLOW]], dtype=np.uint8)
    return Image.fromarray(colours).resize((side, side), Image.Resampling.NEAREST)


def test_corners_rotate_with_the_face():
    assert FaceROI(50, 40, 20, 0).corners.tolist() == [[40, 30], [60, 30], [60, 50], [40, 50]]
    quarter = FaceROI(50, 40, 20, math.pi / 2).corners  # clockwise: its top is at the right
    assert np.allclose(quarter, [[60, 30], [60, 50], [40, 50], [40, 30]])


@pytest.mark.parametrize("degrees", [0, 30, 90, -120, 180])
@pytest.mark.parametrize("size", [40, 64, 300])
def test_a_warped_face_is_upright(degrees, size):
    photo = Image.new("RGB", (700, 600), (90, 90, 90))
    photo.paste(four_colours(size), (350 - size // 2, 300 - size // 2))
    photo = photo.rotate(-degrees, center=(350, 300), resample=Image.Resampling.BICUBIC)
    warped = np.asarray(warp_crop(photo, FaceROI(350, 300, size, math.radians(degrees)), 64))
    corners = warped[[8, 8, 55, 55], [8, 55, 8, 55]].astype(int)
    assert np.abs(corners - [RED, GREEN, BLUE, YELLOW]).max() < 60


def test_a_crop_of_a_rotated_face_is_warped():
    roi = FaceROI(32, 32, 64, math.pi / 2)  # its top is at the right
    warped = np.asarray(warp_crop(four_colours(), roi.cropped(RelativeCrop(0.25, 0.25, 0.4)), 16))
    assert (warped[4:12, 4:12] == GREEN).all()
    assert roi.cropped(FULL_IMAGE) == roi


@pytest.mark.parametrize("roi", [FaceROI(700, 300, 500, 0.4), FaceROI(50, 700, 600, -2)])
def test_a_large_roi_is_warped_as_if_the_photo_were_downsampled_first(roi):
    """Within and beyond the photo: only the part that is needed is downsampled."""
    coarse = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((1200, 800), Image.Resampling.BICUBIC)
    large = np.asarray(warp_crop(photo, roi, 64), np.int16)
    expected = np.asarray(warp_crop(photo.reduce(4), roi.scaled(1 / 4), 64), np.int16)
    assert np.abs(large - expected).mean() < 4


def test_beyond_the_photo_a_warped_crop_is_grey():
    photo = Image.new("RGB", (40, 40), RED)
    warped = np.asarray(warp_crop(photo, FaceROI(0, 20, 40, 0), 32))
    assert warped[16, 24].tolist() == list(RED) and len(set(warped[16, 2])) == 1
    beside = np.asarray(warp_crop(photo, FaceROI(-900, 0, 600, 0), 16))
    assert not (beside == RED).all(axis=-1).any()


@pytest.mark.parametrize("degrees", [0, 25, 180])
@pytest.mark.parametrize("size", [30, 100, 350])
def test_classes_are_pasted_where_the_face_is(degrees, size):
    """A disc and a dot at the face's upper left, as classes 1 and 2."""
    y, x = np.mgrid[0:64, 0:64] + 0.5
    disc, dot = np.hypot(x - 32, y - 32) < 20, np.hypot(x - 20, y - 20) < 6
    logits = np.stack([np.full(disc.shape, 0.5), disc & ~dot, dot]).astype(np.float32)
    labels = np.zeros((400, 500), dtype=np.uint8)
    angle = math.radians(degrees)
    classes, window = paste_classes(logits, FaceROI(260, 210, size, angle), (500, 400))
    labels[window.slices] = classes
    rows, columns = np.mgrid[0:400, 0:500] + 0.5
    scale = size / 64
    offset = -12 * scale * complex(1, 1) * complex(math.cos(angle), math.sin(angle))
    in_disc = np.hypot(columns - 260, rows - 210) < 20 * scale
    in_dot = np.hypot(columns - 260 - offset.real, rows - 210 - offset.imag) < 6 * scale
    expected = np.where(in_dot, 2, in_disc.astype(int))
    assert (labels != expected).mean() < 0.02 * (expected > 0).mean() + 8 * size / labels.size


def test_of_a_roi_over_the_border_only_the_part_on_the_photo_is_pasted():
    logits = np.stack([np.zeros((16, 16)), np.ones((16, 16))]).astype(np.float32)
    classes, window = paste_classes(logits, FaceROI(58, 2, 40, 0), (60, 50))
    assert window == (38, 0, 60, 22) and classes.shape == (22, 22)
    assert classes[:21, 1:].all()
    assert paste_classes(logits, FaceROI(500, 500, 40, 0), (60, 50))[0].size == 0


@pytest.mark.parametrize("missing", [None, "eyes", "nose"])
@pytest.mark.parametrize("rotation", [0, 25, -70])
@pytest.mark.parametrize("angle", [0, 100])
def test_a_roi_is_aligned_to_the_landmarks_in_it(angle, rotation, missing):
    right = FaceROI(300, 200, 160, math.radians(angle))
    misaligned = FaceROI(310, 190, 200, math.radians(angle - rotation))

    def seen(point):
        """A point of the right ROI, in fractions of the misaligned one."""
        for xx, xy, x, yx, yy, y in (right.from_aligned(1), misaligned.to_aligned(1)):
            point = xx * point[0] + xy * point[1] + x, yx * point[0] + yy * point[1] + y
        return point

    landmarks = Landmarks(seen(MEAN_EYES), seen(MEAN_NOSE), seen(MEAN_MOUTH), 1.0)
    if missing:
        landmarks = replace(landmarks, **{missing: None})
    aligned = align_to_landmarks(misaligned, landmarks)
    assert (aligned.x, aligned.y) == pytest.approx((300, 200), abs=0.5)
    assert aligned.size == pytest.approx(160, rel=0.01)
    assert math.degrees(aligned.angle) == pytest.approx(angle, abs=0.5)


@pytest.mark.parametrize("points", [((0.4, 0.5), MEAN_NOSE, None), (None, None, (0.4, 0.5)),
                                    (None, None, None)])  # fmt: skip
def test_without_a_mouth_or_with_nothing_else_a_roi_stays_as_it_is(points):
    roi = FaceROI(10, 20, 30, 0.4)
    assert align_to_landmarks(roi, Landmarks(*points, 1.0)) == roi


def test_landmarks_that_fit_no_face_give_the_least_squares_solution():
    """The nose is off to one side; eyes and mouth agree, so the ROI hardly moves."""
    x, y = MEAN_NOSE
    landmarks = Landmarks(MEAN_EYES, (x + 0.06, y), MEAN_MOUTH, 1.0)
    aligned = align_to_landmarks(FaceROI(100, 100, 50, 0), landmarks)
    assert aligned.x - 100 == pytest.approx(0.06 / 3 * 50, abs=0.5)
    assert abs(math.degrees(aligned.angle)) < 10 and aligned.size == pytest.approx(50, rel=0.02)


@pytest.mark.parametrize(
    ("change", "misaligned"),
    [({"angle": math.radians(7)}, False), ({"angle": math.radians(-9)}, True),
     ({"size": 108}, False), ({"size": 110}, True), ({"size": 91}, True),
     ({"x": 104}, False), ({"x": 104, "y": 96}, True)],
)  # fmt: skip
def test_from_when_a_roi_is_misaligned(change, misaligned):
    roi = FaceROI(100, 100, 100, 0)
    assert is_misaligned(replace(roi, **change), roi, SearchConfig()) == misaligned
