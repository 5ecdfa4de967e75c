"""The nose: nostrils, wings and the shadow below; the rest follows from light on the surface."""

import numpy as np

from facesegkit.synthetic.curves import Floats, ellipse, ribbon, shifted, smooth
from facesegkit.synthetic.scene import SIDES, Scene

# Measured on the label maps of 700 pairs: the mask begins with a level edge at the height of the
# upper lids, with the half width BRIDGE, keeps that width for a third of its length and ends 77
# wide under the nostrils.
TOP, BRIDGE = (-5, 6), (18.6, 2.2)  # mean, standard deviation


def draw_nose(scene: Scene) -> None:
    """Shaded flanks and underside, nostrils, creases of the wings, highlights on bridge and tip."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    wing, end = head.shape.nose_width, head.shape.nose_length
    scene.annotate(_annotated(rng, wing, end), "nose")
    brown = np.clip(scene.person.tint * [0.62, 0.42, 0.38], 0, 1)
    base = smooth([(-wing, end - 12), (0, end - 6), (wing, end - 12), (0, end + 3)], 6)
    scene.shade(base, 4, rng.uniform(0.0, 0.35), brown)
    flank, crease = rng.uniform(0.0, 0.3), rng.uniform(0.05, 0.5)
    for side in SIDES.values():
        line = [(side * 19, 0), (side * 20, 0.4 * end), (side * wing * 0.8, end - 26)]
        canvas.shade(scene.ribbon_on_head(smooth(line, 5, closed=False), 14, 5), flank, brown)
        line = [(side * wing * 0.74, end - 31), (side * (wing - 2.5), end - 22),
                (side * (wing - 0.5), end - 12), (side * wing * 0.84, end - 2)]  # fmt: skip
        pixels = head.lift(smooth(line, 5, closed=False))
        canvas.shade(canvas.patch(ribbon(pixels, 2.8), soft=1.4), crease, brown * 0.6)
        outside = shifted(pixels, side * 4 * head.scale, 1)
        canvas.shade(canvas.patch(ribbon(outside, 9), soft=4), 0.25 * crease, brown)
    _nostrils(scene)
    _highlights(scene)


def _nostrils(scene: Scene) -> None:
    """Dark openings, higher if the head is lifted."""
    head, rng = scene.head, scene.rng
    wing, end = head.shape.nose_width, head.shape.nose_length
    hole, depth = rng.uniform(0.15, 0.88), rng.uniform(0.15, 0.6)
    high = float(np.clip(rng.normal(4.0, 1.1) - 8 * head.pose.pitch, 1.6, 6))
    wide, slant = wing * rng.normal(0.22, 0.03), rng.uniform(0.1, 0.5)
    # The shape of a comma: round towards the wing, pointed towards the middle.
    t = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    u = wide * np.cos(t)
    v = high * np.sin(t) * (0.75 + 0.35 * np.cos(t)) - slant * u - high * 0.3
    shadow = scene.person.skin * np.array([1.0, 0.55, 0.5]) * depth
    for side in SIDES.values():
        nostril = np.stack([side * (wing * 0.42 + u), end - 3 + v], 1).astype(np.float32)
        patch = scene.on_head(nostril, soft=rng.uniform(0.7, 1.6))
        scene.canvas.paint(patch, shadow, opacity=hole)


def _highlights(scene: Scene) -> None:
    """A bright line down the bridge and a spot on the tip, as lamps and make-up cause them."""
    rng, end, white = scene.rng, scene.head.shape.nose_length, [1.1, 1.05, 1.0]
    if rng.random() < 0.65:
        tip = ellipse(rng.normal(0, 4), end - 22, rng.uniform(3, 8), rng.uniform(3, 8))
        scene.paint_lit(scene.on_head(tip, soft=3), white, rng.uniform(0, 0.5))
    if rng.random() < 0.35:
        x = rng.normal(0, 3)
        line = np.array([(x, 0.15 * end), (x, 0.45 * end), (x, 0.75 * end)], dtype=np.float32)
        shine = scene.ribbon_on_head(line, rng.uniform(5, 10), soft=2.5)
        scene.paint_lit(shine, white, rng.uniform(0, 0.4))


def _annotated(rng: np.random.Generator, wing: float, end: float) -> Floats:
    """What annotators label: from a level edge between the upper lids to below the nostrils.

    The flanks follow the widths of the validation split's masks, measured at eight heights.
    """
    top, bridge = rng.normal(*TOP), rng.normal(*BRIDGE)
    side = [(bridge, top), (bridge * 0.95, top + 0.25 * (end - top)),
            (bridge * 1.12, top + 0.45 * (end - top)), (wing * 0.74, end - 32),
            (wing * 0.98, end - 20), (wing * 0.98, end - 9), (wing * 0.66, end - 1.2)]  # fmt: skip
    right = smooth(side, 5, closed=False)
    low = [(wing * 0.3, end), (0, end + 1.2), (-wing * 0.3, end)]
    bottom = smooth([side[-1], *low, (-side[-1][0], side[-1][1])], 4, closed=False)
    return np.concatenate([right, bottom[1:-1], right[::-1] * (-1, 1)])
