"""Reads whatever photo a person has, and fits it into the square that a model sees."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError

from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import BBox, tiles
from facesegkit.system.files import check_is_file

# A program that segments a photo is to stay below 1 GB, and takes some 100 MB by itself. This
# leaves room for 120 megapixels of a plain JPEG or PNG. Phones make 12 or 50, and more on request.
MAX_MEMORY = 850_000_000  # bytes


PADDING = (127, 127, 127)  # mid grey, which is neither bright nor dark to a model

# What photos come in. Of the other formats that Pillow reads some run another program (EPS runs
# Ghostscript), some take minutes, and none is what a stranger's file should be opened with.
FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000",
    "PCX", "PNG", "PPM", "PSD", "TGA", "TIFF", "WEBP",
)  # fmt: skip

# What decoders take at the most, in bytes a pixel, with the picture that they give. Pillow keeps
# four bytes for each pixel of colour. tests/test_large_photos.py has photos of each kind measured.
_DECODING = {"WEBP": 20, "AVIF": 15, "JPEG2000": 25, "TIFF": 10}
_COLOUR = 4
_LABELS = 3  # of the faces, turned back and all together
_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
_SCANS = 6  # of a JPEG in several scans, even of a reduced one: all coefficients are kept
_MANY_PIXELS = 60_000_000  # of which it has to be known whether there are several scans

# A marker that is followed by its length; others stand alone or are part of the pixels.
_JPEG_SEGMENT = re.compile(rb"\xff[\xc0-\xcf\xda-\xfe](?=(..))", re.DOTALL)
_START_OF_SCAN = 0xDA
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # tags of TIFF

# Formats that take so long to decode that a photo at the limit of memory would seem to hang.
_MAX_PIXELS = {"JPEG2000": 30_000_000}
_MAX_PIXELS_IN_PYTHON = 5_000_000
_IN_PYTHON = {"bmp_rle", "ppm", "ppm_plain"}  # decoders that Pillow has written in it
_MOST_SCANS = 100  # of a JPEG, each of which goes over the whole picture; encoders make ten

_TURNS = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTER_TURNS = {turn for orientation, turn in _TURNS.items() if orientation > 4}

# Highest values that the pixels of these modes are meant to reach, the likeliest first.
_FULL_SCALES = {"I;16": (65535.0,), "I": (65535.0,), "F": (1.0, 255.0, 65535.0)}


def read_photo(source: Path | str | BinaryIO) -> Image.Image:
    """Read a photo of any kind, upright, as 8-bit RGB.

    The first frame of an animation is taken, see `upright_rgb` for the rest.

    Args:
        source: a path, or a file open for reading bytes.

    Raises:
        FaceSegKitError: there is no such file, it is not a picture, it is damaged or cut short,
            or reading it takes more than `MAX_MEMORY`.
    """
    with _opened(source) as image:
        photo, _ = _decoded(image, image.size, source)
    return photo


def read_reduced(source: Path | str | BinaryIO, side: int) -> tuple[Image.Image, tuple[int, int]]:
    """Read a photo to be shrunk, much faster than `read_photo` where it is a large JPEG.

    A JPEG decoder can leave out the finest detail and give a half, a quarter or an eighth of the
    size at once (W. Pennebaker, J. Mitchell, "JPEG", 1993, on hierarchical decoding).

    Args:
        source: a path, or a file open for reading bytes.
        side: the photo's longest side will be at least this, in pixels, if it is so in the file.

    Returns:
        The photo, upright, as 8-bit RGB; and the width and height it has in the file, upright.

    Raises:
        FaceSegKitError: as `read_photo`.
    """
    with _opened(source) as image:
        whole = image.size
        scale = min(1, side / max(whole))
        image.draft(image.mode, (math.ceil(whole[0] * scale), math.ceil(whole[1] * scale)))
        photo, lies_down = _decoded(image, whole, source)
    return photo, (whole[1], whole[0]) if lies_down else whole


def _name(source: Path | str | BinaryIO) -> str:
    return str(source if isinstance(source, (str, Path)) else getattr(source, "name", "the photo"))


def _opened(source: Path | str | BinaryIO) -> Image.Image:
    """A picture of which only the head has been read."""
    name = _name(source)
    if isinstance(source, (str, Path)):
        check_is_file(source)
    try:
        with _pillow_quiet():
            image = Image.open(source, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise FaceSegKitError(f"{name} is too large: {error}") from error
    except Exception as error:  # on damaged files each of Pillow's readers has errors of its own
        raise FaceSegKitError(_why_not_opened(name, error)) from error
    return image


def _decoded(
    image: Image.Image, whole: tuple[int, int], source: Path | str | BinaryIO
) -> tuple[Image.Image, bool]:
    """The picture of a file that had this size before it was drafted, upright, RGB.

    And whether it lies on its side in the file, so that width and height change places.
    """
    with _pillow_quiet():
        _check_size(image, whole, _name(source))
        try:
            before = image.size
            image.load()  # turns a TIFF by itself, and forgets that it had to be
            turn = _turn_of(image)
            lies_down = turn in _QUARTER_TURNS or image.size != before
            rgb = _as_rgb(image)
            if rgb is not image:
                image.close()  # frees its pixels; there may be no room for three large pictures
            return (rgb if turn is None else rgb.transpose(turn)), lies_down
        except MemoryError as error:
            raise FaceSegKitError(
                f"There is not enough memory for {_name(source)}; make it smaller first."
            ) from error
        except Exception as error:  # as above
            reason = str(error) or "its parts contradict each other"
            raise FaceSegKitError(f"{_name(source)} is damaged or cut short: {reason}.") from error


def _check_size(image: Image.Image, whole: tuple[int, int], name: str) -> None:
    """See that a picture, of which little more than the head has been read, may be decoded."""
    pixels = max(image.width * image.height, _tile_pixels(image))
    scans = 1
    if image.info.get("progressive") or whole[0] * whole[1] > _MANY_PIXELS:
        scans = _scans(image)
    most = _MAX_PIXELS.get(image.format or "", pixels)
    if any(tile[0] in _IN_PYTHON for tile in getattr(image, "tile", ())):
        most = _MAX_PIXELS_IN_PYTHON
    is_rgb = image.mode == "RGB" and not image.has_transparency_data
    needed = _memory(image, whole, pixels, scans, is_copied=not is_rgb)
    if is_rgb and needed <= MAX_MEMORY and _turn_of(image) is not None:  # this decodes a PNG
        needed = _memory(image, whole, pixels, scans, is_copied=True)
    if needed > MAX_MEMORY or pixels > most or scans > _MOST_SCANS:
        raise FaceSegKitError(
            f"{name} is too large: {whole[0]} x {whole[1]} pixels of this kind take too much "
            f"memory or time; make it smaller first."
        )


def _memory(
    image: Image.Image, whole: tuple[int, int], pixels: int, scans: int, *, is_copied: bool
) -> int:
    """Bytes that a photo takes at the most, from decoding it to the labels of its faces."""
    kept = _PIXEL_BYTES.get(image.mode, _COLOUR)
    decoding = _DECODING.get(image.format or "", kept)
    needed = max(decoding, kept + _COLOUR if is_copied else kept) * pixels
    whole_pixels = whole[0] * whole[1]
    if scans > 1:
        needed = max(needed, _COLOUR * pixels + _SCANS * whole_pixels)
    return needed + _LABELS * whole_pixels


def _tile_pixels(image: Image.Image) -> int:
    """Pixels of a TIFF's tiles, each of which is decoded whole, however small the picture is."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    width, height = (image.tag_v2.get(tag, 0) for tag in (_TILE_WIDTH, _TILE_LENGTH))
    return width * height if isinstance(width, int) and isinstance(height, int) else 0


def _scans(image: Image.Image) -> int:
    """How often a JPEG's file goes over the picture: once, or for a progressive one several times.

    Its segments are walked, since another JPEG may lie in one of them as a thumbnail.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.fp is None:
        return 1
    before = image.fp.tell()
    image.fp.seek(0)
    content = image.fp.read()
    image.fp.seek(before)
    place = scans = 0
    while segment := _JPEG_SEGMENT.search(content, place):
        scans += segment[0][1] == _START_OF_SCAN
        place = segment.end() + int.from_bytes(segment[1], "big")
    return scans


@contextmanager
def _pillow_quiet() -> Iterator[None]:
    """Without Pillow's warnings, of damaged metadata or of more than 89 megapixels.

    A photo that fits into memory is welcome, and what cannot be read is said in an error.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _why_not_opened(name: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"There is no photo {name}."
    if isinstance(error, IsADirectoryError):
        return f"{name} is a folder, not a photo."
    if isinstance(error, OSError) and error.strerror:  # said by the operating system, not Pillow
        return f"Cannot read {name}: {error.strerror}."
    if not isinstance(error, UnidentifiedImageError):
        return f"{name} is damaged or cut short: {error}."
    if os.path.isfile(name) and os.path.getsize(name) == 0:
        return f"{name} is empty (0 bytes)."
    if name.lower().endswith((".heic", ".heif")):
        return f"{name} is a HEIC photo, which is not read here; save it as JPEG or PNG first."
    return f"{name} is not a picture in a format that is read here."


def upright_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as 8-bit RGB, turned as its EXIF orientation says.

    Transparency is laid over white. Pixels of more than 8 bits are scaled, not clipped: from the
    full range of their kind (0..65535; for floats 0..1, else 0..255), or from the darkest to the
    lightest pixel where the values go beyond it. An image that needs nothing is returned itself,
    since a copy of a large one takes hundreds of megabytes.
    """
    image.load()  # as above
    turn = _turn_of(image)
    rgb = _as_rgb(image)
    return rgb if turn is None else rgb.transpose(turn)


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    """What makes a picture upright, as its EXIF orientation says; None if nothing need be done."""
    # A photo with unreadable EXIF data is a photo all the same.
    with suppress(Exception):
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return None


def _as_rgb(image: Image.Image) -> Image.Image:
    """The picture itself if it is RGB already, else a copy."""
    if image.mode.startswith(("I", "F")):
        scale = _eight_bit_scale(image)
        return _in_pieces(image, lambda piece: Image.fromarray(scale(np.asarray(piece))))
    if image.has_transparency_data:
        return _in_pieces(image, _over_white)
    return image if image.mode == "RGB" else image.convert("RGB")


def _in_pieces(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """The whole of a picture converted to RGB, a piece at a time to save memory."""
    whole = Image.new("RGB", image.size)
    for box in tiles(image.size):
        whole.paste(convert(image.crop(box)), box)
    return whole


def _over_white(image: Image.Image) -> Image.Image:
    # Pillow turns premultiplied grey, "La", into nothing but "LA".
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba)


def _eight_bit_scale(image: Image.Image) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    """What scales a picture's numbers to 0..255, by the first full scale that holds them all."""
    ranges = []
    for box in tiles(image.size):
        values = _finite(np.asarray(image.crop(box)))
        ranges.append((float(values.min()), float(values.max())))
    black, highest = min(low for low, _ in ranges), max(high for _, high in ranges)
    full_scales = _FULL_SCALES[image.mode[:4]]
    fitting = (full for full in full_scales if black >= 0 and highest <= full)
    full = next(fitting, None)
    if full is None:
        full = max(highest - black, 1.0)
    else:
        black = 0.0

    def scale(values: NDArray[Any]) -> NDArray[np.uint8]:
        # In this order, since of two huge floats the difference is none.
        shares = _finite(values) * np.float32(255 / full) - np.float32(black * (255 / full))
        return np.rint(shares).astype(np.uint8)

    return scale


def _finite(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.nan_to_num(values.astype(np.float32))


def find_photos(folder: Path | str) -> list[Path]:
    """Photos that lie in a folder, by suffix, sorted; hidden files and subfolders are left out.

    Raises:
        FaceSegKitError: there is no such folder, it cannot be read, or no photo lies in it.
    """
    formats = Image.registered_extensions()
    suffixes = {suffix for suffix, kind in formats.items() if kind in (*FORMATS, "MPO")}
    try:
        files = sorted(Path(folder).iterdir())
    except OSError as error:
        raise FaceSegKitError(f"Cannot read the folder {folder}: {error.strerror}.") from error
    photos = [
        file
        for file in files
        if file.suffix.lower() in suffixes and not file.name.startswith(".") and file.is_file()
    ]
    if not photos:
        raise FaceSegKitError(f"There is no photo (.jpg, .png, ...) in the folder {folder}.")
    return photos


def to_float_nchw(picture: Image.Image | NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a network takes: an RGB picture, [H, W, 3], as float32 [1, 3, H, W] in 0..1."""
    values = np.asarray(picture).transpose(2, 0, 1)[None]
    return np.ascontiguousarray(values, np.float32) / np.float32(255)


def shrink_to(photo: Image.Image, side: int, shape: tuple[int, int] | None = None) -> Image.Image:
    """A photo with its longest side shrunk, if need be, to this many pixels.

    Args:
        photo: RGB.
        side: the longest that a side may be.
        shape: width and height to shrink from, where the photo is a reduced copy (see
            `read_reduced`).
    """
    shape = shape or photo.size
    scale = min(1, side / max(shape))
    width, height = (max(1, round(length * scale)) for length in shape)
    return photo.resize((width, height), reducing_gap=3.0)


def fit_square(
    photo: Image.Image, size: int, shape: tuple[int, int] | None = None
) -> tuple[Image.Image, BBox]:
    """Shrink or enlarge a photo, keeping its shape, into the middle of a grey square.

    Args:
        photo: RGB.
        size: side of the square, in pixels.
        shape: width and height to keep the ratio of, where the photo's own are those of a
            reduced copy and rounded (see `read_reduced`).

    Returns:
        The square, RGB, and where in it the photo lies (at least one pixel each way).
    """
    shape = shape or photo.size
    scale = size / max(shape)
    width, height = (max(1, round(side * scale)) for side in shape)
    left, top = (size - width) // 2, (size - height) // 2
    # Pillow widens the filter as it shrinks, so nothing aliases; the gap lets it average whole
    # blocks first, which is several times faster on a large photo.
    small = photo.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    square = Image.new("RGB", (size, size), PADDING)
    square.paste(small, (left, top))
    return square, BBox(left, top, left + width, top + height)
