"""Counting and scoring: against tables worked out by hand, and against scikit-learn."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics
from torch import Tensor, nn
from torch.nn import functional as F

from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import FACE_CROP, FULL_IMAGE, RelativeCrop
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES, LabelScheme
from facesegkit.metrics import (
    Evaluation,
    SegmentationMetrics,
    confusion_matrix,
    evaluate,
    predict_classes,
)

RNG = np.random.default_rng(0)
TWO_CLASSES = LabelScheme(
    "two", {"nose": ["nose"], "mouth": ["mouth"]}, [(0, 0, 255), (255, 255, 0)]
)


def class_ids(*shape: int, classes: int = 6) -> NDArray[np.uint8]:
    return RNG.integers(0, classes, shape, dtype=np.uint8)


# Rows are the truth. Class 1: TP 3, FN 1, FP 2 (one of them in truth class 2). Class 2: TP 4,
# FN 2 (one each called background and class 1), FP 0.
BY_HAND_TRUTH = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2], dtype=np.uint8)
BY_HAND_PREDICTED = np.array([0, 0, 1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 1], dtype=np.uint8)


def test_count_by_hand() -> None:
    matrix = confusion_matrix(BY_HAND_TRUTH, BY_HAND_PREDICTED, 3)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, [[2, 1, 0], [1, 3, 0], [1, 1, 4]])


def test_scores_by_hand() -> None:
    scores = SegmentationMetrics(np.array([[2, 1, 0], [1, 3, 0], [1, 1, 4]]))
    np.testing.assert_allclose(scores.f1, [4 / 7, 6 / 9, 8 / 10])
    np.testing.assert_allclose(scores.iou, [2 / 5, 3 / 6, 4 / 6])
    np.testing.assert_allclose(scores.precision, [2 / 4, 3 / 5, 4 / 4])
    np.testing.assert_allclose(scores.recall, [2 / 3, 3 / 4, 4 / 6])
    assert scores.mean_f1 == pytest.approx((6 / 9 + 8 / 10) / 2)  # background is left out
    assert scores.mean_iou == pytest.approx((3 / 6 + 4 / 6) / 2)
    assert scores.pixel_accuracy == pytest.approx(9 / 13)


@pytest.mark.parametrize("classes", [2, 6, 16, 17, 19])
def test_against_scikit_learn(classes: int) -> None:
    truth, predicted = class_ids(5, 40, 30, classes=classes), class_ids(5, 40, 30, classes=classes)
    predicted = np.where(RNG.random(truth.shape) < 0.7, truth, predicted)
    matrix = confusion_matrix(truth, predicted, classes)
    flat = truth.ravel(), predicted.ravel()
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(*flat))
    scores = SegmentationMetrics(matrix)
    np.testing.assert_allclose(scores.f1, metrics.f1_score(*flat, average=None))
    np.testing.assert_allclose(scores.iou, metrics.jaccard_score(*flat, average=None))
    np.testing.assert_allclose(scores.precision, metrics.precision_score(*flat, average=None))
    np.testing.assert_allclose(scores.recall, metrics.recall_score(*flat, average=None))
    features = list(range(1, classes))
    mean_f1 = metrics.f1_score(*flat, labels=features, average="macro")
    assert scores.mean_f1 == pytest.approx(mean_f1)
    assert scores.pixel_accuracy == pytest.approx(metrics.accuracy_score(*flat))


def test_tensors_and_arrays_count_alike() -> None:
    truth, predicted = class_ids(7, 9), class_ids(7, 9)
    from_tensors = confusion_matrix(torch.from_numpy(truth), torch.from_numpy(predicted), 6)
    np.testing.assert_array_equal(from_tensors, confusion_matrix(truth, predicted, 6))


def test_counting_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="truth is"):
        confusion_matrix(class_ids(2, 3), class_ids(3, 2), 6)
    with pytest.raises(ValueError, match="class id 6"):
        confusion_matrix(np.array([6], dtype=np.uint8), np.array([0], dtype=np.uint8), 6)


def test_counting_nothing() -> None:
    assert confusion_matrix(class_ids(0), class_ids(0), 3).sum() == 0


def test_nan_is_0_by_0_only() -> None:
    # Class 1 was predicted but is not there, class 2 is there but was not predicted, 3 is neither.
    scores = SegmentationMetrics(np.array([[5, 2, 0, 0], [0, 0, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0]]))
    np.testing.assert_array_equal(scores.f1, [10 / 15, 0, 0, np.nan])
    np.testing.assert_array_equal(scores.iou, [5 / 10, 0, 0, np.nan])
    np.testing.assert_array_equal(scores.precision, [5 / 8, 0, np.nan, np.nan])
    np.testing.assert_array_equal(scores.recall, [5 / 7, np.nan, 0, np.nan])
    assert scores.mean_f1 == 0  # over classes 1 and 2; class 3 is left out
    assert np.isnan(SegmentationMetrics(np.array([[9, 0], [0, 0]])).mean_f1)


def slowly(scores: Tensor, size: tuple[int, int]) -> Tensor:
    resized = F.interpolate(scores[None], size, mode="bilinear", align_corners=False)
    return resized[0].argmax(dim=0).to(torch.uint8)


def toy_model(classes: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, classes, 1)).eval()


def test_predict_classes() -> None:
    model = toy_model(6)
    photos = torch.from_numpy(RNG.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8))
    found = predict_classes(model, photos, (64, 64))
    for photo, classes in zip(photos, found, strict=True):
        image = photo.permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            expected = slowly(model(image)[0], (64, 64))
        assert (classes != expected.numpy()).mean() < 1e-3


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    photos = RNG.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    labels = RNG.integers(0, 19, (7, 64, 64), dtype=np.uint8)
    return evaluate(toy_model(3), TWO_CLASSES, photos, labels, [5, 0, 3], split="val", batch=2)


@pytest.mark.parametrize("crop", [FULL_IMAGE, FACE_CROP])
def test_evaluate_is_predict_merge_and_count(crop: RelativeCrop) -> None:
    photos = RNG.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    labels = RNG.integers(0, 19, (7, 64, 64), dtype=np.uint8)
    model, rows = toy_model(6), [5, 0, 3, 6, 1, 2]
    batches: list[int] = []
    model.register_forward_pre_hook(lambda _, images: batches.append(len(images[0])))
    found = evaluate(model, FIVE_FEATURES, photos, labels, rows, crop=crop, split="val", batch=2)
    assert batches == [2, 2, 2]
    assert found.scheme is FIVE_FEATURES and found.split == "val" and found.rows.tolist() == rows
    assert found.matrices.dtype == np.int64
    for row, matrix in zip(rows, found.matrices, strict=True):
        predicted = predict_classes(model, torch.from_numpy(photos[[row]]), (64, 64), crop)[0]
        truth = FIVE_FEATURES.merge(labels[row])
        np.testing.assert_array_equal(matrix, confusion_matrix(truth, predicted, 6))
    np.testing.assert_array_equal(found.matrix, found.matrices.sum(axis=0))
    assert found.matrix.sum() == 6 * 64 * 64


def test_progress_of_scoring_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    photos, labels = np.zeros((3, 8, 8, 3), np.uint8), np.zeros((3, 8, 8), np.uint8)
    unnamed = evaluate(toy_model(6), FIVE_FEATURES, photos, labels, [0, 1, 2])
    assert unnamed.split == "" and capsys.readouterr().err == ""
    evaluate(toy_model(6), FIVE_FEATURES, photos, labels, [0, 1, 2], batch=2, progress=True)
    shown = capsys.readouterr().err.split("\r")
    assert shown[-1].startswith("evaluate: 100%") and " 3/3 " in shown[-1]
    assert re.search(r"\dphoto/s", shown[-1])


def test_a_model_that_knows_scores_1() -> None:
    """Photos that show each part in a grey of its own, and a model that reads it off."""
    labels = RNG.integers(0, 19, (2, 16, 16), dtype=np.uint8)
    photos = np.repeat(labels[..., None] * 10, 3, axis=3)

    class Reader(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            parts = (images[:, 0] * 25.5).round().long()  # [B, H, W]
            return F.one_hot(parts, 19).permute(0, 3, 1, 2).float()

    assert evaluate(Reader(), ALL_PARTS, photos, labels, [0, 1]).scores.mean_f1 == 1


def test_evaluate_scores_in_eval_mode_and_leaves_the_model_in_its_own() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), toy_model(6)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    photos, labels = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8), np.uint8)
    evaluate(model, FIVE_FEATURES, photos, labels, [0])
    assert model.training
    torch.testing.assert_close(model.state_dict(), before)  # no running mean has moved


def test_per_photo_mean_f1(evaluation: Evaluation) -> None:
    expected = [SegmentationMetrics(matrix).mean_f1 for matrix in evaluation.matrices]
    np.testing.assert_array_equal(evaluation.per_image_mean_f1, expected)


def test_table(evaluation: Evaluation) -> None:
    lines = evaluation.table().splitlines()
    assert lines[0].split() == ["class", "f1", "iou", "precision", "recall"]
    assert [line.split()[0] for line in lines[1:5]] == ["background", "nose", "mouth", "mean"]
    assert lines[2].split()[1] == f"{evaluation.scores.f1[1]:.4f}"
    assert lines[4].split()[1] == f"{evaluation.scores.mean_f1:.4f}"
    assert len({len(line) for line in lines[:4]}) == 1  # aligned
    assert lines[1].startswith("background     ") and lines[1][15] != " "  # in 11 places
    assert lines[5].startswith("(3 photos of val; background is left out")
    assert replace(evaluation, split="").table().splitlines()[5].startswith("(3 photos; ")


def test_saved_scores(evaluation: Evaluation, tmp_path: Path) -> None:
    path = evaluation.save(tmp_path / "scores")
    assert path == tmp_path / "scores" / "scores.json"
    text = path.read_text(encoding="utf-8")
    assert text.startswith('{\n  "split"') and text.endswith("]\n}\n")  # to be read by people, too
    saved = json.loads(text)
    assert saved == evaluation.to_dict()
    assert saved["mean_iou"] == evaluation.scores.mean_iou
    assert saved["pixel_accuracy"] == evaluation.scores.pixel_accuracy
    assert saved["split"] == "val" and saved["photos"] == 3
    assert saved["mean_f1"] == evaluation.scores.mean_f1
    assert saved["classes"]["mouth"]["iou"] == evaluation.scores.iou[2]
    assert saved["matrix"] == evaluation.matrix.tolist()
    assert "2TP" in saved["definition"]


def test_nan_is_null_in_json(tmp_path: Path) -> None:
    only_background = Evaluation(TWO_CLASSES, np.array([np.diag([9, 0, 0])]), np.array([0]))
    text = only_background.save(tmp_path).read_text()
    assert "NaN" not in text
    assert json.loads(text)["classes"]["nose"]["f1"] is None


def test_a_folder_that_cannot_be_written(evaluation: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FaceSegKitError, match="Cannot write"):
        evaluation.save(tmp_path / "file")
