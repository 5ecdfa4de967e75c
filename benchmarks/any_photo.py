"""How well faces are found and segmented where they are not aligned.

    python benchmarks/any_photo.py --data data/CelebAMask-HQ --split val
    python benchmarks/any_photo.py --data data/CelebAMask-HQ --split test --keep

Scenes are put together from people cut out of the data set along their annotation (skin, hair,
clothes ...), turned, scaled and laid on drawn backgrounds, so the truth is exact: one person from
8 % to 100 % of the picture's height, or two to six; upright or turned by up to 180 degrees; some
over the border, dark or blurred; and scenes with nobody. Height is that of the head, which takes
about 0.7 of an aligned photo.

Scored: faces found (middle within 0.3 of the frame's side) and missed, false faces, and mean F1
over the pixels of the true frames, by size, angle and circumstance. --keep writes the model's part
of benchmarks/results/any_photo.json.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from facesegkit.data.cache import DatasetCache, build_cache
from facesegkit.geometry import FaceROI
from facesegkit.inference.onnx_model import open_detector
from facesegkit.inference.results import SegmentationResult
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.visualize import overlay
from facesegkit.labels import FIVE_FEATURES, PART_IDS
from facesegkit.metrics import SegmentationMetrics, confusion_matrix
from facesegkit.synthetic.background import background

RESULTS = Path(__file__).parent / "results" / "any_photo.json"
WIDTH, HEIGHT = 1024, 768
HEAD = 0.7  # of a frame's side
CLASSES = len(FIVE_FEATURES.class_names)
KINDS = ("upright", "turned", "group", "cut", "dark", "blurred", "nobody")


@dataclass(frozen=True)
class Scene:
    """A picture, the class of each of its pixels, and the frames of its faces."""

    kind: str
    photo: Image.Image
    classes: NDArray[np.uint8]
    frames: list[FaceROI]
    cut: list[bool]  # which frames reach over the border


def make_scene(number: int, pack: DatasetCache, rows: NDArray[np.int64]) -> Scene:
    """Scene number `number`; it depends on that alone."""
    rng = np.random.default_rng([11, number])
    kind = KINDS[number % len(KINDS)]
    back = Image.fromarray((background(rng) * 255).astype(np.uint8))
    photo = back.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    classes = Image.new("L", (WIDTH, HEIGHT))
    frames: list[FaceROI] = []
    count = {"group": int(rng.integers(2, 7)), "nobody": 0}.get(kind, 1)
    for _ in range(count):
        frame = _free_place(rng, kind, frames)
        if frame is None:
            continue
        lay_person(photo, classes, frame, pack, int(rng.choice(rows)))
        frames.append(frame)
    if kind == "dark":
        photo = darkened(photo, rng.uniform(0.08, 0.3), rng)
    if kind == "blurred":
        photo = photo.filter(ImageFilter.GaussianBlur(0.012 * frames[0].size))
    cut = [
        bool((frame.corners < 0).any() or (frame.corners > (WIDTH, HEIGHT)).any())
        for frame in frames
    ]
    return Scene(kind, photo, np.asarray(classes), frames, cut)


def darkened(photo: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """A photo taken with this share of the light, and the camera's noise."""
    light = (np.asarray(photo) / 255.0) ** 2.2 * share
    light = light + rng.normal(0, 0.004, light.shape)
    return Image.fromarray((np.clip(light, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8))


def _free_place(rng: np.random.Generator, kind: str, frames: list[FaceROI]) -> FaceROI | None:
    """A frame that overlaps no other's head."""
    for _ in range(50):
        largest = 0.35 if kind == "group" else 1.0
        head = HEIGHT * math.exp(rng.uniform(math.log(0.08), math.log(largest)))
        turned = kind in ("turned", "group") and rng.random() < (1.0 if kind == "turned" else 0.4)
        angle = rng.uniform(-math.pi, math.pi) if turned else rng.normal(0, math.radians(6))
        size = head / HEAD
        margin = 0.05 if kind == "cut" else 0.35  # of the frame, from its middle to the border
        x = _between(rng, margin * size, WIDTH - margin * size)
        y = _between(rng, margin * size, HEIGHT - margin * size)
        if kind == "cut":  # half of the face may be missing, its middle not
            side = rng.integers(4)
            x = (margin * size, WIDTH - margin * size, x, x)[side]
            y = (y, y, margin * size, HEIGHT - margin * size)[side]
        if all(math.hypot(x - f.x, y - f.y) > 0.45 * (size + f.size) for f in frames):
            return FaceROI(float(x), float(y), size, float(angle))
    return None


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return rng.uniform(low, high) if low < high else (low + high) / 2


def lay_person(
    photo: Image.Image, classes: Image.Image, frame: FaceROI, pack: DatasetCache, row: int
) -> None:
    """Lay the person of one pair into a scene and its classes."""
    labels = np.array(pack.labels[row])
    person = Image.fromarray(pack.photos[row])
    shape = Image.fromarray(((labels != PART_IDS["background"]) * 255).astype(np.uint8))
    merged = Image.fromarray(FIVE_FEATURES.merge(labels).astype(np.uint8))
    if frame.size < person.width / 2:
        person = person.resize((round(frame.size * 2),) * 2, Image.Resampling.BOX)
    to_person, to_labels = (frame.to_upright(side) for side in (person.width, merged.width))
    size = photo.size
    seen = person.transform(size, Image.Transform.AFFINE, to_person, Image.Resampling.BICUBIC)
    cover = shape.transform(size, Image.Transform.AFFINE, to_labels, Image.Resampling.BILINEAR)
    truth = merged.transform(size, Image.Transform.AFFINE, to_labels, Image.Resampling.NEAREST)
    photo.paste(seen, (0, 0), cover)
    classes.paste(truth, (0, 0), cover.point(lambda value: 255 * (value > 127)))


class Tally:
    """What was found, by groups of faces."""

    def __init__(self) -> None:
        self.matrices: dict[str, NDArray[np.int64]] = defaultdict(
            lambda: np.zeros((CLASSES, CLASSES), dtype=np.int64)
        )
        self.found: dict[str, list[bool]] = defaultdict(list)
        self.angles: list[float] = []
        self.sizes: list[float] = []
        self.false_faces: dict[str, int] = defaultdict(int)
        self.scenes: dict[str, int] = defaultdict(int)
        self.milliseconds: list[float] = []

    def segment(self, scene: Scene, segmenter: FaceSegmenter) -> SegmentationResult:
        """Segment a scene, and add how well and how fast that went."""
        started = time.perf_counter()
        segmentation = segmenter(scene.photo)
        self.milliseconds.append(1000 * (time.perf_counter() - started))
        self.add(scene, segmentation.labels, frames_of(segmentation))
        return segmentation

    def add(self, scene: Scene, labels: NDArray[np.uint8], found: tuple[FaceROI, ...]) -> None:
        self.scenes[scene.kind] += 1
        taken = set()
        for frame, cut in zip(scene.frames, scene.cut, strict=True):
            nearest = min(found, key=lambda f: _apart(f, frame), default=None)
            hit = nearest is not None and _apart(nearest, frame) < 0.3 * frame.size
            if hit and nearest is not None:
                taken.add(nearest)
                turn = (nearest.angle - frame.angle + math.pi) % (2 * math.pi) - math.pi
                self.angles.append(abs(math.degrees(turn)))
                self.sizes.append(abs(math.log2(nearest.size / frame.size)))
            region = Image.new("1", labels.shape[::-1])
            ImageDraw.Draw(region).polygon([tuple(c) for c in frame.corners.tolist()], fill=1)
            inside = np.asarray(region)
            matrix = confusion_matrix(scene.classes[inside], labels[inside], CLASSES)
            for group in _groups(scene.kind, frame, cut):
                self.matrices[group] += matrix
                self.found[group].append(bool(hit))
        self.false_faces[scene.kind] += len(set(found) - taken)

    def summary(self) -> dict[str, Any]:
        groups = {
            name: {
                "faces": len(found),
                "found": round(float(np.mean(found)), 4),
                "mean_f1": round(SegmentationMetrics(self.matrices[name]).mean_f1, 4),
            }
            for name, found in sorted(self.found.items())
        }
        false = {k: round(self.false_faces[k] / n, 4) for k, n in sorted(self.scenes.items())}
        return {
            "groups": groups,
            "false faces a scene": false,
            "scenes": dict(sorted(self.scenes.items())),
            "error of the angle, degrees, median and 95 %": _spread(self.angles),
            "error of the size, octaves, median and 95 %": _spread(self.sizes),
            "milliseconds a scene, one thread, median": round(median(self.milliseconds), 1),
        }


def frames_of(segmentation: SegmentationResult) -> tuple[FaceROI, ...]:
    return tuple(face.roi for face in segmentation.faces)


def _apart(one: FaceROI, other: FaceROI) -> float:
    return math.hypot(one.x - other.x, one.y - other.y)


def _spread(values: list[float]) -> list[float]:
    return [round(float(np.quantile(values or [math.nan], q)), 3) for q in (0.5, 0.95)]


def _groups(kind: str, frame: FaceROI, cut: bool) -> list[str]:
    """The groups that a face counts in."""
    names = ["all", f"scene: {kind}"]
    head = frame.size * HEAD
    if not cut and kind in ("upright", "turned", "group"):
        low = next(h for h in (512, 256, 128, 96, 64, 0) if head >= h)
        degrees = abs(math.degrees(frame.angle))
        upright = degrees < 25
        if upright:
            names.append(f"upright, head of {low} pixels or more" if low else "upright, smaller")
        if head >= 128:
            turn = next(d for d in (135, 90, 45, 25, 0) if degrees >= d)
            names.append(f"head of 128 pixels or more, turned by {turn} degrees or more")
    return names


def parser_of(description: str) -> argparse.ArgumentParser:
    """What a measurement on scenes of the data set can be told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", required=True, help="CelebAMask-HQ, a folder or a zip")
    parser.add_argument("--cache", type=Path, help="where the packed data lies")
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--model", default="separable")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of some scenes")
    parser.add_argument("--keep", action="store_true", help="write the result file")
    return parser


def main() -> None:
    parser = parser_of(__doc__.splitlines()[0])
    parser.add_argument("--finder", type=Path, help="a finder other than the one that ships")
    parser.add_argument("--scenes", type=int, default=420)
    options = parser.parse_args()
    pack = build_cache(options.data, options.cache)
    find = open_detector(options.finder) if options.finder else None
    segmenter = FaceSegmenter(options.model, detector=find)
    tally = Tally()
    for number in range(options.scenes):
        scene = make_scene(number, pack, pack.rows(options.split))
        segmentation = tally.segment(scene, segmenter)
        if options.pictures and number < 28:
            picture = _picture(scene, segmentation.labels, frames_of(segmentation))
            picture.save(options.pictures / f"{number:02d}.jpg")
    results = {"split": options.split, **tally.summary()}
    print(json.dumps(results, indent=2))
    if options.keep:
        kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        kept[options.model] = results
        RESULTS.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _picture(scene: Scene, labels: NDArray[np.uint8], found: tuple[FaceROI, ...]) -> Image.Image:
    """The scene with what was found; not to be published, photos of the data set are in it."""
    picture = Image.fromarray(overlay(np.asarray(scene.photo), labels, FIVE_FEATURES))
    draw = ImageDraw.Draw(picture)
    for frames, colour in ((scene.frames, "white"), (found, "orange")):
        for frame in frames:
            corners = [tuple(corner) for corner in frame.corners.tolist()]
            draw.line([*corners, corners[0]], fill=colour, width=3)
            draw.line([corners[0], corners[1]], fill=colour, width=7)
    return picture


if __name__ == "__main__":
    main()
