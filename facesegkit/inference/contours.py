"""Outlines of masks as polygons.

They are followed along the edges of pixels, so a polygon that is filled by the even-odd rule gives
back the very same mask. A library (contourpy) could do it, but nothing else that a segmenter needs
depends on one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.float64]  # x and y of its corners, [n, 2]; the last is joined to the first

# Right, down, left, up: steps along the edges of pixels, in the order of clockwise turns.
_STEPS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])


def contours(mask: NDArray[np.bool_], tolerance: float = 0.0) -> list[Polygon]:
    """The outlines of all pieces of a mask, and of the holes in them.

    Args:
        mask: bool [H, W].
        tolerance: how far, in pixels, an outline may be moved to save corners. 0 keeps all.

    Returns:
        Polygons float64 [n, 2], in pixels: the first pixel reaches from 0 to 1. Pieces run
        clockwise as seen on the screen, holes the other way. Pieces that touch at a corner are
        apart. The longest comes first.
    """
    polygons = [_corners(path) for path in _paths(mask)]
    if tolerance > 0:
        polygons = [_simplified(polygon, tolerance) for polygon in polygons]
    return sorted((p for p in polygons if len(p) > 2), key=_length, reverse=True)


def _paths(mask: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """Closed paths from corner to corner of the pixels, with the mask on the right-hand side."""
    padded = np.pad(mask, 1).astype(np.int8)
    across, down = np.diff(padded, axis=0), np.diff(padded, axis=1)
    # Where a step may be made from the corner (x, y): its direction, and all of its starts.
    starts = {
        0: across[:, 1:-1] == 1,  # right, along the upper side of a pixel of the mask
        2: across[:, 1:-1] == -1,  # left, along the lower side
        1: down[1:-1] == -1,  # down, along the right side
        3: down[1:-1] == 1,  # up, along the left side
    }
    open_steps: dict[tuple[int, int], list[int]] = {}
    for direction, found in starts.items():
        rows, columns = np.nonzero(found)
        # A step to the left or up starts at the other end of its side.
        for y, x in zip(rows + (direction == 3), columns + (direction == 2), strict=True):
            open_steps.setdefault((int(x), int(y)), []).append(direction)
    paths = []
    while open_steps:
        corner = next(iter(open_steps))
        direction = open_steps[corner][0]
        path = []
        while corner in open_steps:
            choices = open_steps[corner]
            # Where two pixels touch at a corner, the turn to the right stays with the same pixel.
            direction = min(choices, key=lambda choice: (direction + 1 - choice) % 4)
            choices.remove(direction)
            if not choices:
                del open_steps[corner]
            path.append(corner)
            corner = corner[0] + int(_STEPS[direction][0]), corner[1] + int(_STEPS[direction][1])
        paths.append(path)
    return paths


def _corners(path: list[tuple[int, int]]) -> Polygon:
    """The places of a closed path where it turns."""
    places = np.array(path, dtype=np.float64)
    ahead, behind = np.roll(places, -1, axis=0) - places, places - np.roll(places, 1, axis=0)
    return places[(ahead != behind).any(axis=1)]


def _simplified(polygon: Polygon, tolerance: float) -> Polygon:
    """Fewer corners, none of those left out further than `tolerance` from the new outline.

    After D. Douglas and T. Peucker, 1973. The two corners that are kept first are the one
    farthest from the middle, and the one farthest from that.
    """
    first = int(np.argmax(np.square(polygon - polygon.mean(axis=0)).sum(axis=1)))
    ring = np.roll(polygon, -first, axis=0)
    second = int(np.argmax(np.square(ring - ring[0]).sum(axis=1)))
    closed = np.concatenate([ring, ring[:1]])
    kept = {0, second}
    spans = [(0, second), (second, len(ring))]
    while spans:
        start, end = spans.pop()
        if end - start < 2:
            continue
        along = closed[end] - closed[start]
        offset = closed[start + 1 : end] - closed[start]
        length = np.hypot(*along)
        apart = (
            np.abs(offset[:, 0] * along[1] - offset[:, 1] * along[0]) / length
            if length > 0
            else np.hypot(*offset.T)
        )
        farthest = int(np.argmax(apart))
        if apart[farthest] > tolerance:
            middle = start + 1 + farthest
            kept.add(middle)
            spans += [(start, middle), (middle, end)]
    return ring[sorted(kept)]


def _length(polygon: Polygon) -> float:
    return float(np.hypot(*(np.roll(polygon, -1, axis=0) - polygon).T).sum())
