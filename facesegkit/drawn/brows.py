"""Eyebrows: hairs along a flow over a soft ground.

Counted on the label maps of 700 pairs, in pixels of the usual frame: brows are 78 +- 20 wide and
25 +- 6 high, 14 +- 5 thick, blunt towards the nose and tapering outwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesegkit.drawn.curves import Floats, smooth
from facesegkit.drawn.head import EYE_U
from facesegkit.drawn.scene import SIDES, Scene
from facesegkit.drawn.traits import Person

THICKNESS = {True: (14.2, 3.6), False: (17.0, 3.8)}  # mean, spread for women and men
HEIGHT = (-27.0, 5.5)  # v of the middle line
SHAPE = [0.35, 0.9, 1.05, 1.0, 0.72, 0.15], [0, 0.08, 0.25, 0.6, 0.88, 1]  # thickness along it


@dataclass(frozen=True)
class _Style:
    colour: Floats
    ground: float  # opacity of the soft ground: skin seen through, or pencil
    hairs: float  # opacity of single hairs
    count: int
    soft: float  # blur of the ground's edge


def draw_brows(scene: Scene) -> None:
    """Both eyebrows; now and then none."""
    rng, person = scene.rng, scene.person
    if rng.random() < 0.015:
        return
    inner, outer = EYE_U - rng.normal(38, 5), EYE_U + rng.normal(48, 6)
    height = rng.normal(*HEIGHT) - 1.5 * person.smile
    arch, slope = rng.normal(5, 3), rng.normal(4, 4)
    thick = float(np.clip(rng.normal(*THICKNESS[person.feminine]), 5.5, 28))
    frown = rng.uniform(0, 9) if rng.random() < 0.12 else 0.0
    style = _choose_style(rng, person)
    t = np.linspace(0, 1, 9)
    half = thick / 2 * np.interp(t, SHAPE[1], SHAPE[0])
    for name, side in SIDES.items():
        rise = arch * np.sin(np.pi * np.clip(t * 1.05 - 0.1, 0, 1)) * 1.3
        middle = height - rng.normal(0, 1.4) - rise - slope * t + (6 + slope * 0.8) * t**3
        middle += (5 + frown) * (1 - t) ** 3
        u = side * (inner + (outer - inner) * t)
        _brow(scene, f"{name}_brow", np.stack([u, middle], 1), half, style)


def _choose_style(rng: np.random.Generator, person: Person) -> _Style:
    """Full, faint, or drawn with a pencil; hardly ever lighter than the skin."""
    colour = np.minimum(person.brow, person.skin * rng.uniform(0.55, 0.85))
    kind = rng.choice(["hairy", "faint", "pencil"], p=[0.6, 0.22, 0.18])
    if kind == "pencil" and person.feminine:
        return _Style(colour * 0.9, rng.uniform(0.55, 0.9), rng.uniform(0.1, 0.4), 90, 1.2)
    if kind == "faint":
        return _Style(colour, rng.uniform(0.15, 0.4), rng.uniform(0.15, 0.4), 90, 3.0)
    return _Style(colour, rng.uniform(0.4, 0.8), rng.uniform(0.2, 0.6), 170, 2.2)


def _brow(scene: Scene, part: str, line: Floats, half: Floats, style: _Style) -> None:
    canvas, head = scene.canvas, scene.head
    up = np.stack([np.zeros_like(half), half], 1)
    outline = smooth(np.concatenate([line - up, (line + up)[::-1]]), 5)
    ground = scene.on_head(outline, soft=style.soft)
    if ground is None:
        return
    canvas.paint(ground, scene.lit(ground, style.colour), opacity=style.ground)
    side = 1 if part == "l_brow" else -1
    hairs = _hairs(scene.rng, side, line, half, style.count)
    strokes = canvas.strokes(list(head.lift(hairs.reshape(-1, 2)).reshape(-1, 2, 2)), 0.8)
    if strokes is not None:
        canvas.paint(strokes, scene.lit(strokes, style.colour * 0.75), opacity=style.hairs)
    scene.annotate(outline, part)


def _hairs(rng: np.random.Generator, side: int, line: Floats, half: Floats, count: int) -> Floats:
    """Roots and tips of single hairs, face coordinates [count, 2, 2]: upright near the nose."""
    t, across = rng.random(count), rng.uniform(-1, 1, count)
    knots = np.linspace(0, 1, len(line))
    root = np.stack([np.interp(t, knots, line[:, 0]), np.interp(t, knots, line[:, 1])], 1)
    root[:, 1] += across * np.interp(t, knots, half) * 0.9
    lean = np.stack([side * (0.55 + 0.6 * t), -0.85 + 1.0 * t + 0.3 * across], 1)
    lean += rng.normal(0, 0.15, lean.shape)
    return np.stack([root, root + lean * rng.uniform(2.5, 5.5, (count, 1))], 1).astype(np.float32)
