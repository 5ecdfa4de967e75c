"""Animated GIF, PNG and WebP files, segmented frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from facesegkit.errors import FaceSegKitError
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.tracker import FaceTracker
from facesegkit.inference.video_frames import shown_size
from facesegkit.inference.video_writer import (
    ANIMATIONS,
    AnimationWriter,
    Moment,
    VideoWriter,
    check_length,
)
from facesegkit.inference.visualize import render
from facesegkit.system.decode_limits import check_decodable, opened_image
from facesegkit.system.files import atomic_write
from facesegkit.system.large_images import to_rgb

VIEWS = ("overlay", "mask")
_UNIT = Fraction(1, 1000)  # seconds
_DURATION, _TOO_SHORT = 100, 10  # milliseconds: browsers take 100 for up to 10


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
    """Segment an animation, tracking its faces, and write an animation (`ANIMATIONS`) or a video.

    Its durations are kept, and an animation repeats as before. Returns the number of frames, and
    calls `progress` with it and their total after each.

    Raises:
        FaceSegKitError: if the file cannot be read, its frames do not fit into memory, there is no
            such view, or the result cannot be written.
        ModuleNotFoundError: if the result is a video, and PyAV is not installed.
    """
    check_animation_view(view)
    about = _read_about(source)
    tracker = FaceTracker(segmenter)
    with atomic_write(output) as unfinished, _writer(unfinished, source, about, view) as writer:
        for done, (photo, moment) in enumerate(_frames(source, about), start=1):
            rgb = _sized(photo, isinstance(writer, VideoWriter))
            segmented = tracker(Image.fromarray(writer.fitted(np.asarray(rgb))))
            writer.add(np.asarray(render(segmented, view)), moment)
            progress(done, about.frames)
        writer.finish()
    return about.frames


@dataclass(frozen=True)
class _About:
    """What the beginning of an animation tells."""

    size: tuple[int, int]
    first: int  # of its pictures: in some PNGs, one is for programs that know no animations
    frames: int
    plays: int  # 0: for ever


def _read_about(source: Path) -> _About:
    with opened_image(source) as image:
        check_decodable(image, image.size, lambda: False)
        first = int(bool(image.info.get("default_image")))
        frames = int(getattr(image, "n_frames", 1)) - first
        return _About(image.size, first, frames, _plays(image))


def _plays(image: Image.Image) -> int:
    """How often an animation is shown; a GIF tells how often it is repeated."""
    if image.format == "GIF":
        repeats = image.info.get("loop")
        return 1 if repeats is None else int(repeats) and int(repeats) + 1
    return int(image.info.get("loop", 0))


def _frames(source: Path, about: _About) -> Iterator[tuple[Image.Image, Moment]]:
    """The frames, RGB, with their times."""
    now = 0.0
    with opened_image(source) as image:
        for number in range(about.first, about.first + about.frames):
            image.seek(number)
            image.load()
            duration = float(image.info.get("duration") or 0)
            end = now + (duration if duration > _TOO_SHORT else _DURATION)
            yield to_rgb(image.copy()), Moment(round(now), _UNIT, round(end) - round(now))
            now = end


@contextmanager
def _writer(
    path: Path, source: Path, about: _About, view: str
) -> Iterator[AnimationWriter | VideoWriter]:
    rate = Fraction(1000, _DURATION)
    if path.suffix.lower() in ANIMATIONS:
        check_length(source, about.frames, about.size)
        yield AnimationWriter(path, rate, about.plays, is_flat=view == "mask")
        return
    import av

    if min(about.size) == 1:
        raise FaceSegKitError(f"{source} is one pixel wide or high; H.264 needs two.")
    with av.open(str(path.absolute()), "w") as result:
        yield VideoWriter(result, rate)


def _sized(image: Image.Image, is_video: bool) -> Image.Image:
    """As large as a video can be, with even sides."""
    if not is_video:
        return image
    width, height = shown_size(*image.size, None)
    if (width, height) != image.size:
        image = image.resize((width, height))
    return image.crop((0, 0, width - width % 2, height - height % 2))
