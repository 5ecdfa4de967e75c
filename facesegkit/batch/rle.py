"""Masks as run lengths, in the order of COCO's uncompressed RLE."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import BBox


def run_lengths(mask: NDArray[np.bool_], box: BBox, size: tuple[int, int]) -> NDArray[np.int32]:
    """Run lengths of a mask [h, w] that lies in a box of a photo of (width, height), int32 [n].

    The photo is read column by column, downwards; the first length is that of the background. This
    is the `counts` of {"size": [height, width], "counts": ...} in COCO's uncompressed RLE.
    """
    width, height = size
    if own := Image.fromarray(mask).getbbox():  # most of a face's box is background
        mask, box = mask[BBox(*own).slices], BBox(*own).moved(box.left, box.top)
    padded = np.zeros((mask.shape[1], mask.shape[0] + 2), np.int8)
    padded[:, 1:-1] = mask.T
    change = np.diff(padded, axis=1)
    starts, ends = (
        (columns + box.left) * height + rows + box.top
        for columns, rows in (np.nonzero(change == sign) for sign in (1, -1))
    )
    # A run that reaches the bottom of one column may go on at the top of the next.
    is_joined = starts[1:] == ends[:-1]
    starts = starts[np.append(True, ~is_joined)] if len(starts) else starts
    ends = ends[np.append(~is_joined, True)] if len(ends) else ends
    limits = np.stack([starts, ends], axis=1).ravel()
    counts = np.diff(limits, prepend=0, append=width * height).astype(np.int32)
    return counts[: len(counts) - (counts[-1] == 0)]  # the background after the last run


def mask_of(counts: NDArray[np.int32], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of a photo of (width, height), bool [height, width], from its run lengths."""
    width, height = size
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T
