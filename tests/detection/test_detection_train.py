"""The face detector: its loss, that it learns, and its ONNX file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facesegkit.config import Budget, RunOptions
from facesegkit.detection.canvases import CanvasMaker, LabelledPhoto
from facesegkit.detection.model import FaceDetector
from facesegkit.detection.train import RECIPE, SIZES, TrueFaces, detection_loss, export_detector
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.detector import STRIDES, VALUES, cells, decode, nms
from facesegkit.inference.model_zoo import weights_path
from facesegkit.inference.onnx_model import open_detector, open_onnx
from facesegkit.train import fit

SIDE = 128
# A small face, and one for both of the coarser strides: left, top, right, bottom.
BOXES = np.array([[10, 14, 30, 40], [40, 20, 120, 124]], np.float32)
POINTS = np.stack([box[:2] + np.random.default_rng(0).random((5, 2)) * 20 for box in BOXES])


def faces_of(boxes=BOXES, points=POINTS, ignore=()):
    """The faces of one photo."""
    return TrueFaces(
        torch.tensor(boxes).reshape(1, -1, 4),
        torch.from_numpy(np.asarray(points, np.float32)).reshape(1, -1, 5, 2),
        torch.tensor(ignore, dtype=torch.float32).reshape(1, -1, 4),
    )


def perfect_output():
    """What the network should predict for the two faces: [1, N, 15]."""
    centres, strides = cells((SIDE, SIDE))
    output = np.zeros((len(centres), VALUES), np.float32)
    output[:, 0] = -12
    for box, points in zip(BOXES, POINTS, strict=True):
        centre, half, size = (
            (box[:2] + box[2:]) / 2,
            (box[2:] - box[:2]) / 2,
            np.sqrt((box[2:] - box[:2]).prod()),
        )
        for stride, (low, high) in zip(STRIDES, SIZES, strict=True):
            near = np.hypot(*(centres - centre).T) < max(0.22 * size, stride / 2)
            (chosen,) = np.nonzero(near & (strides == stride) & (low <= size < high))
            output[chosen, 0] = 12
            output[chosen, 1:3] = (centre - centres[chosen]) / stride
            output[chosen, 3:5] = np.log(half / stride)
            away = (points - centres[chosen, None]) / stride
            output[chosen, 5:] = away.reshape(len(chosen), 10)
    return torch.from_numpy(output)[None]


def loss_value(output, faces):
    return detection_loss(output, faces).item()


def test_the_loss_of_the_right_output_is_almost_0_and_of_others_larger():
    right = perfect_output()
    assert loss_value(right, faces_of()) < 0.01
    for value, change in ((0, 12.0), (1, 0.5), (2, -0.5), (3, 0.5), (4, -0.5), (5, 2), (14, -2)):
        wrong = right.clone()
        wrong[..., value] += change
        assert loss_value(wrong, faces_of()) > 0.1, value
    missed = right.clone()
    missed[..., 0] = -12
    assert loss_value(missed, faces_of()) > 5


def test_the_output_is_decoded_to_the_same_faces():
    found = nms(decode(perfect_output()[0].numpy(), (SIDE, SIDE), 0.5), 0.4)
    order = np.argsort(found.boxes[:, 0])
    np.testing.assert_allclose(found.boxes[order], BOXES, atol=1e-3)
    np.testing.assert_allclose(found.points[order], POINTS, atol=1e-3)


def test_detections_in_what_is_to_be_ignored_cost_nothing():
    without = faces_of(BOXES[:1], POINTS[:1])
    assert loss_value(perfect_output(), without) > 5
    ignored = faces_of(BOXES[:1], POINTS[:1], ignore=BOXES[1:])
    assert loss_value(perfect_output(), ignored) < 0.01


def test_faces_of_zero_size_only_pad_the_batch():
    padded = faces_of(np.vstack([BOXES, np.zeros((2, 4), np.float32)]), [*POINTS, *POINTS * 0])
    assert loss_value(perfect_output(), padded) == loss_value(perfect_output(), faces_of())
    none = faces_of(np.zeros((1, 4), np.float32), np.zeros((1, 5, 2)))
    assert 0 < loss_value(perfect_output() * 0, none) < float("inf")


class OneBatch:
    """The same canvases at each step."""

    def __init__(self, maker):
        self.batch = maker.training_batch(0, 0.0, replace(RECIPE, batch_size=8), None)

    def __len__(self):
        return RECIPE.batch_size

    def training_batch(self, *_):
        return self.batch


def test_it_learns():
    torch.manual_seed(0)
    red = np.full((128, 128, 3), 128, np.uint8)
    red[30:98, 40:88] = (230, 20, 20)
    face = LabelledPhoto(
        Image.fromarray(red),
        np.array([[40, 30, 88, 98]], np.float32),
        np.array([[[52, 50], [76, 50], [64, 65], [54, 80], [74, 80]]], np.float32),
    )
    empty = LabelledPhoto(Image.new("RGB", (128, 128), (90, 120, 90)))
    maker = CanvasMaker([face] * 8 + [empty], side=96)
    config = replace(RECIPE, budget=Budget(epochs=150))  # of one step each
    small = FaceDetector((8, 8, 16, 16, 16), 16)
    run = RunOptions(progress=False)
    model, history = fit(small, OneBatch(maker), None, config, run, loss=detection_loss)
    losses = [row["train_loss"] for row in history]
    assert not model.training and history[-1]["step"] == 150
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])


def test_its_file_predicts_the_same_at_any_size(tmp_path):
    torch.manual_seed(0)
    detector = FaceDetector().eval()
    path = tmp_path / "detector.onnx"
    export_detector(detector, {"trained on": "nothing"}, path)
    network = open_detector(path)
    for height, width in ((64, 64), (128, 96), (512, 384)):
        photos = np.random.default_rng(0).random((2, 3, height, width), dtype=np.float32)
        with torch.inference_mode():
            expected = detector(torch.from_numpy(photos)).numpy()
        assert expected.shape == (2, len(cells((width, height))[0]), VALUES)
        assert np.abs(network(photos) - expected).max() < 1e-4
    with pytest.raises(FaceSegKitError, match="is not a model of facesegkit"):
        open_onnx(path)
    with pytest.raises(FaceSegKitError, match="is not a face detector of facesegkit"):
        open_detector(weights_path("unet"))
    with pytest.raises(FaceSegKitError, match="Cannot read the model"):
        open_detector(Path(tmp_path, "none.onnx"))
