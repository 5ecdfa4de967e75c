"""Trains a model as `python face_segmentation.py` does, and scores it on real photos.

    python benchmarks/train_and_score.py --data data/CelebAMask-HQ --minutes 10
    python benchmarks/train_and_score.py --data data/CelebAMask-HQ --minutes 10 --arch unet
    python benchmarks/train_and_score.py --data data/CelebAMask-HQ --minutes 10 --drawn 1600

With --drawn the model sees that many drawn faces in training, for its validation too, and no
photo. Scores are taken on the validation split of --data; with --test on the test split as well,
which is for the end, when all choices are made. Results go to
benchmarks/results/train_and_score.json, one entry for each kind of run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import facesegkit  # noqa: F401  before torch: it says how OpenMP's threads wait

# isort: split
import torch

from facesegkit.checkpoint import Checkpoint, build_model, save
from facesegkit.drawn import DRAWING_VERSION, draw_data_set
from facesegkit.evaluation import evaluate
from facesegkit.packing import Pack, prepare
from facesegkit.parts import FIVE_FEATURES
from facesegkit.training import Budget, Samples, Settings, bf16_is_faster, fit

RESULTS = Path(__file__).parent / "results" / "train_and_score.json"
DRAWN = Path("data", "drawn")


def train(pack: Pack, arch: str, minutes: float) -> tuple[Checkpoint, dict[str, Any]]:
    """Train on a pack for some minutes; gives the model, and how far it came."""
    torch.manual_seed(0)
    model, history = fit(
        build_model(arch, classes=len(FIVE_FEATURES.class_names)),
        FIVE_FEATURES,
        Samples(pack.photos, pack.labels, pack.rows("train")),
        Samples(pack.photos, pack.labels, pack.rows("val")),
        Budget(minutes=minutes),
        Settings(bf16=bf16_is_faster()),
    )
    seen = int(history[-1]["photos"])
    course = [
        {"minutes": round(row["minutes"], 2), "val_mean_f1": round(row["val_mean_f1"], 4)}
        for row in history
        if row["val_mean_f1"] >= 0  # nan where no validation took place
    ]
    return Checkpoint(arch, model, FIVE_FEATURES), {
        "photos seen": seen,
        "photos per second": round(seen / (60 * history[-1]["minutes"]), 1),
        "course": course,
    }


def score(model: torch.nn.Module, pack: Pack, split: str) -> dict[str, float]:
    """Mean F1, then each class's, on a split."""
    rows = pack.rows(split)
    scores = evaluate(model, FIVE_FEATURES, pack.photos, pack.labels, rows, progress=True).scores
    f1 = zip(FIVE_FEATURES.class_names[1:], scores.f1[1:], strict=True)
    return {
        "photos": len(rows),
        "mean F1": round(scores.mean_f1, 4),
        **{name: round(float(value), 4) for name, value in f1},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CelebAMask-HQ, a folder or a zip")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--arch", choices=("separable", "unet"), default="separable")
    parser.add_argument("--drawn", type=int, help="train on this many drawn faces alone")
    parser.add_argument("--test", action="store_true", help="score on the test split as well")
    parser.add_argument("--save", type=Path, help="keep the model here")
    options = parser.parse_args()

    real = prepare(options.data)
    if options.drawn:
        draw_data_set(DRAWN, options.drawn, seed=0)
    checkpoint, course = train(
        prepare(DRAWN) if options.drawn else real, options.arch, options.minutes
    )
    if options.save:
        save(checkpoint, options.save)
    trained_on = "photos"
    if options.drawn:
        trained_on = f"{options.drawn:,} drawn faces (drawing version {DRAWING_VERSION})"
    result = {
        "trained on": trained_on,
        "minutes": options.minutes,
        **course,
        "val": score(checkpoint.model, real, "val"),
    }
    if options.test:
        result["test"] = score(checkpoint.model, real, "test")
    print(json.dumps(result, indent=2))
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    name = f"{options.arch}, {result['trained on']}, {options.minutes:g} minutes"
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results | {name: result}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
