"""Centroids of eyes, nose and mouth: whether there is a face in a ROI, and how it is aligned."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesegkit.geometry import FaceROI, RelativeCrop
from facesegkit.inference.search_config import SearchConfig
from facesegkit.inference.upsample import argmax_channels, max_softmax
from facesegkit.labels import LabelScheme

Point = tuple[float, float]

# The parts of eyes, nose and mouth, and the means of their centroids on CelebAMask-HQ's train
# split, in fractions of an aligned photo's side; their standard deviation is 0.01 to 0.02.
LANDMARKS = (("l_eye", "r_eye"), ("nose",), ("mouth", "u_lip", "l_lip"))
MEAN_EYES, MEAN_NOSE, MEAN_MOUTH = (0.499, 0.478), (0.498, 0.576), (0.499, 0.749)


@dataclass(frozen=True)
class Landmarks:
    """Centroids of eyes, nose and mouth as segmented by a model.

    Each is x and y in fractions of an aligned photo's side, or None if nothing of it was found.
    """

    eyes: Point | None  # both together
    nose: Point | None
    mouth: Point | None  # with the lips
    # Mean probability of the predicted class over the pixels of each of the three, averaged over
    # those that were found; 0 if none was.
    confidence: float

    @classmethod
    def from_logits(
        cls, logits: NDArray[np.float32], scheme: LabelScheme, crop: RelativeCrop, min_area: float
    ) -> "Landmarks":
        """From the logits, float32 [C, h, w], of a crop of an aligned photo.

        Of each of the three at least the fraction `min_area` of the crop must be segmented.
        """
        # Every second pixel is as good as all, in a quarter of the time.
        logits = np.ascontiguousarray(logits[:, ::2, ::2])
        side = logits.shape[-1]
        classes = argmax_channels(logits).ravel()
        foreground = np.flatnonzero(classes)
        probabilities = max_softmax(logits.reshape(len(logits), -1)[:, foreground])
        confidences = []

        def centroid(parts: tuple[str, ...]) -> Point | None:
            of_parts = np.isin(classes[foreground], scheme.classes_within(parts))
            indices = foreground[of_parts]
            if len(indices) < min_area * classes.size:
                return None
            confidences.append(float(probabilities[of_parts].mean()))
            x, y = ((p.mean() + 0.5) / side - 0.5 for p in (indices % side, indices // side))
            return crop.x + crop.size * float(x), crop.y + crop.size * float(y)

        eyes, nose, mouth = map(centroid, LANDMARKS)
        return cls(eyes, nose, mouth, float(np.mean(confidences)) if confidences else 0.0)

    @property
    def pairs(self) -> list[tuple[Point | None, Point]]:
        """Position and mean position of each of the three."""
        return [(self.eyes, MEAN_EYES), (self.nose, MEAN_NOSE), (self.mouth, MEAN_MOUTH)]

    @property
    def offset(self) -> float:
        """Largest distance from a mean position; infinite with fewer than two landmarks."""
        distances = [math.dist(at, mean) for at, mean in self.pairs if at is not None]
        return max(distances) if len(distances) >= 2 else math.inf

    def may_be_a_face(self, config: SearchConfig, min_confidence: float) -> bool:
        """Whether a second run, on a realigned ROI, might show a face."""
        near = self.offset < config.max_candidate_offset
        return near and self.confidence > min_confidence - config.candidate_margin

    def is_a_face(
        self, roi: FaceROI, size: tuple[int, int], config: SearchConfig, min_confidence: float
    ) -> bool:
        """Whether at least two of the three are where they should be, with enough confidence.

        `roi` is what was segmented of a photo of `size` (width, height). If one is missing that
        should be visible, the confidence has to be higher than the model's `min_confidence`.
        """
        if any(at is None and roi.is_visible(*mean, size) for at, mean in self.pairs):
            min_confidence += config.missing_part_margin
        return self.offset < config.max_offset and self.confidence > min_confidence
