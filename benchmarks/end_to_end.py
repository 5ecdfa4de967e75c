"""How long a whole photo takes, from its decoded pixels to masks, beside other programs.

    python benchmarks/end_to_end.py --photos PHOTOS --rivals rivals/bin/python --yunet yunet.onnx
    python benchmarks/end_to_end.py ... --before OLDER_VERSION --keep

PHOTOS and --rivals are as in real_photos.py. Twelve photos of its validation split are taken of
each kind: with one face, with a group of four or more, and without a face. Each program runs in a
process of its own, on one thread, on Linux pinned to one core, and they take turns photo by
photo; the first of seven rounds warms up. Medians are reported, and ratios of medians, since
machines differ and are shared; the mean shows the few photos that are searched at finer scales.

MediaPipe's face mesh looks for up to ten faces, and its contours are filled as convex hulls. YuNet,
at 640 pixels, only detects. --before is a checkout of an older version of this repository, to be
timed in the same run. --keep writes benchmarks/results/end_to_end.json.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median

from common import TOP, report
from inference_speed import pin_to_one_core
from real_photos import Truth, validation_photos

ROUNDS, PHOTOS = 7, 12
KINDS = ("one face", "group", "no face")
MESH, YUNET = "MediaPipe face mesh", "YuNet"

# Answers each number in its input with the milliseconds that the photo of that number takes.
LOOP = """
import sys, time
import numpy as np
from PIL import Image
work = program(sys.argv[1])
photos = [np.asarray(Image.open(path).convert("RGB")) for path in sys.argv[2:]]
for line in sys.stdin:
    started = time.perf_counter()
    work(photos[int(line)])
    print("TIME", 1000 * (time.perf_counter() - started), flush=True)
"""

OURS = """
def program(options):
    from facesegkit.inference.segmenter import FaceSegmenter
    model, *search = options.split(", search ")
    segmenter = FaceSegmenter(model, **({"search": search[0]} if search else {}))
    return lambda photo: segmenter(photo).labels
"""

RIVALS = {
    MESH: """
def program(_):
    import cv2, mediapipe, numpy as np
    cv2.setNumThreads(1)
    faces = mediapipe.solutions.face_mesh
    mesh = faces.FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=10)
    names = ("LEFT_EYE", "RIGHT_EYE", "LEFT_EYEBROW", "RIGHT_EYEBROW", "NOSE", "LIPS")
    parts = [sorted({i for edge in getattr(faces, "FACEMESH_" + n) for i in edge}) for n in names]
    def run(photo):
        labels = np.zeros(photo.shape[:2], np.uint8)
        for face in mesh.process(photo).multi_face_landmarks or ():
            points = np.array([(p.x, p.y) for p in face.landmark]) * photo.shape[1::-1]
            for number, part in enumerate(parts, 1):
                hull = cv2.convexHull(points[part].round().astype(np.int32))
                cv2.fillConvexPoly(labels, hull, number)
        return labels
    return run
""",
    YUNET: """
def program(path):
    import cv2
    cv2.setNumThreads(1)
    yunet = cv2.FaceDetectorYN.create(path, "", (320, 320), score_threshold=0.7)
    def run(photo):
        scale = min(1, 640 / max(photo.shape[:2]))
        small = cv2.resize(photo, None, fx=scale, fy=scale)
        yunet.setInputSize(small.shape[1::-1])
        return yunet.detect(small)
    return run
""",
}


class Program:
    """A program that has loaded some photos and waits for the number of one."""

    def __init__(
        self, python: str, code: str, option: str, photos: Sequence[Path], folder: Path = TOP
    ) -> None:
        command = [python, "-c", code + LOOP, option, *(str(path.resolve()) for path in photos)]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=nowhere, text=True, env=env, cwd=folder
        )

    def milliseconds(self, number: int) -> float:
        assert self.process.stdin and self.process.stdout
        print(number, file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("TIME"):
                return float(line.split()[1])
        sys.exit(f"A program does not run: {self.process.args!r}")


def chosen(photos: list[Truth]) -> dict[str, list[Path]]:
    """Some photos of each kind, spread over the split."""
    groups: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for photo in photos:
        if not photo.faces and not len(photo.ignore):
            groups["no face"].append(photo.path)
        elif len(photo.faces) >= 4:
            groups["group"].append(photo.path)
        elif len(photo.faces) == 1 and not len(photo.ignore):
            groups["one face"].append(photo.path)
    return {kind: paths[:: len(paths) // PHOTOS][:PHOTOS] for kind, paths in groups.items()}


def programs(options: argparse.Namespace, paths: list[Path]) -> dict[str, Program]:
    ours = ["separable", "unet", "separable, search fast"]
    found = {name: Program(sys.executable, OURS, name, paths) for name in ours}
    for name in ours[:2] if options.before else ():
        before = Program(sys.executable, OURS, name, paths, options.before)
        found[f"{name}, before"] = before
    for name, code in RIVALS.items() if options.rivals else ():
        found[name] = Program(options.rivals, code, str(options.yunet.resolve()), paths)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder with faces.json")
    parser.add_argument("--rivals", help="Python with mediapipe and opencv-python-headless")
    parser.add_argument("--yunet", type=Path, default=Path(), help="yunet.onnx, with --rivals")
    parser.add_argument("--before", type=Path, help="checkout of an older version")
    parser.add_argument("--keep", action="store_true", help="write the result file")
    options = parser.parse_args()
    pin_to_one_core()
    of_kind = chosen(list(validation_photos(options.photos)))
    paths = [path for kind in KINDS for path in of_kind[kind]]
    running = programs(options, paths)
    times: dict[str, list[list[float]]] = {name: [[] for _ in paths] for name in running}
    for _ in range(ROUNDS):
        for number in range(len(paths)):
            for name, program in running.items():
                times[name][number].append(program.milliseconds(number))
    results: dict[str, dict[str, dict[str, float]]] = {}
    for name, of_photos in times.items():
        after_warm_up = iter([values[1:] for values in of_photos])
        results[name] = {}
        for kind in KINDS:
            values = [ms for _ in of_kind[kind] for ms in next(after_warm_up)]
            results[name][kind] = {"median ms": median(values), "mean ms": mean(values)}
    for kinds in results.values():
        for kind, of_program in kinds.items():
            for rival in RIVALS if options.rivals else ():
                ratio = of_program["median ms"] / results[rival][kind]["median ms"]
                of_program[f"times {rival}"] = ratio
            kinds[kind] = {key: round(value, 2) for key, value in of_program.items()}
    report("end_to_end", results, options.keep)


if __name__ == "__main__":
    main()
