"""Augmentation: random geometry, light and occlusion, on whole batches at once.

One photo at a time, a CPU would spend longer on augmentation than on the network. On a batch each
step is one tensor operation. Expensive steps are applied to a random fraction of the photos only.

Every random number comes from the generator that is passed in, so the same seed gives the same
batch.
"""

import math
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
    light: float = 0.4  # exposure, contrast and gradient of light: about +- 40 %
    colour: float = 0.3  # saturation and colour cast
    grey: float = 0.05  # fraction without colour
    blur: float = 0.15  # fraction that is blurred
    noise: float = 0.15  # fraction with sensor noise
    occluder: float = 0.15  # fraction with something in front of the face


# For a model of aligned face crops, which vary less in angle, size and position.
ALIGNED_AUGMENTATION = Augmentation(degrees=30.0, scales=(0.7, 1.45), shift=0.1)


def augment(
    photos: Tensor,
    labels: Tensor,
    config: Augmentation,
    generator: Generator,
    side: int | None = None,
    crop: RelativeCrop = FULL_IMAGE,
) -> tuple[Tensor, Tensor]:
    """Augment a batch of photos and their label maps.

    Args:
        photos: uint8 [B, H, W, 3], RGB.
        labels: part ids, uint8 [B, h, w]; may be finer than the photos, the result is not.
        config, generator: strength of the changes; source of random numbers.
        side: H and W of the result, in pixels; by default the crop's own.
        crop: the part of the photos that is used, before it is shifted, scaled and rotated.

    Returns:
        Photos as float32 [B, 3, H, W] in 0..1 (channels last in memory), and part ids as
        uint8 [B, H, W]. Pixels from outside the original photo are background.
    """
    images, labels = random_affine(to_float_images(photos), labels, config, generator, side, crop)
    images = random_light(images, config, generator)
    images = random_blur(images, config.blur, generator)
    images, labels = random_occlusion(images, labels, config.occluder, generator)
    images = random_noise(images, config.noise, generator)
    return images.clamp_(0, 1), labels


def to_float_images(photos: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in 0..1, still channels last in memory."""
    return photos.permute(0, 3, 1, 2).float().div_(255)


def uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    """Random numbers of the given shape, uniform in low..high."""
    return torch.rand(shape, generator=generator) * (high - low) + low


def around_zero(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Random numbers in -1..1 with a triangular distribution: the extremes occur, but rarely."""
    return torch.rand(shape, generator=generator) - torch.rand(shape, generator=generator)


def random_affine(
    images: Tensor,
    labels: Tensor,
    config: Augmentation,
    generator: Generator,
    side: int | None = None,
    crop: RelativeCrop = FULL_IMAGE,
) -> tuple[Tensor, Tensor]:
    """Rotate, scale, shift and flip: bilinear for the photos, nearest for the labels.

    A flip turns left parts into right ones, so it swaps their ids (`labels.MIRROR`).
    """
    batch, _, height, width = images.shape
    angle = around_zero((batch,), generator) * math.radians(config.degrees)
    zoom = around_zero((batch,), generator)
    low, high = config.scales
    scale = torch.where(zoom < 0, low**-zoom, high**zoom)
    shift = around_zero((batch, 2), generator) * 2 * config.shift  # the grid is 2 wide
    flipped = torch.rand(batch, generator=generator) < config.flip
    fill = torch.rand((batch, 3, 1, 1), generator=generator).to(images.device)

    # For each pixel of the result, the grid holds where it comes from: the inverse transform.
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    sign = torch.where(flipped, -1.0, 1.0)
    rows = [sign * cosine, sign * sine, sign * shift[:, 0]], [-sine, cosine, shift[:, 1]]
    inverse = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    # So far in coordinates of the crop, now in those of the photo. Both run from -1 to 1.
    inverse = inverse * crop.size
    inverse[:, :, 2] += torch.tensor([2 * crop.x - 1, 2 * crop.y - 1])
    inverse = inverse.to(images.device)
    size = [batch, 1, side or round(height * crop.size), side or round(width * crop.size)]
    grid = F.affine_grid(inverse, size, align_corners=False)
    # Beyond the border grid_sample gives 0; moving the zero point makes that a random colour.
    images = F.grid_sample(images - fill, grid, align_corners=False) + fill

    labels = _sample_nearest(labels, grid)
    mirror = torch.from_numpy(MIRROR).to(labels.device)
    mirrored = torch.nonzero(flipped)[:, 0].to(labels.device)
    labels[mirrored] = mirror[labels[mirrored].int()]
    return images, labels


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


def random_light(images: Tensor, config: Augmentation, generator: Generator) -> Tensor:
    """Exposure, contrast, saturation, colour cast, a gradient of light, and a tone curve."""
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
    images: Tensor, labels: Tensor, fraction: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Paint a rotated, shaded ellipse or bar over a fraction of the photos, in place.

    The labels under it become background: a hand or a cup is no part of a face.
    """
    for index in pick(len(images), fraction, generator).tolist():
        covered, colour = _occluder(images.shape[2], images.shape[3], generator)
        covered, colour = covered.to(images.device), colour.to(images.device)
        images[index] = torch.where(covered, colour, images[index])
        labels[index].masked_fill_(covered, 0)
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
