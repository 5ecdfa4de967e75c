"""Faces tracked from one video frame to the next, so that their masks are steady."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.inference.pipeline import FaceAnalyzer, ScaledImage
from facesegkit.inference.results import AnalyzedFace, FaceLogits, SegmentationResult
from facesegkit.inference.segmenter import FaceSegmenter


class FaceTracker:
    """Segments the frames of a video one after the other.

    Each face is segmented where it was in the frame before, and in exactly the same ROI as long as
    it stays there, so that noise cannot shake the ROI. Its logits are an exponential moving
    average over the frames. Faces are detected anew now and then, and when one was lost.

    Args:
        segmenter: what single photos are segmented with.
        smoothing: weight of the frames before in the average, 0 (none) up to 1, while a face stays
            in its ROI.
        every: number of frames from one detection to the next.

    Raises:
        ValueError: if one of them is outside its range.
    """

    def __init__(
        self, segmenter: FaceSegmenter, *, smoothing: float = 0.6, every: int = 10
    ) -> None:
        if not 0 <= smoothing < 1 or every < 1:
            expected = "smoothing has to be in 0..1 and every at least 1"
            raise ValueError(f"{expected}, not {smoothing}, {every}")
        self.segmenter, self.smoothing, self.every = segmenter, smoothing, every
        self._faces: list[AnalyzedFace] = []
        self._until_detection = 0

    def __call__(self, frame: Image.Image) -> SegmentationResult:
        """Segment the next frame, RGB, of a video.

        With a segmenter of aligned photos every frame is segmented by itself.
        """
        analyzer = self.segmenter.analyzer
        if analyzer is None:
            return self.segmenter(frame)
        photo = ScaledImage(frame, frame.size)
        detecting = self._until_detection <= 0
        updated = [self._update(analyzer, photo, face, detecting) for face in self._faces]
        self._faces = [face for face in updated if face is not None]
        if detecting or len(self._faces) < len(updated):
            self._faces = analyzer.detect(photo, analyzer.config.scales, self._faces)
            self._until_detection = self.every
        self._until_detection -= 1
        return self.segmenter.result(self._faces, photo)

    def _update(
        self, analyzer: FaceAnalyzer, photo: ScaledImage, before: AnalyzedFace, detecting: bool
    ) -> AnalyzedFace | None:
        """A face in the next frame; None if it is no longer there."""
        # Between detections a face may be less confident than a new one has to be.
        face = analyzer.analyze(photo, before.roi, any_rotation=False, candidates=not detecting)
        if face is None:
            return None
        now = face.roi_logits
        if now.roi != before.roi.cropped(analyzer.model.crop):
            return face  # it has moved, and was realigned
        if now.roi != before.roi_logits.roi:
            return replace(before, roi_logits=now)
        back = before.roi_logits.logits - now.logits
        logits: NDArray[np.float32] = now.logits + np.float32(self.smoothing) * back
        return replace(before, roi_logits=FaceLogits(logits, now.roi))
