"""All thresholds of the search for faces."""

from collections.abc import Sequence
from dataclasses import dataclass

from facesegkit.geometry import FaceROI


@dataclass(frozen=True)
class SearchConfig:
    """Thresholds of each stage. Scenes are those of benchmarks/any_photo.py, on validation."""

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

    # Area from which eyes, nose or mouth are taken for found, as a fraction of the pixels that the
    # model sees: a quarter of a small eye, or 8 of the 128 x 128 pixels that are looked at.
    min_landmark_area: float = 0.0005

    # Distance between the centres of two ROIs, in fractions of the larger side, up to which they
    # show the same face. A detection within it counts as a hit in scenes, in which the centres of
    # two heads are always farther than 0.45 of the larger side from each other.
    same_face_distance: float = 0.3

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

    def next_scale(self, scale: int, rois: Sequence[FaceROI], longest: int) -> int | None:
        """The next finer scale at which to detect faces, or None if it is not worth it.

        `scale` is the finest so far, `longest` the longest side of the photo, both in pixels.
        """
        finer = next((one for one in self.finer_scales if one > scale), None)
        if finer is None or finer >= 2 * longest:
            return None
        if rois:
            smallest = min(roi.size for roi in rois) * scale / longest
            return finer if smallest < self.small_roi else None
        return finer if finer <= self.finest_without_face else None
