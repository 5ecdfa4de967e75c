"""CelebAMask-HQ as a torchvision data set, and batches of it for training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor

from facesegkit.data.celebamask_hq import SPLITS, Archive, way_out
from facesegkit.data.joined_arrays import Array, JoinedArrays, joined_or_zero
from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.labels import FIVE_FEATURES, IGNORED, LabelScheme, check_part_ids
from facesegkit.system import distributed
from facesegkit.system.torchvision_import import Mask, VisionDataset
from facesegkit.transforms import SoftTargets, augment

if TYPE_CHECKING:
    from facesegkit.config import TrainConfig
    from facesegkit.data.cache import DatasetCache


class CelebAMaskHQ(VisionDataset):
    """Photos and label maps of CelebAMask-HQ, read from its folder or its zip.

    `data_set[i]` is the photo, a PIL RGB image, and its label map, a `tv_tensors.Mask`
    uint8 [H, W] of the masks' size (1024 and 512 pixels in the original). Because it is a `Mask`,
    `torchvision.transforms.v2` resizes it with nearest neighbours.

    `v2.RandomHorizontalFlip` does not know that a mirrored left eye is a right eye. For part ids,
    or a scheme that tells left from right, flip with `labels.mirror_label_map`.

    Args:
        root: folder or zip of the data set, as for `celebamask_hq.Archive`.
        split: 'train', 'val', 'test' or 'all'.
        transforms: called with photo and label map, returns both.
        transform, target_transform: called with one of them; instead of `transforms`.
        scheme: label maps hold its class ids instead of part ids 0..18.

    Attributes:
        ids: the photos' ids, ascending.
        split_rule: how the split was made, see `celebamask_hq.Archive`.

    Raises:
        FaceSegKitError: if `root` is not the data set, or the split is unknown or empty. Reading a
            pair raises `celebamask_hq.BadPair` if a file is damaged or missing.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        transforms: Callable[..., Any] | None = None,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        scheme: LabelScheme | None = None,
    ) -> None:
        super().__init__(root, transforms, transform, target_transform)
        if split not in (*SPLITS, "all"):
            raise FaceSegKitError(f"There is no split {split!r}; use train, val, test or all.")
        self.split = split
        self.scheme = scheme
        archive = self._archive = Archive(root)
        self.split_rule = archive.split_rule
        self.ids = [i for i in archive.pairs if split in ("all", archive.split_of(i))]
        if not self.ids:
            empty = f"The {split} split of {root} is empty ({self.split_rule})"
            raise FaceSegKitError(f"{empty}; {way_out(self.split_rule)}.")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        photo, label_map = self._archive.read_pair(self.ids[index])
        if self.scheme:
            label_map = self.scheme.merge(label_map)
        target = Mask(torch.from_numpy(label_map))
        return self.transforms(photo, target) if self.transforms else (photo, target)

    def extra_repr(self) -> str:
        return f"Split: {self.split} ({self.split_rule})"


@dataclass(frozen=True)
class TrainingBatch:
    """One batch as `train.train_step` uses it."""

    images: Tensor  # float32 [B, 3, H, W], RGB in 0..1, channels last in memory
    target: Any  # what the loss compares the output with, such as class ids int64 [B, H / 2, W / 2]
    # First row and column (0 or 1) if the target holds every second one.
    offset: tuple[int, int] | None = None
    soft_target: Tensor | None = None  # a teacher's probabilities there, float32 [B, C, H/2, W/2]


@dataclass(frozen=True)
class TrainingData:
    """Photos and label maps to train or evaluate on; the arrays may be memory-mapped."""

    photos: Array  # RGB, [N, H, W, 3]
    labels: Array  # part ids, [N, h, w], at the annotation's resolution
    rows: NDArray[np.int64]  # which of the N to use, [n]
    scheme: LabelScheme = FIVE_FEATURES  # merges the parts into the model's classes
    # The part of the photos that the model sees. Augmentation brings in what is around it when it
    # rotates or shrinks a photo.
    crop: RelativeCrop = FULL_IMAGE
    # Probabilities that a teacher predicted for the crop of each of the N photos, uint8
    # [N, C, h, w], 255 for 1; 0 everywhere for a photo of which only the annotation is used.
    soft: Array | None = None
    # Changes augmented batches: images float32 [B, 3, H, W], part ids uint8 [B, H, W] and a
    # generator -> images and part ids. Does not change `soft`.
    transform: Callable[[Tensor, Tensor, Generator], tuple[Tensor, Tensor]] | None = None

    @classmethod
    def from_cache(
        cls,
        cache: DatasetCache,
        split: str,
        scheme: LabelScheme = FIVE_FEATURES,
        crop: RelativeCrop = FULL_IMAGE,
    ) -> TrainingData:
        """The 'train', 'val', 'test' or 'all' split of a data set cache.

        Raises a FaceSegKitError if there is no such split, or it is empty.
        """
        return cls(cache.photos, cache.labels, cache.rows(split), scheme, crop)

    @classmethod
    def joined(cls, *several: TrainingData) -> TrainingData:
        """Samples of several data sets as one; their photos, label maps and crops are alike."""
        lengths = [len(data.photos) for data in several]
        before = np.cumsum([0, *lengths])
        return replace(
            several[0],
            photos=JoinedArrays([data.photos for data in several]),
            labels=JoinedArrays([data.labels for data in several]),
            rows=np.concatenate([data.rows + n for data, n in zip(several, before, strict=False)]),
            soft=joined_or_zero([data.soft for data in several], lengths),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, count: int) -> TrainingData:
        """At most `count` of the samples, spread evenly."""
        indices = np.linspace(0, len(self) - 1, min(count, len(self))).astype(np.int64)
        return replace(self, rows=self.rows[indices])

    def batch(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Photos uint8 [B, H, W, 3] and part ids uint8 [B, h, w] of the samples at these indices.

        Raises a FaceSegKitError if a label map holds an unknown part id.
        """
        rows = self.rows[indices]
        photos, labels = self.photos[rows], self.labels[rows]
        check_part_ids(labels)
        return torch.from_numpy(photos), torch.from_numpy(labels)

    def training_batch(
        self, step: int, progress: float, config: TrainConfig, device: torch.device
    ) -> TrainingBatch:
        """The augmented batch of a training step, or this process's part of it.

        The target covers every second row and column, starting at random: neighbouring pixels
        are nearly redundant, and the loss at full resolution takes a quarter of a step's time.

        The same `step`, from 0, always gives the same batch. `progress` is the fraction of the run
        that is done, for `config.resize_schedule`. Photos are augmented on `device`.
        """
        indices = batch_indices(step, len(self), min(config.batch_size, len(self)), config.seed)
        indices = distributed.shard(indices)
        in_file_order = indices[np.argsort(self.rows[indices])]  # disks are faster that way
        photos, labels = (values.to(device) for values in self.batch(in_file_order))
        size = next((size for until, size in config.resize_schedule if progress < until), None)
        rank = [distributed.rank()] if distributed.are_several() else []
        generator = generator_for(config.seed, 1, step, *rank)
        row, column = torch.randint(2, (2,), generator=generator).tolist()
        soft = self._soft_targets(in_file_order, (row, column), device)
        images, parts, *probabilities = augment(
            photos, labels, config.augmentation, generator, size, self.crop, soft
        )
        if self.transform is not None:
            images, parts = self.transform(images, parts, generator)
        images = images.contiguous(memory_format=torch.channels_last)
        parts = parts[:, row::2, column::2]
        class_of_part = torch.from_numpy(self.scheme.class_of_part).to(device).long()
        target = class_of_part[parts.masked_fill(parts == IGNORED, 0).int()]
        target = target.masked_fill_(parts == IGNORED, IGNORED)
        if soft is not None:
            unknown = soft.probabilities.flatten(1).amax(dim=1) == 0
            one_hot = F.one_hot(target[unknown], 256)[..., : soft.probabilities.shape[1]]
            probabilities[0][unknown] = one_hot.permute(0, 3, 1, 2).float()
        return TrainingBatch(images, target, (row, column), *probabilities)

    def _soft_targets(
        self, indices: NDArray[np.int64], offset: tuple[int, int], device: torch.device
    ) -> SoftTargets | None:
        if self.soft is None:
            return None
        probabilities = torch.from_numpy(self.soft[self.rows[indices]]).to(device)
        mirror = torch.from_numpy(self.scheme.mirrored_classes).to(device)
        return SoftTargets(probabilities, mirror, offset)


def generator_for(*key: int) -> Generator:
    """A random generator seeded with the key, so that any step can be repeated."""
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(seed >> 1))


def batch_indices(step: int, count: int, batch_size: int, seed: int) -> NDArray[np.int64]:
    """Indices of the samples in the batch of a step, int64 [batch_size].

    Each epoch visits all `count` samples in a new order and drops an incomplete last batch.
    """
    epoch, index = divmod(step, count // batch_size)
    order = torch.randperm(count, generator=generator_for(seed, 0, epoch)).numpy()
    return order[index * batch_size : (index + 1) * batch_size]
