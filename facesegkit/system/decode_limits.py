"""Which image files can be read: supported formats, limits on memory and decoding time."""

import math
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError

from facesegkit.errors import FaceSegKitError
from facesegkit.system.colour_profiles import gamma_table, profile_of
from facesegkit.system.files import check_is_file
from facesegkit.system.image_containers import (
    RAW_SUFFIXES,
    check_not_raw,
    note_bits,
    raw_message,
    without_ballast,
)

# Common photo formats. Some of the other formats that Pillow reads run another program (EPS runs
# Ghostscript) or take minutes, which makes them unsafe for files from strangers.
FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000",
    "PCX", "PNG", "PPM", "PSD", "TGA", "TIFF", "WEBP",
)  # fmt: skip

_ANIMATED = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")

# Segmenting a photo must take less than 1 GB, of which the program itself takes about 100 MB. This
# leaves room for 120 megapixels of a plain JPEG or PNG; phones take 12 or 50, or more on request.
MAX_MEMORY = 850_000_000  # bytes

# Peak memory of the decoders in bytes per pixel, including the decoded image, measured with the
# files of tests/cli/test_large_photos.py. Pillow stores a colour pixel in four bytes.
_DECODING = {"WEBP": 20, "AVIF": 15, "HEIF": 15, "JPEG2000": 25, "TIFF": 10}
_COLOUR = 4
_LABELS = 3  # label maps of single faces, warped back, and the combined one
_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
_SCANS = 6  # coefficients of a JPEG with several scans, which are all kept, even when reduced
_MANY_PIXELS = 60_000_000  # from this size on, the scans of any JPEG are counted

# Formats whose decoding takes so long that a photo at the memory limit would seem to hang.
_MAX_PIXELS = {"JPEG2000": 30_000_000}
_MAX_PIXELS_IN_PYTHON = 5_000_000
_IN_PYTHON = {"bmp_rle", "ppm", "ppm_plain"}  # Pillow's decoders written in Python
_MAX_SCANS = 100  # of a JPEG; each scan covers the whole image, and encoders write about ten

# A marker followed by its length; the other markers stand alone or belong to the pixel data.
_JPEG_SEGMENT = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe](?=(..|$))", re.DOTALL)
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_MAX_JPEG_BYTES = 200_000_000  # that are searched for scans; the largest photos take about 100 MB
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF tags
_Size = tuple[int, int]


@contextmanager
def opened_image(source: Path | str | BinaryIO) -> Iterator[Image.Image]:
    """Open an image file; the body decodes it, because only the header has been read.

    Pillow's warnings, about damaged metadata and about more than 89 megapixels, are ignored: photos
    that fit into memory are accepted, and everything that cannot be read raises an error. Raises a
    FaceSegKitError if opening or decoding it fails in any way.
    """
    if isinstance(source, (str, Path)):
        name = str(source)
        check_is_file(source)
    else:
        name = str(getattr(source, "name", "the photo"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with _opened(source) as file:
                known = (*FORMATS, "HEIF") if "HEIF" in Image.OPEN else FORMATS  # a package's
                with Image.open(file, formats=known) as image:
                    check_not_raw(image, name)
                    note_bits(image)
                    yield image
        except FaceSegKitError:
            raise
        except Exception as error:  # each of Pillow's readers raises its own on damaged files
            raise FaceSegKitError(_explanation(name, error)) from error


@contextmanager
def _opened(source: Path | str | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(source, (str, Path)):
        with open(source, "rb") as file:
            yield without_ballast(file, str(source))
    else:
        yield without_ballast(source, str(getattr(source, "name", "the photo")))


def has_more_frames(path: Path) -> bool:
    """Whether an image file that can be read is an animation, or has several pages."""
    with opened_image(path) as image:  # of photos, MPO and PSD have previews and layers
        return image.format in _ANIMATED and bool(getattr(image, "is_animated", False))


def _explanation(name: str, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"{name} is too large: {error}"
    if isinstance(error, MemoryError):
        return f"There is not enough memory for {name}; make it smaller first."
    if isinstance(error, FileNotFoundError):
        return f"There is no photo {name}."
    if isinstance(error, IsADirectoryError):
        return f"{name} is a folder, not a photo."
    if isinstance(error, OSError) and error.strerror:  # from the operating system, not Pillow
        return f"Cannot read {name}: {error.strerror}."
    if not isinstance(error, UnidentifiedImageError):
        reason = " ".join(str(error).split()).rstrip(".: ") or "its parts contradict each other"
        return f"{name} is damaged or truncated: {reason}."
    if os.path.isfile(name) and os.path.getsize(name) == 0:
        return f"{name} is empty (0 bytes)."
    if (suffix := os.path.splitext(name)[1].lower()) in RAW_SUFFIXES:
        return raw_message(name, suffix[1:].upper())
    if name.lower().endswith((".heic", ".heif")):
        return f"{name} is a HEIC photo, which is not supported; save it as JPEG or PNG first."
    return f"{name} is not an image in a supported format."


def check_decodable(image: Image.Image, full_size: _Size, is_rotated: Callable[[], bool]) -> None:
    """Check that an image, of which only the header has been read, may be decoded.

    It may be reduced with `draft`; `full_size` is its width and height in the file. `is_rotated`,
    whether the EXIF orientation requires a second, transposed copy, is called only if one copy
    fits, because reading the orientation of a PNG decodes it. Raises a DecompressionBombError if
    decoding would take too much memory or time.
    """
    pixels, full_pixels = max(image.width * image.height, _tile_pixels(image)), math.prod(full_size)
    is_suspect = image.info.get("progressive") or full_pixels > _MANY_PIXELS
    scans = _count_scans(image) if is_suspect else 1
    max_pixels = _MAX_PIXELS.get(image.format or "", pixels)
    if any(tile[0] in _IN_PYTHON for tile in getattr(image, "tile", ())):
        max_pixels = _MAX_PIXELS_IN_PYTHON
    is_rgb = image.mode == "RGB" and not image.has_transparency_data
    is_rgb = is_rgb and not profile_of(image) and not gamma_table(image)
    needed = _peak_memory(image, full_pixels, pixels, scans, is_copied=not is_rgb)
    if is_rgb and needed <= MAX_MEMORY and is_rotated():
        needed = _peak_memory(image, full_pixels, pixels, scans, is_copied=True)
    if needed > MAX_MEMORY or pixels > max_pixels or scans > _MAX_SCANS:
        kind = f"{full_size[0]} x {full_size[1]} pixels of this kind take too much memory or time"
        raise Image.DecompressionBombError(f"{kind}; make it smaller first.")


def _peak_memory(image: Image.Image, full: int, pixels: int, scans: int, is_copied: bool) -> int:
    """Upper bound in bytes, from decoding the photo to the label maps of its faces."""
    kept = _PIXEL_BYTES.get(image.mode, _COLOUR)
    decoding = _DECODING.get(image.format or "", kept)
    needed = max(decoding, kept + _COLOUR if is_copied else kept) * pixels
    if scans > 1:
        needed = max(needed, _COLOUR * pixels + _SCANS * full)
    return needed + _LABELS * full


def _tile_pixels(image: Image.Image) -> int:
    """Pixels of one tile of a TIFF, which is decoded whole however small the image is."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    width, height = (image.tag_v2.get(tag, 0) for tag in (_TILE_WIDTH, _TILE_LENGTH))
    return width * height if isinstance(width, int) and isinstance(height, int) else 0


def _count_scans(image: Image.Image) -> int:
    """Number of scans in a JPEG file: one, or several if it is progressive."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.fp is None:
        return 1
    before = image.fp.tell()
    image.fp.seek(0)
    content = image.fp.read(_MAX_JPEG_BYTES)  # a film may follow
    image.fp.seek(before)
    # Segment by segment, because one of them may contain another JPEG as a thumbnail.
    position = scans = 0
    while segment := _JPEG_SEGMENT.search(content, position):
        if segment[0][1] == _END_OF_IMAGE:
            break
        scans += segment[0][1] == _START_OF_SCAN
        position = segment.end() + int.from_bytes(segment[1], "big")
    return scans
