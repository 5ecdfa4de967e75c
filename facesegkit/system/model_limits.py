"""Limits of what a model file may ask for, checked before a network is built."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facesegkit.errors import FaceSegKitError
from facesegkit.system.pickle_check import check_size

MAX_PARAMETERS = 20_000_000  # otherwise a file could ask for all the memory there is
_MAX_ACTIVATIONS = 2**27  # bytes of one feature map; ours have at most 4 MB
_MAX_BLOCKS = 32


def check_description(plain: Mapping[str, Any]) -> None:
    """Check the entries of a checkpoint that are no weights, before a network is built.

    Raises ValueError, or TypeError and KeyError if entries have other types than ours.
    """
    check_size({name: value for name, value in plain.items() if name != "weights"})
    config, size = plain["config"], int(plain["input_size"])
    for level, width in enumerate(config.get("widths", ()), start=1):
        if (
            not isinstance(width, int)
            or not 1 <= width <= _MAX_ACTIVATIONS * 4**level / 4 / size**2
        ):
            raise ValueError(f"{width!r} channels at 1/{2**level} of {size} pixels")
    for blocks in config.get("blocks", ()):
        if not isinstance(blocks, int) or not 0 <= blocks <= _MAX_BLOCKS:
            raise ValueError(f"{blocks!r} blocks in a stage; at most {_MAX_BLOCKS}")


def check_finite(weights: Mapping[str, Any], path: Path | str) -> None:
    """Check the weights of a file.

    Raises a FaceSegKitError if one is NaN or infinite.
    """
    if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
        raise not_finite(path)


def not_finite(path: Path | str) -> FaceSegKitError:
    """The error for weights or logits that are NaN or infinite."""
    problem = f"The model {path} gives no numbers: weights or logits are NaN or infinite"
    return FaceSegKitError(f"{problem}; train again, with a lower --lr if that is why.")
