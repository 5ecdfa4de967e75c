"""How good a model is: confusion matrices, and the metrics that follow from them.

Counting comes first (`confusion_matrix`), metrics second (`SegmentationMetrics`); `evaluate` runs
a model over the photos of a split and adds up the counts.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from tqdm.auto import tqdm

from facesegkit.dataset import TrainingData
from facesegkit.errors import counted
from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.inference.upsample import upsample_argmax
from facesegkit.labels import IGNORED, LabelScheme
from facesegkit.system import distributed
from facesegkit.system.files import atomic_write
from facesegkit.system.model_limits import not_finite
from facesegkit.transforms import to_float_images

DEFINITION = (
    "Pooled over all pixels of the split in one confusion matrix, at the annotation's resolution: "
    "the logits are upsampled bilinearly, then the class is taken. F1 = 2TP / (2TP + FP + FN); the "
    "means are plain means over the classes without the background."
)
_COLUMNS = ("f1", "iou", "precision", "recall")

Predictor = nn.Module | Callable[[Tensor], Tensor]


def confusion_matrix(
    target: Tensor | NDArray[np.uint8], predicted: Tensor | NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """Count how often each true class (row) was predicted as each class (column), int64 [C, C].

    `target` and `predicted` are class ids, uint8 of any shape; C is the number of `classes`.

    Raises:
        ValueError: if the shapes differ, or a class id is not below `classes`.
    """
    if target.shape != predicted.shape:
        raise ValueError(f"target is {tuple(target.shape)}, predicted {tuple(predicted.shape)}")
    target_ids = torch.as_tensor(target).flatten()
    predicted_ids = torch.as_tensor(predicted).flatten()
    highest = max((int(ids.max()) for ids in (target_ids, predicted_ids) if len(ids)), default=0)
    if highest >= classes:
        raise ValueError(f"there is a class id {highest}, but {classes=}")
    # A pair of ids is one number. The smallest type that holds it makes the count 3 times faster.
    pair_type = torch.uint8 if classes**2 <= 256 else torch.int32
    pairs = target_ids.to(pair_type) * classes + predicted_ids
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes).numpy()


class SegmentationMetrics:
    """Metrics of each class and their means, from a confusion matrix.

    A metric is nan if it would be 0/0: F1 and IoU of a class that is neither annotated nor
    predicted anywhere, precision of one never predicted, recall of one never annotated. Means are
    over all classes but the background, without nan; they are nan if all are nan.

    Attributes:
        matrix: pixel counts, int64 [C, C]; rows are the ground truth, columns the prediction.
        true_positives, annotated, predicted: pixels, TP, TP + FN and TP + FP, int64 [C].
        f1: 2TP / (2TP + FP + FN), also called the Dice coefficient, float64 [C] like the next.
        iou: intersection over union, TP / (TP + FP + FN).
        precision: TP / (TP + FP), how much of what was predicted is right.
        recall: TP / (TP + FN), how much of what is annotated was predicted.
        mean_f1, mean_iou: means without the background.
        pixel_accuracy: fraction of all pixels, background included, whose class is right.
    """

    def __init__(self, matrix: NDArray[np.int64]) -> None:
        self.matrix = matrix
        self.true_positives = matrix.diagonal()
        self.annotated = matrix.sum(axis=1)
        self.predicted = matrix.sum(axis=0)
        both = self.annotated + self.predicted
        self.f1 = _ratio(2 * self.true_positives, both)
        self.iou = _ratio(self.true_positives, both - self.true_positives)
        self.precision = _ratio(self.true_positives, self.predicted)
        self.recall = _ratio(self.true_positives, self.annotated)
        self.mean_f1 = _mean_without_background(self.f1)
        self.mean_iou = _mean_without_background(self.iou)
        self.pixel_accuracy = float(_ratio(self.true_positives.sum(), matrix.sum()))


def _ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    """part / whole, and nan where both are 0."""
    with np.errstate(invalid="ignore"):
        return np.divide(part, whole, dtype=np.float64)


def _mean_without_background(per_class: NDArray[np.float64]) -> float:
    known = per_class[1:][~np.isnan(per_class[1:])]
    return float(known.mean()) if known.size else math.nan


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` counted."""

    scheme: LabelScheme
    matrices: NDArray[np.int64]  # confusion matrix of each photo, [n, C, C]; rows: ground truth
    rows: NDArray[np.int64]  # which photos of the cache they belong to, [n]
    split: str = ""  # its name, for reports
    loss: float = math.nan  # mean over the photos; nan if none was computed

    @cached_property
    def matrix(self) -> NDArray[np.int64]:
        """Confusion matrix pooled over all photos, int64 [C, C]."""
        return self.matrices.sum(axis=0)

    @cached_property
    def metrics(self) -> SegmentationMetrics:
        """Pooled metrics of the whole split."""
        return SegmentationMetrics(self.matrix)

    @cached_property
    def per_image_mean_f1(self) -> NDArray[np.float64]:
        """Mean F1 of each photo by itself, float64 [n], nan for a photo without any class.

        Its mean is the per-image F1 (`PER_IMAGE_DEFINITION`), *not* the pooled mean F1.
        """
        return np.array([SegmentationMetrics(matrix).mean_f1 for matrix in self.matrices])

    def _per_class(self) -> dict[str, list[float]]:
        """F1, IoU, precision and recall by class name."""
        metrics = self.metrics
        values = np.stack([metrics.f1, metrics.iou, metrics.precision, metrics.recall], axis=1)
        return dict(zip(self.scheme.class_names, values.tolist(), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers for a JSON file; nan becomes None."""
        metrics = self.metrics
        return {
            "split": self.split,
            "photos": len(self.rows),
            "definition": DEFINITION,
            "mean_f1": _plain(metrics.mean_f1),
            "mean_iou": _plain(metrics.mean_iou),
            "pixel_accuracy": _plain(metrics.pixel_accuracy),
            "classes": {
                name: dict(zip(_COLUMNS, map(_plain, values), strict=True))
                for name, values in self._per_class().items()
            },
            "matrix": self.matrix.tolist(),
        }

    def table(self) -> str:
        """Metrics of each class and their means as aligned text."""
        metrics, width = self.metrics, max(map(len, self.scheme.class_names))
        lines = [f"{'class':{width}}" + "".join(f"{column:>11}" for column in _COLUMNS)]
        for name, values in self._per_class().items():
            lines.append(f"{name:{width}}" + "".join(f"{value:>11.4f}" for value in values))
        lines.append(f"{'mean':{width}}{metrics.mean_f1:>11.4f}{metrics.mean_iou:>11.4f}")
        lines.append(
            f"({counted(len(self.rows), 'photo')}{f' of {self.split}' if self.split else ''}; "
            f"background is left out of the mean; pixel accuracy {metrics.pixel_accuracy:.4f})"
        )
        return "\n".join(lines)

    def save(self, folder: Path | str) -> Path:
        """Write `to_dict` to scores.json in `folder`, creating it if need be; return the path.

        Raises a FaceSegKitError if the file cannot be written.
        """
        path = Path(folder) / "scores.json"
        with atomic_write(path) as unfinished:
            unfinished.write_text(json.dumps(self.to_dict(), indent=2) + "\n")
        return path


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


def predict_classes(
    model: Predictor,
    photos: Tensor,
    size: tuple[int, int] = (512, 512),
    crop: RelativeCrop = FULL_IMAGE,
) -> NDArray[np.uint8]:
    """Predict class ids, uint8 [B, H, W]: the logits are upsampled, then the class is taken.

    Args:
        model: module in eval mode or function: images float32 [B, 3, h, w], RGB, to [B, C, h, w].
        photos: RGB, uint8 [B, h, w, 3]; moved to the model's device.
        size: (H, W) of the result.
        crop: the part of the photos that the model sees; the rest becomes background.
    """
    return _upsample(predict_logits(model, photos, crop), size, crop)


@torch.inference_mode()
def predict_logits(model: Predictor, photos: Tensor, crop: RelativeCrop) -> Tensor:
    """Logits of a crop of photos uint8 [B, H, W, 3], float32 [B, C, h, w], on the CPU."""
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    device = next((weight.device for weight in weights), photos.device)
    logits = model(to_float_images(crop.of(photos).to(device))).float().cpu()
    if not logits.isfinite().all():
        raise not_finite("The model")
    return logits


def _upsample(logits: Tensor, size: tuple[int, int], crop: RelativeCrop) -> NDArray[np.uint8]:
    """Class ids, uint8 [B, H, W], at `size`, from the logits of a crop; background around it."""
    classes = np.zeros((len(logits), *size), dtype=np.uint8)
    for in_crop, of_photo in zip(crop.of(classes), logits.numpy(), strict=True):
        in_crop[:] = upsample_argmax(of_photo, in_crop.shape)
    return classes


def evaluate(
    model: Predictor,
    data: TrainingData,
    *,
    split: str = "",
    batch_size: int = 16,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    progress: bool = False,
) -> Evaluation:
    """Run a model over photos and count a confusion matrix for each of them.

    Processes started by torchrun share the photos, and each gets all counts.

    Args:
        model: see `predict_classes`; a module is run in eval mode, and left in its own mode.
        data: photos, label maps, scheme and crop.
        split, batch_size: name of the split, for reports; photos in a batch.
        loss: of logits float32 [B, C, h, w] and class ids int64 [B, h, w]; by default none.
        progress: show a progress bar on standard error.

    Raises:
        ValueError: if the model's classes are not those of the data's scheme.
    """
    classes = len(data.scheme.class_names)
    matrices, total_loss = np.zeros((len(data), classes, classes), dtype=np.int64), 0.0
    was_training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    indices = distributed.shard(np.arange(len(data)))
    hidden = not (progress and distributed.is_first())
    with tqdm(total=len(indices), desc="evaluate", unit="photo", disable=hidden) as bar:
        for start in range(0, len(indices), batch_size):
            chosen = indices[start : start + batch_size]
            photos, labels = data.batch(chosen)
            logits = predict_logits(model, photos, data.crop)
            data.scheme.check_channels(logits.shape[1])
            targets = data.scheme.merge(labels.numpy())
            predictions = _upsample(logits, targets.shape[1:], data.crop)
            for index, target, predicted in zip(chosen, targets, predictions, strict=True):
                known = target != IGNORED
                matrices[index] = confusion_matrix(target[known], predicted[known], classes)
            if loss is not None:
                total_loss += _loss(loss, logits, data.crop.of(targets)) * len(chosen)
            bar.update(len(chosen))
    if isinstance(model, nn.Module):
        model.train(was_training)
    mean_loss = float(distributed.all_reduce_sum(np.array(total_loss)) / len(data))
    matrices = distributed.all_reduce_sum(matrices)
    return Evaluation(data.scheme, matrices, data.rows, split, mean_loss if loss else math.nan)


@torch.inference_mode()
def _loss(
    loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, targets: NDArray[np.uint8]
) -> float:
    """The loss of a batch at the resolution of its logits."""
    ids = torch.from_numpy(targets)[:, None]
    resized = F.interpolate(ids, logits.shape[2:], mode="nearest-exact")
    return loss(logits, resized[:, 0].long()).item()
