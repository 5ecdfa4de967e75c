"""Warping faces upright, pasting their classes back, and aligning ROIs to landmarks."""

import math

import numpy as np
import pytest
from PIL import Image

from facesegkit.geometry import FULL_IMAGE, FaceROI, RelativeCrop
from facesegkit.inference.alignment import (
    MEAN_BOX,
    MEAN_POINTS,
    box_of,
    paste_classes,
    roi_of,
    roi_of_box,
    roi_of_points,
    warp_crop,
)

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


@pytest.mark.parametrize("angle", [0, 25, 100, 180, -70])
def test_the_roi_of_points_is_where_they_have_their_mean_positions(angle):
    right = FaceROI(300, 200, 160, math.radians(angle))
    found = roi_of_points(right.on_photo(MEAN_POINTS))
    assert (found.x, found.y, found.size) == pytest.approx((300, 200, 160))
    assert math.remainder(found.angle - right.angle, 2 * math.pi) == pytest.approx(0, abs=1e-6)


def test_points_that_fit_no_face_give_the_least_squares_solution():
    """The nose is off to one side; the four others agree, so the ROI hardly moves."""
    points = MEAN_POINTS.copy()
    points[2, 0] += 0.1
    found = roi_of_points(FaceROI(100, 100, 50, 0).on_photo(points))
    assert found.x - 100 == pytest.approx(0.1 / 5 * 50, abs=0.5)
    assert abs(math.degrees(found.angle)) < 5 and found.size == pytest.approx(50, rel=0.02)


def test_points_in_one_place_give_a_roi_of_a_pixel():
    found = roi_of_points(np.full((5, 2), 7.0))
    assert (found.x, found.y, found.size) == pytest.approx((7, 7, 1), abs=0.6)


def test_the_roi_of_a_box_shows_an_upright_face_in_it():
    roi = FaceROI(120, 90, 80, 0)
    box = roi.on_photo(MEAN_BOX.reshape(2, 2)).ravel()
    assert roi_of_box(box) == FaceROI(*(pytest.approx(v) for v in (120, 90, 80, 0)))
    assert roi_of_box(np.zeros(4)).size == 1


@pytest.mark.parametrize("degrees", [0, 45, 200])
def test_the_size_is_that_of_the_box_if_the_points_are_too_close_together(
    degrees,
):
    roi = FaceROI(120, 90, 80, math.radians(degrees))
    points = roi.on_photo(MEAN_POINTS)
    for spread in (1.0, 0.4):
        found = roi_of(box_of(roi), points.mean(0) + spread * (points - points.mean(0)))
        assert (found.x, found.y, found.size) == pytest.approx((120, 90, 80), rel=1e-3)
        assert math.remainder(found.angle - roi.angle, 2 * math.pi) == pytest.approx(0, abs=1e-6)


def test_the_roi_of_a_detection_follows_its_points_where_they_agree_with_its_box():
    roi = FaceROI(120, 90, 80, 0.0)
    larger = FaceROI(123, 92, 86, 0.1)
    found = roi_of(box_of(roi), larger.on_photo(MEAN_POINTS))
    assert (found.x, found.y, found.size) == pytest.approx((123, 92, 86))


@pytest.mark.parametrize("degrees", [0, 90, 200])
def test_the_box_of_a_roi_is_a_square_around_its_face(degrees):
    roi = FaceROI(120, 90, 80, math.radians(degrees))
    left, top, right, bottom = box_of(roi)
    assert right - left == pytest.approx(bottom - top)
    points = roi.on_photo(MEAN_POINTS)
    assert (points > (left, top)).all() and (points < (right, bottom)).all()
