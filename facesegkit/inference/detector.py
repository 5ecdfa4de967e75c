"""Face detection: an image pyramid, decoding of the network's output, non-maximum suppression."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import FaceROI
from facesegkit.image_io import to_float_nchw

# Of the network in detection/train.py: its stride in pixels, and the ROI size whose log2 is 0.
# They stand here because detection runs without PyTorch.
STRIDE, SIZE_UNIT = 8, 64.0

# Images float32 [1, 3, H, W], RGB in 0..1, to float32 [1, 6, H / 8, W / 8]: confidence logit, x and
# y of the centre in cells, log2 of the size over SIZE_UNIT, cosine and sine of the angle.
Detector = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Detection:
    """A region in which the detector sees a face."""

    roi: FaceROI
    confidence: float  # the detector's, 0..1


def detect_faces(
    photo: Image.Image,
    detector: Detector,
    scales: Sequence[int],
    threshold: float,
    same_face_distance: float,
) -> list[Detection]:
    """Detect faces on an image pyramid of an RGB photo, most confident first.

    Args:
        photo, detector: what is searched, and by what.
        scales: longest side, in pixels, of the photo at each level of the pyramid, ascending.
        threshold: lowest confidence of a detection, 0..1.
        same_face_distance: see `overlaps`.
    """
    detections: list[Detection] = []
    longest = max(photo.size)
    fine = photo.reduce(max(1, round(longest / scales[-1])))  # fast; the levels are made of it
    for scale in scales:
        if scale > 64 and scale >= 2 * longest:
            break  # upsampling by more than 2 shows nothing new
        factor = scale / longest
        size = [max(STRIDE, round(side * factor / STRIDE) * STRIDE) for side in photo.size]
        level = fine.resize((size[0], size[1]), Image.Resampling.BILINEAR)
        output = detector(to_float_nchw(level))[0]
        across, down = photo.size[0] / size[0], photo.size[1] / size[1]
        for found in decode_detections(output, threshold):
            roi = found.roi
            roi = FaceROI(roi.x * across, roi.y * down, roi.size / factor, roi.angle)
            detections.append(Detection(roi, found.confidence))
    return nms(detections, same_face_distance)


def decode_detections(output: NDArray[np.float32], threshold: float) -> list[Detection]:
    """The local maxima of the confidence in a detector's output, float32 [6, h, w]."""
    height, width = output.shape[1:]
    logit = output[0]
    padded = np.pad(logit, 1, constant_values=-np.inf)
    around = np.max([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], 0)
    peaks = (logit >= around) & (logit > math.log(threshold / (1 - threshold)))
    detections = []
    for row, column in zip(*np.nonzero(peaks), strict=True):
        confidence, dx, dy, size, cosine, sine = map(float, output[:, row, column])
        x, y = (column + 0.5 + dx) * STRIDE, (row + 0.5 + dy) * STRIDE
        roi = FaceROI(x, y, SIZE_UNIT * 2 ** min(max(size, -2.0), 2.0), math.atan2(sine, cosine))
        detections.append(Detection(roi, 1 / (1 + math.exp(-confidence))))
    return detections


def nms(detections: Sequence[Detection], same_face_distance: float) -> list[Detection]:
    """Non-maximum suppression: the most confident of the detections that overlap, descending."""
    kept: list[Detection] = []
    for detection in sorted(detections, key=lambda detection: -detection.confidence):
        if not any(overlaps(detection.roi, other.roi, same_face_distance) for other in kept):
            kept.append(detection)
    return kept


def overlaps(one: FaceROI, other: FaceROI, same_face_distance: float) -> bool:
    """Whether two ROIs show the same face: their centres are that near, in larger sides."""
    distance = math.hypot(one.x - other.x, one.y - other.y)
    return distance <= same_face_distance * max(one.size, other.size)
