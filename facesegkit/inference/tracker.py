"""Faces tracked from one video frame to the next, so that their masks are steady."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from facesegkit.geometry import FaceROI
from facesegkit.inference.alignment import box_of
from facesegkit.inference.detector import nms_order
from facesegkit.inference.pipeline import Candidate, FaceAnalyzer, ScaledImage
from facesegkit.inference.results import AnalyzedFace, FaceLogits, SegmentationResult
from facesegkit.inference.segmenter import FaceSegmenter

# `FaceROI.change_to`: up to which a face stays in its ROI, and how much from one frame to the next
# means that it moves; noise alone changes its points by 0.005.
_STEADY, _MOVING = 0.06, 0.02
# The score of a clear face: stands for the first of two where a face was a frame ago.
_SCORE = 0.7
# Lowest confidence of a face that was there a frame ago; it may blink or be blurred.
_MIN_CONFIDENCE = 0.2


@dataclass(frozen=True)
class _TrackedFace:
    face: AnalyzedFace
    seen: FaceROI  # where the detector saw it last; the ROI of `face` follows larger changes only


class FaceTracker:
    """Segments the frames of a video one after the other.

    The detector looks at each face where it was in the frame before, and its points say where it is
    now. A face that hardly moves is segmented in exactly the same ROI, so that noise cannot shake
    the ROI, and its logits are an exponential moving average over the frames, of fewer of them the
    more it moves. New faces are searched for now and then, and when one was lost.

    Args:
        segmenter: what single photos are segmented with.
        smoothing: weight of the frames before in the average, 0 (none) up to 1, of a still face.
        every: number of frames from one detection to the next.

    Raises:
        ValueError: if one of them is outside its range.
    """

    def __init__(
        self, segmenter: FaceSegmenter, *, smoothing: float = 0.6, every: int = 12
    ) -> None:
        if not 0 <= smoothing < 1 or every < 1:
            expected = "smoothing has to be at least 0 and below 1, and every at least 1"
            raise ValueError(f"{expected}, not {smoothing}, {every}")
        self.segmenter, self.smoothing, self.every = segmenter, smoothing, every
        self._tracked: list[_TrackedFace] = []
        self._until_detection = 0

    def __call__(self, frame: Image.Image) -> SegmentationResult:
        """Segment the next frame, RGB, of a video.

        With a segmenter of aligned photos every frame is segmented by itself.
        """
        analyzer = self.segmenter.analyzer
        if analyzer is None:
            return self.segmenter(frame)
        photo = ScaledImage(frame, frame.size)
        followed = [self._follow(analyzer, photo, before) for before in self._tracked]
        self._tracked = [tracked for tracked in followed if tracked is not None]
        if self._until_detection <= 0 or len(self._tracked) < len(followed):
            self._tracked += self._new(analyzer, photo)
            self._until_detection = self.every
        self._until_detection -= 1
        return self.segmenter.result([tracked.face for tracked in self._tracked], photo)

    def _new(self, analyzer: FaceAnalyzer, photo: ScaledImage) -> list[_TrackedFace]:
        """The faces of a frame that are not tracked yet."""
        config, known = analyzer.config, [tracked.seen for tracked in self._tracked]
        # Only at the scales that a photo without faces is searched at: finer ones take too long.
        scales = tuple(scale for scale in config.scales if scale <= config.scale_without_faces)
        searching = replace(analyzer, config=replace(config, scales=scales, crowd_scales=()))
        found = searching.candidates(photo)
        boxes = np.array([box_of(roi) for roi in [*known, *(one.roi for one in found)]])
        scores = np.array([2.0] * len(known) + [face.confidence for face in found])
        kept = nms_order(boxes.reshape(-1, 4), scores, config.max_iou)
        new = [found[index - len(known)] for index in kept if index >= len(known)]
        # Seen once more, so that the ROI need not change soon.
        rois = [analyzer.look(photo, face.roi, _SCORE).roi for face in new]
        aligned = [replace(face, roi=roi) for face, roi in zip(new, rois, strict=True)]
        return [_TrackedFace(analyzer.segment(photo, face), face.roi) for face in aligned]

    def _follow(
        self, analyzer: FaceAnalyzer, photo: ScaledImage, before: _TrackedFace
    ) -> _TrackedFace | None:
        """A face in the next frame; None if it is no longer there."""
        face = before.face
        # One look from the same ROI as before: whether there is a second varies with the noise.
        seen = analyzer.look(photo, face.roi, _SCORE, again=False)
        if seen.confidence < _MIN_CONFIDENCE:
            return None
        if face.roi.change_to(seen.roi) > _STEADY:
            seen = analyzer.look(photo, seen.roi, _SCORE)
            return _TrackedFace(analyzer.segment(photo, seen), seen.roi)
        now = analyzer.segment(photo, Candidate(face.roi, seen.confidence, seen.points))
        still = max(0.0, 1 - before.seen.change_to(seen.roi) / _MOVING)
        back = face.roi_logits.logits - now.roi_logits.logits
        logits = now.roi_logits.logits + np.float32(self.smoothing * still) * back
        return _TrackedFace(
            replace(now, roi_logits=FaceLogits(logits, face.roi_logits.roi)), seen.roi
        )
