"""Eyebrows: single hairs over a soft, uneven base.

Measured on the label maps of 700 pairs, in pixels of an aligned photo: brows are 78 +- 20 wide and
25 +- 6 high, 14 +- 5 thick, blunt towards the nose and tapered outwards. Annotators label them
generously: on 250 photos of the train split, the 5th percentile of brightness inside a mask is
0.38 +- 0.17 of the skin's mean and the 95th 0.99 +- 0.2. So a brow is drawn as a dark core whose
edges fade out inside the mask.
"""

from copy import copy

import numpy as np

from facesegkit.synthetic.canvas import Patch
from facesegkit.synthetic.curves import Floats, choose, noise, smooth
from facesegkit.synthetic.head import EYE_U
from facesegkit.synthetic.scene import SIDES, Scene
from facesegkit.synthetic.traits import Person

THICKNESS = {True: (14.3, 3.9), False: (18.2, 4.5)}  # mean, standard deviation for women and men
HEIGHT = (-24.0, 5.5)  # v of the middle line
KNOTS = [0, 0.08, 0.25, 0.6, 0.88, 1]  # positions along a brow of the thicknesses below
# Ranges: opacity of the base and of the hairs, number of hairs, their length, blur of the base.
Range = tuple[float, float]
STYLES: dict[str, tuple[Range, Range, tuple[int, int], Range, Range | None]] = {
    "hairy": ((0.4, 0.9), (0.35, 0.95), (150, 330), (5, 10), (1.6, 3.6)),
    "faint": ((0.15, 0.5), (0.2, 0.6), (120, 121), (4, 8), None),
    "blond": ((0.2, 0.7), (0.2, 0.6), (140, 141), (4, 8), None),
    "pencil": ((0.55, 0.95), (0.1, 0.5), (110, 111), (4, 7), (0.9, 2.2)),
}
FULL, TAPERED = [0.45, 0.9, 1.05, 1.0, 0.72, 0.2], [0.75, 1.1, 1.1, 0.75, 0.42, 0.12]


class _Style:
    """Full, faint, barely visible, or drawn with a pencil."""

    def __init__(self, rng: np.random.Generator, person: Person) -> None:
        self.colour = np.minimum(person.brow, person.skin * rng.uniform(0.45, 0.8))
        kind = choose(rng, hairy=0.62, faint=0.13, blond=0.06, pencil=0.19)
        kind = "hairy" if kind == "pencil" and not person.feminine else kind
        base, hairs, count, length, soft = STYLES[kind]
        self.core = rng.uniform(0.6, 0.95)  # fraction of the mask's thickness that the base fills
        self.start = rng.uniform(0.1, 0.8)  # density at the end towards the nose
        self.tail = rng.uniform(0.1, 0.75)  # density at the outer end
        if kind == "blond":
            pale = person.skin * rng.uniform(0.72, 1.0) * np.array([1.0, 0.95, 0.85])
            self.colour = pale.astype(np.float32)
        self.base = rng.uniform(*base)  # opacity of the soft base: skin behind the hairs, or pencil
        self.hairs = rng.uniform(*hairs)  # opacity of single hairs
        self.count = int(rng.integers(*count))
        self.length = rng.uniform(*length)  # of a hair
        self.soft = rng.uniform(*soft) if soft else 3.4  # blur of the base's edge
        if kind == "pencil":
            self.colour, self.core = self.colour * 0.85, 0.85
            self.start, self.tail = self.start**0.5, 0.9


class _Form:
    """Level, arched or angled; calm, raised or frowning; near the eyes or far above them."""

    def __init__(self, rng: np.random.Generator, person: Person) -> None:
        """Random course of the middle line and thickness along it, face units."""
        women = person.feminine
        thick = float(np.clip(rng.normal(*THICKNESS[women]), 5.5, 30))
        frowns = rng.random() < 0.2
        taper = rng.random() if women else 0.5 * rng.random()
        shape = np.array(FULL) * (1 - taper) + np.array(TAPERED) * taper
        self.half = thick / 2 * np.interp(np.linspace(0, 1, 9), KNOTS, shape)
        raised = rng.uniform(3, 14) if rng.random() < 0.12 else 0.0
        self.inner, self.outer = EYE_U - rng.normal(38, 5.5), EYE_U + rng.normal(49, 7.5)
        self.height = rng.normal(*HEIGHT) - 1.5 * person.smile - raised + 2.5 * (not women)
        self.arch = max(rng.normal(6.5 if women else 4, 3.2), -1.5) + 0.4 * raised
        self.peak = rng.uniform(0.48, 0.74)  # position along the brow where the arch is highest
        self.sharp = rng.uniform(0.9, 2.0)  # 1 a round arch .. 2.5 an angle
        self.slope = rng.normal(4.5, 8) + 3 * frowns
        # How far the end towards the nose is lowered.
        self.frown = rng.uniform(0, 5) + rng.uniform(2, 9) * frowns

    def line(self, side: int) -> Floats:
        """Points of the middle line from the nose outwards, face coordinates [9, 2]."""
        t = np.linspace(0, 1, 9)
        toward = np.where(t < self.peak, t / self.peak, (1 - t) / (1 - self.peak))
        rise = self.arch * np.sin(np.pi / 2 * np.clip(toward, 0, 1)) ** self.sharp
        middle = self.height - rise - self.slope * (t - 0.3)
        middle += (4 + 0.6 * self.slope) * t**3 + self.frown * (1 - t) ** 3
        return np.stack([side * (self.inner + (self.outer - self.inner) * t), middle], 1)


def draw_brows(scene: Scene) -> None:
    """Both eyebrows, not entirely alike; a few faces have none."""
    rng, person = scene.rng, scene.person
    if rng.random() < 0.012:
        return
    form, style = _Form(rng, person), _Style(rng, person)
    lifted = rng.normal(0, 5) if rng.random() < 0.15 else rng.normal(0, 1.3)
    for name, side in SIDES.items():
        own = copy(form)
        own.height += side * lifted / 2
        own.arch += rng.normal(0, 1)
        own.slope += rng.normal(0, 1)
        own.outer += rng.normal(0, 2)
        line = own.line(side)
        _draw_brow(scene, side, line, form.half, style)
        scene.annotate(_annotated(line, form.half, side), f"{name}_brow")


def _draw_brow(scene: Scene, side: int, line: Floats, half: Floats, style: _Style) -> None:
    """One brow: a soft base, and hairs of two tones."""
    rng = scene.rng
    # Annotators include the thin upper edge but hardly any skin below, so the core lies low.
    low = line + np.stack([np.zeros_like(half), half * (1 - style.core)], 1)
    base = scene.on_head(_around(low, half * style.core), soft=style.soft)
    base = base.times(_density(rng, base, side, style))
    scene.paint_lit(base, style.colour, style.base)
    lines = scene.lift_lines(_hairs(rng, side, low, half, style))
    for tone, some in ((0.55, lines[::2]), (0.9, lines[1::2])):
        scene.paint_lit(scene.canvas.strokes(some, 0.8), style.colour * tone, style.hairs)


def _annotated(line: Floats, half: Floats, side: int) -> Floats:
    """The polygon that annotators draw: a longer tail, and less of the end towards the nose.

    Models trained on the brow as painted ended 2.5 pixels too early outside, began 1.5 too close to
    the nose, and were 5 too low there, in the median of the validation split's photos.
    """
    t = np.linspace(0, 1, len(line))
    course = line + np.stack([side * (1.5 + t), -3 * (1 - t) ** 3], 1)
    return _around(course, half - np.minimum(1.8 * (1 - t) ** 3, 0.3 * half))


def _around(line: Floats, half: Floats) -> Floats:
    """The polygon that extends `half` above and below a line."""
    up = np.stack([np.zeros_like(half), half], 1)
    return smooth(np.concatenate([line - up, (line + up)[::-1]]), 5)


def _density(rng: np.random.Generator, patch: Patch, side: int, style: _Style) -> Floats:
    """Density of the hair over a patch, [h, w]: patchy, and thinner towards both ends."""
    size = patch.alpha.shape
    along = np.linspace(0, 1, size[1])[::side]
    ends = np.interp(along, [0, 0.25, 0.7, 1], [style.start, 1, 1, style.tail])
    patchy = 1 + 0.2 * noise(rng, size, (4, 14)) + 0.12 * noise(rng, size, size)
    return np.clip(patchy * ends[None], 0, 1.15).astype(np.float32)


def _hairs(
    rng: np.random.Generator, side: int, line: Floats, half: Floats, style: _Style
) -> Floats:
    """Roots and tips of single hairs, face coordinates [N, 2, 2].

    They are upright near the nose and level outside; upper ones point down, lower ones up.
    """
    t, across = rng.random(style.count), rng.uniform(-1, 1, style.count)
    ends = np.interp(t, [0, 0.3, 0.7, 1], [style.start, 1, 1, style.tail])
    grown = rng.random(style.count) < ends * (1 - 0.55 * np.abs(across))
    t, across = t[grown], across[grown]
    knots = np.linspace(0, 1, len(line))
    u, v, thick = (np.interp(t, knots, values) for values in (*line.T, half))
    root = np.stack([u, v + across * thick * 0.85], 1)
    lean = np.stack([side * (0.45 + 0.6 * t), -0.85 + 1.1 * t - 0.5 * across * (t > 0.25)], 1)
    lean += rng.normal(0, 0.16, lean.shape)
    reach = style.length * rng.uniform(0.5, 1.1, (len(t), 1)) * (0.6 + half.max() / 20)
    return np.stack([root, root + lean * reach], 1).astype(np.float32)
