"""A trained model that is ready to score photos, wherever it comes from.

Models run on ONNX Runtime, which is a few times faster on small networks than PyTorch, and far
smaller to install.
"""

from __future__ import annotations

import json
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
from facesegkit.labels import LabelScheme
from facesegkit.system.files import check_is_file

FORMAT = 2  # of model files, .pth and .onnx; raised whenever older ones could no longer be read
KIND = "facesegkit model"
DETECTOR_KIND = "facesegkit face detector"
METADATA_KEY = "facesegkit"  # under which an .onnx file says what it is

# A model of this package has 2 MB. ONNX Runtime takes several times a file's size in memory.
_LARGEST = 128 * 2**20
# For all models of a process. One of ours takes some 20 MB, but a few bytes can ask for any size.
_MOST_MEMORY = 800 * 2**20

_ONE_AT_A_TIME = Lock()

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Model:
    """A model that is ready to score photos.

    Args:
        predict_logits: images float32 [B, 3, S, S], RGB in 0..1, to scores before softmax,
            float32 [B, C, S, S].
        scheme: what its C classes mean, and their colours.
        input_size: S, in pixels.
        about: plain data on where it comes from.
        crop: the part of an aligned photo that it looks at.
    """

    predict_logits: Network
    scheme: LabelScheme
    input_size: int
    about: Mapping[str, Any] = field(default_factory=dict)
    crop: RelativeCrop = FULL_IMAGE


def open_onnx(path: Path, *, threads: int = 1) -> Model:
    """Open a model that `facesegkit export` has written.

    Raises:
        FaceSegKitError: no such file, a damaged one, one of another version or of another kind.
    """
    score, plain = _opened(path, threads)
    check_kind(plain, path)
    return checked_model(score, plain, path)


def open_detector(path: Path, *, threads: int = 1) -> Network:
    """Open a face finder that `export.export_detector` has written.

    Returns:
        What `detector.detect_faces` takes: photos float32 [B, 3, H, W], RGB in 0..1, to
        float32 [B, 6, H / 8, W / 8].

    Raises:
        FaceSegKitError: no such file, a damaged one, one of another version or of another kind.
    """
    find, plain = _opened(path, threads)
    check_kind(plain, path, DETECTOR_KIND)
    return find


def _opened(path: Path, threads: int) -> tuple[Network, Any]:
    """What an ONNX file computes, and what it says about itself."""
    # Imported late: 'facesegkit train' does without.
    import onnxruntime as ort

    check_is_file(path)
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= _LARGEST else b""
    except OSError as error:
        raise FaceSegKitError(f"Cannot read the model {path}: {error.strerror}.") from error
    if not content:
        raise FaceSegKitError(
            f"{path} is no model of facesegkit: it has {size:,} bytes; "
            f"give an .onnx file that 'facesegkit export' has written."
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is said below, in one sentence
    if _memory_is_limited():
        options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        # From memory, so that a file cannot refer to others beside it.
        # Without its fallback, which prints what is wrong and tries the same once more.
        providers = ["CPUExecutionProvider"]
        session = ort.InferenceSession(content, options, providers=providers, enable_fallback=0)
        input_name = session.get_inputs()[0].name
        plain = json.loads(session.get_modelmeta().custom_metadata_map.get(METADATA_KEY, "null"))
    except Exception as error:  # its exceptions have no base class of their own
        raise FaceSegKitError(
            f"{path} is not an ONNX model, or it is damaged; export it again with "
            f"'facesegkit export', or install facesegkit again if it came with it."
        ) from error

    def predict_logits(photos: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return session.run(None, {input_name: photos})[0]
        except Exception as error:  # as above
            raise FaceSegKitError(
                f"{path} cannot score photos ({first_line(error)}); train or export again."
            ) from error

    return predict_logits, plain


def _memory_is_limited() -> bool:
    """Have ONNX Runtime keep within `_MOST_MEMORY`; whether it can be had."""
    with _ONE_AT_A_TIME:  # or two threads would both be the first
        return _limit_memory()


@cache
def _limit_memory() -> bool:
    import onnxruntime as ort

    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    try:
        limited = ort.OrtArenaCfg({"max_mem": _MOST_MEMORY})
        ort.create_and_register_allocator(memory, limited)
    except Exception:  # the program that we are a part of has registered another
        return False
    return True


def check_kind(plain: Any, path: Path | str, wanted: str = KIND) -> None:
    """See that a file's contents say that it is a model, of the format that is read here.

    Args:
        plain: the contents, or what the file says about itself.
        path: of the file, for messages.
        wanted: the kind of model that it should be.

    Raises:
        FaceSegKitError: it is another kind of file, or of another format.
    """
    kind = plain.get("kind", "something else") if isinstance(plain, dict) else "something else"
    if kind != wanted:
        raise FaceSegKitError(
            f"{path} is not a {wanted.removeprefix('facesegkit ')} of facesegkit but {kind!r}; "
            f"give a file that face_segmentation.py or 'facesegkit export' has saved."
        )
    if plain.get("format") != FORMAT:
        versions = plain.get("versions")
        wrote = versions.get("facesegkit") if isinstance(versions, dict) else None
        raise FaceSegKitError(
            f"{path} has format {plain.get('format')}, this version of facesegkit reads "
            f"{FORMAT}; train again, or install the version that wrote it ({wrote})."
        )


def check_input_size(size: int) -> None:
    """Raises ValueError for photos that no model of ours is trained on, and that might be huge."""
    if not 16 <= size <= 1024:
        raise ValueError(f"photos of {size} pixels")


def checked_model(score: Network, plain: dict[str, Any], path: Path | str) -> Model:
    """A model whose scores fit what its file says about it.

    Raises:
        FaceSegKitError: the size, the scheme or the scores do not fit together.
    """
    try:
        scheme, size = LabelScheme.from_dict(plain["scheme"]), int(plain["input_size"])
        crop = RelativeCrop.from_dict(
            plain.get("crop")
        )  # files from before there were crops have none
        check_input_size(size)
        scores = score(np.zeros((1, 3, size, size), np.float32))
        if scores.shape != (1, len(scheme.class_names), size, size) or scores.dtype != np.float32:
            raise ValueError(f"scores {scores.dtype} {list(scores.shape)}")
        about = dict(plain.get("about", {}))
    except FaceSegKitError as error:  # of the scheme, or of the scores
        raise FaceSegKitError(f"{path} is damaged: {error}") from error
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
        raise FaceSegKitError(
            f"{path} is damaged, its contents do not fit together "
            f"({first_line(error)}); train or export again."
        ) from error
    return Model(score, scheme, size, about, crop)
