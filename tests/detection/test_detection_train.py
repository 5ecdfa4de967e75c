"""The network that finds faces: its scenes, its loss, that it learns, and its file."""

import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from facesegkit.dataset import generator_for
from facesegkit.detection.scenes import DOUBTFUL, FOUND, NOT_THERE, Faces, SceneMaker, SceneSettings
from facesegkit.detection.train import DetectorConfig, FaceDetector, detection_loss, fit_detector
from facesegkit.errors import FaceSegKitError
from facesegkit.export import export_detector
from facesegkit.inference.detector import STRIDE, USUAL, decode_detections
from facesegkit.inference.model_zoo import weights_path
from facesegkit.inference.onnx_model import open_detector, open_onnx


def markers(count=6):
    """Photos with a red disc above the middle and a green one below: a face to be found by."""
    y, x = np.mgrid[0:256, 0:256]
    photos = np.full((count, 256, 256, 3), 128, dtype=np.uint8)
    photos[:, np.hypot(x - 128, y - 90) < 30] = (230, 20, 20)
    photos[:, np.hypot(x - 128, y - 170) < 30] = (20, 230, 20)
    return photos


@pytest.fixture(scope="module")
def scenes():
    return SceneMaker(markers(), np.arange(6), SceneSettings(), backgrounds=4)


def faces_at(*faces, there=FOUND):
    """One scene with frames at (x, y, size, angle)."""
    x, y, size, angle = torch.tensor(faces, dtype=torch.float32).T[:, None]
    return Faces(torch.stack([x, y], -1), size, angle, torch.full(size.shape, there))


def answer(faces, height=24, width=24):
    """What a finder should give for the faces of one scene."""
    output = torch.zeros(1, 6, height, width)
    output[:, 0] = -12
    for (x, y), size, angle in zip(faces.centre[0], faces.size[0], faces.angle[0], strict=True):
        column, row = int(x / STRIDE), int(y / STRIDE)
        for r in range(height):
            for c in range(width):
                away = math.hypot(c + 0.5 - x / STRIDE, r + 0.5 - y / STRIDE)
                if away < 3:
                    output[0, 1:, r, c] = torch.tensor(
                        [x / STRIDE - c - 0.5, y / STRIDE - r - 0.5, math.log2(size / USUAL),
                         math.cos(angle), math.sin(angle)]
                    )  # fmt: skip
        output[0, 0, row, column] = 12
    return output


def test_the_loss_of_the_right_answer_is_nothing_and_of_others_more():
    faces = faces_at((52, 60, 64, 0.4), (148, 100, 90, -2))
    right = answer(faces)
    settings = DetectorConfig()
    assert detection_loss(right, faces, settings).item() < 0.01
    for channel, change in ((0, 11.0), (1, 0.5), (2, -0.5), (3, 0.5), (4, 0.5), (5, -0.5)):
        wrong = right.clone()
        wrong[:, channel] += change
        assert detection_loss(wrong, faces, settings).item() > 0.04, channel
    nothing_found = right.clone()
    nothing_found[:, 0] = -12
    assert detection_loss(nothing_found, faces, settings).item() > 5


def test_a_doubtful_face_may_be_found_or_not():
    faces = faces_at((100, 100, 64, 0), there=DOUBTFUL)
    found, missed = answer(faces), answer(faces)
    missed[:, 0] = -12
    for output in (found, missed):
        assert detection_loss(output, faces, DetectorConfig()).item() < 0.01
    elsewhere = answer(faces_at((30, 100, 64, 0)))
    assert detection_loss(elsewhere, faces, DetectorConfig()).item() > 5


def test_an_answer_is_read_as_the_faces_it_means():
    faces = faces_at((52, 60, 64, 0.4), (148, 100, 90, -2))
    frames = sorted(
        decode_detections(answer(faces)[0].numpy(), sure=0.5), key=lambda frame: frame.x
    )
    assert [(f.x, f.y, f.size, f.angle) for f in frames] == [
        pytest.approx((52, 60, 64, 0.4), abs=1e-3), pytest.approx((148, 100, 90, -2), abs=1e-3)
    ]  # fmt: skip


def test_scenes_say_where_their_faces_are(scenes):
    """Where a face is to be found, its frame leads to the red disc above and the green below."""
    differences = []
    for seed in range(4):
        pictures, faces = scenes(8, generator_for(seed))
        assert pictures.shape == (8, 3, 192, 192)
        assert 0 <= pictures.min() and pictures.max() <= 1
        for scene, place in zip(*torch.nonzero(faces.there == FOUND).T, strict=True):
            x, y = faces.centre[scene, place]
            size, angle = faces.size[scene, place], faces.angle[scene, place]
            assert 36 <= size <= 120 and 0 < x < 192 and 0 < y < 192
            colours = []
            for up in (38 / 256, -42 / 256):  # of the frame's side, from its middle
                column = int(x + up * size * math.sin(angle))
                row = int(y - up * size * math.cos(angle))
                if 0 <= column < 192 and 0 <= row < 192:
                    colours.append(pictures[scene, :, row, column])
            if len(colours) == 2:
                (red, green, _), (red_below, green_below, _) = colours
                differences.append(red - green - (red_below - green_below))
    assert len(differences) > 10
    assert min(differences) > -0.02  # some are dark, or grey from lack of light
    assert np.median(differences) > 0.5


def test_what_is_covered_is_not_to_be_found(scenes):
    _, faces = scenes(64, generator_for(5))
    for there in (FOUND, DOUBTFUL, NOT_THERE):
        assert (faces.there == there).sum() > 5
    assert (faces.there[:, -1] == FOUND).float().mean() > 0  # nothing lies on the last


def test_the_same_generator_gives_the_same_scenes(scenes):
    first, second = (scenes(2, generator_for(3))[0] for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, scenes(2, generator_for(4))[0])


def test_it_learns(monkeypatch):
    ticks = itertools.count(0, 9 / 200)  # 200 steps of nine seconds, however busy the machine is
    clock = SimpleNamespace(perf_counter=lambda: next(ticks))
    monkeypatch.setattr("facesegkit.detection.train.time", clock)
    torch.manual_seed(0)
    scenes = SceneMaker(markers(), np.arange(6), SceneSettings(side=96), backgrounds=4)
    settings = DetectorConfig(batch=8)
    _, losses = fit_detector(FaceDetector((8, 8, 16), 1), scenes, 0.15, settings, progress=False)
    assert len(losses) > 20
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_its_file_does_the_same_at_any_size(tmp_path):
    torch.manual_seed(0)
    finder = FaceDetector().eval()
    path = tmp_path / "finder.onnx"
    export_detector(finder, {"trained on": "nothing"}, path)
    find = open_detector(path)
    for size in ((64, 64), (128, 96), (512, 384)):
        photos = np.random.default_rng(0).random((1, 3, *size), dtype=np.float32)
        with torch.inference_mode():
            expected = finder(torch.from_numpy(photos)).numpy()
        assert np.abs(find(photos) - expected).max() < 1e-4
    with pytest.raises(FaceSegKitError, match="is not a model of facesegkit"):
        open_onnx(path)
    with pytest.raises(FaceSegKitError, match="is not a face finder of facesegkit"):
        open_detector(weights_path("unet"))
    with pytest.raises(FaceSegKitError, match="Cannot read the model"):
        open_detector(Path(tmp_path, "none.onnx"))
