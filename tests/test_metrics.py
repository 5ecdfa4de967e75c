"""Counting and metrics: against tables worked out by hand, and against scikit-learn."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics as reference
from torch import nn
from torch.nn import functional as F

from facesegkit.dataset import TrainingData
from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import FACE_CROP, FULL_IMAGE, RelativeCrop
from facesegkit.labels import FIVE_FEATURES, LabelScheme
from facesegkit.metrics import (
    SegmentationMetrics,
    confusion_matrix,
    evaluate,
    predict_classes,
)

RNG = np.random.default_rng(0)
TWO_CLASSES = LabelScheme("two", {"nose": ["nose"], "mouth": ["mouth"]}, [(0, 0, 9), (9, 9, 0)])


def class_ids(*shape: int, classes: int = 6) -> NDArray[np.uint8]:
    return RNG.integers(0, classes, shape, dtype=np.uint8)


def random_data(rows: list[int], scheme: LabelScheme = FIVE_FEATURES) -> TrainingData:
    photos = RNG.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    return TrainingData(photos, class_ids(7, 64, 64, classes=19), np.array(rows), scheme)


def toy_model(classes: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, classes, 1)).eval()


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(toy_model(3), random_data([5, 0, 3], TWO_CLASSES), split="val", batch_size=2)


# Rows are the ground truth. Class 1: TP 3, FN 1, FP 2 (one of them of class 2). Class 2: TP 4,
# FN 2 (one each predicted as background and class 1), FP 0.
BY_HAND = np.array([[2, 1, 0], [1, 3, 0], [1, 1, 4]])


def test_confusion_matrix_by_hand():
    target = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2], dtype=np.uint8)
    predicted = np.array([0, 0, 1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 1], dtype=np.uint8)
    for convert in (np.asarray, torch.from_numpy):
        matrix = confusion_matrix(convert(target), convert(predicted), 3)
        assert matrix.dtype == np.int64
        np.testing.assert_array_equal(matrix, BY_HAND)
    assert confusion_matrix(class_ids(0), class_ids(0), 1).tolist() == [[0]]


def test_metrics_by_hand():
    metrics = SegmentationMetrics(BY_HAND)
    assert metrics.matrix is BY_HAND
    np.testing.assert_allclose(metrics.f1, [4 / 7, 6 / 9, 8 / 10])
    np.testing.assert_allclose(metrics.iou, [2 / 5, 3 / 6, 4 / 6])
    np.testing.assert_allclose(metrics.precision, [2 / 4, 3 / 5, 4 / 4])
    np.testing.assert_allclose(metrics.recall, [2 / 3, 3 / 4, 4 / 6])
    assert metrics.mean_f1 == pytest.approx((6 / 9 + 8 / 10) / 2)  # without the background
    assert metrics.mean_iou == pytest.approx((3 / 6 + 4 / 6) / 2)
    assert metrics.pixel_accuracy == pytest.approx(9 / 13)


@pytest.mark.parametrize("classes", [2, 6, 16, 17, 19])
def test_against_scikit_learn(classes):
    target, predicted = class_ids(5, 40, 30, classes=classes), class_ids(5, 40, 30, classes=classes)
    predicted = np.where(RNG.random(target.shape) < 0.7, target, predicted)
    matrix = confusion_matrix(target, predicted, classes)
    flat = target.ravel(), predicted.ravel()
    np.testing.assert_array_equal(matrix, reference.confusion_matrix(*flat))
    metrics = SegmentationMetrics(matrix)
    np.testing.assert_allclose(metrics.f1, reference.f1_score(*flat, average=None))
    np.testing.assert_allclose(metrics.iou, reference.jaccard_score(*flat, average=None))
    np.testing.assert_allclose(metrics.precision, reference.precision_score(*flat, average=None))
    np.testing.assert_allclose(metrics.recall, reference.recall_score(*flat, average=None))
    mean_f1 = reference.f1_score(*flat, labels=[*range(1, classes)], average="macro")
    assert metrics.mean_f1 == pytest.approx(mean_f1)
    assert metrics.pixel_accuracy == pytest.approx(reference.accuracy_score(*flat))


def test_counting_refuses_other_shapes_and_unknown_classes():
    with pytest.raises(ValueError, match="target is"):
        confusion_matrix(class_ids(2, 3), class_ids(3, 2), 6)
    with pytest.raises(ValueError, match="class id 6"):
        confusion_matrix(np.uint8([6]), np.uint8([0]), 6)


def test_only_0_by_0_is_nan():
    # Class 1 is predicted but not annotated, class 2 annotated but not predicted, 3 is neither.
    matrix = np.array([[5, 2, 0, 0], [0, 0, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0]])
    metrics = SegmentationMetrics(matrix)
    np.testing.assert_array_equal(metrics.f1, [10 / 15, 0, 0, np.nan])
    np.testing.assert_array_equal(metrics.iou, [5 / 10, 0, 0, np.nan])
    np.testing.assert_array_equal(metrics.precision, [5 / 8, 0, np.nan, np.nan])
    np.testing.assert_array_equal(metrics.recall, [5 / 7, np.nan, 0, np.nan])
    assert metrics.mean_f1 == 0  # of classes 1 and 2, without class 3
    assert np.isnan(SegmentationMetrics(np.array([[9, 0], [0, 0]])).mean_f1)


def test_predict_classes_upsamples_logits():
    model = toy_model(6)
    photos = torch.from_numpy(RNG.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8))
    with torch.no_grad():
        logits = model(photos.permute(0, 3, 1, 2).float() / 255)
    expected = F.interpolate(logits, (64, 64), mode="bilinear", align_corners=False).argmax(1)
    assert (predict_classes(model, photos, (64, 64)) != expected.numpy()).mean() < 1e-3


@pytest.mark.parametrize("crop", [FULL_IMAGE, FACE_CROP])
def test_evaluate_predicts_merges_and_counts(crop):
    model, rows = toy_model(6), [5, 0, 3, 6, 1, 2]
    data = replace(random_data(rows), crop=crop)
    batches: list[int] = []
    model.register_forward_pre_hook(lambda _, images: batches.append(len(images[0])))
    result = evaluate(model, data, split="val", batch_size=2)
    assert batches == [2, 2, 2]
    assert result.scheme is FIVE_FEATURES and result.split == "val" and [*result.rows] == rows
    assert result.matrices.dtype == np.int64 and np.isnan(result.loss)
    for row, matrix in zip(rows, result.matrices, strict=True):
        predicted = predict_classes(model, torch.from_numpy(data.photos[[row]]), (64, 64), crop)[0]
        target = FIVE_FEATURES.merge(data.labels[row])
        np.testing.assert_array_equal(matrix, confusion_matrix(target, predicted, 6))
    np.testing.assert_array_equal(result.matrix, result.matrices.sum(axis=0))
    expected = [SegmentationMetrics(matrix).mean_f1 for matrix in result.matrices]
    np.testing.assert_array_equal(result.per_image_mean_f1, expected)


@pytest.mark.parametrize("crop", [FULL_IMAGE, RelativeCrop(0.5, 0.5, 0.5)])
def test_evaluate_averages_the_loss_over_photos(crop):
    """Batches differ in size; the targets are those of the crop at the logits' resolution."""
    data = replace(random_data([4, 1, 2]), crop=crop)
    model = toy_model(6)
    result = evaluate(model, data, batch_size=2, loss=F.cross_entropy)
    targets = torch.from_numpy(FIVE_FEATURES.merge(data.labels[data.rows])).long()
    photos = torch.from_numpy(data.photos[data.rows])
    if crop != FULL_IMAGE:
        photos, targets = photos[:, 8:24, 8:24], targets[:, 16:48, 16:48]
    with torch.no_grad():
        logits = model(photos.permute(0, 3, 1, 2).float() / 255)
    expected = F.cross_entropy(logits, targets[:, 1::2, 1::2]).item()
    assert result.loss == pytest.approx(expected, rel=1e-5)


def test_a_function_is_evaluated_like_a_module():
    data, model = random_data([4, 1, 2]), toy_model(6)
    expected = evaluate(model, data).matrix
    np.testing.assert_array_equal(evaluate(lambda images: model(images), data).matrix, expected)


def test_a_model_of_other_classes_is_refused():
    message = r"The model has 6 classes, but .*'two' has 3 \(background, nose, mouth\)"
    for model in (toy_model(6), lambda images: images.repeat(1, 2, 1, 1)):
        with pytest.raises(ValueError, match=message):
            evaluate(model, random_data([0], TWO_CLASSES))


def test_progress_of_evaluate_is_shown_on_request(capsys):
    data = random_data([0, 1, 2])
    assert evaluate(toy_model(6), data).split == "" and capsys.readouterr().err == ""
    evaluate(toy_model(6), data, batch_size=2, progress=True)
    shown = capsys.readouterr().err.split("\r")
    assert shown[-1].startswith("evaluate: 100%") and " 3/3 " in shown[-1]
    assert re.search(r"\dphoto/s", shown[-1])


def test_evaluate_uses_eval_mode_and_restores_the_mode():
    model = nn.Sequential(nn.BatchNorm2d(3), toy_model(6)).train()
    evaluate(model, random_data([0]))
    assert model.training and not model[0].num_batches_tracked


def test_table(evaluation):
    lines = evaluation.table().splitlines()
    assert lines[0].split() == ["class", "f1", "iou", "precision", "recall"]
    assert [line.split()[0] for line in lines[1:5]] == ["background", "nose", "mouth", "mean"]
    assert lines[2].split()[1] == f"{evaluation.metrics.f1[1]:.4f}"
    assert lines[4].split()[1] == f"{evaluation.metrics.mean_f1:.4f}"
    assert len({len(line) for line in lines[:4]}) == 1  # aligned
    assert lines[1].startswith("background     ") and lines[1][15] != " "  # columns of 11
    assert lines[5].startswith("(3 photos of val; background is left out")
    assert replace(evaluation, split="").table().splitlines()[5].startswith("(3 photos; ")


def test_saved_metrics(evaluation, tmp_path):
    path = evaluation.save(tmp_path / "report")
    assert path == tmp_path / "report" / "scores.json"
    text = path.read_text(encoding="utf-8")
    assert text.startswith('{\n  "split"') and text.endswith("]\n}\n")  # readable for people, too
    saved, metrics = json.loads(text), evaluation.metrics
    assert saved == evaluation.to_dict() and "2TP" in saved.pop("definition")
    names = ("f1", "iou", "precision", "recall")
    assert saved.pop("classes")["mouth"] == {name: getattr(metrics, name)[2] for name in names}
    means = {name: getattr(metrics, name) for name in ("mean_f1", "mean_iou", "pixel_accuracy")}
    assert saved == {"split": "val", "photos": 3, "matrix": evaluation.matrix.tolist(), **means}


def test_nan_is_null_in_json(evaluation, tmp_path):
    only_background = replace(evaluation, matrices=np.array([np.diag([9, 0, 0])]))
    text = only_background.save(tmp_path).read_text()
    assert "NaN" not in text and json.loads(text)["classes"]["nose"]["f1"] is None
    with pytest.raises(FaceSegKitError, match="Cannot write"):
        only_background.save(tmp_path / "scores.json")  # no folder
