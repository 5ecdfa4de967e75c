"""Where faces are on a photo, and each of them cut out the way the models were trained on.

A frame is the square that an aligned photo of CelebAMask-HQ would show: the face upright and in
the middle, hair and chin inside, eyes about a quarter of the side apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.crop import Crop
from facesegkit.photos import PADDING, Box, planes
from facesegkit.upscaling import classes_at

# Of the network in `finder`: pixels between the places that it looks at, and the size of a frame,
# in pixels, that it calls 1. They stand here because faces are found without PyTorch.
STRIDE, USUAL = 8, 64.0

# The finder knows frames of 36 to 120 pixels. So it sees the photo with its longest side at each of
# these: then every frame from a 14th of that side up is shown at a size that it knows, and most
# are at two.
LEVELS = (64, 128, 256, 512)

# x' = a x + b y + c and y' = d x + e y + f as (a, b, c, d, e, f), as Pillow's `transform` wants it.
Affine = tuple[float, float, float, float, float, float]

Find = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Frame:
    """The square around a face.

    Args:
        x: of its middle, in pixels of the photo.
        y: of its middle.
        size: its side, in pixels.
        angle: by how much the face is turned clockwise, in radians.
        sure: how sure the finder is that there is a face, 0..1.
    """

    x: float
    y: float
    size: float
    angle: float
    sure: float

    def enlarged(self, times: float) -> Frame:
        """The same place on a photo that is enlarged."""
        return replace(self, x=self.x * times, y=self.y * times, size=self.size * times)

    def part(self, crop: Crop) -> Frame:
        """The frame of a part of what this one shows."""
        x, y = (middle - 0.5 for middle in (crop.x, crop.y))
        cosine, sine = math.cos(self.angle) * self.size, math.sin(self.angle) * self.size
        return replace(
            self,
            x=self.x + cosine * x - sine * y,
            y=self.y + sine * x + cosine * y,
            size=self.size * crop.size,
        )

    @property
    def corners(self) -> NDArray[np.float64]:
        """x and y of the upper left, upper right, lower right and lower left corner, [4, 2].

        Upper and left are the face's.
        """
        half = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * self.size
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return half @ np.array([[cosine, sine], [-sine, cosine]]) + (self.x, self.y)

    def to_upright(self, side: int) -> Affine:
        """From places on the photo to places in what the frame shows, upright, `side` wide."""
        scale = side / self.size
        cosine, sine = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        x, y, half = self.x, self.y, side / 2
        return (
            cosine, sine, half - cosine * x - sine * y,
            -sine, cosine, half + sine * x - cosine * y,
        )  # fmt: skip

    def from_upright(self, side: int) -> Affine:
        """From places in what the frame shows, upright, `side` wide, to places on the photo."""
        scale = self.size / side
        cosine, sine = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        half = side / 2
        return (
            cosine, -sine, self.x - half * (cosine - sine),
            sine, cosine, self.y - half * (sine + cosine),
        )  # fmt: skip


def find_frames(photo: Image.Image, find: Find, sure: float = 0.4) -> list[Frame]:
    """The frames of a photo's faces, the surest first.

    Args:
        photo: RGB. It is looked at with its longest side at up to 512 pixels.
        find: float32 [1, 3, H, W] in 0..1 to float32 [1, 6, H / 8, W / 8], as `finder.FaceFinder`.
        sure: how sure the finder has to be.
    """
    found: list[Frame] = []
    longest = max(photo.size)
    for level in LEVELS:
        if level > 64 and level >= 2 * longest:
            break  # enlarged twofold, a photo shows all that it has
        times = level / longest
        size = [max(STRIDE, round(side * times / STRIDE) * STRIDE) for side in photo.size]
        small = photo.resize((size[0], size[1]), Image.Resampling.BILINEAR, reducing_gap=3.0)
        output = find(planes(small))[0]
        across, down = photo.size[0] / size[0], photo.size[1] / size[1]
        found += [
            replace(frame, x=frame.x * across, y=frame.y * down, size=frame.size / times)
            for frame in frames_in(output, sure)
        ]
    return _without_doubles(found)


def frames_in(output: NDArray[np.float32], sure: float) -> list[Frame]:
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
            Frame(
                x=(column + 0.5 + dx) * STRIDE,
                y=(row + 0.5 + dy) * STRIDE,
                size=USUAL * 2 ** min(max(size, -2.0), 2.0),
                angle=math.atan2(sine, cosine),
                sure=1 / (1 + math.exp(-score)),
            )
        )
    return frames


def _without_doubles(frames: list[Frame]) -> list[Frame]:
    """The surest of those that lie on each other."""
    kept: list[Frame] = []
    for frame in sorted(frames, key=lambda frame: -frame.sure):
        if all(
            math.hypot(frame.x - other.x, frame.y - other.y) > 0.3 * max(frame.size, other.size)
            for other in kept
        ):
            kept.append(frame)
    return kept


def cut_out(photo: Image.Image, frame: Frame, side: int) -> Image.Image:
    """What a frame shows, upright, RGB, `side` pixels wide and high; grey beyond the photo."""
    shrink = int(frame.size / side)
    if shrink > 1:  # or else a transform would leave out pixels between those that it takes
        photo, frame = photo.reduce(shrink), frame.enlarged(1 / shrink)
    return photo.transform(
        (side, side),
        Image.Transform.AFFINE,
        frame.from_upright(side),
        Image.Resampling.BICUBIC if frame.size < 1.2 * side else Image.Resampling.BILINEAR,
        fillcolor=PADDING,
    )


def put_back(upright: Image.Image, frame: Frame, size: tuple[int, int]) -> tuple[Image.Image, Box]:
    """Turn a picture of what a frame shows back into its place on the photo.

    Args:
        upright: square, of any mode; the result has the value of its nearest pixel, and 0 beyond.
        frame: where it was cut out.
        size: width and height of the photo.

    Returns:
        The part of the photo that the frame touches, and where it lies. It may be empty.
    """
    corners = frame.corners
    left, top = np.clip(np.floor(corners.min(0)), 0, size).astype(int).tolist()
    right, bottom = np.clip(np.ceil(corners.max(0)), 0, size).astype(int).tolist()
    xx, xy, x, yx, yy, y = frame.to_upright(upright.width)
    from_box = (xx, xy, x + xx * left + xy * top, yx, yy, y + yx * left + yy * top)
    turned = upright.transform((right - left, bottom - top), Image.Transform.AFFINE, from_box)
    return turned, Box(left, top, right, bottom)


def paste(labels: NDArray[np.uint8], scores: NDArray[np.float32], frame: Frame) -> None:
    """Write the classes that a cut-out's scores mean into a photo's, where there are none yet.

    Args:
        labels: class ids, uint8 [H, W], of the photo; changed in place.
        scores: float32 [C, side, side], of the cut-out.
        frame: where it was cut out.
    """
    fine = max(scores.shape[1], round(frame.size))
    classes = Image.fromarray(classes_at(scores, (fine, fine)))
    turned, box = put_back(classes, frame, (labels.shape[1], labels.shape[0]))
    there = labels[box.top : box.bottom, box.left : box.right]
    np.copyto(there, np.asarray(turned), where=there == 0)
