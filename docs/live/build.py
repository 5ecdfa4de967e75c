"""Assemble the live page in a folder that any static web server can serve.

    python docs/live/build.py                # writes build/live
    python -m http.server --directory build/live

The page's own files, the models that are free for any use, ONNX Runtime Web, and `settings.json`:
the constants of the Python pipeline, so that they stand in one place.
"""

import argparse
import json
import lzma
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facesegkit.image_io import PADDING
from facesegkit.inference import alignment, pipeline, tracker
from facesegkit.inference.model_zoo import CALIBRATION, FOLDER
from facesegkit.inference.onnx_model import open_onnx
from facesegkit.inference.overlapping_faces import _FEATURES
from facesegkit.inference.search_config import SEARCHES

HERE = Path(__file__).parent
DETECTOR, MODELS = "detector-open", ("separable-open", "unet-open")


def build(folder: Path) -> None:
    """Write the page into a folder, which may exist already."""
    shutil.copytree(
        HERE,
        folder,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("*.py", "*.xz", "__pycache__"),
    )
    for packed in HERE.rglob("*.xz"):
        target = folder / packed.relative_to(HERE).with_suffix("")
        target.write_bytes(lzma.decompress(packed.read_bytes()))
    for name in (DETECTOR, *MODELS):
        shutil.copy(FOLDER / f"{name}.onnx", folder)
    (folder / "settings.json").write_text(json.dumps(settings(), indent=1), encoding="utf-8")


def settings() -> dict[str, Any]:
    """Constants of the search and of each model, as the scripts name them."""
    config = {camel_case(name): value for name, value in asdict(SEARCHES["default"]).items()}
    config |= {
        "calibration": CALIBRATION[DETECTOR],
        "meanPoints": alignment.MEAN_POINTS.tolist(),
        "meanBox": alignment.MEAN_BOX.tolist(),
        "mirroredPoints": alignment.MIRRORED_POINTS,
        "agree": alignment._AGREE,
        "lookSide": pipeline._LOOK_SIDE,
        "misaligned": pipeline._MISALIGNED,
        "hopeless": pipeline._HOPELESS,
        "minScore": pipeline._MIN_SCORE,
        "clearScore": tracker._SCORE,
        "steady": tracker._STEADY,
        "trackedConfidence": tracker._MIN_CONFIDENCE,
        "padding": PADDING,
    }
    models = {name: of_model(name) for name in MODELS}
    return {"config": config, "models": models}


def of_model(name: str) -> dict[str, Any]:
    """Input size, crop and classes of a model that ships."""
    model = open_onnx(FOLDER / f"{name}.onnx")
    return {
        "size": model.input_size,
        "crop": model.crop.to_dict(),
        "classes": list(model.scheme.classes),
        "colours": [list(colour) for colour in model.scheme.colours],
        "features": [int(i) for i in model.scheme.classes_within(_FEATURES)],
    }


def camel_case(name: str) -> str:
    """A name as JavaScript writes it."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE.parents[1] / "build" / "live")
    output = parser.parse_args().output
    build(output)
    print(f"Wrote {output}.")
