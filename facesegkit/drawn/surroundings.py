"""Everything around the face: background, neck, clothes, ears, jewellery, glasses, hats, hands."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from facesegkit.drawn.canvas import SIDE
from facesegkit.drawn.curves import Floats, ellipse, noise, smooth, wobble
from facesegkit.drawn.features import Scene
from facesegkit.drawn.head import EYE_U, MOUTH_V

BACKGROUND_SIDE = 128  # backgrounds are out of focus; this is plenty


def background(rng: np.random.Generator) -> Floats:
    """A gradient with shapes or lights, sharp or far out of focus, float32 [512, 512, 3]."""
    side = BACKGROUND_SIDE
    first, second = rng.uniform(0.02, 1, 3), rng.uniform(0.02, 1, 3)
    if rng.random() < 0.8:  # most places are dull
        first, second = (0.75 * c.mean() + 0.25 * c for c in (first, second))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    ramp = np.clip(0.5 + np.cos(angle) * x + np.sin(angle) * y, 0, 1)[..., None]
    values = first * (1 - ramp) + second * ramp * rng.random()
    values = values + 0.06 * rng.random() * noise(rng, (side, side), (12, 12))[..., None]
    picture = Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.7:
        _scatter(rng, ImageDraw.Draw(picture), side)
    picture = picture.filter(ImageFilter.GaussianBlur(float(rng.choice([0.8, 2.0, 4.5]))))
    picture = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(picture, dtype=np.float32) / 255


def _scatter(rng: np.random.Generator, pencil: ImageDraw.ImageDraw, side: int) -> None:
    """Posts, panels, lights, letters' strokes: anything that is not a face."""
    kind = rng.choice(["boxes", "lights", "strokes", "mixed"])
    palette = rng.integers(0, 256, (rng.integers(1, 6), 3))
    if rng.random() < 0.7:
        palette = (palette * 0.3 + 0.7 * palette.mean(1, keepdims=True)).astype(int)
    for _ in range(rng.integers(3, 40)):
        colour = tuple(int(c) for c in palette[rng.integers(len(palette))])
        x, y = rng.uniform(-0.1, 1.1, 2) * side
        w, h = rng.gamma(1.5, 7, 2)
        if kind == "boxes" or (kind == "mixed" and rng.random() < 0.4):
            pencil.rectangle((x, y, x + 2 * w, y + 3 * h), fill=colour)
        elif kind == "strokes" or (kind == "mixed" and rng.random() < 0.5):
            end = (x + rng.normal(0, 40), y + rng.normal(0, 40))
            pencil.line((x, y, *end), fill=colour, width=int(rng.integers(1, 9)))
        else:
            pencil.ellipse((x - w / 2, y - w / 2, x + w / 2, y + w / 2), fill=colour)


def draw_neck(scene: Scene) -> None:
    """A column of skin below the head, in the chin's shadow."""
    canvas, head, rng, person = scene.canvas, scene.head, scene.rng, scene.person
    half = rng.normal(88 if person.feminine else 104, 9)
    turned = 25 * np.sin(head.pose.turn)
    sides = [(-half - turned * 0, 60, -40), (-half, 200, -35), (-half * 1.05, 265, -35),
             (-half * 1.7, 320, -30), (-half * 3, 420, -30)]  # fmt: skip
    outline = head.project(np.array([*sides, *[(-x, y, z) for x, y, z in sides[::-1]]]))
    patch = canvas.patch(smooth(outline, 5))
    if patch is None:
        return
    middle = head.project(np.array([(0, 200, -35.0)]))[0]
    x = (np.arange(patch.cols.start, patch.cols.stop) - middle[0]) / (half * head.scale)
    lamp = np.clip(scene_lean(scene), -0.6, 0.6)
    across = np.clip(1 - 0.35 * x**2 - lamp * x, 0.35, 1.25)[None, :, None]
    chin = head.lift(np.array([(0, head.shape.chin - 2)]))[0][1]
    y = np.arange(patch.rows.start, patch.rows.stop)[:, None, None]
    below = np.clip((y - chin) / (70 * head.scale), 0, 1)
    shade = rng.uniform(0.45, 0.8)
    lit = person.skin * _level(scene) * across * (shade + (1 - shade) * below)
    canvas.paint(patch, np.clip(lit, 0, 1), part="neck")


def scene_lean(scene: Scene) -> float:
    """How much brighter the left of the face is than the right."""
    face = scene.light[180:360]
    return float(face[:, 150:256].mean() - face[:, 256:362].mean())


def _level(scene: Scene) -> float:
    return float(np.clip(scene.light[200:400, 170:340].mean(), 0.3, 1.2))


def draw_cloth(scene: Scene) -> None:
    """Shoulders with some kind of neckline, plain, striped or dotted."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    if rng.random() < 0.15:
        return
    low, wide = rng.normal(258, 26), rng.uniform(60, 130)
    dip = rng.uniform(-25, 60)
    points = [
        (-400, 520),
        (-300, low + rng.uniform(0, 60)),
        (-wide - 40, low - 22),
        (-wide, low - 16),
        (0, low + dip),
        (wide, low - 16),
        (wide + 40, low - 22),
        (300, low + rng.uniform(0, 60)),
        (400, 520),
    ]
    outline = head.project(np.array([(x, y, -20.0) for x, y in points]))
    patch = canvas.patch(
        np.concatenate([smooth(outline, 5, closed=False), [(900, 700), (-300, 700)]])
    )
    if patch is None:
        return
    colour = rng.uniform(0.02, 0.95, 3)
    if rng.random() < 0.55:
        colour = np.full(3, rng.choice([0.05, 0.12, 0.3, 0.85])) * rng.uniform(0.7, 1.15, 3)
    shape = patch.alpha.shape
    folds = 1 + 0.16 * noise(rng, shape, (5, 9)) + 0.05 * noise(rng, shape, shape)
    picture = np.clip(colour * folds[..., None], 0, 1) * _level(scene)
    if rng.random() < 0.3:
        y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
        pattern = np.sin((x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)) * rng.uniform(0.1, 0.7))
        picture = np.where((pattern > 0.2)[..., None], picture, rng.uniform(0, 1, 3) * 0.8)
    canvas.shade(canvas.patch(_shifted(outline, 0, -4), soft=5), 0.35)
    canvas.paint(patch, picture, part="cloth")


def _shifted(points: Floats, x: float, y: float) -> Floats:
    return (points + np.array([x, y], dtype=np.float32)).astype(np.float32)


def draw_ears(scene: Scene) -> None:
    """Both ears, as far as the head leaves them in view, and earrings."""
    canvas, head, rng, person = scene.canvas, scene.head, scene.rng, scene.person
    stick = rng.uniform(16, 42)
    length, place = rng.normal(54, 5), rng.normal(40, 8)
    ringed = rng.random() < (0.45 if person.feminine else 0.04)
    colour = np.clip(person.skin * [1.03, 0.9, 0.88], 0, 1)
    for side in (-1, 1):
        base = side * float(np.interp(place, head.v, head.half_width)) * 0.97
        shape = smooth(
            [(0, -0.85), (0.75, -1.0), (1.15, -0.5), (0.85, 0.25), (0.45, 0.9), (-0.1, 0.8)], 6
        )
        points = np.stack(
            [base + side * shape[:, 0] * stick, place + shape[:, 1] * length,
             -12 - 16 * shape[:, 0]], 1)  # fmt: skip
        patch = canvas.patch(head.project(points))
        if patch is not None:
            tone = colour * _level(scene) * (1 - side * scene_lean(scene) * 0.9)
            canvas.paint(patch, np.clip(tone, 0, 1), part="l_ear" if side > 0 else "r_ear")
            inner = points * 1.0
            inner[:, :2] = (points[:, :2] - (base, place)) * 0.55 + (base + side * 5, place - 4)
            canvas.shade(canvas.patch(head.project(inner), soft=2.5), rng.uniform(0.25, 0.6))
        if ringed:
            _earring(scene, np.array([base + side * stick * 0.4, place + length * 0.95, -16.0]))


def _earring(scene: Scene, lobe: Floats) -> None:
    """A stud, a ring or a pendant."""
    canvas, head = scene.canvas, scene.head
    rng = np.random.default_rng(int(abs(lobe[1]) * 1e6))  # a pair matches
    metal = np.array([[0.85, 0.7, 0.35], [0.8, 0.8, 0.82], [0.1, 0.1, 0.12]])[rng.integers(3)]
    x, y = head.project(lobe[None])[0]
    size = rng.gamma(2.5, 5.5) + 4
    kind = rng.choice(["stud", "ring", "pendant"])
    if kind == "ring":
        ring = ellipse(x, y + size, size * 0.6, size)
        canvas.paint(canvas.strokes([np.concatenate([ring, ring[:1]])], 2.2), metal, part="ear_r")
        return
    shape = ellipse(x, y, size * 0.5, size * 0.5)
    if kind == "pendant":
        shape = ellipse(x, y + size * 1.5, size * rng.uniform(0.3, 0.7), size * 1.6)
    canvas.paint(canvas.patch(shape), np.clip(metal * rng.uniform(0.6, 1.1), 0, 1), part="ear_r")
    canvas.paint(canvas.patch(ellipse(x - 1, y + size * 0.6, 1.6, 1.6)), [1, 1, 0.95])


def draw_necklace(scene: Scene) -> None:
    """A chain or beads around the neck, now and then."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    if rng.random() > 0.08:
        return
    low, wide = rng.uniform(265, 310), rng.uniform(70, 95)
    t = np.linspace(-1, 1, 40)
    line = np.stack([wide * t, low - 55 * t**2, np.full(40, -10.0)], 1)
    metal = rng.uniform(0.3, 0.95) * np.array([1, 0.92, 0.75])
    if rng.random() < 0.5:
        beads = [ellipse(x, y, 4, 4, count=10) for x, y in head.project(line)]
        patch = canvas.patch(*beads)
    else:
        patch = canvas.strokes([head.project(line)], rng.uniform(1.5, 4))
    canvas.paint(patch, metal, part="neck_l")


def draw_glasses(scene: Scene) -> None:
    """Frame, lenses and temples. Eyes stay eyes behind clear glass."""
    canvas, head, rng, kind = scene.canvas, scene.head, scene.rng, scene.person.glasses
    if kind == "none":
        return
    dark = kind == "dark"
    width, height = rng.uniform(44, 60) / 1.0, rng.uniform(26, 42) + 6 * dark
    square, droop = rng.uniform(2, 5), rng.uniform(0, 8)
    frame = rng.uniform(0, 0.9, 3) if rng.random() < 0.3 else np.full(3, rng.uniform(0.02, 0.3))
    rim = rng.uniform(1.2, 6.5)
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    curve = (
        np.sign(np.cos(t)) * np.abs(np.cos(t)) ** (2 / square),
        (np.sign(np.sin(t)) * np.abs(np.sin(t)) ** (2 / square)),
    )
    outlines, holes = [], []
    place = rng.normal(6, 3)
    for side in (-1, 1):
        x, y = side * (EYE_U + 3) + side * curve[0] * width, place + curve[1] * height
        y = y + droop * (curve[1] > 0) * curve[0] * curve[1]
        depth = 130 - 0.0022 * x**2
        lens = head.project(np.stack([x, y, depth], 1))
        outlines.append(lens)
        centre = lens.mean(0)
        holes.append(centre + (lens - centre) * (1 - rim / width))
    bridge = head.project(
        np.array([(-14, place - 6, 132.0), (0, place - 10, 135), (14, place - 6, 132)])
    )
    arms = [
        head.project(np.array([(s * (EYE_U + width), place - 8, 108.0), (s * 140, place - 4, 0.0)]))
        for s in (-1, 1)
    ]
    _lenses(scene, outlines, holes, frame, dark)
    sticks = canvas.strokes([bridge, *_outer_arms(head, arms)], max(1.5, rim * 0.9))
    canvas.paint(sticks, frame, part="eye_g" if dark or rim > 3 else None)


def _outer_arms(head: object, arms: list[Floats]) -> list[Floats]:
    """Temples that run outwards on the canvas; the far one of a turned head is hidden."""
    seen = []
    for arm, side in zip(arms, (-1, 1), strict=True):
        if (arm[1, 0] - arm[0, 0]) * side > 4:
            seen.append(arm)
    return seen


def _lenses(
    scene: Scene, outlines: list[Floats], holes: list[Floats], frame: Floats, dark: bool
) -> None:
    canvas, rng = scene.canvas, scene.rng
    rims, glass = canvas.patch(*outlines), canvas.patch(*holes)
    if rims is None or glass is None:
        return
    canvas.shade(canvas.patch(*[_shifted(o, 0, 6) for o in outlines], soft=4), 0.12)
    tint = rng.uniform(0.0, 0.35, 3) if dark else np.full(3, 0.9)
    see_through = rng.uniform(0.8, 1.0) if dark else rng.uniform(0.0, 0.25)
    before = glass.of(canvas.rgb).copy()
    eyes = canvas.labels.copy()
    canvas.paint(rims, frame, part="eye_g")
    below = glass.of(canvas.rgb)
    inside = before * (1 - see_through) + tint * see_through
    below += glass.alpha[..., None] * (inside.astype(np.float32) - below)
    if not dark:  # annotators outline the eyes and brows that they see through the glass
        seen = np.isin(eyes, (4, 5, 6, 7))
        inner = np.zeros_like(seen)
        inner[glass.rows, glass.cols] = glass.alpha > 0.5
        keep = seen & (inner | (canvas.labels != 3))
        canvas.labels[keep] = eyes[keep]
    if rng.random() < 0.6:
        _reflection(scene, holes, dark)


def _reflection(scene: Scene, holes: list[Floats], dark: bool) -> None:
    canvas, rng = scene.canvas, scene.rng
    slope, strength = rng.normal(0, 14), rng.uniform(0.05, 0.3 if not dark else 0.4)
    for hole in holes:
        centre, size = hole.mean(0), np.ptp(hole, axis=0)
        low = rng.uniform(-0.4, 0.3) * size[1]
        stripe = centre + np.array(
            [
                (-size[0] * 0.3, low),
                (size[0] * 0.35, low + slope),
                (size[0] * 0.3, low + slope - size[1] * 0.3),
                (-size[0] * 0.35, low - size[1] * 0.3),
            ]
        )
        patch = canvas.patch(stripe.astype(np.float32), soft=2)
        canvas.paint(canvas.within(patch, "eye_g", "l_eye", "r_eye"), [1, 1, 1], opacity=strength)


def draw_hat(scene: Scene) -> None:
    """A cap, a brimmed hat, a woollen one or a scarf over the hair."""
    canvas, head, rng, kind = scene.canvas, scene.head, scene.rng, scene.person.hat
    if kind == "none":
        return
    low = rng.normal(-88, 12)
    colour = rng.uniform(0.03, 0.9, 3) * (0.5 if rng.random() < 0.5 else 1)
    wide, high = 1.1 * rng.uniform(0.98, 1.12), head.shape.top - rng.uniform(8, 40)
    band = [
        (-137 * wide, low + 30, 20),
        (-115 * wide, low + 6, 80),
        (-60, low - 3, 118),
        (0, low - 6, 128),
        (60, low - 3, 118),
        (115 * wide, low + 6, 80),
        (137 * wide, low + 30, 20),
    ]
    crown = [(142 * wide, -95, -10), (125 * wide, -160, -10), (80, high, 0), (0, high - 12, 0),
             (-80, high, 0), (-125 * wide, -160, -10), (-142 * wide, -95, -10)]  # fmt: skip
    if kind == "scarf":
        crown = [(155, 20, -10), *crown, (-155, 20, -10)]
    lower = smooth(head.project(np.array(band)), 6, closed=False)
    upper = smooth(head.project(np.array(crown)), 6, closed=False)
    shapes = [np.concatenate([lower, upper])]
    if kind in ("cap", "brim"):
        reach = rng.uniform(15, 34) if kind == "cap" else rng.uniform(10, 30)
        side = 105 if kind == "cap" else rng.uniform(180, 240)
        rim = [
            (-side, low + 18, 30),
            (-side * 0.6, low + reach * 0.8, 150),
            (0, low + reach * 0.9, 185),
            (side * 0.6, low + reach * 0.8, 150),
            (side, low + 18, 30),
            (side * 0.5, low - 22, 60),
            (-side * 0.5, low - 22, 60),
        ]
        shapes.append(smooth(head.project(np.array(rim)), 6))
    canvas.shade(canvas.patch(*[_shifted(s, 0, 12) for s in shapes], soft=8), rng.uniform(0.2, 0.6))
    for k, shape in enumerate(shapes):
        patch = canvas.patch(shape)
        if patch is None:
            continue
        size = patch.alpha.shape
        x = np.linspace(-1, 1, size[1])[None]
        shade = 1.05 - 0.35 * x**2 - 0.5 * scene_lean(scene) * x - 0.15 * k
        weave = 1 + 0.06 * noise(rng, size, size) + 0.1 * noise(rng, size, (7, 9))
        if kind == "wool":
            weave = weave + 0.12 * np.sin(np.linspace(0, rng.uniform(60, 160), size[1]))[None]
        tone = colour * (shade * weave)[..., None] * _level(scene)
        canvas.paint(patch, np.clip(tone, 0, 1), part="hat")


def draw_obstacle(scene: Scene) -> None:
    """A hand, a microphone or some object in front of the face; it belongs to no part."""
    rng = scene.rng
    if rng.random() > 0.10:
        return
    {"hand": _hand, "microphone": _microphone, "thing": _thing}[
        str(rng.choice(["hand", "microphone", "thing"], p=[0.5, 0.2, 0.3]))
    ](scene)


def _hand(scene: Scene) -> None:
    """Two to five fingers lying on the cheek or chin."""
    canvas, rng, person = scene.canvas, scene.rng, scene.person
    angle = rng.uniform(-0.6, 0.6)
    up = np.array([np.sin(angle), -np.cos(angle)])
    right = np.array([-up[1], up[0]])
    root = np.array([256 + rng.choice([-1, 1]) * rng.uniform(30, 130), rng.uniform(430, 560)])
    width, length = rng.uniform(22, 30), rng.uniform(80, 170)
    for k in range(int(rng.integers(2, 6))):
        start = root + right * k * width * 0.95
        end = start + up * length * rng.uniform(0.75, 1.05) + rng.normal(0, 5, 2)
        for share, tone in ((1.0, 0.55), (0.86, 0.78), (0.6, 0.92), (0.3, 1.0)):
            patch = canvas.patch(_capsule(start, end, width / 2 * share), soft=1.5 * (share < 1))
            colour = np.clip(person.skin * tone * _level(scene), 0, 1)
            canvas.paint(patch, colour, part="background" if share == 1 else None)
        nail = canvas.patch(ellipse(end[0], end[1], width * 0.26, width * 0.36, angle), soft=0.6)
        canvas.paint(nail, np.clip(person.skin * [1.1, 0.9, 0.92], 0, 1), opacity=0.7)


def _capsule(start: Floats, end: Floats, radius: float) -> Floats:
    along = (end - start) / (np.hypot(*(end - start)) + 1e-6)
    angle = np.arctan2(along[1], along[0])
    t = np.linspace(-np.pi / 2, np.pi / 2, 12) + angle
    cap = np.stack([np.cos(t), np.sin(t)], 1) * radius
    return np.concatenate([end + cap, start - cap]).astype(np.float32)


def _microphone(scene: Scene) -> None:
    canvas, rng, head = scene.canvas, scene.rng, scene.head
    x, y = head.lift(np.array([(rng.normal(0, 35), MOUTH_V + rng.uniform(10, 60))]))[0]
    radius = rng.uniform(22, 45)
    tone = rng.uniform(0.05, 0.5)
    end = np.array([x + rng.normal(0, 120), 620.0])
    stick = canvas.patch(_capsule(np.array([x, y]), end, radius * 0.5))
    canvas.paint(stick, [tone * 0.5] * 3, part="background")
    ball = canvas.patch(ellipse(x, y, radius, radius * rng.uniform(0.9, 1.3)))
    if ball is not None:
        size = ball.alpha.shape
        grid = 1 + 0.5 * noise(rng, size, (size[0] // 3 + 1, size[1] // 3 + 1))
        slope = np.linspace(1.3, 0.6, size[0])[:, None]
        canvas.paint(ball, np.clip(tone * grid * slope, 0, 1)[..., None], part="background")


def _thing(scene: Scene) -> None:
    canvas, rng = scene.canvas, scene.rng
    side = rng.uniform(0, 2 * np.pi)
    centre = 256 + np.array([np.cos(side), np.sin(side)]) * rng.uniform(110, 230)
    radius = rng.uniform(25, 90) * (1 + wobble(rng, 12, 12, 0.25))
    t = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    outline = centre + np.stack([np.cos(t), np.sin(t)], 1) * radius[:, None]
    patch = canvas.patch(smooth(outline, 5), soft=float(rng.uniform(0, 3)))
    if patch is None:
        return
    folds = 1 + 0.2 * noise(rng, patch.alpha.shape, (4, 4))
    colour = np.clip(rng.uniform(0, 1, 3) * folds[..., None], 0, 1)
    canvas.paint(patch, colour, part="background")
