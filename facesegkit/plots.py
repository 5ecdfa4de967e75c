"""Everything that matplotlib draws, and contact sheets.

Figures are made without pyplot, so they need no screen, leave no state behind and may be drawn
in a thread. A notebook shows one after `%matplotlib inline`.
"""

from __future__ import annotations

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
from torch import nn

from facesegkit.dataset import TrainingData
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.visualize import overlay
from facesegkit.labels import LabelScheme
from facesegkit.metrics import Evaluation, SegmentationMetrics, predict_classes
from facesegkit.system.files import atomic_write

Arrays = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]  # several, or one of one dimension more

STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "0.9",
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 120,
    "svg.hashsalt": "facesegkit",  # or an SVG's ids differ each time
}

# Three of the eight colours that Okabe and Ito chose to differ for colour-blind readers too,
# https://jfly.uni-koeln.de/color/. The classes' own colours are for masks only.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"

# What a file would otherwise say about when and by what it was written.
_NO_METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


@matplotlib.rc_context(STYLE)
def training_curves(history: Sequence[Mapping[str, float | None]]) -> Figure:
    """Losses, and the validation mean F1, over the minutes of training.

    Args:
        history: rows as training returns them, with `minutes`, `train_loss`, `val_loss` and
            `val_mean_f1`; the latter two are None or nan where no validation took place.
    """
    figure = Figure(figsize=(10, 4))
    loss, score = figure.subplots(1, 2)
    _curve(loss, history, "train_loss", "training", BLUE)
    _curve(loss, history, "val_loss", "validation", ORANGE, marker="o")
    loss.set(title="Loss", xlabel="minutes of training")
    loss.legend()
    _curve(score, history, "val_mean_f1", "validation", GREEN, marker="o")
    score.set(title="Validation mean F1", xlabel="minutes of training")
    _name_best(score)
    return figure


def _curve(
    axes: Axes,
    history: Sequence[Mapping[str, float | None]],
    key: str,
    label: str,
    colour: str,
    marker: str = "",
) -> None:
    """Draw the rows in which `key` has a value, as one line."""
    rows = [row for row in history if not np.isnan(_number(row.get(key)))]
    minutes, values = ([_number(row[name]) for row in rows] for name in ("minutes", key))
    axes.plot(minutes, values, color=colour, label=label, marker=marker, markersize=4)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _name_best(axes: Axes) -> None:
    """Write the highest value of the only line beside it."""
    minutes, values = (np.asarray(data) for data in axes.lines[0].get_data())
    if len(values):
        best = values.argmax()
        axes.annotate(
            f"{values[best]:.3f}",
            (minutes[best], values[best]),
            textcoords="offset points",
            xytext=(-6, -16),
            ha="right",
        )


@matplotlib.rc_context(STYLE)
def confusion_figure(scores: SegmentationMetrics, class_names: Sequence[str]) -> Figure:
    """Which class was taken for which: of the pixels of each true class (a row), the shares in %.

    Args:
        scores: hold the confusion matrix.
        class_names: by class id, background first.
    """
    count = len(class_names)
    annotated = np.maximum(scores.annotated, 1)[:, None]  # a row of zeros stays one
    shares = 100 * scores.matrix / annotated
    figure = Figure(figsize=(2.7 + 0.65 * count, 1.6 + 0.6 * count))
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(count), class_names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), class_names)
    axes.set(xlabel="predicted", ylabel="truth")
    axes.grid(visible=False)
    for row, column in np.ndindex(shares.shape):
        share = shares[row, column]
        colour = "white" if share > 55 else "black" if share >= 0.05 else "0.6"
        text = f"{share:.1f}" if 0.05 <= share < 99.95 else f"{share:.0f}"
        axes.text(column, row, text, color=colour, ha="center", va="center", fontsize=10)
    figure.colorbar(picture, label="% of the true class's pixels", aspect=30)
    return figure


@matplotlib.rc_context(STYLE)
def comparison(
    photos: Arrays,
    truths: Arrays,
    predictions: Arrays,
    scheme: LabelScheme,
    titles: Sequence[str] = (),
) -> Figure:
    """One row per photo: the photo, its truth, the prediction, and the prediction laid over it.

    Args:
        photos: RGB, uint8 [h, w, 3] each; enlarged to the truth's size if it differs.
        truths: class ids, uint8 [H, W] each.
        predictions: class ids, uint8 [H, W] each.
        scheme: gives the colours and the legend.
        titles: one per row, written at its left; none by default.
    """
    count = len(photos)
    figure = Figure(figsize=(10.6, 2.5 * count + 0.7))
    grid = figure.subplots(count, 4, squeeze=False)
    for row, photo, truth, predicted in zip(grid, photos, truths, predictions, strict=True):
        height, width = truth.shape
        photo = np.asarray(Image.fromarray(photo).resize((width, height)))
        laid_over = overlay(photo, predicted, scheme)
        pictures = (photo, scheme.colour(truth), scheme.colour(predicted), laid_over)
        for axes, picture in zip(row, pictures, strict=True):
            _show(axes, picture)
    for axes, title in zip(grid[0], ("photo", "truth", "prediction", "overlay"), strict=True):
        axes.set_title(title)
    for axes, title in zip(grid[:, 0], titles, strict=False):
        axes.set_ylabel(title)
    _legend(figure, scheme)
    return figure


def _show(axes: Axes, picture: NDArray[np.uint8]) -> None:
    """Show a picture without ticks and frame."""
    axes.imshow(picture)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _legend(figure: Figure, scheme: LabelScheme) -> None:
    """The classes' names and colours below the figure."""
    patches = [
        Patch(facecolor="#{:02x}{:02x}{:02x}".format(*colour), edgecolor="0.5", label=name)
        for name, colour in zip(scheme.classes, scheme.colours, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(6, len(patches)))


def example_cases(
    evaluation: Evaluation, data: TrainingData, model: nn.Module, each: int = 1
) -> Figure:
    """Best, median and worst photos of an evaluation, by each photo's own mean F1.

    Args:
        evaluation: what `evaluate` returned for the same data and model.
        data: photos and label maps.
        model: predicts the few photos again; in eval mode.
        each: how many of the best, of the median and of the worst.

    Raises:
        FaceSegKitError: if no photo has a class in its annotation or prediction.
    """
    picked = pick_cases(evaluation.per_image_mean_f1, each)
    if not picked:
        raise FaceSegKitError(
            f"None of the {len(evaluation.rows):,} photos shows any of "
            f"{', '.join(evaluation.scheme.classes)}; there are no cases to show."
        )
    titles = [
        f"{name}\nmean F1 {evaluation.per_image_mean_f1[index]:.3f}" for name, index in picked
    ]
    photos, labels = data.batch(np.array([index for _, index in picked]))
    targets = data.scheme.merge(labels.numpy())
    predictions = predict_classes(model, photos, targets.shape[1:], data.crop)
    return comparison(photos.numpy(), targets, predictions, data.scheme, titles)


def pick_cases(per_photo: NDArray[np.float64], each: int = 1) -> list[tuple[str, int]]:
    """Names and places of the best, median and worst scores; nan is left out, no place is twice."""
    order = [int(place) for place in np.argsort(-per_photo) if not np.isnan(per_photo[place])]
    middle = max(0, (len(order) - each) // 2)
    spans = {
        "best": order[:each],
        "median": order[middle : middle + each],
        "worst": order[max(0, len(order) - each) :],
    }
    picked: dict[int, str] = {}
    for name, places in spans.items():
        for place in places:
            picked.setdefault(place, name)
    return [(name, place) for place, name in picked.items()]


def contact_sheet(photos: Arrays, columns: int) -> Image.Image:
    """Contact sheet: photos of one size, row by row, on white with a narrow gap between them.

    Args:
        photos: RGB, uint8 [H, W, 3] each.
        columns: photos in a row.
    """
    gap = 2
    height, width = photos[0].shape[:2]
    columns = min(columns, len(photos))
    rows = -(-len(photos) // columns)
    size = (columns * (width + gap) - gap, rows * (height + gap) - gap)
    canvas = Image.new("RGB", size, "white")
    for number, photo in enumerate(photos):
        row, column = divmod(number, columns)
        canvas.paste(Image.fromarray(photo), (column * (width + gap), row * (height + gap)))
    return canvas


@matplotlib.rc_context(STYLE)
def save_figure(figure: Figure, path: Path | str) -> None:
    """Write a figure as PNG, SVG or PDF, by suffix, whole or not at all.

    The same figure gives the same bytes: nothing says when it was written.

    Raises:
        FaceSegKitError: the file cannot be written.
    """
    with atomic_write(path) as unfinished:
        figure.savefig(unfinished, metadata=_NO_METADATA.get(unfinished.suffix.lower()))
