"""Lesson 8: its trainings and its distillation on other faces, and the real test photos by halves.

What is said about shipped models is to be checked again whenever their weights change.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from lesson_claims import Claim
from numpy.typing import NDArray
from PIL import Image

from claims.lesson5 import half
from facesegkit.checkpoint import build_model, load
from facesegkit.config import Budget, RunOptions, TrainConfig
from facesegkit.course.lesson_data import portraits, small_photos
from facesegkit.data.cache import ANNOTATION_SIZE
from facesegkit.dataset import TrainingData
from facesegkit.image_io import read_photo
from facesegkit.inference.alignment import warp_crop
from facesegkit.inference.model_zoo import weights_path
from facesegkit.inference.pipeline import ScaledImage
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import FIVE_FEATURES, PART_IDS, paint_parts
from facesegkit.metrics import SegmentationMetrics, confusion_matrix, evaluate
from facesegkit.pseudo_label.ensemble import VIEWS, Teacher
from facesegkit.synthetic import synthesize_face
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

MODELS = (
    "separable-synthetic", "separable-open", "separable",
    "unet-synthetic", "unet-open", "unet",
)  # fmt: skip
PARTS_OF_CLASSES = np.array(
    [0, *(PART_IDS[parts[0]] for parts in FIVE_FEATURES.classes.values())], dtype=np.uint8
)
FACES, TEST_FACES, SIDE, EPOCHS = 100, 40, 64, 20
STEPS = 400  # of the distillation
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


def untrained(seed: int, labels: NDArray[np.uint8]) -> torch.nn.Module:
    """A network whose first predictions are the frequencies of the classes."""
    frequencies = np.bincount(FIVE_FEATURES.merge(labels).ravel(), minlength=6)
    torch.manual_seed(seed)
    model = build_model("separable", classes=6)
    assert model.head.bias is not None
    model.head.bias.data = torch.from_numpy(frequencies / frequencies.sum()).float().log()
    return model


def train(
    model: torch.nn.Module, data: TrainingData, epochs: float, augmentation: Augmentation,
    lr: float = 0.02, seed: int = 0,
) -> torch.nn.Module:  # fmt: skip
    config = TrainConfig(
        budget=Budget(epochs=epochs), batch_size=8, lr=lr, warmup=0.3, ema_decay=0.9,
        resize_schedule=(), augmentation=augmentation, seed=seed,
    )  # fmt: skip
    return fit(model, data, None, config, RunOptions(progress=False))[0]


def controlled_gap(seed: int) -> Figures:
    """Mean F1 of the three networks in both domains, "trained on -> evaluated on"."""
    faces = {"plain": plain_face, "varied": varied_face}
    domains = {name: domain(face, FIRST_SEED + seed) for name, face in faces.items()}
    runs = {
        "plain": ("plain", MIRRORED),
        "augmented": ("plain", AUGMENTED),
        "varied": ("varied", MIRRORED),
    }
    found = {}
    for name, (kind, augmentation) in runs.items():
        model = untrained(seed, domains["plain"][1])
        data = TrainingData(*domains[kind], np.arange(FACES))
        trained = train(model, data, EPOCHS, augmentation, seed=seed)
        for other, arrays in domains.items():
            test = TrainingData(*arrays, np.arange(FACES, FACES + TEST_FACES))
            found[f"{name} -> {other}"] = float(evaluate(trained, test).metrics.mean_f1)
    return found


def losses(found: Figures) -> Figures:
    """What each network of the controlled gap loses from its own domain to the other one."""
    return {
        "plain": found["plain -> plain"] - found["plain -> varied"],
        "augmented": found["augmented -> plain"] - found["augmented -> varied"],
        "varied": found["varied -> varied"] - found["varied -> plain"],
    }


def both_domains(seed: int) -> Figures:
    """Mean F1 of the first and last versions on 20 synthetic faces and on half of the photos."""
    found = {}
    faces = [synthesize_face(FIRST_SEED + seed, index) for index in range(20)]
    photos = half(seed)
    for name in ("separable-synthetic", "separable", "unet-synthetic", "unet"):
        segmenter, matrix = FaceSegmenter(name, aligned=True), np.zeros((6, 6), dtype=np.int64)
        for face in faces:
            small = Image.fromarray(face.photo).resize((256, 256), Image.Resampling.BOX)
            target = FIVE_FEATURES.merge(paint_parts(face.masks, (512, 512)))
            predicted = segmenter(small.resize((512, 512))).labels
            matrix += confusion_matrix(target, predicted, 6)
        found[f"{name}, faces"] = float(SegmentationMetrics(matrix).mean_f1)
        found[f"{name}, photos"] = pooled(photos[name].matrices)
    return found


def pooled(matrices: NDArray[np.int32]) -> float:
    return float(SegmentationMetrics(matrices.sum(axis=0)).mean_f1)


def glasses(seed: int) -> Figures:
    """Mean F1 of the photos with glasses minus that of all photos of a half, of each model."""
    counts = {name: of_model for name, of_model in half(seed).items() if name in MODELS}
    return {
        name: pooled(of_model.matrices[of_model.groups["glasses"]]) - pooled(of_model.matrices)
        for name, of_model in counts.items()
    }


def distillation(seed: int) -> Figures:
    """Mean F1 of the lesson's three parsers on other faces, and their agreement with `unet`.

    The student is the one of readers without `my_parser`. Which five of the ten portraits it learns
    from depends on the seed.
    """
    photos, labels = zip(
        *(varied_face(FIRST_SEED + seed, index) for index in range(FACES + TEST_FACES)), strict=True
    )
    faces, parts = small_photos(np.stack(photos), 256), np.stack(labels)
    portraits = aligned_portraits()[np.random.default_rng(seed).permutation(10)]
    unlabelled = np.concatenate([portraits[:5], faces[:FACES]])
    soft = soft_targets(unlabelled)
    often = np.append(np.repeat(np.arange(5), 20), np.arange(5, len(soft)))
    taught = TrainingData(
        small_photos(unlabelled, SIDE), PARTS_OF_CLASSES[soft.argmax(axis=1)], often, soft=soft
    )
    small = small_photos(faces, SIDE)
    exact = TrainingData(small, parts, np.arange(FACES))
    student = train(untrained(seed, parts), exact, EPOCHS, MIRRORED, seed=seed)
    parsers = {"before": student}
    for name, data in (("control", exact), ("distilled", taught)):
        epochs = STEPS / (len(data) // 8)
        parsers[name] = train(copy.deepcopy(student), data, epochs, AUGMENTED, 0.01, seed)
    unet = FaceSegmenter("unet", aligned=True)
    by_unet = np.stack([PARTS_OF_CLASSES[unet(photo).labels] for photo in portraits[5:]])
    unseen = {
        "faces": replace(exact, rows=np.arange(FACES, FACES + TEST_FACES)),
        "portraits": TrainingData(small_photos(portraits[5:], SIDE), by_unet, np.arange(5)),
    }
    return {
        f"{name}, {where}": float(evaluate(model, data).metrics.mean_f1)
        for name, model in parsers.items()
        for where, data in unseen.items()
    }


@cache
def aligned_portraits() -> NDArray[np.uint8]:
    """The course's ten portraits, aligned, RGB [10, 256, 256, 3]."""
    analyzer = FaceSegmenter("unet-open").analyzer
    assert analyzer is not None  # it is None for aligned photos only
    aligned = []
    for path in portraits().values():
        photo = read_photo(path)
        (face,) = analyzer.candidates(ScaledImage(photo, photo.size))
        aligned.append(np.asarray(warp_crop(photo, face.roi, ANNOTATION_SIZE)))
    return small_photos(np.stack(aligned), 256)


def soft_targets(photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Probabilities of `unet-open` over two views, uint8 [N, 6, 160, 160], as in the lesson."""
    teacher = Teacher([load(weights_path("unet-open", ".pth"))], VIEWS[:2])
    soft = np.zeros((len(photos), 6, 160, 160), dtype=np.uint8)
    soft[:, 0] = 255
    rows, columns = teacher.crop.box(160).slices
    for index, photo in enumerate(photos):
        probabilities = teacher(torch.tensor(photo[None])).probabilities[0]
        soft[index, :, rows, columns] = (255 * probabilities).round()
    return soft


CLAIMS = [
    Claim(
        "The plain network loses most on the way from its own domain to the varied one, and the "
        "augmented one less.",
        controlled_gap,
        lambda found: max(losses(found), key=losses(found).__getitem__) == "plain",
    ),
    Claim(
        "On the varied faces, the network that was trained on them is the best of the three",
        controlled_gap,
        lambda found: (
            found["varied -> varied"] > max(found["plain -> varied"], found["augmented -> varied"])
        ),
    ),
    Claim(
        "on the way to the plain domain, which is the way out of its own, it loses less than the "
        "plain network does on the opposite way.",
        controlled_gap,
        lambda found: losses(found)["varied"] < losses(found)["plain"],
    ),
    Claim(
        "Each on its own kind of data, the plain network looks better than the varied one",
        controlled_gap,
        lambda found: found["plain -> plain"] > found["varied -> varied"],
    ),
    Claim(
        "On photos, the one trained on annotated photos is ahead; on synthetic faces, the one "
        "trained on synthetic faces alone is.",
        both_domains,
        lambda found: all(
            found[f"{network}, photos"] > found[f"{network}-synthetic, photos"]
            and found[f"{network}, faces"] < found[f"{network}-synthetic, faces"]
            for network in ("separable", "unet")
        ),
    ),
    Claim(
        "Photos with glasses score lower than all photos together with each of the six models",
        glasses,
        lambda found: max(found.values()) < 0,
    ),
    Claim(
        "In 4 of 5 repetitions with other random numbers, the distilled parser agreed better with "
        "unet on the portraits than before.",
        distillation,
        lambda found: found["distilled, portraits"] > found["before, portraits"],
    ),
    Claim(
        "On the test faces, it differs from the control by less than 0.03",
        distillation,
        lambda found: abs(found["distilled, faces"] - found["control, faces"]) < 0.03,
    ),
]
