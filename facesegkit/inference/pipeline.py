"""Search for faces: detect, verify with the segmentation model, realign, refine."""

from __future__ import annotations

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

CONFIDENCE_KEY = "certain"  # of `FaceAnalyzer.min_confidence` in a model's metadata


@dataclass(frozen=True)
class SearchConfig:
    """All thresholds of the search. Scenes are those of benchmarks/any_photo.py, on validation."""

    # Image pyramid: longest side of the photo, in pixels. The detector knows ROIs of 36 to 120
    # pixels, so with these every ROI from a 14th of that side up is seen at a known size, most of
    # them twice.
    scales: tuple[int, ...] = (64, 128, 256, 512)
    # The second try, if no face was found: of 553 faces in scenes, twelve are missed without it
    # and three with it.
    second_scales: tuple[int, ...] = (90, 181, 362)
    # Used while there are small faces, or none yet. Each takes four times as long as the one
    # before, so the last one is not used if no face was found up to `finest_without_face`.
    finer_scales: tuple[int, ...] = (1024, 2048, 4096)
    finest_without_face: int = 2048
    small_roi: float = 56.0  # pixels at the finest scale so far; smaller faces are likely then

    # Detector confidence, 0..1: of a detection, and of one that is verified if no face has more.
    # In scenes 2 % of the faces have less than the first, most of them rotated and cut off; on a
    # photo of many patterns, most of the false detections do.
    detection_threshold: float = 0.55
    low_detection_threshold: float = 0.45

    # Mean probability of the segmented landmarks, 0..1, from which a ROI is taken for a face.
    # In scenes and scikit-image's photos one pattern reached 0.87, of 117 with two of the three
    # landmarks roughly in place. Models that were trained for a few minutes never reach it, so
    # their files have a lower one, which is kept within these limits.
    min_confidence: float = 0.87
    lowest_min_confidence: float = 0.6
    missing_part_margin: float = 0.04  # added if a part is missing that should be visible

    # Distance of a landmark from its mean position, in fractions of an aligned photo's side.
    max_offset: float = 0.12
    # Candidates that further runs might confirm: in scenes every face that they confirm has these
    # values at the first run, and they save five sixths of the runs on what is no face.
    max_candidate_offset: float = 0.3
    candidate_margin: float = 0.12  # subtracted from `min_confidence`

    # Quarter turns that are tried: the detector may take any of them for upright. A confidence
    # above the first value, or by the second above `min_confidence`, ends that.
    quarter_turns: tuple[int, ...] = (0, 2, 1, -1)
    certain_confidence: float = 0.93
    certain_margin: float = 0.06

    # Realignment: runs of the model per ROI, and from which rotation (degrees), scale (log2) and
    # translation (fraction of the side) another run is worth it.
    max_runs: int = 3
    max_misrotation: float = 8.0
    max_misscale: float = 0.12
    max_mistranslation: float = 0.05

    # The photo is read so large that the smallest face has this fraction of the model's input.
    refined_size: float = 0.8

    def next_scale(self, scale: int, faces: Sequence[AnalyzedFace], longest: int) -> int | None:
        """The next finer scale at which to detect faces, or None if it is not worth it.

        Args:
            scale: the finest so far.
            faces: those found so far.
            longest: longest side of the photo, in pixels.
        """
        finer = next((one for one in self.finer_scales if one > scale), None)
        if finer is None or finer >= 2 * longest:
            return None
        if faces:
            smallest = min(face.roi.size for face in faces) * scale / longest
            return finer if smallest < self.small_roi else None
        return finer if finer <= self.finest_without_face else None


@dataclass(frozen=True)
class ScaledImage:
    """A photo at the resolution at which it is searched.

    Args:
        image: RGB, possibly downsampled.
        size: width and height of the full photo, to which all ROIs refer.
        path: the photo's file, if it has more detail than `image`.
    """

    image: Image.Image
    size: tuple[int, int]
    path: Path | None = None

    def warp_crop(self, roi: FaceROI, side: int) -> Image.Image:
        """The aligned face in a ROI, RGB, `side` pixels wide and high."""
        return warp_crop(self.image, roi.scaled(self.image.width / self.size[0]), side)

    def at_least(self, side: int) -> ScaledImage:
        """The photo with its longest side at `side` pixels or more, as far as it has them."""
        if self.path is None or max(self.image.size) >= min(side, max(self.size)):
            return self
        return ScaledImage(read_reduced(self.path, side)[0], self.size, self.path)


@dataclass(frozen=True)
class FaceAnalyzer:
    """A segmentation model, and a detector that proposes where to run it.

    Args:
        model: segments an aligned face.
        detector: see `detector.Detector`.
        config: the thresholds.
    """

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
        faces = self._search_coarse(photo)
        faces, photo = self._search_finer(photo, faces)
        if not faces and not self.can_verify:
            faces = self.analyze_full_image(photo)
        return self._refine(photo, faces) if faces else []

    def _search_coarse(self, photo: ScaledImage) -> list[AnalyzedFace]:
        faces = self.detect(photo, self.config.scales)
        if not faces and self.can_verify:  # one may be too large for the detector
            faces = self.analyze_full_image(photo)
        return faces or self.detect(photo, self.config.second_scales)

    def _search_finer(
        self, photo: ScaledImage, faces: list[AnalyzedFace]
    ) -> tuple[list[AnalyzedFace], ScaledImage]:
        """Detect smaller faces too; also the photo at the finest scale that was used."""
        scale = self.config.scales[-1]
        while finer := self.config.next_scale(scale, faces, max(photo.size)):
            scale = finer
            photo = photo.at_least(scale)
            faces = self.detect(photo, (scale,), faces)
        return faces, photo

    def _refine(self, photo: ScaledImage, faces: list[AnalyzedFace]) -> list[AnalyzedFace]:
        """Segment the faces again if the photo has more detail than was read so far.

        Reading takes long, so the photo is read only as large as the smallest face needs.
        """
        smallest = self.model.crop.size * min(face.roi.size for face in faces)
        side = max(photo.size) * self.config.refined_size * self.model.input_size / smallest
        finest = photo.at_least(math.ceil(side))
        if finest is photo:
            return faces
        return self.verify(finest, [face.roi for face in faces])

    def detect(
        self, photo: ScaledImage, scales: Sequence[int], known: Sequence[AnalyzedFace] = ()
    ) -> list[AnalyzedFace]:
        """The known faces, and those that are detected and verified at these scales.

        Detections of low confidence are verified only if there is no face otherwise.
        """
        config, scale = self.config, photo.size[0] / photo.image.width
        found = detect_faces(photo.image, self.detector, scales, config.low_detection_threshold)
        high: list[FaceROI] = []
        low: list[FaceROI] = []
        for detection in found:
            roi = detection.roi.scaled(scale)
            if not any(overlaps(roi, face.roi) for face in known):
                (high if detection.confidence > config.detection_threshold else low).append(roi)
        return self.verify(photo, high, known) or self.verify(photo, low)

    def verify(
        self, photo: ScaledImage, rois: Sequence[FaceROI], known: Sequence[AnalyzedFace] = ()
    ) -> list[AnalyzedFace]:
        """The known faces, and those ROIs that contain a face, each face once."""
        faces = list(known)
        for roi in rois:
            face = self.analyze(photo, roi)
            if face and not any(overlaps(face.roi, other.roi) for other in faces):
                faces.append(face)
        return faces

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
            photo: the photo.
            roi: where the face may be.
            any_rotation: whether the face may be upside down or on its side in the ROI.
            candidates: accept what may be a face. In a video, a face that was verified a frame
                ago may have an eye shut or be blurred.
        """
        crop = self.model.crop
        whole = np.asarray(photo.warp_crop(roi, crop.full_size(self.model.input_size)))
        best, best_confidence = None, -math.inf
        for quarters in self.config.quarter_turns if any_rotation else (0,):
            logits = self._predict(crop.of(np.rot90(whole, quarters)[None])[0])
            upright = roi.rotated(quarters * math.pi / 2)
            if not self.can_verify:
                return AnalyzedFace(upright, FaceLogits(logits, upright.cropped(crop)))
            found = self._verify_aligned(photo, upright, logits, candidates)
            if found and found[1] > best_confidence:
                best, best_confidence = found
            if best_confidence > self._certain_confidence:
                break  # otherwise: a face upside down can look like one with odd parts
        return best

    @property
    def _certain_confidence(self) -> float:
        config = self.config
        return min(config.certain_confidence, self.min_confidence + config.certain_margin)

    def _verify_aligned(
        self, photo: ScaledImage, roi: FaceROI, logits: NDArray[np.float32], candidates: bool
    ) -> tuple[AnalyzedFace, float] | None:
        """The upright face in a ROI that was segmented, and its confidence; None if it is none."""
        config, threshold = self.config, self.min_confidence
        landmarks = Landmarks.from_logits(logits, self.model.scheme, self.model.crop)
        if not landmarks.may_be_a_face(config, threshold):
            return None
        logits, roi, landmarks = self._realign(photo, roi, logits, landmarks)
        if not landmarks.is_a_face(roi, photo.size, config, threshold) and not (
            candidates and landmarks.may_be_a_face(config, threshold)
        ):
            return None
        roi_logits = FaceLogits(logits, roi.cropped(self.model.crop))
        return AnalyzedFace(align_to_landmarks(roi, landmarks), roi_logits), landmarks.confidence

    def _realign(
        self, photo: ScaledImage, roi: FaceROI, logits: NDArray[np.float32], landmarks: Landmarks
    ) -> tuple[NDArray[np.float32], FaceROI, Landmarks]:
        """Segment again, as long as the face is misaligned in its ROI."""
        for _ in range(self.config.max_runs - 1):
            aligned = align_to_landmarks(roi, landmarks)
            if not is_misaligned(aligned, roi, self.config):
                break
            roi, crop = aligned, self.model.crop
            logits = self._predict(photo.warp_crop(roi.cropped(crop), self.model.input_size))
            landmarks = Landmarks.from_logits(logits, self.model.scheme, crop)
        return logits, roi, landmarks

    def _predict(self, aligned: Image.Image | NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of an aligned RGB crop, float32 [C, size, size]."""
        return self.model.predict_logits(to_float_nchw(aligned))[0]


def typical_confidence(model: Model, photos: NDArray[np.uint8]) -> float:
    """The confidence that a model exceeds on nine of ten aligned photos, RGB uint8 [N, H, H, 3].

    It goes into the model's metadata under `CONFIDENCE_KEY`.
    """
    confidences = []
    for crop in model.crop.of(photos):
        logits = model.predict_logits(to_float_nchw(crop))[0]
        confidences.append(Landmarks.from_logits(logits, model.scheme, model.crop).confidence)
    return float(np.quantile(confidences, 0.1))
