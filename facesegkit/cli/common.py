"""What the commands share: argument types, defaults, messages and progress bars."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from facesegkit.errors import FaceSegKitError
from facesegkit.inference.model_zoo import check_name, is_shipped, weights_path

if TYPE_CHECKING:
    from facesegkit.checkpoint import Checkpoint

# In names of files: a new line, or what a terminal takes for a command.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
Commands = argparse._SubParsersAction  # argparse has no public name for it

MODEL = Path("face_segmentation_model.pth")  # where training saves its model by default

# Exit statuses of all commands; argparse itself exits with 2 if the command line is invalid.
NONE_SUCCEEDED, SOME_SUCCEEDED = 1, 3  # and start.INTERRUPTED
EXIT_STATUSES = (
    "exit status: 0 if everything succeeded, 3 if only some of the inputs did, 1 if none did, "
    "2 if the command line is invalid, 130 after Ctrl-C"
)


class SomeFailed(FaceSegKitError):
    """Some of the inputs succeeded, but not all: exit status 3."""


def check_all_succeeded(failed: int, total: int, message: str) -> None:
    """Raise an error with this message if any of the inputs failed; its type gives the status."""
    if failed:
        raise SomeFailed(message) if failed < total else FaceSegKitError(message)


def positive(kind: type[int] | type[float], most: float = 1e7) -> Callable[[str], int | float]:
    """An argparse type: a number above 0, and at most `most`."""

    def number(text: str) -> int | float:
        value = kind(text)
        if not 0 < value <= most:
            raise ValueError
        return value

    number.__name__ = f"positive {kind.__name__}"  # shown in argparse's message
    return number


def a_path(text: str) -> Path:
    """An argparse type: a path. An empty one, as of a variable that nobody has set, is refused."""
    return Path(a_name(text))


def a_name(text: str) -> str:
    """An argparse type: a name that is not empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def seed(text: str) -> int:
    """An argparse type: a seed of a random number generator."""
    if not 0 <= (value := int(text)) < 2**63:
        raise ValueError
    return value


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add --model, a trained model that a command reads."""
    about = f"name or .pth file of a trained model (default: {MODEL})"
    parser.add_argument("--model", type=a_name, default=str(MODEL), help=about)


def trained_model(model: str, option: str = "--model") -> Checkpoint:
    """Load the checkpoint of a model that ships, or a .pth file; `option` has named it."""
    from facesegkit.checkpoint import load
    from facesegkit.inference.onnx_model import open_onnx

    if is_shipped(model):
        return load(weights_path(model, ".pth"))
    check_name(model)
    if not os.path.isfile(model):
        train = f"train one with 'python face_segmentation.py', or name another with {option}"
        raise FaceSegKitError(f"There is no model file {model}; {train}.")
    if model.lower().endswith(".onnx"):
        open_onnx(Path(model))  # a damaged file is reported as such
        good = f"{model} is a good ONNX file, but only for segmenting"
        wanted = "give the .pth file that it was exported from"
        raise FaceSegKitError(f"{good}: {option} of this command needs a .pth file; {wanted}.")
    return load(model)


def say(sentence: str) -> None:
    """Print a message of the program itself, to standard error."""
    write(f"facesegkit: {sentence}", sys.stderr)


def write(line: str, file: TextIO | None = None) -> None:
    """Print a line, above the progress bar if one is shown."""
    line = _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], line)
    if sys.stderr.isatty():
        from tqdm import tqdm

        tqdm.write(line, file=file)
    else:
        print(line, file=file)


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar if standard error is a terminal.

    Yields a function that takes the number of items that are done, and of all (0: unknown).
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from tqdm import tqdm  # imported here, as that takes 20 ms

    with tqdm(unit=unit, leave=False) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        yield update
