"""CelebAMask-HQ as a torchvision data set, at its own resolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from facesegkit.data.celebamask_hq import SPLITS, Archive
from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.labels import PARTS, LabelScheme, no_such_part
from facesegkit.system.torchvision_import import Mask, VisionDataset


class CelebAMaskHQ(VisionDataset):
    """Photos and label maps of CelebAMask-HQ, read from its folder or its zip.

    `data_set[i]` is the photo, a PIL RGB picture of its own size, and its label map, a
    `tv_tensors.Mask` uint8 [H, W] of the masks' size (1024 and 512 in the original). Being a
    `Mask`, it is resized with the nearest neighbour by `torchvision.transforms.v2`.

    `v2.RandomHorizontalFlip` does not know that a mirrored left eye is a right eye. Where left and
    right count (part ids, or a scheme that tells them apart), flip with `labels.mirror_label_map`.

    Args:
        root: as for `celebamask_hq.Archive`: folder or zip, one level too high or too low will do.
        split: 'train', 'val', 'test' or 'all'.
        transforms: called with photo and label map, returns both.
        transform, target_transform: called with one of them; instead of `transforms`.
        scheme: label maps hold its class ids instead of part ids 0..18.

    Attributes:
        ids: the photos' ids, ascending.
        split_rule: how the split was made, see `celebamask_hq.Archive`.

    Raises:
        FaceSegKitError: `root` is not the data set, there is no such split or nothing in it.
            Reading a pair raises its subclass `celebamask_hq.BadPair` if a file is damaged or missing.
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
        self._archive = Archive(root)
        self.split_rule = self._archive.split_rule
        self.ids = [
            photo_id
            for photo_id in self._archive.pairs
            if split in ("all", self._archive.split_of(photo_id))
        ]
        if not self.ids:
            raise FaceSegKitError(f"The {split} split of {root} is empty ({self.split_rule}).")

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
class TrainingData:
    """Photos and label maps to train or validate on; the arrays may be memory-mapped.

    Args:
        photos: RGB, uint8 [N, H, W, 3].
        labels: part ids, uint8 [N, h, w], at the annotation's resolution.
        rows: which of the N to use, int64 [n].
        crop: the part of them that a model is to look at. What lies around it comes into view
            when a photo is turned or shrunk in training.
    """

    photos: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    crop: RelativeCrop = FULL_IMAGE

    def batch(self, places: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """uint8 photos [B, H, W, 3] and part ids [B, h, w] of the given places in `rows`.

        Raises:
            FaceSegKitError: there is no such part.
        """
        rows = np.sort(self.rows[places])  # in file order, which a disk likes better
        photos, labels = self.photos[rows], self.labels[rows]
        if labels.max() >= len(PARTS):
            raise no_such_part(int(labels.max()))
        return torch.from_numpy(photos), torch.from_numpy(labels)


def generator_for(*key: int) -> Generator:
    """A generator that depends on the key alone, so that any step can be drawn anew."""
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(seed >> 1))


def batch_indices(step: int, count: int, batch: int, seed: int) -> NDArray[np.int64]:
    """Which samples make the batch of a step: each epoch goes through all in an order of its own.

    The last, incomplete batch of an epoch is left out.
    """
    epoch, place = divmod(step, count // batch)
    order = torch.randperm(count, generator=generator_for(seed, 0, epoch)).numpy()
    return order[place * batch : (place + 1) * batch]
