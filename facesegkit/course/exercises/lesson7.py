"""Checks of the exercises of lesson 7, notebooks/exercises/07-make-it-fast.ipynb."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from facesegkit.course.exercises import (
    as_number,
    expect,
    expect_array,
    expect_number,
    expect_numbers,
    expect_pair,
    expect_unchanged,
    require_answer,
)


def check_limits(at_peak_ms: float, best_speedup: float, better: str) -> None:
    """Exercise 1: latency of 261 M MACs at 45 G MACs per second, and the limit of a speed-up.

    Of 50 ms + 4 ms + 46 ms the network takes the second: `best_speedup` if it took no time, and
    what is `better`, a "network" ten times as fast or "decode", a fifth faster.
    """
    hint = "MACs divided by MACs per second are seconds; the answer is in *milliseconds*."
    expect_number(at_peak_ms, 5.8, "at_peak_ms", hint, rtol=0.02, reveal=False)
    hint = "Divide the time of all steps before by their time after. How long do the others take?"
    expect_number(best_speedup, 100 / 96, "best_speedup", hint, rtol=0.005, reveal=False)
    require_answer(better, "better")
    is_known = better in ("network", "decode")
    expect(is_known, f'better is {better!r}; expected "network" or "decode".')
    hint = "How many milliseconds does each change save?"
    expect(better == "decode", f"better is {better!r}, but the other saves more.", hint)
    print(
        "Right: 5.8 ms at the peak, and at most 1.04 times as fast. A fifth off decoding saves "
        "10 ms, a network ten times as fast 3.6 ms."
    )


class _Layer(NamedTuple):
    """A convolution that keeps the size of its input, `side` x `side`."""

    channels_in: int
    channels_out: int
    kernel: int
    side: int
    groups: int = 1

    @property
    def macs(self) -> int:
        return self.side**2 * self.weights

    @property
    def weights(self) -> int:
        return self.channels_out * self.channels_in // self.groups * self.kernel**2

    def values(self) -> tuple[int, int, int]:
        """Numbers of the input, of the weights and of the output."""
        return self.side**2 * self.channels_in, self.weights, self.side**2 * self.channels_out


# Those of the exercise's text; they have 17.9, 2.0, 3.1 and 12.8 MACs per byte.
_LAYERS = (
    _Layer(16, 16, 3, 128),
    _Layer(16, 16, 1, 128),
    _Layer(64, 64, 5, 32, groups=64),
    _Layer(128, 128, 1, 16),
)
_LIMITS = ("peak", "bandwidth", "bandwidth", "peak")
_PEAK, _BANDWIDTH = 60e9, 10e9


def check_roofline(place: Callable[..., Any], limits: Sequence[str]) -> None:
    """Exercise 2: a layer, peak, bandwidth -> (MACs per byte, MACs per second at the roof).

    `limits` says for each of four layers whether the "peak" or the "bandwidth" limits it.
    """
    for layer in _LAYERS:
        name = f"place{(*layer, _PEAK, _BANDWIDTH)}"
        intensity, roof = expect_pair(place(*layer, _PEAK, _BANDWIDTH), "numbers", name)
        intensity = as_number(intensity, f"the MACs per byte from {name}")
        expected = layer.macs / (4 * sum(layer.values()))
        hint = _hint_for(intensity, layer)
        expect_number(intensity, expected, f"the MACs per byte from {name}", hint, rtol=1e-3)
        hint = "Which of the two limits is lower, the peak or intensity x bandwidth?"
        lower = min(_PEAK, expected * _BANDWIDTH)
        expect_number(roof, lower, f"the MACs per second from {name}", hint, rtol=1e-3)
    require_answer(limits, "limits")
    is_list = isinstance(limits, (list, tuple)) and len(limits) == len(_LIMITS)
    expect(is_list, f"expected {len(_LIMITS)} answers in limits, got {limits!r}.")
    for number, (answer, right) in enumerate(zip(limits, _LIMITS, strict=True), 1):
        is_known = answer in _LIMITS
        expect(
            is_known, f'limits has {answer!r} as number {number}; expected "peak" or "bandwidth".'
        )
        hint = f"On this core, the limits meet at {_PEAK / _BANDWIDTH:g} MACs per byte."
        expect(answer == right, f"the limit of layer {number} is not the {answer}.", hint)
    print("Right: a layer that uses each value often reaches the peak, the others wait for data.")


def _hint_for(intensity: float, layer: _Layer) -> str:
    """What is probably wrong with an intensity."""
    inputs, weights, outputs = layer.values()
    full = layer.macs * layer.groups / (4 * (inputs + weights * layer.groups + outputs))
    mistakes = {
        layer.macs / sum(layer.values()): "A float32 value has 4 bytes.",
        4 * sum(layer.values()) / layer.macs: "These are bytes per MAC; divide the other way.",
        layer.macs / (4 * (inputs + outputs)): "The weights have to be read, too.",
        layer.macs / (4 * (inputs + weights)): "The input is read *and* the output is written.",
        full: "With groups, an output channel sees channels_in / groups input channels.",
    }
    hints = [hint for wrong, hint in mistakes.items() if np.isclose(intensity, wrong, rtol=1e-3)]
    return hints[0] if hints else "Divide the MACs by the bytes of input, weights and output."


def check_quantize(quantize: Callable[..., Any]) -> None:
    """Exercise 3: weights float32 [out, in, k, k] -> the same in int8, and scales float [out]."""
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
    """Exercise 4: conv, scale of its input channels [in] -> folded(x) = conv(x * scale)."""
    torch.manual_seed(0)
    scale = torch.tensor([0.5, 2.0, 1 / 255])
    photo = torch.rand(1, 3, 12, 12)
    conv = nn.Conv2d(3, 3, 3, stride=2, padding=1)
    before = copy.deepcopy(conv.state_dict())
    folded = fold(conv, scale)
    require_answer(folded, "the result of fold()")
    expect_unchanged(before.values(), conv.state_dict().values(), "fold()")
    kind = type(folded).__name__
    expect(isinstance(folded, nn.Conv2d), f"fold() returns a {kind}; expected a convolution.")
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
