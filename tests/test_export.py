"""Export to ONNX: the same scores, everything kept, and nothing that is not a model gets in."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from damage import damaged
from onnx import helper, numpy_helper
from torch import nn

from facesegkit.checkpoint import Checkpoint, build_model, load, round_to_half, save
from facesegkit.cli.main import main
from facesegkit.errors import FaceSegKitError
from facesegkit.export import Agreement, check_agreement, compare, export_onnx
from facesegkit.inference.model_zoo import load_model
from facesegkit.inference.onnx_model import METADATA_KEY, open_onnx
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES


def checkpoint(arch="separable", scheme=FIVE_FEATURES, size=64):
    """A model whose batch normalisations are not the identity, as after training."""
    torch.manual_seed(0)
    model = build_model(arch, classes=len(scheme.class_names)).eval()
    nn.init.zeros_(model.head.bias[:1])  # or else it finds background everywhere
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.3, 2)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return Checkpoint(arch, model, scheme, size, {"data": "none"})


def photos(count, size=64):
    return np.random.default_rng(count).random((count, 3, size, size), dtype=np.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    export_onnx(checkpoint(), path)
    return path


@pytest.mark.parametrize("arch", ["separable", "unet"])
@pytest.mark.parametrize("scheme", [FIVE_FEATURES, ALL_PARTS], ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("rounded", [False, True])
def test_the_file_does_what_the_checkpoint_does(arch, scheme, rounded, tmp_path):
    made = checkpoint(arch, scheme)
    if rounded:
        round_to_half(made.model)
    export_onnx(made, tmp_path / "model.onnx")
    for count in (1, 3):
        agreement = compare(made, tmp_path / "model.onnx", photos(count))
        assert agreement.largest_difference < 1e-4
        assert agreement.same_classes >= 0.9999


def test_rounded_weights_take_half_the_room_and_do_not_change_again(tmp_path):
    made = checkpoint("unet")
    save(made, tmp_path / "full.pth")
    export_onnx(made, tmp_path / "full.onnx")
    round_to_half(made.model)
    save(made, tmp_path / "half.pth")
    export_onnx(made, tmp_path / "half.onnx")
    for suffix in (".pth", ".onnx"):
        full, half = ((tmp_path / f"{name}{suffix}").stat().st_size for name in ("full", "half"))
        assert half < 0.6 * full
    kept = load(tmp_path / "half.pth").model.state_dict()
    for name, weights in made.model.state_dict().items():
        assert torch.equal(kept[name], weights) and kept[name].dtype == weights.dtype, name


def test_the_file_says_what_it_is(exported):
    model = open_onnx(exported)
    assert model.scheme.to_dict() == FIVE_FEATURES.to_dict() and model.input_size == 64
    assert model.about == {"data": "none"}
    graph = onnx.load(exported)
    assert [opset.version for opset in graph.opset_import] == [17]
    (taken,) = graph.graph.input
    shape = [side.dim_param or side.dim_value for side in taken.type.tensor_type.shape.dim]
    assert (taken.name, shape) == ("photos", ["batch", 3, 64, 64])


def test_segmenters_of_both_forms_agree(exported, tmp_path):
    save(checkpoint(), tmp_path / "model.pth")
    blocks = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    photo = blocks.repeat(15, axis=0).repeat(15, axis=1)
    by_onnx, by_torch = (
        FaceSegmenter(path, aligned=True)(photo) for path in (exported, tmp_path / "model.pth")
    )
    assert (by_onnx.labels == by_torch.labels).mean() > 0.9999
    assert len(np.unique(by_onnx.labels)) > 1


def test_a_disagreement_is_told():
    check_agreement(Agreement(1e-5, 1.0), "model.onnx")
    for bad in (Agreement(2e-4, 1.0), Agreement(1e-5, 0.9998)):
        with pytest.raises(FaceSegKitError, match="model.onnx does not do the same"):
            check_agreement(bad, "model.onnx")


def test_the_command(tmp_path, capsys):
    save(checkpoint(), tmp_path / "own.pth")
    assert main(["export", "--model", str(tmp_path / "own.pth")]) == 0
    said = capsys.readouterr().out
    assert "opset 17" in said and "[batch, 3, 64, 64]" in said and "100.00%" in said
    assert open_onnx(tmp_path / "own.onnx").input_size == 64
    assert main(["export", "--model", str(tmp_path / "own.pth"), "--output", "model.pt"]) == 1
    assert "ends in .onnx" in capsys.readouterr().err


# --- files that are not a model -----------------------------------------------------------------


def changed(source, path, change):
    graph = onnx.load(source)
    change(graph)
    path.write_bytes(graph.SerializeToString())
    return path


def with_metadata(**changes):
    def change(graph):
        plain = json.loads(graph.metadata_props[0].value)
        helper.set_model_props(graph, {METADATA_KEY: json.dumps({**plain, **changes})})

    return change


def of_another_program(graph):
    del graph.metadata_props[:]


def other_metadata(graph):
    helper.set_model_props(graph, {METADATA_KEY: "no JSON {"})


def external_weights(graph):
    """A file that asks for bytes of another one, which could be anyone's."""
    tensor = next(tensor for tensor in graph.graph.initializer if len(tensor.dims) == 4)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../secret.bin"), ("offset", "0")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def broken_weights(graph):
    tensor = next(tensor for tensor in graph.graph.initializer if len(tensor.dims) == 4)
    tensor.CopyFrom(numpy_helper.from_array(np.zeros((1, 2, 3, 3), np.float32), tensor.name))


def without_inputs(graph):
    del graph.graph.input[:]


CHANGES = {
    "without inputs": (without_inputs, "not an ONNX model, or it is damaged"),
    "a list for a table": (with_metadata(about=["none"]), "do not fit together"),
    "of another program": (of_another_program, "not a model of facesegkit"),
    "metadata that is no JSON": (other_metadata, "not an ONNX model, or it is damaged"),
    "of another version": (with_metadata(format=99), "has format 99.*reads"),
    "metadata that is a list": (with_metadata(scheme=["eyes"]), "do not fit together"),
    "another scheme": (with_metadata(scheme=ALL_PARTS.to_dict()), "do not fit together"),
    "a scheme without classes": (with_metadata(scheme={}), "damaged: A scheme needs 'classes'"),
    "an absurd size": (with_metadata(input_size=10**9), "do not fit together"),
    "another size": (with_metadata(input_size=96), "damaged: .* cannot score photos"),
    "weights from another file": (external_weights, "not an ONNX model, or it is damaged"),
    "weights of another shape": (broken_weights, "damaged"),
}


def test_damage_of_any_kind_is_told_in_one_sentence(exported, tmp_path, capfd):
    rng = np.random.default_rng(3)
    content, refused = exported.read_bytes(), 0
    for _ in range(100):
        (tmp_path / "model.onnx").write_bytes(damaged(content, rng))
        try:
            open_onnx(tmp_path / "model.onnx")
        except FaceSegKitError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 20
    assert capfd.readouterr() == ("", "")  # ONNX Runtime has nothing to add


@pytest.mark.parametrize("name", CHANGES)
def test_strange_files_get_one_sentence(name, exported, tmp_path):
    change, expected = CHANGES[name]
    (tmp_path / "secret.bin").write_bytes(bytes(100_000))
    (tmp_path / "folder").mkdir()
    path = changed(exported, tmp_path / "folder" / "model.onnx", change)
    with pytest.raises(FaceSegKitError, match=expected) as caught:
        open_onnx(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 1, 100, 5_000, 50_000])
def test_files_cut_short(kept, exported, tmp_path):
    path = tmp_path / "cut.onnx"
    path.write_bytes(exported.read_bytes()[:kept])
    with pytest.raises(FaceSegKitError, match="cut.onnx"):
        open_onnx(path)


def test_files_that_are_missing_or_something_else(tmp_path):
    with pytest.raises(FaceSegKitError, match="Cannot read the model .*nowhere.onnx"):
        load_model(tmp_path / "nowhere.onnx")
    with pytest.raises(FaceSegKitError, match="There is no model file"):
        load_model(tmp_path / "nowhere.pth")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(FaceSegKitError, match="text.onnx is not an ONNX model"):
        load_model(tmp_path / "text.onnx")


def test_nothing_is_left_where_writing_fails(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FaceSegKitError):
        export_onnx(checkpoint(), tmp_path / "file" / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_pth_file_says_what_is_missing_where_pytorch_is(exported, tmp_path):
    """And an .onnx file is segmented all the same."""
    save(checkpoint(), tmp_path / "model.pth")
    program = f"""
import sys
for name in ("torch", "torchvision", "matplotlib", "tqdm", "onnx"):
    sys.modules[name] = None
from facesegkit import main
photo = {str(tmp_path / "photo.png")!r}
from PIL import Image
Image.new("RGB", (30, 20)).save(photo)
for model in ({str(exported)!r}, {str(tmp_path / "model.pth")!r}):
    print(main(["segment", photo, "--model", model, "--output-dir", {str(tmp_path / "out")!r}]))
print(main(["train"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert re.findall(r"^\d$", done.stdout, re.M) == ["0", "1", "1"], done
    assert done.stderr.count("pip install 'facesegkit[train]'") == 2
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "photo.png").exists()
