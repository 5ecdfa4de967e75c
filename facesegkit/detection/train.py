"""The face detector: a network that predicts the ROIs of faces, its loss and its recipe.

The network sees a photo at one scale, predicts at one eighth of its resolution, and detects faces
of a limited range of sizes; `inference.detector` applies it to an image pyramid.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesegkit.config import TrainConfig
from facesegkit.detection.scenes import IGNORED, POSITIVE, Faces
from facesegkit.export import OPSET
from facesegkit.inference.detector import SIZE_UNIT, STRIDE
from facesegkit.inference.onnx_model import DETECTOR_KIND, FORMAT, METADATA_KEY
from facesegkit.models import conv, separable_stage
from facesegkit.system.onnx_files import trace_onnx, write_onnx

CHANNELS = 6  # of each cell, see `inference.detector.Detector`
RECIPE = TrainConfig(batch_size=32, lr=6e-3, warmup=0.05, ema_decay=0.995)


class FaceDetector(nn.Module):
    """Plain convolutions down to a quarter of the resolution, separable blocks at an eighth.

    Shape: photos float32 [B, 3, H, W], RGB in 0..1 -> float32 [B, 6, H / 8, W / 8], see `CHANNELS`.

    Args:
        widths: channels at 1/2, 1/4 and 1/8 of the photo's size.
        blocks: number of blocks at 1/8. Each enlarges the receptive field by 32 pixels.
    """

    def __init__(self, widths: tuple[int, int, int] = (8, 24, 48), blocks: int = 5) -> None:
        super().__init__()
        w2, w4, w8 = widths
        self.stem = nn.Sequential(conv(3, w2, 3, stride=2), nn.ReLU(inplace=True))
        self.patch4 = nn.Sequential(conv(w2, w4, 2, stride=2), nn.ReLU(inplace=True))
        self.stage8 = separable_stage(w4, w8, blocks)
        self.head = nn.Conv2d(w8, CHANNELS, 1)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias[:1], -4.0)  # faces are rare

    def forward(self, photos: Tensor) -> Tensor:
        return self.head(self.stage8(self.patch4(self.stem(photos))))


def detection_loss(
    output: Tensor, faces: Faces, config: TrainConfig, teacher_probs: Tensor | None = None
) -> Tensor:
    """Focal loss of the confidence plus L1 loss of centre, size and angle.

    Takes the network's output, float32 [B, 6, h, w], and the faces of the B scenes; `train.fit`
    passes the other arguments to every loss. The target of the confidence is a Gaussian around each
    centre. The focal loss is not dominated by the thousands of cells that are obviously background.
    The L1 loss counts near the centres only (X. Zhou et al., "Objects as Points", 2019).
    """
    y, x = (torch.arange(length) + 0.5 for length in output.shape[2:])
    centre = faces.centre / STRIDE  # in cells
    dx = centre[..., 0, None, None] - x  # [B, K, 1, w]
    dy = centre[..., 1, None, None] - y[:, None]  # [B, K, h, 1]
    distance = (dx**2 + dy**2).sqrt()  # [B, K, h, w]
    size = (faces.size / STRIDE)[..., None, None]

    positive = (faces.status == POSITIVE)[..., None, None]
    gaussians = torch.exp(-0.5 * (distance / (0.1 * size).clamp(min=0.6)) ** 2) * positive
    confidence, nearest = gaussians.max(dim=1)
    is_ignored = (faces.status == IGNORED)[..., None, None] & (distance < 0.3 * size)
    counts = ~is_ignored.any(dim=1) | (confidence > 0.5)

    def of_nearest(values: Tensor) -> Tensor:
        return values.expand_as(distance).gather(1, nearest[:, None])[:, 0]

    # The target is 1 in the cell that contains the centre.
    is_centre = (of_nearest(distance) <= math.sqrt(0.5)) & (confidence > 0.4)
    logit, probability = output[:, 0], output[:, 0].sigmoid()
    hit = -F.logsigmoid(logit) * (1 - probability) ** 2 * is_centre
    miss = -F.logsigmoid(-logit) * probability**2 * (1 - confidence) ** 4 * (~is_centre & counts)
    focal = (hit + miss).sum() / positive.sum().clamp(min=1)

    angle, log_size = faces.angle[..., None, None], (faces.size / SIZE_UNIT).log2()[..., None, None]
    values = (dx, dy, log_size, angle.cos(), angle.sin())
    target = torch.stack([of_nearest(value) for value in values], dim=1)
    weight = (confidence > 0.3) * confidence
    scales = torch.tensor([0.5, 0.5, 2.0, 1.0, 1.0])[:, None, None]
    differences = ((output[:, 1:] - target).abs() * scales).sum(dim=1)
    return focal + (differences * weight).sum() / weight.sum().clamp(min=1)


def export_detector(detector: nn.Module, about: Mapping[str, Any], path: Path | str) -> None:
    """Write a trained `FaceDetector`, and plain data about it, as an ONNX file.

    The network takes `images`, float32 [batch, 3, H, W], RGB in 0..1, with H and W multiples of 8,
    and returns `detections`, float32 [batch, 6, H / 8, W / 8]. Raises a FaceSegKitError if the file
    cannot be written.
    """
    free = {0: "batch", 2: "height", 3: "width"}
    plain = {"kind": DETECTOR_KIND, "format": FORMAT, "about": dict(about)}
    graph = trace_onnx(detector, 64, "detections", free, OPSET)
    write_onnx(graph, {METADATA_KEY: json.dumps(plain)}, path)
