"""One photo of a batch: what is done with it in a worker process, and what is reported of it."""

import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import facesegkit
from facesegkit.batch.rle import run_lengths
from facesegkit.errors import FaceSegKitError, first_line
from facesegkit.inference.model_zoo import DETECTOR_NAMES, FOLDER, is_shipped, weights_path
from facesegkit.inference.results import Face, SegmentationResult
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.visualize import save_view
from facesegkit.system.decode_limits import has_more_frames

Version = tuple[int, int]  # size and modification time [ns] of a file


@dataclass(frozen=True)
class Settings:
    """How the photos of a batch are segmented."""

    model: str
    aligned: bool = False
    search: str = "default"
    min_confidence: float | None = None
    largest: bool = False  # only the largest face of each photo
    view: str | None = "mask"  # the image (or JSON) of each photo; None for none
    rows: bool = False  # return the faces as numbers, for Parquet

    def fingerprint(self) -> str:
        """The same for two runs whose results are the same: of the models' files and all options.

        Raises a FaceSegKitError if there is no such model.
        """
        path = weights_path(self.model) if is_shipped(self.model) else Path(self.model)
        files = [path, *(FOLDER / f"{name}.onnx" for name in DETECTOR_NAMES)]
        try:
            models = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        except OSError as error:
            raise FaceSegKitError(f"Cannot read the model {path}: {error.strerror}.") from error
        options = asdict(self) | {"model": models, "rows": None, "version": facesegkit.__version__}
        return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]

    def segmenter(self) -> FaceSegmenter:
        """The segmenter; raises as `FaceSegmenter`."""
        return open_segmenter(self.model, self.aligned, self.search, self.min_confidence)

    def chosen(self, result: SegmentationResult) -> SegmentationResult:
        """The faces that are wanted of a photo's."""
        return result.largest() if self.largest else result


@dataclass(frozen=True)
class PhotoJob:
    """A photo to segment."""

    photo: str  # path or URI, as it is reported
    output: str  # the file for its image, also where none is written


@dataclass(frozen=True)
class Written:
    """A file that is complete."""

    size: int  # bytes
    crc: int


@dataclass(frozen=True)
class Outcome:
    """What became of a photo."""

    job: PhotoJob
    error: str = ""  # one sentence; empty if the photo was segmented
    faces: int = 0
    is_empty: bool = False  # no pixel has a class
    has_more_frames: bool = False  # the photo is animated, or has pages
    version: Version = (-1, -1)  # of the photo's file, see `version_of`
    image: Written | None = None  # the file that was written
    content: bytes | None = None  # of the image, if it is still to be written
    rows: tuple[dict[str, Any], ...] = ()  # see `parquet.schema`


def segment_photo(settings: Settings, job: PhotoJob) -> Outcome:
    """Segment a photo and write its image; whatever is wrong with it is in the outcome."""
    try:
        version = version_of(job.photo)  # before it is read: it may change meanwhile
        result = settings.chosen(settings.segmenter()(job.photo))
        image = None
        if settings.view is not None:
            save_view(result, settings.view, job.output)
            image = written(Path(job.output))
        rows = rows_of(result, job.photo) if settings.rows else ()
    except FaceSegKitError as error:
        return Outcome(job, str(error))
    except MemoryError:
        return Outcome(job, f"There is not enough memory for {job.photo}; make it smaller first.")
    except Exception as error:  # one photo never stops a batch
        fault = f"a fault of facesegkit ({type(error).__name__}: {first_line(error)})"
        return Outcome(job, f"{job.photo} could not be segmented, by {fault}; please report it.")
    is_empty = not result.labels.any()
    frames = "://" not in job.photo and has_more_frames(Path(job.photo))
    return Outcome(job, "", len(result.faces), is_empty, frames, version, image, None, tuple(rows))


@lru_cache(maxsize=1)
def open_segmenter(
    model: str, aligned: bool, search: str, min_confidence: float | None
) -> FaceSegmenter:
    """Open a segmenter, once in each process; raises as `FaceSegmenter`."""
    return FaceSegmenter(model, aligned=aligned, search=search, min_confidence=min_confidence)


def lost(job: PhotoJob, reason: str) -> Outcome:
    """The outcome of a photo whose process was killed twice."""
    advice = "it may need more memory than there is; make it smaller, or use fewer --workers"
    return Outcome(job, f"{job.photo} could not be segmented: {reason}; {advice}.")


def version_of(photo: str) -> Version:
    """Size and modification time [ns] of a file, which change with it; -1, -1 if there is none."""
    if "://" in photo:
        from facesegkit.batch.remote import remote_version

        return remote_version(photo)
    try:
        about = os.stat(photo)
    except (OSError, ValueError):  # reading it will say what is wrong
        return -1, -1
    return about.st_size, about.st_mtime_ns


def written(path: Path) -> Written:
    """Size and checksum of a file."""
    content = path.read_bytes()
    return Written(len(content), zlib.crc32(content))


def rows_of(result: SegmentationResult, photo: str) -> Sequence[dict[str, Any]]:
    """The faces of a photo as numbers, one row each; see `parquet.schema`."""
    height, width = result.labels.shape
    # Parquet's texts are UTF-8, but names of files may be any bytes.
    name = os.fsencode(photo).decode("utf-8", "backslashreplace")
    return [
        {"photo": name, "width": width, "height": height, "face": number, **_row(face)}
        for number, face in enumerate(result.faces)
    ]


def _row(face: Face) -> dict[str, Any]:
    classes = enumerate(face.scheme.classes, start=1)
    roi = face.roi
    return {
        "confidence": face.confidence,
        "bbox": face.bbox._asdict(),
        "roi": {"x": roi.x, "y": roi.y, "size": roi.size, "degrees": face.degrees},
        "points": None if face.points is None else face.points.ravel().tolist(),
        "areas": face.areas,
        "masks": {
            name: run_lengths(face.classes == number, face.window, face.size)
            for number, name in classes
        },
    }
