"""Checkpoints: all that is needed comes back, nothing that runs code gets in."""

import pickle
import platform
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import damaged

import facesegkit
from facesegkit.checkpoint import (
    Checkpoint,
    build_model,
    load,
    load_tensors,
    round_to_half,
    save,
    save_tensors,
)
from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import FACE_CROP, FULL_IMAGE
from facesegkit.labels import FIVE_FEATURES, LabelScheme

OWN = LabelScheme("own", {"ears": ("l_ear", "r_ear"), "hat": ("hat",)}, [(1, 2, 3), (4, 5, 6)])


@pytest.fixture(params=["separable", "unet"])
def checkpoint(request):
    torch.manual_seed(0)
    widths = [8] * (4 if request.param == "separable" else 5)
    model = build_model(request.param, classes=3, widths=widths).eval()
    about = {"split_rule": "official", "scores": [0.9]}
    return Checkpoint(request.param, model, OWN, 128, about, crop=FACE_CROP)


def test_what_was_saved_comes_back(checkpoint, tmp_path):
    path = tmp_path / "model.pth"
    save(checkpoint, path)
    loaded = load(path)
    photos = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(loaded.model(photos), checkpoint.model(photos), atol=1e-6)
    assert loaded.arch == checkpoint.arch and loaded.model.config == checkpoint.model.config
    assert loaded.scheme.to_dict() == OWN.to_dict()
    assert loaded.input_size == 128 and not loaded.model.training
    assert loaded.crop == FACE_CROP and loaded.about == checkpoint.about
    assert load_tensors(path)["versions"] == {
        "facesegkit": facesegkit.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    kernels = [weights for weights in loaded.model.parameters() if weights.ndim == 4]
    assert all(weights.is_contiguous(memory_format=torch.channels_last) for weights in kernels)


def test_a_file_from_before_there_were_crops_sees_whole_photos(checkpoint, tmp_path):
    save(checkpoint, tmp_path / "model.pth")
    old = load_tensors(tmp_path / "model.pth")
    del old["crop"]
    save_tensors(old, tmp_path / "old.pth")
    assert load(tmp_path / "old.pth").crop == FULL_IMAGE


def test_weights_take_half_the_bytes_where_that_changes_none(checkpoint, tmp_path):
    round_to_half(checkpoint.model)
    save(checkpoint, tmp_path / "model.pth")
    saved = load_tensors(tmp_path / "model.pth")["weights"]
    for name, weights in checkpoint.model.state_dict().items():
        torch.testing.assert_close(saved[name].to(weights.dtype), weights, rtol=0, atol=0)
        if weights.ndim > 1:
            assert saved[name].dtype == torch.float16
        elif not weights.is_floating_point():
            assert saved[name].dtype == weights.dtype
    assert any(weights.dtype == torch.float32 for weights in saved.values())  # of the rest


def test_rounding_leaves_batch_normalisation_alone(checkpoint):
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
    assert (model.scheme, model.input_size, model.about, model.crop) == (
        OWN, 128, checkpoint.about, FACE_CROP,
    )  # fmt: skip


def test_it_is_tensors_and_plain_data_alone(checkpoint, tmp_path):
    save(checkpoint, tmp_path / "model.pth")
    torch.load(tmp_path / "model.pth", weights_only=True)  # raises on anything else


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path):
    torch.save({"kind": "facesegkit model", "bomb": Bomb(tmp_path / "ran")}, tmp_path / "bomb.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    for name in ("bomb.pth", "plain.pth"):
        with pytest.raises(FaceSegKitError, match="not a file that facesegkit has saved"):
            load(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def cut_short(path):
    path.write_bytes(path.read_bytes()[:2000])


def of_another_kind(path):
    save_tensors({"kind": "training state", "step": 3}, path)


def from_elsewhere(path):
    torch.save({"state_dict": {}}, path)


def a_tensor(path):
    torch.save(torch.zeros(3), path)


def of_another_format(path):
    save_tensors(load_tensors(path) | {"format": 99}, path)


def of_other_widths(path):
    plain = load_tensors(path)
    save_tensors(plain | {"config": plain["config"] | {"classes": 5}}, path)


def of_absurd_widths(path):
    plain = load_tensors(path)
    save_tensors(plain | {"config": plain["config"] | {"classes": 10**10}}, path)


def of_an_unknown_architecture(path):
    save_tensors(load_tensors(path) | {"arch": "transformer"}, path)


def without_weights(path):
    save_tensors({k: v for k, v in load_tensors(path).items() if k != "weights"}, path)


def text(path):
    path.write_text("no model")


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (cut_short, "not a file that facesegkit has saved, or it is damaged"),
        (text, "not a file that facesegkit has saved, or it is damaged"),
        (empty, "not a file that facesegkit has saved, or it is damaged"),
        (of_another_kind, "is not a model of facesegkit but 'training state'"),
        (from_elsewhere, "is not a model of facesegkit"),
        (a_tensor, "holds a Tensor, not a model"),
        (of_another_format, "has format 99"),
        (of_other_widths, "do not fit together"),
        (of_absurd_widths, "more than 20,000,000 parameters"),
        (of_an_unknown_architecture, "no architecture 'transformer'; choose one of separable"),
        (without_weights, "do not fit together"),
    ],
)
def test_what_is_no_checkpoint_gets_one_sentence(spoil, sentence, checkpoint, tmp_path):
    path = tmp_path / "model.pth"
    save(checkpoint, path)
    spoil(path)
    with pytest.raises(FaceSegKitError, match=sentence) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert "model.pth" in str(caught.value) or "architecture" in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_damage_of_any_kind_is_told_in_one_sentence(checkpoint, tmp_path):
    rng = np.random.default_rng(3)
    save(checkpoint, tmp_path / "model.pth")
    content, refused = (tmp_path / "model.pth").read_bytes(), 0
    for _ in range(150):
        (tmp_path / "model.pth").write_bytes(damaged(content, rng))
        try:
            load(tmp_path / "model.pth")
        except FaceSegKitError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 20


def test_a_missing_file_is_named_with_what_to_run(tmp_path):
    with pytest.raises(FaceSegKitError, match=r"no model file .*none\.pth.*face_segmentation\.py"):
        load(tmp_path / "none.pth")


def test_a_save_that_fails_leaves_the_old_file(checkpoint, tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    save(checkpoint, path)
    before = path.read_bytes()

    def no_space(file, content):
        with file.open("wb") as half:
            half.write(content[:1000])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(FaceSegKitError, match="No space left"):
        save(checkpoint, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.pth"]


def test_the_default_scheme_has_the_colours_that_must_not_change():
    assert FIVE_FEATURES.palette.tolist() == [
        [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255],
    ]  # fmt: skip


@pytest.mark.parametrize("arch", ["separable", "unet"])
def test_a_fresh_model_takes_most_for_background(arch):
    """So that training does not begin with learning how rare the other classes are."""
    torch.manual_seed(0)
    model = build_model(arch, classes=6).eval()
    shares = model(torch.rand(4, 3, 64, 64)).softmax(dim=1).mean(dim=(0, 2, 3)).detach()
    assert shares[0] == pytest.approx(0.95, abs=0.03)
    assert shares[1:].max() < 0.04
