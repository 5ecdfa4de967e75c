"""Counts a model's predictions photo by photo, and the figures that follow from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from conditions import to_five_features
from numpy.typing import NDArray
from photo_groups import darkest_tenth, ita_members, photo_counts

from facesegkit import metrics
from facesegkit.checkpoint import Checkpoint
from facesegkit.course.photo_counts import PhotoCounts
from facesegkit.data.cache import DatasetCache
from facesegkit.dataset import TrainingData
from facesegkit.evaluation.boundary import boundary_f1
from facesegkit.evaluation.per_photo import bootstrap, confidence_interval
from facesegkit.labels import FIVE_FEATURES, LabelScheme
from facesegkit.profile import profile_model

MIN_PHOTOS = 10  # of a group; the bootstrap understates the uncertainty of fewer photos


@dataclass(frozen=True, eq=False)
class SplitCounts:
    """What was counted on the n photos of a split, for the model's own classes and for five."""

    own: PhotoCounts
    boundary: dict[str, NDArray[np.float64]]  # boundary F1 [n, C], by the scheme's name


def count(
    checkpoint: Checkpoint, cache: DatasetCache, photos: DatasetCache, split: str
) -> SplitCounts:
    """Predict a split. `cache` has photos at the model's size, `photos` those of all models."""
    data = TrainingData.from_cache(cache, split, checkpoint.scheme, checkpoint.crop)
    schemes = {FIVE_FEATURES.name: FIVE_FEATURES, checkpoint.scheme.name: checkpoint.scheme}
    tables = {FIVE_FEATURES.name: to_five_features(checkpoint.scheme)}
    boundary: dict[str, list[NDArray[np.float64]]] = {name: [] for name in schemes}
    classes, matrices = checkpoint.scheme.class_names, []
    for index in range(len(data)):
        photo, labels = data.batch(np.array([index]))
        parts = labels[0].numpy()
        predicted = metrics.predict_classes(checkpoint.model, photo, parts.shape, data.crop)[0]
        target = checkpoint.scheme.merge(parts)
        matrices.append(metrics.confusion_matrix(target, predicted, len(classes)))
        for name, scheme in schemes.items():
            ids = tables[name].take(predicted) if name in tables else predicted
            pair = scheme.merge(parts), ids
            boundary[name].append(boundary_f1(*pair, len(scheme.class_names)))
    counts = photo_counts(classes, np.stack(matrices), photos, photos.rows(split))
    return SplitCounts(counts, {name: np.stack(f1) for name, f1 in boundary.items()})


def five_feature_matrices(counts: PhotoCounts, scheme: LabelScheme) -> NDArray[np.int64]:
    """Confusion matrices of the five features, [n, 6, 6], from those of finer classes."""
    members = np.eye(len(FIVE_FEATURES.class_names), dtype=np.int64)[to_five_features(scheme)]
    return members.T @ counts.matrices @ members


def rounded(values: Any) -> Any:
    """Numbers, or a sequence of them, with four digits; None for nan."""
    if isinstance(values, Sequence | np.ndarray):
        return [rounded(value) for value in values]
    return None if np.isnan(values) else round(float(values), 4)


def known_mean(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The mean without nan; nan where all are."""
    with np.errstate(invalid="ignore"):
        return np.nansum(values, axis) / (~np.isnan(values)).sum(axis)


def f1_samples(matrices: NDArray[Any], seed: int = 0) -> NDArray[np.float64]:
    """F1 of each class and, first, their mean, [resamples, C], of resampled photos [n, C, C]."""
    pooled = [metrics.SegmentationMetrics(one) for one in bootstrap(matrices, seed=seed)]
    return np.array([[one.mean_f1, *one.f1[1:]] for one in pooled])


def pooled_figures(
    matrices: NDArray[Any], names: Sequence[str], by_class: bool = False
) -> dict[str, Any]:
    """Photos, mean F1 and F1 of each class, and 95 % intervals, of photos [n, C, C].

    `names` are those of the classes without background; they get intervals if `by_class`.
    """
    pooled = metrics.SegmentationMetrics(matrices.sum(axis=0))
    figures: dict[str, Any] = {"photos": len(matrices), "mean_f1": rounded(pooled.mean_f1)}
    intervals: list[list[float]] = []
    if len(matrices) >= MIN_PHOTOS:
        samples = f1_samples(matrices)
        intervals = [rounded(confidence_interval(column)) for column in samples.T]
        figures["interval"] = intervals[0]
    figures["f1"] = dict(zip(names, rounded(pooled.f1[1:]), strict=True))
    if by_class and intervals:
        figures["intervals"] = dict(zip(names, intervals[1:], strict=True))
    return figures


def mean_figures(per_photo: NDArray[np.float64], key: str) -> dict[str, Any]:
    """The mean over photos of a metric, [n], and its interval; photos with nan do not count."""
    known = per_photo[~np.isnan(per_photo)]
    interval = confidence_interval(bootstrap(known) / len(known))
    return {key: rounded(known.mean()), f"{key}_interval": rounded(interval)}


def all_figures(
    matrices: NDArray[Any], boundary: NDArray[np.float64], names: Sequence[str]
) -> dict[str, Any]:
    """Pooled F1, per-image F1 and boundary F1 of photos, [n, C, C] and [n, C]."""
    per_image = [metrics.SegmentationMetrics(matrix).mean_f1 for matrix in matrices]
    by_class = dict(zip(names, rounded(known_mean(boundary[:, 1:], axis=0)), strict=True))
    return {
        **pooled_figures(matrices, names, by_class=True),
        **mean_figures(np.array(per_image), "per_image_f1"),
        **mean_figures(known_mean(boundary[:, 1:], axis=1), "boundary_f1"),
        "boundary_f1_of_classes": by_class,
    }


def group_figures(
    matrices: NDArray[Any], groups: dict[str, NDArray[np.bool_]]
) -> dict[str, dict[str, Any]]:
    """Pooled figures of the five features in each group that is not empty."""
    names = FIVE_FEATURES.class_names[1:]
    return {
        group: pooled_figures(matrices[members], names)
        for group, members in groups.items()
        if members.any()
    }


def gap_figures(matrices: NDArray[Any], grey: NDArray[np.float32]) -> dict[str, Any]:
    """The photos with the darkest tenth of the skins, and how far they are from the rest."""
    darkest, rest = darkest_tenth(grey)
    found = group_figures(matrices, {"darkest tenth": darkest, "rest": rest})
    if len(found) < 2:
        return {}
    samples = f1_samples(matrices[darkest], seed=1)[:, 0] - f1_samples(matrices[rest])[:, 0]
    gap = found["darkest tenth"]["mean_f1"] - found["rest"]["mean_f1"]
    interval = rounded(confidence_interval(samples))
    return {
        "highest grey": rounded(grey[darkest].max()),
        **found,
        "gap": {"mean_f1": rounded(gap), "interval": interval},
    }


def split_figures(split: SplitCounts, scheme: LabelScheme) -> dict[str, Any]:
    """All figures of a split, by the keys that the card and the tables use."""
    five = five_feature_matrices(split.own, scheme)
    figures = all_figures(five, split.boundary[FIVE_FEATURES.name], FIVE_FEATURES.class_names[1:])
    figures["groups"] = group_figures(five, split.own.groups)
    figures["ITA groups"] = group_figures(five, ita_members(split.own.ita))
    figures["skin"] = gap_figures(five, split.own.grey)
    if scheme.name != FIVE_FEATURES.name:
        own = split.own.matrices, split.boundary[scheme.name], scheme.class_names[1:]
        figures["all classes"] = all_figures(*own)
    return figures


def model_figures(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """What the model is."""
    profile = profile_model(checkpoint.model)
    return {
        "name": name,
        "architecture": type(checkpoint.model).__name__,
        "parameters": profile.parameters,
        "macs": profile.macs,
        "crop": checkpoint.crop.to_dict(),
        "classes": list(checkpoint.scheme.classes),
    }
