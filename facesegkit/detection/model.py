"""The network of the face detector: one stage, without anchors, at three strides."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facesegkit.inference.detector import STRIDES, VALUES
from facesegkit.models import SeparableBlock, conv, separable_stage, upsample_nearest


class FaceDetector(nn.Module):
    """Depthwise separable stages, a top-down path that adds them, and a head for each stride.

        photo 3 ------------------------------------------------------- 1
        stem 16 ------------------------------------------------------- 1/2
          patch 32, block --------------------------------------------- 1/4
            stage 64 ------> 48 -> + -> block -> head: small faces      1/8
              stage 96 ----> 48 -> + -> block -^ -> head: medium        1/16
                stage 96 --> 48 ----------------^ -> head: large        1/32

    Shape: photos float32 [B, 3, H, W], RGB in 0..1, with H and W multiples of 32 -> float32
    [B, N, 15], the cells of stride 8, 16 and 32, each row by row. The 15 values of a cell are
    described in `inference.detector.decode`.

    Args:
        widths: channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the photo's size.
        neck: channels of the top-down path and of the heads.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 96, 96), neck: int = 48) -> None:
        super().__init__()
        w2, w4, w8, w16, w32 = widths
        self.stem = nn.Sequential(conv(3, w2, 3, stride=2), nn.ReLU(inplace=True))
        self.patch4 = nn.Sequential(
            conv(w2, w4, 2, stride=2), nn.ReLU(inplace=True), SeparableBlock(w4, w4, 3)
        )
        self.stage8 = separable_stage(w4, w8, 2, kernels=(3, 3))
        self.stage16 = separable_stage(w8, w16, 2, kernels=(5, 5))
        self.stage32 = separable_stage(w16, w32, 1, kernels=(5, 5))
        self.lateral8, self.lateral16, self.lateral32 = (conv(w, neck, 1) for w in (w8, w16, w32))
        self.block16, self.block8 = SeparableBlock(neck, neck), SeparableBlock(neck, neck)
        self.heads = nn.ModuleList(_head(neck) for _ in STRIDES)

    def forward(self, photos: Tensor) -> Tensor:
        # The border is padded with 0, which is mid grey here.
        x8 = self.stage8(self.patch4(self.stem(photos - 0.5)))
        x16 = self.stage16(x8)
        y32 = torch.relu(self.lateral32(self.stage32(x16)))
        y16 = self.block16(torch.relu(self.lateral16(x16) + upsample_nearest(y32)))
        y8 = self.block8(torch.relu(self.lateral8(x8) + upsample_nearest(y16)))
        outputs = [head(y) for head, y in zip(self.heads, (y8, y16, y32), strict=True)]
        return torch.cat([output.flatten(2) for output in outputs], dim=2).transpose(1, 2)


def _head(channels: int) -> nn.Sequential:
    last = nn.Conv2d(channels, VALUES, 1)
    nn.init.normal_(last.weight, std=0.01)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    nn.init.constant_(last.bias[:1], -4.6)  # a probability of 1 %, since faces are rare
    return nn.Sequential(
        SeparableBlock(channels, channels), SeparableBlock(channels, channels), last
    )
