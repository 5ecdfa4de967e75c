"""Saves a trained model with all that is needed to use it, and loads it without running code.

A checkpoint is a .pth file of tensors and plain data. It is read with `weights_only=True`, so a
file from a stranger can hold a bad model but no program.
"""

from __future__ import annotations

import io
import math
import platform
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import facesegkit
from facesegkit.errors import FaceSegKitError, first_line
from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.inference.onnx_model import FORMAT, KIND, Model, check_input_size, check_kind
from facesegkit.labels import LabelScheme
from facesegkit.models import INPUT_SIZE, LightweightSegmentationModel, LightweightUNet
from facesegkit.system.files import atomic_write

# Or else a file could ask for all memory that there is.
_MOST_PARAMETERS = 20_000_000
_MOST_BYTES = 400_000_000  # with averages and all else that a training keeps
_BACKGROUND = 0.95  # about its share of an aligned photo's pixels

ARCHITECTURES: dict[str, type[LightweightSegmentationModel] | type[LightweightUNet]] = {
    "separable": LightweightSegmentationModel,
    "unet": LightweightUNet,
}


@dataclass(frozen=True)
class Checkpoint:
    """A trained model and what it was made for.

    Args:
        arch: "separable" or "unet".
        model: the network, which takes RGB in 0..1.
        scheme: what its classes mean, and their colours.
        input_size: side of the square that it was trained on, in pixels.
        about: plain data on where it comes from: data set, split rule, recipe, scores, versions.
        crop: the part of an aligned photo that it looks at.
    """

    arch: str
    model: nn.Module
    scheme: LabelScheme
    input_size: int = INPUT_SIZE
    about: Mapping[str, Any] = field(default_factory=dict)
    crop: RelativeCrop = FULL_IMAGE

    def runnable(self) -> Model:
        """The same as what scores photos, which needs no knowledge of PyTorch."""
        return Model(self._score, self.scheme, self.input_size, self.about, self.crop)

    @torch.inference_mode()
    def _score(self, photos: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.model(torch.from_numpy(photos)).numpy()


def build_model(arch: str, **config: Any) -> LightweightSegmentationModel | LightweightUNet:
    """A fresh model by the name of its architecture.

    Args:
        arch: "separable" or "unet".
        config: what the model takes, see the models.

    Raises:
        FaceSegKitError: there is no such architecture.
    """
    if arch not in ARCHITECTURES:
        raise FaceSegKitError(
            f"There is no architecture {arch!r}; choose one of {', '.join(ARCHITECTURES)}."
        )
    model = ARCHITECTURES[arch](**config)
    # Most of a photo is background. A model that has to learn that first spends its first hundred
    # steps on it (T. Lin et al., "Focal Loss for Dense Object Detection", 2017, section 3.3).
    assert model.head.bias is not None
    with torch.no_grad():
        model.head.bias[0] += math.log(_BACKGROUND * (len(model.head.bias) - 1) / (1 - _BACKGROUND))
    return model


def versions() -> dict[str, str]:
    """What a result was made with."""
    return {
        "facesegkit": facesegkit.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def save(checkpoint: Checkpoint, path: Path | str) -> None:
    """Write a checkpoint; the file appears complete or not at all.

    Raises:
        FaceSegKitError: the file cannot be written.
    """
    weights = {name: _in_half(value) for name, value in checkpoint.model.state_dict().items()}
    save_tensors({**description(checkpoint), "weights": weights}, path)


def description(checkpoint: Checkpoint) -> dict[str, Any]:
    """All that a model's file says beside its weights, as plain data."""
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


def _in_half(weights: Tensor) -> Tensor:
    """The same weights in half the bytes, where none of them changes by it."""
    half = weights.half() if weights.dtype == torch.float32 else weights
    return half if torch.equal(half.to(weights.dtype), weights) else weights


def round_to_half(model: nn.Module) -> None:
    """Round a model's convolutions, in place, to what float16 can hold.

    A file then takes half the room (see `save`), and still holds exactly the model that was
    scored. Batch normalisation stays as it is: it is small, and its range can be large.
    """
    for weights in model.parameters():
        if weights.ndim > 1:
            weights.data = weights.data.half().float()


def load(path: Path | str) -> Checkpoint:
    """Read a checkpoint; the model is in eval mode.

    Raises:
        FaceSegKitError: no such file, not a checkpoint, one of another kind, or a damaged one.
    """
    plain = load_tensors(path)
    check_kind(plain, path)
    try:
        with torch.device("meta"):  # where tensors take no memory
            parameters = build_model(plain["arch"], **plain["config"]).parameters()
        if sum(weights.numel() for weights in parameters) > _MOST_PARAMETERS:
            raise ValueError(f"more than {_MOST_PARAMETERS:,} parameters")
        model = build_model(plain["arch"], **plain["config"])
        model.load_state_dict(plain["weights"])
        scheme, about = LabelScheme.from_dict(plain["scheme"]), dict(plain["about"])
        size, crop = int(plain["input_size"]), RelativeCrop.from_dict(plain.get("crop"))
        check_input_size(size)
    except FaceSegKitError:
        raise
    except Exception as error:  # plain data of any kind can lie anywhere
        raise FaceSegKitError(
            f"{path} is damaged, its contents do not fit together ({first_line(error)}); "
            f"train again."
        ) from error
    # PyTorch's own type hints do not know memory_format.
    model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Checkpoint(plain["arch"], model, scheme, size, about, crop)


def save_tensors(plain: Mapping[str, Any], path: Path | str) -> None:
    """Write tensors and plain data with torch.save; the file appears complete or not at all.

    Raises:
        FaceSegKitError: the file cannot be written.
    """
    # By way of memory: on a full disk torch.save would raise an error of its own.
    buffer = io.BytesIO()
    torch.save(dict(plain), buffer)
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(buffer.getvalue())  # getbuffer's view may outlive a failed write


def load_tensors(path: Path | str) -> dict[str, Any]:
    """Read what `save_tensors` has written; refuses anything but tensors and plain data.

    Raises:
        FaceSegKitError: no such file, or not one that torch.save wrote, or a damaged one.
    """
    if not Path(path).is_file():
        raise FaceSegKitError(
            f"There is no model file {path}; train one with 'python face_segmentation.py', "
            f"or name another with --model."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a strange pickle; whether it can be read counts
            _check_bytes(Path(path))
            plain = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way
        raise FaceSegKitError(
            f"{path} is not a file that facesegkit has saved, or it is damaged; "
            f"train again with 'python face_segmentation.py'."
        ) from error
    if not isinstance(plain, dict):
        raise FaceSegKitError(
            f"{path} holds a {type(plain).__name__}, not a model of facesegkit; "
            f"give a file that face_segmentation.py has saved."
        )
    return plain


def _check_bytes(path: Path) -> None:
    """Raises ValueError if a file is too large, or would be when unpacked: it may be a zip."""
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = max(size, sum(file.file_size for file in archive.infolist()))
    if size > _MOST_BYTES:
        raise ValueError(f"it has {size:,} bytes")
