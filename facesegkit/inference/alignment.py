"""Warp a face upright, and paste its classes back into the photo."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import BBox, FaceROI
from facesegkit.image_io import PADDING
from facesegkit.inference.upsample import upsample_argmax

_AFFINE = Image.Transform.AFFINE

# Means on CelebAMask-HQ's train split, in fractions of an aligned photo's side: eye, eye, nose tip,
# corner and corner of the mouth; and the face from forehead to chin. The eyes' standard deviation
# is 0.03 by 0.006, that of the others 0.02.
MEAN_POINTS = np.array(
    [[0.375, 0.481], [0.625, 0.481], [0.5, 0.624], [0.392, 0.732], [0.608, 0.732]]
)
MEAN_BOX = np.array([0.248, 0.188, 0.752, 0.926])
MIRRORED_POINTS = [1, 0, 2, 4, 3]  # the order of the five points in a mirrored photo

_AGREE = 1.2  # the sizes by box and by points of nearly all upright faces differ by less


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
    aligned: Image.Image,
    roi: FaceROI,
    box: BBox,
    resample: Image.Resampling = Image.Resampling.NEAREST,
) -> Image.Image:
    """The pixels of a photo in a box, which may be empty, from an image of the aligned face.

    The image is square, of any mode, and fills the ROI; outside of that the result is 0.
    """
    left, top, right, bottom = box
    xx, xy, x, yx, yy, y = roi.to_aligned(aligned.width)
    from_box = (xx, xy, x + xx * left + xy * top, yx, yy, y + yx * left + yy * top)
    return aligned.transform((right - left, bottom - top), _AFFINE, from_box, resample)


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
    return np.asarray(warp_back(classes, roi, bbox)), bbox


def roi_of_points(points: NDArray[np.floating[Any]]) -> FaceROI:
    """The ROI in which a face's five points, [5, 2], are closest to `MEAN_POINTS` (least squares).

    With points as complex numbers x + y i, a rotation and a scale are one product and a translation
    is one sum, and linear regression gives both.
    """
    at, mean = (xy[:, 0] + 1j * xy[:, 1] for xy in (points.astype(np.float64), MEAN_POINTS))
    spread = mean - mean.mean()
    factor = complex(np.vdot(spread, at - at.mean()) / np.vdot(spread, spread).real)
    centre = complex(at.mean() + factor * (complex(0.5, 0.5) - mean.mean()))
    angle = math.atan2(factor.imag, factor.real)
    return FaceROI(centre.real, centre.imag, max(abs(factor), 1.0), angle)


def roi_of_box(box: NDArray[np.floating[Any]], angle: float = 0.0) -> FaceROI:
    """The ROI of a face in a box: left, top, right, bottom, [4]. The inverse of `box_of`."""
    low, high = box[:2].astype(np.float64), box[2:].astype(np.float64)
    x, y = ((low + high) / 2).tolist()
    size = max(math.sqrt((high - low).clip(0).prod() / (MEAN_BOX[2:] - MEAN_BOX[:2]).prod()), 1.0)
    # What shows the mean box at this place has its own centre at the opposite of it.
    mean = FaceROI(0.0, 0.0, size, angle).on_photo((MEAN_BOX[None, :2] + MEAN_BOX[None, 2:]) / 2)
    return FaceROI(x - float(mean[0, 0]), y - float(mean[0, 1]), size, angle)


def roi_of(box: NDArray[np.floating[Any]], points: NDArray[np.floating[Any]]) -> FaceROI:
    """The ROI of a detection's points, [5, 2], or only its angle where box and points disagree.

    The points of rotated faces are sometimes predicted too close together.
    """
    by_points = roi_of_points(points)
    by_box = roi_of_box(box, by_points.angle)
    agree = 1 / _AGREE < by_points.size / by_box.size < _AGREE
    return by_points if agree else by_box


def box_of(roi: FaceROI) -> NDArray[np.float64]:
    """A square box around the face in a ROI, whatever its rotation: [4]."""
    ((x, y),) = roi.on_photo((MEAN_BOX[None, :2] + MEAN_BOX[None, 2:]) / 2)
    half = roi.size * math.sqrt((MEAN_BOX[2:] - MEAN_BOX[:2]).prod()) / 2
    return np.array([x - half, y - half, x + half, y + half])
