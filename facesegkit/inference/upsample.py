"""From logits to the class of each pixel, at any resolution."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_MAX_FLOATS = 4_000_000  # held at a time for the pixels between classes: 16 MB


def upsample_argmax(logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize one photo's logits bilinearly, then take the class of each pixel.

    The same as PyTorch's `interpolate(logits, size, mode="bilinear", align_corners=False)` and
    `argmax`, but many times faster and with little memory: an interpolated logit is a weighted
    mean of the four around it, so a class that wins at all four wins everywhere between them.
    Only where those four disagree is anything interpolated, and there only the classes that could
    win: those whose highest logit of the four is not below the lowest one of another class.

    Takes logits float32 [C, h, w] and `size` (H, W); returns class ids, uint8 [H, W].
    """
    best = argmax_channels(logits)
    if size == best.shape:
        return best
    rows, columns = _axis(logits.shape[1], size[0]), _axis(logits.shape[2], size[1])
    classes = best.take(columns.cell, axis=1).take(rows.cell, axis=0)
    # A cell lies between four logits, and has the index of the upper left one.
    padded = np.pad(best, (0, 1), mode="edge")
    mixed = (padded[1:, :-1] != best) | (padded[:-1, 1:] != best) | (padded[1:, 1:] != best)
    tops, lefts = np.nonzero(mixed & (rows.pixels[:, None] > 0) & (columns.pixels > 0))
    corners = _corners(logits, tops, lefts)
    could_win = ~(_reduced(np.maximum, corners) < _reduced(np.minimum, corners).max(axis=0))
    numbers = np.count_nonzero(could_win, axis=0)
    for number in np.unique(numbers):  # cells where equally many classes could win, together
        cells = np.flatnonzero(numbers == number)
        ids = np.nonzero(could_win[:, cells].T)[1].reshape(-1, number).T  # [k, n]; k ascending ids
        step = max(1, _MAX_FLOATS // int(rows.pixels.max() * columns.pixels.max() * number))
        for start in range(0, len(cells), step):
            some, of_some = cells[start : start + step], ids[:, start : start + step]
            of_corners = np.take_along_axis(corners[..., some], of_some[:, None, None], axis=0)
            at = tops[some], lefts[some]
            _interpolate(classes, of_corners, of_some.astype(np.uint8), *at, rows, columns)
    return classes


class _Axis(NamedTuple):
    """How the pixels of an upsampled row (or column) lie in the cells of the original."""

    cell: NDArray[np.int64]  # of each upsampled pixel, [target]
    weight: NDArray[np.float32]  # its position from the cell's start to its end, 0..1, [target]
    first: NDArray[np.int64]  # upsampled pixel of each cell, [source]
    pixels: NDArray[np.int64]  # number of upsampled pixels of each cell, [source]


def _axis(source: int, target: int) -> _Axis:
    """Pixel centres are at halves, as in PyTorch's interpolate with align_corners=False."""
    position = (np.arange(target, dtype=np.float32) + np.float32(0.5)) * np.float32(source / target)
    position = (position - np.float32(0.5)).clip(0, source - 1)
    cell = position.astype(np.int64)
    pixels = np.bincount(cell, minlength=source)
    return _Axis(cell, position - cell.astype(np.float32), pixels.cumsum() - pixels, pixels)


def argmax_channels(
    logits: NDArray[np.float32], ids: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Index of the highest logit, the first of equals: [C, ...] -> uint8 [...].

    Instead of the index it may be one of `ids`, of a shape that broadcasts to that of the logits.
    numpy's own argmax takes ten times as long along a short first axis.
    """
    if ids is None:
        ids = np.arange(len(logits), dtype=np.uint8)
    best = np.broadcast_to(ids[0], logits.shape[1:]).copy()
    highest = logits[0].copy()
    for index in range(1, len(logits)):
        np.copyto(best, ids[index], where=logits[index] > highest)
        np.maximum(highest, logits[index], out=highest)
    return best


def max_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability of the most probable class: [C, ...] -> float32 [...], 1/C to 1."""
    return 1 / np.exp(logits - logits.max(axis=0, initial=-np.inf)).sum(axis=0)


def _corners(
    logits: NDArray[np.float32], tops: NDArray[np.int64], lefts: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The four logits around cells [n]: upper and lower, left and right, [C, 2, 2, n]."""
    down = np.minimum([tops, tops + 1], logits.shape[1] - 1)
    across = np.minimum([lefts, lefts + 1], logits.shape[2] - 1)
    return logits[:, down[:, None], across]


def _reduced(ufunc: np.ufunc, corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """The highest or lowest of four logits, [C, 2, 2, n] -> [C, n]; faster than `reduce`."""
    of_columns = ufunc(corners[:, 0], corners[:, 1])
    return ufunc(of_columns[:, 0], of_columns[:, 1])


def _interpolate(
    classes: NDArray[np.uint8],
    corners: NDArray[np.float32],
    ids: NDArray[np.uint8],
    tops: NDArray[np.int64],
    lefts: NDArray[np.int64],
    rows: _Axis,
    columns: _Axis,
) -> None:
    """Write the classes of all pixels in cells [n] into `classes`.

    Takes the logits of some classes around each cell, [k, 2, 2, n], and which they are, [k, n].
    """
    # As if all had as many pixels as the largest: the last pixels of others are computed twice.
    y = rows.first[tops][:, None] + np.arange(rows.pixels.max())  # [n, p]
    x = columns.first[lefts][:, None] + np.arange(columns.pixels.max())  # [n, q]
    y = np.minimum(y, (rows.first + rows.pixels - 1)[tops][:, None])
    x = np.minimum(x, (columns.first + columns.pixels - 1)[lefts][:, None])
    down, across = rows.weight[y][:, :, None], columns.weight[x][:, None, :]
    upper, lower = corners.swapaxes(0, 1)[..., None, None]  # [k, 2, n, 1, 1] each
    left, right = (upper + (lower - upper) * down).swapaxes(0, 1)  # [k, n, p, 1] each
    interpolated = left + (right - left) * across
    classes[y[:, :, None], x[:, None, :]] = argmax_channels(interpolated, ids[..., None, None])
