"""How soon a model is good: the plain recipe and ours, on the same network and processor.

    python benchmarks/time_to_quality.py --data data/CelebAMask-HQ --race 30
    python benchmarks/time_to_quality.py --data data/CelebAMask-HQ --budgets 2 5 10 30 60 120

--race trains with the plain recipe and records the validation mean F1 on the way: photos read and
augmented one at a time with PIL and torchvision, a DataLoader with a process per core,
cross-entropy, Adam with a fixed learning rate, float32.

--budgets trains with ours (`--crop face`), anew for each number of minutes: its schedule is
stretched over the budget, so it is best at the end. The shortest budget that reaches a mean F1 is
the time to it. Building the data set cache is not counted for ours, nor validation for either.

The last runs of each kind are kept in benchmarks/results/time_to_quality.json and drawn in
figures/time_to_quality.png, which is all that happens without either.
"""

import argparse
import os
import time
from typing import Any

import facesegkit  # noqa: F401  before torch: sets how OpenMP threads wait

# isort: split
import torch
import torch.nn.functional as F
from common import TOP, load_results, save_results
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import DataLoader

from facesegkit.checkpoint import build_model
from facesegkit.config import Budget, TrainConfig
from facesegkit.data.cache import DatasetCache, build_cache
from facesegkit.dataset import CelebAMaskHQ, TrainingData
from facesegkit.geometry import FACE_CROP, FULL_IMAGE, RelativeCrop
from facesegkit.labels import FIVE_FEATURES
from facesegkit.metrics import evaluate
from facesegkit.models import INPUT_SIZE, LightweightSegmentationModel
from facesegkit.plots import BLUE, ORANGE, save_figure
from facesegkit.system.torch_speed import bf16_is_faster
from facesegkit.system.torchvision_import import torchvision
from facesegkit.train import fit
from facesegkit.transforms import ALIGNED_AUGMENTATION

GOALS = (0.80, 0.85, 0.88)
CLASSES = len(FIVE_FEATURES.class_names)

Run = dict[str, Any]


def plain_augmentation() -> Any:
    """The usual transforms of torchvision, for one photo and its classes at a time."""
    from torchvision.transforms import v2

    return v2.Compose([
        v2.Resize((INPUT_SIZE, INPUT_SIZE)),
        v2.RandomHorizontalFlip(),
        v2.RandomAffine(degrees=25, translate=(0.15, 0.15), scale=(0.6, 1.5)),
        v2.ColorJitter(0.3, 0.3, 0.3),
        v2.ToImage(),
        v2.ToDtype({torchvision.tv_tensors.Image: torch.float32, "others": None}, scale=True),
    ])  # fmt: skip


def val_mean_f1(model: nn.Module, cache: DatasetCache, crop: RelativeCrop) -> float:
    """Mean F1 on the validation split."""
    data = TrainingData.from_cache(cache, "val", crop=crop)
    return round(evaluate(model, data).metrics.mean_f1, 4)


def train_plainly(root: str, cache: DatasetCache, minutes: float) -> Run:
    """The plain recipe, validated every minute, after ten minutes every fifth."""
    torch.manual_seed(0)
    data = CelebAMaskHQ(root, "train", transforms=plain_augmentation(), scheme=FIVE_FEATURES)
    workers = os.cpu_count() or 1
    loader: DataLoader[Any] = DataLoader(data, 16, True, drop_last=True, num_workers=workers)
    model = LightweightSegmentationModel(classes=CLASSES).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    seen, course, due = 0, [], 1.0
    started = time.perf_counter()  # moved by the time that validation takes
    while True:
        for photos, classes in loader:
            loss = F.cross_entropy(model(photos), classes.long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(photos)
            now = time.perf_counter()
            spent = (now - started) / 60
            if spent < min(due, minutes):
                continue
            mean_f1 = val_mean_f1(model, cache, FULL_IMAGE)
            started += time.perf_counter() - now
            course.append({"minutes": round(spent, 2), "val_mean_f1": mean_f1})
            print("plain", course[-1], f"{seen / spent / 60:.1f} photos/s", flush=True)
            due += 1 if due < 10 else 5
            if spent >= minutes:
                return {"photos per second": round(seen / spent / 60, 1), "course": course}


def train_ours(cache: DatasetCache, minutes: float) -> Run:
    """Our recipe for one budget, validated at its end."""
    torch.manual_seed(0)
    config = TrainConfig(
        Budget(minutes=minutes), bf16=bf16_is_faster(), augmentation=ALIGNED_AUGMENTATION,
        validations=1, validation_photos=1,
    )  # fmt: skip
    train, val = (TrainingData.from_cache(cache, s, crop=FACE_CROP) for s in ("train", "val"))
    model, history = fit(build_model("separable", classes=CLASSES), train, val, config)
    run = {
        "minutes": minutes,
        "photos per second": round(history[-1]["photos"] / history[-1]["minutes"] / 60, 1),
        "val_mean_f1": val_mean_f1(model, cache, FACE_CROP),
    }
    print("ours", run, flush=True)
    return run


def summary(results: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """Minutes to each goal (None if it was not reached), and the ratio of the two recipes.

    If the plain recipe was stopped before it reached the goal, the ratio is a lower bound; None if
    it was stopped before ours reached it.
    """
    plain = [(at["minutes"], at["val_mean_f1"]) for at in results["plain"]["course"]]
    ours = [(run["minutes"], run["val_mean_f1"]) for run in results["ours"].values()]
    stopped = max((minutes for minutes, _ in plain), default=None)
    by_goal: dict[str, dict[str, float | None]] = {}
    for goal in GOALS:
        reached = ([m for m, f1 in runs if f1 >= goal] for runs in (plain, ours))
        first, of_ours = (min(minutes, default=None) for minutes in reached)
        ran, ratio = first or stopped, None
        if ran and of_ours and (first or ran > of_ours):
            ratio = round(ran / of_ours, 1)
        label = "times sooner" if first else "times sooner, at least"
        by_goal[f"{goal:.2f}"] = {"plain minutes": first, "ours minutes": of_ours, label: ratio}
    return by_goal


def figure_of(results: dict[str, Any]) -> Figure:
    """Mean F1 over minutes, both recipes."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    plain = [(at["minutes"], at["val_mean_f1"]) for at in results["plain"]["course"]]
    ours = sorted((run["minutes"], run["val_mean_f1"]) for run in results["ours"].values())
    label = "plain recipe, one run"
    axes.plot(*zip(*plain, strict=True), color=ORANGE, linestyle="--", label=label)
    axes.plot(*zip(*ours, strict=True), color=BLUE, marker="o", label="ours, one run per budget")
    above: dict[str, Any] = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center"}
    for minutes, mean_f1 in ours:
        axes.annotate(f"{mean_f1:.3f}", (minutes, mean_f1), fontsize=9, **above)
    axes.set_xscale("log")
    ticks = [1, 2, 5, 10, 30, 60, 120]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="minutes on two cores", ylabel="validation mean F1", ylim=(0, 1))
    axes.grid(color="0.9")
    axes.legend(frameon=False, loc="lower right")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="CelebAMask-HQ to train on, a folder or a zip")
    parser.add_argument("--race", type=float, metavar="MINUTES", help="of the plain recipe")
    parser.add_argument("--budgets", type=float, nargs="*", default=[], help="minutes, for ours")
    options = parser.parse_args()
    if (options.race or options.budgets) and not options.data:
        parser.error("--race and --budgets need --data")
    results = load_results("time_to_quality") or {"plain": {"course": []}, "ours": {}}

    def keep() -> None:
        results["minutes to a score"] = summary(results)
        save_results("time_to_quality", results)
        save_figure(figure_of(results), TOP / "figures" / "time_to_quality.png")

    keep()
    if options.race:
        results["plain"] = train_plainly(options.data, build_cache(options.data), options.race)
        keep()
    for minutes in options.budgets:
        cache = build_cache(options.data, photo_size=FACE_CROP.full_size(INPUT_SIZE))
        results["ours"][f"{minutes:g}"] = train_ours(cache, minutes)
        keep()


if __name__ == "__main__":
    main()
