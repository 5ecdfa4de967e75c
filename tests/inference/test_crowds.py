"""Many faces in one photo: all are found, in time and memory that grow with their number."""

import tracemalloc
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from fake_models import GREY, NOSES, detector_of, model_by_colour, network_of, output_with, upright
from PIL import Image

from facesegkit.geometry import BBox
from facesegkit.image_io import read_photo, read_reduced
from facesegkit.inference import overlapping_faces
from facesegkit.inference.detector import detect
from facesegkit.inference.levels import hides_crowd
from facesegkit.inference.model_zoo import load_model
from facesegkit.inference.onnx_model import DetectorModel
from facesegkit.inference.pipeline import FaceAnalyzer, ScaledImage
from facesegkit.inference.search_config import SEARCHES, SearchConfig
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.synthetic import synthesize_face
from facesegkit.synthetic.background import background

TOP = Path(__file__).parents[2]
MODEL = model_by_colour(NOSES)


def sheet(tiles, across, down, side, colour=GREY):
    """Tiles of `side` pixels beside each other, in turn, on a plain background."""
    image = Image.new("RGB", (across * side, down * side), colour)
    small = [tile.resize((side, side)) for tile in tiles]
    for x, y in product(range(across), range(down)):
        image.paste(small[(3 * x + 5 * y) % len(small)], (x * side, y * side))
    return image


def synthetic(*indices):
    return [Image.fromarray(synthesize_face(0, index).photo) for index in indices]


def grid(across, down, step, size):
    return [upright((x + 0.5) * step, (y + 0.5) * step, size)
            for x, y in product(range(across), range(down))]  # fmt: skip


def network_sure_from(width, rois, size, sides):
    """A detector's network that is sure of faces from so many pixels on, and unsure of smaller."""
    scores = {False: 0.0, True: 3.0}  # logits

    def predict(images):
        batch, _, height, level = images.shape
        if batch == 2:
            return np.stack([output_with((level, height), (upright(80, 80, 160), 4))] * 2)
        sides.append(max(level, height))
        scale = level / size[0]
        sure = scores[bool(rois[0].size * 0.5 * scale >= width)]
        seen = [(upright(r.x * scale, r.y * scale, r.size * scale), sure) for r in rois]
        return output_with((level, height), *seen)[None]

    return DetectorModel(predict, (0.0, 0.5, 0.5))


def candidates(photo, network, config=None):
    analyzer = FaceAnalyzer(MODEL, network, config=config or SearchConfig())
    return analyzer.candidates(ScaledImage(photo, photo.size))


@pytest.mark.parametrize(
    ("sure_from", "expected"),
    [(25, [320, 640]), (50, [320, 640, 1280])],
    ids=["sure where all photos are enlarged", "enlarged further"],
)
def test_a_crowd_is_enlarged_until_the_detector_is_sure(sure_from, expected):
    sides, size = [], (320, 192)
    network = network_sure_from(sure_from, grid(9, 5, 35, 32), size, sides)
    assert len(candidates(Image.new("RGB", size, GREY), network)) == 45
    assert sides == expected


def test_a_few_unsure_faces_are_no_crowd_and_a_fast_search_sees_none():
    sides, size = [], (320, 192)
    few = network_sure_from(50, grid(3, 2, 35, 32), size, sides)
    candidates(Image.new("RGB", size, GREY), few)
    assert sides == [320, 640]
    many = network_sure_from(50, grid(9, 5, 35, 32), size, sides)
    candidates(Image.new("RGB", size, GREY), many, SEARCHES["fast"])
    assert sides == [320, 640, 320]


@pytest.mark.parametrize("detector", ["detector", "detector-open"])
def test_a_crowd_too_small_to_be_seen_is_noticed_and_nothing_else_is(detector):
    analyzer = FaceSegmenter(detector=detector).analyzer
    faces = synthetic(3, 4, 5, 7)
    scenery = (background(np.random.default_rng(5)) * 255).astype(np.uint8)
    one = Image.fromarray(scenery).resize((1600, 1600))
    one.paste(faces[0].resize((100, 100)), (700, 800))
    noise = np.random.default_rng(0).integers(0, 256, (1600, 1600, 3), np.uint8)
    photos = {
        "a crowd": sheet(faces, 25, 25, 64),
        "a wide crowd": sheet(faces, 32, 10, 64),
        "one small face": one,
        "noise": Image.fromarray(noise),
        "black": Image.new("RGB", (1600, 1200)),
    }
    network, config = analyzer.network.predict, analyzer.config
    seen = {
        name: hides_crowd(photo, detect(photo, network, 640, 0.05), network, config)
        for name, photo in photos.items()
    }
    assert [name for name, is_crowd in seen.items() if is_crowd] == ["a crowd", "a wide crowd"]


def test_a_large_photo_without_a_face_costs_one_more_look_and_a_small_one_none():
    for size, expected in (((2800, 2100), [320, 640, 640]), ((1200, 900), [320, 640])):
        sides = []

        def predict(images, sides=sides):
            sides.append(max(images.shape[2:]))
            height, width = images.shape[2:]
            return output_with((width, height), (upright(50, 50, 40), -2.5))[None]

        network = DetectorModel(predict, (0.0, 0.5, 0.5))
        assert candidates(Image.new("RGB", size, GREY), network) == []
        assert sides == expected


@pytest.mark.parametrize("model", ["separable", "separable-synthetic"])
def test_a_crowd_at_almost_equal_sizes_gives_almost_equal_results(model):
    """At 500 and 513 pixels: two models found 20 and 17 of 35 faces, and two none of them."""
    astronaut = read_photo(TOP / "figures" / "astronaut.jpg").crop((75, 0, 370, 295))
    tile = astronaut.resize((70, 70))  # the face has 20 x 27 pixels
    crowd = Image.new("RGB", (500, 375), (122, 113, 104))
    crowd.paste(sheet([tile], 7, 5, 70))
    analyzer = FaceSegmenter(model).analyzer
    found = []
    for width in (500, 513):
        photo = crowd.resize((width, round(375 * width / 500)), Image.Resampling.BICUBIC)
        rois = [one.roi for one in analyzer.candidates(ScaledImage(photo, photo.size))]
        places = np.array([(roi.x, roi.y) for roi in rois]) * 500 / width
        found.append(places[np.lexsort((places // 70).T)])
    assert [len(places) for places in found] == [35, 35]
    assert np.abs(found[0] - found[1]).max() < 3  # pixels


def test_faces_are_looked_at_again_with_the_detail_that_they_were_detected_in(tmp_path):
    """A file is first read at about 640 pixels, where a face of 100 pixels has 16."""
    Image.new("RGB", (4000, 3000), GREY).save(tmp_path / "photo.jpg")
    widths = []

    class Photo(ScaledImage):
        def at_least(self, side):
            larger = super().at_least(side)
            return Photo(larger.image, larger.size, larger.path)

        def warp_crop(self, roi, side):
            widths.append(self.image.width)
            return super().warp_crop(roi, side)

    path = tmp_path / "photo.jpg"
    for face, smallest in ((1500, 640), (200, 1280)):
        network = network_of(upright(2000, 1500, face), size=(4000, 3000), sides=[])
        analyzer = FaceAnalyzer(MODEL, network)
        assert len(analyzer.candidates(Photo(*read_reduced(path, 640), path))) == 1
        assert smallest <= widths.pop() < 2 * smallest


def test_the_work_grows_with_the_number_of_faces_and_not_faster(monkeypatch):
    calls, pairs = [], []

    def predict_logits(images):
        calls.append(len(images))
        return MODEL.predict_logits(images)

    def intersection(one, other, real=BBox.intersection):
        pairs.append(1)
        return real(one, other)

    monkeypatch.setattr(BBox, "intersection", intersection)
    model, work = replace(MODEL, predict_logits=predict_logits), []
    for down in (2, 8):
        calls.clear(), pairs.clear()
        segmenter = FaceSegmenter(model, detector=detector_of(*grid(20, down, 40, 40)))
        assert len(segmenter(Image.new("RGB", (800, 40 * down), GREY)).faces) == 20 * down
        work.append((len(calls), len(pairs)))
    (few, few_pairs), (many, many_pairs) = work
    assert many == 4 * few and many_pairs < 8 * few_pairs  # more of them have neighbours below


def test_windows_that_overlap_are_found_as_by_comparing_all_pairs():
    rng = np.random.default_rng(1)
    corners, extents = rng.integers(0, 200, (60, 2)), rng.integers(0, 60, (60, 2))
    windows = [BBox(*low, *(low + by)) for low, by in zip(corners.tolist(), extents, strict=True)]
    for number, near in enumerate(overlapping_faces._neighbours(windows)):
        by_pairs = [other for other, window in enumerate(windows) if other != number
                    and windows[number].intersection(window)]  # fmt: skip
        assert [other for other in near if windows[number].intersection(windows[other])] == by_pairs
        assert all(
            not windows[other].intersection(windows[number]) for other in {*near} - {*by_pairs}
        )
    assert list(overlapping_faces._neighbours([])) == []


def test_a_result_keeps_nothing_that_belongs_to_onnx_runtime():
    """Its memory is limited: a list of 525 results failed with a message that blamed the model."""
    logits = load_model("separable-synthetic").predict_logits(
        np.zeros((1, 3, 256, 256), np.float32)
    )
    assert logits.flags.owndata


def test_three_hundred_faces_take_little_memory():
    """Their logits would take 160 MB."""
    segmenter = FaceSegmenter(MODEL, detector=detector_of(*grid(20, 15, 40, 40)))
    photo = Image.new("RGB", (800, 600), GREY)
    tracemalloc.start()
    try:
        faces = segmenter(photo).faces
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(faces) == 300
    assert kept < 10e6 and peak < 40e6
