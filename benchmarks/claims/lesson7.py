"""Lesson 7: what int8 costs, on other faces. Its times have no claims: a cell prints them."""

import tempfile
from pathlib import Path

import numpy as np
from common import open_session
from lesson_claims import Claim
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantType,
    quant_pre_process,
    quantize_static,
)

from facesegkit.course.lesson_data import lesson_cache, lesson_data
from facesegkit.inference.model_zoo import weights_path
from facesegkit.inference.upsample import upsample_argmax
from facesegkit.labels import FIVE_FEATURES
from facesegkit.metrics import SegmentationMetrics, confusion_matrix

MODELS = ("unet-synthetic", "separable-synthetic")
PHOTOS, SETS = 6, 5  # 30 faces, as in the lesson
CALIBRATION = 16

Images = NDArray[np.float32]  # [N, 3, 256, 256], RGB in 0..1
ClassIds = NDArray[np.uint8]  # [N, 512, 512]


def pairs(rows: NDArray[np.intp]) -> tuple[Images, ClassIds]:
    """Images and class ids of the lessons' faces."""
    cache = lesson_cache(lesson_data())
    images = np.ascontiguousarray(cache.photos[rows].transpose(0, 3, 1, 2), np.float32)
    return images / np.float32(255), FIVE_FEATURES.merge(cache.labels[rows])


def calibration_rows() -> NDArray[np.intp]:
    return lesson_cache(lesson_data()).rows("train")[:CALIBRATION]


def faces(seed: int) -> tuple[Images, ClassIds]:
    """One of five sets of faces that neither a model nor the quantizer has seen."""
    unseen = np.setdiff1d(lesson_cache(lesson_data()).rows("all"), calibration_rows())
    return pairs(unseen[PHOTOS * seed :][:PHOTOS])


class CalibrationPhotos(CalibrationDataReader):
    """Passes photos one by one to the quantizer."""

    def __init__(self, images: Images) -> None:
        self.images = iter(images)

    def get_next(self) -> dict[str, Images] | None:
        image = next(self.images, None)
        return None if image is None else {"images": image[None]}


def quantized_models(folder: Path) -> None:
    """Write each model in float32, in int8, and in int8 with weights of 7 bits, as the lesson."""
    images, _ = pairs(calibration_rows())
    for name in MODELS:
        path = folder / f"{name} float32.onnx"
        path.write_bytes(weights_path(name).read_bytes())
        prepared = folder / "prepared"
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        for bits in (8, 7):
            quantize_static(
                prepared,
                folder / f"{name} {bits} bits.onnx",
                CalibrationPhotos(images),
                per_channel=True,
                reduce_range=bits == 7,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )


def mean_f1(logits: NDArray[np.floating], targets: ClassIds) -> float:
    """Mean F1 over the classes of all faces, from logits [N, 6, 256, 256]."""
    size = targets.shape[1:]
    predicted = np.stack([upsample_argmax(np.float32(of_face), size) for of_face in logits])
    return float(SegmentationMetrics(confusion_matrix(targets, predicted, 6)).mean_f1)


def losses(seed: int) -> dict[str, float]:
    """F1 that each network loses if its weights have 7 bits; the same on every processor."""
    images, targets = faces(seed)
    with tempfile.TemporaryDirectory() as folder:
        quantized_models(Path(folder))
        scores = {}
        for name in MODELS:
            for kind in ("float32", "7 bits"):
                predict_logits = open_session(Path(folder, f"{name} {kind}.onnx"))
                logits = np.concatenate([predict_logits(image[None]) for image in images])
                scores[name, kind] = mean_f1(logits, targets)
    return {name: scores[name, "float32"] - scores[name, "7 bits"] for name in MODELS}


CLAIMS = [
    Claim(
        "With weights of 7 bits, either network lost less than a hundredth of mean F1.",
        losses,
        lambda figures: max(figures.values()) < 0.01,
    ),
]
