"""Images of a segmentation result (mask, overlay, panel, ...), and saving them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import BBox
from facesegkit.labels import LabelScheme
from facesegkit.system.files import atomic_write
from facesegkit.system.large_images import tiles

if TYPE_CHECKING:
    from facesegkit.inference.results import SegmentationResult

VIEWS = {
    "mask": "the classes' colours on black",
    "overlay": "the photo with the classes' colours laid over it",
    "panel": "photo, mask and overlay side by side, with a legend",
    "labels": "one channel of class ids, from 1 in the order of the legend (with the classes of "
    "unet-19, the data set's part ids)",
    "json": "each face's bounding box, angle, confidence, areas and contours, in a .json file",
}

_PANEL_SIDE, _PANEL_GAP = 768, 12  # pixels; longest side of each of a panel's three images

# Class ids and colours must be read back exactly, so these views allow no lossy format.
_EXACT_VIEWS = ("mask", "labels")
_LOSSLESS, _LOSSY = (".png", ".tif", ".tiff", ".bmp"), (".jpg", ".jpeg", ".webp")


def render(result: SegmentationResult, view: str) -> Image.Image:
    """Image of a segmentation result: one of `VIEWS` except "json".

    "mask", "overlay" (RGB) and "labels" (one channel, mode L) have the photo's size; "panel" (RGB)
    is for looking at, each of its images at most 768 pixels wide or high. Raises a FaceSegKitError
    if there is no such view, or it is not an image.
    """
    if view == "labels":
        return Image.fromarray(result.labels)
    if view in (drawn := {"mask": _mask, "overlay": _overlay, "panel": _panel}):
        return drawn[view](result)
    images = ", ".join(name for name in VIEWS if name != "json")
    raise FaceSegKitError(f"There is no image of the view {view!r}; choose one of {images}.")


def _mask(result: SegmentationResult) -> Image.Image:
    mask = Image.new("RGB", result.labels.shape[::-1])
    for tile, labels in _tiles_with_classes(result):
        mask.paste(_coloured(labels, result.scheme), tile)
    return mask


def _coloured(labels: NDArray[np.uint8], scheme: LabelScheme) -> Image.Image:
    """Class ids [H, W] in their colours, RGB; four times as fast as numpy's indexing."""
    image = Image.fromarray(labels).convert("P")
    image.putpalette(scheme.palette.tobytes())
    return image.convert("RGB")


def _overlay(result: SegmentationResult) -> Image.Image:
    image, labels = result.photo_copy(), result.labels
    width = _contour_width(labels)
    for tile, of_tile in _tiles_with_classes(result):
        # Contours depend on the pixels around a tile, too.
        left, top = min(tile.left, width), min(tile.top, width)
        around = labels[tile.top - top : tile.bottom + width, tile.left - left : tile.right + width]
        height, across = of_tile.shape
        contour = _contour_mask(around, width)[top : top + height, left : left + across]
        blended = overlay(np.asarray(image.crop(tile)), of_tile, result.scheme, contour=contour)
        image.paste(Image.fromarray(blended), tile)
    return image


def _tiles_with_classes(result: SegmentationResult) -> Iterator[tuple[BBox, NDArray[np.uint8]]]:
    """The tiles of a photo that are not all background, and their class ids."""
    for tile in tiles(result.labels.shape[::-1]):
        labels = result.labels[tile.slices]
        if labels.any():
            yield tile, labels


def overlay(
    photo: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    scheme: LabelScheme,
    opacity: float = 0.5,
    *,
    contour: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Lay the classes' colours over a photo, with opaque contours.

    Args:
        photo: RGB, uint8 [H, W, 3], as the result.
        labels: class ids, uint8 [H, W].
        scheme: gives the colours.
        opacity: of the colours inside the contours, 0..1.
        contour: the foreground pixels that are opaque, bool [H, W]; by default those at contours.
    """
    if contour is None:
        contour = _contour_mask(labels, _contour_width(labels))
    image, colours = Image.fromarray(photo), _coloured(labels, scheme)
    blended = Image.blend(image, colours, opacity)
    blended.paste(colours, mask=Image.fromarray(contour))
    image.paste(blended, mask=Image.fromarray(labels != 0))
    return np.array(image)


def _contour_width(labels: NDArray[np.uint8]) -> int:
    """In pixels, for an image that will be downsampled to fit on a screen."""
    return max(1, round(max(labels.shape) / 400))


def _contour_mask(labels: NDArray[np.uint8], width: int) -> NDArray[np.bool_]:
    """Foreground with another class `width` pixels above, below, left or right, bool [H, W]."""
    differs = np.zeros(labels.shape, dtype=bool)
    for found, values in ((differs, labels), (differs.T, labels.T)):  # down, then across
        changes = values[width:] != values[:-width]
        found[width:] |= changes
        found[:-width] |= changes
    return differs & (labels != 0)


def _panel(result: SegmentationResult) -> Image.Image:
    """Photo, mask and overlay side by side on white, with a legend below."""
    photo, scheme = result.small_photo(_PANEL_SIDE), result.scheme
    small = Image.fromarray(result.labels).resize(photo.size, Image.Resampling.NEAREST)
    labels, pixels = np.asarray(small), np.asarray(photo)
    images = [photo, scheme.colour(labels), overlay(pixels, labels, scheme)]
    width, height = photo.size
    side = max(12, min(28, height // 24))  # of the legend's squares and letters
    font = ImageFont.load_default(size=side)
    lengths = [int(font.getlength(name)) for name in scheme.classes]
    positions, space = _legend_layout(lengths, side, 3 * width + 2 * _PANEL_GAP)
    canvas = Image.new("RGB", (space[0], height + space[1]), "white")
    for number, image in enumerate(images):
        canvas.paste(Image.fromarray(np.asarray(image)), (number * (width + _PANEL_GAP), 0))
    draw = ImageDraw.Draw(canvas)
    for name, colour, (x, y) in zip(scheme.classes, scheme.colours, positions, strict=True):
        top = height + y
        draw.rectangle((x, top, x + side, top + side), tuple(colour), "grey")
        draw.text((x + 1.5 * side, top + side / 2), name, "black", font, anchor="lm")
    return canvas


def _legend_layout(
    lengths: Iterable[int], side: int, width: int
) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Upper left corners of a legend's entries in lines of `width` pixels or more, and its size."""
    # An entry is a square of this side and a name of this length, both in pixels.
    positions, x, y, right = [], 0, _PANEL_GAP, width
    for length in lengths:
        end = x + int(1.5 * side) + length
        if x > 0 and end > width:
            end -= x
            x, y = 0, y + int(1.5 * side)
        positions.append((x, y))
        right = max(right, end)
        x = end + side
    return positions, (right, y + side + _PANEL_GAP)


def check_view_path(path: Path | str, view: str) -> None:
    """Check that a view can be saved under a name, before any work is done for it.

    Raises a FaceSegKitError if the suffix is not that of an image format, or that of a lossy one
    for a view whose exact values matter ("mask", "labels"); or not .json for "json".
    """
    suffix, exact = Path(path).suffix.lower(), view in _EXACT_VIEWS
    allowed = (".json",) if view == "json" else _LOSSLESS if exact else _LOSSLESS + _LOSSY
    if suffix not in allowed:
        problem, use = "", ", ".join(allowed)
        if exact and suffix in _LOSSY:
            problem, use = f": {suffix} would change its values", ".png"
        raise FaceSegKitError(f"Cannot save the view {view!r} as {path}{problem}; use {use}.")


def save_view(result: SegmentationResult, view: str, path: Path | str) -> None:
    """Write a view to a file.

    Raises a FaceSegKitError if the view is unknown, the suffix does not fit (see
    `check_view_path`), or the file cannot be written.
    """
    check_view_path(path, view)
    if view == "json":
        with atomic_write(path) as unfinished:
            unfinished.write_text(json.dumps(result.to_dict()) + "\n", encoding="utf-8")
    else:
        save_image(render(result, view), path, flat=view in _EXACT_VIEWS)


def save_image(image: Image.Image, path: Path | str, *, flat: bool = False) -> None:
    """Write an image whole or not at all, in the format of the path's suffix.

    If it has large areas of one colour (`flat`), a PNG is written three times as fast, by run-
    length matching only. Raises a FaceSegKitError if the file cannot be written.
    """
    # Each format reads its own options only.
    options: dict[str, Any] = {"quality": 95, **({"compress_type": zlib.Z_RLE} if flat else {})}
    with atomic_write(path) as unfinished:
        try:
            image.save(unfinished, **options)
        except ValueError as error:  # WebP is limited to 16,383 pixels a side
            raise FaceSegKitError(f"Cannot save {path}: {error}.") from error
