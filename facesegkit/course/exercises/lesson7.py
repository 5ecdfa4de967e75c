"""Checks of the exercises of lesson 7, make it fast."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from facesegkit.course.exercises import TryAgain, require_answer

# Exercise 1: a network on a core, and the path around another.
MULTIPLY_ADDS, A_SECOND = 261e6, 45e9
DECODE, NETWORK, WRITE = 50, 4, 46  # milliseconds


def check_limits(floor: float, best_speed_up: float, better: str) -> None:
    """Check a floor and what can be gained on a path at best.

    Args:
        floor: of a network of `MULTIPLY_ADDS` on a core that does `A_SECOND`, in milliseconds.
        best_speed_up: of the path of `DECODE`, `NETWORK` and `WRITE` if the network took no time.
        better: "network" (ten times as fast) or "decode" (a fifth faster), what helps more.

    Raises:
        TryAgain: one of them is not right yet.
    """
    for name, answer in {"floor": floor, "best_speed_up": best_speed_up, "better": better}.items():
        require_answer(answer, name)
    expected = 1000 * MULTIPLY_ADDS / A_SECOND
    if not np.isclose(floor, expected, rtol=0.02):
        raise TryAgain(
            f"floor is {floor}; expected another number of *milliseconds*. So many multiply-adds, "
            f"over so many in a second, are seconds."
        )
    whole = DECODE + NETWORK + WRITE
    gained = whole / (whole - NETWORK)
    if not np.isclose(best_speed_up, gained, rtol=0.005):
        raise TryAgain(
            f"best_speed_up is {best_speed_up}; expected the time of the whole path before, over "
            f"its time after. How long do the other steps take together?"
        )
    if better not in ("network", "decode"):
        raise TryAgain(f'better is {better!r}; expected "network" or "decode".')
    if better != "decode":
        raise TryAgain(
            f"better is {better!r}. How many milliseconds does each of the two changes save?"
        )
    print(
        f"Right: a floor of {expected:.1f} ms. Without the network the path is {gained:.2f} times "
        f"as fast; a fifth off decoding saves {0.2 * DECODE:.0f} ms, a tenfold network "
        f"{0.9 * NETWORK:.1f} ms."
    )


def check_quantise(quantise: Callable[..., Any]) -> None:
    """Check weights as int8 with a scale for each output channel.

    Args:
        quantise: float32 [out, in, k, k] to whole numbers int8 of the same shape and scales
            float [out].

    Raises:
        TryAgain: it is not right yet.
    """
    rng = np.random.default_rng(0)
    sizes = np.array([1.0, 0.01, 30.0, 0.3], dtype=np.float32)
    weights = rng.normal(size=(4, 8, 3, 3)).astype(np.float32) * sizes[:, None, None, None]
    answer = quantise(weights.copy())
    require_answer(answer, "the result of quantise()")
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise TryAgain("quantise() is to return two things: the whole numbers and the scales.")
    whole, scales = np.asarray(answer[0]), np.asarray(answer[1])
    if whole.dtype != np.int8 or whole.shape != weights.shape:
        raise TryAgain(
            f"the whole numbers are {whole.dtype} {whole.shape}; expected int8 {weights.shape}."
        )
    if scales.size != len(weights):
        raise TryAgain(
            f"there are {scales.size} scales; expected {len(weights)}, one for each output channel."
        )
    scales = scales.reshape(len(weights))
    largest = np.abs(weights).reshape(len(weights), -1).max(axis=1)
    for channel, (scale, high) in enumerate(zip(scales, largest, strict=True)):
        if not np.isclose(scale, high / 127, rtol=1e-3):
            raise TryAgain(
                f"channel {channel} has weights up to {high:.4f}, and the scale {scale:.6f}; "
                f"expected {high / 127:.6f}, so that the largest weight becomes 127 or -127."
            )
    errors = np.abs(weights - whole * scales[:, None, None, None]).reshape(len(weights), -1)
    steps = (errors.max(axis=1) / scales).max()
    if steps > 0.501:
        raise TryAgain(
            f"a weight is off by {steps:.2f} steps; with rounding to the *nearest* whole number "
            f"half a step is the most. astype() alone cuts off instead."
        )
    print("Right: each channel has its own scale, and no weight is off by more than half a step.")


def check_fold(fold: Callable[..., Any]) -> None:
    """Check a scale that disappears into a convolution's weights.

    Args:
        fold: (conv, scale), a convolution and a factor for each of its input channels, float32
            [in], to a new convolution that does the same to x as `conv` did to x times scale.

    Raises:
        TryAgain: it is not right yet.
    """
    torch.manual_seed(0)
    scale = torch.tensor([0.5, 2.0, 1 / 255])
    photo = torch.rand(1, 3, 12, 12)
    conv = nn.Conv2d(3, 3, 3, stride=2, padding=1)
    before = copy.deepcopy(conv.state_dict())
    folded = fold(conv, scale)
    require_answer(folded, "the result of fold()")
    if any(not torch.equal(conv.state_dict()[name], kept) for name, kept in before.items()):
        raise TryAgain("fold() has changed the convolution that it was given; change a copy.")
    if not isinstance(folded, nn.Module):
        raise TryAgain(f"fold() gives a {type(folded).__name__}; expected a convolution.")
    with torch.inference_mode():
        expected = conv(photo * scale[:, None, None])
        found = folded(photo)
        if found.shape != expected.shape:
            raise TryAgain(
                f"fold() gives maps {tuple(found.shape)}; expected {tuple(expected.shape)}. "
                f"Keep kernel, stride and padding."
            )
        if torch.allclose(found, expected, atol=1e-5):
            print(
                "Right: the same result, and one multiplication less for each number of the photo."
            )
            return
        shift = found - expected
        only_bias = (shift - shift[:, :, :1, :1]).abs().max() < 1e-5
    raise TryAgain(
        "the folded convolution gives other numbers. "
        + (
            "They differ by the same in all places of a channel: look at the bias, which is added "
            "after the weights have done their work."
            if only_bias
            else "Weights are [out, in, k, k]. Which of these does the scale belong to?"
        )
    )
