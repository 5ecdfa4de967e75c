"""CelebAMask-HQ as a torchvision data set, at its own resolution."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from facesegkit.archive import SPLITS, Archive
from facesegkit.errors import FaceSegKitError
from facesegkit.parts import Scheme
from facesegkit.torchvision_import import Mask, VisionDataset


class CelebAMaskHQ(VisionDataset):
    """Photos and label maps of CelebAMask-HQ, read from its folder or its zip.

    `data_set[i]` is the photo, a PIL RGB picture of its own size, and its label map, a
    `tv_tensors.Mask` uint8 [H, W] of the masks' size (1024 and 512 in the original). Being a
    `Mask`, it is resized with the nearest neighbour by `torchvision.transforms.v2`.

    `v2.RandomHorizontalFlip` does not know that a mirrored left eye is a right eye. Where left and
    right count (part ids, or a scheme that tells them apart), flip with `parts.mirror_label_map`.

    Args:
        root: as for `archive.Archive`: folder or zip, one level too high or too low will do.
        split: 'train', 'val', 'test' or 'all'.
        transforms: called with photo and label map, returns both.
        transform, target_transform: called with one of them; instead of `transforms`.
        scheme: label maps hold its class ids instead of part ids 0..18.

    Attributes:
        ids: the photos' ids, ascending.
        split_rule: how the split was made, see `archive.Archive`.

    Raises:
        FaceSegKitError: `root` is not the data set, there is no such split or nothing in it.
            Reading a pair raises its subclass `archive.BadPair` if a file is damaged or missing.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        transforms: Callable[..., Any] | None = None,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        scheme: Scheme | None = None,
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
