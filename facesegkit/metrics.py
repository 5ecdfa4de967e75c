"""How good a model is: one confusion matrix over all pixels, and the scores that follow from it.

Counting comes first (`confusion_matrix`), reducing second (`SegmentationMetrics`); `evaluate` runs
a model over the photos of a split and adds the counts up.
"""

from __future__ import annotations

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
from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.inference.upsample import upsample_argmax
from facesegkit.labels import LabelScheme
from facesegkit.system import distributed
from facesegkit.system.files import atomic_write
from facesegkit.transforms import to_float_images

DEFINITION = (
    "One confusion matrix over all pixels of the split, at the annotation's resolution: the "
    "network's scores are resized up bilinearly, then the class is taken. F1 = 2TP / (2TP + FP + "
    "FN); the means are plain means over the classes, background left out."
)


def confusion_matrix(
    truth: Tensor | NDArray[np.uint8], predicted: Tensor | NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """Count how often each true class was predicted as each class.

    Args:
        truth: class ids, uint8 of any shape.
        predicted: class ids, uint8 of the same shape.
        classes: how many classes there are, at most 256.

    Returns:
        int64 [classes, classes]; rows are the truth, columns the prediction.

    Raises:
        ValueError: shapes that differ, or a class id that is not below `classes`.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth is {tuple(truth.shape)}, predicted {tuple(predicted.shape)}")
    true_ids, predicted_ids = torch.as_tensor(truth).flatten(), torch.as_tensor(predicted).flatten()
    highest = max((int(ids.max()) for ids in (true_ids, predicted_ids) if len(ids)), default=0)
    if highest >= classes:
        raise ValueError(f"there is a class id {highest}, but {classes=}")
    # A pair of ids is one number. The smallest type that holds it makes the count 3 times faster.
    pair_type = torch.uint8 if classes**2 <= 256 else torch.int32
    pairs = true_ids.to(pair_type) * classes + predicted_ids
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes).numpy()


@dataclass(frozen=True, eq=False)
class SegmentationMetrics:
    """What a confusion matrix says about each class.

    A score is nan where it would be 0/0: F1 and IoU of a class that is neither annotated nor
    predicted anywhere, precision of one never predicted, recall of one never annotated.

    Args:
        matrix: pixel counts, int64 [C, C], rows are the truth, columns the prediction.
    """

    matrix: NDArray[np.int64]

    @property
    def hits(self) -> NDArray[np.int64]:
        """True positives of each class, int64 [C]."""
        return self.matrix.diagonal()

    @property
    def annotated(self) -> NDArray[np.int64]:
        """Pixels that are each class in truth (TP + FN), int64 [C]."""
        return self.matrix.sum(axis=1)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Pixels predicted as each class (TP + FP), int64 [C]."""
        return self.matrix.sum(axis=0)

    @property
    def f1(self) -> NDArray[np.float64]:
        """2TP / (2TP + FP + FN), float64 [C]; also called the Dice coefficient."""
        return _ratio(2 * self.hits, self.annotated + self.predicted)

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union, TP / (TP + FP + FN), float64 [C]."""
        return _ratio(self.hits, self.annotated + self.predicted - self.hits)

    @property
    def precision(self) -> NDArray[np.float64]:
        """TP / (TP + FP): how much of what was predicted is right, float64 [C]."""
        return _ratio(self.hits, self.predicted)

    @property
    def recall(self) -> NDArray[np.float64]:
        """TP / (TP + FN): how much of what is there was found, float64 [C]."""
        return _ratio(self.hits, self.annotated)

    @property
    def mean_f1(self) -> float:
        """Mean of `f1` over all classes but background; nan is left out, nan if all are nan."""
        return _mean_without_background(self.f1)

    @property
    def mean_iou(self) -> float:
        """Mean of `iou` over all classes but background; nan is left out, nan if all are nan."""
        return _mean_without_background(self.iou)

    @property
    def pixel_accuracy(self) -> float:
        """Share of all pixels, background included, whose class is right. Flatters everyone."""
        return float(_ratio(self.hits.sum(), self.matrix.sum()))


def _ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    """part / whole, and nan where both are 0."""
    with np.errstate(invalid="ignore"):
        return np.divide(part, whole, dtype=np.float64)


def _mean_without_background(per_class: NDArray[np.float64]) -> float:
    known = per_class[1:][~np.isnan(per_class[1:])]
    return float(known.mean()) if known.size else float("nan")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` counted.

    Args:
        scheme: says which class is which.
        matrices: one confusion matrix per photo, int64 [n, C, C], rows are the truth.
        rows: which photos of the packed set they are, int64 [n].
        split: name of the split, for reports.
        loss: mean loss over the photos, if one was asked for.
    """

    scheme: LabelScheme
    matrices: NDArray[np.int64]
    rows: NDArray[np.int64]
    split: str = ""
    loss: float = math.nan

    @cached_property
    def matrix(self) -> NDArray[np.int64]:
        """One confusion matrix over all pixels of all photos, int64 [C, C]."""
        return self.matrices.sum(axis=0)

    @property
    def metrics(self) -> SegmentationMetrics:
        """Metrics of the whole split."""
        return SegmentationMetrics(self.matrix)

    @cached_property
    def per_image_mean_f1(self) -> NDArray[np.float64]:
        """Mean F1 of each photo by itself, float64 [n], nan for a photo without any class.

        For picking the best, median and worst cases only: its mean is *not* the mean F1 of the
        tables, which comes from the one matrix over all pixels.
        """
        return np.array([SegmentationMetrics(matrix).mean_f1 for matrix in self.matrices])

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers for a JSON file; nan becomes None."""
        metrics = self.metrics
        per_class = zip(metrics.f1, metrics.iou, metrics.precision, metrics.recall, strict=True)
        return {
            "split": self.split,
            "photos": len(self.rows),
            "definition": DEFINITION,
            "mean_f1": _plain(metrics.mean_f1),
            "mean_iou": _plain(metrics.mean_iou),
            "pixel_accuracy": _plain(metrics.pixel_accuracy),
            "classes": {
                name: dict(zip(_COLUMNS, map(_plain, values), strict=True))
                for name, values in zip(self.scheme.class_names, per_class, strict=True)
            },
            "matrix": self.matrix.tolist(),
        }

    def table(self) -> str:
        """Scores of each class and their means as aligned text."""
        metrics, names = self.metrics, self.scheme.class_names
        width = max(map(len, names))
        lines = [f"{'class':{width}}" + "".join(f"{column:>11}" for column in _COLUMNS)]
        for name, *values in zip(
            names, metrics.f1, metrics.iou, metrics.precision, metrics.recall, strict=True
        ):
            lines.append(f"{name:{width}}" + "".join(f"{value:>11.4f}" for value in values))
        lines.append(f"{'mean':{width}}{metrics.mean_f1:>11.4f}{metrics.mean_iou:>11.4f}")
        lines.append(
            f"({len(self.rows):,} photos{f' of {self.split}' if self.split else ''}; "
            f"background is left out of the mean; pixel accuracy {metrics.pixel_accuracy:.4f})"
        )
        return "\n".join(lines)

    def save(self, folder: Path | str) -> Path:
        """Write `to_dict` to scores.json in `folder`, which is made if need be; return its path.

        Raises:
            FaceSegKitError: the file cannot be written.
        """
        path = Path(folder) / "scores.json"
        with atomic_write(path) as unfinished:
            unfinished.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
        return path


_COLUMNS = ("f1", "iou", "precision", "recall")


def _plain(score: float) -> float | None:
    return None if np.isnan(score) else float(score)


def predict_classes(
    model: nn.Module,
    photos: Tensor,
    size: tuple[int, int] = (512, 512),
    crop: RelativeCrop = FULL_IMAGE,
) -> NDArray[np.uint8]:
    """Class ids of a batch of photos at `size`: the logits are upsampled, then the class is taken.

    Args:
        model: images float32 [B, 3, h, w], RGB in 0..1, to logits [B, C, h, w]; in eval mode.
        photos: RGB, uint8 [B, h, w, 3]; they are moved to the model's device.
        size: (H, W) of the result.
        crop: the part of the photos that the model sees; the rest is background.

    Returns:
        Class ids, uint8 [B, H, W].
    """
    return _upsample(_predict_logits(model, photos, crop), size, crop)


@torch.inference_mode()
def _predict_logits(model: nn.Module, photos: Tensor, crop: RelativeCrop) -> Tensor:
    """Logits of a crop of photos uint8 [B, H, W, 3], float32 [B, C, h, w], on the CPU."""
    device = next((weight.device for weight in model.parameters()), photos.device)
    return model(to_float_images(crop.of(photos).to(device))).float().cpu()


def _upsample(logits: Tensor, size: tuple[int, int], crop: RelativeCrop) -> NDArray[np.uint8]:
    """Class ids, uint8 [B, H, W], at `size`, from the logits of a crop; background around it."""
    classes = np.zeros((len(logits), *size), dtype=np.uint8)
    for in_crop, of_photo in zip(crop.of(classes), logits.numpy(), strict=True):
        in_crop[:] = upsample_argmax(of_photo, in_crop.shape)
    return classes


def evaluate(
    model: nn.Module,
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
        model: see `predict_classes`; it is put into eval mode and left in the mode it was in.
        data: photos, label maps, scheme and crop.
        split: name of the split, for reports.
        batch_size: photos in a batch.
        loss: of logits float32 [B, C, h, w] and class ids int64 [B, h, w]; by default none.
        progress: show a progress bar on standard error.
    """
    classes = len(data.scheme.class_names)
    matrices = np.zeros((len(data), classes, classes), dtype=np.int64)
    total_loss = 0.0
    was_training = model.training
    model.eval()
    indices = distributed.shard(np.arange(len(data)))
    hidden = not (progress and distributed.is_first())
    with tqdm(total=len(indices), desc="evaluate", unit="photo", disable=hidden) as bar:
        for start in range(0, len(indices), batch_size):
            chosen = indices[start : start + batch_size]
            photos, labels = data.batch(chosen)
            logits = _predict_logits(model, photos, data.crop)
            targets = data.scheme.merge(labels.numpy())
            predictions = _upsample(logits, targets.shape[1:], data.crop)
            for index, target, predicted in zip(chosen, targets, predictions, strict=True):
                matrices[index] = confusion_matrix(target, predicted, classes)
            if loss is not None:
                total_loss += _loss(loss, logits, data.crop.of(targets)) * len(chosen)
            bar.update(len(chosen))
    model.train(was_training)
    mean_loss = distributed.all_reduce_sum(np.array(total_loss)) / len(data)
    return Evaluation(
        scheme=data.scheme,
        matrices=distributed.all_reduce_sum(matrices),
        rows=data.rows,
        split=split,
        loss=math.nan if loss is None else float(mean_loss),
    )


@torch.inference_mode()
def _loss(
    loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, targets: NDArray[np.uint8]
) -> float:
    """The loss of a batch at the resolution of its logits."""
    resized = F.interpolate(
        torch.from_numpy(targets)[:, None], logits.shape[2:], mode="nearest-exact"
    )
    return loss(logits, resized[:, 0].long()).item()
