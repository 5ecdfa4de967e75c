"""The crop of a photo that a model sees: the same in training, evaluation and inference."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from facesegkit.checkpoint import Checkpoint, build_model, load, save
from facesegkit.dataset import TrainingData
from facesegkit.errors import FaceSegKitError
from facesegkit.export import export_onnx
from facesegkit.geometry import FACE_CROP, FULL_IMAGE, BBox, FaceROI, RelativeCrop
from facesegkit.inference.onnx_model import Model, open_onnx
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import FIVE_FEATURES, PART_IDS
from facesegkit.metrics import evaluate, predict_classes
from facesegkit.system.tensor_files import load_tensors, save_tensors
from facesegkit.transforms import Augmentation, augment

UNCHANGED = Augmentation(0, (1, 1), 0, 0, 0, 0, 0, 0, 0, 0, 0)
UPPER_RIGHT = RelativeCrop(0.75, 0.25, 0.5)


class RedIsEyes(nn.Module):
    """Predicts eyes where a photo is red, else background."""

    def forward(self, images):
        logits = torch.zeros(len(images), 6, *images.shape[2:])
        logits[:, 1] = images[:, 0] - 0.5
        return logits


def photo_and_labels(side=64):
    """A red square in each quarter, which is an eye; labels have twice the resolution."""
    photo = np.full((1, side, side, 3), (40, 90, 90), dtype=np.uint8)
    eighth = side // 8
    for row, column in product((eighth, 5 * eighth), repeat=2):
        photo[:, row : row + 2 * eighth, column : column + eighth] = (255, 0, 0)
    labels = np.where(photo[..., 0] == 255, PART_IDS["l_eye"], 0).astype(np.uint8)
    return photo, labels.repeat(2, axis=1).repeat(2, axis=2)


def test_a_crop_in_pixels():
    assert UPPER_RIGHT.box(64) == (32, 0, 64, 32)
    assert FACE_CROP.box(320) == (32, 52, 288, 308)  # of 256 pixels, as the models see it
    images = np.arange(2 * 4 * 4).reshape(2, 4, 4)
    assert UPPER_RIGHT.of(images).tolist() == images[:, :2, 2:].tolist()
    assert FACE_CROP.full_size(256) == 320 and FULL_IMAGE.full_size(256) == 256


OUTSIDE = {"larger than the image": (0.5, 0.5, 1.1), "beyond the left side": (0.2, 0.5, 0.5),
           "beyond the bottom": (0.5, 0.9, 0.5), "tiny": (0.5, 0.5, 1e-9),
           "not a number": (float("nan"), 0.5, 0.5)}  # fmt: skip


@pytest.mark.parametrize("crop", OUTSIDE.values(), ids=OUTSIDE)
def test_a_crop_lies_within_its_image(crop):
    with pytest.raises(FaceSegKitError, match="within its image"):
        RelativeCrop(*crop)


@pytest.mark.parametrize("plain", [{"x": "left"}, {"middle": 0.5}, "all", [1, 2], 3])
def test_invalid_descriptions_of_a_crop(plain):
    with pytest.raises(FaceSegKitError, match="not a crop"):
        RelativeCrop.from_dict(plain)


def test_augmentation_shows_the_crop_and_what_surrounds_it():
    photo, labels = (torch.from_numpy(array) for array in photo_and_labels())
    generator = torch.Generator().manual_seed(0)
    images, parts = augment(photo, labels, UNCHANGED, generator, crop=UPPER_RIGHT)
    assert images.shape == (1, 3, 32, 32)
    assert torch.allclose(images, UPPER_RIGHT.of(photo).permute(0, 3, 1, 2) / 255, atol=1e-5)
    assert torch.equal(parts, UPPER_RIGHT.of(labels)[:, ::2, ::2])

    half, centre = replace(UNCHANGED, scales=(0.5, 0.5)), RelativeCrop(0.5, 0.5, 0.5)
    for seed in range(20):  # until it shrinks to almost half the size: all four squares are visible
        generator.manual_seed(seed)
        _, parts = augment(photo, labels, half, generator, 64, centre)
        if parts.bool().sum() > 4 * 64 * 0.9:
            break
    assert parts[0].bool().unflatten(0, (2, 32)).unflatten(2, (2, 32)).any(1).any(-1).all()


def test_predictions_are_pasted_back_into_the_crop():
    photo, labels = photo_and_labels()
    classes = predict_classes(RedIsEyes(), torch.from_numpy(photo), (128, 128), UPPER_RIGHT)
    expected = np.zeros_like(classes)
    UPPER_RIGHT.of(expected)[:] = UPPER_RIGHT.of(FIVE_FEATURES.merge(labels))
    assert (classes != expected).mean() < 0.01
    assert classes[:, 64:].max() == 0 and classes[:, :, :64].max() == 0


def test_parts_outside_the_crop_count_as_missed():
    data = TrainingData(*photo_and_labels(), rows=np.array([0]))
    whole = evaluate(RedIsEyes(), data).metrics
    part = evaluate(RedIsEyes(), replace(data, crop=UPPER_RIGHT)).metrics
    assert whole.recall[1] > 0.95
    assert part.recall[1] == pytest.approx(whole.recall[1] / 4, abs=0.02)
    assert part.annotated[1] == whole.annotated[1]


def test_model_files_keep_the_crop(tmp_path):
    model = build_model("separable").eval()
    checkpoint = Checkpoint("separable", model, FIVE_FEATURES, crop=UPPER_RIGHT)
    save(checkpoint, tmp_path / "m.pth")
    export_onnx(checkpoint, tmp_path / "m.onnx")
    assert load(tmp_path / "m.pth").crop == open_onnx(tmp_path / "m.onnx").crop == UPPER_RIGHT
    plain = load_tensors(tmp_path / "m.pth")
    save_tensors({**plain, "crop": {"x": 0.5, "y": 0.5, "size": 1e-6}}, tmp_path / "bad.pth")
    with pytest.raises(FaceSegKitError, match="within its image"):
        load(tmp_path / "bad.pth")


@pytest.mark.parametrize("crop", [FULL_IMAGE, FACE_CROP, UPPER_RIGHT], ids=("full", "face", "part"))
@pytest.mark.parametrize("size", [(64, 64), (512, 512), (600, 400), (90, 300)])
def test_a_segmenter_sees_the_crop_of_the_aligned_photo(size, crop):
    """A photo that is not square is centred in a square, and the crop is one of the square."""
    seen = []

    def predict_logits(images):
        seen.append(images)
        logits = np.zeros((1, 6, 64, 64), np.float32)
        logits[:, 1] = 1  # everything that it sees is an eye
        return logits

    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    photo = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    model = Model(predict_logits, FIVE_FEATURES, 64, crop=crop)
    result = FaceSegmenter(model, aligned=True)(photo)

    (width, height), square = size, max(size)
    roi = FaceROI(width / 2, height / 2, square, 0.0).cropped(crop)
    rows, columns = np.mgrid[:height, :width] + 0.5
    inside = np.maximum(abs(columns - roi.x), abs(rows - roi.y)) < roi.size / 2
    assert (result.labels.astype(bool) != inside).mean() < 0.02
    confidence = result.confidence()
    assert confidence.shape == (height, width)
    assert np.all(confidence[result.labels == 0] == 1)
    assert confidence[result.labels == 1].max() < 0.5

    left = (width - square) / 2 + (crop.x - crop.size / 2) * square
    top = (height - square) / 2 + (crop.y - crop.size / 2) * square
    assert roi.corners[0] == pytest.approx((left, top))
    half = roi.size / 16
    box = tuple(round(v) for v in (roi.x - half, roi.y - half, roi.x + half, roi.y + half))
    if min(box) >= 0 and box[2] <= width and box[3] <= height:
        expected = np.asarray(photo.crop(box), np.float32).mean(axis=(0, 1)) / 255
        assert np.abs(seen[-1][0, :, 28:36, 28:36].mean(axis=(1, 2)) - expected).max() < 0.06


@pytest.mark.parametrize(
    ("other", "expected"),
    [((1, 1, 2, 2), (1, 1, 2, 2)), ((3, 3, 9, 9), (3, 3, 4, 4)), ((4, 0, 9, 9), None),
     ((0, 4, 9, 9), None), ((2, 2, 2, 2), None)],
    ids=["inside", "a corner", "beside", "below", "empty"],
)  # fmt: skip
def test_the_pixels_that_two_boxes_share(other, expected):
    box, other = BBox(0, 0, 4, 4), BBox(*other)
    assert box.intersection(other) == other.intersection(box) == expected
    moved = box.moved(5, -2).intersection(other.moved(5, -2))
    assert moved == (expected and BBox(*expected).moved(5, -2))
