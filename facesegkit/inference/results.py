"""What is found in a photo: the class of each pixel, and each face by itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import BBox, FaceROI
from facesegkit.image_io import read_photo, read_reduced, shrink_to
from facesegkit.inference.alignment import paste_classes, warp_back
from facesegkit.inference.contours import Polygon, contours
from facesegkit.inference.upsample import max_softmax, upsample_argmax
from facesegkit.labels import LabelScheme

Source = Image.Image | Path  # a photo, upright, RGB; or its path
Part = tuple[NDArray[Any], BBox]  # of an array of a photo's width and height, and where it is

_NEAREST, _BILINEAR = Image.Resampling.NEAREST, Image.Resampling.BILINEAR


@dataclass(frozen=True, eq=False)
class FaceLogits:
    """A model's output for one aligned face."""

    logits: NDArray[np.float32]  # [C, h, w]
    roi: FaceROI  # the region of the photo that the model saw

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of each pixel's predicted class, float32 [h, w]."""
        return max_softmax(self.logits)

    def classes(self, size: tuple[int, int]) -> Part:
        """Class ids on a photo of (width, height): of the part that the ROI touches, and where."""
        return paste_classes(self.logits, self.roi, size)

    def confidence_at(self, size: tuple[int, int], across: float, down: float) -> Part:
        """`confidence` on a photo resized to (width, height): 0 outside the ROI, and where."""
        roi = self.roi.scaled(across)
        bbox = roi.bbox(size)
        return _warped(self.confidence, roi, bbox), bbox

    def confidence_in(self, box: BBox) -> NDArray[np.float32]:
        """`confidence` of the photo's pixels in a box, float32 [h, w]: 0 outside the ROI."""
        return _warped(self.confidence, self.roi, box)


def _warped(confidence: NDArray[np.float32], roi: FaceROI, box: BBox) -> NDArray[np.float32]:
    return np.asarray(warp_back(Image.fromarray(confidence), roi, box, _BILINEAR))


@dataclass(frozen=True, eq=False)
class FullImageLogits(FaceLogits):
    """The same for an aligned photo, whose pixels need no warping."""

    bbox: BBox  # the part of the photo that the model saw

    def classes(self, size: tuple[int, int]) -> Part:
        left, top, right, bottom = self.bbox
        return upsample_argmax(self.logits, (bottom - top, right - left)), self.bbox

    def confidence_at(self, size: tuple[int, int], across: float, down: float) -> Part:
        left, top = round(self.bbox.left * across), round(self.bbox.top * down)
        # At least one pixel: a photo may be a thousand times as high as it is wide.
        width = max(1, round(self.bbox.right * across) - left)
        height = max(1, round(self.bbox.bottom * down) - top)
        resized = Image.fromarray(self.confidence).resize((width, height), _BILINEAR)
        return np.asarray(resized), BBox(left, top, left + width, top + height)


@dataclass(frozen=True, eq=False)
class PastedLogits(FaceLogits):
    """What results need of them; the logits themselves are no longer there."""

    part: Part  # class ids on the photo
    kept: NDArray[np.float32]  # the confidence, no finer than the photo, [h, w]

    @property
    def confidence(self) -> NDArray[np.float32]:
        return self.kept

    def classes(self, size: tuple[int, int]) -> Part:
        return self.part


@dataclass(frozen=True, eq=False)
class AnalyzedFace:
    """A face as the search finds it."""

    roi: FaceROI  # the square that an aligned photo of the face would show
    roi_logits: FaceLogits
    # Probability that it is a face, 0..1: calibrated on photos that the detector has not seen (see
    # docs/results.md); of another detector its own score; 1 for a photo that is taken for a face.
    confidence: float
    # Eyes, tip of the nose, corners of the mouth, from the left of the face's image: x and y on the
    # photo, [5, 2]; None where no detector has seen them.
    points: NDArray[np.floating[Any]] | None = field(default=None, kw_only=True)

    def without_logits(self, size: tuple[int, int]) -> "AnalyzedFace":
        """The same for a photo of (width, height), in a fraction of the memory."""
        logits, roi = self.roi_logits.logits, self.roi_logits.roi
        confidence = Image.fromarray(self.roi_logits.confidence)
        kept = np.asarray(confidence.reduce(max(1, int(confidence.width / roi.size))))
        pasted = PastedLogits(logits[:, :0].copy(), roi, self.roi_logits.classes(size), kept)
        return replace(self, roi_logits=pasted)


@dataclass(frozen=True, eq=False)
class Face(AnalyzedFace):
    """One of the faces in a photo. All positions are in pixels of the photo."""

    classes: NDArray[np.uint8]  # class ids [h, w], of the part of the photo that the model saw
    window: BBox  # of that part
    scheme: LabelScheme  # what the class ids mean
    size: tuple[int, int]  # width and height of the photo

    @property
    def degrees(self) -> float:
        """Rotation of the face, clockwise, -180..180."""
        return math.degrees(self.roi.angle)

    @cached_property
    def bbox(self) -> BBox:
        """Bounding box of all its classes; empty if nothing was segmented."""
        box = Image.fromarray(self.classes).getbbox() if self.classes.any() else None
        left, top, right, bottom = box or (0, 0, 0, 0)
        x, y = self.window.left, self.window.top
        return BBox(x + left, y + top, x + right, y + bottom)

    @cached_property
    def areas(self) -> dict[str, int]:
        """Pixels of each class except the background."""
        numbered = enumerate(self.scheme.classes, start=1)
        return {name: int(np.count_nonzero(self.classes == number)) for number, name in numbered}

    def classes_in(self, box: BBox) -> NDArray[np.uint8]:
        """Class ids of the pixels in a box within `window`, a view [h, w]."""
        return self.classes[box.moved(-self.window.left, -self.window.top).slices]

    def mask(self, class_name: str) -> NDArray[np.bool_]:
        """Mask of a class of this face, bool [H, W], at the photo's size.

        Raises a FaceSegKitError if the scheme has no such class.
        """
        mask = np.zeros(self.size[::-1], dtype=bool)
        mask[self.window.slices] = self.classes == class_id(self.scheme, class_name)
        return mask

    def contours(self, class_name: str, tolerance: float | None = None) -> list[Polygon]:
        """Contours of a class as polygons, float64 [n, 2] of x and y; see `contours.contours`.

        They may be moved by `tolerance` pixels to save vertices. By default that is a 300th of the
        ROI's side, but at least one, since sloping edges are stairs without. Raises a
        FaceSegKitError if the scheme has no such class.
        """
        if tolerance is None:
            tolerance = max(1.0, self.roi.size / 300)
        found = contours(self.classes == class_id(self.scheme, class_name), tolerance)
        return [polygon + (self.window.left, self.window.top) for polygon in found]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file; positions to a tenth of a pixel."""
        x, y, size = self.roi.x, self.roi.y, self.roi.size
        roi = {"x": x, "y": y, "size": size, "degrees": self.degrees}
        polygons = {name: self.contours(name) for name in self.scheme.classes}
        return {
            "bbox": self.bbox._asdict(),
            "roi": {name: round(value, 1) for name, value in roi.items()},
            "confidence": round(self.confidence, 4),
            "areas": self.areas,
            "contours": {name: [p.round(1).tolist() for p in of] for name, of in polygons.items()},
        }


def class_id(scheme: LabelScheme, class_name: str) -> int:
    """Id of a class by its name.

    Raises a FaceSegKitError if the scheme has no such class.
    """
    names = scheme.class_names
    if class_name not in names:
        problem = f"There is no class {class_name!r}"
        raise FaceSegKitError(f"{problem}; the model's classes are {', '.join(names)}.")
    return names.index(class_name)


@dataclass(frozen=True, eq=False)
class SegmentationResult:
    """The class of each pixel of a photo, and its faces.

    `faces` are in the order of their confidence. If the whole photo was taken for one
    aligned face, it is the only one, even if nothing was segmented.
    """

    labels: NDArray[np.uint8]  # class ids [H, W], at the photo's own size
    scheme: LabelScheme  # what the class ids mean
    source: Source
    faces: tuple[Face, ...] = ()

    @classmethod
    def from_faces(
        cls, faces: Sequence[Face], size: tuple[int, int], scheme: LabelScheme, source: Source
    ) -> "SegmentationResult":
        """Combine the faces of a photo of this width and height."""
        labels = np.zeros(size[::-1], dtype=np.uint8)
        for face in faces:
            np.copyto(labels[face.window.slices], face.classes, where=face.classes > 0)
        return cls(labels, scheme, source, tuple(faces))

    def largest(self) -> "SegmentationResult":
        """The same photo with its largest face only (without any if there is none)."""
        faces = sorted(self.faces, key=lambda face: face.roi.size)[-1:]
        height, width = self.labels.shape
        return SegmentationResult.from_faces(faces, (width, height), self.scheme, self.source)

    @cached_property
    def photo(self) -> Image.Image:
        """The full photo, upright, RGB.

        Many uses need only the masks, so a file is decoded in full only here: for a large JPEG that
        takes longer than its whole segmentation. Raises a FaceSegKitError if the file can no longer
        be read, or has changed.
        """
        return self.source if isinstance(self.source, Image.Image) else self.photo_copy()

    def photo_copy(self) -> Image.Image:
        """A copy of `photo` that may be modified; raises the same."""
        if isinstance(self.source, Image.Image):
            return self.source.copy()
        photo = read_photo(self.source)
        self._check_unchanged(photo.size)
        return photo

    def small_photo(self, side: int) -> Image.Image:
        """`photo`, downsampled so that no side is longer than `side` pixels; raises the same."""
        if isinstance(self.source, Image.Image):
            return shrink_to(self.source, side)
        photo, size = read_reduced(self.source, side)
        self._check_unchanged(size)
        return shrink_to(photo, side, size)

    def _check_unchanged(self, size: tuple[int, int]) -> None:
        if size != self.labels.shape[::-1]:
            problem = "has changed since it was segmented"
            raise FaceSegKitError(f"{self.source} {problem}; segment it again.")

    def mask(self, class_name: str) -> NDArray[np.bool_]:
        """Mask of a class, bool [H, W].

        Raises a FaceSegKitError if the scheme has no such class.
        """
        return self.labels == class_id(self.scheme, class_name)

    def cutout(self, *class_names: str) -> Image.Image:
        """The photo where these classes are, transparent elsewhere, RGBA.

        Raises a FaceSegKitError if the scheme has no such class, or the photo can no longer be
        read.
        """
        wanted = [class_id(self.scheme, name) for name in class_names]
        photo = self.photo_copy()
        photo.putalpha(Image.fromarray(np.isin(self.labels, wanted)).convert("L"))
        return photo

    def confidence(self, size: tuple[int, int] | None = None) -> NDArray[np.float32]:
        """Probability of each pixel's predicted class, 1/C to 1; 1 outside all ROIs.

        Returns float32 [H, W], by default at the photo's size. Probabilities are resized rather
        than logits, so near contours they differ a little from those that give the classes.
        """
        height, width = size or self.labels.shape
        across, down = width / self.labels.shape[1], height / self.labels.shape[0]
        confidence = np.ones((height, width), dtype=np.float32)
        logits = [face.roi_logits for face in self.faces]
        parts = [of.confidence_at((width, height), across, down) for of in logits]
        for of_face, bbox in reversed(parts):  # where two overlap, the first counts
            np.copyto(confidence[bbox.slices], of_face, where=of_face > 0)
        for face, (of_face, bbox) in zip(self.faces, parts, strict=True):  # or the one it marks
            if len(parts) > 1 and face.classes.any():
                classes = Image.fromarray(face.classes).resize(of_face.shape[::-1], _NEAREST)
                is_own = (np.asarray(classes) > 0) & (of_face > 0)
                np.copyto(confidence[bbox.slices], of_face, where=is_own)
        return confidence

    def to_dict(self) -> dict[str, Any]:
        """Size of the photo, class names and all faces as plain data, for a JSON file."""
        height, width = self.labels.shape
        return {
            "photo": self.source.name if isinstance(self.source, Path) else None,
            "width": width,
            "height": height,
            "classes": list(self.scheme.classes),
            "faces": [face.to_dict() for face in self.faces],
        }
