"""Train the models that ship, and take them into facesegkit/weights/ with figures and cards.

    python benchmarks/ship_weights.py --only separable-open --work runs \
        --data data/CelebAMask-HQ --portraits PORTRAITS --mediapipe PYTHON
    python benchmarks/ship_weights.py --list      # the hours that each step took

recipes.py has the steps. Run the command again to continue one that was stopped. A free model needs
CelebAMask-HQ only to be measured. The weights are rounded to float16 values, which halves the
files, and exported; model_cards.py evaluates them after that.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import facesegkit  # noqa: F401  before torch, because it sets OMP_WAIT_POLICY

# isort: split
import torch
from model_cards import LICENCES, kind_of, read_figures, write_card
from recipes import TRAININGS, Sources, Workshop, needed

from facesegkit.checkpoint import load, save
from facesegkit.data.cache import build_cache
from facesegkit.export import OPSET, check_agreement, compare, export_onnx
from facesegkit.inference.model_zoo import FOLDER, MODEL_NAMES
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES
from facesegkit.system.tensor_files import round_to_half
from facesegkit.transforms import to_float_images


def take_in(name: str, file: Path, data: Path, origin: dict[str, Any]) -> dict[str, Any]:
    """Write the .pth and .onnx files of a model; returns how far they agree on photos."""
    checkpoint = load(file)
    known = {scheme.name: scheme for scheme in (FIVE_FEATURES, ALL_PARTS)}
    scheme = known.get(checkpoint.scheme.name, checkpoint.scheme)  # with the colours of today
    checkpoint = replace(checkpoint, scheme=scheme)
    round_to_half(checkpoint.model)
    about = {"card": f"{name}.md", **{key: origin[key] for key in ("licence", "trained on")}}
    shipped, onnx = replace(checkpoint, about=about), FOLDER / f"{name}.onnx"
    save(shipped, FOLDER / f"{name}.pth")
    export_onnx(shipped, onnx)
    cache = build_cache(data, photo_size=checkpoint.crop.full_size(checkpoint.input_size))
    crops = checkpoint.crop.of(cache.photos[cache.rows("val")[:64]])
    images = to_float_images(torch.from_numpy(crops)).contiguous().numpy()
    agreement = compare(shipped, onnx, images)
    check_agreement(agreement, onnx)
    return {
        "opset": OPSET,
        "largest difference of logits": float(f"{agreement.largest_difference:.1e}"),
        "fraction of pixels with the same class": round(agreement.same_classes, 6),
        "photos": len(images),
    }


def training_figures(name: str, workshop: Workshop) -> dict[str, Any]:
    """How a model was trained: its own run, and how long all runs before it took."""
    runs = {step: load(workshop.path(f"{step}.pth")).about for step in needed(name)}
    last = {step: about["history"][-1] for step, about in runs.items()}
    kind, own = kind_of(name), runs[name]
    return {
        "trained on": kind,
        "training data": own["data"],
        "licence": LICENCES[kind],
        "command": f"python benchmarks/ship_weights.py --only {name}",
        "minutes": round(last[name]["minutes"], 1),
        "photos seen": int(last[name]["photos"]),
        "steps before, minutes": {
            step: round(row["minutes"], 1) for step, row in last.items() if step != name
        },
        "config": own["config"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=TRAININGS, action="append", help="model (default: all)")
    parser.add_argument("--work", type=Path, default=Path("runs"), help="folder of the steps")
    parser.add_argument("--data", type=Path, help="CelebAMask-HQ, a folder or a zip")
    parser.add_argument("--photos", type=Path, help="everyday photos with faces.json")
    parser.add_argument("--portraits", type=Path, help="portraits in the public domain")
    parser.add_argument("--mediapipe", type=Path, help="Python that has MediaPipe 0.10.14")
    parser.add_argument("--list", action="store_true", help="only print the hours of each model")
    options = parser.parse_args()
    names = options.only or list(MODEL_NAMES)
    if options.list:
        for name in names:
            figures = read_figures(name)
            before = sum(figures.get("steps before, minutes", {}).values()) / 60
            print(f"{name}: {figures['minutes'] / 60:.1f} hours, after {before:.1f} of other steps")
        return
    sources = Sources(
        options.work, options.data, options.photos, options.portraits, options.mediapipe
    )
    torch.set_num_threads(1)  # two models at a time use two cores better than one
    for name in names:
        file = Workshop(sources).train(name)
        if name in MODEL_NAMES:  # and no teacher only
            training = training_figures(name, Workshop(sources))
            training["onnx"] = take_in(name, file, options.data, training)
            write_card(name, options.data, training)


if __name__ == "__main__":
    main()
