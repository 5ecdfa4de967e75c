"""Training of the face detector: its loss, its recipe, and its file."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesegkit.config import TrainConfig
from facesegkit.export import OPSET
from facesegkit.inference.detector import STRIDES, cells
from facesegkit.inference.onnx_model import DETECTOR_KIND, FORMAT, METADATA_KEY
from facesegkit.system.onnx_files import trace_onnx, write_onnx

RECIPE = TrainConfig(batch_size=32, lr=4e-3, warmup=0.03, ema_decay=0.999)

# Sizes of the faces, in pixels, that cells of each stride learn to detect.
SIZES = ((0.0, 40.0), (28.0, 110.0), (80.0, float("inf")))


@dataclass(frozen=True)
class TrueFaces:
    """The faces of B photos, padded with zeros to K and J in each. Positions are in pixels."""

    boxes: Tensor  # left, top, right, bottom, float32 [B, K, 4]
    points: Tensor  # as of `inference.detector.Detector`, float32 [B, K, 5, 2]
    ignore: Tensor  # boxes of what is neither face nor background, float32 [B, J, 4]


def detection_loss(output: Tensor, faces: TrueFaces) -> Tensor:
    """Varifocal loss of the confidence, plus losses of boxes and points in the positive cells.

    Takes the network's output for B square photos, float32 [B, N, 15], and their faces. A cell is
    positive if it is near the centre of a face whose size its stride is for. The confidence learns
    the IoU of the predicted box, so that it tells how well a face is located (H. Zhang et al.,
    "VarifocalNet", 2021); other cells on a face, and those in `ignore`, learn nothing. Boxes have
    the DIoU loss (Z. Zheng et al., 2020), points the smooth L1 distance over the face's size.
    """
    centres, strides = _cells(output.shape[1])
    photo, cell, face, unlabelled = _assign(centres, strides, faces)
    boxes, points = _decode(output[photo, cell], centres[cell], strides[cell])
    true_boxes, true_points = faces.boxes[photo, face], faces.points[photo, face]
    overlap, distance = _iou_and_distance(boxes, true_boxes)
    size = (true_boxes[:, 2:] - true_boxes[:, :2]).prod(1).sqrt()[:, None, None]
    apart = F.smooth_l1_loss(points / size, true_points / size, beta=0.05, reduction="none")

    logits = output[..., 0]
    target = torch.zeros_like(logits)
    target[photo, cell] = overlap.detach().clamp(min=0.15)
    weight = torch.where(target > 0, target, 0.75 * logits.detach().sigmoid() ** 2)
    weight = torch.where(unlabelled & (target == 0), 0.0, weight)
    confidence = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")
    number = max(1, len(cell))
    return (confidence + 2 * (1 - overlap + distance).sum() + 4 * apart.mean((1, 2)).sum()) / number


def _cells(number: int) -> tuple[Tensor, Tensor]:
    """Centres [N, 2] and strides [N] of the cells of a square photo, in pixels."""
    side = STRIDES[-1] * math.isqrt(
        number // sum((STRIDES[-1] // stride) ** 2 for stride in STRIDES)
    )
    centres, strides = cells((side, side))
    return torch.from_numpy(centres), torch.from_numpy(strides)


def _assign(
    centres: Tensor, strides: Tensor, faces: TrueFaces
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Photo, cell and face of each positive cell, [P] each, and cells without a label, [B, N]."""
    low, high = faces.boxes[:, None, :, :2], faces.boxes[:, None, :, 2:]  # [B, 1, K, 2]
    size = (high - low).prod(-1).sqrt()
    away = centres[None, :, None] - (low + high) / 2  # [B, N, K, 2]
    distance = away.square().sum(-1).sqrt()
    level = torch.searchsorted(torch.tensor(STRIDES, dtype=torch.float32), strides)
    smallest, largest = torch.tensor(SIZES)[level].T[:, None, :, None]
    right_stride = (size >= smallest) & (size < largest) & (size > 0)
    near = distance < torch.maximum(0.22 * size, 0.5 * strides[:, None])
    cost = torch.where(near & right_stride, distance / size.clamp(min=1), torch.inf)
    least, nearest = cost.min(-1)
    photo, cell = torch.nonzero(least.isfinite(), as_tuple=True)
    unlabelled = (away.abs() < (high - low) / 2).all(-1).any(-1) | _inside(centres, faces.ignore)
    return photo, cell, nearest[photo, cell], unlabelled


def _inside(centres: Tensor, boxes: Tensor) -> Tensor:
    """Which cells, [N], lie in one of the boxes of each photo, [B, J, 4]: bool [B, N]."""
    at = centres[None, :, None]
    return ((at > boxes[:, None, :, :2]) & (at < boxes[:, None, :, 2:])).all(-1).any(-1)


def _decode(values: Tensor, centres: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes [P, 4] and points [P, 5, 2] of cells, as `inference.detector.decode` does it."""
    stride = strides[:, None]
    centre = centres + values[:, 1:3] * stride
    half = values[:, 3:5].clamp(-4, 5).exp() * stride
    points = centres[:, None] + values[:, 5:].unflatten(-1, (5, 2)) * stride[..., None]
    return torch.cat([centre - half, centre + half], dim=1), points


def _iou_and_distance(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """IoU of pairs of boxes, [P, 4], and the squared distance of their centres over that of the
    farthest corners; [P] each."""
    low, high = (
        torch.maximum(boxes[:, :2], others[:, :2]),
        torch.minimum(boxes[:, 2:], others[:, 2:]),
    )
    shared = (high - low).clamp(min=0).prod(1)
    areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (boxes, others)]
    enclosing = torch.maximum(boxes, others)[:, 2:] - torch.minimum(boxes, others)[:, :2]
    between = (boxes[:, :2] + boxes[:, 2:] - others[:, :2] - others[:, 2:]) / 2
    distance = between.square().sum(1) / (enclosing.square().sum(1) + 1e-6)
    return shared / (sum(areas) - shared + 1e-6), distance


def export_detector(detector: nn.Module, about: Mapping[str, Any], path: Path | str) -> None:
    """Write a trained `FaceDetector`, and plain data about it, as an ONNX file.

    The network takes `images`, float32 [batch, 3, H, W], RGB in 0..1, with H and W multiples of 32,
    and returns `detections`, float32 [batch, N, 15]. Raises a FaceSegKitError if the file cannot be
    written.
    """
    images = {0: "batch", 2: "height", 3: "width"}
    free = {"images": images, "detections": {0: "batch", 1: "cells"}}
    plain = {"kind": DETECTOR_KIND, "format": FORMAT, "about": dict(about)}
    graph = trace_onnx(detector, 64, free, OPSET)
    write_onnx(graph, {METADATA_KEY: json.dumps(plain)}, path)
