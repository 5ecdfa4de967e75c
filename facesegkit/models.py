"""The two networks: a slim U-Net and a leaner one of depthwise separable convolutions.

Both take photos as float32 [B, 3, H, W], RGB in 0..1, and return logits, float32 [B, C, H, W],
one channel per class. H and W must be multiples of the model's `stride`; the usual size is
256 x 256. No normalization is needed: the batch normalization after the first convolution does it.

Both are designed for what a CPU does quickly. They start by halving the resolution, since at full
resolution most of the time would go into the first few channels. Convolutions keep the processor
busy; operations that only move data (bilinear resizing, concatenation, a separate addition) take a
large part of the time without a single MAC, so there are few of them: coarse feature maps are
narrowed before they are upsampled, with nearest neighbours, which the next convolution smooths.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUT_SIZE = 256


def conv(
    channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution that pads to keep the size (divided by its stride), then batch normalization.

    A kernel of 2 needs a stride of 2.
    """
    padding = (kernel - 1) // 2
    return nn.Sequential(  # no bias, since batch normalization has one
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
    )


def upsample_nearest(features: Tensor) -> Tensor:
    """Nearest-neighbour upsampling: [B, C, H, W] -> [B, C, 2 * H, 2 * W]."""
    return F.interpolate(features, scale_factor=2, mode="nearest")


def upsample_bilinear(logits: Tensor) -> Tensor:
    """Bilinear upsampling: [B, C, H, W] -> [B, C, 2 * H, 2 * W]."""
    return F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=False)


def upsample_bilinear_quarter(logits: Tensor, row: int, column: int) -> Tensor:
    """`upsample_bilinear(logits)[:, :, row::2, column::2]` for a quarter of the work.

    Shape: [B, C, H, W] in and out; `row` and `column` are 0 or 1.
    """
    height, width = logits.shape[2:]
    neighbour = logits[:, :, (torch.arange(height) + 2 * row - 1).clamp(0, height - 1)]
    logits = torch.lerp(logits, neighbour, 0.25)
    neighbour = logits[:, :, :, (torch.arange(width) + 2 * column - 1).clamp(0, width - 1)]
    return torch.lerp(logits, neighbour, 0.25)


class FaceParser(nn.Module):
    """Base class of both models: logits at half the photo's resolution are upsampled.

    Shape: photos float32 [B, 3, H, W] -> logits float32 [B, C, H, W].
    """

    def half_logits(self, photos: Tensor) -> Tensor:
        """Logits at half the photos' resolution: [B, 3, H, W] -> [B, C, H / 2, W / 2]."""
        raise NotImplementedError

    def forward(self, photos: Tensor) -> Tensor:
        return upsample_bilinear(self.half_logits(photos))


class SeparableBlock(nn.Module):
    """A depthwise convolution (mixes neighbouring pixels), then a pointwise one (mixes channels).

    Together they replace a plain k x k convolution at about 1 / k^2 of its MACs (A. Howard et
    al., "MobileNets", 2017). If input and output have the same shape, the input is added (a
    residual connection), so the block only learns what to change.

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


def separable_stage(
    channels_in: int, channels_out: int, blocks: int, kernels: tuple[int, int] = (3, 5)
) -> nn.Sequential:
    """A block that halves the resolution, then `blocks` residual blocks; the kernels of both."""
    first, others = kernels
    return nn.Sequential(
        SeparableBlock(channels_in, channels_out, first, stride=2),
        *(SeparableBlock(channels_out, channels_out, others) for _ in range(blocks)),
    )


class GlobalGate(nn.Module):
    """Channel attention from the global average of the features (J. Hu et al., "SENet", 2018).

    For a few thousand MACs, it tells a network about the whole photo: which way the face is turned.

    Shape: [B, C, H, W] in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        summary = F.adaptive_avg_pool2d(x, 1)  # ONNX Runtime has this, not mean(), in its layout
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(summary))))


class LightweightSegmentationModel(FaceParser):
    """Depthwise separable encoder and decoder with additive skip connections::

        photo 3 ------------------------------------------------------------- 1
        stem 8 -------------------------------------------> + -> look -> head C   1/2
          patch 32 ------------------------> + -> block -> up -^                  1/4
            stage 64 ------> + -> block -> up -^                                  1/8
              stage 128 -> gate -> up -^                                          1/16

    At half the photo's resolution every operation is expensive, so there are only 8 channels.
    Downsampling from there is a plain convolution of 2 x 2: a depthwise one would pass on no more
    than 8 different features, however many channels are then mixed from them.

    Args:
        classes: number of output channels.
        widths: channels at 1/2, 1/4, 1/8 and 1/16 of the input size.
        blocks: number of residual blocks in the stages at 1/8 and 1/16. At the coarse
            resolutions they cost least and have the largest receptive field.
    """

    stride = 16

    def __init__(
        self,
        classes: int = 6,
        widths: Sequence[int] = (8, 32, 64, 128),
        blocks: Sequence[int] = (1, 1),
    ) -> None:
        super().__init__()
        w2, w4, w8, w16 = widths
        self.config: dict[str, Any] = {"classes": classes, "widths": [*widths], "blocks": [*blocks]}
        self.stem = nn.Sequential(conv(3, w2, 3, stride=2), nn.ReLU(inplace=True))
        self.patch4 = nn.Sequential(conv(w2, w4, 2, stride=2), nn.ReLU(inplace=True))
        self.stage8 = separable_stage(w4, w8, blocks[0])
        self.stage16 = separable_stage(w8, w16, blocks[1])
        self.gate = GlobalGate(w16)
        self.up8 = conv(w16, w8, 1)
        self.block8 = SeparableBlock(w8, w8, 5)
        self.up4 = conv(w8, w4, 1)
        self.block4 = SeparableBlock(w4, w4, 3)
        self.up2 = conv(w4, w2, 1)
        self.look2 = conv(w2, w2, 3, groups=w2)
        self.head = nn.Conv2d(w2, classes, 1)

    def half_logits(self, photos: Tensor) -> Tensor:
        x2 = self.stem(photos)
        x4 = self.patch4(x2)
        x8 = self.stage8(x4)
        x16 = self.gate(self.stage16(x8))
        y8 = self.block8(upsample_nearest(self.up8(x16)) + x8)
        y4 = self.block4(upsample_nearest(self.up4(y8)) + x4)
        y2 = torch.relu_(self.look2(upsample_nearest(self.up2(y4)) + x2))
        return self.head(y2)


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


class FuseConv(nn.Module):
    """Decoder block: joins coarser features and a skip connection, then a 3 x 3 convolution.

    The coarse features are narrowed before they are upsampled, and the wide result of the
    concatenation before the 3 x 3 convolution, which would otherwise be the most expensive step.

    Shape: coarse [B, coarse, H, W] and skip [B, skip, 2 * H, 2 * W] -> [B, out, 2 * H, 2 * W].
    """

    def __init__(self, coarse: int, skip: int, out: int) -> None:
        super().__init__()
        self.narrow = conv(coarse, out, 1)
        self.mix = nn.Sequential(conv(out + skip, out, 1), nn.ReLU(inplace=True))
        self.look = nn.Sequential(conv(out, out, 3), nn.ReLU(inplace=True))

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        return self.look(self.mix(torch.cat([upsample_nearest(self.narrow(coarse)), skip], dim=1)))


class LightweightUNet(FaceParser):
    """A slim U-Net (O. Ronneberger et al., 2015): skip connections by concatenation::

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
        self.config: dict[str, Any] = {"classes": classes, "widths": [*widths]}
        self.down2 = nn.Sequential(conv(3, w2, 3, stride=2), nn.ReLU(inplace=True))
        self.down4 = DoubleConv(w2, w4, stride=2)
        self.down8 = DoubleConv(w4, w8, stride=2)
        self.down16 = DoubleConv(w8, w16, stride=2)
        self.down32 = DoubleConv(w16, w32, stride=2)
        self.up16 = FuseConv(w32, w16, w16)
        self.up8 = FuseConv(w16, w8, w8)
        self.up4 = FuseConv(w8, w4, w4)
        self.up2 = FuseConv(w4, w2, w2)
        self.head = nn.Conv2d(w2, classes, 1)

    def half_logits(self, photos: Tensor) -> Tensor:
        x2 = self.down2(photos)
        x4 = self.down4(x2)
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        y16 = self.up16(self.down32(x16), x16)
        y8 = self.up8(y16, x8)
        y4 = self.up4(y8, x4)
        y2 = self.up2(y4, x2)
        return self.head(y2)
