"""The data set cache: photos and label maps as memory-mapped arrays, decoded once for training.

A cache folder contains

    photos.npy     uint8 [N, 256, 256, 3]; larger if a model sees only a crop of the photos
    labels.npy     uint8 [N, 512, 512], part ids at the annotation's own resolution
    state          uint8 [N], 1 where the row has been written
    manifest.json  what the arrays contain, what they were made from, and whether they are complete

A row is written once: if building is interrupted, the next call continues. The arrays are valid
only if the manifest says `complete`.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from facesegkit.data import celebamask_hq
from facesegkit.data.celebamask_hq import (
    SPLITS,
    Archive,
    BadPair,
    Files,
    Pair,
    splits_by_hash,
    way_out,
)
from facesegkit.errors import FaceSegKitError, counted, first_line
from facesegkit.system import distributed
from facesegkit.system.files import atomic_write
from facesegkit.system.processes import cores, folder_lock, process_map

FORMAT_VERSION = 2  # increase it whenever the same files would give other arrays or splits
PHOTO_SIZE = 256
ANNOTATION_SIZE = 512
_CHUNK = 16  # pairs that a worker decodes at a time, and again if it is killed

# Errors of a damaged data set (an impossible offset in a zip, a folder in place of a photo) rather
# than of the computer at the moment.
_DAMAGE = (None, errno.EINVAL, errno.EISDIR)


@dataclass(frozen=True)
class DatasetCache:
    """A complete cache. Rows are in the order of the photo ids; the rows of bad pairs are void."""

    folder: Path
    source: str
    split_rule: str
    photos: NDArray[np.uint8]  # [N, photo_size, photo_size, 3], memory-mapped, read-only
    labels: NDArray[np.uint8]  # [N, 512, 512] part ids, memory-mapped, read-only
    ids: NDArray[np.int64]  # [N]
    splits: NDArray[np.str_]  # [N] 'train', 'val' or 'test', and '' for a bad pair
    bad: dict[int, str]  # photo id -> what is wrong with the pair

    @classmethod
    def open(cls, folder: str | Path) -> "DatasetCache":
        """Open a cache that `build_cache` has completed.

        Raises a FaceSegKitError if there is none, or it is incomplete, damaged or of another
        version.
        """
        folder = Path(folder)
        try:
            manifest = Manifest.read(folder)
            if manifest is None or not manifest.complete:
                raise _OtherVersion
            photos, labels = _open_arrays(folder, manifest)
            source, rule, bad = manifest.source, manifest.split_rule, manifest.bad
            ids, splits = np.array(manifest.ids, dtype=np.int64), np.array(manifest.splits)
            splits[np.isin(ids, list(bad))] = ""
            return cls(folder, source, rule, photos, labels, ids, splits, bad)
        except _OtherVersion as error:
            message = f"{folder} is not a data set cache that this version can use; run prepare"
            raise FaceSegKitError(f"{message} first.") from error
        except Exception as error:  # damaged JSON can contain anything
            message = f"The data set cache {folder} is damaged ({first_line(error)}); delete that"
            raise FaceSegKitError(f"{message} folder and run prepare again.") from error

    def rows(self, split: str = "all") -> NDArray[np.int64]:
        """Rows of the good pairs of 'train', 'val', 'test' or 'all', ascending.

        Raises a FaceSegKitError if there is no such split, or it is empty.
        """
        if split not in (*SPLITS, "all"):
            raise FaceSegKitError(f"There is no split {split!r}; use train, val, test or all.")
        rows = np.flatnonzero(self.splits != "" if split == "all" else self.splits == split)
        if not len(rows):
            about = f"good pairs: {np.sum(self.splits != '')}, split: {self.split_rule}"
            empty = f"The {split} split of {self.source} is empty ({about})"
            raise FaceSegKitError(f"{empty}; {way_out(self.split_rule)}.")
        return rows

    def has(self, split: str) -> bool:
        """Whether a split has any good pair."""
        return bool(np.any(self.splits == split) if split != "all" else np.any(self.splits != ""))

    def first(self, count: int) -> "DatasetCache":
        """The pairs of the lowest `count` ids, split by hash as if there were no others."""
        ids = self.ids[:count]
        rule, split_of = splits_by_hash(ids.tolist())
        splits = np.array([split_of[i] for i in ids.tolist()])
        splits[self.splits[:count] == ""] = ""
        bad = {i: reason for i, reason in self.bad.items() if i in split_of}
        photos, labels = self.photos[:count], self.labels[:count]
        return DatasetCache(self.folder, self.source, rule, photos, labels, ids, splits, bad)

    def summary(self) -> str:
        """One line with the number of pairs, the data set's name, and the split."""
        counts = ", ".join(f"{np.sum(self.splits == split):,} {split}" for split in SPLITS)
        pairs = f"{counted(int(np.sum(self.splits != '')), 'pair')} of {Path(self.source).name}"
        return f"{pairs}: {counts} (split: {self.split_rule})"


def build_cache(
    root: str | Path,
    cache: str | Path | None = None,
    *,
    photo_size: int = PHOTO_SIZE,
    workers: int | None = None,
    strict: bool = False,
    progress: bool = True,
) -> DatasetCache:
    """Build the cache of a data set, continue building it, or open it if it is complete.

    `root` is the folder or zip of the data set, see `celebamask_hq.Archive`. Photos, of which
    `photo_size` is the side in pixels, and label maps are stretched if they are not square. A
    cache of other files or of another version is built again, and a line on standard error says
    so. Processes started by torchrun divide the pairs among themselves; `cache` must be the same
    folder for all of them.

    Args:
        cache: folder of the cache; by default `default_cache`.
        workers: number of processes; by default one per core.
        strict: stop at the first bad pair, instead of reporting and skipping it.
        progress: show a progress bar on standard error.

    Raises:
        FaceSegKitError: if `root` is not the data set or cannot be read, all of its pairs are bad
            (one, with `strict`), or the cache cannot be written. Rows written so far are kept.
    """
    if workers is not None and workers < 1:
        raise FaceSegKitError(f"Cannot build a cache with {workers} workers; give 1 or more.")
    archive = Archive(root)
    fresh = Manifest.of(archive, photo_size)
    folder = Path(cache or default_cache(archive.files.path, photo_size)).expanduser()
    workers = workers or max(1, cores() // distributed.processes_here())
    is_first = distributed.is_first()
    try:
        with folder_lock(folder) if is_first else nullcontext():
            own = _existing(folder, fresh) or _start(folder, fresh) if is_first else fresh
            manifest = distributed.broadcast(own)
            if not manifest.complete:
                own_bad = _fill(archive, folder, manifest, workers, strict, progress)
                for bad in distributed.all_gather(own_bad):
                    manifest.bad.update(bad)
                if is_first:
                    _finish(folder, manifest)
                distributed.barrier()
    except OSError as error:
        reason = f"Cannot write the data set cache {folder}: {error.strerror or error}; make room"
        again = "give another folder and run it again, rows written so far are kept."
        raise FaceSegKitError(f"{reason} or {again}") from error
    if strict and manifest.bad:
        raise FaceSegKitError(manifest.bad[min(manifest.bad)])
    return DatasetCache.open(folder)


def default_cache(source: Path, photo_size: int = PHOTO_SIZE) -> Path:
    """`data/cache/<name>-<hash of the path>`, followed by `-<size>` for another photo size."""
    digest = hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:8]
    size = "" if photo_size == PHOTO_SIZE else f"-{photo_size}"
    return Path("data", "cache", f"{source.stem}-{digest}{size}")


class _OtherVersion(ValueError):
    """The manifest was written by a version of facesegkit that this one cannot read."""


@dataclass(frozen=True)
class Manifest:
    """What a cache contains, and what it was made from."""

    photo_size: int
    annotation_size: int
    fingerprint: str  # of the data set's files
    source: str  # path of the data set
    split_rule: str
    ids: list[int]
    splits: list[str]  # '' for a pair that the split rule does not cover
    bad: dict[int, str]  # photo id -> what is wrong with the pair
    complete: bool = False
    format: int = FORMAT_VERSION

    @classmethod
    def of(cls, archive: Archive, photo_size: int) -> "Manifest":
        """The manifest of an empty cache."""
        splits, bad = [], {}
        for photo_id in archive.pairs:
            try:
                splits.append(archive.split_of(photo_id))
            except BadPair as error:
                splits.append("")
                bad[photo_id] = str(error)
        files, source, rule = archive.fingerprint, str(archive.files.path), archive.split_rule
        return cls(photo_size, ANNOTATION_SIZE, files, source, rule, [*archive.pairs], splits, bad)

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """Read the manifest in a folder; None if there is none.

        Raises a ValueError if it is damaged, or (`_OtherVersion`) of another version or no JSON.
        """
        try:
            plain = json.loads((folder / "manifest.json").read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, RecursionError):
            plain = None
        if not isinstance(plain, dict) or plain.get("format") != FORMAT_VERSION:
            raise _OtherVersion("another version of facesegkit made it")
        types = {name: get_origin(kind) or kind for name, kind in get_type_hints(cls).items()}
        values: dict[str, Any] = {name: plain.get(name) for name in types}
        if (
            any(type(values[name]) is not kind for name, kind in types.items())
            or {*map(type, values["ids"])} - {int}
            or {*map(type, values["splits"])} - {str}
            or not all(map(str.isdecimal, values["bad"]))
        ):
            raise ValueError("its manifest is damaged")
        bad = {int(photo_id): str(reason) for photo_id, reason in values.pop("bad").items()}
        return cls(bad=bad, **values)

    def write(self, folder: Path) -> None:
        """Write the manifest into a folder."""
        with atomic_write(folder / "manifest.json") as unfinished:
            unfinished.write_text(json.dumps(vars(self)))

    @property
    def row_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one row of each array, by file name."""
        photo, annotation = self.photo_size, self.annotation_size
        return {"photos.npy": (photo, photo, 3), "labels.npy": (annotation, annotation)}


def _existing(folder: Path, fresh: Manifest) -> Manifest | None:
    """The manifest of a cache of the same data as `fresh`; None, with a message, for another."""
    reasons = {
        "photo_size": "its photos have another size",
        "annotation_size": "its label maps have another size",
        "fingerprint": f"files of {fresh.source} have changed",
        "ids": "its manifest is damaged",
        "splits": "its manifest is damaged",
    }
    try:
        if (manifest := Manifest.read(folder)) is None:
            return None
        for name, reason in reasons.items():
            if getattr(manifest, name) != getattr(fresh, name):
                raise ValueError(reason)
        _open_arrays(folder, manifest)
        if not (state := folder / "state").is_file() or state.stat().st_size != len(fresh.ids):
            raise ValueError("its file state is missing or damaged")
        return manifest
    except ValueError as error:
        print(f"{folder} is built again: {error}.", file=sys.stderr)
        return None


def _open_arrays(folder: Path, manifest: Manifest) -> list[NDArray[np.uint8]]:
    """The arrays, memory-mapped; raise a ValueError if one is missing or damaged."""
    arrays = []
    for name, shape in manifest.row_shapes.items():
        if not (folder / name).is_file():
            raise ValueError(f"its file {name} is missing")
        try:
            array: NDArray[np.uint8] = open_memmap(folder / name, mode="r")
        except Exception as error:  # a damaged header can cause any error
            raise ValueError(f"its file {name} has a damaged header") from error
        if array.shape != (len(manifest.ids), *shape) or array.dtype != np.uint8:
            raise ValueError(f"its file {name} contains {array.dtype} {list(array.shape)}")
        arrays.append(array)
    return arrays


def _start(folder: Path, manifest: Manifest) -> Manifest:
    """Create empty arrays. The manifest is deleted first and written last: it vouches for them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").unlink(missing_ok=True)
    count = len(manifest.ids)
    for name, shape in manifest.row_shapes.items():
        (folder / name).unlink(missing_ok=True)  # processes that use the old arrays keep them
        open_memmap(folder / name, mode="w+", dtype=np.uint8, shape=(count, *shape))
    (folder / "state").write_bytes(bytes(count))
    manifest.write(folder)
    return manifest


def _fill(
    archive: Archive, folder: Path, manifest: Manifest, workers: int, strict: bool, progress: bool
) -> dict[int, str]:
    """Write the rows that are still empty; returns {photo id: reason} of the bad pairs."""
    state = np.fromfile(folder / "state", dtype=np.uint8)
    empty = np.flatnonzero((np.array(manifest.splits) != "") & (state == 0)).tolist()
    jobs = [(row, archive.pairs[manifest.ids[row]]) for row in empty]
    done = len(state) - len(jobs)
    if distributed.is_first():
        _check_space(folder, len(jobs), manifest)
    distributed.barrier()  # until all processes have read the same state
    jobs = distributed.shard(jobs)
    bad: dict[int, str] = {}
    chunks = [jobs[start : start + _CHUNK] for start in range(0, len(jobs), _CHUNK)]
    task = partial(write_rows, archive.files, folder)
    answers = process_map(task, chunks, workers, doing="built the data set cache")
    hidden = not (progress and distributed.is_first())
    bar = tqdm(total=done + len(jobs), initial=done, unit=" photos", disable=hidden)
    # Plain writes: with memory maps, machines that share the file would overwrite whole pages.
    with closing(answers), bar, (folder / "state").open("r+b", buffering=0) as flags:
        for chunk, bad_in_chunk in answers:
            for row in (row for row, pair in chunk if pair.id not in bad_in_chunk):
                flags.seek(row)
                flags.write(b"\1")
            bad |= bad_in_chunk
            if strict and bad:
                raise FaceSegKitError(bad[min(bad)])
            bar.update(len(chunk))
    return bad


def _finish(folder: Path, manifest: Manifest) -> None:
    """Report the bad pairs and mark the cache as complete, if all good ones are written."""
    count, bad = len(manifest.ids), manifest.bad
    if len(bad) == count:
        none = f"None of the {counted(count, 'pair')} of {manifest.source} can be used"
        raise FaceSegKitError(f"{none}; the first one: {bad[min(bad)]}")
    state = np.fromfile(folder / "state", dtype=np.uint8)
    if not state[~np.isin(manifest.ids, list(bad))].all():
        raise FaceSegKitError(f"Not all pairs have been written to {folder}; run it again.")
    if bad:
        reasons = "".join(f"\n  {bad[photo_id]}" for photo_id in sorted(bad))
        skipped = "is skipped" if len(bad) == 1 else "are skipped"
        print(f"{len(bad)} of {counted(count, 'pair')} {skipped}:{reasons}", file=sys.stderr)
    replace(manifest, complete=True).write(folder)


def _check_space(folder: Path, rows: int, manifest: Manifest) -> None:
    """Check that the disk has room for so many rows, besides what the files occupy already."""
    row_bytes = sum(math.prod(shape) for shape in manifest.row_shapes.values())
    status = [(folder / name).stat() for name in manifest.row_shapes]
    # Unwritten rows take no space where the system knows of blocks.
    held = sum(s.st_blocks * 512 if hasattr(s, "st_blocks") else s.st_size for s in status)
    needed = min(rows * row_bytes, len(manifest.ids) * row_bytes - held)
    free = shutil.disk_usage(folder).free
    if needed > free:
        more = f"needs {needed / 1e9:.2f} GB more in {folder}, but only {free / 1e9:.2f} GB"
        raise FaceSegKitError(
            f"The data set cache {more} are free; make room or give another folder."
        )


def write_rows(files: Files, folder: Path, jobs: Sequence[tuple[int, Pair]]) -> dict[int, str]:
    """Decode pairs and write them into rows of the arrays; return {photo id: reason} of bad ones.

    Raises a FaceSegKitError if a pair cannot be read at the moment, whether it is good or bad.
    """
    bad = {}
    paths = folder / "photos.npy", folder / "labels.npy"
    arrays = [np.load(path, mmap_mode="r") for path in paths]
    with paths[0].open("r+b") as photo_file, paths[1].open("r+b") as label_file:
        for row, pair in jobs:
            try:
                decoded = _square_arrays(files, pair, arrays[0].shape[1])
            except BadPair as error:
                cause = error.__cause__
                is_from_system = isinstance(cause, OSError) and cause.errno not in _DAMAGE
                # The computer may be the cause, not the pair: an unplugged drive, little memory.
                if is_from_system or isinstance(cause, MemoryError):
                    again = "Run it again when that is fixed; rows written so far are kept."
                    raise FaceSegKitError(f"{error} {again}") from error
                bad[pair.id] = str(error)
                continue
            # Pages written through memory maps would count as memory of this process, up to 14 GB.
            for file, array, values in zip((photo_file, label_file), arrays, decoded, strict=True):
                file.seek(array.offset + row * values.nbytes)
                file.write(np.ascontiguousarray(values).data)
    return bad


def _square_arrays(files: Files, pair: Pair, side: int) -> list[NDArray[np.uint8]]:
    """The photo, of this side, and the label map."""
    # Downsampling by the JPEG decoder equals averaging (53 dB PSNR for 4 x 4 pixels).
    photo = celebamask_hq.read_photo(files, pair, at_least=side)
    labels = Image.fromarray(celebamask_hq.read_label_map(files, pair))
    nearest = labels.resize((ANNOTATION_SIZE,) * 2, Image.Resampling.NEAREST)
    return [np.asarray(photo.resize((side, side), Image.Resampling.BILINEAR)), np.asarray(nearest)]
