"""The models that come with the package, by name; and how any model is opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from facesegkit.errors import FaceSegKitError
from facesegkit.inference.onnx_model import Model, Network, open_detector, open_onnx

FOLDER = Path(__file__).parents[1] / "weights"

DEFAULT_MODEL = "separable"

# Each has .onnx, .pth, .json (figures) and .md (model card) below `FOLDER`.
MODEL_NAMES = ("separable", "unet", "separable-synthetic", "unet-synthetic")

# Finds faces for all of them.
DETECTOR = FOLDER / "detector.onnx"


def is_shipped(name: str) -> bool:
    """Whether a name is that of a model which comes with the package."""
    return name in MODEL_NAMES


def weights_path(name: str, suffix: str = ".onnx") -> Path:
    """The file of a model that ships.

    Raises:
        FaceSegKitError: there is no model of that name, or its file is missing.
    """
    if not is_shipped(name):
        raise FaceSegKitError(
            f"There is no model {name!r}; the names are {', '.join(MODEL_NAMES)}."
        )
    path = FOLDER / f"{name}{suffix}"
    if not path.is_file():
        raise FaceSegKitError(
            f"The file {path.name} of the model {name!r} is missing from the installation; "
            f"install facesegkit again."
        )
    return path


def model_card(name: str) -> dict[str, Any]:
    """The figures of a model that ships: what it was trained on, its licence and scores.

    Raises:
        FaceSegKitError: there is no model of that name, or its file is missing or damaged.
    """
    path = weights_path(name, ".json")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FaceSegKitError(
            f"The file {path.name} of the model {name!r} is damaged; install facesegkit again."
        ) from error


def licence_notice(name: str) -> str:
    """One line on what a model that ships may be used for; empty where anything is allowed."""
    if name.endswith("-synthetic"):
        return ""
    return (
        f"The model '{name}' is for non-commercial use only, like the photos it was trained on; "
        f"'{name}-synthetic' is free for any use."
    )


def load_model(name: str | Path = DEFAULT_MODEL, *, threads: int = 1) -> Model:
    """Open a model by its name or from its file.

    Args:
        name: of a model that ships ("separable", see `MODEL_NAMES`), or the path of an .onnx
            or .pth file.
        threads: for ONNX Runtime. One photo is too little work to share.

    Raises:
        FaceSegKitError: no such name or file, a damaged file, one of another version or that is
            not a model of this package, or a .pth file where PyTorch is not installed.
    """
    path = weights_path(str(name)) if is_shipped(str(name)) else Path(name)
    if path.suffix == ".onnx":
        return open_onnx(path, threads=threads)
    try:
        from facesegkit.checkpoint import load
    except ModuleNotFoundError as error:
        raise FaceSegKitError(
            f"{path} needs {error.name}, which is not installed: pip install 'facesegkit[train]', "
            f"or turn it into an .onnx file where it is, with 'facesegkit export'."
        ) from error
    return load(path).runnable()


def load_detector(*, threads: int = 1) -> Network:
    """The face finder that comes with the package, for `detector.detect_faces`.

    Raises:
        FaceSegKitError: its file is missing or damaged.
    """
    if not DETECTOR.is_file():
        raise FaceSegKitError(
            f"The file {DETECTOR.name} is missing from the installation; install facesegkit again."
        )
    return open_detector(DETECTOR, threads=threads)
