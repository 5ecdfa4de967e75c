"""Faces followed from one picture of a clip to the next, so that their masks are steady."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import FaceROI
from facesegkit.inference.pipeline import FaceAnalyzer, ScaledImage
from facesegkit.inference.results import FaceLogits, SegmentationResult, assign_pixels
from facesegkit.inference.segmenter import FaceSegmenter


@dataclass(frozen=True, eq=False)
class _TrackedFace:
    """A face: the frame to look at next, and what was seen of it so far."""

    roi: FaceROI
    roi_logits: FaceLogits


class FaceTracker:
    """Segments the pictures of a clip one after the other.

    Each face is looked at where it was in the picture before, in the very same frame as long as it
    stays in it: noise in the picture cannot shake the frame then. What the model says is averaged
    with what it said before. Others are searched for now and then, and when one was lost.

    Args:
        segmenter: what single photos are segmented with.
        memory: share of the scores that is kept from the picture before, 0 (none) up to 1, while
            a face stays in its frame.
        every: how many pictures there are from one search to the next.
    """

    def __init__(self, segmenter: FaceSegmenter, *, memory: float = 0.6, every: int = 10) -> None:
        if not 0 <= memory < 1 or every < 1:
            raise ValueError(
                f"memory has to be in 0..1 and every at least 1, not {memory}, {every}"
            )
        self.segmenter, self.memory, self.every = segmenter, memory, every
        self._faces: list[_TrackedFace] = []
        self._next_search = 0

    def __call__(self, picture: Image.Image) -> SegmentationResult:
        """Segment the next picture, RGB, of a clip.

        A segmenter of aligned photos takes each picture for one, whatever was before.
        """
        look = self.segmenter.looker
        if look is None:
            return self.segmenter(picture)
        shown = ScaledImage(picture, picture.size)
        searching = self._next_search <= 0
        again = [self._again(look, shown, face, searching) for face in self._faces]
        self._faces = [face for face in again if face is not None]
        if searching or len(self._faces) < len(again):
            known = {face.roi: face.roi_logits for face in self._faces}
            found = look.for_faces(shown, known=known)
            self._faces = [_TrackedFace(frame, seen) for frame, seen in found.items()]
            self._next_search = self.every
        self._next_search -= 1
        scheme = self.segmenter.model.scheme
        faces = assign_pixels(
            [(face.roi, face.roi_logits) for face in self._faces], scheme, picture.size
        )
        return SegmentationResult.of_faces(faces, picture.size, scheme, picture)

    def _again(
        self, look: FaceAnalyzer, shown: ScaledImage, face: _TrackedFace, checked: bool
    ) -> _TrackedFace | None:
        """Look at a face where it was; None if it is there no longer.

        Args:
            look: does it.
            shown: the next picture.
            face: as it was.
            checked: whether it has to be as sure as a new one.
        """
        found = look.at_one(shown, face.roi, turned=False, checked=checked)
        if found is None:
            return None
        frame, seen = found
        if seen.place != face.roi.part(look.model.crop):
            return _TrackedFace(frame, seen)  # it had moved, and was looked at where it is now
        if seen.place != face.roi_logits.place:
            return replace(face, roi_logits=seen)
        scores: NDArray[np.float32] = seen.logits + np.float32(self.memory) * (
            face.roi_logits.logits - seen.logits
        )
        return replace(face, roi_logits=FaceLogits(scores, seen.place))
