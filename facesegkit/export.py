"""Writes a checkpoint as an ONNX file, and checks that it does the same."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from facesegkit.checkpoint import Checkpoint, description
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.onnx_model import DETECTOR_KIND, FORMAT, METADATA_KEY, open_onnx
from facesegkit.system.files import atomic_write

OPSET = 17  # of ONNX 1.12, from 2022: every ONNX Runtime since 1.12 reads it
INPUT, OUTPUT = "images", "logits"


@dataclass(frozen=True)
class Agreement:
    """How far the scores of two forms of one model differ.

    Args:
        largest_difference: between any two scores.
        same_classes: share of the pixels that get the same class, 0..1.
    """

    largest_difference: float
    same_classes: float


def export_onnx(checkpoint: Checkpoint, path: Path | str) -> None:
    """Write a checkpoint as an ONNX file, in which all that is needed to use it is kept.

    The file takes photos, float32 [batch, 3, S, S], RGB in 0..1, and gives scores before softmax,
    float32 [batch, C, S, S]; the batch size is free, S is the checkpoint's `input_size`.

    Raises:
        FaceSegKitError: the file cannot be written.
    """
    size = checkpoint.input_size
    traced = _traced(checkpoint.model, size, OUTPUT, {0: "batch"})
    _write(traced, description(checkpoint), path)


def export_detector(finder: nn.Module, about: Mapping[str, Any], path: Path | str) -> None:
    """Write a trained `train.FaceDetector` as an ONNX file.

    The file takes photos, float32 [batch, 3, H, W], RGB in 0..1, of any size that 8 divides, and
    gives float32 [batch, 6, H / 8, W / 8].

    Args:
        finder: the network.
        about: plain data on where it comes from.
        path: of the file.

    Raises:
        FaceSegKitError: the file cannot be written.
    """
    free = {0: "batch", 2: "height", 3: "width"}
    about = {"kind": DETECTOR_KIND, "format": FORMAT, "about": dict(about)}
    _write(_traced(finder, 64, "detections", free), about, path)


def _write(traced: bytes, about: Mapping[str, Any], path: Path | str) -> None:
    """Make a traced network's weights small, say what it is, and write it."""
    graph = onnx.load_model_from_string(traced)
    _halve_where_exact(graph)
    helper.set_model_props(graph, {METADATA_KEY: json.dumps(about)})
    onnx.checker.check_model(graph, full_check=True)
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(graph.SerializeToString())


def _traced(model: nn.Module, size: int, output: str, free: dict[int, str]) -> bytes:
    """A network as ONNX, its batch normalisations still apart.

    ONNX Runtime merges them into the convolutions when it loads the file. Done here, the merged
    weights would no longer fit into float16 (see `_halve_where_exact`).

    Args:
        model: takes photos float32 [1, 3, size, size].
        size: in pixels.
        output: what its output is called.
        free: the dimensions of photos and output that may have any length, and their names.
    """
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        # The newer exporter needs a further package, and merges batch normalisations.
        warnings.simplefilter("ignore")
        traced = Path(folder, "traced.onnx")
        torch.onnx.export(
            model.eval(),
            (torch.zeros(1, 3, size, size),),
            traced,
            input_names=[INPUT],
            output_names=[output],
            dynamic_axes={INPUT: free, output: free},
            opset_version=OPSET,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            dynamo=False,
        )
        return traced.read_bytes()


def _halve_where_exact(model: onnx.ModelProto) -> None:
    """Keep weights that float16 can hold in float16, and widen them where they are used.

    ONNX Runtime does that once, when it loads the file.
    """
    widened = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16) if values.dtype == np.float32 else values
        if half is values or values.ndim < 2 or not np.array_equal(half, values):
            continue
        wide_name, half_name = tensor.name, f"{tensor.name}.half"
        tensor.CopyFrom(numpy_helper.from_array(half, half_name))
        widened.append(
            helper.make_node("Cast", [half_name], [wide_name], to=onnx.TensorProto.FLOAT)
        )
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(widened + nodes)


def compare(checkpoint: Checkpoint, path: Path | str, photos: np.ndarray) -> Agreement:
    """Score photos with a checkpoint and with its ONNX file.

    Args:
        checkpoint: what the file was made from.
        path: the ONNX file.
        photos: float32 [B, 3, S, S], RGB in 0..1.

    Raises:
        FaceSegKitError: the file cannot be read.
    """
    expected = checkpoint.runnable().predict_logits(photos)
    found = open_onnx(Path(path)).predict_logits(photos)
    return Agreement(
        float(np.abs(found - expected).max()),
        float((found.argmax(axis=1) == expected.argmax(axis=1)).mean()),
    )


def check_agreement(agreement: Agreement, path: Path | str) -> None:
    """See that an ONNX file does what its checkpoint does.

    Raises:
        FaceSegKitError: scores differ by more than 1e-4, or classes on more than one pixel in
            10,000.
    """
    if agreement.largest_difference > 1e-4 or agreement.same_classes < 0.9999:
        raise FaceSegKitError(
            f"{path} does not do the same as its checkpoint: scores differ by up to "
            f"{agreement.largest_difference:.1e}, and {1 - agreement.same_classes:.2%} of the "
            f"pixels get another class; please report this."
        )
