"""Exports a checkpoint as an ONNX file, and checks that both predict the same."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facesegkit.checkpoint import Checkpoint, description
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.onnx_check import OPSET
from facesegkit.inference.onnx_model import METADATA_KEY, open_onnx
from facesegkit.system.onnx_files import trace_onnx, write_onnx


@dataclass(frozen=True)
class Agreement:
    """How far the outputs of a checkpoint and of its ONNX file agree."""

    largest_difference: float  # between any two logits
    largest_logit: float  # in absolute value
    same_classes: float  # fraction of the pixels that get the same class, 0..1


def export_onnx(checkpoint: Checkpoint, path: Path | str) -> None:
    """Write a checkpoint with its metadata as an ONNX file.

    The network takes `images`, float32 [batch, 3, S, S], RGB in 0..1, and returns `logits`, float32
    [batch, C, S, S]; the batch size is free, S is the checkpoint's `input_size`. Raises a
    FaceSegKitError if the file cannot be written.
    """
    metadata = {METADATA_KEY: json.dumps(description(checkpoint))}
    free = {"images": {0: "batch"}, "logits": {0: "batch"}}
    graph = trace_onnx(checkpoint.model, checkpoint.input_size, free, OPSET)
    write_onnx(graph, metadata, path)


def compare(checkpoint: Checkpoint, path: Path | str, images: NDArray[np.float32]) -> Agreement:
    """Predict images, float32 [B, 3, S, S] in 0..1, with a checkpoint and with its ONNX file.

    Raises a FaceSegKitError if the file cannot be read.
    """
    networks = checkpoint.runnable().predict_logits, open_onnx(Path(path)).predict_logits
    rows = []
    for image in images:  # one by one, because many logits take much memory
        expected, logits = (predict(image[None]) for predict in networks)
        same = (logits.argmax(axis=1) == expected.argmax(axis=1)).mean()
        rows.append((np.abs(logits - expected).max(), np.abs(expected).max(), same))
    differences, largest, same_classes = np.transpose(rows)
    return Agreement(float(differences.max()), float(largest.max()), float(same_classes.mean()))


def check_agreement(agreement: Agreement, path: Path | str) -> None:
    """Check that an ONNX file predicts what its checkpoint does.

    Raises a FaceSegKitError if logits differ by over 1e-4 (and, as float32 rounds relatively, by
    over 5e-6 of the largest one), or classes on over one pixel in 10,000.
    """
    tolerance = max(1e-4, 5e-6 * agreement.largest_logit)
    if agreement.largest_difference > tolerance or agreement.same_classes < 0.9999:
        raise FaceSegKitError(
            f"{path} does not predict the same as its checkpoint: logits differ by up to "
            f"{agreement.largest_difference:.1e}, and {1 - agreement.same_classes:.2%} of the "
            f"pixels get another class; please report this."
        )
