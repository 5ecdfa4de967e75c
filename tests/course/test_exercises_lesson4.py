"""The checks of lesson 4 reject typical mistakes and name them."""

import pytest
import torch
from exercise_cells import assert_rejects, rows_of

from facesegkit.course.exercises import lesson4


def test_predictions_may_be_rounded():
    lesson4.check_epochs(4.5, 11)


def tversky(probabilities, target, alpha, beta, *, one=1.0, first=1):
    """Like the solution, written another way, with mistakes to choose from."""
    indices = []
    for number in range(first, probabilities.shape[1]):
        of_class, true = probabilities[:, number], target == number
        tp, fp = of_class[true].sum(), of_class[~true].sum()
        fn = (1 - of_class[true]).sum()
        indices.append((tp + one) / (tp + alpha * fp + beta * fn + one))
    return 1 - torch.stack(indices).mean()


def counts_pixels(probabilities, target, alpha, beta):
    best = torch.nn.functional.one_hot(probabilities.argmax(1), probabilities.shape[1])
    return tversky(best.permute(0, 3, 1, 2).float(), target, alpha, beta)


class ZeroGradient(torch.autograd.Function):
    forward = staticmethod(lambda context, x: x.clone())
    backward = staticmethod(lambda context, gradient: 0 * gradient)


def test_another_way_to_write_the_loss_passes():
    lesson4.check_tversky_loss(tversky)


def falls_from_the_middle(progress, warmup, cooldown):
    return progress / warmup if progress < warmup else min(1.0, (1 - progress) / (1 - warmup))


def starts_at_the_top(progress, warmup, cooldown):
    return min(1.0, (1 - progress) / cooldown) if cooldown else 1.0


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


WRONG = {
    lesson4.check_epochs: [
        (4.466, 9.0, r"epochs_with_small_photos is 9, which is too low.*Half of the \*time"),
        (4.466, 7.1, "too low"),  # half of the photos small instead of half of the time
        (0.074, 11.2, "epochs_at_256.*too low"),  # of half a minute
        (268, 11.2, "epochs_at_256.*too high"),
        (float("nan"), 11.2, "epochs_at_256 is nan"),
        ("a few", 11.2, "expected a number for epochs_at_256, got 'a few'"),
    ],
    lesson4.check_tversky_loss: [
        (lambda p, t, a, b: tversky(p, t, b, a), "alpha and beta are swapped"),
        (lambda *args: tversky(*args, first=0), "leave out the background"),
        (lambda *args: tversky(*args, one=0.0), "The 1 .* is missing"),
        (lambda *args: 1 - tversky(*args), "one minus it"),
        (counts_pixels, "sum up their probabilities"),
        (lambda *args: 0.0, r"expected 0\.\d+ for tversky_loss.*got 0\. Hint"),
        (lambda *args: tversky(*args).item(), "no gradient.*item"),
        (lambda *args: ZeroGradient.apply(tversky(*args)), "gradient .* is 0 everywhere"),
        (lambda p, t, a, b: p.mean(dim=(2, 3)), "expected a number"),
    ],
    lesson4.check_trapezoid: [
        (
            lambda done, warmup, cooldown: min(1.0, done / warmup, (1 - done) / cooldown),
            r"trapezoid\(0.0, 0.0, 0.5\).*division by zero.*may be 0",
        ),
        (falls_from_the_middle, r"trapezoid\(0.5, .*got 0.625.*stays at its highest"),
        (starts_at_the_top, r"trapezoid\(0.0, 0.2, 0.4\), got 1\..*At the very start"),
        (lambda *args: "fast", "expected a number"),
    ],
    lesson4.check_cut_mix: [
        (lambda *args: mixed(*args, by=1), "come from the previous photo"),
        (lambda *args: mixed(*args, swap=True), "outside the box, the images.*rows come first"),
        (in_place, "modified its arguments.*copy"),
        (lambda *args: (mixed(*args)[0], args[1]), "the labels .*are unchanged; expected those"),
        (lambda *args: (mixed(*args)[0], mixed(*args)[1].flip(0)), "the labels .*have changed"),
        (lambda *args: mixed(*args)[0], "two tensors"),
        (lambda images, labels, box: (images, labels.long()), "the images .*are unchanged"),
        (lambda *args: (mixed(*args)[0], args[1].long()), "torch.uint8 .* as labels"),
    ],
}


@pytest.mark.parametrize(("check", "answers", "message"), rows_of(WRONG))
def test_wrong_answers(check, answers, message):
    assert_rejects(check, answers, message)
