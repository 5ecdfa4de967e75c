"""A data set of synthetic faces on disk, in CelebAMask-HQ's layout."""

import json
from collections.abc import Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from facesegkit.data.writer import photo_path, write_pair
from facesegkit.errors import FaceSegKitError
from facesegkit.synthetic.face import synthesize_face
from facesegkit.system.files import atomic_write
from facesegkit.system.processes import cores, folder_lock, process_map

GENERATOR_VERSION = 8  # increase it whenever the same seed gives other faces

RECORD = "synthetic.json"
ADVICE = "choose another folder or delete this one."


def synthesize_dataset(
    out: Path, count: int, seed: int, *, workers: int | None = None, progress: bool = True
) -> None:
    """Write faces 0..count-1 of a seed to a folder; existing faces are kept.

    Writes `CelebA-HQ-img/<id>.jpg` (512 x 512) and `CelebAMask-HQ-mask-anno/<id //
    2000>/<id:05d>_<part>.png` (512 x 512, one channel, 0 or 255). The folder `out` is new, empty,
    or was written with the same seed. There is one worker process per core by default; the bytes do
    not depend on their number. Raises a FaceSegKitError if `count` or `seed` is negative, `workers`
    is below 1, or the folder contains something else, cannot be written or has no space left.
    """
    if count < 0 or seed < 0:
        given = f"{count} faces with seed {seed}"
        raise FaceSegKitError(f"Cannot synthesize {given}; both must be 0 or more.")
    if workers is not None and workers < 1:
        raise FaceSegKitError(f"Cannot synthesize faces with {workers} workers; give 1 or more.")
    out = Path(out)
    try:
        with folder_lock(out):
            _claim(out, count, seed)
            missing = [i for i in range(count) if not photo_path(out, i).exists()]
            with tqdm(total=count, initial=count - len(missing), desc="synthesize",
                      unit="face", disable=not progress or not missing) as bar:  # fmt: skip
                _synthesize_all(partial(_synthesize_one, out, seed), missing, workers, bar)
    except OSError as error:
        reason = f"{error.strerror or error}; choose another folder or free some space."
        raise FaceSegKitError(f"Cannot write synthetic faces to {out}: {reason}") from error


def _claim(out: Path, count: int, seed: int) -> None:
    """Check that the folder is new or ours, and write a record of its contents."""
    out.mkdir(parents=True, exist_ok=True)
    record = {"seed": seed, "count": count, "version": GENERATOR_VERSION}
    path = out / RECORD
    if path.exists():
        before = _read_record(path)
        for key, word in (("seed", "seed"), ("version", "generator version")):
            if before.get(key) != record[key]:
                other = f"{word} {before.get(key)}, not {record[key]}"
                raise FaceSegKitError(f"{out} has faces of {other}; {ADVICE}")
        record["count"] = max(count, int(before["count"]))
        if record == before:
            return
    # Unfinished files of a killed process start with a dot.
    elif others := sorted(p.name for p in out.iterdir() if not p.name.startswith(".")):
        raise FaceSegKitError(f"{out} contains {others[0]!r}; choose an empty or new folder.")
    with atomic_write(path) as unfinished:
        unfinished.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(record, dict) and isinstance(record.get("count"), int):
            return record
    except ValueError:
        pass
    raise FaceSegKitError(f"{path} is not a record of synthetic faces; {ADVICE}")


def _synthesize_all(
    write_face: partial[None], missing: list[int], workers: int | None, bar: "tqdm[Any]"
) -> None:
    """Write the missing faces, in this process if one worker is enough."""
    workers = workers or cores()
    done: Generator[Any, None, None] = (write_face(index) for index in missing)
    if workers > 1 and len(missing) > 1:
        done = process_map(write_face, missing, workers, doing="synthesized faces")
    with closing(done):
        for _ in done:
            bar.update()


def _synthesize_one(out: Path, seed: int, index: int) -> None:
    face = synthesize_face(seed, index)
    write_pair(out, index, face.photo, face.masks, face.quality)
