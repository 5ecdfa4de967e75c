"""Search for faces: detect, look again at each aligned face, segment those that are believed."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from facesegkit.geometry import FaceROI
from facesegkit.image_io import read_reduced, to_float_nchw
from facesegkit.inference.alignment import (
    MEAN_BOX,
    MIRRORED_POINTS,
    box_of,
    roi_of,
    roi_of_box,
    roi_of_points,
    warp_crop,
)
from facesegkit.inference.detector import (
    Detections,
    Detector,
    Floats,
    decode,
    detect,
    iou,
    joined,
    nms,
    nms_order,
    run_detector,
)
from facesegkit.inference.levels import Levels, hides_crowd
from facesegkit.inference.onnx_model import DetectorModel, Model
from facesegkit.inference.results import AnalyzedFace, FaceLogits
from facesegkit.inference.search_config import SearchConfig

_LOOK_SIDE = 160  # pixels of the aligned face that the detector sees; a multiple of its strides
# It looks once more if the ROI changed by more than this (`FaceROI.change_to`), but not where the
# confidence is below `_HOPELESS`.
_MISALIGNED, _HOPELESS = 0.12, 0.1
_MAX_LOGITS = 20_000_000  # numbers of all faces together, 80 MB; of more faces none are kept
_MIN_SCORE = 1e-4  # lower ones say nothing more


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
class Candidate:
    """A region that may contain a face, and how likely it is to."""

    roi: FaceROI
    confidence: float  # calibrated, 0..1
    points: Floats | None = None  # on the photo, [5, 2]; None if the second look saw no face


@dataclass(frozen=True)
class FaceAnalyzer:
    """Finds faces with a detector, and segments each of them with a model, once."""

    model: Model
    network: DetectorModel  # a face detector that ships
    detector: Detector | None = None  # another one, used instead of it to find faces
    config: SearchConfig = field(default_factory=SearchConfig)

    def search(self, photo: ScaledImage) -> list[AnalyzedFace]:
        """All faces of a photo, most confident first."""
        found, photo = self._located(photo)
        if not found:
            return []
        # Read the photo with as much detail as the smallest face needs; more takes long.
        smallest = self.model.crop.size * min(one.roi.size for one in found)
        side = max(photo.size) * self.config.refined_size * self.model.input_size / smallest
        photo = photo.at_least(math.ceil(side))
        faces = (self.segment(photo, one) for one in found)
        logits = len(found) * len(self.model.scheme.class_names) * self.model.input_size**2
        if logits <= _MAX_LOGITS:
            return [*faces]
        return [face.without_logits(photo.size) for face in faces]

    def segment(self, photo: ScaledImage, candidate: Candidate) -> AnalyzedFace:
        """Run the segmentation model on the face in a ROI."""
        roi = candidate.roi.cropped(self.model.crop)
        crop = photo.warp_crop(roi, self.model.input_size)
        logits = self.model.predict_logits(to_float_nchw(crop))[0]
        return AnalyzedFace(
            candidate.roi, FaceLogits(logits, roi), candidate.confidence, points=candidate.points
        )

    def candidates(self, photo: ScaledImage) -> list[Candidate]:
        """All regions whose confidence is high enough, each face once, most confident first."""
        return self._located(photo)[0]

    def _located(self, photo: ScaledImage) -> tuple[list[Candidate], ScaledImage]:
        """`candidates`, and the photo with as much detail as it was searched with."""
        if self.detector is not None:
            photo = photo.at_least(max(photo.size))
            return self._proposed(self.detector, photo), photo
        found, photo = self._detect(photo)
        rois = [roi_of(*one) for one in zip(found.boxes, found.points, strict=True)]
        seen = [self.look(photo, *one) for one in zip(rois, found.scores, strict=True)]
        # Now that boxes and scores are final, two may show one face.
        return self._distinct(seen), photo

    def _detect(self, photo: ScaledImage) -> tuple[Detections, ScaledImage]:
        """Detections at all levels, and the photo as it was read for the finest of them."""
        levels, kept = Levels(self.config, photo.size), []
        for side in levels:
            photo = photo.at_least(side)
            traces = detect(photo.image, self.network.predict, side, max(levels.lowest, _MIN_SCORE))
            found = traces.moved((photo.size[0] / photo.image.width,) * 2)
            levels.note(found)
            kept.append(found[found.scores >= levels.threshold])
            if levels.may_hide_crowd:
                network = self.network.predict
                levels.is_crowd = hides_crowd(photo.image, traces, network, self.config)
        return nms(joined(kept), self.config.max_iou), photo

    def look(
        self, photo: ScaledImage, roi: FaceROI, score: float, *, again: bool = True
    ) -> Candidate:
        """Run the detector again on the aligned face, for a better ROI and a second score.

        It sees the face and its mirror image: the mean of both is no more rotated to one side than
        to the other, and more certain than either. If the face was far from upright, `again` allows
        one more look at what is upright now.
        """
        crop = to_float_nchw(photo.warp_crop(roi, _LOOK_SIDE))
        outputs = self.network.predict(np.concatenate([crop, crop[..., ::-1]]))
        seen, mirrored = (_aligned_face(output) for output in outputs)
        if seen is None or mirrored is None:
            return Candidate(roi, self.network.confidence(score, _MIN_SCORE))
        second = math.sqrt(float(seen.scores[0] * mirrored.scores[0]))
        points = mirrored.points[0][MIRRORED_POINTS] * (-1, 1) + (_LOOK_SIDE, 0)
        mean = (seen.points[0] + points) / (2 * _LOOK_SIDE)
        on_photo = roi.on_photo(mean)
        aligned = roi_of_points(on_photo)
        confidence = self.network.confidence(score, second)
        if again and confidence > _HOPELESS and roi.change_to(aligned) > _MISALIGNED:
            return self.look(photo, aligned, score, again=False)
        return Candidate(aligned, confidence, on_photo)

    def _proposed(self, detector: Detector, photo: ScaledImage) -> list[Candidate]:
        """What another detector finds; a face without points is aligned by the one that ships.

        Raises ValueError if it does not return what it should.
        """
        boxes, points, scores = run_detector(detector, np.asarray(photo.image))
        if points is None:
            seen = [self.look(photo, roi_of_box(box), 1.0) for box in boxes]
        else:
            seen = [Candidate(roi_of_points(five), 1.0, five) for five in points]
        of_own = zip(seen, scores.tolist(), strict=True)
        return self._distinct([replace(one, confidence=score) for one, score in of_own])

    def _distinct(self, candidates: list[Candidate]) -> list[Candidate]:
        """Those whose confidence is high enough, after NMS, most confident first."""
        candidates = [one for one in candidates if one.confidence >= self.config.min_confidence]
        boxes = np.array([box_of(one.roi) for one in candidates]).reshape(-1, 4)
        scores = np.array([one.confidence for one in candidates])
        return [candidates[index] for index in nms_order(boxes, scores, self.config.max_iou)]


def _aligned_face(output: Floats) -> Detections | None:
    """The face that fills an aligned crop, from the detector's output for it, [N, 15]."""
    found = decode(output, (_LOOK_SIDE, _LOOK_SIDE), _MIN_SCORE)
    found = found[iou(MEAN_BOX * _LOOK_SIDE, found.boxes) > 0.3]
    return found[[int(found.scores.argmax())]] if len(found) else None
