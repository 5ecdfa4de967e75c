"""Take a trained checkpoint into facesegkit/weights/, with its metrics and its model card.

    python benchmarks/ship_weights.py separable runs/separable.pth --data data/CelebAMask-HQ \
        --command "facesegkit train --data data/CelebAMask-HQ --minutes 95"
    python benchmarks/ship_weights.py --cards     # only write the cards again from the figures
    python benchmarks/ship_weights.py --check     # only check that cards and figures agree

The weights are rounded to float16 values, which halves the files, and evaluated after that: on the
validation split, on the test split, on groups of the test photos that their masks define, and on
every second test photo scaled, shifted, rotated and darkened. The changed photos are segmented as
users' photos are: faces are detected first.
"""

import argparse
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import facesegkit  # noqa: F401  before torch, because it sets OMP_WAIT_POLICY

# isort: split
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from readme_tables import table
from torch import Tensor

from facesegkit import metrics
from facesegkit.checkpoint import Checkpoint, load, save
from facesegkit.data.cache import DatasetCache, build_cache
from facesegkit.dataset import TrainingData
from facesegkit.export import OPSET, check_agreement, compare, export_onnx
from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.inference.model_zoo import FOLDER, MODEL_NAMES
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES, PART_IDS
from facesegkit.profile import profile_model
from facesegkit.system.tensor_files import round_to_half, versions
from facesegkit.transforms import to_float_images

TEMPLATE = Path(__file__).parent / "card_templates" / "model.md"
LICENCES = {
    "photos": "non-commercial research and education only (CelebAMask-HQ)",
    "synthetic faces": "MIT",
}
CLASSES = {  # in words, by the names of the classes
    tuple(FIVE_FEATURES.classes): {
        "classes": "eyes, eyebrows, nose, mouth (inside) and lips of an upright face",
        "merged": "Left and right are merged, and so are the two lips.",
    },
    tuple(ALL_PARTS.classes): {
        "classes": (
            "all parts of CelebAMask-HQ, with its names and ids (see docs/inference.md), of an\n"
            "  upright face"
        ),
        "merged": (
            "Left and right and the two lips are classes of their own, so the mean F1 cannot be\n"
            "compared with that of the models of five classes. A class without a pixel has no F1."
        ),
    },
}
PROVENANCE = {
    "photos": (
        "- **Data**: C.-H. Lee, Z. Liu, L. Wu, P. Luo, MaskGAN, CVPR 2020, for non-commercial\n"
        "  research and education only; so are these weights."
    ),
    "synthetic faces": (
        "- **Data**: no photo was used in training. The appearance of the synthetic faces and the\n"
        "  recipe were chosen with the photos of CelebAMask-HQ's train split and the\n"
        "  metrics on its validation split."
    ),
}


def summary(matrix: NDArray[np.int64], photos: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Number of photos, mean F1, and F1 of each class (None if it is absent), from a matrix."""
    scores = metrics.SegmentationMetrics(matrix)
    known = zip(names, scores.f1[1:].tolist(), strict=True)
    f1 = {name: None if math.isnan(f1) else round(f1, 4) for name, f1 in known}
    return {"photos": photos, "mean_f1": round(scores.mean_f1, 4), "f1": f1}


def groups(labels: NDArray[np.uint8]) -> dict[str, bool]:
    """Which groups a photo belongs to, according to its label map (part ids [H, W])."""
    area = np.bincount(labels.ravel(), minlength=len(PART_IDS))
    pixels = {part: int(area[part_id]) for part, part_id in PART_IDS.items()}
    eyes = sorted((pixels["l_eye"], pixels["r_eye"]))
    brows = sorted((pixels["l_brow"], pixels["r_brow"]))
    return {
        "glasses": pixels["eye_g"] > 0,
        "hat": pixels["hat"] > 0,
        "open mouth": pixels["mouth"] > 0.002 * labels.size,
        "turned head (one eye smaller than 0.6 of the other)": eyes[0] < 0.6 * eyes[1],
        "hair over a brow (one brow smaller than 0.4 of the other, eyes alike)": (
            brows[0] < 0.4 * brows[1] and eyes[0] >= 0.6 * eyes[1] and pixels["hair"] > 0
        ),
    }


def group_metrics(evaluation: metrics.Evaluation, cache: DatasetCache) -> dict[str, Any]:
    """Metrics of each group of the evaluated photos that is not empty."""
    belongs = [groups(cache.labels[row]) for row in evaluation.rows]
    names = evaluation.scheme.class_names[1:]
    found = {}
    for group in belongs[0]:
        members = [index for index, of_photo in enumerate(belongs) if of_photo[group]]
        if members:
            found[group] = summary(evaluation.matrices[members].sum(axis=0), len(members), names)
    return found


def affine(degrees: float = 0, scale: float = 1, shift: float = 0) -> Tensor:
    """A matrix [2, 3] that rotates (clockwise), scales, and shifts right and down by a fraction."""
    angle = np.deg2rad(degrees)
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    x, y = -2 * shift * (cosine + sine), -2 * shift * (cosine - sine)
    return torch.tensor([[cosine, sine, x], [-sine, cosine, y]], dtype=torch.float32)


def transform(
    photos: NDArray[np.uint8], labels: NDArray[np.uint8], matrix: Tensor
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both transformed by `affine` at the label maps' resolution; what is outside is grey."""
    images = to_float_images(torch.from_numpy(photos)) - 0.5
    parts = torch.from_numpy(labels)[:, None].float()
    images = F.interpolate(images, parts.shape[2:], mode="bilinear", align_corners=False)
    grid = F.affine_grid(matrix.expand(len(photos), 2, 3), list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, align_corners=False) + 0.5
    parts = F.grid_sample(parts, grid, mode="nearest", align_corners=False)
    rgb = (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous()
    return rgb.numpy(), parts[:, 0].byte().numpy()


def darken(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """A quarter of the light, with the noise of a small sensor."""
    noise = np.random.default_rng(0).standard_normal(light.shape, dtype=np.float32)
    return light / 4 + 0.006 * noise


def light_from_left(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light from the left that falls to a sixth towards the right."""
    return light * np.linspace(1.2, 0.2, light.shape[2], dtype=np.float32)[:, None]


ALIGNED = "unchanged, taken as aligned"
GEOMETRY = {
    "unchanged, face detected first": affine(),
    "half the size": affine(scale=0.5),
    **{f"{scale} times the size": affine(scale=scale) for scale in (0.75, 1.25, 1.5)},
    "shifted by 15 %": affine(shift=0.15),
    **{f"rotated by {angle} degrees": affine(degrees=angle) for angle in (15, 30, 45, -45)},
}
LIGHT = {"a quarter of the light": darken, "light from one side": light_from_left}


def robustness(name: str, cache: DatasetCache, rows: NDArray[np.int64]) -> dict[str, float]:
    """Mean F1 of a shipped model on photos with changed geometry or light, detected first."""
    found = {}
    for change in (ALIGNED, *GEOMETRY, *LIGHT):
        segmenter = FaceSegmenter(name, aligned=change == ALIGNED)
        scheme = segmenter.model.scheme
        matrix = np.zeros((len(scheme.class_names),) * 2, dtype=np.int64)
        for row in rows:
            photos, labels = cache.photos[row : row + 1], cache.labels[row : row + 1]
            photos, labels = transform(photos, labels, GEOMETRY.get(change, affine()))
            if change in LIGHT:
                light = LIGHT[change]((photos / np.float32(255)) ** 2.2)  # linear
                photos = ((np.clip(light, 0, 1) ** (1 / 2.2)) * 255).astype(np.uint8)
            classes = segmenter(photos[0]).labels
            matrix += metrics.confusion_matrix(scheme.merge(labels[0]), classes, len(matrix))
        found[change] = round(metrics.SegmentationMetrics(matrix).mean_f1, 4)
        print(f"{change}: {found[change]}", flush=True)
    return found


def ship(name: str, file: Path, data: str, command: str, before: tuple[float, int]) -> None:
    """Write the four files of a model: .pth, .onnx, .json (figures) and .md (model card)."""
    checkpoint = load(file)
    known = {scheme.name: scheme for scheme in (FIVE_FEATURES, ALL_PARTS)}
    scheme = known.get(checkpoint.scheme.name, checkpoint.scheme)  # with the colours of today
    checkpoint = replace(checkpoint, scheme=scheme)
    round_to_half(checkpoint.model)
    cache = build_cache(data, photo_size=checkpoint.crop.full_size(checkpoint.input_size))
    figures = {"name": name, **training_figures(name, checkpoint, command, before)}
    figures |= split_figures(checkpoint, cache)
    origin = {key: figures[key] for key in ("licence", "trained on")}
    shipped = replace(checkpoint, about={"card": f"{name}.md", **origin})
    onnx = FOLDER / f"{name}.onnx"
    save(shipped, FOLDER / f"{name}.pth")
    export_onnx(shipped, onnx)
    figures["robustness"] = robustness(name, cache, cache.rows("test")[::2])
    crops = checkpoint.crop.of(cache.photos[cache.rows("val")[:64]])
    images = to_float_images(torch.from_numpy(crops)).contiguous().numpy()
    agreement = compare(shipped, onnx, images)
    check_agreement(agreement, onnx)
    figures["onnx"] = {
        "opset": OPSET,
        "largest difference of logits": float(f"{agreement.largest_difference:.1e}"),
        "fraction of pixels with the same class": round(agreement.same_classes, 6),
        "photos": len(images),
    }
    text = json.dumps(figures, indent=2) + "\n"
    (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
    (FOLDER / f"{name}.md").write_text(card_text(figures), encoding="utf-8")
    print(f"{name}: validation {figures['val']['mean_f1']}, test {figures['test']['mean_f1']}")


def training_figures(
    name: str, checkpoint: Checkpoint, command: str, before: tuple[float, int]
) -> dict[str, Any]:
    """What the model is and how it was trained."""
    profile, about = profile_model(checkpoint.model), checkpoint.about
    kind = "synthetic faces" if name.endswith("-synthetic") else "photos"
    last = about["history"][-1]
    return {
        "architecture": type(checkpoint.model).__name__,
        "parameters": profile.parameters,
        "macs": profile.macs,
        "crop": checkpoint.crop.to_dict(),
        "trained on": kind,
        "training data": about["data"],
        "licence": LICENCES[kind],
        "command": command,
        "minutes": round(before[0] + last["minutes"], 1),
        "photos seen": before[1] + int(last["photos"]),
        "config": {key: value for key, value in about["config"].items() if key != "budget"},
    }


def split_figures(checkpoint: Checkpoint, cache: DatasetCache) -> dict[str, Any]:
    """Metrics on the validation and test split, and on groups of the test split."""
    figures: dict[str, Any] = {"scored on": cache.summary(), "definition": metrics.DEFINITION}
    for split in ("val", "test"):
        data = TrainingData.from_cache(cache, split, checkpoint.scheme, checkpoint.crop)
        evaluation = metrics.evaluate(checkpoint.model, data, progress=True)
        figures[split] = summary(evaluation.matrix, len(data), checkpoint.scheme.class_names[1:])
    groups_of_test = group_metrics(evaluation, cache)
    return figures | {"groups of the test split": groups_of_test, "versions": versions()}


def card_text(figures: dict[str, Any]) -> str:
    """The text of the model card, from a model's figures."""
    splits = {"validation split": figures["val"], "test split": figures["test"]}
    splits |= {f"test: {name}": of for name, of in figures["groups of the test split"].items()}
    rows = [
        [name, str(of["photos"]), *map(_three_digits, (of["mean_f1"], *of["f1"].values()))]
        for name, of in splits.items()
    ]
    mean_f1 = figures["robustness"]
    changes = [[name, f"{f1:.3f}", f"{f1 - mean_f1[ALIGNED]:+.3f}"] for name, f1 in mean_f1.items()]
    weakest = min(figures["test"]["f1"], key=figures["test"]["f1"].__getitem__)
    return TEMPLATE.read_text(encoding="utf-8").format(
        **figures,
        million_macs=figures["macs"] / 1e6,
        **CLASSES[tuple(figures["test"]["f1"])],
        input_region=_input_region(RelativeCrop.from_dict(figures["crop"])),
        provenance=PROVENANCE[figures["trained on"]],
        split_table=table(" | photos | mean F1 | " + " | ".join(figures["test"]["f1"]), rows),
        robustness_table=table(" | mean F1 | difference", changes),
        weaknesses=(
            f"The weakest class is {weakest} ({figures['test']['f1'][weakest]:.3f}); the change "
            f'that costs most is "{min(mean_f1, key=mean_f1.__getitem__)}".'
        ),
        config_json=json.dumps(figures["config"], sort_keys=True),
    )


def _three_digits(f1: float | None) -> str:
    return "-" if f1 is None else f"{f1:.3f}"


def _input_region(crop: RelativeCrop) -> str:
    """The part of an aligned photo that a model takes, in words."""
    if crop == FULL_IMAGE:
        return "the whole aligned photo, 256 x 256 pixels"
    return (
        f"a square crop of an aligned photo, resized to 256 x 256 pixels. Its side is\n"
        f"  {crop.size:.0%} of the photo's side, its centre at {crop.x:.0%} of the width and "
        f"{crop.y:.1%} of the height"
    )


def write_cards(check: bool) -> None:
    """Write the cards of all models from their figures, or check that they agree."""
    for name in MODEL_NAMES:
        text = card_text(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))
        path = FOLDER / f"{name}.md"
        if not check:
            path.write_text(text, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path.name} differs from {name}.json; run ship_weights.py --cards.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=MODEL_NAMES)
    parser.add_argument("file", nargs="?", type=Path, help="the trained checkpoint")
    parser.add_argument("--data", help="CelebAMask-HQ, a folder or a zip, to evaluate on")
    parser.add_argument("--command", default="", help="how it was trained, for the card")
    parser.add_argument(
        "--before", nargs=2, type=float, default=(0, 0), metavar=("MINUTES", "PHOTOS"),
        help="of the run that this one was initialized from",
    )  # fmt: skip
    parser.add_argument("--cards", action="store_true", help="only write the model cards")
    parser.add_argument("--check", action="store_true", help="only check the model cards")
    options = parser.parse_args()
    if options.cards or options.check:
        write_cards(options.check)
    elif options.name and options.file and options.data:
        before = options.before[0], int(options.before[1])
        ship(options.name, options.file, options.data, options.command, before)
    else:
        parser.error("give a name, a checkpoint and --data, or --cards or --check")


if __name__ == "__main__":
    main()
