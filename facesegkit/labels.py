"""The 19 parts of CelebAMask-HQ, and the schemes that merge them into classes.

A *label map* is one picture of part ids 0..18. A *scheme* says which parts make which class;
`Scheme.merge` turns a label map into class ids, which is what a model learns and predicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesegkit.errors import FaceSegKitError

# A part's id is its place here. This is the order in which the data set's authors paint the
# masks over each other, so it also decides who wins where two masks overlap.
PARTS = (
    "background",
    "skin",
    "nose",
    "eye_g",  # glasses
    "l_eye",  # "l" and "r" are the person's own: l_eye lies in the right half of the picture
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",  # what is seen inside the lips
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "ear_r",  # earring
    "neck_l",  # necklace
    "neck",
    "cloth",
)
PART_IDS = {name: part_id for part_id, name in enumerate(PARTS)}

Colour = tuple[int, int, int]

_MIRRORED = {"l_eye": "r_eye", "l_brow": "r_brow", "l_ear": "r_ear"}
_MIRRORED |= {right: left for left, right in _MIRRORED.items()}

# MIRROR[part id] is the part's id in a mirrored photo: what was the left eye is now the right one.
MIRROR = np.array([PART_IDS[_MIRRORED.get(name, name)] for name in PARTS], dtype=np.uint8)


def paint_parts(masks: Mapping[str, NDArray[Any]], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Merge part masks into one label map, in part order, later over earlier.

    Args:
        masks: part name -> [H, W], non-zero where the part is. Missing parts are absent.
        shape: (H, W) of the result, needed when there is no mask at all.

    Returns:
        Part ids 0..18, uint8 [H, W].
    """
    label_map = np.zeros(shape, dtype=np.uint8)
    for part_id, name in enumerate(PARTS):
        if name in masks:
            label_map[masks[name] != 0] = part_id
    return label_map


def mirror_label_map(label_map: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Flip a label map left to right, and let left and right parts change names.

    Args:
        label_map: part ids, uint8 [..., H, W].
    """
    return MIRROR[label_map[..., ::-1]]


@dataclass(frozen=True)
class LabelScheme:
    """Which parts make which class, and the classes' colours. Class 0 is what is left over.

    Args:
        name: what the scheme is called in reports and checkpoints.
        classes: class name -> names of the parts that it is made of. Class ids follow this
            order, from 1; every part not named belongs to the background.
        colours: one (r, g, b) in 0..255 per class, background not included.

    Raises:
        FaceSegKitError: an unknown part, a part in two classes, a class without parts, a class
            called background, or colours that do not fit.
    """

    name: str
    classes: Mapping[str, Sequence[str]]
    colours: Sequence[Colour]

    def __post_init__(self) -> None:
        if not self.classes:
            raise FaceSegKitError(f"Scheme {self.name!r} has no class; name at least one.")
        owner: dict[str, str] = {}
        for class_name, parts in self.classes.items():
            self._check_class(class_name, parts)
            for part in parts:
                if part in owner:
                    raise FaceSegKitError(
                        f"Scheme {self.name!r} puts the part {part!r} into both {owner[part]!r} "
                        f"and {class_name!r}; a part belongs to one class."
                    )
                owner[part] = class_name
        if len(self.colours) != len(self.classes):
            raise FaceSegKitError(
                f"Scheme {self.name!r} has {len(self.classes)} classes but "
                f"{len(self.colours)} colours; give one colour per class."
            )
        for colour in self.colours:
            if not _is_colour(colour):
                raise FaceSegKitError(
                    f"Scheme {self.name!r} has the colour {colour!r}; "
                    f"a colour is three whole numbers from 0 to 255."
                )

    def _check_class(self, class_name: str, parts: Sequence[str]) -> None:
        if class_name == "background":
            raise FaceSegKitError(
                f"Scheme {self.name!r} names a class 'background'; "
                f"that is what the parts left over become, give the class another name."
            )
        if not isinstance(parts, (list, tuple)) or not parts:
            raise FaceSegKitError(
                f"Scheme {self.name!r} gives the class {class_name!r} the parts {parts!r}; "
                f"a class needs a list of part names."
            )
        unknown = [part for part in parts if part not in PARTS[1:]]
        if unknown:
            raise FaceSegKitError(
                f"Scheme {self.name!r} names an unknown part {unknown[0]!r} in the class "
                f"{class_name!r}; the parts are {', '.join(PARTS[1:])}."
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """All class names by class id, background first."""
        return ("background", *self.classes)

    @property
    def palette(self) -> NDArray[np.uint8]:
        """Colour of each class id, uint8 [C, 3]; the background is black."""
        return np.array([(0, 0, 0), *self.colours], dtype=np.uint8)

    @cached_property
    def class_of_part(self) -> NDArray[np.uint8]:
        """Look-up table from part id to class id, uint8 [19]."""
        table = np.zeros(len(PARTS), dtype=np.uint8)
        for class_id, parts in enumerate(self.classes.values(), start=1):
            table[[PART_IDS[part] for part in parts]] = class_id
        return table

    def classes_within(self, parts: Iterable[str]) -> list[int]:
        """Ids of the classes that are made of these parts alone, or of some of them."""
        wanted = set(parts)
        return [
            number
            for number, of_class in enumerate(self.classes.values(), start=1)
            if wanted.issuperset(of_class)
        ]

    def merge(self, label_map: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Class ids of a label map: part ids uint8 [...] in, class ids uint8 [...] out.

        Raises:
            FaceSegKitError: there is no such part.
        """
        try:
            return self.class_of_part.take(label_map)  # twice as fast as indexing
        except IndexError as error:
            raise no_such_part(int(label_map.max())) from error

    def colour(self, class_ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Picture of class ids: uint8 [...] in, RGB uint8 [..., 3] out."""
        return self.palette.take(class_ids, axis=0)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, for checkpoints and JSON files."""
        return {
            "name": self.name,
            "classes": {name: list(parts) for name, parts in self.classes.items()},
            "colours": [list(colour) for colour in self.colours],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> LabelScheme:
        """The reverse of `to_dict`; colours may be left out.

        Raises:
            FaceSegKitError: as the constructor does, and when `plain` has another form.
        """
        classes = plain.get("classes")
        if not isinstance(classes, Mapping):
            raise FaceSegKitError(
                "A scheme needs 'classes', a table of class names and part names such as "
                '{"eyes": ["l_eye", "r_eye"]}.'
            )
        colours = plain.get("colours", distinct_colours(len(classes)))
        if not isinstance(colours, (list, tuple)):
            raise FaceSegKitError(
                f"A scheme's 'colours' are a list such as [[255, 0, 0]], not {colours!r}."
            )
        return cls(str(plain.get("name", "own")), dict(classes), colours)


def no_such_part(part_id: int) -> FaceSegKitError:
    """What to say about a label map that holds a number without meaning."""
    return FaceSegKitError(
        f"A label map holds the part {part_id}, and there are only {len(PARTS)}: packed data that "
        f"is damaged has to be deleted and packed again."
    )


def _is_colour(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 3
        and all(isinstance(level, int) and 0 <= level <= 255 for level in value)
    )


def distinct_colours(count: int) -> list[Colour]:
    """`count` colours that differ in hue, and from black, for schemes that bring none.

    Bits of the class id are spread over the three channels, as PASCAL VOC's colour map does
    (M. Everingham et al., "The PASCAL Visual Object Classes Challenge", devkit, VOClabelcolormap).
    """
    colours = []
    for class_id in range(1, count + 1):
        channels = [0, 0, 0]
        for bit in range(8):
            channels[bit % 3] |= (class_id >> bit & 1) << (7 - bit // 3)
        colours.append((channels[0], channels[1], channels[2]))
    return colours


FIVE_FEATURES = LabelScheme(
    name="five features",
    classes={
        "eyes": ("l_eye", "r_eye"),
        "eyebrows": ("l_brow", "r_brow"),
        "nose": ("nose",),
        "mouth": ("mouth",),
        "lips": ("u_lip", "l_lip"),
    },
    colours=[(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)],
)

ALL_PARTS = LabelScheme(
    name="all parts",
    classes={name: (name,) for name in PARTS[1:]},
    colours=distinct_colours(len(PARTS) - 1),
)
