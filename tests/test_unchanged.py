"""Results of version 0.1.0 on a few photos, faces and training steps, which no refactoring changes.

The values in unchanged.json were computed before the modules were moved and renamed. Other
processors and library versions round differently, hence the tolerances. If a model, the generator
of synthetic faces or the training recipe changes on purpose, its values have to be replaced.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facesegkit import FaceSegmenter, list_models
from facesegkit.checkpoint import build_model
from facesegkit.config import Budget, RunOptions, TrainConfig
from facesegkit.dataset import TrainingData
from facesegkit.labels import paint_parts
from facesegkit.synthetic import synthesize_face
from facesegkit.train import fit

TOP = Path(__file__).parents[1]
EXPECTED = json.loads((TOP / "tests" / "unchanged.json").read_text())


@pytest.mark.parametrize("name", EXPECTED["segmentations"]["astronaut"])
def test_shipped_models_segment_as_before(name: str) -> None:
    assert name in list_models()
    photos = {
        "astronaut": Image.open(TOP / "figures" / "astronaut.jpg"),
        "synthetic": Image.fromarray(synthesize_face(0, 3).photo),
    }
    for photo, image in photos.items():
        expected, result = EXPECTED["segmentations"][photo][name], FaceSegmenter(name)(image)
        areas = np.bincount(result.labels.ravel(), minlength=6)[1:]
        np.testing.assert_allclose(areas, expected["areas"], rtol=0.02, atol=4)
        faces = [[f.roi.x, f.roi.y, f.roi.size, f.degrees, f.confidence] for f in result.faces]
        np.testing.assert_allclose(faces, expected["faces"], rtol=0.01, atol=0.3)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_synthetic_faces_look_as_before(index: int) -> None:
    face, expected = synthesize_face(0, index), EXPECTED["faces"][str(index)]
    np.testing.assert_allclose(face.photo.mean((0, 1)), expected["mean"], atol=0.3)
    areas = {part: int(mask.sum()) for part, mask in face.masks.items()}
    assert areas == pytest.approx(expected["areas"], rel=0.01, abs=3)


def test_the_loss_falls_as_before() -> None:
    faces = [synthesize_face(0, index) for index in range(6)]
    photos = [Image.fromarray(face.photo).resize((64, 64)) for face in faces]
    labels = [paint_parts(face.masks, (512, 512))[::4, ::4] for face in faces]
    data = TrainingData(np.stack(photos), np.stack(labels), np.arange(6))
    config = TrainConfig(budget=Budget(epochs=8), batch_size=4, validations=2, resize_schedule=())
    torch.manual_seed(0)
    _, history = fit(build_model("separable"), data, data, config, RunOptions(progress=False))
    for column in ("train_loss", "lr", "val_loss"):
        values = [row[column] for row in history if not np.isnan(row[column])]
        tolerance = 0.01 if "loss" in column else 1e-6
        np.testing.assert_allclose(values, EXPECTED[column], atol=tolerance)
