"""A data set of users' own photos, whose masks a teacher predicts (D. Lee, "Pseudo-Label", 2013).

Faces are detected and aligned, so the data set looks like CelebAMask-HQ and can be used like it.
Beside the photos and masks there is pseudo_labels.csv with the source and the confidence of each.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from facesegkit.data.cache import ANNOTATION_SIZE
from facesegkit.data.writer import write_pair
from facesegkit.errors import FaceSegKitError
from facesegkit.image_io import read_photo
from facesegkit.inference.alignment import warp_crop
from facesegkit.inference.pipeline import Candidate, FaceAnalyzer, ScaledImage
from facesegkit.inference.upsample import upsample_argmax
from facesegkit.labels import LabelScheme
from facesegkit.pseudo_label.ensemble import Prediction, Teacher
from facesegkit.system.files import atomic_write

RECORD = "pseudo_labels.csv"
MIN_FACE_SIDE = 100  # pixels of the aligned photo; smaller faces would teach blur
# A pixel is ignored where fewer of the teacher's views and models agree on its class.
MIN_AGREEMENT = 0.7
_MAX_FACES = 100  # of a photo


@dataclass(frozen=True)
class PseudoLabel:
    """An aligned face with its predicted parts."""

    photo: NDArray[np.uint8]  # RGB [512, 512, 3]
    # Of each part that is there, and of the pixels to ignore, [512, 512]; empty without any part.
    masks: dict[str, NDArray[np.bool_]]
    confidence: float  # mean probability of the predicted classes where it is not background


class Labelled(NamedTuple):
    """A line of the record: a photo's face, or with empty fields a photo without any."""

    source: str
    photo_id: str = ""
    confidence: str = ""


def pseudo_label(
    photos: Sequence[Path],
    teacher: Teacher,
    analyzer: FaceAnalyzer,
    output: Path,
    min_confidence: float = 0.0,
) -> Iterator[tuple[Path, int | str]]:
    """Write every face of the photos, with the masks that the teacher predicts, to a data set.

    Faces of which the teacher is less confident than `min_confidence` are left out. A run that was
    interrupted continues, and further photos can be added.

    Yields each photo with the number of its faces, or with what is wrong with it. Raises a
    FaceSegKitError if the folder holds something else or cannot be written.
    """
    record = _Record(output)
    for path in photos:
        if (before := record.count(path)) is not None:
            yield path, before
            continue
        try:
            faces = [face for face in _faces(path, teacher, analyzer) if face.masks]
        except FaceSegKitError as error:
            yield path, str(error)
            continue
        kept = [face for face in faces if face.confidence >= min_confidence]
        ids = range(record.next_id, record.next_id + len(kept))
        for photo_id, face in zip(ids, kept, strict=True):
            write_pair(output, photo_id, face.photo, face.masks)
        labelled = zip(ids, kept, strict=True)
        lines = [Labelled(str(path), str(i), f"{face.confidence:.4f}") for i, face in labelled]
        record.add(lines or [Labelled(str(path))])
        yield path, len(kept)


class _Record:
    """The faces in a data set, by photo; kept in its folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / RECORD
        self.lines: list[Labelled] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            names = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
            if RECORD in names:
                with self.path.open(newline="", encoding="utf-8") as file:
                    _, *rows = csv.reader(file)
                # The last line may be incomplete, if the program was killed.
                self.lines = [Labelled(*row) for row in rows if len(row) == len(Labelled._fields)]
            elif names:
                other = f"{folder} contains {names[0]!r}; choose an empty or new folder."
                raise FaceSegKitError(other)
        except OSError as error:
            reason = error.strerror or error
            raise FaceSegKitError(f"Cannot write to {folder}: {reason}.") from error
        except ValueError as error:
            raise FaceSegKitError(f"{self.path} is damaged; delete {folder}.") from error
        self.counts = {line.source: 0 for line in self.lines}
        for line in self.lines:
            self.counts[line.source] += line.photo_id != ""
        with atomic_write(self.path) as unfinished:
            unfinished.write_text("")
            self._append(unfinished, [Labelled._fields, *self.lines])

    @property
    def next_id(self) -> int:
        """The first id that is free."""
        return max((int(line.photo_id) + 1 for line in self.lines if line.photo_id), default=0)

    def count(self, photo: Path) -> int | None:
        """How many faces of a photo there are; None for a new photo."""
        return self.counts.get(str(photo))

    def add(self, lines: list[Labelled]) -> None:
        """Add the faces of one photo."""
        self._append(self.path, lines)
        self.lines += lines

    def _append(self, path: Path, lines: Sequence[tuple[str, ...]]) -> None:
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(lines)


def _faces(path: Path, teacher: Teacher, analyzer: FaceAnalyzer) -> Iterator[PseudoLabel]:
    """The faces of a photo that are large enough, aligned and labelled."""
    photo = read_photo(path)
    found: list[Candidate] = analyzer.candidates(ScaledImage(photo, photo.size))
    for candidate in found[:_MAX_FACES]:
        if candidate.roi.size >= MIN_FACE_SIDE:
            yield label_face(warp_crop(photo, candidate.roi, ANNOTATION_SIZE), teacher)


def label_face(aligned: Image.Image, teacher: Teacher) -> PseudoLabel:
    """Label an aligned photo with what a teacher predicts."""
    side = teacher.crop.full_size(teacher.input_size)
    pixels = np.array(aligned.resize((side, side), Image.Resampling.BOX))
    seen = teacher(torch.from_numpy(pixels)[None])
    classes, ignored = _on_photo(seen, teacher)
    top = seen.probabilities[0].amax(dim=0)[seen.probabilities[0].argmax(dim=0) > 0]
    confidence = float(top.mean()) if len(top) else 0.0
    masks = part_masks(classes, teacher.scheme)
    if masks and ignored.any():
        masks["ignore"] = ignored
    return PseudoLabel(np.asarray(aligned), masks, confidence)


def _on_photo(seen: Prediction, teacher: Teacher) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Class ids and ignored pixels of an aligned photo, both [512, 512]."""
    shape = ANNOTATION_SIZE, ANNOTATION_SIZE
    classes, ignored = np.zeros(shape, dtype=np.uint8), np.zeros(shape, dtype=np.bool_)
    box = teacher.crop.box(ANNOTATION_SIZE)
    extent = box.bottom - box.top, box.right - box.left
    classes[box.slices] = upsample_argmax(seen.probabilities[0].numpy(), extent)
    agreement = Image.fromarray(seen.agreement[0].numpy())
    resized = agreement.resize(extent[::-1], Image.Resampling.BILINEAR)
    ignored[box.slices] = np.asarray(resized) < MIN_AGREEMENT
    return classes, ignored


def part_masks(classes: NDArray[np.uint8], scheme: LabelScheme) -> dict[str, NDArray[np.bool_]]:
    """Masks of the parts in a map of class ids [H, W], for an upright, centred face.

    A class of a left and a right part is divided at the face's middle, and one of the upper and the
    lower lip along the middle of the mouth. Of other classes with several parts, all pixels go to
    the first one.
    """
    masks: dict[str, NDArray[np.bool_]] = {}
    for class_id, parts in enumerate(scheme.classes.values(), start=1):
        mask = classes == class_id
        if not mask.any():
            continue
        if len(parts) == 2 and {part[:2] for part in parts} == {"l_", "r_"}:
            masks |= _divided(mask, _right_of_middle(classes), parts, "l_")
        elif set(parts) == {"u_lip", "l_lip"}:
            masks |= _divided(mask, _above_middle(classes, scheme), parts, "u_")
        else:
            masks[parts[0]] = mask
    return {part: mask for part, mask in masks.items() if mask.any()}


def _divided(
    mask: NDArray[np.bool_], where: NDArray[np.bool_], parts: Sequence[str], first: str
) -> dict[str, NDArray[np.bool_]]:
    """A mask divided into the part whose name starts with `first`, and the other one."""
    return {part: mask & (where if part.startswith(first) else ~where) for part in parts}


def _right_of_middle(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """True in the right half of the face: the person's own left."""
    columns = np.nonzero(classes)[1]
    middle = (columns.min() + columns.max()) / 2
    return np.broadcast_to(np.arange(classes.shape[1]) > middle, classes.shape)


def _above_middle(classes: NDArray[np.uint8], scheme: LabelScheme) -> NDArray[np.bool_]:
    """True above the middle of lips and mouth, column by column."""
    mouth = np.isin(classes, scheme.classes_within(("mouth", "u_lip", "l_lip")))
    rows = np.arange(len(classes))[:, None]
    count = mouth.sum(axis=0)
    middle = (mouth * rows).sum(axis=0) / np.maximum(count, 1)
    return rows < middle
