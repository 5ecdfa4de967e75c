"""Checks of the exercises of lesson 2, notebooks/exercises/02-merge-the-masks.ipynb."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesegkit.course.exercises import (
    TryAgain,
    expect,
    expect_array,
    expect_unchanged,
    require_answer,
)
from facesegkit.labels import (
    FIVE_FEATURES,
    MIRROR,
    PART_IDS,
    PARTS,
    LabelScheme,
    distinct_colours,
    mirror_label_map,
)

Ids = NDArray[np.uint8]

NO_MISTAKES: Mapping[str, Any] = MappingProxyType({})


def check_interpolated_classes(
    skin_and_nose: set[str] | None,
    background_and_hat: set[str] | None,
    nose_and_l_brow: set[str] | None,
) -> None:
    """Exercise 1: names of the classes that bilinear resizing of part ids creates on contours."""
    known = FIVE_FEATURES.classes
    for one, other, answer, expected in (
        ("skin", "nose", skin_and_nose, set()),
        ("background", "hat", background_and_hat, set(known)),
        ("nose", "l_brow", nose_and_l_brow, {"eyes"}),
    ):
        name = f"{one}_and_{other}"
        require_answer(answer, name)
        if not isinstance(answer, (set, frozenset, list, tuple)):
            raise TryAgain(f"expected a set of class names for {name}, got {answer!r}.")
        if unknown := sorted(set(answer) - set(known)):
            raise TryAgain(f"expected names from {', '.join(known)} in {name}, got {unknown[0]!r}.")
        wrong = "too many" if set(answer) > expected else "some are missing or wrong"
        low, high = PART_IDS[one], PART_IDS[other]
        expect(
            set(answer) == expected,
            f"expected the classes that appear between {one} ({low}) and {other} ({high}), without "
            f"their own, got {sorted(answer) or 'none'}: {wrong}.",
            f"Which parts have the numbers between {low} and {high}, and which classes have these?",
        )
    print("Right: interpolation only uses the numbers, not what they stand for.")


def check_merge_masks(merge_masks: Callable[..., Any]) -> None:
    """Exercise 2: masks bool [H, W] by part, and parts by class -> class ids uint8 [H, W]."""
    masks = _forehead()
    classes = {"brows": ["l_brow", "r_brow"], "face": ["skin", "nose"]}
    hidden, brow, face = (masks[part] for part in ("hair", "r_brow", "skin"))
    expected = np.select([hidden, brow, face], [0, 1, 2]).astype(np.uint8)
    mistakes = {
        "A part hides those behind it even if it belongs to no class: paint hair, too.": np.select(
            [brow, face], [1, 2]
        ),
        "The skin, which is at the back, covers the rest. Paint in the order of PARTS; that of the "
        "dictionary, of the classes, or of PARTS in reverse is another one.": face * 2,
        "The skin, which is at the back, covers the eyebrow. Paint in the order of PARTS, and not "
        "class by class.": np.select([hidden, face], [0, 2]),
        "Class ids start at 1; 0 is for what belongs to no class.": np.select(
            [hidden, brow, face], [0, 0, 1]
        ),
        "These are part ids. Look up the class of each part.": np.select(
            [hidden, brow, face], [PART_IDS["hair"], PART_IDS["r_brow"], PART_IDS["skin"]]
        ),
    }
    name = f"merge_masks() of skin, an eyebrow and hair with the classes {classes}"
    merged = merge_masks(masks, classes)
    expect_unchanged(_forehead().values(), masks.values(), "merge_masks()")
    hint = "Start with zeros, and paint the class id of each part in the order of PARTS."
    _expect_ids(merged, expected, name, hint, mistakes)
    merged = merge_masks({part: masks[part] for part in sorted(masks)}, classes)
    hint = "Which order decides what is in front: that of the dictionary, or that of PARTS?"
    _expect_ids(merged, expected, f"{name}, the masks in another order", hint)
    merged = merge_masks({"hair": masks["hair"]}, {"locks": ["hair"], "face": ["skin"]})
    hint = "A part of a class need not have a mask on every photo."
    name = "merge_masks() of hair alone, with classes for hair and skin"
    _expect_ids(merged, masks["hair"].astype(np.uint8), name, hint)
    print("Right: it merges any masks by any scheme.")


def _forehead() -> dict[str, NDArray[np.bool_]]:
    """Hair over an eyebrow over skin, not in the order of part ids."""
    masks = {part: np.zeros((5, 12), dtype=bool) for part in ("r_brow", "hair", "skin")}
    masks["skin"][1:, 2:10] = masks["r_brow"][2, 4:9] = masks["hair"][:3, 1:6] = True
    return masks


def check_resize_nearest(resize_nearest: Callable[[Ids, int, int], Ids | None]) -> None:
    """Exercise 3: ids uint8 [H, W], height, width -> ids uint8 [height, width], by indexing."""
    for old, new, case in [
        ((4, 6), (4, 6), "the same size"),
        ((4, 6), (8, 12), "twice the size"),
        ((6, 9), (2, 3), "a third of the size"),
        ((4, 6), (2, 3), "half the size"),
        ((5, 7), (3, 4), "about half the size"),
        ((5, 7), (1, 21), "one row, and three times the width"),
    ]:
        # The ids are far apart, so that any id between them must have been computed.
        ids = np.random.default_rng(0).choice(np.array([1, 9, 17], dtype=np.uint8), old)
        name = f"resize_nearest() from {list(old)} to {list(new)}, {case}"
        try:
            resized = resize_nearest(ids.copy(), *new)
        except IndexError as error:
            hint = "Pixel i spans from i to i + 1: round positions down, not to the nearest number."
            raise TryAgain(f"{name} uses an index that is too high: {error}.", hint) from error
        hint = "The new height is that of the rows, the first axis."
        result = expect_array(resized, new, np.uint8, name, hint)
        if len(invented := np.setdiff1d(result, ids)):
            message = f"expected ids of the input from {name}, got {invented[0]}, none of them."
            raise TryAgain(message, "copy ids, do not compute with them.")
        expected = ids[np.ix_(*map(_nearest, new, old))]
        hint = "At which position, in old pixels, is the centre of new row i?"
        _expect_ids(result, expected, name, hint, _resized_wrongly(ids, new))
    print("Right: every new pixel has the id of the right old pixel.")


def _nearest(new: int, old: int) -> NDArray[np.int64]:
    """Indices of the old pixels that contain the centres of the new; on an edge, the later one."""
    return (2 * np.arange(new) + 1) * old // (2 * new)


def _resized_wrongly(ids: Ids, size: tuple[int, int]) -> dict[str, Ids]:
    """What typical mistakes give, by the hint for each."""
    indices: dict[str, Callable[[int, int], NDArray[Any]]] = {
        "If a centre is exactly on the edge between two old pixels, take the later one.": (
            lambda new, old: -(-(2 * np.arange(new) + 1) * old // (2 * new)) - 1
        ),
        "You take the first old pixel that a new pixel covers. Take the one that contains its "
        "*centre*, half a new pixel further.": lambda new, old: np.arange(new) * old // new,
        "You align the corner pixels. The centre of new row 0 is half a new row below the upper "
        "edge.": lambda new, old: np.linspace(0, old - 1, new).round().astype(int),
    }
    return {
        hint: ids[np.ix_(*(index(new, old) for new, old in zip(size, ids.shape, strict=True)))]
        for hint, index in indices.items()
    }


def check_mirror_classes(mirror_classes: Callable[[Ids, LabelScheme], Ids | None]) -> None:
    """Exercise 4: class ids uint8 [H, W] and their scheme -> mirrored class ids uint8 [H, W]."""
    # Names that say nothing, so that only the parts of a class tell its side.
    apart = {"A": ["l_eye"], "B": ["l_lip"], "C": ["r_eye"], "D": ["neck_l"], "E": ["u_lip"]}
    sides = {"starboard": ["r_ear", "r_eye"], "port": ["l_eye", "l_ear"], "upright": ["nose"]}
    labels = np.random.default_rng(0).integers(0, len(PARTS), (9, 14), dtype=np.uint8)
    for scheme, hint in (
        (FIVE_FEATURES, "A class that contains both eyes keeps its id."),
        (
            _scheme(apart),
            "Mirror each part with MIRROR: l_lip is the *lower* lip, neck_l a necklace.",
        ),
        (_scheme(sides), "Classes may be in any order, and so may the parts of a class."),
    ):
        name = f"mirror_classes() with the classes {dict(scheme.classes)}"
        given = scheme.merge(labels)
        result = expect_array(mirror_classes(given, scheme), labels.shape, np.uint8, name)
        is_flipped = not np.array_equal(result, given)
        expect(is_flipped, f"expected a mirrored class map from {name}, got the same, not flipped.")
        expected = scheme.merge(mirror_label_map(labels))
        mistakes = {
            "The ids are right, but left and right have to change places, not top and bottom.": (
                expected[::-1, ::-1]
            ),
            "The ids are swapped, but the pixels have not moved.": expected[:, ::-1],
            "The pixels are flipped, but the classes keep their sides. Which parts does a class "
            "have? Its name need not say.": given[:, ::-1],
            "MIRROR has part ids, and these are class ids: look up the parts of a class first.": (
                MIRROR[given[:, ::-1]]
            ),
        }
        _expect_ids(result, expected, name, hint, mistakes)
    print("Right: the pixels are flipped, and left and right classes are swapped.")


def _scheme(classes: dict[str, list[str]]) -> LabelScheme:
    return LabelScheme("exercise", classes, distinct_colours(len(classes)))


def _expect_ids(
    result: Ids | None,
    expected: Ids,
    name: str,
    hint: str,
    mistakes: Mapping[str, Any] = NO_MISTAKES,
) -> None:
    """Compare ids; the hint is that of the mistake which gives the same result, if there is one."""
    ids = expect_array(result, expected.shape, np.uint8, name)
    if len(wrong := np.argwhere(ids != expected)):
        row, column = wrong[0]
        hint = next((h for h, given in mistakes.items() if np.array_equal(ids, given)), hint)
        raise TryAgain(
            f"expected id {expected[row, column]} at row {row}, column {column} from {name}, got "
            f"{ids[row, column]}; {len(wrong)} of {ids.size} pixels are wrong.",
            hint,
        )
