"""Faces found in large photos, by their width.

    python benchmarks/small_faces.py --portraits PORTRAITS --keep

Pastes 24 portraits, each with one face, into synthetic backgrounds of 4000 x 3000 pixels, once
alone and once with five others, saves them as JPEG and detects the faces with both detectors. A
face is found if the centre of a detection lies within 0.4 of its width; all others are false.
"""

import argparse
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import report
from PIL import Image, ImageFilter

from facesegkit.image_io import read_photo
from facesegkit.inference.alignment import box_of
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.synthetic.background import background

SIZE, CELL = (4000, 3000), 1000
WIDTHS = (320, 240, 160, 112, 80, 60)  # of the faces' bounding boxes, in pixels
PORTRAITS, TOGETHER = 24, 6


@dataclass(frozen=True, eq=False)
class Portrait:
    """A photo with one face."""

    photo: Image.Image
    left: float  # of the face's bounding box, in pixels
    right: float
    centre: tuple[float, float]


def portraits(folder: Path, segmenter: FaceSegmenter) -> list[Portrait]:
    """Some of the photos in which one face is found, in a random order."""
    paths, chosen = sorted(folder.glob("*.jpg")), []
    for index in np.random.default_rng(5).permutation(len(paths)):
        photo = read_photo(paths[index])
        faces = segmenter(photo).faces
        if len(faces) == 1:
            left, top, right, bottom = box_of(faces[0].roi)
            centre = (left + right) / 2, (top + bottom) / 2
            chosen.append(Portrait(photo, left, right, centre))
        if len(chosen) == PORTRAITS:
            return chosen
    raise SystemExit(f"{folder} has fewer than {PORTRAITS} photos with one face.")


def scene(
    members: Sequence[Portrait], width: int, seed: int
) -> tuple[Image.Image, list[tuple[float, float]]]:
    """A photo of portraits whose faces have this width, and the centres of the faces."""
    rng = np.random.default_rng([3, seed])
    canvas = Image.fromarray((255 * background(rng)).astype(np.uint8)).resize(SIZE)
    cells = rng.permutation(SIZE[0] // CELL * (SIZE[1] // CELL))
    centres = []
    for cell, one in zip(cells, members, strict=False):
        scale = width / (one.right - one.left)
        size = round(one.photo.width * scale), round(one.photo.height * scale)
        margin = max(2, round(0.08 * min(size)))  # that fades into the background
        mask = Image.new("L", size)
        mask.paste(255, (margin, margin, size[0] - margin, size[1] - margin))
        free = [max(1, CELL - side) for side in size]
        left, top = int(cell % 4) * CELL + rng.integers(free[0]), int(cell // 4) * CELL
        top += rng.integers(free[1])
        small = one.photo.resize(size, Image.Resampling.LANCZOS)
        canvas.paste(small, (left, top), mask.filter(ImageFilter.GaussianBlur(margin / 2)))
        centres.append((left + scale * one.centre[0], top + scale * one.centre[1]))
    file = io.BytesIO()
    canvas.save(file, "JPEG", quality=90)
    return Image.open(file), centres


def count(
    segmenter: FaceSegmenter, photo: Image.Image, centres: list[tuple[float, float]], width: int
) -> tuple[int, int]:
    """Numbers of faces that are found and of false ones."""
    boxes = np.array([box_of(face.roi) for face in segmenter(photo).faces]).reshape(-1, 2, 2)
    distances = np.abs(boxes.mean(axis=1)[:, None] - np.array(centres)).max(axis=2)
    near = distances < 0.4 * width  # [detections, faces]
    return int(near.any(axis=0).sum()), int((~near.any(axis=1)).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--portraits", type=Path, required=True, help="folder of photos")
    parser.add_argument("--keep", action="store_true", help="write the result file")
    options = parser.parse_args()
    segmenters = {
        "detector": FaceSegmenter("separable"),
        "detector, thorough": FaceSegmenter("separable", search="thorough"),
        "detector-open": FaceSegmenter("separable-open"),
        "detector-open, thorough": FaceSegmenter("separable-open", search="thorough"),
    }
    people = portraits(options.portraits, segmenters["detector"])
    groups = [people[first : first + TOGETHER] for first in range(0, PORTRAITS, TOGETHER)]
    results: dict[str, dict[str, dict[str, int]]] = {}
    for width in WIDTHS:
        for kind, scenes in (("alone", [[one] for one in people]), ("among six", groups)):
            photos = [scene(members, width, seed) for seed, members in enumerate(scenes)]
            for name, segmenter in segmenters.items():
                counts = [count(segmenter, *one, width) for one in photos]
                found, false = np.sum(counts, axis=0).tolist()
                row = results.setdefault(name, {}).setdefault(f"{width} px", {})
                row |= {kind: found, f"false, {kind}": false}
    report("small_faces", results, options.keep)


if __name__ == "__main__":
    main()
