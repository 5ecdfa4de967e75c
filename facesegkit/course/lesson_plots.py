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
from numpy.typing import ArrayLike, NDArray

from facesegkit.plots import BLUE, GREEN, ORANGE, STYLE

# Five of the colours of Okabe and Ito, in an order in which neighbours differ most, with markers.
SERIES = tuple(zip((BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00"), "os^Dv", strict=True))

Image = NDArray[Any]  # RGB uint8 [H, W, 3]
# Group and its photos; by model the difference to all other photos, and the interval of it.
GroupRow = tuple[str, int, Mapping[str, tuple[float, float, float]]]


@matplotlib.rc_context(STYLE)
def in_a_row(images: Mapping[str, ArrayLike], width: float = 9.0) -> Figure:
    """Images of any sizes side by side at the same height, with their titles, `width` inches."""
    arrays = [np.asarray(image) for image in images.values()]
    aspects = [array.shape[1] / array.shape[0] for array in arrays]
    figure = Figure(figsize=(width, width / sum(aspects) + 0.3))
    panels = figure.subplots(1, len(arrays), width_ratios=aspects)
    for axes, title, array in zip(panels, images, arrays, strict=True):
        axes.imshow(array)
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    return figure


@matplotlib.rc_context(STYLE)
def zoomed(images: Mapping[str, Image], mask: NDArray[np.bool_], margin: int = 20) -> Figure:
    """Images of one size by title, side by side, zoomed to a mask bool [H, W].

    An image of numbers [H, W], 0..1, is shown in grey, with a colour bar.
    """
    ys, xs = np.nonzero(mask)
    figure = Figure(figsize=(9.3, 9.3 / len(images) + 0.2))
    panels = figure.subplots(1, len(images), squeeze=False)[0]
    for axes, (title, image) in zip(panels, images.items(), strict=True):
        shown = axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set(
            title=title,
            xlim=(xs.min() - margin, xs.max() + margin),
            ylim=(ys.max() + margin, ys.min() - margin),
        )
        axes.set_axis_off()
        if image.ndim == 2:
            figure.colorbar(shown, ax=axes, location="bottom", label=title, shrink=0.8)
    return figure


@matplotlib.rc_context(STYLE)
def class_lines(x: ArrayLike, f1: NDArray[np.float64], names: Sequence[str], xlabel: str) -> Figure:
    """F1 of each class, [n, C], over x [n], with the name of the class at the end of its line."""
    figure = Figure(figsize=(6.5, 3.4))
    axes = figure.subplots()
    ends = _apart(f1[-1], 0.045)
    for name, values, end, (colour, marker) in zip(names, f1.T, ends, SERIES, strict=False):
        axes.plot(x, values, marker=marker, markersize=5, color=colour)
        axes.text(1.02, end, name, transform=axes.get_yaxis_transform(), color=colour, va="center")
    axes.set(xlabel=xlabel, ylabel="F1", ylim=(None, 1.01))
    return figure


def _apart(values: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """The values, moved up where the next smaller one is closer than `gap`."""
    moved = values.copy()
    order = np.argsort(values)
    for below, above in zip(order, order[1:], strict=False):
        moved[above] = max(moved[above], moved[below] + gap)
    return moved


@matplotlib.rc_context(STYLE)
def reliability_diagrams(bins: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]]) -> Figure:
    """By title: mean confidence, accuracy and fraction of the pixels of each bin of confidence."""
    figure = Figure(figsize=(9, 3.4))
    for axes, (title, (confidence, accuracy, fraction)) in zip(
        figure.subplots(1, len(bins), sharey=True), bins.items(), strict=True
    ):
        x, striped = np.asarray(confidence), {"hatch": "///", "edgecolor": "white"}
        axes.bar(x - 0.013, accuracy, 0.026, color=BLUE, label="accuracy")
        label = "fraction of the pixels"
        axes.bar(x + 0.013, fraction, 0.026, color=ORANGE, label=label, **striped)
        axes.plot([0, 1], [0, 1], color="black", linestyle="--", label="calibrated")
        axes.set(title=title, xlabel="confidence", xlim=(0, 1.03), ylim=(0, 1.03))
    figure.axes[0].set_ylabel("accuracy, or fraction of the pixels")
    figure.axes[0].legend(loc="upper left")
    return figure


@matplotlib.rc_context(STYLE)
def flagged_photos(
    confidences: Mapping[str, NDArray[np.float64]],
    flagged: Mapping[str, NDArray[np.bool_]],
    f1: NDArray[np.float64],
) -> Figure:
    """Mean F1 of n photos over each confidence [n], by its name; `flagged` are drawn as crosses."""
    figure = Figure(figsize=(9, 3.4))
    panels = figure.subplots(1, len(confidences), sharey=True)
    for axes, (name, confidence) in zip(panels, confidences.items(), strict=True):
        is_flagged = flagged[name]
        axes.plot(confidence[~is_flagged], f1[~is_flagged], "o", color=BLUE, label="kept")
        axes.plot(confidence[is_flagged], f1[is_flagged], "x", color=ORANGE, label="flagged")
        axes.set(xlabel=f"mean confidence, {name}")
    figure.axes[0].set_ylabel("mean F1 of the photo")
    figure.axes[0].legend(loc="lower right")
    return figure


@matplotlib.rc_context(STYLE)
def f1_over_area(
    f1: NDArray[np.float64], annotated: NDArray[np.int64], names: Sequence[str]
) -> Figure:
    """A panel per class: its F1 in each photo over its annotated pixels, both [n, C]."""
    figure = Figure(figsize=(10, 2.7))
    for index, axes in enumerate(figure.subplots(1, len(names), sharey=True)):
        shown = annotated[:, index] > 0
        axes.plot(annotated[shown, index], f1[shown, index], ".", color=BLUE, markersize=4)
        axes.set(title=names[index], xscale="log", xlim=(8, 20_000), ylim=(-0.03, 1.03))
        axes.set_xticks([10, 100, 1000, 10_000])
        axes.minorticks_off()
    figure.supxlabel("annotated pixels of the class in the photo", fontsize=11)
    figure.axes[0].set_ylabel("F1 of the class")
    return figure


@matplotlib.rc_context(STYLE)
def group_differences(rows: Sequence[GroupRow]) -> Figure:
    """For each group, and each model, the difference of its mean F1 with a bar for the interval."""
    figure = Figure(figsize=(7.8, 0.33 * len(rows) + 1.1))
    axes = figure.subplots()
    models = [*rows[0][2]]
    for number, (model, (colour, marker)) in enumerate(zip(models, SERIES, strict=False)):
        y = np.arange(len(rows)) + 0.28 * (number - (len(models) - 1) / 2)
        value, low, high = np.array([row[2][model] for row in rows]).T
        axes.hlines(y, low, high, color=colour, linewidth=1.6)
        axes.plot(value, y, marker, color=colour, label=model)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [f"{group} ({photos})" for group, photos, _ in rows])
    axes.set(xlabel="mean F1 of the group minus that of all other photos", ylim=(len(rows), -1))
    figure.legend(loc="outside upper center", ncols=len(models))
    return figure


@matplotlib.rc_context(STYLE)
def robustness(
    examples: Mapping[str, Image],
    amounts: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    label: str,
    trained: tuple[float, float],
    *,
    log: bool = False,
) -> Figure:
    """Corrupted photos by title, and mean F1 over the amount of the corruption, `label`.

    `trained` are the amounts that occurred in training.
    """
    widths = [1.0] * len(examples) + [1.75]
    figure = Figure(figsize=(9.6, 2.3))
    *places, axes = figure.subplots(1, len(widths), width_ratios=widths)
    for place, (title, image) in zip(places, examples.items(), strict=True):
        place.imshow(image)
        place.set_title(title, fontsize=10)
        place.set_axis_off()
    for (name, f1), (colour, marker) in zip(curves.items(), SERIES, strict=False):
        axes.plot(amounts, f1, marker=marker, color=colour, label=name)
    axes.axvspan(*trained, color="0.9", zorder=0, label="range in training")
    axes.set(xlabel=label, ylabel="mean F1", ylim=(-0.03, 1))
    if log:
        _log_ticks(axes, amounts)
    axes.legend(fontsize=9)
    return figure


@matplotlib.rc_context(STYLE)
def curve_panels(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    ylabel: str,
    log: Sequence[str] = (),
) -> Figure:
    """A panel per label of x with lines (x, y) by name; on a logarithmic axis if it is in `log`."""
    figure = Figure(figsize=(min(10, 3 + 2.7 * len(panels)), 2.7))
    for axes, (label, lines) in zip(
        figure.subplots(1, len(panels), sharey=True), panels.items(), strict=True
    ):
        for (name, (x, y)), (colour, marker) in zip(lines.items(), SERIES, strict=False):
            axes.plot(x, y, marker=marker, color=colour, label=name)
        axes.set(xlabel=label, ylim=(-0.03, 1.03))
        if label in log:
            _log_ticks(axes, x)
    figure.axes[0].set_ylabel(ylabel)
    names, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(names, labels, loc="outside upper center", ncols=len(labels))
    return figure


def _log_ticks(axes: Axes, amounts: Sequence[float]) -> None:
    """A logarithmic x axis with exactly these ticks."""
    axes.set_xscale("log")
    axes.set_xticks(amounts, [f"{amount:g}" for amount in amounts], fontsize=9)
    axes.minorticks_off()
