"""The checks of lesson 7 reject typical mistakes and name them."""

import copy

import numpy as np
import pytest
from exercise_cells import assert_rejects, rows_of
from torch import nn

from facesegkit.course.exercises import lesson7


def quantizer(scales_of, round_of=np.round):
    def quantize(weights):
        scales = scales_of(weights)
        each = np.reshape(scales, (-1, 1, 1, 1))
        return round_of(weights / each).clip(-128, 127).astype(np.int8), scales

    return quantize


def by_channel(weights):
    return np.abs(weights).max(axis=(1, 2, 3)) / 127


def folding(change):
    def fold(conv, scale):
        folded = copy.deepcopy(conv)
        change(folded, scale)
        return folded

    return fold


def scale_inputs(conv, scale):
    conv.weight.data *= scale[None, :, None, None]


def scale_outputs(conv, scale):
    conv.weight.data *= scale[:, None, None, None]


def scale_bias_too(conv, scale):
    scale_inputs(conv, scale)
    conv.bias.data *= scale


def in_place(conv, scale):
    scale_inputs(conv, scale)
    return conv


WRONG = {
    lesson7.check_limits: [
        (0.0058, 1.04, "decode", r"roofline_ms is 0.0058, which is too low.*\*milliseconds\*"),
        (5.8, 25, "decode", "best_speedup is 25, which is too high"),  # 100 / 4
        (5.8, 1.04, "network", "does each change save"),  # what many expect
        (5.8, 1.04, "both", 'expected "network" or "decode"'),
    ],
    lesson7.check_quantize: [
        (quantizer(lambda weights: np.abs(weights).max() / 127), r"4 numbers .*got shape \[1\]"),
        (quantizer(lambda weights: np.full(4, np.abs(weights).max() / 127)), "of channel 0, got"),
        (quantizer(lambda weights: weights.max(axis=(1, 2, 3)) / 127), "the scale of channel"),
        (quantizer(by_channel, np.trunc), r"\*nearest\*"),
        (lambda weights: (np.round(weights), by_channel(weights)), "expected int8"),
        (by_channel, "two things"),
    ],
    lesson7.check_fold: [
        (folding(scale_outputs), "does the scale belong to"),
        (folding(scale_bias_too), "constant in each channel"),
        (in_place, "modified its arguments.*copy"),
        (lambda conv, scale: conv.weight * scale[None, :, None, None], "expected a convolution"),
        (lambda conv, scale: nn.Conv2d(3, 3, 3), "keep kernel, stride and padding"),
    ],
}


@pytest.mark.parametrize(("check", "answers", "message"), rows_of(WRONG))
def test_wrong_answers(check, answers, message):
    assert_rejects(check, answers, message)
