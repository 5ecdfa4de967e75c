"""The checks of lesson 2 reject typical mistakes and name them."""

import numpy as np
import pytest
from exercise_cells import SOLUTIONS, assert_rejects, rows_of, run_exercise
from PIL import Image

from facesegkit.course.exercises import lesson2
from facesegkit.labels import FIVE_FEATURES, PART_IDS, PARTS, mirror_label_map

ALL = set(FIVE_FEATURES.classes)


def test_the_prediction_agrees_with_pillow():
    answers = run_exercise(SOLUTIONS[1], 0)
    for one, other in [("skin", "nose"), ("background", "hat"), ("nose", "l_brow")]:
        two = np.array([[PART_IDS[one], PART_IDS[other]]], dtype=np.uint8)
        row = np.asarray(Image.fromarray(two).resize((64, 1), Image.Resampling.BILINEAR))
        found = {FIVE_FEATURES.class_names[class_id] for class_id in FIVE_FEATURES.merge(row).flat}
        own = {FIVE_FEATURES.class_names[class_id] for class_id in FIVE_FEATURES.merge(two).flat}
        assert found - own - {"background"} == answers[f"{one}_and_{other}"]


def merge(masks, classes, order=PARTS, hiding=True, dtype=np.uint8):
    """Like the solution, with typical mistakes as options."""
    of_part = {p: number for number, parts in enumerate(classes.values(), 1) for p in parts}
    merged = np.zeros(next(iter(masks.values())).shape, dtype=dtype)
    for part in order:
        if part in masks and (hiding or part in of_part):
            merged[masks[part]] = of_part.get(part, 0)
    return merged


def merge_in_the_order_of_classes(masks, classes):
    return merge(masks, classes, order=[part for parts in classes.values() for part in parts])


def merge_in_a_rotated_order(masks, classes):
    return merge(masks, classes, order=[*masks][-1:] + [*masks][:-1])


def merge_without_absent_parts(masks, classes):
    return merge(masks, {name: parts for name, parts in classes.items() if parts[0] != "hair"})


def merge_that_changes_the_masks(masks, classes):
    merged = merge(masks, classes)
    masks["hair"] &= False
    return merged


def resize(ids, height, width, method):
    return np.asarray(Image.fromarray(ids).resize((width, height), method))


def upper_left(ids, height, width):
    rows = np.arange(height) * ids.shape[0] // height
    return ids[rows][:, np.arange(width) * ids.shape[1] // width]


def test_pillows_nearest_resizing_is_right():
    lesson2.check_resize_nearest(lambda *to: resize(*to, Image.Resampling.NEAREST))


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


WRONG = {
    lesson2.check_interpolated_classes: [
        (set(), set(), set(), "between background .0. and hat .14.*got none.*Hint"),
        (ALL, ALL, {"eyes"}, "between skin .1. and nose .2.*too many"),
        (set(), ALL, {"eyes", "nose", "eyebrows"}, "without their own.*too many"),
        (set(), ALL - {"mouth"}, {"eyes"}, "some are missing or wrong"),
        (set(), ALL, "eyes", "expected a set of class names for nose_and_l_brow, got 'eyes'"),
        (set(), ALL, {"l_eye", "r_eye"}, "expected names from eyes, .*got 'l_eye'"),
    ],
    lesson2.check_merge_masks: [
        (merge_in_the_order_of_classes, "A part hides those behind it"),
        (lambda masks, classes: merge(masks, classes, hiding=False), "belongs to no class"),
        (lambda masks, classes: merge(masks, classes, order=masks), "pixels are wrong"),
        (merge_in_a_rotated_order, "masks in another order.*that of PARTS"),
        (
            lambda masks, classes: merge(masks, {part: [part] for part in PARTS[1:]}),
            "class ids follow the order of the classes",
        ),
        (lambda masks, classes: merge(masks, classes, dtype=int), "expected uint8 .*got int"),
        (merge_that_changes_the_masks, "has modified its arguments.*copy"),
        (merge_without_absent_parts, "hair alone.*need not have a mask"),
    ],
    lesson2.check_resize_nearest: [
        (lambda *to: resize(*to, Image.Resampling.BILINEAR), "none of them.*copy ids"),
        (upper_left, "contains its .centre."),
        (
            lambda ids, height, width: resize(ids, width, height, 0),
            r"expected uint8 \[4, 6\].*got uint8 \[6, 4\]",
        ),
        (lambda ids, height, width: ids, r"got uint8 \[4, 6\]"),
    ],
    lesson2.check_mirror_classes: [
        (lambda class_ids, scheme: class_ids, "the same, not flipped"),
        (lambda class_ids, scheme: class_ids[:, ::-1], "with the classes left eye, .*Hint"),
        (lambda class_ids, scheme: class_ids[::-1], "both eyes keeps its id"),
        (lambda class_ids, scheme: mirror_label_map(class_ids), "both eyes keeps its id"),
        (swap_neighbours, "both eyes keeps its id"),
        (swap_by_name, "a lower lip stays a lower lip"),
    ],
}


@pytest.mark.parametrize(("check", "answers", "message"), rows_of(WRONG))
def test_wrong_answers(check, answers, message):
    assert_rejects(check, answers, message)
