"""CelebAMask-HQ as a torchvision data set, and training batches."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from facesegkit.config import TrainConfig
from facesegkit.data.cache import build_cache
from facesegkit.data.celebamask_hq import hash_split
from facesegkit.dataset import CelebAMaskHQ, TrainingData, batch_indices, generator_for
from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import FACE_CROP
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES, IGNORED, PART_IDS, paint_parts
from facesegkit.system import distributed
from facesegkit.system.torchvision_import import Mask, VisionDataset
from facesegkit.transforms import Augmentation, augment

# isort: split
from torchvision.transforms import v2  # after torchvision_import, which may have to mend it


def test_photos_and_label_maps_have_their_own_sizes(data_set):
    faces = CelebAMaskHQ(data_set.root, split="all")
    assert isinstance(faces, VisionDataset) and len(faces) == 12
    assert faces.ids == list(data_set.masks)
    for photo_id, (photo, label_map) in zip(faces.ids, faces, strict=True):
        masks = data_set.masks[photo_id]
        assert photo.mode == "RGB"
        assert isinstance(label_map, Mask) and label_map.dtype == torch.uint8
        np.testing.assert_array_equal(label_map, paint_parts(masks, masks["skin"].shape))


def test_transforms_and_schemes(data_set):
    smaller = v2.Compose([v2.ToImage(), v2.Resize((37, 37))])
    photo, label_map = CelebAMaskHQ(data_set.root, transforms=smaller)[0]
    _, original = CelebAMaskHQ(data_set.root)[0]
    assert photo.shape == (3, 37, 37) and label_map.shape == (37, 37)
    assert set(label_map.unique().tolist()) <= set(original.unique().tolist())  # no mixed ids
    faces = CelebAMaskHQ(data_set.root, transform=lambda p: p.size, target_transform=torch.sum)
    assert faces[0] == ((96, 96), original.sum())
    _, classes = CelebAMaskHQ(data_set.root, scheme=FIVE_FEATURES)[0]
    np.testing.assert_array_equal(classes, FIVE_FEATURES.merge(original.numpy()))
    assert 1 < len(classes.unique()) <= 6


def test_splits(data_set):
    with pytest.raises(FaceSegKitError, match="There is no split 'training'; use train, val"):
        CelebAMaskHQ(data_set.root, split="training")
    for photo in [*data_set.masks][2:]:
        data_set.photo(photo).rename(data_set.root / f"{photo}.jpg")
    with pytest.raises(FaceSegKitError, match="The test split of .* is empty"):
        CelebAMaskHQ(data_set.root, split="test")
    for photo in [*data_set.masks][2:]:
        (data_set.root / f"{photo}.jpg").rename(data_set.photo(photo))
    data_set.add(24)
    for split in ("train", "val", "test"):
        faces = CelebAMaskHQ(data_set.root, split)
        assert faces.ids == [i for i in sorted(data_set.masks) if hash_split(i) == split] != []
        assert faces.split_rule == "hash of the id, 80/10/10"
    assert f"Split: {split} (hash of the id, 80/10/10)" in repr(faces)
    assert f"Root location: {data_set.root}" in repr(faces)


@pytest.mark.parametrize("zipped", [False, True])
def test_folder_and_zip_can_be_pickled_and_read_by_workers(data_set, tmp_path, zipped):
    expected = [label_map for _, label_map in CelebAMaskHQ(data_set.root)]
    root = data_set.zip(tmp_path / "faces.zip") if zipped else data_set.root
    faces = pickle.loads(pickle.dumps(CelebAMaskHQ(root)))
    loader = DataLoader(faces, batch_size=None, num_workers=2, collate_fn=None)
    for (photo, label_map), (own_photo, _), target in zip(loader, faces, expected, strict=True):
        np.testing.assert_array_equal(photo, own_photo)
        np.testing.assert_array_equal(label_map, target)


CPU = torch.device("cpu")


def numbered(count: int, size: int = 32) -> TrainingData:
    """Photos and label maps filled with their index."""
    labels = np.arange(count, dtype=np.uint8)[:, None, None].repeat(size, 1).repeat(size, 2)
    photos = labels[..., None].repeat(3, 3)
    return TrainingData(photos, labels, np.arange(count)[::-1], ALL_PARTS)


def test_training_data_of_a_cache(data_set, tmp_path):
    cache = build_cache(data_set.root, tmp_path / "cache", progress=False)
    data = TrainingData.from_cache(cache, "val", ALL_PARTS, FACE_CROP)
    assert data.photos is cache.photos and data.labels is cache.labels
    assert [*data.rows] == [*cache.rows("val")] and len(data) == len(data.rows) > 0
    assert (data.scheme, data.crop) == (ALL_PARTS, FACE_CROP)


def test_batches_and_subsets_pair_photos_with_their_label_maps():
    data = numbered(12)
    for (photos, labels), expected in (
        (data.batch(np.array([7, 2, 5])), [4, 9, 6]),
        (data.subset(3).batch(np.arange(3)), [11, 6, 0]),
        (data.subset(100).batch(np.arange(12)), [*data.rows]),
    ):
        assert photos[:, 0, 0, 0].tolist() == labels[:, 0, 0].tolist() == expected
    assert len(data.subset(3)) == 3 and data.subset(3).scheme is ALL_PARTS
    with pytest.raises(FaceSegKitError, match="19"):
        numbered(20).batch(np.array([0]))


def test_training_batches_can_be_repeated():
    data, config = numbered(10), TrainConfig(batch_size=4, resize_schedule=((0.5, 16),))
    runs = (3, 0.2), (3, 0.2), (3, 0.5), (4, 0.2)  # step, progress
    first, again, later, other = (data.training_batch(*run, config, CPU) for run in runs)
    assert first.images.shape == (4, 3, 16, 16) and first.target.shape == (4, 8, 8)
    assert first.images.is_contiguous(memory_format=torch.channels_last)
    assert later.images.shape == (4, 3, 32, 32) and later.target.dtype == torch.int64
    assert torch.equal(first.images, again.images) and first.offset == again.offset
    assert torch.equal(first.target, again.target)
    assert not torch.equal(first.images, other.images)
    assert len(data.subset(3).training_batch(0, 1.0, config, CPU).images) == 3


def test_a_transform_gets_the_augmented_batch():
    def transform(images, parts, generator):
        assert images.shape == (4, 3, 32, 32) and parts.shape == (4, 32, 32)
        number = torch.rand(1, generator=generator)
        return number.expand_as(images), torch.full_like(parts, PART_IDS["nose"])

    data, config = replace(numbered(10), transform=transform), TrainConfig(batch_size=4)
    first, again, later = (data.training_batch(step, 1.0, config, CPU) for step in (0, 0, 1))
    assert (first.target == PART_IDS["nose"]).all()  # all parts are classes here
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, later.images)


def test_random_numbers_depend_on_seed_and_step_and_never_change():
    assert generator_for(0, 1, 2).initial_seed() == 1535930435702422785
    assert batch_indices(0, 8, 8, seed=0).tolist() == [3, 2, 5, 1, 7, 4, 6, 0]
    orders = {tuple(batch_indices(step, 8, 8, seed)) for step, seed in ((0, 0), (1, 0), (0, 1))}
    assert len(orders) == 3
    data, config = replace(numbered(4), crop=FACE_CROP), TrainConfig(batch_size=4, seed=5)
    batch, generator = data.training_batch(3, 1.0, config, CPU), generator_for(5, 1, 3)
    files = data.batch(np.arange(4)[::-1])
    row, column = torch.randint(2, (2,), generator=generator).tolist()
    images, parts = augment(*files, config.augmentation, generator, None, FACE_CROP)
    assert torch.equal(batch.images, images) and batch.offset == (row, column)
    assert torch.equal(batch.target, parts[:, row::2, column::2].long())


def test_processes_share_a_batch_and_augment_it_differently(monkeypatch):
    data, images = replace(numbered(8), rows=np.full(8, 3)), []
    for rank in (0, 1):
        for name, value in {"are_several": True, "world_size": 2, "rank": rank}.items():
            monkeypatch.setattr(distributed, name, lambda value=value: value)
        images.append(data.training_batch(0, 1.0, TrainConfig(batch_size=8), CPU).images)
    assert len(images[0]) == len(images[1]) == 4 and not torch.equal(*images)


def test_joined_data_sets_give_the_samples_of_each():
    first, second = numbered(4), replace(numbered(6), rows=np.array([5, 1]))
    both = TrainingData.joined(first, second)
    indices = np.array([0, 4, 3, 5])
    for index, (of, at) in enumerate([(first, 0), (second, 0), (first, 3), (second, 1)]):
        for joined, alone in zip(both.batch(indices), of.batch(np.array([at])), strict=True):
            assert torch.equal(joined[index], alone[0])


def test_soft_targets_of_joined_data_sets_are_the_annotation_where_there_are_none():
    soft = np.zeros((4, 19, 16, 16), dtype=np.uint8)
    soft[:, 2] = 255
    taught, annotated = replace(numbered(4), soft=soft), numbered(4)
    both = TrainingData.joined(annotated, taught)
    config = TrainConfig(batch_size=8, augmentation=replace(Augmentation(), occluder=0))
    batch = both.training_batch(0, 1.0, config, CPU)
    order = np.sort(batch_indices(0, 8, 8, 0))
    of_annotation = F.one_hot(batch.target, 19).permute(0, 3, 1, 2).float()
    assert torch.equal(batch.soft_target[order < 4], of_annotation[order < 4])
    of_teacher = batch.soft_target[order >= 4]
    assert of_teacher[:, 2].mean() > 0.5 and (of_teacher[:, 3:] == 0).all()
    assert torch.allclose(batch.soft_target.sum(dim=1), torch.ones(()))


def test_ignored_pixels_stay_ignored():
    data = numbered(4)
    labels = data.labels.copy()
    labels[:, :8] = IGNORED
    batch = replace(data, labels=labels).training_batch(0, 1.0, TrainConfig(batch_size=4), CPU)
    assert (batch.target == IGNORED).any() and batch.target[batch.target != IGNORED].max() < 19
