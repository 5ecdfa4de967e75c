"""Objects that hide parts of the face and have no label: hands, microphones, cups, others."""

import numpy as np

from facesegkit.synthetic.curves import Floats, ellipse, noise, smooth, wobble
from facesegkit.synthetic.head import MOUTH_V
from facesegkit.synthetic.scene import Scene

OCCLUDED = 0.12  # fraction of faces with something in front of them

# Probability of a position of the hand, and ranges for the root of its first finger (horizontal
# distance from the middle and height in pixels) and its slant (radians).
HANDS = (
    (0.4, (0, 90), (430, 540), (-0.5, 0.5)),  # chin
    (0.45, (80, 150), (380, 520), (-0.2, 0.5)),  # cheek
    (0.15, (120, 190), (130, 260), (0.6, 1.5)),  # forehead
)


def draw_occluder(scene: Scene) -> None:
    """A hand, a microphone, a cup or another object, labelled as background."""
    if scene.rng.random() > OCCLUDED:
        return
    draw = [_hand, _microphone, _cup, _object]
    draw[scene.rng.choice(len(draw), p=[0.45, 0.2, 0.12, 0.23])](scene)


def _hand(scene: Scene) -> None:
    """Two to five fingers on chin, cheek or forehead, and the back of the hand."""
    canvas, rng = scene.canvas, scene.rng
    side = rng.choice([-1, 1])
    _, *ranges = HANDS[rng.choice(len(HANDS), p=[hand[0] for hand in HANDS])]
    x, y, angle = (rng.uniform(*limits) for limits in ranges)
    up = np.array([-side * np.sin(angle), -np.cos(angle)])
    across = np.array([-up[1], up[0]])
    root = np.array([256 + side * x, y])
    width, length = rng.uniform(22, 31), rng.uniform(60, 150)
    count = int(rng.integers(2, 6))
    tint = scene.person.skin * rng.normal(1, 0.06) * scene.level
    palm = root + across * width * 0.95 * (count - 1) / 2
    back = canvas.patch(_capsule(palm - up * 220, palm - up * 10, width * 0.48 * count), soft=0.8)
    if not back.is_empty:
        folds = 0.8 + 0.08 * noise(rng, back.alpha.shape, (6, 6))
        canvas.paint(back, np.clip(tint * folds[..., None], 0, 1), part="background")
    for k in range(count):
        start = root + across * k * width * 0.95
        end = start + up * length * rng.uniform(0.75, 1.05) + rng.normal(0, 5, 2)
        _finger(scene, start, end, width, tint)


def _finger(scene: Scene, start: Floats, end: Floats, width: float, tint: Floats) -> None:
    """A rounded finger, darker at its sides, with a nail."""
    canvas = scene.canvas
    for fraction, tone in ((1.0, 0.55), (0.86, 0.78), (0.6, 0.92), (0.3, 1.0)):
        whole = fraction == 1
        patch = canvas.patch(_capsule(start, end, width / 2 * fraction), soft=2.0 * (not whole))
        canvas.paint(patch, np.clip(tint * tone, 0, 1), part="background" if whole else None)
    nail = canvas.patch(ellipse(end[0], end[1], width * 0.26, width * 0.36), soft=0.6)
    canvas.paint(nail, np.clip(tint * [1.1, 0.9, 0.92], 0, 1), opacity=0.7)


def _capsule(start: Floats, end: Floats, radius: float) -> Floats:
    """Polygon around a line segment, with round ends."""
    along = (end - start) / (np.hypot(*(end - start)) + 1e-6)
    t = np.linspace(-np.pi / 2, np.pi / 2, 12) + np.arctan2(along[1], along[0])
    cap = np.stack([np.cos(t), np.sin(t)], 1) * radius
    return np.concatenate([end + cap, start - cap]).astype(np.float32)


def _microphone(scene: Scene) -> None:
    canvas, rng = scene.canvas, scene.rng
    x, y = scene.head.lift([(rng.normal(0, 35), MOUTH_V + rng.uniform(10, 60))])[0]
    radius, tone = rng.uniform(22, 45), rng.uniform(0.05, 0.5)
    end = np.array([x + rng.normal(0, 120), 620.0])
    stick = canvas.patch(_capsule(np.array([x, y]), end, radius * 0.5))
    canvas.paint(stick, [tone * 0.5] * 3, part="background")
    ball = canvas.patch(ellipse(x, y, radius, radius * rng.uniform(0.9, 1.3)))
    high, wide = ball.alpha.shape
    grid = 1 + 0.5 * noise(rng, (high, wide), (high // 3 + 1, wide // 3 + 1))
    slope = np.linspace(1.3, 0.6, high)[:, None]
    canvas.paint(ball, np.clip(tone * grid * slope, 0, 1)[..., None], part="background")


def _cup(scene: Scene) -> None:
    """A cup, glass or bottle held to the mouth: tapered sides, a rim, a shaded body."""
    canvas, rng = scene.canvas, scene.rng
    x, y = scene.head.lift([(rng.normal(0, 25), MOUTH_V + rng.uniform(-8, 45))])[0]
    wide, high, taper = rng.uniform(22, 60), rng.uniform(90, 220), rng.uniform(0.6, 1.0)
    low, lean = wide * taper, rng.normal(0, 30)
    body = np.array([(x - wide, y), (x + wide, y), (x + low + lean, y + high),
                     (x - low + lean, y + high)], dtype=np.float32)  # fmt: skip
    patch = canvas.patch(body, ellipse(x, y, wide, wide * 0.25), soft=0.6)
    across = np.linspace(-1, 1, patch.alpha.shape[1])[None, :, None]
    colour = rng.uniform(0.05, 0.95, 3) * (1.05 - 0.5 * across**2 - scene.lean * across)
    canvas.paint(patch, np.clip(colour, 0, 1) * scene.level, part="background")
    canvas.shade(canvas.patch(ellipse(x, y, wide * 0.9, wide * 0.2), soft=0.8), 0.4)


def _object(scene: Scene) -> None:
    """A smooth random shape near the edge of the face."""
    canvas, rng = scene.canvas, scene.rng
    side = rng.uniform(0, 2 * np.pi)
    centre = 256 + np.array([np.cos(side), np.sin(side)]) * rng.uniform(110, 230)
    radius = rng.uniform(25, 90) * (1 + wobble(rng, 12, 12, 0.25))
    t = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    polygon = centre + np.stack([np.cos(t), np.sin(t)], 1) * radius[:, None]
    patch = canvas.patch(smooth(polygon, 5), soft=rng.uniform(0, 3))
    folds = 1 + 0.2 * noise(rng, patch.alpha.shape, (4, 4))
    colour = np.clip(rng.uniform(0, 1, 3) * folds[..., None], 0, 1)
    canvas.paint(patch, colour, part="background")
