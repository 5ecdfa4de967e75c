"""Builds the network that a model file asks for, if it keeps to the limits of memory and time."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from facesegkit.system.model_limits import (
    MAX_MACS,
    MAX_PARAMETERS,
    check_description,
    not_finite,
)

Network = TypeVar("Network", bound=nn.Module)


def build_within_limits(build: Callable[[], Network], plain: Mapping[str, Any]) -> Network:
    """The network that `build` makes, for a checkpoint with these entries.

    Raises ValueError if it is too large, or what is raised if the entries do not fit together.
    """
    check_description(plain)
    with torch.device("meta"):  # on which tensors take no memory
        parameters = sum(weights.numel() for weights in build().parameters())
    if parameters > MAX_PARAMETERS:
        raise ValueError(f"more than {MAX_PARAMETERS:,} parameters")
    model, size = build().eval(), int(plain["input_size"])
    stride = int(model.stride)  # type: ignore[arg-type]
    if size % stride:
        raise ValueError(f"images of {size} pixels, no multiple of {stride}")
    if count_macs(model, stride) * (size / stride) ** 2 > MAX_MACS:
        raise ValueError(f"an image takes more than {MAX_MACS:,} multiply-accumulates")
    return model


def count_macs(model: nn.Module, size: int) -> int:
    """Multiply-accumulates of the convolutions for an image of size x size pixels.

    The counter of PyTorch, which `profile.count_macs` uses, would take seconds to be imported.
    """
    macs = 0

    def count(layer: nn.Module, inputs: object, output: Tensor) -> None:
        nonlocal macs
        macs += output[0, 0].numel() * layer.weight.numel()  # type: ignore[operator]

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.inference_mode():
        model(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return macs


def check_finite(model: nn.Module, name: str) -> None:
    """Raise a FaceSegKitError that starts with `name` if a weight is NaN or infinite."""
    if not all(bool(weights.isfinite().all()) for weights in model.state_dict().values()):
        raise not_finite(name)
