"""Checks of the exercises of lesson 8, `08-from-drawn-faces-to-real-ones.ipynb`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesegkit.course.exercises import TryAgain, as_number, require_answer
from facesegkit.labels import PART_IDS
from facesegkit.synthetic.face import draw_scene, set_up
from facesegkit.synthetic.scene import Scene
from facesegkit.synthetic.traits import Pose, choose_light, choose_person

Pixels = NDArray[np.uint8]


def check_one_pixel(f1_of_eye: float | None, f1_of_nose: float | None) -> None:
    """Exercise 1: what F1 is left when a part is drawn one pixel too large all round.

    Args:
        f1_of_eye: the learner's number for 43 x 16 pixels.
        f1_of_nose: the same for 77 x 100.

    Raises:
        TryAgain: one of them is off by more than a hundredth.
    """
    answers = {"f1_of_eye": (f1_of_eye, 43, 16), "f1_of_nose": (f1_of_nose, 77, 100)}
    for name, (answer, width, height) in answers.items():
        require_answer(answer, name)
        number = as_number(answer, name)
        annotated, predicted = width * height, (width + 2) * (height + 2)
        expected = 2 * annotated / (annotated + predicted)
        if not abs(number - expected) <= 0.01:  # so that nan is wrong, too
            too = "high" if number > expected else "low"
            raise TryAgain(
                f"expected the F1 of {width} x {height} pixels, drawn one too large on every "
                f"side, for {name}, got {number:.3g}, which is too {too}. Hint: how wide and how "
                f"high is what the model draws? All that is annotated is found, so TP is the "
                f"area of the smaller rectangle."
            )
    print("Right: one pixel costs an eye more than three times as much as a nose.")


def check_safety_mask(draw_safety_mask: Callable[[Scene], Any]) -> None:
    """Exercise 2: a mask over nose and mouth, on two heads.

    Args:
        draw_safety_mask: draws on a finished scene and marks what it covers as background.

    Raises:
        TryAgain: something is still uncovered or covered too much, or its labels are wrong.
    """
    for name, pose in (
        ("a head seen from the front", Pose(0, 0, 0, 1.0, (0, 0))),
        ("a turned head", Pose(0.5, 0.1, 0.4, 0.7, (-60, 40))),
    ):
        scene = _bare_face(pose)
        labels, colours = scene.canvas.labels.copy(), scene.canvas.rgb.copy()
        draw_safety_mask(scene)
        _check_mask(labels, colours, scene, name)
    print("Right: it hides nose and mouth, and goes with the head.")


def _bare_face(pose: Pose) -> Scene:
    """A finished scene without glasses, hat, beard or hands."""
    rng = np.random.default_rng([0, 5])
    person = replace(choose_person(rng), feminine=True, glasses="none", hat="none", gap=15.0)
    scene = set_up(rng, person, pose, choose_light(rng))
    draw_scene(scene)
    return scene


def _check_mask(labels: Pixels, colours: NDArray[np.float32], scene: Scene, name: str) -> None:
    """Compare a scene with what it was before a mask was drawn on it."""
    repainted = np.abs(scene.canvas.rgb - colours).max(axis=2) > 0.002
    renamed = scene.canvas.labels != labels
    if not repainted.any() and not renamed.any():
        raise TryAgain(
            f"expected a mask on {name}, but nothing has been drawn. Write your answer where it "
            f"says 'your code here', run that cell, then this one."
        )
    wrong = renamed & (scene.canvas.labels != 0)
    if wrong.any():
        raise TryAgain(
            f"expected that the mask belongs to the background on {name}, got "
            f"{np.count_nonzero(wrong)} pixels with another part. Hint: part='background'."
        )
    for part, share in (("mouth", 0.99), ("u_lip", 0.98), ("l_lip", 0.98), ("nose", 0.4)):
        mask = labels == PART_IDS[part]
        seen = np.mean(scene.canvas.labels[mask] == PART_IDS[part])
        if seen > 1 - share:
            raise TryAgain(
                f"expected that the mask hides {share:.0%} of {part} on {name}, but {seen:.0%} of "
                f"it is still marked as {part}. Hint: {_why_seen(mask, repainted)}"
            )
    eyes = np.isin(labels, [PART_IDS["l_eye"], PART_IDS["r_eye"]])
    if np.any(eyes & (repainted | renamed)):
        raise TryAgain(
            f"expected that the mask leaves the eyes free on {name}, but it covers "
            f"{np.mean((repainted | renamed)[eyes]):.0%} of them. Hint: a smaller v is higher up; "
            f"the lower lids are at about 15."
        )
    if renamed.mean() > 0.25:
        raise TryAgain(
            f"expected a mask that covers a part of the face on {name}, got one that covers "
            f"{renamed.mean():.0%} of the picture. Hint: the cheeks end at about u = 110."
        )


def _why_seen(mask: NDArray[np.bool_], repainted: NDArray[np.bool_]) -> str:
    if repainted[mask].mean() > 0.9:
        return (
            "it is painted over, but the labels do not know; paint() takes a part. What is hidden "
            "belongs to the background."
        )
    return (
        "is the outline in face coordinates, and laid on the head by scene.on_head()? And does "
        "it reach from above the tip of the nose to below the lips?"
    )


def check_other_background(
    other_background: Callable[[Pixels, Pixels, Pixels], Any],
) -> None:
    """Exercise 3: other backgrounds behind the person, with a soft edge.

    Args:
        other_background: photos uint8 [B, H, W, 3], part ids uint8 [B, H, W] and pictures uint8
            [B, H, W, 3] -> uint8 [B, H, W, 3].

    Raises:
        TryAgain: it gives something else, or changes what it was given.
    """
    rng = np.random.default_rng(0)
    photos, pictures = rng.integers(0, 256, (2, 2, 8, 9, 3), dtype=np.uint8)
    labels = np.zeros((2, 8, 9), dtype=np.uint8)
    labels[0, 3:, 2:7] = PART_IDS["skin"]
    labels[0, 2:5, 2:7] = PART_IDS["hair"]
    labels[1, :6, :4] = PART_IDS["nose"]
    what = "other_background"
    given = photos.copy(), labels.copy(), pictures.copy()
    answer = other_background(*given)
    require_answer(answer, f"the result of {what}")
    answer = np.asarray(answer)
    if answer.shape != photos.shape or answer.dtype != np.uint8:
        raise TryAgain(
            f"expected uint8 {list(photos.shape)} from {what}, got {answer.dtype} "
            f"{list(answer.shape)}. Hint: shares [B, H, W] need one more axis to go with colours."
        )
    if any(
        not np.array_equal(*pair) for pair in zip(given, (photos, labels, pictures), strict=True)
    ):
        raise TryAgain(f"expected what was given to be as before, but {what} has changed it.")
    share = _softened(labels != 0)
    within = np.zeros(labels.shape, dtype=bool)
    within[:, 1:-1, 1:-1] = True  # the pictures' borders are looked at with the edges
    for name, where, expected, hint in (
        ("inside the person", share == 1, photos, "skin, hair and nose all belong to the person"),
        ("in the background", share == 0, pictures, "part 0 is the background, and nothing else"),
    ):
        if np.any(_off(answer, expected)[where & within]):
            raise TryAgain(
                f"expected {'the photo' if expected is photos else 'the picture'} {name}, from "
                f"{what}, got other colours. Hint: {hint}."
            )
    mixed = share[..., None] * photos + (1 - share[..., None]) * pictures
    off = _off(answer, mixed)
    if off.any():
        place = np.argwhere(off)[0]
        person = (labels != 0)[tuple(place)]
        hard = np.where(person, photos[tuple(place)], pictures[tuple(place)])
        cause = (
            "that is a hard edge; soften the mask, then mix"
            if not np.any(_off(answer[tuple(place)], hard))
            else "count how many of the nine pixels around it are part of the person; over the "
            "border, np.pad(..., mode='edge') goes on with the border's value"
        )
        raise TryAgain(
            f"expected {share[tuple(place)]:.2f} of the photo and the rest of the picture at "
            f"photo {place[0]}, row {place[1]}, column {place[2]}, from {what}; the colours "
            f"differ. Hint: {cause}."
        )
    print("Right: another background, and no hard edge.")


def _softened(person: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over 3 x 3 pixels of each picture, [B, H, W]; the border goes on beyond itself."""
    rows, columns = (np.arange(-1, length + 1).clip(0, length - 1) for length in person.shape[1:])
    wide = person[:, rows][:, :, columns].astype(float)
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), axis=(1, 2))
    return windows.mean(axis=(-1, -2))


def _off(answer: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.bool_]:
    """Where any channel is off by more than rounding."""
    return np.abs(answer.astype(float) - expected).max(axis=-1) > 1.01
