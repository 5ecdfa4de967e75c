"""Lesson 4: losses, the first steps, learning rates, budgets, chance, overfitting, two networks.

A seed decides the initial weights, the order of the photos and the augmentation.
"""

import contextlib
import copy
import io
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from lesson_claims import Claim
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from facesegkit.checkpoint import ARCHITECTURES
from facesegkit.config import Budget, RunOptions, TrainConfig
from facesegkit.course.lesson_data import lesson_cache, lesson_data, small_photos
from facesegkit.course.my_parser import unseen_faces
from facesegkit.dataset import TrainingData
from facesegkit.labels import FIVE_FEATURES
from facesegkit.losses import segmentation_loss
from facesegkit.metrics import Predictor, SegmentationMetrics, evaluate
from facesegkit.profile import count_macs
from facesegkit.system.history import History
from facesegkit.train import fit
from facesegkit.transforms import Augmentation

# As in the lesson.
SIDE, BATCH, LR = 64, 8, 0.02
SHORT, MEDIUM, LONG = 12, 32, 64  # epochs
NO_EFFECTS = {"exposure": 0.0, "grey": 0.0, "blur": 0.0, "noise": 0.0, "occluder": 0.0}
UNCHANGED = Augmentation(degrees=0, scales=(1, 1), shift=0, flip=0, light=0, colour=0, **NO_EFFECTS)
MILD = Augmentation(
    degrees=10, scales=(0.85, 1.2), shift=0.05, flip=0.5, light=0.2, colour=0.1, **NO_EFFECTS
)
RECIPE = TrainConfig(
    batch_size=BATCH, lr=LR, warmup=0.3, ema_decay=0.9, resize_schedule=(), validations=8,
    rows_per_validation=2,
)  # fmt: skip

Loss = Callable[[Tensor, Tensor], Tensor]
WITH_DICE: Loss = partial(segmentation_loss, config=TrainConfig())
WEIGHTED = TrainConfig(dice_weight=0.0, background_weight=0.1)
LOSSES: dict[str, Loss] = {
    "cross-entropy": F.cross_entropy,
    "with Dice": WITH_DICE,
    "weighted": partial(segmentation_loss, config=WEIGHTED),
}


@cache
def data() -> tuple[TrainingData, TrainingData]:
    """Training and validation faces of the lesson."""
    with contextlib.redirect_stdout(io.StringIO()):
        faces = lesson_cache(lesson_data())
    rows = faces.rows("train"), np.concatenate([faces.rows("val"), faces.rows("test")])
    train, val = (
        TrainingData(small_photos(faces.photos[r], SIDE), faces.labels[r], np.arange(len(r)))
        for r in rows
    )
    return train, val


def class_maps(faces: TrainingData) -> NDArray[np.uint8]:
    """Class ids of all faces, [N, 512, 512]."""
    return FIVE_FEATURES.merge(np.asarray(faces.labels)[faces.rows])


def tensors(faces: TrainingData) -> tuple[Tensor, Tensor]:
    """Images [N, 3, S, S] and class ids [N, S, S]."""
    classes = class_maps(faces)
    step = classes.shape[1] // SIDE
    target = torch.from_numpy(classes[:, step // 2 :: step, step // 2 :: step]).long()
    images = torch.from_numpy(np.asarray(faces.photos)[faces.rows]).permute(0, 3, 1, 2) / 255
    return images, target


def frequencies() -> Tensor:
    """Fractions of all pixels of the training faces that belong to each class, [6]."""
    classes = class_maps(data()[0])
    return torch.from_numpy(np.bincount(classes.ravel(), minlength=6) / classes.size).float()


def new_network(seed: int, arch: str = "separable") -> nn.Module:
    """A network that starts from the frequencies of the classes."""
    torch.manual_seed(seed)
    model = ARCHITECTURES[arch](classes=6)
    model.head.load_state_dict({**model.head.state_dict(), "bias": frequencies().log()})
    return model


def batches(faces: TrainingData, seed: int) -> DataLoader[tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(seed)
    pairs = TensorDataset(*tensors(faces))
    return DataLoader(pairs, BATCH, shuffle=True, drop_last=True, generator=generator)


def train_by_hand(
    loss: Loss, epochs: int, seed: int, faces: TrainingData | None = None
) -> nn.Module:
    """The lesson's own loop."""
    model, (images, target) = new_network(seed), tensors(data()[1])
    optimizer, lowest = torch.optim.AdamW(model.parameters(), LR), math.inf
    loader = batches(faces or data()[0], seed)
    for _ in range(epochs):
        model.train()
        for batch, batch_target in loader:
            value = loss(model(batch), batch_target)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        with torch.no_grad():
            val_loss = loss(model.eval()(images), target).item()
        if val_loss < lowest:
            lowest, best = val_loss, copy.deepcopy(model.state_dict())
    model.load_state_dict(best)
    return model


def train(
    seed: int,
    epochs: float,
    augmentation: Augmentation = MILD,
    *,
    faces: TrainingData | None = None,
    arch: str = "separable",
    lr: float = LR,
    is_validated: bool = False,
) -> tuple[nn.Module, History]:
    """The lesson's runs with `fit`."""
    budget, (own, val) = Budget(epochs=epochs), data()
    config = replace(RECIPE, budget=budget, augmentation=augmentation, lr=lr, seed=seed)
    model, run = new_network(seed, arch), RunOptions(progress=False)
    return fit(model, faces or own, val if is_validated else None, config, run)


def on_val(model: Predictor) -> SegmentationMetrics:
    return evaluate(model, data()[1]).metrics


def baseline() -> Predictor:
    """The mean label map, which never sees the photo."""
    classes = class_maps(data()[0])
    counts = np.stack([(classes == class_id).mean(axis=0) for class_id in range(6)])
    logits = torch.from_numpy(counts).float()
    return lambda images: logits.expand(len(images), -1, -1, -1)


def first_losses(seed: int) -> dict[str, float]:
    """Cross-entropy of twenty networks with random weights, on one batch."""
    images, target = next(iter(batches(data()[0], seed)))
    losses = []
    for number in range(20):
        torch.manual_seed(100 * seed + number)
        with torch.no_grad():
            losses.append(F.cross_entropy(ARCHITECTURES["separable"](classes=6)(images), target))
    return {"lowest": float(min(losses)), "highest": float(max(losses))}


def compare_losses(seed: int) -> dict[str, float]:
    """Mean F1, precision and recall with each loss, and the mean F1 of the baseline."""
    figures = {"baseline": on_val(baseline()).mean_f1}
    for name, loss in LOSSES.items():
        metrics = on_val(train_by_hand(loss, SHORT, seed))
        figures[name] = metrics.mean_f1
        figures[f"{name}: mouth"] = metrics.f1[4]
        figures[f"{name}: lowest other class"] = float(np.delete(metrics.f1[1:], 3).min())
        figures[f"{name}: precision"] = float(np.nan_to_num(metrics.precision[1:]).mean())
        figures[f"{name}: recall"] = float(metrics.recall[1:].mean())
    figures["fit"] = on_val(train(seed, SHORT, UNCHANGED)[0]).mean_f1
    return figures


def losses_differ(figures: dict[str, float]) -> bool:
    others = ("cross-entropy", "weighted")
    more_recall = {
        name: figures[f"{name}: recall"] - figures[f"{name}: precision"] for name in LOSSES
    }
    return (
        all(figures["with Dice"] > figures[name] for name in others)
        and all(figures["with Dice: mouth"] > figures[f"{name}: mouth"] for name in others)
        and more_recall["cross-entropy"] < 0 < more_recall["weighted"]
    )


def running_averages(seed: int) -> dict[str, float]:
    """Validation loss after four steps: with running averages and with the batch's statistics."""
    own, val = data()
    model = train_by_hand(WITH_DICE, 1, seed, replace(own, rows=own.rows[:32]))
    images, target = tensors(val)
    with torch.no_grad():
        before = WITH_DICE(model.eval()(images), target).item()
        of_batch = WITH_DICE(model.train()(images), target).item()
        loader = batches(own, seed)
        for more_images, _ in (batch for _ in range(3) for batch in loader):
            model(more_images)
        later = WITH_DICE(model.eval()(images), target).item()
    return {"running averages": before, "of the batch": of_batch, "later": later}


def range_test(seed: int) -> dict[str, float]:
    """Learning rate at which the loss decreases fastest in a range test."""
    model, loader = new_network(seed), batches(data()[0], seed)
    optimizer, losses = torch.optim.AdamW(model.parameters()), []
    lrs = np.geomspace(1e-4, 1.0, 4 * len(loader))
    several = (batch for _ in range(4) for batch in loader)
    for lr, (images, target) in zip(lrs, several, strict=True):
        optimizer.param_groups[0]["lr"] = float(lr)
        loss = WITH_DICE(model(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    smoothed = np.convolve(np.pad(losses, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    return {"steepest": float(lrs[np.gradient(smoothed).argmin()])}


def learning_rates(seed: int) -> dict[str, float]:
    """Mean F1 of short runs at four learning rates."""
    rates = (0.002, 0.02, 0.2, 2.0)
    return {f"lr {lr}": on_val(train(seed, LONG / 8, lr=lr)[0]).mean_f1 for lr in rates}


def rates_differ(figures: dict[str, float]) -> bool:
    lowest, low, high, highest = figures.values()
    return abs(low - high) < 0.1 < min(low, high) - max(lowest, highest)


def chance(seed: int) -> dict[str, float]:
    """Mean F1 of five short runs that differ in nothing but their random numbers."""
    f1 = [on_val(train(10 * seed + n, LONG / 8)[0]).mean_f1 for n in range(5)]
    return {"lowest": min(f1), "highest": max(f1), "deviation": float(np.std(f1, ddof=1))}


def augmentation(seed: int) -> dict[str, float]:
    """Mean F1 with and without augmentation, on training faces and on others."""
    faces = {"training": data()[0].subset(40), "other": unseen_faces(SIDE)}
    figures = {}
    for name, change in (("unchanged", UNCHANGED), ("augmented", MILD)):
        model, _ = train(seed, MEDIUM, change)
        for faces_name, some in faces.items():
            figures[f"{name}, {faces_name}"] = evaluate(model, some).metrics.mean_f1
    return figures


def steps(seed: int) -> dict[str, float]:
    """The steps of `my_parser` on its own test faces, and budgets on the validation faces."""
    long, history = train(seed, LONG, is_validated=True)
    parsers: dict[str, Predictor] = {
        "baseline": baseline(),
        "first loop": train_by_hand(F.cross_entropy, SHORT, seed),
        "loss": train_by_hand(WITH_DICE, SHORT, seed),
        "augmentation": train(seed, MEDIUM)[0],
        "longer": long,
    }
    faces = unseen_faces(SIDE)
    figures = {name: evaluate(model, faces).metrics.mean_f1 for name, model in parsers.items()}
    margins = on_val(long).f1[1:] - on_val(parsers["baseline"]).f1[1:]
    figures["val: smallest margin over the baseline"] = float(margins.min())
    validated = [row for row in history if not math.isnan(row["val_mean_f1"])]
    f1 = {8 * row["photos"] / history[-1]["photos"]: row["val_mean_f1"] for row in validated}
    figures["val: eighth"] = on_val(train(seed, LONG / 8)[0]).mean_f1
    figures["val: half"] = on_val(parsers["augmentation"]).mean_f1
    figures["val: all"] = f1[8.0]
    figures["val: all, after an eighth"] = f1[1.0]
    figures["val: all, after a half"] = f1[4.0]
    return figures


def each_step_is_better(figures: dict[str, float]) -> bool:
    f1 = [figures[name] for name in ("baseline", "first loop", "loss", "augmentation", "longer")]
    return f1 == sorted(f1)


def overfitting(seed: int) -> dict[str, float]:
    """Validation loss minus training loss of four runs: many and few faces, augmented or not."""
    own = data()[0]
    eight = replace(own, rows=own.rows[:BATCH])
    figures = {}
    for name, faces, epochs in (("8", eight, SHORT * (len(own) // BATCH)), ("all", own, SHORT)):
        for change, config in (("unchanged", UNCHANGED), ("augmented", MILD)):
            _, history = train(seed, epochs, config, faces=faces, is_validated=True)
            last = history[-1]
            figures[f"{name}, {change}"] = last["val_loss"] - last["train_loss"]
            figures[f"{name}, {change}: validation"] = last["val_loss"]
    return figures


def two_networks(seed: int) -> dict[str, float]:
    """Mean F1 after the same number of steps, and how many times the MACs a U-Net has."""
    models = {arch: train(seed, MEDIUM, arch=arch)[0] for arch in ARCHITECTURES}
    figures = {arch: on_val(model).mean_f1 for arch, model in models.items()}
    figures["MACs"] = count_macs(models["unet"], SIDE) / count_macs(models["separable"], SIDE)
    return figures


CLAIMS = [
    Claim(
        "The first cross-entropy of a network with random weights lies between 1 and 3.",
        first_losses,
        lambda f: 1 < f["lowest"] and f["highest"] < 3,
    ),
    Claim(
        "In the mean it beats the baseline.",
        compare_losses,
        lambda f: f["cross-entropy"] > f["baseline"],
    ),
    Claim(
        "The mean F1 is highest with the Dice loss, and so is the F1 of the mouth. Cross-entropy "
        "alone has more precision than recall, the weighted loss more recall than precision.",
        compare_losses,
        losses_differ,
    ),
    Claim(
        "Without Dice, the inside of the mouth (yellow) has the lowest F1 of all classes.",
        compare_losses,
        lambda f: all(
            f[f"{name}: mouth"] < f[f"{name}: lowest other class"]
            for name in ("cross-entropy", "weighted")
        ),
    ),
    Claim(
        "With the running averages the loss is higher than with the statistics of the batch. "
        "After some more forward passes it is nearly the same, although no weight has changed.",
        running_averages,
        lambda f: (
            abs(f["later"] - f["of the batch"]) < 0.2 * (f["running averages"] - f["of the batch"])
        ),
    ),
    Claim(
        "The two scores are less than a tenth apart",
        compare_losses,
        lambda f: abs(f["with Dice"] - f["fit"]) < 0.1,
    ),
    Claim(
        "Without augmentation, the network is better on the faces that it was trained on, and "
        "worse on others.",
        augmentation,
        lambda f: (
            f["unchanged, training"] > f["augmented, training"]
            and f["unchanged, other"] < f["augmented, other"]
        ),
    ),
    Claim(
        "With other random numbers it names other rates, all of them between 0.005 and 0.05.",
        range_test,
        lambda f: 0.005 < f["steepest"] < 0.05,
    ),
    Claim(
        "The lowest and the highest rate end far below the two in the middle. Between those two, "
        "a factor of ten makes much less difference.",
        learning_rates,
        rates_differ,
    ),
    Claim(
        "after this run, the network beats the baseline in every class",
        steps,
        lambda f: f["val: smallest margin over the baseline"] > 0,
    ),
    Claim(
        "In 4 of 5 repetitions with other random numbers, each shorter run, once finished, was "
        "ahead of the longest run at that point.",
        steps,
        lambda f: (
            f["val: eighth"] > f["val: all, after an eighth"]
            and f["val: half"] > f["val: all, after a half"]
        ),
    ),
    Claim(
        "More time does help, but less and less: from an eighth to half of the budget the score "
        "rises more than from half to all of it.",
        steps,
        lambda f: f["val: half"] - f["val: eighth"] > f["val: all"] - f["val: half"] > 0,
    ),
    Claim(
        "The best and the worst of the five are more than two hundredths apart.",
        chance,
        lambda f: f["highest"] - f["lowest"] > 0.02,
    ),
    Claim(
        "With eight unchanged faces the two are furthest apart",
        overfitting,
        lambda f: f["8, unchanged"] == max(v for name, v in f.items() if ":" not in name),
    ),
    Claim(
        "Augmentation narrows the gap, and so do more faces.",
        overfitting,
        lambda f: (
            max(f["8, augmented"], f["all, unchanged"]) < f["8, unchanged"]
            and f["all, augmented"] < min(f["8, augmented"], f["all, unchanged"])
        ),
    ),
    Claim(
        "After the same number of steps the U-Net is ahead in the mean.",
        two_networks,
        lambda f: f["unet"] > f["separable"],
    ),
    Claim("Each step of this lesson is better than the one before it.", steps, each_step_is_better),
]
