"""Figures of the lessons in which the drawing itself is not the point; each function returns one.

Like those in `plots`, they are made without pyplot. `figure.dpi` of matplotlib's `rcParams` sets
their resolution.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from facesegkit.labels import LabelScheme
from facesegkit.plots import BLUE, ORANGE, STYLE, class_legend

Image = NDArray[Any]  # RGB uint8 [H, W, 3]; bool or numbers [H, W] are shown in grey


@matplotlib.rc_context(STYLE)
def image_grid(
    images: Sequence[Image],
    titles: Sequence[str] = (),
    *,
    columns: int = 6,
    width: float = 9.0,
    scheme: LabelScheme | None = None,
) -> Figure:
    """Images row by row, with a title above each.

    `width` is that of the figure, in inches. With `scheme`, the figure has a legend of its classes.
    """
    rows = -(-len(images) // columns)  # rounded up
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    height = width / columns * images[0].shape[0] / images[0].shape[1] + 0.2 * lines
    figure = Figure(figsize=(width, rows * height + (0.35 if scheme else 0)))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image in zip(grid.flat, images, strict=False):
        axes.imshow(image, cmap="gray", interpolation="none" if image.shape[0] < 64 else None)
    for axes, title in zip(grid.flat, titles, strict=False):
        axes.set_title(title, fontsize=10)
    if scheme:
        class_legend(figure, scheme)
    return figure


@matplotlib.rc_context(STYLE)
def part_frequencies(
    parts: Sequence[str], frequency: NDArray[np.float64], fraction: NDArray[np.float64]
) -> Figure:
    """Bars: the fraction of the photos that show each part, and the fraction of all its pixels."""
    order = np.argsort(frequency, kind="stable")
    figure = Figure(figsize=(8.2, 4.6))
    left, right = figure.subplots(1, 2, sharey=True)
    left.barh(range(len(parts)), 100 * frequency[order], color=BLUE)
    left.set_yticks(range(len(parts)), np.array(parts)[order], fontsize=10)
    left.set(xlabel="% of the photos", title="How often a part is visible")
    right.barh(range(len(parts)), 100 * fraction[order], color=ORANGE)
    right.set(xlabel="% of all pixels (logarithmic)", xscale="log", title="How much it covers")
    right.xaxis.set_major_formatter("{x:g}")
    for axes in (left, right):
        axes.grid(visible=False, axis="y")
    return figure


@matplotlib.rc_context(STYLE)
def average_masks(photo: Image, averages: Mapping[str, NDArray[np.float64]]) -> Figure:
    """A mean photo, and for each part the fraction of the photos that show it at each pixel."""
    figure = Figure(figsize=(9, 4.9))
    grid = figure.subplots(3, 6)
    for axes in grid.flat:
        axes.set_axis_off()
    grid.flat[0].imshow(photo)
    grid.flat[0].set_title("photos", fontsize=10)
    for axes, (part, average) in zip(grid.flat[1:], averages.items(), strict=False):
        shown = axes.imshow(100 * average, cmap="gray", vmin=0, vmax=100)
        axes.set_title(f"{part}, max {average.max():.0%}", fontsize=10)
    figure.colorbar(shown, ax=grid, label="% of the photos", aspect=30, fraction=0.04)
    return figure


@matplotlib.rc_context(STYLE)
def split_fractions(
    classes: Sequence[str], fractions: NDArray[np.float64], splits: NDArray[np.str_]
) -> Figure:
    """Mean fraction of the pixels, with its standard error, of each class in each split.

    `fractions` are those of each photo, [N, classes], and `splits` name the split of each, [N].
    """
    figure = Figure(figsize=(7.5, 3.1))
    axes = figure.subplots()
    styles = (("train", "black", "o"), ("val", BLUE, "s"), ("test", ORANGE, "^"))
    for offset, (split, colour, marker) in zip((-0.2, 0, 0.2), styles, strict=True):
        inside = 100 * fractions[splits == split]
        if len(inside):  # a small sample may have no photo of a split
            error = inside.std(axis=0) / np.sqrt(len(inside))
            label = f"{split}, {len(inside)} photos"
            axes.errorbar(
                np.arange(len(classes)) + offset, inside.mean(axis=0), error,
                fmt=marker, color=colour, label=label, capsize=3,
            )  # fmt: skip
    axes.set_xticks(range(len(classes)), classes)
    axes.set(ylabel="% of all pixels", ylim=(0, None))
    axes.legend()
    return figure


@matplotlib.rc_context(STYLE)
def labelled_point(
    images: Sequence[Image],
    titles: Sequence[str],
    points: Sequence[tuple[float, float]],
    label: str,
    scheme: LabelScheme,
) -> Figure:
    """Images in a row, with an arrow from a label to a point (column, row) in each."""
    figure = image_grid(images, titles, columns=len(images), scheme=scheme)
    for axes, image, (column, row) in zip(figure.axes, images, points, strict=True):
        below = (column, row + 0.25 * image.shape[0])
        arrow = {"arrowstyle": "->", "color": "white", "lw": 1.5}
        box = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none"}
        axes.annotate(
            label, (column, row), below, ha="center", color="white", arrowprops=arrow, bbox=box
        )
    return figure
