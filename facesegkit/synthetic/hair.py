"""Hair: what hangs behind the head, what grows over it, and its strands.

Hair over the head is everything between the hairdo's outer outline and an opening for the face;
the opening's upper edge is the hairline or a fringe's tips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from facesegkit.synthetic.canvas import SIDE, Canvas, Patch, soften
from facesegkit.synthetic.curves import Floats, blurred, noise, resized, ribbon, smooth, wobble
from facesegkit.synthetic.head import Head
from facesegkit.synthetic.scene import Scene

# How often each style is drawn, for women and men.
STYLES = ("long", "bob", "curly", "up", "short", "stubbly")
WEIGHTS = {True: (0.58, 0.13, 0.11, 0.12, 0.05, 0.01), False: (0.1, 0.07, 0.1, 0.08, 0.53, 0.12)}


@dataclass(frozen=True)
class Hairdo:
    """Measures in face units unless said otherwise."""

    style: str
    thickness: float  # above the head
    resize_schedule: float  # beside the head
    length: float  # v at which it ends
    hairline: float  # v of the forehead's upper edge
    cover: float  # share of the half face that stays free at the cheeks
    fringe: float | None  # v of the fringe's tips; None without one
    sweep: float  # slope of the fringe
    ragged: float  # how uneven the edges are
    flow: str  # "parted" and hanging, "down" over the forehead, or "out" from the face

    @property
    def hangs(self) -> bool:
        """Whether it falls past the ears."""
        return self.length > 60


def choose_hairdo(rng: np.random.Generator, feminine: bool, age: float) -> Hairdo:
    """A style and its measures."""
    style = str(rng.choice(STYLES, p=WEIGHTS[feminine]))
    hangs = style in ("long", "bob") or (style == "curly" and rng.random() < 0.6)
    thickness, sides = {
        "long": (30, 55), "bob": (34, 55), "curly": (54, 72), "up": (26, 6),
        "short": (34, 14), "stubbly": (9, 5),
    }[style]  # fmt: skip
    length = rng.uniform(300, 480) if style == "long" else rng.uniform(150, 300)
    fringe = None
    if style != "stubbly" and rng.random() < (0.34 if style != "up" else 0.12):
        fringe = float(np.clip(rng.normal(-44, 22), -90, -8))
    return Hairdo(
        style=style,
        thickness=float(thickness * rng.uniform(0.6, 1.4)),
        resize_schedule=float(sides * rng.uniform(0.4, 1.7)),
        length=float(length if hangs else rng.uniform(-10, 40)),
        hairline=float(rng.normal(-133, 12) - (0 if feminine else 14 * age)),
        cover=1.12 if rng.random() < 0.2 else float(np.clip(rng.normal(0.92, 0.06), 0.68, 0.97)),
        fringe=fringe,
        sweep=float(rng.normal(0, 0.35)),
        ragged=float(rng.gamma(2, 1.2) + (3 if style == "curly" else 0)),
        flow="out"
        if style in ("short", "stubbly", "up") and fringe is None
        else ("down" if fringe is not None else "parted"),
    )


def draw_back_hair(scene: Scene, hairdo: Hairdo, colour: Floats) -> None:
    """The mass that hangs behind neck and shoulders."""
    if not hairdo.hangs:
        return
    patch = scene.canvas.patch(_outer(scene, hairdo))
    if patch is None:
        return
    # The head hides the rest of it, and is drawn with hair of its own.
    low = max(min(SIDE // 3, patch.rows.stop) - patch.rows.start, 0)
    patch = Patch(slice(patch.rows.start + low, patch.rows.stop), patch.cols, patch.alpha[low:])
    depth = np.float32(scene.rng.uniform(0.25, 0.8))
    scene.canvas.paint(patch, patch.of(colour) * depth, part="hair")


def draw_hair(scene: Scene, hairdo: Hairdo, colour: Floats) -> None:
    """Everything that grows over head, ears and brows, with its shadow on the skin."""
    canvas, rng = scene.canvas, scene.rng
    alpha = np.zeros((SIDE, SIDE), dtype=np.float32)
    outer, opening = canvas.patch(_outer(scene, hairdo)), canvas.patch(_opening(scene, hairdo))
    if outer is None:
        return
    outer.of(alpha)[...] = outer.alpha
    if opening is not None:
        opening.of(alpha)[...] *= 1 - opening.alpha
    _shadow(canvas, alpha, rng)
    alpha = _ruffled(rng, alpha, colour, hairdo)
    hair = Patch(outer.rows, outer.cols, outer.of(alpha))
    canvas.paint(hair, hair.of(colour), part="hair")
    _loose_strands(scene, alpha)
    _wisps(scene, hairdo, colour)
    _locks_over_face(scene, hairdo, colour)


def _ruffled(rng: np.random.Generator, alpha: Floats, colour: Floats, hairdo: Hairdo) -> Floats:
    """Coverage whose edge follows the strands: their tones decide where it is thin."""
    small = alpha[::2, ::2]
    radius = rng.uniform(0.8, 2.0) if hairdo.style != "stubbly" else rng.uniform(1.5, 3)
    tones = colour[::2, ::2, 1]
    tones = tones - blurred(tones, 16)
    rough = np.float32(0.16 / (tones[::4, ::4].std() + 1e-4)) * tones
    near = soften(small, 2 * radius)
    edge = np.clip((near + rough - 0.5) * np.float32(rng.uniform(1.6, 4)) + 0.5, 0, 1)
    # Far inside and far outside nothing changes.
    edge = np.where(near > 0.985, 1, edge * (near > 0.02))
    return resized(edge.astype(np.float32), (SIDE, SIDE))


def _shadow(canvas: Canvas, alpha: Floats, rng: np.random.Generator) -> None:
    """Hair darkens the skin beside it, mostly below."""
    small = alpha[2::4, 2::4]
    near = resized(soften(small, rng.uniform(1, 2.2)), (SIDE, SIDE))
    down, strength = int(rng.integers(0, 9)), rng.uniform(0.2, 0.6)
    face = slice(64, 448)  # what hair could shade lies in the middle
    shifted = near[64 - down : 448 - down, face]
    canvas.shade(Patch(face, face, shifted), strength)


def _outer(scene: Scene, hairdo: Hairdo) -> Floats:
    """The hairdo's outer outline on the canvas."""
    head, rng = scene.head, np.random.default_rng(int(abs(hairdo.ragged) * 1e6))
    scale = head.scale
    outline = head.silhouette
    middle = head.project(np.array([(0.0, -60.0, 0.0)]))[0]
    turned = outline - middle
    angle = np.arctan2(turned[:, 0], -turned[:, 1])  # 0 at the top, growing to the right
    order = np.argsort(angle)
    reach = 2.05 if hairdo.hangs else 1.75 + 0.25 * (hairdo.length / 40)
    at = np.linspace(-reach, reach, 90)
    radius = np.interp(at, angle[order], np.hypot(*turned[order].T))
    share = np.clip(np.abs(at) / 1.6, 0, 1) ** 1.5
    extra = hairdo.thickness * (1 - share) + hairdo.resize_schedule * share
    extra = extra + wobble(rng, 90, 9, 4) + wobble(rng, 90, 45, 0.7 * hairdo.ragged)
    radius = radius + np.maximum(extra, 2) * scale
    top = middle + np.stack([np.sin(at), -np.cos(at)], 1) * radius[:, None]
    if not hairdo.hangs:
        inner = middle + (top[[-1, 0]] - middle) * 0.7
        return np.concatenate([top, inner]).astype(np.float32)
    return np.concatenate([top, _hanging(head, hairdo, top, rng)]).astype(np.float32)


def _hanging(head: Head, hairdo: Hairdo, top: Floats, rng: np.random.Generator) -> Floats:
    """From the right ear down, across below, and up to the left ear, [N, 2]."""
    bottom = head.project(np.array([(0.0, hairdo.length, 0.0)]))[0]
    count = 30
    t = np.linspace(0, 1, count)[:, None]
    sides = []
    for start, sign in ((top[-1], 1), (top[0], -1)):
        spread = rng.uniform(-20, 45) * head.scale
        end = np.array([start[0] + sign * spread, bottom[1] + rng.normal(0, 8)])
        line = start * (1 - t) + end * t
        line[:, 0] += sign * np.sin(t[:, 0] * np.pi) * rng.uniform(-5, 28) * head.scale
        line[:, 0] += wobble(rng, count, 10, 1.2 * hairdo.ragged)
        line[:, 0] += np.sin(t[:, 0] * rng.uniform(8, 26)) * rng.uniform(0, 5)
        sides.append(line)
    return np.concatenate([sides[0], sides[1][::-1]])


def _opening(scene: Scene, hairdo: Hairdo) -> Floats:
    """The outline of what stays free: forehead's edge, temples, and down or out from there."""
    head, rng = scene.head, scene.rng
    line = hairdo.hairline
    edge = [
        (-1.0, 12),
        (-1.01, -25),
        (-0.96, -62),
        (-0.78, line + 18),
        (-0.35, line - 3),
        (0, line),
    ]
    edge = edge + [(-x, v) for x, v in edge[-2::-1]]
    curve = smooth(np.array(edge) * (131, 1), 9, closed=False)
    if hairdo.fringe is not None:
        tips = hairdo.fringe + hairdo.sweep * curve[:, 0] + _jags(rng, len(curve), hairdo)
        curve[:, 1] = np.maximum(curve[:, 1], np.minimum(tips, 20))
    curve[:, 1] += wobble(rng, len(curve), 40, 0.9 * hairdo.ragged)
    upper = head.lift(curve)
    right_side = _beside(head, hairdo, 1, upper[-1], rng)
    left_side = _beside(head, hairdo, -1, upper[0], rng)
    return np.concatenate([upper, right_side, left_side[::-1]]).astype(np.float32)


def _jags(rng: np.random.Generator, count: int, hairdo: Hairdo) -> Floats:
    """Tips of locks: saw teeth of uneven size."""
    teeth = rng.integers(4, 22)
    phase = np.linspace(0, teeth, count) + wobble(rng, count, 12, 0.5)
    return ((phase % 1) * rng.uniform(2, 20) + wobble(rng, count, 8, 4)).astype(np.float32)


def _beside(
    head: Head, hairdo: Hairdo, side: int, start: Floats, rng: np.random.Generator
) -> Floats:
    """The opening's edge beside cheek and neck, from the temple downwards, pixels [N, 2]."""
    if not hairdo.hangs:  # nothing below the temples is hair
        far = start + np.array([side * 400.0, rng.uniform(0, 10)])
        return np.array([start, far, (far[0], 2 * SIDE)])
    free = hairdo.cover * rng.normal(1, 0.05)
    points = np.array([(131 * free, 40), (127 * free, 90), (116 * free, 150)])
    beside = head.project(np.column_stack([points * (side, 1), np.full(3, 15.0)]))
    neck = head.project(np.array([(side * rng.uniform(75, 125), 270.0, 0.0)]))[0]
    last = neck + np.array([side * rng.uniform(-20, 70), 260])
    line = smooth(np.concatenate([start[None], beside, neck[None], last[None]]), 8, closed=False)
    line[8:, 0] += wobble(rng, len(line) - 8, 12, 0.9 * hairdo.ragged)
    if side * head.pose.yaw > 0:  # the far side hangs behind the cheek that hides it
        cheek = head.edge(side)
        behind = np.interp(line[:, 1], cheek[:, 1], side * cheek[:, 0]) - 5 * head.scale
        beside_face = line[:, 1] < cheek[-1, 1]
        line[:, 0] = np.where(beside_face, side * np.maximum(side * line[:, 0], behind), line[:, 0])
    return line


def strands(scene: Scene, hairdo: Hairdo) -> Floats:
    """The hair's colours, float32 [512, 512, 3]: locks and single hairs drawn along its flow."""
    rng, head = np.random.default_rng(int(abs(hairdo.resize_schedule) * 1e6)), scene.head
    flow = _Flow.choose(rng, head, hairdo)
    picture = Image.new("L", (HALF, HALF), 105)
    pencil = ImageDraw.Draw(picture)
    contrast = rng.uniform(0.4, 1.3)
    steps = 8 if hairdo.hangs else 5
    for count, width, spread, blur in LAYERS:
        lines = flow.lines(rng, rng.uniform(-10, HALF + 10, (count, 2)).astype(np.float32), steps)
        tones = np.clip(rng.normal(112, spread * contrast, count), 0, 255).astype(int)
        widths = rng.uniform(0.6, 1.4, count) * width
        for line, tone, wide in zip(lines, tones.tolist(), widths, strict=True):
            pencil.line(line.ravel().tolist(), fill=tone, width=max(1, round(wide)))
        if blur > 0:
            picture = picture.filter(ImageFilter.GaussianBlur(blur))
            pencil = ImageDraw.Draw(picture)
    fine = np.asarray(picture, dtype=np.float32) / 255
    return _enlarged(_coloured(rng, scene, flow, fine))


WIDE_LOCK = 6.0  # pixels from which on a lock hides what is below for annotators too
HALF = SIDE // 2  # strands are finer than this only where the camera would blur them anyway
# Count, width, spread of tones, blur afterwards.
LAYERS = ((80, 11.0, 36.0, 2.2), (190, 4.5, 30.0, 1.1), (620, 1.0, 38.0, 0.0))


@dataclass(frozen=True)
class _Flow:
    """Which way hair grows at a place of the half-size picture."""

    root: Floats  # where it grows from [2]
    unit: float  # pixels per head unit of 130
    kind: str  # "parted", "down" or "out"
    sweep: float
    wave: float  # radians
    curl: float  # waves per pixel
    bend: Floats  # smooth noise [HALF, HALF]

    @classmethod
    def choose(cls, rng: np.random.Generator, head: Head, hairdo: Hairdo) -> _Flow:
        kind = hairdo.flow
        side = rng.normal(0, 35)
        place = (side, -60.0, 40.0) if kind == "out" else (side, head.shape.top + 25, 30.0)
        curly = hairdo.style == "curly"
        return cls(
            root=head.project(np.array([place]))[0] / 2,
            unit=65 * head.scale,
            kind=kind,
            sweep=float(rng.normal(0, 0.7)),
            wave=float(rng.uniform(0.7, 1.3) if curly else rng.gamma(1.3, 0.16)),
            curl=float(rng.uniform(0.15, 0.4) if curly else rng.uniform(0.03, 0.12)),
            bend=noise(rng, (HALF, HALF), (12, 12) if curly else (6, 6)),
        )

    def angle(self, points: Floats) -> Floats:
        """Direction of growth, radians from the picture's right towards its bottom, [N]."""
        x, y = ((points - self.root) / self.unit).T
        if self.kind == "parted":
            down = 2.4 * np.abs(x) + 1.3 * np.maximum(y, 0)
            angle = np.arctan2(down, np.tanh(7 * x))
        elif self.kind == "down":
            angle = np.arctan2(np.ones_like(x), 0.8 * x + 0.4 * self.sweep * np.exp(-np.abs(x)))
        else:
            angle = np.arctan2(y - 0.15, x + self.sweep)
        row, col = np.clip(points[:, ::-1], 0, HALF - 1).astype(np.int32).T
        bend = self.bend[row, col]
        along = points[:, 1] + 0.3 * points[:, 0]
        return angle + self.wave * (0.6 * bend + np.sin(along * self.curl * 2 + 3 * bend))

    def lines(self, rng: np.random.Generator, start: Floats, steps: int) -> Floats:
        """Follow the flow from every start [N, 2] of the half-size picture, [N, steps, 2]."""
        points = [start]
        stray = rng.normal(0, 0.12, len(start)).astype(np.float32)
        for _ in range(steps - 1):
            angle = self.angle(points[-1]) + stray
            step = np.stack([np.cos(angle), np.sin(angle)], 1) * 6.5
            points.append((points[-1] + step).astype(np.float32))
        return np.stack(points, 1)


def _coloured(
    rng: np.random.Generator, scene: Scene, flow: _Flow, fine: Floats
) -> NDArray[np.uint8]:
    """Tones of strands [HALF, HALF] in the hair's colour and the scene's light, uint8 RGB."""
    colour = scene.person.hair
    y, x = np.ogrid[0:HALF, 0:HALF]
    x, y = x.astype(np.float32), y.astype(np.float32)
    out = np.hypot((x - flow.root[0]) / flow.unit, (y - flow.root[1]) / flow.unit)
    # Light catches a band across the strands, at some distance from where they grow.
    band = np.exp(-(((out - np.float32(rng.uniform(0.3, 1.2)) - 0.12 * flow.bend) / 0.22) ** 2))
    sheen = np.float32(rng.uniform(0, 1.3)) * band * fine
    light = 1 - 0.5 * _away_from_lamp(scene, x * 2)
    light = light - np.float32(rng.uniform(0, 0.55)) * np.clip(out - 1, 0, 1.2)
    light = np.clip(light, 0.15, 1.6) * (1 + np.float32(rng.uniform(0.1, 0.35)) * flow.bend)
    hard = np.float32(rng.uniform(0.8, 2.0))  # between the locks it is dark
    body = np.clip(0.3 + 1.15 * (fine + (hard - 1) * (fine - 0.42)), 0.03, 2.2)
    # Highlights of another shade, as sun or a hairdresser leave them.
    streak = np.clip(colour * np.float32(rng.uniform(1.0, 1.6)) + rng.uniform(0, 0.12), 0, 1)
    streak = streak.astype(np.float32)
    share = np.clip(2.2 * fine - 0.7, 0, 1)[..., None]
    hair = (colour * (1 - share) + streak * share) * (body * light)[..., None]
    hair = hair + (sheen * light)[..., None] * (colour * 0.7 + 0.12)
    return (np.clip(hair, 0, 1) * 255).astype(np.uint8)


def _away_from_lamp(scene: Scene, x: Floats) -> Floats:
    """-1 on the lamp's side of the picture to 1 on the other."""
    return np.clip((x - 256) / 200, -1, 1) * np.float32(np.clip(scene.lean * 3, -1, 1))


def _enlarged(small: NDArray[np.uint8]) -> Floats:
    """Colours uint8 [h, w, 3] at the canvas's size, float32 in 0..1."""
    picture = Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(picture, dtype=np.float32) * np.float32(1 / 255)


def _loose_strands(scene: Scene, alpha: Floats) -> None:
    """Single hairs that leave the outline, over the background and over the face's edge."""
    canvas, rng, scale = scene.canvas, scene.rng, scene.head.scale
    edge = alpha[1::3, 1::3] - alpha[:-1:3, :-1:3]
    rows, cols = np.nonzero(np.abs(edge) > 0.4)
    if len(rows) == 0:
        return
    some = rng.integers(0, len(rows), int(rng.uniform(5, 60)))
    start = np.stack([cols[some], rows[some]], 1).astype(np.float32) * 3
    middle = scene.head.project(np.array([(0.0, -60.0, 0.0)]))[0]
    out = start - middle
    out /= np.linalg.norm(out, axis=1, keepdims=True) + 1e-6
    tangent = np.stack([-out[:, 1], out[:, 0]], 1) * np.sign(out[:, :1] + 1e-6)
    length = rng.uniform(6, 26, (len(start), 1)) * scale
    bend = tangent + rng.normal(0, 0.35, (len(start), 2))
    lines = np.stack([start, start + bend * length / 2, start + (bend + 0.3 * out) * length], 1)
    tone = np.clip(scene.person.hair * rng.uniform(0.6, 1.3), 0, 1)
    canvas.paint(canvas.strokes(list(lines.astype(np.float32)), 0.8), tone, opacity=0.6)


def _locks_over_face(scene: Scene, hairdo: Hairdo, colour: Floats) -> None:
    """Locks and single hairs that fall over forehead, temples and cheeks, even into the eyes."""
    head, rng = scene.head, scene.rng
    if rng.random() > (0.28 if hairdo.hangs else 0.14):
        return
    side = rng.choice([-1.0, 1.0])
    for _ in range(rng.integers(1, 6)):
        u, tip = rng.uniform(0, 118), -70 + (240 if hairdo.hangs else 100) * rng.beta(1, 2)
        end = np.clip(u + rng.normal(45, 30), -10, 126)
        middle = u + (end - u) * rng.uniform(0.5, 0.95) + rng.normal(4, 10)
        if rng.random() < 0.15:
            side = -side
        line = smooth([(side * u, hairdo.hairline - 8), (side * middle, tip - 45),
                       (side * end, tip)], 8, closed=False)  # fmt: skip
        _lock(scene, head.lift(line), rng.gamma(1.2, 3.5) + 1, colour)


def _lock(scene: Scene, line: Floats, width: float, colour: Floats) -> None:
    """Hairs side by side along a line in pixels [N, 2], which part towards its end."""
    canvas, rng = scene.canvas, scene.rng
    if width > WIDE_LOCK:  # annotators leave single hairs out
        body = canvas.patch(ribbon(line, 0.8 * width), soft=0.8)
        if body is not None:
            canvas.shade(canvas.patch(ribbon(line + (2, 4), width), soft=3), rng.uniform(0.1, 0.4))
            canvas.paint(body, body.of(colour), opacity=0.95, part="hair")
    count = max(2, int(1.3 * width))
    t = np.linspace(0, 1, len(line))[None, :, None]
    across = np.stack([np.ones(count), np.zeros(count)], 1)[:, None] * width / 2
    start, end = rng.uniform(-0.8, 0.8, (2, count, 1, 1))
    hairs = line[None] + across * (start * (1 - t) + (0.6 * start + end) * t)
    last = rng.integers(2 * len(line) // 3, len(line) + 1, count)
    lines = [hair[:stop].astype(np.float32) for hair, stop in zip(hairs, last, strict=True)]
    strokes = canvas.strokes(lines, rng.uniform(0.8, 1.6))
    if strokes is not None:
        canvas.paint(strokes, strokes.of(colour), opacity=rng.uniform(0.5, 0.95))


def _wisps(scene: Scene, hairdo: Hairdo, colour: Floats) -> None:
    """The thin ends of a fringe: single hairs over forehead and brows, seen through."""
    canvas, head, rng = scene.canvas, scene.head, scene.rng
    if hairdo.fringe is None or rng.random() < 0.3:
        return
    count = int(rng.integers(15, 90))
    u = rng.uniform(-112, 112, count)
    top = hairdo.fringe + hairdo.sweep * u - 16
    slant = hairdo.sweep * 22 + rng.normal(0, 6, count)
    long = rng.gamma(3, rng.uniform(3, 8), count) + 14
    t = np.linspace(0, 1, 4)[None, :, None]
    reach = np.stack([slant, long], 1)[:, None]
    root = np.stack([u, np.minimum(top, 10)], 1)[:, None]
    hairs = (
        root + reach * t + np.stack([rng.normal(0, 7, count), np.zeros(count)], 1)[:, None] * t**2
    )
    lines = head.lift(hairs.reshape(-1, 2)).reshape(-1, 4, 2)
    strokes = canvas.strokes(list(lines), rng.uniform(0.6, 1.3))
    if strokes is not None:
        canvas.paint(strokes, strokes.of(colour), opacity=rng.uniform(0.3, 0.85))
