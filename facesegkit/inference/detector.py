"""Face detection at one scale: the network's output as boxes and points, and NMS by IoU."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import BBox
from facesegkit.image_io import to_float_nchw
from facesegkit.inference.onnx_model import Network

# Of the network in detection/model.py: strides in pixels, and values of each cell. They stand here
# because detection runs without PyTorch.
STRIDES = (8, 16, 32)
VALUES = 15

# Levels larger than this are searched in parts, to save memory; a face in the overlap of two is
# whole in one of them.
_PART, _OVERLAP = 1280, 192  # pixels

# Of another detector's results: rounding errors of a score, and positions that no photo has.
_ROUNDING, _FAR = 1e-5, 1e7

Floats = NDArray[np.floating[Any]]

# A face detector of any kind: a photo, RGB uint8 [h, w, 3], to the boxes of its n faces
# (left, top, right, bottom), [n, 4]; five points of each (image-left eye, image-right eye, nose
# tip, image-left and image-right corner of the mouth), [n, 5, 2] of x and y, or None; and their
# confidences in 0..1, [n]. All positions are in pixels of the photo.
Detector = Callable[[NDArray[np.uint8]], tuple[Floats, Floats | None, Floats]]


def run_detector(
    detector: Detector, photo: NDArray[np.uint8]
) -> tuple[Floats, Floats | None, Floats]:
    """Boxes, points and confidences that a detector of any kind returns; arrays or lists.

    Faces whose box does not touch the photo are left out. Raises ValueError if it returns something
    else, shapes do not fit together, a box is empty, or a number is not finite or out of range.
    """
    returned = detector(photo.copy())  # which it may draw on
    if not isinstance(returned, (tuple, list)) or len(returned) != 3:
        raise ValueError(
            f"the detector returned {type(returned).__name__}; expected boxes, points, scores"
        )
    scores = _numbers("scores", returned[2], (-1,))
    n = len(scores)
    boxes = _numbers("boxes", returned[0], (n, 4))
    points = None if returned[1] is None else _numbers("points", returned[1], (n, 5, 2))
    wrong = scores[(scores < -_ROUNDING) | (scores > 1 + _ROUNDING)]
    if len(wrong):
        raise ValueError(f"the detector returned a score of {wrong[0]:g}; expected 0..1")
    if (boxes[:, 2:] <= boxes[:, :2]).any():
        raise ValueError("the detector returned an empty box; expected left, top, right, bottom")
    inside = ((boxes[:, 2:] > 0) & (boxes[:, :2] < photo.shape[1::-1])).all(axis=1)
    scores = scores.clip(0, 1)
    return boxes[inside], None if points is None else points[inside], scores[inside]


def _numbers(name: str, values: object, shape: tuple[int, ...]) -> Floats:
    """What a detector returned as an array of float64 of this shape."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the detector returned {name} that are not numbers: {error}") from error
    if array.size == 0 == max(shape[0], 0):
        return array.reshape(0, *shape[1:])
    expected = (array.size,) if shape == (-1,) else shape
    if array.shape != expected:
        raise ValueError(f"the detector returned {name} {list(array.shape)}; expected {[*shape]}")
    if not (abs(array) < _FAR).all():
        raise ValueError(f"the detector returned {name} that are not finite, or far outside")
    return array


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes, points and confidences as a `Detector` returns them, float32."""

    boxes: Floats  # [n, 4]
    points: Floats  # [n, 5, 2]
    scores: Floats  # [n]

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(
        self, chosen: Sequence[int] | NDArray[np.intp] | NDArray[np.bool_]
    ) -> "Detections":
        return Detections(self.boxes[chosen], self.points[chosen], self.scores[chosen])

    def moved(
        self, scale: tuple[float, float], offset: tuple[float, float] = (0, 0)
    ) -> "Detections":
        """All positions times `scale`, plus `offset` (x and y)."""
        by, to = np.array(scale, np.float32), np.array(offset, np.float32)
        boxes = self.boxes * np.tile(by, 2) + np.tile(to, 2)
        return Detections(boxes, self.points * by + to, self.scores)


def joined(several: Sequence[Detections]) -> Detections:
    """All detections of several."""
    of_each = [(one.boxes, one.points, one.scores) for one in several]
    empty = np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
    boxes, points, scores = map(np.concatenate, zip(empty, *of_each, strict=True))
    return Detections(boxes, points, scores)


def detect(photo: Image.Image, network: Network, side: int, threshold: float) -> Detections:
    """Detect faces at one scale, without NMS.

    Args:
        photo, network: RGB; a face detector as `detection.model.FaceDetector`.
        side: longest side, in pixels, that the photo is resized to.
        threshold: lowest confidence of a detection, 0..1.
    """
    scale, step = side / max(photo.size), STRIDES[-1]
    width, height = (max(step, round(length * scale / step) * step) for length in photo.size)
    # Reducing first is several times faster than the wide filter that resizing would need.
    photo_at = photo.reduce(max(1, int(1 / scale)))
    level = photo_at.resize((width, height), Image.Resampling.BILINEAR)
    found = [_in_part(level, part, network, threshold) for part in _parts(level.size)]
    return joined(found).moved((photo.width / width, photo.height / height))


def _parts(size: tuple[int, int]) -> list[BBox]:
    """Boxes of at most `_PART` pixels that cover a level of (width, height)."""
    across, down = ([*range(0, max(1, length - _OVERLAP), _PART - _OVERLAP)] for length in size)
    ends = [(x, y, min(x + _PART, size[0]), min(y + _PART, size[1])) for y in down for x in across]
    return [BBox(*end) for end in ends]


def _in_part(level: Image.Image, part: BBox, network: Network, threshold: float) -> Detections:
    """Detections in a part of a level, without those that its border cuts: another has them."""
    image = level if part == (0, 0, *level.size) else level.crop(part)
    found = decode(network(to_float_nchw(image))[0], image.size, threshold)
    found = found.moved((1, 1), part[:2])
    inner = np.array([part.left or -math.inf, part.top or -math.inf,
                      part.right if part.right < level.width else math.inf,
                      part.bottom if part.bottom < level.height else math.inf])  # fmt: skip
    sticks_out = np.hstack([found.boxes[:, :2] < inner[:2], found.boxes[:, 2:] > inner[2:]])
    return found[np.flatnonzero(~sticks_out.any(axis=1))]


def decode(output: Floats, size: tuple[int, int], threshold: float) -> Detections:
    """Detections from the network's output for an image of (width, height), float32 [N, 15].

    The values of a cell are the logit of the confidence; x and y of the box's centre from the
    cell's centre, in strides; log of its half width and half height, in strides; and five points,
    x and y each, like the centre.
    """
    centres, strides = cells(size)
    (chosen,) = np.nonzero(output[:, 0] > math.log(threshold / (1 - threshold)))
    values, stride, origin = output[chosen], strides[chosen, None], centres[chosen]
    centre = origin + values[:, 1:3] * stride
    half = np.exp(values[:, 3:5].clip(-4, 5)) * stride
    points = origin[:, None] + values[:, 5:].reshape(-1, 5, 2) * stride[:, None]
    scores = 1 / (1 + np.exp(-values[:, 0]))
    return Detections(np.hstack([centre - half, centre + half]), points, scores)


@lru_cache(maxsize=8)
def cells(size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Centres (x and y, in pixels) of all cells of an image, [N, 2], and their strides, [N]."""
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: size[1] // stride, : size[0] // stride].astype(np.float32)
        centres.append((np.stack([columns, rows], axis=-1).reshape(-1, 2) + 0.5) * stride)
        strides.append(np.full(rows.size, stride, np.float32))
    return np.concatenate(centres), np.concatenate(strides)


def nms(found: Detections, max_iou: float) -> Detections:
    """Non-maximum suppression: of boxes that overlap by more than `max_iou`, the most confident.

    A large box never suppresses a small one inside it, since their IoU is small.
    """
    return found[nms_order(found.boxes, found.scores, max_iou)]


def nms_order(boxes: Floats, scores: Floats, max_iou: float) -> list[int]:
    """Indices of the boxes, [n, 4], that NMS keeps, by descending score, [n]."""
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        kept.append(int(order[0]))
        order = order[1:][iou(boxes[order[0]], boxes[order[1:]]) <= max_iou]
    return kept


def iou(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union of a box, [4], and each of others, [n, 4]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    intersection = (high - low).clip(0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return intersection / np.maximum(areas + (box[2:] - box[:2]).prod() - intersection, 1e-9)
