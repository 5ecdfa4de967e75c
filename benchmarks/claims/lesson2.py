"""Statements of lesson 2 about overlapping masks and about resizing label maps."""

import time

import numpy as np
from lesson_claims import Claim, figures_of
from numpy.typing import NDArray
from PIL import Image

from claims.careless import careless_masks
from facesegkit.labels import FIVE_FEATURES, PART_IDS, PARTS, paint_parts

SHAPE = 512, 512
SMALL = 128, 128
WANTED = {
    "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip", "l_lip", "hair"
}  # fmt: skip
EYES = 1  # class id

Ids = NDArray[np.uint8]


def merge(seed: int) -> dict[str, float]:
    """The figures of the lesson, on 150 faces of a seed and on the first with all wanted parts."""
    overlap = np.zeros((len(PARTS), len(PARTS)))
    chosen = None
    for masks in careless_masks(seed):
        ids = [PART_IDS[part] for part in masks]
        flat = np.stack([mask.ravel() for mask in masks.values()]).astype(np.float32)
        overlap[np.ix_(ids, ids)] += flat @ flat.T
        if chosen is None and set(masks) >= WANTED:
            chosen = paint_parts(masks, SHAPE)
    assert chosen is not None
    pairs = np.tril(overlap, k=-1)
    hair_over_skin = pairs[PART_IDS["hair"], PART_IDS["skin"]]
    pairs[PART_IDS["hair"], PART_IDS["skin"]] = 0
    nearest = _resized(chosen, Image.Resampling.NEAREST)
    bilinear = _resized(chosen, Image.Resampling.BILINEAR)
    return {
        "hair_over_skin": hair_over_skin,
        "next_pair": pairs.max(),
        "eyes_nearest": np.sum(FIVE_FEATURES.merge(nearest) == EYES),
        "eyes_bilinear": np.sum(FIVE_FEATURES.merge(bilinear) == EYES),
        **_seconds(chosen),
    }


def _resized(ids: Ids, method: Image.Resampling) -> Ids:
    return np.asarray(Image.fromarray(ids).resize(SMALL, method))


def _part_by_part(ids: Ids) -> Ids:
    planes = [(ids == part_id).astype(np.float32) for part_id in range(len(PARTS))]
    bilinear = Image.Resampling.BILINEAR
    resized = [np.asarray(Image.fromarray(plane).resize(SMALL, bilinear)) for plane in planes]
    return np.argmax(resized, axis=0).astype(np.uint8)


def _seconds(ids: Ids) -> dict[str, float]:
    """Median time of both ways to resize, taken in turns."""
    times: dict[str, list[float]] = {"ms_nearest": [], "ms_part_by_part": []}
    for _ in range(21):
        for name, taken in times.items():
            start = time.perf_counter()
            if name == "ms_nearest":
                _resized(ids, Image.Resampling.NEAREST)
            else:
                _part_by_part(ids)
            taken.append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(taken)) for name, taken in times.items()}


CLAIMS = [
    Claim(
        "The pair that overlaps most is hair over skin",
        figures_of(merge, "hair_over_skin", "next_pair"),
        lambda figures: figures["hair_over_skin"] > figures["next_pair"],
    ),
    Claim(
        "Bilinear interpolation of the ids makes at least twice as many pixels of eyes as "
        "nearest-neighbour interpolation.",
        figures_of(merge, "eyes_nearest", "eyes_bilinear"),
        lambda figures: figures["eyes_bilinear"] >= 2 * figures["eyes_nearest"],
    ),
    Claim(
        "takes more than ten times as long as nearest-neighbour interpolation",
        figures_of(merge, "ms_nearest", "ms_part_by_part"),
        lambda figures: figures["ms_part_by_part"] > 10 * figures["ms_nearest"],
    ),
]
