"""The explorer's pictures: a region of a photo in one of the views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from facesegkit.course.explorer.results import Comparison, Region
from facesegkit.inference.alignment import box_of
from facesegkit.inference.results import Face
from facesegkit.inference.visualize import overlay
from facesegkit.labels import Colour, LabelScheme

VIEWS = {
    "original": "the photo itself",
    "overlay": "the photo with the colours of the classes on top",
    "contours": "the contours of the classes",
    "mask": "the colours of the classes on black",
    "confidence": "how probable the model considers the class that it predicts",
}
DIFFERENCE = {"only the first": (230, 120, 0), "only the second": (0, 130, 230),
              "another class": (220, 0, 160)}  # fmt: skip
ALL = "all classes"

# Confidences and their colours: light where the model is almost sure, dark where it is not, which
# is readable in grey and to colour-blind people. Where it is sure, the grey photo is visible.
_LEVELS = (0.5, 0.7, 0.85, 0.95, 1.0)
_HEAT = ((60, 0, 90), (170, 30, 100), (240, 100, 50), (255, 210, 60), (150, 150, 150))
_OPAQUE = 0.95  # confidence up to which the colours hide the photo


@dataclass(frozen=True)
class ViewOptions:
    """How a photo is shown."""

    view: str = "overlay"  # one of VIEWS
    opacity: float = 0.5  # of the colours on top of the photo in "overlay", 0..1
    part: str = ALL  # the only class to show
    face: int = 0  # the only face to show, by its number from the left; 0 shows all
    boxes: bool = True  # draw a numbered box around each face


def heat_colours() -> NDArray[np.uint8]:
    """Colours of the confidences 0, 1/255, ..., 1, RGB uint8 [256, 3]."""
    levels = np.linspace(0, 1, 256)
    channels = [np.interp(levels, _LEVELS, channel) for channel in np.array(_HEAT).T]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def heat_gradient() -> str:
    """The colours from 50 to 100 % as a CSS gradient."""
    pairs = zip(_HEAT, _LEVELS, strict=True)
    stops = (f"rgb{colour} {200 * (level - 0.5):.0f}%" for colour, level in pairs)
    return f"linear-gradient(to right, {', '.join(stops)})"


def kept(labels: NDArray[np.uint8], scheme: LabelScheme, part: str) -> NDArray[np.uint8]:
    """Class ids of one class only, by its name; of all for `ALL`, or if there is no such class."""
    if part not in scheme.classes:
        return labels
    number = scheme.class_names.index(part)
    return np.where(labels == number, labels, np.uint8(0))


def draw_view(region: Region, scheme: LabelScheme, options: ViewOptions) -> Image.Image:
    """A region of a photo in a view, RGB."""
    labels = kept(region.labels, scheme, options.part)
    if options.view == "original":
        return region.photo.copy()
    if options.view == "mask":
        return Image.fromarray(scheme.colour(labels))
    if options.view == "confidence":
        return _heat_map(region, labels)
    opacity = options.opacity if options.view == "overlay" else 0.0
    return Image.fromarray(overlay(np.asarray(region.photo), labels, scheme, opacity))


def _heat_map(region: Region, labels: NDArray[np.uint8]) -> Image.Image:
    """The grey photo with colours where the model is not sure, and the classes' contours."""
    grey = ImageOps.grayscale(region.photo)
    seen = region.confidence > 0
    levels = (255 * region.confidence).astype(np.uint8)
    opacity = np.interp(np.linspace(0, 1, 256), (_OPAQUE, 1), (255, 0)).astype(np.uint8)
    alpha = np.where(seen, opacity.take(levels), 0).astype(np.uint8)
    colours = Image.fromarray(heat_colours().take(levels, axis=0))
    # Darker outside of what the model has seen.
    shade = np.where(seen, np.asarray(grey), np.asarray(grey) // 2)
    picture = Image.fromarray(shade).convert("RGB")
    picture.paste(colours, mask=Image.fromarray(alpha))
    edges = np.zeros(labels.shape, bool)
    edges[1:] |= labels[1:] != labels[:-1]
    edges[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    picture.paste((0, 200, 255), mask=Image.fromarray(edges))
    return picture


def draw_difference(region: Region, comparison: Comparison, part: str) -> Image.Image:
    """Where two models disagree, in the colours of DIFFERENCE on the photo in light grey."""
    size = region.photo.size
    maps = (
        kept(_resized(labels, region, size), comparison.scheme, part)
        for labels in (comparison.first, comparison.second)
    )
    first, second = maps
    grey = np.asarray(ImageOps.grayscale(region.photo).convert("RGB"))
    pixels = (grey // 2 + 100).astype(np.uint8)
    pixels[(first > 0) & (first == second)] = pixels[(first > 0) & (first == second)] // 2
    only_first, only_second, other = DIFFERENCE.values()
    pixels[(first > 0) & (second == 0)] = only_first
    pixels[(first == 0) & (second > 0)] = only_second
    pixels[(first > 0) & (second > 0) & (first != second)] = other
    return Image.fromarray(pixels)


def _resized(labels: NDArray[np.uint8], region: Region, size: tuple[int, int]) -> NDArray[np.uint8]:
    part = Image.fromarray(np.ascontiguousarray(labels[region.box.slices]))
    return np.asarray(part.resize(size, Image.Resampling.NEAREST))


def positions(faces: Sequence[Face], region: Region) -> list[list[float]]:
    """Left, top, width and height of each face in fractions of the displayed region."""
    width, height = region.photo.size
    found = []
    for face in faces:
        left, top, right, bottom = (box_of(face.roi) - np.tile(region.box[:2], 2)) * region.scale
        box = (left / width, top / height, (right - left) / width, (bottom - top) / height)
        found.append([round(float(value), 4) for value in box])
    return found


def draw_numbers(picture: Image.Image, boxes: Sequence[Sequence[float]]) -> None:
    """Draw a numbered box around each face, in white on black, visible on any photo."""
    draw = ImageDraw.Draw(picture)
    size = max(14, round(max(picture.size) / 42))
    font = ImageFont.load_default(size=size)
    for number, (x, y, across, down) in enumerate(boxes, start=1):
        left, top = x * picture.width, y * picture.height
        right, bottom = left + across * picture.width, top + down * picture.height
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline="black", width=3)
        draw.rectangle((left, top, right, bottom), outline="white")
        label, corner = str(number), (max(2, left), max(2, top - 1.4 * size))
        across_label = font.getlength(label) + 0.7 * size
        draw.rectangle((*corner, corner[0] + across_label, corner[1] + 1.35 * size), "black")
        middle = corner[0] + across_label / 2, corner[1] + 0.68 * size
        draw.text(middle, label, "white", font, anchor="mm")


def legend(scheme: LabelScheme) -> list[tuple[str, Colour]]:
    """Names and colours of the classes."""
    return list(zip(scheme.classes, scheme.colours, strict=True))


def probe_of(region: Region) -> Image.Image:
    """What hovering shows: class ids in red, confidence (255 is 1) in green, for the browser."""
    confidence = (255 * region.confidence).astype(np.uint8)
    return Image.fromarray(np.stack([region.labels, confidence, np.zeros_like(confidence)], axis=2))
