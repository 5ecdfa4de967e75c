"""The mouth: lips, teeth, and the folds around it.

Measured on the label maps of 700 pairs, in pixels of an aligned photo: 41 % are shut, 20 % parted
(the opening 9 high and 71 wide between lips 102 wide), 29 % smile with teeth (20 high, 109 wide,
lips 127 wide) and 10 % laugh or shout (33 high). The upper lip is 13 thick in the middle whether
shut or open, and its middle line is nearly level; the lower lip is 20 thick and curves below it.
"""

from dataclasses import dataclass

import numpy as np

from facesegkit.synthetic.canvas import Patch
from facesegkit.synthetic.curves import Floats, ellipse, noise, ribbon, smooth
from facesegkit.synthetic.head import MOUTH_V
from facesegkit.synthetic.scene import SIDES, Scene
from facesegkit.synthetic.traits import Person

UPPER, LOWER = (15.2, 4.3), (22.0, 4.4)  # thickness of the lips: mean, standard deviation
TOUCHING = 0.8  # lips closer than this touch
DARK, TONGUE, PINK = np.array([[0.10, 0.04, 0.035], [0.62, 0.30, 0.29], [0.75, 0.42, 0.42]])


@dataclass(frozen=True)
class Mouth:
    """Four curves from the right (of the person) to the left corner, face coordinates [N, 2]."""

    upper_edge: Floats
    inner_top: Floats
    inner_bottom: Floats
    lower_edge: Floats

    @property
    def upper_lip(self) -> Floats:
        return _between(self.upper_edge, self.inner_top)

    @property
    def lower_lip(self) -> Floats:
        return _between(self.inner_bottom, self.lower_edge)

    @property
    def opening(self) -> Floats:
        """Polygon between the lips, without the segments where they touch."""
        apart = self.inner_bottom[:, 1] - self.inner_top[:, 1] > TOUCHING
        return _between(self.inner_top[apart], self.inner_bottom[apart])

    @property
    def annotated(self) -> "Mouth":
        """The curves that annotators draw: both edges of the lower lip lie higher.

        Models trained on the lips as painted ended 4 pixels too low below a shut mouth and 4 too
        low between open lips, in the median of the validation split's photos.
        """
        up = np.array([0, 1], dtype=np.float32)
        upper, lower = self.inner_top - self.upper_edge, self.lower_edge - self.inner_bottom
        gap = self.inner_bottom - self.inner_top
        bottom = self.inner_bottom - np.minimum(0.3 * gap, 3.2) * up
        low = self.lower_edge - 0.15 * lower * up
        return Mouth(self.upper_edge - 0.05 * upper * up, self.inner_top, bottom, low)


def _between(above: Floats, below: Floats) -> Floats:
    """Polygon between two curves."""
    return np.concatenate([above, below[::-1]])


def choose_mouth(rng: np.random.Generator, person: Person) -> Mouth:
    """Random lips that match the person's smile and opening of the mouth."""
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
    # Height of the opening along the lips; towards the corners they touch.
    open_part = np.interp(gap, [0, 9, 20, 33], [0.6, 0.74, 0.88, 0.93])
    opening = gap * np.clip(1 - (flat / open_part) ** 2.2, 0, 1) ** 0.7
    above = rng.uniform(0.05, 0.4)  # fraction of the opening by which the upper lip is lifted
    inner_top, inner_bottom = seam - above * opening, seam + (1 - above) * opening
    cupid = 1 - rng.uniform(0.05, 0.38) * np.exp(-((x / 0.16) ** 2)) * (1 - 0.6 * max(smile, 0))
    edge = inner_top - upper * np.clip(1 - flat**2.0, 0, 1) ** 0.75 * cupid
    # In a smile the lower lip keeps its thickness almost to the corners.
    full = np.clip(smile, 0, 1)
    below = inner_bottom + lower * np.clip(1 - flat ** (2 + full), 0, 1) ** (0.85 - 0.25 * full)
    curves = (edge, inner_top, inner_bottom, below)
    return Mouth(*(np.stack([half * x, y], 1).astype(np.float32) for y in curves))


def _seam(rng: np.random.Generator, x: Floats, smile: float, gap: float) -> Floats:
    """Height of the line between the lips: a smile lifts the corners, the middle dips."""
    flat = np.abs(x)
    middle = MOUTH_V + rng.normal(0, 4) - 0.1 * gap
    rise = 1.0 + 8 * smile + rng.normal(0, 4) - 0.12 * max(gap - 25, 0)
    seam = middle - rise * flat ** rng.uniform(1.7, 2.6)
    seam = seam + rng.normal(0, 4 if rng.random() < 0.15 else 1.4) * x
    wave = 1.6 * np.exp(-((x / 0.22) ** 2)) - 1.2 * np.exp(-(((flat - 0.4) / 0.25) ** 2))
    return seam + wave * rng.uniform(0, 1.5) * (1 if gap == 0 else 0.4)


def draw_mouth(scene: Scene) -> None:
    """Folds, lips, the inside of the mouth, and the line between the lips."""
    rng, person = scene.rng, scene.person
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
    annotated = mouth.annotated
    scene.annotate(annotated.upper_lip, "u_lip")
    scene.annotate(annotated.lower_lip, "l_lip")
    if person.gap > 0:  # last, because the edges of the lips cover a thin opening
        scene.annotate(annotated.opening, "mouth")


def _folds(scene: Scene, mouth: Mouth) -> None:
    """Nasolabial folds and shadows around the corners and below the lower lip."""
    canvas, head, rng, person = scene.canvas, scene.head, scene.rng, scene.person
    _chin_fold(scene, mouth)
    smile = max(person.smile, 0)
    wing, end = head.shape.nose_width, head.shape.nose_length
    depth = rng.uniform(0.0, 0.2) + rng.uniform(0.0, 0.4) * smile + 0.2 * person.age
    depth, half = min(depth, 0.6), mouth.inner_top[-1, 0]
    for side in SIDES.values():
        u, v = mouth.inner_top[-1 if side > 0 else 0]
        fold = [(side * (wing + 2), end - 18), (side * (wing + 8 + 6 * smile), end + 2),
                (side * (half + 8), v - 12), (side * (half + 11), v + 8)]  # fmt: skip
        width = rng.uniform(4, 8)
        pixels = head.lift(smooth(fold, 5, closed=False))
        canvas.shade(canvas.patch(ribbon(pixels, width), soft=2.8), depth * 0.75)
        beside = canvas.patch(ribbon(pixels + (side * 7 * head.scale, -4), 12), soft=4)
        # The cheek bulges beside the fold.
        scene.paint_lit(beside, np.minimum(person.skin * 1.25, 1), 0.25 * depth)
        scene.shade(ellipse(u + side * 3, v, 6, 9), 5, rng.uniform(0.0, 0.3))


def _chin_fold(scene: Scene, mouth: Mouth) -> None:
    """The hollow below the lower lip, which may be as dark and red as a lip, and the lit chin.

    Models trained without it took the hollow for the lower lip, and the lower lip for teeth.
    """
    rng, skin, low = scene.rng, scene.person.skin, mouth.lower_edge[5:-5]
    depth = rng.uniform(5, 20)
    brown = np.clip(scene.person.tint * rng.uniform([0.35, 0.15, 0.12], [0.8, 0.6, 0.6]), 0, 1)
    dark = rng.uniform(0.05, 0.3) if rng.random() < 0.6 else rng.uniform(0.3, 0.6)
    scene.shade(_between(low - (0, 2), low + (0, depth)), rng.uniform(2, 6), dark, brown)
    chin = low[4:-4] + (0, depth + rng.uniform(4, 14))
    light = scene.ribbon_on_head(chin, rng.uniform(6, 16), soft=4)
    if not light.is_empty:
        scene.paint_lit(light, np.minimum(skin * 1.25, 1), rng.uniform(0, 0.4))


def _philtrum(scene: Scene, mouth: Mouth) -> None:
    """The groove from the nose to the upper lip, and the bright rim above the cupid's bow."""
    head, rng = scene.head, scene.rng
    (u, v), end = mouth.upper_edge[16], head.shape.nose_length
    groove = np.array([(0, end + 3), (0, (end + v) / 2 + 2), (u, v)])
    wide = rng.uniform(7, 13) * head.scale
    scene.canvas.shade(scene.ribbon_on_head(groove, wide, soft=3.5), rng.uniform(0, 0.2))
    rim = scene.ribbon_on_head(mouth.upper_edge[8:25] - (0, 3.5), 7, soft=1.8)
    scene.paint_lit(rim, np.minimum(scene.person.skin * 1.3, 1), rng.uniform(0.0, 0.42))


def _lip_colour(rng: np.random.Generator, person: Person) -> Floats:
    """Measured: lips are 0.87, 0.7, 0.74 (upper) and 0.97, 0.8, 0.9 (lower) of the skin."""
    redness = float(np.clip(rng.normal(0, 0.1), -0.22, 0.22))
    colour = person.skin * np.array([1.0, 0.73 - redness, 0.8 - redness])
    colour = colour * rng.normal(1, 0.08) * rng.normal(1, 0.05, 3)
    colour = colour * (1 - 0.25 * person.darkness * rng.random())
    if person.make_up > 0.3 and rng.random() < 0.8:
        green = rng.uniform(0.03, 0.45)
        paint = np.array([rng.uniform(0.35, 0.95), green, green * rng.uniform(0.7, 1.5) + 0.03])
        strength = rng.uniform(0.2, 0.95)
        colour = colour * (1 - strength) + paint * strength
    return np.clip(colour, 0.02, 1).astype(np.float32)


def _lip(scene: Scene, polygon: Floats, colour: Floats, edge: float, opacity: float) -> None:
    """One lip: its lit colour with vertical creases."""
    rng, patch = scene.rng, scene.on_head(polygon, soft=edge)
    height, width = size = patch.alpha.shape
    creases = noise(rng, size, (max(2, height // 14), max(4, width // 3)))
    blotches = noise(rng, size, (3, 7))
    # Lips turn away from the light, and become thinner, towards the corners.
    ends = np.linspace(-1, 1, width, dtype=np.float32)[None] ** 2 * -rng.uniform(0, 0.3)
    uneven = rng.uniform(0.02, 0.13) * creases + rng.uniform(0.0, 0.09) * blotches + ends
    lit = scene.lit(patch, colour) * (1 + uneven[..., None])
    scene.canvas.paint(patch, np.clip(lit, 0, 1), opacity=opacity)


def _lip_shading(scene: Scene, mouth: Mouth) -> None:
    """Shadows on the upper lip and along the lower edge, lip liner, and highlights."""
    canvas, rng, person = scene.canvas, scene.rng, scene.person
    under = _between(mouth.upper_edge * 0.35 + mouth.inner_top * 0.65, mouth.inner_top)
    scene.shade(under, 2.0, rng.uniform(0.05, 0.4))
    low = _between(mouth.inner_bottom * 0.3 + mouth.lower_edge * 0.7, mouth.lower_edge)
    scene.shade(low, 2.0, rng.uniform(0.0, 0.15))
    if person.make_up > 0.4 and rng.random() < 0.3:  # a liner around both lips
        ring = [ribbon(scene.head.lift(e), 2.5) for e in (mouth.upper_edge, mouth.lower_edge)]
        canvas.shade(canvas.patch(*ring, soft=1.0), rng.uniform(0.15, 0.5), (0.5, 0.2, 0.2))
    gloss = rng.uniform(0.02, 0.3) * (1 + 1.2 * person.make_up)
    middle = mouth.inner_bottom * 0.6 + mouth.lower_edge * 0.4
    start = int(rng.integers(7, 15))
    for line, width in ((middle[9:-9], rng.uniform(4, 10)), (middle[start : start + 5], 4.0)):
        shine = scene.ribbon_on_head(line, width, soft=1.6)
        high, wide = shine.alpha.shape
        broken = noise(rng, (high, wide), (max(2, high // 6), max(3, wide // 4)))
        shine = shine.times(np.clip(0.8 + rng.uniform(0, 0.7) * broken, 0, 1.4))
        scene.paint_lit(shine, person.skin * 0.3 + [0.75, 0.68, 0.68], min(gloss, 0.7))


def _seam_line(scene: Scene, mouth: Mouth) -> None:
    """The dark line between shut lips, or the upper lip's shadow on the teeth; dark corners."""
    rng, shut = scene.rng, scene.person.gap == 0
    line = scene.ribbon_on_head(mouth.inner_top, 2.8 if shut else 1.5, soft=0.8)
    scene.canvas.shade(line, rng.uniform(0.25, 0.75) * (1 if shut else 0.5))
    for x, y in (mouth.inner_top[0], mouth.inner_top[-1]):
        scene.shade(ellipse(x, y, 4.5, 3), 2.2, rng.uniform(0.1, 0.45))
        scene.shade(ellipse(x * 1.06, y + 4, 7, 12), 4, rng.uniform(0.0, 0.15))


def _inside_mouth(scene: Scene, mouth: Mouth) -> None:
    """Darkness, teeth, gums above them in a broad smile, sometimes a tongue."""
    canvas, rng, person = scene.canvas, scene.rng, scene.person
    opening, gap = scene.on_head(mouth.opening, soft=0.5), person.gap
    canvas.paint(opening, DARK * rng.uniform(0.4, 3.0))
    if gap > 12 and rng.random() < 0.75:
        x, y = mouth.inner_bottom[16]
        shape = ellipse(x, y, rng.uniform(20, 46), gap * rng.uniform(0.25, 0.8))
        tongue = scene.on_head(shape, soft=rng.uniform(1.5, 3.5), inside=opening)
        # As bright as a lip in a laugh, barely visible in a mouth that is just parted.
        scene.paint_lit(tongue, TONGUE * rng.uniform(0.5, 1.5))
    if rng.random() < (0.96 if person.smile > 0.4 else 0.7):
        _teeth(scene, opening, mouth)
    ceiling = _between(mouth.inner_top - (0, 3), mouth.inner_top + (0, rng.uniform(0.5, 2.8)))
    shade = scene.on_head(ceiling, soft=1.5, inside=opening)
    canvas.paint(shade, DARK, opacity=rng.uniform(0.2, 0.7))


def _teeth(scene: Scene, opening: Patch, mouth: Mouth) -> None:
    """The upper row, rounded and shaded towards the corners; sometimes the lower one."""
    canvas, rng, gap, top = scene.canvas, scene.rng, scene.person.gap, mouth.inner_top
    # A camera exposes for the face: beside dark skin, teeth are not that much brighter.
    white = np.array([0.95, 0.87, 0.81]) * rng.uniform(0.75, 1.1)
    white *= 0.45 + 0.7 * scene.person.skin.mean()
    white[2] *= rng.uniform(0.85, 1.05)
    length = min(gap * rng.uniform(0.65, 1.25), rng.uniform(14, 23))
    edge, half = top.copy(), float(np.abs(top[:, 0]).max())
    edge[:, 1] += length * np.sqrt(np.clip(1 - (edge[:, 0] / (1.02 * half)) ** 2, 0, 1))
    gums = rng.uniform(1, 5) if gap > 18 and rng.random() < 0.2 else -3.0
    _row(scene, opening, _between(top + (0, gums), edge), white)
    if gums > 0:
        _row(scene, opening, _between(top - (0, 2), top + (0, gums)), PINK)
    if rng.random() < 0.45 and gap > 12:
        low = mouth.inner_bottom
        _row(scene, opening, _between(low - (0, gap * rng.uniform(0.12, 0.3)), low), white * 0.82)
    for side in SIDES.values():  # the back teeth lie in shadow
        back = ellipse(side * half * 0.92, edge[16, 1] - length / 2, half * 0.36, 22)
        shadow = scene.on_head(back, soft=5, inside=opening)
        canvas.paint(shadow, DARK, opacity=rng.uniform(0.2, 0.65))
    lines = canvas.strokes(scene.lift_lines(_tooth_gaps(rng, top, edge, half)), 0.8)
    canvas.paint(lines.inside(opening), [0.45, 0.36, 0.32], opacity=rng.uniform(0.1, 0.55))


def _row(scene: Scene, opening: Patch, polygon: Floats, colour: Floats) -> None:
    """Teeth or gums, lit more evenly than skin."""
    row = scene.on_head(polygon, soft=0.6, inside=opening)
    light = row.of(scene.light)[..., None]
    scene.canvas.paint(row, np.clip(colour * (0.3 + 0.7 * light), 0, 1))


def _tooth_gaps(rng: np.random.Generator, top: Floats, edge: Floats, half: float) -> Floats:
    """Lines between the teeth, face coordinates [N, 2, 2]."""
    at = np.concatenate([[0], np.cumsum(rng.uniform(8.5, 11) * 0.9 ** np.arange(6))])
    at = np.concatenate([-at[::-1], at[1:]])
    at = at[np.abs(at) < 0.85 * half]
    ends = np.interp(at, *top.T) - 1, np.interp(at, *edge.T)
    return np.stack([np.column_stack([at, v]) for v in ends], 1)
