"""Which part of an aligned photo a model looks at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from facesegkit.errors import FaceSegKitError
from facesegkit.photos import Box

SMALLEST = 0.1  # or else a model's file could ask for photos that no memory holds

Pictures = TypeVar("Pictures", bound=Any)  # a numpy array or a PyTorch tensor


@dataclass(frozen=True)
class Crop:
    """A square part of a square photo. All three are shares of the photo's side.

    Args:
        x: of its middle, from the left.
        y: of its middle, from the top.
        size: its side.

    Raises:
        FaceSegKitError: it reaches beyond the photo, or is smaller than `SMALLEST`.
    """

    x: float = 0.5
    y: float = 0.5
    size: float = 1.0

    def __post_init__(self) -> None:
        half = self.size / 2
        inside = all(half - 1e-6 <= middle <= 1 - half + 1e-6 for middle in (self.x, self.y))
        if not (self.size >= SMALLEST and inside):
            raise FaceSegKitError(
                f"A crop lies within its photo and has at least {SMALLEST:.0%} of its side; this "
                f"one has its middle at {self.x}, {self.y} and a side of {self.size}."
            )

    def box(self, side: int) -> Box:
        """The same in whole pixels of a photo that is `side` pixels wide and high."""
        left, top = (round(side * (middle - self.size / 2)) for middle in (self.x, self.y))
        right, bottom = (round(side * (middle + self.size / 2)) for middle in (self.x, self.y))
        return Box(left, top, right, bottom)

    def of(self, pictures: Pictures) -> Pictures:
        """This part of square pictures: [B, H, H, ...] -> [B, h, h, ...], a view."""
        box = self.box(pictures.shape[1])
        part: Pictures = pictures[:, box.top : box.bottom, box.left : box.right]
        return part

    def whole_side(self, side: int) -> int:
        """How large a photo has to be for this part of it to be `side` pixels wide."""
        return round(side / self.size)

    def to_dict(self) -> dict[str, float]:
        """For a model's file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Any) -> Crop:
        """From what `to_dict` gave; the whole photo from None.

        Raises:
            FaceSegKitError: it is something else.
        """
        if plain is None:
            return WHOLE
        try:
            return cls(**{name: float(value) for name, value in dict(plain).items()})
        except (TypeError, ValueError) as error:
            raise FaceSegKitError(f"{plain!r} is not a crop: {error}.") from error


WHOLE = Crop()

# CelebAMask-HQ shows hair and shoulders too. This part has all eyes, brows, noses and mouths of its
# validation split, with room around them, and shows each a quarter larger.
FACE = Crop(0.5, 0.5625, 0.8)

CROPS = {"photo": WHOLE, "face": FACE}
