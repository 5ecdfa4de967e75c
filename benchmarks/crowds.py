"""Faces found, time and memory for sheets of faces without a gap between them.

    python benchmarks/crowds.py

A sheet has 5 x 5 to 25 x 25 synthetic faces, framed like those of CelebAMask-HQ, 112 pixels wide
and high. Each is segmented in a process of its own, on one thread, once after a photo that warms
up. Writes benchmarks/results/crowds.json.
"""

import multiprocessing
import resource
import time
from typing import Any

from common import ASTRONAUT, save_results
from PIL import Image

from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.synthetic import synthesize_face

MODELS = ("separable", "separable-synthetic")
ACROSS, SIDE = (5, 10, 15, 20, 25), 112
FACES = (55, 160, 150, 3, 4, 5, 7, 8)  # of seed 0


def sheet(across: int) -> Image.Image:
    """A square sheet of so many faces in each row."""
    photos = [Image.fromarray(synthesize_face(0, index).photo) for index in FACES]
    small = [photo.resize((SIDE, SIDE)) for photo in photos]
    image = Image.new("RGB", (across * SIDE, across * SIDE))
    for number in range(across**2):
        y, x = divmod(number, across)
        image.paste(small[(3 * x + 5 * y) % len(small)], (x * SIDE, y * SIDE))
    return image


def measure(model: str, across: int) -> dict[str, Any]:
    """Faces found, seconds of processor time, and megabytes at the peak, of one sheet."""
    segmenter, image = FaceSegmenter(model), sheet(across)
    segmenter(ASTRONAUT)
    started = time.process_time()
    found = segmenter(image)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"faces": len(found.faces), "seconds": round(seconds, 2), "MB": round(peak)}


def main() -> None:
    rows: dict[str, Any] = {}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for across in ACROSS:
            rows[str(across**2)] = {m: pool.apply(measure, (m, across)) for m in MODELS}
            print(across**2, rows[str(across**2)], flush=True)
    save_results("crowds", rows)


if __name__ == "__main__":
    main()
