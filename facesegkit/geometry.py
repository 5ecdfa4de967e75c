"""Regions of an image: crops, bounding boxes, and the aligned square around a face."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from facesegkit.errors import FaceSegKitError

Images = TypeVar("Images", bound=Any)  # a numpy array or a PyTorch tensor

MIN_CROP_SIZE = 0.1  # otherwise a damaged model file could require photos larger than memory


class BBox(NamedTuple):
    """A bounding box in pixels; `right` and `bottom` are excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array [H, W, ...]."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def moved(self, right: int, down: int) -> "BBox":
        """The same box, moved by some pixels."""
        return BBox(self.left + right, self.top + down, self.right + right, self.bottom + down)

    def intersection(self, other: "BBox") -> "BBox | None":
        """The box of the pixels that both share, if there are any."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return BBox(left, top, right, bottom) if left < right and top < bottom else None


@dataclass(frozen=True)
class RelativeCrop:
    """The square part of a square image that a model sees, in fractions of the image's side.

    Raises a FaceSegKitError if it extends beyond the image or is smaller than `MIN_CROP_SIZE`.
    """

    x: float = 0.5  # centre of the crop, from the left
    y: float = 0.5  # and from the top
    size: float = 1.0  # side of the crop

    def __post_init__(self) -> None:
        half = self.size / 2
        inside = all(half - 1e-6 <= centre <= 1 - half + 1e-6 for centre in (self.x, self.y))
        if not (self.size >= MIN_CROP_SIZE and inside):
            raise FaceSegKitError(
                f"A crop must lie within its image and have at least {MIN_CROP_SIZE:.0%} of its "
                f"side; this one has its centre at {self.x}, {self.y} and a side of {self.size}."
            )

    def box(self, side: int) -> BBox:
        """The crop in pixels of an image that is `side` pixels wide and high."""
        left, top = (round(side * (centre - self.size / 2)) for centre in (self.x, self.y))
        right, bottom = (round(side * (centre + self.size / 2)) for centre in (self.x, self.y))
        return BBox(left, top, right, bottom)

    def of(self, images: Images) -> Images:
        """Crop square images: [B, H, H, ...] -> [B, h, h, ...], a view."""
        rows, columns = self.box(images.shape[1]).slices
        cropped: Images = images[:, rows, columns]
        return cropped

    def full_size(self, side: int) -> int:
        """Side of the image, in pixels, for the crop to be `side` pixels wide."""
        return round(side / self.size)

    def to_dict(self) -> dict[str, float]:
        """Plain numbers, for a model's file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Any) -> "RelativeCrop":
        """The inverse of `to_dict`; None gives the full image.

        Raises a FaceSegKitError if `plain` does not describe a valid crop.
        """
        if plain is None:
            return FULL_IMAGE
        try:
            return cls(**{name: float(value) for name, value in dict(plain).items()})
        except (TypeError, ValueError) as error:
            raise FaceSegKitError(f"{plain!r} is not a crop: {error}.") from error


FULL_IMAGE = RelativeCrop()

# CelebAMask-HQ also shows hair and shoulders. This crop contains all eyes, brows, noses and mouths
# of its validation split, with a margin, and enlarges them by a quarter.
FACE_CROP = RelativeCrop(0.5, 0.5625, 0.8)

CROPS = {"photo": FULL_IMAGE, "face": FACE_CROP}

# x' = a x + b y + c and y' = d x + e y + f as (a, b, c, d, e, f), as Pillow's `transform` takes it.
Affine = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class FaceROI:
    """The square region around a face that an aligned photo of CelebAMask-HQ would show.

    The face is upright in its centre, with hair and chin, and the eyes a quarter of the side apart.
    """

    x: float  # centre, in pixels of the photo
    y: float
    size: float  # side, in pixels
    angle: float  # rotation of the face, clockwise, in radians

    def scaled(self, factor: float) -> "FaceROI":
        """The same region of a photo that is resized by a factor."""
        return replace(self, x=self.x * factor, y=self.y * factor, size=self.size * factor)

    def cropped(self, crop: RelativeCrop) -> "FaceROI":
        """The region of a crop of the aligned face."""
        ((x, y),) = self.on_photo(np.array([[crop.x, crop.y]])).tolist()
        return replace(self, x=x, y=y, size=self.size * crop.size)

    def change_to(self, other: "FaceROI") -> float:
        """The largest of: shift in sides, change of size (logarithm), half the rotation (radians).

        Half, since the points of a face are about half a side from each other.
        """
        shift = math.hypot(other.x - self.x, other.y - self.y) / self.size
        rotation = abs(wrap_angle(other.angle - self.angle))
        return max(shift, abs(math.log(other.size / self.size)), rotation / 2)

    def on_photo(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Where points, [n, 2] in fractions of the ROI's side, lie on the photo."""
        xx, xy, left, yx, yy, top = self.from_aligned(1)
        return points @ np.array([[xx, yx], [xy, yy]]) + (left, top)

    @property
    def corners(self) -> NDArray[np.float64]:
        """x and y of the face's upper left, upper right, lower right and lower left, [4, 2]."""
        half = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * self.size
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return half @ np.array([[cosine, sine], [-sine, cosine]]) + (self.x, self.y)

    def bbox(self, size: tuple[int, int]) -> BBox:
        """Bounding box on a photo of (width, height), cut at its borders; may be empty."""
        corners = self.corners
        left, top = np.clip(np.floor(corners.min(0)), 0, size).astype(int).tolist()
        right, bottom = np.clip(np.ceil(corners.max(0)), 0, size).astype(int).tolist()
        return BBox(left, top, right, bottom)

    def to_aligned(self, side: int) -> Affine:
        """Transform from the photo to the aligned face of `side` x `side` pixels."""
        scale = side / self.size
        cosine, sine = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        left = side / 2 - cosine * self.x - sine * self.y
        top = side / 2 + sine * self.x - cosine * self.y
        return cosine, sine, left, -sine, cosine, top

    def from_aligned(self, side: int) -> Affine:
        """Transform from the aligned face of `side` x `side` pixels to the photo."""
        scale = self.size / side
        cosine, sine = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        left = self.x - side / 2 * (cosine - sine)
        top = self.y - side / 2 * (sine + cosine)
        return cosine, -sine, left, sine, cosine, top


def aligned_roi(size: tuple[int, int]) -> FaceROI:
    """The ROI of a photo of this width and height that is aligned already."""
    return FaceROI(size[0] / 2, size[1] / 2, max(size), angle=0.0)


def wrap_angle(angle: float) -> float:
    """The same angle in -pi..pi."""
    return math.remainder(angle, 2 * math.pi)
