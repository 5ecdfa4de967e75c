"""Pictures with faces of any size, anywhere, at any angle, put together from a data set's photos.

The photos of the data set are aligned: each shows one face in the middle, upright, at its usual
size. So where a photo is laid, turned and scaled into a picture is where its face is, how it is
turned and how large it is, and no face has to be annotated.
"""

from __future__ import annotations

import math
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

FOUND, DOUBTFUL, NOT_THERE = 1, 0, -1  # a face that is to be found; either answer will do; none


@dataclass(frozen=True)
class SceneSettings:
    """How scenes are made. Sizes are of a face's frame, the aligned photo around it, in pixels."""

    side: int = 192  # of a scene
    sizes: tuple[float, float] = (36.0, 120.0)  # frames of these sizes are to be found
    drawn_sizes: tuple[float, float] = (24.0, 200.0)  # and these are there
    layers: tuple[float, ...] = (0.95, 0.55, 0.35)  # share of scenes with a first, second ... photo
    upright: float = 0.45  # share of faces that are turned a little only
    leaning: float = 0.3  # share that is turned by up to 75 degrees; the others by any angle
    decoys: float = 0.2  # share of photos from which the face is cut away
    light: Augmentation = Augmentation(light=0.4, colour=0.3, grey=0.1, blur=0.2, noise=0.15)


@dataclass(frozen=True)
class Faces:
    """The frames in each of B scenes, K at most.

    Args:
        centre: x, y in pixels, float32 [B, K, 2].
        size: side of the frame in pixels, float32 [B, K].
        angle: clockwise, in radians, float32 [B, K].
        there: `FOUND`, `DOUBTFUL` or `NOT_THERE`, int64 [B, K].
    """

    centre: Tensor
    size: Tensor
    angle: Tensor
    there: Tensor


class SceneMaker:
    """Makes scenes from aligned photos.

    Args:
        photos: RGB, uint8 [N, 256, 256, 3], may be memory-mapped.
        rows: which of the N to use.
        settings: how scenes are made.
        backgrounds: how many pictures without people to draw for behind the faces.
    """

    def __init__(
        self,
        photos: NDArray[np.uint8],
        rows: NDArray[np.int64],
        settings: SceneSettings,
        backgrounds: int = 600,
    ) -> None:
        self.settings = settings
        # Half the size is enough for the largest face that is to be found, and fits into memory.
        halves = [_halved(photos[some]) for some in np.array_split(rows, max(1, len(rows) // 64))]
        self.photos = torch.cat(halves)
        drawn = [background(np.random.default_rng([7, i])) for i in range(backgrounds)]
        stacked = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2)
        self.backgrounds = F.interpolate(stacked, (settings.side, settings.side), mode="area")

    def __len__(self) -> int:
        return len(self.photos)

    def training_batch(
        self, step: int, progress: float, config: TrainConfig, device: torch.device
    ) -> TrainingBatch:
        """The scenes of a training step, and their faces; for `train.fit`."""
        scenes, faces = self(config.batch_size, generator_for(config.seed, step))
        return TrainingBatch(scenes.to(device).contiguous(memory_format=torch.channels_last), faces)

    def __call__(self, count: int, generator: Generator) -> tuple[Tensor, Faces]:
        """Scenes, float32 [B, 3, side, side] in 0..1, and their faces."""
        settings = self.settings
        scenes = self._behind(count, generator)
        placed: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for share in settings.layers:
            photos = self._some_photos(count, generator)
            centre, size, angle = self._places(count, generator)
            shown = torch.rand(count, generator=generator) < share
            decoy = torch.rand(count, generator=generator) < settings.decoys
            scenes, cover = self._lay(scenes, photos, centre, size, angle, shown, decoy, generator)
            placed = [
                (c, s, a, _seen(there, cover, c, s)) for c, s, a, there in placed
            ]  # what was laid before may be covered now
            there = self._to_be_found(centre, size, shown & ~decoy)
            placed.append((centre, size, angle, there))
        scenes = random_light(scenes, settings.light, generator)
        scenes = random_blur(scenes, settings.light.blur, generator)
        scenes = random_noise(scenes, settings.light.noise, generator).clamp_(0, 1)
        centre, size, angle, there = (
            torch.stack(parts, dim=1) for parts in zip(*placed, strict=True)
        )
        return scenes, Faces(centre, size, angle, there)

    def _some_photos(self, count: int, generator: Generator) -> Tensor:
        """float32 [count, 3, H, W] in 0..1."""
        chosen = torch.randint(len(self.photos), (count,), generator=generator)
        return self.photos[chosen].float().div_(255)

    def _behind(self, count: int, generator: Generator) -> Tensor:
        """Drawn backgrounds, and skin, hair and cloth so near that no face can be told."""
        side = self.settings.side
        chosen = torch.randint(len(self.backgrounds), (count,), generator=generator)
        # The same few again and again would be learnt by heart, so each time a part is shown.
        scenes = _turned_part(self.backgrounds[chosen], uniform((count,), 0.25, 1, generator),
                              torch.zeros(count, 2), side, generator)  # fmt: skip
        near = torch.nonzero(torch.rand(count, generator=generator) < 0.5)[:, 0]
        if len(near) == 0:
            return scenes
        photos = self._some_photos(len(near), generator)
        direction = uniform((len(near),), 0, 2 * math.pi, generator)
        zoom = uniform((len(near),), 0.12, 0.3, generator)  # of the photo's half side
        place = 0.7 * torch.stack([direction.cos(), direction.sin()], dim=1).clamp(-1, 1)
        scenes[near] = _turned_part(photos, zoom, place, side, generator)
        return scenes

    def _places(self, count: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Centres [B, 2], sizes [B] and angles [B] of frames."""
        settings = self.settings
        low, high = (math.log(size) for size in settings.drawn_sizes)
        size = uniform((count,), low, high, generator).exp()
        centre = uniform((count, 2), -0.02, 1.02, generator) * settings.side
        kind = torch.rand(count, generator=generator)
        little = torch.randn(count, generator=generator) * math.radians(15)
        most = torch.where(kind < settings.upright + settings.leaning, math.radians(75), math.pi)
        much = uniform((count,), -1, 1, generator) * most
        return centre, size, torch.where(kind < settings.upright, little, much)

    def _lay(
        self,
        scenes: Tensor,
        photos: Tensor,
        centre: Tensor,
        size: Tensor,
        angle: Tensor,
        shown: Tensor,
        decoy: Tensor,
        generator: Generator,
    ) -> tuple[Tensor, Tensor]:
        """Lay a photo into each scene; also what it covers, 0..1, [B, 1, side, side].

        Of a decoy only a corner is shown, enlarged, which holds no face.
        """
        count, _, side, _ = scenes.shape
        cosine, sine = angle.cos(), angle.sin()
        # From the scene's -1..1 to the photo's -1..1: shift, turn back, scale.
        scale = side / size
        shift = 2 * centre / side - 1
        rows = [
            torch.stack([cosine, sine, -(cosine * shift[:, 0] + sine * shift[:, 1])], 1),
            torch.stack([-sine, cosine, -(-sine * shift[:, 0] + cosine * shift[:, 1])], 1),
        ]
        inverse = torch.stack(rows, 1) * scale[:, None, None]
        grid = F.affine_grid(inverse, [count, 3, side, side], align_corners=False)
        cover = self._shape(grid, generator) * shown[:, None, None]
        flipped = torch.rand(count, generator=generator) < 0.5
        sign = torch.where(flipped, -1.0, 1.0)
        seen = grid * torch.stack([sign, torch.ones(count)], 1)[:, None, None]
        seen = torch.where(decoy[:, None, None, None], 0.62 + 0.133 * seen, seen)
        pictures = F.grid_sample(
            _smaller(photos, size), seen, align_corners=False, padding_mode="border"
        )
        cover = cover[:, None]
        return scenes + cover * (pictures - scenes), cover

    def _shape(self, grid: Tensor, generator: Generator) -> Tensor:
        """Which part of a photo is laid down, 0..1, [B, side, side].

        The photo's square border must not give the face away, so it is cut out in many shapes,
        and now and then fills the scene.
        """
        count = len(grid)
        across = uniform((count, 2), 0.5, 1.1, generator)[:, None, None]
        middle = uniform((count, 2), -0.12, 0.12, generator)[:, None, None]
        exponent = uniform((count,), 2, 12, generator)[:, None, None]
        distance = ((grid - middle) / across).abs().pow(exponent[..., None]).sum(-1)
        soft = uniform((count,), 0.02, 0.4, generator)[:, None, None]
        cover = ((1 - distance) / soft).clamp(0, 1)
        # As far as the photo goes, and beyond it with its border's colours.
        whole = torch.rand(count, generator=generator) < 0.15
        return torch.where(whole[:, None, None], 1.0, cover * (grid.abs().amax(-1) <= 1))

    def _to_be_found(self, centre: Tensor, size: Tensor, shown: Tensor) -> Tensor:
        """By the size and by whether the middle lies in the scene."""
        settings = self.settings
        inside = ((centre > 0) & (centre < settings.side)).all(dim=1)
        fits = (size >= settings.sizes[0]) & (size <= settings.sizes[1])
        there = torch.where(fits & inside, FOUND, DOUBTFUL)
        return torch.where(shown, there, NOT_THERE)


def _turned_part(
    pictures: Tensor, zoom: Tensor, place: Tensor, side: int, generator: Generator
) -> Tensor:
    """Parts of pictures, turned by any angle, [B, 3, side, side].

    Args:
        pictures: float32 [B, 3, H, W].
        zoom: sides of the parts, as shares of the pictures', [B].
        place: their middles, x and y in -1..1, [B, 2].
        side: of the result, in pixels.
        generator: source of chance, for the angles.
    """
    count = len(pictures)
    angle = uniform((count,), 0, 2 * math.pi, generator)
    cosine, sine = angle.cos() * zoom, angle.sin() * zoom
    rows = [torch.stack([cosine, sine, place[:, 0]], 1),
            torch.stack([-sine, cosine, place[:, 1]], 1)]  # fmt: skip
    grid = F.affine_grid(torch.stack(rows, 1), [count, 3, side, side], align_corners=False)
    return F.grid_sample(pictures, grid, align_corners=False, padding_mode="reflection")


def _halved(photos: NDArray[np.uint8]) -> Tensor:
    """uint8 [B, H, W, 3] -> uint8 [B, 3, H / 2, W / 2]."""
    planes = torch.from_numpy(photos).permute(0, 3, 1, 2).float()
    return F.avg_pool2d(planes, 2).round().byte()


def _smaller(photos: Tensor, size: Tensor) -> Tensor:
    """Photos blurred as much as they will be shrunk, so that nothing aliases."""
    level = torch.log2(photos.shape[2] / size).round()
    for step in (1, 2):
        chosen = torch.nonzero(level == step)[:, 0]
        if len(chosen):
            small = F.avg_pool2d(photos[chosen], 2**step)
            photos[chosen] = F.interpolate(
                small, photos.shape[2:], mode="bilinear", align_corners=False
            )
    return photos


def _seen(there: Tensor, cover: Tensor, centre: Tensor, size: Tensor) -> Tensor:
    """Take a face that a later photo covers from those to be found, or from those there at all."""
    side = cover.shape[-1]
    offsets = torch.tensor([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)], dtype=torch.float32) * 0.16
    points = (centre[:, None] + offsets * size[:, None, None]) * 2 / side - 1
    covered = F.grid_sample(cover, points[:, None], align_corners=False)[:, 0, 0].mean(1)
    there = torch.where((covered > 0.2) & (there == FOUND), DOUBTFUL, there)
    return torch.where((covered > 0.8) & (there != NOT_THERE), NOT_THERE, there)
