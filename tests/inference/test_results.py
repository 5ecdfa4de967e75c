"""What is known of each face in a photo, and of all of them together."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import BBox, FaceROI
from facesegkit.inference.results import Face, FaceLogits, SegmentationResult, assign_pixels
from facesegkit.labels import FIVE_FEATURES

SCHEME = FIVE_FEATURES
EYES, NOSE = (SCHEME.class_names.index(name) for name in ("eyes", "nose"))
SIZE = (300, 200)
SIDE = 64


def scores_of(classes: NDArray[np.intp], margin: float = 5.0) -> NDArray[np.float32]:
    """Scores float32 [6, SIDE, SIDE] whose best classes are these."""
    scores = np.zeros((6, SIDE, SIDE), dtype=np.float32)
    np.put_along_axis(scores, classes[None], margin, axis=0)
    return scores


def a_face(x: float, y: float, size: float = 80, degrees: float = 0) -> tuple[FaceROI, FaceLogits]:
    """An eye in the upper left and a nose in the middle of a frame."""
    classes = np.zeros((SIDE, SIDE), dtype=np.intp)
    classes[8:16, 8:24] = EYES
    classes[28:40, 26:38] = NOSE
    frame = FaceROI(x, y, size, math.radians(degrees), sure=0.9)
    return frame, FaceLogits(scores_of(classes), frame)


def segmentation_of(
    *seen: tuple[FaceROI, FaceLogits], source: Path | None = None
) -> SegmentationResult:
    photo = Image.new("RGB", SIZE, (10, 200, 30))
    faces = assign_pixels(seen, SCHEME, SIZE)
    return SegmentationResult.of_faces(faces, SIZE, SCHEME, source or photo)


def only_face(segmentation: SegmentationResult) -> Face:
    (face,) = segmentation.faces
    return face


def test_box_and_areas_are_those_of_the_mask() -> None:
    segmentation = segmentation_of(a_face(150, 100))
    face = only_face(segmentation)
    rows, columns = np.nonzero(segmentation.labels)
    assert face.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    # The frame is 80 pixels wide, so a pixel of the scores is one and a quarter.
    assert face.box == pytest.approx((120, 70, 150 - 40 + 37.5 * 1.25, 60 + 50), abs=2)
    assert face.areas == {
        name: np.count_nonzero(segmentation.mask(name)) for name in SCHEME.classes
    }
    assert face.areas["eyes"] == pytest.approx(8 * 16 * 1.25**2, rel=0.15)
    assert face.areas["lips"] == 0


@pytest.mark.parametrize("degrees", [0, 35, -120, 180])
def test_outlines_lie_on_the_mask(degrees: int) -> None:
    segmentation = segmentation_of(a_face(150, 100, degrees=degrees))
    face = only_face(segmentation)
    assert face.degrees == pytest.approx(degrees)
    for name in ("eyes", "nose"):
        filled = Image.new("1", SIZE)
        (polygon,) = face.contours(name)
        ImageDraw.Draw(filled).polygon([tuple(place) for place in polygon.tolist()], fill=1)
        mask = face.mask(name)
        np.testing.assert_array_equal(mask, segmentation.mask(name))
        # Pillow paints a polygon's border too, so it is up to a pixel larger all around.
        border = 4 * math.sqrt(mask.sum()) * 1.5
        assert np.count_nonzero(np.asarray(filled) != mask) < border
        assert len(polygon) < 12
    assert face.contours("lips") == []


def test_exact_outlines_have_no_tolerance() -> None:
    face = only_face(segmentation_of(a_face(150, 100, degrees=20)))
    rough, exact = face.contours("nose")[0], face.contours("nose", tolerance=0)[0]
    assert len(rough) < len(exact) / 2
    x, y = exact.T
    area = 0.5 * (x * np.roll(y, -1) - y * np.roll(x, -1)).sum()
    assert area == face.areas["nose"]


def test_confidence_is_that_of_what_was_found() -> None:
    frame, seen = a_face(150, 100)
    share = math.exp(5) / (math.exp(5) + 5)
    assert only_face(segmentation_of((frame, seen))).confidence == pytest.approx(share, abs=1e-4)
    seen.scores[0, :4] = 50  # background, of which it is surer, does not count
    assert only_face(segmentation_of((frame, seen))).confidence == pytest.approx(share, abs=1e-4)


def test_a_pixel_belongs_to_the_nearest_face() -> None:
    """Both frames show a place between them; as what, the nearer face's own frame says."""
    left, right = a_face(100, 100), a_face(170, 100)
    classes = np.zeros((SIDE, SIDE), dtype=np.intp)
    classes[20:44, 44:] = EYES  # in the left one's frame, from x = 115 on
    left = left[0], FaceLogits(scores_of(classes), left[0])
    segmentation = segmentation_of(left, right)
    one, other = segmentation.faces
    assert one.box == pytest.approx((115, 85, 135, 115), abs=1)
    assert not segmentation.mask("eyes")[90:110, 136:].any()
    assert other.areas == only_face(segmentation_of(right)).areas
    in_all = sum(np.count_nonzero(face.classes) for face in segmentation.faces)
    assert in_all == np.count_nonzero(segmentation.labels)


def test_a_larger_face_reaches_further() -> None:
    small, large = a_face(100, 100, size=20), a_face(160, 100, size=100)
    everywhere = np.full((SIDE, SIDE), NOSE)
    segmentation = segmentation_of(small, (large[0], FaceLogits(scores_of(everywhere), large[0])))
    left = segmentation.faces[1].box.left
    assert left == pytest.approx(110, abs=1)  # at a sixth of the way, and its frame begins there


def test_the_largest_face_alone() -> None:
    small, large = a_face(50, 60, size=40), a_face(200, 100, size=120)
    both = segmentation_of(small, large)
    largest = both.largest()
    assert only_face(largest).roi == large[0]
    np.testing.assert_array_equal(largest.labels, segmentation_of(large).labels)
    assert (both.labels[:, :100] > 0).any() and not largest.labels[:, :100].any()
    nobody = segmentation_of()
    assert nobody.largest().faces == () and not nobody.labels.any()


def test_a_part_is_cut_out_of_the_photo() -> None:
    segmentation = segmentation_of(a_face(150, 100))
    picture = segmentation.cutout("nose", "eyes")
    assert picture.mode == "RGBA" and picture.size == SIZE
    alpha = np.asarray(picture)[..., 3]
    wanted = segmentation.mask("nose") | segmentation.mask("eyes")
    np.testing.assert_array_equal(alpha, np.where(wanted, 255, 0))
    assert np.asarray(picture)[wanted][:, :3].tolist() == [[10, 200, 30]] * wanted.sum()


@pytest.mark.parametrize(
    "ask",
    [
        lambda segmentation: segmentation.mask("ears"),
        lambda segmentation: segmentation.cutout("nose", "ears"),
        lambda segmentation: segmentation.faces[0].mask("ears"),
        lambda segmentation: segmentation.faces[0].contours("ears"),
    ],
)
def test_an_unknown_class(ask) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FaceSegKitError, match="no class 'ears'; the model knows background, eyes"):
        ask(segmentation_of(a_face(150, 100)))


def test_as_numbers() -> None:
    segmentation = segmentation_of(a_face(150, 100, degrees=10), source=Path("some/photo.jpg"))
    plain = json.loads(json.dumps(segmentation.to_dict()))
    assert (plain["photo"], plain["width"], plain["height"]) == ("photo.jpg", *SIZE)
    assert plain["classes"] == list(SCHEME.classes)
    (face,) = plain["faces"]
    assert face["frame"] == {"x": 150, "y": 100, "size": 80, "degrees": 10}
    known = only_face(segmentation)
    assert face["box"] == known.box._asdict() and face["areas"] == known.areas
    assert 0.9 < face["confidence"] <= 1
    assert set(face["outlines"]) == set(SCHEME.classes) and face["outlines"]["lips"] == []
    np.testing.assert_allclose(face["outlines"]["nose"][0], known.contours("nose")[0], atol=0.06)


def test_of_an_aligned_photo_in_which_nothing_is_found() -> None:
    frame = FaceROI(150, 100, 300, 0, 0)
    seen = FaceLogits(scores_of(np.zeros((SIDE, SIDE), dtype=np.intp)), BBox(30, 0, 270, 200))
    face = only_face(segmentation_of((frame, seen)))
    assert face.box == (30, 0, 30, 0) and not any(face.areas.values())
    assert face.confidence == 0 and face.contours("nose") == []
    assert json.dumps(face.to_dict())
