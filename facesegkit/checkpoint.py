"""Saves a trained model with all that is needed to use it, and loads it without running code.

A checkpoint is a .pth file of tensors and plain data. Its pickle is looked through, then read with
`weights_only=True`, so a file from an unknown source can hold a bad model but cannot run code.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.inference.onnx_model import FORMAT, KIND, Model, check_kind, damaged, finite
from facesegkit.labels import LabelScheme
from facesegkit.models import INPUT_SIZE, LightweightSegmentationModel, LightweightUNet
from facesegkit.system.network_limits import build_within_limits, check_finite
from facesegkit.system.tensor_files import halved, load_tensors, save_tensors, versions

_BACKGROUND = 0.95  # its fraction of an aligned photo's pixels, roughly

ARCHITECTURES: dict[str, type[LightweightSegmentationModel] | type[LightweightUNet]] = {
    "separable": LightweightSegmentationModel,
    "unet": LightweightUNet,
}


@dataclass(frozen=True)
class Checkpoint:
    """A trained model and its metadata."""

    arch: str  # "separable" or "unet"
    model: nn.Module  # takes RGB in 0..1
    scheme: LabelScheme
    input_size: int = INPUT_SIZE  # side of the square photos that it was trained on, in pixels
    # Plain data on its origin: data set, split rule, recipe, scores, versions.
    about: Mapping[str, Any] = field(default_factory=dict)
    crop: RelativeCrop = FULL_IMAGE  # the part of an aligned photo that it takes

    def runnable(self, name: str = "The model of this checkpoint") -> Model:
        """The model as the inference engine takes it: from NumPy arrays to NumPy arrays."""
        predict = finite(self._predict_logits, name)
        return Model(predict, self.scheme, self.input_size, self.about, self.crop)

    @torch.inference_mode()
    def _predict_logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = self.model(torch.from_numpy(images))
        self.scheme.check_channels(logits.shape[1])
        return logits.numpy()


def build_model(arch: str, **config: Any) -> LightweightSegmentationModel | LightweightUNet:
    """A model with random weights: "separable" or "unet", with arguments of its class.

    Raises a FaceSegKitError if there is no such architecture.
    """
    if arch not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise FaceSegKitError(f"There is no architecture {arch!r}; choose one of {known}.")
    model = ARCHITECTURES[arch](**config)
    # Most of a photo is background. A model that does not start from that spends its first hundred
    # steps learning it (T. Lin et al., "Focal Loss for Dense Object Detection", 2017, section 3.3).
    assert model.head.bias is not None
    with torch.no_grad():
        model.head.bias[0] += math.log(_BACKGROUND * (len(model.head.bias) - 1) / (1 - _BACKGROUND))
    return model


def save(checkpoint: Checkpoint, path: Path | str) -> None:
    """Write a checkpoint, atomically.

    Raises a FaceSegKitError if the file cannot be written.
    """
    weights = {name: halved(value) for name, value in checkpoint.model.state_dict().items()}
    save_tensors({**description(checkpoint), "weights": weights}, path)


def description(checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything but the weights that a model's file holds, as plain data."""
    return {
        "kind": KIND,
        "format": FORMAT,
        "arch": checkpoint.arch,
        "config": checkpoint.model.config,
        "scheme": checkpoint.scheme.to_dict(),
        "input_size": checkpoint.input_size,
        "crop": checkpoint.crop.to_dict(),
        "about": dict(checkpoint.about),
        "versions": versions(),
    }


def load(path: Path | str) -> Checkpoint:
    """Read a checkpoint; the model is in eval mode.

    Raises a FaceSegKitError if there is no such file, or it is damaged or not a checkpoint.
    """
    plain = load_tensors(path)
    check_kind(plain, path)
    try:
        build = partial(build_model, plain["arch"], **plain["config"])
        model = build_within_limits(build, plain)
        model.load_state_dict(plain["weights"])
        scheme, about = LabelScheme.from_dict(plain["scheme"]), dict(plain["about"])
        size, crop = int(plain["input_size"]), RelativeCrop.from_dict(plain.get("crop"))
        scheme.check_channels(model.config["classes"])
    except Exception as error:  # any entry may be of any type
        raise damaged(path, error) from error
    check_finite(model, f"The model {path}")
    # PyTorch's own type hints do not know memory_format.
    model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Checkpoint(plain["arch"], model, scheme, size, about, crop)
