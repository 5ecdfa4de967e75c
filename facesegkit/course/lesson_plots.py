"""Figures of the lessons in which the drawing itself is not the point; each function returns one.

Like those in `plots`, they are made without pyplot. `figure.dpi` of matplotlib's `rcParams` sets
their resolution.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import PIL.Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from facesegkit.inference.visualize import overlay
from facesegkit.labels import LabelScheme
from facesegkit.plots import BLUE, GREEN, ORANGE, STYLE, class_legend
from facesegkit.system.history import History

# Five of the colours of Okabe and Ito, in an order in which neighbours differ most, with markers.
SERIES = tuple(zip((BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00"), "os^Dv", strict=True))

Image = NDArray[Any]  # RGB uint8 [H, W, 3]; bool or numbers [H, W] are shown in grey
Photo = NDArray[np.uint8]  # RGB [H, W, 3]
Photos = NDArray[np.uint8]  # RGB [N, h, w, 3]
ClassMaps = NDArray[np.uint8]  # [N, H, W]
Numbers = NDArray[Any]
# Group and its photos; by model a score or a difference, and the ends of its interval.
GroupRow = tuple[str, int, Mapping[str, tuple[float, float, float]]]


# Lessons 1 and 2


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
    """A mean photo, and for each part how often the photos show it at each pixel.

    Each part has its own range, up to the maximum in its title (a fraction of the photos).
    """
    figure = Figure(figsize=(9, 4.9))
    grid = figure.subplots(3, 6)
    for axes in grid.flat:
        axes.set_axis_off()
    grid.flat[0].imshow(photo)
    grid.flat[0].set_title("photos", fontsize=10)
    for axes, (part, average) in zip(grid.flat[1:], averages.items(), strict=False):
        highest = average.max()
        shown = axes.imshow(average / (highest or 1), cmap="gray", vmin=0, vmax=1)
        axes.set_title(f"{part}, max {highest:.0%}", fontsize=10)
    figure.colorbar(
        shown, ax=grid, label="relative to the part's maximum", aspect=30, fraction=0.04
    )
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


# Lesson 4


@matplotlib.rc_context(STYLE)
def overlays(photos: Photos, class_maps: Mapping[str, ClassMaps], scheme: LabelScheme) -> Figure:
    """One row per photo, and one column for each of several class maps over it, by name."""
    figure = Figure(figsize=(2.3 * len(class_maps), 2.25 * len(photos) + 0.3))
    grid = figure.subplots(len(photos), len(class_maps), squeeze=False)
    for column, (name, maps) in enumerate(class_maps.items()):
        grid[0, column].set_title(name)
        for axes, photo, class_map in zip(grid[:, column], photos, maps, strict=True):
            large = np.asarray(PIL.Image.fromarray(photo).resize(class_map.shape[::-1]))
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


# Lessons 3 and 7


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

    A square of `field` pixels, the receptive field, is drawn into both, and one of half its side.
    """
    figure = Figure(figsize=(7.4, 3.3))
    grid = figure.subplots(1, 2)
    grid[0].imshow(photo)
    shown = grid[1].imshow(np.sqrt(gradient / gradient.max()), cmap="gray")  # shows faint values
    label = "gradient relative to its maximum"
    ticks = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)
    bar = figure.colorbar(shown, ax=grid[1], label=label, ticks=np.sqrt(ticks))
    bar.ax.set_yticklabels([f"{tick:g}" for tick in ticks])
    height, width = gradient.shape
    titles = ("photo and receptive field", "gradient of the logit")
    for axes, title in zip(grid, titles, strict=True):
        for side, line in ((field, "-"), (field / 2, "--")):
            corner = (pixel[0] - side / 2, pixel[1] - side / 2)
            square = Rectangle(corner, side, side, fill=False, edgecolor="white", linestyle=line)
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
def score_table(
    rows: Sequence[str], columns: Sequence[str], scores: Numbers, label: str = "F1"
) -> Figure:
    """Scores [rows, columns] from 0 to 1 as numbers on a darker blue for a higher score."""
    figure = Figure(figsize=(7.5, 0.7 + 0.38 * len(rows)))
    axes = figure.subplots()
    shown = axes.imshow(scores, cmap="Blues", vmin=0, vmax=1.3, aspect="auto")
    for (line, column), value in np.ndenumerate(scores):
        axes.text(column, line, f"{value:.2f}", ha="center", va="center")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.grid(visible=False)
    bar = figure.colorbar(shown, label=label, boundaries=np.linspace(0, 1, 101), ticks=(0, 0.5, 1))
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


# Lessons 5 and 6


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

    An image of numbers [H, W], 0..1, is shown in grey, from its lowest number, with a colour bar.
    """
    ys, xs = np.nonzero(mask)
    figure = Figure(figsize=(9.3, 9.3 / len(images) + 0.2))
    panels = figure.subplots(1, len(images), squeeze=False)[0]
    for axes, (title, image) in zip(panels, images.items(), strict=True):
        lowest = image.min() if image.ndim == 2 else 0
        shown = axes.imshow(image, cmap="gray", vmin=lowest, vmax=1)
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
    figure = _group_intervals(rows, "mean F1 of the group minus that of all other photos")
    figure.axes[0].axvline(0, color="black", linewidth=1)
    return figure


@matplotlib.rc_context(STYLE)
def group_scores(rows: Sequence[GroupRow]) -> Figure:
    """For each group, and each model, its mean F1 with a bar for the interval."""
    return _group_intervals(rows, "mean F1 of the group")


def _group_intervals(rows: Sequence[GroupRow], xlabel: str) -> Figure:
    """A row per group with a marker and a bar for the interval of each model."""
    figure = Figure(figsize=(7.8, 0.33 * len(rows) + 1.1))
    axes = figure.subplots()
    models = [*rows[0][2]]
    for number, (model, (colour, marker)) in enumerate(zip(models, SERIES, strict=False)):
        y = np.arange(len(rows)) + 0.28 * (number - (len(models) - 1) / 2)
        value, low, high = np.array([row[2][model] for row in rows]).T
        axes.hlines(y, low, high, color=colour, linewidth=1.6)
        axes.plot(value, y, marker, color=colour, label=model)
    axes.set_yticks(range(len(rows)), [f"{group} ({photos})" for group, photos, _ in rows])
    axes.set(xlabel=xlabel, ylim=(len(rows), -1))
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


# Lesson 8


@matplotlib.rc_context(STYLE)
def interval_bars(
    panels: Sequence[Mapping[str, tuple[Numbers, Numbers, Numbers]]],
    names: Sequence[str],
    ylabel: str,
) -> Figure:
    """Scores of several models with intervals: by model, score, low and high end of each name.

    The vertical axis shows 0.5..1, and each panel has up to five models.
    """
    figure = Figure(figsize=(9.5, 3.4))
    for axes, models in zip(figure.subplots(1, len(panels), sharey=True), panels, strict=True):
        width = 0.84 / len(models)
        for number, (model, (score, low, high)) in enumerate(models.items()):
            x = np.arange(len(names)) + (number - (len(models) - 1) / 2) * width
            axes.bar(x, score, 0.94 * width, label=model, color=SERIES[number][0])
            axes.vlines(x, low, high, color="black", linewidth=1.2)
        axes.set_xticks(range(len(names)), names)
        axes.set_ylim(0.5, 1)
        axes.grid(visible=False, axis="x")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=len(models), fontsize=9)
    figure.axes[0].set_ylabel(ylabel)
    return figure


@matplotlib.rc_context(STYLE)
def domain_slopes(f1: Mapping[str, Sequence[float]], domains: Sequence[str]) -> Figure:
    """A line per network over two domains, with its mean F1 in each."""
    figure = Figure(figsize=(6.5, 3.4))
    axes = figure.subplots()
    for values, (colour, marker) in zip(f1.values(), SERIES, strict=False):
        axes.plot(range(2), values, marker=marker, color=colour)
    for side, align, shift in ((0, "right", -0.04), (1, "left", 0.04)):
        ends = _apart(np.array([values[side] for values in f1.values()]), 0.05)
        for (name, values), end, (colour, _) in zip(f1.items(), ends, SERIES, strict=False):
            text = f"{values[side]:.2f}" + (f"  trained on {name}" if side else "")
            axes.text(side + shift, end, text, ha=align, va="center", color=colour)
    axes.set_xticks(range(2), [f"evaluated on\n{domain}" for domain in domains])
    axes.set(ylabel="mean F1", xlim=(-0.25, 2.2), ylim=(0, 1))
    axes.grid(visible=False, axis="x")
    return figure


@matplotlib.rc_context(STYLE)
def labelled_rows(rows: Mapping[str, Sequence[Photo]]) -> Figure:
    """Photos of one size, in rows with a name at the left."""
    columns = max(map(len, rows.values()))
    figure = Figure(figsize=(1.2 * columns + 0.4, 1.2 * len(rows)))
    for axes, (name, photos) in zip(figure.subplots(len(rows), 1), rows.items(), strict=True):
        axes.imshow(np.concatenate(photos, axis=1))
        axes.set(xticks=[], yticks=[], ylabel=name)
        axes.spines[:].set_visible(False)
    return figure


@matplotlib.rc_context(STYLE)
def two_contours(
    panels: Mapping[str, tuple[Sequence[Numbers], Sequence[Numbers]]], names: tuple[str, str]
) -> Figure:
    """A panel for each pair of sets of closed contours [N, 2] of x and y, in pixels."""
    figure = Figure(figsize=(9.5, 2.3))
    for axes, (title, both) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        styles = ({"color": ORANGE, "linestyle": "--"}, {"color": BLUE})
        for contours, name, style in zip(both, names, styles, strict=True):
            for contour in contours:
                x, y = np.concatenate([contour, contour[:1]]).T
                axes.plot(x, y, label=name, **style)
        axes.set(title=title, aspect="equal", xlabel="u in pixels")
        axes.invert_yaxis()
    figure.axes[0].set_ylabel("v in pixels")
    lines, labels = figure.axes[0].get_legend_handles_labels()
    ends = slice(None, None, len(lines) - 1)  # one line of each set
    figure.legend(lines[ends], labels[ends], loc="outside lower center", ncols=2)
    return figure
