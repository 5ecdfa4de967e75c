"""The two networks: a slim U-Net and a leaner one of depthwise separable convolutions.

Both take photos as float32 [B, 3, H, W], RGB in 0..1, and give scores (before softmax) as
float32 [B, C, H, W], one channel per class. H and W must be multiples of the model's `stride`;
the usual size is 256 x 256. Photos are normalised inside the model, so
nobody can forget it.

Both start by halving the picture. At full resolution a CPU spends most of its time on the first
few channels; starting at half size costs little accuracy, since eyes and lips are tens of pixels
wide, and is several times faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Mean and deviation of ImageNet's RGB values, the field's usual normalisation
# (torchvision.models documentation, "Using models from Hub": inputs in 0..1).
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

INPUT_SIZE = 256


class Normalise(nn.Module):
    """Takes RGB in 0..1 to zero mean and unit deviation. Shape [B, 3, H, W] in and out."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, photos: Tensor) -> Tensor:
        return (photos - self.mean) / self.std


def conv(
    channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution that keeps the size (but for its stride), then batch normalisation."""
    return nn.Sequential(
        # Batch normalisation has a bias of its own.
        nn.Conv2d(
            channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(channels_out),
    )


def enlarge(scores: Tensor, times: int = 2) -> Tensor:
    """Bilinear enlargement: [B, C, H, W] -> [B, C, times * H, times * W]."""
    return F.interpolate(scores, scale_factor=times, mode="bilinear", align_corners=False)


class SeparableBlock(nn.Module):
    """A depthwise convolution (looks around), then a pointwise one (mixes channels).

    The two together stand for one plain k x k convolution at about 1 / k^2 of its multiply-adds
    (A. Howard et al., "MobileNets", 2017). Where input and output have the same shape the input
    is added, so that the block only learns what to change.

    Shape: [B, channels_in, H, W] -> [B, channels_out, H / stride, W / stride].
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int = 3, *, stride: int = 1
    ) -> None:
        super().__init__()
        self.depthwise = conv(channels_in, channels_in, kernel, stride=stride, groups=channels_in)
        self.pointwise = conv(channels_in, channels_out, 1)
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        y = self.pointwise(torch.relu_(self.depthwise(x)))
        return torch.relu_(x + y if self.residual else y)


class GlobalGate(nn.Module):
    """Weighs each channel by what the whole picture holds (J. Hu et al., "SENet", 2018).

    It is how a small net learns, for a few thousand multiply-adds, which way a face looks.

    Shape: [B, C, H, W] in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        summary = x.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(summary))))


class LightweightSegmentationModel(nn.Module):
    """Depthwise separable encoder and decoder with additive skips.

        photo 3 ----------------------------------------------------------- 1
        stem 16 ------------------------------> + -> block -> head C     1/2
          stage 32 ---------------> + -> block -^                        1/4
            stage 64 -----> + -> block -^                                1/8
              stage 96 -> gate -^                                        1/16

    Args:
        classes: number of output channels.
        widths: channels at 1/2, 1/4, 1/8 and 1/16 of the input size.
    """

    stride = 16

    def __init__(self, classes: int = 6, widths: Sequence[int] = (16, 32, 64, 96)) -> None:
        super().__init__()
        w2, w4, w8, w16 = widths
        self.config: dict[str, Any] = {"classes": classes, "widths": list(widths)}
        self.normalise = Normalise()
        self.stem = nn.Sequential(conv(3, w2, 3, stride=2), nn.ReLU(inplace=True))
        self.stage4 = self._stage(w2, w4)
        self.stage8 = self._stage(w4, w8)
        self.stage16 = self._stage(w8, w16)
        self.gate = GlobalGate(w16)
        self.up8 = conv(w16, w8, 1)
        self.skip8 = conv(w8, w8, 1)
        self.block8 = SeparableBlock(w8, w8, 5)
        self.up4 = conv(w8, w4, 1)
        self.skip4 = conv(w4, w4, 1)
        self.block4 = SeparableBlock(w4, w4, 5)
        self.up2 = conv(w4, w2, 1)
        self.skip2 = conv(w2, w2, 1)
        self.block2 = SeparableBlock(w2, w2, 3)
        self.head = nn.Conv2d(w2, classes, 1)

    @staticmethod
    def _stage(channels_in: int, channels_out: int) -> nn.Sequential:
        return nn.Sequential(
            SeparableBlock(channels_in, channels_out, 3, stride=2),
            SeparableBlock(channels_out, channels_out, 5),
        )

    def forward(self, photos: Tensor) -> Tensor:
        x2 = self.stem(self.normalise(photos))
        x4 = self.stage4(x2)
        x8 = self.stage8(x4)
        x16 = self.gate(self.stage16(x8))
        y8 = self.block8(torch.relu_(enlarge(self.up8(x16)) + self.skip8(x8)))
        y4 = self.block4(torch.relu_(enlarge(self.up4(y8)) + self.skip4(x4)))
        y2 = self.block2(torch.relu_(enlarge(self.up2(y4)) + self.skip2(x2)))
        return enlarge(self.head(y2))


class DoubleConv(nn.Sequential):
    """Two plain 3 x 3 convolutions, the building block of the U-Net.

    Shape: [B, channels_in, H, W] -> [B, channels_out, H / stride, W / stride].
    """

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1) -> None:
        super().__init__(
            conv(channels_in, channels_out, 3, stride=stride),
            nn.ReLU(inplace=True),
            conv(channels_out, channels_out, 3),
            nn.ReLU(inplace=True),
        )


class FuseConv(nn.Sequential):
    """Brings what a skip and the coarser level hold down to one width, then looks around.

    The pointwise convolution first: concatenation makes wide inputs, and a 3 x 3 convolution on
    those would be the dearest step of the network.

    Shape: [B, channels_in, H, W] -> [B, channels_out, H, W].
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            conv(channels_in, channels_out, 1),
            nn.ReLU(inplace=True),
            conv(channels_out, channels_out, 3),
            nn.ReLU(inplace=True),
        )


class LightweightUNet(nn.Module):
    """A slim U-Net (O. Ronneberger et al., 2015): plain convolutions, skips by concatenation.

        photo 3 ---------------------------------------------------------------------- 1
        down 16 -----------------------------------------------> cat -> up -> head C   1/2
          down 32 ---------------------------------> cat -> up -^                      1/4
            down 48 ---------------------> cat -> up -^                                1/8
              down 64 ---------> cat -> up -^                                          1/16
                down 96 ---------^                                                     1/32

    Args:
        classes: number of output channels.
        widths: channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input size.
    """

    stride = 32

    def __init__(self, classes: int = 6, widths: Sequence[int] = (16, 32, 48, 64, 96)) -> None:
        super().__init__()
        w2, w4, w8, w16, w32 = widths
        self.config: dict[str, Any] = {"classes": classes, "widths": list(widths)}
        self.normalise = Normalise()
        self.down2 = nn.Sequential(conv(3, w2, 3, stride=2), nn.ReLU(inplace=True))
        self.down4 = DoubleConv(w2, w4, stride=2)
        self.down8 = DoubleConv(w4, w8, stride=2)
        self.down16 = DoubleConv(w8, w16, stride=2)
        self.down32 = DoubleConv(w16, w32, stride=2)
        self.up16 = FuseConv(w32 + w16, w16)
        self.up8 = FuseConv(w16 + w8, w8)
        self.up4 = FuseConv(w8 + w4, w4)
        self.up2 = FuseConv(w4 + w2, w2)
        self.head = nn.Conv2d(w2, classes, 1)

    def forward(self, photos: Tensor) -> Tensor:
        x2 = self.down2(self.normalise(photos))
        x4 = self.down4(x2)
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        x32 = self.down32(x16)
        y16 = self.up16(torch.cat([enlarge(x32), x16], dim=1))
        y8 = self.up8(torch.cat([enlarge(y16), x8], dim=1))
        y4 = self.up4(torch.cat([enlarge(y8), x4], dim=1))
        y2 = self.up2(torch.cat([enlarge(y4), x2], dim=1))
        return enlarge(self.head(y2))
