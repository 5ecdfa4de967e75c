"""The canvas: an RGB image and a label map that are drawn together."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFilter

from facesegkit.labels import PART_IDS
from facesegkit.synthetic.curves import Floats

SIDE = 512  # everything is drawn at the size of the data set's masks
OVERSAMPLING = 2  # polygons are drawn at twice the size and downsampled: anti-aliasing
SMOOTHED = 0.7  # pixels of blur above which oversampling is not needed
WIDE_BLUR = 3.0  # pixels above which a single box blur would be visible; it is three times faster


@dataclass(frozen=True)
class Patch:
    """Coverage of a shape, float32 [h, w] in 0..1, and the region of the canvas that it fills.

    An empty patch is a single pixel without coverage, so that no caller needs a special case.
    """

    rows: slice
    cols: slice
    alpha: Floats

    @classmethod
    def nothing(cls) -> "Patch":
        return cls(slice(0, 1), slice(0, 1), np.zeros((1, 1), dtype=np.float32))

    @property
    def is_empty(self) -> bool:
        return self.alpha.size == 1

    def of(self, image: NDArray[np.float32]) -> Floats:
        """The same region of another image, [h, w] or [h, w, C]; a view."""
        return image[self.rows, self.cols]

    def times(self, alpha: Floats | float) -> "Patch":
        """The same region with its coverage multiplied."""
        return Patch(self.rows, self.cols, self.alpha * np.asarray(alpha, dtype=np.float32))

    def inside(self, border: "Patch") -> "Patch":
        """Intersection with another patch, with the product of both coverages."""
        both = (self.rows, border.rows), (self.cols, border.cols)
        rows, cols = (slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in both)
        if rows.stop <= rows.start or cols.stop <= cols.start:
            return Patch.nothing()
        return Patch(rows, cols, self._cropped(rows, cols) * border._cropped(rows, cols))

    def _cropped(self, rows: slice, cols: slice) -> Floats:
        top, left = self.rows.start, self.cols.start
        return self.alpha[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]


@dataclass
class Canvas:
    """Colours float32 [512, 512, 3] in 0..1 (display values), part ids uint8 [512, 512]."""

    rgb: Floats
    labels: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((SIDE, SIDE), np.uint8))

    def patch(self, *polygons: Floats, soft: float = 0.0) -> Patch:
        """Coverage of the union of polygons [N, 2] in pixels; empty if it is off the canvas.

        The edge is blurred by `soft` pixels. The first vertex is not repeated at the end.
        """
        return _rasterized(polygons, soft, None)

    def strokes(self, lines: Sequence[Floats] | Floats, width: float = 1.0) -> Patch:
        """Coverage of thin lines, each [N, 2] in pixels; empty if none is on the canvas.

        Lines are at least a pixel wide. They are not oversampled if they spread over the canvas.
        """
        return _rasterized(lines, 0.0, width)

    def paint(
        self, patch: Patch, colour: ArrayLike, *, opacity: float = 1.0, part: str | None = None
    ) -> None:
        """Blend in a colour [3] or an image [h, w, 3], and label the pixels as `part`."""
        below = patch.of(self.rgb)
        change = np.asarray(colour, dtype=np.float32) - below
        change *= (patch.alpha * np.float32(opacity))[..., None]
        below += change
        if part is not None:
            self.mark(patch, part)

    def shade(self, patch: Patch, strength: float, tint: ArrayLike = (0, 0, 0)) -> None:
        """Multiply colours towards `tint` [3] (black: darken), as a shadow or a glaze does."""
        below = patch.of(self.rgb)
        factor = np.asarray(tint, dtype=np.float32) - 1
        below *= 1 + (patch.alpha * np.float32(strength))[..., None] * factor

    def mark(self, patch: Patch, part: str) -> None:
        """Label the covered pixels as `part`."""
        self.labels[patch.rows, patch.cols][patch.alpha > 0.5] = PART_IDS[part]

    def within(self, patch: Patch, *parts: str) -> Patch:
        """The patch restricted to pixels that are labelled as one of `parts`."""
        ids = [PART_IDS[name] for name in parts]
        return patch.times(np.isin(self.labels[patch.rows, patch.cols], ids).astype(np.float32))


def _rasterized(shapes: Sequence[Floats] | Floats, soft: float, width: float | None) -> Patch:
    """Coverage of filled polygons or, if `width` is given, of open lines."""
    if len(shapes) == 0:
        return Patch.nothing()
    points, margin = np.concatenate(shapes), 2 + (2 * soft if width is None else width)
    left, top = np.floor(points.min(0) - margin).astype(int).tolist()
    right, bottom = np.ceil(points.max(0) + margin).astype(int).tolist()
    rows, cols = slice(max(top, 0), min(bottom, SIDE)), slice(max(left, 0), min(right, SIDE))
    high, wide = rows.stop - rows.start, cols.stop - cols.start
    if high <= 0 or wide <= 0:
        return Patch.nothing()
    fine = soft < SMOOTHED if width is None else high * wide < SIDE * SIDE // 4
    scale = OVERSAMPLING if fine else 1
    mask = Image.new("L", (wide * scale, high * scale))
    draw = ImageDraw.Draw(mask)
    for shape in shapes:
        vertices = ((shape - (cols.start, rows.start)) * scale).ravel().tolist()
        if width is None:
            draw.polygon(vertices, fill=255)
        else:
            draw.line(vertices, fill=255, width=max(1, round(width * scale)))
    if scale > 1:
        mask = mask.reduce(scale)
    if soft >= WIDE_BLUR:
        mask = mask.filter(ImageFilter.GaussianBlur(soft))
    elif soft > 0:
        mask = mask.filter(ImageFilter.BoxBlur(soft * 1.6))
    return Patch(rows, cols, np.asarray(mask, dtype=np.float32) * np.float32(1 / 255))


def soften(alpha: Floats, radius: float) -> Floats:
    """Blur coverage with a Gaussian of about `radius` pixels."""
    image = Image.fromarray((alpha * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255
