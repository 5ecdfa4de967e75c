"""From CelebAMask-HQ to a face parser that runs on a laptop's CPU.

    from facesegkit import segment

    result = segment("photo.jpg")
    result.mask("eyes")  # bool [H, W]

The names below are imported when they are first used, so `import facesegkit` is fast and needs
neither ONNX Runtime nor PyTorch.
"""

import importlib
import os

__version__ = "0.1.0"

TYPE_CHECKING = False  # to type checkers it is true; importing `typing` would take 2 ms
if TYPE_CHECKING:
    from facesegkit.inference.model_zoo import list_models, load_model
    from facesegkit.inference.results import Face, SegmentationResult
    from facesegkit.inference.segmenter import FaceSegmenter, segment
    from facesegkit.labels import LabelScheme

_MODULES = {
    "FaceSegmenter": "facesegkit.inference.segmenter",
    "segment": "facesegkit.inference.segmenter",
    "SegmentationResult": "facesegkit.inference.results",
    "Face": "facesegkit.inference.results",
    "LabelScheme": "facesegkit.labels",
    "list_models": "facesegkit.inference.model_zoo",
    "load_model": "facesegkit.inference.model_zoo",
}

__all__ = [
    "Face", "FaceSegmenter", "LabelScheme", "SegmentationResult", "list_models", "load_model",
    "segment",
]  # fmt: skip

# By default, OpenMP threads that wait for each other spin. On a machine that does anything else
# meanwhile, this makes training several times slower (5 instead of 20 photos per second beside one
# busy process on two cores); on an idle one it gains 6 %. OpenMP reads this once, when torch is
# imported; a value that the user has set is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
