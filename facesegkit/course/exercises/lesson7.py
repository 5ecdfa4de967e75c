"""Checks of the exercises of lesson 7, notebooks/exercises/07-make-it-fast.ipynb."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from facesegkit.course.exercises import (
    expect,
    expect_array,
    expect_number,
    expect_numbers,
    expect_pair,
    expect_unchanged,
    require_answer,
)


def check_limits(roofline_ms: float, best_speedup: float, better: str) -> None:
    """Exercise 1: latency of 261 M MACs at 45 G MACs per second, and the limit of a speed-up.

    Of 50 ms + 4 ms + 46 ms the network takes the second: `best_speedup` if it took no time, and
    what is `better`, a "network" ten times as fast or "decode", a fifth faster.
    """
    hint = "MACs divided by MACs per second are seconds; the answer is in *milliseconds*."
    expect_number(roofline_ms, 5.8, "roofline_ms", hint, rtol=0.02, reveal=False)
    hint = "Divide the time of all steps before by their time after. How long do the others take?"
    expect_number(best_speedup, 100 / 96, "best_speedup", hint, rtol=0.005, reveal=False)
    require_answer(better, "better")
    is_known = better in ("network", "decode")
    expect(is_known, f'better is {better!r}; expected "network" or "decode".')
    hint = "How many milliseconds does each change save?"
    expect(better == "decode", f"better is {better!r}, but the other saves more.", hint)
    print(
        "Right: a roofline estimate of 5.8 ms, and at most 1.04 times as fast. A fifth off "
        "decoding saves 10 ms, a network ten times as fast 3.6 ms."
    )


def check_quantize(quantize: Callable[..., Any]) -> None:
    """Exercise 2: weights float32 [out, in, k, k] -> the same in int8, and scales float [out]."""
    rng = np.random.default_rng(0)
    spread = np.array([1.0, 0.01, 30.0, 0.3], dtype=np.float32)
    weights = rng.normal(size=(4, 8, 3, 3)).astype(np.float32) * spread[:, None, None, None]
    what = "things, the int8 weights and the scales,"
    quantized, scales = expect_pair(quantize(weights.copy()), what, "quantize()")
    quantized = expect_array(quantized, weights.shape, np.int8, "the weights of quantize()")
    scales = expect_numbers(np.ravel(scales), 4, "the scales of quantize()")
    largest = np.abs(weights).max(axis=(1, 2, 3))
    for channel, (scale, high) in enumerate(zip(scales, largest, strict=True)):
        hint = f"The weights go up to {high:.4f}, and the largest one becomes 127 or -127."
        name = f"the scale of channel {channel}"
        expect_number(scale, high / 127, name, hint, rtol=1e-3, atol=0)
    errors = np.abs(weights - quantized * scales[:, None, None, None]).max(axis=(1, 2, 3))
    steps = (errors / scales).max()
    hint = "Round to the *nearest* whole number; astype() alone truncates."
    expect(steps <= 0.501, f"a weight is off by {steps:.2f} steps; expected at most half.", hint)
    print("Right: each channel has its own scale, and no weight is off by more than half a step.")


def check_fold(fold: Callable[..., Any]) -> None:
    """Exercise 3: conv, scale of its input channels [in] -> folded(x) = conv(x * scale)."""
    torch.manual_seed(0)
    scale = torch.tensor([0.5, 2.0, 1 / 255])
    photo = torch.rand(1, 3, 12, 12)
    conv = nn.Conv2d(3, 3, 3, stride=2, padding=1)
    before = copy.deepcopy(conv.state_dict())
    folded = fold(conv, scale)
    require_answer(folded, "the result of fold()")
    expect_unchanged(before.values(), conv.state_dict().values(), "fold()")
    kind = type(folded).__name__
    expect(isinstance(folded, nn.Module), f"fold() returns a {kind}; expected a convolution.")
    with torch.inference_mode():
        expected, output = conv(photo * scale[:, None, None]), folded(photo)
    shapes = f"{list(expected.shape)} from the folded convolution, got {list(output.shape)}"
    hint = "keep kernel, stride and padding."
    expect(output.shape == expected.shape, f"expected shape {shapes}.", hint)
    hint = "Weights are [out, in, k, k]. Which of these does the scale belong to?"
    shift = output - expected
    if (shift - shift[:, :, :1, :1]).abs().max() < 1e-5:
        hint = "It differs by a constant in each channel; the bias is added after the product."
    is_same = torch.allclose(output, expected, atol=1e-5)
    expect(is_same, "the folded convolution has another output.", hint)
    print("Right: the same output, and one multiplication less for each value of the photo.")
