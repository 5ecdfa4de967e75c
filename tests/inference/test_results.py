"""What is known of each face in a photo, and of all of them together."""

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import BBox, FaceROI
from facesegkit.inference.overlapping_faces import assign_pixels
from facesegkit.inference.results import (
    AnalyzedFace,
    FaceLogits,
    FullImageLogits,
    SegmentationResult,
)
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES, PART_IDS

SCHEME = FIVE_FEATURES
EYES, NOSE = (SCHEME.class_names.index(name) for name in ("eyes", "nose"))
SIZE = (300, 200)
SIDE = 64


def analyzed(classes, x=150, y=100, size=80, degrees=0):
    """A face with these classes, [SIDE, SIDE], in its ROI; of 19 logits theirs are 5, others 0."""
    logits = np.zeros((19, SIDE, SIDE), dtype=np.float32)
    np.put_along_axis(logits, classes[None].astype(np.intp), 5, axis=0)
    roi = FaceROI(x, y, size, math.radians(degrees))
    return AnalyzedFace(roi, FaceLogits(logits, roi), 0.9)


def eye_and_nose(*args, **options):
    """A face with an eye at the upper left and a nose in the middle."""
    classes = np.zeros((SIDE, SIDE))
    classes[8:16, 8:24] = EYES
    classes[28:40, 26:38] = NOSE
    return analyzed(classes, *args, **options)


def result_of(*faces, source=None, scheme=SCHEME):
    source = source or Image.new("RGB", SIZE, (10, 200, 30))
    return SegmentationResult.from_faces(assign_pixels(faces, scheme, SIZE), SIZE, scheme, source)


def only_face(result):
    (face,) = result.faces
    return face


def test_bounding_box_and_areas_are_those_of_the_mask():
    result = result_of(eye_and_nose())
    face = only_face(result)
    rows, columns = np.nonzero(result.labels)
    assert face.bbox == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    # The ROI is 80 pixels wide, so a pixel of the logits is one and a quarter.
    assert face.bbox == pytest.approx((120, 70, 150 - 40 + 37.5 * 1.25, 60 + 50), abs=2)
    assert face.areas == {name: np.count_nonzero(result.mask(name)) for name in SCHEME.classes}
    assert face.areas["eyes"] == pytest.approx(8 * 16 * 1.25**2, rel=0.15)
    assert face.areas["lips"] == 0


@pytest.mark.parametrize("degrees", [0, 35, -120, 180])
def test_contours_follow_the_mask(degrees):
    result = result_of(eye_and_nose(degrees=degrees))
    face = only_face(result)
    assert face.degrees == pytest.approx(degrees)
    for name in ("eyes", "nose"):
        np.testing.assert_array_equal(face.mask(name), result.mask(name))
        (rough,), (exact,) = face.contours(name), face.contours(name, tolerance=0)
        x, y = exact.T
        assert 0.5 * (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() == face.areas[name]
        rows, columns = np.nonzero(face.mask(name))
        assert (x.min(), y.min()) == (columns.min(), rows.min())
        assert len(rough) < 12 and set(map(tuple, rough)) <= set(map(tuple, exact))
        assert degrees in (0, 180) or len(rough) < len(exact) / 2
    assert face.contours("lips") == []


def test_a_pixel_belongs_to_the_nearest_face():
    """Both ROIs show the region between the faces; the nearer face's ROI decides its class."""
    classes = np.zeros((SIDE, SIDE))
    classes[20:44, 44:] = EYES  # on the photo from x = 115 on
    left, right = analyzed(classes, 100), eye_and_nose(170)
    result = result_of(left, right)
    one, other = result.faces
    assert one.bbox == pytest.approx((115, 85, 135, 115), abs=1)
    assert not result.mask("eyes")[90:110, 136:].any()
    assert other.areas == only_face(result_of(right)).areas
    in_all = sum(np.count_nonzero(face.classes) for face in result.faces)
    assert in_all == np.count_nonzero(result.labels)


def all_parts(**boxes):
    """Part ids [SIDE, SIDE] with a box (left, top, right, bottom) for each part."""
    classes = np.zeros((SIDE, SIDE))
    for name, (left, top, right, bottom) in boxes.items():
        classes[top:bottom, left:right] = PART_IDS[name]
    return classes


def test_clothes_go_on_behind_a_nearer_face():
    """A child before a grown-up. What both mark is the child's, where it is nearer."""
    grown_up = all_parts(cloth=(0, 40, 64, 64), mouth=(54, 59, 56, 61))
    child = all_parts(hair=(20, 12, 44, 22), skin=(20, 22, 44, 50))
    faces = analyzed(grown_up, 150, 100, 120), analyzed(child, 180, 150, 40)
    result = result_of(*faces, scheme=ALL_PARTS)
    one, other = result.faces
    head = np.s_[138:160, 173:187]
    assert (result.mask("hair") | result.mask("skin"))[head].all()
    assert not one.classes_in(BBox(173, 138, 187, 160)).any()
    assert one.mask("cloth")[140:149, 190:198].all()  # nearer to the child, but not marked as its
    assert not one.mask("mouth").any()  # a feature is not seen beside another face
    in_all = sum(np.count_nonzero(face.classes) for face in (one, other))
    assert in_all == np.count_nonzero(result.labels)


def test_confidence_is_that_of_the_face_that_is_marked():
    sure, unsure = analyzed(all_parts(skin=(16, 16, 48, 48)), 100), analyzed(all_parts(), 130)
    logits = unsure.roi_logits.logits
    logits[PART_IDS["skin"], 16:48, 8:48] = 5.1  # a little more than the background
    logits[0] = 5
    result = result_of(sure, unsure, scheme=ALL_PARTS)
    confidence = result.confidence()
    assert confidence[100, 100] > 0.85
    assert confidence[100, 118] > 0.85  # nearer to the second, but the first is more confident
    assert confidence[100, 130] < 0.6  # within the first's ROI, but only the second's skin
    one, other = result.faces
    assert one.mask("skin")[100, 118] and not other.mask("skin")[100, 118]
    assert other.mask("skin")[100, 130]


def test_a_larger_face_reaches_farther():
    small, large = eye_and_nose(100, size=20), analyzed(np.full((SIDE, SIDE), NOSE), 160, size=100)
    left = result_of(small, large).faces[1].bbox.left
    assert left == pytest.approx(110, abs=1)  # at a sixth of the way, where its ROI begins


def test_the_largest_face_only():
    small, large = eye_and_nose(50, 60, size=40), eye_and_nose(200, size=120)
    both = result_of(small, large)
    largest = both.largest()
    assert only_face(largest).roi == large.roi
    np.testing.assert_array_equal(largest.labels, result_of(large).labels)
    assert (both.labels[:, :100] > 0).any() and not largest.labels[:, :100].any()
    none = result_of()
    assert none.largest().faces == () and not none.labels.any()


def test_a_cutout_is_transparent_outside_its_classes():
    result = result_of(eye_and_nose())
    image = result.cutout("nose", "eyes")
    assert image.mode == "RGBA" and image.size == SIZE
    wanted = result.mask("nose") | result.mask("eyes")
    np.testing.assert_array_equal(np.asarray(image)[..., 3], np.where(wanted, 255, 0))
    assert np.asarray(image)[wanted][:, :3].tolist() == [[10, 200, 30]] * wanted.sum()
    assert result.photo.mode == "RGB"  # it was not modified


def test_an_unknown_class():
    result = result_of(eye_and_nose())
    face, message = only_face(result), "no class 'ears'; the model's classes are background, eyes"
    for ask in (result.mask, partial(result.cutout, "nose"), face.mask, face.contours):
        with pytest.raises(FaceSegKitError, match=f"{message}, eyebrows"):
            ask("ears")


def test_as_plain_data():
    result = result_of(eye_and_nose(degrees=10), source=Path("some/photo.jpg"))
    plain = json.loads(json.dumps(result.to_dict()))
    assert (plain["photo"], plain["width"], plain["height"]) == ("photo.jpg", *SIZE)
    assert plain["classes"] == list(SCHEME.classes)
    (of_face,), face = plain["faces"], only_face(result)
    assert of_face["roi"] == {"x": 150, "y": 100, "size": 80, "degrees": 10}
    assert of_face["bbox"] == face.bbox._asdict() and of_face["areas"] == face.areas
    assert of_face["confidence"] == 0.9
    polygons = of_face["contours"]
    assert set(polygons) == set(SCHEME.classes) and polygons["lips"] == []
    np.testing.assert_allclose(polygons["nose"][0], face.contours("nose")[0], atol=0.06)


def test_an_aligned_photo_in_which_nothing_was_segmented():
    logits = np.zeros((6, SIDE, SIDE), dtype=np.float32)
    roi = FaceROI(150, 100, 300, 0)
    of_photo = FullImageLogits(logits, roi, BBox(30, 0, 270, 200))
    result = result_of(AnalyzedFace(roi, of_photo, 1.0))
    face = only_face(result)
    assert face.bbox == (30, 0, 30, 0) and not any(face.areas.values())
    assert face.contours("nose") == []
    assert json.dumps(face.to_dict())
    confidence = result.confidence((100, 150))  # of six equal logits inside the bounding box
    np.testing.assert_allclose(confidence[:, 15:135], 1 / 6, rtol=1e-6)
    assert (confidence[:, :15] == 1).all() and (confidence[:, 135:] == 1).all()
