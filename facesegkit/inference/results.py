"""What was found in a photo: the class of each pixel, and each face by itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import BBox, FaceROI, tiles
from facesegkit.image_io import read_photo, read_reduced, shrink_to
from facesegkit.inference.alignment import paste_classes, warp_back
from facesegkit.inference.contours import Polygon, contours
from facesegkit.inference.upsample import argmax_channels, max_softmax
from facesegkit.labels import LabelScheme


@dataclass(frozen=True, eq=False)
class FaceLogits:
    """What a model saw in one part of a photo.

    Args:
        logits: float32 [C, h, w].
        place: the frame that was cut out, or the part of the photo that was looked at as it is.
    """

    logits: NDArray[np.float32]
    place: FaceROI | BBox

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The highest share after softmax, float32 [h, w]."""
        return max_softmax(self.logits)


@dataclass(frozen=True, eq=False)
class Face:
    """One of the faces in a photo. All places are in pixels of the photo.

    Args:
        roi: the square that an aligned photo of it would show.
        roi_logits: what the model saw of it.
        classes: class ids, uint8 [h, w], of the part of the photo that was looked at.
        place: of that part.
        scheme: says which class is which.
        size: width and height of the photo.
    """

    roi: FaceROI
    roi_logits: FaceLogits
    classes: NDArray[np.uint8]
    place: BBox
    scheme: LabelScheme
    size: tuple[int, int]

    @property
    def degrees(self) -> float:
        """By how much the face is turned clockwise, -180..180."""
        return math.degrees(self.roi.angle)

    @cached_property
    def confidence(self) -> float:
        """Mean share after softmax of the pixels in which the model finds a class, 0..1."""
        shares = self.roi_logits.confidence[argmax_channels(self.roi_logits.logits) > 0]
        return float(shares.mean()) if shares.size else 0.0

    @cached_property
    def box(self) -> BBox:
        """The smallest box around all of its classes; empty if nothing was found."""
        rows = np.flatnonzero(self.classes.any(axis=1))
        columns = np.flatnonzero(self.classes.any(axis=0))
        left, top = self.place.left, self.place.top
        if len(rows) == 0:
            return BBox(left, top, left, top)
        return BBox(
            left + int(columns[0]),
            top + int(rows[0]),
            left + int(columns[-1]) + 1,
            top + int(rows[-1]) + 1,
        )

    @cached_property
    def areas(self) -> dict[str, int]:
        """Pixels of each class but background."""
        numbered = enumerate(self.scheme.classes, start=1)
        return {name: int(np.count_nonzero(self.classes == number)) for number, name in numbered}

    def mask(self, class_name: str) -> NDArray[np.bool_]:
        """Where a class of this face is, bool [H, W], at the photo's size.

        Raises:
            FaceSegKitError: the scheme has no such class.
        """
        mask = np.zeros(self.size[::-1], dtype=bool)
        mask[self.place.slices] = self.classes == class_id(self.scheme, class_name)
        return mask

    def contours(self, class_name: str, tolerance: float | None = None) -> list[Polygon]:
        """A class as polygons, float64 [n, 2] with x and y; see `contours.contours`.

        Args:
            class_name: of the class.
            tolerance: how far, in pixels, outlines may be moved to save corners. By default a
                300th of the frame's side, but at least one: slants are stairs without.

        Raises:
            FaceSegKitError: the scheme has no such class.
        """
        if tolerance is None:
            tolerance = max(1.0, self.roi.size / 300)
        found = contours(self.classes == class_id(self.scheme, class_name), tolerance)
        return [polygon + (self.place.left, self.place.top) for polygon in found]

    def to_dict(self) -> dict[str, Any]:
        """Numbers, lists and tables for a JSON file; places to a tenth of a pixel."""
        frame = self.roi
        return {
            "box": self.box._asdict(),
            "roi": {
                "x": round(frame.x, 1),
                "y": round(frame.y, 1),
                "size": round(frame.size, 1),
                "degrees": round(self.degrees, 1),
            },
            "confidence": round(self.confidence, 4),
            "areas": self.areas,
            "contours": {
                name: [polygon.round(1).tolist() for polygon in self.contours(name)]
                for name in self.scheme.classes
            },
        }


def assign_pixels(
    seen: Iterable[tuple[FaceROI, FaceLogits]], scheme: LabelScheme, size: tuple[int, int]
) -> tuple[Face, ...]:
    """The faces, each with the classes that are its own.

    A frame may show a neighbour too. So each pixel belongs to the face whose middle is nearest,
    measured in the face's own size.

    Args:
        seen: the frames of the faces, and what the model saw of each.
        scheme: says which class is which.
        size: width and height of the photo.
    """
    seen = list(seen)
    faces = []
    for frame, one in seen:
        classes, place = paste_classes(one.logits, one.place, size)
        for other, _ in seen:
            if other is not frame:
                classes = np.where(_is_nearer(frame, other, place), classes, np.uint8(0))
        faces.append(Face(frame, one, classes, place, scheme, size))
    return tuple(faces)


def _is_nearer(frame: FaceROI, other: FaceROI, place: BBox) -> NDArray[np.bool_]:
    """Of which pixels of a place the middle of a frame is nearer than another's, bool [h, w]."""
    rows, columns = np.ogrid[place.top : place.bottom, place.left : place.right]

    def distance(to: FaceROI, there: BBox) -> NDArray[np.float64]:
        down, across = there.slices
        squared = (columns[:, across] + 0.5 - to.x) ** 2 + (rows[down] + 0.5 - to.y) ** 2
        return np.asarray(squared / to.size**2)

    height, width = len(rows), columns.shape[1]
    nearer = np.empty((height, width), dtype=bool)
    for piece in tiles((width, height)):
        nearer[piece.slices] = distance(frame, piece) <= distance(other, piece)
    return nearer


def class_id(scheme: LabelScheme, class_name: str) -> int:
    """Id of a class by its name.

    Raises:
        FaceSegKitError: the scheme has no such class.
    """
    names = scheme.class_names
    if class_name not in names:
        raise FaceSegKitError(
            f"There is no class {class_name!r}; the model knows {', '.join(names)}."
        )
    return names.index(class_name)


@dataclass(frozen=True, eq=False)
class SegmentationResult:
    """The class of each pixel of a photo, and its faces.

    Args:
        labels: class ids, uint8 [H, W], at the photo's own size.
        scheme: says which class is which.
        source: the photo, upright, RGB; or the path of it.
        faces: those that were found, the surest first. Where the whole photo was taken for one
            aligned face, it is the only one, even if nothing was found in it.
    """

    labels: NDArray[np.uint8]
    scheme: LabelScheme
    source: Image.Image | Path
    faces: tuple[Face, ...] = ()

    @classmethod
    def of_faces(
        cls,
        faces: Sequence[Face],
        size: tuple[int, int],
        scheme: LabelScheme,
        source: Image.Image | Path,
    ) -> SegmentationResult:
        """Put the faces of a photo of this width and height together."""
        labels = np.zeros(size[::-1], dtype=np.uint8)
        for face in faces:
            np.copyto(labels[face.place.slices], face.classes, where=face.classes > 0)
        return cls(labels, scheme, source, tuple(faces))

    def largest(self) -> SegmentationResult:
        """The same photo, with the largest of its faces only; with none if there is none."""
        faces = sorted(self.faces, key=lambda face: face.roi.size)[-1:]
        size = self.labels.shape[1], self.labels.shape[0]
        return SegmentationResult.of_faces(faces, size, self.scheme, self.source)

    @cached_property
    def photo(self) -> Image.Image:
        """The photo in full, upright, RGB.

        Many need the masks only. So what came from a file is decoded in full only here, which
        for a large JPEG takes longer than all of its segmentation.

        Raises:
            FaceSegKitError: the file can no longer be read, or is another photo by now.
        """
        return self.source if isinstance(self.source, Image.Image) else self.own_photo()

    def own_photo(self) -> Image.Image:
        """The photo as in `photo`, but a copy that may be changed.

        Raises:
            FaceSegKitError: as `photo`.
        """
        if isinstance(self.source, Image.Image):
            return self.source.copy()
        photo = read_photo(self.source)
        self._check_unchanged(photo.size)
        return photo

    def small_photo(self, side: int) -> Image.Image:
        """The photo with its longest side shrunk, if need be, to this many pixels, RGB.

        Raises:
            FaceSegKitError: as `photo`.
        """
        if isinstance(self.source, Image.Image):
            return shrink_to(self.source, side)
        photo, size = read_reduced(self.source, side)
        self._check_unchanged(size)
        return shrink_to(photo, side, size)

    def _check_unchanged(self, size: tuple[int, int]) -> None:
        if size != self.labels.shape[::-1]:
            raise FaceSegKitError(
                f"{self.source} has changed since it was segmented; segment it again."
            )

    def mask(self, class_name: str) -> NDArray[np.bool_]:
        """Where a class is, bool [H, W].

        Raises:
            FaceSegKitError: the scheme has no such class.
        """
        return self.labels == class_id(self.scheme, class_name)

    def fraction(self, class_name: str) -> float:
        """How much of the photo a class covers, 0..1."""
        mask = self.mask(class_name)
        return np.count_nonzero(mask) / mask.size  # three times as fast as the mean

    def cutout(self, *class_names: str) -> Image.Image:
        """The photo where these classes are, and transparent elsewhere, RGBA.

        Raises:
            FaceSegKitError: the scheme has no such class, or the photo can no longer be read.
        """
        wanted = [class_id(self.scheme, name) for name in class_names]
        picture = self.own_photo()
        picture.putalpha(Image.fromarray(np.isin(self.labels, wanted)).convert("L"))
        return picture

    def confidence(self, size: tuple[int, int] | None = None) -> NDArray[np.float32]:
        """How sure the model is of each pixel's class: its share after softmax, 1/C to 1.

        The shares are resized, not the scores, so along outlines they differ a little from those
        that the classes were taken from. Where the model did not look, it is 1.

        Args:
            size: (H, W) of the result, by default the photo's own.

        Returns:
            float32 [H, W].
        """
        height, width = size or self.labels.shape
        across, down = width / self.labels.shape[1], height / self.labels.shape[0]
        whole = np.ones((height, width), dtype=np.float32)
        for face in reversed(self.faces):  # where two overlap, the surer one counts
            shares, place = Image.fromarray(face.roi_logits.confidence), face.roi_logits.place
            if isinstance(place, BBox):
                left, right = round(place.left * across), round(place.right * across)
                box = BBox(left, round(place.top * down), right, round(place.bottom * down))
                extent = box.right - box.left, box.bottom - box.top
                turned = shares.resize(extent, Image.Resampling.BILINEAR)
            else:
                turned, box = warp_back(shares, place.enlarged(across), (width, height))
            there = whole[box.slices]
            np.copyto(there, np.asarray(turned), where=np.asarray(turned) > 0)
        return whole

    def colours(self) -> NDArray[np.uint8]:
        """Each pixel in its class's colour, RGB uint8 [H, W, 3]."""
        return self.scheme.colour(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """Size of the photo, the classes, and all that is known of each face, for a JSON file."""
        height, width = self.labels.shape
        return {
            "photo": self.source.name if isinstance(self.source, Path) else None,
            "width": width,
            "height": height,
            "classes": list(self.scheme.classes),
            "faces": [face.to_dict() for face in self.faces],
        }
