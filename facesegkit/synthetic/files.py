"""Drawn faces on disk, in CelebAMask-HQ's own layout.

A face's masks are written first and its photo last, each under a temporary name that is then
replaced; so a photo says that its face is complete, and drawing can be interrupted anywhere.
"""

from __future__ import annotations

import json
import os
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, Any

from PIL import Image
from tqdm import tqdm

from facesegkit.errors import FaceSegKitError
from facesegkit.synthetic.face import synthesize_face
from facesegkit.system.processes import cores, folder_lock, process_map

GENERATOR_VERSION = 7  # raise it whenever the same seed would give other faces

PHOTOS, MASKS, RECORD = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno", "drawn.json"
FACES_PER_FOLDER = 2000  # the data set's own way to keep mask folders small
TEMPORARY = ".part"  # ending of files that are being written


def synthesize_dataset(
    out: Path, count: int, seed: int, *, workers: int | None = None, progress: bool = True
) -> None:
    """Draw faces 0..count-1 of a seed into a folder; what is there already stays untouched.

    Writes `CelebA-HQ-img/<id>.jpg` (512 x 512) and
    `CelebAMask-HQ-mask-anno/<id // 2000>/<id:05d>_<part>.png` (512 x 512, one channel, 0 or 255).
    The bytes do not depend on the number of workers.

    Args:
        out: a new or empty folder, or one that an earlier call with the same seed filled.
        count: how many faces the folder shall hold; more than before adds the missing ones.
        seed: 0 or more.
        workers: processes; all cores by default.
        progress: whether to show a progress bar.

    Raises:
        FaceSegKitError: a negative count or seed, `workers` below 1, a folder that holds
            something else, cannot be written, or has no space left.
    """
    if count < 0 or seed < 0:
        raise FaceSegKitError(
            f"Cannot draw {count} faces with seed {seed}; give numbers that are not negative."
        )
    if workers is not None and workers < 1:
        raise FaceSegKitError(f"Cannot draw with {workers} workers; give 1 or more.")
    out = Path(out)
    try:
        with folder_lock(out):
            _claim(out, count, seed)
            missing = [i for i in range(count) if not _photo_path(out, i).exists()]
            _synthesize_missing(out, seed, missing, workers or cores(), count, progress)
    except OSError as error:
        raise FaceSegKitError(
            f"Cannot write drawn faces to {out}: {error.strerror or error}; "
            f"free some space there or choose a folder that can be written."
        ) from error


def _claim(out: Path, count: int, seed: int) -> None:
    """Make sure that the folder is ours, and record in it what it holds."""
    out.mkdir(parents=True, exist_ok=True)
    record = {"seed": seed, "count": count, "version": GENERATOR_VERSION}
    path = out / RECORD
    if path.exists():
        before = _read_record(path)
        for key, word in (("seed", "seed"), ("version", "drawing version")):
            if before.get(key) != record[key]:
                raise FaceSegKitError(
                    f"{out} holds faces drawn with {word} {before.get(key)}, not {record[key]}; "
                    f"choose another folder or delete this one."
                )
        record["count"] = max(count, int(before["count"]))
        if record == before:
            return
    else:
        others = sorted(p.name for p in out.iterdir() if not p.name.endswith(TEMPORARY))
        if others:
            raise FaceSegKitError(
                f"{out} already holds other files ({others[0]!r}); choose an empty or new folder."
            )
    text = json.dumps(record, indent=2) + "\n"
    _write(path, lambda file: file.write(text.encode()))


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(record, dict) and isinstance(record.get("count"), int):
            return record
    except ValueError:
        pass
    raise FaceSegKitError(
        f"{path} is not a record of drawn faces; choose another folder or delete this one."
    )


def _synthesize_missing(
    out: Path, seed: int, missing: list[int], workers: int, count: int, progress: bool
) -> None:
    """Draw some ids, in this process if one worker is enough, and show how it goes on."""
    if not missing:
        return
    draw_one = partial(_synthesize_one, out, seed)
    bar = tqdm(
        total=count,
        initial=count - len(missing),
        desc="drawing",
        unit="face",
        disable=not progress,
    )
    with bar:
        if workers == 1 or len(missing) == 1:
            for index in missing:
                draw_one(index)
                bar.update()
            return
        drawing = process_map(draw_one, missing, workers, doing="drew faces")
        with closing(drawing):
            for _ in drawing:
                bar.update()


def _synthesize_one(out: Path, seed: int, index: int) -> None:
    """Draw one face and write its files, the photo last."""
    face = synthesize_face(seed, index)
    folder = out / MASKS / str(index // FACES_PER_FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    for part, mask in face.masks.items():
        picture = Image.fromarray(mask.view("uint8") * 255)
        _write(
            folder / f"{index:05d}_{part}.png",
            lambda file, picture=picture: picture.save(file, "PNG", compress_level=1),
        )
    photo = _photo_path(out, index)
    photo.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(face.photo)
    _write(photo, lambda file: picture.save(file, "JPEG", quality=face.quality))


def _photo_path(out: Path, index: int) -> Path:
    return out / PHOTOS / f"{index}.jpg"


def _write(path: Path, save: Any) -> None:
    """Let `save` fill a file that appears under its name only when it is complete."""
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        file: IO[bytes]
        with open(temporary, "wb") as file:
            save(file)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
