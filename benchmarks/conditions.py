"""Segmentation of test photos that are changed as users' photos differ from those of the data set.

    python benchmarks/conditions.py --data data/CelebAMask-HQ --keep
    python benchmarks/conditions.py --data data/CelebAMask-HQ --keep --before    # to compare with

Every second photo of the test split is changed and segmented as users' photos are: faces are
detected first. All models are measured on the five features, pooled over all pixels of the changed
photos, which count as background where no face is detected. With --keep, benchmarks/results/
conditions.json gets the figures of the everyday conditions; model cards have those of other sizes,
angles and light (`robustness`).
"""

import argparse
import io
import subprocess
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Any

import facesegkit  # noqa: F401  before torch, because it sets OMP_WAIT_POLICY

# isort: split
import numpy as np
import torch
import torch.nn.functional as F
from any_photo import darken, paste_person
from common import TOP, load_results, save_results
from numpy.typing import NDArray
from photo_groups import HAIR_OVER_BROW, NARROW_EYES, mask_groups
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from facesegkit.data.cache import DatasetCache, build_cache
from facesegkit.detection.canvases import draw_sunglasses
from facesegkit.detection.sources import points_of_parts
from facesegkit.evaluation.per_photo import bootstrap, confidence_interval
from facesegkit.geometry import FACE_CROP, FaceROI
from facesegkit.inference.model_zoo import FOLDER, MODEL_NAMES
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import FIVE_FEATURES, PART_IDS, LabelScheme
from facesegkit.metrics import SegmentationMetrics, confusion_matrix
from facesegkit.synthetic.background import background
from facesegkit.transforms import to_float_images

PHOTO_SIZE = FACE_CROP.full_size(256)  # of the photos that are changed, in pixels: 320
CLASSES = len(FIVE_FEATURES.class_names)

# A changed photo, RGB uint8 [H, W, 3], and its five features, class ids uint8 [H, W]; None if the
# row of the cache cannot be changed in this way.
Changed = tuple[NDArray[np.uint8], NDArray[np.uint8]]
Change = Callable[[DatasetCache, int], Changed | None]


def to_five_features(scheme: LabelScheme) -> NDArray[np.uint8]:
    """Look-up table, uint8 [C], from the classes of a scheme to the five features."""
    table = np.zeros(len(scheme.class_names), dtype=np.uint8)
    for class_id, parts in enumerate(scheme.classes.values(), start=1):
        classes = {int(FIVE_FEATURES.class_of_part[PART_IDS[part]]) for part in parts}
        if len(classes) > 1:
            raise SystemExit(f"The scheme {scheme.name!r} does not tell the five features apart.")
        table[class_id] = classes.pop()
    return table


def count_changed(
    segmenter: FaceSegmenter, cache: DatasetCache, rows: NDArray[np.int64], change: Change
) -> NDArray[np.int64]:
    """Confusion matrices of the five features, [n, 6, 6], of the rows that can be changed."""
    to_five, matrices = to_five_features(segmenter.model.scheme), []
    for row in rows:
        if (changed := change(cache, int(row))) is not None:
            photo, classes = changed
            predicted = to_five.take(segmenter(photo).labels)
            matrices.append(confusion_matrix(classes, predicted, CLASSES))
    return np.stack(matrices)


def shipped_segmenter(name: str, aligned: bool = False) -> FaceSegmenter:
    """By its file, so that a model can be measured before it is listed as one that ships."""
    return FaceSegmenter(FOLDER / f"{name}.onnx", aligned=aligned)


# Changes of geometry and light, for the model cards.


def affine(degrees: float = 0, scale: float = 1, shift: float = 0) -> Tensor:
    """A matrix [2, 3] that rotates (clockwise), scales, and shifts right and down by a fraction."""
    angle = np.deg2rad(degrees)
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    x, y = -2 * shift * (cosine + sine), -2 * shift * (cosine - sine)
    return torch.tensor([[cosine, sine, x], [-sine, cosine, y]], dtype=torch.float32)


def transform(cache: DatasetCache, row: int, matrix: Tensor) -> Changed:
    """Transformed by `affine` at the label map's resolution; what is outside is grey."""
    photo, labels = (np.array(array[row]) for array in (cache.photos, cache.labels))
    images = to_float_images(torch.from_numpy(photo)[None]) - 0.5
    parts = torch.from_numpy(labels)[None, None].float()
    images = F.interpolate(images, parts.shape[2:], mode="bilinear", align_corners=False)
    grid = F.affine_grid(matrix[None], list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, align_corners=False) + 0.5
    parts = F.grid_sample(parts, grid, mode="nearest", align_corners=False)
    rgb = (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous()
    return rgb[0].numpy(), FIVE_FEATURES.merge(parts[0, 0].byte().numpy())


def relight(
    cache: DatasetCache, row: int, effect: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> Changed:
    """An effect on the linear light, float32 [512, 512, 3] in 0..1."""
    photo, classes = transform(cache, row, affine())
    light = effect((photo / np.float32(255)) ** 2.2)
    return ((np.clip(light, 0, 1) ** (1 / 2.2)) * 255).astype(np.uint8), classes


def quarter(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """A quarter of the light, with the noise of a small sensor."""
    noise = np.random.default_rng(0).standard_normal(light.shape, dtype=np.float32)
    return light / 4 + 0.006 * noise


def from_left(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light from the left that falls to a sixth towards the right."""
    return light * np.linspace(1.2, 0.2, light.shape[1], dtype=np.float32)[:, None]


ALIGNED = "unchanged, taken as aligned"
MATRICES = {
    ALIGNED: affine(),
    "unchanged, face detected first": affine(),
    "half the size": affine(scale=0.5),
    **{f"{scale} times the size": affine(scale=scale) for scale in (0.75, 1.25, 1.5)},
    "shifted by 15 %": affine(shift=0.15),
    **{f"rotated by {angle} degrees": affine(degrees=angle) for angle in (15, 30, 45, -45)},
}
GEOMETRY_AND_LIGHT: dict[str, Change] = {
    **{name: partial(transform, matrix=matrix) for name, matrix in MATRICES.items()},
    "a quarter of the light": partial(relight, effect=quarter),
    "light from one side": partial(relight, effect=from_left),
}


def robustness(name: str, cache: DatasetCache, rows: NDArray[np.int64]) -> dict[str, float]:
    """Mean F1 of a model on photos with changed geometry or light, detected first."""
    found = {}
    for change, make in GEOMETRY_AND_LIGHT.items():
        segmenter = shipped_segmenter(name, aligned=change == ALIGNED)
        matrix = count_changed(segmenter, cache, rows, make).sum(axis=0)
        found[change] = round(SegmentationMetrics(matrix).mean_f1, 4)
        print(f"{change}: {found[change]}", flush=True)
    return found


# Everyday conditions, for the table in docs/results.md.


def unchanged(cache: DatasetCache, row: int) -> Changed:
    """The photo, and its classes at the photo's resolution."""
    labels = Image.fromarray(FIVE_FEATURES.merge(np.asarray(cache.labels[row])))
    side = cache.photos.shape[1]
    return cache.photos[row], np.array(labels.resize((side, side), Image.Resampling.NEAREST))


def retouched(
    cache: DatasetCache,
    row: int,
    change: Callable[[Image.Image, np.random.Generator], Image.Image],
) -> Changed:
    """The photo changed as an image, by random numbers that depend on the row."""
    photo, classes = unchanged(cache, row)
    image = change(Image.fromarray(photo), np.random.default_rng([29, row]))
    return np.asarray(image), classes


def small_face(cache: DatasetCache, row: int, width: int) -> Changed | None:
    """The person on a synthetic background of 640 x 480 pixels, the face `width` pixels wide.

    The width is that of the skin's mask (without neck and ears), as of the boxes that the face
    detectors are trained on. None if that is not a face: a mask narrower than a sixth of the photo.
    """
    labels = cache.labels[row]
    _, columns = np.nonzero(labels == PART_IDS["skin"])
    left, right = np.percentile(columns, (0.7, 99.3)) if len(columns) else (0, 0)
    if right - left < labels.shape[1] / 6:
        return None
    back = background(np.random.default_rng([29, row])) * 255
    photo = Image.fromarray(back.astype(np.uint8)).resize((640, 480), Image.Resampling.BILINEAR)
    classes = Image.new("L", photo.size)
    side = labels.shape[1] * width / (right - left)
    paste_person(photo, classes, FaceROI(320, 240, side, 0.0), cache, row)
    return np.asarray(photo), np.array(classes)


def with_sunglasses(cache: DatasetCache, row: int, worn: bool = True) -> Changed | None:
    """Opaque sunglasses over the eyes. What they cover is background, as in the data set.

    None if an eye, the nose or the lips are not visible, also if they are not `worn`.
    """
    photo, classes = unchanged(cache, row)
    points = points_of_parts(np.asarray(cache.labels[row]))
    if points is None or not worn:
        return None if points is None else (photo, classes)
    points = points * len(photo) / cache.labels.shape[1]
    image, blank = Image.fromarray(photo), Image.new("RGB", photo.shape[1::-1], "white")
    for canvas in (image, blank):
        draw_sunglasses(np.random.default_rng([29, row]), ImageDraw.Draw(canvas), points)
    covered = (np.asarray(blank) < 255).any(axis=2)
    return np.asarray(image), np.where(covered, 0, classes).astype(np.uint8)


def of_group(cache: DatasetCache, row: int, group: str) -> Changed | None:
    """The photo unchanged. None if it does not belong to a group of `mask_groups`."""
    return unchanged(cache, row) if mask_groups(cache.labels[row])[group] else None


def as_jpeg(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Compressed with quality 20."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=20)
    return Image.open(file).convert("RGB")


def blurred(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """By a Gaussian of a hundredth of the photo's side."""
    return image.filter(ImageFilter.GaussianBlur(image.width / 100))


def dark(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A twentieth of the light, and sensor noise."""
    return darken(image, 1 / 20, rng)


EVERYDAY: dict[str, Change] = {
    "unchanged": unchanged,
    **{f"face {w} pixels wide": partial(small_face, width=w) for w in (96, 64, 40)},
    "blurred": partial(retouched, change=blurred),
    "JPEG of quality 20": partial(retouched, change=as_jpeg),
    "a twentieth of the light": partial(retouched, change=dark),
    "unchanged, mean without the eyes": partial(with_sunglasses, worn=False),
    "sunglasses, mean without the eyes": with_sunglasses,
    "narrow or closing eyes, F1 of the eyes": partial(of_group, group=NARROW_EYES),
    "hair over a brow, F1 of the eyebrows": partial(of_group, group=HAIR_OVER_BROW),
}
CLASSES_OF = {
    "mean without the eyes": [2, 3, 4, 5],
    "F1 of the eyes": [1],
    "F1 of the eyebrows": [2],
}


def mean_f1(matrix: NDArray[np.int64], condition: str) -> float:
    """Over the five features, or over those that the condition names after its comma."""
    classes = CLASSES_OF.get(condition.partition(", ")[2], [1, 2, 3, 4, 5])
    return float(np.nanmean(SegmentationMetrics(matrix).f1[classes]))


def everyday(name: str, cache: DatasetCache, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Mean F1 of a model in each condition, with its 95 % bootstrap interval."""
    segmenter, found = shipped_segmenter(name), {}
    for condition, make in EVERYDAY.items():
        matrices = count_changed(segmenter, cache, rows, make)
        interval = confidence_interval([mean_f1(m, condition) for m in bootstrap(matrices)])
        found[condition] = {
            "photos": len(matrices),
            "mean_f1": round(mean_f1(matrices.sum(axis=0), condition), 4),
            "interval": [round(limit, 4) for limit in interval],
        }
        print(f"{name}, {condition}: {found[condition]}", flush=True)
    return found


def commit() -> str:
    """The commit that is checked out."""
    command = ["git", "rev-parse", "--short=10", "HEAD"]
    return subprocess.run(
        command, cwd=TOP, capture_output=True, text=True, check=True
    ).stdout.strip()


def merged(
    results: Mapping[str, Any], key: str, measured: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The results with the figures of some models replaced, below "before" or "now"."""
    kept = {part: dict(results.get(part, {})) for part in ("before", "now")}
    kept[key] |= measured
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CelebAMask-HQ, a folder or a zip")
    parser.add_argument("--models", nargs="+", default=MODEL_NAMES, help="by default all")
    parser.add_argument("--before", action="store_true", help="keep as the figures to compare with")
    parser.add_argument("--keep", action="store_true", help="write the result file")
    options = parser.parse_args()
    cache = build_cache(options.data, photo_size=PHOTO_SIZE)
    about, measured = {"commit": commit(), "date": date.today().isoformat()}, {}
    for name in options.models:
        measured[name] = about | {"conditions": everyday(name, cache, cache.rows("test")[::2])}
    if options.keep:
        key = "before" if options.before else "now"
        save_results("conditions", merged(load_results("conditions"), key, measured))


if __name__ == "__main__":
    main()
