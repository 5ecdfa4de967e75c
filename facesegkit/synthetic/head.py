"""The head as a 3-D surface: shape, pose, light, and the projection of points onto the canvas.

Face coordinates: u to the right of the image, v down, z towards the viewer, in pixels of an aligned
512 x 512 photo, with the origin between the eyes. The surface is a grid over v (rows) and an angle
around the head (columns), so that it has sides as well as a front. Each row is an arc of an ellipse
with bumps (nose, brow ridge, cheeks, ...) on it.

A turned row hides part of itself. Along a row the x coordinate on the canvas increases; where it
decreases, the surface lies behind points that precede it. So the running maximum of x yields what
is visible, and moves hidden points onto the edge that hides them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from facesegkit.synthetic.canvas import SIDE
from facesegkit.synthetic.curves import Floats, blurred, noise, sample, smooth
from facesegkit.synthetic.traits import Light, Person, Pose

ROWS, COLS = 240, 200  # of the surface's grid
ROW_INDICES = np.arange(ROWS, dtype=np.float32)[:, None]
WIDEST = 2.0  # radians from the front to the end of the grid, a little behind the ears
STEP = 2.0  # pixels per cell of the view grid, on which visibility is computed
X_LOW, X_HIGH, Y_LOW, Y_HIGH = -220.0, 220.0, -270.0, 290.0  # extent of the view grid
ILLUMINATION_TOP = 1.6  # brightest light that the fourth channel of the rendered image can hold

# CelebA-HQ's alignment: the side of the image is 4 eye distances or 3.6 eye-to-mouth distances, and
# its centre lies a tenth of the way from the eyes to the mouth (Karras et al., "Progressive Growing
# of GANs", 2018, appendix C).
EYE_DISTANCE, EYE_TO_MOUTH = SIDE / 4, SIDE / 3.6
CENTRE_FROM_EYES = 0.1

# Positions on an average face, measured on the label maps of 700 pairs, in pixels of the 512 x 512
# annotation. Each feature chooses its own spread.
EYE_U, EYE_V, MOUTH_V, CHIN_V, TOP_V = 62.0, 6.0, 137.0, 229.0, -208.0


@dataclass(frozen=True)
class Bump:
    """A Gaussian hill (or, if `lift` is negative, a hollow) on the surface."""

    u: float
    v: float
    width: float
    height: float
    lift: float


class Shape:
    """Random proportions of a head."""

    def __init__(self, rng: np.random.Generator, person: Person) -> None:
        wide, jaw = rng.normal(1.02, 0.05), rng.normal(0.93 if person.feminine else 1.02, 0.07)
        pointed = rng.normal(1.0, 0.12)
        chin = self.chin = CHIN_V + rng.normal(0, 8) + min(person.gap, 40) * 0.35
        top = self.top = TOP_V + rng.normal(0, 6) + 15 * person.bald
        self.half_widths = smooth([  # [N, 2] as (v, half width)
            (top, 0.0), (top + 5, 38 * wide), (top + 20, 78 * wide), (top + 55, 113 * wide),
            (-95, 131 * wide), (-30, 133 * wide), (20, 131 * wide),
            (75, 124 * wide * (0.5 + 0.5 * jaw)), (125, 113 * jaw * wide),
            (chin - 58, 91 * jaw * wide), (chin - 30, 67 * jaw * pointed),
            (chin - 11, 44 * pointed), (chin - 3, 27 * pointed), (chin, 0.0),
        ], closed=False)  # fmt: skip
        brow = rng.normal(3 if person.feminine else 7, 3)
        self.profile = smooth([  # depth of the middle line, [N, 2] as (v, z)
            (top, 0), (top + 5, 32), (top + 20, 60), (top + 55, 86), (-110, 102),
            (-45, 117 + brow * 0.5), (0, 112), (60, 115), (MOUTH_V, 124), (chin - 30, 112),
            (chin - 8, 98), (chin, 80),
        ], closed=False)  # fmt: skip
        # Half the width between the wings, and v of the lower end of the nose.
        self.nose_width = float(np.clip(rng.normal(38.5, 3.8) + 3 * person.darkness, 28, 52))
        self.nose_length = rng.normal(94.5, 6)
        self.bumps = _bumps(rng, person, self.nose_width, self.nose_length, brow, chin)


def _bumps(
    rng: np.random.Generator, person: Person, wing: float, end: float, brow: float, chin: float
) -> tuple[Bump, ...]:
    """Nose, eye sockets, cheeks, lips and chin; both of a pair."""
    high, slim = rng.normal(1.15, 0.2), float(np.clip(rng.normal(1.0, 0.15), 0.65, 1.4))
    smile = max(person.smile, 0)
    tip = end * rng.normal(0.83, 0.02)
    nose = [
        Bump(0, end * 0.05, 13 * slim, 22, rng.uniform(1, 6) * high),
        Bump(0, end * rng.uniform(0.33, 0.43), 13 * slim, 22, rng.uniform(11, 19) * high),
        Bump(0, end * 0.70, 18 * slim, 20, 16 * high),
        Bump(0, tip, rng.uniform(12, 18), rng.uniform(10, 14), 17 * high * rng.normal(1, 0.2)),
        Bump(0, end * 0.94, 27, 14, rng.uniform(4, 12)),
    ]
    pairs = [
        Bump(wing * 0.64, end * 0.87, rng.uniform(10, 13), 10, rng.uniform(8, 14) * high),
        Bump(EYE_U - 4, 2, 30, 19, -rng.uniform(3, 11)),
        Bump(EYE_U, 1, 19, 13, rng.uniform(5, 10)),
        Bump(EYE_U, -36, 30, 11, brow),
        Bump(70, 62 - 8 * smile, 28, 24, rng.uniform(4, 9) + 7 * smile),
        Bump(56 + 5 * smile, 125, 9, 24, -rng.uniform(1, 4) - 3 * smile - 3 * person.age),
        Bump(45, 100, 7, 16, -rng.uniform(0.5, 2.5) - 3 * smile - 2 * person.age),
        Bump(EYE_U - 6, 21, 22, 4, rng.uniform(0, 1.5) + 2 * person.age),
        Bump(EYE_U - 10, 29, 24, 4, -rng.uniform(0, 1.6) - 1.5 * person.age),
        Bump(112, 60, 24, 40, -rng.uniform(0, 8)),
    ]
    middle = [
        Bump(0, MOUTH_V, 42, 26, rng.uniform(5, 12)),
        Bump(0, end + 14, 5, 11, -rng.uniform(1.5, 4)),
        Bump(0, 172, 26, 8, -rng.uniform(3, 8)),
        Bump(0, chin - 24, 26, 17, rng.uniform(6, 14)),
        Bump(0, -90, 70, 40, rng.uniform(0, 7)),
    ]
    return (*nose, *pairs, *(replace(bump, u=-bump.u) for bump in pairs), *middle)


class Head:
    """A shape in a pose: projects points, edges and light onto the canvas."""

    def __init__(self, shape: Shape, pose: Pose) -> None:
        self.shape, self.pose = shape, pose
        self.v = np.linspace(shape.top, shape.chin, ROWS, dtype=np.float32)
        self.angle = np.linspace(-WIDEST, WIDEST, COLS, dtype=np.float32)
        self.half_width = np.interp(self.v, *shape.half_widths.T).astype(np.float32) + 1.0
        self.u = self.half_width[:, None] * np.sin(self.angle)[None]
        self.z = self._surface()
        self._rotate()
        self.matrix, self.shift = self._alignment()

    def _surface(self) -> Floats:
        """Depth of every grid point, [ROWS, COLS]."""
        cos = np.cos(self.angle)[None]
        middle = np.interp(self.v, *self.shape.profile.T).astype(np.float32)[:, None]
        front = middle * np.maximum(cos, 0) ** np.float32(0.85)
        z = np.where(cos >= 0, front, 0.8 * self.half_width[:, None] * cos).astype(np.float32)
        for bump in self.shape.bumps:
            reach = 3 * bump.height
            rows = slice(*np.searchsorted(self.v, (bump.v - reach, bump.v + reach)))
            across = (self.u[rows] - bump.u) / bump.width
            down = (self.v[rows, None] - bump.v) / bump.height
            z[rows] += np.float32(bump.lift) * (_gaussian(across, down) * np.maximum(cos, 0))
        return z

    def _rotate(self) -> None:
        """Apply yaw, which keeps every row a row, then pitch, which keeps every column a column."""
        c, s = np.float32(np.cos(self.pose.yaw)), np.float32(np.sin(self.pose.yaw))
        x = self.u * c + self.z * s
        depth = self.z * c - self.u * s
        self.visible_x = _visible(x, float(s))
        self.x = np.arange(X_LOW, X_HIGH, STEP, dtype=np.float32)
        # _visible never decreases along a row; np.interp needs it to increase, hence the ramp.
        columns = np.arange(COLS, dtype=np.float32)
        rising = self.visible_x + columns * np.float32(1e-4)
        column_at = np.stack([np.interp(self.x, row, columns) for row in rising])
        self.column_at = column_at.astype(np.float32)
        depth = sample(depth, ROW_INDICES, self.column_at)
        c, s = np.float32(np.cos(self.pose.pitch)), np.float32(np.sin(self.pose.pitch))
        self.visible_y = _visible((self.v[:, None] * c + depth * s).T, float(s), whole=True).T

    def _alignment(self) -> tuple[Floats, Floats]:
        """Similarity that places eyes and mouth as in CelebA-HQ: matrix [2, 2] and shift [2]."""
        marks = np.array([(-EYE_U, 0), (EYE_U, 0), (0, MOUTH_V)], dtype=np.float32)
        right, left, mouth = self.view(marks)
        eyes = (right + left) / 2
        across, down = left - right, mouth - eyes
        scale = min(EYE_DISTANCE / np.hypot(*across), EYE_TO_MOUTH / np.hypot(*down))
        scale *= self.pose.scale
        # As in the original, both the eyes and the mouth determine the upright direction.
        upright = across + np.array([down[1], -down[0]])
        roll = self.pose.roll - np.arctan2(upright[1], upright[0])
        c, s = scale * np.cos(roll), scale * np.sin(roll)
        matrix = np.array([[c, -s], [s, c]], dtype=np.float32)
        centre = SIDE / 2 + np.array(self.pose.shift)
        shift = centre - matrix @ (eyes + CENTRE_FROM_EYES * down)
        return matrix, shift.astype(np.float32)

    def view(self, points: Floats) -> Floats:
        """View coordinates of face coordinates (u, v) on the surface, both [N, 2]."""
        u, v = points.T
        rows = (v - self.shape.top) / (self.shape.chin - self.shape.top) * (ROWS - 1)
        angle = np.arcsin(np.clip(u / np.interp(v, self.v, self.half_width), -1, 1))
        cols = (angle + WIDEST) / (2 * WIDEST) * (COLS - 1)
        return sample(self._view_of_grid, *np.stack([rows, cols]).astype(np.float32))

    @cached_property
    def _view_of_grid(self) -> Floats:
        """View coordinates of every grid point, [ROWS, COLS, 2]."""
        y = sample(self.visible_y, ROW_INDICES, (self.visible_x - X_LOW) / STEP)
        return np.stack([self.visible_x, y], 2)

    def to_canvas(self, points: Floats) -> Floats:
        """Canvas pixels of view coordinates, both [N, 2]: applies roll, scale and shift."""
        return (points @ self.matrix.T + self.shift).astype(np.float32)

    def lift(self, points: ArrayLike) -> Floats:
        """Canvas pixels of face coordinates (u, v) [N, 2] on the surface."""
        return self.to_canvas(self.view(np.asarray(points, dtype=np.float32)))

    def project(self, points: ArrayLike) -> Floats:
        """Canvas pixels of points in space (u, v, z) [N, 3], on the surface or not."""
        u, v, z = np.asarray(points, dtype=np.float32).T
        c, s = np.cos(self.pose.yaw), np.sin(self.pose.yaw)
        depth = z * c - u * s
        y = v * np.cos(self.pose.pitch) + depth * np.sin(self.pose.pitch)
        return self.to_canvas(np.stack([u * c + z * s, y], 1).astype(np.float32))

    @cached_property
    def silhouette(self) -> Floats:
        """The head's contour on the canvas, [2 * ROWS, 2]: down its left, up its right side."""
        return np.concatenate([self.edge(-1), self.edge(1)[::-1]])

    def edge(self, side: int) -> Floats:
        """Left (-1) or right (1) half of the silhouette, from the top, pixels [ROWS, 2]."""
        return self.to_canvas(self._view_of_grid[:, 0 if side < 0 else -1])

    @property
    def scale(self) -> float:
        """Canvas pixels per face unit."""
        return float(np.hypot(*self.matrix[:, 0]))

    def render(self, texture: Floats, light: Floats) -> tuple[Floats, Floats]:
        """Project lit display colours and illumination of the surface onto the canvas.

        From float32 [ROWS, COLS, 3] and [ROWS, COLS] to float32 [512, 512, 3] and [512, 512].
        """
        both = np.concatenate([texture, light[..., None] / ILLUMINATION_TOP], axis=2)
        four = (np.clip(both, 0, 1) * 255).astype(np.uint8).view(np.uint32)[..., 0]
        visible = four[self._visible_cells()]  # both grids are equally fine: nearest is enough
        # "CMYK" stands for four plain channels: Pillow multiplies the alpha of "RGBA" in.
        image = Image.frombytes("CMYK", visible.shape[1::-1], visible.tobytes())
        back = np.linalg.inv(self.matrix) / STEP
        low = np.clip(np.floor(self.silhouette.min(0)) - 8, 0, SIDE - 1).astype(int)
        high = np.clip(np.ceil(self.silhouette.max(0)) + 8, low + 1, SIDE).astype(int)
        offset = back @ (low - self.shift) - np.array([X_LOW, Y_LOW]) / STEP
        affine = (back[0, 0], back[0, 1], offset[0], back[1, 0], back[1, 1], offset[1])
        size, bilinear = tuple(high - low), Image.Resampling.BILINEAR
        image = image.transform(size, Image.Transform.AFFINE, affine, bilinear)
        values = np.asarray(image, dtype=np.float32) * np.float32(1 / 255)
        colours = np.zeros((SIDE, SIDE, 3), dtype=np.float32)
        illumination = np.full((SIDE, SIDE), light.mean(), dtype=np.float32)
        region = slice(low[1], high[1]), slice(low[0], high[0])
        colours[region] = values[..., :3]
        illumination[region] = values[..., 3] * ILLUMINATION_TOP
        return colours, illumination

    def _visible_cells(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """For every cell of the view grid, the row and column of the surface visible there."""
        ys = np.arange(Y_LOW, Y_HIGH, STEP, dtype=np.float32)
        rising = self.visible_y + ROW_INDICES * np.float32(1e-4)
        at = np.stack([np.interp(ys, column, ROW_INDICES[:, 0]) for column in rising.T], 1)
        rows = np.rint(at).astype(np.intp)
        return rows, np.rint(self.column_at)[rows, np.arange(len(self.x))].astype(np.intp)


def _gaussian(across: Floats, down: Floats) -> Floats:
    """Gaussian hill over distances in standard deviations."""
    return np.exp(-0.5 * (across**2 + down**2))


def _visible(x: Floats, sine: float, *, whole: bool = False) -> Floats:
    """View coordinates along rows, with hidden points moved to the edge that hides them, [R, N].

    `x` increases along each row wherever the surface is visible. The sign of the rotation's sine
    determines which end of the row is in front. A whole row has no part behind the head (pitch).
    """
    if not whole:  # beyond the outermost points the surface turns to the back
        first, last = x.argmin(1)[:, None], x.argmax(1)[:, None]
        at = np.arange(x.shape[1])[None]
        x = np.where(at < first, x.min(1, keepdims=True), x)
        x = np.where(at > last, x.max(1, keepdims=True), x)
    if sine >= 0:
        return np.maximum.accumulate(x, axis=1)
    return np.minimum.accumulate(x[:, ::-1], axis=1)[:, ::-1]


def illuminate(head: Head, light: Light, skin_shine: float) -> tuple[Floats, Floats]:
    """Light on the surface: display-value factors [ROWS, COLS, 3] and highlights [ROWS, COLS]."""
    normal = _normals(head)
    lamp, eye = _to_face(light.direction, head.pose), _to_face([0, 0, 1], head.pose)
    facing = np.clip((normal @ lamp + light.wrap) / (1 + light.wrap), 0, 1)
    facing *= 1 - light.cast * _cast_shadow(head, lamp)
    # Subsurface scattering: light leaves skin beside where it enters, which softens ridges and
    # the edges of shadows.
    facing += (blurred(facing, light.scatter) - facing) * np.float32(0.75)
    # The lip reflects light to the underside of the nose, which is hardly ever black.
    nose_v = (head.v[:, None] - head.shape.nose_length - 3) / 13
    under_nose = np.exp(-(nose_v**2) - (head.u / (0.95 * head.shape.nose_width)) ** 2)
    facing += under_nose.astype(np.float32) * np.float32(light.bounce * facing.mean())
    # Ambient occlusion: hollows, found by comparison with a blurred surface, see less of the sky.
    hollow = np.clip(1 + 0.05 * (head.z - blurred(head.z, 12)), 0.6, 1.15)
    sky = hollow * (0.8 - 0.2 * normal[..., 1])
    linear = sky[..., None] * light.ambient + facing[..., None] * light.key
    # Red light scatters the furthest in skin: shadows on it are warm.
    warmth = np.array([0.85, 1.0, 1.06], dtype=np.float32)
    half = lamp + eye
    half /= np.linalg.norm(half)
    shine = np.clip(normal @ half, 0, 1) ** light.tightness * facing * (0.4 + _oil(head))
    display = np.maximum(linear, 0.01) ** (warmth * np.float32(light.contrast))
    front = display[ROWS // 3 : -ROWS // 6, COLS // 3 : -COLS // 3]
    display *= np.float32(light.exposure / front.mean())
    return display, shine * (light.shine * light.exposure * skin_shine)


def _oil(head: Head) -> Floats:
    """Shininess of the skin, highest on forehead, nose and cheekbones, 0..1, [ROWS, COLS]."""
    v, u = head.v[:, None], np.abs(head.u)
    middle = np.exp(-((u / 34) ** 2)) * (v < 110) * (1 - 0.5 * np.exp(-(((v - 12) / 30) ** 2)))
    bones = np.exp(-(((u - 68) / 26) ** 2 + ((v - 42) / 20) ** 2))
    return np.maximum(middle, 0.75 * bones).astype(np.float32)


def _normals(head: Head) -> Floats:
    """Unit normals in face coordinates, [ROWS, COLS, 3]."""
    du_v, du_a = np.gradient(head.u)
    dz_v, dz_a = np.gradient(head.z)
    dv = float(head.v[1] - head.v[0])
    # (du_a, 0, dz_a) x (du_v, dv, dz_v)
    normal = np.stack([-dz_a * dv, dz_a * du_v - du_a * dz_v, du_a * dv], 2)
    return normal / (np.linalg.norm(normal, axis=2, keepdims=True) + 1e-6)


def _to_face(direction: ArrayLike, pose: Pose) -> Floats:
    """Rotate a direction from view into face coordinates."""
    x, y, z = np.asarray(direction, dtype=np.float32)
    cp, sp = np.cos(pose.pitch), np.sin(pose.pitch)
    y, depth = y * cp - z * sp, z * cp + y * sp
    cy, sy = np.cos(pose.yaw), np.sin(pose.yaw)
    return np.array([x * cy - depth * sy, y, x * sy + depth * cy], dtype=np.float32)


def _cast_shadow(head: Head, lamp: Floats) -> Floats:
    """How much of the lamp is hidden from each point by nose and brows, [ROWS, COLS] in 0..1."""
    if lamp[2] < 0.05:
        return np.full((ROWS, COLS), 0.65, dtype=np.float32)
    shade = np.zeros((ROWS, COLS), dtype=np.float32)
    row_step = float(head.v[1] - head.v[0])
    col_step = 2 * WIDEST / COLS * 125  # near the middle, where nose and sockets are
    for reach in (8, 14, 20, 28, 36, 46):
        rows = np.arange(ROWS) + round(reach * lamp[1] / row_step)
        cols = np.arange(COLS) + round(reach * lamp[0] / col_step)
        towards_lamp = head.z.take(rows, 0, mode="clip").take(cols, 1, mode="clip")
        shade = np.maximum(shade, towards_lamp - head.z - reach * lamp[2])
    return np.clip(blurred(shade, 4) / 14, 0, 1)


def skin_texture(rng: np.random.Generator, head: Head, person: Person) -> Floats:
    """Unlit skin, display colours [ROWS, COLS, 3]: blush, mottling, freckles, shadowed lids."""
    shape = (ROWS, COLS)

    def spot(u: float, v: float, width: float, height: float) -> Floats:
        return _gaussian((np.abs(head.u) - u) / width, (head.v[:, None] - v) / height)

    fair = 1 - 0.7 * person.darkness
    red = spot(75, 60, 30, 26) * rng.uniform(0, 0.16) + spot(0, 85, 22, 16) * rng.uniform(0, 0.12)
    red = red + rng.uniform(0.01, 0.05) * noise(rng, shape, (9, 9))
    red = red + rng.uniform(0.01, 0.03) * noise(rng, shape, (40, 34))
    tired = spot(EYE_U - 6, 22, 22, 11) * rng.uniform(0.06, 0.26) + spot(46, 3, 9, 14) * 0.05
    pores = noise(rng, shape, shape) + noise(rng, shape, (ROWS // 2, COLS // 2))
    fine = 0.02 * noise(rng, shape, (20, 16)) + rng.uniform(0.008, 0.042) * pores
    # Powder, tan, shade of hair and hands: no face has a uniform tone.
    fine = fine + rng.uniform(0, 0.06) * noise(rng, shape, (7, 6))
    fine = fine - _contouring(rng, spot, person.make_up)
    colour = np.empty((*shape, 3), dtype=np.float32)
    for channel, pull in enumerate((0.25, -0.95, -0.75)):
        dark = 1 + fine - tired * (1.0 if channel else 0.8)
        colour[..., channel] = person.skin[channel] * dark * (1 + pull * fair * red)
    if rng.random() < 0.12:  # freckles
        freckles = noise(rng, shape, (110, 90)) > rng.uniform(1.3, 2.2)
        where = blurred(freckles.astype(np.float32), 2) * spot(40, 55, 55, 40)
        colour *= 1 - where[..., None] * np.array([0.25, 0.4, 0.5], dtype=np.float32)
    return _wrinkled(rng, colour, head, person)


def _contouring(rng: np.random.Generator, spot: Callable[..., Floats], make_up: float) -> Floats:
    """Darkness of hollow or powdered cheeks and of jaw and temples, [ROWS, COLS]."""
    cheeks = spot(92, 92, 16, 34) * rng.uniform(0, 0.1 + 0.14 * make_up)
    edges = (spot(122, 150, 26, 60) + spot(128, -90, 22, 40)) * rng.uniform(0, 0.1)
    edges = edges + spot(0, -120, 90, 26) * rng.uniform(0, 0.16)
    edges = edges - spot(0, 185, 60, 26) * rng.uniform(0, 0.16)
    # The nose is a little darker and redder than the cheeks, more so at its root.
    nose = spot(0, 50, 22, 40) * rng.normal(0.05, 0.05) + spot(0, 4, 22, 14) * rng.uniform(0, 0.2)
    pale = spot(24, -42, 34, 15) * rng.uniform(0.0, 0.12)
    pale = pale + spot(0, 108, 30, 12) * rng.uniform(0, 0.12)
    return (cheeks + edges + nose - pale).astype(np.float32)


def _wrinkled(rng: np.random.Generator, colour: Floats, head: Head, person: Person) -> Floats:
    """Skin with lines across the forehead and around the eyes, which deepen with age."""
    depth = max(0.0, person.age - 0.3) * rng.uniform(0.05, 0.6)
    if depth <= 0.01:
        return colour
    u, v = np.abs(head.u), head.v[:, None] + 6 * noise(rng, head.u.shape, (3, 6))
    low = head.v[:, None] + 0.2 * u

    def lines(phase: Floats, threshold: float, area: Floats) -> Floats:
        return np.clip(np.sin(phase) - threshold, 0, 1) * area

    forehead = lines(v / rng.uniform(2.2, 3.6), 0.35, _gaussian(u / 60, (v + 85) / 24))
    crow = lines((v - 0.35 * u) / 2.0, 0.3, _gaussian((u - 100) / 10, (v - 6) / 16))
    bags = lines(low / rng.uniform(1.8, 2.8), 0.2, _gaussian((u - EYE_U) / 26, (low - 42) / 13))
    between = _gaussian((u - 9) / 2.2, (v + 32) / 14)
    return colour * (1 - depth * (forehead + 0.8 * crow + 0.7 * bags + 0.6 * between))[..., None]
