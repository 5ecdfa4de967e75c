"""The checks of lesson 3 reject typical mistakes and name them."""

import pytest
import torch
from exercise_cells import assert_rejects
from torch import nn

from facesegkit.course.exercises.lesson3 import (
    check_add_fuse,
    check_conv_cost,
    check_inverted_residual,
    check_receptive_fields,
)
from facesegkit.models import upsample_nearest


@pytest.mark.parametrize(
    ("early", "late", "chain", "message"),
    [
        (7, 9, [], "early is 7, which is too low"),  # the strides left out
        (15, 15, [], "late is 15, which is too high"),
        (15, 9, [(3, 1)] * 9, "9 layers"),
        (15, 9, [(3, 1)] * 3 + [(3, 2)] * 5, "receptive field of 69 pixels"),
        (15, 9, [(51, 4)] * 2, "only"),
    ],
)
def test_wrong_receptive_fields(early, late, chain, message):
    assert_rejects(check_receptive_fields, (early, late, chain), message)


def cost(channels_in, channels_out, kernel, side, stride, groups):
    filters = channels_out * channels_in // groups * kernel**2
    return filters, (side // stride) ** 2 * filters


@pytest.mark.parametrize(
    ("conv_cost", "message"),
    [
        (lambda i, o, k, side, stride, groups: i * o * k * k, "expected two numbers"),
        (lambda *given, stride, groups: cost(*given, 1, groups), r"the \*output\* have"),
        (lambda *given, stride, groups: cost(*given, stride, 1), "how deep is each filter"),
    ],
)
def test_wrong_costs(conv_cost, message):
    assert_rejects(check_conv_cost, [conv_cost], message)


def conv(channels_in, channels_out, kernel, stride=1, groups=1):
    padding = (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
    )


class Inverted(nn.Module):
    """The solution, with a mistake to choose."""

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
            nn.Identity() if self.mistake == f"no {which} ReLU" else nn.ReLU()
            for which in ("first", "second")
        )
        y = self.narrow(second(self.depthwise(first(self.widen(x)))))
        if self.mistake == "ReLU at the end":
            y = torch.relu(y)
        if self.mistake == "added always":
            return x + y
        if self.mistake == "something added":
            return x + y if self.residual else y + x.mean()
        return x + y if self.residual and self.mistake != "never added" else y


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("plain", "expected a depthwise one on the 64 channels"),
        ("a bias", "parameters; expected"),
        ("no first ReLU", "lacks a ReLU after the first or"),
        ("no second ReLU", "lacks a ReLU"),
        # x + relu(y) can be negative where x is, so this shows in a block that adds nothing
        ("ReLU at the end", "ends with a ReLU"),
        ("never added", "does not add its input"),
        ("added always", "fails for features"),
        ("something added", "has no residual connection"),
    ],
)
def test_wrong_inverted_residuals(mistake, message):
    wrong = type("Wrong", (Inverted,), {"mistake": mistake})
    assert_rejects(check_inverted_residual, [wrong], message)


class Fuse(nn.Module):
    """The solution, with a mistake to choose."""

    mistake = ""

    def __init__(self, coarse, skip):
        super().__init__()
        self.narrow = conv(coarse, skip, 1)
        self.smooth = conv(2 * skip if self.mistake == "concatenated" else skip, skip, 3)

    def forward(self, coarse, skip):
        if self.mistake == "not upsampled":
            return self.smooth(self.narrow(coarse) + skip)
        if self.mistake == "upsampled first":
            return torch.relu(self.smooth(self.narrow(upsample_nearest(coarse)) + skip))
        below = upsample_nearest(self.narrow(coarse))
        if self.mistake == "concatenated":
            return torch.relu(self.smooth(torch.cat([below, skip], dim=1)))
        if self.mistake == "coarse size":
            return torch.relu(self.smooth(below + skip))[:, :, ::2, ::2]
        y = self.smooth(below if self.mistake == "skip forgotten" else below + skip)
        return y if self.mistake == "no ReLU" else torch.relu(y)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("upsampled first", "narrow the coarse features while they are still small"),
        ("concatenated", "parameters; expected"),
        ("skip forgotten", "does not depend on `skip`"),
        ("no ReLU", "returns negative numbers"),
        ("not upsampled", "fails for features .*8, 8.* and .*16, 16"),
        ("coarse size", "expected shape .*16, 16.* got .*8, 8"),
    ],
)
def test_wrong_fusions(mistake, message):
    assert_rejects(check_add_fuse, [type("Wrong", (Fuse,), {"mistake": mistake})], message)
