"""How fast a photo is segmented, beside MediaPipe's face mesh in the same run.

    python3 -m venv mediapipe-env && mediapipe-env/bin/pip install mediapipe==0.10.14
    python benchmarks/inference_speed.py --mediapipe mediapipe-env/bin/python

Everything runs on one thread, on Linux pinned to one core. The networks take turns with the
rival, 20 calls a turn, 220 in all after a turn that warms up; the median counts, and the ratio
more than the milliseconds, since machines differ and are shared. The arithmetic floor is a
network's multiply-adds over those that this core does in a second in a large matrix product: no
program that does the same sums with this core could be faster. Without --mediapipe the rival is
left out and its last figures are kept.

Also timed: a 12-megapixel JPEG from file to file, by its steps; and the command from a cold start.
Results go to benchmarks/results/inference_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

# Before numpy is imported: its threads exist from then on, and would not be pinned with this one.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from facesegkit.image_io import read_photo, read_reduced  # noqa: E402
from facesegkit.inference.detector import LEVELS, detect_faces  # noqa: E402
from facesegkit.inference.model_zoo import MODEL_NAMES, load_model, model_card  # noqa: E402
from facesegkit.inference.results import SegmentationResult, assign_pixels  # noqa: E402
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.visualize import save_view  # noqa: E402

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "inference_speed.json"
ASTRONAUT = HERE.parent / "figures" / "astronaut.jpg"
TURNS, CALLS = 12, 20  # calls of each in a turn
RIVAL = "MediaPipe face mesh 0.10.14"

# Answers each line on its input with the milliseconds that one photo took.
MEDIAPIPE = """
import sys, time
import numpy as np
import mediapipe
from PIL import Image
mesh = mediapipe.solutions.face_mesh.FaceMesh(refine_landmarks=True, static_image_mode=False)
photo = np.asarray(Image.open(sys.argv[1]).convert("RGB").resize((256, 256)))
for line in sys.stdin:
    started = time.perf_counter()
    found = mesh.process(photo)
    print("TIME", 1000 * (time.perf_counter() - started), bool(found.multi_face_landmarks),
          flush=True)
"""


def pin_to_one_core() -> None:
    """All that follows, programs started later too, runs on one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that a call takes."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def multiply_adds_a_second() -> float:
    """What one thread does in a product of two matrices of 2048 x 2048, the best of 10."""
    matrix = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
    return 2048**3 / (min(timed(lambda: matrix @ matrix) for _ in range(10)) / 1000)


class MediaPipe:
    """The rival, in an environment of its own."""

    def __init__(self, python: str) -> None:
        self.program = subprocess.Popen(
            [python, "-c", MEDIAPIPE, str(ASTRONAUT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def milliseconds(self) -> float:
        """One photo. It tracks the face from call to call, which spares it the detector."""
        assert self.program.stdin is not None and self.program.stdout is not None
        self.program.stdin.write("\n")
        self.program.stdin.flush()
        for line in self.program.stdout:
            if line.startswith("TIME"):
                _, milliseconds, found = line.split()
                assert found == "True", "MediaPipe finds no face on the astronaut"
                return float(milliseconds)
        sys.exit("MediaPipe does not run in the environment given.")


def networks(mediapipe: str | None) -> dict[str, dict[str, float]]:
    """Each network and the rival on one photo, in turns of several calls.

    As on a folder of photos, a network mostly finds its own weights in the processor's cache, not
    what another one has left there; the rival's as well.
    """
    photo = np.random.default_rng(0).random((1, 3, 256, 256), dtype=np.float32)
    models = {name: load_model(name) for name in MODEL_NAMES if not name.endswith("-drawn")}
    rival = MediaPipe(mediapipe) if mediapipe else None
    times: dict[str, list[float]] = {name: [] for name in models}
    times |= {RIVAL: []} if rival else {}
    rates = []
    for _ in range(TURNS):
        for name, model in models.items():
            for _ in range(CALLS):
                times[name].append(timed(lambda model=model: model.predict_logits(photo)))  # type: ignore[misc]
        if rival:
            times[RIVAL] += [rival.milliseconds() for _ in range(CALLS)]
        rates.append(multiply_adds_a_second())
    if rival:
        rival.program.terminate()
    found: dict[str, dict[str, float]] = {}
    for name, values in times.items():
        found[name] = {
            "median ms": round(median(values[CALLS:]), 2),  # the first turn warms up
            "best ms": round(min(values[CALLS:]), 2),
        }
    for name in models:
        floor = 1000 * model_card(name)["macs"] / max(rates)
        found[name]["arithmetic floor ms"] = round(floor, 2)
        found[name]["times the floor"] = round(found[name]["median ms"] / floor, 2)
        if rival:
            ratio = found[RIVAL]["median ms"] / found[name]["median ms"]
            found[name]["times faster than the rival"] = round(ratio, 2)
    found["matrix product"] = {"G multiply-adds a second": round(max(rates) / 1e9, 1)}
    return found


def large_photo(path: Path) -> None:
    """A JPEG of 4000 x 3000 pixels: the astronaut enlarged, with a camera's grain."""
    with Image.open(ASTRONAUT) as image:
        large = image.convert("RGB").resize((4000, 4000), Image.Resampling.BICUBIC)
    pixels = np.asarray(large.crop((0, 0, 4000, 3000)), dtype=np.float32)
    grain = np.random.default_rng(0).normal(0, 6, (3000, 4000, 1))
    Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)


def whole_path(folder: Path) -> dict[str, Any]:
    """From a 12-megapixel JPEG to a file with its classes: the whole, and its steps."""
    path = folder / "large.jpg"
    large_photo(path)
    segmenter = FaceSegmenter()
    longest = max(LEVELS)
    small, size = read_reduced(path, longest)
    photo = np.random.default_rng(0).random((1, 3, 256, 256), dtype=np.float32)
    segmentation = segmenter(path)
    assert segmenter.looker is not None and segmentation.faces
    find, scheme = segmenter.looker.find, segmenter.model.scheme
    seen = [(face.roi, face.roi_logits) for face in segmentation.faces]
    last: dict[str, SegmentationResult] = {}

    def whole(view: str, suffix: str) -> None:
        last["result"] = segmenter(path)
        save_view(last["result"], view, folder / f"result{suffix}")

    steps: dict[str, Callable[[], object]] = {
        "whole path, class ids to PNG": lambda: whole("labels", ".png"),
        "whole path, colours to PNG": lambda: whole("mask", ".png"),
        "decode at a quarter": lambda: read_reduced(path, longest),
        "find faces": lambda: detect_faces(small, find),
        "network": lambda: segmenter.model.predict_logits(photo),
        "classes of 12 million pixels": lambda: SegmentationResult.of_faces(
            assign_pixels(seen, scheme, size), size, scheme, path
        ),
        "write class ids": lambda: save_view(segmentation, "labels", folder / "a.png"),
        "write colours": lambda: save_view(segmentation, "mask", folder / "b.png"),
        "for comparison: decode in full": lambda: read_photo(path),
    }
    megabytes = round(path.stat().st_size / 1e6, 1)
    milliseconds = {
        name: round(median(timed(step) for _ in range(9)), 1) for name, step in steps.items()
    }
    return {"MB of the file": megabytes, "milliseconds": milliseconds}


def cold_start(folder: Path) -> float:
    """Seconds that the command takes for one photo, the median of 5."""
    command = [sys.executable, "-m", "facesegkit", "segment", str(ASTRONAUT)]
    command += ["--output-dir", str(folder)]

    def run() -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=HERE.parent)

    return round(median(timed(run) for _ in range(5)) / 1000, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mediapipe", help="python of an environment with mediapipe 0.10.14")
    mediapipe = parser.parse_args().mediapipe
    pin_to_one_core()
    before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    results: dict[str, Any] = {"networks": networks(mediapipe)}
    if not mediapipe and RIVAL in before.get("networks", {}):
        # A ratio to figures of another run would mean little, so the whole table stays.
        results["without the rival, a later run"] = results["networks"]
        results["networks"] = before["networks"]
    with tempfile.TemporaryDirectory() as folder:
        results["12-megapixel JPEG"] = whole_path(Path(folder))
        results["cold start s"] = cold_start(Path(folder))
    print(json.dumps(results, indent=2))
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
