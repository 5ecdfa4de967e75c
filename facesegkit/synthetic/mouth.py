"""The mouth: lips, teeth, and the folds that a smile draws around it.

Counted on the label maps of 700 pairs, in pixels of the usual frame: 41 % are shut, 20 % parted
(the opening 9 high and 71 wide between lips 102 wide), 29 % smile with teeth (20 high, 109 wide,
lips 127 wide) and 10 % laugh or shout (33 high). The upper lip is 13 thick in the middle whether
shut or open, and its middle line is nearly level; the lower lip is 20 thick and hangs from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesegkit.synthetic.canvas import Patch
from facesegkit.synthetic.curves import Floats, ellipse, noise, ribbon, smooth
from facesegkit.synthetic.head import MOUTH_V
from facesegkit.synthetic.scene import SIDES, Scene
from facesegkit.synthetic.traits import Person

UPPER, LOWER = (15.2, 4.3), (22.0, 4.4)  # thickness of the lips: mean, spread
TOUCHING = 0.8  # an opening lower than this is none
DARK, TONGUE = np.array([0.10, 0.04, 0.035]), np.array([0.62, 0.30, 0.29])


@dataclass(frozen=True)
class Mouth:
    """Four curves from the right (picture's left) to the left corner, face coordinates [N, 2]."""

    upper_edge: Floats
    inner_top: Floats
    inner_bottom: Floats
    lower_edge: Floats

    @property
    def upper_lip(self) -> Floats:
        return _ring(self.upper_edge, self.inner_top)

    @property
    def lower_lip(self) -> Floats:
        return _ring(self.inner_bottom, self.lower_edge)

    @property
    def annotated(self) -> Mouth:
        """The curves that annotators draw: the lower lip ends higher, and begins higher too.

        Models that drew the lips themselves ended 4 pixels too low under a shut mouth and 4 too
        low between open lips, in the median of the validation split's photos.
        """
        up = np.array([0, 1], dtype=np.float32)
        upper, lower = self.inner_top - self.upper_edge, self.lower_edge - self.inner_bottom
        between = self.inner_bottom - self.inner_top
        return Mouth(
            self.upper_edge - 0.05 * upper * up,
            self.inner_top,
            self.inner_bottom - np.minimum(0.3 * between, 3.2) * up,
            self.lower_edge - 0.15 * lower * up,
        )

    @property
    def opening(self) -> Floats:
        """What lies between the lips, without the stretches where they touch."""
        apart = self.inner_bottom[:, 1] - self.inner_top[:, 1] > TOUCHING
        return _ring(self.inner_top[apart], self.inner_bottom[apart])


def _ring(above: Floats, below: Floats) -> Floats:
    """The closed outline between two curves."""
    return np.concatenate([above, below[::-1]])


def choose_mouth(rng: np.random.Generator, person: Person) -> Mouth:
    """Lips' shape from the person's smile and opening."""
    smile, gap = person.smile, person.gap
    shout = 0.28 * max(gap - 20, 0) * (1 - smile)
    half = float(np.clip(rng.normal(50.5, 5.0) + 15 * max(smile, -0.2) - shout, 36, 80))
    upper = float(np.clip(rng.normal(*UPPER) - 0.6 * smile - 1.2 * (gap > 0), 4.5, 28))
    lower = float(np.clip(rng.normal(*LOWER) - 3.0 * smile, 9, 36))
    if gap < 12 and smile < 0.5 and rng.random() < 0.12:  # a pout
        half, upper, lower = 0.86 * half, 1.2 * upper, 1.15 * lower
    x = np.linspace(-1, 1, 33)
    flat = np.abs(x)
    seam = _seam(rng, x, smile, gap)
    between = gap * _opening_profile(flat, gap)
    above = rng.uniform(0.05, 0.4)  # share of the opening by which the upper lip is lifted
    inner_top, inner_bottom = seam - above * between, seam + (1 - above) * between
    cupid = 1 - rng.uniform(0.05, 0.38) * np.exp(-((x / 0.16) ** 2)) * (1 - 0.6 * max(smile, 0))
    edge = inner_top - upper * np.clip(1 - flat**2.0, 0, 1) ** 0.75 * cupid
    # In a smile the lower lip keeps its thickness almost to the corners.
    full = np.clip(smile, 0, 1)
    below = inner_bottom + lower * np.clip(1 - flat ** (2 + full), 0, 1) ** (0.85 - 0.25 * full)
    curves = (
        np.stack([half * x, y], 1).astype(np.float32)
        for y in (edge, inner_top, inner_bottom, below)
    )
    return Mouth(*curves)


def _seam(rng: np.random.Generator, x: Floats, smile: float, gap: float) -> Floats:
    """Where the lips meet: corners rise with a smile, the middle dips under the cupid's bow."""
    flat = np.abs(x)
    middle = MOUTH_V + rng.normal(0, 4) - 0.1 * gap
    rise = 1.0 + 8 * smile + rng.normal(0, 4) - 0.12 * max(gap - 25, 0)
    seam = (
        middle
        - rise * flat ** rng.uniform(1.7, 2.6)
        + rng.normal(0, 4 if rng.random() < 0.15 else 1.4) * x
    )
    wave = 1.6 * np.exp(-((x / 0.22) ** 2)) - 1.2 * np.exp(-(((flat - 0.4) / 0.25) ** 2))
    return seam + wave * rng.uniform(0, 1.5) * (1 if gap == 0 else 0.4)


def _opening_profile(flat: Floats, gap: float) -> Floats:
    """Height of the opening along the lips, 0..1; towards the corners the lips touch."""
    share = np.interp(gap, [0, 9, 20, 33], [0.6, 0.74, 0.88, 0.93])
    return np.clip(1 - (flat / share) ** 2.2, 0, 1) ** 0.7


def draw_mouth(scene: Scene) -> None:
    """Folds, lips, what shows between them, and the line where they meet."""
    canvas, rng, person = scene.canvas, scene.rng, scene.person
    mouth = choose_mouth(rng, person)
    _folds(scene, mouth)
    _philtrum(scene, mouth)
    colour = _lip_colour(rng, person)
    edge = rng.uniform(0.3, 1.8) * (1 - 0.6 * person.make_up)
    opacity = rng.uniform(0.65, 1.0)
    _lip(scene, mouth.upper_lip, colour * rng.uniform(0.64, 0.96), edge, opacity)
    _lip(scene, mouth.lower_lip, colour * rng.uniform(0.88, 1.22), edge, opacity)
    _lip_shading(scene, mouth)
    if person.gap > 0:
        _inside_mouth(scene, mouth)
    _seam_line(scene, mouth)
    lift, annotated = scene.head.lift, mouth.annotated
    if person.gap > 0:
        canvas.mark(canvas.patch(lift(annotated.opening)), "mouth")
    canvas.mark(canvas.patch(lift(annotated.upper_lip)), "u_lip")
    canvas.mark(canvas.patch(lift(annotated.lower_lip)), "l_lip")
    if person.gap > 0:  # the lips' edges run over a thin opening
        canvas.mark(canvas.patch(lift(annotated.opening)), "mouth")


def _folds(scene: Scene, mouth: Mouth) -> None:
    """Shadow under the lower lip, around the corners, and from the nose's wings to beside them."""
    canvas, head, rng, person = scene.canvas, scene.head, scene.rng, scene.person
    _chin_fold(scene, mouth)
    smile = max(person.smile, 0)
    wing, end = head.shape.nose_width, head.shape.nose_length
    depth = rng.uniform(0.0, 0.2) + rng.uniform(0.0, 0.4) * smile + 0.2 * person.age
    half = mouth.inner_top[-1, 0]
    for side in SIDES.values():
        corner = mouth.inner_top[-1 if side > 0 else 0]
        line = smooth(
            [(side * (wing + 2), end - 18), (side * (wing + 8 + 6 * smile), end + 2),
             (side * (half + 8), corner[1] - 12), (side * (half + 11), corner[1] + 8)],
            5, closed=False,
        )  # fmt: skip
        width = rng.uniform(4, 8)
        pixels = head.lift(line)
        canvas.shade(canvas.patch(ribbon(pixels, width), soft=2.8), min(depth, 0.6) * 0.75)
        beside = canvas.patch(ribbon(pixels + (side * 7 * head.scale, -4), 12), soft=4)
        if beside is not None:  # the cheek bulges beside the fold
            glow = scene.lit(beside, np.minimum(person.skin * 1.25, 1))
            canvas.paint(beside, glow, opacity=0.25 * min(depth, 0.6))
        dimple = ellipse(corner[0] + side * 3, corner[1], 6, 9)
        canvas.shade(scene.on_head(dimple, soft=5), rng.uniform(0.0, 0.3))


def _chin_fold(scene: Scene, mouth: Mouth) -> None:
    """The hollow under the lower lip, which may be as dark and red as a lip, and the chin's light.

    Where it lacked, models took it for the lower lip, and the lower lip for teeth.
    """
    canvas, rng, person = scene.canvas, scene.rng, scene.person
    low = mouth.lower_edge[5:-5]
    depth = rng.uniform(5, 20)
    brown = np.clip(person.skin * rng.uniform([0.35, 0.15, 0.12], [0.8, 0.6, 0.6]), 0, 1)
    dark = rng.uniform(0.05, 0.3) if rng.random() < 0.6 else rng.uniform(0.3, 0.6)
    hollow = _ring(low - (0, 2), low + (0, depth))
    canvas.shade(scene.on_head(hollow, soft=rng.uniform(2, 6)), dark, brown)
    chin = low[4:-4] + (0, depth + rng.uniform(4, 14))
    light = canvas.patch(ribbon(scene.head.lift(chin), rng.uniform(6, 16)), soft=4)
    if light is not None:
        glow = scene.lit(light, np.minimum(person.skin * 1.25, 1))
        canvas.paint(light, glow, opacity=rng.uniform(0, 0.4))


def _philtrum(scene: Scene, mouth: Mouth) -> None:
    """The groove from the nose to the upper lip, and the bright rim above its bow."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    bow, end = mouth.upper_edge[16], head.shape.nose_length
    groove = np.array([(0, end + 3), (0, (end + bow[1]) / 2 + 2), (bow[0], bow[1])])
    pixels = head.lift(groove)
    wide = rng.uniform(7, 13) * head.scale
    canvas.shade(canvas.patch(ribbon(pixels, wide), soft=3.5), rng.uniform(0, 0.2))
    glow = rng.uniform(0.0, 0.42)
    rim = canvas.patch(ribbon(head.lift(mouth.upper_edge[8:25] - (0, 3.5)), 7), soft=1.8)
    if rim is not None:
        canvas.paint(rim, scene.lit(rim, np.minimum(scene.person.skin * 1.3, 1)), opacity=glow)


def _lip_colour(rng: np.random.Generator, person: Person) -> Floats:
    """Counted: lips are 0.87, 0.7, 0.74 (upper) and 0.97, 0.8, 0.9 (lower) of the skin."""
    redness = float(np.clip(rng.normal(0, 0.1), -0.22, 0.22))
    natural = person.skin * np.array([1.0, 0.73 - redness, 0.8 - redness])
    natural = natural * rng.normal(1, 0.08) * rng.normal(1, 0.05, 3)
    natural = natural * (1 - 0.25 * person.darkness * rng.random())
    if person.make_up > 0.3 and rng.random() < 0.8:
        green = rng.uniform(0.03, 0.45)
        paint = np.array([rng.uniform(0.35, 0.95), green, green * rng.uniform(0.7, 1.5) + 0.03])
        strength = rng.uniform(0.2, 0.95)
        natural = natural * (1 - strength) + paint * strength
    return np.clip(natural, 0.02, 1).astype(np.float32)


def _lip(scene: Scene, outline: Floats, colour: Floats, edge: float, opacity: float) -> None:
    """One lip: its colour in the light, with upright creases."""
    canvas, rng = scene.canvas, scene.rng
    patch = scene.on_head(outline, soft=edge)
    if patch is None:
        return
    height, width = patch.alpha.shape
    creases = noise(rng, (height, width), (max(2, height // 14), max(4, width // 3)))
    blotches = noise(rng, (height, width), (3, 7))
    # Lips turn away from the light, and thin out, towards the corners.
    ends = np.linspace(-1, 1, width, dtype=np.float32)[None] ** 2 * -rng.uniform(0, 0.3)
    uneven = rng.uniform(0.02, 0.13) * creases + rng.uniform(0.0, 0.09) * blotches + ends
    lit = scene.lit(patch, colour) * (1 + uneven[..., None])
    canvas.paint(patch, np.clip(lit, 0, 1), opacity=opacity)


def _lip_shading(scene: Scene, mouth: Mouth) -> None:
    """Upper lip in its own shade, the lower darker below and at the seam, with shining spots."""
    canvas, head, rng, person = scene.canvas, scene.head, scene.rng, scene.person
    under = _ring(mouth.upper_edge * 0.35 + mouth.inner_top * 0.65, mouth.inner_top)
    canvas.shade(scene.on_head(under, soft=2.0), rng.uniform(0.05, 0.4))
    low = _ring(mouth.inner_bottom * 0.3 + mouth.lower_edge * 0.7, mouth.lower_edge)
    canvas.shade(scene.on_head(low, soft=2.0), rng.uniform(0.0, 0.15))
    if person.make_up > 0.4 and rng.random() < 0.3:  # a liner around both lips
        ring = [ribbon(head.lift(e), 2.5) for e in (mouth.upper_edge, mouth.lower_edge)]
        canvas.shade(canvas.patch(*ring, soft=1.0), rng.uniform(0.15, 0.5), (0.5, 0.2, 0.2))
    gloss = rng.uniform(0.02, 0.3) * (1 + 1.2 * person.make_up)
    middle = mouth.inner_bottom * 0.6 + mouth.lower_edge * 0.4
    start = int(rng.integers(7, 15))
    for line, width in ((middle[9:-9], rng.uniform(4, 10)), (middle[start : start + 5], 4.0)):
        shine = canvas.patch(ribbon(head.lift(line), width), soft=1.6)
        if shine is not None:
            size = shine.alpha.shape
            broken = noise(rng, size, (max(2, size[0] // 6), max(3, size[1] // 4)))
            shine = shine.times(np.clip(0.8 + rng.uniform(0, 0.7) * broken, 0, 1.4))
            white = scene.lit(shine, person.skin * 0.3 + [0.75, 0.68, 0.68])
            canvas.paint(shine, white, opacity=min(gloss, 0.7))


def _seam_line(scene: Scene, mouth: Mouth) -> None:
    """The dark line between shut lips, or the upper lip's shadow on the teeth; dark corners."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    shut = scene.person.gap == 0
    line = ribbon(head.lift(mouth.inner_top), 2.8 if shut else 1.5)
    canvas.shade(canvas.patch(line, soft=0.8), rng.uniform(0.25, 0.75) * (1 if shut else 0.5))
    for x, y in (mouth.inner_top[0], mouth.inner_top[-1]):
        canvas.shade(scene.on_head(ellipse(x, y, 4.5, 3), soft=2.2), rng.uniform(0.1, 0.45))
        beside = ellipse(x * 1.06, y + 4, 7, 12)
        canvas.shade(scene.on_head(beside, soft=4), rng.uniform(0.0, 0.15))


def _inside_mouth(scene: Scene, mouth: Mouth) -> None:
    """Darkness, teeth, gums above them in a broad smile, now and then a tongue."""
    canvas, rng, person = scene.canvas, scene.rng, scene.person
    opening = scene.on_head(mouth.opening, soft=0.5)
    if opening is None:
        return
    canvas.paint(opening, DARK * rng.uniform(0.4, 3.0))
    gap = person.gap
    if gap > 12 and rng.random() < 0.75:
        low = mouth.inner_bottom[16]
        outline = ellipse(low[0], low[1], rng.uniform(20, 46), gap * rng.uniform(0.25, 0.8))
        tongue = scene.on_head(outline, soft=rng.uniform(1.5, 3.5))
        if tongue is not None and (seen := tongue.inside(opening)) is not None:
            # As bright as a lip in a laugh, hardly to be seen in a mouth that is just parted.
            canvas.paint(seen, scene.lit(seen, TONGUE * rng.uniform(0.5, 1.5)))
    if rng.random() < (0.96 if person.smile > 0.4 else 0.7):
        _teeth(scene, opening, mouth)
    ceiling = _ring(mouth.inner_top - (0, 3), mouth.inner_top + (0, rng.uniform(0.5, 2.8)))
    shade = scene.on_head(ceiling, soft=1.5)
    if shade is not None:
        canvas.paint(shade.inside(opening), DARK, opacity=rng.uniform(0.2, 0.7))


def _teeth(scene: Scene, opening: Patch, mouth: Mouth) -> None:
    """The upper row, rounded towards the corners and shaded there; sometimes the lower one."""
    canvas, rng, person, gap = scene.canvas, scene.rng, scene.person, scene.person.gap
    # A camera exposes for the face: beside dark skin teeth are not that much brighter.
    white = (
        np.array([0.95, 0.87, 0.81]) * rng.uniform(0.75, 1.1) * (0.45 + 0.7 * person.skin.mean())
    )
    white[2] *= rng.uniform(0.85, 1.05)
    length = min(gap * rng.uniform(0.65, 1.25), rng.uniform(14, 23))
    edge = mouth.inner_top.copy()
    half = float(np.abs(edge[:, 0]).max())
    edge[:, 1] += length * np.sqrt(np.clip(1 - (edge[:, 0] / (1.02 * half)) ** 2, 0, 1))
    gums = rng.uniform(1, 5) if gap > 18 and rng.random() < 0.2 else -3.0
    _row(scene, opening, _ring(mouth.inner_top + (0, gums), edge), white)
    if gums > 0:
        _row(scene, opening, _ring(mouth.inner_top - (0, 2), mouth.inner_top + (0, gums)),
             np.array([0.75, 0.42, 0.42]))  # fmt: skip
    if rng.random() < 0.45 and gap > 12:
        low = mouth.inner_bottom
        _row(scene, opening, _ring(low - (0, gap * rng.uniform(0.12, 0.3)), low), white * 0.82)
    for side in SIDES.values():  # the back teeth lie in shadow
        back = ellipse(side * half * 0.92, edge[16, 1] - length / 2, half * 0.36, 22)
        corner = scene.on_head(back, soft=5)
        if corner is not None:
            canvas.paint(corner.inside(opening), DARK, opacity=rng.uniform(0.2, 0.65))
    lines = scene.head.lift(_tooth_gaps(rng, mouth.inner_top, edge, half)).reshape(-1, 2, 2)
    strokes = canvas.strokes(list(lines), 0.8)
    if strokes is not None:
        grey = np.array([0.45, 0.36, 0.32])
        canvas.paint(strokes.inside(opening), grey, opacity=rng.uniform(0.1, 0.55))


def _row(scene: Scene, opening: Patch, outline: Floats, colour: Floats) -> None:
    """Teeth or gums, lit more evenly than skin."""
    row = scene.on_head(outline, soft=0.6)
    if row is None or (seen := row.inside(opening)) is None:
        return
    light = seen.of(scene.light)[..., None]
    scene.canvas.paint(seen, np.clip(colour * (0.3 + 0.7 * light), 0, 1))


def _tooth_gaps(rng: np.random.Generator, top: Floats, edge: Floats, half: float) -> Floats:
    """Both ends of the lines between teeth, in turn, face coordinates [2 * N, 2]."""
    widths = rng.uniform(8.5, 11) * 0.9 ** np.arange(6)
    at = np.concatenate([[0], np.cumsum(widths)])
    at = np.concatenate([-at[::-1], at[1:]])
    at = at[np.abs(at) < 0.85 * half]
    above = np.interp(at, top[:, 0], top[:, 1]) - 1
    below = np.interp(at, edge[:, 0], edge[:, 1])
    ends = np.stack([np.stack([at, above], 1), np.stack([at, below], 1)], 1)
    return ends.reshape(-1, 2).astype(np.float32)
