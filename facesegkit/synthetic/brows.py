"""Eyebrows: single hairs along a flow over a soft, uneven ground.

Counted on the label maps of 700 pairs, in pixels of the usual frame: brows are 78 +- 20 wide and
25 +- 6 high, 14 +- 5 thick, blunt towards the nose and tapering outwards. Annotators outline them
generously: on 250 photos of the train split, the 5th percentile of brightness inside a mask is
0.38 +- 0.17 of the skin's mean and the 95th 0.99 +- 0.2, so what is drawn is a dark core with edges
that fade out inside the mask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from facesegkit.synthetic.canvas import Patch
from facesegkit.synthetic.curves import Floats, noise, smooth
from facesegkit.synthetic.head import EYE_U
from facesegkit.synthetic.scene import SIDES, Scene
from facesegkit.synthetic.traits import Person

THICKNESS = {True: (14.3, 3.9), False: (18.2, 4.5)}  # mean, spread for women and men
HEIGHT = (-24.0, 5.5)  # v of the middle line
KNOTS = [0, 0.08, 0.25, 0.6, 0.88, 1]  # places along a brow at which thicknesses are given
FULL, TAPERED = [0.45, 0.9, 1.05, 1.0, 0.72, 0.2], [0.75, 1.1, 1.1, 0.75, 0.42, 0.12]


@dataclass(frozen=True)
class _Style:
    colour: Floats
    ground: float  # opacity of the soft ground: skin seen through, or pencil
    hairs: float  # opacity of single hairs
    count: int
    length: float  # of a hair
    soft: float  # blur of the ground's edge
    core: float  # share of the mask's thickness that the ground fills
    start: float  # how dense it is at the end towards the nose
    tail: float  # and at the outer end


@dataclass(frozen=True)
class _Form:
    """The middle line's course and the thickness along it, face units."""

    inner: float
    outer: float
    height: float
    arch: float
    peak: float  # where along it the arch is highest
    sharp: float  # 1 a round arch .. 2.5 an angle
    slope: float
    frown: float  # how far the end towards the nose is drawn down
    half: Floats  # half thickness at 9 places

    def line(self, side: int) -> Floats:
        """Points of the middle line from the nose outwards, face coordinates [9, 2]."""
        t = np.linspace(0, 1, 9)
        toward = np.where(t < self.peak, t / self.peak, (1 - t) / (1 - self.peak))
        rise = self.arch * np.sin(np.pi / 2 * np.clip(toward, 0, 1)) ** self.sharp
        middle = self.height - rise - self.slope * (t - 0.3)
        middle += (4 + 0.6 * self.slope) * t**3 + self.frown * (1 - t) ** 3
        u = side * (self.inner + (self.outer - self.inner) * t)
        return np.stack([u, middle], 1)


def draw_brows(scene: Scene) -> None:
    """Both eyebrows, not quite alike; now and then none."""
    rng, person = scene.rng, scene.person
    if rng.random() < 0.012:
        return
    form, style = _choose_form(rng, person), _choose_style(rng, person)
    lifted = rng.normal(0, 5) if rng.random() < 0.15 else rng.normal(0, 1.3)
    for name, side in SIDES.items():
        own = replace(
            form,
            height=form.height + side * lifted / 2,
            arch=form.arch + rng.normal(0, 1),
            slope=form.slope + rng.normal(0, 1),
            outer=form.outer + rng.normal(0, 2),
        )
        _brow(scene, f"{name}_brow", own.line(side), own.half, style)


def _choose_form(rng: np.random.Generator, person: Person) -> _Form:
    """Level, arched or angled, calm, raised or frowning, near the eyes or far above them."""
    thick = float(np.clip(rng.normal(*THICKNESS[person.feminine]), 5.5, 30))
    frowns = rng.random() < 0.2
    taper = rng.random() if person.feminine else 0.5 * rng.random()
    shape = np.array(FULL) * (1 - taper) + np.array(TAPERED) * taper
    raised = rng.uniform(3, 14) if rng.random() < 0.12 else 0.0
    return _Form(
        inner=EYE_U - rng.normal(38, 5.5),
        outer=EYE_U + rng.normal(49, 7.5),
        height=rng.normal(*HEIGHT) - 1.5 * person.smile - raised + 2.5 * (not person.feminine),
        arch=max(rng.normal(6.5 if person.feminine else 4, 3.2), -1.5) + 0.4 * raised,
        peak=rng.uniform(0.48, 0.74),
        sharp=rng.uniform(0.9, 2.0),
        slope=rng.normal(4.5, 8) + 3 * frowns,
        frown=rng.uniform(0, 5) + rng.uniform(2, 9) * frowns,
        half=thick / 2 * np.interp(np.linspace(0, 1, 9), KNOTS, shape),
    )


def _choose_style(rng: np.random.Generator, person: Person) -> _Style:
    """Full, faint, hardly to be seen, or drawn with a pencil."""
    colour = np.minimum(person.brow, person.skin * rng.uniform(0.45, 0.8))
    kind = rng.choice(["hairy", "faint", "blond", "pencil"], p=[0.62, 0.13, 0.06, 0.19])
    core, start, tail = rng.uniform(0.6, 0.95), rng.uniform(0.1, 0.8), rng.uniform(0.1, 0.75)
    if kind == "pencil" and person.feminine:
        return _Style(colour * 0.85, rng.uniform(0.55, 0.95), rng.uniform(0.1, 0.5), 110,
                      rng.uniform(4, 7), rng.uniform(0.9, 2.2), 0.85, start**0.5, 0.9)  # fmt: skip
    if kind == "faint":
        return _Style(colour, rng.uniform(0.15, 0.5), rng.uniform(0.2, 0.6), 120,
                      rng.uniform(4, 8), 3.4, core, start, tail)  # fmt: skip
    if kind == "blond":
        pale = person.skin * rng.uniform(0.72, 1.0) * np.array([1.0, 0.95, 0.85])
        return _Style(pale.astype(np.float32), rng.uniform(0.2, 0.7), rng.uniform(0.2, 0.6), 140,
                      rng.uniform(4, 8), 3.4, core, start, tail)  # fmt: skip
    return _Style(colour, rng.uniform(0.4, 0.9), rng.uniform(0.35, 0.95),
                  int(rng.integers(150, 330)), rng.uniform(5, 10), rng.uniform(1.6, 3.6),
                  core, start, tail)  # fmt: skip


def _brow(scene: Scene, part: str, line: Floats, half: Floats, style: _Style) -> None:
    """One brow: ground, hairs of two tones, and the outline that annotators would draw."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    side = 1 if part == "l_brow" else -1
    # Annotators include the thin upper edge but hardly any skin below: the ink lies low.
    low = line + np.stack([np.zeros_like(half), half * (1 - style.core)], 1)
    ground = scene.on_head(_around(low, half * style.core), soft=style.soft)
    if ground is not None:
        ground = ground.times(_density(rng, ground, side, style))
        canvas.paint(ground, scene.lit(ground, style.colour), opacity=style.ground)
    hairs = _hairs(rng, side, low, half, style)
    lines = head.lift(hairs.reshape(-1, 2)).reshape(-1, 2, 2)
    for tone, some in ((0.55, lines[::2]), (0.9, lines[1::2])):
        strokes = canvas.strokes(list(some), 0.8)
        if strokes is not None:
            canvas.paint(strokes, scene.lit(strokes, style.colour * tone), opacity=style.hairs)
    scene.annotate(_annotated(line, half, side), part)


def _annotated(line: Floats, half: Floats, side: int) -> Floats:
    """The outline that annotators draw: a longer tail, and less of the end towards the nose.

    Models that drew the brow itself ended 2.5 pixels too early outside, began 1.5 too close to the
    nose, and were 5 too low there, in the median of the validation split's photos.
    """
    t = np.linspace(0, 1, len(line))
    course = line + np.stack([side * (1.5 + t), -3 * (1 - t) ** 3], 1)
    return _around(course, half - np.minimum(1.8 * (1 - t) ** 3, 0.3 * half))


def _around(line: Floats, half: Floats) -> Floats:
    """The closed outline at a distance of `half` above and below a line."""
    up = np.stack([np.zeros_like(half), half], 1)
    return smooth(np.concatenate([line - up, (line + up)[::-1]]), 5)


def _density(rng: np.random.Generator, patch: Patch, side: int, style: _Style) -> Floats:
    """How thickly a brow grows over its patch, [h, w]: patchy, thinner towards both ends."""
    height, width = patch.alpha.shape
    along = np.linspace(0, 1, width)[::side]
    ends = np.interp(along, [0, 0.25, 0.7, 1], [style.start, 1, 1, style.tail])
    patchy = (
        1
        + 0.2 * noise(rng, (height, width), (4, 14))
        + 0.12 * noise(rng, (height, width), (height, width))
    )
    return np.clip(patchy * ends[None], 0, 1.15).astype(np.float32)


def _hairs(
    rng: np.random.Generator, side: int, line: Floats, half: Floats, style: _Style
) -> Floats:
    """Roots and tips of single hairs, face coordinates [N, 2, 2].

    They stand upright near the nose and lie level outside; upper ones bow down, lower ones up.
    """
    t, across = rng.random(style.count), rng.uniform(-1, 1, style.count)
    ends = np.interp(t, [0, 0.3, 0.7, 1], [style.start, 1, 1, style.tail])
    grown = rng.random(style.count) < ends * (1 - 0.55 * np.abs(across))
    t, across = t[grown], across[grown]
    knots = np.linspace(0, 1, len(line))
    root = np.stack([np.interp(t, knots, line[:, 0]), np.interp(t, knots, line[:, 1])], 1)
    root[:, 1] += across * np.interp(t, knots, half) * 0.85
    lean = np.stack([side * (0.45 + 0.6 * t), -0.85 + 1.1 * t - 0.5 * across * (t > 0.25)], 1)
    lean += rng.normal(0, 0.16, lean.shape)
    reach = style.length * rng.uniform(0.5, 1.1, (len(t), 1)) * (0.6 + half.max() / 20)
    return np.stack([root, root + lean * reach], 1).astype(np.float32)
