"""Checks of lesson 8 let the solutions pass, and neither blanks nor typical mistakes."""

import numpy as np
import pytest
from exercise_cells import answers, assert_asks_for_answers, assert_passes

from facesegkit.course.exercises import TryAgain
from facesegkit.course.exercises.lesson8 import (
    check_one_pixel,
    check_other_background,
    check_safety_mask,
)

NOTEBOOK = "08-from-drawn-faces-to-real-ones"
NAMES = {"np": np}

EXERCISES = [
    (1, ("f1_of_eye", "f1_of_nose"), check_one_pixel),
    (2, ("draw_safety_mask",), check_safety_mask),
    (3, ("other_background",), check_other_background),
]


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_solutions_pass(number, wanted, check, capsys):
    assert_passes(check, answers(NOTEBOOK, number, wanted, NAMES), capsys)


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_blanks_are_told_what_is_missing(number, wanted, check):
    blanks = answers(NOTEBOOK, number, wanted, NAMES, blank=True)
    assert_asks_for_answers(check, blanks, "(still None|nothing has been drawn).*your code here")


@pytest.mark.parametrize(
    ("eye", "nose", "message"),
    [
        (0.96, 0.98, "43 x 16.*f1_of_eye, got 0.96, which is too high"),  # 44 x 17
        (0.85, 0.98, "f1_of_eye.*too low"),  # that is the IoU
        (0.92, 0.92, "77 x 100.*f1_of_nose.*too low"),
        (float("nan"), 0.98, "expected"),
        ("much", 0.98, "expected a number from f1_of_eye, got 'much'"),
    ],
)
def test_wrong_predictions(eye, nose, message):
    with pytest.raises(TryAgain, match=message):
        check_one_pixel(eye, nose)


# Face coordinates of a mask that does, and one that reaches over the eyes.
RIGHT = [(-98, 60), (0, 45), (98, 60), (98, 150), (60, 200), (-60, 200), (-98, 150)]
TOO_HIGH = [(-98, -10), (98, -10), (60, 200), (-60, 200)]
TOO_LOW = [(-98, 110), (98, 110), (60, 200), (-60, 200)]
TOO_LARGE = [(-130, 35), (130, 35), (130, 228), (-130, 228)]


def paint(scene, outline, part="background"):
    patch = scene.on_head(np.array(outline, dtype=np.float32))
    scene.canvas.paint(patch, scene.lit(patch, (0.8, 0.9, 0.9)), part=part)


def on_canvas(scene):
    """The outline taken for pixels of the picture: right on no head but the one in front."""
    outline = np.array(RIGHT, dtype=np.float32) + (256, 242)
    scene.canvas.paint(scene.canvas.patch(outline), (0.8, 0.9, 0.9), part="background")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda scene: paint(scene, RIGHT, part=None), "painted over, but the labels"),
        (lambda scene: paint(scene, RIGHT, part="cloth"), "belongs to the background"),
        (lambda scene: paint(scene, TOO_LOW), "of nose on a head seen from the front.*tip"),
        (lambda scene: paint(scene, TOO_HIGH), "leaves the eyes free"),
        (on_canvas, "a turned head.*on_head"),
    ],
)
def test_wrong_masks(function, message):
    with pytest.raises(TryAgain, match=message):
        check_safety_mask(function)


def test_another_mask_passes():
    check_safety_mask(lambda scene: paint(scene, RIGHT))


def mixed(photos, labels, pictures, *, mode="edge", person=None):
    person = labels != 0 if person is None else person
    height, width = labels.shape[1:]
    padded = np.pad(person, ((0, 0), (1, 1), (1, 1)), mode=mode).astype(float)
    share = np.zeros(labels.shape)
    for row in range(3):
        for column in range(3):
            share += padded[:, row : row + height, column : column + width] / 9
    return np.rint(share[..., None] * photos + (1 - share[..., None]) * pictures).astype(np.uint8)


def hard(photos, labels, pictures):
    return np.where((labels != 0)[..., None], photos, pictures)


def in_place(photos, labels, pictures):
    photos[:] = mixed(photos, labels, pictures)
    return photos


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (hard, "hard edge"),
        (lambda photos, ids, others: mixed(others, ids, photos), "the photo inside the person"),
        (lambda *args: mixed(*args, person=args[1] == 1), "skin, hair and nose"),
        (lambda *args: mixed(*args, mode="constant"), "border"),
        (lambda *args: mixed(*args).astype(float), "expected uint8.*got float64"),
        (in_place, "has changed it"),
    ],
)  # fmt: skip
def test_wrong_backgrounds(function, message):
    with pytest.raises(TryAgain, match=message):
        check_other_background(function)
