"""Checks of the exercises of lesson 3, notebooks/exercises/03-two-architectures.ipynb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from facesegkit.course.exercises import TryAgain, expect_number, require_answer

Layers = Sequence[tuple[int, int]]  # (kernel, stride), first to last

# Convolutions of the module that has just run, each with its input and its output.
Calls = list[tuple[nn.Conv2d, Tensor, Tensor]]


def _receptive_field(layers: Layers) -> int:
    field, stride_so_far = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * stride_so_far
        stride_so_far *= stride
    return field


def check_receptive_fields(early: int, late: int, chain: Layers) -> None:
    """Exercise 1: receptive fields of two chains of layers; a chain of at most 8 that sees 200."""
    hint = (
        "Start with 1. Each layer adds (kernel - 1) steps, and a step has as many pixels as the "
        "product of the strides of all layers *before* it."
    )
    expect_number(early, _receptive_field([(3, 2), (3, 2), (3, 1)]), "early", hint, reveal=False)
    expect_number(late, _receptive_field([(3, 1), (3, 2), (3, 2)]), "late", hint, reveal=False)
    require_answer(chain, "chain")
    wrong = [layer for layer in chain if tuple(layer) not in ((3, 1), (3, 2))]
    if wrong:
        raise TryAgain(f"chain has the layer {wrong[0]!r}; only (3, 1) and (3, 2) are allowed.")
    if len(chain) > 8:
        raise TryAgain(f"chain has {len(chain)} layers; at most 8 are allowed.")
    field = _receptive_field(chain)
    if field < 200:
        raise TryAgain(
            f"chain has a receptive field of {field} pixels; expected at least 200. Hint: a layer "
            f"adds more pixels if more strides of 2 come before it."
        )
    print(f"Right: {early} with early strides, {late} with late ones, and {field} with your chain.")


def check_conv_cost(conv_cost: Callable[..., Any]) -> None:
    """Exercise 2: channels, kernel, side of the input, stride, groups -> (parameters, MACs)."""
    for (c_in, c_out, kernel, side, stride, groups), hint in (
        ((16, 32, 3, 64, 1, 1), "This is a plain convolution."),
        ((16, 32, 3, 64, 2, 1), "How many pixels does the *output* have?"),
        ((32, 32, 5, 16, 1, 32), "In a depthwise convolution, how deep is each filter?"),
        ((32, 64, 1, 16, 1, 1), "This is a pointwise convolution."),
        ((32, 64, 3, 16, 1, 4), "Each output channel sees channels_in / groups channels."),
    ):
        name = f"conv_cost({c_in}, {c_out}, {kernel}, {side}, {stride=}, {groups=})"
        answer = conv_cost(c_in, c_out, kernel, side, stride=stride, groups=groups)
        require_answer(answer, name)
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise TryAgain(f"expected two numbers from {name}, got {answer!r}.")
        filters = c_out * c_in // groups * kernel**2
        expect_number(answer[0], filters, f"the parameters from {name}", hint, rtol=0)
        macs = (side // stride) ** 2 * filters
        expect_number(answer[1], macs, f"the MACs from {name}", hint, rtol=0)
    print("Right: for plain, strided, grouped, depthwise and pointwise convolutions.")


def check_inverted_residual(block: Callable[..., nn.Module]) -> None:
    """Exercise 3: MobileNetV2's block of (channels_in, channels_out, expand, kernel, stride)."""
    for arguments in ((16, 16, 4, 3, 1), (16, 24, 4, 3, 1), (16, 16, 2, 5, 2)):
        channels_in, channels_out, expand, kernel, stride = arguments
        name = f"block{arguments}"
        module = _as_module(block(*arguments), name)
        features = torch.randn(1, channels_in, 16, 16, generator=torch.Generator().manual_seed(0))
        shape = (1, channels_out, 16 // stride, 16 // stride)
        output, calls = _run(module, name, shape, features)
        wide = channels_in * expand
        groups = [layer.groups for layer, _, _ in calls]
        if wide not in groups:
            raise TryAgain(
                f"{name} has convolutions with groups {groups}; expected a depthwise one on the "
                f"{wide} channels of the widened features: groups={wide}."
            )
        weights = wide * (channels_in + kernel**2 + channels_out)
        _expect_parameters(module, weights + 2 * (wide + wide + channels_out), name)
        if output.min() >= 0:
            raise TryAgain(
                f"{name} returns no negative numbers, so it ends with a ReLU. Hint: the output "
                f"stays linear; a ReLU would discard half of what these few channels hold."
            )
        if min(float(inputs.min()) for _, inputs, _ in calls[1:]) < 0:
            raise TryAgain(f"{name} lacks a ReLU after the first or after the second convolution.")
        _expect_residual(module, features, shape, name)
    print("Right: widened, filtered channel by channel, narrowed without a ReLU, and added.")


def check_add_fuse(block: Callable[..., nn.Module]) -> None:
    """Exercise 4: decoder block of (coarse, skip) channels with an additive skip connection."""
    coarse, skip, name = 24, 10, "AddFuse(24, 10)"
    module = _as_module(block(coarse, skip), name)
    generator = torch.Generator().manual_seed(0)
    below = torch.randn(1, coarse, 8, 8, generator=generator)
    aside = torch.randn(1, skip, 16, 16, generator=generator)
    shape = (1, skip, 16, 16)
    output, calls = _run(module, name, shape, below, aside)
    _expect_parameters(module, coarse * skip + 2 * skip + skip * skip * 9 + 2 * skip, name)
    if output.min() < 0:
        raise TryAgain(f"{name} returns negative numbers. Hint: a ReLU comes last, as in FuseConv.")
    for which, changed in (("coarse", (below + 1, aside)), ("skip", (below, aside + 1))):
        if torch.equal(_run(module, name, shape, *changed)[0], output):
            raise TryAgain(f"the output of {name} does not depend on `{which}`; add the two.")
    macs = sum(outputs.numel() * layer.weight[0].numel() for layer, _, outputs in calls)
    if macs != 8 * 8 * coarse * skip + 16 * 16 * skip * skip * 9:
        raise TryAgain(
            f"{name} takes {macs:,} MACs, which is too many. Hint: narrow the coarse features "
            f"while they are still small, then upsample them."
        )
    print("Right: narrowed, upsampled, added and filtered, with fewer channels to convolve.")


def _as_module(module: Any, name: str) -> nn.Module:
    if not isinstance(module, nn.Module) or not list(module.parameters()):
        raise TryAgain(
            f"{name} has no layers yet. Create them where it says 'your code here', in __init__."
        )
    return module.eval()


def _run(
    module: nn.Module, name: str, shape: tuple[int, ...], *inputs: Tensor
) -> tuple[Tensor, Calls]:
    """Output of a module, which has to have this shape, and the calls of its convolutions."""
    calls: Calls = []
    hooks = [
        layer.register_forward_hook(lambda layer, args, out: calls.append((layer, args[0], out)))
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    try:
        with torch.inference_mode():
            output = module(*inputs)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        shapes = " and ".join(str(tuple(features.shape)) for features in inputs)
        raise TryAgain(
            f"{name} fails for features of shape {shapes}: {str(error).splitlines()[0]}. Hint: "
            f"follow the shapes through forward()."
        ) from error
    for hook in hooks:
        hook.remove()
    require_answer(output, f"the output of {name}")
    if tuple(output.shape) != shape:
        raise TryAgain(f"expected shape {shape} from {name}, got {tuple(output.shape)}.")
    return output, calls


def _expect_parameters(module: nn.Module, expected: int, name: str) -> None:
    parameters = sum(weights.numel() for weights in module.parameters())
    if parameters != expected:
        raise TryAgain(
            f"{name} has {parameters:,} parameters; expected {expected:,}. Hint: check the "
            f"channels of each layer. Each convolution has batch normalization and no bias."
        )


def _expect_residual(
    module: nn.Module, features: Tensor, shape: tuple[int, ...], name: str
) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    output, _ = _run(module, name, shape, features)  # all layers add 0 now
    if features.shape == output.shape and not torch.equal(output, features):
        raise TryAgain(
            f"{name} does not add its input. Hint: input and output have the same shape, so if "
            f"all layers return 0, the block returns its input."
        )
    if features.shape != output.shape and output.any():
        raise TryAgain(f"{name} adds something of another shape; it has no residual connection.")
