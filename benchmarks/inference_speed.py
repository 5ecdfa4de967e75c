"""How fast a photo is segmented, beside MediaPipe's face mesh in the same run.

    python3 -m venv mediapipe-env && mediapipe-env/bin/pip install mediapipe==0.10.14
    python benchmarks/inference_speed.py --mediapipe mediapipe-env/bin/python

Everything runs on one thread, on Linux pinned to one core. The networks alternate with the
rival, 20 calls each, 220 in all after 20 for warm-up. The median is reported; the ratio says more
than the milliseconds, since machines differ and are shared. The roofline estimate is a network's
MACs at the speed of a large float32 matrix product on the same core. It is an estimate, not a
bound: on processors with wider units some networks took 0.36 to 0.60 of it. Without --mediapipe
the rival is left out and its last figures are kept.

Also timed: a 12-megapixel JPEG from file to file, by its steps; and a cold start of the command.
Writes benchmarks/results/inference_speed.json.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

# Before numpy is imported: its threads exist from then on, and would not be pinned with this one.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
from common import ASTRONAUT, TOP, load_results, save_results  # noqa: E402
from PIL import Image  # noqa: E402

from facesegkit.image_io import read_photo, read_reduced  # noqa: E402
from facesegkit.inference.model_zoo import MODEL_NAMES, load_model, model_card  # noqa: E402
from facesegkit.inference.overlapping_faces import assign_pixels  # noqa: E402
from facesegkit.inference.pipeline import ScaledImage  # noqa: E402
from facesegkit.inference.results import AnalyzedFace, SegmentationResult  # noqa: E402
from facesegkit.inference.segmenter import FaceSegmenter  # noqa: E402
from facesegkit.inference.visualize import save_view  # noqa: E402

TURNS, CALLS = 12, 20  # calls of each in a turn
RIVAL = "MediaPipe face mesh 0.10.14"

# Answers each line of its input with the milliseconds for one photo.
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
    """Run everything from here on, other programs too, on one core, if the system allows it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that a call takes."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def macs_per_second() -> float:
    """Of one thread in a product of two 2048 x 2048 matrices, the best of 10."""
    matrix = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
    return 2048**3 / (min(timed(lambda: matrix @ matrix) for _ in range(10)) / 1000)


class MediaPipe:
    """The rival, in a virtual environment of its own."""

    def __init__(self, python: str) -> None:
        command = [python, "-c", MEDIAPIPE, str(ASTRONAUT)]
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        self.program = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere, text=True)

    def milliseconds(self) -> float:
        """Time of one photo. It tracks the face from call to call, so its detector does not run."""
        assert self.program.stdin is not None and self.program.stdout is not None
        self.program.stdin.write("\n")
        self.program.stdin.flush()
        for line in self.program.stdout:
            if line.startswith("TIME"):
                _, milliseconds, found = line.split()
                assert found == "True", "MediaPipe detects no face on the astronaut"
                return float(milliseconds)
        sys.exit("MediaPipe does not run in the given environment.")


def networks(mediapipe: str | None) -> dict[str, dict[str, float]]:
    """Each network and the rival on one photo, alternating after several calls.

    As with a folder of photos, the processor's caches then mostly hold a network's own weights.
    """
    photo = np.random.default_rng(0).random((1, 3, 256, 256), dtype=np.float32)
    models = {name: load_model(name) for name in MODEL_NAMES if not name.endswith("-synthetic")}
    calls: dict[str, Callable[[], float]] = {
        name: partial(timed, partial(model.predict_logits, photo)) for name, model in models.items()
    }
    rival = MediaPipe(mediapipe) if mediapipe else None
    if rival:
        calls[RIVAL] = rival.milliseconds
    times: dict[str, list[float]] = {name: [] for name in calls}
    speeds = []
    for _ in range(TURNS):
        for name, call in calls.items():
            times[name] += [call() for _ in range(CALLS)]
        speeds.append(macs_per_second())
    if rival:
        rival.program.terminate()
    rows = {name: latency(values[CALLS:]) for name, values in times.items()}  # the first warms up
    for name in models:
        roofline = 1000 * model_card(name)["macs"] / max(speeds)
        rows[name]["roofline ms"] = round(roofline, 2)
        rows[name]["times the roofline"] = round(rows[name]["median ms"] / roofline, 2)
        if rival:
            ratio = rows[RIVAL]["median ms"] / rows[name]["median ms"]
            rows[name]["times faster than the rival"] = round(ratio, 2)
    return rows | {"matrix product": {"GMACs per second": round(max(speeds) / 1e9, 1)}}


def latency(milliseconds: list[float]) -> dict[str, float]:
    return {"median ms": round(median(milliseconds), 2), "best ms": round(min(milliseconds), 2)}


def large_photo(path: Path) -> None:
    """A JPEG of 4000 x 3000 pixels: the astronaut upsampled, with sensor noise."""
    with Image.open(ASTRONAUT) as image:
        large = image.convert("RGB").resize((4000, 4000), Image.Resampling.BICUBIC)
    pixels = np.asarray(large.crop((0, 0, 4000, 3000)), dtype=np.float32)
    grain = np.random.default_rng(0).normal(0, 6, (3000, 4000, 1))
    Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)


def whole_path(folder: Path) -> dict[str, Any]:
    """From a 12-megapixel JPEG to a file with its classes: in total, and by step."""
    path, output = folder / "large.jpg", folder / "result.png"
    large_photo(path)
    segmenter = FaceSegmenter()
    analyzer = segmenter.analyzer
    assert analyzer is not None
    side = analyzer.config.scale_without_faces
    small, size = read_reduced(path, side)
    photo = np.random.default_rng(0).random((1, 3, 256, 256), dtype=np.float32)
    result, scheme = segmenter(path), segmenter.model.scheme
    assert result.faces
    faces = [AnalyzedFace(face.roi, face.roi_logits, face.confidence) for face in result.faces]
    steps: dict[str, Callable[[], object]] = {
        "whole path, class ids to PNG": lambda: save_view(segmenter(path), "labels", output),
        "whole path, colours to PNG": lambda: save_view(segmenter(path), "mask", output),
        "decode at a quarter": lambda: read_reduced(path, side),
        "detect faces": lambda: analyzer.candidates(ScaledImage(small, size)),
        "network": lambda: segmenter.model.predict_logits(photo),
        "classes of 12 million pixels": lambda: SegmentationResult.from_faces(
            assign_pixels(faces, scheme, size), size, scheme, path
        ),
        "write class ids": lambda: save_view(result, "labels", output),
        "write colours": lambda: save_view(result, "mask", output),
        "for comparison: decode in full": lambda: read_photo(path),
    }
    times = {name: [timed(step) for _ in range(9)] for name, step in steps.items()}
    milliseconds = {name: round(median(values), 1) for name, values in times.items()}
    return {"MB of the file": round(path.stat().st_size / 1e6, 1), "milliseconds": milliseconds}


def cold_start(folder: Path) -> float:
    """Seconds of the command for one photo, the median of 5."""
    command = [sys.executable, "-m", "facesegkit", "segment", str(ASTRONAUT)]
    command += ["--output-dir", str(folder)]
    run = partial(subprocess.run, command, check=True, capture_output=True, cwd=TOP)
    return round(median(timed(run) for _ in range(5)) / 1000, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mediapipe", help="python of an environment with mediapipe 0.10.14")
    mediapipe = parser.parse_args().mediapipe
    pin_to_one_core()
    before = load_results("inference_speed")
    results: dict[str, Any] = {"networks": networks(mediapipe)}
    if not mediapipe and RIVAL in before.get("networks", {}):
        # A ratio to figures of another run would mean little, so the whole table stays.
        results["without the rival, a later run"] = results["networks"]
        results["networks"] = before["networks"]
    with tempfile.TemporaryDirectory() as folder:
        results["12-megapixel JPEG"] = whole_path(Path(folder))
        results["cold start s"] = cold_start(Path(folder))
    save_results("inference_speed", results)


if __name__ == "__main__":
    main()
