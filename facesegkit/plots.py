"""Figures: training curves, confusion matrix, predictions beside the ground truth, contact sheets.

Figures are made without pyplot, so they need no screen, leave no global state behind and can be
made in any thread. A notebook shows one after `%matplotlib inline`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image

from facesegkit.dataset import TrainingData
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.visualize import overlay
from facesegkit.labels import LabelScheme
from facesegkit.metrics import Evaluation, Predictor, SegmentationMetrics, predict_classes
from facesegkit.system.files import atomic_write

Arrays = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]  # several arrays, or one that stacks them

STYLE: dict[Any, Any] = {
    "font.size": 11, "axes.titlesize": 12, "lines.linewidth": 1.8, "savefig.dpi": 120,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "0.9", "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "figure.constrained_layout.use": True,
    "svg.hashsalt": "facesegkit",  # otherwise an SVG's ids differ each time
}  # fmt: skip

# Three of the eight colours of Okabe and Ito, which colour-blind readers can tell apart,
# https://jfly.uni-koeln.de/color/. The colours of the classes are for masks only.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"

# Entries that would say when a file was written, and by which version.
_NO_METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None},
}  # fmt: skip


@matplotlib.rc_context(STYLE)
def training_curves(history: Sequence[Mapping[str, float | None]]) -> Figure:
    """Training and validation loss, and validation mean F1, over the minutes of training.

    `history` has rows as `train.fit` returns them, with `minutes`, `train_loss`, `val_loss` and
    `val_mean_f1`; the latter two are None or nan in rows without a validation.
    """
    figure = Figure(figsize=(10, 4))
    loss, mean_f1 = figure.subplots(1, 2)
    _curve(loss, history, "train_loss", color=BLUE, label="training")
    _curve(loss, history, "val_loss", color=ORANGE, label="validation", marker="o")
    loss.set(title="Loss", xlabel="minutes of training")
    loss.legend()
    points = _curve(mean_f1, history, "val_mean_f1", color=GREEN, marker="o")
    mean_f1.set(title="Validation mean F1", xlabel="minutes of training")
    if points:
        best = max(points, key=lambda point: point[1])
        offset: Any = dict(textcoords="offset points", xytext=(0, 7), ha="center")
        mean_f1.annotate(f"{best[1]:.3f}", best, **offset)
    return figure


def _curve(
    axes: Axes, history: Sequence[Mapping[str, float | None]], key: str, **style: Any
) -> list[tuple[float, float]]:
    """Plot and return the points (minutes, value) of the rows in which `key` has a value."""
    rows = [(row["minutes"], row.get(key)) for row in history]
    points = [(x, y) for x, y in rows if x is not None and y is not None and not np.isnan(y)]
    axes.plot(*np.reshape(points, (-1, 2)).T, markersize=4, **style)
    return points


@matplotlib.rc_context(STYLE)
def confusion_figure(metrics: SegmentationMetrics, class_names: Sequence[str]) -> Figure:
    """Confusion matrix in percent of the pixels of each true class (a row)."""
    count = len(class_names)
    annotated = np.maximum(metrics.annotated, 1)[:, None]  # a row of zeros remains one
    percentages = 100 * metrics.matrix / annotated
    figure = Figure(figsize=(2.7 + 0.65 * count, 1.6 + 0.6 * count))
    axes = figure.subplots()
    image = axes.imshow(percentages, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(count), class_names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), class_names)
    axes.set(xlabel="prediction", ylabel="ground truth")
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(percentages):
        colour = "white" if value > 55 else "black" if value >= 0.05 else "0.6"
        text = f"{value:.1f}" if 0.05 <= value < 99.95 else f"{value:.0f}"
        axes.text(column, row, text, color=colour, ha="center", va="center", fontsize=10)
    figure.colorbar(image, label="% of the true class's pixels", aspect=30)
    return figure


@matplotlib.rc_context(STYLE)
def comparison(
    photos: Arrays,
    targets: Arrays,
    predictions: Arrays,
    scheme: LabelScheme,
    titles: Sequence[str] = (),
) -> Figure:
    """One row per photo: the photo, ground truth, prediction, and the prediction over the photo.

    Args:
        photos: RGB, uint8 [h, w, 3] each; resized to the target's size if it differs.
        targets, predictions: class ids, uint8 [H, W] each.
        scheme: gives the colours and the legend.
        titles: one per row, written at its left; none by default.
    """
    count = len(photos)
    figure = Figure(figsize=(10.6, 2.5 * count + 0.7))
    grid = figure.subplots(count, 4, squeeze=False)
    for row, photo, target, prediction in zip(grid, photos, targets, predictions, strict=True):
        photo = np.asarray(Image.fromarray(photo).resize(target.shape[::-1]))
        on_photo = overlay(photo, prediction, scheme)
        images = (photo, scheme.colour(target), scheme.colour(prediction), on_photo)
        for axes, image in zip(row, images, strict=True):
            axes.imshow(image)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    columns = ("photo", "ground truth", "prediction", "overlay")
    for axes, title in zip(grid[0], columns, strict=True):
        axes.set_title(title)
    for axes, title in zip(grid[:, 0], titles, strict=False):
        axes.set_ylabel(title)
    class_legend(figure, scheme)
    return figure


def class_legend(figure: Figure, scheme: LabelScheme) -> None:
    """Add a legend of the classes' colours below a figure."""
    patches = [
        Patch(facecolor="#{:02x}{:02x}{:02x}".format(*colour), edgecolor="0.5", label=name)
        for name, colour in zip(scheme.classes, scheme.colours, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(6, len(patches)))


def example_cases(
    evaluation: Evaluation, data: TrainingData, model: Predictor, each: int = 1
) -> Figure:
    """Best, median and worst photos of an evaluation, by the mean F1 of each photo.

    `evaluation` is what `evaluate` returned for `data` and `model`, which is in eval mode and
    predicts the few photos again: `each` of the best, of the median and of the worst. Raises a
    FaceSegKitError if no photo has a class in its annotation or prediction.
    """
    scores = evaluation.per_image_mean_f1
    picked = pick_cases(scores, each)
    if not picked:
        shown = f"shows any of {', '.join(evaluation.scheme.classes)}"
        raise FaceSegKitError(f"No photo {shown}; there are no cases to show.")
    titles = [f"{name}\nmean F1 {scores[index]:.3f}" for name, index in picked]
    photos, labels = data.batch(np.array([index for _, index in picked]))
    targets = data.scheme.merge(labels.numpy())
    predictions = predict_classes(model, photos, targets.shape[1:], data.crop)
    return comparison(photos.numpy(), targets, predictions, data.scheme, titles)


def pick_cases(per_image: NDArray[np.float64], each: int = 1) -> list[tuple[str, int]]:
    """Names and indices of the best, median and worst scores, without nan and without repeats."""
    order = [int(index) for index in np.argsort(-per_image) if not np.isnan(per_image[index])]
    middle = max(0, (len(order) - each) // 2)
    picked = dict.fromkeys(order[:each], "best")
    for start, name in ((middle, "median"), (max(0, len(order) - each), "worst")):
        for index in order[start : start + each]:
            picked.setdefault(index, name)
    return [(name, index) for index, name in picked.items()]


def contact_sheet(photos: Arrays, columns: int) -> Image.Image:
    """Photos of one size, uint8 [H, W, 3] each, row by row on white with a narrow gap."""
    gap = 2
    height, width = photos[0].shape[:2]
    columns = min(columns, len(photos))
    rows = -(-len(photos) // columns)
    canvas = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for index, photo in enumerate(photos):
        row, column = divmod(index, columns)
        canvas.paste(Image.fromarray(photo), (column * (width + gap), row * (height + gap)))
    return canvas


@matplotlib.rc_context(STYLE)
def save_figure(figure: Figure, path: Path | str) -> None:
    """Write a figure as PNG, SVG or PDF (by suffix), atomically.

    The same figure gives the same bytes. Raises a FaceSegKitError if the file cannot be written.
    """
    with atomic_write(path) as unfinished:
        figure.savefig(unfinished, metadata=_NO_METADATA.get(unfinished.suffix.lower()))
