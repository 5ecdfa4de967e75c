"""Neck, clothes, ears and jewellery: what is drawn before the face."""

from __future__ import annotations

import numpy as np

from facesegkit.synthetic.curves import Floats, ellipse, noise, shifted, smooth
from facesegkit.synthetic.scene import Scene

CLOTHED = 0.66  # share of faces with clothes in the picture; counted: 0.58 are annotated


def draw_neck(scene: Scene) -> None:
    """A column of skin below the head, in the chin's shadow."""
    canvas, head, rng, person = scene.canvas, scene.head, scene.rng, scene.person
    half = float(rng.normal(90 if person.feminine else 106, 9))
    sides = [(-half * 0.97, 75, -40), (-half, 200, -35), (-half * 1.05, 265, -35),
             (-half * 1.7, 320, -30), (-half * 3, 420, -30)]  # fmt: skip
    outline = head.project(np.array([*sides, *[(-x, y, z) for x, y, z in sides[::-1]]]))
    patch = canvas.patch(smooth(outline, 5))
    if patch is None:
        return
    middle = head.project(np.array([(0, 200, -35.0)]))[0]
    x = np.arange(patch.cols.start, patch.cols.stop, dtype=np.float32) - middle[0]
    x /= np.float32(half * head.scale)
    lamp = float(np.clip(scene.lean, -0.6, 0.6))
    across = np.clip(1 - 0.35 * x**2 - lamp * x, 0.35, 1.25)[None, :, None]
    chin = head.lift(np.array([(0, head.shape.chin - 2)]))[0][1]
    y = np.arange(patch.rows.start, patch.rows.stop, dtype=np.float32)[:, None, None]
    below = np.clip((y - chin) / (70 * head.scale), 0, 1)
    shade = float(rng.uniform(0.45, 0.8))
    lit = (across * (shade + (1 - shade) * below)) * (person.skin * np.float32(scene.level))
    canvas.paint(patch, np.clip(lit, 0, 1), part="neck")


def draw_necklace(scene: Scene) -> None:
    """A chain or beads around the neck, now and then."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    if rng.random() > 0.08:
        return
    low, wide = rng.uniform(265, 310), rng.uniform(70, 95)
    t = np.linspace(-1, 1, 40)
    line = np.stack([wide * t, low - 55 * t**2, np.full(40, -10.0)], 1)
    metal = rng.uniform(0.3, 0.95) * np.array([1, 0.92, 0.75])
    if rng.random() < 0.5:
        beads = [ellipse(x, y, 4, 4, count=10) for x, y in head.project(line)]
        patch = canvas.patch(*beads)
    else:
        patch = canvas.strokes([head.project(line)], rng.uniform(1.5, 4))
    canvas.paint(patch, metal, part="neck_l")


def draw_cloth(scene: Scene) -> None:
    """Shoulders with some kind of neckline, plain, striped or dotted."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    if rng.random() > CLOTHED:
        return
    low, wide = rng.normal(252, 28), rng.uniform(65, 140)
    dip = rng.uniform(-25, 110)
    points = [
        (-400, 520),
        (-300, low + rng.uniform(0, 60)),
        (-wide - 40, low - 22),
        (-wide, low - 16),
        (0, low + dip),
        (wide, low - 16),
        (wide + 40, low - 22),
        (300, low + rng.uniform(0, 60)),
        (400, 520),
    ]
    outline = head.project(np.array([(x, y, -20.0) for x, y in points]))
    patch = canvas.patch(
        np.concatenate([smooth(outline, 5, closed=False), [(900, 700), (-300, 700)]])
    )
    if patch is None:
        return
    picture = _fabric(rng, patch.alpha.shape) * np.float32(scene.level)
    canvas.shade(canvas.patch(shifted(outline, 0, -4), soft=5), 0.35)
    canvas.paint(patch, picture, part="cloth")


def _fabric(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """A colour in folds, now and then with stripes, float32 [H, W, 3]."""
    height, width = shape
    colour = rng.uniform(0.02, 0.95, 3)
    if rng.random() < 0.55:
        colour = np.full(3, rng.choice([0.05, 0.12, 0.3, 0.85])) * rng.uniform(0.7, 1.15, 3)
    folds = 1 + 0.16 * noise(rng, (height, width), (5, 9))
    folds += 0.05 * noise(rng, (height, width), (height, width))
    picture = np.clip(folds[..., None] * colour.astype(np.float32), 0, 1)
    if rng.random() < 0.3:
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        wave = (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)) * rng.uniform(0.1, 0.7)
        picture = np.where((np.sin(wave) > 0.2)[..., None], picture, rng.uniform(0, 0.8, 3))
    return picture.astype(np.float32)


def draw_ears(scene: Scene) -> None:
    """Both ears, as far as the head leaves them in view, and earrings."""
    canvas, head, rng, person = scene.canvas, scene.head, scene.rng, scene.person
    stick = rng.uniform(16, 42)
    length, place = rng.normal(54, 5), rng.normal(40, 8)
    ringed = rng.random() < (0.45 if person.feminine else 0.04)
    colour = np.clip(person.skin * np.array([0.95, 0.8, 0.77]) * rng.uniform(0.75, 1.1), 0, 1)
    for side in (-1, 1):
        base = side * float(np.interp(place, head.v, head.half_width)) * 0.97
        shape = smooth(
            [(0, -0.85), (0.75, -1.0), (1.15, -0.5), (0.85, 0.25), (0.45, 0.9), (-0.1, 0.8)], 6
        )
        points = np.stack(
            [base + side * shape[:, 0] * stick, place + shape[:, 1] * length,
             -12 - 16 * shape[:, 0]], 1)  # fmt: skip
        patch = canvas.patch(head.project(points))
        if patch is not None:
            tone = colour * scene.level * (1 - side * scene.lean * 0.9)
            canvas.paint(patch, np.clip(tone, 0, 1), part="l_ear" if side > 0 else "r_ear")
            inner = points * 1.0
            inner[:, :2] = (points[:, :2] - (base, place)) * 0.55 + (base + side * 5, place - 4)
            canvas.shade(canvas.patch(head.project(inner), soft=2.5), rng.uniform(0.25, 0.6))
        if ringed:
            _earring(scene, np.array([base + side * stick * 0.4, place + length * 0.95, -16.0]))


def _earring(scene: Scene, lobe: Floats) -> None:
    """A stud, a ring or a pendant."""
    canvas, head = scene.canvas, scene.head
    rng = np.random.default_rng(int(abs(lobe[1]) * 1e6))  # a pair matches
    metal = np.array([[0.85, 0.7, 0.35], [0.8, 0.8, 0.82], [0.1, 0.1, 0.12]])[rng.integers(3)]
    x, y = head.project(lobe[None])[0]
    size = rng.gamma(2.5, 5.5) + 4
    kind = rng.choice(["stud", "ring", "pendant"])
    if kind == "ring":
        ring = ellipse(x, y + size, size * 0.6, size)
        canvas.paint(canvas.strokes([np.concatenate([ring, ring[:1]])], 2.2), metal, part="ear_r")
        return
    shape = ellipse(x, y, size * 0.5, size * 0.5)
    if kind == "pendant":
        shape = ellipse(x, y + size * 1.5, size * rng.uniform(0.3, 0.7), size * 1.6)
    canvas.paint(canvas.patch(shape), np.clip(metal * rng.uniform(0.6, 1.1), 0, 1), part="ear_r")
    canvas.paint(canvas.patch(ellipse(x - 1, y + size * 0.6, 1.6, 1.6)), [1, 1, 0.95])
