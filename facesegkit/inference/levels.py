"""Which levels of the image pyramid are searched: decided from what those before have shown.

Most photos show a few faces, and a coarse level is enough. In a crowd the detector is less certain
of a face the closer its neighbours are, unless it is about 60 pixels wide: only finer levels show
which of many possible faces are faces.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import BBox
from facesegkit.inference.detector import Detections, detect, nms
from facesegkit.inference.onnx_model import Network
from facesegkit.inference.search_config import SearchConfig

_TRACE = 0.05  # the detector's score where there may be hints of a face
_SAMPLE = 4  # a sample's side is this fraction of the photo's longer one
_SAMPLE_SIDE = 640  # to which it is enlarged, in pixels


@dataclass
class Levels:
    """The levels of one photo, coarsest first; `note` what one shows before asking for the next."""

    config: SearchConfig
    size: tuple[int, int]  # width and height of the photo
    is_crowd: bool = field(default=False, init=False)  # of faces that a finer level shows better
    _side: int = field(default=0, init=False)  # longest side of this level, in pixels
    _any_face: bool = field(default=False, init=False)
    _any_small: bool = field(default=True, init=False)
    _for_crowds: bool = field(default=False, init=False)  # whether only crowds have this level

    def __iter__(self) -> Iterator[int]:
        """The longest side of each level, in pixels."""
        config, longest = self.config, max(self.size)
        for scale in config.scales:
            side = config.side(scale, longest, enlarge=self._any_small)
            if side <= self._side:  # the photo has no more detail
                break
            self._side = side
            yield side
            if self._is_enough:
                break
        self._for_crowds = True
        for scale in config.crowd_scales:
            side = config.crowd_side(scale, longest)
            if self.is_crowd and side > self._side:
                self._side = side
                yield side

    @property
    def threshold(self) -> float:
        """The lowest score, at this level, of a detection that is looked at again."""
        config = self.config
        return config.crowd_threshold if self._for_crowds else config.detection_threshold

    @property
    def lowest(self) -> float:
        """The lowest score, at this level, of a detection that `note` wants to know of."""
        lowest = min(self.config.detection_threshold, self.config.small_face_threshold)
        return min(lowest, _TRACE) if self._has_more else lowest

    @property
    def may_hide_crowd(self) -> bool:
        """Whether this would be the last level, although no face was seen and there is more."""
        is_last = self._is_enough or self._side >= max(self.config.scales)
        return is_last and self._has_more and not self.is_crowd

    @property
    def _is_enough(self) -> bool:
        done = self._any_face or self._side >= self.config.scale_without_faces
        return done and not self._any_small and not self.config.all_scales

    @property
    def _has_more(self) -> bool:
        """Whether no face was seen in a large photo, at a level that had to show some."""
        config, longest = self.config, max(self.size)
        is_large = longest >= 2 * config.scale_without_faces and longest > self._side
        had_to = self._side >= config.scale_without_faces
        return bool(config.crowd_scales) and is_large and had_to and not self._any_face

    def note(self, found: Detections) -> None:
        """Take note of the detections at this level, with a score of `lowest` or more."""
        config = self.config
        likely = found[found.scores >= config.small_face_threshold]
        any_small = bool(self._are_small(likely).any())
        likely = nms(likely, config.max_iou)
        sure, possible = likely.scores > config.sure_face, likely.scores >= config.crowd_threshold
        self._any_face = self._any_face or bool(sure.any())
        is_uncertain = bool(4 * np.count_nonzero(sure) <= 3 * np.count_nonzero(possible))
        are_many = bool(np.count_nonzero(self._are_small(likely)) >= config.crowd)
        self.is_crowd = is_uncertain and (self.is_crowd or are_many)
        are_several = not self._any_face and len(likely) >= config.several
        self._any_small = any_small or are_several or self.is_crowd

    def _are_small(self, found: Detections) -> NDArray[np.bool_]:
        widths = (found.boxes[:, 2] - found.boxes[:, 0]) * self._side / max(self.size)
        are_small: NDArray[np.bool_] = widths < self.config.small_face
        return are_small


def hides_crowd(
    photo: Image.Image, traces: Detections, network: Network, config: SearchConfig
) -> bool:
    """Whether a photo in which no face was seen shows many as soon as a part of it is enlarged.

    `traces` are detections of however low a score; the part is where most of them are. The photo
    need not have much detail: this asks whether it is worth reading more of it.
    """
    if not len(traces):
        return False
    side = max(photo.size) / _SAMPLE
    across, down = (math.ceil(length / side) for length in photo.size)
    x, y = ((traces.boxes[:, :2] + traces.boxes[:, 2:]) / 2 / side).astype(int).T
    x, y = x.clip(0, across - 1), y.clip(0, down - 1)
    row, column = divmod(int(np.bincount(y * across + x).argmax()), across)
    part = BBox(*(round(at * side) for at in (column, row, column + 1, row + 1)))
    part = part.intersection(BBox(0, 0, *photo.size)) or part
    found = detect(photo.crop(part), network, _SAMPLE_SIDE, config.small_face_threshold)
    return len(nms(found, config.max_iou)) >= config.crowd
