"""A data set of users' own photos, whose masks a teacher predicts (D. Lee, "Pseudo-Label", 2013).

Faces are detected and aligned, so the data set looks like CelebAMask-HQ and can be used like it.
Beside the photos and masks there are pseudo_labels.csv, with the source and the confidence of each,
and pseudo_labels.json, with the models that made the masks.
"""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
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
from facesegkit.pseudo_label.ensemble import ModelId, Prediction, Teacher
from facesegkit.system.files import atomic_write, check_writable

RECORD, SETTINGS = "pseudo_labels.csv", "pseudo_labels.json"
MIN_FACE_WIDTH = 50  # pixels; smaller faces would teach blur
MIN_FACE_SIDE = 2 * MIN_FACE_WIDTH  # of the aligned photo, which is twice as wide as the face
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
    """A line of the record: a face in the data set, or why a photo or a face is left out."""

    source: str  # the photo's resolved path
    photo_id: str = ""
    confidence: str = ""
    left_out: str = ""  # one of the reasons below


NO_FACE, TOO_SMALL, NOT_CONFIDENT = "no face", "too small", "low confidence"


@dataclass(frozen=True)
class Settings:
    """What the masks of a data set depend on; kept as JSON in its folder."""

    models: Sequence[ModelId]
    min_confidence: float

    def write(self, folder: Path) -> None:
        """Write them to the folder of a data set, atomically."""
        with atomic_write(folder / SETTINGS) as unfinished:
            unfinished.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def check(self, folder: Path) -> None:
        """Raise a FaceSegKitError if a data set was made with other models or another threshold."""
        try:
            saved = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
            before = Settings(
                [ModelId(**one) for one in saved["models"]], float(saved["min_confidence"])
            )
        except (ValueError, TypeError, LookupError) as error:
            raise FaceSegKitError(f"{folder / SETTINGS} is damaged; delete {folder}.") from error
        names = [" and ".join(model.name for model in one.models) for one in (before, self)]
        if [m.sha256 for m in before.models] != [m.sha256 for m in self.models]:
            names[0] += ", which has changed since," if names[0] == names[1] else ""
        elif before.min_confidence == self.min_confidence:
            return
        options = f"{names[0]} with --min-confidence {before.min_confidence:g}"
        advice = "give the same options or another folder"
        raise FaceSegKitError(f"{folder} was labelled by {options}; {advice}.")


def pseudo_label(
    photos: Sequence[Path],
    teacher: Teacher,
    analyzer: FaceAnalyzer,
    output: Path,
    min_confidence: float = 0.0,
) -> Iterator[tuple[Path, list[Labelled] | str]]:
    """Write every face of the photos, with the masks that the teacher predicts, to a data set.

    Faces of which the teacher is less confident than `min_confidence` are left out. A run that was
    interrupted continues, and further photos can be added. Nothing is written before the first
    face.

    Yields each photo with its lines of the record, or with what is wrong with it. Raises a
    FaceSegKitError if the folder holds something else, was made with other settings, or cannot be
    written.
    """
    record = _Record(output, Settings(teacher.ids, min_confidence))
    for path in photos:
        source = os.path.realpath(path)
        if source not in record.lines:
            try:
                found = list(_faces(path, teacher, analyzer))
            except FaceSegKitError as error:
                yield path, str(error)
                continue
            record.add(source, found)
        yield path, record.lines[source]


class _Record:
    """What became of each photo of a data set; kept in its folder."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.path = folder / RECORD
        self.lines: dict[str, list[Labelled]] = {}  # by source
        check_writable(next(one for one in (folder, *folder.parents) if one.exists()))
        names = sorted(p.name for p in folder.glob("[!.]*"))
        if SETTINGS in names:
            settings.check(folder)
        elif names:
            other = f"{folder} contains {names[0]!r}; choose an empty or new folder."
            raise FaceSegKitError(other)
        if RECORD in names:
            self._read()
            self._write()  # without a line that is incomplete

    @property
    def next_id(self) -> int:
        """The first id that is free."""
        lines = chain.from_iterable(self.lines.values())
        return max((int(line.photo_id) + 1 for line in lines if line.photo_id), default=0)

    def add(self, source: str, faces: Sequence[PseudoLabel | str]) -> None:
        """Write the faces of a photo that are confident enough, and what became of the others."""
        lines, photo_id = [], self.next_id
        for face in faces:
            if isinstance(face, str):
                lines.append(Labelled(source, left_out=face))
                continue
            confidence = f"{face.confidence:.4f}"
            if not face.masks or face.confidence < self.settings.min_confidence:
                lines.append(Labelled(source, "", confidence, NOT_CONFIDENT))
                continue
            if not photo_id:
                self.settings.write(self.folder)
            write_pair(self.folder, photo_id, face.photo, face.masks)
            lines.append(Labelled(source, str(photo_id), confidence))
            photo_id += 1
        self.lines[source] = lines
        if self.path.exists():
            self._append(self.path, lines)
        elif photo_id:
            self._write()

    def _read(self) -> None:
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                _, *rows = csv.reader(file)
        except ValueError as error:
            raise FaceSegKitError(f"{self.path} is damaged; delete {self.folder}.") from error
        for row in rows:
            if len(row) == len(Labelled._fields):  # else the program was killed while writing it
                self.lines.setdefault(row[0], []).append(Labelled(*row))

    def _write(self) -> None:
        with atomic_write(self.path) as unfinished:
            lines = chain.from_iterable(self.lines.values())
            self._append(unfinished, [Labelled._fields, *lines])

    def _append(self, path: Path, lines: Sequence[tuple[str, ...]]) -> None:
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(lines)


def _faces(path: Path, teacher: Teacher, analyzer: FaceAnalyzer) -> Iterator[PseudoLabel | str]:
    """The faces of a photo, aligned and labelled, or why there is none."""
    photo = read_photo(path)
    found: list[Candidate] = analyzer.candidates(ScaledImage(photo, photo.size))
    if not found:
        yield NO_FACE
    for candidate in found[:_MAX_FACES]:
        if candidate.roi.size >= MIN_FACE_SIDE:
            yield label_face(warp_crop(photo, candidate.roi, ANNOTATION_SIZE), teacher)
        else:
            yield TOO_SMALL


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
