"""CelebAMask-HQ as a torchvision data set."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TinyDataSet
from torch.utils.data import DataLoader

from facesegkit.data.celebamask_hq import hash_split
from facesegkit.dataset import CelebAMaskHQ
from facesegkit.errors import FaceSegKitError
from facesegkit.labels import FIVE_FEATURES, paint_parts
from facesegkit.system.torchvision_import import Mask, VisionDataset


def test_gives_photo_and_label_map_at_their_own_sizes(data_set: TinyDataSet) -> None:
    faces = CelebAMaskHQ(data_set.root, split="all")
    assert isinstance(faces, VisionDataset) and len(faces) == 12
    assert faces.ids == list(data_set.masks)
    for photo_id, (photo, label_map) in zip(faces.ids, faces, strict=True):
        masks = data_set.masks[photo_id]
        assert photo.mode == "RGB"
        assert isinstance(label_map, Mask) and label_map.dtype == torch.uint8
        np.testing.assert_array_equal(label_map, paint_parts(masks, masks["skin"].shape))


def test_scheme_turns_parts_into_classes(data_set: TinyDataSet) -> None:
    _, parts = CelebAMaskHQ(data_set.root)[0]
    _, classes = CelebAMaskHQ(data_set.root, scheme=FIVE_FEATURES)[0]
    np.testing.assert_array_equal(classes, FIVE_FEATURES.merge(parts.numpy()))
    assert 1 < len(classes.unique()) <= 6


def test_transforms_resize_label_maps_without_mixing_ids(data_set: TinyDataSet) -> None:
    from torchvision.transforms import v2

    smaller = v2.Compose([v2.ToImage(), v2.Resize((37, 37))])
    photo, label_map = CelebAMaskHQ(data_set.root, transforms=smaller)[0]
    _, original = CelebAMaskHQ(data_set.root)[0]
    assert photo.shape == (3, 37, 37) and label_map.shape == (37, 37)
    assert set(label_map.unique().tolist()) <= set(original.unique().tolist())


def test_transform_and_target_transform(data_set: TinyDataSet) -> None:
    faces = CelebAMaskHQ(data_set.root, transform=lambda p: p.size, target_transform=torch.sum)
    size, total = faces[0]
    assert size == (96, 96) and total > 0


def test_splits(data_set: TinyDataSet) -> None:
    data_set.add(24)
    for split in ("train", "val", "test"):
        faces = CelebAMaskHQ(data_set.root, split)
        assert faces.ids == [i for i in sorted(data_set.masks) if hash_split(i) == split] != []
        assert faces.split_rule == "hash of the id, 80/10/10"
    assert f"Split: {split} (hash of the id, 80/10/10)" in repr(faces)
    assert f"Root location: {data_set.root}" in repr(faces)


def test_unknown_and_empty_splits(empty_data_set: TinyDataSet) -> None:
    empty_data_set.add(0)
    with pytest.raises(FaceSegKitError, match="There is no split 'training'; use train, val"):
        CelebAMaskHQ(empty_data_set.root, split="training")
    with pytest.raises(FaceSegKitError, match="The test split of .* is empty"):
        CelebAMaskHQ(empty_data_set.root, split="test")


def test_zip_gives_the_same(data_set: TinyDataSet, tmp_path: Path) -> None:
    folder = CelebAMaskHQ(data_set.root)
    zipped = CelebAMaskHQ(data_set.zip(tmp_path / "faces.zip"))
    assert folder.ids == zipped.ids
    for (photo, label_map), (other_photo, other_map) in zip(folder, zipped, strict=True):
        np.testing.assert_array_equal(photo, other_photo)
        np.testing.assert_array_equal(label_map, other_map)


@pytest.mark.parametrize("zipped", [False, True])
def test_works_pickled_and_in_loader_processes(
    data_set: TinyDataSet, tmp_path: Path, zipped: bool
) -> None:
    root = data_set.zip(tmp_path / "faces.zip") if zipped else data_set.root
    faces = pickle.loads(pickle.dumps(CelebAMaskHQ(root)))
    loader = DataLoader(faces, batch_size=None, num_workers=2, collate_fn=None)
    sums = [int(label_map.sum()) for _, label_map in loader]
    assert sums == [int(label_map.sum()) for _, label_map in faces]
