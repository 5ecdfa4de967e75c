"""Take a trained checkpoint into facesegkit/weights/, with its metrics and its model card.

    python benchmarks/ship_weights.py separable runs/separable.pth --data data/CelebAMask-HQ \
        --command "facesegkit train --data data/CelebAMask-HQ --minutes 95"

The weights are rounded to float16 values, which halves the files, and exported. model_cards.py
evaluates them after that.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import facesegkit  # noqa: F401  before torch, because it sets OMP_WAIT_POLICY

# isort: split
import torch
from model_cards import LICENCES, kind_of, write_card

from facesegkit.checkpoint import Checkpoint, load, save
from facesegkit.data.cache import build_cache
from facesegkit.export import OPSET, check_agreement, compare, export_onnx
from facesegkit.inference.model_zoo import FOLDER, MODEL_NAMES
from facesegkit.system.tensor_files import round_to_half
from facesegkit.transforms import to_float_images


def take_in(name: str, file: Path, data: str, origin: dict[str, Any]) -> dict[str, Any]:
    """Write the .pth and .onnx files of a model; returns how far they agree on photos."""
    checkpoint = load(file)
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


def training_figures(
    name: str, checkpoint: Checkpoint, command: str, before: tuple[float, int]
) -> dict[str, Any]:
    """How the model was trained."""
    kind, about = kind_of(name), checkpoint.about
    last = about["history"][-1]
    return {
        "trained on": kind,
        "training data": about["data"],
        "licence": LICENCES[kind],
        "command": command,
        "minutes": round(before[0] + last["minutes"], 1),
        "photos seen": before[1] + int(last["photos"]),
        "config": {key: value for key, value in about["config"].items() if key != "budget"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=MODEL_NAMES)
    parser.add_argument("file", type=Path, help="the trained checkpoint")
    parser.add_argument("--data", required=True, help="CelebAMask-HQ, a folder or a zip")
    parser.add_argument("--command", required=True, help="how it was trained, for the card")
    parser.add_argument(
        "--before", nargs=2, type=float, default=(0, 0), metavar=("MINUTES", "PHOTOS"),
        help="of the run that this one was initialized from",
    )  # fmt: skip
    options = parser.parse_args()
    before = options.before[0], int(options.before[1])
    training = training_figures(options.name, load(options.file), options.command, before)
    training["onnx"] = take_in(options.name, options.file, options.data, training)
    write_card(options.name, options.data, training)


if __name__ == "__main__":
    main()
