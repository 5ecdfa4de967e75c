"""Pickles that do harm are refused before PyTorch reads them; what torch.save writes is not."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import encoded, noise
from hostile_models import HOSTILE_PTH, OWN, one, own_checkpoint, own_pth
from measured import measured

from facesegkit.checkpoint import load
from facesegkit.cli.main import main
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.model_zoo import MODEL_NAMES, load_model, weights_path
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.system.model_limits import check_plain
from facesegkit.system.network_limits import count_macs
from facesegkit.system.tensor_files import load_tensors, save_tensors


@pytest.mark.parametrize("name", HOSTILE_PTH)
def test_a_hostile_file_is_refused_with_its_reason(name, tmp_path):
    reason, make = HOSTILE_PTH[name]
    (tmp_path / "model.pth").write_bytes(make())
    with pytest.raises(FaceSegKitError) as caught:
        load(tmp_path / "model.pth")
    message = str(caught.value)
    assert reason in message and message.isprintable() and len(message) < 350 + len(str(tmp_path))


GREEDY = (
    "bytearray", "bytearray in a zip", "text that doubles", "ten million blocks", "many classes",
    "ten thousand channels", "nested lists", "a bomb", "a million records", "keys of one hash",
    "a key of many tuples", "many copies", "one number, repeated", "much work",
    "a call of a storage", "a storage of many numbers",
)  # fmt: skip


def test_hostile_files_take_little_time_and_memory(tmp_path):
    paths = [tmp_path / f"{name}.pth" for name in GREEDY]
    for path in paths:
        path.write_bytes(HOSTILE_PTH[path.stem][1]())
    (tmp_path / "photo.png").write_bytes(encoded(noise(), "PNG"))
    report, errors = measured("segment photo.png --output-dir out --model", paths, tmp_path)
    assert len(errors.splitlines()) == len(paths) and "Traceback" not in errors
    for file, (status, seconds, memory) in report.items():
        assert status == 1 and seconds < 10 and memory < 800e6, (file, seconds, memory)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_models_that_ship_are_within_all_limits(name):
    load(weights_path(name, ".pth"))


def test_all_that_a_training_saves_can_be_loaded(tmp_path):
    """Also what only the state of an optimizer has, and attributes of a state dict."""
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model(torch.rand(1, 1, 8, 8)).sum().backward()
    optimizer.step()
    dtypes = (
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "uint8",
        "int16",
        "int32",
        "int64",
        "bool",
    )
    plain = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "tensors": {name: torch.ones(2, 3, dtype=getattr(torch, name)) for name in dtypes},
        "views": [torch.arange(6.0).reshape(2, 3).T, torch.zeros(0), torch.tensor(1.0)],
        "last": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "numbers": [0, 255, 2**16, 2**31, -1, 2**63 - 1, 1.5, float("nan"), True, None],
        "texts": ["", "ä", "\n", "x" * 1000],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, (4, "x"))],
        "many": [*range(3000)],
        "none": {},
    }  # fmt: skip
    save_tensors(plain, tmp_path / "state.pth")
    loaded = load_tensors(tmp_path / "state.pth")
    torch.testing.assert_close(loaded["tensors"], plain["tensors"])
    torch.testing.assert_close(loaded["views"], plain["views"])
    torch.testing.assert_close(loaded["optimizer"]["state"], plain["optimizer"]["state"])
    assert loaded["model"]._metadata == plain["model"]._metadata
    for name in ("texts", "tuples", "many", "none"):
        assert loaded[name] == plain[name]
    assert repr(loaded["numbers"]) == repr(plain["numbers"])


def test_plain_data_is_what_json_can_write():
    good = {"a": [1, 2.5, None, True, "x", (1, 2)], 5: {}, None: ""}
    json.dumps(good)
    assert check_plain(good) == 15
    for bad in ({"a": b"x"}, {(1, 2): 3}, [torch.zeros(1)], [{1}], [object()]):
        with pytest.raises(ValueError, match="its description has a "):
            check_plain(bad)
    with pytest.raises(ValueError, match="too long"):
        check_plain(["x" * 30] * 50_000)


def test_macs_are_counted_as_pytorch_counts_them():
    from facesegkit import profile

    for name in ("separable", "unet"):
        model = load(weights_path(name, ".pth")).model
        assert count_macs(model, 256) == profile.count_macs(model, 256)


def overflowing() -> bytes:
    """A model of finite weights whose logits are not."""
    weights = own_checkpoint()["weights"]
    return own_pth(weights=weights | {"head.weight": torch.full((6, 8, 1, 1), 3e38)})


@pytest.mark.parametrize("of_a_file", [True, False])
def test_logits_that_are_no_numbers_are_an_error_not_a_photo_without_faces(of_a_file, tmp_path):
    (tmp_path / "model.pth").write_bytes(overflowing())
    model = tmp_path / "model.pth" if of_a_file else load(tmp_path / "model.pth")
    name = "model.pth" if of_a_file else "model of this checkpoint"
    with pytest.raises(FaceSegKitError, match=f"The .*{name} gives no numbers"):
        FaceSegmenter(model, aligned=True)(np.full((64, 64, 3), 255, np.uint8))


def test_evaluating_and_exporting_such_a_model_say_the_same(
    data_set, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pth").write_bytes(overflowing())
    data = f"--data {data_set.root} --cache cache --split all --report report".split()
    for command in (["evaluate", *data], ["export", "--output", "model.onnx"]):
        assert main([*command, "--model", "model.pth"]) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert "gives no numbers: weights or logits are NaN or infinite" in error
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="file names are the same in any case there")
def test_the_suffix_may_have_capitals(tmp_path):
    for suffix in (".onnx", ".pth"):
        model = tmp_path / f"MODEL{suffix.upper()}"
        model.write_bytes(weights_path("separable-synthetic", suffix).read_bytes())
        assert load_model(model).input_size == 256


MESSAGES = {
    "segment photo.png --model model.onnx": lambda: one("Loop", "images"),
    "segment photo.png --model text.pth": lambda: b"no model",
    "segment photo.png --model wide.pth": HOSTILE_PTH["ten thousand channels"][1],
    "segment photo.png --model state.pth": lambda: own_pth(kind="training state"),
    "segment photo.png --model nan.pth": HOSTILE_PTH["weights that are NaN"][1],
    "evaluate --model good.onnx": OWN.read_bytes,
}


@pytest.mark.parametrize("command", MESSAGES)
def test_messages_are_quoted_in_the_documentation(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = command.split()[-1]
    (tmp_path / name).write_bytes(MESSAGES[command]())
    (tmp_path / "photo.png").write_bytes(encoded(noise(), "PNG"))
    assert main([*command.split(), *(["--output-dir", "out"] if "photo" in command else [])]) == 1
    printed = capsys.readouterr().err.strip().removeprefix("facesegkit: ")
    text = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert f"| `{printed.replace(name, 'model' + Path(name).suffix)}` |" in text
