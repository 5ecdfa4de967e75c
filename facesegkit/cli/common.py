"""What the commands have in common: kinds of arguments, naming a model, saying what is wrong."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from facesegkit.inference.model_zoo import is_shipped, weights_path

if TYPE_CHECKING:
    from facesegkit.checkpoint import Checkpoint

Commands = argparse._SubParsersAction  # argparse has no public name for it

MODEL = Path("face_segmentation_model.pth")  # that training saves, unless told otherwise


def positive(kind: type[int] | type[float]) -> Callable[[str], int | float]:
    """An argparse type: a number of this kind, and more than 0."""

    def number(text: str) -> int | float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError
        return value

    number.__name__ = f"positive {kind.__name__}"  # argparse puts it into its message
    return number


def seed(text: str) -> int:
    """An argparse type: what random numbers can begin from."""
    if not 0 <= (value := int(text)) < 2**63:
        raise ValueError
    return value


seed.__name__ = "seed"  # argparse puts it into its message


def trained_model(model: str) -> Checkpoint:
    """The checkpoint of a model that ships, or from a .pth file."""
    from facesegkit.checkpoint import load

    return load(weights_path(model, ".pth") if is_shipped(model) else model)


def say(sentence: str) -> None:
    """Tell whoever runs a command, apart from its results."""
    print(f"facesegkit: {sentence}", file=sys.stderr)
