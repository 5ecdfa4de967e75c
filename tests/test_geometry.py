"""The part of a photo that a model looks at: the same in training, scoring and use."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from facesegkit.checkpoint import Checkpoint, build_model, load, save
from facesegkit.data.cache import build_cache
from facesegkit.errors import FaceSegKitError
from facesegkit.export import export_onnx
from facesegkit.geometry import FACE_CROP, FULL_IMAGE, FaceROI, RelativeCrop
from facesegkit.inference.onnx_model import Model, open_onnx
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import FIVE_FEATURES, PART_IDS
from facesegkit.metrics import evaluate, predict_classes
from facesegkit.transforms import Augmentation, augment

STILL = Augmentation(0, (1, 1), 0, 0, 0, 0, 0, 0, 0, 0)  # no change at all
UPPER_RIGHT = RelativeCrop(0.75, 0.25, 0.5)


class RedIsEyes(nn.Module):
    """Scores eyes where a photo is red, else background."""

    def forward(self, photos):
        scores = torch.zeros(len(photos), 6, *photos.shape[2:])
        scores[:, 1] = photos[:, 0] - 0.5
        return scores


def photo_and_labels(side=64):
    """A red square in each quarter, which are eyes; labels are twice as fine."""
    photo = np.full((1, side, side, 3), (40, 90, 90), dtype=np.uint8)
    for row in (1, 5):
        for column in (1, 5):
            eighth = side // 8
            photo[:, row * eighth : (row + 2) * eighth, column * eighth : (column + 1) * eighth] = (
                255, 0, 0,
            )  # fmt: skip
    labels = np.where(photo[..., 0] == 255, PART_IDS["l_eye"], 0).astype(np.uint8)
    return photo, labels.repeat(2, axis=1).repeat(2, axis=2)


def test_box_and_part():
    assert UPPER_RIGHT.box(64) == (32, 0, 64, 32)
    assert FACE_CROP.box(320) == (32, 52, 288, 308)  # the size that the models see, pixel for pixel
    pictures = np.arange(2 * 4 * 4).reshape(2, 4, 4)
    assert UPPER_RIGHT.of(pictures).tolist() == pictures[:, :2, 2:].tolist()
    assert FACE_CROP.whole_side(256) == 320 and FULL_IMAGE.whole_side(256) == 256


BEYOND = {
    "larger than the photo": (0.5, 0.5, 1.1),
    "over its left": (0.2, 0.5, 0.5),
    "over its bottom": (0.5, 0.9, 0.5),
    "empty": (0.5, 0.5, 0),
    "tiny": (0.5, 0.5, 1e-9),
    "nowhere": (float("nan"), 0.5, 0.5),
}


@pytest.mark.parametrize("x, y, size", BEYOND.values(), ids=BEYOND)
def test_a_crop_lies_within_its_photo(x, y, size):
    with pytest.raises(FaceSegKitError, match="within its photo"):
        RelativeCrop(x, y, size)


@pytest.mark.parametrize("plain", [{"x": "left"}, {"middle": 0.5}, "all", [1, 2], 3])
def test_what_is_no_crop_is_one_sentence(plain):
    with pytest.raises(FaceSegKitError, match="not a crop"):
        RelativeCrop.from_dict(plain)


def test_augmentation_sees_the_crop_alone_and_around_it_what_lies_there():
    photo, labels = (torch.from_numpy(array) for array in photo_and_labels())
    generator = torch.Generator().manual_seed(0)
    images, parts = augment(photo, labels, STILL, generator, crop=UPPER_RIGHT)
    assert images.shape == (1, 3, 32, 32)
    assert torch.allclose(images, UPPER_RIGHT.of(photo).permute(0, 3, 1, 2) / 255, atol=1e-5)
    assert torch.equal(parts, UPPER_RIGHT.of(labels)[:, ::2, ::2])

    half = replace(STILL, scales=(0.5, 0.5))
    middle = RelativeCrop(0.5, 0.5, 0.5)
    for seed in range(20):  # until the draw is near to half the size: then all four are in view
        images, parts = augment(
            photo, labels, half, torch.Generator().manual_seed(seed), 64, middle
        )
        if parts.bool().flatten(1).sum() > 4 * 64 * 0.9:
            break
    quarters = parts[0].bool().unflatten(0, (2, 32)).unflatten(2, (2, 32)).any(1).any(-1)
    assert quarters.all()


def test_predictions_lie_where_the_model_looked_and_nowhere_else():
    photo, labels = photo_and_labels()
    classes = predict_classes(RedIsEyes(), torch.from_numpy(photo), (128, 128), UPPER_RIGHT)
    expected = np.zeros_like(classes)
    UPPER_RIGHT.of(expected)[:] = UPPER_RIGHT.of(FIVE_FEATURES.merge(labels))
    assert (classes != expected).mean() < 0.01
    assert classes[:, 64:].max() == 0 and classes[:, :, :64].max() == 0


def test_what_the_model_did_not_look_at_counts_as_missed():
    photo, labels = photo_and_labels()
    whole = evaluate(RedIsEyes(), FIVE_FEATURES, photo, labels, [0])
    part = evaluate(RedIsEyes(), FIVE_FEATURES, photo, labels, [0], crop=UPPER_RIGHT)
    assert whole.scores.recall[1] > 0.95
    assert part.scores.recall[1] == pytest.approx(whole.scores.recall[1] / 4, abs=0.02)
    assert part.scores.annotated[1] == whole.scores.annotated[1]


def test_larger_photos_are_packed_elsewhere(data_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    usual, large = build_cache(data_set.root), build_cache(data_set.root, photo_size=320)
    assert usual.photos.shape[1:] == (256, 256, 3) and large.photos.shape[1:] == (320, 320, 3)
    assert usual.cache != large.cache
    assert np.array_equal(usual.labels, large.labels)
    small = Image.fromarray(large.photos[0]).resize((256, 256), Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(small, np.int16) - usual.photos[0]).mean() < 4


def test_files_keep_the_crop_and_older_ones_have_none(tmp_path):
    model = build_model("separable", classes=6)
    checkpoint = Checkpoint("separable", model.eval(), FIVE_FEATURES, crop=UPPER_RIGHT)
    save(checkpoint, tmp_path / "m.pth")
    export_onnx(checkpoint, tmp_path / "m.onnx")
    assert load(tmp_path / "m.pth").crop == open_onnx(tmp_path / "m.onnx").crop == UPPER_RIGHT
    plain = torch.load(tmp_path / "m.pth", weights_only=True)
    del plain["crop"]
    torch.save(plain, tmp_path / "old.pth")
    assert load(tmp_path / "old.pth").crop == FULL_IMAGE
    torch.save({**plain, "crop": {"x": 0.5, "y": 0.5, "size": 1e-6}}, tmp_path / "bad.pth")
    with pytest.raises(FaceSegKitError, match="within its photo"):
        load(tmp_path / "bad.pth")


@pytest.mark.parametrize(
    "crop", [FULL_IMAGE, FACE_CROP, UPPER_RIGHT], ids=["whole", "face", "corner"]
)
@pytest.mark.parametrize("size", [(64, 64), (512, 512), (600, 400), (90, 300)])
def test_a_segmenter_looks_at_the_crop_of_the_aligned_photo(size, crop):
    """A photo that is not square lies in the middle of one, so its crop is the square's."""
    seen = []

    def predict_logits(photos):
        seen.append(photos)
        scores = np.zeros((1, 6, 64, 64), np.float32)
        scores[:, 1] = 1  # all that is looked at is eyes
        return scores

    photo = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    photo = Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC)
    segmenter = FaceSegmenter(Model(predict_logits, FIVE_FEATURES, 64, crop=crop), aligned=True)
    segmentation = segmenter(photo)
    found = segmentation.labels

    width, height = size
    square = max(size)
    left, top = (width - square) / 2, (height - square) / 2
    rows, columns = np.mgrid[:height, :width] + 0.5
    inside = (
        (abs(columns - (left + crop.x * square)) < crop.size * square / 2)
        & (abs(rows - (top + crop.y * square)) < crop.size * square / 2)
    )  # fmt: skip
    assert (found.astype(bool) != inside).mean() < 0.02
    confidence = segmentation.confidence()
    assert confidence.shape == (height, width)
    assert np.all(confidence[found == 0] == 1) and confidence[found == 1].max() < 0.5

    frame = FaceROI(left + square / 2, top + square / 2, square, 0.0, 1.0).part(crop)
    corners = frame.corners
    assert corners[0] == pytest.approx(
        (left + (crop.x - crop.size / 2) * square, top + (crop.y - crop.size / 2) * square)
    )
    middle = seen[-1][0, :, 28:36, 28:36].mean(axis=(1, 2))
    x, y, half = frame.x, frame.y, frame.size / 16
    box = tuple(round(value) for value in (x - half, y - half, x + half, y + half))
    if min(box) >= 0 and box[2] <= width and box[3] <= height:
        expected = np.asarray(photo.crop(box), np.float32).mean(axis=(0, 1)) / 255
        assert np.abs(middle - expected).max() < 0.06
