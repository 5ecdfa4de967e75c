"""Augmentation changes photos and labels alike."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from facesegkit import transforms
from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.labels import ALL_PARTS, PART_IDS, PARTS

UNCHANGED = transforms.Augmentation(0, (1, 1), 0, 0, 0, 0, 0, 0, 0, 0, 0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch_of_blobs(count=8, size=64):
    """Photos whose red channel is 255 exactly in the left eye; labels of twice the resolution."""
    rng = np.random.default_rng(0)
    photos = np.zeros((count, size, size, 3), dtype=np.uint8)
    photos[..., 1:] = 90
    for photo in photos:
        y, x = rng.integers(20, 36, 2)
        photo[y : y + 12, x : x + 8, 0] = 255
    labels = np.where(photos[..., 0] > 0, PART_IDS["l_eye"], 0).astype(np.uint8)
    labels = labels.repeat(2, axis=1).repeat(2, axis=2)
    return torch.from_numpy(photos), torch.from_numpy(labels)


def iou(mask, other):
    return (mask & other).sum() / (mask | other).sum()


def test_without_changes_photos_and_labels_stay_the_same():
    photos, labels = batch_of_blobs()
    whole, parts = transforms.augment(photos, labels, UNCHANGED, generator())
    assert torch.allclose(whole, photos.permute(0, 3, 1, 2) / 255, atol=1e-5)
    assert torch.equal(parts, labels[:, ::2, ::2])
    half, parts = transforms.augment(photos, labels, UNCHANGED, generator(), side=32)
    assert half.shape == (8, 3, 32, 32) and parts.shape == (8, 32, 32)
    assert torch.allclose(half, torch.nn.functional.avg_pool2d(whole, 2), atol=1e-4)
    assert iou(half[:, 0] > 0.6, parts != 0) > 0.8


@pytest.mark.parametrize("seed", range(3))
def test_photos_and_labels_are_moved_alike(seed):
    photos, labels = batch_of_blobs()
    config = replace(UNCHANGED, degrees=40, scales=(0.6, 1.5), shift=0.1, flip=0.5)
    images, parts = transforms.augment(photos, labels, config, generator(seed))
    # The blob is bright red, with less green than most random fills of the border.
    eye = (images[:, 0] > 0.5) & (images[:, 1] < 0.37) & (images[:, 1] > 0.33)
    assert iou(eye, parts != 0) > 0.85


def test_a_flip_mirrors_the_photo_and_swaps_left_and_right_parts():
    photos, labels = batch_of_blobs()
    images, parts = transforms.augment(photos, labels, replace(UNCHANGED, flip=1.0), generator())
    assert torch.allclose(images, (photos.permute(0, 3, 1, 2) / 255).flip(3), atol=1e-5)
    assert torch.equal(parts != 0, labels[:, ::2, ::2].flip(2) != 0)
    assert set(parts.unique().tolist()) == {0, PART_IDS["r_eye"]}


def test_pixels_from_outside_the_photo_are_background():
    photos = torch.full((4, 32, 32, 3), 200, dtype=torch.uint8)
    labels = torch.full((4, 32, 32), PART_IDS["skin"], dtype=torch.uint8)
    small = replace(UNCHANGED, scales=(0.5, 0.500001))
    images, parts = transforms.augment(photos, labels, small, generator(3))
    assert (parts[:, 0, 0] == 0).all() and (parts[:, 16, 16] == PART_IDS["skin"]).all()
    assert torch.allclose(images[:, :, 16, 16], torch.tensor(200 / 255))


def test_scales_cover_the_range_with_a_triangular_distribution():
    labels = torch.zeros((200, 128, 128), dtype=torch.uint8)
    labels[:, 48:80, 48:80] = 1
    config = replace(UNCHANGED, scales=(0.5, 1.6))
    parts = transforms.random_warp((200, 128, 128, 3), config, generator()).labels(labels)
    scales = parts.sum(dim=(1, 2)).sqrt() / 32
    assert 0.45 < scales.min() < 0.7 and 1.35 < scales.max() < 1.7
    assert ((scales > 0.8) & (scales < 1.25)).float().mean() > 0.5


def test_light_and_colour_keep_the_range():
    images = torch.rand(16, 3, 16, 16)
    lit = transforms.random_light(images, transforms.Augmentation(), generator())
    assert lit.shape == images.shape and lit.min() >= 0 and lit.max() <= 1.0001
    changes = (lit - images).abs().mean(dim=(1, 2, 3))
    assert (changes > 0.01).float().mean() > 0.8


def test_grey_photos_have_three_equal_channels_before_the_cast():
    images = torch.rand(4, 3, 8, 8)
    grey = transforms.random_light(images, replace(UNCHANGED, grey=1.0), generator())
    luma = torch.einsum("c,bchw->bhw", torch.tensor([0.299, 0.587, 0.114]), images)
    assert torch.allclose(grey, luma[:, None].expand_as(grey), atol=1e-5)


def test_blur_keeps_brightness_and_lowers_contrast():
    images = torch.rand(6, 3, 32, 32)
    blurred = transforms.random_blur(images.clone(), 1.0, generator())
    assert torch.allclose(blurred.mean(), images.mean(), atol=5e-3)
    assert (blurred.std(dim=(2, 3)) < images.std(dim=(2, 3))).all()


def test_noise_changes_a_fraction_of_the_photos():
    images = torch.full((200, 3, 8, 8), 0.5)
    noisy = transforms.random_noise(images.clone(), 0.25, generator())
    assert 0.15 < (noisy != 0.5).flatten(1).any(dim=1).float().mean() < 0.35
    chosen = [len(transforms.pick(*given, generator())) for given in ((1000, 0.0), (50, 1.0))]
    assert chosen == [0, 50]


def test_labels_under_an_occluder_are_background():
    images = torch.full((40, 3, 64, 64), 2.0)  # a value that no occluder has
    labels = torch.full((40, 64, 64), PART_IDS["nose"], dtype=torch.uint8)
    covered, parts = transforms.random_occlusion(images, labels, 1.0, generator())
    hidden = (covered != 2.0).any(dim=1)
    assert torch.equal(hidden, parts == 0)
    fractions = hidden.float().mean(dim=(1, 2))
    assert fractions.max() < 0.6 and (fractions > 0.005).float().mean() > 0.6


def test_the_same_seed_gives_the_same_batch():
    photos, labels = batch_of_blobs()
    given = photos, labels, transforms.Augmentation()
    first, again, other = (transforms.augment(*given, generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    for given, before in zip((photos, labels), batch_of_blobs(), strict=True):
        assert torch.equal(given, before)


@pytest.mark.parametrize("crop", [FULL_IMAGE, RelativeCrop(0.5, 0.6, 0.75)])
@pytest.mark.parametrize("offset", [(0, 0), (1, 1), (0, 1)])
def test_soft_targets_are_moved_like_the_labels(crop, offset):
    photos, labels = batch_of_blobs(size=64)
    left, right = PART_IDS["l_eye"], PART_IDS["r_eye"]
    classes = crop.of(labels).long()
    one_hot = torch.nn.functional.one_hot(classes, len(PARTS)).permute(0, 3, 1, 2).byte() * 255
    soft = transforms.SoftTargets(one_hot, torch.from_numpy(ALL_PARTS.mirrored_classes), offset)
    config = replace(UNCHANGED, degrees=30, scales=(0.8, 1.2), shift=0.1, flip=0.5, occluder=0.5)
    _, parts, moved = transforms.augment(photos, labels, config, generator(1), None, crop, soft)
    parts = parts[:, offset[0] :: 2, offset[1] :: 2]
    assert moved.shape == (len(photos), len(PARTS), *parts.shape[1:])
    assert torch.allclose(moved.sum(dim=1), torch.ones(()), atol=1e-5)
    for part in (left, right):
        assert iou(moved.argmax(dim=1) == part, parts == part) > 0.85


def test_exposure_covers_photos_from_dark_to_bright():
    images = torch.full((400, 3, 4, 4), 0.6)
    means = transforms.random_exposure(images, 0.5, generator()).mean(dim=(1, 2, 3))
    changed = (means - 0.6).abs() > 1e-6
    assert 0.4 < changed.float().mean() < 0.6
    assert means.min() < 0.12 and means.max() > 0.85 and means.isfinite().all()
