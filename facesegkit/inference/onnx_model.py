"""Trained models on ONNX Runtime, and the interface that all models have for inference.

On small networks ONNX Runtime is a few times faster than PyTorch, and far smaller to install.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesegkit.errors import FaceSegKitError, first_line
from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.inference.onnx_check import NotFiniteError, OnnxFile, read_onnx
from facesegkit.labels import LabelScheme
from facesegkit.system.files import check_is_file
from facesegkit.system.model_limits import check_input_size, not_finite

FORMAT = 2  # of model files, .pth and .onnx; increased when older ones can no longer be read
KIND = "facesegkit model"
DETECTOR_KIND = "facesegkit face detector"
METADATA_KEY = "facesegkit"  # of an .onnx file, for what it contains

# Our models have at most 2 MB. ONNX Runtime takes several times a file's size in memory.
_MAX_BYTES = 100_000_000
# For all models of a process. One of ours takes some 20 MB, but a hostile file may need any size.
_MAX_MEMORY = 800 * 2**20

_LOCK = Lock()

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Model:
    """A segmentation model for inference, wherever it comes from."""

    predict_logits: Network  # images float32 [B, 3, S, S], RGB in 0..1, to logits [B, C, S, S]
    scheme: LabelScheme  # its C classes and their colours
    input_size: int  # S, in pixels
    about: Mapping[str, Any] = field(default_factory=dict)  # plain data on where it comes from
    crop: RelativeCrop = FULL_IMAGE  # the part of an aligned photo that it sees


def open_onnx(path: Path, *, threads: int = 1) -> Model:
    """Open a model written by `facesegkit export`.

    Raises a FaceSegKitError if there is no such file, or it is damaged, of another version or kind.
    """
    content = _read(path)
    file, metadata = _checked(content, path, KIND)
    try:
        scheme, size = LabelScheme.from_dict(metadata["scheme"]), int(metadata["input_size"])
        crop = RelativeCrop.from_dict(metadata.get("crop"))  # older files have none
        check_input_size(size)
        about = dict(metadata.get("about", {}))
        file.check_work(size, len(scheme.class_names))
    except Exception as error:  # any entry may be of any type
        raise damaged(path, error) from error
    predict_logits = finite(_network(content, path, threads), f"The model {path}")
    predict_logits(np.zeros((1, 3, size, size), np.float32))  # raises errors now, not later
    return Model(predict_logits, scheme, size, about, crop)


@dataclass(frozen=True, eq=False)
class DetectorModel:
    """The network of a face detector, and what its scores mean."""

    # Images float32 [B, 3, H, W], RGB in 0..1, to float32 [B, N, 15]; see `detector.decode`.
    predict: Network
    calibration: tuple[float, ...]  # bias, and weight of each of two logits

    def confidence(self, first: float, second: float) -> float:
        """Probability of a face from two scores in 0..1: in the photo, and in the aligned crop.

        A logistic regression (J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999).
        """
        bias, *weights = self.calibration
        logits = (math.log(score / (1 - score)) for score in (min(first, 1 - 1e-6), second))
        summed = bias + sum(weight * x for weight, x in zip(weights, logits, strict=True))
        return 1 / (1 + math.exp(-summed))


def open_detector(path: Path, *, threads: int = 1) -> Network:
    """Open the network of a face detector written by `detection.train.export_detector`.

    Raises a FaceSegKitError if there is no such file, or it is damaged, of another version or kind.
    """
    content = _read(path)
    _checked(content, path, DETECTOR_KIND)
    return _network(content, path, threads)


def _checked(content: bytes, path: Path, kind: str) -> tuple[OnnxFile, dict[str, Any]]:
    """What an ONNX file holds, if `export` may have written it, and its metadata."""
    try:
        file = read_onnx(content, detector=kind == DETECTOR_KIND)
        metadata = json.loads(file.metadata.get(METADATA_KEY, "null"))
    except NotFiniteError as error:
        raise not_finite(f"The model {path}") from error
    except (ValueError, RecursionError) as error:  # the latter of JSON
        raise _not_a_model(path, first_line(error)) from error
    check_kind(metadata, path, kind)
    return file, metadata


def _not_a_model(path: Path, reason: str) -> FaceSegKitError:
    remedy = "run 'facesegkit export' again, or install facesegkit again if it came with it"
    problem = f"{path} is not a model of facesegkit, or it is damaged"
    return FaceSegKitError(f"{problem} ({reason}); {remedy}.")


def _network(content: bytes, path: Path, threads: int) -> Network:
    """What an ONNX file computes; its output does not belong to ONNX Runtime."""
    session = _session(content, path, threads)
    input_name = session.get_inputs()[0].name

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            # A copy, since outputs that are kept would use up ONNX Runtime's limited memory.
            output = session.run(None, {input_name: images})[0].copy()
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            problem = f"{path} cannot process images ({first_line(error)})"
            raise FaceSegKitError(f"{problem}; train or export again.") from error
        return output

    return run


def finite(network: Network, name: str) -> Network:
    """The same network, which raises a FaceSegKitError of `name` where logits are no numbers."""

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = network(images)
        if not np.isfinite(logits).all():
            raise not_finite(name)
        return logits

    return run


def _read(path: Path) -> bytes:
    check_is_file(path)
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= _MAX_BYTES else b""
    except OSError as error:
        raise FaceSegKitError(f"Cannot read the model {path}: {error.strerror}.") from error
    if not content:
        problem = f"{path} is not a model of facesegkit: it has {size:,} bytes"
        raise FaceSegKitError(f"{problem}; give an .onnx file written by 'facesegkit export'.")
    return content


def _session(content: bytes, path: Path, threads: int) -> Any:
    """An ONNX Runtime session."""
    import onnxruntime as ort  # imported late: 'facesegkit train' does without

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # errors are reported below, in one sentence
    with _LOCK:  # otherwise two threads could both be the first
        if _limit_memory():
            options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        # From memory, so that a file cannot refer to others beside it. Without the fallback, which
        # prints the error and tries the same again.
        providers = ["CPUExecutionProvider"]
        return ort.InferenceSession(content, options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        raise _not_a_model(path, first_line(error)) from error


@cache
def _limit_memory() -> bool:
    """Limit ONNX Runtime to `_MAX_MEMORY`; whether that is possible."""
    import onnxruntime as ort

    arena, default = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, ort.OrtMemType.DEFAULT
    memory = ort.OrtMemoryInfo("Cpu", arena, 0, default)
    try:
        ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"max_mem": _MAX_MEMORY}))
    except Exception:  # the calling program has registered another allocator
        return False
    return True


def check_kind(metadata: Any, path: Path | str, wanted: str = KIND) -> None:
    """Check by its metadata that a file contains the wanted kind of model, in a format read here.

    Raises a FaceSegKitError if it is another kind of file, or of another format version.
    """
    metadata = metadata if isinstance(metadata, dict) else {}
    kind = metadata.get("kind", "something else")
    if kind != wanted:
        kinds = f"{wanted.removeprefix('facesegkit ')} of facesegkit but {str(kind)[:60]!r}"
        problem = f"{path} is not a {kinds}"
        remedy = "give a file saved by face_segmentation.py or 'facesegkit export'"
        raise FaceSegKitError(f"{problem}; {remedy}.")
    if metadata.get("format") != FORMAT:
        versions = metadata.get("versions")
        written_by = versions.get("facesegkit") if isinstance(versions, dict) else None
        found, version = (str(value)[:20] for value in (metadata.get("format"), written_by))
        raise FaceSegKitError(
            f"{path} has format {found}, this version of facesegkit reads {FORMAT}; "
            f"train again, or install the version that wrote it ({version})."
        )


def damaged(path: Path | str, error: Exception) -> FaceSegKitError:
    """The error for a file of a model whose contents are invalid as `error` says."""
    problem = f"{path} is damaged, its contents do not fit together ({first_line(error)})"
    return FaceSegKitError(f"{problem}; train or export again.")
