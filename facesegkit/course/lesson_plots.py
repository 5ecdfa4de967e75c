"""Figures of the lessons in which the drawing itself is not the point; each function returns one.

Like those in `plots`, they are made without pyplot. `figure.dpi` of matplotlib's `rcParams` sets
their resolution.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from facesegkit.inference.visualize import overlay
from facesegkit.labels import LabelScheme
from facesegkit.plots import BLUE, GREEN, ORANGE, STYLE, class_legend

Numbers = NDArray[Any]
Photo = NDArray[np.uint8]  # RGB [H, W, 3]


@matplotlib.rc_context(STYLE)
def context_crops(photo: Photo, pixel: tuple[int, int], sides: Sequence[int]) -> Figure:
    """Square crops of these sides around a pixel (x, y), which is marked; black outside."""
    x, y = pixel
    margin = max(sides) // 2
    padded = np.pad(photo, ((margin, margin), (margin, margin), (0, 0)))
    figure = Figure(figsize=(9, 2.6))
    for axes, side in zip(figure.subplots(1, len(sides)), sides, strict=True):
        top, left = y + margin - side // 2, x + margin - side // 2
        axes.imshow(padded[top : top + side, left : left + side])
        middle = side // 2
        axes.plot(middle, middle, "o", markersize=7, markerfacecolor=ORANGE, markeredgecolor="w")
        axes.set_title(f"{side} x {side} pixels")
        axes.set_axis_off()
    return figure


@matplotlib.rc_context(STYLE)
def paired_bars(
    panels: Mapping[str, Mapping[str, tuple[float, float]]], names: tuple[str, str], xlabel: str
) -> Figure:
    """Two horizontal bars per row, with these names; one panel per network, {row: (one, other)}."""
    rows = max(map(len, panels.values()))
    figure = Figure(figsize=(6.5 if len(panels) == 1 else 9, 0.7 + 0.32 * rows))
    for axes, (title, pairs) in zip(
        figure.subplots(1, len(panels), squeeze=False, sharex=True)[0], panels.items(), strict=True
    ):
        positions, values = np.arange(len(pairs)), np.array(list(pairs.values()))
        axes.barh(positions - 0.2, values[:, 0], 0.4, color=BLUE, label=names[0])
        axes.barh(positions + 0.2, values[:, 1], 0.4, color=ORANGE, label=names[1])
        axes.set_yticks(positions, list(pairs))
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set(title=title, xlabel=xlabel)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@matplotlib.rc_context(STYLE)
def influence(photo: Photo, gradient: Numbers, pixel: tuple[int, int], field: int) -> Figure:
    """A photo, and how much each of its pixels, [H, W], influences the logit at a pixel (x, y).

    A square of `field` pixels, the receptive field, is drawn into both.
    """
    figure = Figure(figsize=(7.4, 3.3))
    grid = figure.subplots(1, 2)
    grid[0].imshow(photo)
    shown = grid[1].imshow(np.sqrt(gradient / gradient.max()), cmap="gray")  # shows faint values
    label = "gradient relative to its maximum"
    ticks = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)
    bar = figure.colorbar(shown, ax=grid[1], label=label, ticks=np.sqrt(ticks))
    bar.ax.set_yticklabels([f"{tick:g}" for tick in ticks])
    corner = (pixel[0] - field / 2, pixel[1] - field / 2)
    height, width = gradient.shape
    titles = ("photo and receptive field", "gradient of the logit")
    for axes, title in zip(grid, titles, strict=True):
        square = Rectangle(corner, field, field, fill=False, edgecolor="white", linewidth=1.5)
        axes.add_patch(square)
        axes.plot(*pixel, "o", markersize=9, fillstyle="none", markeredgecolor=ORANGE)
        axes.set(title=title, xlim=(0, width - 1), ylim=(height - 1, 0))
        axes.set_axis_off()
    return figure


@matplotlib.rc_context(STYLE)
def feature_maps(rows: Mapping[str, Sequence[Numbers]], titles: Sequence[str]) -> Figure:
    """Channels [H, W] as images, each with its own range from black to white; one row per name."""
    figure = Figure(figsize=(1.3 * len(titles), 1.3 * len(rows) + 0.2))
    grid = figure.subplots(len(rows), len(titles))
    for line, (name, channels) in zip(grid, rows.items(), strict=True):
        for axes, channel in zip(line, channels, strict=True):
            axes.imshow(channel, cmap="gray", interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(name)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title)
    return figure


@matplotlib.rc_context(STYLE)
def class_maps(
    photo: Photo, maps: Mapping[str, NDArray[np.uint8]], scheme: LabelScheme, columns: int = 4
) -> Figure:
    """Class maps [H, W] over a photo of their size, zoomed to the classes of the first one."""
    rows = -(-len(maps) // columns)
    ys, xs = np.nonzero(next(iter(maps.values())))
    margin = 20
    limits: Any = {"xlim": (xs.min() - margin, xs.max() + margin)}
    limits["ylim"] = (ys.max() + margin, ys.min() - margin)
    figure = Figure(figsize=(8, 2.3 * rows + 0.4))
    grid = figure.subplots(rows, columns).flat
    for axes, (name, class_map) in zip(grid, maps.items(), strict=True):
        axes.imshow(overlay(photo, class_map, scheme))
        axes.set(title=name, **limits)
        axes.set_axis_off()
    class_legend(figure, scheme)
    return figure


@matplotlib.rc_context(STYLE)
def score_table(rows: Sequence[str], columns: Sequence[str], scores: Numbers) -> Figure:
    """Scores [rows, columns] from 0 to 1 as numbers on a darker blue for a higher score."""
    figure = Figure(figsize=(7.5, 0.7 + 0.38 * len(rows)))
    axes = figure.subplots()
    shown = axes.imshow(scores, cmap="Blues", vmin=0, vmax=1.3, aspect="auto")
    for (line, column), value in np.ndenumerate(scores):
        axes.text(column, line, f"{value:.2f}", ha="center", va="center")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.grid(visible=False)
    bar = figure.colorbar(shown, label="F1", boundaries=np.linspace(0, 1, 101), ticks=(0, 0.5, 1))
    bar.outline.set_visible(False)
    return figure


@matplotlib.rc_context(STYLE)
def run_times(milliseconds: Sequence[float]) -> Figure:
    """Each run's time in the order of the runs, and their median."""
    figure = Figure(figsize=(7, 2.8))
    axes = figure.subplots()
    axes.plot(milliseconds, "o", color=BLUE, markersize=4, label="one run")
    middle = float(np.median(milliseconds))
    axes.axhline(middle, color=ORANGE, linestyle="--", label="median")
    axes.set(xlabel="run", ylabel="ms", ylim=(0, None))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    return figure


@matplotlib.rc_context(STYLE)
def latency_bars(results: Mapping[str, Mapping[str, float]]) -> Figure:
    """Milliseconds of each variant, {network: {variant: milliseconds}}."""
    rows = max(map(len, results.values()))
    figure = Figure(figsize=(9.5, 0.8 + 0.4 * rows))
    for axes, (name, times) in zip(figure.subplots(1, len(results)), results.items(), strict=True):
        axes.barh(list(times), list(times.values()), color=BLUE)
        for position, value in enumerate(times.values()):
            axes.text(value, position, f" {value:.1f}", va="center")
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set(title=name, xlabel="ms per photo, one thread", xlim=(0, 1.2 * max(times.values())))
    return figure


class LayerSpeed(NamedTuple):
    """A layer on the roofline."""

    kind: str
    intensity: float  # MACs per byte
    macs_per_second: float


@matplotlib.rc_context(STYLE)
def roofline(
    layers: Mapping[str, Sequence[LayerSpeed]], peak: float, bandwidths: Mapping[str, float]
) -> Figure:
    """Layers of each network below the roofs: the peak in MACs/s, and bandwidths in bytes/s."""
    figure = Figure(figsize=(9.5, 4.2))
    grid = figure.subplots(1, len(layers), sharex=True, sharey=True)
    markers = {"plain": ("s", BLUE), "pointwise": ("o", ORANGE), "depthwise": ("^", GREEN)}
    for axes, (name, points) in zip(grid, layers.items(), strict=True):
        low = min(point.intensity for points in layers.values() for point in points) / 2
        high = max(point.intensity for points in layers.values() for point in points) * 2
        x = np.geomspace(low, high, 200)
        for (what, bandwidth), style in zip(bandwidths.items(), ("-", "--"), strict=True):
            y = np.minimum(peak, bandwidth * x) / 1e9
            axes.plot(x, y, style, color="black", linewidth=1.2, label=f"roof: {what}")
        for kind, (marker, colour) in markers.items():
            xs = [point.intensity for point in points if point.kind == kind]
            ys = [point.macs_per_second / 1e9 for point in points if point.kind == kind]
            axes.plot(xs, ys, marker, color=colour, label=kind, markersize=6, alpha=0.8)
        axes.set(title=name, xscale="log", yscale="log", xlabel="MACs per byte")
    grid[0].set_ylabel("G MACs per second")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure
