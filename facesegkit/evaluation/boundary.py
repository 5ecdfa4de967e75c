"""How well the contours of the classes are hit, whatever their areas."""

import math

import numpy as np
from numpy.typing import NDArray

# The definition and the tolerance are those of G. Csurka, D. Larlus, F. Perronnin, "What is a good
# evaluation measure for semantic segmentation?", BMVC 2013, section 3.2.
BOUNDARY_TOLERANCE = 0.0075  # of the image's diagonal: 5.4 pixels of 512 x 512
BOUNDARY_DEFINITION = (
    "Of each class of a photo, the F1 of precision (the fraction of the predicted contour's pixels "
    "at most 0.75 % of the image's diagonal away from the annotated contour: 5.4 pixels of 512 x "
    "512) and recall (the same, the other way round); the mean over the classes that are annotated "
    "or predicted in the photo, then over photos (Csurka, Larlus, Perronnin, BMVC 2013)."
)


def boundary_f1(
    target: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    classes: int,
    tolerance: float = BOUNDARY_TOLERANCE,
) -> NDArray[np.float64]:
    """Boundary F1 of each class of a photo, float64 [C]; nan for a class that is in neither map.

    `target` and `predicted` are class ids, uint8 [H, W]; `tolerance` is a fraction of the image's
    diagonal. See `BOUNDARY_DEFINITION`.
    """
    ids = np.arange(classes)[:, None, None]
    contours = [_contours(label_map == ids) for label_map in (target, predicted)]
    radius = tolerance * math.hypot(*target.shape)
    near = [_dilate(masks, radius) for masks in contours]
    lengths = [masks.sum(axis=(1, 2)) for masks in contours]
    recall, precision = (
        (masks & others).sum(axis=(1, 2)) / np.maximum(length, 1)
        for masks, others, length in zip(contours, near[::-1], lengths, strict=True)
    )
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return np.where(lengths[0] + lengths[1] > 0, f1, math.nan)


def _contours(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of masks [C, H, W] above, below or beside which the mask ends, bool [C, H, W]."""
    padded = np.pad(masks, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows, columns = padded[:, :, 1:-1], padded[:, 1:-1]
    return masks & ~(rows[:, :-2] & rows[:, 2:] & columns[..., :-2] & columns[..., 2:])


def _dilate(masks: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Pixels at most `radius` away from a pixel of the mask, bool [C, H, W] like the masks."""
    reach, (height, width) = int(radius), masks.shape[1:]
    padded = np.pad(masks, ((0, 0), (reach, reach), (reach, reach)))
    dilated = np.zeros_like(masks)
    for y, x in np.ndindex(2 * reach + 1, 2 * reach + 1):
        if math.hypot(y - reach, x - reach) <= radius:
            dilated |= padded[:, y : y + height, x : x + width]
    return dilated
