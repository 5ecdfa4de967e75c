"""Takes a trained checkpoint into facesegkit/weights/, with its scores and its model card.

    python benchmarks/ship_weights.py separable runs/separable.pth --data data/CelebAMask-HQ \
        --command "facesegkit train --data data/CelebAMask-HQ --minutes 95"
    python benchmarks/ship_weights.py --cards     # writes the cards anew from the figures
    python benchmarks/ship_weights.py --check     # only says whether cards and figures differ

The weights are rounded to what float16 holds, so that the files are small, and scored after that:
on the validation and the test split, on groups of the test photos that can be told by their
masks, and on every second test photo moved, turned, enlarged and darkened. The last goes the way
that every photo of a user goes: faces are found first.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import facesegkit  # noqa: F401  before torch: it says how OpenMP's threads wait

# isort: split
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from readme_tables import table
from torch import Tensor

from facesegkit.checkpoint import load, round_to_half, save, versions
from facesegkit.data.cache import DatasetCache, build_cache
from facesegkit.export import OPSET, check_agreement, compare, export_onnx
from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.inference.model_zoo import FOLDER, MODEL_NAMES
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import PART_IDS
from facesegkit.metrics import (
    DEFINITION,
    Evaluation,
    SegmentationMetrics,
    confusion_matrix,
    evaluate,
)
from facesegkit.profile import profile_model
from facesegkit.transforms import to_float_images

LICENCES = {
    "photos": "non-commercial research and education only (CelebAMask-HQ)",
    "drawn faces": "MIT",
}

# --- scores -------------------------------------------------------------------------------------


def split_scores(evaluation: Evaluation) -> dict[str, Any]:
    """Mean F1, and F1 of each class, of all photos that were evaluated."""
    return {"photos": len(evaluation.rows), **_rounded(evaluation.scores, evaluation)}


def _rounded(scores: SegmentationMetrics, evaluation: Evaluation) -> dict[str, Any]:
    names = evaluation.scheme.class_names[1:]
    return {
        "mean_f1": round(scores.mean_f1, 4),
        "f1": {name: round(float(f1), 4) for name, f1 in zip(names, scores.f1[1:], strict=True)},
    }


def groups(labels: NDArray[np.uint8]) -> dict[str, bool]:
    """Which groups a photo belongs to, by its label map, part ids [H, W]."""
    area = np.bincount(labels.ravel(), minlength=len(PART_IDS))

    def pixels(part: str) -> int:
        return int(area[PART_IDS[part]])

    eyes = sorted((pixels("l_eye"), pixels("r_eye")))
    brows = sorted((pixels("l_brow"), pixels("r_brow")))
    return {
        "glasses": pixels("eye_g") > 0,
        "hat": pixels("hat") > 0,
        "open mouth": pixels("mouth") > 0.002 * labels.size,
        "strong turn (one eye less than 0.6 of the other)": eyes[0] < 0.6 * eyes[1],
        "hair over a brow (one less than 0.4 of the other, eyes alike)": (
            brows[0] < 0.4 * brows[1] and eyes[0] >= 0.6 * eyes[1] and pixels("hair") > 0
        ),
    }


def group_scores(evaluation: Evaluation, pack: DatasetCache) -> dict[str, Any]:
    """Scores of each group of the evaluated photos."""
    members: dict[str, list[int]] = {}
    for place, row in enumerate(evaluation.rows):
        for name, belongs in groups(pack.labels[row]).items():
            members.setdefault(name, [])
            if belongs:
                members[name].append(place)
    return {
        name: {
            "photos": len(places),
            **_rounded(SegmentationMetrics(evaluation.matrices[places].sum(axis=0)), evaluation),
        }
        for name, places in members.items()
        if places
    }


# --- photos as they are not in the data set -----------------------------------------------------


def moved(degrees: float = 0, size: float = 1, shift: float = 0) -> Callable[[Tensor], Tensor]:
    """A sampling grid [B, side, side, 2]: the face turned, at `size` times its size, shifted.

    Args:
        degrees: clockwise.
        size: 0.5 makes the face half as large.
        shift: to the right and down, as a share of the picture's side.
    """
    angle = np.deg2rad(degrees)
    cosine, sine = np.cos(angle) / size, np.sin(angle) / size
    inverse = torch.tensor(
        [
            [cosine, sine, -2 * shift * (cosine + sine)],
            [-sine, cosine, -2 * shift * (cosine - sine)],
        ],
        dtype=torch.float32,
    )

    def grid(pictures: Tensor) -> Tensor:
        return F.affine_grid(
            inverse.expand(len(pictures), 2, 3), list(pictures.shape), align_corners=False
        )

    return grid


def move(
    photos: NDArray[np.uint8], labels: NDArray[np.uint8], grid: Callable[[Tensor], Tensor]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Photos and label maps seen through a grid; beyond the photo it is grey, and background.

    Both have the label maps' size then.
    """
    images = to_float_images(torch.from_numpy(photos)) - 0.5
    parts = torch.from_numpy(labels)[:, None].float()
    images = F.interpolate(images, parts.shape[2:], mode="bilinear", align_corners=False)
    images = F.grid_sample(images, grid(images), align_corners=False) + 0.5
    parts = F.grid_sample(parts, grid(parts), mode="nearest", align_corners=False)
    seen = (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous()
    return seen.numpy(), parts[:, 0].byte().numpy()


def dark(photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A quarter of the light, with the noise of a small sensor."""
    light = (photos / np.float32(255)) ** 2.2 / 4
    noise = np.random.default_rng(0).standard_normal(photos.shape, dtype=np.float32)
    return ((np.clip(light + 0.006 * noise, 0, 1) ** (1 / 2.2)) * 255).astype(np.uint8)


def side_lit(photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Light from the left that falls to a sixth towards the right."""
    slope = np.linspace(1.2, 0.2, photos.shape[2], dtype=np.float32)[:, None]
    light = (photos / np.float32(255)) ** 2.2 * slope
    return (np.clip(light, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


ALIGNED = "as it is, taken as aligned"
MOVES = {
    "as it is, but looked for": moved(),
    "half the size": moved(size=0.5),
    "0.75 of the size": moved(size=0.75),
    "1.25 times the size": moved(size=1.25),
    "1.5 times the size": moved(size=1.5),
    "shifted by 15 %": moved(shift=0.15),
    "turned by 15 degrees": moved(degrees=15),
    "turned by 30 degrees": moved(degrees=30),
    "turned by 45 degrees": moved(degrees=45),
    "turned by -45 degrees": moved(degrees=-45),
}
LIGHTS = {"a quarter of the light": dark, "light from one side": side_lit}


def robustness(model: Path, pack: DatasetCache, rows: NDArray[np.int64]) -> dict[str, float]:
    """Mean F1 on photos that were moved or lit otherwise, each face being looked for."""
    found = {}
    for name in (ALIGNED, *MOVES, *LIGHTS):
        segmenter = FaceSegmenter(model, aligned=name == ALIGNED)
        scheme = segmenter.model.scheme
        matrix = np.zeros((len(scheme.class_names),) * 2, dtype=np.int64)
        for row in rows:
            photos, labels = pack.photos[row : row + 1], pack.labels[row : row + 1]
            photos, labels = move(photos, labels, MOVES.get(name, moved()))
            if name in LIGHTS:
                photos = LIGHTS[name](photos)
            classes = segmenter(photos[0]).labels
            matrix += confusion_matrix(scheme.merge(labels[0]), classes, len(matrix))
        found[name] = round(SegmentationMetrics(matrix).mean_f1, 4)
        print(f"{name}: {found[name]}", flush=True)
    return found


# --- shipping -----------------------------------------------------------------------------------


def ship(name: str, file: Path, data: str, command: str, before: tuple[float, int]) -> None:
    """Write all four files of a model.

    Args:
        name: the model's.
        file: the trained checkpoint.
        data: CelebAMask-HQ, to score on.
        command: how it was trained, for the card.
        before: minutes and photos of the training whose weights this one started from.
    """
    checkpoint = load(file)
    round_to_half(checkpoint.model)
    pack = build_cache(data, photo_size=checkpoint.crop.whole_side(checkpoint.input_size))
    about = checkpoint.about
    evaluations = {
        split: evaluate(
            checkpoint.model,
            checkpoint.scheme,
            pack.photos,
            pack.labels,
            pack.rows(split),
            crop=checkpoint.crop,
            progress=True,
        )
        for split in ("val", "test")
    }
    kind = "drawn faces" if name.endswith("-drawn") else "photos"
    last = about["history"][-1]
    figures = {
        "name": name,
        "architecture": type(checkpoint.model).__name__,
        "parameters": profile_model(checkpoint.model).parameters,
        "multiply_adds": profile_model(checkpoint.model).macs,
        "crop": checkpoint.crop.to_dict(),
        "trained on": kind,
        "training data": about["data"],
        "licence": LICENCES[kind],
        "command": command,
        "minutes": round(before[0] + last["minutes"], 1),
        "photos seen": before[1] + int(last["photos"]),
        "settings": about["settings"],
        "scored on": f"{pack.summary()}; split by the {pack.split_rule}",
        "definition": DEFINITION,
        "val": split_scores(evaluations["val"]),
        "test": split_scores(evaluations["test"]),
        "groups of the test split": group_scores(evaluations["test"], pack),
        "versions": versions(),
    }
    kept = {"card": f"{name}.md", "licence": LICENCES[kind], "trained on": kind}
    small = replace(checkpoint, about=kept)
    FOLDER.mkdir(exist_ok=True)
    save(small, FOLDER / f"{name}.pth")
    export_onnx(small, FOLDER / f"{name}.onnx")
    figures["robustness"] = robustness(FOLDER / f"{name}.onnx", pack, pack.rows("test")[::2])
    seen = checkpoint.crop.of(pack.photos[pack.rows("val")[:64]])
    photos = to_float_images(torch.from_numpy(seen)).contiguous().numpy()
    agreement = compare(small, FOLDER / f"{name}.onnx", photos)
    check_agreement(agreement, FOLDER / f"{name}.onnx")
    figures["onnx"] = {
        "opset": OPSET,
        "largest difference of scores": float(f"{agreement.largest_difference:.1e}"),
        "share of pixels with the same class": round(agreement.same_classes, 6),
        "photos": len(photos),
    }
    text = json.dumps(figures, indent=2) + "\n"
    (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
    (FOLDER / f"{name}.md").write_text(card_text(figures), encoding="utf-8")
    print(f"{name}: validation {figures['val']['mean_f1']}, test {figures['test']['mean_f1']}")


# --- model cards --------------------------------------------------------------------------------


def card_text(figures: dict[str, Any]) -> str:
    """The model card, from a model's figures."""
    classes = list(figures["test"]["f1"])
    head = ["", "photos", "mean F1", *classes]
    scores = {
        "validation split": figures["val"],
        "test split": figures["test"],
        **{f"test: {name}": group for name, group in figures["groups of the test split"].items()},
    }
    rows = [
        [name, str(of["photos"]), f"{of['mean_f1']:.3f}"]
        + [f"{of['f1'][class_name]:.3f}" for class_name in classes]
        for name, of in scores.items()
    ]
    aligned = figures["robustness"][ALIGNED]
    moves = [
        [name, f"{f1:.3f}", f"{f1 - aligned:+.3f}"] for name, f1 in figures["robustness"].items()
    ]
    onnx = figures["onnx"]
    settings = json.dumps(figures["settings"], sort_keys=True)
    return f"""# Model card: {figures["name"]}

`{figures["architecture"]}`, {figures["parameters"]:,} parameters,
{figures["multiply_adds"] / 1e6:.0f} M multiply-adds for a photo of 256 x 256.

- **Finds** eyes, eyebrows, nose, mouth (inside) and lips of a face that was cut out upright.
- **Looks at** {_looks_at(RelativeCrop.from_dict(figures["crop"]))}.
- **Licence**: {figures["licence"]}.
- **Trained on** {figures["trained on"]}: {figures["training data"]}
- **With** `{figures["command"]}`: {figures["minutes"]:g} minutes on one processor core,
  {figures["photos seen"]:,} photos seen (with repeats).
{_provenance(figures["trained on"])}
- **Files**: `{figures["name"]}.onnx` (opset {onnx["opset"]}; on {onnx["photos"]} photos its scores
  differ from PyTorch's by at most {onnx["largest difference of scores"]:.0e}, and
  {onnx["share of pixels with the same class"]:.3%} of the pixels get the same class) and
  `{figures["name"]}.pth`, the same weights for PyTorch.

## Scores

Scored on {figures["scored on"]}.
{figures["definition"]}
Left and right are one class, and so are the two lips.

{table(head, rows)}

Every second test photo as it is not in the data set. Here faces are looked for (see finder.md):

{table(["", "mean F1", "difference"], moves)}

## Where it fails

The table of groups says how much is lost with glasses, hats, turned heads and hair over a brow.
{_failures(figures)}
Faces that are not found (profiles, mostly hidden ones, those below 40 pixels) are not segmented.
CelebAMask-HQ shows famous people in good light, mostly young and made up; on others expect less.
Do not use it to judge who somebody is or how they feel: it knows where a mouth is, not whose.

## Settings

`{settings}`
"""


def _looks_at(crop: RelativeCrop) -> str:
    """Which part of an aligned photo, in words."""
    if crop == FULL_IMAGE:
        return "aligned photos whole, 256 x 256"
    return (
        f"the face's part of an aligned photo, 256 x 256: {crop.size:.0%} of its side, with the "
        f"middle\n  at {crop.x:.0%} from the left and {crop.y:.1%} from the top"
    )


def _failures(figures: dict[str, Any]) -> str:
    """The weakest class and the weakest way of moving, in a sentence."""
    weakest = min(figures["test"]["f1"], key=figures["test"]["f1"].get)
    hardest = min(figures["robustness"], key=figures["robustness"].get)
    return (
        f"Its weakest class is {weakest} ({figures['test']['f1'][weakest]:.3f}), "
        f"and what harms it most is: {hardest}."
    )


def _provenance(kind: str) -> str:
    if kind == "photos":
        return (
            "- **Data**: C.-H. Lee, Z. Liu, L. Wu, P. Luo, MaskGAN, CVPR 2020. Only for\n"
            "  non-commercial research and education, and so are these weights."
        )
    return (
        "- **Data**: no photo was seen in training. What the drawn faces look like, and the\n"
        "  recipe, were chosen by looking at photos of CelebAMask-HQ's train split and at scores\n"
        "  on its validation split."
    )


def cards(check: bool) -> None:
    """Write the cards of all models anew, or say which differ."""
    for name in MODEL_NAMES:
        figures = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        path = FOLDER / f"{name}.md"
        if not check:
            path.write_text(card_text(figures), encoding="utf-8")
        elif path.read_text(encoding="utf-8") != card_text(figures):
            sys.exit(f"{path.name} does not say what {name}.json says: run ship_weights.py --cards")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=MODEL_NAMES)
    parser.add_argument("file", nargs="?", type=Path, help="the trained checkpoint")
    parser.add_argument("--data", help="CelebAMask-HQ, a folder or a zip, to score on")
    parser.add_argument("--command", default="", help="how it was trained, for the card")
    parser.add_argument(
        "--before", nargs=2, type=float, default=(0, 0), metavar=("MINUTES", "PHOTOS"),
        help="of the training that this one started from",
    )  # fmt: skip
    parser.add_argument("--cards", action="store_true", help="write the cards only")
    parser.add_argument("--check", action="store_true", help="compare the cards only")
    options = parser.parse_args()
    if options.cards or options.check:
        cards(options.check)
    elif options.name and options.file and options.data:
        before = options.before[0], int(options.before[1])
        ship(options.name, options.file, options.data, options.command, before)
    else:
        parser.error("give a name, a file and --data")


if __name__ == "__main__":
    main()
