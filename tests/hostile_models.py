"""Model files that were made to do harm, and what their refusal says."""

import io
import json
import math
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import onnx
import torch
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from facesegkit.inference.model_zoo import weights_path
from facesegkit.inference.onnx_model import METADATA_KEY

OWN = weights_path("separable-synthetic")

# --- ONNX: protobuf messages ---


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    value &= 2**64 - 1
    parts = [value >> shift & 127 for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(part | 128 for part in parts[:-1]), parts[-1]])


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, or of another message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def own_graph() -> onnx.ModelProto:
    return onnx.load(OWN)


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    """A model that ships, after a change."""
    model = own_graph()
    change(model)
    return model.SerializeToString()


def metadata(**changes: object) -> bytes:
    plain = json.loads(own_graph().metadata_props[0].value) | changes
    return changed(lambda model: helper.set_model_props(model, {METADATA_KEY: json.dumps(plain)}))


def onnx_file(nodes: Iterable[onnx.NodeProto], constants: dict[str, Any] | None = None,
              side: int = 256, **changes: Any) -> bytes:  # fmt: skip
    """A file of a graph of these nodes, from "images" to "logits", that says it is one of ours."""
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, side, side])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    tensors = [
        numpy_helper.from_array(np.asarray(v), name) for name, v in (constants or {}).items()
    ]
    graph = helper.make_graph([*nodes], "graph", [images], [logits], tensors)
    graph.sparse_initializer.extend(changes.pop("sparse", ()))
    changes.setdefault("opset_imports", [helper.make_opsetid("", 17)])
    model = helper.make_model(graph, **changes)
    model.ir_version = 8
    plain = json.loads(own_graph().metadata_props[0].value) | {"input_size": side}
    helper.set_model_props(model, {METADATA_KEY: json.dumps(plain)})
    return model.SerializeToString()


def node(operator: str, inputs: str, output: str = "logits", **attributes: Any) -> onnx.NodeProto:
    """Inputs are separated by spaces; "-" is one that is left out."""
    names = [name.replace("-", "") for name in inputs.split()]
    return helper.make_node(operator, names, [output], **attributes)


def one(*arguments: Any, constants: dict[str, Any] | None = None, **attributes: Any) -> bytes:
    """A file with one operator."""
    return onnx_file([node(*arguments, **attributes)], constants)


def floats(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


CONV = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1}
NEAREST = {"mode": "nearest", "nearest_mode": "floor"}
RESIZE = NEAREST | {"coordinate_transformation_mode": "asymmetric"}


def conv(bias: int = 6, **changes: Any) -> bytes:
    constants = {"w": floats(6, 3, 3, 3), "b": floats(bias)}
    return one("Conv", "images w b", constants=constants, **CONV | changes)


def resize(scales: Iterable[float], **changes: Any) -> bytes:
    constants = {"s": np.array([*scales], np.float32)}
    return one("Resize", "images - s", constants=constants, **RESIZE | changes)


def normalization(training: int = 0, channels: int = 3) -> bytes:
    constants = {"c": floats(channels)}
    return one("BatchNormalization", "images c c c c", constants=constants, training_mode=training)


def tensor_file(dims: list[int], raw: bytes, kind: int = TensorProto.FLOAT, **more: Any) -> bytes:
    tensor = TensorProto(name="w", dims=dims, data_type=kind, raw_data=raw, **more)
    return changed(lambda model: model.graph.initializer.append(tensor))


def loop() -> bytes:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Identity", "go", "on"), node("Identity", "x", "y")], "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []),
         value("x", TensorProto.FLOAT, None)],
        [value("on", TensorProto.BOOL, []), value("y", TensorProto.FLOAT, None)],
    )  # fmt: skip
    return one("Loop", "n true images", constants={"n": 2**62, "true": True}, body=body)


def functions_that_double(count: int = 28) -> bytes:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for number in range(count):
        next_one = f"F{number + 1}"
        twice = [node(next_one, "x", "t", domain="own"), node(next_one, "t", "y", domain="own")]
        nodes = twice if number < count - 1 else [node("Identity", "x", "y")]
        functions.append(helper.make_function("own", f"F{number}", ["x"], ["y"], nodes, opsets))
    return onnx_file([node("F0", "images", domain="own")], functions=functions,
                     opset_imports=opsets)  # fmt: skip


def sparse() -> bytes:
    one_value, place = np.ones(1, np.float32), np.array([5])
    tensor = helper.make_sparse_tensor(
        numpy_helper.from_array(one_value, "w"), numpy_helper.from_array(place, "p"), [300_000_000]
    )
    return onnx_file([node("Mul", "images w")], sparse=[tensor])


def attribute(name: str, *, operator: str = "Concat", **values: Any) -> bytes:
    """A file with an operator whose attribute has these fields."""
    made = node(operator, "images images" if operator == "Concat" else "")
    made.attribute.append(AttributeProto(name=name, **values))
    return onnx_file([made])


def chain(operator: str, count: int, side: int = 256) -> bytes:
    """Many operators, one after the other, on images that were enlarged."""
    scales = np.array([1, 1, 8, 8], np.float32)
    nodes = [node("Resize", "images - s", "x0", **RESIZE)]
    nodes += [node(operator, f"x{number}", f"x{number + 1}") for number in range(count)]
    return onnx_file([*nodes, node("Identity", f"x{count}")], {"s": scales}, side)


EXTERNAL = {"data_location": TensorProto.EXTERNAL}
TWO_OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
REST = lambda model: setattr(model, "doc_string", "x" * 5_000_000)  # noqa: E731
TENSOR, NO_FIELD = "it has a tensor", "which export does not write"
OPERATOR, ATTRIBUTE = "it has the operator", "it has an attribute"

HOSTILE_ONNX: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty": ("it has 0 bytes", lambda: b""),
    "text": (NO_FIELD, lambda: b"hello"),
    # The cases of an adversary.
    "endless loop": ("it has field 6", loop),
    "functions": ("it has field 25", functions_that_double),
    "sparse": ("it has field 15", sparse),
    "strings": ("it has field 6", lambda: one("Tile", "text n", constants={
        "text": np.array(["x" * 400], object), "n": np.array([2_500_000])})),
    "sequence": ("operator 'SplitToSequence'", lambda: one("SplitToSequence", "images")),
    "matrix products": ("operator 'MatMul'", lambda: one("MatMul", "images images")),
    "another file": ("it has field 14", lambda: tensor_file([9], b"", **EXTERNAL)),
    "weights that are NaN": ("gives no numbers", lambda: tensor_file(
        [1], np.float32("nan").tobytes())),
    "weights that are infinite": ("gives no numbers", lambda: tensor_file(
        [1], np.float16("inf").tobytes(), TensorProto.FLOAT16)),
    # Tensors.
    "fewer numbers than said": (TENSOR, lambda: tensor_file([5], bytes(16))),
    "sizes that overflow": (TENSOR, lambda: tensor_file([2**32, 2**32], b"")),
    "sizes that cancel out": (TENSOR, lambda: tensor_file([-1, -4], bytes(16))),
    "no numbers": (TENSOR, lambda: tensor_file([0], b"")),
    "six dimensions": (TENSOR, lambda: tensor_file([1] * 6, bytes(4))),
    "doubles": (TENSOR, lambda: tensor_file([1], bytes(8), TensorProto.DOUBLE)),
    "complex numbers": (TENSOR, lambda: tensor_file([1], bytes(8), TensorProto.COMPLEX64)),
    "numbers in another field": ("it has field 4", lambda: tensor_file(
        [1], b"", float_data=[1.0])),
    "a type of more than 32 bits": (TENSOR, lambda: field(8, b"\x10\x11") + field(
        7, field(11, b"") + field(12, b"") + field(5, b"\x10" + varint(2**32 + 1)))),
    # Protobuf.
    "two graphs": ("it has two graph", lambda: OWN.read_bytes() + field(7, b"")),
    "two weights in one": ("it has two raw_data", lambda: onnx_file(
        [node("Identity", "images")]) + field(7, field(5, field(9, bytes(4)) + field(9, b"")))),
    "an unknown field": ("it has field 200", lambda: OWN.read_bytes() + field(200, b"x")),
    "field 0": ("it has field 0", lambda: OWN.read_bytes() + b"\x02\x00"),
    "a group": ("of another type", lambda: OWN.read_bytes() + b"\x3b\x3c"),
    "a number without end": ("more than 64 bits", lambda: OWN.read_bytes() + b"\x08" + b"\xff" * 9
                             + b"\xff\xff"),
    "a length beyond the end": ("it is cut off", lambda: OWN.read_bytes() + b"\x32\x7f"),
    "a negative length": ("it is cut off", lambda: OWN.read_bytes() + b"\x32" + varint(-1)),
    "millions of empty fields": ("more than 50,000 fields", lambda: field(
        7, field(5, b"\x0a\x00" * 5_000_000))),
    "millions of entries": ("more than 50,000 fields", lambda: OWN.read_bytes()
                            + field(14, b"") * 10_000_000),
    "a million sizes": ("more than 50,000 fields", lambda: field(
        7, field(5, field(1, b"\x01" * 10_000_000)))),
    "megabytes of text": ("bytes that are no weights", lambda: changed(REST)),
    "megabytes of metadata": ("bytes that are no weights", lambda: metadata(x="x" * 5_000_000)),
    # Operators.
    "a graph within": ("it has field 6", lambda: attribute(
        "axis", g=onnx.GraphProto(), type=AttributeProto.GRAPH)),
    "two opsets": ("opset 17", lambda: onnx_file([], opset_imports=TWO_OPSETS)),
    "an old opset": ("opset 17", lambda: onnx_file([], opset_imports=[helper.make_opsetid("", 6)])),
    "no opset": ("opset 17", lambda: changed(lambda model: model.ClearField("opset_import"))),
    "an own operator": (OPERATOR, lambda: one("Relu", "images", domain="com.microsoft")),
    "2,001 operators": ("it has 2,001 operators", lambda: changed(
        lambda model: model.graph.node.extend([onnx.NodeProto(op_type="Relu")] * 1899))),
    "two inputs": ("several inputs", lambda: changed(
        lambda model: model.graph.input.append(model.graph.input[0]))),
    "another input": ("not of 256 x 256", lambda: onnx_file([], side=512).replace(
        b'"input_size": 512', b'"input_size": 256')),
    "an attribute of another name": (ATTRIBUTE, lambda: attribute("axes", i=0, type=2)),
    "an attribute of another type": (ATTRIBUTE, lambda: attribute("axis", i=0, type=1)),
    "an attribute of two values": (ATTRIBUTE, lambda: attribute("axis", i=0, s=b"x", type=2)),
    "an attribute of no value": (ATTRIBUTE, lambda: attribute("axis", type=2)),
    "a constant of two values": ("it has field 7", lambda: attribute(
        "value_floats", operator="Constant", floats=[0.0] * 9, type=6,
        t=numpy_helper.from_array(floats(1)))),
    "an axis that is not there": ("do not fit", lambda: one("Concat", "images images")),
    "sizes that do not fit": ("do not fit together", lambda: one(
        "Concat", "images c", constants={"c": floats(1, 3, 9, 9)}, axis=1)),
    "a cycle": ("inputs that do not fit", lambda: one("Add", "images logits")),
    "an output of nobody": ("logits nothing", lambda: onnx_file([])),
    "an output that is written twice": ("two tensors", lambda: onnx_file(
        [node("Relu", "images"), node("Relu", "images")])),
    "two outputs": ("has 2 outputs", lambda: onnx_file(
        [helper.make_node("Relu", ["images"], ["logits", "more"])])),
    "three classes for six": ("logits [1, 3, 256, 256]", lambda: one("Relu", "images")),
    "a bias that is too short": ("numbers for 6 channels", lambda: conv(bias=1)),
    "huge pads": ("and pads", lambda: conv(pads=[0, 0, 0, 2**40])),
    "negative pads": ("and pads", lambda: conv(pads=[-1, 1, 1, 1])),
    "huge dilations": ("a convolution that is not", lambda: conv(dilations=[2**30, 1])),
    "strides of 0": ("strides", lambda: conv(strides=[0, 1])),
    "strides of one number": ("strides", lambda: conv(strides=[1])),
    "no group": ("channels do not fit", lambda: conv(group=0)),
    "many groups": ("channels do not fit", lambda: conv(group=3)),
    "pads of its own choice": (ATTRIBUTE, lambda: conv(auto_pad="SAME_UPPER")),
    "another kernel": ("a convolution that is not", lambda: conv(kernel_shape=[9, 9])),
    "a kernel larger than the image": ("larger than its input", lambda: one(
        "Conv", "images w", constants={"w": floats(6, 3, 400, 400)},
        **CONV | {"kernel_shape": [400, 400], "pads": [0] * 4})),
    "too few statistics": ("numbers for 3 channels", lambda: normalization(channels=1)),
    "statistics of the images": ("training mode", lambda: normalization(training=1)),
    "scales of a million": ("it resizes by", lambda: resize([1, 1, 1e6, 1e6])),
    "scales that are NaN": ("gives no numbers", lambda: resize([1, 1, math.nan, 1])),
    "more images": ("it resizes by", lambda: resize([64, 1, 1, 1])),
    "a region": ("it resizes by", lambda: resize(
        [1, 1, 2, 2], coordinate_transformation_mode="tf_crop_and_resize")),
    "another way to resize": ("it resizes by", lambda: resize([1, 1, 2, 2], mode="cubic")),
    "outside of the image": (ATTRIBUTE, lambda: resize([1, 1, 2, 2], extrapolation_value=1e30)),
    "a cast to text": ("another type", lambda: one("Cast", "images", to=TensorProto.STRING)),
    "calculations in halves": ("not float32", lambda: one(
        "Add", "w w", constants={"w": np.zeros(3, np.float16)})),
    "a large tensor": ("it makes a tensor", lambda: onnx_file(
        [node("Resize", "images - s", "x", **RESIZE), node("Resize", "x - s", **RESIZE)],
        {"s": np.array([1, 1, 16, 16], np.float32)})),
    "a large constant": ("parameters", lambda: one("Add", "a b", constants={
        "a": floats(7800, 1), "b": floats(1, 7800)})),
    "a large constant that is cast": ("parameters", lambda: onnx_file(
        [node("Cast", "w", f"w{number}", to=1) for number in range(40)],
        {"w": np.zeros(2_000_000, np.float16)})),
    "much work": ("more than 20,000,000,000", lambda: chain("Sigmoid", 300)),
    # Metadata.
    "another kind": ("is not a model of facesegkit but 'xxx", lambda: metadata(kind="x" * 10**6)),
    "a kind of many lines": ("but 'a\\nb'", lambda: metadata(kind="a\nb")),
    "another format": ("has format xxx", lambda: metadata(format="x" * 10**6)),
    "levels without end": ("not a model of facesegkit, or", lambda: changed(
        lambda model: helper.set_model_props(model, {METADATA_KEY: "[" * 100_000}))),
    "a name of many letters": ("characters; at most 200", lambda: metadata(
        scheme={"name": "x" * 10**6, "classes": {"nose": ["nose"]}})),
    "letters that no file holds": ("characters; at most 60, printable", lambda: metadata(
        scheme={"classes": {"\ud800": ["nose"]}})),
    "a class that controls terminals": ("characters; at most 60, printable", lambda: metadata(
        scheme={"classes": {"\x1b[2J": ["nose"]}})),
    "colours that are none": ("has the colour", lambda: metadata(
        scheme={"classes": {"nose": ["nose"]}, "colours": [[math.nan, 0, 0]]})),
    "a size without end": ("cannot convert float infinity", lambda: metadata(input_size=math.inf)),
    "a size of a million": ("images of 1000000 pixels", lambda: metadata(input_size=10**6)),
    "a crop that is none": ("A crop must lie within", lambda: metadata(
        crop={"x": math.nan, "y": 0.5, "size": 1})),
    "text for what it is about": ("do not fit together", lambda: metadata(about="text")),
}  # fmt: skip

# --- PyTorch: pickles in zip files ---


def archive(pickled: bytes, records: Iterable[tuple[str, bytes]] = (), **options: Any) -> bytes:
    """A .pth file with this pickle and these records."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as written:
        for name, content in [("data.pkl", pickled), ("version", b"3\n"), *records]:
            written.writestr(f"archive/{name}", content)
    return file.getvalue()


def own_checkpoint(**changes: Any) -> dict[str, Any]:
    path = weights_path("separable-synthetic", ".pth")
    return {**torch.load(path, weights_only=True), **changes}


def pth(plain: object, **options: Any) -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save(plain, file, **options)
    return file.getvalue()


def own_pth(**changes: Any) -> bytes:
    return pth(own_checkpoint(**changes))


def own_config(**changes: Any) -> bytes:
    """A model whose weights need few bytes, whatever its configuration is."""
    config = {"classes": 6, "widths": [8, 4, 4, 4], "blocks": [1, 1], **changes}
    return own_pth(config=config, weights={})


def repacked(change: Callable[[dict[str, bytes]], object], **options: Any) -> bytes:
    """The records of a model that ships, after a change, in a new zip."""
    with zipfile.ZipFile(weights_path("separable-synthetic", ".pth")) as own:
        records = {name.split("/", 1)[1]: own.read(name) for name in own.namelist()}
    change(records)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as written:
        for name, content in records.items():
            written.writestr(f"archive/{name}", content)
    return file.getvalue()


def two_of_one_name() -> bytes:
    content = repacked(lambda records: records.update({"data.pkk": b"\x80\x02}."}))
    return content.replace(b"data.pkk", b"data.pkl")


def million_records() -> bytes:
    """Only a zip's index, of records that are not there; each would take 600 bytes of memory."""
    entry = b"PK\1\2" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"x"
    count = 1_500_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65_535, 65_535, len(entry) * count, 0, 0)
    return entry * count + end


def short(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def program(*steps: bytes) -> bytes:
    """A pickle of these opcodes."""
    return b"\x80\x02" + b"".join(steps) + b"."


def long(value: int) -> bytes:
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def doubled_text() -> bytes:
    steps = short("abcdefgh")
    for _ in range(27):
        steps = b"c_codecs\nencode\n" + steps + short("hex_codec") + b"\x86R"
    return program(steps)


def key_of_many_tuples() -> bytes:
    """A key of a dict whose hash takes 2^60 steps."""
    pairs = b"".join(b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1])
                     for n in range(60))  # fmt: skip
    return program(b"}()q\0", pairs, b"tK\1s")


def keys_of_one_hash() -> bytes:
    keys = b"".join(long((number + 1) * (2**61 - 1)) + b"K\1" for number in range(30_000))
    return program(b"}(", keys, b"u")


def many_copies() -> bytes:
    items = b"".join(b"J" + struct.pack("<i", number) + b"K\1" for number in range(100_000))
    copy = b"ccollections\nOrderedDict\nh\0\x85R"
    return program(b"}q\0(", items, b"u](", copy * 50_000, b"e")


BYTES = program(b"cbuiltins\nbytearray\n", long(10**10), b"\x85R")
STORAGE = (b"(" + short("storage") + b"ctorch\nFloatStorage\n" + short("0") + short("cpu")
           + b"K\4tQ")  # fmt: skip


def tensor(size: bytes, stride: bytes, storage: bytes = STORAGE, offset: bytes = b"K\0") -> bytes:
    """A pickle of a list of one tensor of a file with four numbers."""
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n("
    pickled = program(b"}", short("x"), rebuild, storage, offset, size, stride, hooks, b"tRs")
    return archive(pickled, [("data/0", bytes(16)), ("byteorder", b"little")])


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as written:
        written.addfile(tarfile.TarInfo("storages"))
    return file.getvalue()


def nested(levels: int = 24) -> Any:
    """Few lists in a pickle, but 2^levels letters as JSON."""
    value: Any = "a"
    for _ in range(levels):
        value = [value, value]
    return value


def filled(value: float, dtype: torch.dtype | None = None) -> dict[str, Any]:
    weights = own_checkpoint()["weights"]
    return {
        name: torch.full(w.shape, value, dtype=dtype) if w.is_floating_point() else w
        for name, w in weights.items()
    }


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


OPCODE, GLOBAL, RECORD = "has the opcode", "has a GLOBAL of", "it has a record"
NO_METHODS = program(
    b"ccollections\nOrderedDict\n)R}(", short("get"), b"K\1", short("items"), b"K\1ub"
)

HOSTILE_PTH: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty": ("not saved by", lambda: b""),
    "text": ("not saved by", lambda: b"hello"),
    # The cases of an adversary.
    "bytearray": ("not saved by", lambda: BYTES),
    "bytearray in a zip": (GLOBAL, lambda: archive(BYTES)),
    "text that doubles": (GLOBAL, lambda: archive(doubled_text())),
    "ten million blocks": ("10000000 blocks", lambda: own_config(blocks=[10**7, 10**7])),
    "ten thousand channels": ("10000 channels", lambda: own_config(widths=[10_000, 4, 4, 4])),
    "nested lists": ("too many levels", lambda: own_pth(about={"data": nested()})),
    "a wide tree": ("is too long", lambda: own_pth(about={"data": nested(18)})),
    "a class of a long name": ("of 60,000 characters", lambda: own_pth(
        scheme={"classes": {"W" * 60_000: ["nose"]}})),
    "a class that is a number": ("a class name of 1 characters", lambda: own_pth(
        scheme={"classes": {1: ["nose"]}})),
    "complex weights": (GLOBAL, lambda: own_pth(weights=filled(0, torch.complex64))),
    "weights that are NaN": ("gives no numbers", lambda: own_pth(weights=filled(math.nan))),
    "weights that are infinite": ("gives no numbers", lambda: own_pth(weights=filled(math.inf))),
    # Containers.
    "tar": ("not saved by", tar),
    "an old format": ("not saved by", lambda: pth(
        own_checkpoint(), _use_new_zipfile_serialization=False)),
    "a plain pickle": ("not saved by", lambda: pickle.dumps({"kind": "facesegkit model"})),
    "compressed": (RECORD, lambda: repacked(lambda records: None, compression=8)),
    "a bomb": ("110,000,002 bytes", lambda: archive(bytes(110_000_000), compression=8)),
    "two of one name": ("not named as", two_of_one_name),
    "a million records": ("more than 5,000 records", million_records),
    "a program": (RECORD, lambda: repacked(lambda r: r.update({"code/a.py": b"x"}))),
    "torchscript": (RECORD, lambda: repacked(lambda r: r.update({"constants.pkl": b"x"}))),
    "capitals": (RECORD, lambda: repacked(lambda r: r.update({"DATA.PKL": r.pop("data.pkl")}))),
    "a second pickle": (RECORD, lambda: repacked(lambda r: r.update({"x/data.pkl": b"."}))),
    "another folder": (RECORD, lambda: repacked(lambda r: r.update({"../data.pkl": b"."}))),
    "a large pickle": ("has 17,000,000 bytes", lambda: archive(bytes(17_000_000))),
    "another byte order": ("not saved by", lambda: repacked(lambda r: r.update(byteorder=b"x"))),
    "another version": ("not saved by", lambda: repacked(lambda r: r.update(version=b"999999"))),
    "a version that is no number": ("not saved by", lambda: repacked(
        lambda r: r.update(version=b"x"))),
    "no pickle": ("not saved by", lambda: repacked(lambda r: r.pop("data.pkl"))),
    # Pickles.
    "another protocol": (OPCODE, lambda: archive(pickle.dumps({"x": 1}, 4))),
    "opcode INST": (OPCODE, lambda: archive(b"(ios\nsystem\n.")),
    "opcode EXT1": (OPCODE, lambda: archive(b"\x82\1.")),
    "opcode PERSID": (OPCODE, lambda: archive(b"Px\n.")),
    "os.system": (GLOBAL, lambda: archive(program(b"cos\nsystem\n", short("true"), b"\x85R"))),
    "many opcodes": ("or too many", lambda: archive(program(b"](" + b"N" * 300_000 + b"e"))),
    "a key of many tuples": ("has a SETITEM of", lambda: archive(key_of_many_tuples())),
    "keys of one hash": ("has a SETITEMS of", lambda: archive(keys_of_one_hash())),
    "many copies": ("has a REDUCE of", lambda: archive(many_copies())),
    "a call of a storage": ("has a REDUCE of", lambda: archive(
        program(b"ctorch\nFloatStorage\n", long(10**10), b"\x85R"))),
    "a tensor set anew": ("has a BUILD of", lambda: archive(program(b"]}b"))),
    "an empty stack": ("not saved by", lambda: archive(program(b"s"))),
    "a memo that is not there": ("not saved by", lambda: archive(program(b"h\7"))),
    "text as storage": ("has a BINPERSID of", lambda: archive(program(short("x"), b"Q"))),
    "four as storage": ("has a BINPERSID of", lambda: tensor(
        b")", b")", STORAGE.replace(b"K\4tQ", b"tQ"))),
    "a storage of another name": ("has a BINPERSID of", lambda: tensor(b")", b")", STORAGE.replace(
        short("0"), b")"))),
    "a list of methods": ("holds a OrderedDict", lambda: archive(NO_METHODS)),
    "lists within each other": ("too many levels", lambda: own_pth(about={"x": cyclic()})),
    # Tensors.
    "one number, repeated": ("its tensors have", lambda: tensor(
        b"(" + long(10**10) + b"t", b"(K\0t")),
    "a tensor beyond its storage": ("not saved by", lambda: tensor(
        b"(J\0\0\0\x10t", b"(K\1t")),
    "a negative stride": ("not saved by", lambda: tensor(b"(K\2t", b"(J\xff\xff\xff\xfft")),
    "a negative offset": ("not saved by", lambda: tensor(
        b"(K\2t", b"(K\1t", offset=b"J\xf0\xff\xff\xff")),
    "a storage of many numbers": ("not saved by", lambda: tensor(
        b"(K\2t", b"(K\1t", STORAGE.replace(b"K\4tQ", long(10**10) + b"tQ"))),
    "a storage of fewer than none": ("not saved by", lambda: tensor(
        b"(K\2t", b"(K\1t", STORAGE.replace(b"K\4tQ", long(-(2**62)) + b"tQ"))),
    "a storage whose name rings a bell": ("file data/0?:", lambda: tensor(
        b"(K\2t", b"(K\1t", STORAGE.replace(short("0"), short("0\a")))),
    "a storage that is not there": ("not saved by", lambda: tensor(
        b"(K\2t", b"(K\1t", STORAGE.replace(short("0"), short("../0")))),
    # Entries.
    "a list": ("holds a list", lambda: pth([1])),
    "no entries": ("is not a model of", lambda: pth({})),
    "a tensor as kind": ("is not a model of", lambda: own_pth(kind=torch.zeros(1000))),
    "a list as format": ("has format", lambda: own_pth(format=["x" * 10**6])),
    "tensors in its description": ("has a Tensor", lambda: own_pth(about={"x": torch.zeros(2)})),
    "weights of one shape for all": ("do not fit together", lambda: own_pth(
        weights=dict.fromkeys(own_checkpoint()["weights"], torch.zeros(1)))),
    "weights in a list": ("do not fit together", lambda: own_pth(weights=[torch.zeros(1)])),
    "no weights": ("do not fit together", lambda: own_pth(weights={})),
    "a config without widths": ("do not fit together", lambda: own_pth(config={"classes": 6})),
    "text as widths": ("'a' channels", lambda: own_config(widths="abcd")),
    "many widths": ("do not fit together", lambda: own_config(widths=[1] * 9_000)),
    "no channels": ("0 channels", lambda: own_config(widths=[0, 1, 1, 1])),
    "a negative number of blocks": ("-1 blocks", lambda: own_config(blocks=[-1, 1])),
    "many classes": ("more than 20,000,000 parameters", lambda: own_config(classes=10**10)),
    "much work": ("more than 20,000,000,000", lambda: own_config(
        widths=[512, 2000, 8, 8], blocks=[0, 0])),
    "another input size": ("250 pixels, no multiple of 16", lambda: own_pth(input_size=250)),
    "a huge input": ("images of 1000000 pixels", lambda: own_pth(input_size=10**6)),
    "a list as architecture": ("do not fit together", lambda: own_pth(arch=[])),
    "an architecture of many letters": ("no architecture", lambda: own_pth(arch="x" * 10**6)),
}  # fmt: skip
