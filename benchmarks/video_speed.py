"""Clips: pictures a second, and how steady the masks of a still face are.

    python benchmarks/video_speed.py

The clip is made of the astronaut, 640 x 480 at 25 pictures a second: in the first half the camera
stands still, in the second it moves and turns; both have a camera's noise, and go through H.264.
Speed is that of the whole way from file to file, decoded, segmented, drawn as an overlay, encoded.
Flicker is the share of the face's pixels that change their class from one picture to the next
while the camera stands still. Writes benchmarks/results/video_speed.json.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.inference.results import SegmentationResult
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.tracker import FaceTracker
from facesegkit.inference.video import segment_video

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "video_speed.json"
ASTRONAUT = HERE.parent / "figures" / "astronaut.jpg"
SIZE, RATE, STILL = (640, 480), 25, 100  # pixels, pictures a second, pictures
NOISE = 4  # levels of 255


def pictures() -> Iterator[Image.Image]:
    """What the camera sees."""
    rng = np.random.default_rng(0)
    with Image.open(ASTRONAUT) as image:
        photo = image.convert("RGB")
    for number in range(2 * STILL):
        moved = max(0, number - STILL)
        angle = math.radians(12 * math.sin(moved / 15))
        cosine, sine = math.cos(angle), math.sin(angle)
        places = (cosine, -sine, -60 + 40 * sine + 0.6 * moved, sine, cosine, -30.0)
        seen = photo.transform(
            SIZE, Image.Transform.AFFINE, places, Image.Resampling.BICUBIC, fillcolor=(90, 90, 90)
        )
        noise = rng.normal(0, NOISE, (SIZE[1], SIZE[0], 3))
        yield Image.fromarray((np.asarray(seen) + noise).clip(0, 255).astype(np.uint8))


def write_clip(path: Path) -> None:
    with av.open(path, "w") as clip:
        video = clip.add_stream("libx264", rate=RATE)
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        for picture in pictures():
            clip.mux(video.encode(av.VideoFrame.from_image(picture)))
        clip.mux(video.encode(None))


def flicker(labels: list[NDArray[np.uint8]]) -> float:
    pairs = zip(labels, labels[1:], strict=False)
    return float(np.mean([np.count_nonzero(a != b) / np.count_nonzero(a) for a, b in pairs]))


def speed(segmenter: FaceSegmenter, clip: Path, folder: Path) -> float:
    """Pictures a second, the median of three runs."""

    def run() -> float:
        started = time.perf_counter()
        done = segment_video(segmenter, clip, folder / "out.mp4")
        return done / (time.perf_counter() - started)

    return median(run() for _ in range(3))


def main() -> None:
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_clip(clip)
        with av.open(clip) as opened:
            still = [frame.to_image() for frame in opened.decode(video=0)][:STILL]
        for name in ("separable", "unet"):
            segmenter = FaceSegmenter(name)
            ways: dict[str, Callable[[Image.Image], SegmentationResult]] = {
                "flicker": FaceTracker(segmenter),
                "flicker of single photos": segmenter,
            }
            results[name] = {
                "pictures a second": round(speed(segmenter, clip, Path(folder)), 1),
                **{
                    kind: round(flicker([segment(picture).labels for picture in still]), 4)
                    for kind, segment in ways.items()
                },
            }
    print(json.dumps(results, indent=2))
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
