"""Reads whatever photo a person has, and fits it into the square that a model sees."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from facesegkit.errors import FaceSegKitError

# The largest phone cameras give 200 megapixels only on request, 50 by default. A photo at this
# limit takes 450 MB as RGB. Pillow itself stops at 179 megapixels.
MAX_PIXELS = 150_000_000

PADDING = (127, 127, 127)  # mid grey, which is neither bright nor dark to a model

# Formats that Pillow lists as readable but that hold no photo, or need another program.
_NOT_PHOTOS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}

# Highest values that the pixels of these modes are meant to reach, the likeliest first.
_FULL_SCALES = {"I;16": (65535.0,), "I": (65535.0,), "F": (1.0, 255.0, 65535.0)}


def read_photo(source: Path | str | BinaryIO) -> Image.Image:
    """Read a photo of any kind, upright, as 8-bit RGB.

    The first frame of an animation is taken, see `upright_rgb` for the rest.

    Args:
        source: a path, or a file open for reading bytes.

    Raises:
        FaceSegKitError: there is no such file, it is not a picture, it is damaged or cut short,
            or it has more than `MAX_PIXELS` pixels.
    """
    with _opened(source) as image:
        return _decoded(image, source)


def read_small(source: Path | str | BinaryIO, side: int) -> tuple[Image.Image, tuple[int, int]]:
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
        drafted = image.size
        photo = _decoded(image, source)
    turned = photo.size != drafted
    # A square that is turned by a quarter has the same size.
    return photo, (whole[1], whole[0]) if turned else whole


def _name(source: Path | str | BinaryIO) -> str:
    return str(source if isinstance(source, (str, Path)) else getattr(source, "name", "the photo"))


def _opened(source: Path | str | BinaryIO) -> Image.Image:
    """A picture of which only the head has been read."""
    name = _name(source)
    try:
        with _pillow_quiet():
            image = Image.open(source)
    except Image.DecompressionBombError as error:
        raise FaceSegKitError(f"{name} is too large: {error}") from error
    except Exception as error:  # on damaged files each of Pillow's readers has errors of its own
        raise FaceSegKitError(_why_not_opened(name, error)) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise FaceSegKitError(
            f"{name} is too large: {image.width} x {image.height} pixels, where "
            f"{MAX_PIXELS // 1_000_000} million is the limit; make it smaller first."
        )
    return image


def _decoded(image: Image.Image, source: Path | str | BinaryIO) -> Image.Image:
    try:
        with _pillow_quiet():
            return upright_rgb(image)
    except Exception as error:  # as above
        reason = str(error) or "its parts contradict each other"
        raise FaceSegKitError(f"{_name(source)} is damaged or cut short: {reason}.") from error


@contextmanager
def _pillow_quiet() -> Iterator[None]:
    """Without Pillow's warnings, of damaged metadata or of more than 89 megapixels.

    A photo below `MAX_PIXELS` is welcome, and what cannot be read is said in an error.
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
        return f"{name} is a HEIC photo, which Pillow does not read; save it as JPEG or PNG first."
    return f"{name} is not a picture in a format that Pillow reads."


def upright_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as 8-bit RGB, turned as its EXIF orientation says.

    Transparency is laid over white. Pixels of more than 8 bits are scaled, not clipped: from the
    full range of their kind (0..65535; for floats 0..1, else 0..255), or from the darkest to the
    lightest pixel where the values go beyond it. An image that needs nothing is returned itself,
    since a copy of a large one takes hundreds of megabytes.
    """
    image.load()
    # A photo with unreadable EXIF data is a photo all the same.
    with suppress(Exception):
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image), _FULL_SCALES[image.mode[:4]]))
    elif image.has_transparency_data:
        # Pillow turns premultiplied grey, "La", into nothing but "LA".
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba)
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(values: NDArray[Any], full_scales: tuple[float, ...]) -> NDArray[np.uint8]:
    """Scale numbers of any range to 0..255, by the first of `full_scales` that holds them all."""
    finite = np.nan_to_num(values.astype(np.float32), copy=False)
    black, highest = float(finite.min()), float(finite.max())
    fitting = (full for full in full_scales if black >= 0 and highest <= full)
    full = next(fitting, None)
    if full is None:
        full = max(highest - black, 1.0)
    else:
        black = 0.0
    # In place, to save memory; and in this order, since of two huge floats the difference is none.
    finite *= 255 / full
    finite -= black * (255 / full)
    return np.rint(finite, out=finite).astype(np.uint8)


def find_photos(folder: Path | str) -> list[Path]:
    """Photos that lie in a folder, by suffix, sorted; hidden files and subfolders are left out.

    Raises:
        FaceSegKitError: there is no such folder, it cannot be read, or no photo lies in it.
    """
    formats = Image.registered_extensions()
    suffixes = {
        suffix for suffix, kind in formats.items() if kind in Image.OPEN.keys() - _NOT_PHOTOS
    }
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


def planes(picture: Image.Image | NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a network takes: an RGB picture, [H, W, 3], as float32 [1, 3, H, W] in 0..1."""
    values = np.asarray(picture).transpose(2, 0, 1)[None]
    return np.ascontiguousarray(values, np.float32) / np.float32(255)


class Box(NamedTuple):
    """Whole pixels from `left` up to but not including `right`, from `top` to `bottom`."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array [H, W, ...]."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def fit_square(
    photo: Image.Image, size: int, shape: tuple[int, int] | None = None
) -> tuple[Image.Image, Box]:
    """Shrink or enlarge a photo, keeping its shape, into the middle of a grey square.

    Args:
        photo: RGB.
        size: side of the square, in pixels.
        shape: width and height to keep the ratio of, where the photo's own are those of a
            reduced copy and rounded (see `read_small`).

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
    return square, Box(left, top, left + width, top + height)
