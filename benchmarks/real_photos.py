"""Faces found in everyday photos, by size, pose and circumstance, beside other detectors.

    python benchmarks/real_photos.py --photos PHOTOS --keep
    python benchmarks/real_photos.py --photos PHOTOS --yunet yunet.onnx --rivals rivals/bin/python

PHOTOS is a folder with faces.json and photos/ (see `Truth`); only its validation split is used.
Its truth comes from detectors, YuNet among them, whose recall is flattered. A face counts as found
if its masks hit at least 3 of 4 points (either eye, nose, mouth) within 0.15 of its width; 2 with
sunglasses or a mask. A marked region that touches no face is a false face. The other detectors
mark no parts, so a box of IoU 0.3 is enough for them. --rivals is the Python of an environment with
mediapipe 0.10.14 and opencv-python-headless.

--keep writes benchmarks/results/real_photos.json.
"""

import argparse
import json
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import load_results, report
from numpy.typing import NDArray

from facesegkit.image_io import read_photo
from facesegkit.inference.detector import iou
from facesegkit.inference.model_zoo import MODEL_NAMES
from facesegkit.inference.results import Face, SegmentationResult
from facesegkit.inference.segmenter import FaceSegmenter

Floats = NDArray[np.float64]
SIZES = {
    ">= 128 px": (128, 1e9),
    "64-128 px": (64, 128),
    "40-64 px": (40, 64),
    "24-40 px": (24, 40),
}
KINDS = ("people", "none", "animals")  # of photos, for false faces
COVERED = {"sunglasses": "sunglasses", "masks": "medical mask"}  # sources of photos
EYES, MOUTH = ("l_eye", "r_eye"), ("mouth", "u_lip", "l_lip")  # parts


@dataclass(frozen=True, eq=False)
class TrueFace:
    """A face that should be found, and the groups that it belongs to."""

    box: Floats  # [4]
    points: Floats  # [5, 2]
    groups: tuple[str, ...]
    covered: bool  # by sunglasses or a mask


@dataclass(frozen=True, eq=False)
class Truth:
    """A photo of the validation split, and what is in it."""

    path: Path
    kind: str  # of `KINDS`
    faces: list[TrueFace]
    ignore: Floats  # boxes of what counts neither as a face nor as background, [m, 4]


def validation_photos(folder: Path) -> Iterator[Truth]:
    """The photos of the validation split in faces.json.

    For each photo it has `split`, `from` (the data set), `faces` with `box` and `points`, and
    `ignore`. Faces of less than 24 pixels are ignored too.
    """
    listed = json.loads((folder / "faces.json").read_text(encoding="utf-8"))
    for name, about in listed.items():
        if about["split"] != "val":
            continue
        path = folder / "photos" / name
        pixels = np.asarray(read_photo(path))
        faces = [face for face in about["faces"] if face["box"][2] - face["box"][0] >= 24]
        small = [face["box"] for face in about["faces"] if face not in faces]
        boxes = [np.array(face["box"], float) for face in about["faces"]]
        truth = [_true_face(face, boxes, about["from"], pixels) for face in faces]
        kind = "people" if boxes else "animals" if about["from"] == "imagenet" else "none"
        yield Truth(path, kind, truth, np.array([*about["ignore"], *small], float).reshape(-1, 4))


def _true_face(
    face: dict[str, Any], boxes: list[Floats], source: str, pixels: NDArray[np.uint8]
) -> TrueFace:
    box, points = np.array(face["box"], float), np.array(face["points"], float)
    left, top, right, bottom = box.round().astype(int)
    grey = float(np.median(pixels[max(top, 0) : bottom, max(left, 0) : right].mean(axis=2)))
    groups: list[str] = ["all"]
    pose = pose_of(points)
    colour = int(np.ptp(pixels.astype(int), axis=2).max()) > 12
    dark, cut = pixels.mean() < 60, _touches_border(box, pixels.shape)
    clear = colour and not dark and not cut and source not in COVERED
    if pose == "frontal" and clear:
        size = next(name for name, (low, high) in SIZES.items() if low <= box[2] - box[0] < high)
        groups.append(f"clear frontal, {size}")
        if 55 <= grey < 90 or grey >= 130:
            groups.append("clear frontal, " + ("dark skin or shade" if grey < 90 else "light"))
    groups += [pose] if pose != "frontal" else []
    centre = (box[:2] + box[2:]) / 2
    others = [(other[:2] + other[2:]) / 2 - centre for other in boxes if not (other == box).all()]
    if any(np.linalg.norm(away) < 1.5 * (box[2] - box[0]) for away in others):
        groups.append("beside another face")
    if len(boxes) >= 5:
        groups.append("group of 5 to 9" if len(boxes) < 10 else "group of 10 or more")
    if source in COVERED:
        groups.append(COVERED[source])
    for name, applies in {"dark photo": dark, "black and white": not colour, "cut": cut}.items():
        groups += [name] if applies else []
    return TrueFace(box, points, tuple(groups), source in COVERED)


def _touches_border(box: Floats, shape: tuple[int, ...]) -> bool:
    return bool(box.min() <= 1 or box[2] >= shape[1] - 2 or box[3] >= shape[0] - 2)


def pose_of(points: Floats) -> str:
    """By where the nose falls along the line from eye to eye, as in the photos' README."""
    left, right, nose, *mouth = points
    across = right - left
    along = float((nose - left) @ across / max(across @ across, 1e-6))
    down = float(np.linalg.norm((sum(mouth) - left - right) / 2))
    if not 0 <= along <= 1 or np.linalg.norm(across) < 0.4 * down:
        return "profile"
    return "frontal" if 1 / 3 <= along <= 2 / 3 else "three-quarter"


def masks_hit(result: SegmentationResult, face: TrueFace) -> bool:
    """Whether the masks show enough of a face's parts where they are."""
    eye, other_eye, nose, *mouth = face.points
    spots = [(eye, EYES), (other_eye, EYES), (nose, ("nose",))]
    spots.append(((mouth[0] + mouth[1]) / 2, MOUTH))
    radius = 0.15 * (face.box[2] - face.box[0])
    hits = sum(_is_near(result, spot, parts, radius) for spot, parts in spots)
    return hits >= (2 if face.covered else 3)


def _is_near(
    result: SegmentationResult, spot: Floats, parts: tuple[str, ...], radius: float
) -> bool:
    low = np.maximum(np.floor(spot - radius - 1), 0).astype(int)
    high = np.maximum(np.ceil(spot + radius + 1), 0).astype(int)
    window = result.labels[low[1] : high[1], low[0] : high[0]]
    rows, columns = np.nonzero(np.isin(window, result.scheme.classes_within(parts)))
    distances = np.hypot(columns + low[0] + 0.5 - spot[0], rows + low[1] + 0.5 - spot[1])
    return bool(distances.size and distances.min() <= radius)


def touches_any(box: Floats, truth: Truth) -> bool:
    """Whether a box lies on a face or on what is to be ignored."""
    boxes = np.array([face.box for face in truth.faces] + [*truth.ignore]).reshape(-1, 4)
    x, y = (box[:2] + box[2:]) / 2
    inside = (boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3])
    return bool((inside | (iou(box, boxes) > 0.05)).any())


class Tally:
    """Faces found, by group, and false faces, by kind of photo."""

    def __init__(self) -> None:
        self.found: dict[str, list[bool]] = defaultdict(list)
        self.false_faces: Counter[str] = Counter()
        self.photos: Counter[str] = Counter()

    def add(self, truth: Truth, found: Callable[[TrueFace], bool], boxes: list[Floats]) -> None:
        """Count what was found in a photo: whether each face was, and the boxes of all regions."""
        self.photos[truth.kind] += 1
        self.false_faces[truth.kind] += sum(not touches_any(box, truth) for box in boxes)
        for face in truth.faces:
            hit = found(face)
            for group in face.groups:
                self.found[group].append(hit)

    def summary(self) -> dict[str, Any]:
        percent = {
            group: {"faces": len(hits), "found %": round(100 * float(np.mean(hits)), 1)}
            for group, hits in sorted(self.found.items())
        }
        false_faces = {kind: [self.false_faces[kind], self.photos[kind]] for kind in KINDS}
        return {"groups": percent, "false faces, in photos": false_faces}


def face_box(face: Face) -> Floats:
    """The box of what was marked, or of the face where nothing was."""
    return np.array(face.bbox if face.areas else face.window, float)


def of_model(segmenter: FaceSegmenter, photos: list[Truth]) -> dict[str, Any]:
    """The table of a model."""
    tally = Tally()
    for truth in photos:
        result = segmenter(truth.path)
        marked = [face_box(face) for face in result.faces if sum(face.areas.values())]
        tally.add(truth, partial(masks_hit, result), marked)
    return tally.summary()


# Answers each path in its input with the boxes that it finds, as JSON.
RIVALS = """
import json, sys
import cv2
import mediapipe
name, model = sys.argv[1:]
if name == "YuNet":
    yunet = cv2.FaceDetectorYN.create(model, "", (320, 320), score_threshold=0.7)
elif name == "mesh":
    faces = mediapipe.solutions.face_mesh
    mesh = faces.FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=10)
else:
    full = mediapipe.solutions.face_detection.FaceDetection(model_selection=1)
for line in sys.stdin:
    photo = cv2.imread(line.strip())
    height, width = photo.shape[:2]
    if name == "YuNet":
        scale = min(1, 640 / max(height, width))
        small = cv2.resize(photo, None, fx=scale, fy=scale)
        yunet.setInputSize(small.shape[1::-1])
        _, found = yunet.detect(small)
        boxes = [] if found is None else [[v / scale for v in face[:4].tolist()] for face in found]
    elif name == "mesh":
        found = mesh.process(cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)).multi_face_landmarks or []
        points = [([p.x * width for p in f.landmark], [p.y * height for p in f.landmark])
                  for f in found]
        boxes = [[min(x), min(y), max(x) - min(x), max(y) - min(y)] for x, y in points]
    else:
        found = full.process(cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)).detections or []
        boxes = [face.location_data.relative_bounding_box for face in found]
        boxes = [[b.xmin * width, b.ymin * height, b.width * width, b.height * height]
                 for b in boxes]
    print("BOXES", json.dumps(boxes), flush=True)
"""


def of_rival(python: str, name: str, model: str, photos: list[Truth]) -> dict[str, Any]:
    """The table of another detector."""
    paths = "\n".join(str(truth.path) for truth in photos)
    command = [python, "-c", RIVALS, name, model]
    text = subprocess.run(command, input=paths, check=True, capture_output=True, text=True).stdout
    answers = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("BOXES")]
    tally = Tally()
    for truth, answer in zip(photos, answers, strict=True):
        boxes = [np.array([x, y, x + width, y + height]) for x, y, width, height in answer]
        tally.add(truth, partial(_box_hit, np.array(boxes).reshape(-1, 4)), boxes)
    return tally.summary()


def _box_hit(boxes: Floats, face: TrueFace) -> bool:
    return bool((iou(face.box, boxes) >= 0.3).any())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder with faces.json")
    parser.add_argument("--models", nargs="+", default=[*MODEL_NAMES])
    parser.add_argument("--search", default="default")
    parser.add_argument("--min-confidence", type=float)
    parser.add_argument("--rivals", help="Python with mediapipe and opencv-python-headless")
    parser.add_argument("--yunet", default="", help="yunet.onnx, with --rivals")
    parser.add_argument("--keep", action="store_true", help="write the result file")
    options = parser.parse_args()
    photos = list(validation_photos(options.photos))
    results: dict[str, Any] = {}
    for name in options.models:
        segmenter = FaceSegmenter(
            name, search=options.search, min_confidence=options.min_confidence
        )
        results[name] = of_model(segmenter, photos)
    if options.rivals:
        results["MediaPipe face mesh"] = of_rival(options.rivals, "mesh", "", photos)
        results["MediaPipe full-range"] = of_rival(options.rivals, "full-range", "", photos)
    if options.yunet:
        results["YuNet"] = of_rival(options.rivals, "YuNet", options.yunet, photos)
    if options.keep:
        before = load_results("real_photos")
        results |= {name: found for name, found in before.items() if name not in results}
    report("real_photos", results, options.keep)


if __name__ == "__main__":
    main()
