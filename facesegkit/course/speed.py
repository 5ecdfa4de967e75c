"""What lesson 7 measures with: the processor, its matrix products, the layers of an ONNX model."""

import json
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# Flags in /proc/cpuinfo of instructions that multiply bytes and add up four products in 32 bits:
# VNNI on x86, the dot product on ARM.
INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})


@dataclass(frozen=True)
class Processor:
    """A processor, as far as it can be found out without another package."""

    name: str
    instructions: str  # the widest vector instructions that PyTorch uses on it
    has_int8_dot_product: bool | None  # None: unknown

    def __str__(self) -> str:
        answer = {True: "yes", False: "no", None: "unknown"}[self.has_int8_dot_product]
        return f"{self.name}, vectors: {self.instructions}, int8 dot products: {answer}"


def this_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Processor:
    """The processor of this machine; `cpuinfo` exists on Linux."""
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    pairs = [
        (key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)
    ]
    fields = dict(reversed(pairs))  # of the first core
    flags = set((fields.get("flags") or fields.get("Features", "")).split())
    return Processor(
        name=fields.get("model name") or platform.processor() or platform.machine(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        has_int8_dot_product=bool(flags & INT8_FLAGS) if flags else _apple_silicon(),
    )


def _apple_silicon() -> bool | None:
    """True for Apple's own processors, which all have it; otherwise unknown."""
    return True if (platform.system(), platform.machine()) == ("Darwin", "arm64") else None


def onnx_product(left: NDArray[Any], right: NDArray[Any]) -> Callable[[], NDArray[Any]]:
    """A function that multiplies two matrices with ONNX Runtime, on one thread.

    The product of float32 matrices is float32, that of uint8 [M, K] and int8 [K, N] is int32. As
    in a network, `right` is a constant.
    """
    is_float = left.dtype == np.float32
    output = TensorProto.FLOAT if is_float else TensorProto.INT32
    kind = helper.np_dtype_to_tensor_dtype(left.dtype)
    graph = helper.make_graph(
        [
            helper.make_node(
                "MatMul" if is_float else "MatMulInteger", ["left", "right"], ["product"]
            )
        ],
        "product",
        [helper.make_tensor_value_info("left", kind, left.shape)],
        [helper.make_tensor_value_info("product", output, [len(left), right.shape[1]])],
        [numpy_helper.from_array(right, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = _session(model.SerializeToString(), ort.SessionOptions())
    return lambda: session.run(None, {"left": left})[0]


def convolution_times(path: Path, images: NDArray[np.float32], runs: int) -> list[float]:
    """Seconds of each convolution of an ONNX model, in order, on one thread: the fastest run.

    ONNX Runtime's own profiler measures them, in whole microseconds.
    """
    options = ort.SessionOptions()
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = _session(str(path), options)
        for _ in range(runs):
            session.run(None, {session.get_inputs()[0].name: images})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times: dict[str, float] = {}
    for event in events:
        if event["cat"] == "Node" and event["args"].get("op_name", "").endswith("Conv"):
            seconds = event["dur"] / 1e6
            times[event["name"]] = min(seconds, times.get(event["name"], seconds))
    return list(times.values())


def _session(model: str | bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
