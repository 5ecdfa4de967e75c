"""Tensors and plain data in files that are written atomically and read without running code."""

import io
import platform
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import facesegkit
from facesegkit.errors import FaceSegKitError, first_line
from facesegkit.system.files import atomic_write
from facesegkit.system.pickle_check import checked_archive

_MAX_MODEL = 100_000_000  # bytes; 20 million weights as float32 have 80,000,000
# A training state holds the weights, their EMA, the best EMA so far, and two moments of AdamW.
MAX_TRAINING_STATE = 5 * _MAX_MODEL


def save_tensors(plain: Mapping[str, Any], path: Path | str) -> None:
    """Write tensors and plain data with torch.save, atomically; a FaceSegKitError if that fails."""
    # By way of memory: on a full disk torch.save would raise an error of its own.
    buffer = io.BytesIO()
    torch.save(dict(plain), buffer)
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(buffer.getvalue())  # getbuffer's view may outlive a failed write


def load_tensors(path: Path | str, limit: int = _MAX_MODEL) -> dict[str, Any]:
    """Read what `save_tensors` wrote; anything but tensors and plain data is refused.

    Raises a FaceSegKitError if there is no such file, or torch.save did not write it, it is
    damaged, or it has more than `limit` bytes.
    """
    train = "'python face_segmentation.py'"
    if not Path(path).is_file():
        raise FaceSegKitError(f"There is no model file {path}; train one with {train}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual pickles: only errors matter here
            if (size := Path(path).stat().st_size) > limit:
                raise ValueError(f"it has {size:,} bytes")
            archive = checked_archive(Path(path).read_bytes(), limit)
            plain = torch.load(archive, map_location="cpu", weights_only=True)
            _check_sizes(plain, limit)
    except Exception as error:  # a damaged pickle can fail in any way
        problem = f"{path} was not saved by facesegkit, or it is damaged ({first_line(error)})"
        raise FaceSegKitError(f"{problem}; train again with {train}.") from error
    if type(plain) is not dict:  # an OrderedDict may have attributes instead of its methods
        kind = f"holds a {type(plain).__name__}, not a model of facesegkit"
        raise FaceSegKitError(f"{path} {kind}; give a file that face_segmentation.py has saved.")
    return plain


def _check_sizes(plain: object, limit: int) -> None:
    """Check that tensors have no more numbers than a file of `limit` bytes could hold.

    One number of a file can be repeated for ever in a tensor. Raises ValueError.
    """
    size, waiting, seen = 0, [plain], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Tensor):
            size += one.numel() * one.element_size()
        elif isinstance(one, dict):
            waiting += dict.values(one)
        elif isinstance(one, (list, tuple)):
            waiting += one
    if size > limit:
        raise ValueError(f"its tensors have {size:,} bytes")


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
