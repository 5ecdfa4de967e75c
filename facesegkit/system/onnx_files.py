"""Traces networks to ONNX graphs, and writes them with metadata and weights of half the size."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from facesegkit.system.files import atomic_write


def trace_onnx(
    model: nn.Module, size: int, free: dict[str, dict[int, str]], opset: int
) -> onnx.ModelProto:
    """Trace a network on images, float32 [1, 3, size, size], to a graph.

    `free` has the names of input and output, and the dimensions of each that may have any length.
    ONNX Runtime merges batch normalizations into the convolutions when it loads the file. If they
    were merged here, the weights would no longer fit into float16 (see `write_onnx`).
    """
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        traced, images = Path(folder, "traced.onnx"), torch.zeros(1, 3, size, size)
        # The newer exporter (dynamo) needs a further package, and merges batch normalizations.
        torch.onnx.export(
            model.eval(), (images,), traced, input_names=[*free][:1], output_names=[*free][1:],
            dynamic_axes=free, opset_version=opset, dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
        )  # fmt: skip
        return onnx.load(traced)


def write_onnx(graph: onnx.ModelProto, metadata: dict[str, str], path: Path | str) -> None:
    """Write a graph with metadata, atomically; weights that float16 holds exactly become float16.

    Raises a FaceSegKitError if the file cannot be written.
    """
    for tensor in reversed(graph.graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.ndim < 2:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if np.array_equal(half, values):
            name, half_name = tensor.name, f"{tensor.name}.half"
            tensor.CopyFrom(numpy_helper.from_array(half, half_name))
            # ONNX Runtime casts them back once, when it loads the file.
            cast = helper.make_node("Cast", [half_name], [name], to=onnx.TensorProto.FLOAT)
            graph.graph.node.insert(0, cast)
    helper.set_model_props(graph, metadata)
    onnx.checker.check_model(graph, full_check=True)
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(graph.SerializeToString())
