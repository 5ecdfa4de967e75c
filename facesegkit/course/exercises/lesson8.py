"""Checks of the exercises of lesson 8, 08-from-synthetic-to-real-faces.ipynb."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from facesegkit.course.exercises import (
    TryAgain,
    expect,
    expect_array,
    expect_number,
    expect_unchanged,
    require_answer,
)
from facesegkit.labels import PART_IDS
from facesegkit.synthetic.face import draw_scene, set_up
from facesegkit.synthetic.scene import Scene
from facesegkit.synthetic.traits import Pose, choose_light, choose_person

Pixels = NDArray[np.uint8]


def check_one_pixel(f1_of_eye: float | None, f1_of_nose: float | None) -> None:
    """Exercise 1: F1 of parts predicted one pixel too large on every side, to within 0.01."""
    answers = ("f1_of_eye", f1_of_eye, 43, 16), ("f1_of_nose", f1_of_nose, 77, 100)
    for name, answer, width, height in answers:
        annotated, predicted = width * height, (width + 2) * (height + 2)
        expected = 2 * annotated / (annotated + predicted)
        hint = (
            f"{width} x {height} pixels are annotated. How wide and high is the prediction? It "
            f"contains all annotated pixels, so TP is the area of the smaller rectangle."
        )
        expect_number(answer, expected, name, hint, atol=0.01, reveal=False)
    print("Right: one pixel costs an eye more than three times as much as a nose.")


def check_safety_mask(draw_safety_mask: Callable[[Scene], Any]) -> None:
    """Exercise 2: paint a safety mask on a finished scene and label it as background."""
    for name, pose in (
        ("a frontal head", Pose(0, 0, 0, 1.0, (0, 0))),
        ("a turned head", Pose(0.5, 0.1, 0.4, 0.7, (-60, 40))),
    ):
        scene = _bare_face(pose)
        labels, colours = scene.canvas.labels.copy(), scene.canvas.rgb.copy()
        draw_safety_mask(scene)
        painted = np.abs(scene.canvas.rgb - colours).max(axis=2) > 0.002
        _expect_covered(labels, scene.canvas.labels, painted, name)
        _expect_uncovered(labels, painted | (scene.canvas.labels != labels), name)
    print("Right: it hides nose and mouth, and turns with the head.")


def _bare_face(pose: Pose) -> Scene:
    """A finished scene without glasses, hat, beard or hands."""
    rng = np.random.default_rng([0, 5])
    person = replace(choose_person(rng), feminine=True, glasses="none", hat="none", gap=15.0)
    scene = set_up(rng, person, pose, choose_light(rng))
    draw_scene(scene)
    return scene


def _expect_covered(before: Pixels, after: Pixels, painted: NDArray[np.bool_], name: str) -> None:
    """Compare the part ids before and after: mouth, lips and nose have become background."""
    relabelled = after != before
    is_changed = painted.any() or relabelled.any()
    hint = "Write your answer where it says 'your code here', run that cell, then this one."
    expect(is_changed, f"expected a mask on {name}, but nothing has been painted.", hint)
    is_background = not after[relabelled].any()
    hint = "part='background'."
    expect(is_background, f"expected the mask on {name} to belong to the background.", hint)
    for part, fraction in (("mouth", 0.99), ("u_lip", 0.98), ("l_lip", 0.98), ("nose", 0.4)):
        of_part = before == PART_IDS[part]
        visible = np.mean(after[of_part] == PART_IDS[part])
        hint = "Does the contour on_head() reach from above the tip of the nose to below the lips?"
        if painted[of_part].mean() > 0.9:
            hint = "It is painted over, but still labelled; pass the part to paint()."
        message = f"expected the mask to hide {fraction:.0%} of {part} on {name}, but {visible:.0%}"
        expect(visible <= 1 - fraction, f"{message} of it is still labelled as {part}.", hint)


def _expect_uncovered(before: Pixels, covered: NDArray[np.bool_], name: str) -> None:
    eyes = covered[np.isin(before, [PART_IDS["l_eye"], PART_IDS["r_eye"]])]
    hint = "The lower lids are at about v = 15."
    expect(not eyes.any(), f"expected the mask to leave the eyes on {name} uncovered.", hint)
    is_small = covered.mean() <= 0.25
    hint = "The cheeks end at about u = 110."
    expect(is_small, f"expected the mask on {name} to cover only a part of the face.", hint)


def check_balanced_rows(balanced_rows: Callable[..., Any]) -> None:
    """Exercise 3: rows int64 [n], their groups [n] and the most repeats -> rows int64 [m]."""
    groups = np.array(["tan"] * 12 + ["light"] * 5 + ["dark"] * 2)
    order = np.random.default_rng(0).permutation(len(groups))
    groups, rows = groups[order], 100 + np.arange(len(groups), dtype=np.int64)
    name = "balanced_rows()"
    for most, sizes in ((3, (12, 12, 6)), (2, (12, 10, 4)), (8, (12, 12, 12))):
        given = rows.copy(), groups.copy()
        answer = balanced_rows(*given, most)
        require_answer(answer, name)
        answer = np.asarray(answer)
        kind = f"{answer.dtype} {list(answer.shape)}"
        is_rows = answer.ndim == 1 and np.issubdtype(answer.dtype, np.integer)
        expect(is_rows, f"expected rows, int64 [m], from {name}, got {kind}.")
        expect_unchanged((rows, groups), given, name)
        hint = "Return some of the given rows, not their positions in the array."
        is_given = bool(np.isin(answer, rows).all())
        expect(is_given, f"{name} returned numbers that are not among the rows.", hint)
        for group, size in zip(("tan", "light", "dark"), sizes, strict=True):
            _expect_balanced(answer, rows[groups == group], size, group, most)
    print("Right: the groups are as equal as the limit allows, and no row is left out.")


def _expect_balanced(answer: Any, of_group: Any, size: int, group: str, most: int) -> None:
    """Check how often the rows of one group occur: `size` times together, each equally often."""
    counts = (answer[:, None] == of_group).sum(axis=0)
    found, own = int(counts.sum()), len(of_group)
    hint = "The largest group stays as it is; repeat the rows of the others up to its size."
    if found < own:
        hint = "Leave no row out: repeat the rare ones instead."
    elif found > most * own:
        hint = f"No group may have more than {most} times its own rows."
    elif found > size:
        hint = "Only as many as the largest group has."
    expected = f"expected {size} rows of the group {group!r}, which has {own}, with most={most}"
    expect(found == size, f"{expected}; got {found}.", hint)
    hint = "Repeat all rows of the group in turn, as np.resize does."
    is_even = counts.max() - counts.min() <= 1
    most_often = f"in the group {group!r}, one row occurs {counts.max()} times, another one"
    expect(is_even, f"{most_often} {counts.min()} times.", hint)


def check_replace_background(replace_background: Callable[..., Any]) -> None:
    """Exercise 4: images [B, 3, H, W], part ids [B, H, W], backgrounds -> images, all tensors."""
    generator = torch.Generator().manual_seed(0)
    images, backgrounds = torch.rand((2, 2, 3, 8, 9), generator=generator)
    labels = torch.zeros(2, 8, 9, dtype=torch.uint8)
    labels[0, 3:, 2:7] = PART_IDS["skin"]
    labels[0, 2:5, 2:7] = PART_IDS["hair"]
    labels[1, :6, :4] = PART_IDS["nose"]
    name = "replace_background()"
    given = images.clone(), labels.clone(), backgrounds.clone()
    answer = replace_background(*given)
    require_answer(answer, name)
    is_tensor = isinstance(answer, torch.Tensor)
    expect(is_tensor, f"expected a tensor from {name}, got {type(answer).__name__}.")
    hint = "Fractions [B, H, W] need one more axis, [B, 1, H, W], to be multiplied with images."
    answer = expect_array(answer, tuple(images.shape), np.float32, name, hint)
    expect_unchanged((images, labels, backgrounds), given, name)
    alpha = _smoothed((labels != 0).numpy())[:, None]
    photo, behind = images.numpy(), backgrounds.numpy()
    off = _differs(answer, alpha * photo + (1 - alpha) * behind)
    if off.any():
        interior = off & np.isin(alpha[:, 0], (0, 1))
        interior[:, [0, -1]] = interior[:, :, [0, -1]] = False  # the border has its own hint
        index, row, column = (int(i) for i in np.argwhere(interior if interior.any() else off)[0])
        pixel = (
            slice(index, index + 1),
            slice(None),
            slice(row, row + 1),
            slice(column, column + 1),
        )
        hard = (photo if labels[index, row, column] else behind)[pixel]
        hint = "Count how many of the nine pixels around it show the person; pad with 'replicate'."
        if interior.any():
            hint = "Part 0 is the background; skin, hair and nose all belong to the person."
        elif not _differs(answer[pixel], hard).any():
            hint = "This is a hard edge; smooth the mask, then blend."
        raise TryAgain(
            f"expected {alpha[index, 0, row, column]:.2f} of the photo and the rest from the "
            f"background at photo {index}, row {row}, column {column} from {name}.",
            hint,
        )
    print("Right: another background, without hard edges.")


def _smoothed(person: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over 3 x 3 pixels, [B, H, W]; the border is repeated beyond itself."""
    padded = np.pad(person.astype(float), ((0, 0), (1, 1), (1, 1)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return windows.mean(axis=(-1, -2))


def _differs(answer: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a channel of images [B, 3, H, W] is off by more than rounding: [B, H, W]."""
    return np.abs(answer - expected).max(axis=1) > 1e-5
