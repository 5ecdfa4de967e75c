"""Random geometry, light and occlusion, on whole batches at once.

One photo at a time, a CPU spends longer on augmentation than on the network. On a batch each step
is one tensor operation. Steps that cost much touch a random share of the photos only.

Every random number comes from the generator that is passed in, so the same seed gives the same
batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.labels import MIRROR


@dataclass(frozen=True)
class Augmentation:
    """How far each random change may go. Shares are of the photos in a batch.

    Rotation, scale and shift are drawn from a triangle around no change, light and colour evenly.
    """

    degrees: float = 45.0  # rotation, either way
    scales: tuple[float, float] = (0.5, 1.6)  # of the face's size, on a logarithmic scale
    shift: float = 0.15  # of the picture's side, either way
    flip: float = 0.5  # share of mirrored photos
    light: float = 0.4  # exposure, contrast and slope of light: about +- 40 %
    colour: float = 0.3  # saturation and colour cast
    grey: float = 0.05  # share of photos without colour
    blur: float = 0.15  # share of blurred photos
    noise: float = 0.15  # share of photos with sensor noise
    occluder: float = 0.15  # share of photos with something in front of the face


# For a model that looks at faces only: they are found and cut out for it, so all lie much the same.
ALIGNED_AUGMENTATION = Augmentation(degrees=30.0, scales=(0.7, 1.45), shift=0.1)


def augment(
    photos: Tensor,
    labels: Tensor,
    settings: Augmentation,
    generator: Generator,
    side: int | None = None,
    crop: RelativeCrop = FULL_IMAGE,
) -> tuple[Tensor, Tensor]:
    """Change a batch at random, photos and labels alike.

    Args:
        photos: uint8 [B, H, W, 3], RGB.
        labels: part ids, uint8 [B, h, w]; may be finer than the photos, the result is not.
        settings: how far changes may go.
        generator: source of chance.
        side: H and W of the result, in pixels; by default they are the crop's own.
        crop: the part of the photos that is seen, before it is moved, scaled and turned.

    Returns:
        Photos as float32 [B, 3, H, W] in 0..1 (channels last in memory), and part ids as
        uint8 [B, H, W]. What lies outside the original picture is background.
    """
    images = to_float_images(photos)
    images, labels = random_affine(images, labels, settings, generator, side, crop)
    images = random_light(images, settings, generator)
    images = random_blur(images, settings.blur, generator)
    images, labels = random_occlusion(images, labels, settings.occluder, generator)
    images = random_noise(images, settings.noise, generator)
    return images.clamp_(0, 1), labels


def to_float_images(photos: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in 0..1, without moving a byte around."""
    return photos.permute(0, 3, 1, 2).float().div_(255)


def uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    """Random numbers of the given shape, evenly spread over low..high."""
    return torch.rand(shape, generator=generator) * (high - low) + low


def around_zero(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Random numbers in -1..1, the likelier the closer to 0: the extremes are seen, but rarely."""
    return torch.rand(shape, generator=generator) - torch.rand(shape, generator=generator)


def random_affine(
    images: Tensor,
    labels: Tensor,
    settings: Augmentation,
    generator: Generator,
    side: int | None = None,
    crop: RelativeCrop = FULL_IMAGE,
) -> tuple[Tensor, Tensor]:
    """Rotate, scale, shift and flip: bilinear for the photos, nearest for the labels.

    A flip turns left parts into right ones, so the labels change names as well (`labels.MIRROR`).
    """
    batch, _, height, width = images.shape
    angle = around_zero((batch,), generator) * math.radians(settings.degrees)
    zoom = around_zero((batch,), generator)
    low, high = settings.scales
    scale = torch.where(zoom < 0, low**-zoom, high**zoom)
    shift = around_zero((batch, 2), generator) * 2 * settings.shift  # the grid is 2 wide
    flipped = torch.rand(batch, generator=generator) < settings.flip
    fill = torch.rand((batch, 3, 1, 1), generator=generator).to(images.device)

    # The grid says for each pixel of the result where it comes from: the inverse transform.
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    sign = torch.where(flipped, -1.0, 1.0)
    inverse = torch.stack(
        [
            torch.stack([sign * cosine, sign * sine, sign * shift[:, 0]], dim=1),
            torch.stack([-sine, cosine, shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    # Of the crop, in which all this happens, within the photo. Both are -1..1 wide.
    inverse = inverse * crop.size
    inverse[:, :, 2] += torch.tensor([2 * crop.x - 1, 2 * crop.y - 1])
    inverse = inverse.to(images.device)
    size = [batch, 1, side or round(height * crop.size), side or round(width * crop.size)]
    grid = F.affine_grid(inverse, size, align_corners=False)
    # Beyond the border grid_sample gives 0; moving the zero point makes that a random colour.
    images = F.grid_sample(images - fill, grid, align_corners=False) + fill

    labels = _sample_nearest(labels, grid)
    names = torch.from_numpy(MIRROR).to(labels.device)
    mirrored = torch.nonzero(flipped)[:, 0].to(labels.device)
    labels[mirrored] = names[labels[mirrored].int()]
    return images, labels


def _sample_nearest(labels: Tensor, grid: Tensor) -> Tensor:
    """Labels uint8 [B, h, w] at the grid's places [B, H, W, 2]; 0 outside. uint8 [B, H, W].

    `grid_sample(mode="nearest")` does the same, but on floats: four times the memory to touch.
    """
    batch, height, width = labels.shape
    column = (grid[..., 0] + 1).mul_(width / 2).floor_().long()
    row = (grid[..., 1] + 1).mul_(height / 2).floor_().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = row.clamp_(0, height - 1).mul_(width).add_(column.clamp_(0, width - 1))
    sampled = labels.flatten(1).gather(1, place.flatten(1)).view(place.shape)
    return sampled.mul_(inside)


def random_light(images: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """Exposure, contrast, saturation, colour cast, a slope of light, and a bend of the tones."""
    batch, _, height, width = images.shape
    light, colour = settings.light, settings.colour
    contrast = uniform((batch, 1, 1), -light, light, generator).exp()
    brightness = uniform((batch, 1, 1), -light, light, generator) * 0.5
    cast = uniform((batch, 3, 1), -colour, colour, generator).mul(0.5).exp()
    saturation = uniform((batch, 1, 1), 1 - 2 * colour, 1 + 2 * colour, generator)
    grey = torch.rand((batch, 1, 1), generator=generator) < settings.grey
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
    images = images * (1 + slope[:, 0] * across + slope[:, 1] * down)
    images = images.clamp_(0, 1)
    return images + bend * images * (1 - images)  # lifts or lowers mid-tones, keeps black and white


def pick(batch: int, share: float, generator: Generator) -> Tensor:
    """Indices of a random share of the batch, int64 [n]."""
    return torch.nonzero(torch.rand(batch, generator=generator) < share)[:, 0]


def random_blur(images: Tensor, share: float, generator: Generator) -> Tensor:
    """Gaussian blur of 0.5 to 2 pixels on a share of the photos, changed in place."""
    chosen = pick(len(images), share, generator)
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


def random_noise(images: Tensor, share: float, generator: Generator) -> Tensor:
    """Gaussian noise of up to 8 % of the range on a share of the photos, changed in place."""
    chosen = pick(len(images), share, generator)
    strength = uniform((len(chosen), 1, 1, 1), 0.01, 0.08, generator)
    noise = torch.randn((len(chosen), *images.shape[1:]), generator=generator) * strength
    images[chosen.to(images.device)] += noise.to(images.device)
    return images


def random_occlusion(
    images: Tensor, labels: Tensor, share: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Put a tilted, shaded ellipse or bar over a share of the photos, changed in place.

    What is under it belongs to the background: a hand or a cup is no part of a face.
    """
    chosen = pick(len(images), share, generator)
    for index in chosen.tolist():
        covered, colour = _occluder(images.shape[2], images.shape[3], generator)
        covered, colour = covered.to(images.device), colour.to(images.device)
        images[index] = torch.where(covered, colour, images[index])
        labels[index] = torch.where(covered, torch.zeros_like(labels[index]), labels[index])
    return images, labels


def _occluder(height: int, width: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Where something covers the photo, bool [H, W], and its colours, float32 [3, H, W]."""
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
