"""ONNX files that do harm are refused before ONNX Runtime sees them; what export writes is not."""

import numpy as np
import onnx
import pytest
from damage import encoded, noise
from hostile_models import (
    CONV,
    HOSTILE_ONNX,
    OWN,
    RESIZE,
    chain,
    field,
    floats,
    node,
    one,
    onnx_file,
    own_graph,
    varint,
)
from measured import measured
from onnx import numpy_helper

from facesegkit.errors import FaceSegKitError
from facesegkit.inference.model_zoo import MODEL_NAMES, load_model, model_card, weights_path
from facesegkit.inference.onnx_check import OnnxFile, read_onnx
from facesegkit.inference.onnx_model import open_onnx
from facesegkit.inference.segmenter import FaceSegmenter


@pytest.mark.parametrize("name", HOSTILE_ONNX)
def test_a_hostile_file_is_refused_with_its_reason(name, tmp_path):
    reason, make = HOSTILE_ONNX[name]
    (tmp_path / "model.onnx").write_bytes(make())
    with pytest.raises(FaceSegKitError) as caught:
        open_onnx(tmp_path / "model.onnx")
    message = str(caught.value)
    assert reason in message and message.isprintable() and len(message) < 350 + len(str(tmp_path))


def test_hostile_files_take_little_time_and_memory(tmp_path):
    paths = []
    for number, (_, make) in enumerate(HOSTILE_ONNX.values()):
        paths.append(tmp_path / f"{number}.onnx")
        paths[-1].write_bytes(make())
    (tmp_path / "photo.png").write_bytes(encoded(noise(), "PNG"))
    report, errors = measured("segment photo.png --output-dir out --model", paths, tmp_path)
    assert len(errors.splitlines()) == len(paths) and "Traceback" not in errors
    for file, (status, seconds, memory) in report.items():
        assert status == 1 and seconds < 5 and memory < 500e6, (file, seconds, memory)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_models_that_ship_are_within_all_limits(name):
    file = read_onnx(weights_path(name).read_bytes())
    file.check_work(256, len(load_model(name).scheme.class_names))
    assert model_card(name)["macs"] < 1e9


def limits_of(content: bytes) -> OnnxFile:
    file = read_onnx(content)
    file.check_work(256, 6)
    return file


# Bilinear upsampling to logits of six classes.
HALF = [node("Conv", "images w", "half", **CONV | {"strides": [2, 2]})]
LINEAR = RESIZE | {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
GRAPHS = {
    "convolution": one("Conv", "images w", constants={"w": floats(6, 3, 3, 3)}, **CONV),
    "joined twice": one("Concat", "images images", axis=1),
    "from the other end": one("Concat", "images images", axis=-3),
    "upsampled": onnx_file(
        [*HALF, node("Resize", "half - s", **LINEAR)],
        {"w": floats(6, 3, 3, 3), "s": np.array([1, 1, 2, 2], np.float32)},
    ),
    "scales that are joined": onnx_file(
        [*HALF, node("Concat", "a a2", "s", axis=0), node("Resize", "half - s", **RESIZE)],
        {"w": floats(6, 3, 3, 3), "a": np.ones(2, np.float32), "a2": np.full(2, 2, np.float32)},
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_shapes_are_followed_as_onnx_runtime_computes_them(name, tmp_path):
    limits_of(GRAPHS[name])
    (tmp_path / "model.onnx").write_bytes(GRAPHS[name])
    logits = open_onnx(tmp_path / "model.onnx").predict_logits(
        np.ones((1, 3, 256, 256), np.float32)
    )
    assert logits.shape == (1, 6, 256, 256)


def test_a_batch_that_grows_is_no_model():
    with pytest.raises(ValueError, match=r"logits \[2, 3, 256, 256\], not \[1, 6, 256, 256\]"):
        limits_of(one("Mul", "images c", constants={"c": floats(2, 1, 1, 1)}))


def test_the_most_work_that_is_allowed_takes_seconds_and_less_than_a_gigabyte(tmp_path):
    """Also on a busy machine."""
    shrink = {"w": floats(6, 3, 1, 1), "s": np.array([1, 1, 8, 8], np.float32)}
    nodes = [*onnx.load_from_string(chain("Sigmoid", 190)).graph.node][:-1]
    to_logits = CONV | {"kernel_shape": [1, 1], "strides": [8, 8], "pads": [0] * 4}
    content = onnx_file([*nodes, node("Conv", "x190 w", **to_logits)], shrink)
    (tmp_path / "slow.onnx").write_bytes(content)
    (tmp_path / "photo.png").write_bytes(encoded(noise(), "PNG"))
    command = "segment photo.png --output-dir out --model"
    report, errors = measured(command, [tmp_path / "slow.onnx"], tmp_path)
    ((status, seconds, memory),) = report.values()
    assert (status, errors) == (0, "") and seconds < 30 and memory < 1e9


@pytest.mark.parametrize("packed", [True, False])
def test_numbers_are_read_as_onnx_reads_them_packed_or_not(packed):
    """Protobuf allows both, and parsers of it may not read them differently."""
    dims = (6, 2, 1)
    written = field(1, bytes(dims)) if packed else b"".join(b"\x08" + varint(n) for n in dims)
    tensor = written + b"\x10\x01" + field(8, b"w") + field(9, bytes(4 * 12))
    own, graph = own_graph(), own_graph().graph.SerializeToString() + field(5, tensor)
    own.ClearField("graph")
    content = own.SerializeToString() + field(7, graph)
    theirs = onnx.load_from_string(content).graph.initializer[-1]
    assert read_onnx(content).graph["initializer"][-1]["dims"] == [*theirs.dims] == [*dims]


def test_weights_are_read_as_onnx_reads_them():
    ours = {bytes(t["name"]).decode(): t for t in read_onnx(OWN.read_bytes()).graph["initializer"]}
    theirs = {tensor.name: tensor for tensor in own_graph().graph.initializer}
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name]["raw_data"] == numpy_helper.to_array(tensor).tobytes()


def test_logits_that_are_no_numbers_are_an_error_not_a_photo_without_faces(tmp_path):
    huge = np.full((6, 3, 3, 3), 1e38, np.float32)
    content = one("Conv", "images w", constants={"w": huge}, **CONV)
    (tmp_path / "model.onnx").write_bytes(content)
    segmenter = FaceSegmenter(tmp_path / "model.onnx", aligned=True)  # of black, all logits are 0
    with pytest.raises(FaceSegKitError, match="model.onnx gives no numbers"):
        segmenter(np.full((64, 64, 3), 255, np.uint8))
