"""Tensors and plain data in files that are written atomically and read without running code."""

import io
import platform
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import facesegkit
from facesegkit.errors import FaceSegKitError
from facesegkit.system.files import atomic_write
from facesegkit.system.pickle_check import checked_archive

# Five float32 copies of the largest model that checkpoint.py accepts: a training state holds its
# weights, their EMA, the best EMA so far, and the two moments of AdamW.
_MAX_BYTES = 400_000_000


def save_tensors(plain: Mapping[str, Any], path: Path | str) -> None:
    """Write tensors and plain data with torch.save, atomically; a FaceSegKitError if that fails."""
    # By way of memory: on a full disk torch.save would raise an error of its own.
    buffer = io.BytesIO()
    torch.save(dict(plain), buffer)
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(buffer.getvalue())  # getbuffer's view may outlive a failed write


def load_tensors(path: Path | str) -> dict[str, Any]:
    """Read what `save_tensors` wrote; anything but tensors and plain data is refused.

    Raises a FaceSegKitError if there is no such file, or torch.save did not write it, or it is
    damaged.
    """
    train = "'python face_segmentation.py'"
    if not Path(path).is_file():
        raise FaceSegKitError(f"There is no model file {path}; train one with {train}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual pickles: only errors matter here
            size = Path(path).stat().st_size
            if size <= _MAX_BYTES:  # which a zip file could unpack to all the memory there is
                with zipfile.ZipFile(path) as archive:
                    size = max(size, sum(file.file_size for file in archive.infolist()))
            if size > _MAX_BYTES:
                raise ValueError(f"it has {size:,} bytes")
            plain = torch.load(checked_archive(path), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way
        reason = f"{path} was not saved by facesegkit, or it is damaged"
        raise FaceSegKitError(f"{reason}; train again with {train}.") from error
    if not isinstance(plain, dict):
        kind = f"holds a {type(plain).__name__}, not a model of facesegkit"
        raise FaceSegKitError(f"{path} {kind}; give a file that face_segmentation.py has saved.")
    return plain


def halved(weights: Tensor) -> Tensor:
    """The weights as float16 if float16 holds all of them exactly, else as they are."""
    half = weights.half() if weights.dtype == torch.float32 else weights
    return half if torch.equal(half.to(weights.dtype), weights) else weights


def round_to_half(model: nn.Module) -> None:
    """Round a model's convolution weights, in place, to values that float16 can hold.

    A file then takes half the bytes (see `halved`), and still holds exactly the model that was
    evaluated. Batch normalization stays as it is: it is small, and its range can be large.
    """
    for weights in model.parameters():
        if weights.ndim > 1:
            weights.data = weights.data.half().float()


def versions() -> dict[str, str]:
    """Versions of the software that a result was made with."""
    own, python = facesegkit.__version__, platform.python_version()
    return {"facesegkit": own, "torch": str(torch.__version__), "python": python}
