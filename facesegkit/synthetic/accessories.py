"""Glasses and hats."""

from __future__ import annotations

import numpy as np

from facesegkit.labels import PART_IDS
from facesegkit.synthetic.curves import Floats, noise, shifted, smooth
from facesegkit.synthetic.head import EYE_U
from facesegkit.synthetic.scene import Scene

SEEN_THROUGH = [PART_IDS[name] for name in ("l_eye", "r_eye", "l_brow", "r_brow")]


def draw_glasses(scene: Scene) -> None:
    """Frame, lenses and temples. Eyes stay eyes behind clear glass."""
    canvas, head, rng, kind = scene.canvas, scene.head, scene.rng, scene.person.glasses
    if kind == "none":
        return
    dark = kind == "dark"
    width, height = rng.uniform(44, 60), rng.uniform(26, 42) + 6 * dark
    frame = (
        rng.uniform(0, 0.9, 3)
        if rng.random() < 0.15
        else np.full(3, rng.choice([0.03, 0.1, 0.3, 0.6]))
    )
    # Every fourth pair has a heavy rim, which runs along the brows and must not be taken for them.
    rim = rng.uniform(5, 10) if rng.random() < 0.25 else rng.uniform(1.2, 6.5)
    place = rng.normal(6, 4)
    outlines = _lens_outlines(scene, width, height, place)
    holes = [o.mean(0) + (o - o.mean(0)) * (1 - rim / width) for o in outlines]
    _lenses(scene, outlines, holes, frame, dark)
    bridge = [(-14, place - 6, 132.0), (0, place - 10, 135), (14, place - 6, 132)]
    arms = [
        head.project(np.array([(s * (EYE_U + width), place - 8, 108.0), (s * 140, place - 4, 0.0)]))
        for s in (-1, 1)
    ]
    lines = [head.project(np.array(bridge)), *_outer_arms(arms)]
    sticks = canvas.strokes(lines, max(1.5, rim * 0.9))
    canvas.paint(sticks, frame, part="eye_g" if dark or rim > 3 else None)


def _lens_outlines(scene: Scene, width: float, height: float, place: float) -> list[Floats]:
    """Both lenses on the canvas, [48, 2] each: between ellipses and rounded boxes."""
    square, droop = scene.rng.uniform(2, 5), scene.rng.uniform(0, 8)
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    across = np.sign(np.cos(t)) * np.abs(np.cos(t)) ** (2 / square)
    down = np.sign(np.sin(t)) * np.abs(np.sin(t)) ** (2 / square)
    outlines = []
    for side in (-1, 1):
        x = side * (EYE_U + 3 + across * width)
        y = place + down * height + droop * (down > 0) * across * down
        outlines.append(scene.head.project(np.stack([x, y, 130 - 0.0022 * x**2], 1)))
    return outlines


def _outer_arms(arms: list[Floats]) -> list[Floats]:
    """Temples that run outwards on the canvas; the far one of a turned head is hidden."""
    seen = []
    for arm, side in zip(arms, (-1, 1), strict=True):
        if (arm[1, 0] - arm[0, 0]) * side > 4:
            seen.append(arm)
    return seen


def _lenses(
    scene: Scene, outlines: list[Floats], holes: list[Floats], frame: Floats, dark: bool
) -> None:
    """Rims and glass; what annotators see through it keeps its part."""
    canvas, rng = scene.canvas, scene.rng
    rims, glass = canvas.patch(*outlines), canvas.patch(*holes)
    if rims is None or glass is None:
        return
    canvas.shade(canvas.patch(*[shifted(o, 0, 6) for o in outlines], soft=4), 0.12)
    tint = rng.uniform(0.0, 0.35, 3) if dark else np.full(3, 0.9)
    see_through = rng.uniform(0.8, 1.0) if dark else 0.3 * rng.random() ** 2
    before = glass.of(canvas.rgb).copy()
    eyes = canvas.labels.copy()
    canvas.paint(rims, frame, part="eye_g")
    below = glass.of(canvas.rgb)
    inside = before * (1 - see_through) + tint * see_through
    below += glass.alpha[..., None] * (inside.astype(np.float32) - below)
    if not dark:  # annotators outline the eyes and brows that they see through the glass
        seen = np.isin(eyes, SEEN_THROUGH)
        inner = np.zeros_like(seen)
        inner[glass.rows, glass.cols] = glass.alpha > 0.5
        keep = seen & (inner | (canvas.labels != PART_IDS["eye_g"]))
        canvas.labels[keep] = eyes[keep]
    if rng.random() < 0.6:
        _reflection(scene, holes, dark)


def _reflection(scene: Scene, holes: list[Floats], dark: bool) -> None:
    """A bright stripe across each lens."""
    canvas, rng = scene.canvas, scene.rng
    slope, strength = rng.normal(0, 14), rng.uniform(0.05, 0.3 if not dark else 0.4)
    for hole in holes:
        centre, size = hole.mean(0), np.ptp(hole, axis=0)
        low = rng.uniform(-0.4, 0.3) * size[1]
        stripe = centre + np.array(
            [
                (-size[0] * 0.3, low),
                (size[0] * 0.35, low + slope),
                (size[0] * 0.3, low + slope - size[1] * 0.3),
                (-size[0] * 0.35, low - size[1] * 0.3),
            ]
        )
        patch = canvas.patch(stripe.astype(np.float32), soft=2)
        canvas.paint(canvas.within(patch, "eye_g", "l_eye", "r_eye"), [1, 1, 1], opacity=strength)


def draw_hat(scene: Scene) -> None:
    """A cap, a brimmed hat, a woollen one or a scarf over the hair."""
    canvas, rng, kind = scene.canvas, scene.rng, scene.person.hat
    if kind == "none":
        return
    low = rng.normal(-88, 12)  # v of its edge on the forehead
    colour = rng.uniform(0.03, 0.9, 3) * (0.5 if rng.random() < 0.5 else 1)
    shapes = [_crown(scene, low)]
    if kind in ("cap", "brim"):
        shapes.append(_visor(scene, low))
    canvas.shade(canvas.patch(*[shifted(s, 0, 12) for s in shapes], soft=8), rng.uniform(0.2, 0.6))
    for k, shape in enumerate(shapes):
        patch = canvas.patch(shape)
        if patch is None:
            continue
        height, width = patch.alpha.shape
        x = np.linspace(-1, 1, width, dtype=np.float32)[None]
        shade = 1.05 - 0.35 * x**2 - 0.5 * scene.lean * x - 0.15 * k
        weave = 1 + 0.06 * noise(rng, (height, width), (height, width))
        weave = weave + 0.1 * noise(rng, (height, width), (7, 9))
        if kind == "wool":
            weave = weave + 0.12 * np.sin(np.linspace(0, rng.uniform(60, 160), width))[None]
        tone = colour * (shade * weave)[..., None] * scene.level
        canvas.paint(patch, np.clip(tone, 0, 1), part="hat")


def _crown(scene: Scene, low: float) -> Floats:
    """What sits on the head, closed outline on the canvas."""
    head, rng = scene.head, scene.rng
    wide, high = 1.1 * rng.uniform(0.98, 1.12), head.shape.top - rng.uniform(8, 40)
    band = [(137 * wide, low + 30, 20), (115 * wide, low + 6, 80), (60, low - 3, 118)]
    band = [(-x, v, z) for x, v, z in band] + [(0, low - 6, 128)] + band[::-1]
    crown = [(142 * wide, -95, -10), (125 * wide, -160, -10), (80, high, 0)]
    crown = crown + [(0, high - 12, 0)] + [(-x, v, z) for x, v, z in crown[::-1]]
    if scene.person.hat == "scarf":
        crown = [(155, 20, -10), *crown, (-155, 20, -10)]
    lower = smooth(head.project(np.array(band)), 6, closed=False)
    upper = smooth(head.project(np.array(crown)), 6, closed=False)
    return np.concatenate([lower, upper])


def _visor(scene: Scene, low: float) -> Floats:
    """A cap's visor or a hat's brim, closed outline on the canvas."""
    rng = scene.rng
    if scene.person.hat == "cap":
        reach, side = rng.uniform(15, 34), 105.0
    else:
        reach, side = rng.uniform(10, 30), rng.uniform(180, 240)
    right = [(side * 0.6, low + reach * 0.8, 150), (side, low + 18, 30), (side * 0.5, low - 22, 60)]
    rim = [(0, low + reach * 0.9, 185), *right, *[(-x, v, z) for x, v, z in right[::-1]]]
    return smooth(scene.head.project(np.array(rim)), 6)
