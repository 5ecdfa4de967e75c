"""Statements of lesson 1 about the parts of a face and about checks of their masks."""

import numpy as np
from lesson_claims import Claim, figures_of

from claims.careless import FACES, careless_masks
from facesegkit.course.annotation_checks import FEATURES, check_masks, measure_masks
from facesegkit.labels import FIVE_FEATURES, PART_IDS, PARTS, paint_parts
from facesegkit.synthetic.annotator import plan_errors

SHAPE = 512, 512


def explore(seed: int) -> dict[str, float]:
    """The figures of the lesson, on 150 faces of a seed."""
    label_maps = np.empty((FACES, *SHAPE), dtype=np.uint8)
    numbers = []
    for index, masks in enumerate(careless_masks(seed)):
        label_maps[index] = paint_parts(masks, SHAPE)
        numbers.append(measure_masks(masks))
    pixels = np.bincount(label_maps.ravel(), minlength=len(PARTS))
    eyes = pixels[PART_IDS["l_eye"]] + pixels[PART_IDS["r_eye"]]
    peaks = {part: (label_maps == PART_IDS[part]).mean(axis=0).max() for part in FEATURES}
    classes = FIVE_FEATURES.merge(label_maps)
    eye_fractions = (classes == 1).mean(axis=(1, 2))
    return {
        "skin_to_eyes": pixels[PART_IDS["skin"]] / eyes,
        "eyes_50": eye_fractions[:50].mean() / eye_fractions.mean(),
        "eyes_100": eye_fractions[:100].mean() / eye_fractions.mean(),
        "peak_nose": peaks.pop("nose"),
        "peak_others": max(peaks.values()),
        **_blind_f1(classes),
        **_found(seed, np.stack(numbers, axis=1)),
    }


def _blind_f1(classes: np.ndarray) -> dict[str, float]:
    """F1 of the same class map for every photo of the other half."""
    known, unseen = classes[::2], classes[1::2]
    blind = np.stack([(known == class_id).sum(axis=0) for class_id in range(6)]).argmax(axis=0)
    scores = {}
    for class_id, name in enumerate(FIVE_FEATURES.classes, start=1):
        both = np.sum((blind == class_id) & (unseen == class_id))
        either = np.sum(blind == class_id) * len(unseen) + np.sum(unseen == class_id)
        scores[f"f1_{name}"] = 2 * both / either
    return scores


def _found(seed: int, numbers: np.ndarray) -> dict[str, float]:
    """How many photos the checks report, and in how many of these there is an error."""
    reported = np.flatnonzero(np.any(list(check_masks(numbers).values()), axis=0))
    planted = plan_errors(seed, FACES)
    return {"reported": len(reported), "found": sum(index in planted for index in reported)}


CLAIMS = [
    Claim(
        "The skin covers more than fifty times as many pixels as both eyes together.",
        figures_of(explore, "skin_to_eyes"),
        lambda figures: figures["skin_to_eyes"] > 50,
    ),
    Claim(
        "From 50 photos on, the proportion of the eyes changes by less than a fifth.",
        figures_of(explore, "eyes_50", "eyes_100"),
        lambda figures: max(abs(figures["eyes_50"] - 1), abs(figures["eyes_100"] - 1)) < 0.2,
    ),
    Claim(
        "Among the features of the face, the nose reaches the highest value",
        figures_of(explore, "peak_nose", "peak_others"),
        lambda figures: figures["peak_nose"] > figures["peak_others"],
    ),
    Claim(
        "It scores highest on the nose and lowest on the mouth",
        figures_of(explore, *(f"f1_{name}" for name in FIVE_FEATURES.classes)),
        lambda figures: (
            figures["f1_nose"] == max(figures.values())
            and figures["f1_mouth"] == min(figures.values())
        ),
    ),
    Claim(
        "most of the photos that the checks report are false alarms",
        figures_of(explore, "reported", "found"),
        lambda figures: figures["found"] < figures["reported"] / 2,
    ),
    Claim(
        "The checks of this lesson find at least four of the six planted errors.",
        figures_of(explore, "found"),
        lambda figures: figures["found"] >= 4,
    ),
]
