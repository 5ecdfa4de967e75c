"""The two networks: a slim U-Net and a leaner one of depthwise separable convolutions.

Both take photos as float32 [B, 3, H, W], RGB in 0..1, and give scores (before softmax) as
float32 [B, C, H, W], one channel per class. H and W must be multiples of the model's `stride`;
the usual size is 256 x 256. Nobody can forget to normalise: the batch normalisation after the
first convolution does it.

Both are shaped by what a CPU does quickly. They start by halving the picture, since at full
resolution most of the time would go into the first few channels. Convolutions make use of the
processor; what merely moves numbers around (bilinear resizing, concatenation, an addition of its
own) takes a large share of the time without a single multiply-add, so there is little of it:
coarse features are made narrow before they are enlarged, and by repeating pixels, which the next
convolution smooths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUT_SIZE = 256


def conv(
    channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution that keeps the size (but for its stride), then batch normalisation.

    A kernel of 2 goes with a stride of 2 only.
    """
    return nn.Sequential(
        # Batch normalisation has a bias of its own.
        nn.Conv2d(
            channels_in, channels_out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(channels_out),
    )


def upsample_nearest(features: Tensor) -> Tensor:
    """Each pixel four times: [B, C, H, W] -> [B, C, 2 * H, 2 * W]."""
    return F.interpolate(features, scale_factor=2, mode="nearest")


def upsample_bilinear(scores: Tensor) -> Tensor:
    """Bilinear enlargement: [B, C, H, W] -> [B, C, 2 * H, 2 * W]."""
    return F.interpolate(scores, scale_factor=2, mode="bilinear", align_corners=False)


def upsample_bilinear_quarter(scores: Tensor, row: int, column: int) -> Tensor:
    """Every second row and column of what `upsample_bilinear` gives, from `row` and `column` (0 or 1) on.

    It is the same as `enlarge(scores)[:, :, row::2, column::2]`, for a quarter of the work.

    Shape: [B, C, H, W] in and out.
    """
    height, width = scores.shape[2:]
    neighbour = scores[:, :, (torch.arange(height) + 2 * row - 1).clamp(0, height - 1)]
    scores = torch.lerp(scores, neighbour, 0.25)
    neighbour = scores[:, :, :, (torch.arange(width) + 2 * column - 1).clamp(0, width - 1)]
    return torch.lerp(scores, neighbour, 0.25)


class FaceParser(nn.Module):
    """What both models share: they score at half the photo's size, then enlarge.

    Shape: photos float32 [B, 3, H, W] -> scores float32 [B, C, H, W].
    """

    def half_logits(self, photos: Tensor) -> Tensor:
        """Scores at half the photos' size: [B, 3, H, W] -> [B, C, H / 2, W / 2]."""
        raise NotImplementedError

    def forward(self, photos: Tensor) -> Tensor:
        return upsample_bilinear(self.half_logits(photos))


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
        summary = F.adaptive_avg_pool2d(x, 1)  # ONNX Runtime has this, not mean(), in its layout
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(summary))))


class LightweightSegmentationModel(FaceParser):
    """Depthwise separable encoder and decoder with additive skips.

        photo 3 ------------------------------------------------------------- 1
        stem 8 -------------------------------------------> + -> look -> head C   1/2
          patch 32 ------------------------> + -> block -> up -^                  1/4
            stage 64 ------> + -> block -> up -^                                  1/8
              stage 128 -> gate -> up -^                                          1/16

    At half the photo's size everything is dear, so only 8 channels live there. The step from
    there is a plain convolution of 2 x 2: depthwise ones would hand on no more than 8 views of the
    photo, however many channels are mixed from them.

    Args:
        classes: number of output channels.
        widths: channels at 1/2, 1/4, 1/8 and 1/16 of the input size.
        blocks: how many residual blocks the stages at 1/8 and 1/16 have. At the coarse sizes
            they cost least and see furthest.
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
        self.config: dict[str, Any] = {
            "classes": classes,
            "widths": list(widths),
            "blocks": list(blocks),
        }
        self.stem = nn.Sequential(conv(3, w2, 3, stride=2), nn.ReLU(inplace=True))
        self.patch4 = nn.Sequential(conv(w2, w4, 2, stride=2), nn.ReLU(inplace=True))
        self.stage8 = self._stage(w4, w8, blocks[0])
        self.stage16 = self._stage(w8, w16, blocks[1])
        self.gate = GlobalGate(w16)
        self.up8 = conv(w16, w8, 1)
        self.block8 = SeparableBlock(w8, w8, 5)
        self.up4 = conv(w8, w4, 1)
        self.block4 = SeparableBlock(w4, w4, 3)
        self.up2 = conv(w4, w2, 1)
        self.look2 = conv(w2, w2, 3, groups=w2)
        self.head = nn.Conv2d(w2, classes, 1)

    @staticmethod
    def _stage(channels_in: int, channels_out: int, blocks: int) -> nn.Sequential:
        return nn.Sequential(
            SeparableBlock(channels_in, channels_out, 3, stride=2),
            *(SeparableBlock(channels_out, channels_out, 5) for _ in range(blocks)),
        )

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
    """Brings a coarser level and a skip together, then looks around.

    The coarse features are narrowed before they are enlarged, and pointwise convolutions come
    before the 3 x 3 one: concatenation makes wide inputs, on which it would be the dearest step
    of the network.

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
