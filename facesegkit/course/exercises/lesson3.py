"""Checks of the exercises of lesson 3, two architectures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from facesegkit.course.exercises import TryAgain, require_answer
from facesegkit.profile import count_macs

Layers = Sequence[tuple[int, int]]  # (kernel, stride), first to last

EARLY: Layers = [(3, 2), (3, 2), (3, 1)]
LATE: Layers = [(3, 1), (3, 2), (3, 2)]
REACH, MOST_LAYERS = 200, 8


def _field_of(layers: Layers) -> int:
    seen, step = 1, 1
    for kernel, stride in layers:
        seen += (kernel - 1) * step
        step *= stride
    return seen


def check_reach(early: int, late: int, chain: Layers) -> None:
    """Check two predicted receptive fields, and a chain of layers that sees far.

    Args:
        early: of `EARLY`.
        late: of `LATE`.
        chain: 3 x 3 layers of stride 1 or 2, at most `MOST_LAYERS`, that see `REACH` pixels.

    Raises:
        TryAgain: one of them is not right yet.
    """
    for name, guess, layers in (("early", early, EARLY), ("late", late, LATE)):
        require_answer(guess, name)
        if guess != _field_of(layers):
            raise TryAgain(
                f"{name} is {guess}, but {layers} sees another number of pixels. Start with 1. "
                f"Each layer adds (kernel - 1) steps, and a step is as many pixels as all strides "
                f"*before* this layer, multiplied."
            )
    require_answer(chain, "chain")
    _check_chain(list(chain))
    print(
        f"Right. Halving early sees {early} pixels, halving late {late}. "
        f"Your {len(chain)} layers see {_field_of(chain)}."
    )


def _check_chain(chain: list[Any]) -> None:
    for layer in chain:
        if tuple(layer) not in ((3, 1), (3, 2)):
            raise TryAgain(f"chain has the layer {layer!r}; only (3, 1) and (3, 2) are allowed.")
    if len(chain) > MOST_LAYERS:
        raise TryAgain(f"chain has {len(chain)} layers; {MOST_LAYERS} are allowed.")
    if _field_of(chain) < REACH:
        raise TryAgain(
            f"chain sees {_field_of(chain)} pixels, expected at least {REACH}. "
            f"A layer reaches further the more halvings come before it."
        )


def check_conv_cost(conv_cost: Callable[..., Any]) -> None:
    """Check a function that counts what a convolution without bias costs.

    Args:
        conv_cost: (channels_in, channels_out, kernel, side, stride=1, groups=1), where `side` is
            of the input, to (parameters, multiply-adds).

    Raises:
        TryAgain: it is not right yet.
    """
    cases: tuple[tuple[tuple[int, ...], dict[str, int], str], ...] = (
        ((16, 32, 3, 64), {}, "a plain convolution"),
        ((16, 32, 3, 64), {"stride": 2}, "a stride of 2: how many places does the *output* have?"),
        ((32, 32, 5, 16), {"groups": 32}, "a depthwise one: how deep is each of its filters?"),
        ((32, 64, 1, 16), {}, "a pointwise one"),
        ((32, 64, 3, 16), {"groups": 4}, "groups: each output channel sees channels_in / groups"),
    )
    for arguments, keywords, what in cases:
        answer = conv_cost(*arguments, **keywords)
        require_answer(answer, "the result of conv_cost()")
        expected = _true_cost(*arguments, **keywords)
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise TryAgain(f"conv_cost() returns {answer!r}; expected two numbers.")
        for name, found, right in zip(
            ("parameters", "multiply-adds"), answer, expected, strict=True
        ):
            if found != right:
                call = ", ".join([*map(str, arguments), *(f"{k}={v}" for k, v in keywords.items())])
                raise TryAgain(
                    f"conv_cost({call}) says {found:,} {name}; expected {right:,}. "
                    f"This case is {what}."
                )
    print("Right: plain, strided, grouped, depthwise and pointwise convolutions, all counted.")


def _true_cost(
    channels_in: int, channels_out: int, kernel: int, side: int, stride: int = 1, groups: int = 1
) -> tuple[int, int]:
    layer = nn.Conv2d(
        channels_in, channels_out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False
    )
    outputs = layer(torch.zeros(1, channels_in, side, side)).numel()
    return layer.weight.numel(), outputs * layer.weight[0].numel()


def check_inverted_residual(block: Callable[..., nn.Module]) -> None:
    """Check the block of MobileNetV2: widen, look around, narrow, and add the input.

    Args:
        block: a module's class, made with (channels_in, channels_out, expand=4, kernel=3,
            stride=1).

    Raises:
        TryAgain: it is not right yet.
    """
    for channels_in, channels_out, expand, kernel, stride in (
        (16, 16, 4, 3, 1),
        (16, 24, 4, 3, 1),
        (16, 16, 2, 5, 2),
    ):
        name = f"block({channels_in}, {channels_out}, {expand}, {kernel}, {stride})"
        module = block(channels_in, channels_out, expand, kernel, stride).eval()
        _check_is_module(module, name)
        torch.manual_seed(0)
        features = torch.randn(1, channels_in, 16, 16)
        expected = (1, channels_out, 16 // stride, 16 // stride)
        output = _run(module, name, features)
        _check_shape(output, expected, name)
        _check_depthwise(module, channels_in * expand, name)
        _check_count(module, _inverted_parameters(channels_in, channels_out, expand, kernel), name)
        _check_linear_end(output, name)
        _check_relus(module, features, name)
        _check_residual(module, features, expected, name)
    print("Right: widened, looked at channel by channel, narrowed without ReLU, and added.")


def _inverted_parameters(channels_in: int, channels_out: int, expand: int, kernel: int) -> int:
    wide = channels_in * expand
    convolutions = channels_in * wide + wide * kernel**2 + wide * channels_out
    return convolutions + 2 * (wide + wide + channels_out)  # with batch normalisation


def _check_is_module(module: Any, name: str) -> None:
    if not isinstance(module, nn.Module) or not list(module.parameters()):
        raise TryAgain(
            f"{name} has no layers yet. Make them in __init__, after super().__init__()."
        )


def _run(module: nn.Module, name: str, *inputs: Tensor) -> Tensor:
    shapes = " and ".join(str(tuple(features.shape)) for features in inputs)
    try:
        with torch.inference_mode():
            output = module(*inputs)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise TryAgain(
            f"{name} fails on features {shapes}: {reason}. Follow the shapes through forward()."
        ) from error
    require_answer(output, f"what {name} returns")
    return output


def _check_shape(output: Tensor, expected: tuple[int, ...], name: str) -> None:
    if tuple(output.shape) != expected:
        raise TryAgain(f"{name} returns {tuple(output.shape)}; expected {expected}.")


def _check_depthwise(module: nn.Module, channels: int, name: str) -> None:
    groups = [layer.groups for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    if channels not in groups:
        raise TryAgain(
            f"{name} has convolutions with groups {groups}; expected a depthwise one on "
            f"{channels} channels, after they were widened: groups={channels}."
        )


def _check_count(module: nn.Module, expected: int, name: str) -> None:
    found = sum(weights.numel() for weights in module.parameters())
    if found != expected:
        raise TryAgain(
            f"{name} has {found:,} parameters; expected {expected:,}. "
            f"Which layers are there, between how many channels, and has each convolution its "
            f"batch normalisation and no bias?"
        )


def _check_linear_end(output: Tensor, name: str) -> None:
    if output.min() >= 0:
        raise TryAgain(
            f"{name} returns no number below 0, so a ReLU comes last. The narrow end stays "
            f"linear: a ReLU would throw away half of the little that fits there."
        )


def _check_relus(module: nn.Module, features: Tensor, name: str) -> None:
    """What each convolution but the first gets to see has passed a ReLU."""
    lowest: list[float] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs: lowest.append(float(inputs[0].min())))
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    _run(module, name, features)
    for hook in hooks:
        hook.remove()
    if min(lowest[1:]) < 0:
        raise TryAgain(
            f"{name}: a ReLU comes after the first convolution, and another after the second."
        )


def _check_residual(
    module: nn.Module, features: Tensor, expected: tuple[int, ...], name: str
) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    silent = _run(module, name, features)  # all that the layers add is 0 now
    if tuple(features.shape) == expected and not torch.equal(silent, features):
        raise TryAgain(
            f"{name}: where input and output have the same shape the input is to be added. With "
            f"layers that give 0 the block should return its input, but does not."
        )
    if tuple(features.shape) != expected and silent.any():
        raise TryAgain(f"{name} adds something of another shape; there is no residual here.")


def check_add_fuse(block: Callable[..., nn.Module]) -> None:
    """Check a step of a U-Net's way up that adds instead of concatenating.

    Args:
        block: a module's class, made with (coarse, skip), the channels of the two inputs.

    Raises:
        TryAgain: it is not right yet.
    """
    coarse, skip, name = 24, 10, "AddFuse(24, 10)"
    module = block(coarse, skip).eval()
    _check_is_module(module, name)
    torch.manual_seed(0)
    below, aside = torch.randn(1, coarse, 8, 8), torch.randn(1, skip, 16, 16)
    output = _run(module, name, below, aside)
    _check_shape(output, (1, skip, 16, 16), name)
    _check_count(module, coarse * skip + 2 * skip + skip * skip * 9 + 2 * skip, name)
    if output.min() < 0:
        raise TryAgain(f"{name} returns numbers below 0; a ReLU comes last, as in FuseConv.")
    for what, changed in (("coarse", (below + 1, aside)), ("skip", (below, aside + 1))):
        if torch.equal(_run(module, name, *changed), output):
            raise TryAgain(f"{name} returns the same when `{what}` changes; add the two.")
    work = count_macs(_OnPhoto(module, coarse, skip), 16)
    if work != 8 * 8 * coarse * skip + 16 * 16 * skip * skip * 9:
        raise TryAgain(
            f"{name} does {work:,} multiply-adds, which is too many: narrow the coarse features "
            f"while they are still small, then repeat them."
        )
    print("Right: narrowed, repeated, added, looked at, with fewer channels to convolve.")


class _OnPhoto(nn.Module):
    """Feeds a block of two inputs from a photo, for `count_macs`."""

    def __init__(self, block: nn.Module, coarse: int, skip: int) -> None:
        super().__init__()
        self.block, self.coarse, self.skip = block, coarse, skip

    def forward(self, photo: Tensor) -> Tensor:
        height, width = photo.shape[2:]
        below = photo.new_zeros(1, self.coarse, height // 2, width // 2)
        return self.block(below, photo.new_zeros(1, self.skip, height, width))
