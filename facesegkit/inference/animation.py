"""Animated GIF, PNG and WebP files, segmented frame by frame, written as GIF or WebP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from facesegkit.errors import FaceSegKitError
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.tracker import FaceTracker
from facesegkit.inference.visualize import render
from facesegkit.system.decode_limits import MAX_MEMORY, check_decodable, opened_image
from facesegkit.system.files import atomic_write
from facesegkit.system.large_images import to_rgb

SUFFIXES = (".gif", ".webp")  # of files that are written
VIEWS = ("overlay", "mask")
_DURATION = 100  # milliseconds of a frame that has none


def check_animation_view(view: str) -> None:
    """Raise a FaceSegKitError if an animation has no such view."""
    if view not in VIEWS:
        raise FaceSegKitError(f"There is no view {view!r} of an animation; choose overlay or mask.")


def segment_animation(
    segmenter: FaceSegmenter,
    source: Path,
    output: Path,
    view: str = "overlay",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Segment an animation, tracking its faces; its durations are kept, and it repeats as before.

    Returns the number of frames, and calls `progress` with it and their total after each. Raises a
    FaceSegKitError if the file cannot be read, its frames do not fit into memory, there is no such
    view, or the result cannot be written.
    """
    check_animation_view(view)
    durations: list[int] = []
    with opened_image(source) as image, atomic_write(output) as unfinished:
        check_decodable(image, image.size, lambda: False)
        total = int(getattr(image, "n_frames", 1))
        if 3 * total * image.width * image.height > MAX_MEMORY:
            size = f"{total:,} frames of {image.width} x {image.height} pixels"
            raise FaceSegKitError(f"{source} is too large: {size}; convert it to MP4 first.")
        loop = int(image.info.get("loop", 0))
        tracker = FaceTracker(segmenter)

        def segmented() -> Iterator[Image.Image]:
            for number in range(total):
                image.seek(number)
                image.load()
                durations.append(round(image.info.get("duration", 0)) or _DURATION)
                yield render(tracker(to_rgb(image.copy())), view)
                progress(number + 1, total)

        # All at once: Pillow merges equal frames, and wants to know their number.
        first, *others = segmented()
        first.save(
            unfinished,
            save_all=True,
            append_images=others,
            duration=durations,
            loop=loop,
            quality=95,
        )
    return total
