"""Augmentation: random geometry, light and occlusion, on whole batches at once.

One photo at a time, a CPU would spend longer on augmentation than on the network. On a batch each
step is one tensor operation. Expensive steps are applied to a random fraction of the photos only.
All random numbers come from the generator that is passed in: the same seed gives the same batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.labels import MIRROR


@dataclass(frozen=True)
class Augmentation:
    """Strength of the random changes. Fractions are of the photos in a batch.

    Rotation, scale and shift have a triangular distribution around no change; light and colour
    have a uniform one.
    """

    degrees: float = 45.0  # rotation, either way
    scales: tuple[float, float] = (0.5, 1.6)  # of the face's size, on a logarithmic scale
    shift: float = 0.15  # of the photo's side, either way
    flip: float = 0.5  # fraction that is mirrored
    light: float = 0.4  # brightness, contrast and gradient of light: about +- 40 %
    exposure: float = 0.3  # fraction that is under- or overexposed, see `random_exposure`
    colour: float = 0.3  # saturation and colour cast
    grey: float = 0.05  # fraction without colour
    blur: float = 0.15  # fraction that is blurred
    noise: float = 0.15  # fraction with sensor noise
    occluder: float = 0.15  # fraction with something in front of the face


# For a model of aligned face crops, which vary less in angle, size and position.
ALIGNED_AUGMENTATION = Augmentation(degrees=30.0, scales=(0.7, 1.45), shift=0.1)


@dataclass(frozen=True)
class SoftTargets:
    """A teacher's class probabilities for a batch of photos."""

    probabilities: Tensor  # of the model's crop of the photos, uint8 [B, C, h, w], 255 for 1
    mirror: Tensor  # which class each class is in a mirrored photo, int64 [C]
    offset: tuple[int, int] = (0, 0)  # first row and column of every second one that is used


def augment(
    photos: Tensor,
    labels: Tensor,
    config: Augmentation,
    generator: Generator,
    side: int | None = None,
    crop: RelativeCrop = FULL_IMAGE,
    soft: SoftTargets | None = None,
) -> tuple[Tensor, ...]:
    """Augment a batch of photos and their label maps.

    Args:
        photos: uint8 [B, H, W, 3], RGB.
        labels: part ids, uint8 [B, h, w]; may be finer than the photos, the result is not.
        config, generator: strength of the changes; source of random numbers.
        side: H and W of the result, in pixels; by default the crop's own.
        crop: the part of the photos that is used, before it is shifted, scaled and rotated.
        soft: a teacher's probabilities for the crop.

    Returns:
        Photos as float32 [B, 3, H, W] in 0..1 (channels last in memory), part ids as
        uint8 [B, H, W], and if `soft` is given, its probabilities at every second row and column,
        float32 [B, C, H / 2, W / 2].
        Pixels from outside the original photo are background.
    """
    warp = random_warp(photos.shape, config, generator, side, crop, photos.device)
    images, labels = warp.photos(to_float_images(photos)), warp.labels(labels)
    probabilities = () if soft is None else (warp.soft_targets(soft, crop),)
    images = random_exposure(images, config.exposure, generator)
    images = random_light(images, config, generator)
    images = random_blur(images, config.blur, generator)
    random_occlusion(images, labels, config.occluder, generator, *probabilities)
    images = random_noise(images, config.noise, generator)
    return images.clamp_(0, 1), labels, *probabilities


def to_float_images(photos: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in 0..1, still channels last in memory."""
    return photos.permute(0, 3, 1, 2).float().div_(255)


def uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    """Random numbers of the given shape, uniform in low..high."""
    return torch.rand(shape, generator=generator) * (high - low) + low


def around_zero(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Random numbers in -1..1 with a triangular distribution: the extremes occur, but rarely."""
    return torch.rand(shape, generator=generator) - torch.rand(shape, generator=generator)


@dataclass(frozen=True)
class Warp:
    """A random rotation, scale, shift and flip of each photo of a batch."""

    grid: Tensor  # where each pixel comes from, x and y from -1 to 1, [B, H, W, 2]
    mirrored: Tensor  # indices of the flipped photos, int64 [n]
    fill: Tensor  # colour of what lies beyond the photos' borders, [B, 3, 1, 1]

    def photos(self, images: Tensor) -> Tensor:
        """Photos, float32 [B, 3, h, w], sampled bilinearly: [B, 3, H, W]."""
        # Beyond the border grid_sample gives 0; moving the zero point makes that a random colour.
        return F.grid_sample(images - self.fill, self.grid, align_corners=False) + self.fill

    def labels(self, labels: Tensor) -> Tensor:
        """Part ids, uint8 [B, h, w], of the nearest pixels: [B, H, W].

        A flip turns left parts into right ones, so it swaps their ids (`labels.MIRROR`).
        """
        labels = _sample_nearest(labels, self.grid)
        mirror = torch.from_numpy(MIRROR).to(labels.device)
        labels[self.mirrored] = mirror[labels[self.mirrored].int()]
        return labels

    def soft_targets(self, soft: SoftTargets, crop: RelativeCrop) -> Tensor:
        """Probabilities at every second row and column, float32 [B, C, H / 2, W / 2].

        What lies beyond the crop is background.
        """
        row, column = soft.offset
        grid = self.grid[:, row::2, column::2]
        centre = torch.tensor([2 * crop.x - 1, 2 * crop.y - 1], device=grid.device)
        probabilities = soft.probabilities.float().div_(255)
        sampled = F.grid_sample(probabilities, (grid - centre) / crop.size, align_corners=False)
        sampled[self.mirrored] = sampled[self.mirrored][:, soft.mirror]
        sampled[:, 0] += 1 - sampled.sum(dim=1)
        return sampled


def random_warp(
    shape: Sequence[int],
    config: Augmentation,
    generator: Generator,
    side: int | None = None,
    crop: RelativeCrop = FULL_IMAGE,
    device: torch.device | None = None,
) -> Warp:
    """The warp of a batch of photos [B, H, W, 3]; the other arguments are those of `augment`."""
    batch, height, width = shape[:3]
    angle = around_zero((batch,), generator) * math.radians(config.degrees)
    zoom = around_zero((batch,), generator)
    low, high = config.scales
    scale = torch.where(zoom < 0, low**-zoom, high**zoom)
    shift = around_zero((batch, 2), generator) * 2 * config.shift  # the grid is 2 wide
    flipped = torch.rand(batch, generator=generator) < config.flip
    fill = torch.rand((batch, 3, 1, 1), generator=generator)

    # For each pixel of the result, the grid holds where it comes from: the inverse transform.
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    sign = torch.where(flipped, -1.0, 1.0)
    rows = [sign * cosine, sign * sine, sign * shift[:, 0]], [-sine, cosine, shift[:, 1]]
    inverse = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    # So far in coordinates of the crop, now in those of the photo. Both run from -1 to 1.
    inverse = inverse * crop.size
    inverse[:, :, 2] += torch.tensor([2 * crop.x - 1, 2 * crop.y - 1])
    size = [batch, 1, side or round(height * crop.size), side or round(width * crop.size)]
    grid = F.affine_grid(inverse.to(device), size, align_corners=False)
    return Warp(grid, torch.nonzero(flipped)[:, 0].to(device), fill.to(device))


def _sample_nearest(labels: Tensor, grid: Tensor) -> Tensor:
    """Labels uint8 [B, h, w] at the grid's points [B, H, W, 2], 0 outside: uint8 [B, H, W].

    `grid_sample(mode="nearest")` does the same, but on floats: four times the memory traffic.
    """
    batch, height, width = labels.shape
    column = (grid[..., 0] + 1).mul_(width / 2).floor_().long()
    row = (grid[..., 1] + 1).mul_(height / 2).floor_().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = row.clamp_(0, height - 1).mul_(width).add_(column.clamp_(0, width - 1))
    sampled = labels.flatten(1).gather(1, index.flatten(1)).view(index.shape)
    return sampled.mul_(inside)


def random_exposure(images: Tensor, fraction: float, generator: Generator) -> Tensor:
    """Exposure and gamma over the whole range of photos on a fraction of them, in place.

    The exposure is -3.8 to +1.3 stops for a display gamma of 2.2, the gamma 0.6 to 1.7.
    """
    chosen = pick(len(images), fraction, generator)
    gain = uniform((len(chosen), 1, 1, 1), math.log(0.3), math.log(1.5), generator).exp()
    gamma = uniform((len(chosen), 1, 1, 1), math.log(0.6), math.log(1.7), generator).exp()
    gain, gamma, chosen = (values.to(images.device) for values in (gain, gamma, chosen))
    images[chosen] = (images[chosen] * gain).clamp_(0, 1).pow_(gamma)
    return images


def random_light(images: Tensor, config: Augmentation, generator: Generator) -> Tensor:
    """Brightness, contrast, saturation, colour cast, a gradient of light, and a tone curve."""
    batch, _, height, width = images.shape
    light, colour = config.light, config.colour
    contrast = uniform((batch, 1, 1), -light, light, generator).exp()
    brightness = uniform((batch, 1, 1), -light, light, generator) * 0.5
    cast = uniform((batch, 3, 1), -colour, colour, generator).mul(0.5).exp()
    saturation = uniform((batch, 1, 1), 1 - 2 * colour, 1 + 2 * colour, generator)
    grey = torch.rand((batch, 1, 1), generator=generator) < config.grey
    saturation = torch.where(grey, torch.zeros(()), saturation)

    # All of these are linear in the colour, so one 3 x 3 matrix and one offset do them at once.
    luma = torch.tensor([0.299, 0.587, 0.114]).expand(3, 3)  # ITU-R BT.601
    mix = contrast * cast * (saturation * torch.eye(3) + (1 - saturation) * luma)
    offset = 0.5 * (1 - contrast) + brightness
    slope = uniform((batch, 2, 1, 1, 1), -light, light, generator).to(images.device)
    bend = uniform((batch, 1, 1, 1), -light, light, generator).mul(2).to(images.device)

    images = torch.einsum("bij,bjhw->bihw", mix.to(images.device), images)
    images = images + offset[..., None].to(images.device)
    across = torch.linspace(-1, 1, width, device=images.device)
    down = torch.linspace(-1, 1, height, device=images.device)[:, None]
    images = (images * (1 + slope[:, 0] * across + slope[:, 1] * down)).clamp_(0, 1)
    return images + bend * images * (1 - images)  # lifts or lowers mid-tones, keeps black and white


def pick(batch: int, fraction: float, generator: Generator) -> Tensor:
    """Indices of a random fraction of the batch, int64 [n]."""
    return torch.nonzero(torch.rand(batch, generator=generator) < fraction)[:, 0]


def random_blur(images: Tensor, fraction: float, generator: Generator) -> Tensor:
    """Gaussian blur of 0.5 to 2 pixels on a fraction of the photos, in place."""
    chosen = pick(len(images), fraction, generator)
    if len(chosen) == 0:
        return images
    sigma = uniform((len(chosen), 1), 0.5, 2.0, generator)
    taps = torch.exp(-0.5 * (torch.arange(-4, 5) / sigma) ** 2)
    taps = (taps / taps.sum(dim=1, keepdim=True)).to(images.device)
    kernels = taps.repeat_interleave(3, dim=0)  # one per photo and channel
    height, width = images.shape[2:]
    planes = images[chosen.to(images.device)].reshape(1, -1, height, width)
    planes = F.pad(planes, (4, 4, 4, 4), mode="replicate")
    planes = F.conv2d(planes, kernels[:, None, None, :], groups=planes.shape[1])
    planes = F.conv2d(planes, kernels[:, None, :, None], groups=planes.shape[1])
    images[chosen.to(images.device)] = planes.reshape(-1, 3, height, width)
    return images


def random_noise(images: Tensor, fraction: float, generator: Generator) -> Tensor:
    """Gaussian noise of up to 8 % of the range on a fraction of the photos, in place."""
    chosen = pick(len(images), fraction, generator)
    strength = uniform((len(chosen), 1, 1, 1), 0.01, 0.08, generator)
    noise = torch.randn((len(chosen), *images.shape[1:]), generator=generator) * strength
    images[chosen.to(images.device)] += noise.to(images.device)
    return images


def random_occlusion(
    images: Tensor,
    labels: Tensor,
    fraction: float,
    generator: Generator,
    probabilities: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Paint a rotated, shaded ellipse or bar over a fraction of the photos, in place.

    The labels under it become background: a hand or a cup is no part of a face. So do the
    `probabilities`, which cover every second row and column.
    """
    for index in pick(len(images), fraction, generator).tolist():
        covered, colour = _occluder(images.shape[2], images.shape[3], generator)
        covered, colour = covered.to(images.device), colour.to(images.device)
        images[index] = torch.where(covered, colour, images[index])
        labels[index].masked_fill_(covered, 0)
        if probabilities is not None:
            under = covered[::2, ::2]
            probabilities[index].masked_fill_(under, 0)[0].masked_fill_(under, 1)
    return images, labels


def _occluder(height: int, width: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Mask bool [H, W] and colours float32 [3, H, W] of something that covers a photo."""
    centre_x, centre_y, angle, tall, wide, power = torch.rand(6, generator=generator).tolist()
    y = torch.linspace(0, 1, height)[:, None] - centre_y
    x = torch.linspace(0, 1, width) - centre_x
    cosine, sine = math.cos(math.pi * angle), math.sin(math.pi * angle)
    along = (x * cosine + y * sine) / (0.05 + 0.30 * tall)
    across = (y * cosine - x * sine) / (0.03 + 0.12 * wide)
    exponent = 2 if power < 0.5 else 8  # an ellipse, or nearly a rectangle
    covered = along.abs() ** exponent + across.abs() ** exponent < 1
    colour = torch.rand((3, 1, 1), generator=generator)
    shade = uniform((1,), -0.3, 0.3, generator)
    texture = torch.randn((3, height, width), generator=generator) * 0.05
    return covered, (colour * (1 + shade * across) + texture).clamp(0, 1)
