"""Checks of lesson 4 let the solutions pass, and neither blanks nor typical mistakes."""

import pytest
import torch
from exercise_cells import answers, assert_asks_for_answers, assert_passes

from facesegkit.course.exercises import TryAgain
from facesegkit.course.exercises.lesson4 import (
    check_cut_mix,
    check_epochs,
    check_trapezoid,
    check_tversky_loss,
)

NOTEBOOK = "04-train-on-a-cpu"
NAMES = {"torch": torch}

EXERCISES = [
    (1, ("epochs_at_256", "epochs_with_small_photos"), check_epochs),
    (2, ("tversky_loss",), check_tversky_loss),
    (3, ("trapezoid",), check_trapezoid),
    (4, ("cut_mix",), check_cut_mix),
]


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_solutions_pass(number, wanted, check, capsys):
    assert_passes(check, answers(NOTEBOOK, number, wanted, NAMES), capsys)


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_blanks_are_told_what_is_missing(number, wanted, check):
    blanks = answers(NOTEBOOK, number, wanted, NAMES, blank=True)
    assert_asks_for_answers(check, blanks)


@pytest.mark.parametrize(
    ("at_256", "with_small_photos", "message"),
    [
        (4.466, 9.0, "epochs_with_small_photos, got 9, which is too few.*half of the \\*time"),
        (4.466, 7.1, "too few"),  # half of the photos small instead of half of the time
        (0.074, 11.2, "epochs_at_256.*too few"),  # of half a minute
        (268, 11.2, "epochs_at_256.*too many"),
        (float("nan"), 11.2, "expected"),
        ("a few", 11.2, "expected a number from epochs_at_256, got 'a few'"),
    ],
)
def test_wrong_predictions(at_256, with_small_photos, message):
    with pytest.raises(TryAgain, match=message):
        check_epochs(at_256, with_small_photos)


def test_predictions_may_be_rounded():
    check_epochs(4.5, 11)


def tversky(probabilities, target, alpha, beta, *, one=1.0, first=1):
    """Like the solution, written another way, with mistakes to choose from."""
    indices = []
    for number in range(first, probabilities.shape[1]):
        chance, true = probabilities[:, number], target == number
        tp, fp = chance[true].sum(), chance[~true].sum()
        fn = (1 - chance[true]).sum()
        indices.append((tp + one) / (tp + alpha * fp + beta * fn + one))
    return 1 - torch.stack(indices).mean()


def counts_pixels(probabilities, target, alpha, beta):
    best = torch.nn.functional.one_hot(probabilities.argmax(1), probabilities.shape[1])
    return tversky(best.permute(0, 3, 1, 2).float(), target, alpha, beta)


def without_slope(*args):
    return tversky(*args).item()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda p, t, a, b: tversky(p, t, b, a), "wrong way round"),
        (lambda *args: tversky(*args, first=0), "leave the background out"),
        (lambda *args: tversky(*args, one=0.0), "lacks the 1"),
        (lambda *args: 1 - tversky(*args), "one minus it"),
        (counts_pixels, "sum up their probabilities"),
        (lambda *args: 0.0, r"expected 0\.\d+ from tversky_loss.*got 0\.0000\. Hint"),
        (without_slope, "no slope.*item"),
        (lambda p, t, a, b: p.mean(dim=(2, 3)), "expected a number"),
    ],
)
def test_wrong_losses(function, message):
    with pytest.raises(TryAgain, match=message):
        check_tversky_loss(function)


def test_another_way_to_write_the_loss_passes():
    check_tversky_loss(tversky)


def always_divides(progress, warm_up, cool_down):
    return min(1.0, progress / warm_up, (1 - progress) / cool_down)


def falls_from_the_middle(progress, warm_up, cool_down):
    if progress < warm_up:
        return progress / warm_up
    return min(1.0, (1 - progress) / (1 - warm_up))


def starts_at_the_top(progress, warm_up, cool_down):
    return min(1.0, (1 - progress) / cool_down) if cool_down else 1.0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (always_divides, r"trapezoid\(0.0, 0.0, 0.5\).*division by zero.*may be 0"),
        (falls_from_the_middle, r"trapezoid\(0.5, .*got 0.625.*stays at its highest"),
        (starts_at_the_top, r"trapezoid\(0.0, 0.2, 0.4\), got 1\..*at the very start"),
        (lambda *args: "fast", "expected a number"),
    ],
)
def test_wrong_schedules(function, message):
    with pytest.raises(TryAgain, match=message):
        check_trapezoid(function)


def mixed(images, labels, box, *, by=-1, swap=False):
    top, left, bottom, right = box
    rows, columns = slice(top, bottom), slice(left, right)
    if swap:
        rows, columns = columns, rows
    new = images.clone(), labels.clone()
    for tensor, own in zip(new, (images, labels), strict=True):
        tensor[..., rows, columns] = own.roll(by, dims=0)[..., rows, columns]
    return new


def in_place(images, labels, box):
    for tensor, new in zip((images, labels), mixed(images, labels, box), strict=True):
        tensor.copy_(new)
    return images, labels


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda *args: mixed(*args, by=1), "of the one before"),
        (lambda *args: mixed(*args, swap=True), "images outside the box.*rows come first"),
        (in_place, r"changed them.*clone\(\)"),
        (lambda *args: (mixed(*args)[0], args[1]), "labels of the next photo.*got their own"),
        (lambda *args: mixed(*args)[0], "two tensors"),
        (lambda images, labels, box: (images, labels.long()), "images of the next photo"),
        (lambda *args: (mixed(*args)[0], args[1].long()), "type torch.uint8"),
    ],
)
def test_wrong_mixes(function, message):
    with pytest.raises(TryAgain, match=message):
        check_cut_mix(function)
