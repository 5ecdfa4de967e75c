"""Checkpoints: everything that was saved is loaded, and nothing that would run code."""

import os
import pickle
import platform
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import refusals

import facesegkit
from facesegkit.checkpoint import Checkpoint, build_model, load, save
from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import FACE_CROP, FULL_IMAGE
from facesegkit.labels import FIVE_FEATURES, LabelScheme
from facesegkit.system.tensor_files import load_tensors, round_to_half, save_tensors

OWN = LabelScheme("own", {"ears": ("l_ear", "r_ear"), "hat": ("hat",)}, [(1, 2, 3), (4, 5, 6)])


@pytest.fixture(params=["separable", "unet"])
def checkpoint(request):
    torch.manual_seed(0)
    widths = [8] * (4 if request.param == "separable" else 5)
    model = build_model(request.param, classes=3, widths=widths).eval()
    about = {"split_rule": "official", "scores": [0.9]}
    return Checkpoint(request.param, model, OWN, 128, about, crop=FACE_CROP)


def test_a_saved_checkpoint_can_be_loaded(checkpoint, tmp_path):
    path = tmp_path / "model.pth"
    save(checkpoint, path)
    loaded, photos = load(path), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(loaded.model(photos), checkpoint.model(photos), atol=1e-6)
    assert loaded.arch == checkpoint.arch and loaded.model.config == checkpoint.model.config
    assert loaded.scheme.to_dict() == OWN.to_dict()
    assert loaded.input_size == 128 and not loaded.model.training
    assert loaded.crop == FACE_CROP and loaded.about == checkpoint.about
    kernels = [weights for weights in loaded.model.parameters() if weights.ndim == 4]
    assert all(weights.is_contiguous(memory_format=torch.channels_last) for weights in kernels)
    plain, versions = load_tensors(path), {"torch": torch.__version__}
    versions |= {"facesegkit": facesegkit.__version__, "python": platform.python_version()}
    assert plain["versions"] == versions
    del plain["crop"]  # as in old files
    save_tensors(plain, path)
    assert load(path).crop == FULL_IMAGE


def test_weights_become_float16_if_that_changes_none(checkpoint, tmp_path):
    round_to_half(checkpoint.model)
    save(checkpoint, tmp_path / "model.pth")
    saved = load_tensors(tmp_path / "model.pth")["weights"]
    loaded = load(tmp_path / "model.pth").model.state_dict()
    torch.testing.assert_close(loaded, checkpoint.model.state_dict(), rtol=0, atol=0)
    for name, weights in loaded.items():
        if weights.ndim > 1:
            assert saved[name].dtype == torch.float16
        elif not weights.is_floating_point():
            assert saved[name].dtype == weights.dtype
    assert any(weights.dtype == torch.float32 for weights in saved.values())  # of the rest


def test_rounding_does_not_change_batch_normalization(checkpoint):
    with torch.no_grad():
        for weights in checkpoint.model.parameters():
            weights.fill_(1 / 3)
    round_to_half(checkpoint.model)
    for weights in checkpoint.model.parameters():
        expected = torch.full_like(weights, 1 / 3)
        assert torch.equal(weights, expected.half().float() if weights.ndim > 1 else expected)


def test_what_runs_is_the_same_without_pytorch(checkpoint):
    model = checkpoint.runnable()
    photos = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)
    with torch.no_grad():
        expected = checkpoint.model(torch.from_numpy(photos)).numpy()
    np.testing.assert_array_equal(model.predict_logits(photos), expected)
    assert (model.scheme, model.input_size, model.crop) == (OWN, 128, FACE_CROP)
    assert model.about == checkpoint.about


def test_a_model_of_other_classes_is_refused(checkpoint):
    wrong = replace(checkpoint, scheme=FIVE_FEATURES).runnable()
    with pytest.raises(ValueError, match="has 3 classes, but the scheme 'five features' has 6"):
        wrong.predict_logits(np.zeros((1, 3, 64, 64), np.float32))


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_file_that_would_run_code_is_refused(tmp_path):
    bomb = Bomb(tmp_path / "ran")
    torch.save({"kind": "facesegkit model", "bomb": bomb}, tmp_path / "bomb.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(bomb))
    for name in ("bomb.pth", "plain.pth"):
        with pytest.raises(FaceSegKitError, match="was not saved by facesegkit"):
            load(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def change(**entries):
    return lambda path: save_tensors(load_tensors(path) | entries, path)


def change_config(**entries):
    return lambda path: change(config=load_tensors(path)["config"] | entries)(path)


NOT_SAVED_BY_US = "not saved by facesegkit, or it is damaged"


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (lambda path: os.truncate(path, 2000), NOT_SAVED_BY_US),
        (lambda path: path.write_bytes(b"no model"), NOT_SAVED_BY_US),
        (lambda path: path.write_bytes(b""), NOT_SAVED_BY_US),
        (change(kind="training state"), "is not a model of facesegkit but 'training state'"),
        (lambda path: torch.save({"state_dict": {}}, path), "is not a model of facesegkit"),
        (lambda path: torch.save(torch.zeros(3), path), "holds a Tensor, not a model"),
        (change(format=99), "has format 99"),
        (change(weights={}), "do not fit together"),
        (change_config(classes=5), "do not fit together"),
        (change_config(classes=10**10), "more than 20,000,000 parameters"),
        (change(scheme=FIVE_FEATURES.to_dict()), "has 3 classes, but .* has 6"),
        (change(arch="transformer"), "no architecture 'transformer'; choose one of separable"),
    ],
)
def test_other_files_are_refused_in_one_sentence(corrupt, message, checkpoint, tmp_path):
    path = tmp_path / "model.pth"
    save(checkpoint, path)
    corrupt(path)
    with pytest.raises(FaceSegKitError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert "model.pth" in str(caught.value) or "architecture" in str(caught.value)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(410_000_000))
    with pytest.raises(FaceSegKitError, match="was not saved by facesegkit") as caught:
        load(tmp_path / "bomb.pth")
    assert "410,000,000 bytes" in str(caught.value.__cause__)


@pytest.mark.filterwarnings("error")
def test_random_damage_is_reported_in_one_sentence(checkpoint, tmp_path):
    save(checkpoint, tmp_path / "model.pth")
    assert refusals(load, tmp_path / "model.pth", 150) > 20


def test_a_missing_file_is_named_with_a_command_to_make_it(tmp_path):
    with pytest.raises(FaceSegKitError, match=r"no model file .*none\.pth.*face_segmentation\.py"):
        load(tmp_path / "none.pth")


@pytest.mark.parametrize("arch", ["separable", "unet"])
def test_a_new_model_predicts_background(arch):
    """Training then does not have to learn first how rare the other classes are."""
    torch.manual_seed(0)
    model = build_model(arch, classes=6).eval()
    means = model(torch.rand(4, 3, 64, 64)).softmax(dim=1).mean(dim=(0, 2, 3)).detach()
    assert means[0] == pytest.approx(0.95, abs=0.03)
    assert means[1:].max() < 0.04
