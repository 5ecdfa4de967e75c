"""Checks of the exercises of lesson 2, notebooks/exercises/02-merge-the-masks.ipynb."""

from collections.abc import Callable
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
from facesegkit.labels import FIVE_FEATURES, PART_IDS, PARTS, LabelScheme, mirror_label_map

Ids = NDArray[np.uint8]


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
    expected = np.zeros((5, 12), dtype=np.uint8)
    expected[1:, 2:10] = 2
    expected[2, 4:9] = 1
    expected[:3, 1:6] = 0
    name = f"merge_masks() of skin, an eyebrow and hair with the classes {classes}"
    merged = merge_masks(masks, classes)
    expect_unchanged(_forehead().values(), masks.values(), "merge_masks()")
    hint = (
        "A part hides those behind it even if it belongs to no class, and class ids follow the "
        "order of the classes, starting at 1."
    )
    _expect_ids(merged, expected, name, hint)
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
    hint = (
        "A new pixel takes the id of the old pixel that contains its *centre*; the centre of new "
        "row 0 lies half a new row below the upper edge."
    )
    for old, new, case in [
        ((4, 6), (4, 6), "the same size"),
        ((4, 6), (8, 12), "twice the size"),
        ((4, 6), (2, 3), "half the size"),
        ((5, 7), (3, 4), "about half the size"),
        ((5, 7), (1, 21), "one row, and three times the width"),
    ]:
        # The ids are far apart, so that any id between them must have been computed.
        ids = np.random.default_rng(0).choice(np.array([1, 9, 17], dtype=np.uint8), old)
        name = f"resize_nearest() from {list(old)} to {list(new)}, {case}"
        result = expect_array(resize_nearest(ids.copy(), *new), new, np.uint8, name)
        if len(invented := np.setdiff1d(result, ids)):
            message = f"expected ids of the input from {name}, got {invented[0]}, none of them."
            raise TryAgain(message, "copy ids, do not compute with them.")
        _expect_ids(result, ids[np.ix_(*map(_nearest, new, old))], name, hint)
    print("Right: every new pixel has the id of the right old pixel.")


def _nearest(new: int, old: int) -> NDArray[np.int64]:
    """Indices of the old pixels that contain the centres of the new; on an edge, the later one."""
    return (2 * np.arange(new) + 1) * old // (2 * new)


def check_mirror_classes(mirror_classes: Callable[[Ids, LabelScheme], Ids | None]) -> None:
    """Exercise 4: class ids uint8 [H, W] and their scheme -> mirrored class ids uint8 [H, W]."""
    apart = {"left eye": ["l_eye"], "lower lip": ["l_lip"], "right eye": ["r_eye"]}
    sides = {"right": ["r_ear", "r_eye"], "left": ["l_eye", "l_ear"]}
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    labels = np.random.default_rng(0).integers(0, len(PARTS), (9, 14), dtype=np.uint8)
    for scheme, hint in (
        (FIVE_FEATURES, "A class that contains both eyes keeps its id."),
        (LabelScheme("apart", apart, colours), "Mirror each part; a lower lip stays a lower lip."),
        (LabelScheme("sides", sides, colours[:2]), "Classes, and parts, may be in any order."),
    ):
        name = f"mirror_classes() with the classes {', '.join(scheme.classes)}"
        given = scheme.merge(labels)
        result = expect_array(mirror_classes(given, scheme), labels.shape, np.uint8, name)
        is_flipped = not np.array_equal(result, given)
        expect(is_flipped, f"expected a mirrored class map from {name}, got the same, not flipped.")
        _expect_ids(result, scheme.merge(mirror_label_map(labels)), name, hint)
    print("Right: the pixels are flipped, and left and right classes are swapped.")


def _expect_ids(result: Ids | None, expected: Ids, name: str, hint: str) -> None:
    ids = expect_array(result, expected.shape, np.uint8, name)
    if len(wrong := np.argwhere(ids != expected)):
        row, column = wrong[0]
        raise TryAgain(
            f"expected id {expected[row, column]} at row {row}, column {column} from {name}, got "
            f"{ids[row, column]}; {len(wrong)} of {ids.size} pixels are wrong.",
            hint,
        )
