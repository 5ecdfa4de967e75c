"""The models that ship with the package: names, files, model cards, and loading by name or path."""

import json
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from facesegkit.errors import FaceSegKitError
from facesegkit.inference.onnx_model import DetectorModel, Model, open_detector, open_onnx

FOLDER = Path(__file__).parents[1] / "weights"

# Each has .onnx, .pth, .json (figures) and .md (model card) below `FOLDER`.
MODEL_NAMES = (
    "separable", "unet", "separable-open", "unet-open", "unet-19", "separable-synthetic",
    "unet-synthetic",
)  # fmt: skip
DEFAULT_MODEL = "separable"
FREE = ("-open", "-synthetic")  # how the names of models end that are free for any use, best first

# Face detectors, for the models of research photos and for all others; and what their scores mean,
# as benchmarks/calibration.py fits it.
CALIBRATION = {"detector": (-1.37, 1.91, 1.67), "detector-open": (-0.73, 0.78, 2.69)}
DETECTOR_NAMES = tuple(CALIBRATION)


def list_models() -> list[str]:
    """Names of the models that ship with the package."""
    return list(MODEL_NAMES)


def is_shipped(name: str) -> bool:
    """Whether a name is that of a shipped model."""
    return name in MODEL_NAMES


def weights_path(name: str, suffix: str = ".onnx") -> Path:
    """The file of a shipped model.

    Raises a FaceSegKitError if there is no model of that name, or its file is missing.
    """
    if not is_shipped(name):
        stem = os.path.splitext(name)[0].lower()
        names, similar = ", ".join(MODEL_NAMES), get_close_matches(stem, MODEL_NAMES, n=1)
        meant = f"did you mean {similar[0]!r}? The" if similar else "the"
        raise FaceSegKitError(f"There is no model {name!r}; {meant} names are {names}.")
    return _installed(FOLDER / f"{name}{suffix}")


def check_name(name: str) -> None:
    """Raise a FaceSegKitError, with the names, if this can only be a misspelt name of a model.

    Paths have a folder, or a suffix unless what is before it is like a name.
    """
    if not name.strip():
        raise FaceSegKitError(f"The name of the model is empty; use {', '.join(MODEL_NAMES)}.")
    stem, suffix = os.path.splitext(name)
    if os.path.basename(name) != name or os.path.exists(name):
        return
    if not suffix or get_close_matches(stem.lower(), MODEL_NAMES, n=1, cutoff=0.8):
        weights_path(name)


def _installed(path: Path) -> Path:
    if not path.is_file():
        raise FaceSegKitError(f"The file {path.name} is missing; install facesegkit again.")
    return path


def model_card(name: str) -> dict[str, Any]:
    """The figures of a shipped model: training data, licence, metrics.

    Raises a FaceSegKitError if there is no model of that name, or its file is missing or damaged.
    """
    path = weights_path(name, ".json")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FaceSegKitError(f"{path.name} is damaged; install facesegkit again.") from error


def licence_notice(name: str) -> str:
    """One line on what a shipped model may be used for; empty if for anything."""
    if name.endswith(FREE):
        return ""
    limit = f"The model '{name}' is for non-commercial use only, like the photos it was trained on"
    free = next((f"{name}{suffix}" for suffix in FREE if is_shipped(f"{name}{suffix}")), None)
    return f"{limit}; '{free}' is free for any use." if free else f"{limit}."


def load_model(name: str | Path = DEFAULT_MODEL, *, threads: int = 1) -> Model:
    """Load a model by its name or from its file.

    Args:
        name: of a shipped model (see `MODEL_NAMES`), or the path of an .onnx or .pth file.
        threads: for ONNX Runtime. One photo is too little work to share.

    Raises:
        FaceSegKitError: if there is no such name or file; if the file is damaged, of another
            version, or not a model of this package; or for a .pth file without PyTorch.
    """
    check_name(str(name))
    path = weights_path(str(name)) if is_shipped(str(name)) else Path(name)
    if path.suffix.lower() == ".onnx":
        return open_onnx(path, threads=threads)
    try:
        from facesegkit.checkpoint import load
    except ModuleNotFoundError as error:
        problem = f"{path} needs {error.name}, which is not installed"
        remedy = "pip install 'facesegkit[train]', or run 'facesegkit export' where it is installed"
        raise FaceSegKitError(f"{problem}: {remedy}.") from error
    return load(path).runnable(f"The model {path}")


def detector_for(model: Model) -> str:
    """Name of the detector for a model: free for any use, unless the model says that it is not."""
    is_research = str(model.about.get("licence", "")).startswith("non-commercial")
    return "detector" if is_research else "detector-open"


def load_detector(name: str, *, threads: int = 1) -> DetectorModel:
    """Load one of the face detectors that ship with the package.

    Raises a FaceSegKitError if there is no detector of that name, or its file is missing or
    damaged.
    """
    if name not in DETECTOR_NAMES:
        problem = f"There is no detector {name!r}"
        raise FaceSegKitError(f"{problem}; the names are {', '.join(DETECTOR_NAMES)}.")
    network = open_detector(_installed(FOLDER / f"{name}.onnx"), threads=threads)
    return DetectorModel(network, CALIBRATION[name])
