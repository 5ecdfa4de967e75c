"""Lesson 4: losses, the first steps, learning rates, budgets, chance, overfitting, two networks.

A seed decides the initial weights, the order of the photos and the augmentation.
"""

import contextlib
import copy
import io
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from lesson_claims import Claim
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from facesegkit.checkpoint import ARCHITECTURES
from facesegkit.config import Budget, RunOptions, TrainConfig
from facesegkit.course.lesson_data import lesson_cache, lesson_data, small_photos
from facesegkit.course.my_parser import unseen_faces
from facesegkit.dataset import TrainingData
from facesegkit.labels import FIVE_FEATURES
from facesegkit.losses import segmentation_loss
from facesegkit.metrics import Evaluation, evaluate
from facesegkit.profile import count_macs
from facesegkit.system.history import History
from facesegkit.train import fit
from facesegkit.transforms import Augmentation

# As in the lesson.
SIDE, BATCH, LR = 64, 8, 0.02
SHORT, MEDIUM, LONG = 12, 32, 64  # epochs
NO_EFFECTS = {"exposure": 0, "grey": 0, "blur": 0, "noise": 0, "occluder": 0}
UNCHANGED = Augmentation(
    degrees=0, scales=(1, 1), shift=0, flip=0, light=0, colour=0, **NO_EFFECTS
)
MILD = Augmentation(
    degrees=10, scales=(0.85, 1.2), shift=0.05, flip=0.5, light=0.2, colour=0.1, **NO_EFFECTS
)
RECIPE = TrainConfig(
    batch_size=BATCH, lr=LR, warmup=0.3, ema_decay=0.9, resize_schedule=(), augmentation=MILD,
    validations=8, rows_per_validation=2,
)  # fmt: skip

Loss = Callable[[Tensor, Tensor], Tensor]
WITH_DICE = {"dice_weight": 1.0}
LOSSES: dict[str, Loss] = {
    "cross-entropy": F.cross_entropy,
    "with Dice": lambda logits, target: segmentation_loss(logits, target, RECIPE),
    "weighted": lambda logits, target: segmentation_loss(
        logits, target, replace(RECIPE, dice_weight=0.0, background_weight=0.1)
    ),
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


def tensors(faces: TrainingData) -> tuple[Tensor, Tensor]:
    """Images [N, 3, S, S] and class ids [N, S, S]."""
    step = faces.labels.shape[1] // SIDE
    classes = FIVE_FEATURES.merge(faces.labels[:, step // 2 :: step, step // 2 :: step])
    images = torch.from_numpy(np.asarray(faces.photos)).permute(0, 3, 1, 2) / 255
    return images, torch.from_numpy(classes).long()


def new_network(seed: int, arch: str = "separable") -> nn.Module:
    """A network that starts from the frequencies of the classes."""
    classes = FIVE_FEATURES.merge(data()[0].labels)
    torch.manual_seed(seed)
    model = ARCHITECTURES[arch](classes=6)
    frequencies = np.bincount(classes.ravel(), minlength=6) / classes.size
    model.head.bias.data = torch.from_numpy(frequencies).float().log()
    return model


def train_by_hand(loss: Loss, epochs: int, seed: int) -> nn.Module:
    """The lesson's own loop."""
    model, (images, target) = new_network(seed), tensors(data()[1])
    loader = DataLoader(
        TensorDataset(*tensors(data()[0])), BATCH, shuffle=True, drop_last=True,
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    optimizer, lowest = torch.optim.AdamW(model.parameters(), LR), math.inf
    for _ in range(epochs):
        model.train()
        for batch in loader:
            value = loss(model(batch[0]), batch[1])
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
    config = replace(RECIPE, budget=Budget(epochs=epochs), augmentation=augmentation, lr=lr,
                     seed=seed, validations=8 if is_validated else 1)  # fmt: skip
    own, val = data()
    model = new_network(seed, arch)
    val_or_none = val if is_validated else None
    return fit(model, faces or own, val_or_none, config, RunOptions(progress=False))


def on_val(model: nn.Module) -> Evaluation:
    return evaluate(model, data()[1])


def gradients(seed: int) -> dict[str, float]:
    """Gradients of both losses at the logits of two predictions that never saw a photo."""
    rng = np.random.default_rng(seed)
    own = data()[0]
    target = tensors(replace(own, labels=own.labels[rng.permutation(len(own))[:8]]))[1]
    classes = FIVE_FEATURES.merge(own.labels)
    frequencies = torch.from_numpy(np.bincount(classes.ravel(), minlength=6) / classes.size)
    figures = {}
    for start, values in (("uniform", torch.zeros(6)), ("frequencies", frequencies.log().float())):
        logits = values[:, None, None].repeat(8, 1, SIDE, SIDE).requires_grad_()
        cross_entropy = F.cross_entropy(logits, target)
        dice = LOSSES["with Dice"](logits, target) - cross_entropy
        for name, loss in (("ce", cross_entropy), ("dice", dice)):
            (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
            size = gradient.abs().sum(1)
            figures[f"{start} {name}"] = float(size.sum())
            figures[f"{start} {name} background"] = float(size[target == 0].sum() / size.sum())
    return figures


def first_losses(seed: int) -> dict[str, float]:
    """Cross-entropy of twenty networks with random weights, on eight faces."""
    images, target = tensors(data()[0])
    losses = []
    for number in range(20):
        torch.manual_seed(100 * seed + number)
        model = ARCHITECTURES["separable"](classes=6)
        with torch.no_grad():
            losses.append(F.cross_entropy(model(images[:8]), target[:8]).item())
    return {"lowest": min(losses), "highest": max(losses)}


def losses(seed: int) -> dict[str, float]:
    """Mean F1, precision and recall with each loss."""
    figures = {}
    for name, loss in LOSSES.items():
        metrics = on_val(train_by_hand(loss, SHORT, seed)).metrics
        figures[f"{name}: mean F1"] = metrics.mean_f1
        figures[f"{name}: mouth"] = metrics.f1[4]
        figures[f"{name}: precision"] = float(np.nan_to_num(metrics.precision[1:]).mean())
        figures[f"{name}: recall"] = float(metrics.recall[1:].mean())
    return figures


def more_recall(figures: dict[str, float], name: str) -> float:
    return figures[f"{name}: recall"] - figures[f"{name}: precision"]


def running_statistics(seed: int) -> dict[str, float]:
    """Validation loss after one epoch, with running statistics and with the batch's own."""
    model, (images, target) = train_by_hand(LOSSES["with Dice"], 1, seed), tensors(data()[1])
    own_images, _ = tensors(data()[0])
    with torch.no_grad():
        before = LOSSES["with Dice"](model.eval()(images), target).item()
        own = LOSSES["with Dice"](copy.deepcopy(model).train()(images), target).item()
        for start in range(0, 120, 8):
            model.train()(own_images[start : start + 8])
        after = LOSSES["with Dice"](model.eval()(images), target).item()
    return {"running": before, "own": own, "running, later": after}


def range_test(seed: int) -> dict[str, float]:
    """Learning rate at which the loss decreases fastest in a range test."""
    model, own = new_network(seed), data()[0]
    optimizer = torch.optim.AdamW(model.parameters())
    lrs, values = np.geomspace(1e-4, 1.0, 60), []
    for step, lr in enumerate(lrs):
        optimizer.param_groups[0]["lr"] = float(lr)
        batch = own.training_batch(step, 0.0, replace(RECIPE, seed=seed), torch.device("cpu"))
        row, column = batch.offset or (0, 0)
        logits = model(batch.images)[:, :, row::2, column::2]
        value = LOSSES["with Dice"](logits, batch.target)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    smoothed = np.convolve(np.pad(values, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    return {"steepest": float(lrs[np.gradient(smoothed).argmin()])}


def learning_rates(seed: int) -> dict[str, float]:
    rates = {"tenth": LR / 10, "chosen": LR, "tenfold": 10 * LR}
    runs = {name: train(seed, 8, lr=lr)[0] for name, lr in rates.items()}
    return {name: on_val(model).metrics.mean_f1 for name, model in runs.items()}


def chance(seed: int) -> dict[str, float]:
    """Mean F1 of five short runs that differ in nothing but their seed."""
    f1 = [on_val(train(10 * seed + n, 8)[0]).metrics.mean_f1 for n in range(5)]
    return {"lowest": min(f1), "highest": max(f1), "deviation": float(np.std(f1, ddof=1))}


def steps(seed: int) -> dict[str, float]:
    """The steps of `my_parser`, on its own test faces."""
    own, test = data()[0], unseen_faces(SIDE)
    counts = np.stack([(FIVE_FEATURES.merge(own.labels) == c).mean(axis=0) for c in range(6)])
    map_logits = torch.from_numpy(counts).float()
    long, history = train(seed, LONG, is_validated=True)
    parsers = {
        "baseline": lambda images: map_logits.expand(len(images), -1, -1, -1),
        "first loop": train_by_hand(LOSSES["cross-entropy"], SHORT, seed),
        "loss": train_by_hand(LOSSES["with Dice"], SHORT, seed),
        "not augmented": train(seed, MEDIUM, UNCHANGED)[0],
        "augmentation": train(seed, MEDIUM)[0],
        "longer": long,
    }
    metrics = {name: evaluate(parser, test).metrics for name, parser in parsers.items()}
    figures = {name: m.mean_f1 for name, m in metrics.items()}
    for name in ("baseline", "longer"):
        for part, f1 in zip(FIVE_FEATURES.classes, metrics[name].f1[1:], strict=True):
            figures[f"{name}: {part}"] = f1
    # What the long run had reached where the shorter ones ended, and both at their ends, on the
    # validation faces.
    seen = [row["photos"] for row in history if row["val_mean_f1"] >= 0]
    reached = [row["val_mean_f1"] for row in history if row["val_mean_f1"] >= 0]
    figures["val: eighth"] = on_val(train(seed, LONG / 8)[0]).metrics.mean_f1
    figures["val: half"] = on_val(parsers["augmentation"]).metrics.mean_f1
    figures["val: all"] = reached[-1]
    for name, part in (("eighth", 8), ("half", 2)):
        figures[f"val: all, after a {name}"] = float(np.interp(seen[-1] / part, seen, reached))
    return figures


def overfitting(seed: int) -> dict[str, float]:
    """Training and validation loss of four runs: many and few faces, augmented or not."""
    own = data()[0]
    eight = replace(own, rows=own.rows[:8])
    figures = {}
    for faces, epochs in ((own, SHORT), (eight, SHORT * (len(own) // BATCH))):
        for name, augmentation in (("unchanged", UNCHANGED), ("augmented", MILD)):
            _, history = train(seed, epochs, augmentation, faces=faces, is_validated=True)
            case = f"{len(faces)} faces, {name}"
            figures[f"{case}: training"] = history[-1]["train_loss"]
            figures[f"{case}: validation"] = history[-1]["val_loss"]
    return figures


def two_networks(seed: int) -> dict[str, float]:
    models = {arch: train(seed, MEDIUM, arch=arch)[0] for arch in ("separable", "unet")}
    figures = {arch: on_val(model).metrics.mean_f1 for arch, model in models.items()}
    figures["MACs"] = count_macs(models["unet"]) / count_macs(models["separable"])
    return figures
