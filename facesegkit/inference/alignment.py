"""TODO."""

from __future__ import annotations

import cmath
import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import BBox, FaceROI, RelativeCrop, _wrapped
from facesegkit.image_io import PADDING
from facesegkit.inference.landmarks import Landmarks
from facesegkit.inference.upsample import upsample_argmax


def warp_crop(photo: Image.Image, frame: FaceROI, side: int) -> Image.Image:
    """What a frame shows, upright, RGB, `side` pixels wide and high; grey beyond the photo."""
    shrink = int(frame.size / side)
    box = frame.box(photo.size)
    if shrink > 1 and box.left < box.right and box.top < box.bottom:
        # Or else a transform would leave out pixels between those that it takes.
        photo = photo.reduce(shrink, box)
        frame = replace(frame, x=frame.x - box.left, y=frame.y - box.top).enlarged(1 / shrink)
    return photo.transform(
        (side, side),
        Image.Transform.AFFINE,
        frame.from_upright(side),
        Image.Resampling.BILINEAR,  # bicubic takes twice as long and gains nothing
        fillcolor=PADDING,
    )


def warp_back(
    upright: Image.Image, frame: FaceROI, size: tuple[int, int]
) -> tuple[Image.Image, BBox]:
    """Turn a picture of what a frame shows back into its place on the photo.

    Args:
        upright: square, of any mode; the result has the value of its nearest pixel, and 0 beyond.
        frame: where it was cut out.
        size: width and height of the photo.

    Returns:
        The part of the photo that the frame touches, and where it lies. It may be empty.
    """
    box = frame.box(size)
    left, top, right, bottom = box
    xx, xy, x, yx, yy, y = frame.to_upright(upright.width)
    from_box = (xx, xy, x + xx * left + xy * top, yx, yy, y + yx * left + yy * top)
    turned = upright.transform((right - left, bottom - top), Image.Transform.AFFINE, from_box)
    return turned, box


def paste_classes(
    scores: NDArray[np.float32], place: FaceROI | BBox, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], BBox]:
    """The classes that scores mean, at the photo's size.

    Args:
        scores: float32 [C, h, w], of what was looked at.
        place: the frame that was cut out, or the part of the photo that was looked at as it is.
        size: width and height of the photo.

    Returns:
        Class ids, uint8 [H, W], of the part of the photo that was looked at, and where it lies. It
        may be empty.
    """
    if isinstance(place, BBox):
        return upsample_argmax(scores, (place.bottom - place.top, place.right - place.left)), place
    # As fine as the photo, but of a frame that lies beyond it for the most part only as fine as is
    # needed: it would take more memory than the photo has.
    box = place.box(size)
    in_photo = (box.right - box.left) * (box.bottom - box.top)
    fine = max(scores.shape[1], min(round(place.size), 2 * math.isqrt(in_photo)))
    turned, box = warp_back(Image.fromarray(upsample_argmax(scores, (fine, fine))), place, size)
    return np.asarray(turned), box


def align_to_landmarks(frame: FaceROI, found: Landmarks) -> FaceROI:
    """The frame in which the landmarks would lie where they usually do, as nearly as can be.

    Places are complex numbers, x + y i; then a turn, a scale and a shift are one product and one
    sum, and those that bring the usual places nearest to the found ones are given by the least
    squares. It is the frame itself where no mouth was found, or nothing else: eyes and nose are so
    near each other that they tell little of size and angle.
    """
    pairs = [(complex(*usual), complex(*at)) for at, usual in found.pairs if at is not None]
    if found.mouth is None or len(pairs) < 2:
        return frame
    usual, at = np.array(pairs).T
    spread = usual - usual.mean()
    factor = complex(np.vdot(spread, at - at.mean()) / np.vdot(spread, spread).real)
    times, turn = min(max(abs(factor), 0.5), 2.0), math.atan2(factor.imag, factor.real)
    middle = at.mean() + times * cmath.exp(1j * turn) * (complex(0.5, 0.5) - usual.mean())
    x, y = (min(max(float(v), 0.05), 0.95) for v in (middle.real, middle.imag))
    moved = frame.part(RelativeCrop(x, y, 0.1))
    return replace(moved, size=frame.size * times, angle=_wrapped(frame.angle + turn))


def needs_realignment(one: FaceROI, other: FaceROI) -> bool:
    """Whether a face that is cut out by one or the other looks much different to a model."""
    return (
        abs(_wrapped(one.angle - other.angle)) > math.radians(8)
        or abs(math.log2(one.size / other.size)) > 0.12
        or math.hypot(one.x - other.x, one.y - other.y) > 0.05 * other.size
    )
