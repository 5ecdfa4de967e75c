"""What the explorer knows of a photo and a model: the faces, and what a region of it shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import BBox
from facesegkit.inference.alignment import box_of
from facesegkit.inference.results import Face, SegmentationResult
from facesegkit.labels import PART_IDS, LabelScheme

SCREEN_SIDE = 900  # longest side of the displayed image, in pixels

_NEAREST = Image.Resampling.NEAREST


class Region(NamedTuple):
    """A part of a photo, as it is displayed."""

    photo: Image.Image  # RGB
    labels: NDArray[np.uint8]  # class ids [h, w]
    confidence: NDArray[np.float32]  # of the predicted class, 0..1 [h, w]; 0 outside all ROIs
    box: BBox  # which part, in pixels of the photo
    scale: float  # displayed pixels for each pixel of the photo


@dataclass(frozen=True, eq=False)
class ExplorerResult:
    """Segmentation of a photo by a model, and what is displayed of it."""

    segmentation: SegmentationResult  # at the photo's own size; its faces from left to right
    seconds: float  # that the segmentation took, without reading the photo or loading the model

    @classmethod
    def of(cls, segmentation: SegmentationResult, seconds: float) -> ExplorerResult:
        """The result with its faces from left to right, as they are numbered."""
        faces = tuple(sorted(segmentation.faces, key=lambda face: face.roi.x))
        return cls(replace(segmentation, faces=faces), seconds)

    @property
    def faces(self) -> tuple[Face, ...]:
        """The faces from left to right; face 1 is the first."""
        return self.segmentation.faces

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photo."""
        height, width = self.segmentation.labels.shape
        return width, height

    def chosen(self, face: int) -> tuple[Face, ...]:
        """All faces for 0, otherwise the one of this number."""
        return self.faces if face == 0 else self.faces[face - 1 : face]

    def selection(self, face: int) -> SegmentationResult:
        """The segmentation of all faces (0), or of one, by its number."""
        if face == 0:
            return self.segmentation
        full = self.segmentation
        return SegmentationResult.from_faces(self.chosen(face), self.size, full.scheme, full.source)

    def box_of_face(self, face: int) -> BBox:
        """The part of the photo to show for a face: with a margin; the whole photo for 0."""
        width, height = self.size
        if not 1 <= face <= len(self.faces):
            return BBox(0, 0, width, height)
        left, top, right, bottom = box_of(self.faces[face - 1].roi)
        margin = 0.2 * (right - left)
        corners = np.array([left - margin, top - margin, right + margin, bottom + margin])
        limits = np.array([width, height, width, height])
        within = np.clip(np.rint(corners), 0, limits).astype(int).tolist()
        box = BBox(*within)
        is_empty = box.left >= box.right or box.top >= box.bottom
        return BBox(0, 0, width, height) if is_empty else box

    def region(self, box: BBox, face: int) -> Region:
        """A part of the photo at the size of the screen, with the classes of one face, or all (0).

        Parts of less than `SCREEN_SIDE` pixels are enlarged, up to four times.
        """
        across, down = box.right - box.left, box.bottom - box.top
        scale = min(4.0, SCREEN_SIDE / max(across, down))
        size = max(1, round(across * scale)), max(1, round(down * scale))
        photo = self.segmentation.photo.resize(
            size, Image.Resampling.BICUBIC, box=box, reducing_gap=2.0
        )
        labels = self._labels(box, face)
        resized = Image.fromarray(labels).resize(size, _NEAREST)
        confidence = self._confidence(box, face, scale, size)
        return Region(photo, np.asarray(resized), confidence, box, scale)

    def _labels(self, box: BBox, face: int) -> NDArray[np.uint8]:
        """Class ids of a part of the photo."""
        if face == 0:
            return np.ascontiguousarray(self.segmentation.labels[box.slices])
        labels = np.zeros((box.bottom - box.top, box.right - box.left), np.uint8)
        for one in self.chosen(face):
            if shared := box.intersection(one.window):
                labels[shared.moved(-box.left, -box.top).slices] = one.classes_in(shared)
        return labels

    def _confidence(
        self, box: BBox, face: int, scale: float, size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Confidence in a part of the photo, computed at the size of the screen."""
        width, height = (max(1, round(side * scale)) for side in self.size)
        left, top = round(box.left * scale), round(box.top * scale)
        shown = BBox(left, top, left + size[0], top + size[1])
        confidence = np.zeros(size[::-1], np.float32)
        for one in reversed(self.chosen(face)):
            logits = one.roi_logits
            values, where = logits.confidence_at((width, height), scale, scale)
            if shared := shown.intersection(where):
                target = confidence[shared.moved(-left, -top).slices]
                part = values[shared.moved(-where.left, -where.top).slices]
                np.copyto(target, part, where=part > target)
        return confidence

    @cached_property
    def summary(self) -> str:
        """What was found, in a sentence."""
        if not any(face.classes.any() for face in self.faces):
            return "No face was found."
        count = len(self.faces)
        if count == 1:
            (face,) = self.faces
            return f"One face, {_angle(face)}, detected with {face.confidence:.0%} confidence."
        sure = min(face.confidence for face in self.faces)
        return f"{count} faces, numbered from the left, each with {sure:.0%} confidence or more."


def _angle(face: Face) -> str:
    degrees = round(face.degrees)
    way = "clockwise" if degrees > 0 else "anticlockwise"
    return f"rotated by {abs(degrees)}° {way}" if degrees else "upright"


def common_labels(
    first: SegmentationResult, second: SegmentationResult
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], LabelScheme]:
    """Class ids [H, W] of two results in the coarser of their schemes."""
    if len(first.scheme.classes) <= len(second.scheme.classes):
        return first.labels, _merged(second, first.scheme), first.scheme
    return _merged(first, second.scheme), second.labels, second.scheme


def _merged(result: SegmentationResult, scheme: LabelScheme) -> NDArray[np.uint8]:
    if scheme == result.scheme:
        return result.labels
    firsts = (parts[0] for parts in result.scheme.classes.values())
    table = np.zeros(256, np.uint8)
    ids = [scheme.class_of_part[PART_IDS[part]] for part in firsts]
    table[1 : len(ids) + 1] = ids
    return table.take(result.labels)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two results for the same photo, in the classes that both know."""

    first: NDArray[np.uint8]  # class ids [H, W]
    second: NDArray[np.uint8]
    scheme: LabelScheme

    @classmethod
    def of(cls, first: SegmentationResult, second: SegmentationResult) -> Comparison:
        """Compare two segmentations of one photo."""
        return cls(*common_labels(first, second))

    @cached_property
    def f1(self) -> dict[str, float]:
        """F1 of each class between the two, nan for one that neither has; the mean as "mean"."""
        scores = {}
        for number, name in enumerate(self.scheme.classes, start=1):
            first, second = self.first == number, self.second == number
            total = np.count_nonzero(first) + np.count_nonzero(second)
            both = np.count_nonzero(first & second)
            scores[name] = 2 * both / total if total else float("nan")
        known = [score for score in scores.values() if score == score]
        return {"mean": sum(known) / len(known) if known else float("nan"), **scores}
