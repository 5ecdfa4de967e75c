"""The 19 parts of CelebAMask-HQ, and schemes that merge them into classes.

A *label map* contains part ids 0..18. A *scheme* says which parts form which class;
`LabelScheme.merge` converts a label map to class ids, which a model learns and predicts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesegkit.errors import FaceSegKitError

# The index is the part id. The data set's authors paint the masks over each other in this order,
# so it also decides which part wins where two masks overlap. "l" and "r" are the person's own
# sides: l_eye is in the right half of the image. "eye_g" are glasses, "mouth" is what is visible
# between the lips, "ear_r" is an earring and "neck_l" a necklace.
PARTS = (
    "background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear",
    "mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth",
)  # fmt: skip
PART_IDS = {name: part_id for part_id, name in enumerate(PARTS)}

# In label maps and class maps: a pixel of unknown part, which neither training nor evaluation
# counts. As in PASCAL VOC and torchvision (`ignore_index`).
IGNORED = 255

Colour = tuple[int, int, int]

_MIRRORED = {"l_eye": "r_eye", "l_brow": "r_brow", "l_ear": "r_ear"}
_MIRRORED |= {right: left for left, right in _MIRRORED.items()}

# MIRROR[part id] is the part's id in the flipped photo, where the left eye is a right eye. Other
# values, such as `IGNORED`, stay as they are.
MIRROR = np.arange(256, dtype=np.uint8)
MIRROR[: len(PARTS)] = [PART_IDS[_MIRRORED.get(name, name)] for name in PARTS]


def paint_parts(masks: Mapping[str, NDArray[Any]], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Merge part masks into a label map, uint8 [H, W], in the order of the ids, later over earlier.

    `masks` are [H, W] by part name, non-zero where the part is; a part without a mask is absent.
    `shape` is the (H, W) of the result.
    """
    label_map = np.zeros(shape, dtype=np.uint8)
    for part_id, name in enumerate(PARTS):
        if name in masks:
            label_map[masks[name] != 0] = part_id
    return label_map


def mirror_label_map(label_map: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Flip a label map (part ids, uint8 [..., H, W]) and swap its left and right parts."""
    return MIRROR[label_map[..., ::-1]]


@dataclass(frozen=True)
class LabelScheme:
    """Which parts form which class, and the colours of the classes.

    Raises a FaceSegKitError if a part is unknown or in two classes, a class has no parts or is
    called "background", or colours are invalid or missing.
    """

    name: str  # in reports and checkpoints
    # Class name -> names of its parts. Class ids follow this order, from 1; parts that are not
    # listed belong to class 0, the background.
    classes: Mapping[str, Sequence[str]]
    colours: Sequence[Colour]  # (r, g, b) in 0..255 of each class but the background

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise FaceSegKitError(f"Scheme {self.name[:60]!r} {problem}")

    def _problem(self) -> str | None:
        if len(self.name) > 200 or not self.name.isprintable():
            return f"has a name of {len(self.name):,} characters; at most 200, printable."
        if not self.classes:
            return "has no class; define at least one."
        owner: dict[str, str] = {}
        for name, parts in self.classes.items():
            if name == "background":
                return "names a class 'background', which is the name of class 0; rename it."
            if not (isinstance(name, str) and name.isprintable() and len(name) <= 60):
                return f"has a class name of {len(str(name)):,} characters; at most 60, printable."
            if not isinstance(parts, (list, tuple)) or not parts:
                return f"has {parts!r} in the class {name!r}; a class needs a list of part names."
            for part in parts:
                if part not in PARTS[1:]:
                    known = ", ".join(PARTS[1:])
                    return f"has an unknown part {part!r} in the class {name!r}; parts are {known}."
                if part in owner:
                    both = f"{owner[part]!r} and {name!r}"
                    return f"has the part {part!r} in both {both}; a part belongs to one class."
                owner[part] = name
        if (given := len(self.colours)) != (needed := len(self.classes)):
            return f"has {needed} classes but {given} colours; give one each."
        for colour in self.colours:
            if not _is_colour(colour):
                return f"has the colour {colour!r}; a colour is three integers from 0 to 255."
        return None

    @property
    def class_names(self) -> tuple[str, ...]:
        """All class names by class id, background first."""
        return ("background", *self.classes)

    def check_channels(self, channels: int) -> None:
        """Raise a ValueError unless a model's logits have one channel for each class."""
        if channels != (count := len(self.class_names)):
            has = f"the scheme {self.name!r} has {count} ({', '.join(self.class_names)})"
            raise ValueError(f"The model has {channels} classes, but {has}; give a matching model.")

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

    @cached_property
    def mirrored_classes(self) -> NDArray[np.int64]:
        """Look-up table from a class id to its id in the flipped photo, int64 [C].

        A class with parts of both sides, or of none, keeps its id.
        """
        parts = [0, *(PART_IDS[members[0]] for members in self.classes.values())]
        return self.class_of_part[MIRROR[parts]].astype(np.int64)

    def classes_within(self, parts: Iterable[str]) -> list[int]:
        """Ids of the classes that consist only of these parts."""
        wanted = set(parts)
        classes = enumerate(self.classes.values(), start=1)
        return [class_id for class_id, members in classes if wanted.issuperset(members)]

    def merge(self, label_map: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Convert part ids to class ids, both uint8 [...]; `IGNORED` remains.

        Raises a FaceSegKitError if a part id is invalid.
        """
        check_part_ids(label_map)
        table = np.full(256, IGNORED, dtype=np.uint8)
        table[: len(PARTS)] = self.class_of_part
        return table.take(label_map)  # twice as fast as indexing

    def colour(self, class_ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Convert class ids, uint8 [...], to colours, RGB uint8 [..., 3]; `IGNORED` is grey."""
        palette = np.full((256, 3), 128, dtype=np.uint8)
        palette[: len(self.palette)] = self.palette
        return palette.take(class_ids, axis=0)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, for checkpoints and JSON files."""
        return {
            "name": self.name,
            "classes": {name: list(parts) for name, parts in self.classes.items()},
            "colours": [list(colour) for colour in self.colours],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "LabelScheme":
        """The inverse of `to_dict`; name and colours are optional.

        Raises a FaceSegKitError if `plain` does not describe a valid scheme.
        """
        classes = plain.get("classes")
        if not isinstance(classes, Mapping):
            example = '{"eyes": ["l_eye", "r_eye"]}'
            raise FaceSegKitError(f"A scheme needs 'classes', a table such as {example}.")
        colours = plain.get("colours", distinct_colours(len(classes)))
        if not isinstance(colours, (list, tuple)):
            raise FaceSegKitError(f"'colours' must be a list such as [[1, 2, 3]], not {colours!r}.")
        return cls(str(plain.get("name", "own")), dict(classes), colours)


def check_part_ids(label_map: NDArray[np.uint8]) -> None:
    """Raise a FaceSegKitError if a label map has values that are no part ids, but `IGNORED`."""
    if label_map.max(initial=0) < len(PARTS):
        return
    wrong = label_map[(label_map >= len(PARTS)) & (label_map != IGNORED)]
    if wrong.size:
        problem = f"the part id {int(wrong[0])}, but ids end at {len(PARTS) - 1}"
        advice = "the data set cache is damaged; delete it and build it again"
        raise FaceSegKitError(f"A label map contains {problem}: {advice}.")


def _is_colour(value: Any) -> bool:
    is_triple = isinstance(value, (list, tuple)) and len(value) == 3
    return is_triple and all(isinstance(level, int) and 0 <= level <= 255 for level in value)


def distinct_colours(count: int) -> list[Colour]:
    """`count` colours that differ from each other and from black, for schemes without colours.

    The bits of the class id are spread over the three channels, as in PASCAL VOC's colour map
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
        "eyes": ("l_eye", "r_eye"), "eyebrows": ("l_brow", "r_brow"),
        "nose": ("nose",), "mouth": ("mouth",), "lips": ("u_lip", "l_lip"),
    },
    colours=[(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)],
)  # fmt: skip

ALL_PARTS = LabelScheme(
    name="all parts",
    classes={name: (name,) for name in PARTS[1:]},
    # Close to those of the five features, with left and right in two shades. The large parts around
    # them have dull colours, so that a small part is seen on them.
    colours=[
        (160, 160, 160), (0, 0, 255), (0, 220, 255),  # skin, nose, eye_g
        (255, 0, 0), (255, 130, 130), (0, 255, 0), (0, 140, 0),  # eyes, brows
        (255, 180, 90), (200, 100, 20), (255, 255, 0), (255, 0, 255), (150, 0, 150),  # ears to lips
        (110, 60, 30), (0, 110, 110), (255, 255, 255), (200, 255, 170),  # hair, hat, jewellery
        (150, 150, 60), (70, 90, 170),  # neck, cloth
    ],
)  # fmt: skip
