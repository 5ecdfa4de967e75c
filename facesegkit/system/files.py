"""Writes that take place whole or not at all, and reads that come to an end."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from facesegkit.errors import FaceSegKitError

# Process numbers mean something on one machine, or in one container, only.
_NAMESPACE = Path("/proc/self/ns/pid")
_HERE = f"{platform.node()} {os.readlink(_NAMESPACE) if _NAMESPACE.is_symlink() else ''}"
_MARK = f"facesegkit-{hashlib.sha256(_HERE.encode()).hexdigest()[:8]}"
_UNFINISHED = re.compile(rf"\..+\.{_MARK}-(\d{{1,9}})-[0-9a-f]{{8}}(\.[^.]*)?")


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Write a file whole or not at all.

    Yields the path of an unfinished file beside `path`, with the same suffix, for the body to
    write to. It takes `path`'s place when the body ends; when the body fails it is removed and
    `path` is as it was. The folder is made if need be.

    Raises:
        FaceSegKitError: the folder or the file cannot be written, or no space is left.
    """
    path = Path(path)
    mark = f"{_MARK}-{os.getpid()}-{secrets.token_hex(4)}"
    # Cut short, since a name has room for 255 bytes, and a letter may take four.
    unfinished = path.with_name(f".{path.stem[:40]}.{mark}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_unfinished(path.parent.resolve())
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        raise FaceSegKitError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):  # it is there only if the body failed
            unfinished.unlink()


@cache
def _clear_unfinished(folder: Path) -> None:
    """Remove, once, the unfinished files of processes that were killed."""
    with suppress(OSError):  # another process may be faster, or the folder not be readable
        for file in os.scandir(folder):
            match = _UNFINISHED.fullmatch(file.name)
            if match and not _is_running(int(match[1])):
                os.unlink(file)


def _is_running(process: int) -> bool:
    """Whether there may be a process of this number."""
    if os.name != "posix":  # elsewhere `os.kill` does what it says
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's, or no number that a process can have
        return True
    return True


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


def check_is_file(path: Path | str) -> None:
    """See that a path, if there is anything, is a file or a folder.

    A pipe would be waited for, perhaps forever, and some devices never end.

    Raises:
        FaceSegKitError: it is something else.
    """
    # Unlike those of `Path`, these answer for names too long for the file system, too.
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise FaceSegKitError(f"{path} is a pipe or a device; give a file.")
