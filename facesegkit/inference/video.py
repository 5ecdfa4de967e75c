"""Video read from a file, segmented frame by frame, and written to another file."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.errors import FaceSegKitError
from facesegkit.inference.hdr import ToneMapper
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.tracker import FaceTracker
from facesegkit.inference.video_frames import MAX_PIXELS, fitted, upright
from facesegkit.inference.video_parts import Parts, Sound
from facesegkit.inference.visualize import render
from facesegkit.system.files import atomic_write, check_is_file

if TYPE_CHECKING:  # PyAV (FFmpeg's libraries) is imported for videos only
    from av.container import InputContainer, OutputContainer
    from av.video.frame import VideoFrame

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm")  # of files that are read
WRITTEN = (".mp4", ".mov", ".mkv")
VIEWS = ("overlay", "mask")

# Constant quality, 0 (best) to 51; below FFmpeg's 23, since flat colours suffer first.
_OPTIONS = {"crf": "18", "preset": "veryfast"}
# A text named .mp4 may be a playlist of FFmpeg's, which reads other files.
# Raw streams are what some recorders write, whatever they call the file.
_CONTAINERS = {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,h264,hevc"}
_LARGE = {"threads": "1", "rc-lookahead": "0", "bf": "0", "refs": "1"}  # to save memory
_BT709 = 1  # the matrix, primaries and transfer curve of HD video, in FFmpeg's numbers


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

    The result, H.264, has the timestamps (but each later than the one before), the size as shown
    (except for an odd last row or column, which H.264 does not allow, and over 9 megapixels) and
    the audio of the source, which becomes AAC unless it is AAC, MP3 or AC-3. HDR becomes SDR.

    Args:
        segmenter: what single photos are segmented with.
        source, output: the video, and a path that ends in .mp4, .mov or .mkv.
        view: "overlay" or "mask".
        progress: called after each frame with the number of frames so far and in total (0 if the
            file does not say). The total is returned.
        notice: called with each sentence about parts that are damaged, missing or left out.

    Raises:
        FaceSegKitError: if the video cannot be read, or the result cannot be written.
        ModuleNotFoundError: if PyAV is not installed.
    """
    import av

    check_video_path(output, view)
    check_is_file(source)
    if not source.exists():
        raise FaceSegKitError(f"There is no video {source}.")
    tracker, done = FaceTracker(segmenter), 0
    with (
        _read_errors_explained(source),
        av.open(_absolute(source), options=_CONTAINERS) as container,
    ):
        if not container.streams.video:
            raise FaceSegKitError(f"{source} contains no video, only audio.")
        video = container.streams.video[0]
        if min(video.width, video.height) == 1:
            raise FaceSegKitError(f"{source} is one pixel wide or high; H.264 needs two.")
        is_large = video.width * video.height > MAX_PIXELS
        if is_large:
            video.codec_context.thread_count = 1  # each thread holds frames
        else:
            video.thread_type = "AUTO"
        with atomic_write(output) as unfinished, av.open(_absolute(unfinished), "w") as result:
            writer, tone_mapper = _Writer(result, container), ToneMapper()
            parts = Parts(container, writer.streams)
            for stream, packet in parts:
                if stream is not video:
                    writer.add_audio(writer.sound.packets(packet, parts))
                    continue
                for frame in parts.frames(stream, packet):
                    if is_large:
                        gc.collect()  # PyAV's frames and their side data refer to each other
                    pixels = upright(frame, video.sample_aspect_ratio, tone_mapper)
                    segmented = tracker(Image.fromarray(writer.fitted(pixels)))
                    writer.add(np.asarray(render(segmented, view)), frame)
                    done += 1
                    if progress:
                        progress(done, video.frames)
            if not done:
                raise FaceSegKitError(f"{source} contains no frame that can be read.")
            writer.finish()
            problems = parts.problems() + writer.sound.problems
    if notice:
        for problem in problems:
            notice(f"{source}: {problem}.")
    return done


def _absolute(path: Path) -> str:
    """A path as FFmpeg needs it, which takes the start of "take:1.mp4" for a protocol."""
    return os.path.abspath(path)


@contextmanager
def _read_errors_explained(source: Path) -> Iterator[None]:
    import av

    try:
        yield
    except av.FFmpegError as error:
        problem = f"is not a video that can be read, or is damaged or cut off ({error.strerror})"
        raise FaceSegKitError(f"{source} {problem}.") from error


class _Writer:
    """Writes frames with the timestamps of those that they were made from, and the audio."""

    def __init__(self, result: OutputContainer, source: InputContainer) -> None:
        video = source.streams.video[0]
        self.result = result
        rate = video.average_rate or 25  # only nominal; the timestamps are those of the frames
        self.video = result.add_stream("libx264", rate=rate, options=_OPTIONS)
        self.video.pix_fmt = "yuv420p"  # the only one that many players know
        self.size: tuple[int, int] | None = None
        self.last: int | None = None
        self.base: Fraction | None = None
        self.rate = rate
        self.sound = Sound(result, source)
        self.streams = [video, self.sound.stream] if self.sound.stream else [video]  # to be read
        self.waiting: list[Any] = []  # audio before the first frame, which decides the size

    def fitted(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The frame in the size of the first."""
        self.size = self.size or (pixels.shape[1], pixels.shape[0])
        return fitted(pixels, self.size)

    def _time_base(self, like: VideoFrame) -> Fraction:
        """The unit of all timestamps; that of the first frame, if it has one."""
        if self.base is None:
            usable = like.time_base if like.pts is not None else None
            self.base = usable or Fraction(1, 90_000)
        return self.base

    def _next_time(self, like: VideoFrame, base: Fraction) -> int:
        """The frame's timestamp, or one after the last if it is missing, repeats or goes back."""
        scale = Fraction(like.time_base or base) / base
        pts = None if like.pts is None else round(like.pts * scale)
        step = round(like.duration * scale) or max(1, round(1 / (self.rate * base)))
        if self.last is None:
            self.last = 0 if pts is None else pts
        elif pts is None:
            self.last += step
        else:
            self.last = pts if pts > self.last else self.last + max(1, step // 2)
        return self.last

    def add(self, image: NDArray[np.uint8], like: VideoFrame) -> None:
        import av

        if not self.video.codec_context.is_open:
            context = self.video.codec_context
            self.video.height, self.video.width = image.shape[:2]
            context.time_base = self._time_base(like)
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = 1  # limited, as players expect
            if image.shape[0] * image.shape[1] > MAX_PIXELS // 2:
                context.options = {**_OPTIONS, **_LARGE}
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709)
        time_base = self._time_base(like)
        frame.pts, frame.time_base = self._next_time(like, time_base), time_base
        self.result.mux(self.video.encode(frame))
        while self.waiting:
            self.result.mux(self.waiting.pop(0))

    def add_audio(self, packets: list[Any]) -> None:
        if self.video.codec_context.is_open:
            self.result.mux(packets)
        else:
            self.waiting += packets

    def finish(self) -> None:
        """Write what the encoders still buffer."""
        if self.video.codec_context.is_open:
            self.result.mux(self.video.encode(None))
        self.add_audio(self.sound.finish())


def _or(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
