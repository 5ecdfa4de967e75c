"""Stubble, moustaches and beards; the lips are drawn over them."""

import numpy as np

from facesegkit.synthetic.curves import Floats, choose, mirror, noise, smooth
from facesegkit.synthetic.scene import Scene

Points = list[tuple[float, ...]]


def draw_beard(scene: Scene) -> None:
    """Stubble, moustache, beard or a clean chin."""
    rng, person = scene.rng, scene.person
    if person.feminine or person.age < 0.15 or rng.random() < 0.42:
        return
    kind = choose(rng, stubble=0.48, moustache=0.13, goatee=0.17, full=0.22)
    short = kind == "stubble"
    density = rng.uniform(0.12, 0.45) if short else rng.uniform(0.5, 0.95)
    colour = person.hair * 0.5 + person.skin * 0.15 if short else person.hair
    colour = np.minimum(colour, person.skin * 0.9)
    for right in _right_halves(scene, kind):
        area = smooth([*right, *mirror(right[1:-1])], 5)
        _hairy(scene, area, colour.astype(np.float32), density, short)


def _right_halves(scene: Scene, kind: str) -> list[Points]:
    """Right halves of the areas where hair grows, from and to the middle, face coordinates."""
    chin, end = scene.head.shape.chin, scene.head.shape.nose_length
    moustache: Points = [(0, end + 12), (30, end + 13), (56, 128), (64, 150), (50, 140),
                         (24, 126), (0, 126)]  # fmt: skip
    goatee: Points = [(0, 164), (28, 165), (50, 150), (52, chin - 22), (24, chin), (0, chin + 1)]
    full: Points = [(0, 122), (48, 116), (80, 98), (112, 62), (126, 8), (140, 30), (128, 120),
                    (92, chin - 25), (40, chin + 2), (0, chin + 5)]  # fmt: skip
    if kind == "moustache":
        return [moustache]
    return [moustache, goatee] if kind == "goatee" else [full, moustache]


def _hairy(scene: Scene, area: Floats, colour: Floats, density: float, short: bool) -> None:
    """Beard hair in an area: a soft mottled base, and strokes if it is long enough."""
    canvas, rng = scene.canvas, scene.rng
    patch = canvas.within(scene.on_head(area, soft=8), "skin", "nose")
    high, wide = patch.alpha.shape
    grain = 1 + 0.22 * noise(rng, (high, wide), (high // 2 + 1, wide // 2 + 1))
    coarse = rng.uniform(0.05, 0.3)
    grain += coarse * noise(rng, (high, wide), (high // 12 + 1, wide // 12 + 1))
    scene.paint_lit(patch.times(np.clip(grain, 0, 1.3) * density), colour)
    if short:
        return
    count = int(rng.uniform(900, 2200) * density)
    roots = rng.uniform(area.min(0), area.max(0), (count, 2)).astype(np.float32)
    lean = np.stack([roots[:, 0] * 0.004, np.ones(count)], 1) + rng.normal(0, 0.35, (count, 2))
    ends = roots + lean * rng.uniform(4, 11, (len(roots), 1))
    lines = scene.lift_lines(np.stack([roots, ends], 1))
    grey = rng.uniform(1.1, 2.2) if rng.random() < 0.3 + 0.4 * scene.person.age else 1.2
    for tone, some in ((0.5, lines[::2]), (grey, lines[1::2])):
        strokes = canvas.strokes(some, 0.8).inside(patch)
        scene.paint_lit(strokes, np.clip(colour * tone, 0, 1), 0.6 * density)
