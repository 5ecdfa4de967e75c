"""Checks of the exercises of lesson 2, `notebooks/exercises/02-merge-the-masks.ipynb`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesegkit.course.exercises import TryAgain, require_answer
from facesegkit.labels import FIVE_FEATURES, PART_IDS, PARTS, LabelScheme, mirror_label_map

Masks = Mapping[str, NDArray[np.bool_]]
Ids = NDArray[np.uint8]


def check_invented(
    skin_and_nose: set[str] | None,
    background_and_hat: set[str] | None,
    nose_and_l_brow: set[str] | None,
) -> None:
    """Exercise 1: which classes a bilinear resize invents along three outlines.

    Args:
        skin_and_nose, background_and_hat, nose_and_l_brow: names of classes.

    Raises:
        TryAgain: one of them is wrong.
    """
    answers = {
        ("skin", "nose"): skin_and_nose,
        ("background", "hat"): background_and_hat,
        ("nose", "l_brow"): nose_and_l_brow,
    }
    for (one, other), answer in answers.items():
        name = f"{one}_and_{other}"
        require_answer(answer, name)
        if isinstance(answer, str) or not isinstance(answer, (set, frozenset, list, tuple)):
            raise TryAgain(f"expected a set of class names as {name}, got {answer!r}.")
        unknown = sorted(set(answer) - set(FIVE_FEATURES.classes))
        if unknown:
            raise TryAgain(
                f"expected names out of {', '.join(FIVE_FEATURES.classes)} in {name}, "
                f"got {unknown[0]!r}."
            )
        invented = _classes_between(one, other)
        if set(answer) != invented:
            more_or_less = "too many" if set(answer) > invented else "not all of them or others"
            low, high = PART_IDS[one], PART_IDS[other]
            raise TryAgain(
                f"expected the classes that appear between {one} ({low}) and {other} ({high}) and "
                f"belong to neither of the two, got {sorted(answer) or 'none'}: {more_or_less}. "
                f"Hint: which whole numbers lie strictly between {low} and {high}? Look them up in "
                f"PARTS, and then which class each part belongs to."
            )
    print("Right: what is invented depends on the numbers alone, not on what they stand for.")


def _classes_between(one: str, other: str) -> set[str]:
    table = FIVE_FEATURES.class_of_part
    between = set(table[PART_IDS[one] + 1 : PART_IDS[other]].tolist())
    own = {int(table[PART_IDS[part]]) for part in (one, other)}
    return {FIVE_FEATURES.class_names[class_id] for class_id in between - own - {0}}


def check_merge_masks(
    merge_masks: Callable[[Masks, Mapping[str, Sequence[str]]], Ids | None],
) -> None:
    """Exercise 2: part masks to class ids, by a scheme of one's own.

    Args:
        merge_masks: masks by part name, bool [H, W], and part names by class name -> class ids,
            uint8 [H, W].

    Raises:
        TryAgain: it gives other ids.
    """
    masks = _forehead()
    name = "merge_masks of skin, an eyebrow and hair"
    classes = {"brows": ["l_brow", "r_brow"], "face": ["skin", "nose"]}
    expected = np.zeros((5, 12), dtype=np.uint8)
    expected[1:, 2:10] = 2
    expected[2, 4:9] = 1
    expected[:3, 1:6] = 0
    merged = _ids(merge_masks(masks, classes), name, expected.shape)
    if any(not np.array_equal(mask, _forehead()[part]) for part, mask in masks.items()):
        raise TryAgain("expected the masks to be as before, but merge_masks has changed them.")
    _same(
        merged,
        expected,
        f"{name} with the classes {classes}",
        "in the result a part hides those behind it, also when it belongs to no class; and class "
        "ids follow the order of the classes, from 1",
    )
    shuffled = {part: masks[part] for part in sorted(masks)}
    _same(
        _ids(merge_masks(shuffled, classes), name, expected.shape),
        expected,
        f"{name}, the same masks in another order of the dictionary",
        "which order decides who is in front: that of the dictionary, or that of PARTS?",
    )
    only_hair = {"hair": masks["hair"]}
    _same(
        _ids(merge_masks(only_hair, {"locks": ["hair"], "face": ["skin"]}), name, expected.shape),
        masks["hair"].astype(np.uint8),
        "merge_masks of hair alone, with classes for hair and for skin",
        "a part that a class names may have no mask on this photo",
    )
    print("Right: any masks, any scheme.")


def _forehead() -> dict[str, NDArray[np.bool_]]:
    """Hair over an eyebrow over skin, not in the order of part ids."""
    masks = {part: np.zeros((5, 12), dtype=bool) for part in ("r_brow", "hair", "skin")}
    masks["skin"][1:, 2:10] = True
    masks["r_brow"][2, 4:9] = True
    masks["hair"][:3, 1:6] = True
    return masks


def check_resize_nearest(resize_nearest: Callable[[Ids, int, int], Ids | None]) -> None:
    """Exercise 3: nearest resizing, by indexing.

    Args:
        resize_nearest: ids uint8 [H, W], height, width -> ids uint8 [height, width].

    Raises:
        TryAgain: it gives other ids.
    """
    for old, new, size in [
        ((4, 6), (4, 6), "the same size"),
        ((4, 6), (8, 12), "twice the size"),
        ((4, 6), (2, 3), "half the size"),
        ((5, 7), (3, 4), "about half the size"),
        ((5, 7), (1, 21), "one row, and three times the width"),
    ]:
        # Ids far apart: whatever lies between them was computed.
        ids = np.random.default_rng(0).choice(np.array([1, 9, 17], dtype=np.uint8), old)
        what = f"resize_nearest of {list(old)} to {list(new)}, {size}"
        result = _ids(resize_nearest(ids.copy(), *new), what, new)
        invented = np.setdiff1d(result, ids)
        if len(invented):
            raise TryAgain(
                f"expected ids out of the old ones from {what}, got {invented[0]}, which is none "
                f"of them. Hint: copy ids, and do not compute with them."
            )
        rows, columns = _nearest(new[0], old[0]), _nearest(new[1], old[1])
        _same(
            result,
            ids[rows][:, columns],
            what,
            "a new pixel takes the id of the old pixel that its *centre* falls into; the centre of "
            "new row 0 lies half a new row below the upper edge",
        )
    print("Right: every new pixel has the id of an old one, and from the right place.")


def _nearest(new: int, old: int) -> NDArray[np.int64]:
    """Which of `old` pixels the centres of `new` pixels fall into; on an edge, the later one."""
    return np.array([(2 * place + 1) * old // (2 * new) for place in range(new)])


def check_mirror_classes(mirror_classes: Callable[[Ids, LabelScheme], Ids | None]) -> None:
    """Exercise 4: mirror class ids, so that left classes become right ones.

    Args:
        mirror_classes: class ids uint8 [H, W] and their scheme -> class ids uint8 [H, W].

    Raises:
        TryAgain: it gives other ids.
    """
    labels = np.random.default_rng(0).integers(0, len(PARTS), (9, 14), dtype=np.uint8)
    for scheme, hint in _schemes_to_mirror():
        what = f"mirror_classes with the classes {', '.join(scheme.classes)}"
        result = _ids(mirror_classes(scheme.merge(labels), scheme), what, labels.shape)
        if np.array_equal(result, scheme.merge(labels)):
            raise TryAgain(f"expected another picture from {what}, got the same, not flipped.")
        _same(result, scheme.merge(mirror_label_map(labels)), what, hint)
    print("Right: pixels are flipped, and left and right change names.")


def _schemes_to_mirror() -> list[tuple[LabelScheme, str]]:
    """Schemes, and what to think of when the class ids are wrong with them."""
    red, blue, grey, green = (255, 0, 0), (0, 0, 255), (99, 99, 99), (0, 255, 0)
    apart = {
        "left eye": ["l_eye"],
        "lower lip": ["l_lip"],
        "nose": ["nose"],
        "right eye": ["r_eye"],
    }
    sides = {"right": ["r_ear", "r_eye"], "left": ["l_eye", "l_ear"]}
    return [
        (FIVE_FEATURES, "a class with both eyes in it keeps its name"),
        (
            LabelScheme("apart", apart, [red, grey, green, blue]),
            "for each class, find the class that has the mirrored part; MIRROR knows the parts, "
            "and a lower lip stays one",
        ),
        (
            LabelScheme("sides", sides, [red, blue]),
            "classes may stand in any order in a scheme, and so may the parts in a class",
        ),
    ]


def _ids(result: Any, what: str, shape: tuple[int, ...]) -> Ids:
    """See that a result is a picture of ids of the right form."""
    require_answer(result, f"the result of {what}")
    ids = np.asarray(result)
    if ids.shape != shape or ids.dtype != np.uint8:
        raise TryAgain(
            f"expected uint8 {list(shape)} from {what}, got {ids.dtype} {list(ids.shape)}."
        )
    return ids


def _same(result: Ids, expected: Ids, what: str, hint: str) -> None:
    """See that two pictures of ids of the same form are equal."""
    wrong = np.argwhere(result != expected)
    if len(wrong):
        row, column = wrong[0]
        raise TryAgain(
            f"expected id {expected[row, column]} at row {row}, column {column} from {what}, got "
            f"{result[row, column]}; {len(wrong)} of {result.size} pixels are wrong. Hint: {hint}."
        )
