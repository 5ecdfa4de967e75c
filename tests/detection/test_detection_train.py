"""The face detector: its scenes, its loss, that it learns, and its ONNX file."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facesegkit.config import Budget, RunOptions
from facesegkit.dataset import generator_for
from facesegkit.detection.scenes import ABSENT, IGNORED, POSITIVE, Faces, SceneMaker, SceneSettings
from facesegkit.detection.train import RECIPE, FaceDetector, detection_loss, export_detector
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.detector import SIZE_UNIT, STRIDE, decode_detections
from facesegkit.inference.model_zoo import weights_path
from facesegkit.inference.onnx_model import open_detector, open_onnx
from facesegkit.train import fit


def markers(count=6):
    """Photos with a red disc above the middle and a green one below: a face to be detected."""
    y, x = np.mgrid[0:256, 0:256]
    photos = np.full((count, 256, 256, 3), 128, dtype=np.uint8)
    photos[:, np.hypot(x - 128, y - 90) < 30] = (230, 20, 20)
    photos[:, np.hypot(x - 128, y - 170) < 30] = (20, 230, 20)
    return photos


@pytest.fixture(scope="module")
def scenes():
    return SceneMaker(markers(), np.arange(6), SceneSettings(), backgrounds=4)


def faces_at(*faces, status=POSITIVE):
    """One scene with faces at (x, y, size, angle)."""
    x, y, size, angle = torch.tensor(faces, dtype=torch.float32).T[:, None]
    return Faces(torch.stack([x, y], -1), size, angle, torch.full(size.shape, status))


def perfect_output(faces, height=24, width=24):
    """What the network should predict for the faces of one scene."""
    output = torch.zeros(1, 6, height, width)
    output[:, 0] = -12
    for (x, y), size, angle in zip(faces.centre[0], faces.size[0], faces.angle[0], strict=True):
        shape = torch.tensor([math.log2(size / SIZE_UNIT), math.cos(angle), math.sin(angle)])
        for row in range(height):
            for column in range(width):
                dx, dy = x / STRIDE - column - 0.5, y / STRIDE - row - 0.5
                if math.hypot(dx, dy) < 3:
                    output[0, 1:, row, column] = torch.tensor([dx, dy, *shape])
        output[0, 0, int(y / STRIDE), int(x / STRIDE)] = 12
    return output


def loss_value(output, faces):
    return detection_loss(output, faces, RECIPE).item()


TWO_FACES = ((52, 60, 64, 0.4), (148, 100, 90, -2))


def test_the_loss_of_the_right_output_is_almost_0_and_of_others_larger():
    faces = faces_at(*TWO_FACES)
    right = perfect_output(faces)
    assert loss_value(right, faces) < 0.01
    for channel, change in ((0, 11.0), (1, 0.5), (2, -0.5), (3, 0.5), (4, 0.5), (5, -0.5)):
        wrong = right.clone()
        wrong[:, channel] += change
        assert loss_value(wrong, faces) > 0.04, channel
    missed = right.clone()
    missed[:, 0] = -12
    assert loss_value(missed, faces) > 5


def test_an_ignored_face_may_be_detected_or_not():
    faces = faces_at((100, 100, 64, 0), status=IGNORED)
    detected, missed = perfect_output(faces), perfect_output(faces)
    missed[:, 0] = -12
    assert loss_value(detected, faces) < 0.01 and loss_value(missed, faces) < 0.01
    assert loss_value(perfect_output(faces_at((30, 100, 64, 0))), faces) > 5


def test_the_output_is_decoded_to_the_same_faces():
    output = perfect_output(faces_at(*TWO_FACES))
    detections = decode_detections(output[0].numpy(), 0.5)
    rois = sorted((d.roi.x, d.roi.y, d.roi.size, d.roi.angle) for d in detections)
    assert rois == [pytest.approx(face, abs=1e-3) for face in TWO_FACES]


def test_the_faces_of_scenes_have_the_right_position_size_and_angle(scenes):
    """The ROI of a positive face has the red disc in its upper half and the green one below."""
    differences = []
    for seed in range(4):
        images, faces = scenes(8, generator_for(seed))
        assert images.shape == (8, 3, 192, 192)
        assert 0 <= images.min() and images.max() <= 1
        for scene, index in zip(*torch.nonzero(faces.status == POSITIVE).T, strict=True):
            x, y = faces.centre[scene, index]
            size, angle = faces.size[scene, index], faces.angle[scene, index]
            assert 36 <= size <= 120 and 0 < x < 192 and 0 < y < 192
            points = [  # centres of the two discs, 38 pixels above and 42 below that of a photo
                (int(y - up * size * math.cos(angle)), int(x + up * size * math.sin(angle)))
                for up in (38 / 256, -42 / 256)
            ]
            if all(0 <= side < 192 for point in points for side in point):
                above, below = (images[scene, :2, row, column] for row, column in points)
                differences.append(above[0] - above[1] - (below[0] - below[1]))
    assert len(differences) > 10
    assert min(differences) > -0.02  # some are dark, or grey from lack of light
    assert np.median(differences) > 0.5


def test_scenes_have_faces_of_each_status_and_can_be_repeated(scenes):
    images, faces = scenes(64, generator_for(5))
    for status in (POSITIVE, IGNORED, ABSENT):
        assert (faces.status == status).sum() > 5
    assert (faces.status[:, -1] == POSITIVE).any()  # nothing covers the last
    assert torch.equal(images, scenes(64, generator_for(5))[0])
    other, _ = scenes(1, generator_for(4))
    assert len(other) == 1 and not torch.equal(images[:1], other)


def test_it_learns():
    torch.manual_seed(0)
    scenes = SceneMaker(markers(), np.arange(6), SceneSettings(side=96), backgrounds=4)
    config = replace(RECIPE, batch_size=8, budget=Budget(epochs=200))  # of one step each
    run, small = RunOptions(progress=False), FaceDetector((8, 8, 16), 1)
    model, history = fit(small, scenes, None, config, run, loss=detection_loss)
    losses = [row["train_loss"] for row in history]
    assert not model.training and history[-1]["step"] == 200 and len(losses) == 40
    assert np.mean(losses[-2:]) < 0.7 * np.mean(losses[:2])


def test_its_file_predicts_the_same_at_any_size(tmp_path):
    torch.manual_seed(0)
    detector = FaceDetector().eval()
    path = tmp_path / "detector.onnx"
    export_detector(detector, {"trained on": "nothing"}, path)
    network = open_detector(path)
    for size in ((64, 64), (128, 96), (512, 384)):
        photos = np.random.default_rng(0).random((1, 3, *size), dtype=np.float32)
        with torch.inference_mode():
            expected = detector(torch.from_numpy(photos)).numpy()
        assert np.abs(network(photos) - expected).max() < 1e-4
    with pytest.raises(FaceSegKitError, match="is not a model of facesegkit"):
        open_onnx(path)
    with pytest.raises(FaceSegKitError, match="is not a face detector of facesegkit"):
        open_detector(weights_path("unet"))
    with pytest.raises(FaceSegKitError, match="Cannot read the model"):
        open_detector(Path(tmp_path, "none.onnx"))
