"""From a photo of any size to the class of each of its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import BBox, aligned_roi
from facesegkit.image_io import fit_square, read_reduced, to_float_nchw, upright_rgb
from facesegkit.inference.detector import Detector
from facesegkit.inference.model_zoo import (
    DEFAULT_MODEL,
    detector_for,
    load_detector,
    load_model,
)
from facesegkit.inference.onnx_model import Model
from facesegkit.inference.overlapping_faces import assign_pixels
from facesegkit.inference.pipeline import FaceAnalyzer, ScaledImage
from facesegkit.inference.results import AnalyzedFace, FullImageLogits, SegmentationResult
from facesegkit.inference.search_config import SearchConfig, search_config

if TYPE_CHECKING:  # a segmenter runs where PyTorch is not installed
    from facesegkit.checkpoint import Checkpoint

Photo = Path | str | Image.Image | NDArray[np.uint8]


def segment(photo: Photo, model: Path | str = DEFAULT_MODEL) -> SegmentationResult:
    """Segment one photo; see `FaceSegmenter`. The last models are kept in memory.

    Raises a FaceSegKitError if the photo cannot be read, or there is no such model.
    """
    return _segmenter(model)(photo)


class FaceSegmenter:
    """Finds the classes of a model in photos of any size.

    Args:
        model: the name of a shipped model (`model_zoo.MODEL_NAMES`), the path of an .onnx or .pth
            file, or a checkpoint. Only the last two need PyTorch.
        aligned: take each photo for one face, aligned as in CelebAMask-HQ, instead of detecting
            faces in it; the attribute `analyzer` is None then.
        detector: the name of a shipped face detector (`model_zoo.DETECTOR_NAMES`; by default that
            of the same licence as a shipped model, and the free one with all others), or any other
            detector as a function (see `detector.Detector`, and docs/inference.md for examples).
        search: "default", "fast" or "thorough", or scales and thresholds of your own.
        min_confidence: of a face (see `Face.confidence`), 0..1; by default that of the search.
        threads: for ONNX Runtime. One photo is too little work to share.

    Raises:
        FaceSegKitError: if there is no such model, detector or search, its file is damaged, or
            `min_confidence` is not in 0..1.
    """

    def __init__(
        self,
        model: Model | Checkpoint | Path | str = DEFAULT_MODEL,
        *,
        aligned: bool = False,
        detector: Detector | str | None = None,
        search: SearchConfig | str = "default",
        min_confidence: float | None = None,
        threads: int = 1,
    ) -> None:
        if isinstance(model, (str, Path)):
            model = load_model(model, threads=threads)
        self.model = model if isinstance(model, Model) else model.runnable()
        config = search_config(search, min_confidence)
        self.analyzer: FaceAnalyzer | None = None
        if not aligned:
            other = None if isinstance(detector, str) else detector
            if other is not None and not callable(other):
                raise TypeError(f"expected a function or a name as detector, not {detector!r}")
            name = detector if isinstance(detector, str) else detector_for(self.model)
            network = load_detector(name, threads=threads)
            self.analyzer = FaceAnalyzer(self.model, network, other, config)

    def __call__(self, photo: Photo) -> SegmentationResult:
        """Segment one photo: a path, a Pillow image of any mode, or RGB uint8 [H, W, 3].

        Each detected face is warped to the size and angle that the model was trained on, and its
        classes are pasted back. An aligned photo is fitted into a square, and the logits are
        upsampled to the photo's own size.

        Raises:
            FaceSegKitError: if the photo cannot be read.
            ValueError: if an array has another dtype or shape.
        """
        if self.analyzer is None:
            return self._segment_aligned(photo)
        opened = _open(photo, self.analyzer.config.scale_without_faces)
        return self.result(self.analyzer.search(opened), opened)

    def result(self, faces: Sequence[AnalyzedFace], photo: ScaledImage) -> SegmentationResult:
        """The faces that were found in a photo, combined."""
        scheme, size = self.model.scheme, photo.size
        assigned = assign_pixels(faces, scheme, size)
        return SegmentationResult.from_faces(assigned, size, scheme, photo.path or photo.image)

    def _segment_aligned(self, photo: Photo) -> SegmentationResult:
        """Segment a photo as one aligned face: the part of it that the model's crop shows."""
        crop = self.model.crop
        side = crop.full_size(self.model.input_size)
        opened = _open(photo, side)
        square, filled = fit_square(opened.image, side, opened.size)
        seen = crop.box(side)
        logits = self.model.predict_logits(to_float_nchw(square.crop(seen)))[0]
        both = np.concatenate([np.maximum(seen, filled)[:2], np.minimum(seen, filled)[2:]])
        rows, columns = BBox(*(both - np.tile(seen[:2], 2))).slices
        scale = np.tile(opened.size / np.subtract(filled[2:], filled[:2]), 2)
        in_photo = np.rint((both - np.tile(filled[:2], 2)) * scale).astype(int).tolist()
        roi = aligned_roi(opened.size)
        of_photo = FullImageLogits(logits[:, rows, columns], roi.cropped(crop), BBox(*in_photo))
        return self.result([AnalyzedFace(roi, of_photo, confidence=1.0)], opened)


_segmenter = lru_cache(maxsize=4)(FaceSegmenter)


def _open(photo: Photo, side: int) -> ScaledImage:
    """A photo, upright, RGB; if it is a file, its longest side has about `side` pixels."""
    if isinstance(photo, (str, Path)):
        return ScaledImage(*read_reduced(photo, side), Path(photo))
    if isinstance(photo, Image.Image):
        image = upright_rgb(photo)
    elif photo.dtype == np.uint8 and photo.ndim == 3 and photo.shape[2] == 3 and photo.size:
        image = Image.fromarray(photo)
    else:
        raise ValueError(f"expected uint8 [H, W, 3], got {photo.dtype} {list(photo.shape)}")
    return ScaledImage(image, image.size)
