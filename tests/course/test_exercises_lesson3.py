"""Lesson 3: checks pass the solutions; blanks and typical mistakes fail with a hint."""

import pytest
import torch
from exercise_cells import answers, assert_asks_for_answers, assert_passes
from torch import nn

from facesegkit.course.exercises import TryAgain
from facesegkit.course.exercises.lesson3 import (
    check_add_fuse,
    check_conv_cost,
    check_inverted_residual,
    check_reach,
)
from facesegkit.models import upsample_nearest

NOTEBOOK = "03-two-architectures"


def conv(channels_in, channels_out, kernel, stride=1, groups=1):
    padding = (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
    )


NAMES = {"torch": torch, "nn": nn, "conv": conv, "repeat": upsample_nearest}


EXERCISES = [
    (1, ("early", "late", "chain"), check_reach),
    (2, ("conv_cost",), check_conv_cost),
    (3, ("InvertedResidual",), check_inverted_residual),
    (4, ("AddFuse",), check_add_fuse),
]


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_solutions_pass(number, wanted, check, capsys):
    assert_passes(check, answers(NOTEBOOK, number, wanted, NAMES), capsys)


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_blanks_are_told_what_is_missing(number, wanted, check):
    blanks = answers(NOTEBOOK, number, wanted, NAMES, blank=True)
    assert_asks_for_answers(check, blanks, "your code here|no layers yet")


@pytest.mark.parametrize(
    ("early", "late", "chain", "message"),
    [
        (7, 9, [], "early is 7"),  # the strides left out
        (15, 15, [], "late is 15"),
        (15, 9, [(3, 1)] * 9, "9 layers"),
        (15, 9, [(3, 1)] * 3 + [(3, 2)] * 5, "sees 69 pixels"),
        (15, 9, [(51, 4)] * 2, "only"),
    ],
)
def test_reach_names_what_is_wrong(early, late, chain, message):
    with pytest.raises(TryAgain, match=message):
        check_reach(early, late, chain)


@pytest.mark.parametrize(
    ("conv_cost", "message"),
    [
        (lambda i, o, k, side, stride=1, groups=1: i * o * k * k, "expected two numbers"),
        (  # places of the input
            lambda i, o, k, side, stride=1, groups=1: (
                i // groups * o * k * k,
                side**2 * i // groups * o * k * k,
            ),
            "the \\*output\\* have",
        ),
        (  # groups left out
            lambda i, o, k, side, stride=1, groups=1: (
                i * o * k * k,
                (side // stride) ** 2 * i * o * k * k,
            ),
            "how deep is each of its filters",
        ),
    ],
)
def test_conv_cost_names_the_case(conv_cost, message):
    with pytest.raises(TryAgain, match=message):
        check_conv_cost(conv_cost)


class Inverted(nn.Module):
    """The solution, with what can go wrong to choose from."""

    mistake = ""

    def __init__(self, channels_in, channels_out, expand=4, kernel=3, stride=1):
        super().__init__()
        wide = channels_in * expand
        groups = 1 if self.mistake == "plain" else wide
        self.widen = conv(channels_in, wide, 1)
        self.depthwise = conv(wide, wide, kernel, stride, groups=groups)
        self.narrow = conv(wide, channels_out, 1)
        self.residual = stride == 1 and channels_in == channels_out
        if self.mistake == "a bias":
            self.narrow[0] = nn.Conv2d(wide, channels_out, 1)

    def forward(self, x):
        first, second = (
            nn.Identity() if self.mistake == f"no {place} ReLU" else nn.ReLU()
            for place in ("first", "second")
        )
        y = self.narrow(second(self.depthwise(first(self.widen(x)))))
        if self.mistake == "ReLU at the end":
            y = torch.relu(y)
        if self.mistake == "added always":
            return x + y
        return x + y if self.residual and self.mistake != "never added" else y


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("plain", "expected a depthwise one on 64 channels"),
        ("a bias", "parameters; expected"),
        ("no first ReLU", "a ReLU comes after the first"),
        ("no second ReLU", "a ReLU comes after the first"),
        ("never added", "should return its input"),
        ("added always", "fails on features"),
    ],
)
def test_inverted_residual_names_what_is_wrong(mistake, message):
    with pytest.raises(TryAgain, match=message):
        check_inverted_residual(type("Wrong", (Inverted,), {"mistake": mistake}))


def test_inverted_residual_wants_a_linear_end():
    # x + relu(y) can be negative where x is, so this shows where nothing is added
    wrong = type("Wrong", (Inverted,), {"mistake": "ReLU at the end"})
    with pytest.raises(TryAgain, match="a ReLU comes last"):
        check_inverted_residual(wrong)


class Fuse(nn.Module):
    mistake = ""

    def __init__(self, coarse, skip):
        super().__init__()
        self.narrow = conv(coarse, skip, 1)
        self.look = conv(2 * skip if self.mistake == "concatenated" else skip, skip, 3)

    def forward(self, coarse, skip):
        if self.mistake == "repeated first":
            return torch.relu(self.look(self.narrow(upsample_nearest(coarse)) + skip))
        below = upsample_nearest(self.narrow(coarse))
        if self.mistake == "concatenated":
            return torch.relu(self.look(torch.cat([below, skip], dim=1)))
        if self.mistake == "skip forgotten":
            return torch.relu(self.look(below))
        if self.mistake == "no ReLU":
            return self.look(below + skip)
        return self.look(self.narrow(coarse) + skip)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("repeated first", "narrow the coarse features while they are still small"),
        ("concatenated", "parameters; expected"),
        ("skip forgotten", "the same when `skip` changes"),
        ("no ReLU", "numbers below 0"),
        ("not repeated", "fails on features .*8, 8.* and .*16, 16"),
    ],
)
def test_add_fuse_names_what_is_wrong(mistake, message):
    with pytest.raises(TryAgain, match=message):
        check_add_fuse(type("Wrong", (Fuse,), {"mistake": mistake}))
