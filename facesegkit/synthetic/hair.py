"""Hair: the part behind the head, the part over it, and its strands.

Hair over the head is everything between the hairdo's outer contour and an opening for the face; the
upper edge of the opening is the hairline or the tips of a fringe.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from facesegkit.synthetic import curves
from facesegkit.synthetic.canvas import SIDE, Patch, soften
from facesegkit.synthetic.curves import Floats, blurred, mirror, noise, resized, smooth, wobble
from facesegkit.synthetic.head import Head
from facesegkit.synthetic.scene import Scene

# Thickness of the hair above and beside the head, and probability for men and women.
STYLES = {
    "long": (30, 55, 0.1, 0.58), "bob": (34, 55, 0.07, 0.13), "curly": (54, 72, 0.1, 0.11),
    "up": (26, 6, 0.08, 0.12), "short": (34, 14, 0.53, 0.05), "stubbly": (9, 5, 0.12, 0.01),
}  # fmt: skip

WIDE_LOCK = 6.0  # pixels above which annotators, too, label what is below a lock as hair
HALF = SIDE // 2  # strands are drawn at half size; finer ones would be blurred by the camera anyway
# Layers of strands: count, width, standard deviation of their tones, blur afterwards.
LAYERS = ((80, 11.0, 36.0, 2.2), (190, 4.5, 30.0, 1.1), (620, 1.0, 38.0, 0.0))


class Hairdo:
    """A random style and its measures, in face units unless stated otherwise."""

    def __init__(self, rng: np.random.Generator, feminine: bool, age: float) -> None:
        style = curves.choose(rng, **{name: row[2 + feminine] for name, row in STYLES.items()})
        self.style = style
        # Whether it hangs past the ears.
        self.hangs = style in ("long", "bob") or (style == "curly" and rng.random() < 0.6)
        length = rng.uniform(300, 480) if style == "long" else rng.uniform(150, 300)
        self.fringe: float | None = None  # v of the fringe's tips; None without one
        if style != "stubbly" and rng.random() < (0.36 if style != "up" else 0.14):
            over_brows = rng.random() < 0.2
            tips = rng.uniform(-32, -8) if over_brows else np.clip(rng.normal(-46, 20), -90, -8)
            self.fringe = float(tips)
        self.thickness = STYLES[style][0] * rng.uniform(0.6, 1.4)  # above the head
        self.sides = STYLES[style][1] * rng.uniform(0.4, 1.7)  # beside the head
        self.length = length if self.hangs else rng.uniform(-10, 40)  # v at which it ends
        # v of the upper edge of the forehead; fraction of the half face that is free at the cheeks.
        self.hairline = rng.normal(-133, 12) - (0 if feminine else 14 * age)
        wide = rng.random() < 0.2
        self.cover = 1.12 if wide else float(np.clip(rng.normal(0.92, 0.06), 0.68, 0.97))
        self.sweep = rng.normal(0, 0.35)  # slope of the fringe
        self.ragged = rng.gamma(2, 1.2) + (3 if style == "curly" else 0)  # unevenness of the edges
        # "parted" and hanging, "down" over the forehead, or "out" from the face.
        back = "parted" if style in ("long", "bob", "curly") else "out"  # without a fringe
        self.flow = "down" if self.fringe is not None else back


def draw_back_hair(scene: Scene, hairdo: Hairdo, colour: Floats) -> None:
    """The hair behind neck and shoulders."""
    if not hairdo.hangs:
        return
    patch = scene.canvas.patch(_outer_contour(scene, hairdo))
    # The head hides the upper third, and is drawn with hair of its own.
    low = max(min(SIDE // 3, patch.rows.stop) - patch.rows.start, 0)
    patch = Patch(slice(patch.rows.start + low, patch.rows.stop), patch.cols, patch.alpha[low:])
    depth = np.float32(scene.rng.uniform(0.25, 0.8))
    scene.canvas.paint(patch, patch.of(colour) * depth, part="hair")


def draw_hair(scene: Scene, hairdo: Hairdo, colour: Floats) -> None:
    """Hair over head, ears and brows, with its shadow on the skin."""
    canvas = scene.canvas
    alpha = np.zeros((SIDE, SIDE), dtype=np.float32)
    outer = canvas.patch(_outer_contour(scene, hairdo))
    opening = canvas.patch(_opening(scene, hairdo))
    outer.of(alpha)[...] = outer.alpha
    opening.of(alpha)[...] *= 1 - opening.alpha
    _shadow(scene, alpha)
    alpha = _with_rough_edge(scene, alpha, colour, hairdo)
    hair = Patch(outer.rows, outer.cols, outer.of(alpha))
    canvas.paint(hair, hair.of(colour), part="hair")
    _loose_strands(scene, alpha)
    _wisps(scene, hairdo, colour)
    _locks_over_face(scene, hairdo, colour)


def _with_rough_edge(scene: Scene, alpha: Floats, colour: Floats, hairdo: Hairdo) -> Floats:
    """Coverage whose edge follows the strands: it is thin where they are dark."""
    rng, small = scene.rng, alpha[::2, ::2]
    radius = rng.uniform(0.8, 2.0) if hairdo.style != "stubbly" else rng.uniform(1.5, 3)
    tones = colour[::2, ::2, 1]
    tones = tones - blurred(tones, 16)
    rough = np.float32(0.16 / (tones[::4, ::4].std() + 1e-4)) * tones
    near = soften(small, 2 * radius)
    edge = np.clip((near + rough - 0.5) * np.float32(rng.uniform(1.6, 4)) + 0.5, 0, 1)
    # Nothing changes far inside and far outside.
    edge = np.where(near > 0.985, 1, edge * (near > 0.02))
    return resized(edge.astype(np.float32), (SIDE, SIDE))


def _shadow(scene: Scene, alpha: Floats) -> None:
    """Shadow of the hair on the skin beside it, mostly below."""
    rng = scene.rng
    near = resized(soften(alpha[2::4, 2::4], rng.uniform(1, 2.2)), (SIDE, SIDE))
    down, strength = int(rng.integers(0, 9)), rng.uniform(0.2, 0.6)
    face = slice(64, 448)  # all skin that hair could shade is in the middle
    scene.canvas.shade(Patch(face, face, near[64 - down : 448 - down, face]), strength)


def _outer_contour(scene: Scene, hairdo: Hairdo) -> Floats:
    """Polygon around all of the hair, in pixels; the same at every call."""
    head, rng = scene.head, np.random.default_rng(int(abs(hairdo.ragged) * 1e6))
    middle = head.project([(0.0, -60.0, 0.0)])[0]
    around = head.silhouette - middle
    angle = np.arctan2(around[:, 0], -around[:, 1])  # 0 at the top, increases to the right
    order = np.argsort(angle)
    reach = 2.05 if hairdo.hangs else 1.75 + 0.25 * (hairdo.length / 40)
    at = np.linspace(-reach, reach, 90)
    radius = np.interp(at, angle[order], np.hypot(*around[order].T))
    beside = np.clip(np.abs(at) / 1.6, 0, 1) ** 1.5
    extra = hairdo.thickness * (1 - beside) + hairdo.sides * beside
    extra = extra + wobble(rng, 90, 9, 4) + wobble(rng, 90, 45, 0.7 * hairdo.ragged)
    radius = radius + np.maximum(extra, 2) * head.scale
    top = middle + np.stack([np.sin(at), -np.cos(at)], 1) * radius[:, None]
    nape = middle + (top[[-1, 0]] - middle) * 0.7
    below = _hanging(head, hairdo, top, rng) if hairdo.hangs else nape
    return np.concatenate([top, below]).astype(np.float32)


def _hanging(head: Head, hairdo: Hairdo, top: Floats, rng: np.random.Generator) -> Floats:
    """Contour from the right of the image down, across below, and up on the left, [N, 2]."""
    bottom = head.project([(0.0, hairdo.length, 0.0)])[0]
    t, sides = np.linspace(0, 1, 30)[:, None], []
    for start, sign in ((top[-1], 1), (top[0], -1)):
        spread = rng.uniform(-20, 45) * head.scale
        end = np.array([start[0] + sign * spread, bottom[1] + rng.normal(0, 8)])
        line = start * (1 - t) + end * t
        line[:, 0] += sign * np.sin(t[:, 0] * np.pi) * rng.uniform(-5, 28) * head.scale
        line[:, 0] += wobble(rng, 30, 10, 1.2 * hairdo.ragged)
        line[:, 0] += np.sin(t[:, 0] * rng.uniform(8, 26)) * rng.uniform(0, 5)
        sides.append(line)
    return np.concatenate([sides[0], sides[1][::-1]])


def _opening(scene: Scene, hairdo: Hairdo) -> Floats:
    """Polygon of what remains free: below the hairline, between the temples and downwards."""
    head, rng, line = scene.head, scene.rng, hairdo.hairline
    edge = [(-1.0, 12), (-1.01, -25), (-0.96, -62), (-0.78, line + 18), (-0.35, line - 3),
            (0, line)]  # fmt: skip
    curve = smooth(np.array([*edge, *mirror(edge[:-1])]) * (131, 1), 9, closed=False)
    count = len(curve)
    if hairdo.fringe is not None:
        # Tips of locks: saw teeth of uneven size.
        phase = np.linspace(0, rng.integers(4, 22), count) + wobble(rng, count, 12, 0.5)
        jags = ((phase % 1) * rng.uniform(2, 20) + wobble(rng, count, 8, 4)).astype(np.float32)
        tips = hairdo.fringe + hairdo.sweep * curve[:, 0] + jags
        curve[:, 1] = np.maximum(curve[:, 1], np.minimum(tips, 20))
    curve[:, 1] += wobble(rng, count, 40, 0.9 * hairdo.ragged)
    upper = head.lift(curve)
    right, left = (_beside(scene, hairdo, *end) for end in ((1, upper[-1]), (-1, upper[0])))
    return np.concatenate([upper, right, left[::-1]]).astype(np.float32)


def _beside(scene: Scene, hairdo: Hairdo, side: int, start: Floats) -> Floats:
    """Edge of the opening beside cheek and neck, from the temple downwards, pixels [N, 2]."""
    head, rng = scene.head, scene.rng
    if not hairdo.hangs:  # nothing below the temples is hair
        far = start + np.array([side * 400.0, rng.uniform(0, 10)])
        return np.array([start, far, (far[0], 2 * SIDE)])
    free = hairdo.cover * rng.normal(1, 0.05)
    cheek = [(side * u * free, v, 15.0) for u, v in ((131, 40), (127, 90), (116, 150))]
    neck = head.project([(side * rng.uniform(75, 125), 270.0, 0.0)])
    last = neck + np.array([side * rng.uniform(-20, 70), 260])
    line = smooth(np.concatenate([start[None], head.project(cheek), neck, last]), 8, closed=False)
    line[8:, 0] += wobble(rng, len(line) - 8, 12, 0.9 * hairdo.ragged)
    if side * head.pose.yaw > 0:  # the far side hangs behind the cheek that hides it
        edge = head.edge(side)
        behind = np.interp(line[:, 1], edge[:, 1], side * edge[:, 0]) - 5 * head.scale
        beside_face = line[:, 1] < edge[-1, 1]
        line[:, 0] = np.where(beside_face, side * np.maximum(side * line[:, 0], behind), line[:, 0])
    return line


def strands(scene: Scene, hairdo: Hairdo) -> Floats:
    """Colours of the hair, float32 [512, 512, 3]: locks and single hairs along its flow."""
    rng, head = np.random.default_rng(int(abs(hairdo.sides) * 1e6)), scene.head
    flow = _Flow(rng, head, hairdo)
    image = Image.new("L", (HALF, HALF), 105)
    contrast = rng.uniform(0.4, 1.3)
    steps = 8 if hairdo.hangs else 5
    for count, width, spread, blur in LAYERS:
        draw = ImageDraw.Draw(image)
        lines = flow.lines(rng, rng.uniform(-10, HALF + 10, (count, 2)).astype(np.float32), steps)
        tones = np.clip(rng.normal(112, spread * contrast, count), 0, 255).astype(int)
        widths = rng.uniform(0.6, 1.4, count) * width
        for line, tone, wide in zip(lines, tones.tolist(), widths, strict=True):
            draw.line(line.ravel().tolist(), fill=tone, width=max(1, round(wide)))
        if blur > 0:
            image = image.filter(ImageFilter.GaussianBlur(blur))
    tones = np.asarray(image, dtype=np.float32) / 255
    image = _coloured(rng, scene, flow, tones).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.float32) * np.float32(1 / 255)


class _Flow:
    """Direction of hair growth at every position of the half-size image; suits a hairdo."""

    def __init__(self, rng: np.random.Generator, head: Head, hairdo: Hairdo) -> None:
        u, curly = rng.normal(0, 35), hairdo.style == "curly"
        root = (u, -60.0, 40.0) if hairdo.flow == "out" else (u, head.shape.top + 25, 30.0)
        self.root, self.kind = head.project([root])[0] / 2, hairdo.flow
        self.unit = 65 * head.scale  # pixels per 130 face units
        self.sweep = rng.normal(0, 0.7)
        self.wave = rng.uniform(0.7, 1.3) if curly else rng.gamma(1.3, 0.16)  # radians
        self.curl = rng.uniform(0.15, 0.4) if curly else rng.uniform(0.03, 0.12)  # waves per pixel
        self.bend = noise(rng, (HALF, HALF), (12, 12) if curly else (6, 6))

    def angle(self, points: Floats) -> Floats:
        """Direction of growth, radians from the right of the image towards its bottom, [N]."""
        x, y = ((points - self.root) / self.unit).T
        if self.kind == "parted":
            angle = np.arctan2(2.4 * np.abs(x) + 1.3 * np.maximum(y, 0), np.tanh(7 * x))
        elif self.kind == "down":
            angle = np.arctan2(np.ones_like(x), 0.8 * x + 0.4 * self.sweep * np.exp(-np.abs(x)))
        else:
            angle = np.arctan2(y - 0.15, x + self.sweep)
        row, col = np.clip(points[:, ::-1], 0, HALF - 1).astype(np.int32).T
        bend = self.bend[row, col]
        along = points[:, 1] + 0.3 * points[:, 0]
        return angle + self.wave * (0.6 * bend + np.sin(along * self.curl * 2 + 3 * bend))

    def lines(self, rng: np.random.Generator, start: Floats, steps: int) -> Floats:
        """Strands from every start [N, 2] in the half-size image, [N, steps, 2]."""
        points = [start]
        stray = rng.normal(0, 0.12, len(start)).astype(np.float32)
        for _ in range(steps - 1):
            angle = self.angle(points[-1]) + stray
            step = np.stack([np.cos(angle), np.sin(angle)], 1) * 6.5
            points.append((points[-1] + step).astype(np.float32))
        return np.stack(points, 1)


def _coloured(rng: np.random.Generator, scene: Scene, flow: _Flow, tones: Floats) -> Image.Image:
    """Strands in the hair's colour and the scene's light, from their tones [H, W]."""
    colour = scene.person.hair
    y, x = (axis.astype(np.float32) for axis in np.ogrid[0:HALF, 0:HALF])
    out = np.hypot((x - flow.root[0]) / flow.unit, (y - flow.root[1]) / flow.unit)
    # Highlights form a band across the strands, at some distance from the root.
    band = np.exp(-(((out - np.float32(rng.uniform(0.3, 1.2)) - 0.12 * flow.bend) / 0.22) ** 2))
    sheen = np.float32(rng.uniform(0, 1.3)) * band * tones
    lamp = np.float32(np.clip(scene.lean * 3, -1, 1))  # it is dark on the other side
    light = 1 - 0.5 * (np.clip((x * 2 - 256) / 200, -1, 1) * lamp)
    light = light - np.float32(rng.uniform(0, 0.55)) * np.clip(out - 1, 0, 1.2)
    light = np.clip(light, 0.15, 1.6) * (1 + np.float32(rng.uniform(0.1, 0.35)) * flow.bend)
    light *= np.float32(scene.level / 1.1)  # exposed as the face is
    hard = np.float32(rng.uniform(0.8, 2.0))  # it is dark between the locks
    body = np.clip(0.3 + 1.15 * (tones + (hard - 1) * (tones - 0.42)), 0.03, 2.2)
    # Highlights of another shade, as caused by the sun or a hairdresser.
    streak = np.clip(colour * np.float32(rng.uniform(1.0, 1.6)) + rng.uniform(0, 0.12), 0, 1)
    blend = np.clip(2.2 * tones - 0.7, 0, 1)[..., None]
    hair = (colour * (1 - blend) + streak.astype(np.float32) * blend) * (body * light)[..., None]
    hair = hair + (sheen * light)[..., None] * (colour * 0.7 + 0.12)
    return Image.fromarray((np.clip(hair, 0, 1) * 255).astype(np.uint8))


def _loose_strands(scene: Scene, alpha: Floats) -> None:
    """Single hairs that leave the contour, over the background and over the face's edge."""
    canvas, rng = scene.canvas, scene.rng
    rows, cols = np.nonzero(np.abs(alpha[1::3, 1::3] - alpha[:-1:3, :-1:3]) > 0.4)
    if len(rows) == 0:
        return
    some = rng.integers(0, len(rows), int(rng.uniform(5, 60)))
    start = np.stack([cols[some], rows[some]], 1).astype(np.float32) * 3
    out = start - scene.head.project([(0.0, -60.0, 0.0)])[0]
    out /= np.linalg.norm(out, axis=1, keepdims=True) + 1e-6
    tangent = np.stack([-out[:, 1], out[:, 0]], 1) * np.sign(out[:, :1] + 1e-6)
    length = rng.uniform(6, 26, (len(start), 1)) * scene.head.scale
    bend = tangent + rng.normal(0, 0.35, (len(start), 2))
    lines = np.stack([start, start + bend * length / 2, start + (bend + 0.3 * out) * length], 1)
    tone = np.clip(scene.person.hair * rng.uniform(0.6, 1.3), 0, 1)
    canvas.paint(canvas.strokes(lines.astype(np.float32), 0.8), tone, opacity=0.6)


def _locks_over_face(scene: Scene, hairdo: Hairdo, colour: Floats) -> None:
    """Locks and single hairs over forehead, temples and cheeks, even over the eyes."""
    rng = scene.rng
    if rng.random() > (0.36 if hairdo.hangs else 0.2):
        return
    side = rng.choice([-1.0, 1.0])
    for _ in range(rng.integers(1, 6)):
        u, tip = rng.uniform(0, 118), -70 + (240 if hairdo.hangs else 100) * rng.beta(1, 2)
        end = np.clip(u + rng.normal(45, 30), -10, 126)
        middle = u + (end - u) * rng.uniform(0.5, 0.95) + rng.normal(4, 10)
        if rng.random() < 0.15:
            side = -side
        line = [(side * u, hairdo.hairline - 8), (side * middle, tip - 45), (side * end, tip)]
        pixels = scene.head.lift(smooth(line, 8, closed=False))
        _lock(scene, pixels, rng.gamma(1.2, 3.5) + 1, colour)


def _lock(scene: Scene, line: Floats, width: float, colour: Floats) -> None:
    """Hairs side by side along a line in pixels [N, 2], which diverge towards its end."""
    canvas, rng = scene.canvas, scene.rng
    if width > WIDE_LOCK:  # annotators ignore single hairs
        body = canvas.patch(curves.ribbon(line, 0.8 * width), soft=0.8)
        beside = canvas.patch(curves.ribbon(line + (2, 4), width), soft=3)
        canvas.shade(beside, rng.uniform(0.1, 0.4))
        canvas.paint(body, body.of(colour), opacity=0.95, part="hair")
    count = max(2, int(1.3 * width))
    t = np.linspace(0, 1, len(line))[None, :, None]
    across = np.array([width / 2, 0.0])
    start, end = rng.uniform(-0.8, 0.8, (2, count, 1, 1))
    hairs = line[None] + across * (start * (1 - t) + (0.6 * start + end) * t)
    last = rng.integers(2 * len(line) // 3, len(line) + 1, count)
    lines = [hair[:stop].astype(np.float32) for hair, stop in zip(hairs, last, strict=True)]
    strokes = canvas.strokes(lines, rng.uniform(0.8, 1.6))
    canvas.paint(strokes, strokes.of(colour), opacity=rng.uniform(0.5, 0.95))


def _wisps(scene: Scene, hairdo: Hairdo, colour: Floats) -> None:
    """The thin ends of a fringe: single hairs over forehead and brows, which remain visible."""
    rng = scene.rng
    if hairdo.fringe is None or rng.random() < 0.3:
        return
    count = int(rng.integers(15, 90))
    u = rng.uniform(-112, 112, count)
    top = np.minimum(hairdo.fringe + hairdo.sweep * u - 16, 10)
    slant = hairdo.sweep * 22 + rng.normal(0, 6, count)
    long = rng.gamma(3, rng.uniform(3, 8), count) + 14
    bend = np.stack([rng.normal(0, 7, count), np.zeros(count)], 1)[:, None]
    t = np.linspace(0, 1, 4)[None, :, None]
    root, reach = np.stack([u, top], 1)[:, None], np.stack([slant, long], 1)[:, None]
    lines = scene.lift_lines(root + reach * t + bend * t**2)
    strokes = scene.canvas.strokes(lines, rng.uniform(0.6, 1.3))
    scene.canvas.paint(strokes, strokes.of(colour), opacity=rng.uniform(0.3, 0.85))
