"""Lesson 8: its trainings and its distillation on other faces, and the real test photos by halves.

What is said about shipped models is to be checked again whenever their weights change.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from lesson_claims import Claim
from numpy.typing import NDArray

from facesegkit.checkpoint import build_model
from facesegkit.config import Budget, RunOptions, TrainConfig
from facesegkit.course.lesson_data import small_photos
from facesegkit.dataset import TrainingData
from facesegkit.labels import FIVE_FEATURES
from facesegkit.metrics import evaluate
from facesegkit.synthetic.camera import photograph
from facesegkit.synthetic.face import draw_scene, set_up
from facesegkit.synthetic.traits import (
    Light,
    Person,
    Pose,
    choose_light,
    choose_person,
    choose_pose,
)
from facesegkit.train import fit
from facesegkit.transforms import Augmentation

FACES, TEST_FACES, SIDE, EPOCHS = 100, 50, 64, 20
FIRST_SEED = 800  # of the faces: far from those of trainings and of the lessons

Figures = dict[str, float]
Pairs = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # photos [N, s, s, 3], part ids [N, 512, 512]

FRONTAL = Pose(yaw=0, pitch=0, roll=0, scale=1, shift=(0, 0))
EVEN = Light(
    direction=np.array([0, -0.3, 0.95], dtype=np.float32),
    key=np.full(3, 0.7, dtype=np.float32),
    ambient=np.full(3, 0.45, dtype=np.float32),
    exposure=1.1, contrast=0.7, wrap=0.4, shine=0, tightness=10, scatter=4, bounce=0.4, cast=0.2,
)  # fmt: skip
NO_EFFECTS = {"exposure": 0, "grey": 0, "blur": 0, "noise": 0, "occluder": 0}
MIRRORED = Augmentation(
    degrees=0, scales=(1, 1), shift=0, flip=0.5, light=0, colour=0, **NO_EFFECTS
)
AUGMENTED = Augmentation(
    degrees=10, scales=(0.85, 1.2), shift=0.05, flip=0.5, light=0.3, colour=0.3,
    exposure=0, grey=0.05, blur=0.1, noise=0.1, occluder=0,
)  # fmt: skip


def plain_person(person: Person) -> Person:
    """The same face with uniform colours."""
    skin = np.array([0.75, 0.56, 0.46], dtype=np.float32)
    hair = np.array([0.14, 0.1, 0.08], dtype=np.float32)
    return replace(
        person, skin=skin, darkness=0.25, hair=hair, brow=hair, make_up=0.0,
        glasses="none", hat="none",
    )  # fmt: skip


def plain_face(seed: int, index: int) -> Pairs:
    """A face from the front, in even light, before a grey wall: photo and part ids."""
    rng = np.random.default_rng([seed, index])
    person, _, _ = choose_person(rng), choose_pose(rng), choose_light(rng)
    scene = set_up(rng, plain_person(person), FRONTAL, EVEN)
    scene.canvas.rgb[:] = 0.6
    draw_scene(scene)
    return (255 * scene.canvas.rgb.clip(0, 1)).astype(np.uint8), scene.canvas.labels


def varied_face(seed: int, index: int) -> Pairs:
    """The same face as usual."""
    rng = np.random.default_rng([seed, index])
    scene = set_up(rng, choose_person(rng), choose_pose(rng), choose_light(rng))
    draw_scene(scene)
    return photograph(rng, scene.canvas.rgb), scene.canvas.labels


def domain(face: Callable[[int, int], Pairs], seed: int) -> Pairs:
    """Small photos and part ids of all faces of a domain."""
    pairs = [face(seed, index) for index in range(FACES + TEST_FACES)]
    photos, labels = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
    return small_photos(photos, SIDE), labels


@cache  # a few numbers: several sentences are about the same trainings
def controlled_gap(seed: int) -> Figures:
    """Mean F1 of the three networks in both domains, "trained on -> evaluated on"."""
    faces = {"plain": plain_face, "varied": varied_face}
    domains = {name: domain(face, FIRST_SEED + seed) for name, face in faces.items()}
    frequencies = np.bincount(FIVE_FEATURES.merge(domains["plain"][1]).ravel(), minlength=6)
    runs = {
        "plain": ("plain", MIRRORED),
        "augmented": ("plain", AUGMENTED),
        "varied": ("varied", MIRRORED),
    }
    found = {}
    for name, (kind, augmentation) in runs.items():
        torch.manual_seed(seed)
        model = build_model("separable", classes=6)
        model.head.bias.data = torch.from_numpy(frequencies / frequencies.sum()).float().log()
        config = TrainConfig(
            budget=Budget(epochs=EPOCHS), batch_size=8, lr=0.02, warmup=0.3, ema_decay=0.9,
            resize_schedule=(), augmentation=augmentation, seed=seed,
        )  # fmt: skip
        data = TrainingData(*domains[kind], np.arange(FACES))
        trained, _ = fit(model, data, None, config, RunOptions(progress=False))
        for other, arrays in domains.items():
            test = TrainingData(*arrays, np.arange(FACES, FACES + TEST_FACES))
            found[f"{name} -> {other}"] = float(evaluate(trained, test).metrics.mean_f1)
    return found


CLAIMS: list[Claim] = []
