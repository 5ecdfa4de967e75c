"""Warp a face upright, and paste its classes back into the photo."""

from __future__ import annotations

import cmath
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import BBox, FaceROI, RelativeCrop, wrap_angle
from facesegkit.image_io import PADDING
from facesegkit.inference.landmarks import Landmarks
from facesegkit.inference.upsample import upsample_argmax

if TYPE_CHECKING:
    from facesegkit.inference.pipeline import SearchConfig


def warp_crop(photo: Image.Image, roi: FaceROI, side: int) -> Image.Image:
    """The aligned face in a ROI, RGB, `side` pixels wide and high; grey beyond the photo."""
    reduction = int(roi.size / side)
    bbox = roi.bbox(photo.size)
    if reduction > 1 and bbox.left < bbox.right and bbox.top < bbox.bottom:
        # A transform samples single pixels, so without this a downsampled face would be aliased.
        photo = photo.reduce(reduction, bbox)
        roi = replace(roi, x=roi.x - bbox.left, y=roi.y - bbox.top).scaled(1 / reduction)
    return photo.transform(
        (side, side),
        Image.Transform.AFFINE,
        roi.from_aligned(side),
        Image.Resampling.BILINEAR,  # bicubic takes twice as long and gains nothing
        fillcolor=PADDING,
    )


def warp_back(
    aligned: Image.Image, roi: FaceROI, size: tuple[int, int]
) -> tuple[Image.Image, BBox]:
    """Warp an image of an aligned face back to where the face is on the photo.

    Args:
        aligned: square, of any mode; the result takes the nearest pixel, and 0 outside the ROI.
        roi: the region it was taken from.
        size: width and height of the photo.

    Returns:
        The part of the photo that the ROI touches, and its bounding box. It may be empty.
    """
    bbox = roi.bbox(size)
    left, top, right, bottom = bbox
    xx, xy, x, yx, yy, y = roi.to_aligned(aligned.width)
    from_bbox = (xx, xy, x + xx * left + xy * top, yx, yy, y + yx * left + yy * top)
    return aligned.transform((right - left, bottom - top), Image.Transform.AFFINE, from_bbox), bbox


def paste_classes(
    logits: NDArray[np.float32], roi: FaceROI, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], BBox]:
    """Class ids of an aligned face at the photo's resolution.

    Args:
        logits: float32 [C, h, w], of the aligned crop.
        roi: the region of that crop.
        size: width and height of the photo.

    Returns:
        Class ids, uint8 [H, W], of the part of the photo that the ROI touches, and its bounding
        box. It may be empty.
    """
    # As fine as the photo; but a ROI that is mostly outside it only as fine as needed, since it
    # would take more memory than the photo has.
    bbox = roi.bbox(size)
    inside = (bbox.right - bbox.left) * (bbox.bottom - bbox.top)
    side = max(logits.shape[1], min(round(roi.size), 2 * math.isqrt(inside)))
    classes = Image.fromarray(upsample_argmax(logits, (side, side)))
    warped, bbox = warp_back(classes, roi, size)
    return np.asarray(warped), bbox


def align_to_landmarks(roi: FaceROI, landmarks: Landmarks) -> FaceROI:
    """The ROI in which the landmarks are closest to their mean positions (least squares).

    With points as complex numbers x + y i, a rotation and a scale are one product and a
    translation is one sum, and linear regression gives both. Without a mouth, or with the mouth
    alone, the ROI is returned as it is: eyes and nose are so close to each other that they say
    little about size and angle.
    """
    pairs = [(complex(*mean), complex(*at)) for at, mean in landmarks.pairs if at is not None]
    if landmarks.mouth is None or len(pairs) < 2:
        return roi
    mean, at = np.array(pairs).T
    spread = mean - mean.mean()
    factor = complex(np.vdot(spread, at - at.mean()) / np.vdot(spread, spread).real)
    scale, rotation = min(max(abs(factor), 0.5), 2.0), math.atan2(factor.imag, factor.real)
    centre = at.mean() + scale * cmath.exp(1j * rotation) * (complex(0.5, 0.5) - mean.mean())
    x, y = (min(max(float(v), 0.05), 0.95) for v in (centre.real, centre.imag))
    moved = roi.cropped(RelativeCrop(x, y, 0.1))
    return replace(moved, size=roi.size * scale, angle=wrap_angle(roi.angle + rotation))


def is_misaligned(roi: FaceROI, aligned: FaceROI, config: SearchConfig) -> bool:
    """Whether a face looks so different in the two ROIs that the model should run again."""
    return (
        abs(wrap_angle(roi.angle - aligned.angle)) > math.radians(config.max_misrotation)
        or abs(math.log2(roi.size / aligned.size)) > config.max_misscale
        or math.hypot(roi.x - aligned.x, roi.y - aligned.y)
        > config.max_mistranslation * aligned.size
    )
