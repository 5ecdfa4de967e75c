"""Finding and reading CelebAMask-HQ as it is published: an unpacked folder, or the zip itself.

    CelebA-HQ-img/<id>.jpg                                    photos
    CelebAMask-HQ-mask-anno/<id // 2000>/<id:05d>_<part>.png  one mask per part that the face has
    CelebA-HQ-to-CelebA-mapping.txt                           optional: decides the official split

A mask of our own, `<id>_ignore.png`, marks pixels of unknown part, as pseudo-labels have them.

It does without torch, so that the worker processes of `cache` start fast and stay small.
"""

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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, UnidentifiedImageError

from facesegkit.errors import FaceSegKitError
from facesegkit.labels import IGNORED, PART_IDS, PARTS
from facesegkit.system.decode_limits import FORMATS
from facesegkit.system.files import check_is_file

PHOTO_FOLDER = "CelebA-HQ-img"
MASK_FOLDER = "CelebAMask-HQ-mask-anno"
MAPPING_FILE = "CelebA-HQ-to-CelebA-mapping.txt"

SPLITS = ("train", "val", "test")
OFFICIAL_SPLIT = "official"
HASH_SPLIT = "hash of the id, 80/10/10"
SMALL_SPLIT = "rank of the id's hash, so that a small data set has all splits"
ENOUGH_PHOTOS = "give about 30 photos or more, so that each split has some"

# The data set's largest photo has a few hundred thousand bytes, and a million pixels.
_MAX_FILE_BYTES = 2**26
_MAX_PIXELS = 30_000_000
_MASK_RANGES = (1, 255, 65_535)  # highest value of a mask: 0 or 1, 8 bits, 16 bits
_PHOTO_NAME = re.compile(rf"{PHOTO_FOLDER}/(\d+)\.(?:jpe?g|png)", re.IGNORECASE)
_MASK_NAME = re.compile(rf"{MASK_FOLDER}/[^/]+/(\d+)_(\w+)\.(?:png|jpe?g)", re.IGNORECASE)
_MASK_IDS = {**{name: PART_IDS[name] for name in PARTS[1:]}, "ignore": IGNORED}
_UNWANTED = re.compile(r"(^|/)\.|__MACOSX/|/\Z")  # hidden, added by macOS, or a folder of a zip


def way_out(split_rule: str) -> str:
    """What to do if a split of such a data set is empty."""
    if split_rule == OFFICIAL_SPLIT:
        return f"delete {MAPPING_FILE} to split by the id instead"
    return ENOUGH_PHOTOS


class BadPair(FaceSegKitError):
    """A photo with its masks cannot be used; the rest of the data set can."""


class Entry(NamedTuple):
    """A file of the data set, as listed by its folder or zip."""

    name: str  # relative to the data set's folder, with forward slashes
    size: int  # bytes
    stamp: int  # modification time in ns (folder), or CRC-32 (zip)
    changed: int = 0  # folder only: time of the last change in ns, which no program can set
    offset: int | None = None  # zip only: of the local header
    compressed_size: int = 0  # zip only: in bytes
    method: int = zipfile.ZIP_STORED  # zip only


@dataclass(frozen=True)
class Files:
    """Reads files of the data set, from a folder or from inside a zip.

    Reading from a zip opens it and seeks to the file. This takes about 20 us, and needs no state:
    threads and processes can share an object, and none of them holds the table of the 390,000
    files, which takes `zipfile` 280 MB and 3 s.
    """

    path: Path  # the zip, or the folder that contains the photo and the mask folder

    def read(self, entry: Entry) -> bytes:
        """The content of a file. Raises OSError, also if the zip is damaged there."""
        if entry.offset is None:
            return (self.path / entry.name).read_bytes()
        if max(entry.size, entry.compressed_size) > _MAX_FILE_BYTES:
            raise OSError(f"the zip claims {entry.size:,} bytes, more than any image here has")
        with self.path.open("rb") as file:
            file.seek(entry.offset)
            header = file.read(30)
            if len(header) < 30 or header[:4] != b"PK\x03\x04":
                raise OSError("the zip is damaged there")
            # The name and the extra field precede the data. Only this header has their lengths:
            # those in the zip's table, from which the entry was made, may differ.
            name_size, extra_size = struct.unpack("<HH", header[26:])
            file.seek(name_size + extra_size, os.SEEK_CUR)
            content = file.read(entry.compressed_size)
        if entry.method == zipfile.ZIP_DEFLATED:
            try:  # at most one byte too many, because a few bytes can contain gigabytes
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, entry.size + 1)
            except zlib.error as error:
                raise OSError(f"the zip is damaged there: {error}") from error
        elif entry.method != zipfile.ZIP_STORED:
            raise OSError(f"the zip uses method {entry.method}; only 'deflate' is supported")
        if zlib.crc32(content) != entry.stamp:
            raise OSError("the zip is damaged there: the checksum differs")
        return content


class Pair(NamedTuple):
    """A photo and its masks, not yet read."""

    id: int
    photo: Entry
    masks: tuple[tuple[int, Entry], ...]  # (part id, file), by part id


class Archive:
    """The index of a data set: which pairs it contains, and the split of each.

    `root` is the CelebAMask-HQ folder or zip, the folder around it, or one of the two inside it.
    Masks without a photo or of an unknown part, hidden files and `__MACOSX` are ignored.

    Attributes:
        pairs: all pairs by id, ascending. The ids have gaps.
        fingerprint: changes if any file of the data set is added, removed or modified.
        split_rule: how `split_of` decides, `OFFICIAL_SPLIT`, `HASH_SPLIT`, or, if that would leave
            a split empty, `SMALL_SPLIT`.
        ignored: files in the two folders that are no photo or mask, by their names.

    Raises:
        FaceSegKitError: if there is no such file or folder, it cannot be read, or it is not the
            data set.
    """

    def __init__(self, root: str | Path) -> None:
        self.files, entries = _open(Path(root).expanduser())
        digest = hashlib.sha256()
        for name, size, stamp, changed, *_ in entries:
            digest.update(os.fsencode(f"{name}\0{size}\0{stamp}\0{changed}\n"))
        self.fingerprint = digest.hexdigest()
        self.pairs = _pairs(entries)
        self.ignored = [name for name, *_ in entries if not _is_known(name)]
        if not self.pairs:
            raise FaceSegKitError(f"{root} has no photos: there is no {PHOTO_FOLDER}/<id>.jpg.")
        if not any(pair.masks for pair in self.pairs.values()):
            missing = f"{root} has photos but no masks: there is no {MASK_FOLDER}/<folder>"
            raise FaceSegKitError(f"{missing}/<id>_<part>.png; is the download complete?")
        self._celeba_numbers = _read_mapping(self.files, entries)
        self.split_rule, self._splits = splits_by_hash(self.pairs)
        if self._celeba_numbers is not None:
            self.split_rule = OFFICIAL_SPLIT

    def split_of(self, photo_id: int) -> str:
        """'train', 'val' or 'test'. Raises `BadPair` if the mapping file lacks this id."""
        if self._celeba_numbers is None:
            return self._splits[photo_id]
        if photo_id not in self._celeba_numbers:
            name = self.pairs[photo_id].photo.name
            raise BadPair(f"{name} has no line in {MAPPING_FILE}, which decides the split.")
        return official_split(self._celeba_numbers[photo_id])

    def read_pair(self, photo_id: int) -> tuple[Image.Image, NDArray[np.uint8]]:
        """The photo and its label map, see `read_photo` and `read_label_map`."""
        pair = self.pairs[photo_id]
        return read_photo(self.files, pair), read_label_map(self.files, pair)


def read_photo(files: Files, pair: Pair, at_least: int | None = None) -> Image.Image:
    """The photo as RGB, at its own size.

    With `at_least`, the JPEG decoder reduces it by 2, 4 or 8, which saves most of its time, unless
    a side would get shorter than this. Raises `BadPair` if the file is missing or damaged.
    """
    return _read_image(files, pair.photo, at_least).convert("RGB")


def read_label_map(files: Files, pair: Pair) -> NDArray[np.uint8]:
    """The pair's masks, painted over each other by part id: part ids, uint8 [H, W].

    Raises a BadPair if there is no mask, one is missing or damaged, or their sizes differ.
    """
    label_map: NDArray[np.uint8] | None = None
    for part_id, entry in pair.masks:
        mask = _read_image(files, entry)
        if label_map is None:
            label_map = np.zeros((mask.height, mask.width), dtype=np.uint8)
        elif label_map.shape != (mask.height, mask.width):
            height, width = label_map.shape
            other = f"{pair.masks[0][1].name} is {width} x {height}; they must have the same size"
            raise BadPair(f"{entry.name} is {mask.width} x {mask.height} pixels, but {other}.")
        _paint(label_map, part_id, mask, entry.name)
    if label_map is None:
        raise BadPair(f"{pair.photo.name} has no mask in {MASK_FOLDER}.")
    return label_map


def hash_split(photo_id: int) -> str:
    """'train', 'val' or 'test' for 80, 10 and 10 % of all ids, the same on every machine."""
    percent = _hash(photo_id) % 100
    return "train" if percent < 80 else "val" if percent < 90 else "test"


def splits_by_hash(ids: Collection[int]) -> tuple[str, dict[int, str]]:
    """The rule by which ids are split, and the split of each; it depends on the ids alone."""
    splits = {i: hash_split(i) for i in ids}
    if len({*splits.values()}) < len(SPLITS) <= len(splits):
        return SMALL_SPLIT, small_splits(ids)
    return HASH_SPLIT, splits


def small_splits(ids: Collection[int]) -> dict[int, str]:
    """The splits of three or more ids, by id: a tenth each, but at least one, for val and test."""
    ranked = sorted(ids, key=lambda i: (_hash(i), i))
    tenth = max(1, len(ranked) // 10)
    names = ["val"] * tenth + ["test"] * tenth
    return dict(zip(ranked, names + ["train"] * (len(ranked) - len(names)), strict=True))


def _hash(photo_id: int) -> int:
    return int(hashlib.sha256(str(photo_id).encode()).hexdigest()[:8], 16)


def official_split(celeba_number: int) -> str:
    """'train', 'val' or 'test' by the photo's number in CelebA, as its authors split it."""
    return "train" if celeba_number < 162_771 else "val" if celeba_number < 182_638 else "test"


def _open(root: Path) -> tuple[Files, list[Entry]]:
    """The data set in, at or one level above `root`, and its files, sorted by name."""
    check_is_file(root)
    try:
        if root.is_dir():
            base = _find_base(root)
            return Files(base), sorted(_list_folder(base))
        if root.exists():
            return Files(root.resolve()), sorted(_list_zip(root))
    except OSError as error:
        reason = error.strerror or error
        raise FaceSegKitError(f"{error.filename or root} cannot be read: {reason}.") from error
    layout = "give a folder or zip in CelebAMask-HQ's layout, such as 'facesegkit synthesize' makes"
    raise FaceSegKitError(f"There is no data set {root}; {layout}.")


def _find_base(root: Path) -> Path:
    here = root.resolve()
    inside = [here.parent] if here.name in (PHOTO_FOLDER, MASK_FOLDER) else []
    bases = (here, *inside, *(here / item.name for item in _visible(here) if item.is_dir()))
    with_photos = [base for base in bases if (base / PHOTO_FOLDER).is_dir()]
    for base in with_photos:
        if (base / MASK_FOLDER).is_dir():
            return base
    if with_photos:
        raise _without_masks(root)
    raise _not_the_data_set(root, [item.name for item in _visible(here)])


def _list_folder(base: Path) -> Iterator[Entry]:
    folders = [item.name for item in _visible(base / MASK_FOLDER) if item.is_dir()]
    for folder in (PHOTO_FOLDER, *(f"{MASK_FOLDER}/{name}" for name in folders)):
        for file in _visible(base / folder):
            if file.is_file():
                status = file.stat()
                yield _entry(f"{folder}/{file.name}", status)
    if (mapping := base / MAPPING_FILE).is_file():
        yield _entry(MAPPING_FILE, mapping.stat())


def _entry(name: str, status: os.stat_result) -> Entry:
    # Rsync and some editors set the time of a file that they have changed back to what it was.
    return Entry(name, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as items:
        return [item for item in items if not item.name.startswith(".")]


def _list_zip(path: Path) -> Iterator[Entry]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        reason = f"is not a zip, or is damaged (is the download complete?): {error}"
        raise FaceSegKitError(f"{path} {reason}.") from error
    for member in members:  # some programs of Windows write backslashes
        member.filename = member.filename.replace("\\", "/")
    members = [member for member in members if not _UNWANTED.search(member.filename)]
    prefix = _find_prefix(path, [member.filename for member in members])
    for member in (member for member in members if member.filename.startswith(prefix)):
        if member.flag_bits & 1:
            raise FaceSegKitError(f"{path} is encrypted; unpack it and give the folder.")
        name, size, stamp = member.filename.removeprefix(prefix), member.file_size, member.CRC
        offset, compressed_size = member.header_offset, member.compress_size
        yield Entry(name, size, stamp, 0, offset, compressed_size, member.compress_type)


def _find_prefix(path: Path, names: Sequence[str]) -> str:
    """The path in a zip that precedes the names of the data set's two folders."""
    folders = f"{PHOTO_FOLDER}/", f"{MASK_FOLDER}/"
    before = [{name.partition(f)[0] for name in names if f in name} for f in folders]
    candidates = [p for p in set.intersection(*before) if not p or p.endswith("/")]
    if before[0] and not before[1]:
        raise _without_masks(path)
    if not candidates:
        raise _not_the_data_set(path, {name.partition("/")[0] for name in names})
    return min(sorted(candidates), key=len)


def _without_masks(root: Path) -> FaceSegKitError:
    missing = f"{root} has the photos ({PHOTO_FOLDER}) but not the masks ({MASK_FOLDER})"
    return FaceSegKitError(f"{missing}; is the download complete?")


def _not_the_data_set(root: Path, names: Collection[str]) -> FaceSegKitError:
    expected = f"expected the folders {PHOTO_FOLDER} and {MASK_FOLDER}"
    if not names:
        return FaceSegKitError(f"{root} is empty; {expected} in it.")
    some = ", ".join(sorted(names)[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return FaceSegKitError(f"{root} is not CelebAMask-HQ: {expected}, found {some}{more}.")


def _is_known(name: str) -> bool:
    """Whether a file is a photo or a mask by its name, or nothing that should be one."""
    if name.startswith(f"{PHOTO_FOLDER}/"):
        return bool(_PHOTO_NAME.fullmatch(name))
    match = _MASK_NAME.fullmatch(name)
    return bool(match and match[2] in _MASK_IDS) or not name.startswith(f"{MASK_FOLDER}/")


def _pairs(entries: Iterable[Entry]) -> dict[int, Pair]:
    photos: dict[int, Entry] = {}
    masks: defaultdict[int, list[tuple[int, Entry]]] = defaultdict(list)
    for entry in entries:
        if match := _PHOTO_NAME.fullmatch(entry.name):
            photos[int(match[1])] = entry
        elif (match := _MASK_NAME.fullmatch(entry.name)) and match[2] in _MASK_IDS:
            masks[int(match[1])].append((_MASK_IDS[match[2]], entry))
    return {i: Pair(i, photo, tuple(sorted(masks[i]))) for i, photo in sorted(photos.items())}


def _read_mapping(files: Files, entries: Iterable[Entry]) -> dict[int, int] | None:
    """CelebA numbers by photo id; None if there is no mapping file."""
    if (entry := next((e for e in entries if e.name == MAPPING_FILE), None)) is None:
        return None
    try:
        heading, *lines = files.read(entry).decode().splitlines()
        fields = [line.split() for line in lines if line.strip()]
        return {int(idx): int(orig_idx) for idx, orig_idx, *_ in fields}
    except (OSError, ValueError) as error:
        expected = "a heading and lines 'idx orig_idx orig_file' such as '5 100065 100066.jpg'"
        reason = f"{MAPPING_FILE} in {files.path} cannot be read ({error})"
        raise FaceSegKitError(f"{reason}; expected {expected}.") from error


def _read_image(files: Files, entry: Entry, at_least: int | None = None) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(files.read(entry)), formats=FORMATS)
        if image.width * image.height > _MAX_PIXELS:
            raise ValueError(f"it has {image.width} x {image.height} pixels")
        if at_least:
            image.draft("RGB", (at_least, at_least))
        image.load()
    # Pillow raises OSError, SyntaxError, ValueError and others, depending on format and damage.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "it is not an image, or is damaged"
        raise BadPair(f"{entry.name} cannot be read: {reason}.") from error
    return image


def read_mask(files: Files, entry: Entry) -> NDArray[np.bool_]:
    """A part's mask, bool [H, W], as `read_label_map` paints it.

    Raises a BadPair if the file is missing or damaged, or it is not clear what it covers.
    """
    image = _read_image(files, entry)
    mask = np.zeros((image.height, image.width), dtype=np.uint8)
    _paint(mask, 1, image, entry.name)
    return mask > 0


def _paint(label_map: NDArray[np.uint8], part_id: int, mask: Image.Image, name: str) -> None:
    """Paint one part, as `labels.paint_parts` does, but only inside its bounding box."""
    if mask.mode in ("P", "PA"):  # the palette decides what is black, not the index
        mask = mask.convert("RGBA")
    elif mask.mode.startswith(("I", "F")):  # Pillow < 13 cannot compute their box
        mask = Image.fromarray(_covered(np.asarray(mask), name))
    if box := mask.getbbox():
        left, top, right, bottom = box
        *colours, last = mask.crop(box).split()
        if mask.mode in ("LA", "RGBA"):
            visible = ImageChops.darker(reduce(ImageChops.lighter, colours), last)
        else:
            visible = reduce(ImageChops.lighter, colours, last)
        covered = _covered(np.asarray(visible), name)
        label_map[top:bottom, left:right][covered] = part_id


def _covered(values: NDArray[Any], name: str) -> NDArray[np.bool_]:
    """Where a mask covers its part: from half of its range on, as edges are grey.

    JPEG and resizing leave values between the two of a mask. Raises a BadPair if all of them are
    in the darker half, unless there are only two.
    """
    highest = values.max(initial=0)
    full = next((full for full in _MASK_RANGES if highest <= full), highest)
    half = full / 2 if values.dtype.kind == "f" else full // 2
    if highest > half or highest == 0:
        return np.asarray(values > half)
    if not np.isin(values, (0, highest)).all():
        faint = f"{name} has no pixel of 128 or more, but several shades up to {highest}"
        raise BadPair(f"{faint}; a mask is 255 where it covers the part, and 0 elsewhere.")
    return np.asarray(values != 0)
