"""The checks of lesson 3 reject typical mistakes and name them."""

import pytest
import torch
from exercise_cells import assert_rejects, rows_of
from torch import nn

from facesegkit.course.exercises import lesson3
from facesegkit.models import upsample_nearest


def cost(channels_in, channels_out, kernel, side, stride, groups):
    filters = channels_out * channels_in // groups * kernel**2
    return filters, (side // stride) ** 2 * filters


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


def wrong(block, mistake):
    return type("Wrong", (block,), {"mistake": mistake})


WRONG = {
    lesson3.check_receptive_fields: [
        (7, 9, [], "early is 7, which is too low"),  # the strides left out
        (15, 15, [], "late is 15, which is too high"),
        (15, 9, [(3, 1)] * 9, "9 layers"),
        (15, 9, [(3, 1)] * 3 + [(3, 2)] * 5, "receptive field of 69 pixels"),
        (15, 9, [(51, 4)] * 2, "only"),
    ],
    lesson3.check_conv_cost: [
        (lambda i, o, k, side, stride, groups: i * o * k * k, "expected two numbers"),
        (lambda *given, stride, groups: cost(*given, 1, groups), r"the \*output\* have"),
        (lambda *given, stride, groups: cost(*given, stride, 1), "how deep is each filter"),
    ],
    lesson3.check_inverted_residual: [
        (wrong(Inverted, "plain"), "expected a depthwise one on the 64 channels"),
        (wrong(Inverted, "a bias"), "parameters; expected"),
        (wrong(Inverted, "no first ReLU"), "lacks a ReLU after the first or"),
        (wrong(Inverted, "no second ReLU"), "lacks a ReLU"),
        # x + relu(y) can be negative where x is, so this shows in a block that adds nothing
        (wrong(Inverted, "ReLU at the end"), "ends with a ReLU"),
        (wrong(Inverted, "never added"), "does not add its input"),
        (wrong(Inverted, "added always"), "fails for features"),
        (wrong(Inverted, "something added"), "has no residual connection"),
    ],
    lesson3.check_add_fuse: [
        (wrong(Fuse, "upsampled first"), "narrow the coarse features while they are still small"),
        (wrong(Fuse, "concatenated"), "parameters; expected"),
        (wrong(Fuse, "skip forgotten"), "does not depend on `skip`"),
        (wrong(Fuse, "no ReLU"), "returns negative numbers"),
        (wrong(Fuse, "not upsampled"), "fails for features .*8, 8.* and .*16, 16"),
        (wrong(Fuse, "coarse size"), "expected shape .*16, 16.* got .*8, 8"),
    ],
}


@pytest.mark.parametrize(("check", "answers", "message"), rows_of(WRONG))
def test_wrong_answers(check, answers, message):
    assert_rejects(check, answers, message)
