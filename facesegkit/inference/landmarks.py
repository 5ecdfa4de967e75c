"""TODO."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesegkit.geometry import FaceROI, RelativeCrop
from facesegkit.inference.upsample import argmax_channels, max_softmax
from facesegkit.labels import LabelScheme

# How sure the models that ship have to be of a face: on validation scenes and scikit-image's
# pictures one pattern was as certain, of 117 that have two of the three roughly in place. A model
# that was trained for a few minutes is never as sure, so what it usually is stands in its file.
CERTAIN, LEAST_CERTAIN = 0.87, 0.6

# The parts of eyes, nose and mouth, by which a face is told and seen to stand upright.
LANDMARKS = (("l_eye", "r_eye"), ("nose",), ("mouth", "u_lip", "l_lip"))


@dataclass(frozen=True)
class Landmarks:
    """Where eyes, nose and mouth have their middles, by what a model found.

    Each is x and y as shares of an aligned photo's side, or None where there is nothing of it.

    Args:
        eyes: both together.
        nose: the whole of it.
        mouth: lips and all.
        certainty: mean share, after softmax, that the model gives to the class of a pixel of
            these, each of the three counting alike; 0 where it finds none of them.
    """

    eyes: tuple[float, float] | None
    nose: tuple[float, float] | None
    mouth: tuple[float, float] | None
    certainty: float

    @classmethod
    def of(cls, scores: NDArray[np.float32], scheme: LabelScheme, crop: RelativeCrop) -> Landmarks:
        """From the scores, float32 [C, h, w], of a crop of an aligned photo."""
        # Every other pixel is as good as all, for a quarter of the time.
        scores = np.ascontiguousarray(scores[:, ::2, ::2])
        side = scores.shape[-1]
        classes = argmax_channels(scores).ravel()
        marked = np.flatnonzero(classes)
        shares = max_softmax(scores.reshape(len(scores), -1)[:, marked])
        certainties = []

        def middle(parts: tuple[str, ...]) -> tuple[float, float] | None:
            of_parts = np.isin(classes[marked], scheme.classes_within(parts))
            places = marked[of_parts]
            if len(places) < _FEWEST * classes.size:
                return None
            certainties.append(float(shares[of_parts].mean()))
            x, y = ((p.mean() + 0.5) / side - 0.5 for p in (places % side, places // side))
            return crop.x + crop.size * float(x), crop.y + crop.size * float(y)

        eyes, nose, mouth = map(middle, LANDMARKS)
        return cls(eyes, nose, mouth, float(np.mean(certainties)) if certainties else 0.0)

    @property
    def pairs(self) -> list[tuple[tuple[float, float] | None, tuple[float, float]]]:
        """Where each of the three is, and where it usually is."""
        return [(self.eyes, USUAL_EYES), (self.nose, USUAL_NOSE), (self.mouth, USUAL_MOUTH)]

    @property
    def _astray(self) -> float:
        """How far one of them lies from its usual place, at most; with fewer than two, endless."""
        apart = [math.dist(found, usual) for found, usual in self.pairs if found is not None]
        return max(apart) if len(apart) >= 2 else math.inf

    def may_be_a_face(self, certain: float = CERTAIN) -> bool:
        """Whether another look, at a straightened frame, might show a face.

        Args:
            certain: how sure the model usually is of faces.
        """
        return self._astray < _FAR_ASTRAY and self.certainty > certain - _LESS

    def is_a_face(self, frame: FaceROI, size: tuple[int, int], certain: float = CERTAIN) -> bool:
        """Whether at least two of the three lie where they should, and surely.

        It has to be very sure if one lacks that the photo should show.

        Args:
            frame: what it was looked for in.
            size: width and height of the photo.
            certain: how sure the model usually is of faces.
        """
        lacks = any(found is None and frame.shows(*usual, size) for found, usual in self.pairs)
        return self._astray < _ASTRAY and self.certainty > (certain + _MORE if lacks else certain)


# The middles on CelebAMask-HQ's train split; their spread is 0.01 to 0.02.
USUAL_EYES, USUAL_NOSE, USUAL_MOUTH = (0.499, 0.478), (0.498, 0.576), (0.499, 0.749)

_FEWEST = 0.0005  # of a cut-out's pixels: a fourth of a small eye

_ASTRAY = 0.12  # of an aligned photo's side

_MORE = 0.04  # sure has a model to be where a part lacks

# On validation scenes, every face that further looks confirm passes these at the first, and of
# the looks at what is none five sixths are saved.
_FAR_ASTRAY, _LESS = 0.3, 0.12
