"""A video's frames as people see them: upright, with square pixels, in one size."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.inference.hdr import ToneMapper, is_hdr

if TYPE_CHECKING:  # PyAV (FFmpeg's libraries) is imported for videos only
    from av.video.frame import VideoFrame

MAX_PIXELS = 9_000_000  # of a result; more would take over a gigabyte to encode
MAX_SIDE = 16_384  # of H.264
_BT709, _UNSPECIFIED = 1, 2  # matrices, in FFmpeg's numbers
_MAX_STRETCH = 10  # pixel aspect ratios beyond it are damaged


def upright(
    frame: VideoFrame,
    pixel_aspect: Fraction | None,
    tone_mapper: ToneMapper,
    most: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """A frame, RGB uint8 [H, W, 3] with even sides, as its display matrix and aspect ratio say.

    Frames of over `most` pixels, or sides over `MAX_SIDE`, are downsampled; HDR is tone-mapped.
    """
    width, height = shown_size(frame.width, frame.height, pixel_aspect, most)
    hdr = is_hdr(frame)
    decoded: Any = frame.to_ndarray(
        format="rgb48le" if hdr else "rgb24",
        width=width,
        height=height,
        src_colorspace=_matrix_of(frame),
    )
    rgb = tone_mapper(decoded, int(frame.color_trc)) if hdr else decoded
    pixels = _displayed(np.asarray(rgb, np.uint8), frame)
    height, width = (side - side % 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width])


def _matrix_of(frame: VideoFrame) -> int | None:
    """The matrix of a frame that does not say it, as players take it: of HD, BT.709."""
    is_untold = frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb
    return _BT709 if is_untold and (frame.width >= 1280 or frame.height > 576) else None


def shown_size(
    width: int, height: int, pixel_aspect: Fraction | None, most: int = MAX_PIXELS
) -> tuple[int, int]:
    """Width and height with square pixels, at most `most` of them and `MAX_SIDE` a side."""
    aspect = float(pixel_aspect or 1)
    if not 1 / _MAX_STRETCH <= aspect <= _MAX_STRETCH:
        aspect = 1.0
    wide, high = width * max(aspect, 1.0), height / min(aspect, 1.0)
    scale = min(1.0, MAX_SIDE / max(wide, high), (most / (wide * high)) ** 0.5)
    return max(2, round(wide * scale)), max(2, round(high * scale))


def _displayed(pixels: NDArray[np.uint8], frame: VideoFrame) -> NDArray[np.uint8]:
    """Rotate and mirror by the display matrix, which maps (x, y) to (a x + c y, b x + d y)."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return pixels
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(np.int64)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        x_sign, y_sign = a, d
    else:
        pixels, x_sign, y_sign = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if y_sign < 0 else 1, :: -1 if x_sign < 0 else 1]


def fitted(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A frame in another width and height: its shape is kept, with a black border."""
    if pixels.shape[1::-1] == size:
        return pixels
    height, width = pixels.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    image = Image.fromarray(pixels).resize(
        (max(1, round(width * scale)), max(1, round(height * scale)))
    )
    canvas = Image.new("RGB", size)
    canvas.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return np.array(canvas)
