"""Video: frames per second, and how steady the masks of a still face are.

    python benchmarks/video_speed.py

The video is made of the astronaut, 640 x 480 at 25 frames per second: in the first half the camera
stands still, in the second it moves and rotates; both have sensor noise and are compressed with
H.264. Speed is that from file to file: decoded, segmented, overlaid, encoded. Flicker is the
fraction of the most confident face's pixels whose class changes from one frame to the next while
the camera stands still. Writes benchmarks/results/video_speed.json.
"""

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import av
import numpy as np
from common import ASTRONAUT, save_results
from PIL import Image

from facesegkit.inference.results import SegmentationResult
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.tracker import FaceTracker
from facesegkit.inference.video import segment_video

SIZE, FPS, STILL = (640, 480), 25, 100  # pixels, frames per second, frames
NOISE = 4  # standard deviation, of 255


def frames() -> Iterator[Image.Image]:
    """What the camera sees."""
    rng = np.random.default_rng(0)
    with Image.open(ASTRONAUT) as image:
        photo = image.convert("RGB")
    for number in range(2 * STILL):
        moved = max(0, number - STILL)
        angle = math.radians(12 * math.sin(moved / 15))
        cosine, sine = math.cos(angle), math.sin(angle)
        affine = (cosine, -sine, -60 + 40 * sine + 0.6 * moved, sine, cosine, -30.0)
        view = photo.transform(
            SIZE, Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC, fillcolor=(90, 90, 90)
        )
        noise = rng.normal(0, NOISE, (SIZE[1], SIZE[0], 3))
        yield Image.fromarray((np.asarray(view) + noise).clip(0, 255).astype(np.uint8))


def write_video(path: Path) -> None:
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        for frame in frames():
            container.mux(video.encode(av.VideoFrame.from_image(frame)))
        container.mux(video.encode(None))


def flicker(segment: Callable[..., SegmentationResult], still: list[Image.Image]) -> float:
    labels = []
    for frame in still:
        result = segment(frame)
        first = result.faces[:1]  # a false face that comes and goes would be all that counts
        size = frame.size
        labels.append(SegmentationResult.from_faces(first, size, result.scheme, frame).labels)
    pairs = zip(labels, labels[1:], strict=False)
    changed = [np.count_nonzero(a != b) / np.count_nonzero(a) for a, b in pairs]
    return round(float(np.mean(changed)), 4)


def frames_per_second(segmenter: FaceSegmenter, video: Path) -> float:
    """The median of three runs."""
    speeds = []
    for _ in range(3):
        started = time.perf_counter()
        done = segment_video(segmenter, video, video.with_name("out.mp4"))
        speeds.append(done / (time.perf_counter() - started))
    return round(median(speeds), 1)


def main() -> None:
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder, "video.mp4")
        write_video(video)
        with av.open(video) as container:
            still = [frame.to_image() for frame in container.decode(video=0)][:STILL]
        for name in ("separable", "unet"):
            segmenter = FaceSegmenter(name)
            results[name] = {
                "frames per second": frames_per_second(segmenter, video),
                "flicker": flicker(FaceTracker(segmenter), still),
                "flicker without tracking": flicker(segmenter, still),
            }
    save_results("video_speed", results)


if __name__ == "__main__":
    main()
