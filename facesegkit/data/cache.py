"""Packs a data set once into memory-mapped arrays, so that training decodes no picture again.

A cache folder holds

    photos.npy     uint8 [N, 256, 256, 3]; larger where only a part of them will be looked at
    labels.npy     uint8 [N, 512, 512], part ids at the annotation's own resolution
    state          uint8 [N], 1 where the row is written
    manifest.json  what is packed, from what, and whether it is finished

A row, once written, stays: packing that was killed goes on where it was. The arrays count for
nothing until the manifest says `complete`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tqdm import tqdm

from facesegkit.data.cache_worker import ANNOTATION_SIZE, PHOTO_SIZE, pack_rows
from facesegkit.data.celebamask_hq import SPLITS, Archive, BadPair
from facesegkit.errors import FaceSegKitError, first_line
from facesegkit.system import distributed
from facesegkit.system.files import atomic_write
from facesegkit.system.processes import cores, folder_lock, process_map

FORMAT_VERSION = 1  # to be raised whenever the same files would give other arrays or splits

_CHUNK = 16  # pairs that a worker packs at once, and that are packed again if it is killed


@dataclass(frozen=True)
class DatasetCache:
    """A packed data set. Rows are in the order of the photos' ids; those of bad pairs are void."""

    cache: Path
    source: str
    split_rule: str
    photos: NDArray[np.uint8]  # [N, photo_size, photo_size, 3], memory-mapped, read-only
    labels: NDArray[np.uint8]  # [N, 512, 512] part ids, memory-mapped, read-only
    ids: NDArray[np.int64]  # [N]
    splits: NDArray[np.str_]  # [N] 'train', 'val' or 'test', and '' for a bad pair
    bad: dict[int, str]  # photo id -> what is wrong with the pair

    @classmethod
    def open(cls, cache: str | Path) -> DatasetCache:
        """Open what `build_cache` has finished.

        Raises:
            FaceSegKitError: there is none, or it is unfinished or of another version.
        """
        cache = Path(cache)
        manifest = _read_manifest(cache)
        if not manifest or not manifest.get("complete") or manifest.get("format") != FORMAT_VERSION:
            raise FaceSegKitError(
                f"{cache} holds no packed data set that this version can use; run prepare first."
            )
        try:
            return cls._of_manifest(cache, manifest)
        except Exception as error:  # damaged JSON can be anything
            raise FaceSegKitError(
                f"The packed data set in {cache} is damaged ({first_line(error)}); "
                f"delete that folder and run prepare again."
            ) from error

    @classmethod
    def _of_manifest(cls, cache: Path, manifest: dict[str, Any]) -> DatasetCache:
        arrays = _arrays(cache, manifest)
        bad = {int(photo_id): reason for photo_id, reason in manifest["bad"].items()}
        pairs = zip(manifest["ids"], manifest["splits"], strict=True)
        return cls(
            cache=cache,
            source=str(manifest["source"]),
            split_rule=manifest["split_rule"],
            photos=arrays["photos.npy"],
            labels=arrays["labels.npy"],
            ids=np.array(manifest["ids"], dtype=np.int64),
            splits=np.array(["" if photo_id in bad else split for photo_id, split in pairs]),
            bad=bad,
        )

    def rows(self, split: str = "all") -> NDArray[np.int64]:
        """Rows of the good pairs of 'train', 'val', 'test' or 'all', ascending.

        Raises:
            FaceSegKitError: there is no such split, or nothing in it.
        """
        if split not in (*SPLITS, "all"):
            raise FaceSegKitError(f"There is no split {split!r}; use train, val, test or all.")
        rows = np.flatnonzero(self.splits != "" if split == "all" else self.splits == split)
        if not len(rows):
            raise FaceSegKitError(
                f"The {split} split of {self.source} is empty "
                f"(good pairs: {len(self.ids) - len(self.bad)}, split: {self.split_rule})."
            )
        return rows

    def summary(self) -> str:
        """In one line: how many pairs, of what (its name, not its path), split by which rule."""
        counts = ", ".join(f"{np.sum(self.splits == split):,} {split}" for split in SPLITS)
        return (
            f"{len(self.ids) - len(self.bad):,} pairs of {Path(self.source).name}: {counts} "
            f"(split: {self.split_rule})"
        )


def build_cache(
    root: str | Path,
    cache: str | Path | None = None,
    *,
    photo_size: int = PHOTO_SIZE,
    workers: int | None = None,
    strict: bool = False,
    progress: bool = True,
) -> DatasetCache:
    """Pack a data set, or go on with it, or just open what is packed already.

    Photos and label maps that are not square are stretched to the square. A cache of other
    files, or made by another version, is made anew, and a line on standard error says so.
    Processes that torchrun has started share the pairs; `cache` must be one folder for all.

    Args:
        root: folder or zip of the data set, as `celebamask_hq.Archive` takes it.
        cache: where to; `default_cache` of it when left out.
        photo_size: side of the packed photos, in pixels.
        workers: number of processes, one per core when left out.
        strict: stop at the first bad pair, instead of naming it and packing the rest.
        progress: show a progress bar on standard error.

    Raises:
        FaceSegKitError: `root` is not the data set or cannot be read, all of its pairs are bad
            (one, with `strict`), or the cache cannot be written. What was packed until then stays.
    """
    if workers is not None and workers < 1:
        raise FaceSegKitError(f"{workers} workers pack nothing; give 1 or more.")
    archive = Archive(root)
    fresh = _new_manifest(archive, photo_size)
    usual = default_cache(archive.files.path, photo_size)
    cache = usual if cache is None else Path(cache).expanduser()
    first = distributed.is_first()
    with _write_errors_explained(cache), folder_lock(cache) if first else nullcontext():
        manifest = _matching_manifest(cache, fresh) if first else None
        if manifest is None and first:
            manifest = fresh
            _start(cache, manifest)
        manifest = distributed.broadcast(manifest)
        assert manifest is not None
        if not manifest["complete"]:
            bad = _fill(archive, cache, manifest, workers, strict, progress)
            for bad_of_one in distributed.all_gather(bad):
                manifest["bad"] |= bad_of_one
            if first:
                _finish(cache, manifest)
            distributed.barrier()
    if strict and manifest["bad"]:
        raise FaceSegKitError(_first(manifest["bad"]))
    return DatasetCache.open(cache)


def default_cache(source: Path, photo_size: int = PHOTO_SIZE) -> Path:
    """`data/cache/<name>-<hash of the path>` below the current folder.

    Photos of another size than usual lie elsewhere: `data/cache/<name>-<hash>-<size>`.
    """
    digest = hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:8]
    size = "" if photo_size == PHOTO_SIZE else f"-{photo_size}"
    return Path("data", "cache", f"{source.stem}-{digest}{size}")


# --- The manifest -------------------------------------------------------------------------------


def _new_manifest(archive: Archive, photo_size: int) -> dict[str, Any]:
    splits, bad = [], {}
    for photo_id in archive.pairs:
        try:
            splits.append(archive.split_of(photo_id))
        except BadPair as error:
            splits.append("")
            bad[str(photo_id)] = str(error)
    return {
        "format": FORMAT_VERSION,
        "photo_size": photo_size,
        "annotation_size": ANNOTATION_SIZE,
        "fingerprint": archive.fingerprint,
        "source": str(archive.files.path),
        "split_rule": archive.split_rule,
        "ids": list(archive.pairs),
        "splits": splits,
        "bad": bad,  # photo id, as a string (JSON knows no other keys) -> what is wrong
        "complete": False,
    }


def _row_shapes(manifest: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """What one row of each array holds."""
    photo, annotation = manifest["photo_size"], manifest["annotation_size"]
    return {"photos.npy": (photo, photo, 3), "labels.npy": (annotation, annotation)}


def _matching_manifest(cache: Path, fresh: dict[str, Any]) -> dict[str, Any] | None:
    """The cache's manifest if it is about what `fresh` is about; if it is not, say so."""
    manifest = _read_manifest(cache)
    if manifest is None:
        return None
    if difference := _difference(cache, manifest, fresh):
        print(f"{cache} is made anew: {difference}.", file=sys.stderr)
        return None
    return manifest


def _difference(cache: Path, manifest: dict[str, Any], fresh: dict[str, Any]) -> str | None:
    reasons = {
        "format": "another version of facesegkit made it",
        "photo_size": "its photos have another size",
        "annotation_size": "its label maps have another size",
        "fingerprint": f"files of {fresh['source']} have changed since",
    }
    for key, reason in reasons.items():
        if manifest.get(key) != fresh[key]:
            return reason
    kinds = {key: (type(manifest.get(key)), type(value)) for key, value in fresh.items()}
    is_strange = any(found is not wanted for found, wanted in kinds.values())
    if is_strange or any(manifest[key] != fresh[key] for key in ("ids", "splits")):
        return "its manifest is damaged"
    missing = [name for name in (*_row_shapes(fresh), "state") if not (cache / name).is_file()]
    if missing:
        return f"its file {missing[0]} is missing"
    try:
        _arrays(cache, manifest)
    except ValueError as error:
        return f"its arrays are damaged ({first_line(error)})"
    is_whole = (cache / "state").stat().st_size == len(fresh["ids"])
    return None if is_whole else "its file state is damaged"


def _arrays(cache: Path, manifest: dict[str, Any]) -> dict[str, NDArray[np.uint8]]:
    """The packed arrays, memory-mapped. Raises ValueError where one is damaged."""
    arrays: dict[str, NDArray[np.uint8]] = {}
    for name, shape in _row_shapes(manifest).items():
        try:
            arrays[name] = open_memmap(cache / name, mode="r")
        except FileNotFoundError:
            raise
        except Exception as error:  # a damaged head can fail in any way
            raise ValueError(f"{name} has a damaged head") from error
        if arrays[name].shape != (len(manifest["ids"]), *shape) or arrays[name].dtype != np.uint8:
            raise ValueError(f"{name} is {arrays[name].dtype} {list(arrays[name].shape)}")
    return arrays


def _read_manifest(cache: Path) -> dict[str, Any] | None:
    """None where there is no manifest, {} where it is damaged."""
    try:
        manifest = json.loads((cache / "manifest.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _write_manifest(cache: Path, manifest: dict[str, Any]) -> None:
    with atomic_write(cache / "manifest.json") as unfinished:
        unfinished.write_text(json.dumps(manifest))


# --- Packing ------------------------------------------------------------------------------------


def _start(cache: Path, manifest: dict[str, Any]) -> None:
    """Make empty arrays. The manifest goes first and comes last: it vouches for the rest."""
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "manifest.json").unlink(missing_ok=True)
    count = len(manifest["ids"])
    for name, shape in _row_shapes(manifest).items():
        (cache / name).unlink(missing_ok=True)  # who has the old arrays open keeps them
        open_memmap(cache / name, mode="w+", dtype=np.uint8, shape=(count, *shape))
    (cache / "state").write_bytes(bytes(count))
    _write_manifest(cache, manifest)


def _fill(
    archive: Archive,
    cache: Path,
    manifest: dict[str, Any],
    workers: int | None,
    strict: bool,
    progress: bool,
) -> dict[str, str]:
    """Fill the rows that are still empty; returns {photo id: reason} of their bad pairs."""
    state = np.fromfile(cache / "state", dtype=np.uint8)
    ids_and_splits = zip(manifest["ids"], manifest["splits"], strict=True)
    jobs = [
        (row, archive.pairs[photo_id])
        for row, (photo_id, split) in enumerate(ids_and_splits)
        if split and not state[row]
    ]
    done = len(state) - len(jobs)
    if distributed.is_first():
        _check_space(cache, len(jobs), manifest)
    distributed.barrier()  # until all have seen the same rows empty
    jobs = distributed.shard(jobs)
    bad: dict[str, str] = {}
    chunks = [jobs[start : start + _CHUNK] for start in range(0, len(jobs), _CHUNK)]
    task = partial(pack_rows, archive.files, cache)
    workers = workers or max(1, cores() // distributed.processes_here())
    answers = process_map(task, chunks, workers, doing="packed")
    progress = progress and distributed.is_first()
    bar = tqdm(total=done + len(jobs), initial=done, unit=" photos", disable=not progress)
    # By plain writes: of pages in memory each of several machines would write back its own.
    with closing(answers), bar, (cache / "state").open("r+b", buffering=0) as flags:
        for chunk, bad_in_chunk in answers:
            for row in (row for row, pair in chunk if pair.id not in bad_in_chunk):
                flags.seek(row)
                flags.write(b"\1")
            bad |= {str(photo_id): reason for photo_id, reason in bad_in_chunk.items()}
            if strict and bad:
                raise FaceSegKitError(_first(bad))
            bar.update(len(chunk))
    return bad


def _finish(cache: Path, manifest: dict[str, Any]) -> None:
    """Name the bad pairs and declare the arrays complete.

    Raises:
        FaceSegKitError: there is no good pair, or one has been forgotten.
    """
    count, bad = len(manifest["ids"]), manifest["bad"]
    if len(bad) == count:
        raise FaceSegKitError(
            f"None of the {count} pairs of {manifest['source']} can be used; "
            f"the first one: {_first(bad)}"
        )
    state = np.fromfile(cache / "state", dtype=np.uint8)
    to_be_packed = np.array([bool(split) for split in manifest["splits"]])
    is_bad = np.array([str(photo_id) in bad for photo_id in manifest["ids"]])
    if not state[to_be_packed & ~is_bad].all():
        raise FaceSegKitError(f"Not all pairs have come to lie in {cache}; run it again.")
    if bad:
        reasons = "".join(f"\n  {bad[photo_id]}" for photo_id in sorted(bad, key=int))
        print(f"{len(bad)} of {count} pairs are left out:{reasons}", file=sys.stderr)
    _write_manifest(cache, {**manifest, "complete": True})


def _first(bad: dict[str, str]) -> str:
    return bad[min(bad, key=int)]


def _check_space(cache: Path, rows: int, manifest: dict[str, Any]) -> None:
    """See that there is room for so many rows, as far as the files do not hold it already."""
    shapes = _row_shapes(manifest)
    bytes_of_row = sum(math.prod(shape) for shape in shapes.values())
    held = sum(_allocated(cache / name) for name in shapes)
    needed = min(rows * bytes_of_row, len(manifest["ids"]) * bytes_of_row - held)
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise FaceSegKitError(
            f"Packing needs {needed / 1e9:.2f} GB more in {cache}, but only {free / 1e9:.2f} GB "
            f"are free there; make room or give another folder."
        )


def _allocated(path: Path) -> int:
    """Bytes of the disk that a file holds: not all of it, where empty parts take no room."""
    found = path.stat()
    return found.st_blocks * 512 if hasattr(found, "st_blocks") else found.st_size


@contextmanager
def _write_errors_explained(cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FaceSegKitError(
            f"Packing into {cache} failed: {error.strerror or error}; "
            f"what was packed stays, make room or give another folder and run it again."
        ) from error
