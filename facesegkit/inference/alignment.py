"""Warp a face upright, and paste its classes back into the photo."""

import cmath
import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import BBox, FaceROI, RelativeCrop, wrap_angle
from facesegkit.image_io import PADDING
from facesegkit.inference.landmarks import Landmarks
from facesegkit.inference.search_config import SearchConfig
from facesegkit.inference.upsample import upsample_argmax

_AFFINE = Image.Transform.AFFINE


def warp_crop(photo: Image.Image, roi: FaceROI, side: int) -> Image.Image:
    """The aligned face in a ROI, RGB, `side` pixels wide and high; grey beyond the photo."""
    reduction = int(roi.size / side)
    bbox = roi.bbox(photo.size)
    if reduction > 1 and bbox.left < bbox.right and bbox.top < bbox.bottom:
        # A transform samples single pixels, so without this a downsampled face would be aliased.
        photo = photo.reduce(reduction, bbox)
        roi = replace(roi, x=roi.x - bbox.left, y=roi.y - bbox.top).scaled(1 / reduction)
    bilinear = Image.Resampling.BILINEAR  # bicubic takes twice as long and gains nothing
    affine = roi.from_aligned(side)
    return photo.transform((side, side), _AFFINE, affine, bilinear, fillcolor=PADDING)


def warp_back(
    aligned: Image.Image, roi: FaceROI, size: tuple[int, int]
) -> tuple[Image.Image, BBox]:
    """Warp a square image of an aligned face back to its ROI on a photo of (width, height).

    Returns the part of the photo that the ROI touches, which may be empty, and its bounding box.
    Each pixel is the nearest of the image, of any mode, or 0 outside the ROI.
    """
    bbox = roi.bbox(size)
    left, top, right, bottom = bbox
    xx, xy, x, yx, yy, y = roi.to_aligned(aligned.width)
    from_bbox = (xx, xy, x + xx * left + xy * top, yx, yy, y + yx * left + yy * top)
    return aligned.transform((right - left, bottom - top), _AFFINE, from_bbox), bbox


def paste_classes(
    logits: NDArray[np.float32], roi: FaceROI, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], BBox]:
    """Class ids, on a photo of (width, height), from an aligned crop's logits, float32 [C, h, w].

    Returns uint8 [H, W] for the part of the photo that the ROI touches, which may be empty, and its
    bounding box.
    """
    # As fine as the photo; but a ROI that is mostly outside it only as fine as needed, since it
    # would take more memory than the photo has.
    bbox = roi.bbox(size)
    inside = (bbox.right - bbox.left) * (bbox.bottom - bbox.top)
    side = max(logits.shape[1], min(round(roi.size), 2 * math.isqrt(inside)))
    classes = Image.fromarray(upsample_argmax(logits, (side, side)))
    return np.asarray(warp_back(classes, roi, size)[0]), bbox


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
    # These limits only guard against degenerate fits; what is a face is decided elsewhere.
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
