"""Parameters, MACs and receptive field of a model, computed from the model itself."""

import copy
import io
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from facesegkit.models import INPUT_SIZE, GlobalGate


@dataclass(frozen=True)
class ModelProfile:
    """Size and cost of a model."""

    parameters: int  # trainable ones
    macs: int  # multiply-accumulates of all convolutions for one photo
    # Side of the square of input pixels that one output pixel depends on, apart from global
    # gates, which depend on the whole photo.
    receptive_field: int
    bytes_on_disk: int  # size of the weights as torch.save writes them

    def __str__(self) -> str:
        return (
            f"{self.parameters / 1e6:.3f} M parameters, {self.macs / 1e6:.1f} M MACs, receptive "
            f"field {self.receptive_field} pixels, {self.bytes_on_disk / 1e6:.2f} MB on disk"
        )


def profile_model(model: nn.Module, size: int = INPUT_SIZE) -> ModelProfile:
    """Profile of a model for photos of `size` x `size` pixels."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return ModelProfile(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=count_macs(model, size),
        receptive_field=receptive_field(model),
        bytes_on_disk=file.tell(),
    )


def count_macs(model: nn.Module, size: int = INPUT_SIZE) -> int:
    """Multiply-accumulates of all convolutions for one photo of `size` x `size` pixels.

    Each output value of a convolution takes one per weight of its filter.
    """
    model = copy.deepcopy(model).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, size, size))
    return int(counter.get_total_flops()) // 2  # a multiplication and an addition each


def receptive_field(model: nn.Module, size: int = 1024) -> int:
    """Side, in pixels, of the input square that the middle output pixel depends on.

    It depends on the inputs for which its gradient is not 0. So that the gradient does not vanish
    on the way, all weights are made positive (in a copy), and the global gates are treated as
    constants. `size` is the side of the test image, larger than any receptive field.
    """
    model = copy.deepcopy(model).double().eval()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.reset_parameters()
        elif isinstance(layer, GlobalGate):
            layer.excite.register_forward_hook(lambda layer, inputs, output: output.detach())
    photo = torch.ones(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    model(photo)[0, :, size // 2, size // 2].sum().backward()
    assert photo.grad is not None
    columns = torch.nonzero(photo.grad[0].abs().amax(dim=(0, 1)))
    return int(columns.max() - columns.min()) + 1
