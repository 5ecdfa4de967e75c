"""Writes that take place whole or not at all."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from facesegkit.errors import FaceSegKitError


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Write a file whole or not at all.

    Yields the path of an unfinished file beside `path`, with the same suffix, for the body to
    write to. It takes `path`'s place when the body ends; when the body fails it is removed and
    `path` is as it was. The folder is made if need be.

    Raises:
        FaceSegKitError: the folder or the file cannot be written, or no space is left.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        raise FaceSegKitError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):  # it is there only if the body failed
            unfinished.unlink()


def check_writable(folder: Path) -> None:
    """Make a folder if need be, and see that files can be written in it, before long work starts.

    Raises:
        FaceSegKitError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise FaceSegKitError(
            f"Cannot write to the folder {folder}: {error.strerror or error}; choose another."
        ) from error
