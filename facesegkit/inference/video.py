"""Video read from a file, segmented frame by frame, and written to another file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.errors import FaceSegKitError
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.tracker import FaceTracker
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
_AUDIO_CODECS = ("aac", "mp3", "ac3")  # that all of `WRITTEN` can contain; others are left out


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
) -> int:
    """Segment a video, tracking its faces, and write the result whole or not at all.

    The result, H.264, has the timestamps, the size (except for an odd last row or column, which
    H.264 does not allow) and, if it is AAC, MP3 or AC-3, the audio of the source.

    Args:
        segmenter: what single photos are segmented with.
        source, output: the video, and a path that ends in .mp4, .mov or .mkv.
        view: "overlay" or "mask".
        progress: called after each frame with the number of frames so far and in total (0 if the
            file does not say). The total is returned.

    Raises:
        FaceSegKitError: if the video cannot be read, or the result cannot be written.
        ModuleNotFoundError: if PyAV is not installed.
    """
    import av

    check_video_path(output, view)
    check_is_file(source)
    tracker, done = FaceTracker(segmenter), 0
    with _read_errors_explained(source), av.open(_absolute(source)) as container:
        if not container.streams.video:
            raise FaceSegKitError(f"{source} contains no video, only audio.")
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        with atomic_write(output) as unfinished, av.open(_absolute(unfinished), "w") as result:
            writer = _Writer(result, container)
            for packet in container.demux(*writer.streams):
                if packet.stream is not video:
                    writer.add_audio(packet)
                    continue
                for frame in packet.decode():
                    segmented = tracker(Image.fromarray(_upright(frame)))
                    writer.add(np.asarray(render(segmented, view)), frame)
                    done += 1
                    if progress:
                        progress(done, video.frames)
            if not done:
                raise FaceSegKitError(f"{source} contains no frame that can be read.")
            writer.finish()
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


def _upright(frame: VideoFrame) -> NDArray[np.uint8]:
    """A frame, RGB uint8 [H, W, 3], rotated as the phone that took it was held."""
    pixels = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
    height, width = (side - side % 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width])


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
        self.audio = result.add_stream_from_template(audio[0]) if audio else None
        self.waiting: list[Any] = []  # audio before the first frame, which decides the size

    def add(self, image: NDArray[np.uint8], like: VideoFrame) -> None:
        import av

        if not self.video.codec_context.is_open:
            self.video.height, self.video.width = image.shape[:2]
            if like.time_base:
                self.video.codec_context.time_base = like.time_base
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = like.pts, like.time_base
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
