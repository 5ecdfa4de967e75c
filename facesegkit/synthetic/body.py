"""Neck, clothes, ears and jewellery: what is drawn before the face."""

import numpy as np

from facesegkit.synthetic.curves import Floats, ellipse, mirror, noise, shifted, smooth
from facesegkit.synthetic.scene import Scene

CLOTHED = 0.66  # fraction of faces with clothes in the photo; measured: 0.58 are annotated
METALS = np.array([[0.85, 0.7, 0.35], [0.8, 0.8, 0.82], [0.1, 0.1, 0.12]])


def draw_neck(scene: Scene) -> None:
    """A column of skin below the head, in the shadow of the chin."""
    canvas, head, rng, person = scene.canvas, scene.head, scene.rng, scene.person
    half = rng.normal(90 if person.feminine else 106, 9)
    side = [(-half * 0.97, 75, -40), (-half, 200, -35), (-half * 1.05, 265, -35),
            (-half * 1.7, 320, -30), (-half * 3, 420, -30)]  # fmt: skip
    patch = canvas.patch(smooth(head.project([*side, *mirror(side)]), 5))
    middle = head.project([(0, 200, -35.0)])[0]
    x = np.arange(patch.cols.start, patch.cols.stop, dtype=np.float32) - middle[0]
    x /= np.float32(half * head.scale)
    across = 1 - 0.35 * x**2 - float(np.clip(scene.lean, -0.6, 0.6)) * x
    across = np.clip(across, 0.35, 1.25)[None, :, None]
    chin = head.lift([(0, head.shape.chin - 2)])[0][1]
    y = np.arange(patch.rows.start, patch.rows.stop, dtype=np.float32)[:, None, None]
    below = np.clip((y - chin) / (70 * head.scale), 0, 1)
    shade = rng.uniform(0.45, 0.8)
    lit = (across * (shade + (1 - shade) * below)) * (person.skin * np.float32(scene.level))
    canvas.paint(patch, np.clip(lit, 0, 1), part="neck")


def draw_necklace(scene: Scene) -> None:
    """A chain or beads around the neck of a few people."""
    canvas, rng = scene.canvas, scene.rng
    if rng.random() > 0.08:
        return
    low, wide = rng.uniform(265, 310), rng.uniform(70, 95)
    t = np.linspace(-1, 1, 40)
    line = scene.head.project(np.stack([wide * t, low - 55 * t**2, np.full(40, -10.0)], 1))
    metal = rng.uniform(0.3, 0.95) * np.array([1, 0.92, 0.75])
    beads = rng.random() < 0.5
    shapes = [ellipse(x, y, 4, 4, count=10) for x, y in line]
    patch = canvas.patch(*shapes) if beads else canvas.strokes([line], rng.uniform(1.5, 4))
    canvas.paint(patch, metal, part="neck_l")


def draw_cloth(scene: Scene) -> None:
    """Shoulders with some kind of neckline, plain or striped."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    if rng.random() > CLOTHED:
        return
    low, wide, dip = rng.normal(252, 28), rng.uniform(65, 140), rng.uniform(-25, 110)
    left, right = rng.uniform(0, 60, 2)
    neckline = [(-wide - 40, low - 22), (-wide, low - 16)]
    points = [(-400, 520), (-300, low + left), *neckline, (0, low + dip), *mirror(neckline),
              (300, low + right), (400, 520)]  # fmt: skip
    edge = head.project([(x, y, -20.0) for x, y in points])
    patch = canvas.patch(np.concatenate([smooth(edge, 5, closed=False), [(900, 700), (-300, 700)]]))
    if patch.is_empty:
        return
    fabric = _fabric(rng, patch.alpha.shape) * np.float32(scene.level)
    canvas.shade(canvas.patch(shifted(edge, 0, -4), soft=5), 0.35)
    canvas.paint(patch, fabric, part="cloth")


def _fabric(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """A colour in folds, sometimes with stripes, float32 [H, W, 3]."""
    colour = rng.uniform(0.02, 0.95, 3)
    if rng.random() < 0.55:
        colour = np.full(3, rng.choice([0.05, 0.12, 0.3, 0.85])) * rng.uniform(0.7, 1.15, 3)
    folds = 1 + 0.16 * noise(rng, shape, (5, 9))
    folds += 0.05 * noise(rng, shape, shape)
    image = np.clip(folds[..., None] * colour.astype(np.float32), 0, 1)
    if rng.random() < 0.3:
        y, x = np.indices(shape).astype(np.float32)
        wave = (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)) * rng.uniform(0.1, 0.7)
        image = np.where((np.sin(wave) > 0.2)[..., None], image, rng.uniform(0, 0.8, 3))
    return image.astype(np.float32)


def draw_ears(scene: Scene) -> None:
    """Both ears and earrings; the head, which is drawn later, hides parts of them."""
    canvas, head, rng, person = scene.canvas, scene.head, scene.rng, scene.person
    width, length, v = rng.uniform(16, 42), rng.normal(54, 5), rng.normal(40, 8)
    ringed = rng.random() < (0.45 if person.feminine else 0.04)
    colour = np.clip(person.skin * np.array([0.95, 0.8, 0.77]) * rng.uniform(0.75, 1.1), 0, 1)
    contour = [(0, -0.85), (0.75, -1.0), (1.15, -0.5), (0.85, 0.25), (0.45, 0.9), (-0.1, 0.8)]
    across, down = smooth(contour, 6).T
    for side in (-1, 1):
        base = side * float(np.interp(v, head.v, head.half_width)) * 0.97
        ear = np.stack([base + side * across * width, v + down * length, -12 - 16 * across], 1)
        patch = canvas.patch(head.project(ear))
        tone = colour * scene.level * (1 - side * scene.lean * 0.9)
        canvas.paint(patch, np.clip(tone, 0, 1), part="l_ear" if side > 0 else "r_ear")
        ear[:, :2] = (ear[:, :2] - (base, v)) * 0.55 + (base + side * 5, v - 4)
        canvas.shade(canvas.patch(head.project(ear), soft=2.5), rng.uniform(0.25, 0.6))
        if ringed:
            _earring(scene, np.array([base + side * width * 0.4, v + length * 0.95, -16.0]))


def _earring(scene: Scene, lobe: Floats) -> None:
    """A stud, a ring or a pendant."""
    canvas = scene.canvas
    rng = np.random.default_rng(int(abs(lobe[1]) * 1e6))  # the same for both ears
    metal = METALS[rng.integers(3)]
    x, y = scene.head.project(lobe[None])[0]
    size, kind = rng.gamma(2.5, 5.5) + 4, rng.choice(["stud", "ring", "pendant"])
    if kind == "ring":
        ring = ellipse(x, y + size, size * 0.6, size)
        canvas.paint(canvas.strokes([np.concatenate([ring, ring[:1]])], 2.2), metal, part="ear_r")
        return
    shape = ellipse(x, y, size * 0.5, size * 0.5)
    if kind == "pendant":
        shape = ellipse(x, y + size * 1.5, size * rng.uniform(0.3, 0.7), size * 1.6)
    canvas.paint(canvas.patch(shape), np.clip(metal * rng.uniform(0.6, 1.1), 0, 1), part="ear_r")
    canvas.paint(canvas.patch(ellipse(x - 1, y + size * 0.6, 1.6, 1.6)), [1, 1, 0.95])
