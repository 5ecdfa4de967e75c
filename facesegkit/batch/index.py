"""Which photos of a folder of results are done: a small file beside them that only grows."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facesegkit.batch.photo import Outcome, Written, written
from facesegkit.errors import FaceSegKitError

INDEX = ".facesegkit-index.jsonl"


@dataclass(frozen=True)
class Entry:
    """A photo that is done."""

    photo: str  # as it was given
    version: tuple[int, int]  # size and modification time [ns] of its file
    settings: str  # fingerprint of the models and options
    faces: int
    image: str | None  # name of the file with its image
    image_file: Written | None
    part: str | None  # name of the Parquet file with its faces

    @classmethod
    def of(cls, outcome: Outcome, settings: str, part: str | None) -> "Entry":
        image = Path(outcome.job.output).name if outcome.image else None
        done = outcome.job.photo, outcome.version, settings, outcome.faces
        return cls(*done, image, outcome.image, part)

    @classmethod
    def from_line(cls, line: str) -> "Entry | None":
        """The entry in a line; None if the line is incomplete, or of another version."""
        try:
            values: dict[str, Any] = json.loads(line)
            values["version"] = tuple(values["version"])
            if values["image_file"] is not None:
                values["image_file"] = Written(**values["image_file"])
            return cls(**values)
        except (ValueError, TypeError, KeyError):
            return None

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"


class Index:
    """The entries of a folder, the last one of each photo; added ones are written at once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._path = folder, folder / INDEX
        try:
            text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            problem = f"Cannot read the index {self._path}: {error}"
            raise FaceSegKitError(f"{problem}; remove it to segment all photos again.") from error
        entries = filter(None, map(Entry.from_line, text.splitlines()))
        self.entries: dict[str, Entry] = {entry.photo: entry for entry in entries}
        self._is_torn = bool(text) and not text.endswith("\n")

    def add(self, entries: Iterable[Entry]) -> None:
        """Append entries; raises a FaceSegKitError if the file cannot be written."""
        lines = "".join(entry.line() for entry in entries)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n" + lines if self._is_torn else lines)
        except OSError as error:
            raise FaceSegKitError(f"Cannot write {self._path}: {error.strerror}.") from error
        self._is_torn = False

    def is_done(
        self, photo: str, version: tuple[int, int], settings: str, image: str | None
    ) -> bool:
        """Whether a photo, as it is now, was segmented in the same way, and its image is whole."""
        entry = self.entries.get(photo)
        if entry is None or (entry.version, entry.settings) != (version, settings):
            return False
        if image is None:
            return True
        return entry.image == image and self._is_whole(image, entry.image_file)

    def _is_whole(self, name: str, file: Written | None) -> bool:
        try:
            return written(self.folder / name) == file
        except OSError:
            return False


def by_part(entries: Mapping[str, Entry]) -> dict[str, set[str]]:
    """The photos in each Parquet file."""
    parts: dict[str, set[str]] = {}
    for entry in entries.values():
        if entry.part is not None:
            parts.setdefault(entry.part, set()).add(entry.photo)
    return parts
