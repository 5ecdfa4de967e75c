"""Atomic writes, and checks of paths before long work."""

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

# Process ids are unique only within one machine or container.
_NAMESPACE = Path("/proc/self/ns/pid")
_HERE = f"{platform.node()} {os.readlink(_NAMESPACE) if _NAMESPACE.is_symlink() else ''}"
_MARK = f"facesegkit-{hashlib.sha256(_HERE.encode()).hexdigest()[:8]}"
_UNFINISHED = re.compile(rf"\..+\.{_MARK}-(\d{{1,9}})-[0-9a-f]{{8}}(\.[^.]*)?")


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Write a file completely or not at all.

    Yields the path of a temporary file in the same folder, with the same suffix, for the body to
    write. It replaces `path` at the end of the body; if the body fails, it is removed and `path` is
    unchanged. The folder is created if necessary. The temporary files of killed processes are
    removed by the next process that writes to the folder. Raises a FaceSegKitError if the folder or
    the file cannot be written, or the disk is full.
    """
    path = Path(path)
    mark = f"{_MARK}-{os.getpid()}-{secrets.token_hex(4)}"
    # Truncated, because a name may have at most 255 bytes, and a character up to four.
    unfinished = path.with_name(f".{path.stem[:40]}.{mark}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_once(path.parent.resolve())
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        raise FaceSegKitError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):  # it still exists only if the body failed
            unfinished.unlink()


def clear_unfinished(folder: Path) -> None:
    """Remove the temporary files of processes that were killed."""
    with suppress(OSError):  # another process may be faster, or the folder not be readable
        for file in os.scandir(folder):
            if (match := _UNFINISHED.fullmatch(file.name)) and not _may_be_running(int(match[1])):
                os.unlink(file)


# A scan per folder and process, however many files it writes there.
_clear_once = cache(clear_unfinished)


def _may_be_running(pid: int) -> bool:
    if os.name != "posix":  # elsewhere `os.kill` would end the process
        return True
    try:
        os.kill(pid, 0)
    except OSError as error:  # another user's process, an invalid id, or no such process
        return not isinstance(error, ProcessLookupError)
    return True


def check_writable(folder: Path) -> None:
    """Create a folder if necessary; raise a FaceSegKitError if no file can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = f"{error.strerror or error}; choose another"
        raise FaceSegKitError(f"Cannot write to the folder {folder}: {reason}.") from error


def check_is_file(path: Path | str) -> None:
    """Check that a path, if it exists, is a file or a folder, else raise a FaceSegKitError.

    Reading a pipe may block forever, and some devices never end.
    """
    # Unlike the methods of `Path`, these functions accept names too long for the file system.
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise FaceSegKitError(f"{path} is a pipe or a device; give a file.")
