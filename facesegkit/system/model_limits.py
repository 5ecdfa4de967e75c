"""Limits of what a model file may ask for, checked before a network is built."""

from collections.abc import Mapping
from typing import Any

from facesegkit.errors import FaceSegKitError

MAX_PARAMETERS = 20_000_000  # otherwise a file could ask for all the memory there is
MAX_MACS = 20_000_000_000  # multiply-accumulates for an image; ours need less than 1,000,000,000
_MAX_ACTIVATIONS = 2**25  # bytes of one feature map; ours have at most 4 MB
_MAX_BLOCKS = 32
_MAX_VALUES, _MAX_LEVELS = 100_000, 20
_KEYS = (str, int, float, type(None))  # what JSON turns into keys


def check_description(plain: Mapping[str, Any]) -> None:
    """Check the entries of a checkpoint that are no weights, before a network is built.

    Raises ValueError, or TypeError and KeyError if entries have other types than ours.
    """
    check_plain({name: value for name, value in plain.items() if name != "weights"})
    config, size = plain["config"], int(plain["input_size"])
    check_input_size(size)
    for level, width in enumerate(config["widths"], start=1):
        most = _MAX_ACTIVATIONS * 4 ** min(level, 5) / 4 / size**2
        if not isinstance(width, int) or not 1 <= width <= most:
            raise ValueError(f"{width!r} channels at 1/{2**level} of {size} pixels")
    for blocks in config.get("blocks", ()):
        if not isinstance(blocks, int) or not 0 <= blocks <= _MAX_BLOCKS:
            raise ValueError(f"{blocks!r} blocks in a stage; at most {_MAX_BLOCKS}")


def check_plain(value: object, limit: int = _MAX_VALUES, levels: int = _MAX_LEVELS) -> int:
    """How many values plain data has, counting one again wherever it is used.

    Lists that hold each other need few bytes in a file but any size as JSON. Raises ValueError if
    there are more than `limit`, more than so many levels, or if JSON has no such values.
    """
    if levels < 0:
        raise ValueError("its description has too many levels")
    count, inner = 1, list[object]()
    if type(value) is dict and all(isinstance(key, _KEYS) for key in value):
        inner = [*value, *value.values()]
    elif type(value) in (list, tuple):
        inner = list(value)  # type: ignore[call-overload]
    elif isinstance(value, str):
        count += len(value) // 20
    elif not isinstance(value, _KEYS):
        raise ValueError(f"its description has a {type(value).__name__}")
    for one in inner:
        if count > limit:
            break
        count += check_plain(one, limit - count, levels - 1)
    if count > limit:
        raise ValueError("its description is too long")
    return count


def check_input_size(size: int) -> None:
    """Raise ValueError for an input size that no model of ours has, and that might be huge."""
    if not 16 <= size <= 1024:
        raise ValueError(f"images of {size} pixels")


def not_finite(name: str) -> FaceSegKitError:
    """The error for weights or logits that are NaN or infinite; it starts with this name."""
    problem = f"{name} gives no numbers: weights or logits are NaN or infinite"
    return FaceSegKitError(f"{problem}; train again, with a lower --lr if that is why.")
