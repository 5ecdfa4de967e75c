"""Centroids of eyes, nose and mouth, and what is taken for a face."""

import math

import pytest
from fake_models import PARTS, face_logits

from facesegkit.geometry import FACE_CROP, FULL_IMAGE, FaceROI
from facesegkit.inference.landmarks import MEAN_EYES, MEAN_MOUTH, MEAN_NOSE, Landmarks
from facesegkit.inference.search_config import SearchConfig
from facesegkit.labels import FIVE_FEATURES

CONFIG = SearchConfig()
INSIDE = FaceROI(100, 100, 100, 0)
SIZE = (200, 200)  # of the photo


def landmarks_of(logits, crop=FULL_IMAGE):
    return Landmarks.from_logits(logits, FIVE_FEATURES, crop, CONFIG.min_landmark_area)


def is_a_face(landmarks, roi=INSIDE):
    return landmarks.is_a_face(roi, SIZE, CONFIG, CONFIG.min_confidence)


def without(*names):
    return {name: part for name, part in PARTS.items() if name not in names}


NO_FACES = {
    "nothing": face_logits({}),
    "eyes alone": face_logits(without("nose", "lips")),
    "low confidence": face_logits(margin=1.0),
    "specks": face_logits({name: (at, (0.01, 0.01)) for name, (at, _) in PARTS.items()}),
    "upside down": face_logits()[:, ::-1],
    "off centre": face_logits({n: ((x - 0.25, y), size) for n, ((x, y), size) in PARTS.items()}),
}


@pytest.mark.parametrize("crop", [FULL_IMAGE, FACE_CROP], ids=["full image", "face crop"])
def test_landmarks_are_where_the_parts_are(crop):
    found = landmarks_of(face_logits(crop=crop), crop)
    assert found.eyes == pytest.approx(MEAN_EYES, abs=0.01)
    assert found.nose == pytest.approx(MEAN_NOSE, abs=0.01)
    assert found.mouth == pytest.approx(MEAN_MOUTH, abs=0.01)
    assert found.confidence == pytest.approx(math.exp(6) / (math.exp(6) + 5))
    assert is_a_face(found)


@pytest.mark.parametrize("name", NO_FACES)
def test_what_is_no_face_and_what_may_be_one_after_realignment(name):
    landmarks = landmarks_of(NO_FACES[name])
    assert not is_a_face(landmarks)
    assert landmarks.may_be_a_face(CONFIG, CONFIG.min_confidence) == (name == "off centre")


@pytest.mark.parametrize("missing", PARTS)
def test_one_part_of_a_face_may_be_missing(missing):
    assert is_a_face(landmarks_of(face_logits(without(missing))))


def test_a_part_beyond_the_border_may_be_missing_at_lower_confidence():
    found = Landmarks(MEAN_EYES, MEAN_NOSE, None, confidence=0.9)
    assert not is_a_face(found)
    without_mouth = FaceROI(100, 180, 100, 0)  # the photo ends 20 pixels below its centre
    assert is_a_face(found, without_mouth)
    assert not is_a_face(found, without_mouth.rotated(math.pi))  # its eyes are at the border
