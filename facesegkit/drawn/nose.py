"""The nose: nostrils, wings and the shadow below; the rest is the surface's own light."""

from __future__ import annotations

import numpy as np

from facesegkit.drawn.curves import Floats, ellipse, ribbon, smooth
from facesegkit.drawn.scene import SIDES, Scene

# Counted on the label maps of 700 pairs: the mask begins with a level edge at the height of the
# upper lids, half as wide as BRIDGE says, stays that wide for a third of the way and ends 77 wide
# under the nostrils.
TOP, BRIDGE = (-3.5, 6), (19.5, 2.2)  # mean, spread


def draw_nose(scene: Scene) -> None:
    """Nostrils, the wings' creases, the shaded underside, a glint on the tip."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    wing, end = head.shape.nose_width, head.shape.nose_length
    scene.annotate(_outline(rng, wing, end), "nose")
    base = smooth([(-wing, end - 8), (0, end - 2), (wing, end - 8), (0, end + 6)], 6)
    canvas.shade(scene.on_head(base, soft=4), rng.uniform(0.0, 0.18))
    hole, size, slant = rng.uniform(0.35, 1.0), rng.normal(1, 0.18), rng.uniform(0.15, 0.5)
    for side in SIDES.values():
        nostril = ellipse(side * wing * 0.40, end - 5, wing * 0.21 * size, 3.4 * size, side * slant)
        shadow = scene.person.skin * [0.22, 0.12, 0.11]
        canvas.paint(scene.on_head(nostril, soft=1.3), shadow, opacity=hole)
        crease = smooth(
            [(side * wing * 0.76, end - 28), (side * (wing + 0.5), end - 14),
             (side * wing * 0.86, end - 3)], 5, closed=False
        )  # fmt: skip
        fold = canvas.patch(ribbon(head.lift(crease), 2.6), soft=1.6)
        canvas.shade(fold, rng.uniform(0.15, 0.6))
    if rng.random() < 0.6:
        tip = ellipse(rng.normal(0, 4), end - 22, rng.uniform(3, 7), rng.uniform(3, 8))
        glint = scene.on_head(tip, soft=3)
        if glint is not None:
            canvas.paint(glint, scene.lit(glint, [1.1, 1.05, 1.0]), opacity=rng.uniform(0, 0.35))


def _outline(rng: np.random.Generator, wing: float, end: float) -> Floats:
    """What annotators outline: from a level edge between the upper lids to under the nostrils."""
    top, bridge = rng.normal(*TOP), rng.normal(*BRIDGE)
    side = [
        (bridge, top),
        (bridge * 1.0, top + 0.25 * (end - top)),
        (bridge * 1.22, top + 0.45 * (end - top)),
        (wing * 0.80, end - 32),
        (wing * 1.0, end - 20),
        (wing * 1.0, end - 9),
        (wing * 0.74, end - 0.5),
    ]
    right = smooth(side, 5, closed=False)
    low = [(wing * 0.3, end + 1), (0, end + 3), (-wing * 0.3, end + 1)]
    bottom = smooth([side[-1], *low, (-side[-1][0], side[-1][1])], 4, closed=False)
    left = right[::-1] * np.array([-1, 1], dtype=np.float32)
    return np.concatenate([right, bottom[1:-1], left])
