"""Frames around faces: what a finder's output means, cutting out, and pasting back."""

import math

import numpy as np
import pytest
from PIL import Image

from facesegkit.faces import Frame, cut_out, find_frames, frames_in, paste

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


def four_colours(side=64):
    """Upper left red, upper right green, lower left blue, lower right yellow."""
    picture = np.zeros((side, side, 3), dtype=np.uint8)
    half = side // 2
    picture[:half, :half], picture[:half, half:] = RED, GREEN
    picture[half:, :half], picture[half:, half:] = BLUE, YELLOW
    return picture


def output_with(*faces, height=8, width=12):
    """What a finder says that sees faces: (row, column, logit, dx, dy, log size, angle)."""
    output = np.full((6, height, width), -9, dtype=np.float32)
    for row, column, logit, dx, dy, size, angle in faces:
        output[:, row, column] = (logit, dx, dy, size, math.cos(angle), math.sin(angle))
    return output


def test_a_peak_is_a_frame():
    (frame,) = frames_in(output_with((3, 5, 2.0, 0.25, -0.5, 1.0, 0.3)), sure=0.5)
    assert (frame.x, frame.y, frame.size) == pytest.approx((46, 24, 128))
    assert frame.angle == pytest.approx(0.3)
    assert frame.sure == pytest.approx(1 / (1 + math.exp(-2)))


def test_neighbours_of_a_peak_and_the_unsure_are_no_frames():
    output = output_with((3, 5, 2, 0, 0, 0, 0), (3, 6, 1.5, 0, 0, 0, 0), (6, 1, -0.5, 0, 0, 0, 0))
    assert len(frames_in(output, sure=0.5)) == 1
    assert len(frames_in(output, sure=0.3)) == 2


def test_corners_turn_with_the_face():
    upright = Frame(50, 40, 20, 0, 1).corners
    assert upright.tolist() == [[40, 30], [60, 30], [60, 50], [40, 50]]
    quarter = Frame(50, 40, 20, math.pi / 2, 1).corners  # clockwise: its top is at the right
    assert np.allclose(quarter, [[60, 30], [60, 50], [40, 50], [40, 30]])


def test_one_face_seen_at_several_sizes_is_one_frame():
    """The finder here marks the middle of what it is shown, with a size that grows with it."""

    def find(planes):
        height, width = (side // 8 for side in planes.shape[2:])
        size = math.log2(0.5 * planes.shape[3] / 64)
        logit = 3 - abs(size)  # surest at the size it knows best
        face = (height // 2, width // 2, logit, -0.5, -0.5, size, 0.0)
        return output_with(face, height=height, width=width)[None]

    (frame,) = find_frames(Image.new("RGB", (400, 400)), find)
    assert (frame.x, frame.y) == pytest.approx((200, 200), abs=1)
    assert frame.size == pytest.approx(200, abs=1)
    assert frame.sure == pytest.approx(1 / (1 + math.exp(-3)), abs=1e-3)


@pytest.mark.parametrize("degrees", [0, 30, 90, -120, 180])
@pytest.mark.parametrize("size", [40, 64, 300])
def test_what_is_cut_out_stands_upright(degrees, size):
    face = Image.fromarray(four_colours()).resize((size, size), Image.Resampling.NEAREST)
    photo = Image.new("RGB", (700, 600), (90, 90, 90))
    photo.paste(face, (350 - size // 2, 300 - size // 2))
    photo = photo.rotate(-degrees, center=(350, 300), resample=Image.Resampling.BICUBIC)
    frame = Frame(350, 300, size, math.radians(degrees), 1)
    seen = np.asarray(cut_out(photo, frame, 64))
    for (y, x), colour in zip(
        ((8, 8), (8, 55), (55, 8), (55, 55)), (RED, GREEN, BLUE, YELLOW), strict=True
    ):
        assert np.abs(seen[y, x].astype(int) - colour).max() < 60


@pytest.mark.parametrize("degrees", [0, 25, 180])
@pytest.mark.parametrize("size", [30, 100, 350])
def test_what_is_pasted_lies_where_it_was_cut_out(degrees, size):
    """A disc and a dot at the face's upper left, as classes 1 and 2."""
    y, x = np.mgrid[0:64, 0:64] + 0.5
    disc, dot = np.hypot(x - 32, y - 32) < 20, np.hypot(x - 20, y - 20) < 6
    scores = np.stack([np.full(disc.shape, 0.5), disc & ~dot, dot]).astype(np.float32)
    labels = np.zeros((400, 500), dtype=np.uint8)
    angle = math.radians(degrees)
    paste(labels, scores, Frame(260, 210, size, angle, 1))
    rows, columns = np.mgrid[0:400, 0:500] + 0.5
    scale = size / 64
    near = np.hypot(columns - 260, rows - 210) < 20 * scale
    dx, dy = -12 * scale, -12 * scale
    spot = (
        260 + dx * math.cos(angle) - dy * math.sin(angle),
        210 + dx * math.sin(angle) + dy * math.cos(angle),
    )
    at_spot = np.hypot(columns - spot[0], rows - spot[1]) < 6 * scale
    expected = np.where(at_spot, 2, near.astype(int))
    assert (labels != expected).mean() < 0.02 * (expected > 0).mean() + 8 * size / labels.size


def test_a_frame_over_the_border_is_pasted_as_far_as_the_photo_goes():
    labels = np.zeros((50, 60), dtype=np.uint8)
    scores = np.stack([np.zeros((16, 16)), np.ones((16, 16))]).astype(np.float32)
    paste(labels, scores, Frame(58, 2, 40, 0, 1))
    assert labels[:21, 39:].all() and labels[:20, :37].sum() == 0
    paste(labels, scores, Frame(500, 500, 40, 0, 1))  # nothing of it is on the photo


def test_of_two_faces_the_first_keeps_its_pixels():
    labels = np.zeros((50, 50), dtype=np.uint8)
    one = np.stack([np.zeros((16, 16)), np.ones((16, 16)), np.zeros((16, 16))]).astype(np.float32)
    paste(labels, one, Frame(20, 25, 20, 0, 1))
    paste(labels, one[[0, 2, 1]], Frame(30, 25, 20, 0, 1))
    assert labels[25, 25] == 1 and labels[25, 38] == 2


def test_beyond_the_photo_a_cut_out_is_grey():
    seen = np.asarray(cut_out(Image.new("RGB", (40, 40), RED), Frame(0, 20, 40, 0, 1), 32))
    assert seen[16, 24].tolist() == list(RED) and len(set(seen[16, 2])) == 1
