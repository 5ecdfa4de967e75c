"""Video read from a file, segmented frame by frame, and written to another file."""

from __future__ import annotations

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
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.tracker import FaceTracker
from facesegkit.inference.video_frames import MAX_PIXELS, fitted, upright
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
_CONTAINERS = {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts"}
_LARGE = {"threads": "1", "rc-lookahead": "0", "bf": "0", "refs": "1"}  # to save memory
_BT709 = 1  # the matrix, primaries and transfer curve of HD video, in FFmpeg's numbers
_AUDIO_CODECS = ("aac", "mp3", "ac3")  # that all of `WRITTEN` can contain; others are left out


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its name."""
    return path.suffix.lower() in SUFFIXES


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
    (except for an odd last row or column, which H.264 does not allow, and over 9 megapixels) and,
    if it is AAC, MP3 or AC-3, the audio of the source.

    Args:
        segmenter: what single photos are segmented with.
        source, output: the video, and a path that ends in .mp4, .mov or .mkv.
        view: "overlay" or "mask".
        progress: called after each frame with the number of frames so far and in total (0 if the
            file does not say). The total is returned.
        notice: called with a sentence about damaged parts that were skipped.

    Raises:
        FaceSegKitError: if the video cannot be read, or the result cannot be written.
        ModuleNotFoundError: if PyAV is not installed.
    """
    import av

    check_video_path(output, view)
    check_is_file(source)
    if not source.exists():
        raise FaceSegKitError(f"There is no video {source}.")
    tracker, done, damaged = FaceTracker(segmenter), 0, 0
    with (
        _read_errors_explained(source),
        av.open(_absolute(source), options=_CONTAINERS) as container,
    ):
        if not container.streams.video:
            raise FaceSegKitError(f"{source} contains no video, only audio.")
        video = container.streams.video[0]
        if min(video.width, video.height) == 1:
            raise FaceSegKitError(f"{source} is one pixel wide or high; H.264 needs two.")
        if video.width * video.height > MAX_PIXELS:
            video.codec_context.thread_count = 1  # each thread holds frames
        else:
            video.thread_type = "AUTO"
        with atomic_write(output) as unfinished, av.open(_absolute(unfinished), "w") as result:
            writer = _Writer(result, container)
            for packet in container.demux(*writer.streams):
                if packet.stream is not video:
                    writer.add_audio(packet)
                    continue
                try:
                    frames = packet.decode()
                except av.InvalidDataError:
                    damaged += 1
                    continue
                for frame in frames:
                    pixels = upright(frame, video.sample_aspect_ratio)
                    segmented = tracker(Image.fromarray(writer.fitted(pixels)))
                    writer.add(np.asarray(render(segmented, view)), frame)
                    done += 1
                    if progress:
                        progress(done, video.frames)
            if not done:
                raise FaceSegKitError(f"{source} contains no frame that can be read.")
            writer.finish()
    if damaged and notice:
        notice(f"{source}: {damaged:,} damaged packets were skipped.")
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
        problem = f"is not a video that can be read, or it is damaged ({error.strerror})"
        raise FaceSegKitError(f"{source} {problem}.") from error


class _Writer:
    """Writes frames with the timestamps of those that they were made from; copies the audio."""

    def __init__(self, result: OutputContainer, source: InputContainer) -> None:
        video, first = source.streams.video[0], source.streams.audio[:1]
        audio = [stream for stream in first if stream.codec_context.name in _AUDIO_CODECS]
        self.result = result
        self.streams: list[Any] = [video, *audio]  # to be read
        rate = video.average_rate or 25  # only nominal; the timestamps are those of the frames
        self.video = result.add_stream("libx264", rate=rate, options=_OPTIONS)
        self.video.pix_fmt = "yuv420p"  # the only one that many players know
        self.size: tuple[int, int] | None = None
        self.last: int | None = None
        self.base: Fraction | None = None
        self.rate = rate
        self.audio = result.add_stream_from_template(audio[0]) if audio else None
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

    def _next_time(self, pts: int | None, time_base: Any) -> int:
        """The frame's timestamp, or one after the last if it is missing, repeats or goes back."""
        step = max(1, round(1 / (self.rate * time_base)))
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
                self.video.options = {**_OPTIONS, **_LARGE}
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709)
        time_base = self._time_base(like)
        frame.pts, frame.time_base = self._next_time(like.pts, time_base), time_base
        self.result.mux(self.video.encode(frame))
        while self.waiting:
            self.result.mux(self.waiting.pop(0))

    def add_audio(self, packet: Any) -> None:
        if self.audio is None or packet.dts is None:  # the last packet is empty
            return
        packet.stream = self.audio
        if self.video.codec_context.is_open:
            self.result.mux(packet)
        else:
            self.waiting.append(packet)

    def finish(self) -> None:
        """Write what the encoder still buffers."""
        if self.video.codec_context.is_open:
            self.result.mux(self.video.encode(None))


def _or(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
