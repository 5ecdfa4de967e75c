"""How much memory a video takes: which are refused, and how large the results of others can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facesegkit.errors import FaceSegKitError
from facesegkit.inference.video_frames import MAX_PIXELS

_MEMORY = 950_000_000  # bytes
_PROGRAM = 170_000_000  # of which the program takes, and the network
_RESULT = 36  # bytes of each pixel of the result, with those of the encoder
# Decoded frames that are held at once: two, or those that later frames may refer to.
_HELD = {"h264": 8, "hevc": 8, "vp9": 9, "av1": 9, "libdav1d": 9, "libaom-av1": 9}
_LEAST = 2_000_000  # pixels of a result that is still worth having


def result_pixels(video: Any, source: Path) -> int:
    """The most pixels that the result of a video stream may have.

    Raises a FaceSegKitError if decoding the video alone would take too much memory.
    """
    context = video.codec_context
    bits = context.format.padded_bits_per_pixel if context.format else 24
    held = _HELD.get(context.name, 2) * video.width * video.height * bits // 8
    most = (_MEMORY - _PROGRAM - held) // _RESULT
    if most < _LEAST:
        size = f"{video.width} x {video.height} pixels of this kind"
        problem = f"{size} take over a gigabyte of memory; make it smaller first"
        raise FaceSegKitError(f"{source} is too large: {problem}.")
    return min(MAX_PIXELS, int(most))
