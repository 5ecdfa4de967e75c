"""Eyes: sockets, lids, lashes, make-up and what shows between the lids.

Sizes are in face units (pixels of the usual frame). Counted on the label maps of 700 pairs: an eye
mask is 43 +- 8 wide and 16 +- 4 high; it ends at the lids, without the lashes. On 250 photos of the
train split, an eye is 0.98 +- 0.3 times as bright as the skin within six pixels of it: lashes,
creases, shade and make-up make that dark.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesegkit.synthetic.canvas import Patch
from facesegkit.synthetic.curves import Floats, ellipse, ribbon, smooth
from facesegkit.synthetic.head import EYE_U, EYE_V
from facesegkit.synthetic.scene import SIDES, Scene
from facesegkit.synthetic.traits import Person, Pose

HALF_WIDTH, OPENING = (24.5, 2.6), (16.4, 3.4)  # mean, spread; a turned head narrows the first
IRIS_RADIUS = 10.2

IRIS_COLOURS = np.array(
    [[0.16, 0.09, 0.05], [0.26, 0.15, 0.08], [0.36, 0.25, 0.12], [0.30, 0.36, 0.22],
     [0.35, 0.45, 0.55], [0.45, 0.58, 0.70], [0.42, 0.46, 0.48]]
)  # fmt: skip
IRIS_WEIGHTS = np.array([0.28, 0.22, 0.13, 0.1, 0.12, 0.09, 0.06])
LASH = np.array([0.06, 0.045, 0.04])


@dataclass(frozen=True)
class Eye:
    """One eye's opening: corners at u = +-half (outer corner is positive), lids in between."""

    side: int
    half: float
    upper: float  # height of the upper lid's arch
    lower: float
    slant: float  # how much higher the outer corner is
    peak: float  # where the arch is highest, -1 inner .. 1 outer

    def lid(self, height: float, count: int = 21) -> Floats:
        """Points along a lid from the inner to the outer corner, face coordinates [count, 2]."""
        t = np.linspace(-1, 1, count)
        arch = (1 - t * t) ** 0.8 * (1 + self.peak * t)
        u = self.side * (EYE_U + t * self.half)
        return np.stack([u, EYE_V - self.slant * t - height * arch], 1).astype(np.float32)

    def between(self, low: float, high: float) -> Floats:
        """The closed outline between two lid curves, face coordinates."""
        return np.concatenate([self.lid(high), self.lid(low)[::-1]])

    @property
    def outline(self) -> Floats:
        """The opening's closed outline, face coordinates."""
        return self.between(-self.lower, self.upper)

    @property
    def annotated(self) -> Floats:
        """The outline that annotators draw: up to the lashes, and with the corner at the nose.

        Models that drew the opening itself were 1 pixel too far out at both corners and too low at
        the lower lid, in the median of the validation split's 493 photos.
        """
        inwards = np.array([-0.7 * self.side, 0], dtype=np.float32)
        return self.between(-self.lower + 0.7, self.upper + 1.4) + inwards


@dataclass(frozen=True)
class _Style:
    """How both eyes are made up and aged."""

    liner: float  # darkness of the lash line
    line: float  # its thickness
    lashes: float  # length
    wing: float  # how far the line runs past the outer corner
    shadow: Floats  # display colour of the eye shadow
    shadow_strength: float
    shadow_height: float
    fold: float  # height of the upper lid's crease above its edge
    fold_strength: float
    bag: float
    socket: float  # darkness between eye and brow, and towards the nose
    rim: float  # darkness right around the eye
    hooded: float  # how far skin hangs over the outer part of the upper lid
    bone: float  # brightness of the bone under the brow
    lower: float  # darkness of the lower lashes' line, of the upper one's
    corner: float  # darkness of the fold that runs on from the outer corner


def draw_eyes(scene: Scene) -> None:
    """Both eyes, with their lids, lashes and make-up; one look, almost one size."""
    rng = scene.rng
    half = float(np.clip(rng.normal(*HALF_WIDTH), 18, 30))
    opening = _opening(rng, scene.person)
    slant, peak = rng.normal(1.8, 1.6), rng.normal(-0.05, 0.15)
    iris = _iris(rng, scene.person.darkness)
    gaze = _gaze(rng, scene.head.pose)
    style = _choose_style(rng, scene.person)
    white = _white(rng, scene.person)
    for name, side in SIDES.items():
        own = opening * rng.normal(1, 0.06)
        eye = Eye(side, half, own * 0.58, own * 0.42, slant, peak)
        _socket(scene, eye, style)
        _eyeball(scene, eye, white, iris, gaze)
        _lids(scene, eye, style)
        scene.annotate(eye.annotated, f"{name}_eye")


def _iris(rng: np.random.Generator, darkness: float) -> Floats:
    """A colour [3]; light eyes hardly ever go with dark skin."""
    weights = IRIS_WEIGHTS.copy()
    weights[3:] *= 1.5 * (1 - darkness) ** 2.5
    return IRIS_COLOURS[rng.choice(len(weights), p=weights / weights.sum())] * rng.uniform(0.5, 1.3)


def _opening(rng: np.random.Generator, person: Person) -> float:
    """Height between the lids: cheeks lift and narrow it in a smile; now and then it is shut."""
    if rng.random() < 0.045:
        return float(rng.uniform(3.0, 6.5))
    narrow = rng.uniform(0.5, 4.5) * max(person.smile, 0) + (rng.random() < 0.12) * 3.0
    return float(np.clip(rng.normal(*OPENING) - narrow, 7, 26))


def _gaze(rng: np.random.Generator, pose: Pose) -> tuple[float, float]:
    """How far the irises are off the middle: most people look into the camera."""
    if rng.random() < 0.75:
        radius = 15.0  # of the eyeball
        return float(-radius * np.sin(pose.yaw) + rng.normal(0, 1.2)), float(rng.normal(-0.3, 0.8))
    return float(rng.normal(0, 4.5)), float(rng.normal(-0.2, 1.5))


def _white(rng: np.random.Generator, person: Person) -> Floats:
    """Counted: eye masks are 0.54, 0.61, 0.68 of the skin's red, green, blue; whites are grey."""
    grey = np.array([0.57, 0.56, 0.57]) * (0.55 + 0.6 * person.skin.mean())
    white = person.skin * 0.38 + grey * rng.uniform(0.6, 1.2)
    return (white * rng.normal(1, [0.03, 0.02, 0.03])).astype(np.float32)


def _choose_style(rng: np.random.Generator, person: Person) -> _Style:
    made_up = person.make_up
    colour = rng.uniform(0.05, 0.75, 3) if rng.random() < 0.35 else person.skin * 0.35
    return _Style(
        liner=float(np.clip(rng.uniform(0.4, 0.85) + 0.5 * made_up, 0, 1)),
        line=float(rng.uniform(1.2, 3.2) + rng.uniform(0.8, 4.4) * made_up),
        lashes=float(rng.uniform(2, 5) + rng.uniform(3, 10) * made_up),
        wing=float(rng.uniform(-2, 7) * made_up),
        shadow=np.asarray(colour, dtype=np.float32),
        shadow_strength=float(made_up * rng.uniform(0.1, 1.0)),
        shadow_height=float(rng.uniform(6, 20)),
        fold=float(rng.uniform(2.5, 9)),
        fold_strength=float(rng.uniform(0.2, 0.85)),
        bag=float(rng.uniform(0.0, 0.45) + 0.45 * person.age),
        socket=float(rng.uniform(0.0, 0.5)),
        rim=float(rng.uniform(0.18, 0.62)),
        hooded=float(rng.uniform(0, 0.6) * (rng.random() < 0.2 + 0.3 * person.age)),
        lower=float(rng.uniform(0.0, 0.35) + 0.2 * made_up * rng.random()),
        corner=float(rng.uniform(0.1, 0.95)),
        bone=float(rng.uniform(0, 0.3) * (0.4 + made_up)),
    )


def _socket(scene: Scene, eye: Eye, style: _Style) -> None:
    """Shade of the hollow, eye shadow over the lid, and the darkness right around the eye."""
    canvas, side = scene.canvas, eye.side
    hollow = ellipse(side * (EYE_U - 12), EYE_V - 11, 30, 13, side * -0.2)
    canvas.shade(scene.on_head(hollow, soft=7), style.socket)
    lid = eye.between(eye.upper, eye.upper + style.shadow_height)
    lid[: len(lid) // 2, 0] += side * np.linspace(-1, 5, len(lid) // 2, dtype=np.float32)
    canvas.shade(scene.on_head(lid, soft=3.5), style.shadow_strength, style.shadow)
    bone = scene.on_head(ellipse(side * (EYE_U + 14), EYE_V - 22, 24, 6, side * 0.15), soft=4)
    if bone is not None:
        canvas.paint(bone, scene.lit(bone, scene.person.skin * 1.2), opacity=style.bone)
    brown = np.clip(scene.person.skin * [0.5, 0.36, 0.32], 0, 1)  # blood and shade: no black ring
    wide = Eye(side, eye.half + 7, eye.upper + 7, eye.lower + 5, eye.slant, eye.peak)
    canvas.shade(scene.on_head(wide.outline, soft=4.5), style.rim, brown)
    rim = Eye(side, eye.half + 3, eye.upper + 3, eye.lower + 1, eye.slant, eye.peak)
    around = 0.12 + 0.2 * style.liner + 0.35 * style.shadow_strength
    canvas.shade(scene.on_head(rim.outline, soft=2.4), min(around, 0.75), brown * 0.6)
    inner = ellipse(side * (EYE_U - eye.half - 5), EYE_V - 3, 9, 13, side * 0.3)
    canvas.shade(scene.on_head(inner, soft=5), 0.8 * style.socket, brown)


def _eyeball(
    scene: Scene, eye: Eye, white: Floats, iris: Floats, gaze: tuple[float, float]
) -> None:
    """White, iris, pupil, the lid's shadow, glints; all inside the opening."""
    canvas, rng = scene.canvas, scene.rng
    opening = scene.on_head(eye.outline)
    if opening is None:
        return
    canvas.paint(opening, scene.lit(opening, white))

    def inside(outline: Floats, colour: object, opacity: float, soft: float = 0.0) -> None:
        patch = scene.on_head(outline, soft)
        if patch is not None:
            canvas.paint(patch.inside(opening), np.asarray(colour, np.float32), opacity=opacity)

    corner = ellipse(eye.side * (EYE_U - eye.half), EYE_V + 1, 5, 4)
    inside(corner, scene.person.skin * [0.85, 0.62, 0.58], 0.5, 1.0)
    x, y = eye.side * EYE_U + gaze[0], EYE_V - eye.upper * 0.2 + gaze[1]
    radius = IRIS_RADIUS * rng.normal(1, 0.05)
    ring = rng.uniform(0.25, 0.6)
    inside(ellipse(x, y, radius, radius), iris * ring, 0.95, 0.6)
    inside(ellipse(x, y + 0.8, radius * 0.8, radius * 0.8), iris * 1.1 + 0.02, 0.9, 1.2)
    low = ellipse(x + rng.normal(0, 1.5), y + radius * 0.4, radius * 0.55, radius * 0.4)
    inside(low, np.clip(iris * 1.6 + 0.05, 0, 1), rng.uniform(0, 0.6), 1.5)
    pupil = radius * rng.uniform(0.3, 0.55)
    inside(ellipse(x, y, pupil, pupil), [0.02] * 3, 1.0, 0.4)
    inside(eye.between(eye.upper * 0.25, eye.upper + 3), LASH, rng.uniform(0.2, 0.7), 1.8)
    inside(_rim(eye.outline), [0.14, 0.08, 0.07], rng.uniform(0.0, 0.4), 1.5)
    for _ in range(rng.integers(0, 3)):
        spot = (x + rng.uniform(-4.5, 4.5), y - 1.5 + rng.uniform(-3, 2))
        wide, high = rng.uniform(0.9, 2.4, 2)
        inside(ellipse(*spot, wide, high), [1, 1, 1], rng.uniform(0.5, 1), 0.4)


def _rim(outline: Floats) -> Floats:
    """A thin band inside a closed outline, as one polygon that doubles back."""
    inner = outline.mean(0) + (outline - outline.mean(0)) * 0.84
    return np.concatenate([outline, outline[:1], inner[:1], inner[::-1]]).astype(np.float32)


def _lids(scene: Scene, eye: Eye, style: _Style) -> None:
    """The fold above, the bag below, the lash lines and the lashes."""
    canvas, head = scene.canvas, scene.head
    fold = eye.lid(eye.upper + style.fold)[2:]
    fold[:, 1] += style.hooded * 6 * np.linspace(0, 1, len(fold)) ** 2
    width = 3.4 if style.fold > 4 else 2.4
    canvas.shade(canvas.patch(ribbon(head.lift(fold), width), soft=1.1), style.fold_strength)
    light = scene.on_head(eye.between(eye.upper + 2, eye.upper + style.fold - 1), soft=2)
    if light is not None:  # the lid bulges below the fold
        canvas.paint(light, scene.lit(light, scene.person.skin * 1.15), opacity=0.25)
    bag = eye.lid(-eye.lower - 9)[3:-2]
    canvas.shade(canvas.patch(ribbon(head.lift(bag), 5.0), soft=1.8), style.bag * 0.4)
    canvas.paint(_lash_line(scene, eye, style), LASH, opacity=style.liner)
    lower = canvas.patch(ribbon(head.lift(eye.lid(-eye.lower - 0.5)), 2.4), soft=0.9)
    canvas.paint(lower, LASH, opacity=style.liner * style.lower)
    _outer_corner(scene, eye, style)
    hairs = head.lift(_lashes(scene.rng, eye, style)).reshape(-1, 2, 2)
    opacity = min(0.95, 0.25 + style.liner * 0.6)
    canvas.paint(canvas.strokes(list(hairs), 1.0), LASH, opacity=opacity)


def _outer_corner(scene: Scene, eye: Eye, style: _Style) -> None:
    """Where the upper lid folds over the lower one, and lashes run on outwards."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    end = eye.lid(0.0)[-1]
    long, drop = rng.uniform(8, 18), rng.normal(1, 3) - 0.5 * style.wing
    line = np.array([end - (eye.side * 5, 2), end + (eye.side * long / 2, 0.3 * drop),
                     end + (eye.side * long, drop)], dtype=np.float32)  # fmt: skip
    brown = np.clip(scene.person.skin * 0.25, 0, 1)
    fold = canvas.patch(ribbon(head.lift(smooth(line, 4, closed=False)), 6), soft=1.4)
    canvas.shade(fold, style.corner, brown)
    around = ellipse(end[0] + eye.side * 6, end[1] - 1, 13, 8)
    canvas.shade(scene.on_head(around, soft=4.5), 0.65 * style.corner, brown * 1.6)


def _lash_line(scene: Scene, eye: Eye, style: _Style) -> Patch | None:
    """The dark band on the upper lid's edge, thicker outside, with a wing or without."""
    edge = eye.lid(eye.upper - 0.3)
    above = edge.copy()
    above[:, 1] -= style.line * np.linspace(0.25, 1.4, len(edge))
    above[-1] += (eye.side * (1 + style.wing), -0.6 * max(style.wing, 0))
    return scene.on_head(np.concatenate([edge, above[::-1]]), soft=0.7)


def _lashes(rng: np.random.Generator, eye: Eye, style: _Style) -> Floats:
    """Roots and tips of single lashes, in turn, face coordinates [2 * N, 2]."""
    count = 16 + int(1.2 * style.lashes)
    hairs = []
    for height, length, up in ((eye.upper, style.lashes, -1), (-eye.lower, style.lashes * 0.4, 1)):
        t = rng.uniform(0.12, 1.0, count)
        root = eye.lid(height, 41)[(t * 40).astype(int)]
        lean = (t - 0.42) * eye.side * 1.4 + rng.normal(0, 0.15, count)
        reach = length * rng.uniform(0.6, 1.1, count)
        tip = root + np.stack([lean * reach, up * reach], 1)
        hairs.append(np.stack([root, tip], 1).reshape(-1, 2))
    return np.concatenate(hairs).astype(np.float32)
