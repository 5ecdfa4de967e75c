"""Eyes: sockets, eyeballs, lids, lashes and make-up.

Sizes are in face units (pixels of an aligned photo). Measured on the label maps of 700 pairs: an
eye mask is 43 +- 8 wide and 16 +- 4 high; it ends at the lids, without the lashes. On 250 photos of
the train split, an eye is 0.98 +- 0.3 times as bright as the skin within six pixels of it: lashes,
creases, shade and make-up darken that skin.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from facesegkit.synthetic.curves import Floats, choose, ellipse, smooth
from facesegkit.synthetic.head import EYE_U, EYE_V
from facesegkit.synthetic.scene import SIDES, Scene
from facesegkit.synthetic.traits import Person, Pose

# Mean and standard deviation; the projection of a turned head narrows the first.
HALF_WIDTH, OPENING = (24.5, 2.6), (16.4, 3.4)
IRIS_RADIUS, EYEBALL_RADIUS = 10.2, 15.0

IRIS_COLOURS = np.array([
    [0.16, 0.09, 0.05], [0.26, 0.15, 0.08], [0.36, 0.25, 0.12], [0.30, 0.36, 0.22],
    [0.35, 0.45, 0.55], [0.45, 0.58, 0.70], [0.42, 0.46, 0.48],
])  # fmt: skip
IRIS_WEIGHTS = np.array([0.28, 0.22, 0.13, 0.1, 0.12, 0.09, 0.06])
LASH = np.array([0.06, 0.045, 0.04])


@dataclass(frozen=True)
class Eye:
    """Opening of an eye: corners `half` to both sides of its centre, and the lids in between."""

    side: int
    half: float
    upper: float  # height of the upper lid's arch
    lower: float
    slant: float  # how much higher the outer corner is
    peak: float  # where the arch is highest, -1 inner .. 1 outer
    shut: float = 0.0  # 0 open .. 1 closed: both lids have met
    rest: float = 0.0  # height of the upper lid while the eye is open

    def closed(self, shut: float, low: float) -> "Eye":
        """The eye closed by a fraction; the lids meet `low` below the corners."""
        upper = self.upper - shut * (self.upper + low)
        lower = self.lower - shut * (self.lower - low)
        return replace(self, upper=upper, lower=lower, shut=shut, rest=self.upper)

    def lid(self, height: float, count: int = 21) -> Floats:
        """Points along a lid from the inner to the outer corner, face coordinates [count, 2]."""
        t = np.linspace(-1, 1, count)
        arch = (1 - t * t) ** 0.8 * (1 + self.peak * t)
        u = self.side * (EYE_U + t * self.half)
        return np.stack([u, EYE_V - self.slant * t - height * arch], 1).astype(np.float32)

    def between(self, low: float, high: float) -> Floats:
        """Polygon between two lid curves, face coordinates."""
        return np.concatenate([self.lid(high), self.lid(low)[::-1]])

    @property
    def contour(self) -> Floats:
        """Polygon of the opening as it is painted, face coordinates."""
        return self.between(-self.lower, self.upper)

    @property
    def annotated(self) -> Floats:
        """The polygon that annotators draw: up to the lashes, and with the corner at the nose.

        Models trained on the opening as painted were 1 pixel too far out at both corners and too
        low at the lower lid, in the median of the validation split's 493 photos. A closed eye is
        annotated as a crescent around its lashes: masks that are at most 8 high in any column are
        41 wide, 9 high and 5.3 thick in the median.
        """
        inwards = np.array([-0.7 * self.side, 0], dtype=np.float32)
        lashes = max(5.5 - self.upper - self.lower, 0) / 2
        return self.between(-self.lower + 0.7 - lashes, self.upper + 1.4 + lashes) + inwards

    def grown(self, across: float, up: float, down: float) -> "Eye":
        """The opening enlarged on all sides."""
        half, upper, lower = self.half + across, self.upper + up, self.lower + down
        return replace(self, half=half, upper=upper, lower=lower)


class _Style:
    """Make-up and signs of age, the same for both eyes."""

    def __init__(self, rng: np.random.Generator, person: Person) -> None:
        made_up, age = person.make_up, person.age
        # Display colour of the eye shadow.
        colour = rng.uniform(0.05, 0.75, 3) if rng.random() < 0.35 else person.tint * 0.5
        self.shadow = np.asarray(colour, dtype=np.float32)
        # Darkness of the lash line, its thickness, length of the lashes, and how far the line
        # extends past the outer corner.
        self.liner = float(np.clip(rng.uniform(0.4, 0.85) + 0.5 * made_up, 0, 1))
        self.line = rng.uniform(1.2, 3.2) + rng.uniform(0.8, 4.4) * made_up
        self.lashes = rng.uniform(2, 5) + rng.uniform(3, 10) * made_up
        self.wing = rng.uniform(-2, 7) * made_up
        self.shadow_strength = made_up * rng.uniform(0.1, 1.0)
        self.shadow_height = rng.uniform(6, 20)
        self.fold = rng.uniform(2.5, 9)  # height of the upper lid's crease above its edge
        self.fold_strength = rng.uniform(0.2, 0.85)
        self.bag = rng.uniform(0.0, 0.45) + 0.45 * age
        self.socket = rng.uniform(0.0, 0.5)  # darkness between eye and brow, and towards the nose
        self.rim = rng.uniform(0.18, 0.62)  # darkness right around the eye
        # How far skin hangs over the outer part of the upper lid.
        self.hooded = rng.uniform(0, 0.6) * (rng.random() < 0.2 + 0.3 * age)
        # Darkness of the lower lash line relative to the upper one, and of the fold that continues
        # from the outer corner; brightness of the bone below the brow.
        self.lower = rng.uniform(0.0, 0.35) + 0.2 * made_up * rng.random()
        self.corner = rng.uniform(0.1, 0.95)
        self.bone = rng.uniform(0, 0.3) * (0.4 + made_up)


def draw_eyes(scene: Scene) -> None:
    """Both eyes, with lids, lashes and make-up; same gaze and style, almost the same size."""
    rng, person = scene.rng, scene.person
    half = float(np.clip(rng.normal(*HALF_WIDTH), 18, 30))
    opening = _opening(rng, person)
    slant, peak = rng.normal(1.8, 1.6), rng.normal(-0.05, 0.15)
    iris, gaze = _iris(rng, person.darkness), _gaze(rng, scene.head.pose)
    style, white = _Style(rng, person), _white(rng, person)
    shut, low = _closed(rng), rng.uniform(0.0, 1.1)
    for (name, side), own_shut in zip(SIDES.items(), shut, strict=True):
        own = opening * rng.normal(1, 0.06)
        eye = Eye(side, half, own * 0.58, own * 0.42, slant, peak)
        eye = eye.closed(own_shut, low * eye.lower)
        _socket(scene, eye, style)
        if own_shut < 1:
            _eyeball(scene, eye, white, iris, gaze)
        _lids(scene, eye, style)
        scene.annotate(eye.annotated, f"{name}_eye")


def _iris(rng: np.random.Generator, darkness: float) -> Floats:
    """A colour [3]; bright irises are rare with dark skin."""
    weights = IRIS_WEIGHTS.copy()
    weights[3:] *= 1.5 * (1 - darkness) ** 2.5
    return IRIS_COLOURS[rng.choice(len(weights), p=weights / weights.sum())] * rng.uniform(0.5, 1.3)


def _opening(rng: np.random.Generator, person: Person) -> float:
    """Distance between the lids of open eyes: smaller in a smile, which lifts the cheeks."""
    narrow = rng.uniform(0.5, 4.5) * max(person.smile, 0) + (rng.random() < 0.12) * 3.0
    return float(np.clip(rng.normal(*OPENING) - narrow, 7, 26))


def _closed(rng: np.random.Generator) -> Floats:
    """How far each eye is closed, 0..1 [2]: blinks, squints and looks downwards, rarely winks."""
    kind = choose(rng, open=0.86, half=0.08, closed=0.06)
    both = np.full(2, {"open": 0.0, "half": rng.uniform(0.4, 0.75), "closed": 1.0}[kind])
    if rng.random() < 0.1:
        both[rng.integers(2)] *= rng.uniform(0, 0.5)
    return both


def _gaze(rng: np.random.Generator, pose: Pose) -> Floats:
    """Offset of the irises from the middle [2]: most people look into the camera."""
    if rng.random() < 0.75:
        return rng.normal((-EYEBALL_RADIUS * np.sin(pose.yaw), -0.3), (1.2, 0.8))
    return rng.normal((0, -0.2), (4.5, 1.5))


def _white(rng: np.random.Generator, person: Person) -> Floats:
    """Measured: eye masks are 0.54, 0.61, 0.68 of the skin's red, green, blue; whites are grey."""
    grey = np.array([0.57, 0.56, 0.57]) * (0.55 + 0.6 * person.skin.mean())
    white = person.skin * 0.38 + grey * rng.uniform(0.6, 1.2)
    return (white * rng.normal(1, [0.03, 0.02, 0.03])).astype(np.float32)


def _socket(scene: Scene, eye: Eye, style: _Style) -> None:
    """Shade of the socket, eye shadow on the lid, and the darkness right around the eye."""
    side, skin = eye.side, scene.person.skin
    scene.shade(ellipse(side * (EYE_U - 12), EYE_V - 11, 30, 13, side * -0.2), 7, style.socket)
    lid = eye.between(eye.upper, eye.rest + style.shadow_height)
    lid[: len(lid) // 2, 0] += side * np.linspace(-1, 5, len(lid) // 2, dtype=np.float32)
    scene.shade(lid, 3.5, style.shadow_strength, style.shadow)
    bone = ellipse(side * (EYE_U + 14), EYE_V - 22, 24, 6, side * 0.15)
    scene.paint_lit(scene.on_head(bone, soft=4), skin * 1.2, style.bone)
    brown = np.clip(
        scene.person.tint * [0.5, 0.36, 0.32], 0, 1
    )  # blood and shade: not a black ring
    scene.shade(eye.grown(7, 7, 5).contour, 4.5, style.rim, brown)
    around = min(0.12 + 0.2 * style.liner + 0.35 * style.shadow_strength, 0.75)
    scene.shade(eye.grown(3, 3, 1).contour, 2.4, around, brown * 0.6)
    inner = ellipse(side * (EYE_U - eye.half - 5), EYE_V - 3, 9, 13, side * 0.3)
    scene.shade(inner, 5, 0.8 * style.socket, brown)


def _eyeball(scene: Scene, eye: Eye, white: Floats, iris: Floats, gaze: Floats) -> None:
    """White, iris, pupil, shadow of the lid, and reflections, all inside the opening."""
    rng, opening = scene.rng, scene.on_head(eye.contour)
    scene.paint_lit(opening, white)

    def paint(polygon: Floats, colour: ArrayLike, opacity: float, soft: float) -> None:
        scene.paint_lit(scene.on_head(polygon, soft, inside=opening), colour, opacity)

    corner = ellipse(eye.side * (EYE_U - eye.half), EYE_V + 1, 5, 4)
    paint(corner, scene.person.skin * [0.85, 0.62, 0.58], 0.5, 1.0)
    x, y = eye.side * EYE_U + gaze[0], EYE_V - eye.upper * 0.2 + gaze[1]
    radius = IRIS_RADIUS * rng.normal(1, 0.05)
    paint(ellipse(x, y, radius, radius), iris * rng.uniform(0.25, 0.6), 0.95, 0.6)
    paint(ellipse(x, y + 0.8, radius * 0.8, radius * 0.8), iris * 1.1 + 0.02, 0.9, 1.2)
    low = ellipse(x + rng.normal(0, 1.5), y + radius * 0.4, radius * 0.55, radius * 0.4)
    paint(low, np.clip(iris * 1.6 + 0.05, 0, 1), rng.uniform(0, 0.6), 1.5)
    pupil = radius * rng.uniform(0.3, 0.55)
    paint(ellipse(x, y, pupil, pupil), [0.02] * 3, 1.0, 0.4)
    paint(eye.between(eye.upper * 0.25, eye.upper + 3), LASH, rng.uniform(0.2, 0.7), 1.8)
    paint(_rim(eye.contour), [0.14, 0.08, 0.07], rng.uniform(0.0, 0.4), 1.5)
    for _ in range(rng.integers(0, 3)):
        spot = (x + rng.uniform(-4.5, 4.5), y - 1.5 + rng.uniform(-3, 2))
        paint(ellipse(*spot, *rng.uniform(0.9, 2.4, 2)), [1, 1, 1], rng.uniform(0.5, 1), 0.4)


def _rim(polygon: Floats) -> Floats:
    """A thin band along the inside of a polygon, as one polygon that doubles back."""
    inner = polygon.mean(0) + (polygon - polygon.mean(0)) * 0.84
    return np.concatenate([polygon, polygon[:1], inner[:1], inner[::-1]]).astype(np.float32)


def _lids(scene: Scene, eye: Eye, style: _Style) -> None:
    """Fold of the upper lid, bag below the eye, lash lines and lashes."""
    canvas = scene.canvas
    fold = eye.lid(eye.rest + style.fold)[2:]
    fold[:, 1] += style.hooded * 6 * np.linspace(0, 1, len(fold)) ** 2
    width = 3.4 if style.fold > 4 else 2.4
    canvas.shade(
        scene.ribbon_on_head(fold, width, soft=1.1), style.fold_strength * (1 - 0.4 * eye.shut)
    )
    bulge = scene.on_head(eye.between(eye.upper + 2, eye.rest + style.fold - 1), soft=2)
    scene.paint_lit(bulge, scene.person.skin * 1.15, 0.25)
    bag = eye.lid(-eye.lower - 9)[3:-2]
    canvas.shade(scene.ribbon_on_head(bag, 5.0, soft=1.8), style.bag * 0.4)
    canvas.paint(scene.on_head(_lash_line(eye, style), soft=0.7), LASH, opacity=style.liner)
    lower = scene.ribbon_on_head(eye.lid(-eye.lower - 0.5), 2.4, soft=0.9)
    canvas.paint(lower, LASH, opacity=style.liner * style.lower)
    _outer_corner(scene, eye, style)
    lashes = canvas.strokes(scene.lift_lines(_lashes(scene.rng, eye, style)))
    canvas.paint(lashes, LASH, opacity=min(0.95, 0.25 + style.liner * 0.6))


def _outer_corner(scene: Scene, eye: Eye, style: _Style) -> None:
    """Where the upper lid overlaps the lower one, and lashes extend outwards."""
    rng, side = scene.rng, eye.side
    end = eye.lid(0.0)[-1]
    long, drop = rng.uniform(8, 18), rng.normal(1, 3) - 0.5 * style.wing
    line = [end - (side * 5, 2), end + (side * long / 2, 0.3 * drop), end + (side * long, drop)]
    brown = scene.person.tint * 0.3
    fold = scene.ribbon_on_head(smooth(line, 4, closed=False), 6, soft=1.4)
    scene.canvas.shade(fold, style.corner, brown)
    around = ellipse(end[0] + side * 6, end[1] - 1, 13, 8)
    scene.shade(around, 4.5, 0.65 * style.corner, brown * 1.6)


def _lash_line(eye: Eye, style: _Style) -> Floats:
    """The dark band on the upper lid's edge, thicker outside, with or without a wing."""
    edge = eye.lid(eye.upper - 0.3)
    above = edge.copy()
    above[:, 1] -= style.line * np.linspace(0.25, 1.4, len(edge))
    above[-1] += (eye.side * (1 + style.wing), -0.6 * max(style.wing, 0))
    return np.concatenate([edge, above[::-1]])


def _lashes(rng: np.random.Generator, eye: Eye, style: _Style) -> Floats:
    """Roots and tips of single lashes, face coordinates [N, 2, 2]."""
    count, lashes = 16 + int(1.2 * style.lashes), []
    down = 1.8 * eye.shut - 1  # upper lashes point upwards, and downwards if the eye is closed
    for height, length, way in ((eye.upper, 1.0, down), (-eye.lower, 0.4, 1)):
        t = rng.uniform(0.12, 1.0, count)
        root = eye.lid(height, 41)[(t * 40).astype(int)]
        lean = (t - 0.42) * eye.side * 1.4 + rng.normal(0, 0.15, count)
        reach = length * style.lashes * rng.uniform(0.6, 1.1, count)
        lashes.append(np.stack([root, root + np.stack([lean * reach, way * reach], 1)], 1))
    return np.concatenate(lashes).astype(np.float32)
