"""Finds and reads CelebAMask-HQ as it is published: an unpacked folder, or the zip itself.

    CelebA-HQ-img/<id>.jpg                                    photos
    CelebAMask-HQ-mask-anno/<id // 2000>/<id:05d>_<part>.png  one mask per part that the face has
    CelebA-HQ-to-CelebA-mapping.txt                           optional: decides the official split

Nothing here needs torch, so that the processes that pack a data set start fast and stay small.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, UnidentifiedImageError

from facesegkit.errors import FaceSegKitError
from facesegkit.image_io import FORMATS
from facesegkit.labels import PART_IDS, PARTS
from facesegkit.system.files import check_is_file

PHOTO_FOLDER = "CelebA-HQ-img"
MASK_FOLDER = "CelebAMask-HQ-mask-anno"
MAPPING_FILE = "CelebA-HQ-to-CelebA-mapping.txt"

SPLITS = ("train", "val", "test")
OFFICIAL_SPLIT = "official"
HASH_SPLIT = "hash of the id, 80/10/10"

# The data set's largest photo has a few hundred thousand bytes, and a million pixels.
_LARGEST_FILE = 2**26
_MOST_PIXELS = 30_000_000

_PHOTO_NAME = re.compile(rf"{PHOTO_FOLDER}/(\d+)\.jpg")
_MASK_NAME = re.compile(rf"{MASK_FOLDER}/[^/]+/(\d+)_(\w+)\.png")


class BadPair(FaceSegKitError):
    """One photo with its masks cannot be used; the rest of the data set can."""


class Entry(NamedTuple):
    """One file of the data set, as its folder or zip lists it."""

    name: str  # below the data set's own folder, with forward slashes
    size: int  # bytes
    stamp: int  # when it was changed, in ns (folder), or its CRC-32 (zip)
    offset: int = 0  # zip only: where its local header starts
    packed_size: int = 0  # zip only: bytes it takes up there
    method: int = zipfile.ZIP_STORED  # zip only


@dataclass(frozen=True)
class FolderFiles:
    """Reads files of an unpacked data set."""

    path: Path  # the folder that holds the photo and the mask folder

    def read(self, entry: Entry) -> bytes:
        """The file's bytes. Raises OSError."""
        return (self.path / entry.name).read_bytes()


@dataclass(frozen=True)
class ZipFiles:
    """Reads files of a data set inside a zip.

    `read` opens the zip anew and goes straight to the file's place. That costs some 20 us and in
    return needs no state: threads, forked and spawned processes may all use one object, and none
    of them holds the table of 390,000 files, which takes `zipfile` 280 MB and 3 s.
    """

    path: Path

    def read(self, entry: Entry) -> bytes:
        """The file's bytes. Raises OSError, also where the zip is damaged at that place."""
        if max(entry.size, entry.packed_size) > _LARGEST_FILE:
            raise OSError(f"the zip gives it {entry.size:,} bytes, which no picture here has")
        with self.path.open("rb") as file:
            file.seek(entry.offset)
            header = file.read(30)
            if len(header) < 30 or header[:4] != b"PK\x03\x04":
                raise OSError("the zip is damaged at this place")
            # Name and extra field lie before the data. Only this header has their lengths: those
            # in the zip's table, which we know the file from, may differ.
            name_size, extra_size = struct.unpack("<HH", header[26:])
            file.seek(name_size + extra_size, os.SEEK_CUR)
            packed = file.read(entry.packed_size)
        content = _decompress(packed, entry.method, entry.size)
        if zlib.crc32(content) != entry.stamp:
            raise OSError("the zip is damaged at this place: its checksum differs")
        return content


Files = FolderFiles | ZipFiles


class Pair(NamedTuple):
    """One photo and its masks, not yet read."""

    id: int
    photo: Entry
    masks: tuple[tuple[int, Entry], ...]  # (part id, file) in part order


class Archive:
    """The index of a data set: which pairs there are, and which split each belongs to.

    A photo without masks is a pair too, and reading it raises `BadPair`. Masks without a photo are
    none, and neither are hidden files, `__MACOSX` and masks whose names are no part's.

    Args:
        root: the CelebAMask-HQ folder or zip. The folder around it, or one of the two folders
            inside it, will do as well.

    Attributes:
        pairs: all pairs by id, ascending. Ids have gaps.
        fingerprint: changes when any file of the data set is added, removed or changed.
        split_rule: how `split_of` decides, `OFFICIAL_SPLIT` or `HASH_SPLIT`.

    Raises:
        FaceSegKitError: there is no such file or folder, it cannot be read, or it is not the
            data set.
    """

    def __init__(self, root: str | Path) -> None:
        self.files, entries = _find(Path(root).expanduser())
        self.fingerprint = _fingerprint(entries)
        self.pairs = _pairs(entries)
        if not self.pairs:
            raise FaceSegKitError(f"{root} has no photos: there is no {PHOTO_FOLDER}/<id>.jpg.")
        self._celeba_numbers = _read_mapping(self.files, entries)
        self.split_rule = HASH_SPLIT if self._celeba_numbers is None else OFFICIAL_SPLIT

    def split_of(self, photo_id: int) -> str:
        """'train', 'val' or 'test'.

        Raises:
            BadPair: the mapping file does not have this id.
        """
        if self._celeba_numbers is None:
            return hash_split(photo_id)
        if photo_id not in self._celeba_numbers:
            raise BadPair(
                f"{self.pairs[photo_id].photo.name} has no line in {MAPPING_FILE}, which decides "
                f"the split; without that file, a hash of the id would."
            )
        return official_split(self._celeba_numbers[photo_id])

    def read_pair(self, photo_id: int) -> tuple[Image.Image, NDArray[np.uint8]]:
        """The photo, RGB at its own size, and its label map, uint8 [H, W] at the masks' size.

        Raises:
            BadPair: a file is missing or damaged, the masks' sizes differ, or there is no mask.
        """
        pair = self.pairs[photo_id]
        return read_photo(self.files, pair), read_label_map(self.files, pair)


def read_photo(files: Files, pair: Pair, at_least: int | None = None) -> Image.Image:
    """The photo as RGB.

    Args:
        at_least: the JPEG decoder may reduce the photo by 2, 4 or 8, which saves most of its
            time, as long as no side gets shorter than this. None: the photo's own size.

    Raises:
        BadPair: the file is missing or damaged.
    """
    return _read_image(files, pair.photo, at_least).convert("RGB")


def read_label_map(files: Files, pair: Pair) -> NDArray[np.uint8]:
    """The pair's masks, painted over each other in part order: part ids, uint8 [H, W].

    Raises:
        BadPair: there is no mask, one is missing or damaged, or their sizes differ.
    """
    label_map: NDArray[np.uint8] | None = None
    for part_id, entry in pair.masks:
        mask = _read_image(files, entry)
        if label_map is None:
            label_map = np.zeros((mask.height, mask.width), dtype=np.uint8)
        elif label_map.shape != (mask.height, mask.width):
            raise BadPair(
                f"{entry.name} is {mask.width} x {mask.height} pixels, but {pair.masks[0][1].name} "
                f"is {label_map.shape[1]} x {label_map.shape[0]}; a photo's masks have one size."
            )
        _paint(label_map, part_id, mask)
    if label_map is None:
        raise BadPair(f"{pair.photo.name} has no mask in {MASK_FOLDER}.")
    return label_map


def hash_split(photo_id: int) -> str:
    """'train', 'val' or 'test' for 80, 10 and 10 % of all ids, the same on every machine."""
    percent = int(hashlib.sha256(str(photo_id).encode()).hexdigest()[:8], 16) % 100
    return "train" if percent < 80 else "val" if percent < 90 else "test"


def official_split(celeba_number: int) -> str:
    """'train', 'val' or 'test' by the number that the photo has in CelebA, as its authors split."""
    return "train" if celeba_number < 162_771 else "val" if celeba_number < 182_638 else "test"


# --- Finding and listing ------------------------------------------------------------------------


def _find(root: Path) -> tuple[Files, list[Entry]]:
    """Where in, at or just above `root` the data set lies, and its files by name."""
    check_is_file(root)
    try:
        if root.is_dir():
            base = _find_base(root)
            return FolderFiles(base), sorted(_list_folder(base))
        if root.exists():
            return ZipFiles(root.resolve()), sorted(_list_zip(root))
    except OSError as error:
        reason = error.strerror or error
        raise FaceSegKitError(f"{error.filename or root} cannot be read: {reason}.") from error
    raise FaceSegKitError(
        f"There is no {root}; give the folder CelebAMask-HQ or the file CelebAMask-HQ.zip."
    )


def _find_base(root: Path) -> Path:
    here = root.resolve()
    inside = [here.parent] if here.name in (PHOTO_FOLDER, MASK_FOLDER) else []
    for base in (here, *inside, *(here / name for name in _subfolders(here))):
        if (base / PHOTO_FOLDER).is_dir() and (base / MASK_FOLDER).is_dir():
            return base
    raise _not_the_data_set(root, [name for name in os.listdir(root) if name[0] != "."])


def _list_folder(base: Path) -> Iterator[Entry]:
    mask_folders = [f"{MASK_FOLDER}/{name}" for name in _subfolders(base / MASK_FOLDER)]
    for folder in (PHOTO_FOLDER, *mask_folders):
        with os.scandir(base / folder) as found:
            for file in found:
                if file.is_file() and not file.name.startswith("."):
                    status = file.stat()
                    yield Entry(f"{folder}/{file.name}", status.st_size, status.st_mtime_ns)
    mapping = base / MAPPING_FILE
    if mapping.is_file():
        yield Entry(MAPPING_FILE, mapping.stat().st_size, mapping.stat().st_mtime_ns)


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as found:
        return [item.name for item in found if item.is_dir() and not item.name.startswith(".")]


def _list_zip(path: Path) -> Iterator[Entry]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if _is_wanted(member.filename)]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise FaceSegKitError(
            f"{path} is no zip, or a damaged one (was it downloaded whole?): {error}."
        ) from error
    prefix = _find_prefix(path, [member.filename for member in members])
    for member in members:
        if member.filename.startswith(prefix):
            if member.flag_bits & 1:
                raise FaceSegKitError(f"{path} is encrypted; unpack it and give the folder.")
            yield Entry(
                name=member.filename.removeprefix(prefix),
                size=member.file_size,
                stamp=member.CRC,
                offset=member.header_offset,
                packed_size=member.compress_size,
                method=member.compress_type,
            )


def _is_wanted(name: str) -> bool:
    """Neither a folder, nor hidden, nor what macOS adds to the zips it makes."""
    return not name.endswith("/") and "/." not in f"/{name}" and "__MACOSX/" not in name


def _find_prefix(path: Path, names: Sequence[str]) -> str:
    """What stands in a zip before the names of the data set's own two folders."""

    def prefixes(folder: str) -> set[str]:
        before = {name.partition(folder)[0] for name in names if folder in name}
        return {prefix for prefix in before if not prefix or prefix.endswith("/")}

    candidates = prefixes(f"{PHOTO_FOLDER}/") & prefixes(f"{MASK_FOLDER}/")
    if not candidates:
        raise _not_the_data_set(path, {name.partition("/")[0] for name in names})
    return min(candidates, key=len)


def _not_the_data_set(root: Path, found: Collection[str]) -> FaceSegKitError:
    expected = f"expected the folders {PHOTO_FOLDER} and {MASK_FOLDER}"
    if not found:
        return FaceSegKitError(f"{root} is empty; {expected} in it.")
    some = ", ".join(sorted(found)[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return FaceSegKitError(f"{root} is not CelebAMask-HQ: {expected}, found {some}{more}.")


def _fingerprint(entries: Iterable[Entry]) -> str:
    digest = hashlib.sha256()
    for name, size, stamp, *_ in entries:
        digest.update(os.fsencode(f"{name}\0{size}\0{stamp}\n"))
    return digest.hexdigest()


def _pairs(entries: Iterable[Entry]) -> dict[int, Pair]:
    photos: dict[int, Entry] = {}
    masks: defaultdict[int, list[tuple[int, Entry]]] = defaultdict(list)
    for entry in entries:
        if match := _PHOTO_NAME.fullmatch(entry.name):
            photos[int(match[1])] = entry
        elif (match := _MASK_NAME.fullmatch(entry.name)) and match[2] in PARTS[1:]:
            masks[int(match[1])].append((PART_IDS[match[2]], entry))
    return {
        photo_id: Pair(photo_id, photo, tuple(sorted(masks[photo_id])))
        for photo_id, photo in sorted(photos.items())
    }


def _read_mapping(files: Files, entries: Iterable[Entry]) -> dict[int, int] | None:
    """CelebA numbers by photo id, None where there is no mapping file."""
    entry = next((entry for entry in entries if entry.name == MAPPING_FILE), None)
    if entry is None:
        return None
    try:
        heading, *lines = files.read(entry).decode().splitlines()
        fields = [line.split() for line in lines if line.strip()]
        return {int(idx): int(orig_idx) for idx, orig_idx, *_ in fields}
    except (OSError, ValueError) as error:
        raise FaceSegKitError(
            f"{MAPPING_FILE} in {files.path} cannot be read ({error}); expected a heading and "
            f"lines of 'idx orig_idx orig_file' such as '5 100065 100066.jpg'."
        ) from error


# --- Reading ------------------------------------------------------------------------------------


def _decompress(packed: bytes, method: int, size: int) -> bytes:
    """What was packed, and of that no more than is awaited: a few bytes can hold gigabytes."""
    if method == zipfile.ZIP_STORED:
        return packed
    if method != zipfile.ZIP_DEFLATED:
        raise OSError(f"the zip packs it with method {method}, only 'deflate' is understood")
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)
    except zlib.error as error:
        raise OSError(f"the zip is damaged at this place: {error}") from error


def _read_image(files: Files, entry: Entry, at_least: int | None = None) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(files.read(entry)), formats=FORMATS)
        if image.width * image.height > _MOST_PIXELS:
            raise ValueError(f"it has {image.width} x {image.height} pixels")
        if at_least:
            image.draft("RGB", (at_least, at_least))
        image.load()
    # Pillow raises OSError, SyntaxError, ValueError and others, depending on format and damage.
    except Exception as error:
        raise BadPair(f"{entry.name} cannot be read: {_reason(error)}.") from error
    return image


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no picture, or a damaged one"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _paint(label_map: NDArray[np.uint8], part_id: int, mask: Image.Image) -> None:
    """Paint one part, as `labels.paint_parts` does, but only where there is something of it."""
    if mask.mode in ("P", "PA"):  # the palette decides what is black, not the index
        mask = mask.convert("RGBA")
    elif mask.mode.startswith(("I", "F")):  # of which Pillow before 13 finds no box
        mask = Image.fromarray(np.asarray(mask) != 0)
    if box := mask.getbbox():
        left, top, right, bottom = box
        visible = np.asarray(_in_one_band(mask.crop(box)))
        label_map[top:bottom, left:right][visible != 0] = part_id


def _in_one_band(mask: Image.Image) -> Image.Image:
    """Zero where the mask is black or transparent, and nowhere else."""
    *colours, last = mask.split()
    if mask.mode in ("LA", "RGBA"):
        return ImageChops.darker(reduce(ImageChops.lighter, colours), last)
    return reduce(ImageChops.lighter, colours, last)
