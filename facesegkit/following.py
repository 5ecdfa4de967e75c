"""Faces followed from one picture of a clip to the next, so that their masks are steady."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.faces import Frame
from facesegkit.looking import Looker, Shown
from facesegkit.segment import FaceSegmenter
from facesegkit.segmentation import Seen, Segmentation, faces_of


@dataclass(frozen=True, eq=False)
class _Followed:
    """A face: the frame to look at next, and what was seen of it so far."""

    frame: Frame
    seen: Seen


class Follower:
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
        self._faces: list[_Followed] = []
        self._next_search = 0

    def __call__(self, picture: Image.Image) -> Segmentation:
        """Segment the next picture, RGB, of a clip.

        A segmenter of aligned photos takes each picture for one, whatever was before.
        """
        look = self.segmenter.looker
        if look is None:
            return self.segmenter(picture)
        shown = Shown(picture, picture.size)
        searching = self._next_search <= 0
        again = [self._again(look, shown, face, searching) for face in self._faces]
        self._faces = [face for face in again if face is not None]
        if searching or len(self._faces) < len(again):
            known = {face.frame: face.seen for face in self._faces}
            found = look.for_faces(shown, known=known)
            self._faces = [_Followed(frame, seen) for frame, seen in found.items()]
            self._next_search = self.every
        self._next_search -= 1
        scheme = self.segmenter.model.scheme
        faces = faces_of([(face.frame, face.seen) for face in self._faces], scheme, picture.size)
        return Segmentation.of_faces(faces, picture.size, scheme, picture)

    def _again(
        self, look: Looker, shown: Shown, face: _Followed, checked: bool
    ) -> _Followed | None:
        """Look at a face where it was; None if it is there no longer.

        Args:
            look: does it.
            shown: the next picture.
            face: as it was.
            checked: whether it has to be as sure as a new one.
        """
        found = look.at_one(shown, face.frame, turned=False, checked=checked)
        if found is None:
            return None
        frame, seen = found
        if seen.place != face.frame.part(look.model.crop):
            return _Followed(frame, seen)  # it had moved, and was looked at where it is now
        if seen.place != face.seen.place:
            return replace(face, seen=seen)
        scores: NDArray[np.float32] = seen.scores + np.float32(self.memory) * (
            face.seen.scores - seen.scores
        )
        return replace(face, seen=Seen(scores, seen.place))
