"""The search for faces: scales, thresholds, rotations, resolution."""

import math

import numpy as np
import pytest
from fake_models import GREY, NOSES, detector_of, face_logits, model_by_colour, photo_with
from PIL import Image

from facesegkit.geometry import FaceROI
from facesegkit.image_io import read_reduced
from facesegkit.inference.onnx_model import Model
from facesegkit.inference.pipeline import (
    CONFIDENCE_KEY,
    FaceAnalyzer,
    ScaledImage,
    typical_confidence,
)
from facesegkit.inference.search_config import SearchConfig
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import FIVE_FEATURES

CONFIG = SearchConfig()
SIDE = 128
ROI = FaceROI(SIDE / 2, SIDE / 2, SIDE, 0)


def predict_face(images):
    """Logits of a face, with the confidence that the upper left pixel says."""
    confidence = float(images[0, 0, 0, 0])
    return face_logits(margin=math.log(5 * confidence / (1 - confidence)), side=SIDE)[None]


def grey(level):
    return np.full((SIDE, SIDE, 3), round(255 * level), dtype=np.uint8)


def analyze(pixels, metadata=None, **options):
    analyzer = FaceAnalyzer(Model(predict_face, FIVE_FEATURES, SIDE, metadata or {}), detector_of())
    return analyzer.analyze(ScaledImage(Image.fromarray(pixels), (SIDE, SIDE)), ROI, **options)


def is_face(confidence, metadata=None, **options):
    return analyze(grey(confidence), metadata, any_rotation=False, **options) is not None


@pytest.mark.parametrize(
    ("typical", "threshold"),
    [(None, CONFIG.min_confidence), (0.7, 0.7), (0.8, 0.8), (0.99, CONFIG.min_confidence),
     (0.1, CONFIG.lowest_min_confidence), ("very", CONFIG.min_confidence)],
)  # fmt: skip
def test_the_confidence_threshold_is_the_models_within_limits(typical, threshold):
    """The metadata of a model from elsewhere may contain anything."""
    metadata = {} if typical is None else {CONFIDENCE_KEY: typical}
    assert is_face(threshold + 0.02, metadata)
    assert not is_face(threshold - 0.02, metadata)


def test_a_candidate_may_have_less_confidence():
    least = CONFIG.min_confidence - CONFIG.candidate_margin
    assert is_face(least + 0.02, candidates=True)
    assert not is_face(least - 0.02, candidates=True)


def test_the_typical_confidence_is_exceeded_by_nine_faces_in_ten():
    levels = np.linspace(0.6, 0.95, 11)
    photos = np.stack([grey(level) for level in levels])
    found = typical_confidence(Model(predict_face, FIVE_FEATURES, SIDE), photos)
    assert found == pytest.approx(levels[1], abs=0.005)


@pytest.mark.parametrize(
    ("upright", "upside_down", "rotated"),
    [(0.9, 0.97, True), (0.97, 0.9, False), (0.95, 0.97, False), (0.92, 0.9, False)],
)
def test_a_face_of_low_confidence_is_also_tried_upside_down(upright, upside_down, rotated):
    pixels, half = grey(0.5), SIDE // 2
    pixels[:half, :half], pixels[half:, half:] = grey(upright)[0, 0], grey(upside_down)[0, 0]
    assert (abs(analyze(pixels).roi.angle) > 3) == rotated


FIRST = [64, 128, 256, 512]
SECOND = [88, 184, 360]  # the second try; rounded to multiples of the stride
KNOWN_PIXELS = 36  # smaller faces are not known to the shipped detector either


def test_small_faces_of_a_large_photo_are_detected_at_finer_scales(tmp_path):
    photo = photo_with({"nose": (600, 500, 640, 530)}, 3600, 2400)
    photo.paste(NOSES.colours[0], (2700, 1500, 2720, 1518))
    photo.save(tmp_path / "photo.jpg", quality=95)
    # The first has 26 pixels at scale 512 and 51 at 1024, the second 48 at 2048.
    faces = (620 / 3600, 515 / 2400, 180 / 3600), (2710 / 3600, 1509 / 2400, 84 / 3600)
    for source in (photo, tmp_path / "photo.jpg"):
        scales = []
        detector = detector_of(*faces, min_pixels=KNOWN_PIXELS, scales=scales)
        found = FaceSegmenter(model_by_colour(NOSES), detector=detector)(source)
        assert sorted(round(face.roi.size) for face in found.faces) == [84, 180]
        nose = found.mask("nose")
        assert nose[1500:1518, 2700:2720].mean() > 0.8 and nose[500:530, 600:640].mean() > 0.9
        assert scales == [*FIRST, *SECOND, 1024, 2048, 4096]


@pytest.mark.parametrize(
    ("size", "faces", "expected"),
    [((4000, 3000), [(0.5, 0.5, 0.3)], FIRST), ((4000, 3000), [], [*FIRST, *SECOND, 1024, 2048]),
     ((600, 500), [], [*FIRST, *SECOND, 1024])],
    ids=["a large face", "no face", "no face in a small photo"],
)  # fmt: skip
def test_finer_scales_are_used_only_if_a_face_is_likely_there(size, faces, expected):
    scales = []
    detector = detector_of(*faces, min_pixels=KNOWN_PIXELS, scales=scales)
    model = model_by_colour(NOSES) if faces else "separable"
    found = FaceSegmenter(model, detector=detector)(Image.new("RGB", size, GREY))
    assert len(found.faces) == len(faces)
    assert scales == expected


def test_a_face_that_was_missed_is_detected_at_the_second_scales():
    detector = detector_of((0.5, 0.5, 0.3))

    def detect(images):
        output = detector(images)
        output[:, 0] -= 20 * (max(images.shape[2:]) not in SECOND)
        return output

    photo = photo_with({"nose": (1900, 1400, 2100, 1600)}, 4000, 3000)
    [face] = FaceSegmenter(model_by_colour(NOSES), detector=detect)(photo).faces
    assert (face.roi.x, face.roi.y) == pytest.approx((2000, 1500), abs=20)


def test_detections_of_low_confidence_count_only_if_there_is_no_face_otherwise():
    high, low = detector_of((0.25, 0.5, 0.25)), detector_of((0.75, 0.5, 0.25), confidence_logit=0.1)
    photo = ScaledImage(Image.new("RGB", (512, 512), GREY), (512, 512))

    def centres(detector):
        faces = FaceAnalyzer(model_by_colour(NOSES), detector).detect(photo, CONFIG.scales)
        return [round(face.roi.x) for face in faces]

    assert centres(low) == [384]
    assert centres(lambda images: np.maximum(low(images), high(images))) == [128]


def test_a_large_jpeg_is_read_only_as_large_as_its_smallest_face_needs(tmp_path, monkeypatch):
    sides = []

    def note(source, side):
        sides.append(side)
        return read_reduced(source, side)

    monkeypatch.setattr("facesegkit.inference.segmenter.read_reduced", note)
    monkeypatch.setattr("facesegkit.inference.pipeline.read_reduced", note)
    photo = photo_with({"nose": (2100, 1500, 2160, 1570)}, 4000, 3000)
    photo.save(tmp_path / "photo.jpg", quality=95)
    small = FaceSegmenter(model_by_colour(NOSES), detector=detector_of((0.5325, 0.5117, 0.08)))
    assert small(tmp_path / "photo.jpg").mask("nose").sum() == pytest.approx(60 * 70, rel=0.15)
    large = FaceSegmenter(model_by_colour(NOSES), detector=detector_of((0.5, 0.5, 0.6)))
    large(tmp_path / "photo.jpg")
    assert sides == [512, 1024, 2560, 512]
