"""The search for faces: scales, thresholds, resolution, other detectors."""

import numpy as np
import pytest
from fake_models import (
    GREY,
    NOSES,
    detector_of,
    model_by_colour,
    network_of,
    output_with,
    photo_with,
    upright,
)
from PIL import Image

from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import FaceROI
from facesegkit.image_io import read_reduced
from facesegkit.inference.model_zoo import load_model
from facesegkit.inference.onnx_model import DetectorModel
from facesegkit.inference.pipeline import FaceAnalyzer, ScaledImage
from facesegkit.inference.search_config import SEARCHES, SearchConfig, search_config
from facesegkit.inference.segmenter import FaceSegmenter

MODEL = model_by_colour(NOSES)


def search(photo, network, config=None):
    analyzer = FaceAnalyzer(MODEL, network, config=config or SearchConfig())
    return analyzer.search(ScaledImage(photo, photo.size))


@pytest.mark.parametrize(
    ("size", "face", "expected"),
    [((4000, 3000), 1500, [320]), ((4000, 3000), 700, [320, 640]),
     ((4000, 3000), 200, [320, 640, 1280]), ((4000, 3000), None, [320, 640]),
     ((600, 500), 40, [320, 640, 1216]), ((200, 100), 15, [320, 384]), ((1, 1), None, [32])],
    ids=["a large face", "a smaller face", "a small face", "no face", "enlarged twice",
         "a small photo", "a pixel"],
)  # fmt: skip
def test_finer_scales_are_used_only_while_there_are_small_faces(size, face, expected):
    sides = []
    rois = [upright(size[0] / 2, size[1] / 2, face)] if face else []
    faces = search(Image.new("RGB", size, GREY), network_of(*rois, size=size, sides=sides))
    assert len(faces) == len(rois)
    assert sides == expected


def test_a_thorough_search_sees_every_detail_of_a_large_photo():
    sides = []
    network = network_of(size=(3000, 2000), sides=sides)
    assert search(Image.new("RGB", (3000, 2000), GREY), network, SEARCHES["thorough"]) == []
    # 2560 x 1696 pixels in three by two parts, and 3008 x 2016 in three by two.
    assert sides[:3] == [320, 640, 1280] and len(sides) == 3 + 6 + 6 and max(sides) == 1280


def test_the_confidence_combines_two_scores():
    size = (640, 480)
    faces = {}
    for second in (-2, 1, 4):
        network = network_of(upright(300, 200, 120), size=size, sides=[], second_logit=second)
        config = SearchConfig(min_confidence=0)
        (face,) = search(Image.new("RGB", size, GREY), network, config)
        faces[second] = face.confidence
    expected = {second: 1 / (1 + np.exp(-(3 + second) / 2)) for second in faces}
    assert faces == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("min_confidence", "count"), [(0.5, 1), (0.98, 0)])
def test_faces_of_lower_confidence_are_dropped(min_confidence, count):
    size = (640, 480)
    network = network_of(upright(300, 200, 120), size=size, sides=[])
    config = SearchConfig(min_confidence=min_confidence)
    assert len(search(Image.new("RGB", size, GREY), network, config)) == count


def test_where_the_second_look_shows_nothing_the_first_roi_stays():
    def predict(images):
        height, width = images.shape[2:]
        seen = [] if len(images) == 2 else [(upright(width / 2, height / 2, width / 4), 9)]
        return np.stack([output_with((width, height), *seen)] * len(images))

    config = SearchConfig(min_confidence=0)
    network = DetectorModel(predict, (0.0, 0.5, 0.5))
    (face,) = search(Image.new("RGB", (640, 480), GREY), network, config)
    assert (face.roi.x, face.roi.y) == pytest.approx((320, 240), abs=2)
    assert face.confidence < 0.6


def test_two_boxes_of_one_face_become_one():
    """They differ too much for NMS, but the second look aligns both in the same place."""
    size = (640, 640)

    def predict(images):
        height, width = images.shape[2:]
        middle = upright(width / 2, height / 2, width)
        if len(images) == 2:  # whatever the crop shows, the face is at the photo's centre
            return np.stack([output_with((width, height), (middle, 4))] * 2)
        near = [upright(width * x, height / 2, width * s) for x, s in ((0.5, 0.3), (0.505, 0.17))]
        return output_with((width, height), *((roi, 3) for roi in near))[None]

    faces = search(Image.new("RGB", size, GREY), DetectorModel(predict, (0.0, 0.5, 0.5)))
    assert len(faces) == 2  # of different sizes: a small face before a large one
    same = FaceAnalyzer(MODEL, network_of(upright(320, 320, 160), size=size, sides=[]))
    assert len(same.search(ScaledImage(Image.new("RGB", size, GREY), size))) == 1


def test_a_large_jpeg_is_read_only_as_large_as_its_smallest_face_needs(tmp_path, monkeypatch):
    sides = []

    def note(source, side):
        sides.append(side)
        return read_reduced(source, side)

    monkeypatch.setattr("facesegkit.inference.pipeline.read_reduced", note)
    photo = photo_with({"nose": (2100, 1500, 2160, 1570)}, 4000, 3000)
    photo.save(tmp_path / "photo.jpg", quality=95)

    def mask(roi):
        network = network_of(roi, size=(4000, 3000), sides=[])
        opened = ScaledImage(*read_reduced(tmp_path / "photo.jpg", 640), tmp_path / "photo.jpg")
        segmenter = FaceSegmenter(MODEL)
        return segmenter.result(FaceAnalyzer(MODEL, network).search(opened), opened).mask("nose")

    assert mask(upright(2130, 1535, 320)).sum() == pytest.approx(60 * 70, rel=0.15)
    small = list(sides)
    mask(upright(2000, 1500, 2400))
    assert small[-1] > 2000 and sides == small


def test_another_detector_sees_the_whole_photo_and_its_scores_are_confidences(tmp_path):
    photo = photo_with({"nose": (2100, 1500, 2160, 1570)}, 4000, 3000)
    photo.save(tmp_path / "photo.jpg", quality=95)
    shapes, inner = [], detector_of(upright(2130, 1535, 400), score=0.75)

    def detect(pixels):
        shapes.append(pixels.shape)
        return inner(pixels)

    (face,) = FaceSegmenter(MODEL, detector=detect)(tmp_path / "photo.jpg").faces
    assert shapes == [(3000, 4000, 3)] and face.confidence == 0.75
    assert face.areas["nose"] == pytest.approx(60 * 70, rel=0.15)
    assert FaceSegmenter(MODEL, detector=detect, min_confidence=0.8)(photo).faces == ()


def test_the_same_face_twice_and_rotated_faces_of_another_detector():
    rotated = FaceROI(300, 200, 160, 2.0)
    detect = detector_of(rotated, upright(305, 205, 170), upright(500, 400, 100))
    photo = Image.new("RGB", (640, 480), GREY)
    found = FaceSegmenter(MODEL, detector=detect)(photo).faces
    assert len(found) == 2
    assert found[0].roi.angle == pytest.approx(2.0, abs=1e-3)


ONE = [[1, 2, 30, 40]]


@pytest.mark.parametrize(
    ("returned", "message"),
    [((ONE, None, [0.9, 0.8]), r"boxes \[1, 4\]; expected \[2, 4\]"),
     ((ONE, [[[1, 2]] * 4], [0.9]), r"points \[1, 4, 2\]; expected \[1, 5, 2\]"),
     (([[1, 2, 3, float("nan")]], None, [0.9]), "boxes that are not finite"),
     (([[1, 2, 3, 1e30]], None, [0.9]), "boxes that are not finite, or far outside"),
     (([[30, 2, 3, 40]], None, [0.9]), "an empty box"),
     ((ONE, None, None), r"scores that are not finite|scores \[\]"),
     ((ONE, None, ["high"]), "scores that are not numbers"),
     ((ONE, None, [17.5]), "a score of 17.5; expected 0..1"),
     ((ONE, None, [-0.5]), "a score of -0.5"),
     ((ONE, [0.9]), "tuple; expected boxes, points, scores"), (None, "NoneType; expected boxes")],
)  # fmt: skip
def test_a_detector_that_returns_something_else(returned, message):
    segmenter = FaceSegmenter(MODEL, detector=lambda _: returned)
    with pytest.raises(ValueError, match=f"the detector returned {message}"):
        segmenter(Image.new("RGB", (64, 64), GREY))


@pytest.mark.parametrize("nothing", [([], [], []), ([], None, []), (np.zeros((0, 4)), None, ())])
def test_a_detector_that_finds_nothing(nothing):
    segmenter = FaceSegmenter(MODEL, detector=lambda _: nothing)
    assert segmenter(Image.new("RGB", (64, 64), GREY)).faces == ()


def test_boxes_outside_the_photo_and_rounding_errors_of_scores_are_harmless():
    boxes = [[5, 5, 50, 50], [-90, 5, -10, 50], [5, 70, 50, 90]]
    segmenter = FaceSegmenter(MODEL, detector=lambda _: (boxes, None, [1.000001, 0.9, 0.9]))
    (face,) = segmenter(Image.new("RGB", (64, 64), GREY)).faces
    assert face.confidence == 1


def test_a_thousand_faces_fit_into_memory():
    rois = [upright(20 * x + 10, 20 * y + 10, 20) for x in range(40) for y in range(25)]
    model = load_model()  # each of its outputs has 1.5 MB in the limited memory of ONNX Runtime
    photo = Image.new("RGB", (800, 500), GREY)
    assert len(FaceSegmenter(model, detector=detector_of(*rois))(photo).faces) == 1000


def test_a_crowd_without_logits_looks_the_same(monkeypatch):
    photo = photo_with({"nose": (30, 60, 60, 90), "eyes": (200, 60, 300, 100)}, 400, 160)
    detector = detector_of(upright(45, 75, 60), upright(250, 80, 300))
    segmenter = FaceSegmenter(model_by_colour(), detector=detector)
    few = segmenter(photo)
    monkeypatch.setattr("facesegkit.inference.pipeline._MAX_LOGITS", 2 * 6 * 256**2 - 1)
    many = segmenter(photo)
    np.testing.assert_array_equal(many.labels, few.labels)
    assert many.mask("nose").any() and many.mask("eyes").any()
    for size in ((160, 400), (80, 200)):
        assert np.abs(many.confidence(size) - few.confidence(size)).mean() < 0.01
    assert [face.roi_logits.logits.size for face in many.faces] == [0, 0]
    shapes = [face.roi_logits.confidence.shape for face in many.faces]
    assert shapes == [(64, 64), (256, 256)]  # no finer than the photo


def test_a_detector_that_is_no_function():
    with pytest.raises(TypeError, match="a function or a name as detector, not 5"):
        FaceSegmenter(MODEL, detector=5)


def test_searches_by_name():
    assert search_config("default") == SearchConfig()
    assert search_config("fast", 0.7).min_confidence == 0.7
    assert search_config(SearchConfig(scales=(64,))).scales == (64,)
    for name in ("slow", None):
        with pytest.raises(FaceSegKitError, match=f"no search {name!r}; choose default, fast"):
            search_config(name)
    for fields in ({"scales": ()}, {"scales": (0,)}, {"detection_threshold": 1.0}):
        with pytest.raises(ValueError, match="expected at least one scale|have to be in"):
            SearchConfig(**fields)
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(FaceSegKitError, match="lowest confidence has to be in 0..1"):
            search_config("default", wrong)
