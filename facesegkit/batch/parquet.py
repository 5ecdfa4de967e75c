"""Faces of many photos as numbers, in Parquet files: one row for each face.

A file is written whole or not at all, after some hundred photos, so memory does not grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facesegkit.batch.index import Entry, Index, by_part
from facesegkit.batch.photo import Outcome
from facesegkit.errors import FaceSegKitError
from facesegkit.system.files import atomic_write

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "faces"  # in the folder of the results
_MAX_PHOTOS, _MAX_ROWS = 250, 2500  # per file


def schema(classes: Sequence[str]) -> pa.Schema:
    """The columns, for a model's classes. Positions are pixels of the upright photo.

    `face` counts from 0, most confident first. `points` are x and y of the eyes, the nose and the
    corners of the mouth. `masks` are run lengths, see `rle.run_lengths`. The file's metadata has
    the class names.
    """
    import pyarrow as pa

    ints = pa.struct([(side, pa.int32()) for side in ("left", "top", "right", "bottom")])
    floats = pa.struct([(name, pa.float32()) for name in ("x", "y", "size", "degrees")])
    return pa.schema(
        [
            ("photo", pa.string()), ("width", pa.int32()), ("height", pa.int32()),
            ("face", pa.int32()), ("confidence", pa.float32()), ("bbox", ints), ("roi", floats),
            ("points", pa.list_(pa.float32(), 10)),
            ("areas", pa.struct([(name, pa.int32()) for name in classes])),
            ("masks", pa.struct([(name, pa.list_(pa.int32())) for name in classes])),
        ],
        metadata={"facesegkit.classes": ",".join(classes)},
    )  # fmt: skip


class FaceTable:
    """Collects the rows of photos, and writes them with their entries in the index."""

    def __init__(self, index: Index, classes: Sequence[str], settings: str) -> None:
        try:
            self._schema = schema(classes)
        except ModuleNotFoundError as error:
            fix = "pip install 'facesegkit[parquet]'"
            raise FaceSegKitError(f"--format parquet needs {error.name}: {fix}.") from error
        self._index, self._settings = index, settings
        self._waiting: list[Outcome] = []
        self._number = 1 + max((number_of(path) for path in parts_in(index.folder)), default=-1)

    def add(self, outcome: Outcome) -> None:
        """Take a photo's rows; raises a FaceSegKitError if a file cannot be written."""
        self._waiting.append(outcome)
        rows = sum(len(one.rows) for one in self._waiting)
        if len(self._waiting) >= _MAX_PHOTOS or rows >= _MAX_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected; raises a FaceSegKitError if that is not possible."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        outcomes, self._waiting = self._waiting, []
        if not outcomes:
            return
        rows = [row for outcome in outcomes for row in outcome.rows]
        path = self._index.folder / FOLDER / f"part-{self._number:06d}.parquet"
        with atomic_write(path) as unfinished:
            table = pa.Table.from_pylist(rows, self._schema)
            pq.write_table(table, unfinished, compression="zstd")
            # Before the file has its name: an entry without its file is repeated, but a file
            # without its entries would count twice.
            self._index.add(Entry.of(one, self._settings, path.name) for one in outcomes)
        self._number += 1


def parts_in(folder: Path) -> list[Path]:
    """The Parquet files in a folder of results."""
    return sorted((folder / FOLDER).glob("part-*.parquet"))


def number_of(part: Path) -> int:
    digits = part.stem.removeprefix("part-")
    return int(digits) if digits.isdecimal() else -1


def check_new(folder: Path) -> None:
    """Raise a FaceSegKitError if there are Parquet files, to which nothing must be added twice."""
    if parts := parts_in(folder):
        advice = "continue that run with --resume, or choose another --output-dir"
        raise FaceSegKitError(f"{parts[0]} is from an earlier run; {advice}.")


def keep_whole_parts(index: Index, redone: set[str], given: set[str]) -> set[str]:
    """Remove the files with a photo that will be segmented again, or that are not whole.

    Returns the photos whose rows are in the files that stay. Raises a FaceSegKitError if a file has
    photos that were not given, so that their rows would be lost, or is not in the index.
    """
    import pyarrow.parquet as pq

    photos_of, kept = by_part(index.entries), set()
    for part in parts_in(index.folder):
        photos = photos_of.get(part.name, set())
        if not photos:
            advice = "move it away, or choose another --output-dir"
            raise FaceSegKitError(f"{part} is not from a run that can be continued; {advice}.")
        rows = sum(index.entries[photo].faces for photo in photos)
        try:
            is_whole = pq.read_metadata(part).num_rows == rows
        except (OSError, ValueError):  # pyarrow's errors about damaged files
            is_whole = False
        if is_whole and not photos & redone:
            kept |= photos
            continue
        if others := photos - given:
            problem = f"{part} has to be made again, but has faces of photos that were not given"
            advice = "give them too, or choose another --output-dir"
            raise FaceSegKitError(f"{problem} ({min(others)}); {advice}.")
        part.unlink()
    return kept
