"""Video read from a file, segmented frame by frame, and written to another file."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from facesegkit.errors import FaceSegKitError
from facesegkit.inference.hdr import ToneMapper
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.tracker import FaceTracker
from facesegkit.inference.video_frames import MAX_PIXELS, MAX_SIDE, shown_size, upright
from facesegkit.inference.video_limits import result_pixels
from facesegkit.inference.video_parts import Parts
from facesegkit.inference.video_writer import (
    ANIMATIONS,
    AnimationWriter,
    Moment,
    VideoWriter,
    check_length,
)
from facesegkit.inference.visualize import render
from facesegkit.system.files import atomic_write, check_is_file

if TYPE_CHECKING:  # PyAV (FFmpeg's libraries) is imported for videos only
    from av.container import InputContainer
    from av.video.stream import VideoStream

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm")  # of files that are read
WRITTEN = (".mp4", ".mov", ".mkv", *ANIMATIONS)
VIEWS = ("overlay", "mask")

_MAX_THREADS = 4  # of the decoder; each holds frames
_ANY_SIZE = 1 << 60  # pixels

# A text named .mp4 may be a playlist of FFmpeg's, which reads other files.
# Raw streams are what some recorders write, whatever they call the file.
_CONTAINERS = {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,h264,hevc"}


def is_video(path: Path | str) -> bool:
    """Whether a file is a video, by its name."""
    return Path(path).suffix.lower() in SUFFIXES


def check_video_path(path: Path, view: str) -> None:
    """Check that a view of a video can be saved under a name, before any work is done for it.

    Raises a FaceSegKitError if the view is not overlay or mask, or the suffix is not written.
    """
    if view not in VIEWS:
        raise FaceSegKitError(f"There is no view {view!r} of a video; choose {_or(VIEWS)}.")
    if path.suffix.lower() not in WRITTEN:
        raise FaceSegKitError(f"Cannot save a video as {path}; use {_or(WRITTEN)}.")


def segment_video(
    segmenter: FaceSegmenter,
    source: Path,
    output: Path,
    view: str = "overlay",
    progress: Callable[[int, int], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> int:
    """Segment a video, tracking its faces, and write the result whole or not at all.

    The result, H.264 or an animation, has the timestamps (but each later than the one before), the
    size as shown (except for an odd last row or column, which H.264 does not allow, and over 9
    megapixels) and, unless it is an animation, the audio of the source, which becomes AAC unless it
    is AAC, MP3 or AC-3. HDR becomes SDR.

    Args:
        segmenter: what single photos are segmented with.
        source, output: the video, and a path that ends in one of `WRITTEN`.
        view: "overlay" or "mask".
        progress: called after each frame with the number of frames so far and in total (0 if the
            file does not say). The total is returned.
        notice: called with each sentence about parts that are damaged, missing or left out.

    Raises:
        FaceSegKitError: if the video cannot be read, or the result cannot be written.
        ModuleNotFoundError: if PyAV is not installed.
    """
    check_video_path(output, view)
    tracker, tone_mapper, done = FaceTracker(segmenter), ToneMapper(), 0
    with _opened(source) as container:
        video = container.streams.video[0]
        most = result_pixels(video, source)
        if is_large := video.width * video.height > MAX_PIXELS:
            video.codec_context.thread_count = 1  # each thread holds frames
        else:
            video.codec_context.thread_count = min(_MAX_THREADS, os.cpu_count() or 1)
            video.thread_type = "AUTO"
        if output.suffix.lower() in ANIMATIONS:
            size = shown_size(video.width, video.height, video.sample_aspect_ratio, most)
            check_length(source, video.frames, size)
        with atomic_write(output) as unfinished, _writer(unfinished, container, view) as writer:
            sound = writer.sound
            parts = Parts(container, [video, sound.stream] if sound and sound.stream else [video])
            for stream, packet in parts:
                if sound and stream is not video:
                    writer.add_audio(sound.packets(packet, parts))
                    continue
                frames = parts.frames(stream, packet)
                while frames:
                    frame = frames.pop(0)
                    pixels = upright(frame, video.sample_aspect_ratio, tone_mapper, most)
                    pts = parts.shifted(frame.pts, frame.time_base)
                    shown = getattr(frame, "duration", 0)  # not in early versions of PyAV
                    moment = Moment(pts, frame.time_base, shown)
                    del frame  # to save memory
                    if is_large:
                        gc.collect()  # PyAV's frames and their side data refer to each other
                    segmented = tracker(Image.fromarray(writer.fitted(pixels)))
                    writer.add(np.asarray(render(segmented, view)), moment)
                    done += 1
                    if progress:
                        progress(done, video.frames)
            if not done:
                raise FaceSegKitError(f"{source} contains no frame that can be read.")
            writer.finish()
            problems = parts.problems() + writer.problems + _shrinking(video, most)
    if notice:
        for problem in problems:
            notice(f"{source}: {problem}.")
    return done


def _shrinking(video: VideoStream, most: int) -> list[str]:
    """Why and how the result is smaller, as the end of a sentence."""
    size = video.width, video.height
    whole = shown_size(*size, video.sample_aspect_ratio, _ANY_SIZE)
    shown = shown_size(*size, video.sample_aspect_ratio, most)
    if max(whole) == MAX_SIDE and whole == shown != size:
        reason = f"H.264 has at most {MAX_SIDE:,} pixels a side"
    elif shown != whole:
        reason = "larger ones would take over a gigabyte of memory"
    else:
        return []
    width, height = (side - side % 2 for side in shown)
    return [f"the result has only {width} x {height} pixels, because {reason}"]


@contextmanager
def _opened(source: Path) -> Iterator[InputContainer]:
    """A file with at least one video stream; errors of the body that reads it are explained."""
    import av

    check_is_file(source)
    if not source.exists():
        raise FaceSegKitError(f"There is no video {source}.")
    try:
        name = _absolute(source)
        with av.open(name, options=_CONTAINERS, metadata_errors="replace") as container:
            if not container.streams.video:
                raise FaceSegKitError(f"{source} contains no video, only audio.")
            video = container.streams.video[0]
            if video.codec_context is None:
                raise FaceSegKitError(f"{source} is of a kind of video that cannot be decoded.")
            if min(video.width, video.height) < 1:
                raise FaceSegKitError(f"{source} is damaged: its frames have no size.")
            if min(video.width, video.height) == 1:
                raise FaceSegKitError(f"{source} is one pixel wide or high; H.264 needs two.")
            yield container
    except av.FFmpegError as error:
        problem = f"is not a video that can be read, or is damaged or cut off ({error.strerror})"
        raise FaceSegKitError(f"{source} {problem}.") from error


@contextmanager
def _writer(
    path: Path, container: InputContainer, view: str
) -> Iterator[AnimationWriter | VideoWriter]:
    rate = container.streams.video[0].average_rate or Fraction(25)
    if path.suffix.lower() in ANIMATIONS:
        has_sound = bool(container.streams.audio)
        yield AnimationWriter(path, rate, is_flat=view == "mask", has_sound=has_sound)
        return
    import av

    with av.open(_absolute(path), "w") as result:
        yield VideoWriter(result, rate, container)


def _absolute(path: Path) -> str:
    """A path as FFmpeg needs it, which takes the start of "take:1.mp4" for a protocol."""
    return os.path.abspath(path)


def _or(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
