"""Where faces are on a photo, and each of them cut out the way the models were trained on.

A frame is the square that an aligned photo of CelebAMask-HQ would show: the face upright and in
the middle, hair and chin inside, eyes about a quarter of the side apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import FaceROI
from facesegkit.image_io import to_float_nchw

# Of the network in `finder`: pixels between the places that it looks at, and the size of a frame,
# in pixels, that it calls 1. They stand here because faces are found without PyTorch.
STRIDE, USUAL = 8, 64.0

# The finder knows frames of 36 to 120 pixels. So it sees the photo with its longest side at each of
# these: then every frame from a 14th of that side up is shown at a size that it knows, and most
# are at two.
LEVELS = (64, 128, 256, 512)

# Where nobody was found, a second try: of 553 faces on validation scenes, twelve are missed without
# it, and three with it.
LEVELS_BETWEEN = (90, 181, 362)

# How sure the finder has to be of a frame; and of one that is worth a look where there is no surer
# face. On validation scenes a fiftieth of the faces are of the latter kind, most of them turned and
# cut, and on a photo of many patterns most of what is no face.
SURE, HARDLY_SURE = 0.55, 0.45

# Looked at as long as there are still small faces, or none at all. Four times the pixels take four
# times as long, so at the last ones nobody is looked for where all before showed nobody.
FINER_LEVELS = (1024, 2048, 4096)
LAST_LEVEL_FOR_NOBODY = 2048
SMALL = 56.0  # pixels of a frame at the finest level so far, with more such faces likely below it


Detector = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def detect_faces(
    photo: Image.Image, find: Detector, levels: Sequence[int] = LEVELS, sure: float = SURE
) -> list[FaceROI]:
    """The frames of a photo's faces, the surest first.

    Args:
        photo: RGB.
        find: float32 [1, 3, H, W] in 0..1 to float32 [1, 6, H / 8, W / 8], as `train.FaceDetector`.
        levels: lengths, in pixels, of the photo's longest side as it is looked at, ascending.
        sure: how sure the finder has to be.
    """
    found: list[FaceROI] = []
    longest = max(photo.size)
    fine = photo.reduce(max(1, round(longest / levels[-1])))  # fast; the levels are made of it
    for level in levels:
        if level > 64 and level >= 2 * longest:
            break  # enlarged twofold, a photo shows all that it has
        times = level / longest
        size = [max(STRIDE, round(side * times / STRIDE) * STRIDE) for side in photo.size]
        small = fine.resize((size[0], size[1]), Image.Resampling.BILINEAR)
        output = find(to_float_nchw(small))[0]
        across, down = photo.size[0] / size[0], photo.size[1] / size[1]
        found += [
            replace(frame, x=frame.x * across, y=frame.y * down, size=frame.size / times)
            for frame in decode_detections(output, sure)
        ]
    return nms(found)


def decode_detections(output: NDArray[np.float32], sure: float) -> list[FaceROI]:
    """The frames that a finder's output means, float32 [6, h, w]: its peaks."""
    height, width = output.shape[1:]
    logit = output[0]
    padded = np.pad(logit, 1, constant_values=-np.inf)
    around = np.max([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], 0)
    peaks = (logit >= around) & (logit > math.log(sure / (1 - sure)))
    frames = []
    for row, column in zip(*np.nonzero(peaks), strict=True):
        score, dx, dy, size, cosine, sine = (float(value) for value in output[:, row, column])
        frames.append(
            FaceROI(
                x=(column + 0.5 + dx) * STRIDE,
                y=(row + 0.5 + dy) * STRIDE,
                size=USUAL * 2 ** min(max(size, -2.0), 2.0),
                angle=math.atan2(sine, cosine),
                sure=1 / (1 + math.exp(-score)),
            )
        )
    return frames


def next_scale(level: int, faces: Sequence[FaceROI], longest: int) -> int | None:
    """The level at which to look for smaller faces, or None if that is not worth it.

    Args:
        level: the finest that was looked at.
        faces: those that were found so far.
        longest: side of the photo, in pixels.
    """
    finer = next((one for one in FINER_LEVELS if one > level), None)
    if finer is None or finer >= 2 * longest:
        return None
    if faces:
        smallest = min(face.size for face in faces) * level / longest
        return finer if smallest < SMALL else None
    return finer if finer <= LAST_LEVEL_FOR_NOBODY else None


def nms(frames: list[FaceROI]) -> list[FaceROI]:
    """The surest of those that lie on each other."""
    kept: list[FaceROI] = []
    for frame in sorted(frames, key=lambda frame: -frame.sure):
        if all(
            math.hypot(frame.x - other.x, frame.y - other.y) > 0.3 * max(frame.size, other.size)
            for other in kept
        ):
            kept.append(frame)
    return kept


# --- Whether there is a face in what was cut out, and how it stands ----------------------------
