"""The network that says where faces are, how large and at which angle, and its training.

It looks at every place of a picture once, at one eighth of its resolution, and knows faces of a
limited range of sizes only; `faces` shows it the same photo at several sizes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facesegkit.config import TrainConfig
from facesegkit.detection.scenes import DOUBTFUL, FOUND, Faces
from facesegkit.inference.detector import STRIDE, USUAL
from facesegkit.models import SeparableBlock, conv

CHANNELS = 6  # how sure; x, y to the centre, in cells; log2 of the size over USUAL; cosine; sine


class FaceDetector(nn.Module):
    """Where faces are: plain first steps, then depthwise separable blocks at an eighth.

    Shape: photos float32 [B, 3, H, W], RGB in 0..1 -> float32 [B, 6, H / 8, W / 8], see `CHANNELS`.

    Args:
        widths: channels at 1/2, 1/4 and 1/8 of the photo's size.
        blocks: how many blocks at 1/8. Each of them sees 32 pixels further.
    """

    def __init__(self, widths: tuple[int, int, int] = (8, 24, 48), blocks: int = 5) -> None:
        super().__init__()
        w2, w4, w8 = widths
        self.stem = nn.Sequential(conv(3, w2, 3, stride=2), nn.ReLU(inplace=True))
        self.patch4 = nn.Sequential(conv(w2, w4, 2, stride=2), nn.ReLU(inplace=True))
        self.stage8 = nn.Sequential(
            SeparableBlock(w4, w8, 3, stride=2),
            *(SeparableBlock(w8, w8, 5) for _ in range(blocks)),
        )
        self.head = nn.Conv2d(w8, CHANNELS, 1)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias[:1], -4.0)  # faces are rare

    def forward(self, photos: Tensor) -> Tensor:
        return self.head(self.stage8(self.patch4(self.stem(photos))))


RECIPE = TrainConfig(batch_size=32, lr=6e-3, warmup=0.05, ema_decay=0.995)


def detection_loss(
    output: Tensor, faces: Faces, config: TrainConfig, teacher_probs: Tensor | None = None
) -> Tensor:
    """How far the network's answer is from the faces of its scenes.

    How sure it should be falls off around each centre like a bell, and is compared by a focal
    loss, which does not mind the thousands of places that are plainly nothing; centre, size and
    angle are compared by their absolute differences next to the centres (X. Zhou et al., "Objects
    as Points", 2019).

    Args:
        output: float32 [B, 6, h, w].
        faces: of the B scenes.
        config, teacher_probs: not used; `train.fit` passes them to every loss.
    """
    height, width = output.shape[2:]
    y = torch.arange(height) + 0.5
    x = torch.arange(width) + 0.5
    centre = faces.centre / STRIDE  # in cells
    dx = centre[..., 0, None, None] - x  # [B, K, 1, w]
    dy = centre[..., 1, None, None] - y[:, None]  # [B, K, h, 1]
    away = (dx**2 + dy**2).sqrt()  # [B, K, h, w]
    size = (faces.size / STRIDE)[..., None, None]

    found = (faces.there == FOUND)[..., None, None]
    bell = torch.exp(-0.5 * (away / (0.1 * size).clamp(min=0.6)) ** 2) * found
    sure, nearest = bell.max(dim=1)
    open_question = ((faces.there == DOUBTFUL)[..., None, None] & (away < 0.3 * size)).any(dim=1)
    counts = ~open_question | (sure > 0.5)

    # The cell nearest to a centre is as sure as can be.
    nearest_away = away.gather(1, nearest[:, None])[:, 0]
    centre_cell = (nearest_away <= math.sqrt(0.5)) & (sure > 0.4)
    faces_count = found.sum().clamp(min=1)
    logit = output[:, 0]
    probability = logit.sigmoid()
    hit = -F.logsigmoid(logit) * (1 - probability) ** 2 * centre_cell
    miss = -F.logsigmoid(-logit) * probability**2 * (1 - sure) ** 4 * (~centre_cell & counts)
    focal = (hit + miss).sum() / faces_count

    def of_nearest(values: Tensor) -> Tensor:
        return values.expand_as(away).gather(1, nearest[:, None])[:, 0]

    target = torch.stack(
        [
            of_nearest(dx),
            of_nearest(dy),
            of_nearest((faces.size / USUAL).log2()[..., None, None]),
            of_nearest(faces.angle.cos()[..., None, None]),
            of_nearest(faces.angle.sin()[..., None, None]),
        ],
        dim=1,
    )
    weight = (sure > 0.3) * sure
    scales = torch.tensor([0.5, 0.5, 2.0, 1.0, 1.0])[:, None, None]
    differences = ((output[:, 1:] - target).abs() * scales).sum(dim=1)
    place = (differences * weight).sum() / weight.sum().clamp(min=1)
    return focal + place
