"""Scenes with faces of any size, position and angle, composed of a data set's aligned photos.

Each aligned photo shows one upright face of the usual size in the middle. So the position, size
and angle at which a photo is pasted into a scene are those of its face, and no annotation of
faces is needed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor

from facesegkit.config import TrainConfig
from facesegkit.dataset import TrainingBatch, generator_for
from facesegkit.synthetic.background import background
from facesegkit.transforms import Augmentation, random_blur, random_light, random_noise, uniform

# A face that has to be detected; one that may be detected or not; no face.
POSITIVE, IGNORED, ABSENT = 1, 0, -1


@dataclass(frozen=True)
class SceneSettings:
    """How scenes are composed. Sizes are those of a face's ROI, an aligned photo, in pixels."""

    side: int = 192  # of a scene
    sizes: tuple[float, float] = (36.0, 120.0)  # of faces that have to be detected
    pasted_sizes: tuple[float, float] = (24.0, 200.0)  # of all faces
    layers: tuple[float, ...] = (0.95, 0.55, 0.35)  # fraction with a first, second ... photo
    upright: float = 0.45  # fraction of faces that are rotated only a little
    leaning: float = 0.3  # fraction rotated by up to 75 degrees; the others by any angle
    decoys: float = 0.2  # fraction of photos that are pasted without their face
    light: Augmentation = Augmentation(light=0.4, colour=0.3, grey=0.1, blur=0.2, noise=0.15)


@dataclass(frozen=True)
class Faces:
    """The ROIs of the faces in B scenes, at most K in each."""

    centre: Tensor  # x, y in pixels, float32 [B, K, 2]
    size: Tensor  # side in pixels, float32 [B, K]
    angle: Tensor  # clockwise, in radians, float32 [B, K]
    status: Tensor  # POSITIVE, IGNORED or ABSENT, int64 [B, K]


class SceneMaker:
    """Composes scenes from aligned photos; `train.fit` trains on it.

    Args:
        photos: RGB, uint8 [N, 256, 256, 3], may be memory-mapped.
        rows: which of the N to use.
        settings, backgrounds: how scenes are composed, and on how many synthetic backgrounds.
    """

    def __init__(
        self,
        photos: NDArray[np.uint8],
        rows: NDArray[np.int64],
        settings: SceneSettings,
        backgrounds: int = 600,
    ) -> None:
        self.settings = settings
        halves = []
        for some in np.array_split(rows, max(1, len(rows) // 64)):
            whole = torch.from_numpy(photos[some]).permute(0, 3, 1, 2).float()
            halves.append(F.avg_pool2d(whole, 2).round().byte())
        # Half the size is enough for the largest face that has to be detected, and saves memory.
        self.photos = torch.cat(halves)
        images = [background(np.random.default_rng([7, i])) for i in range(backgrounds)]
        stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        self.backgrounds = F.interpolate(stacked, (settings.side, settings.side), mode="area")

    def __len__(self) -> int:
        return len(self.photos)

    def training_batch(
        self, step: int, progress: float, config: TrainConfig, device: torch.device
    ) -> TrainingBatch:
        """The scenes of a training step, and their faces."""
        scenes, faces = self(config.batch_size, generator_for(config.seed, step))
        return TrainingBatch(scenes.to(device).contiguous(memory_format=torch.channels_last), faces)

    def __call__(self, count: int, generator: Generator) -> tuple[Tensor, Faces]:
        """Scenes, float32 [B, 3, side, side] in 0..1, and their faces."""
        settings = self.settings
        scenes = self._random_backgrounds(count, generator)
        pasted: list[tuple[Tensor, ...]] = []
        for fraction in settings.layers:
            photos = self._random_photos(count, generator)
            roi = self._random_rois(count, generator)
            shown = torch.rand(count, generator=generator) < fraction
            decoy = torch.rand(count, generator=generator) < settings.decoys
            images, opacity = _warped(photos, roi, decoy, settings.side, generator)
            opacity = opacity * shown[:, None, None, None]
            scenes = scenes + opacity * (images - scenes)
            # What was pasted before may be covered now.
            pasted = [(c, s, a, _after_covering(t, opacity, c, s)) for c, s, a, t in pasted]
            (centre, size, angle), (smallest, largest) = roi, settings.sizes
            inside = ((centre > 0) & (centre < settings.side)).all(dim=1)
            counts = inside & (size >= smallest) & (size <= largest)
            status = torch.where(shown & ~decoy, torch.where(counts, POSITIVE, IGNORED), ABSENT)
            pasted.append((centre, size, angle, status))
        scenes = random_light(scenes, settings.light, generator)
        scenes = random_blur(scenes, settings.light.blur, generator)
        scenes = random_noise(scenes, settings.light.noise, generator).clamp_(0, 1)
        return scenes, Faces(*(torch.stack(values, dim=1) for values in zip(*pasted, strict=True)))

    def _random_photos(self, count: int, generator: Generator) -> Tensor:
        chosen = torch.randint(len(self.photos), (count,), generator=generator)
        return self.photos[chosen].float().div_(255)

    def _random_backgrounds(self, count: int, generator: Generator) -> Tensor:
        """Synthetic backgrounds, or skin, hair and cloth so close that no face is recognizable."""
        side = self.settings.side
        chosen = torch.randint(len(self.backgrounds), (count,), generator=generator)
        # Random parts, because the network would memorize the same few images.
        zoom, centre = uniform((count,), 0.25, 1, generator), torch.zeros(count, 2)
        scenes = _rotated_part(self.backgrounds[chosen], zoom, centre, side, generator)
        close = torch.nonzero(torch.rand(count, generator=generator) < 0.5)[:, 0]
        if len(close) == 0:
            return scenes
        photos = self._random_photos(len(close), generator)
        direction = uniform((len(close),), 0, 2 * math.pi, generator)
        zoom = uniform((len(close),), 0.12, 0.3, generator)
        centre = 0.7 * torch.stack([direction.cos(), direction.sin()], dim=1).clamp(-1, 1)
        scenes[close] = _rotated_part(photos, zoom, centre, side, generator)
        return scenes

    def _random_rois(self, count: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Centres [B, 2], sizes [B] and angles [B]."""
        settings = self.settings
        low, high = (math.log(size) for size in settings.pasted_sizes)
        size = uniform((count,), low, high, generator).exp()
        centre = uniform((count, 2), -0.02, 1.02, generator) * settings.side
        kind = torch.rand(count, generator=generator)
        small = torch.randn(count, generator=generator) * math.radians(15)
        limit = torch.where(kind < settings.upright + settings.leaning, math.radians(75), math.pi)
        large = uniform((count,), -1, 1, generator) * limit
        return centre, size, torch.where(kind < settings.upright, small, large)


def _warped(
    photos: Tensor, roi: Sequence[Tensor], decoy: Tensor, side: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Photos warped to ROIs in a scene, [B, 3, side, side], and opacities [B, 1, side, side]."""
    count, (centre, size, angle) = len(photos), roi
    cosine, sine = angle.cos(), angle.sin()
    # From the scene's -1..1 to the photo's -1..1: shift, rotate back, scale.
    x, y = (2 * centre / side - 1).T
    across, down = -(cosine * x + sine * y), -(-sine * x + cosine * y)
    zoom = side / size
    grid = _grid([v * zoom for v in (cosine, sine, across, -sine, cosine, down)], side)
    opacity = _random_shapes(grid, generator)
    flipped = torch.rand(count, generator=generator) < 0.5
    grid[..., 0] *= torch.where(flipped, -1.0, 1.0)[:, None, None]
    # Of a decoy, only an enlarged corner is shown, which contains no face.
    grid = torch.where(decoy[:, None, None, None], 0.62 + 0.133 * grid, grid)
    photos = _antialiased(photos, size)
    return F.grid_sample(photos, grid, align_corners=False, padding_mode="border"), opacity[:, None]


def _grid(inverse: Sequence[Tensor], side: int) -> Tensor:
    """Where to sample, [B, side, side, 2], from the six numbers of an affine map, [B] each."""
    matrix = torch.stack(list(inverse), dim=1).view(-1, 2, 3)
    return F.affine_grid(matrix, [len(matrix), 3, side, side], align_corners=False)


def _random_shapes(grid: Tensor, generator: Generator) -> Tensor:
    """Opacities 0..1 [B, side, side] of many shapes: square borders would give the faces away."""
    count = len(grid)
    radius = uniform((count, 2), 0.5, 1.1, generator)[:, None, None]
    middle = uniform((count, 2), -0.12, 0.12, generator)[:, None, None]
    exponent = uniform((count,), 2, 12, generator)[:, None, None]
    distance = ((grid - middle) / radius).abs().pow(exponent[..., None]).sum(-1)
    softness = uniform((count,), 0.02, 0.4, generator)[:, None, None]
    opacity = ((1 - distance) / softness).clamp(0, 1)
    # Up to the border of the photo, or filling the scene with the colours of the border.
    fills = torch.rand(count, generator=generator) < 0.15
    return torch.where(fills[:, None, None], 1.0, opacity * (grid.abs().amax(-1) <= 1))


def _rotated_part(
    images: Tensor, zoom: Tensor, centre: Tensor, side: int, generator: Generator
) -> Tensor:
    """Randomly rotated parts of images; `zoom` is their relative side, `centre` is in -1..1."""
    angle = uniform((len(images),), 0, 2 * math.pi, generator)
    cosine, sine = angle.cos() * zoom, angle.sin() * zoom
    x, y = centre.T
    grid = _grid((cosine, sine, x, -sine, cosine, y), side)
    return F.grid_sample(images, grid, align_corners=False, padding_mode="reflection")


def _antialiased(photos: Tensor, size: Tensor) -> Tensor:
    """Photos blurred, in place, by as much as they will be downsampled to `size` [B]."""
    level = torch.log2(photos.shape[2] / size).round()
    for step in (1, 2):
        chosen = torch.nonzero(level == step)[:, 0]
        if len(chosen):
            small = F.avg_pool2d(photos[chosen], 2**step)
            photos[chosen] = F.interpolate(small, photos.shape[2:], mode="bilinear")
    return photos


def _after_covering(status: Tensor, opacity: Tensor, centre: Tensor, size: Tensor) -> Tensor:
    """Status of faces after another photo was pasted: partly covered IGNORED, covered ABSENT."""
    offsets = 0.16 * torch.tensor([(0.0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)])
    points = (centre[:, None] + offsets * size[:, None, None]) * 2 / opacity.shape[-1] - 1
    covered = F.grid_sample(opacity, points[:, None], align_corners=False)[:, 0, 0].mean(1)
    status = torch.where((covered > 0.2) & (status == POSITIVE), IGNORED, status)
    return torch.where((covered > 0.8) & (status != ABSENT), ABSENT, status)
