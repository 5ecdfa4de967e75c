"""Reading photos of any kind as upright RGB images, and resizing them to a model's input."""

import math
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from facesegkit.geometry import BBox
from facesegkit.system.decode_limits import check_decodable, opened_image
from facesegkit.system.large_images import to_rgb, turned

PADDING = (127, 127, 127)  # mid grey, neither bright nor dark to a model

_TRANSPOSE = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_QUARTER_TURNS = {transpose for orientation, transpose in _TRANSPOSE.items() if orientation > 4}


def read_photo(source: Path | str | BinaryIO) -> Image.Image:
    """Read a photo of any kind as upright 8-bit RGB, as `upright_rgb` converts it.

    `source` is a path, or a file open for reading bytes; of an animation, the first frame is read.
    Raises a FaceSegKitError if there is no such file, it is not an image, it is damaged or
    truncated, or decoding it would exceed the limits of `system.decode_limits`.
    """
    with opened_image(source) as image:
        photo, _ = _decode(image, image.size)
    return photo


def read_reduced(source: Path | str | BinaryIO, side: int) -> tuple[Image.Image, tuple[int, int]]:
    """Read a photo that is to be downsampled; much faster than `read_photo` for large JPEGs.

    A JPEG decoder can skip the finest detail and decode directly to a half, a quarter or an eighth
    of the size (W. Pennebaker, J. Mitchell, "JPEG", 1993, on hierarchical decoding).

    Returns the upright photo as 8-bit RGB, and the width and height of the upright photo in the
    file. Its longer side has at least `side` pixels, unless it is shorter in the file.

    Raises:
        FaceSegKitError: as `read_photo`.
    """
    with opened_image(source) as image:
        full_size = image.size
        scale = min(1, side / max(full_size))
        image.draft(image.mode, (math.ceil(full_size[0] * scale), math.ceil(full_size[1] * scale)))
        photo, is_sideways = _decode(image, full_size)
    return photo, (full_size[1], full_size[0]) if is_sideways else full_size


def _decode(image: Image.Image, full_size: tuple[int, int]) -> tuple[Image.Image, bool]:
    """Decode to upright RGB; also return whether the file stores width and height swapped."""
    check_decodable(image, full_size, lambda: _transpose_of(image) is not None)
    before = image.size
    image.load()  # transposes a TIFF by itself, and deletes its orientation
    transpose = _transpose_of(image)
    is_sideways = transpose in _QUARTER_TURNS or image.size != before
    rgb = to_rgb(image)
    if rgb is not image:
        image.close()  # frees its pixels: there may be no room for three large copies
    return turned(rgb, transpose), is_sideways


def upright_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as 8-bit RGB, rotated and flipped as its EXIF orientation says.

    Transparent pixels are blended over white. An ICC profile is applied. Pixels of more than 8
    bits are scaled, not clipped: from the bits that the file tells, else from 10, 12, 14 or 16, the
    fewest that hold the highest value (16 if it is below 512; floats: 0..1, else 0..255), or from
    the darkest to the lightest pixel beyond these.
    An image that needs no conversion is returned itself: copies of large ones take much memory.
    """
    image.load()  # as in `_decode`
    transpose = _transpose_of(image)
    rgb = to_rgb(image)
    return turned(rgb, transpose)


def _transpose_of(image: Image.Image) -> Image.Transpose | None:
    """The operation that makes an image upright; None if there is nothing to do."""
    with suppress(Exception):  # a photo with unreadable EXIF data is still a photo
        return _TRANSPOSE.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return None


# For inference, which does without PyTorch; `transforms.to_float_images` converts tensors.
def to_float_nchw(image: Image.Image | NDArray[np.uint8]) -> NDArray[np.float32]:
    """An RGB image, uint8 [H, W, 3], as a network's input: float32 [1, 3, H, W] in 0..1."""
    values = np.asarray(image).transpose(2, 0, 1)[None]
    return np.ascontiguousarray(values, np.float32) / np.float32(255)


def shrink_to(photo: Image.Image, side: int, shape: tuple[int, int] | None = None) -> Image.Image:
    """Downsample a photo so that its longer side has at most `side` pixels.

    `shape` is the width and height in the file, if the photo is from `read_reduced`.
    """
    shape = shape or photo.size
    return photo.resize(_scaled(shape, min(1, side / max(shape))), reducing_gap=3.0)


def fit_square(
    photo: Image.Image, size: int, shape: tuple[int, int] | None = None
) -> tuple[Image.Image, BBox]:
    """Resize an RGB photo, keeping its aspect ratio, into the centre of a grey square.

    `size` is the side of the square in pixels; `shape` is the width and height in the file, if the
    photo is from `read_reduced`, which rounds them. Returns the square, RGB, and the box of the
    photo in it (at least one pixel wide and high).
    """
    shape = shape or photo.size
    width, height = _scaled(shape, size / max(shape))
    left, top = (size - width) // 2, (size - height) // 2
    # Pillow widens the filter when it downsamples, so nothing aliases; the gap lets it average
    # whole blocks first, which is several times faster for a large photo.
    resized = photo.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    square = Image.new("RGB", (size, size), PADDING)
    square.paste(resized, (left, top))
    return square, BBox(left, top, left + width, top + height)


def _scaled(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    width, height = shape
    return max(1, round(width * scale)), max(1, round(height * scale))
