"""Export to ONNX: the same logits, all metadata, and files that are not models are refused."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from damage import refusals
from onnx import helper, numpy_helper
from torch import nn

from facesegkit.checkpoint import Checkpoint, build_model, save
from facesegkit.cli.main import main
from facesegkit.errors import FaceSegKitError
from facesegkit.export import Agreement, check_agreement, compare, export_onnx
from facesegkit.inference.model_zoo import load_model
from facesegkit.inference.onnx_model import METADATA_KEY, open_onnx
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES
from facesegkit.system.tensor_files import round_to_half


def checkpoint(arch="separable", scheme=FIVE_FEATURES, size=64):
    """A model whose batch normalizations are not the identity, as after training."""
    torch.manual_seed(0)
    model = build_model(arch, classes=len(scheme.class_names)).eval()
    nn.init.zeros_(model.head.bias[:1])  # otherwise it predicts background everywhere
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
def test_the_file_predicts_what_the_checkpoint_does(arch, scheme, rounded, tmp_path):
    made = checkpoint(arch, scheme)
    if rounded:
        round_to_half(made.model)
    export_onnx(made, tmp_path / "model.onnx")
    for count in (1, 3):
        agreement = compare(made, tmp_path / "model.onnx", photos(count))
        assert agreement.largest_difference < 1e-4
        assert agreement.same_classes >= 0.9999


def test_rounded_weights_take_half_the_bytes(tmp_path):
    made = checkpoint("unet")
    export_onnx(made, tmp_path / "full.onnx")
    round_to_half(made.model)
    export_onnx(made, tmp_path / "half.onnx")
    full, half = ((tmp_path / f"{name}.onnx").stat().st_size for name in ("full", "half"))
    assert half < 0.6 * full


def test_the_file_has_its_metadata(exported):
    model, graph = open_onnx(exported), onnx.load(exported)
    assert model.scheme.to_dict() == FIVE_FEATURES.to_dict() and model.input_size == 64
    assert model.about == {"data": "none"}
    assert [opset.version for opset in graph.opset_import] == [17]
    values = {}
    for value in (*graph.graph.input, *graph.graph.output):
        sides = value.type.tensor_type.shape.dim
        values[value.name] = [side.dim_param or side.dim_value for side in sides]
    assert values == {"images": ["batch", 3, 64, 64], "logits": ["batch", 6, 64, 64]}


def test_a_disagreement_is_an_error():
    for good in (Agreement(1e-5, 15.0, 1.0), Agreement(2e-4, 60.0, 1.0)):
        check_agreement(good, "model.onnx")
    for bad in (Agreement(2e-4, 15.0, 1.0), Agreement(1e-5, 15.0, 0.9998)):
        with pytest.raises(FaceSegKitError, match="model.onnx does not predict the same"):
            check_agreement(bad, "model.onnx")


def test_the_command(tmp_path, capsys):
    save(checkpoint(), tmp_path / "own.pth")
    assert main(["export", "--model", str(tmp_path / "own.pth")]) == 0
    said = capsys.readouterr().out
    assert "opset 17" in said and "[batch, 3, 64, 64]" in said and "100.00%" in said
    assert open_onnx(tmp_path / "own.onnx").input_size == 64
    assert main(["export", "--model", str(tmp_path / "own.pth"), "--output", "model.pt"]) == 1
    assert "ends in .onnx" in capsys.readouterr().err


def with_metadata(**changes):
    def change(graph):
        plain = json.loads(graph.metadata_props[0].value)
        helper.set_model_props(graph, {METADATA_KEY: json.dumps({**plain, **changes})})

    return change


def convolution(graph):
    """The weights of the first convolution."""
    return next(tensor for tensor in graph.graph.initializer if len(tensor.dims) == 4)


def external_weights(graph):
    """A file that asks for the bytes of another file, which may be private."""
    tensor = convolution(graph)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../secret.bin"), ("offset", "0")):
        tensor.external_data.add(key=key, value=value)


def broken_weights(graph):
    tensor = convolution(graph)
    tensor.CopyFrom(numpy_helper.from_array(np.zeros((1, 2, 3, 3), np.float32), tensor.name))


NOT_ONNX, NOT_FITTING = "not a model of facesegkit, or it is damaged", "do not fit together"
CHANGES = {
    "no inputs": (lambda graph: graph.graph.ClearField("input"), NOT_ONNX),
    "no metadata": (lambda graph: graph.ClearField("metadata_props"), "not a model of facesegkit"),
    "metadata that is not JSON": (
        lambda graph: helper.set_model_props(graph, {METADATA_KEY: "not JSON {"}),
        NOT_ONNX,
    ),
    "a list as metadata": (with_metadata(about=["none"]), NOT_FITTING),
    "another version": (with_metadata(format=99), "has format 99.*reads"),
    "a list as scheme": (with_metadata(scheme=["eyes"]), NOT_FITTING),
    "another scheme": (with_metadata(scheme=ALL_PARTS.to_dict()), NOT_FITTING),
    "a scheme without classes": (with_metadata(scheme={}), "is damaged, "),
    "an absurd size": (with_metadata(input_size=10**9), NOT_FITTING),
    "another size": (with_metadata(input_size=96), "is damaged, "),
    "weights in another file": (external_weights, NOT_ONNX),
    "weights of another shape": (broken_weights, "damaged"),
}


def test_random_damage_is_reported_in_one_sentence(exported, tmp_path, capfd):
    path = shutil.copy(exported, tmp_path / "model.onnx")
    assert refusals(open_onnx, path, 100) > 20
    assert capfd.readouterr() == ("", "")  # nothing printed by ONNX Runtime


@pytest.mark.parametrize("name", CHANGES)
def test_changed_files_are_refused_in_one_sentence(name, exported, tmp_path):
    change, expected = CHANGES[name]
    (tmp_path / "secret.bin").write_bytes(bytes(100_000))
    (tmp_path / "folder").mkdir()
    path, graph = tmp_path / "folder" / "model.onnx", onnx.load(exported)
    change(graph)
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(FaceSegKitError, match=expected) as caught:
        open_onnx(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_and_other_files(tmp_path):
    with pytest.raises(FaceSegKitError, match="Cannot read the model .*nowhere.onnx"):
        load_model(tmp_path / "nowhere.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(FaceSegKitError, match="text.onnx is not a model of facesegkit, or"):
        load_model(tmp_path / "text.onnx")
    with pytest.raises(FaceSegKitError):
        export_onnx(checkpoint(), tmp_path / "text.onnx" / "model.onnx")


def test_without_pytorch_only_onnx_files_can_be_used(exported, tmp_path):
    save(checkpoint(), tmp_path / "model.pth")
    program = f"""
import sys
for name in ("torch", "torchvision", "matplotlib", "tqdm", "onnx"):
    sys.modules[name] = None
from facesegkit.cli.main import main
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
