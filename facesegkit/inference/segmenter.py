"""From a photo of any size to the class of each of its pixels, and to pictures that show them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import BBox, FaceROI, aligned_roi
from facesegkit.image_io import fit_square, read_reduced, to_float_nchw, upright_rgb
from facesegkit.inference.detector import LEVELS, LEVELS_BETWEEN, Detector, next_scale
from facesegkit.inference.model_zoo import DEFAULT_MODEL, load_detector, load_model
from facesegkit.inference.onnx_model import Model
from facesegkit.inference.pipeline import FaceAnalyzer, ScaledImage
from facesegkit.inference.results import FaceLogits, SegmentationResult, assign_pixels

if TYPE_CHECKING:  # a segmenter runs where PyTorch is not installed
    from facesegkit.checkpoint import Checkpoint


class FaceSegmenter:
    """Finds the classes that a model knows in photos of any size.

    Args:
        model: the name of a model that ships (`model_zoo.MODEL_NAMES`), the path of an .onnx or .pth
            file, or a checkpoint. PyTorch is needed for the last two only.
        aligned: take each photo for one face, framed as CelebAMask-HQ frames its faces, instead
            of looking for faces in it.
        find: a face finder other than the one that ships (see `detector.detect_faces`).
        threads: for ONNX Runtime. One photo is too little work to share.

    Attributes:
        model: what it runs.
        looker: finds the faces; None if photos are taken for aligned.

    Raises:
        FaceSegKitError: there is no such model, or its file is damaged.
    """

    def __init__(
        self,
        model: Model | Checkpoint | Path | str = DEFAULT_MODEL,
        *,
        aligned: bool = False,
        find: Detector | None = None,
        threads: int = 1,
    ) -> None:
        if isinstance(model, (str, Path)):
            model = load_model(model, threads=threads)
        self.model = model if isinstance(model, Model) else model.runnable()
        finder = None if aligned else find or load_detector(threads=threads)
        self.looker = FaceAnalyzer(self.model, finder) if finder else None

    def __call__(self, photo: Path | str | Image.Image | NDArray[np.uint8]) -> SegmentationResult:
        """Segment one photo: a path, a Pillow image of any mode, or RGB uint8 [H, W, 3].

        Each face is found, cut out at the size and angle that the model was trained on, and its
        classes are pasted back. An aligned photo is fitted into a square, and the scores of what
        the model sees of it are resized to the photo's own size.

        Raises:
            FaceSegKitError: the photo cannot be read.
            ValueError: an array of another form.
        """
        if self.looker is None:
            return self._see_aligned(photo)
        return self._see_faces(photo, self.looker)

    def _segmentation(
        self, seen: dict[FaceROI, FaceLogits], size: tuple[int, int], source: Image.Image | Path
    ) -> SegmentationResult:
        """What was seen in a photo of this width and height, put together."""
        faces = assign_pixels(seen.items(), self.model.scheme, size)
        return SegmentationResult.of_faces(faces, size, self.model.scheme, source)

    def _see_faces(
        self, photo: Path | str | Image.Image | NDArray[np.uint8], look: FaceAnalyzer
    ) -> SegmentationResult:
        """Find the faces, coarse to fine, and look at each of them on its own."""
        level = LEVELS[-1]
        picture, size, source = _opened(photo, level)
        shown = ScaledImage(picture, size)
        faces = look.for_faces(shown)
        if not faces and look.can_tell:  # one may be so near that the finder sees none in it
            faces = look.at_all_of(shown)
        if not faces:
            faces = look.for_faces(shown, LEVELS_BETWEEN)
        while finer := next_scale(level, list(faces), max(size)):
            level = finer
            shown = self._finer(shown, source, level)
            faces = look.for_faces(shown, (level,), faces)
        if not faces and not look.can_tell:
            faces = look.at_all_of(shown)
        if faces:
            # The smallest face should fill the model's square, or nearly: reading takes long.
            smallest = self.model.crop.size * min(face.size for face in faces)
            enough = math.ceil(max(size) * 0.8 * self.model.input_size / smallest)
            finest = self._finer(shown, source, enough)
            if finest is not shown:
                faces = look.at(finest, list(faces))
        return self._segmentation(faces, size, source)

    @staticmethod
    def _finer(shown: ScaledImage, source: Image.Image | Path, side: int) -> ScaledImage:
        """The photo with its longest side at `side` pixels or more, as far as it has them."""
        if isinstance(source, Image.Image) or max(shown.picture.size) >= min(side, max(shown.size)):
            return shown
        return ScaledImage(read_reduced(source, side)[0], shown.size)

    def _see_aligned(
        self, photo: Path | str | Image.Image | NDArray[np.uint8]
    ) -> SegmentationResult:
        """Take the whole photo for one aligned face, and look at the part that the model knows."""
        crop = self.model.crop
        side = crop.whole_side(self.model.input_size)
        small, (width, height), source = _opened(photo, side)
        square, filled = fit_square(small, side, (width, height))
        known = crop.box(side)
        left, top = max(known.left, filled.left), max(known.top, filled.top)
        right, bottom = min(known.right, filled.right), min(known.bottom, filled.bottom)
        part = BBox(left - known.left, top - known.top, right - known.left, bottom - known.top)
        scores = self.model.predict_logits(to_float_nchw(square.crop(known)))[0]
        scores = scores[:, part.slices[0], part.slices[1]]
        across, down = width / (filled.right - filled.left), height / (filled.bottom - filled.top)
        box = BBox(
            round((left - filled.left) * across),
            round((top - filled.top) * down),
            round((right - filled.left) * across),
            round((bottom - filled.top) * down),
        )
        seen = {aligned_roi((width, height)): FaceLogits(scores, box)}
        return self._segmentation(seen, (width, height), source)


def segment_many(
    segmenter: FaceSegmenter, paths: Iterable[Path]
) -> Iterator[tuple[Path, SegmentationResult | FaceSegKitError]]:
    """Segment photos one after the other; one that cannot be read does not stop the rest.

    Yields each path with its segmentation, or with the error that says what is wrong with it.
    """
    for path in paths:
        try:
            yield path, segmenter(path)
        except FaceSegKitError as error:
            yield path, error


def _opened(
    photo: Path | str | Image.Image | NDArray[np.uint8], side: int
) -> tuple[Image.Image, tuple[int, int], Image.Image | Path]:
    """A photo to be shrunk until its longest side has `side` pixels, upright, RGB.

    Also its own width and height, and what a `SegmentationResult` keeps as its source.
    """
    if isinstance(photo, (str, Path)):
        return *read_reduced(photo, side), Path(photo)
    picture = _as_picture(photo)
    return picture, picture.size, picture


def _as_picture(photo: Image.Image | NDArray[np.uint8]) -> Image.Image:
    if isinstance(photo, Image.Image):
        return upright_rgb(photo)
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0:
        raise ValueError(f"expected uint8 [H, W, 3], got {photo.dtype} {list(photo.shape)}")
    return Image.fromarray(photo)
