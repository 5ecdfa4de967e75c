"""Glasses and hats."""

import numpy as np

from facesegkit.labels import PART_IDS
from facesegkit.synthetic.curves import Floats, mirror, noise, shifted, smooth
from facesegkit.synthetic.head import EYE_U
from facesegkit.synthetic.scene import Scene

SEEN_THROUGH = [PART_IDS[name] for name in ("l_eye", "r_eye", "l_brow", "r_brow")]


def draw_glasses(scene: Scene) -> None:
    """Rims, lenses and temples. Eyes remain eyes behind clear glass."""
    canvas, head, rng, dark = scene.canvas, scene.head, scene.rng, scene.person.glasses == "dark"
    if scene.person.glasses == "none":
        return
    width, height = rng.uniform(44, 60), rng.uniform(26, 42) + 6 * dark
    coloured = rng.random() < 0.15
    colour = rng.uniform(0, 0.9, 3) if coloured else np.full(3, rng.choice([0.03, 0.1, 0.3, 0.6]))
    # Every fourth pair has a heavy rim along the brows, which models must not take for brows.
    rim = rng.uniform(5, 10) if rng.random() < 0.25 else rng.uniform(1.2, 6.5)
    v = rng.normal(6, 4)
    _lenses(scene, _lens_polygons(scene, width, height, v), 1 - rim / width, colour)
    lines = [head.project([(-14, v - 6, 132.0), (0, v - 10, 135), (14, v - 6, 132)])]  # bridge
    for side in (-1, 1):
        temple = head.project([(side * (EYE_U + width), v - 8, 108.0), (side * 140, v - 4, 0.0)])
        if (temple[1, 0] - temple[0, 0]) * side > 4:  # the far one of a turned head is hidden
            lines.append(temple)
    strokes = canvas.strokes(lines, max(1.5, rim * 0.9))
    canvas.paint(strokes, colour, part="eye_g" if dark or rim > 3 else None)


def _lens_polygons(scene: Scene, width: float, height: float, v: float) -> list[Floats]:
    """Both lenses in pixels, [48, 2] each: between ellipses and rounded rectangles."""
    square, droop = scene.rng.uniform(2, 5), scene.rng.uniform(0, 8)
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    across, down = (np.sign(w) * np.abs(w) ** (2 / square) for w in (np.cos(t), np.sin(t)))
    y = v + down * height + droop * (down > 0) * across * down
    sides = [side * (EYE_U + 3 + across * width) for side in (-1, 1)]
    return [scene.head.project(np.stack([x, y, 130 - 0.0022 * x**2], 1)) for x in sides]


def _lenses(scene: Scene, polygons: list[Floats], inner: float, colour: Floats) -> None:
    """Rims and glass, whose size is `inner` times that of the lenses."""
    canvas, rng, dark = scene.canvas, scene.rng, scene.person.glasses == "dark"
    holes = [p.mean(0) + (p - p.mean(0)) * inner for p in polygons]
    rims, glass = canvas.patch(*polygons), canvas.patch(*holes)
    canvas.shade(canvas.patch(*(shifted(p, 0, 6) for p in polygons), soft=4), 0.12)
    tint = rng.uniform(0.0, 0.35, 3) if dark else np.full(3, 0.9)
    see_through = rng.uniform(0.8, 1.0) if dark else 0.3 * rng.random() ** 2
    before, labels = glass.of(canvas.rgb).copy(), canvas.labels.copy()
    canvas.paint(rims, colour, part="eye_g")
    canvas.paint(glass, before * (1 - see_through) + tint * see_through)
    if not dark:  # annotators label the eyes and brows that they see through the glass
        inside = np.zeros(labels.shape, dtype=bool)
        inside[glass.rows, glass.cols] = glass.alpha > 0.5
        keep = np.isin(labels, SEEN_THROUGH) & (inside | (canvas.labels != PART_IDS["eye_g"]))
        canvas.labels[keep] = labels[keep]
    if rng.random() < 0.6:
        _reflection(scene, holes, rng.normal(0, 14), rng.uniform(0.05, 0.4 if dark else 0.3))


def _reflection(scene: Scene, holes: list[Floats], slope: float, strength: float) -> None:
    """A bright stripe across each lens."""
    canvas = scene.canvas
    for hole in holes:
        wide, high = np.ptp(hole, axis=0)
        low = scene.rng.uniform(-0.4, 0.3) * high
        top = low - high * 0.3
        stripe = [(-wide * 0.3, low), (wide * 0.35, low + slope),
                  (wide * 0.3, top + slope), (-wide * 0.35, top)]  # fmt: skip
        stripe = hole.mean(0) + np.array(stripe)
        patch = canvas.patch(stripe.astype(np.float32), soft=2)
        canvas.paint(canvas.within(patch, "eye_g", "l_eye", "r_eye"), [1, 1, 1], opacity=strength)


def draw_hat(scene: Scene) -> None:
    """A cap, a brimmed hat, a woollen one or a scarf over the hair."""
    canvas, rng, kind = scene.canvas, scene.rng, scene.person.hat
    if kind == "none":
        return
    low = rng.normal(-88, 12)  # v of its edge on the forehead
    colour = rng.uniform(0.03, 0.9, 3) * (0.5 if rng.random() < 0.5 else 1)
    makers = [_crown, _visor] if kind in ("cap", "brim") else [_crown]
    shapes = [make(scene, low) for make in makers]
    canvas.shade(canvas.patch(*(shifted(s, 0, 12) for s in shapes), soft=8), rng.uniform(0.2, 0.6))
    for k, shape in enumerate(shapes):
        patch = canvas.patch(shape)
        size = patch.alpha.shape
        x = np.linspace(-1, 1, size[1], dtype=np.float32)[None]
        shade = 1.05 - 0.35 * x**2 - 0.5 * scene.lean * x - 0.15 * k
        weave = 1 + 0.06 * noise(rng, size, size) + 0.1 * noise(rng, size, (7, 9))
        if kind == "wool":
            weave = weave + 0.12 * np.sin(np.linspace(0, rng.uniform(60, 160), size[1]))[None]
        tone = colour * (shade * weave)[..., None] * scene.level
        canvas.paint(patch, np.clip(tone, 0, 1), part="hat")


def _crown(scene: Scene, low: float) -> Floats:
    """Polygon in pixels of the part that covers the head."""
    head, rng = scene.head, scene.rng
    wide, high = 1.1 * rng.uniform(0.98, 1.12), head.shape.top - rng.uniform(8, 40)
    band = [(60, low - 3, 118), (115 * wide, low + 6, 80), (137 * wide, low + 30, 20)]
    crown = [(142 * wide, -95, -10), (125 * wide, -160, -10), (80, high, 0)]
    upper = [*crown, (0, high - 12, 0), *mirror(crown)]
    if scene.person.hat == "scarf":
        upper = [(155, 20, -10), *upper, (-155, 20, -10)]
    lower = [*mirror(band), (0, low - 6, 128), *band]
    return np.concatenate([smooth(head.project(p), 6, closed=False) for p in (lower, upper)])


def _visor(scene: Scene, low: float) -> Floats:
    """Polygon in pixels of the visor of a cap or the brim of a hat."""
    rng = scene.rng
    if scene.person.hat == "cap":
        reach, side = rng.uniform(15, 34), 105.0
    else:
        reach, side = rng.uniform((10, 180), (30, 240))
    right = [(side * 0.6, low + reach * 0.8, 150), (side, low + 18, 30), (side * 0.5, low - 22, 60)]
    return smooth(scene.head.project([(0, low + reach * 0.9, 185), *right, *mirror(right)]), 6)
