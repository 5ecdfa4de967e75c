"""Looks through an ONNX file before ONNX Runtime sees it: operators, types, sizes and work.

ONNX can express programs that never end, files that unpack to gigabytes, and references to other
files. Models of facesegkit need a dozen operators on dense numbers; all else is refused.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesegkit.inference.protobuf import BYTES, FIXED32, VARINT, Field, Message, parse, text
from facesegkit.system.model_limits import MAX_MACS, MAX_PARAMETERS

OPSET = 17  # of ONNX 1.12 (2022), which every ONNX Runtime since 1.12 can read
_MAX_NODES, _MAX_FIELDS = 2000, 50_000  # ours have about 200 and 8,000
_MAX_CONSTANTS = 2 * MAX_PARAMETERS  # numbers; float16 weights are cast, so they count twice
_MAX_NUMBERS = 2**26  # of one tensor; 256 MB as float32
_NUMBER_WORK = 8  # writing a number takes as long as so many MACs
_MAX_REST = 4_000_000  # bytes of all but the weights; ours have some 50,000
_MAX_RANK = 5
_SMALL = 64  # numbers of a constant that may be a shape or a scale

_FLOAT, _INT64, _HALF = 1, 7, 10  # ONNX's numbers of element types
_DTYPES: dict[int, np.dtype[Any]] = {
    _FLOAT: np.dtype("<f4"),
    _INT64: np.dtype("<i8"),
    _HALF: np.dtype("<f2"),
}

_TENSOR = {
    1: Field("dims", VARINT, many=True), 2: Field("data_type", VARINT),
    8: Field("name", BYTES), 9: Field("raw_data", BYTES),
}  # fmt: skip
_ATTRIBUTE = {
    1: Field("name", BYTES), 2: Field("f", FIXED32), 3: Field("i", VARINT), 4: Field("s", BYTES),
    5: Field("t", BYTES, fields=_TENSOR), 8: Field("ints", VARINT, many=True),
    20: Field("type", VARINT),
}  # fmt: skip
_ATTRIBUTE_TYPES = {1: "f", 2: "i", 3: "s", 4: "t", 7: "ints"}  # which field has the value
_NODE = {
    1: Field("input", BYTES, many=True), 2: Field("output", BYTES, many=True),
    3: Field("name", BYTES), 4: Field("op_type", BYTES),
    5: Field("attribute", BYTES, many=True, fields=_ATTRIBUTE), 6: Field("doc", BYTES),
    7: Field("domain", BYTES),
}  # fmt: skip
_DIM = {1: Field("value", VARINT), 2: Field("param", BYTES)}
_SHAPE = {1: Field("dim", BYTES, many=True, fields=_DIM)}
_TENSOR_TYPE = {1: Field("elem_type", VARINT), 2: Field("shape", BYTES, fields=_SHAPE)}
_TYPE = {1: Field("tensor_type", BYTES, fields=_TENSOR_TYPE)}
_INFO = {1: Field("name", BYTES), 2: Field("type", BYTES, fields=_TYPE), 3: Field("doc", BYTES)}
_GRAPH = {
    1: Field("node", BYTES, many=True, fields=_NODE), 2: Field("name", BYTES),
    5: Field("initializer", BYTES, many=True, fields=_TENSOR), 10: Field("doc", BYTES),
    11: Field("input", BYTES, many=True, fields=_INFO),
    12: Field("output", BYTES, many=True, fields=_INFO),
}  # fmt: skip
_OPSET = {1: Field("domain", BYTES), 2: Field("version", VARINT)}
_ENTRY = {1: Field("key", BYTES), 2: Field("value", BYTES)}
_MODEL = {
    1: Field("ir_version", VARINT), 2: Field("producer_name", BYTES),
    3: Field("producer_version", BYTES), 4: Field("domain", BYTES),
    5: Field("model_version", VARINT), 6: Field("doc", BYTES),
    7: Field("graph", BYTES, fields=_GRAPH), 8: Field("opset", BYTES, many=True, fields=_OPSET),
    14: Field("metadata", BYTES, many=True, fields=_ENTRY),
}  # fmt: skip

# What tracing a face detector writes besides; only those that ship are read.
_DETECTOR_OPERATORS = ("Shape", "Slice", "Reshape", "Sub", "Transpose")


@dataclass(frozen=True)
class _Value:
    """A tensor of a graph: its type, its shape, and its numbers if they are few and constant."""

    dtype: int
    shape: tuple[int, ...]
    is_constant: bool = False
    numbers: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A file that holds one graph of operators, types and weights as `export` writes them."""

    metadata: dict[str, str]
    graph: Message

    def check_work(self, size: int, channels: int) -> None:
        """Check what an image of size x size pixels takes, and that the logits fit it.

        Raises ValueError.
        """
        (images,), (output,) = self.graph["input"], self.graph["output"]
        if _sides(images) != [3, size, size]:
            raise ValueError(f"its input is not of {size} x {size} pixels")
        count = _Counter({text(images.get("name")): _Value(_FLOAT, (1, 3, size, size))})
        for tensor in self.graph["initializer"]:
            count.add(text(tensor.get("name")), _constant(tensor))
        for node in self.graph["node"]:
            count.node(node)
        logits = count.values.get(text(output.get("name")))
        if logits is None or (logits.dtype, logits.shape) != (_FLOAT, (1, channels, size, size)):
            found = "nothing" if logits is None else f"{list(logits.shape)}"
            raise ValueError(f"logits {found}, not {[1, channels, size, size]}")


def read_onnx(content: bytes, *, detector: bool = False) -> OnnxFile:
    """Look through an ONNX file, and read its metadata.

    Raises ValueError if it is none, has anything that `export` does not write, or weights that are
    no numbers (NaN, infinity).
    """
    model = parse(content, _MODEL, _MAX_FIELDS)
    graph = model.get("graph")
    opsets = [(text(opset.get("domain")), opset.get("version")) for opset in model["opset"]]
    if graph is None or opsets != [("", OPSET)]:
        raise ValueError(f"it has no graph of ONNX's operators of opset {OPSET}")
    weights = sum(len(tensor.get("raw_data", b"")) for tensor in graph["initializer"])
    if len(content) - weights > _MAX_REST:
        raise ValueError(f"it has {len(content) - weights:,} bytes that are no weights")
    if len(graph["node"]) > _MAX_NODES:
        raise ValueError(f"it has {len(graph['node']):,} operators; at most {_MAX_NODES:,}")
    if len(graph["input"]) != 1 or len(graph["output"]) != 1:
        raise ValueError("it has several inputs or outputs")
    known = {*_RULES, *(_DETECTOR_OPERATORS if detector else ())}
    for node in graph["node"]:
        operator = text(node.get("op_type"))
        if operator not in known or text(node.get("domain")):
            raise ValueError(f"it has the operator {operator[:40]!r}, which export does not write")
    for tensor in graph["initializer"]:
        _check_finite(tensor)
    metadata = {text(one.get("key")): text(one.get("value")) for one in model["metadata"]}
    return OnnxFile(metadata, graph)


class NotFiniteError(ValueError):
    """Weights or logits are NaN or infinite."""


def _check_finite(tensor: Message) -> None:
    numbers = _numbers(tensor)
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
        raise NotFiniteError("its weights are not numbers (NaN or infinite)")


def _numbers(tensor: Message) -> NDArray[Any]:
    """A tensor's numbers, [n]; a ValueError if they are not as many as its shape says."""
    dtype, dims = _DTYPES.get(tensor.get("data_type", 0)), tensor["dims"]
    if dtype is None:
        raise ValueError("it has a tensor that is not of float32, float16 or int64")
    raw = tensor.get("raw_data", memoryview(b""))
    if len(dims) > _MAX_RANK or not all(1 <= n <= _MAX_NUMBERS for n in dims):
        raise ValueError(f"it has a tensor of {dims[:8]}")
    if math.prod(dims) * dtype.itemsize != len(raw):
        raise ValueError(f"it has a tensor of {dims} with {len(raw):,} bytes")
    return np.frombuffer(raw, dtype)


def _constant(tensor: Message) -> _Value:
    numbers, shape = _numbers(tensor), tuple(tensor["dims"])
    few = numbers.reshape(shape) if numbers.size <= _SMALL else None
    return _Value(tensor["data_type"], shape, True, few)


def _sides(info: Message) -> list[int]:
    """The shape of an input, without the size of a batch."""
    dims = info.get("type", {}).get("tensor_type", {}).get("shape", {}).get("dim", [])
    return [dim.get("value", 0) for dim in dims][1:]


def _attributes(node: Message, known: str) -> dict[str, Any]:
    """Values of an operator's attributes; a ValueError if one is not known, or ambiguous.

    Another parser must not see another value: only the field of the attribute's type may be there.
    """
    attributes: dict[str, Any] = {}
    for one in node["attribute"]:
        name, kind = text(one.get("name")), _ATTRIBUTE_TYPES.get(one.get("type", 0), "")
        given = {field for field in _ATTRIBUTE_TYPES.values() if one.get(field) not in (None, [])}
        if name not in known.split() or given != {kind} or name in attributes:
            raise ValueError(f"it has an attribute {name[:40]!r} that export does not write")
        attributes[name] = text(one[kind]) if kind == "s" else one[kind]
    return attributes


class _Counter:
    """Follows types and shapes through a graph, and adds up what they cost."""

    def __init__(self, values: dict[str, _Value]) -> None:
        self.values = values
        self.constants = 0
        self.work = 0

    def add(self, name: str, value: _Value, macs: int = 0) -> None:
        """Add a tensor and the work that it takes; a ValueError if that is too much."""
        numbers = math.prod(value.shape)
        self.constants += numbers if value.is_constant else 0
        self.work += macs + _NUMBER_WORK * numbers
        if name in self.values:
            raise ValueError(f"it has two tensors {name[:40]!r}")
        if len(value.shape) > _MAX_RANK or numbers > _MAX_NUMBERS:
            raise ValueError(f"it makes a tensor of {list(value.shape)}")
        if self.constants > _MAX_CONSTANTS:
            raise ValueError(f"it has more than {MAX_PARAMETERS:,} parameters")
        if self.work > MAX_MACS:
            raise ValueError(f"an image takes more than {MAX_MACS:,} multiply-accumulates")
        self.values[name] = value

    def node(self, node: Message) -> None:
        """Follow one operator."""
        operator = text(node.get("op_type"))
        names, outputs = [text(name) for name in node["input"]], node["output"]
        try:
            inputs = [self.values[name] if name else None for name in names]
            rule, known = _RULES[operator]
            value, macs = rule(inputs, _attributes(node, known))
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ValueError(f"its operator {operator} has inputs that do not fit") from error
        if len(outputs) != 1:
            raise ValueError(f"its operator {operator} has {len(outputs):,} outputs")
        constant = all(one.is_constant for one in inputs if one is not None)
        kept = value.numbers if constant else None
        self.add(text(outputs[0]), _Value(value.dtype, value.shape, constant, kept), macs)


def _floats(*values: _Value) -> None:
    if any(value.dtype != _FLOAT for value in values):
        raise ValueError("it calculates with numbers that are not float32")


def _images(value: _Value) -> tuple[int, int, int, int]:
    _floats(value)
    if len(value.shape) != 4:
        raise ValueError(f"it takes a tensor of {list(value.shape)} for images")
    batch, channels, height, width = value.shape
    return batch, channels, height, width


def _vectors(values: list[Any], channels: int) -> None:
    """Check a number for each channel, of which ONNX Runtime would read more than there are."""
    _floats(*values)
    if any(value.shape != (channels,) for value in values):
        raise ValueError(
            f"it has {[list(v.shape) for v in values]} numbers for {channels} channels"
        )


def _same(inputs: list[Any], attributes: Mapping[str, Any]) -> tuple[_Value, int]:
    (x,) = inputs
    _floats(x)
    return _Value(_FLOAT, x.shape), 0


def _identity(inputs: list[Any], attributes: Mapping[str, Any]) -> tuple[_Value, int]:
    (x,) = inputs  # the exporter writes equal weights once
    return x, 0


def _cast(inputs: list[Any], attributes: Mapping[str, Any]) -> tuple[_Value, int]:
    (x,) = inputs
    if attributes["to"] != _FLOAT or x.dtype not in (_FLOAT, _HALF):
        raise ValueError("it casts to another type than float32")
    return _Value(_FLOAT, x.shape), 0


def _constant_node(inputs: list[Any], attributes: Mapping[str, Any]) -> tuple[_Value, int]:
    return _constant(attributes["value"]), 0


def _broadcast(inputs: list[Any], attributes: Mapping[str, Any]) -> tuple[_Value, int]:
    first, second = inputs
    _floats(first, second)
    return _Value(_FLOAT, np.broadcast_shapes(first.shape, second.shape)), 0


def _concat(inputs: list[Any], attributes: Mapping[str, Any]) -> tuple[_Value, int]:
    axis = attributes["axis"] % len(inputs[0].shape)
    shapes, dtypes = np.array([x.shape for x in inputs]), {x.dtype for x in inputs}
    if len(dtypes) > 1 or (np.delete(shapes, axis, 1) != np.delete(shapes[0], axis)).any():
        raise ValueError("it joins tensors that do not fit together")
    shape = [*inputs[0].shape]
    shape[axis] = sum(x.shape[axis] for x in inputs)
    few = all(x.numbers is not None for x in inputs)
    numbers = np.concatenate([x.numbers for x in inputs], axis) if few else None
    return _Value(inputs[0].dtype, tuple(shape), numbers=numbers), 0


def _conv(inputs: list[Any], attributes: Mapping[str, Any]) -> tuple[_Value, int]:
    batch, channels, *extent = _images(inputs[0])
    out, group_channels, *kernel = _images(inputs[1])
    strides, pads, groups = (attributes[name] for name in ("strides", "pads", "group"))
    _vectors(inputs[2:], out)  # its bias
    if attributes["kernel_shape"] != kernel or attributes["dilations"] != [1, 1] or len(pads) != 4:
        raise ValueError("it has a convolution that is not as export writes it")
    if min(strides) < 1 or len(strides) != 2 or not 0 <= min(pads) <= max(pads) <= max(kernel):
        raise ValueError(f"it has a convolution of strides {strides} and pads {pads}")
    if groups < 1 or group_channels * groups != channels or out % groups:
        raise ValueError("it has a convolution whose channels do not fit")
    ends = [n + pads[i] + pads[i + 2] - kernel[i] for i, n in enumerate(extent)]
    shape = (batch, out, *(end // stride + 1 for end, stride in zip(ends, strides, strict=True)))
    if min(shape) < 1:
        raise ValueError("it has a convolution that is larger than its input")
    return _Value(_FLOAT, shape), math.prod(shape) * group_channels * math.prod(kernel)


def _normalization(inputs: list[Any], attributes: Mapping[str, Any]) -> tuple[_Value, int]:
    _, channels, *_ = _images(inputs[0])
    _vectors(inputs[1:], channels)
    if attributes["training_mode"] != 0 or len(inputs) != 5:
        raise ValueError("it has a batch normalization in training mode")
    return _Value(_FLOAT, inputs[0].shape), 0


def _pool(inputs: list[Any], attributes: Mapping[str, Any]) -> tuple[_Value, int]:
    batch, channels, *_ = _images(inputs[0])
    return _Value(_FLOAT, (batch, channels, 1, 1)), 0


def _resize(inputs: list[Any], attributes: Mapping[str, Any]) -> tuple[_Value, int]:
    shape, scales = _images(inputs[0]), inputs[2].numbers
    if len(inputs) != 3 or inputs[1] is not None or scales.shape != (4,) or scales.dtype != "<f4":
        raise ValueError("it resizes in another way than export writes it")
    if not (scales[:2] == 1).all() or not ((scales >= 1) & (scales <= 64)).all():
        raise ValueError(f"it resizes by {scales.tolist()}")
    mode, where = attributes["mode"], attributes["coordinate_transformation_mode"]
    if mode not in ("nearest", "linear") or where not in ("asymmetric", "half_pixel"):
        raise ValueError(f"it resizes by {mode[:40]!r}, {where[:40]!r}")
    sides = (math.floor(n * scale) for n, scale in zip(shape, scales.tolist(), strict=True))
    return _Value(_FLOAT, tuple(sides)), 0


# What follows an operator, and the names of the attributes that it may have.
_RULES = {
    "Add": (_broadcast, ""),
    "BatchNormalization": (_normalization, "epsilon momentum training_mode"),
    "Cast": (_cast, "to"),
    "Concat": (_concat, "axis"),
    "Constant": (_constant_node, "value"),
    "Conv": (_conv, "dilations group kernel_shape pads strides"),
    "GlobalAveragePool": (_pool, ""),
    "Identity": (_identity, ""),
    "Mul": (_broadcast, ""),
    "Relu": (_same, ""),
    "Resize": (_resize, "coordinate_transformation_mode cubic_coeff_a mode nearest_mode"),
    "Sigmoid": (_same, ""),
}
