"""From a network's scores to the class of each pixel at any size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Floats that are held at a time for the pixels between classes: 16 MB.
_FLOATS = 4_000_000


def upsample_argmax(scores: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize one photo's scores bilinearly, then take the best class of each pixel.

    The same as PyTorch's `interpolate(scores, size, mode="bilinear", align_corners=False)` and
    then `argmax`, but many times faster, and in little memory: a resized score is a weighted mean
    of the four around it, so a class that wins all four wins everywhere between them too. Only
    between scores that disagree are any means taken.

    Args:
        scores: float32 [C, h, w].
        size: (H, W) of the result.

    Returns:
        Class ids, uint8 [H, W].
    """
    best = argmax_channels(scores)
    rows, columns = _spans(scores.shape[1], size[0]), _spans(scores.shape[2], size[1])
    # A cell lies between four scores, and is named after the upper left one.
    corners = np.stack([best, _next(best, 0), _next(best, 1), _next(_next(best, 0), 1)])
    classes = best.take(columns.cell, axis=1).take(rows.cell, axis=0)

    disputed = (corners != best).any(axis=0) & (rows.pixels[:, None] > 0) & (columns.pixels > 0)
    tops, lefts = np.nonzero(disputed)
    cell_floats = int(rows.pixels.max() * columns.pixels.max()) * len(scores)
    step = max(1, _FLOATS // cell_floats)
    for start in range(0, len(tops), step):
        some = slice(start, start + step)
        _settle(classes, scores, tops[some], lefts[some], rows, columns)
    return classes


def _next(values: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    """Each place's neighbour along an axis; the last place is its own."""
    length = values.shape[axis]
    return values.take(np.minimum(np.arange(length) + 1, length - 1), axis=axis)


class _Spans(NamedTuple):
    """How the pixels of a resized row (or column) lie in the cells between the original's."""

    cell: NDArray[np.int64]  # of each resized pixel, [target]
    weight: NDArray[np.float32]  # how far it lies from the cell's begin to its end, 0..1, [target]
    first: NDArray[np.int64]  # resized pixel of each cell, [source]
    pixels: NDArray[np.int64]  # how many resized ones each cell has, [source]


def _spans(source: int, target: int) -> _Spans:
    """Pixel centres are at halves, as in PyTorch's interpolate with align_corners=False."""
    place = (np.arange(target, dtype=np.float32) + np.float32(0.5)) * np.float32(source / target)
    place = (place - np.float32(0.5)).clip(0, source - 1)
    cell = place.astype(np.int64)
    pixels = np.bincount(cell, minlength=source)
    return _Spans(cell, place - cell.astype(np.float32), pixels.cumsum() - pixels, pixels)


def argmax_channels(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Index of the highest score, the first of equals: [C, ...] -> uint8 [...].

    numpy's own argmax takes ten times as long along the first axis of a few.
    """
    best = np.zeros(scores.shape[1:], dtype=np.uint8)
    highest = scores[0].copy()
    for index in range(1, len(scores)):
        best[scores[index] > highest] = index
        np.maximum(highest, scores[index], out=highest)
    return best


def max_softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The highest share after softmax: [C, ...] -> float32 [...], 1/C to 1."""
    return 1 / np.exp(scores - scores.max(axis=0, initial=-np.inf)).sum(axis=0)


def _settle(
    classes: NDArray[np.uint8],
    scores: NDArray[np.float32],
    tops: NDArray[np.int64],
    lefts: NDArray[np.int64],
    rows: _Spans,
    columns: _Spans,
) -> None:
    """Write the classes of all pixels in the given cells [n] into `classes`.

    Every cell is taken to have as many pixels as the largest; the last ones of a smaller cell
    are computed twice.
    """
    y = rows.first[tops][:, None] + np.arange(rows.pixels.max())  # [n, p]
    x = columns.first[lefts][:, None] + np.arange(columns.pixels.max())  # [n, q]
    y = np.minimum(y, (rows.first + rows.pixels - 1)[tops][:, None])
    x = np.minimum(x, (columns.first + columns.pixels - 1)[lefts][:, None])
    down, across = rows.weight[y][:, :, None], columns.weight[x][:, None, :]
    bottoms = np.minimum(tops + 1, scores.shape[1] - 1)
    rights = np.minimum(lefts + 1, scores.shape[2] - 1)

    def corner(row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.float32]:
        return scores[:, row, column][:, :, None, None]  # [C, n, 1, 1]

    upper_left, lower_left = corner(tops, lefts), corner(bottoms, lefts)
    upper_right, lower_right = corner(tops, rights), corner(bottoms, rights)
    left = upper_left + (lower_left - upper_left) * down  # [C, n, p, 1]
    right = upper_right + (lower_right - upper_right) * down
    classes[y[:, :, None], x[:, None, :]] = argmax_channels(left + (right - left) * across)
