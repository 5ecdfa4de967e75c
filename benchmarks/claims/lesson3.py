"""Lesson 3: what the skip connections and the receptive field contribute, on other faces.

The network of the lesson's ablation is `unet-synthetic`; a seed draws other synthetic faces.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from lesson_claims import Claim
from torch import Tensor, nn

from facesegkit.checkpoint import load
from facesegkit.data.cache import build_cache
from facesegkit.dataset import TrainingData
from facesegkit.inference.model_zoo import weights_path
from facesegkit.labels import FIVE_FEATURES
from facesegkit.metrics import evaluate
from facesegkit.models import LightweightUNet
from facesegkit.profile import receptive_field
from facesegkit.synthetic import synthesize_dataset

PHOTOS = 24  # as in the lesson
FIRST_SEED = 300  # of no other data set
LEVELS = ("1/2", "1/4", "1/8", "1/16")
NAMES = FIVE_FEATURES.class_names


def faces(seed: int) -> TrainingData:
    """Synthetic faces that the network was not trained on."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "faces")
        synthesize_dataset(data, PHOTOS, FIRST_SEED + seed, progress=False)
        cache = build_cache(data, cache=Path(folder, "cache"), progress=False)
        rows = cache.rows("all")
        return TrainingData(np.array(cache.photos), np.array(cache.labels), rows)


def mean_of_positions(features: Tensor) -> Tensor:
    """Each channel replaced by its mean, [B, C, H, W]."""
    return features.mean(dim=(2, 3), keepdim=True).expand_as(features)


def without_skip(block: nn.Module, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return inputs[0], mean_of_positions(inputs[1])


def without_coarse(block: nn.Module, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return mean_of_positions(inputs[0]), inputs[1]


def f1_of_ablations(names: Sequence[str], seed: int) -> dict[str, dict[str, float]]:
    """F1 of each class in each of these ablations, {ablation: {class: F1}}."""
    unet = load(weights_path("unet-synthetic", ".pth")).model
    assert isinstance(unet, LightweightUNet)
    blocks = dict(zip(LEVELS, (unet.up2, unet.up4, unet.up8, unet.up16), strict=True))
    ablations = {level: (block, without_skip) for level, block in blocks.items()}
    ablations |= {"1/32": (unet.up16, without_coarse), "only 1/2": (unet.up2, without_coarse)}
    data, f1 = faces(seed), {}
    for name in names:
        hook = (
            None
            if name == "none"
            else ablations[name][0].register_forward_pre_hook(ablations[name][1])
        )
        scores = evaluate(unet, data).metrics.f1[1:]
        f1[name] = dict(zip(NAMES[1:], map(float, scores), strict=True))
        if hook:
            hook.remove()
    return f1


def mean(f1: dict[str, float]) -> float:
    return sum(f1.values()) / len(f1)


def means_without(names: Sequence[str], seed: int) -> dict[str, float]:
    """Mean F1 of the complete network, and of these ablations."""
    f1 = f1_of_ablations(("none", *names), seed)
    return {name: mean(of_classes) for name, of_classes in f1.items()}


def losses_at_half(seed: int) -> dict[str, float]:
    """F1 that eyebrows and nose lose without the skip connection at 1/2."""
    f1 = f1_of_ablations(("none", "1/2"), seed)
    return {name: f1["none"][name] - f1["1/2"][name] for name in ("eyebrows", "nose")}


def most_important_levels(seed: int) -> dict[str, float]:
    """For each class, the index of the level whose skip connection is missed most."""
    f1 = f1_of_ablations(LEVELS, seed)
    return {
        name: min(range(len(LEVELS)), key=lambda index: f1[LEVELS[index]][name])  # noqa: B023
        for name in NAMES[1:]
    }


def influence_nearby(seed: int) -> dict[str, float]:
    """Fraction of an eyebrow's gradient in the square with half of the receptive field's side."""
    unet, data = load(weights_path("unet-synthetic", ".pth")).model, faces(seed)
    half, eyebrows, fractions = receptive_field(unet) // 4, NAMES.index("eyebrows"), []
    for index in range(8):
        photos, labels = data.batch(np.array([index]))
        ys, xs = np.nonzero(FIVE_FEATURES.merge(labels[0].numpy()) == eyebrows)
        if not len(ys):
            continue
        left = xs <= np.median(xs)
        y, x = int(ys[left].mean()) // 2, int(xs[left].mean()) // 2
        images = (photos.permute(0, 3, 1, 2) / 255).requires_grad_()
        unet(images)[0, eyebrows, y, x].backward()
        assert images.grad is not None
        gradient = images.grad.abs().sum(dim=(0, 1))
        nearby = gradient[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1]
        fractions.append(float(nearby.sum() / gradient.sum()))
    return {"lowest of 8 photos": min(fractions), "mean": float(np.mean(fractions))}


CLAIMS = [
    Claim(
        "Without the skip connection at 1/2, the eyebrows lose more than the nose.",
        losses_at_half,
        lambda figures: figures["eyebrows"] > figures["nose"],
    ),
    Claim(
        "Each of the four skip connections matters: without it, the mean F1 is lower.",
        partial(means_without, LEVELS),
        lambda figures: max(figures[level] for level in LEVELS) < figures["none"],
    ),
    Claim(
        "Which skip connection matters most differs from class to class.",
        most_important_levels,
        lambda figures: len(set(figures.values())) > 1,
    ),
    Claim(
        "Without the input from 1/32, more than half of the mean F1 is left.",
        partial(means_without, ("1/32",)),
        lambda figures: figures["none"] / 2 < figures["1/32"] < figures["none"],
    ),
    Claim(
        "The skip connection at 1/2 alone finds almost nothing.",
        partial(means_without, ("only 1/2",)),
        lambda figures: figures["only 1/2"] < 0.05,
    ),
    Claim(
        "More than two thirds of the influence comes from this inner square.",
        influence_nearby,
        lambda figures: figures["lowest of 8 photos"] > 2 / 3,
    ),
]
