"""Checks of the exercises of lesson 3, notebooks/exercises/03-two-architectures.ipynb."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from facesegkit.course.exercises import TryAgain, expect, expect_number, expect_pair, require_answer

Layers = Sequence[tuple[int, int]]  # (kernel, stride), first to last
Shape = tuple[int, ...]

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
    allowed = ((3, 1), (3, 2), [3, 1], [3, 2])
    expect(isinstance(chain, (list, tuple)), f"expected a list of layers for chain, got {chain!r}.")
    if wrong := [layer for layer in chain if layer not in allowed]:
        raise TryAgain(f"chain has the layer {wrong[0]!r}; only (3, 1) and (3, 2) are allowed.")
    expect(len(chain) <= 8, f"chain has {len(chain)} layers; at most 8 are allowed.")
    field = _receptive_field(chain)
    hint = "A layer adds more pixels if more strides of 2 come before it."
    expect(field >= 200, f"chain has a receptive field of {field} pixels, less than 200.", hint)
    print(f"Right: {early} with early strides, {late} with late ones, and {field} with your chain.")


def check_conv_cost(conv_cost: Callable[..., Any]) -> None:
    """Exercise 2: channels, kernel, side of the input, stride, groups -> (parameters, MACs)."""
    for (c_in, c_out, kernel, side, stride, groups), hint in (
        (
            (16, 32, 3, 64, 1, 1),
            "Each output channel has a filter of channels_in x kernel x kernel.",
        ),
        ((16, 32, 3, 64, 2, 1), "How many pixels does the *output* have?"),
        ((32, 32, 5, 16, 1, 32), "In a depthwise convolution, how deep is each filter?"),
        ((32, 64, 1, 16, 1, 1), "A pointwise convolution has a kernel of 1 x 1."),
        ((32, 64, 3, 16, 1, 4), "Each output channel sees channels_in / groups channels."),
    ):
        name = f"conv_cost({c_in}, {c_out}, {kernel}, {side}, {stride=}, {groups=})"
        answer = conv_cost(c_in, c_out, kernel, side, stride=stride, groups=groups)
        parameters, macs = expect_pair(answer, "numbers", name)
        filters = c_out * c_in // groups * kernel**2
        expected = side**2 // stride**2 * filters
        swapped = (parameters, macs) == (expected, filters)
        expect(not swapped, f"{name} returns the MACs first; expected the parameters first.")
        hint = "These convolutions have no bias." if parameters == filters + c_out else hint
        expect_number(parameters, filters, f"the parameters from {name}", hint, rtol=0)
        expect_number(macs, expected, f"the MACs from {name}", hint, rtol=0)
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
        depthwise = f"expected a depthwise one on the {wide} channels, with groups={wide}"
        expect(wide in groups, f"{name} has convolutions with groups {groups}; {depthwise}.")
        strides = [layer.stride[0] for layer, _, _ in calls if layer.groups == wide]
        message = f"expected the stride {stride} in the depthwise convolution of {name}, "
        expect(strides[0] == stride, f"{message}got {strides[0]}.")
        weights = wide * (channels_in + kernel**2 + channels_out)
        _expect_parameters(module, weights + 2 * (wide + wide + channels_out), name)
        hint = "The output stays linear; a ReLU would discard half of what these few channels hold."
        expect(output.min() < 0, f"{name} ends with a ReLU: no number is negative.", hint)
        lowest = min(float(inputs.min()) for _, inputs, _ in calls[1:])
        expect(lowest >= 0, f"{name} lacks a ReLU after the first or after the second convolution.")
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
    hint = "A ReLU comes last, as in FuseConv."
    expect(output.min() >= 0, f"{name} returns negative numbers.", hint)
    for which, changed in (("coarse", (below + 1, aside)), ("skip", (below, aside + 1))):
        is_used = not torch.equal(_run(module, name, shape, *changed)[0], output)
        expect(is_used, f"the output of {name} does not depend on `{which}`; add the two.")
    _, more = _run(module, name, shape, below, aside + 1)
    inputs = [features for of_run in (calls, more) for layer, features, _ in of_run[-1:]]
    is_added = torch.allclose(inputs[1] - inputs[0], torch.ones(()), atol=1e-4)
    hint = "Add `skip` as it is to the upsampled features, and filter the sum."
    expect(is_added, f"the last convolution of {name} does not get a sum with `skip`.", hint)
    macs = sum(outputs.numel() * layer.weight[0].numel() for layer, _, outputs in calls)
    least = 8 * 8 * coarse * skip + 16 * 16 * skip * skip * 9
    hint = "Narrow the coarse features while they are still small, then upsample them."
    expect(macs == least, f"{name} takes {macs:,} MACs, which is too many.", hint)
    print("Right: narrowed, upsampled, added and filtered, with fewer channels to convolve.")


def _as_module(module: Any, name: str) -> nn.Module:
    if not isinstance(module, nn.Module) or not list(module.parameters()):
        hint = "Create them where it says 'your code here', in __init__."
        raise TryAgain(f"{name} has no layers yet.", hint)
    return module.eval()


def _run(module: nn.Module, name: str, shape: Shape, *inputs: Tensor) -> tuple[Tensor, Calls]:
    """Output of a module, which has to have this shape, and the calls of its convolutions."""
    calls: Calls = []

    def record(layer: nn.Module, args: Any, result: Any) -> None:
        if isinstance(layer, nn.Conv2d):
            calls.append((layer, args[0], result))

    try:
        with register_module_forward_hook(record), torch.inference_mode():
            output = module(*inputs)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        shapes = " and ".join(str(tuple(features.shape)) for features in inputs)
        message = f"{name} fails for features of shape {shapes}: {str(error).splitlines()[0]}."
        raise TryAgain(message, "Follow the shapes through forward().") from error
    require_answer(output, f"the output of {name}")
    got = tuple(output.shape)
    expect(got == shape, f"expected shape {shape} from {name}, got {got}.")
    return output, calls


def _expect_parameters(module: nn.Module, expected: int, name: str) -> None:
    number = sum(weights.numel() for weights in module.parameters())
    hint = "Check each layer's channels. Each convolution has batch normalization and no bias."
    expect(number == expected, f"{name} has {number:,} parameters; expected {expected:,}.", hint)


def _expect_residual(module: nn.Module, features: Tensor, shape: Shape, name: str) -> None:
    for weights in module.parameters():
        nn.init.zeros_(weights)
    output, _ = _run(module, name, shape, features)  # all layers add 0 now
    if features.shape == output.shape:
        is_added = torch.equal(output, features)
        expect(is_added, f"{name} does not add its input, although the output has the same shape.")
    else:
        message = f"{name} adds something of another shape; it has no residual connection."
        expect(not output.any(), message)
