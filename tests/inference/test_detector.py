"""Frames around faces: what a finder's output means, cutting out, and pasting back."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from facesegkit.geometry import FACE_CROP, FULL_IMAGE, FaceROI, RelativeCrop
from facesegkit.inference.alignment import (
    align_to_landmarks,
    needs_realignment,
    paste_classes,
    warp_crop,
)
from facesegkit.inference.detector import decode_detections, detect_faces
from facesegkit.inference.landmarks import USUAL_EYES, USUAL_MOUTH, USUAL_NOSE, Landmarks
from facesegkit.labels import FIVE_FEATURES

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
    (frame,) = decode_detections(output_with((3, 5, 2.0, 0.25, -0.5, 1.0, 0.3)), sure=0.5)
    assert (frame.x, frame.y, frame.size) == pytest.approx((46, 24, 128))
    assert frame.angle == pytest.approx(0.3)
    assert frame.sure == pytest.approx(1 / (1 + math.exp(-2)))


def test_neighbours_of_a_peak_and_the_unsure_are_no_frames():
    output = output_with((3, 5, 2, 0, 0, 0, 0), (3, 6, 1.5, 0, 0, 0, 0), (6, 1, -0.5, 0, 0, 0, 0))
    assert len(decode_detections(output, sure=0.5)) == 1
    assert len(decode_detections(output, sure=0.3)) == 2


def test_corners_turn_with_the_face():
    upright = FaceROI(50, 40, 20, 0, 1).corners
    assert upright.tolist() == [[40, 30], [60, 30], [60, 50], [40, 50]]
    quarter = FaceROI(50, 40, 20, math.pi / 2, 1).corners  # clockwise: its top is at the right
    assert np.allclose(quarter, [[60, 30], [60, 50], [40, 50], [40, 30]])


def test_one_face_seen_at_several_sizes_is_one_frame():
    """The finder here marks the middle of what it is shown, with a size that grows with it."""

    def find(planes):
        height, width = (side // 8 for side in planes.shape[2:])
        size = math.log2(0.5 * planes.shape[3] / 64)
        logit = 3 - abs(size)  # surest at the size it knows best
        face = (height // 2, width // 2, logit, -0.5, -0.5, size, 0.0)
        return output_with(face, height=height, width=width)[None]

    (frame,) = detect_faces(Image.new("RGB", (400, 400)), find)
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
    frame = FaceROI(350, 300, size, math.radians(degrees), 1)
    seen = np.asarray(warp_crop(photo, frame, 64))
    for (y, x), colour in zip(
        ((8, 8), (8, 55), (55, 8), (55, 55)), (RED, GREEN, BLUE, YELLOW), strict=True
    ):
        assert np.abs(seen[y, x].astype(int) - colour).max() < 60


@pytest.mark.parametrize("degrees", [0, 25, 180])
@pytest.mark.parametrize("size", [30, 100, 350])
def test_classes_lie_where_the_face_was_cut_out(degrees, size):
    """A disc and a dot at the face's upper left, as classes 1 and 2."""
    y, x = np.mgrid[0:64, 0:64] + 0.5
    disc, dot = np.hypot(x - 32, y - 32) < 20, np.hypot(x - 20, y - 20) < 6
    scores = np.stack([np.full(disc.shape, 0.5), disc & ~dot, dot]).astype(np.float32)
    labels = np.zeros((400, 500), dtype=np.uint8)
    angle = math.radians(degrees)
    classes, place = paste_classes(scores, FaceROI(260, 210, size, angle, 1), (500, 400))
    labels[place.slices] = classes
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


def test_of_a_frame_over_the_border_there_is_what_the_photo_shows():
    scores = np.stack([np.zeros((16, 16)), np.ones((16, 16))]).astype(np.float32)
    classes, place = paste_classes(scores, FaceROI(58, 2, 40, 0, 1), (60, 50))
    assert place == (38, 0, 60, 22) and classes.shape == (22, 22)
    assert classes[:21, 1:].all()
    classes, place = paste_classes(scores, FaceROI(500, 500, 40, 0, 1), (60, 50))
    assert classes.size == 0


def test_beyond_the_photo_a_cut_out_is_grey():
    seen = np.asarray(warp_crop(Image.new("RGB", (40, 40), RED), FaceROI(0, 20, 40, 0, 1), 32))
    assert seen[16, 24].tolist() == list(RED) and len(set(seen[16, 2])) == 1


# --- What a model found in a frame --------------------------------------------------------------

SCHEME = FIVE_FEATURES
SIDE = 128
# Middles on an upright, aligned photo, and how wide and high the parts are drawn here.
PARTS = {
    "eyes": (USUAL_EYES, (0.3, 0.03)),
    "nose": (USUAL_NOSE, (0.12, 0.12)),
    "lips": (USUAL_MOUTH, (0.16, 0.06)),
}


PHOTO_SIZE = (200, 200)
ON_THE_PHOTO = FaceROI(100, 100, 100, 0, 1)


def scores_of(parts=PARTS, crop=FULL_IMAGE, sure=6.0):
    """Scores float32 [6, SIDE, SIDE] of a model that sees these parts in a crop."""
    scores = np.zeros((6, SIDE, SIDE), dtype=np.float32)
    scores[0] = 3
    rows, columns = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE - 0.5
    x, y = crop.x + crop.size * columns, crop.y + crop.size * rows
    for name, (middle, (width, height)) in parts.items():
        inside = (abs(x - middle[0]) < width / 2) & (abs(y - middle[1]) < height / 2)
        scores[SCHEME.class_names.index(name), inside] = 3 + sure
    return scores


@pytest.mark.parametrize("crop", [FULL_IMAGE, FACE_CROP], ids=["whole", "face"])
def test_landmarks_lie_where_the_parts_are(crop):
    found = Landmarks.of(scores_of(crop=crop), SCHEME, crop)
    for middle, usual in ((found.eyes, USUAL_EYES), (found.nose, USUAL_NOSE),
                          (found.mouth, USUAL_MOUTH)):  # fmt: skip
        assert middle == pytest.approx(usual, abs=0.01)
    assert found.is_a_face(ON_THE_PHOTO, PHOTO_SIZE)


def without(*names):
    return {name: place for name, place in PARTS.items() if name not in names}


NO_FACES = {
    "nothing": scores_of({}),
    "eyes alone": scores_of(without("nose", "lips")),
    "unsure": scores_of(sure=1.0),
    "upside down": scores_of()[:, ::-1],
    "specks": scores_of({name: (middle, (0.01, 0.01)) for name, (middle, _) in PARTS.items()}),
    "elsewhere": scores_of({name: ((x - 0.25, y), size) for name, ((x, y), size) in PARTS.items()}),
}


@pytest.mark.parametrize("scores", NO_FACES.values(), ids=NO_FACES)
def test_what_is_no_face(scores):
    assert not Landmarks.of(scores, SCHEME, FULL_IMAGE).is_a_face(ON_THE_PHOTO, PHOTO_SIZE)


@pytest.mark.parametrize("missing", PARTS)
def test_a_face_may_lack_a_part(missing):
    found = Landmarks.of(scores_of(without(missing)), SCHEME, FULL_IMAGE)
    assert found.is_a_face(ON_THE_PHOTO, PHOTO_SIZE)


def test_what_lies_beyond_the_border_may_lack_from_a_less_certain_face():
    found = Landmarks(USUAL_EYES, USUAL_NOSE, None, certainty=0.91)
    assert not found.is_a_face(ON_THE_PHOTO, PHOTO_SIZE)
    without_mouth = FaceROI(100, 180, 100, 0, 1)  # the photo ends 20 pixels below its middle
    assert found.is_a_face(without_mouth, PHOTO_SIZE)
    upside_down = without_mouth.turned(math.pi)  # there the eyes are next to the border
    assert not found.is_a_face(upside_down, PHOTO_SIZE)


@pytest.mark.parametrize("name", ["elsewhere"])
def test_what_stands_askew_may_be_a_face(name):
    assert Landmarks.of(NO_FACES[name], SCHEME, FULL_IMAGE).may_be_a_face()


@pytest.mark.parametrize("name", ["nothing", "eyes alone", "unsure", "specks"])
def test_what_is_not_worth_another_look(name):
    assert not Landmarks.of(NO_FACES[name], SCHEME, FULL_IMAGE).may_be_a_face()


@pytest.mark.parametrize("lacks", [None, "eyes", "nose"])
@pytest.mark.parametrize("turn", [0, 25, -70])
@pytest.mark.parametrize("angle", [0, 100])
def test_a_frame_is_straightened(angle, turn, lacks):
    """The model looks at a frame that is off; where the parts lie in it says what is right."""
    right = FaceROI(300, 200, 160, math.radians(angle), 0.8)
    off = FaceROI(310, 190, 200, math.radians(angle - turn), 0.8)

    def seen(middle):
        """A point of the right frame, as a share of the one that is off."""
        xx, xy, x, yx, yy, y = right.from_upright(1)
        place = xx * middle[0] + xy * middle[1] + x, yx * middle[0] + yy * middle[1] + y
        xx, xy, x, yx, yy, y = off.to_upright(1)
        return xx * place[0] + xy * place[1] + x, yx * place[0] + yy * place[1] + y

    found = Landmarks(seen(USUAL_EYES), seen(USUAL_NOSE), seen(USUAL_MOUTH), 1.0)
    if lacks:
        found = replace(found, **{lacks: None})
    straight = align_to_landmarks(off, found)
    assert (straight.x, straight.y) == pytest.approx((300, 200), abs=0.5)
    assert straight.size == pytest.approx(160, rel=0.01)
    assert math.degrees(straight.angle) == pytest.approx(angle, abs=0.5)
    assert straight.sure == 0.8
    assert needs_realignment(off, straight) and not needs_realignment(straight, right)


def test_without_a_mouth_or_with_nothing_else_a_frame_stays_as_it_is():
    frame = FaceROI(10, 20, 30, 0.4, 0.5)
    assert align_to_landmarks(frame, Landmarks((0.4, 0.5), USUAL_NOSE, None, 1.0)) == frame
    assert align_to_landmarks(frame, Landmarks(None, None, (0.4, 0.5), 1.0)) == frame
    assert align_to_landmarks(frame, Landmarks(None, None, None, 0.0)) == frame


def test_landmarks_that_do_not_fit_a_face_move_a_frame_to_the_nearest_that_does():
    """The nose is off to one side; eyes and mouth agree, so the frame hardly moves."""
    x, y = USUAL_NOSE
    frame = FaceROI(100, 100, 50, 0, 1)
    straight = align_to_landmarks(frame, Landmarks(USUAL_EYES, (x + 0.06, y), USUAL_MOUTH, 1.0))
    assert straight.x - 100 == pytest.approx(0.06 / 3 * 50, abs=0.5)
    assert abs(math.degrees(straight.angle)) < 10 and straight.size == pytest.approx(50, rel=0.02)


def test_a_part_of_a_frame_is_cut_out_where_it_lies():
    photo = Image.fromarray(four_colours())
    frame = FaceROI(32, 32, 64, math.pi / 2, 1)  # lies on its right side: its top is at the right
    upper_left = frame.part(RelativeCrop(0.25, 0.25, 0.4))
    picture = np.asarray(warp_crop(photo, upper_left, 16))
    assert (picture[4:12, 4:12] == GREEN).all()
    whole = frame.part(FULL_IMAGE)
    assert (whole.x, whole.y, whole.size) == (frame.x, frame.y, frame.size)


def test_a_large_frame_is_cut_out_as_if_the_photo_had_been_shrunk_first():
    """Frames within and beyond the photo: only the part that is needed gets shrunk."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    photo = coarse.resize((1200, 800), Image.Resampling.BICUBIC)
    for frame in (FaceROI(700, 300, 500, 0.4, 1), FaceROI(50, 700, 600, -2, 1)):
        large = np.asarray(warp_crop(photo, frame, 64), np.int16)
        small = photo.reduce(4)
        expected = np.asarray(warp_crop(small, frame.enlarged(1 / 4), 64), np.int16)
        assert np.abs(large - expected).mean() < 4


def test_a_frame_beside_the_photo_shows_nothing():
    picture = np.asarray(
        warp_crop(Image.new("RGB", (400, 300), "red"), FaceROI(-900, 0, 600, 0, 1), 16)
    )
    assert not (picture == RED).all(axis=-1).any()
