"""Smooth curves, polygons, noise and resampling."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

Floats = NDArray[np.floating[Any]]  # float32 for whole images


def smooth(points: ArrayLike, steps: int = 8, *, closed: bool = True) -> Floats:
    """Catmull-Rom curve through `points` [N, 2] with `steps` points per segment, float32 [M, 2]."""
    p = np.asarray(points, dtype=np.float32)
    around = np.concatenate([p[-1:], p, p[:2]] if closed else [p[:1], p, p[-1:]])
    before, start, end, after = around[:-3], around[1:-2], around[2:-1], around[3:]
    slope_0, slope_1 = (end - before)[:, None] / 2, (after - start)[:, None] / 2
    t = np.linspace(0, 1, steps, endpoint=False, dtype=np.float32)[None, :, None]
    curve = (
        start[:, None] * (2 * t**3 - 3 * t**2 + 1)
        + slope_0 * (t**3 - 2 * t**2 + t)
        + end[:, None] * (3 * t**2 - 2 * t**3)
        + slope_1 * (t**3 - t**2)
    ).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-1:]])


def mirror(points: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Points mirrored at x = 0, in reverse order, so that they continue a right half."""
    return [(-x, *rest) for x, *rest in reversed(points)]


def wobble(rng: np.random.Generator, count: int, knots: int, amplitude: float) -> Floats:
    """`count` values of smooth 1-D noise with standard deviation `amplitude`, float32 [count]."""
    values = rng.normal(0, amplitude, max(knots, 2))
    at = np.linspace(0, len(values) - 1, count)
    left = np.minimum(at.astype(int), len(values) - 2)
    t = at - left
    weight = t * t * (3 - 2 * t)
    return (values[left] * (1 - weight) + values[left + 1] * weight).astype(np.float32)


def choose(rng: np.random.Generator, **probabilities: float) -> str:
    """One of the names, with these probabilities."""
    return str(rng.choice(list(probabilities), p=list(probabilities.values())))


def noise(rng: np.random.Generator, shape: tuple[int, ...], cells: tuple[int, ...]) -> Floats:
    """Smooth noise of about unit variance from a grid of `cells` values, float32 [H, W]."""
    return resized(rng.standard_normal(cells, dtype=np.float32), shape)


def resized(values: Floats, shape: tuple[int, ...]) -> Floats:
    """Bilinear resize of float32 [h, w] to [H, W]."""
    if values.shape == shape:
        return values
    image = Image.fromarray(values).resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.float32)


def blurred(values: Floats, factor: int) -> Floats:
    """Blur float32 [H, W] by downsampling `factor` times and upsampling again."""
    height, width = values.shape
    small = (max(height // factor, 2), max(width // factor, 2))
    image = Image.fromarray(values).resize(small[::-1], Image.Resampling.BOX)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


def sample(grid: Floats, rows: Floats, cols: Floats) -> Floats:
    """Bilinear lookup in `grid` [H, W] or [H, W, C] at fractional indices, clamped to its edges."""
    height, width = grid.shape[:2]
    rows = np.minimum(np.maximum(rows, 0), height - 1.001)
    cols = np.minimum(np.maximum(cols, 0), width - 1.001)
    top, left = rows.astype(np.intp), cols.astype(np.intp)
    down, right = rows - top, cols - left
    if grid.ndim == 3:
        down, right = down[..., None], right[..., None]
    flat = grid.reshape(height * width, *grid.shape[2:])
    at = top * width + left
    first = flat.take(at, 0)
    upper = first + (flat.take(at + 1, 0) - first) * right
    at += width
    first = flat.take(at, 0)
    lower = first + (flat.take(at + 1, 0) - first) * right
    return (upper + (lower - upper) * down).astype(np.float32)


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0, count: int = 28) -> Floats:
    """Points of an ellipse, float32 [count, 2]; `angle` in radians."""
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    a, b = rx * np.cos(t), ry * np.sin(t)
    ca, sa = np.cos(angle), np.sin(angle)
    return np.stack([x + a * ca - b * sa, y + a * sa + b * ca], 1).astype(np.float32)


def ribbon(line: Floats, width: float) -> Floats:
    """Thin polygon along an open line [N, 2], tapered towards both ends, [2 * N, 2]."""
    along = np.gradient(line, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6
    taper = np.sin(np.linspace(0.15, np.pi - 0.15, len(line)))[:, None] * width / 2
    return np.concatenate([line + normal * taper, (line - normal * taper)[::-1]]).astype(np.float32)


def shifted(points: Floats, x: float, y: float) -> Floats:
    """Points [N, 2] translated by (x, y), float32."""
    return (points + np.array([x, y], dtype=np.float32)).astype(np.float32)
