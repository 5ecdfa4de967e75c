"""Which part of an aligned photo a model looks at."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from facesegkit.errors import FaceSegKitError

MIN_CROP_SIZE = 0.1  # or else a model's file could ask for photos that no memory holds

Images = TypeVar("Images", bound=Any)  # a numpy array or a PyTorch tensor


@dataclass(frozen=True)
class RelativeCrop:
    """A square part of a square photo. All three are shares of the photo's side.

    Args:
        x: of its middle, from the left.
        y: of its middle, from the top.
        size: its side.

    Raises:
        FaceSegKitError: it reaches beyond the photo, or is smaller than `MIN_CROP_SIZE`.
    """

    x: float = 0.5
    y: float = 0.5
    size: float = 1.0

    def __post_init__(self) -> None:
        half = self.size / 2
        inside = all(half - 1e-6 <= middle <= 1 - half + 1e-6 for middle in (self.x, self.y))
        if not (self.size >= MIN_CROP_SIZE and inside):
            raise FaceSegKitError(
                f"A crop lies within its photo and has at least {MIN_CROP_SIZE:.0%} of its side; this "
                f"one has its middle at {self.x}, {self.y} and a side of {self.size}."
            )

    def box(self, side: int) -> BBox:
        """The same in whole pixels of a photo that is `side` pixels wide and high."""
        left, top = (round(side * (middle - self.size / 2)) for middle in (self.x, self.y))
        right, bottom = (round(side * (middle + self.size / 2)) for middle in (self.x, self.y))
        return BBox(left, top, right, bottom)

    def of(self, pictures: Images) -> Images:
        """This part of square pictures: [B, H, H, ...] -> [B, h, h, ...], a view."""
        box = self.box(pictures.shape[1])
        part: Images = pictures[:, box.top : box.bottom, box.left : box.right]
        return part

    def whole_side(self, side: int) -> int:
        """How large a photo has to be for this part of it to be `side` pixels wide."""
        return round(side / self.size)

    def to_dict(self) -> dict[str, float]:
        """For a model's file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Any) -> RelativeCrop:
        """From what `to_dict` gave; the whole photo from None.

        Raises:
            FaceSegKitError: it is something else.
        """
        if plain is None:
            return FULL_IMAGE
        try:
            return cls(**{name: float(value) for name, value in dict(plain).items()})
        except (TypeError, ValueError) as error:
            raise FaceSegKitError(f"{plain!r} is not a crop: {error}.") from error


FULL_IMAGE = RelativeCrop()

# CelebAMask-HQ shows hair and shoulders too. This part has all eyes, brows, noses and mouths of its
# validation split, with room around them, and shows each a quarter larger.
FACE_CROP = RelativeCrop(0.5, 0.5625, 0.8)

CROPS = {"photo": FULL_IMAGE, "face": FACE_CROP}


# x' = a x + b y + c and y' = d x + e y + f as (a, b, c, d, e, f), as Pillow's `transform` wants it.
Affine = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class FaceROI:
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

    def enlarged(self, times: float) -> FaceROI:
        """The same place on a photo that is enlarged."""
        return replace(self, x=self.x * times, y=self.y * times, size=self.size * times)

    def part(self, crop: RelativeCrop) -> FaceROI:
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

    def turned(self, angle: float) -> FaceROI:
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

    def box(self, size: tuple[int, int]) -> BBox:
        """The part of a photo of this width and height that the frame touches; may be empty."""
        corners = self.corners
        left, top = np.clip(np.floor(corners.min(0)), 0, size).astype(int).tolist()
        right, bottom = np.clip(np.ceil(corners.max(0)), 0, size).astype(int).tolist()
        return BBox(left, top, right, bottom)

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


def aligned_roi(size: tuple[int, int]) -> FaceROI:
    """The frame of a photo of this width and height if it is aligned already."""
    return FaceROI(size[0] / 2, size[1] / 2, max(size), angle=0.0, sure=0.0)


def _wrapped(angle: float) -> float:
    """The same angle in -pi..pi."""
    return math.remainder(angle, 2 * math.pi)


_PIECE = 1_000_000  # pixels that are worked on at a time where all of a large photo would not fit


class BBox(NamedTuple):
    """Whole pixels from `left` up to but not including `right`, from `top` to `bottom`."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array [H, W, ...]."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def tiles(size: tuple[int, int]) -> Iterator[BBox]:
    """Boxes that cover a picture of this width and height, none of them too large for memory."""
    width, height = size
    across = max(1, min(width, _PIECE))
    down = _PIECE // across
    for top in range(0, height, down):
        for left in range(0, width, across):
            yield BBox(left, top, min(width, left + across), min(height, top + down))
