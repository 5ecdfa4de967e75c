"""What the files, folders and wildcards on a command line stand for."""

import glob
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from facesegkit.cli.common import a_path, say
from facesegkit.errors import FaceSegKitError, counted
from facesegkit.inference.video import is_video
from facesegkit.system.decode_limits import FORMATS
from facesegkit.system.image_containers import RAW_SUFFIXES, can_read_heic

_HEIC = {".heic", ".heif", ".hif"}
RAW_REASON = "a camera's raw file, which is not supported; save it as JPEG or TIFF first"
HEIC_REASON = "a HEIC photo, which is not supported; save it as JPEG or PNG first"


def a_path_or_uri(text: str) -> Path | str:
    """An argparse type: a path, or a URI such as s3://bucket/folder, which stays as it is."""
    return text if "://" in text else a_path(text)


@dataclass(frozen=True)
class Folder:
    """The photos in a folder, by suffix, and why each of the other files is left out."""

    photos: list[Path] = field(default_factory=list)
    others: dict[Path, str] = field(default_factory=dict)
    unreadable: dict[Path, str] = field(default_factory=dict)  # photos, but of no supported kind

    def tell(self, path: Path | str) -> None:
        """Print what is left out, each with its reason, and how many there are."""
        left_out = {**self.unreadable, **self.others}
        for file in sorted(left_out):
            say(f"{file} is left out: {left_out[file]}.")
        if left_out:
            say(f"left out of the folder {path}: {counted(len(left_out), 'file')}.")


def photo_suffixes() -> set[str]:
    """Suffixes of the photos that are read, in lower case."""
    can_read_heic()  # adds it to Pillow's formats
    formats = Image.registered_extensions()
    return {suffix for suffix, kind in formats.items() if kind in (*FORMATS, "HEIF", "MPO")}


def list_folder(folder: Path | str) -> Folder:
    """What is in a folder, sorted by name.

    Raises a FaceSegKitError if there is no such folder, or it cannot be read.
    """
    suffixes, listed = photo_suffixes(), Folder()
    try:
        files = sorted(Path(folder).iterdir())
    except OSError as error:
        raise FaceSegKitError(f"Cannot read the folder {folder}: {error.strerror}.") from error
    for file in files:
        suffix = file.suffix.lower()
        if reason := _reason_to_leave_out(file, suffix in suffixes):
            is_photo = reason in (RAW_REASON, HEIC_REASON)
            (listed.unreadable if is_photo else listed.others)[file] = reason
        else:
            listed.photos.append(file)
    return listed


def _reason_to_leave_out(file: Path, is_photo: bool) -> str:
    suffix = file.suffix.lower()
    if file.name.startswith("."):
        return "it is hidden"
    if os.path.isdir(file):
        return "it is a folder; name it on the command line, too"
    if not os.path.isfile(file):
        return "it is a pipe, a device or a broken link"
    if suffix in RAW_SUFFIXES:
        return RAW_REASON
    if is_photo:
        return ""
    if suffix in _HEIC:
        return HEIC_REASON
    if is_video(file):
        return "it is a video; name it on the command line, too"
    return "it is not a photo, by its name"


def find_photos(folder: Path | str) -> list[Path]:
    """Photos in a folder, as `list_folder`; raises a FaceSegKitError also if there is none."""
    listed = list_folder(folder)
    if not listed.photos:
        listed.tell(folder)
        raise FaceSegKitError(f"There is no photo (.jpg, .png, ...) in the folder {folder}.")
    return listed.photos


def expanded(given: Iterable[Path | str]) -> list[Path | str]:
    """The inputs, with the wildcards that the shell has not expanded, as on Windows.

    A file whose name contains such characters is itself, and so are URIs.
    """
    inputs: list[Path | str] = []
    for one in given:
        is_pattern = isinstance(one, Path) and glob.has_magic(str(one)) and not os.path.exists(one)
        matches = sorted(glob.glob(str(one))) if is_pattern else []
        inputs += map(Path, matches) if matches else [one]
    return inputs


def same_name(path: Path) -> str:
    """What two paths have in common if this system may take them for one file."""
    if sys.platform == "darwin":  # its file systems know no case, and compose accents
        return unicodedata.normalize("NFC", str(path)).casefold()
    return os.path.normcase(path)


def is_same_file(first: Path | str, second: Path | str) -> bool:
    """Whether two paths lead to one file, which may have several names."""
    try:
        return os.path.samefile(first, second)
    except OSError:
        return first == second


def check_no_uri(given: Sequence[Path | str]) -> list[Path]:
    """The inputs as paths; raises a FaceSegKitError if one of them is a URI."""
    for one in given:
        if isinstance(one, str):
            raise FaceSegKitError(f"{one} is not a file on this machine; download it first.")
    return [one for one in given if isinstance(one, Path)]
