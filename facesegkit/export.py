"""Exports a checkpoint as an ONNX file, and checks that both predict the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from facesegkit.checkpoint import Checkpoint, description
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.onnx_model import DETECTOR_KIND, FORMAT, METADATA_KEY, open_onnx
from facesegkit.system.onnx_files import trace_onnx, write_onnx

OPSET = 17  # of ONNX 1.12 (2022), which every ONNX Runtime since 1.12 can read


@dataclass(frozen=True)
class Agreement:
    """How far the outputs of a checkpoint and of its ONNX file agree.

    Args:
        largest_difference: between any two logits.
        same_classes: fraction of the pixels that get the same class, 0..1.
    """

    largest_difference: float
    same_classes: float


def export_onnx(checkpoint: Checkpoint, path: Path | str) -> None:
    """Write a checkpoint with its metadata as an ONNX file.

    The network takes `images`, float32 [batch, 3, S, S], RGB in 0..1, and returns `logits`,
    float32 [batch, C, S, S]; the batch size is free, S is the checkpoint's `input_size`.

    Raises:
        FaceSegKitError: if the file cannot be written.
    """
    metadata = {METADATA_KEY: json.dumps(description(checkpoint))}
    graph = trace_onnx(checkpoint.model, checkpoint.input_size, "logits", {0: "batch"}, OPSET)
    write_onnx(graph, metadata, path)


def export_detector(detector: nn.Module, about: Mapping[str, Any], path: Path | str) -> None:
    """Write a trained `detection.train.FaceDetector`, and plain data about it, as an ONNX file.

    The network takes `images`, float32 [batch, 3, H, W], RGB in 0..1, with H and W multiples of 8,
    and returns `detections`, float32 [batch, 6, H / 8, W / 8].

    Raises:
        FaceSegKitError: if the file cannot be written.
    """
    free = {0: "batch", 2: "height", 3: "width"}
    plain = {"kind": DETECTOR_KIND, "format": FORMAT, "about": dict(about)}
    graph = trace_onnx(detector, 64, "detections", free, OPSET)
    write_onnx(graph, {METADATA_KEY: json.dumps(plain)}, path)


def compare(checkpoint: Checkpoint, path: Path | str, images: NDArray[np.float32]) -> Agreement:
    """Predict images, float32 [B, 3, S, S] in 0..1, with a checkpoint and with its ONNX file.

    Raises:
        FaceSegKitError: if the file cannot be read.
    """
    expected = checkpoint.runnable().predict_logits(images)
    logits = open_onnx(Path(path)).predict_logits(images)
    return Agreement(
        float(np.abs(logits - expected).max()),
        float((logits.argmax(axis=1) == expected.argmax(axis=1)).mean()),
    )


def check_agreement(agreement: Agreement, path: Path | str) -> None:
    """Check that an ONNX file predicts what its checkpoint does.

    Raises:
        FaceSegKitError: if logits differ by more than 1e-4, or classes on more than one pixel in
            10,000.
    """
    if agreement.largest_difference > 1e-4 or agreement.same_classes < 0.9999:
        raise FaceSegKitError(
            f"{path} does not predict the same as its checkpoint: logits differ by up to "
            f"{agreement.largest_difference:.1e}, and {1 - agreement.same_classes:.2%} of the "
            f"pixels get another class; please report this."
        )
