"""Figures of the lessons in which the drawing itself is not the point; each function returns one.

Like those in `plots`, they are made without pyplot. `figure.dpi` of matplotlib's `rcParams` sets
their resolution.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from facesegkit.inference.visualize import overlay
from facesegkit.labels import LabelScheme
from facesegkit.plots import BLUE, GREEN, ORANGE, STYLE
from facesegkit.system.history import History

Photos = NDArray[np.uint8]  # RGB [N, h, w, 3]
ClassMaps = NDArray[np.uint8]  # [N, H, W]


@matplotlib.rc_context(STYLE)
def overlays(photos: Photos, class_maps: Mapping[str, ClassMaps], scheme: LabelScheme) -> Figure:
    """One row per photo, and one column for each of several class maps over it, by name."""
    figure = Figure(figsize=(2.3 * len(class_maps), 2.25 * len(photos) + 0.3))
    grid = figure.subplots(len(photos), len(class_maps), squeeze=False)
    for column, (name, maps) in enumerate(class_maps.items()):
        grid[0, column].set_title(name)
        for axes, photo, class_map in zip(grid[:, column], photos, maps, strict=True):
            large = np.asarray(Image.fromarray(photo).resize(class_map.shape[::-1]))
            axes.imshow(overlay(large, class_map, scheme))
            axes.axis("off")
    return figure


@matplotlib.rc_context(STYLE)
def overlay_sheet(photos: Photos, class_maps: ClassMaps, scheme: LabelScheme) -> Figure:
    """Photos with the contours of their classes, six in a row."""
    rows = -(-len(photos) // 6)
    figure = Figure(figsize=(9, 1.55 * rows))
    grid = figure.subplots(rows, 6, squeeze=False)
    for axes, photo, class_map in zip(grid.flat, photos, class_maps, strict=False):
        axes.imshow(overlay(photo, class_map, scheme, opacity=0.25))
    for axes in grid.flat:
        axes.axis("off")
    return figure


@matplotlib.rc_context(STYLE)
def class_bars(f1: Mapping[str, Sequence[float]], names: Sequence[str]) -> Figure:
    """F1 of each class, side by side for two or three networks."""
    figure = Figure(figsize=(8, 3))
    axes = figure.subplots()
    width = 0.8 / len(f1)
    for index, (label, values) in enumerate(f1.items()):
        positions = np.arange(len(names)) + (index - (len(f1) - 1) / 2) * width
        axes.bar(positions, values, 0.9 * width, color=(BLUE, ORANGE, GREEN)[index], label=label)
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="F1", ylim=(0, 1))
    axes.grid(visible=False, axis="x")
    figure.legend(loc="outside upper center", ncols=len(f1))
    return figure


@matplotlib.rc_context(STYLE)
def epoch_losses(histories: Mapping[str, Sequence[tuple[float, float]]]) -> Figure:
    """Training and validation loss after each epoch, one panel per run, on one scale."""
    figure = Figure(figsize=(4 * len(histories), 2.9))
    grid = figure.subplots(1, len(histories), squeeze=False, sharey=True)[0]
    for axes, (title, history) in zip(grid, histories.items(), strict=True):
        epochs = range(1, len(history) + 1)
        training, validation = zip(*history, strict=True)
        axes.plot(epochs, training, "o-", color=BLUE, markersize=4, label="training")
        axes.plot(epochs, validation, "s--", color=ORANGE, markersize=4, label="validation")
        axes.set(title=title, xlabel="epoch", ylim=(0, None))
    grid[0].set_ylabel("loss")
    grid[0].legend()
    return figure


@matplotlib.rc_context(STYLE)
def learning_rates(
    lrs: NDArray[np.float64],
    losses: NDArray[np.float64],
    smoothed: NDArray[np.float64],
    mean_f1: Mapping[float, float],
) -> Figure:
    """A range test (loss at each rate), and the mean F1 of whole runs by their learning rate."""
    figure = Figure(figsize=(9, 3))
    left, right = figure.subplots(1, 2, sharex=True)
    left.plot(lrs, losses, ".", color="0.6", label="single step")
    left.plot(lrs, smoothed, color=BLUE, label="mean of nine steps")
    left.axvline(
        lrs[np.gradient(smoothed).argmin()], color=ORANGE, linestyle="--", label="steepest"
    )
    left.set(title="range test", ylabel="loss", ylim=(0, 1.6 * smoothed[0]))
    left.legend(loc="upper left")
    right.plot([*mean_f1], [*mean_f1.values()], "o-", color=BLUE)
    right.set(title="whole runs", ylabel="validation mean F1", ylim=(0, 0.8))
    for axes in (left, right):
        axes.set(xscale="log", xlabel="learning rate")
    return figure


@matplotlib.rc_context(STYLE)
def schedule(lrs: Sequence[float], stages: Sequence[tuple[float, int]]) -> Figure:
    """Learning rates, evenly spaced over a run, and its stages: (end in 0..1, side of photos)."""
    figure = Figure(figsize=(6.5, 2.6))
    axes = figure.subplots()
    axes.plot(np.linspace(0, 100, len(lrs)), lrs, color=BLUE)
    start = 0.0
    for index, (end, side) in enumerate(stages):
        axes.axvspan(100 * start, 100 * end, color=str(0.96 - 0.05 * index), zorder=0)
        axes.text(50 * (start + end), 0.25 * max(lrs), f"{side} x {side}\npixels", ha="center")
        start = end
    axes.set(xlabel="% of the run", ylabel="learning rate", xlim=(0, 100), ylim=(0, None))
    axes.grid(visible=False)
    return figure


def _validations(axes: Axes, history: History, key: str, **style: Any) -> None:
    """Plot what the validations of a run found over the photos seen."""
    rows = [row for row in history if not np.isnan(row[key])]
    axes.plot([row["photos"] for row in rows], [row[key] for row in rows], **style)


@matplotlib.rc_context(STYLE)
def budgets(long: History, ends: Sequence[tuple[float, float]]) -> Figure:
    """Validation mean F1 during a long run, and at the ends of shorter ones: (photos seen, F1)."""
    figure = Figure(figsize=(6.5, 3))
    axes = figure.subplots()
    _validations(axes, long, "val_mean_f1", color=BLUE, marker="o", label="during the longest run")
    style: dict[str, Any] = {
        "color": ORANGE,
        "linestyle": "none",
        "marker": "D",
        "label": "end of a shorter run",
    }
    axes.plot(*zip(*ends, strict=True), **style)
    axes.set(xlabel="photos seen, including repeats", ylabel="validation mean F1", ylim=(0, 0.8))
    axes.set_xlim(0, None)
    axes.legend(loc="lower right")
    return figure


@matplotlib.rc_context(STYLE)
def loss_grid(histories: Mapping[tuple[str, str], History]) -> Figure:
    """Training and validation loss of four runs, by (row, column) of a 2 x 2 grid."""
    figure = Figure(figsize=(8, 4.6))
    grid = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, ((row, column), history) in zip(grid.flat, histories.items(), strict=True):
        losses = [step["train_loss"] for step in history]
        axes.plot([step["photos"] for step in history], losses, color=BLUE, label="training")
        _validations(axes, history, "val_loss", color=ORANGE, linestyle="--", marker="o",
                     markersize=4, label="validation")  # fmt: skip
        axes.set(title=f"{row}, {column}", ylim=(0, 1.5))
    for axes in grid[1]:
        axes.set_xlabel("photos seen, including repeats")
    for axes in grid[:, 0]:
        axes.set_ylabel("loss")
    grid[0, 0].legend()
    return figure
