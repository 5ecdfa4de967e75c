"""The nose: nostrils, wings and the shadow below; the rest is the surface's own light."""

from __future__ import annotations

import numpy as np

from facesegkit.synthetic.curves import Floats, ellipse, ribbon, shifted, smooth
from facesegkit.synthetic.scene import SIDES, Scene

# Counted on the label maps of 700 pairs: the mask begins with a level edge at the height of the
# upper lids, half as wide as BRIDGE says, stays that wide for a third of the way and ends 77 wide
# under the nostrils.
TOP, BRIDGE = (-5, 6), (18.6, 2.2)  # mean, spread


def draw_nose(scene: Scene) -> None:
    """Shaded flanks and underside, nostrils, the wings' creases, glints on bridge and tip."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    wing, end = head.shape.nose_width, head.shape.nose_length
    scene.annotate(_outline(rng, wing, end), "nose")
    brown = np.clip(scene.person.skin * [0.62, 0.42, 0.38], 0, 1)
    base = smooth([(-wing, end - 12), (0, end - 6), (wing, end - 12), (0, end + 3)], 6)
    canvas.shade(scene.on_head(base, soft=4), rng.uniform(0.0, 0.35), brown)
    flank, crease = rng.uniform(0.0, 0.3), rng.uniform(0.05, 0.5)
    for side in SIDES.values():
        line = smooth([(side * 19, 0), (side * 20, 0.4 * end), (side * wing * 0.8, end - 26)],
                      5, closed=False)  # fmt: skip
        canvas.shade(canvas.patch(ribbon(head.lift(line), 14), soft=5), flank, brown)
        line = smooth(
            [(side * wing * 0.74, end - 31), (side * (wing - 2.5), end - 22),
             (side * (wing - 0.5), end - 12), (side * wing * 0.84, end - 2)], 5, closed=False
        )  # fmt: skip
        line = head.lift(line)
        canvas.shade(canvas.patch(ribbon(line, 2.8), soft=1.4), crease, brown * 0.6)
        outside = shifted(line, side * 4 * head.scale, 1)
        canvas.shade(canvas.patch(ribbon(outside, 9), soft=4), 0.25 * crease, brown)
    _nostrils(scene)
    _glints(scene)


def _nostrils(scene: Scene) -> None:
    """Dark openings, wider the more of them a lifted head shows."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    wing, end = head.shape.nose_width, head.shape.nose_length
    hole, depth = rng.uniform(0.15, 0.88), rng.uniform(0.15, 0.6)
    high = float(np.clip(rng.normal(4.0, 1.1) - 8 * head.pose.nod, 1.6, 6))
    wide, slant = wing * rng.normal(0.22, 0.03), rng.uniform(0.1, 0.5)
    for side in SIDES.values():
        t = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        # A comma: round towards the wing, pointed towards the middle.
        u = wide * np.cos(t)
        v = high * np.sin(t) * (0.75 + 0.35 * np.cos(t)) - slant * u - high * 0.3
        nostril = np.stack([side * (wing * 0.42 + u), end - 3 + v], 1).astype(np.float32)
        shadow = scene.person.skin * np.array([1.0, 0.55, 0.5]) * depth
        canvas.paint(scene.on_head(nostril, soft=rng.uniform(0.7, 1.6)), shadow, opacity=hole)


def _glints(scene: Scene) -> None:
    """A bright line down the bridge and a spot on the tip, as lamps and make-up leave them."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    end = head.shape.nose_length
    if rng.random() < 0.65:
        tip = ellipse(rng.normal(0, 4), end - 22, rng.uniform(3, 8), rng.uniform(3, 8))
        glint = scene.on_head(tip, soft=3)
        if glint is not None:
            canvas.paint(glint, scene.lit(glint, [1.1, 1.05, 1.0]), opacity=rng.uniform(0, 0.5))
    if rng.random() < 0.35:
        x = rng.normal(0, 3)
        line = np.array([(x, 0.15 * end), (x, 0.45 * end), (x, 0.75 * end)], dtype=np.float32)
        shine = canvas.patch(ribbon(head.lift(line), rng.uniform(5, 10)), soft=2.5)
        if shine is not None:
            canvas.paint(shine, scene.lit(shine, [1.1, 1.05, 1.0]), opacity=rng.uniform(0, 0.4))


def _outline(rng: np.random.Generator, wing: float, end: float) -> Floats:
    """What annotators outline: from a level edge between the upper lids to under the nostrils.

    The flanks follow the widths of the validation split's masks, at eight heights.
    """
    top, bridge = rng.normal(*TOP), rng.normal(*BRIDGE)
    side = [
        (bridge, top),
        (bridge * 0.95, top + 0.25 * (end - top)),
        (bridge * 1.12, top + 0.45 * (end - top)),
        (wing * 0.74, end - 32),
        (wing * 0.98, end - 20),
        (wing * 0.98, end - 9),
        (wing * 0.66, end - 1.2),
    ]
    right = smooth(side, 5, closed=False)
    low = [(wing * 0.3, end), (0, end + 1.2), (-wing * 0.3, end)]
    bottom = smooth([side[-1], *low, (-side[-1][0], side[-1][1])], 4, closed=False)
    left = right[::-1] * np.array([-1, 1], dtype=np.float32)
    return np.concatenate([right, bottom[1:-1], left])
