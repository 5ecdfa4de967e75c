"""Lesson 7: checks pass the solutions; blanks and typical mistakes fail with a hint."""

import copy

import numpy as np
import pytest
import torch
from exercise_cells import answers, assert_asks_for_answers, assert_passes

from facesegkit.course.exercises import TryAgain
from facesegkit.course.exercises.lesson7 import check_fold, check_limits, check_quantise

NOTEBOOK = "07-make-it-fast"
NAMES = {"np": np, "torch": torch, "copy": copy}


EXERCISES = [
    (1, ("floor", "best_speed_up", "better"), check_limits),
    (2, ("quantise",), check_quantise),
    (3, ("fold",), check_fold),
]


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_solutions_pass(number, wanted, check, capsys):
    assert_passes(check, answers(NOTEBOOK, number, wanted, NAMES), capsys)


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_blanks_are_told_what_is_missing(number, wanted, check):
    blanks = answers(NOTEBOOK, number, wanted, NAMES, blank=True)
    assert_asks_for_answers(check, blanks, "your code here")


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ((0.0058, 1.04, "decode"), "\\*milliseconds\\*"),
        ((5.8, 25, "decode"), "whole path before"),  # 100 / 4
        ((5.8, 1.04, "network"), "does each of the two changes save"),  # what many expect
        ((5.8, 1.04, "both"), 'expected "network" or "decode"'),
    ],
)
def test_limits_names_what_is_wrong(answers, message):
    with pytest.raises(TryAgain, match=message):
        check_limits(*answers)


def quantiser(scales_of, whole_of=np.round):
    def quantise(weights):
        scales = scales_of(weights)
        each = np.reshape(scales, (-1, 1, 1, 1))
        return whole_of(weights / each).clip(-128, 127).astype(np.int8), scales

    return quantise


def by_channel(weights):
    return np.abs(weights).max(axis=(1, 2, 3)) / 127


@pytest.mark.parametrize(
    ("quantise", "message"),
    [
        (quantiser(lambda weights: np.abs(weights).max() / 127), "1 scales; expected 4"),
        (quantiser(lambda weights: np.full(4, np.abs(weights).max() / 127)), "channel 0 has"),
        (quantiser(lambda weights: weights.max(axis=(1, 2, 3)) / 127), "and the scale"),
        (quantiser(by_channel, np.trunc), "\\*nearest\\*"),
        (lambda weights: (np.round(weights), by_channel(weights)), "expected int8"),
        (by_channel, "two things"),
    ],
)
def test_quantise_names_what_is_wrong(quantise, message):
    with pytest.raises(TryAgain, match=message):
        check_quantise(quantise)


def folding(change):
    def fold(conv, scale):
        folded = copy.deepcopy(conv)
        change(folded, scale)
        return folded

    return fold


def scale_outputs(conv, scale):
    conv.weight.data *= scale[:, None, None, None]


def scale_bias_too(conv, scale):
    conv.weight.data *= scale[None, :, None, None]
    conv.bias.data *= scale


def in_place(conv, scale):
    conv.weight.data *= scale[None, :, None, None]
    return conv


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        (folding(scale_outputs), "does the scale belong to"),
        (folding(scale_bias_too), "look at the bias"),
        (in_place, "change a copy"),
        (lambda conv, scale: conv.weight * scale[None, :, None, None], "expected a convolution"),
    ],
)
def test_fold_names_what_is_wrong(fold, message):
    with pytest.raises(TryAgain, match=message):
        check_fold(fold)
