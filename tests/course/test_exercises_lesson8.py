"""The checks of lesson 8 reject typical mistakes and name them."""

import numpy as np
import pytest
from exercise_cells import assert_rejects, rows_of

from facesegkit.course.exercises import lesson8

# Face coordinates of a correct mask, and of wrong ones.
RIGHT = [(-98, 60), (0, 45), (98, 60), (98, 150), (60, 200), (-60, 200), (-98, 150)]
TOO_HIGH = [(-98, -10), (98, -10), (60, 200), (-60, 200)]
TOO_LOW = [(-98, 110), (98, 110), (60, 200), (-60, 200)]
TOO_LARGE = [(-300, 35), (300, 35), (300, 400), (-300, 400)]


def painting(contour, part="background"):
    def draw_safety_mask(scene):
        patch = scene.on_head(np.array(contour, dtype=np.float32))
        scene.canvas.paint(patch, scene.lit(patch, (0.8, 0.9, 0.9)), part=part)

    return draw_safety_mask


def on_canvas(scene, contour=RIGHT):
    """Takes face coordinates for pixels of the image: right only on the frontal head."""
    pixels = np.array(contour, dtype=np.float32) + (256, 242)
    scene.canvas.paint(scene.canvas.patch(pixels), (0.8, 0.9, 0.9), part="background")


def test_another_mask_passes():
    lesson8.check_safety_mask(painting(RIGHT))


def blended(photos, labels, backgrounds, *, mode="edge", person=None):
    person = labels != 0 if person is None else person
    height, width = labels.shape[1:]
    padded = np.pad(person, ((0, 0), (1, 1), (1, 1)), mode=mode).astype(float)
    alpha = np.zeros((*labels.shape, 1))
    for row in range(3):
        for column in range(3):
            alpha[..., 0] += padded[:, row : row + height, column : column + width] / 9
    return np.rint(alpha * photos + (1 - alpha) * backgrounds).astype(np.uint8)


def hard(photos, labels, backgrounds):
    return np.where((labels != 0)[..., None], photos, backgrounds)


def in_place(photos, labels, backgrounds):
    photos[:] = blended(photos, labels, backgrounds)
    return photos


WRONG = {
    lesson8.check_one_pixel: [
        (0.96, 0.98, "f1_of_eye is 0.96, which is too high.*43 x 16"),  # 44 x 17
        (0.85, 0.98, "f1_of_eye.*too low"),  # that is the IoU
        (0.92, 0.92, "f1_of_nose.*too low.*77 x 100"),
        (float("nan"), 0.98, "f1_of_eye is nan"),
        ("much", 0.98, "expected a number for f1_of_eye, got 'much'"),
    ],
    lesson8.check_safety_mask: [
        (painting(RIGHT, part=None), "painted over, but still labelled"),
        (painting(RIGHT, part="cloth"), "to belong to the background"),
        (painting(TOO_LOW), "of nose on a frontal head.*tip of the nose"),
        (painting(TOO_HIGH), "leave the eyes"),
        (lambda scene: on_canvas(scene, TOO_LARGE), "only a part of the face"),
        (on_canvas, "a turned head.*on_head"),
    ],
    lesson8.check_replace_background: [
        (hard, "hard edge"),
        (lambda photos, ids, others: blended(others, ids, photos), "1.00 of the photo"),
        (lambda *args: blended(*args, person=args[1] == 1), "skin, hair and nose"),
        (lambda *args: blended(*args, mode="constant"), "pad with mode"),
        (lambda *args: blended(*args).astype(float), "expected uint8.*got float64"),
        (in_place, "modified its arguments"),
    ],
}


@pytest.mark.parametrize(("check", "answers", "message"), rows_of(WRONG))
def test_wrong_answers(check, answers, message):
    assert_rejects(check, answers, message)
