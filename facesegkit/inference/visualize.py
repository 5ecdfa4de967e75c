"""TODO."""

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
from facesegkit.geometry import BBox, tiles
from facesegkit.inference.results import SegmentationResult
from facesegkit.labels import LabelScheme
from facesegkit.system.files import atomic_write

if TYPE_CHECKING:  # a segmenter runs where PyTorch is not installed
    pass


VIEWS = {
    "mask": "the classes' colours on black",
    "overlay": "the photo with the classes' colours laid over it",
    "panel": "photo, mask and overlay side by side, with a legend",
    "labels": "one channel of class ids",
    "json": "each face's box, angle, confidence, areas and outlines as numbers, in a .json file",
}

_PANEL_SIDE = 768  # longest side, in pixels, of each of a panel's three pictures

_PANEL_GAP = 12

# Class ids and colours must come back as they were written, so these views take no lossy format.
_EXACT_VIEWS = ("mask", "labels")

_LOSSLESS = (".png", ".tif", ".tiff", ".bmp")

_LOSSY = (".jpg", ".jpeg", ".webp")


def render(segmentation: SegmentationResult, view: str) -> Image.Image:
    """Picture of a segmentation.

    Args:
        segmentation: what to show.
        view: one of `VIEWS`. "mask", "overlay" (RGB) and "labels" (one channel, mode L) have
            the photo's size; "panel" (RGB) is for looking at, each of its pictures at most 768
            pixels wide or high.

    Raises:
        FaceSegKitError: no such view, or none that is a picture.
    """
    if view == "mask":
        return _mask(segmentation)
    if view == "labels":
        return Image.fromarray(segmentation.labels)
    if view == "overlay":
        return _overlay(segmentation)
    if view == "panel":
        return _panel(segmentation)
    pictures = ", ".join(name for name in VIEWS if name != "json")
    raise FaceSegKitError(f"There is no picture of the view {view!r}; choose one of {pictures}.")


def _mask(segmentation: SegmentationResult) -> Image.Image:
    mask = Image.new("RGB", segmentation.labels.shape[::-1])
    for box, labels in _with_something(segmentation):
        # By way of a palette, which is four times as fast as numpy's indexing.
        colours = Image.fromarray(labels).convert("P")
        colours.putpalette(segmentation.scheme.palette.tobytes())
        mask.paste(colours.convert("RGB"), box)
    return mask


def _overlay(segmentation: SegmentationResult) -> Image.Image:
    picture = segmentation.own_photo()
    every, scheme = segmentation.labels, segmentation.scheme
    width = _outline_width(every)
    for box, labels in _with_something(segmentation):
        # Outlines depend on what lies around a piece, too.
        left, top = min(box.left, width), min(box.top, width)
        around = every[
            box.top - top : box.bottom + width,
            box.left - left : box.right + width,
        ]
        outline = _outlines(around, width)[top:, left:][: labels.shape[0], : labels.shape[1]]
        photo = np.asarray(picture.crop(box))
        picture.paste(Image.fromarray(_blend(photo, labels, outline, scheme)), box)
    return picture


def _with_something(segmentation: SegmentationResult) -> Iterator[tuple[BBox, NDArray[np.uint8]]]:
    """Those pieces of a photo in which a class was found, and their class ids."""
    for box in tiles(segmentation.labels.shape[::-1]):
        labels = segmentation.labels[box.slices]
        if labels.any():
            yield box, labels


def overlay(
    photo: NDArray[np.uint8], labels: NDArray[np.uint8], scheme: LabelScheme, opacity: float = 0.5
) -> NDArray[np.uint8]:
    """Lay the classes' colours over a photo, with their outlines in full.

    Args:
        photo: RGB, uint8 [H, W, 3].
        labels: class ids, uint8 [H, W].
        scheme: gives the colours.
        opacity: of the colours within the outlines: 0 leaves the photo, 1 hides it.

    Returns:
        RGB, uint8 [H, W, 3].
    """
    outline = _outlines(labels, _outline_width(labels))
    return _blend(photo, labels, outline, scheme, opacity)


def _blend(
    photo: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    outline: NDArray[np.bool_],
    scheme: LabelScheme,
    opacity: float = 0.5,
) -> NDArray[np.uint8]:
    """What `overlay` gives, with the outlines found already."""
    blended = photo.copy()
    foreground = labels != 0
    levels = np.arange(256)
    photo_part = (levels * (1 - opacity)).astype(np.uint8)
    colour_part = (levels * opacity).astype(np.uint8)
    blended[foreground] = photo_part[photo[foreground]]
    blended[foreground] += colour_part[scheme.colour(labels[foreground])]
    blended[outline] = scheme.colour(labels[outline])
    return blended


def _outline_width(labels: NDArray[np.uint8]) -> int:
    """In pixels, for a picture to be shrunk until it fits on a screen."""
    return max(1, round(max(labels.shape) / 400))


def _outlines(labels: NDArray[np.uint8], width: int) -> NDArray[np.bool_]:
    """Where another class is met within `width` pixels up, down, left or right, bool [H, W]."""
    differs = np.zeros(labels.shape, dtype=bool)
    down = labels[width:] != labels[:-width]
    differs[width:] |= down
    differs[:-width] |= down
    across = labels[:, width:] != labels[:, :-width]
    differs[:, width:] |= across
    differs[:, :-width] |= across
    return differs & (labels != 0)


def _panel(segmentation: SegmentationResult) -> Image.Image:
    """Photo, mask and overlay side by side on white, and the classes' colours below."""
    photo = segmentation.small_photo(_PANEL_SIDE)
    labels = Image.fromarray(segmentation.labels).resize(photo.size, Image.Resampling.NEAREST)
    small = SegmentationResult(np.asarray(labels), segmentation.scheme, photo)
    pictures = [small.photo, render(small, "mask"), render(small, "overlay")]
    width, height = small.photo.size
    scheme = segmentation.scheme
    side = max(12, min(28, height // 24))  # of a legend's squares and letters
    font = ImageFont.load_default(size=side)
    lengths = [int(font.getlength(name)) for name in scheme.classes]
    places, room = _legend_places(lengths, side, 3 * width + 2 * _PANEL_GAP)
    canvas = Image.new("RGB", (room[0], height + room[1]), "white")
    for number, picture in enumerate(pictures):
        canvas.paste(picture, (number * (width + _PANEL_GAP), 0))
    draw = ImageDraw.Draw(canvas)
    for name, colour, (x, y) in zip(scheme.classes, scheme.colours, places, strict=True):
        top = height + y
        draw.rectangle((x, top, x + side, top + side), tuple(colour), "grey")
        draw.text((x + 1.5 * side, top + side / 2), name, "black", font, anchor="lm")
    return canvas


def _legend_places(
    lengths: Iterable[int], side: int, width: int
) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Lay out a legend's entries, a square and a name each, in lines of at most `width` pixels.

    Args:
        lengths: of the names, in pixels.
        side: of a square, and the height of a letter.
        width: of a line, unless a single entry is longer.

    Returns:
        The left top corner of each entry, and the width (at least `width`) and height of them all.
    """
    places = []
    x, y, right = 0, _PANEL_GAP, width
    for length in lengths:
        end = x + int(1.5 * side) + length
        if x > 0 and end > width:
            end -= x
            x, y = 0, y + int(1.5 * side)
        places.append((x, y))
        right = max(right, end)
        x = end + side
    return places, (right, y + side + _PANEL_GAP)


def check_view_path(path: Path | str, view: str) -> None:
    """See that a view can be saved under a name, before any work is done for it.

    Raises:
        FaceSegKitError: no picture format goes by the name's suffix, or only a lossy one for a
            view whose exact values matter ("mask", "labels"); or not .json for "json".
    """
    suffix = Path(path).suffix.lower()
    if view == "json":
        if suffix != ".json":
            raise FaceSegKitError(f"Cannot save the view 'json' as {path}; use .json.")
        return
    allowed = _LOSSLESS if view in _EXACT_VIEWS else (*_LOSSLESS, *_LOSSY)
    if suffix in _LOSSY and suffix not in allowed:
        raise FaceSegKitError(
            f"Cannot save the view {view!r} as {path}: {suffix} would change its values; use .png."
        )
    if suffix not in allowed:
        raise FaceSegKitError(f"Cannot save a picture as {path}; use {', '.join(allowed)}.")


def save_view(segmentation: SegmentationResult, view: str, path: Path | str) -> None:
    """Write a view to a file.

    Raises:
        FaceSegKitError: an unknown view, a suffix that does not fit (see `check_view_path`), or a
            file that cannot be written.
    """
    check_view_path(path, view)
    if view == "json":
        with atomic_write(path) as unfinished:
            unfinished.write_text(json.dumps(segmentation.to_dict()) + "\n", encoding="utf-8")
        return
    save_image(render(segmentation, view), path, flat=view in _EXACT_VIEWS)


def save_image(image: Image.Image, path: Path | str, *, flat: bool = False) -> None:
    """Write a picture whole or not at all, in the format of the path's suffix.

    Args:
        image: the picture.
        path: its suffix says which format.
        flat: the picture has large areas of one colour; then a PNG is written three times as
            fast by looking for run lengths only.

    Raises:
        FaceSegKitError: the file cannot be written.
    """
    # Each format looks at its own options only.
    options: dict[str, Any] = {"quality": 95}
    if flat:
        options["compress_type"] = zlib.Z_RLE
    with atomic_write(path) as unfinished:
        try:
            image.save(unfinished, **options)
        except ValueError as error:  # WebP's sides end at 16,383 pixels
            raise FaceSegKitError(f"Cannot save {path}: {error}.") from error
