"""Search for faces: detect, verify with the segmentation model, realign, refine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import FaceROI, aligned_roi
from facesegkit.image_io import read_reduced, to_float_nchw
from facesegkit.inference.alignment import align_to_landmarks, is_misaligned, warp_crop
from facesegkit.inference.detector import Detector, detect_faces, overlaps
from facesegkit.inference.landmarks import LANDMARKS, Landmarks
from facesegkit.inference.onnx_model import Model
from facesegkit.inference.results import AnalyzedFace, FaceLogits
from facesegkit.inference.search_config import SearchConfig

CONFIDENCE_KEY = "certain"  # of `FaceAnalyzer.min_confidence` in a model's metadata


@dataclass(frozen=True)
class ScaledImage:
    """A photo at the resolution at which it is searched."""

    image: Image.Image  # RGB, possibly downsampled
    size: tuple[int, int]  # width and height of the full photo, to which all ROIs refer
    path: Path | None = None  # the photo's file, if it has more detail than `image`

    def warp_crop(self, roi: FaceROI, side: int) -> Image.Image:
        """The aligned face in a ROI, RGB, `side` pixels wide and high."""
        return warp_crop(self.image, roi.scaled(self.image.width / self.size[0]), side)

    def at_least(self, side: int) -> "ScaledImage":
        """The photo with its longest side at `side` pixels or more, as far as it has them."""
        if self.path is None or max(self.image.size) >= min(side, max(self.size)):
            return self
        return ScaledImage(read_reduced(self.path, side)[0], self.size, self.path)


@dataclass(frozen=True)
class FaceAnalyzer:
    """A model that segments an aligned face, and a detector that proposes where to run it."""

    model: Model
    detector: Detector
    config: SearchConfig = field(default_factory=SearchConfig)

    @cached_property
    def can_verify(self) -> bool:
        """Whether the model's classes tell a face: at least two of eyes, nose and mouth.

        With other models every detection is taken for an upright face.
        """
        return sum(bool(self.model.scheme.classes_within(parts)) for parts in LANDMARKS) >= 2

    @cached_property
    def min_confidence(self) -> float:
        """Confidence from which a ROI is taken for a face, from the model's metadata if there."""
        typical = self.model.about.get(CONFIDENCE_KEY)
        if not isinstance(typical, (int, float)):
            return self.config.min_confidence
        return min(max(typical, self.config.lowest_min_confidence), self.config.min_confidence)

    def search(self, photo: ScaledImage) -> list[AnalyzedFace]:
        """All faces of a photo: coarse scales, then finer ones, then at full resolution."""
        config = self.config
        faces = self.detect(photo, config.scales)
        if not faces and self.can_verify:  # one may be too large for the detector
            faces = self.analyze_full_image(photo)
        faces = faces or self.detect(photo, config.second_scales)
        scale = config.scales[-1]
        while finer := config.next_scale(scale, [face.roi for face in faces], max(photo.size)):
            scale, photo = finer, photo.at_least(finer)
            faces = self.detect(photo, (scale,), faces)
        if not faces and not self.can_verify:
            faces = self.analyze_full_image(photo)
        return self._refine(photo, faces) if faces else []

    def _refine(self, photo: ScaledImage, faces: list[AnalyzedFace]) -> list[AnalyzedFace]:
        """Segment again with as much detail as the smallest face needs; reading more takes long."""
        smallest = self.model.crop.size * min(face.roi.size for face in faces)
        side = max(photo.size) * self.config.refined_size * self.model.input_size / smallest
        finest = photo.at_least(math.ceil(side))
        return faces if finest is photo else self.verify(finest, [face.roi for face in faces])

    def detect(
        self, photo: ScaledImage, scales: Sequence[int], known: Sequence[AnalyzedFace] = ()
    ) -> list[AnalyzedFace]:
        """The known faces, and those that are detected and verified at these scales.

        Detections of low confidence are verified only if there is no face otherwise.
        """
        config, scale = self.config, photo.size[0] / photo.image.width
        threshold, distance = config.low_detection_threshold, config.same_face_distance
        found = detect_faces(photo.image, self.detector, scales, threshold, distance)
        high: list[FaceROI] = []
        low: list[FaceROI] = []
        for detection in found:
            if not self._is_among(roi := detection.roi.scaled(scale), known):
                (high if detection.confidence > config.detection_threshold else low).append(roi)
        return self.verify(photo, high, known) or self.verify(photo, low)

    def verify(
        self, photo: ScaledImage, rois: Sequence[FaceROI], known: Sequence[AnalyzedFace] = ()
    ) -> list[AnalyzedFace]:
        """The known faces, and those ROIs that contain a face, each face once."""
        faces = list(known)
        for roi in rois:
            face = self.analyze(photo, roi)
            if face and not self._is_among(face.roi, faces):
                faces.append(face)
        return faces

    def _is_among(self, roi: FaceROI, faces: Sequence[AnalyzedFace]) -> bool:
        return any(overlaps(roi, face.roi, self.config.same_face_distance) for face in faces)

    def analyze_full_image(self, photo: ScaledImage) -> list[AnalyzedFace]:
        """The face that fills the photo, if there is one."""
        face = self.analyze(photo, aligned_roi(photo.size), any_rotation=False)
        return [face] if face else []

    def analyze(
        self,
        photo: ScaledImage,
        roi: FaceROI,
        *,
        any_rotation: bool = True,
        candidates: bool = False,
    ) -> AnalyzedFace | None:
        """Segment and realign the face in a ROI; None if there is none.

        Args:
            photo, roi: where the face may be.
            any_rotation: whether it may be upside down or on its side in the ROI.
            candidates: accept what may be a face. In a video, a face that was verified a frame
                ago may have an eye shut or be blurred.
        """
        crop = self.model.crop
        whole = np.asarray(photo.warp_crop(roi, crop.full_size(self.model.input_size)))
        config, best, best_confidence = self.config, None, -math.inf
        certain = min(config.certain_confidence, self.min_confidence + config.certain_margin)
        for quarters in config.quarter_turns if any_rotation else (0,):
            logits = self._predict(crop.of(np.rot90(whole, quarters)[None])[0])
            upright = roi.rotated(quarters * math.pi / 2)
            if not self.can_verify:
                return AnalyzedFace(upright, FaceLogits(logits, upright.cropped(crop)))
            found = self._verify_aligned(photo, upright, logits, candidates)
            if found and found[1] > best_confidence:
                best, best_confidence = found
            if best_confidence > certain:
                break  # otherwise: a face upside down can look like one with odd parts
        return best

    def _verify_aligned(
        self, photo: ScaledImage, roi: FaceROI, logits: NDArray[np.float32], candidates: bool
    ) -> tuple[AnalyzedFace, float] | None:
        """The upright face in a ROI that was segmented, and its confidence; None if it is none."""
        config, crop, threshold = self.config, self.model.crop, self.min_confidence
        landmarks = _landmarks(self.model, logits, config)
        if not landmarks.may_be_a_face(config, threshold):
            return None
        for _ in range(config.max_runs - 1):
            aligned = align_to_landmarks(roi, landmarks)
            if not is_misaligned(aligned, roi, config):
                break
            roi = aligned
            logits = self._predict(photo.warp_crop(roi.cropped(crop), self.model.input_size))
            landmarks = _landmarks(self.model, logits, config)
        may_be_one = candidates and landmarks.may_be_a_face(config, threshold)
        if not may_be_one and not landmarks.is_a_face(roi, photo.size, config, threshold):
            return None
        face = AnalyzedFace(
            align_to_landmarks(roi, landmarks), FaceLogits(logits, roi.cropped(crop))
        )
        return face, landmarks.confidence

    def _predict(self, aligned: Image.Image | NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of an aligned RGB crop, float32 [C, size, size]."""
        return self.model.predict_logits(to_float_nchw(aligned))[0]


def _landmarks(model: Model, logits: NDArray[np.float32], config: SearchConfig) -> Landmarks:
    return Landmarks.from_logits(logits, model.scheme, model.crop, config.min_landmark_area)


def typical_confidence(model: Model, photos: NDArray[np.uint8]) -> float:
    """The confidence that a model exceeds on nine of ten aligned photos, RGB uint8 [N, H, H, 3].

    It goes into the model's metadata under `CONFIDENCE_KEY`.
    """
    config = SearchConfig()
    crops = map(to_float_nchw, model.crop.of(photos))
    found = (_landmarks(model, model.predict_logits(crop)[0], config) for crop in crops)
    return float(np.quantile([landmarks.confidence for landmarks in found], 0.1))
