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
from facesegkit.synthetic.annotator import PlantedError, annotate, write_planted_errors
from facesegkit.synthetic.face import synthesize_face
from facesegkit.system.files import atomic_write
from facesegkit.system.processes import cores, folder_lock, process_map

GENERATOR_VERSION = 9  # increase it whenever the same seed gives other faces or masks

ANNOTATORS = ("exact", "careless")

RECORD = "synthetic.json"
ADVICE = "choose another folder or delete this one."


def synthesize_dataset(
    out: Path,
    count: int,
    seed: int,
    *,
    annotator: str = "exact",
    workers: int | None = None,
    progress: bool = True,
) -> int:
    """Write faces 0..count-1 of a seed to a folder; existing faces are kept.

    Returns how many faces are in the folder now, which may be more.

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
    if annotator not in ANNOTATORS:
        known = " or ".join(ANNOTATORS)
        raise FaceSegKitError(f"There is no annotator {annotator!r}; use {known}.")
    out = Path(out)
    try:
        with folder_lock(out):
            planned = _claim(out, count, seed, annotator)
            errors = None
            if annotator == "careless":
                errors = write_planted_errors(out, seed, planned)
            missing = [i for i in range(count) if not photo_path(out, i).exists()]
            with tqdm(total=count, initial=count - len(missing), desc="synthesize",
                      unit="face", disable=not progress or not missing) as bar:  # fmt: skip
                _synthesize_all(partial(_synthesize_one, out, seed, errors), missing, workers, bar)
            return sum(photo_path(out, i).exists() for i in range(planned))
    except OSError as error:
        reason = f"{error.strerror or error}; choose another folder or free some space."
        raise FaceSegKitError(f"Cannot write synthetic faces to {out}: {reason}") from error


def _claim(out: Path, count: int, seed: int, annotator: str) -> int:
    """Check that the folder is new or ours, and write a record of its contents.

    Returns the number of faces in the record, which may be that of an earlier call.
    """
    out.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"seed": seed, "count": count, "version": GENERATOR_VERSION}
    if annotator != "exact":
        record["annotator"] = annotator
    path = out / RECORD
    if path.exists():
        before = _read_record(path)
        keys = ("seed", "seed", None), ("version", "generator version", None)
        for key, word, default in (*keys, ("annotator", "annotator", "exact")):
            was, now = before.get(key, default), record.get(key, default)
            if was != now:
                raise FaceSegKitError(f"{out} has faces of {word} {was}, not {now}; {ADVICE}")
        record["count"] = max(count, int(before["count"]))
        if record == before:
            return int(record["count"])
    # Unfinished files of a killed process start with a dot.
    elif others := sorted(p.name for p in out.iterdir() if not p.name.startswith(".")):
        raise FaceSegKitError(f"{out} contains {others[0]!r}; choose an empty or new folder.")
    with atomic_write(path) as unfinished:
        unfinished.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return int(record["count"])


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


def _synthesize_one(
    out: Path, seed: int, errors: dict[int, PlantedError] | None, index: int
) -> None:
    """Write a face; with the masks of the careless annotator if there is a dict of errors."""
    face = synthesize_face(seed, index)
    masks = face.masks
    if errors is not None:
        masks = annotate(masks, seed, index, errors.get(index))
    write_pair(out, index, face.photo, masks, face.quality)
