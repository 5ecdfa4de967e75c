"""Contours of masks as polygons.

They run along the edges of pixels, so a polygon that is filled by the even-odd rule gives back
exactly the same mask. A library (contourpy) could do this, but nothing else that inference needs
depends on one.
"""

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.float64]  # x and y of its vertices, [n, 2]; the last is joined to the first

# Right, down, left, up: steps along the edges of pixels, in the order of clockwise turns.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def contours(mask: NDArray[np.bool_], tolerance: float = 0.0) -> list[Polygon]:
    """The contours of all connected components of a mask, bool [H, W], and of their holes.

    Returns polygons float64 [n, 2], in pixels: the first pixel spans 0 to 1. Components run
    clockwise as seen on the screen, holes counter-clockwise. Components that touch at a corner are
    separate. The longest comes first. To save vertices, contours may be moved by `tolerance` pixels
    (0 keeps all).
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return []
    # Most masks are small parts of a large window.
    cropped = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    polygons = [_vertices(path) + (columns[0], rows[0]) for path in _paths(cropped)]
    if tolerance > 0:
        polygons = [_simplify(polygon, tolerance) for polygon in polygons]
    return sorted((p for p in polygons if len(p) > 2), key=_length, reverse=True)


def _paths(mask: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """Closed paths from pixel corner to pixel corner, with the mask on the right-hand side."""
    steps = _boundary_steps(mask)
    paths = []
    while steps:
        corner = next(iter(steps))
        direction = steps[corner][0]
        path = []
        while corner in steps:
            choices = steps[corner]
            # Where two pixels touch at a corner, turning right stays with the same pixel.
            direction = min(choices, key=lambda choice: (direction + 1 - choice) % 4)
            choices.remove(direction)
            if not choices:
                del steps[corner]
            path.append(corner)
            corner = corner[0] + _STEPS[direction][0], corner[1] + _STEPS[direction][1]
        paths.append(path)
    return paths


def _boundary_steps(mask: NDArray[np.bool_]) -> dict[tuple[int, int], list[int]]:
    """The directions in which the boundary goes on from each pixel corner (x, y)."""
    inside = np.pad(mask, 1)
    edges = {
        (0, 2): (inside[1:, 1:-1], inside[:-1, 1:-1]),  # right along upper sides, left along lower
        (3, 1): (inside[1:-1, 1:], inside[1:-1, :-1]),  # up along left sides, down along right ones
    }
    starts = {}
    for (enters, leaves), (after, before) in edges.items():
        # Of a flat array, since numpy's nonzero takes several times as long in two dimensions.
        rows, columns = np.divmod(np.flatnonzero(after != before), after.shape[1])
        is_entered = after[rows, columns]
        starts[enters] = rows[is_entered], columns[is_entered]
        starts[leaves] = rows[~is_entered], columns[~is_entered]
    steps: dict[tuple[int, int], list[int]] = {}
    for direction in (0, 2, 1, 3):
        rows, columns = starts[direction]
        # A step to the left or up starts at the other end of its side.
        corners = columns + (direction == 2), rows + (direction == 3)
        for corner in zip(*(values.tolist() for values in corners), strict=True):
            steps.setdefault(corner, []).append(direction)
    return steps


def _vertices(path: list[tuple[int, int]]) -> Polygon:
    """The points of a closed path where it turns."""
    points = np.array(path, dtype=np.float64)
    ahead, behind = np.roll(points, -1, axis=0) - points, points - np.roll(points, 1, axis=0)
    return points[(ahead != behind).any(axis=1)]


def _simplify(polygon: Polygon, tolerance: float) -> Polygon:
    """Fewer vertices, all dropped ones within `tolerance` (D. Douglas and T. Peucker, 1973)."""
    # The first two that are kept: the vertex farthest from the mean, and the one farthest from it.
    first = int(np.argmax(np.square(polygon - polygon.mean(axis=0)).sum(axis=1)))
    ring = np.roll(polygon, -first, axis=0)
    second = int(np.argmax(np.square(ring - ring[0]).sum(axis=1)))
    closed = np.concatenate([ring, ring[:1]])
    kept, spans = {0, second}, [(0, second), (second, len(ring))]
    while spans:
        start, end = spans.pop()
        distances = _distances(closed[start:end], closed[start], closed[end])
        farthest = int(np.argmax(distances))
        if distances[farthest] > tolerance:
            middle = start + farthest
            kept.add(middle)
            spans += [(start, middle), (middle, end)]
    return ring[sorted(kept)]


def _distances(points: Polygon, start: Polygon, end: Polygon) -> NDArray[np.float64]:
    """Distances of points from the line through two points (from the point if they coincide)."""
    along, offset = end - start, points - start
    length = np.hypot(*along)
    if length > 0:
        return np.abs(offset[:, 0] * along[1] - offset[:, 1] * along[0]) / length
    return np.hypot(*offset.T)


def _length(polygon: Polygon) -> float:
    return float(np.hypot(*(np.roll(polygon, -1, axis=0) - polygon).T).sum())
