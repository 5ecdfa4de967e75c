"""Detection and segmentation of faces that are not aligned, on composed scenes.

    python benchmarks/any_photo.py --data data/CelebAMask-HQ --split val
    python benchmarks/any_photo.py --data data/CelebAMask-HQ --split test --keep

Scenes are composed of people from the data set, masked by their annotation (skin, hair, clothes
...), rotated, scaled and pasted onto synthetic backgrounds, so the ground truth is exact: one
person whose head has 8 % to 100 % of the image's height, or two to six; upright or rotated by up
to 180 degrees; some cut off by the border, dark or blurred; and scenes without a face. A head
takes about 0.7 of an aligned photo.

Measured: detected faces (centre within 0.3 of the ROI's side), false detections, and mean F1 over
the pixels of the true ROIs, by size, angle and condition. --keep writes the model's part of
benchmarks/results/any_photo.json.
"""

import argparse
import math
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import load_results, report
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from facesegkit.data.cache import DatasetCache, build_cache
from facesegkit.geometry import FaceROI, wrap_angle
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import FIVE_FEATURES, PART_IDS
from facesegkit.metrics import SegmentationMetrics, confusion_matrix
from facesegkit.synthetic.background import background

WIDTH, HEIGHT = 1024, 768
HEAD = 0.7  # of a ROI's side
CLASSES = len(FIVE_FEATURES.class_names)
KINDS = ("upright", "turned", "group", "cut", "dark", "blurred", "no face")


@dataclass(frozen=True)
class Scene:
    """An image, the class of each of its pixels, and the ROIs of its faces."""

    kind: str
    photo: Image.Image
    classes: NDArray[np.uint8]
    rois: list[FaceROI]
    cut: list[bool]  # which ROIs extend over the border


def make_scene(number: int, cache: DatasetCache, rows: NDArray[np.int64]) -> Scene:
    """A scene that depends on its number alone."""
    rng = np.random.default_rng([11, number])
    kind = KINDS[number % len(KINDS)]
    back = Image.fromarray((background(rng) * 255).astype(np.uint8))
    photo = back.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    classes = Image.new("L", (WIDTH, HEIGHT))
    rois: list[FaceROI] = []
    count = {"group": int(rng.integers(2, 7)), "no face": 0}.get(kind, 1)
    for _ in range(count):
        if (roi := _free_roi(rng, kind, rois)) is not None:
            paste_person(photo, classes, roi, cache, int(rng.choice(rows)))
            rois.append(roi)
    if kind == "dark":
        photo = darken(photo, rng.uniform(0.08, 0.3), rng)
    if kind == "blurred":
        photo = photo.filter(ImageFilter.GaussianBlur(0.012 * rois[0].size))
    cut = [bool((roi.corners < 0).any() or (roi.corners > (WIDTH, HEIGHT)).any()) for roi in rois]
    return Scene(kind, photo, np.asarray(classes), rois, cut)


def darken(photo: Image.Image, light_left: float, rng: np.random.Generator) -> Image.Image:
    """The photo with a fraction of the light, and sensor noise."""
    light = (np.asarray(photo) / 255.0) ** 2.2 * light_left
    light = light + rng.normal(0, 0.004, light.shape)
    return Image.fromarray((np.clip(light, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8))


def _free_roi(rng: np.random.Generator, kind: str, rois: list[FaceROI]) -> FaceROI | None:
    """A ROI that overlaps no other head."""
    for _ in range(50):
        largest = 0.35 if kind == "group" else 1.0
        head = HEIGHT * math.exp(rng.uniform(math.log(0.08), math.log(largest)))
        turned = kind in ("turned", "group") and rng.random() < (1.0 if kind == "turned" else 0.4)
        angle = rng.uniform(-math.pi, math.pi) if turned else rng.normal(0, math.radians(6))
        size = head / HEAD
        margin = 0.05 if kind == "cut" else 0.35  # of the ROI, from its centre to the border
        x = _between(rng, margin * size, WIDTH - margin * size)
        y = _between(rng, margin * size, HEIGHT - margin * size)
        if kind == "cut":  # up to half of the face may be cut off
            side = rng.integers(4)
            x = (margin * size, WIDTH - margin * size, x, x)[side]
            y = (y, y, margin * size, HEIGHT - margin * size)[side]
        if all(math.hypot(x - f.x, y - f.y) > 0.45 * (size + f.size) for f in rois):
            return FaceROI(float(x), float(y), size, float(angle))
    return None


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return rng.uniform(low, high) if low < high else (low + high) / 2


def paste_person(
    photo: Image.Image, classes: Image.Image, roi: FaceROI, cache: DatasetCache, row: int
) -> None:
    """Paste the person of one pair into a scene and its classes."""
    labels = np.array(cache.labels[row])
    person = Image.fromarray(cache.photos[row])
    shape = Image.fromarray(((labels != PART_IDS["background"]) * 255).astype(np.uint8))
    merged = Image.fromarray(FIVE_FEATURES.merge(labels).astype(np.uint8))
    if roi.size < person.width / 2:
        person = person.resize((round(roi.size * 2),) * 2, Image.Resampling.BOX)
    to_person, to_labels = (roi.to_aligned(side) for side in (person.width, merged.width))
    size = photo.size
    seen = person.transform(size, Image.Transform.AFFINE, to_person, Image.Resampling.BICUBIC)
    cover = shape.transform(size, Image.Transform.AFFINE, to_labels, Image.Resampling.BILINEAR)
    truth = merged.transform(size, Image.Transform.AFFINE, to_labels, Image.Resampling.NEAREST)
    photo.paste(seen, (0, 0), cover)
    classes.paste(truth, (0, 0), cover.point(lambda value: 255 * (value > 127)))


class Tally:
    """Results by group of faces."""

    def __init__(self) -> None:
        self.matrices: dict[str, NDArray[np.int64]] = defaultdict(
            lambda: np.zeros((CLASSES, CLASSES), dtype=np.int64)
        )
        self.detected: dict[str, list[bool]] = defaultdict(list)
        self.angles: list[float] = []
        self.sizes: list[float] = []
        self.false_faces: Counter[str] = Counter()
        self.scenes: Counter[str] = Counter()
        self.milliseconds: list[float] = []

    def segment(self, scene: Scene, segmenter: FaceSegmenter) -> None:
        """Segment a scene, and record the metrics and the time."""
        started = time.perf_counter()
        result = segmenter(scene.photo)
        self.milliseconds.append(1000 * (time.perf_counter() - started))
        detected = {face.roi for face in result.faces}
        self.scenes[scene.kind] += 1
        for roi, cut in zip(scene.rois, scene.cut, strict=True):
            distances = {f.roi: math.hypot(f.roi.x - roi.x, f.roi.y - roi.y) for f in result.faces}
            nearest = min(distances, key=distances.__getitem__, default=None)
            hit = nearest is not None and distances[nearest] < 0.3 * roi.size
            if hit and nearest is not None:
                detected.discard(nearest)
                self.angles.append(abs(math.degrees(wrap_angle(nearest.angle - roi.angle))))
                self.sizes.append(abs(math.log2(nearest.size / roi.size)))
            region = Image.new("1", scene.photo.size)
            ImageDraw.Draw(region).polygon([tuple(c) for c in roi.corners.tolist()], fill=1)
            inside = np.asarray(region)
            matrix = confusion_matrix(scene.classes[inside], result.labels[inside], CLASSES)
            for group in _groups(scene.kind, roi, cut):
                self.matrices[group] += matrix
                self.detected[group].append(hit)
        self.false_faces[scene.kind] += len(detected)

    def summary(self) -> dict[str, Any]:
        groups = {
            name: {
                "faces": len(detected),
                "detected": round(float(np.mean(detected)), 4),
                "mean_f1": round(SegmentationMetrics(self.matrices[name]).mean_f1, 4),
            }
            for name, detected in sorted(self.detected.items())
        }
        scenes = dict(sorted(self.scenes.items()))
        false_faces = {kind: round(self.false_faces[kind] / n, 4) for kind, n in scenes.items()}
        return {
            "groups": groups,
            "false faces per scene": false_faces,
            "scenes": scenes,
            "error of the angle, degrees, median and 95 %": _quantiles(self.angles),
            "error of the size, octaves, median and 95 %": _quantiles(self.sizes),
            "milliseconds per scene, one thread, median": round(median(self.milliseconds), 1),
        }


def _quantiles(values: list[float]) -> list[float]:
    return [round(float(np.quantile(values or [math.nan], q)), 3) for q in (0.5, 0.95)]


def _groups(kind: str, roi: FaceROI, cut: bool) -> list[str]:
    """The groups that a face belongs to."""
    names = ["all", f"scene: {kind}"]
    head = roi.size * HEAD
    if not cut and kind in ("upright", "turned", "group"):
        low = next(h for h in (512, 256, 128, 96, 64, 0) if head >= h)
        degrees = abs(math.degrees(roi.angle))
        if degrees < 25:
            names.append(f"upright, head of {low} pixels or more" if low else "upright, smaller")
        if head >= 128:
            turn = next(d for d in (135, 90, 45, 25, 0) if degrees >= d)
            names.append(f"head of 128 pixels or more, turned by {turn} degrees or more")
    return names


def parser_of(description: str) -> argparse.ArgumentParser:
    """The options of a benchmark on scenes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", required=True, help="CelebAMask-HQ, a folder or a zip")
    parser.add_argument("--cache", type=Path, help="folder of the data set cache")
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--model", default="separable")
    parser.add_argument("--keep", action="store_true", help="write the result file")
    return parser


def main() -> None:
    parser = parser_of(__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=420)
    options = parser.parse_args()
    cache = build_cache(options.data, options.cache)
    segmenter = FaceSegmenter(options.model)
    tally = Tally()
    for number in range(options.scenes):
        tally.segment(make_scene(number, cache, cache.rows(options.split)), segmenter)
    results = {options.model: {"split": options.split, **tally.summary()}}
    if options.keep:
        results = load_results("any_photo") | results
    report("any_photo", results, options.keep)


if __name__ == "__main__":
    main()
