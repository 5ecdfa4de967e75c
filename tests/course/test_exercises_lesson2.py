"""Checks of lesson 2 let the solutions pass, and neither blanks nor typical mistakes."""

import numpy as np
import pytest
from exercise_cells import answers, assert_asks_for_answers, assert_passes
from PIL import Image

from facesegkit.course.exercises import TryAgain
from facesegkit.course.exercises.lesson2 import (
    check_invented,
    check_merge_masks,
    check_mirror_classes,
    check_resize_nearest,
)
from facesegkit.labels import FIVE_FEATURES, MIRROR, PART_IDS, PARTS, mirror_label_map

NOTEBOOK = "02-merge-the-masks"
NAMES = {"np": np, "MIRROR": MIRROR, "PART_IDS": PART_IDS, "PARTS": PARTS}

EXERCISES = [
    (1, ["skin_and_nose", "background_and_hat", "nose_and_l_brow"], check_invented),
    (2, ["merge_masks"], check_merge_masks),
    (3, ["resize_nearest"], check_resize_nearest),
    (4, ["mirror_classes"], check_mirror_classes),
]


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_solutions_pass(number, wanted, check, capsys):
    assert_passes(check, answers(NOTEBOOK, number, wanted, NAMES), capsys)


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_blanks_are_told_what_is_missing(number, wanted, check):
    blanks = answers(NOTEBOOK, number, wanted, NAMES, blank=True)
    assert_asks_for_answers(check, blanks)


ALL = set(FIVE_FEATURES.classes)


def test_the_prediction_is_what_pillow_does():
    for one, other, invented in [
        ("skin", "nose", set()),
        ("background", "hat", ALL),
        ("nose", "l_brow", {"eyes"}),
    ]:
        two = np.array([[PART_IDS[one], PART_IDS[other]]], dtype=np.uint8)
        row = np.asarray(Image.fromarray(two).resize((64, 1), Image.Resampling.BILINEAR))
        found = {FIVE_FEATURES.class_names[class_id] for class_id in FIVE_FEATURES.merge(row).flat}
        own = {FIVE_FEATURES.class_names[class_id] for class_id in FIVE_FEATURES.merge(two).flat}
        assert found - own - {"background"} == invented


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ((set(), set(), set()), "between background .0. and hat .14.*got none.*Hint"),
        ((ALL, ALL, {"eyes"}), "between skin .1. and nose .2.*too many"),
        ((set(), ALL, {"eyes", "nose", "eyebrows"}), "belong to neither.*too many"),
        ((set(), ALL - {"mouth"}, {"eyes"}), "not all of them"),
        ((set(), ALL, "eyes"), "expected a set of class names as nose_and_l_brow, got 'eyes'"),
        ((set(), ALL, {"l_eye", "r_eye"}), "expected names out of eyes, .*got 'l_eye'"),
    ],
)
def test_wrong_predictions(answers, message):
    with pytest.raises(TryAgain, match=message):
        check_invented(*answers)


def merge(masks, classes, order=PARTS, hiding=True, dtype=np.uint8):
    """Like the solution, with what learners do otherwise as options."""
    of_part = {p: number for number, parts in enumerate(classes.values(), 1) for p in parts}
    merged = np.zeros(next(iter(masks.values())).shape, dtype=dtype)
    for part in order:
        if part in masks and (hiding or part in of_part):
            merged[masks[part]] = of_part.get(part, 0)
    return merged


def merge_in_the_order_of_classes(masks, classes):
    return merge(masks, classes, order=[part for parts in classes.values() for part in parts])


def merge_in_the_order_given(masks, classes):
    return merge(masks, classes, order=masks)


def merge_by_adding(masks, classes):
    of_part = {p: number for number, parts in enumerate(classes.values(), 1) for p in parts}
    added = sum(mask.astype(np.uint8) * of_part.get(part, 0) for part, mask in masks.items())
    return added.astype(np.uint8)


def merge_into_part_ids(masks, classes):
    return merge(masks, {part: [part] for part in PARTS[1:]})


def merge_that_changes_the_masks(masks, classes):
    merged = merge(masks, classes)
    masks["hair"] &= False
    return merged


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (merge_in_the_order_of_classes, "a part hides those behind it"),
        (lambda masks, classes: merge(masks, classes, hiding=False), "belongs to no class"),
        (merge_in_the_order_given, "pixels are wrong"),
        (lambda masks, classes: merge(masks, classes, order=sorted(masks)), "pixels are wrong"),
        (merge_by_adding, "pixels are wrong"),
        (merge_into_part_ids, "class ids follow the order of the classes"),
        (lambda masks, classes: merge(masks, classes, dtype=int), "expected uint8 .*got int"),
        (merge_that_changes_the_masks, "masks to be as before"),
    ],
)
def test_wrong_merges(function, message):
    with pytest.raises(TryAgain, match=message):
        check_merge_masks(function)


def resize(ids, height, width, method):
    return np.asarray(Image.fromarray(ids).resize((width, height), method))


def upper_left(ids, height, width):
    rows = np.arange(height) * ids.shape[0] // height
    return ids[rows][:, np.arange(width) * ids.shape[1] // width]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda *to: resize(*to, Image.Resampling.BILINEAR), "which is none of them.*copy ids"),
        (upper_left, "its .centre. falls into"),
        (
            lambda ids, height, width: resize(ids, width, height, 0),
            r"expected uint8 \[4, 6\].*got uint8 \[6, 4\]",
        ),
        (lambda ids, height, width: ids, r"got uint8 \[4, 6\]"),
    ],
)
def test_wrong_resizing(function, message):
    with pytest.raises(TryAgain, match=message):
        check_resize_nearest(function)


def test_pillows_nearest_resizing_would_be_right():
    check_resize_nearest(lambda *to: resize(*to, Image.Resampling.NEAREST))


def swap_neighbours(class_ids, scheme):
    """Takes the first two classes for left and right."""
    renamed = np.arange(len(scheme.class_names), dtype=np.uint8)
    renamed[[1, 2]] = renamed[[2, 1]]
    return renamed[class_ids[:, ::-1]]


def swap_by_name(class_ids, scheme):
    """Takes every l_ for a left, as in l_lip."""
    other = {"l_": "r_", "r_": "l_"}
    renamed = np.zeros(len(scheme.class_names), dtype=np.uint8)
    for class_id, (part, *_) in enumerate(scheme.classes.values(), start=1):
        mirrored = other.get(part[:2], part[:2]) + part[2:]
        renamed[class_id] = scheme.class_of_part[PART_IDS.get(mirrored, 0)]
    return renamed[class_ids[:, ::-1]]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda class_ids, scheme: class_ids, "the same, not flipped"),
        (lambda class_ids, scheme: class_ids[:, ::-1], "with the classes left eye, .*Hint"),
        (lambda class_ids, scheme: class_ids[::-1], "both eyes in it keeps its name"),
        (lambda class_ids, scheme: mirror_label_map(class_ids), "keeps its name"),
        (swap_neighbours, "keeps its name"),
        (swap_by_name, "a lower lip stays one"),
    ],
)
def test_wrong_mirrors(function, message):
    with pytest.raises(TryAgain, match=message):
        check_mirror_classes(function)
