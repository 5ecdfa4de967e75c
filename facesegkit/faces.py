"""Where faces are on a photo, and each of them cut out the way the models were trained on.

A frame is the square that an aligned photo of CelebAMask-HQ would show: the face upright and in
the middle, hair and chin inside, eyes about a quarter of the side apart.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.crop import Crop
from facesegkit.parts import Scheme
from facesegkit.photos import PADDING, Box, planes
from facesegkit.upscaling import best_class, best_share, classes_at

# Of the network in `finder`: pixels between the places that it looks at, and the size of a frame,
# in pixels, that it calls 1. They stand here because faces are found without PyTorch.
STRIDE, USUAL = 8, 64.0

# The finder knows frames of 36 to 120 pixels. So it sees the photo with its longest side at each of
# these: then every frame from a 14th of that side up is shown at a size that it knows, and most
# are at two.
LEVELS = (64, 128, 256, 512)

# Where nobody was found, a second try: of 553 faces on validation scenes, twelve are missed without
# it, and three with it.
LEVELS_BETWEEN = (90, 181, 362)

# How sure the finder has to be of a frame; and of one that is worth a look where there is no surer
# face. On validation scenes a fiftieth of the faces are of the latter kind, most of them turned and
# cut, and on a photo of many patterns most of what is no face.
SURE, HARDLY_SURE = 0.55, 0.45

# Looked at as long as there are still small faces, or none at all. Four times the pixels take four
# times as long, so at the last ones nobody is looked for where all before showed nobody.
FINER_LEVELS = (1024, 2048, 4096)
LAST_LEVEL_FOR_NOBODY = 2048
SMALL = 56.0  # pixels of a frame at the finest level so far, with more such faces likely below it

# x' = a x + b y + c and y' = d x + e y + f as (a, b, c, d, e, f), as Pillow's `transform` wants it.
Affine = tuple[float, float, float, float, float, float]

Find = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Frame:
    """The square around a face.

    Args:
        x: of its middle, in pixels of the photo.
        y: of its middle.
        size: its side, in pixels.
        angle: by how much the face is turned clockwise, in radians.
        sure: how sure the finder is that there is a face, 0..1.
    """

    x: float
    y: float
    size: float
    angle: float
    sure: float

    def enlarged(self, times: float) -> Frame:
        """The same place on a photo that is enlarged."""
        return replace(self, x=self.x * times, y=self.y * times, size=self.size * times)

    def part(self, crop: Crop) -> Frame:
        """The frame of a part of what this one shows."""
        xx, xy, x, yx, yy, y = self.from_upright(1)
        return replace(
            self,
            x=xx * crop.x + xy * crop.y + x,
            y=yx * crop.x + yy * crop.y + y,
            size=self.size * crop.size,
        )

    def shows(self, x: float, y: float, size: tuple[int, int]) -> bool:
        """Whether a place in it, in shares of its side, is on a photo of this width and height."""
        xx, xy, left, yx, yy, top = self.from_upright(1)
        across, down = xx * x + xy * y + left, yx * x + yy * y + top
        return 0 <= across < size[0] and 0 <= down < size[1]

    def turned(self, angle: float) -> Frame:
        """The same square, turned clockwise, in radians."""
        return replace(self, angle=_wrapped(self.angle + angle))

    @property
    def corners(self) -> NDArray[np.float64]:
        """x and y of the upper left, upper right, lower right and lower left corner, [4, 2].

        Upper and left are the face's.
        """
        half = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * self.size
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return half @ np.array([[cosine, sine], [-sine, cosine]]) + (self.x, self.y)

    def box(self, size: tuple[int, int]) -> Box:
        """The part of a photo of this width and height that the frame touches; may be empty."""
        corners = self.corners
        left, top = np.clip(np.floor(corners.min(0)), 0, size).astype(int).tolist()
        right, bottom = np.clip(np.ceil(corners.max(0)), 0, size).astype(int).tolist()
        return Box(left, top, right, bottom)

    def to_upright(self, side: int) -> Affine:
        """From places on the photo to places in what the frame shows, upright, `side` wide."""
        scale = side / self.size
        cosine, sine = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        x, y, half = self.x, self.y, side / 2
        return (
            cosine, sine, half - cosine * x - sine * y,
            -sine, cosine, half + sine * x - cosine * y,
        )  # fmt: skip

    def from_upright(self, side: int) -> Affine:
        """From places in what the frame shows, upright, `side` wide, to places on the photo."""
        scale = self.size / side
        cosine, sine = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        half = side / 2
        return (
            cosine, -sine, self.x - half * (cosine - sine),
            sine, cosine, self.y - half * (sine + cosine),
        )  # fmt: skip


def find_frames(
    photo: Image.Image, find: Find, levels: Sequence[int] = LEVELS, sure: float = SURE
) -> list[Frame]:
    """The frames of a photo's faces, the surest first.

    Args:
        photo: RGB.
        find: float32 [1, 3, H, W] in 0..1 to float32 [1, 6, H / 8, W / 8], as `finder.FaceFinder`.
        levels: lengths, in pixels, of the photo's longest side as it is looked at, ascending.
        sure: how sure the finder has to be.
    """
    found: list[Frame] = []
    longest = max(photo.size)
    fine = photo.reduce(max(1, round(longest / levels[-1])))  # fast; the levels are made of it
    for level in levels:
        if level > 64 and level >= 2 * longest:
            break  # enlarged twofold, a photo shows all that it has
        times = level / longest
        size = [max(STRIDE, round(side * times / STRIDE) * STRIDE) for side in photo.size]
        small = fine.resize((size[0], size[1]), Image.Resampling.BILINEAR)
        output = find(planes(small))[0]
        across, down = photo.size[0] / size[0], photo.size[1] / size[1]
        found += [
            replace(frame, x=frame.x * across, y=frame.y * down, size=frame.size / times)
            for frame in frames_in(output, sure)
        ]
    return without_doubles(found)


def frames_in(output: NDArray[np.float32], sure: float) -> list[Frame]:
    """The frames that a finder's output means, float32 [6, h, w]: its peaks."""
    height, width = output.shape[1:]
    logit = output[0]
    padded = np.pad(logit, 1, constant_values=-np.inf)
    around = np.max([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], 0)
    peaks = (logit >= around) & (logit > math.log(sure / (1 - sure)))
    frames = []
    for row, column in zip(*np.nonzero(peaks), strict=True):
        score, dx, dy, size, cosine, sine = (float(value) for value in output[:, row, column])
        frames.append(
            Frame(
                x=(column + 0.5 + dx) * STRIDE,
                y=(row + 0.5 + dy) * STRIDE,
                size=USUAL * 2 ** min(max(size, -2.0), 2.0),
                angle=math.atan2(sine, cosine),
                sure=1 / (1 + math.exp(-score)),
            )
        )
    return frames


def next_level(level: int, faces: Sequence[Frame], longest: int) -> int | None:
    """The level at which to look for smaller faces, or None if that is not worth it.

    Args:
        level: the finest that was looked at.
        faces: those that were found so far.
        longest: side of the photo, in pixels.
    """
    finer = next((one for one in FINER_LEVELS if one > level), None)
    if finer is None or finer >= 2 * longest:
        return None
    if faces:
        smallest = min(face.size for face in faces) * level / longest
        return finer if smallest < SMALL else None
    return finer if finer <= LAST_LEVEL_FOR_NOBODY else None


def without_doubles(frames: list[Frame]) -> list[Frame]:
    """The surest of those that lie on each other."""
    kept: list[Frame] = []
    for frame in sorted(frames, key=lambda frame: -frame.sure):
        if all(
            math.hypot(frame.x - other.x, frame.y - other.y) > 0.3 * max(frame.size, other.size)
            for other in kept
        ):
            kept.append(frame)
    return kept


def aligned_frame(size: tuple[int, int]) -> Frame:
    """The frame of a photo of this width and height if it is aligned already."""
    return Frame(size[0] / 2, size[1] / 2, max(size), angle=0.0, sure=0.0)


def cut_out(photo: Image.Image, frame: Frame, side: int) -> Image.Image:
    """What a frame shows, upright, RGB, `side` pixels wide and high; grey beyond the photo."""
    shrink = int(frame.size / side)
    box = frame.box(photo.size)
    if shrink > 1 and box.left < box.right and box.top < box.bottom:
        # Or else a transform would leave out pixels between those that it takes.
        photo = photo.reduce(shrink, box)
        frame = replace(frame, x=frame.x - box.left, y=frame.y - box.top).enlarged(1 / shrink)
    return photo.transform(
        (side, side),
        Image.Transform.AFFINE,
        frame.from_upright(side),
        Image.Resampling.BILINEAR,  # bicubic takes twice as long and gains nothing
        fillcolor=PADDING,
    )


def put_back(upright: Image.Image, frame: Frame, size: tuple[int, int]) -> tuple[Image.Image, Box]:
    """Turn a picture of what a frame shows back into its place on the photo.

    Args:
        upright: square, of any mode; the result has the value of its nearest pixel, and 0 beyond.
        frame: where it was cut out.
        size: width and height of the photo.

    Returns:
        The part of the photo that the frame touches, and where it lies. It may be empty.
    """
    box = frame.box(size)
    left, top, right, bottom = box
    xx, xy, x, yx, yy, y = frame.to_upright(upright.width)
    from_box = (xx, xy, x + xx * left + xy * top, yx, yy, y + yx * left + yy * top)
    turned = upright.transform((right - left, bottom - top), Image.Transform.AFFINE, from_box)
    return turned, box


def classes_in(
    scores: NDArray[np.float32], place: Frame | Box, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], Box]:
    """The classes that scores mean, at the photo's size.

    Args:
        scores: float32 [C, h, w], of what was looked at.
        place: the frame that was cut out, or the part of the photo that was looked at as it is.
        size: width and height of the photo.

    Returns:
        Class ids, uint8 [H, W], of the part of the photo that was looked at, and where it lies. It
        may be empty.
    """
    if isinstance(place, Box):
        return classes_at(scores, (place.bottom - place.top, place.right - place.left)), place
    # As fine as the photo, but of a frame that lies beyond it for the most part only as fine as is
    # needed: it would take more memory than the photo has.
    box = place.box(size)
    in_photo = (box.right - box.left) * (box.bottom - box.top)
    fine = max(scores.shape[1], min(round(place.size), 2 * math.isqrt(in_photo)))
    turned, box = put_back(Image.fromarray(classes_at(scores, (fine, fine))), place, size)
    return np.asarray(turned), box


# --- Whether there is a face in what was cut out, and how it stands ----------------------------


# How sure the models that ship have to be of a face: on validation scenes and scikit-image's
# pictures one pattern was as certain, of 117 that have two of the three roughly in place. A model
# that was trained for a few minutes is never as sure, so what it usually is stands in its file.
CERTAIN, LEAST_CERTAIN = 0.87, 0.6

# The parts of eyes, nose and mouth, by which a face is told and seen to stand upright.
LANDMARKS = (("l_eye", "r_eye"), ("nose",), ("mouth", "u_lip", "l_lip"))


@dataclass(frozen=True)
class Landmarks:
    """Where eyes, nose and mouth have their middles, by what a model found.

    Each is x and y as shares of an aligned photo's side, or None where there is nothing of it.

    Args:
        eyes: both together.
        nose: the whole of it.
        mouth: lips and all.
        certainty: mean share, after softmax, that the model gives to the class of a pixel of
            these, each of the three counting alike; 0 where it finds none of them.
    """

    eyes: tuple[float, float] | None
    nose: tuple[float, float] | None
    mouth: tuple[float, float] | None
    certainty: float

    @classmethod
    def of(cls, scores: NDArray[np.float32], scheme: Scheme, crop: Crop) -> Landmarks:
        """From the scores, float32 [C, h, w], of a crop of an aligned photo."""
        # Every other pixel is as good as all, for a quarter of the time.
        scores = np.ascontiguousarray(scores[:, ::2, ::2])
        side = scores.shape[-1]
        classes = best_class(scores).ravel()
        marked = np.flatnonzero(classes)
        shares = best_share(scores.reshape(len(scores), -1)[:, marked])
        certainties = []

        def middle(parts: tuple[str, ...]) -> tuple[float, float] | None:
            of_parts = np.isin(classes[marked], scheme.classes_within(parts))
            places = marked[of_parts]
            if len(places) < _FEWEST * classes.size:
                return None
            certainties.append(float(shares[of_parts].mean()))
            x, y = ((p.mean() + 0.5) / side - 0.5 for p in (places % side, places // side))
            return crop.x + crop.size * float(x), crop.y + crop.size * float(y)

        eyes, nose, mouth = map(middle, LANDMARKS)
        return cls(eyes, nose, mouth, float(np.mean(certainties)) if certainties else 0.0)

    @property
    def pairs(self) -> list[tuple[tuple[float, float] | None, tuple[float, float]]]:
        """Where each of the three is, and where it usually is."""
        return [(self.eyes, USUAL_EYES), (self.nose, USUAL_NOSE), (self.mouth, USUAL_MOUTH)]

    @property
    def _astray(self) -> float:
        """How far one of them lies from its usual place, at most; with fewer than two, endless."""
        apart = [math.dist(found, usual) for found, usual in self.pairs if found is not None]
        return max(apart) if len(apart) >= 2 else math.inf

    def may_be_a_face(self, certain: float = CERTAIN) -> bool:
        """Whether another look, at a straightened frame, might show a face.

        Args:
            certain: how sure the model usually is of faces.
        """
        return self._astray < _FAR_ASTRAY and self.certainty > certain - _LESS

    def is_a_face(self, frame: Frame, size: tuple[int, int], certain: float = CERTAIN) -> bool:
        """Whether at least two of the three lie where they should, and surely.

        It has to be very sure if one lacks that the photo should show.

        Args:
            frame: what it was looked for in.
            size: width and height of the photo.
            certain: how sure the model usually is of faces.
        """
        lacks = any(found is None and frame.shows(*usual, size) for found, usual in self.pairs)
        return self._astray < _ASTRAY and self.certainty > (certain + _MORE if lacks else certain)


# The middles on CelebAMask-HQ's train split; their spread is 0.01 to 0.02.
USUAL_EYES, USUAL_NOSE, USUAL_MOUTH = (0.499, 0.478), (0.498, 0.576), (0.499, 0.749)

_FEWEST = 0.0005  # of a cut-out's pixels: a fourth of a small eye
_ASTRAY = 0.12  # of an aligned photo's side
_MORE = 0.04  # sure has a model to be where a part lacks
# On validation scenes, every face that further looks confirm passes these at the first, and of
# the looks at what is none five sixths are saved.
_FAR_ASTRAY, _LESS = 0.3, 0.12


def straightened(frame: Frame, found: Landmarks) -> Frame:
    """The frame in which the landmarks would lie where they usually do, as nearly as can be.

    Places are complex numbers, x + y i; then a turn, a scale and a shift are one product and one
    sum, and those that bring the usual places nearest to the found ones are given by the least
    squares. It is the frame itself where no mouth was found, or nothing else: eyes and nose are so
    near each other that they tell little of size and angle.
    """
    pairs = [(complex(*usual), complex(*at)) for at, usual in found.pairs if at is not None]
    if found.mouth is None or len(pairs) < 2:
        return frame
    usual, at = np.array(pairs).T
    spread = usual - usual.mean()
    factor = complex(np.vdot(spread, at - at.mean()) / np.vdot(spread, spread).real)
    times, turn = min(max(abs(factor), 0.5), 2.0), math.atan2(factor.imag, factor.real)
    middle = at.mean() + times * cmath.exp(1j * turn) * (complex(0.5, 0.5) - usual.mean())
    x, y = (min(max(float(v), 0.05), 0.95) for v in (middle.real, middle.imag))
    moved = frame.part(Crop(x, y, 0.1))
    return replace(moved, size=frame.size * times, angle=_wrapped(frame.angle + turn))


def _wrapped(angle: float) -> float:
    """The same angle in -pi..pi."""
    return math.remainder(angle, 2 * math.pi)


def differ(one: Frame, other: Frame) -> bool:
    """Whether a face that is cut out by one or the other looks much different to a model."""
    return (
        abs(_wrapped(one.angle - other.angle)) > math.radians(8)
        or abs(math.log2(one.size / other.size)) > 0.12
        or math.hypot(one.x - other.x, one.y - other.y) > 0.05 * other.size
    )
