"""Photos in cloud storage, by URI (s3://bucket/photo.jpg), through pyarrow."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from facesegkit.errors import FaceSegKitError, first_line

_Version = tuple[int, int]


def base_name(uri: str) -> str:
    """The name of a photo without its folder, such as "a b.jpg" of s3://bucket/a%20b.jpg?region=x."""
    return unquote(PurePosixPath(urlsplit(uri).path).name)


def list_photos(uri: str, suffixes: Iterable[str]) -> list[str]:
    """The photos in a folder such as s3://bucket/folder, by suffix, or the one photo at a URI.

    Raises a FaceSegKitError if it cannot be read, or there is no photo.
    """
    from pyarrow.fs import FileSelector, FileType

    with _opened(uri) as (files, path):
        about = files.get_file_info(path)
        if about.type == FileType.File:
            return [uri]
        inside = files.get_file_info(FileSelector(path))
    names = sorted(file.base_name for file in inside if file.is_file)
    visible = (name for name in names if not name.startswith("."))
    photos = [name for name in visible if name.lower().endswith(tuple(suffixes))]
    if not photos:
        raise FaceSegKitError(f"There is no photo (.jpg, .png, ...) in {uri}.")
    folder = urlsplit(uri)
    return [
        folder._replace(path=f"{folder.path.rstrip('/')}/{quote(name)}").geturl() for name in photos
    ]


def download(uri: str, file: Path) -> _Version:
    """Copy a photo to a file; returns its version. Raises a FaceSegKitError if that fails."""
    with _opened(uri) as (files, path):
        version = _version(files.get_file_info(path))
        with files.open_input_stream(path) as stream, file.open("wb") as copy:
            shutil.copyfileobj(stream, copy)
    return version


def remote_version(uri: str) -> _Version:
    """Size and modification time [ns] of a photo; raises a FaceSegKitError if it has none."""
    with _opened(uri) as (files, path):
        return _version(files.get_file_info(path))


def _version(about: Any) -> _Version:
    return (-1, -1) if about.size is None else (about.size, about.mtime_ns or -1)


@contextmanager
def _opened(uri: str) -> Iterator[tuple[Any, str]]:
    """A file system and a path in it; whatever fails in the body raises a FaceSegKitError."""
    try:
        from pyarrow.fs import FileSystem

        # pyarrow refuses what users write as it is, such as spaces.
        yield FileSystem.from_uri(quote(uri, safe="/:?#[]@!$&'()*+,;=%~"))
    except ModuleNotFoundError as error:
        fix = "pip install 'facesegkit[ray]'"
        raise FaceSegKitError(f"{uri} needs {error.name}: {fix}.") from error
    except Exception as error:  # each kind of storage raises its own
        raise FaceSegKitError(f"Cannot read {uri}: {first_line(error)}.") from error
