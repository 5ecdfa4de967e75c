"""Eyes, eyebrows, nose, mouth and beard, drawn onto the lit head.

Sizes are in face units (pixels of the usual frame). Means and spreads were counted on the label
maps of 700 pairs: an eye mask is 43 +- 8 wide and 16 +- 4 high and ends at the lids, without the
lashes; brows are 78 x 25, 14 thick, blunt towards the nose and tapering outwards; the nose mask
begins with a level edge at the height of the upper lids, 37 wide, and ends 77 wide under the
nostrils; lips are 102 wide, the upper 12 and the lower 20 thick in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesegkit.drawn.canvas import Canvas, Patch
from facesegkit.drawn.curves import Floats, ellipse, noise, smooth
from facesegkit.drawn.head import EYE_U, EYE_V, MOUTH_V, Head
from facesegkit.drawn.traits import Person

IRIS_COLOURS = np.array(
    [[0.16, 0.09, 0.05], [0.26, 0.15, 0.08], [0.36, 0.25, 0.12], [0.30, 0.36, 0.22],
     [0.35, 0.45, 0.55], [0.45, 0.58, 0.70], [0.42, 0.46, 0.48]]
)  # fmt: skip
IRIS_WEIGHTS = np.array([0.28, 0.22, 0.13, 0.1, 0.12, 0.09, 0.06])

SIDES = {"r": -1, "l": 1}  # the person's right eye lies in the picture's left half


@dataclass
class Scene:
    """What every feature needs: where to draw, on which head, in which light."""

    canvas: Canvas
    head: Head
    person: Person
    skin: Floats  # the head's lit skin on the canvas, [512, 512, 3]
    light: Floats  # illumination on the canvas, [512, 512], display-value factor
    rng: np.random.Generator

    def lit(self, patch: Patch, colour: object) -> Floats:
        """A colour [3] under the light that falls on the patch, [h, w, 3]."""
        light = patch.of(self.light)[..., None]
        return np.clip(np.asarray(colour, dtype=np.float32) * light, 0, 1)


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

    @property
    def outline(self) -> Floats:
        """The opening's closed outline, face coordinates."""
        return np.concatenate([self.lid(self.upper), self.lid(-self.lower)[::-1]])


def draw_eyes(scene: Scene) -> None:
    """Both eyes, with their lids, lashes and make-up; one look, almost one size."""
    rng, person = scene.rng, scene.person
    half = float(np.clip(rng.normal(24.5, 2.0), 18, 30))
    opening = float(np.clip(rng.normal(19.0, 3.2) - 3.0 * max(person.smile, 0), 7, 27))
    if rng.random() < 0.05:
        opening = rng.uniform(3.0, 5.5)  # closed, or nearly
    slant, peak = rng.normal(1.8, 1.6), rng.normal(-0.05, 0.15)
    iris = IRIS_COLOURS[rng.choice(len(IRIS_WEIGHTS), p=IRIS_WEIGHTS)] * rng.uniform(0.5, 1.1)
    gaze = np.array([rng.normal(0, 3.2) - 5 * scene.head.pose.turn, rng.normal(-0.5, 1.0)])
    style = _EyeStyle.choose(rng, person)
    for side in SIDES.values():
        own = opening * rng.normal(1, 0.05)
        eye = Eye(side, half, own * 0.58, own * 0.42, slant, peak)
        _make_up(scene, eye, style)
        _eyeball(scene, eye, iris, gaze)
        _lids(scene, eye, style)
        name = "l_eye" if side > 0 else "r_eye"
        scene.canvas.mark(scene.canvas.patch(scene.head.lift(eye.outline)), name)


@dataclass(frozen=True)
class _EyeStyle:
    liner: float
    lashes: float
    shadow: Floats
    shadow_strength: float
    crease: float
    crease_strength: float
    bag: float

    @classmethod
    def choose(cls, rng: np.random.Generator, person: Person) -> _EyeStyle:
        colour = rng.uniform(0.05, 0.75, 3) if rng.random() < 0.5 else person.skin * 0.45
        return cls(
            liner=float(rng.uniform(0.25, 0.6) + 0.4 * person.make_up),
            lashes=float(rng.uniform(1, 4) + 8 * person.make_up),
            shadow=np.asarray(colour, dtype=np.float32),
            shadow_strength=float(person.make_up * rng.uniform(0.1, 0.9)),
            crease=float(rng.uniform(3, 10)),
            crease_strength=float(rng.uniform(0.1, 0.6)),
            bag=float(rng.uniform(0.0, 0.35) + 0.3 * person.age),
        )


def _make_up(scene: Scene, eye: Eye, style: _EyeStyle) -> None:
    """Eye shadow over the lid, and the darkness of the socket."""
    canvas, head = scene.canvas, scene.head
    upper = eye.lid(eye.upper)
    above = eye.lid(eye.upper + 9 + 9 * style.shadow_strength)[::-1]
    above[0, 0] += eye.side * 5
    patch = canvas.patch(head.lift(np.concatenate([upper, above])), soft=3.5)
    canvas.shade(patch, style.shadow_strength, style.shadow)
    rim = Eye(eye.side, eye.half + 3, eye.upper + 2.5, eye.lower + 2.5, eye.slant, eye.peak)
    canvas.shade(canvas.patch(head.lift(rim.outline), soft=2.5), 0.30 + 0.2 * style.liner)


def _eyeball(scene: Scene, eye: Eye, iris: Floats, gaze: Floats) -> None:
    """White, iris, pupil, the lid's shadow, glints; all inside the opening."""
    canvas, head, rng, person = scene.canvas, scene.head, scene.rng, scene.person
    opening = canvas.patch(head.lift(eye.outline))
    if opening is None:
        return
    # Counted: eye masks are 0.54, 0.61, 0.68 of the skin's red, green, blue; whites are not white.
    white = person.skin * 0.35 + np.array([0.50, 0.51, 0.52]) * rng.uniform(0.75, 1.15)
    canvas.paint(opening, scene.lit(opening, white))
    inner = head.lift(ellipse(eye.side * (EYE_U - eye.half), EYE_V + 1, 4.5, 4))
    _inside(canvas, opening, canvas.patch(inner, soft=1.0), [0.72, 0.45, 0.42], 0.6)

    centre = np.array([eye.side * EYE_U + gaze[0], EYE_V - eye.upper * 0.22 + gaze[1]])
    radius = 10.8 * rng.normal(1, 0.05)
    disc = canvas.patch(head.lift(ellipse(centre[0], centre[1], radius, radius)), soft=0.5)
    _inside(canvas, opening, disc, iris * 0.35, 0.95)
    core = canvas.patch(
        head.lift(ellipse(centre[0], centre[1], radius * 0.82, radius * 0.82)), soft=1.2
    )
    _inside(canvas, opening, core, iris * 1.15 + 0.02, 0.9)
    pupil = radius * rng.uniform(0.35, 0.6)
    _inside(
        canvas,
        opening,
        canvas.patch(head.lift(ellipse(centre[0], centre[1], pupil, pupil))),
        [0.02] * 3,
        1,
    )

    lid = np.concatenate([eye.lid(eye.upper + 3), eye.lid(eye.upper * 0.3)[::-1]])
    shadow = canvas.patch(head.lift(lid), soft=1.6)
    _inside(canvas, opening, shadow, [0.08, 0.05, 0.04], 0.6)
    rim = canvas.patch(_ring(head.lift(eye.outline)), soft=1.5)
    _inside(canvas, opening, rim, [0.12, 0.07, 0.06], rng.uniform(0.2, 0.6))
    for _ in range(rng.integers(0, 3)):
        spot = centre + rng.uniform(-4.5, 4.5, 2) * (1, 0.6) - (0, 1.5)
        glint = canvas.patch(
            head.lift(ellipse(spot[0], spot[1], rng.uniform(0.9, 2.2), rng.uniform(0.9, 2.2))),
            soft=0.4,
        )
        _inside(canvas, opening, glint, [1, 1, 1], rng.uniform(0.5, 1))


def _ring(outline: Floats) -> Floats:
    """A thin band inside a closed outline, as one polygon that doubles back."""
    inner = outline.mean(0) + (outline - outline.mean(0)) * 0.84
    return np.concatenate([outline, outline[:1], inner[:1], inner[::-1]]).astype(np.float32)


def _inside(
    canvas: Canvas, border: Patch, patch: Patch | None, colour: object, opacity: float
) -> None:
    """Paint a patch only where another one lies."""
    if patch is None:
        return
    mask = np.zeros(canvas.labels.shape, dtype=np.float32)[patch.rows, patch.cols]
    top, left = patch.rows.start - border.rows.start, patch.cols.start - border.cols.start
    height, width = border.alpha.shape
    y0, x0 = max(0, -top), max(0, -left)
    y1, x1 = min(mask.shape[0], height - top), min(mask.shape[1], width - left)
    if y1 > y0 and x1 > x0:
        mask[y0:y1, x0:x1] = border.alpha[y0 + top : y1 + top, x0 + left : x1 + left]
        canvas.paint(patch.times(mask), np.asarray(colour, dtype=np.float32), opacity=opacity)


def _lids(scene: Scene, eye: Eye, style: _EyeStyle) -> None:
    """The dark edge of the upper lid, lashes, the crease above and the bag below."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    dark = np.array([0.07, 0.05, 0.04])
    upper, lower = eye.lid(eye.upper + 0.7), eye.lid(-eye.lower - 0.5)
    canvas.paint(
        canvas.strokes([head.lift(upper)], 1.4 + 1.6 * style.liner), dark, opacity=style.liner
    )
    canvas.paint(canvas.strokes([head.lift(lower)], 1.2), dark, opacity=style.liner * 0.45)
    crease = eye.lid(eye.upper + style.crease, 21)[2:]
    canvas.shade(canvas.strokes([head.lift(crease)], 1.6), style.crease_strength)
    bag = eye.lid(-eye.lower - 8, 21)[3:-2]
    canvas.shade(canvas.strokes([head.lift(bag)], 2.0), style.bag * 0.5)
    lashes = []
    for lid, length, direction in ((upper, style.lashes, -1), (lower, style.lashes * 0.4, 1)):
        for t in np.sort(rng.uniform(0.15, 1.0, 14)):
            root = lid[int(t * (len(lid) - 1))]
            lean = (t - 0.45) * eye.side * 1.2 + rng.normal(0, 0.15)
            tip = root + np.array([lean, direction]) * length * rng.uniform(0.6, 1.1)
            lashes += [root, tip]
    hairs = head.lift(np.array(lashes)).reshape(-1, 2, 2)
    canvas.paint(canvas.strokes(list(hairs), 0.7), dark, opacity=min(0.9, 0.25 + style.liner * 0.6))


def draw_brows(scene: Scene) -> None:
    """Both eyebrows as hairs along a flow over a soft ground; now and then none."""
    rng, person = scene.rng, scene.person
    if rng.random() < 0.02:
        return
    inner, outer = EYE_U - rng.normal(37, 5), EYE_U + rng.normal(47, 6)
    height = rng.normal(-28.5, 5) - 0.2 * person.smile
    arch, slope = rng.normal(5, 3), rng.normal(4, 4)
    thick = float(np.clip(rng.normal(14.0 if person.feminine else 16.5, 3.2), 6, 26))
    density = float(np.clip(rng.normal(0.75, 0.25), 0.15, 1.1))
    colour = person.brow if rng.random() < 0.85 else np.clip(person.brow * 1.8 + 0.1, 0, 1)
    for side in SIDES.values():
        tilt = rng.normal(0, 1.2)
        t = np.linspace(0, 1, 9)
        rise = arch * np.sin(np.pi * np.clip(t * 1.05 - 0.1, 0, 1)) * 1.3
        middle = height - tilt - rise - slope * t + (6 + slope * 0.8) * t**3 + 5 * (1 - t) ** 3
        half = (
            thick / 2 * np.interp(t, [0, 0.08, 0.25, 0.6, 0.88, 1], [0.3, 0.9, 1.05, 1, 0.7, 0.12])
        )
        u = side * (inner + (outer - inner) * t)
        _brow(scene, side, np.stack([u, middle], 1), half, colour, density)


def _brow(
    scene: Scene, side: int, line: Floats, half: Floats, colour: Floats, density: float
) -> None:
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    up = np.stack([np.zeros_like(half), half], 1)
    outline = smooth(np.concatenate([line - up, (line + up)[::-1]]), 5)
    mask = canvas.patch(head.lift(outline))
    if mask is None:
        return
    ground = canvas.patch(head.lift(outline), soft=2.2)
    assert ground is not None
    canvas.paint(ground, scene.lit(ground, colour), opacity=0.62 * density)
    hairs = _brow_hairs(rng, side, line, half, int(90 + 110 * density))
    ends = head.lift(hairs.reshape(-1, 2)).reshape(-1, 2, 2)
    strokes = canvas.strokes(list(ends), 0.8)
    if strokes is not None:
        canvas.paint(strokes, scene.lit(strokes, colour * 0.8), opacity=0.25 + 0.5 * density)
    canvas.mark(mask, "l_brow" if side > 0 else "r_brow")


def _brow_hairs(
    rng: np.random.Generator, side: int, line: Floats, half: Floats, count: int
) -> Floats:
    """Roots and tips of single hairs, face coordinates [count, 2, 2]: upright near the nose."""
    t, across = rng.random(count), rng.uniform(-1, 1, count)
    knots = np.linspace(0, 1, len(line))
    root = np.stack([np.interp(t, knots, line[:, 0]), np.interp(t, knots, line[:, 1])], 1)
    root[:, 1] += across * np.interp(t, knots, half) * 0.9
    lean = np.stack([side * (0.35 + 0.75 * t), -1.0 + 1.15 * t + 0.25 * across], 1)
    return np.stack([root, root + lean * rng.uniform(3, 6, (count, 1))], 1).astype(np.float32)


def draw_nose(scene: Scene) -> None:
    """Nostrils and the wings' creases; the rest is the surface's own light and shadow."""
    canvas, head, rng, shape = scene.canvas, scene.head, scene.rng, scene.head.shape
    wing, end = shape.nose_width, shape.nose_length
    canvas.mark(canvas.patch(head.lift(_nose_outline(rng, wing, end))), "nose")
    lower = canvas.patch(
        head.lift(smooth([(-wing, end - 8), (0, end - 1), (wing, end - 8), (0, end + 5)], 6)),
        soft=3,
    )
    canvas.shade(lower, rng.uniform(0.15, 0.4))
    hole = rng.uniform(0.35, 0.95)
    size = rng.normal(1, 0.15)
    for side in (-1, 1):
        centre = (side * wing * 0.40, end - 5.5)
        nostril = ellipse(*centre, wing * 0.20 * size, 3.4 * size, side * 0.35)
        canvas.paint(canvas.patch(head.lift(nostril), soft=1.3), [0.10, 0.045, 0.04], opacity=hole)
        crease = smooth(
            [
                (side * (wing * 0.78), end - 27),
                (side * (wing + 0.5), end - 14),
                (side * wing * 0.86, end - 3),
            ],
            5,
            closed=False,
        )
        patch = canvas.patch(_ribbon(head.lift(crease), 2.0), soft=1.6)
        canvas.shade(patch, rng.uniform(0.15, 0.5))


def _ribbon(line: Floats, width: float) -> Floats:
    """A thin closed outline along an open line of pixels."""
    along = np.gradient(line, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6
    taper = np.sin(np.linspace(0.15, np.pi - 0.15, len(line)))[:, None] * width / 2
    return np.concatenate([line + normal * taper, (line - normal * taper)[::-1]]).astype(np.float32)


def _nose_outline(rng: np.random.Generator, wing: float, end: float) -> Floats:
    """What annotators outline: from a level edge between the upper lids to under the nostrils."""
    top = rng.normal(-8, 5)
    bridge = rng.normal(18.0, 2)
    side = [
        (bridge, top),
        (bridge * 0.99, top + 0.25 * (end - top)),
        (bridge * 1.15, top + 0.42 * (end - top)),
        (wing * 0.78, end - 32),
        (wing * 0.98, end - 20),
        (wing * 0.99, end - 9),
        (wing * 0.72, end - 0.5),
    ]
    right = smooth(side, 5, closed=False)
    bottom = smooth(
        [
            side[-1],
            (wing * 0.3, end + 1),
            (0, end + 4),
            (-wing * 0.3, end + 1),
            (-side[-1][0], side[-1][1]),
        ],
        4,
        closed=False,
    )
    left = right[::-1] * np.array([-1, 1], dtype=np.float32)
    return np.concatenate([right, bottom[1:-1], left])


@dataclass(frozen=True)
class Mouth:
    """Four curves from the right (picture's left) to the left corner, face coordinates [N, 2]."""

    upper_edge: Floats
    inner_top: Floats
    inner_bottom: Floats
    lower_edge: Floats

    @staticmethod
    def ring(above: Floats, below: Floats) -> Floats:
        """The closed outline between two of the curves."""
        return np.concatenate([above, below[::-1]])


def choose_mouth(rng: np.random.Generator, person: Person) -> Mouth:
    """Lips' shape from the person's smile and opening."""
    smile, gap = person.smile, person.gap
    half = float(np.clip(rng.normal(49.5, 4) + 11 * smile - 0.25 * gap * (gap > 25), 35, 74))
    upper = float(np.clip(rng.normal(15.2, 3.8) - 2.4 * smile, 5, 25))
    lower = float(np.clip(rng.normal(22, 4.3) - 1.5 * smile, 10, 35))
    x = np.linspace(-1, 1, 33)
    flat = np.abs(x)
    line = MOUTH_V + rng.normal(-4, 3)
    corner = line + 1.5 - 9 * smile + rng.normal(0, 1.5)
    skew = rng.normal(0, 1.2) * x
    bow = 1.6 * np.exp(-((x / 0.22) ** 2)) * rng.uniform(0, 1.5) - 1.2 * np.exp(
        -(((flat - 0.4) / 0.25) ** 2)
    )
    top_y = line - gap * 0.25
    inner_top = top_y + (corner - top_y) * flat**1.9 + skew + (bow if gap == 0 else 0.4 * bow)
    bottom_y = line + gap * 0.75
    inner_bottom = bottom_y + (corner - bottom_y) * flat**2.3 + skew
    if gap == 0:
        inner_bottom = inner_top
    cupid = 1 - rng.uniform(0.08, 0.28) * np.exp(-((x / 0.16) ** 2))
    profile = np.clip(1 - flat**1.7, 0, 1) ** 0.75 * cupid
    edge = inner_top - upper * profile
    below = inner_bottom + lower * np.clip(1 - flat**2.4, 0, 1) ** 0.85
    u = half * x
    curves = (
        np.stack([u, y], 1).astype(np.float32) for y in (edge, inner_top, inner_bottom, below)
    )
    return Mouth(*curves)


def draw_mouth(scene: Scene) -> None:
    """Lips with their shading and texture, the line between them or what shows inside."""
    canvas, head, rng, person = scene.canvas, scene.head, scene.rng, scene.person
    mouth = choose_mouth(rng, person)
    colour = _lip_colour(rng, person)
    below = mouth.lower_edge + (0, 5)
    canvas.shade(canvas.patch(head.lift(Mouth.ring(mouth.lower_edge, below)), soft=3.5), 0.22)
    upper = head.lift(Mouth.ring(mouth.upper_edge, mouth.inner_top))
    lower = head.lift(Mouth.ring(mouth.inner_bottom, mouth.lower_edge))
    edge = rng.uniform(0, 1.6) * (1 - 0.6 * person.make_up)
    opacity = rng.uniform(0.55, 1.0)
    if person.gap > 0:
        _inside_mouth(scene, mouth)
    _lip(scene, upper, colour * 0.86, edge, opacity)
    _lip(scene, lower, colour, edge, opacity)
    _lip_shine(scene, mouth)
    if person.gap > 0:
        inner = canvas.patch(head.lift(Mouth.ring(mouth.inner_top, mouth.inner_bottom)))
        canvas.mark(inner, "mouth")
        if edge > 0:  # soft lips have run over the inside: bring it back
            _inside_mouth(scene, mouth)
    line = canvas.patch(
        _ribbon(head.lift(mouth.inner_top), 3.0 if person.gap == 0 else 2.0), soft=0.8
    )
    canvas.shade(line, rng.uniform(0.45, 0.85))
    canvas.mark(canvas.patch(upper), "u_lip")
    canvas.mark(canvas.patch(lower), "l_lip")
    if person.gap > 0:
        canvas.mark(inner, "mouth")
    for end in (mouth.inner_top[0], mouth.inner_top[-1]):
        corner = canvas.patch(head.lift(ellipse(end[0], end[1], 4, 3)), soft=2)
        canvas.shade(corner, rng.uniform(0.2, 0.6))


def _lip_colour(rng: np.random.Generator, person: Person) -> Floats:
    natural = person.skin * np.array([0.98, 0.75, 0.82]) * rng.normal(1, 0.06, 3)
    natural = natural * (1 - 0.25 * person.darkness * rng.random())
    if person.make_up > 0.3 and rng.random() < 0.75:
        paint = np.array([rng.uniform(0.35, 0.9), rng.uniform(0.05, 0.4), rng.uniform(0.1, 0.45)])
        strength = rng.uniform(0.2, 0.95)
        natural = natural * (1 - strength) + paint * strength
    return np.clip(natural, 0.02, 1).astype(np.float32)


def _lip(scene: Scene, outline: Floats, colour: Floats, edge: float, opacity: float) -> None:
    """One lip: its colour in the light, with upright creases."""
    canvas, rng = scene.canvas, scene.rng
    patch = canvas.patch(outline, soft=edge)
    if patch is None:
        return
    height, width = patch.alpha.shape
    creases = noise(rng, (height, width), (max(2, height // 14), max(4, width // 3)))
    lit = scene.lit(patch, colour) * (1 + 0.05 * creases[..., None])
    canvas.paint(patch, np.clip(lit, 0, 1), opacity=opacity)


def _lip_shine(scene: Scene, mouth: Mouth) -> None:
    """Darker towards the opening, brighter along the lower lip's middle."""
    canvas, head, rng, person = scene.canvas, scene.head, scene.rng, scene.person
    middle = (mouth.inner_bottom * 0.55 + mouth.lower_edge * 0.45)[9:-9]
    shine = canvas.patch(_ribbon(head.lift(middle), 7), soft=2.2)
    if shine is not None:
        strength = rng.uniform(0.03, 0.25) * (1 + person.make_up)
        canvas.paint(shine, scene.lit(shine, [1, 0.93, 0.92]), opacity=strength)
    under = Mouth.ring(mouth.upper_edge * 0.3 + mouth.inner_top * 0.7, mouth.inner_top)
    canvas.shade(canvas.patch(head.lift(under), soft=2.0), rng.uniform(0.1, 0.4))


def _inside_mouth(scene: Scene, mouth: Mouth) -> None:
    """Darkness, upper teeth, now and then lower teeth and a tongue."""
    canvas, head, person = scene.canvas, scene.head, scene.person
    rng = np.random.default_rng(int(person.gap * 1e6))  # called twice, drawn the same
    outline = head.lift(Mouth.ring(mouth.inner_top, mouth.inner_bottom))
    opening = canvas.patch(outline)
    if opening is None:
        return
    canvas.paint(opening, np.array([0.16, 0.06, 0.06]) * rng.uniform(0.3, 1.6))
    gap = person.gap
    if gap > 12 and rng.random() < 0.7:
        low = mouth.inner_bottom[16]
        tongue = canvas.patch(head.lift(ellipse(low[0], low[1], 26, gap * 0.42)), soft=2)
        _inside(canvas, opening, tongue, [0.62, 0.30, 0.30], 0.85)
    if rng.random() < 0.9 - 0.35 * (person.smile < 0.1):
        _teeth(scene, opening, mouth, rng)
    shade = Mouth.ring(mouth.inner_top - (0, 3), mouth.inner_top + (0, 2.5))
    _inside(canvas, opening, canvas.patch(head.lift(shade), soft=1.5), [0.1, 0.04, 0.04], 0.5)


def _teeth(scene: Scene, opening: Patch, mouth: Mouth, rng: np.random.Generator) -> None:
    canvas, head, gap = scene.canvas, scene.head, scene.person.gap
    white = np.array([0.93, 0.89, 0.82]) * rng.uniform(0.8, 1.1)
    length = min(gap * rng.uniform(0.6, 1.1), rng.uniform(12, 19))
    edge = mouth.inner_top.copy()
    x = edge[:, 0] / (abs(edge[0, 0]) + 1e-6)
    edge[:, 1] += length * np.sqrt(np.clip(1 - (x / 1.02) ** 2, 0, 1))
    row = canvas.patch(head.lift(Mouth.ring(mouth.inner_top - (0, 3), edge)), soft=0.6)
    if row is None:
        return
    light = row.of(scene.light)[..., None]
    _inside(canvas, opening, row, np.clip(white * (0.25 + 0.75 * light), 0, 1), 1)
    half = abs(float(edge[0, 0]))
    for side in (-1, 1):  # the back teeth lie in shadow
        corner = canvas.patch(
            head.lift(ellipse(side * half, edge[16, 1] - length / 2, half * 0.42, 22)), soft=6
        )
        _inside(canvas, opening, corner, [0.12, 0.06, 0.05], 0.45)
    gaps = []
    at, width = 0.0, rng.uniform(8.5, 10)
    while at < half * 0.85:
        for side in (-1, 1):
            k = np.array([(side * at, np.interp(side * at, edge[:, 0], mouth.inner_top[:, 1]) - 1),
                          (side * at, np.interp(side * at, edge[:, 0], edge[:, 1]))])  # fmt: skip
            gaps.append(k)
        at += width
        width *= 0.9
    strokes = canvas.strokes(list(head.lift(np.concatenate(gaps)).reshape(-1, 2, 2)), 0.8)
    _inside(canvas, opening, strokes, [0.45, 0.36, 0.32], rng.uniform(0.15, 0.55))
    if gap > 14 and rng.random() < 0.35:
        low = mouth.inner_bottom
        lower = canvas.patch(head.lift(Mouth.ring(low - (0, gap * 0.18), low)), soft=0.8)
        _inside(canvas, opening, lower, white * 0.8, 0.9)


def draw_beard(scene: Scene) -> None:
    """Stubble, moustache, beard or a clean chin; lips are drawn over it."""
    rng, person = scene.rng, scene.person
    if person.feminine or person.age < 0.15 or rng.random() < 0.42:
        return
    kind = rng.choice(["stubble", "moustache", "goatee", "full"], p=[0.45, 0.13, 0.17, 0.25])
    density = rng.uniform(0.12, 0.4) if kind == "stubble" else rng.uniform(0.45, 0.95)
    colour = person.hair if kind != "stubble" else person.hair * 0.5 + person.skin * 0.15
    for outline in _beard_outlines(scene, str(kind)):
        _hairy(scene, outline, colour.astype(np.float32), float(density), str(kind) == "stubble")


def _beard_outlines(scene: Scene, kind: str) -> list[Floats]:
    chin, end = scene.head.shape.chin, scene.head.shape.nose_length
    moustache = smooth(
        [(0, end + 10), (30, end + 12), (56, 130), (60, 150), (48, 138), (22, 124), (0, 125),
         (-22, 124), (-48, 138), (-60, 150), (-56, 130), (-30, end + 12)], 5
    )  # fmt: skip
    goatee = smooth([(0, 162), (28, 164), (48, 150), (46, chin - 18), (22, chin - 2), (0, chin - 1),
                     (-22, chin - 2), (-46, chin - 18), (-48, 150), (-28, 164)], 5)  # fmt: skip
    full = smooth(
        [
            (0, 120),
            (45, 118),
            (80, 96),
            (118, 60),
            (132, 10),
            (140, 30),
            (125, 120),
            (90, chin - 25),
            (40, chin),
            (0, chin + 4),
            (-40, chin),
            (-90, chin - 25),
            (-125, 120),
            (-140, 30),
            (-132, 10),
            (-118, 60),
            (-80, 96),
            (-45, 118),
        ],
        5,
    )
    if kind == "moustache":
        return [moustache]
    return [moustache, goatee] if kind == "goatee" else [full, moustache]


def _hairy(scene: Scene, outline: Floats, colour: Floats, density: float, short: bool) -> None:
    """Beard hair in an outline: a soft mottled ground, and strokes if it is long enough."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    patch = canvas.within(canvas.patch(head.lift(outline), soft=7), "skin", "nose")
    if patch is None:
        return
    height, width = patch.alpha.shape
    grain = 1 + 0.35 * noise(rng, (height, width), (height // 2 + 1, width // 2 + 1))
    grain += 0.25 * noise(rng, (height, width), (height // 10 + 1, width // 10 + 1))
    canvas.paint(patch.times(np.clip(grain, 0, 1.4) * density), scene.lit(patch, colour))
    if short:
        return
    low, high = outline.min(0), outline.max(0)
    roots = rng.uniform(low, high, (int(1400 * density), 2)).astype(np.float32)
    lean = np.stack([roots[:, 0] * 0.004, np.full(len(roots), 1.0)], 1)
    lean += rng.normal(0, 0.35, lean.shape)
    ends = roots + lean * rng.uniform(4, 11, (len(roots), 1))
    lines = head.lift(np.stack([roots, ends], 1).reshape(-1, 2)).reshape(-1, 2, 2)
    for tone, some in ((0.65, lines[::2]), (1.35, lines[1::2])):
        strokes = canvas.strokes(list(some), 0.8)
        if strokes is None:
            continue
        y0, x0 = strokes.rows.start, strokes.cols.start
        inside = np.zeros_like(strokes.alpha)
        full = np.zeros(canvas.labels.shape, dtype=np.float32)
        full[patch.rows, patch.cols] = patch.alpha
        inside = full[y0 : strokes.rows.stop, x0 : strokes.cols.stop]
        lit = scene.lit(strokes, np.clip(colour * tone, 0, 1))
        canvas.paint(strokes.times(inside), lit, opacity=0.6 * density)
