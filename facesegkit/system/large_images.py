"""Large images, tile by tile to save memory: conversion of any pixel format to 8-bit RGB."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import BBox
from facesegkit.system.colour_profiles import gamma_table, profile_of, to_srgb
from facesegkit.system.image_containers import BITS

_Conversion = Callable[[Image.Image], Image.Image]

_MAX_TILE = 1_000_000  # pixels
_IN_TILES = ("P", "LA", "I;16", "I")  # modes whose colours are converted after their pixels

# Where Pillow keeps an orientation, in the `info` of an image.
_ORIENTED = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")

# Values that stand for white in these modes, the lowest first. Cameras and scanners store 10, 12 or
# 14 bits in 16 without scaling them. An image of 9 bits or fewer may as well be a dark one of 16.
_DEPTHS, _DARKEST = (1023.0, 4095.0, 16383.0, 65535.0), 511
_WHITE_LEVELS = {"I;16": _DEPTHS, "I": _DEPTHS, "F": (1.0, 255.0, 65535.0)}


def tiles(size: tuple[int, int]) -> Iterator[BBox]:
    """Boxes that cover an image of this width and height, to process large images in pieces."""
    width, height = size
    across = max(1, min(width, _MAX_TILE))
    down = _MAX_TILE // across
    for top in range(0, height, down):
        for left in range(0, width, across):
            yield BBox(left, top, min(width, left + across), min(height, top + down))


def to_rgb(image: Image.Image) -> Image.Image:
    """The image itself if it is RGB already, and sRGB as far as it says; else a copy."""
    if table := gamma_table(image):
        return _plain_rgb(image).point(table * 3)
    profile = profile_of(image)
    if not profile:
        return _plain_rgb(image)
    if image.mode not in _IN_TILES:
        return _plain_rgb(to_srgb(image, profile))
    deep = _conversion_to_8_bit(image) if image.mode.startswith("I") else None

    def convert(tile: Image.Image) -> Image.Image:
        if deep:
            return to_srgb(deep(tile), profile)
        if tile.mode == "P":
            tile = tile.convert("RGBA")
        return _blend_over_white(to_srgb(tile, profile))

    return _in_tiles(image, convert)


def _plain_rgb(image: Image.Image) -> Image.Image:
    """Values as they are, whatever the colours of the image are."""
    if image.mode.startswith(("I", "F")):
        return _in_tiles(image, _conversion_to_8_bit(image))
    if image.has_transparency_data:
        return _in_tiles(image, _blend_over_white)
    return image if image.mode == "RGB" else image.convert("RGB")


def _in_tiles(image: Image.Image, convert: _Conversion) -> Image.Image:
    rgb = Image.new("RGB", image.size)
    for box in tiles(image.size):  # to save memory
        rgb.paste(convert(image.crop(box)), box)
    return rgb


def turned(image: Image.Image, transpose: Image.Transpose | None) -> Image.Image:
    """The image turned or flipped, without the metadata that say so: it would be turned again."""
    if transpose is None:
        return image
    upright = image.transpose(transpose)
    for name in _ORIENTED:
        upright.info.pop(name, None)
    return upright


def _blend_over_white(image: Image.Image) -> Image.Image:
    # Pillow converts premultiplied grey, "La", only to "LA".
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba)


def _conversion_to_8_bit(image: Image.Image) -> _Conversion:
    """Scaling of pixel values to 0..255 by the first white level that none of them exceeds."""
    arrays = (_finite(image.crop(box)) for box in tiles(image.size))
    ranges = np.array([(values.min(), values.max()) for values in arrays], np.float64)
    black, highest = float(ranges.min()), float(ranges.max())
    levels = _white_levels(image, highest)
    white = next((w for w in levels if black >= 0 and highest <= w), None)
    scale, black = (255 / white, 0.0) if white else (255 / max(highest - black, 1.0), black)

    def convert(tile: Image.Image) -> Image.Image:
        # Multiply before subtracting: the difference of two huge floats may overflow.
        scaled = _finite(tile) * np.float32(scale) - np.float32(black * scale)
        return Image.fromarray(np.rint(scaled).astype(np.uint8))

    return convert


def _white_levels(image: Image.Image, highest: float) -> tuple[float, ...]:
    levels = _WHITE_LEVELS[image.mode[:4]]
    if levels is not _DEPTHS:
        return levels
    if bits := image.info.get(BITS):  # decides, as far as the pixels agree
        return (2.0**bits - 1, 65535.0)
    return levels if highest > _DARKEST else levels[-1:]


def _finite(image: Image.Image) -> NDArray[np.float32]:
    return np.nan_to_num(np.asarray(image).astype(np.float32))
