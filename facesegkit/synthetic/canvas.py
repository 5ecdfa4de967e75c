"""The picture being drawn: colours and, beside them, which part each pixel shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFilter

from facesegkit.labels import PART_IDS
from facesegkit.synthetic.curves import Floats

SIDE = 512  # everything is drawn at the size of the data set's masks
OVERSAMPLING = 2  # outlines are drawn twice as large and reduced, which smooths their edges
SMOOTHED = 0.7  # pixels of blur from which on that is not needed
WIDE_BLUR = 3.0  # pixels from which on one box mean would show; below it is three times as fast


@dataclass(frozen=True)
class Patch:
    """A shape's coverage, float32 [h, w] in 0..1, and where on the canvas it lies."""

    rows: slice
    cols: slice
    alpha: Floats

    def of(self, picture: NDArray[np.float32]) -> Floats:
        """The same place of another picture, [h, w] or [h, w, C]; a view."""
        return picture[self.rows, self.cols]

    def times(self, alpha: Floats | float) -> Patch:
        """The same place with its coverage multiplied."""
        return Patch(self.rows, self.cols, self.alpha * np.asarray(alpha, dtype=np.float32))

    def inside(self, border: Patch) -> Patch | None:
        """The part of this patch that `border` covers; None where they do not meet."""
        rows, cols = _overlap(self.rows, border.rows), _overlap(self.cols, border.cols)
        if rows.stop <= rows.start or cols.stop <= cols.start:
            return None
        mine, theirs = (
            p.alpha[_within(p.rows, rows), _within(p.cols, cols)] for p in (self, border)
        )
        return Patch(rows, cols, mine * theirs)


def _overlap(one: slice, other: slice) -> slice:
    return slice(max(one.start, other.start), min(one.stop, other.stop))


def _within(outer: slice, inner: slice) -> slice:
    """Where `inner` lies, counted from the start of `outer`."""
    return slice(inner.start - outer.start, inner.stop - outer.start)


@dataclass
class Canvas:
    """Colours float32 [512, 512, 3] in 0..1 (display values), part ids uint8 [512, 512]."""

    rgb: Floats
    labels: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((SIDE, SIDE), np.uint8))

    def patch(self, *outlines: Floats, soft: float = 0.0) -> Patch | None:
        """Coverage of polygons [N, 2] in pixels; None when nothing of them is on the canvas.

        Args:
            outlines: closed outlines, united.
            soft: blur of the edge in pixels.
        """
        place = _place(outlines, 2 + 2 * soft)
        if place is None:
            return None
        rows, cols = place
        height, width = rows.stop - rows.start, cols.stop - cols.start
        finer = OVERSAMPLING if soft < SMOOTHED else 1  # a blur hides steps
        mask = Image.new("L", (width * finer, height * finer))
        pencil = ImageDraw.Draw(mask)
        for outline in outlines:
            points = (outline - (cols.start, rows.start)) * finer
            pencil.polygon(points.ravel().tolist(), fill=255)
        return Patch(rows, cols, _coverage(mask, finer, soft))

    def strokes(self, lines: Iterable[Floats], width: float = 1.0) -> Patch | None:
        """Coverage of thin lines, each [N, 2] in pixels; None when none is on the canvas.

        Lines all over the canvas are drawn without oversampling, at least a pixel wide.
        """
        lines = list(lines)
        place = _place(lines, 2 + width)
        if place is None:
            return None
        rows, cols = place
        height, across = rows.stop - rows.start, cols.stop - cols.start
        finer = OVERSAMPLING if height * across < SIDE * SIDE // 4 else 1
        mask = Image.new("L", (across * finer, height * finer))
        pencil = ImageDraw.Draw(mask)
        thickness = max(1, round(width * finer))
        for line in lines:
            points = (line - (cols.start, rows.start)) * finer
            pencil.line(points.ravel().tolist(), fill=255, width=thickness)
        return Patch(rows, cols, _coverage(mask, finer, 0.0))

    def paint(
        self,
        patch: Patch | None,
        colour: ArrayLike,
        *,
        opacity: float = 1.0,
        part: str | None = None,
    ) -> None:
        """Blend a colour [3] or picture [h, w, 3] in, and mark the pixels as `part`."""
        if patch is None:
            return
        below = patch.of(self.rgb)
        alpha = patch.alpha if opacity == 1 else patch.alpha * np.float32(opacity)
        change = np.asarray(colour, dtype=np.float32) - below
        change *= alpha[..., None]
        below += change
        if part is not None:
            self.mark(patch, part)

    def shade(self, patch: Patch | None, strength: float, tint: ArrayLike = (0, 0, 0)) -> None:
        """Multiply colours towards `tint` [3] (black: darken), as a shadow or a glaze does."""
        if patch is None:
            return
        below = patch.of(self.rgb)
        factor = np.asarray(tint, dtype=np.float32) - 1
        below *= 1 + (patch.alpha * np.float32(strength))[..., None] * factor

    def mark(self, patch: Patch | None, part: str) -> None:
        """Say that the covered pixels show `part`."""
        if patch is not None:
            self.labels[patch.rows, patch.cols][patch.alpha > 0.5] = PART_IDS[part]

    def within(self, patch: Patch | None, *parts: str) -> Patch | None:
        """The patch where the canvas shows one of `parts`, so that paint stays on them."""
        if patch is None:
            return None
        shown = np.isin(
            self.labels[patch.rows, patch.cols], np.array([PART_IDS[name] for name in parts])
        )
        return patch.times(shown.astype(np.float32))


def _place(outlines: Sequence[Floats], margin: float) -> tuple[slice, slice] | None:
    """The part of the canvas, rows and columns, that the outlines touch."""
    if not outlines:
        return None
    points = np.concatenate(outlines) if len(outlines) > 1 else outlines[0]
    left, top = (points.min(0) - margin).tolist()
    right, bottom = (points.max(0) + margin).tolist()
    rows = slice(max(math.floor(top), 0), min(math.ceil(bottom), SIDE))
    cols = slice(max(math.floor(left), 0), min(math.ceil(right), SIDE))
    if rows.stop <= rows.start or cols.stop <= cols.start:
        return None
    return rows, cols


def _coverage(mask: Image.Image, finer: int, soft: float) -> Floats:
    """A mask drawn `finer` times as large, reduced and blurred, in 0..1."""
    if finer > 1:
        mask = mask.reduce(finer)
    if soft >= WIDE_BLUR:
        mask = mask.filter(ImageFilter.GaussianBlur(soft))
    elif soft > 0:
        mask = mask.filter(ImageFilter.BoxBlur(soft * 1.6))
    return np.asarray(mask, dtype=np.float32) * np.float32(1 / 255)


def soften(alpha: Floats, radius: float) -> Floats:
    """Blur coverage by about `radius` pixels (three box means, which look like a Gaussian)."""
    picture = Image.fromarray((alpha * 255).astype(np.uint8))
    blurred = picture.filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(blurred, dtype=np.float32) / 255
