"""Stubble, moustaches and beards; lips are drawn over them."""

from __future__ import annotations

import numpy as np

from facesegkit.synthetic.curves import Floats, noise, smooth
from facesegkit.synthetic.scene import Scene


def draw_beard(scene: Scene) -> None:
    """Stubble, moustache, beard or a clean chin."""
    rng, person = scene.rng, scene.person
    if person.feminine or person.age < 0.15 or rng.random() < 0.42:
        return
    kind = str(rng.choice(["stubble", "moustache", "goatee", "full"], p=[0.48, 0.13, 0.17, 0.22]))
    short = kind == "stubble"
    density = float(rng.uniform(0.12, 0.45) if short else rng.uniform(0.5, 0.95))
    colour = person.hair * 0.5 + person.skin * 0.15 if short else person.hair
    colour = np.minimum(colour, person.skin * 0.9)
    for outline in _outlines(scene, kind):
        _hairy(scene, outline, colour.astype(np.float32), density, short)


def _outlines(scene: Scene, kind: str) -> list[Floats]:
    """Where hair grows, closed outlines in face coordinates."""
    chin, end = scene.head.shape.chin, scene.head.shape.nose_length
    moustache = _mirrored([(0, end + 12), (30, end + 13), (56, 128), (64, 150), (50, 140),
                           (24, 126), (0, 126)])  # fmt: skip
    goatee = _mirrored([(0, 164), (28, 165), (50, 150), (52, chin - 22), (24, chin), (0, chin + 1)])
    full = _mirrored([(0, 122), (48, 116), (80, 98), (112, 62), (126, 8), (140, 30), (128, 120),
                      (92, chin - 25), (40, chin + 2), (0, chin + 5)])  # fmt: skip
    if kind == "moustache":
        return [moustache]
    return [moustache, goatee] if kind == "goatee" else [full, moustache]


def _mirrored(right: list[tuple[float, float]]) -> Floats:
    """A closed outline from its right half, which begins and ends in the middle."""
    return smooth([*right, *[(-u, v) for u, v in right[-2:0:-1]]], 5)


def _hairy(scene: Scene, outline: Floats, colour: Floats, density: float, short: bool) -> None:
    """Beard hair in an outline: a soft mottled ground, and strokes if it is long enough."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    patch = canvas.within(scene.on_head(outline, soft=8), "skin", "nose")
    if patch is None:
        return
    height, width = patch.alpha.shape
    grain = 1 + 0.22 * noise(rng, (height, width), (height // 2 + 1, width // 2 + 1))
    grain += rng.uniform(0.05, 0.3) * noise(
        rng, (height, width), (height // 12 + 1, width // 12 + 1)
    )
    canvas.paint(patch.times(np.clip(grain, 0, 1.3) * density), scene.lit(patch, colour))
    if short:
        return
    low, high = outline.min(0), outline.max(0)
    roots = rng.uniform(low, high, (int(rng.uniform(900, 2200) * density), 2)).astype(np.float32)
    lean = np.stack([roots[:, 0] * 0.004, np.full(len(roots), 1.0)], 1)
    lean += rng.normal(0, 0.35, lean.shape)
    ends = roots + lean * rng.uniform(4, 11, (len(roots), 1))
    lines = head.lift(np.stack([roots, ends], 1).reshape(-1, 2)).reshape(-1, 2, 2)
    grey = rng.uniform(1.1, 2.2) if rng.random() < 0.3 + 0.4 * scene.person.age else 1.2
    for tone, some in ((0.5, lines[::2]), (grey, lines[1::2])):
        strokes = canvas.strokes(list(some), 0.8)
        seen = strokes.inside(patch) if strokes is not None else None
        if seen is not None:
            lit = scene.lit(seen, np.clip(colour * tone, 0, 1))
            canvas.paint(seen, lit, opacity=0.6 * density)
