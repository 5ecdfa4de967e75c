"""Trains with one thing changed at a time and scores each on the validation split.

    python benchmarks/recipe_trials.py --data data/CelebAMask-HQ --photos 32000 --jobs 1

Every trial does the same work from the same seed, counted in photos of full size, so what differs
is the recipe and not the machine's mood. On two cores 32,000 photos take some fifteen minutes; a
GPU is used where there is one.
Results go to benchmarks/results/recipe_trials.json, those of earlier calls are kept.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import facesegkit  # noqa: F401  before torch: it says how OpenMP's threads wait

# isort: split
import torch

from facesegkit.checkpoint import build_model
from facesegkit.config import Budget, TrainConfig
from facesegkit.data.cache import DatasetCache, build_cache
from facesegkit.dataset import TrainingData
from facesegkit.labels import FIVE_FEATURES
from facesegkit.metrics import evaluate
from facesegkit.models import INPUT_SIZE
from facesegkit.train import fit
from facesegkit.transforms import Augmentation

RESULTS = Path(__file__).parent / "results" / "recipe_trials.json"

BASE = TrainConfig(validations=1, validation_photos=1, rows_per_validation=10)
PLAIN = Augmentation()

# name -> what differs from the recipe; keys of Settings, of Augmentation ("aug"), or of the model.
TRIALS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "the recipe, seed 1": {"seed": 1},
    "the recipe, seed 2": {"seed": 2},
    "rate 1.6e-2": {"rate": 1.6e-2},
    "rate 4e-3": {"rate": 4e-3},
    "batch 8": {"batch": 8},
    "batch 32": {"batch": 32},
    "warm-up 0.25": {"warm_up": 0.25},
    "weight decay 0": {"weight_decay": 0.0},
    "weight decay 0.05": {"weight_decay": 0.05},
    "averaging 0.99": {"averaging": 0.99},
    "averaging 0.995": {"averaging": 0.995},
    "no averaging": {"averaging": 0.0},
    "background weight 0.3": {"background_weight": 0.3},
    "background weight 0.1": {"background_weight": 0.1},
    "no Dice": {"dice_weight": 0.0},
    "Dice weight 3": {"dice_weight": 3.0},
    "no Dice, background weight 0.3": {"dice_weight": 0.0, "background_weight": 0.3},
    "no augmentation but flips": {
        "aug": Augmentation(0, (1, 1), 0, 0.5, 0, 0, 0, 0, 0, 0),
    },
    "geometry alone": {
        "aug": replace(PLAIN, light=0, colour=0, grey=0, blur=0, noise=0, occluder=0)
    },
    "light alone": {
        "aug": replace(PLAIN, degrees=0, scales=(1, 1), shift=0, blur=0, noise=0, occluder=0)
    },
    "no occluders": {"aug": replace(PLAIN, occluder=0)},
    "no blur, no noise": {"aug": replace(PLAIN, blur=0, noise=0)},
    "scale 0.75 to 1.35": {"aug": replace(PLAIN, scales=(0.75, 1.35))},
    "15 degrees, scale 0.75 to 1.35, shift 0.1": {
        "aug": replace(PLAIN, degrees=15, scales=(0.75, 1.35), shift=0.1)
    },
    "25 degrees": {"aug": replace(PLAIN, degrees=25)},
    "full size from the start": {"sides": ()},
    "half size until 0.6, then full": {"sides": ((0.6, 128),)},
    "half size until 0.6, then 192 until 0.8": {"sides": ((0.6, 128), (0.8, 192))},
    "a block at a quarter": {"model": {"blocks": (1, 1, 2)}},
    "two blocks at an eighth": {"model": {"blocks": (0, 2, 2)}},
    "one block at a sixteenth": {"model": {"blocks": (0, 1, 1)}},
    "unet": {"arch": "unet"},
}


def counted_in_photos(settings: TrainConfig) -> tuple[TrainConfig, float]:
    """The same course of sides for a run that is counted in photos and not by the clock.

    By the clock, as `sides` is meant, a photo takes time as its area does. Gives the settings,
    and how many times more photos such a run sees than one at full size would.
    """
    ends = [*settings.resize_schedule, (1.0, INPUT_SIZE)]
    begins = [0.0, *(until for until, _ in settings.resize_schedule)]
    photos = [
        (until - begin) * (INPUT_SIZE / side) ** 2
        for begin, (until, side) in zip(begins, ends, strict=True)
    ]
    seen = [
        sum(photos[: number + 1]) / sum(photos) for number in range(len(settings.resize_schedule))
    ]
    sides = tuple(
        (until, side) for until, (_, side) in zip(seen, settings.resize_schedule, strict=True)
    )
    return replace(settings, resize_schedule=sides), sum(photos)


def run_trial(changes: dict[str, Any], cache: Path, photos: int) -> dict[str, float]:
    """Train one model for `photos` photos' worth of work; score it on the validation split."""
    changes = dict(changes)
    pack = DatasetCache.open(cache)
    train = TrainingData(pack.photos, pack.labels, pack.rows("train"))
    val = TrainingData(pack.photos, pack.labels, pack.rows("val"))
    arch = changes.pop("arch", "separable")
    config = changes.pop("model", {})
    if "aug" in changes:
        changes["augmentation"] = changes.pop("aug")
    settings = replace(BASE, **changes)
    settings, more = counted_in_photos(settings)
    photos = round(photos * more)
    torch.manual_seed(settings.seed)
    model = build_model(arch, classes=len(FIVE_FEATURES.class_names), **config)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    budget = Budget(epochs=photos / len(train.rows))
    started = time.perf_counter()
    averaged, history = fit(model, FIVE_FEATURES, train, val, budget, settings, progress=False)
    minutes = (time.perf_counter() - started) / 60
    scores = evaluate(averaged.cpu(), FIVE_FEATURES, val.photos, val.labels, val.rows).scores
    f1 = dict(zip(FIVE_FEATURES.class_names[1:], scores.f1[1:].tolist(), strict=True))
    return {
        "mean_f1": scores.mean_f1,
        **f1,
        "train_loss": history[-1]["train_loss"],
        "minutes": minutes,
    }


def run_trials(names: list[str], cache: Path, photos: int, jobs: int) -> None:
    """Run the named trials, `jobs` at a time, and keep the result of each as it ends."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        waiting = {pool.submit(run_trial, TRIALS[name], cache, photos): name for name in names}
        for trial in as_completed(waiting):
            name, result = waiting[trial], trial.result() | {"photos": photos}
            print(f"{name:45} {result['mean_f1']:.4f}", flush=True)
            results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            RESULTS.parent.mkdir(exist_ok=True)
            results[name] = result
            RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
            RESULTS.with_suffix(".md").write_text(table(results), encoding="utf-8")


def table(results: dict[str, dict[str, float]]) -> str:
    """All results, the best first, as Markdown."""
    lines = [
        "# What was tried for the recipe",
        "",
        "One thing changed at a time, from the same seed; mean F1 on the validation split. Written",
        "by `benchmarks/recipe_trials.py`. The trials that differ in their seed alone say which",
        "differences mean nothing; and a short run favours whatever learns quickly, such as little",
        "augmentation, over what would end higher.",
        "",
        "| trial | photos | mean F1 | eyes | eyebrows | nose | mouth | lips | training loss |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    keys = ("mean_f1", *FIVE_FEATURES.classes, "train_loss")
    for name, result in sorted(results.items(), key=lambda item: -item[1]["mean_f1"]):
        cells = [name, f"{result['photos']:,.0f}", *(f"{result[key]:.3f}" for key in keys)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CelebAMask-HQ, a folder or a zip")
    parser.add_argument(
        "--photos", type=int, default=32_000, help="of full size that each trial's work is worth"
    )
    parser.add_argument("--jobs", type=int, default=1, help="trials at a time")
    parser.add_argument("--only", nargs="*", default=list(TRIALS), help="names of trials")
    options = parser.parse_args()
    run_trials(options.only, build_cache(options.data).folder, options.photos, options.jobs)


if __name__ == "__main__":
    main()
