"""Hair: what hangs behind the head, what grows over it, and its strands.

Hair over the head is everything between the hairdo's outer outline and an opening for the face;
the opening's upper edge is the hairline or a fringe's tips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.drawn.canvas import SIDE, Canvas, Patch, soften
from facesegkit.drawn.curves import Floats, noise, resized, smooth, wobble
from facesegkit.drawn.features import Scene
from facesegkit.drawn.head import Head

STRANDS = 4096  # entries of the table that strands are looked up in

# How often each style is drawn, for women and men.
STYLES = ("long", "bob", "curly", "up", "short", "stubbly")
WEIGHTS = {True: (0.58, 0.13, 0.11, 0.12, 0.05, 0.01), False: (0.1, 0.07, 0.1, 0.08, 0.53, 0.12)}


@dataclass(frozen=True)
class Hairdo:
    """Measures in face units unless said otherwise."""

    style: str
    thickness: float  # above the head
    sides: float  # beside the head
    length: float  # v at which it ends
    hairline: float  # v of the forehead's upper edge
    cover: float  # share of the half face that stays free at the cheeks
    fringe: float | None  # v of the fringe's tips; None without one
    sweep: float  # slope of the fringe
    ragged: float  # how uneven the edges are
    flow: str  # "around" the face, or "out" from it

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
    if style != "stubbly" and rng.random() < (0.25 if style != "up" else 0.1):
        fringe = float(np.clip(rng.normal(-52, 18), -90, -16))
    return Hairdo(
        style=style,
        thickness=float(thickness * rng.uniform(0.6, 1.4)),
        sides=float(sides * rng.uniform(0.4, 1.7)),
        length=float(length if hangs else rng.uniform(-10, 40)),
        hairline=float(rng.normal(-126, 11) - (0 if feminine else 14 * age)),
        cover=1.12 if rng.random() < 0.2 else float(np.clip(rng.normal(0.92, 0.06), 0.68, 0.97)),
        fringe=fringe,
        sweep=float(rng.normal(0, 0.35)),
        ragged=float(rng.gamma(2, 1.2) + (3 if style == "curly" else 0)),
        flow="out" if style in ("short", "stubbly", "up") else "around",
    )


def draw_back_hair(scene: Scene, hairdo: Hairdo, colour: Floats) -> None:
    """The mass that hangs behind neck and shoulders."""
    if not hairdo.hangs:
        return
    patch = scene.canvas.patch(_outer(scene, hairdo))
    if patch is None:
        return
    scene.canvas.paint(patch, patch.of(colour) * np.float32(0.62), part="hair")


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
    hair = Patch(outer.rows, outer.cols, outer.of(alpha))
    canvas.paint(hair, hair.of(colour), part="hair")
    _loose_strands(scene, alpha)


def _shadow(canvas: Canvas, alpha: Floats, rng: np.random.Generator) -> None:
    """Hair darkens the skin beside it, mostly below."""
    small = alpha.reshape(SIDE // 4, 4, SIDE // 4, 4).mean((1, 3))
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
    extra = hairdo.thickness * (1 - share) + hairdo.sides * share
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
    return line


def strands(scene: Scene, hairdo: Hairdo) -> Floats:
    """The hair's colours, float32 [512, 512, 3]: a table of strands bent around the face."""
    rng, head = np.random.default_rng(int(abs(hairdo.sides) * 1e6)), scene.head
    half = SIDE // 2  # strands are finer than this only where the camera would blur them anyway
    centre = head.project(np.array([(rng.normal(0, 25), -20.0, 0.0)]))[0] / 2
    y, x = np.mgrid[0:half, 0:half].astype(np.float32)
    dx, dy = (x - centre[0]) / (62 * head.scale), (y - centre[1]) / (90 * head.scale)
    radius = np.hypot(dx, np.minimum(dy, 0))
    bend = noise(rng, (half, half), (7, 7))
    if hairdo.flow == "around":
        across, along = radius, np.arctan2(np.abs(dx), -dy)
    else:
        across, along = np.arctan2(dx, -dy - 0.2), radius
    wave = rng.uniform(0.01, 0.05 if hairdo.style != "curly" else 0.14)
    curl = np.sin(along * rng.uniform(4, 16) + bend) * wave * 0.5 + bend * wave
    table = _strand_table(rng)
    place = (across + curl) * rng.uniform(90, 200) + 1000
    fine = table[place.astype(np.int32) & (STRANDS - 1)]
    # light catches a band across the strands
    band = np.exp(-(((along - rng.uniform(0.4, 1.6) - 0.15 * bend) / 0.28) ** 2))
    sheen = rng.uniform(0, 0.5) * band * (0.6 + fine)
    body = 0.85 + rng.uniform(0.15, 0.4) * fine + 0.08 * bend
    light = 0.55 + 0.45 * np.clip(1 - 0.5 * _away_from_lamp(scene, x * 2), 0, 1.4)
    hair = scene.person.hair[None, None] * (body * light)[..., None]
    hair = hair + (sheen * light)[..., None] * (scene.person.hair * 0.8 + 0.08)
    small = (np.clip(hair, 0, 1) * 255).astype(np.uint8)
    return _enlarged(small)


def _away_from_lamp(scene: Scene, x: Floats) -> Floats:
    """-1 on the lamp's side of the picture to 1 on the other."""
    lit = scene.light[200:320]
    lean = float(lit[:, :256].mean() - lit[:, 256:].mean())
    return np.clip((x - 256) / 200, -1, 1) * np.float32(np.clip(lean * 3, -1, 1))


def _enlarged(small: NDArray[np.uint8]) -> Floats:
    """Colours uint8 [h, w, 3] at the canvas's size, float32 in 0..1."""
    picture = Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(picture, dtype=np.float32) / 255


def _strand_table(rng: np.random.Generator) -> Floats:
    """Wandering brightness, coarse locks to single hairs, float32 [STRANDS]."""
    table = np.zeros(STRANDS, dtype=np.float32)
    for knots, weight in ((250, 0.3), (900, 0.45), (2000, 0.5)):
        table += np.float32(weight) * wobble(rng, STRANDS, knots, 1.0)
    return table


def _loose_strands(scene: Scene, alpha: Floats) -> None:
    """Single hairs that leave the outline, over the background and over the face's edge."""
    canvas, rng, scale = scene.canvas, scene.rng, scene.head.scale
    edge = alpha[1::3, 1::3] - alpha[:-1:3, :-1:3]
    rows, cols = np.nonzero(np.abs(edge) > 0.4)
    if len(rows) == 0:
        return
    some = rng.integers(0, len(rows), int(rng.uniform(10, 90)))
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
