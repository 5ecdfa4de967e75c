"""Clips: moving pictures read from a file, segmented, and written to another."""

from __future__ import annotations

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

if TYPE_CHECKING:  # av is PyAV, FFmpeg's libraries; for clips only, so that photos do without
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm")  # of files that are read
WRITTEN = (".mp4", ".mov", ".mkv")
VIEWS = ("overlay", "mask")

# Constant quality, 0 (best) to 51; lower than FFmpeg's 23, for flat colours suffer first.
_OPTIONS = {"crf": "18", "preset": "veryfast"}
_SOUNDS = ("aac", "mp3", "ac3")  # that all of `WRITTEN` may hold; others are left out


def is_video(path: Path) -> bool:
    """Whether a file is a clip, by its name."""
    return path.suffix.lower() in SUFFIXES


def check_video_path(path: Path, view: str) -> None:
    """See that a view of a clip can be saved under a name, before any work is done for it.

    Raises:
        FaceSegKitError: another view than overlay or mask, or a suffix that is not written.
    """
    if view not in VIEWS:
        raise FaceSegKitError(f"There is no view {view!r} of a clip; choose one of {_or(VIEWS)}.")
    if path.suffix.lower() not in WRITTEN:
        raise FaceSegKitError(f"Cannot save a clip as {path}; use {_or(WRITTEN)}.")


def segment_video(
    segmenter: FaceSegmenter,
    source: Path,
    output: Path,
    view: str = "overlay",
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Segment a clip, face by face from picture to picture, and write it whole or not at all.

    The result has the clip's own times, size (but for an odd last row or column, which H.264 does
    not know) and, where it is AAC, MP3 or AC-3, sound.

    Args:
        segmenter: what single photos are segmented with.
        source: the clip.
        output: .mp4, .mov or .mkv; H.264.
        view: "overlay" or "mask".
        progress: is told after each picture how many are done, and how many there are, 0 if
            the file does not say.

    Returns:
        How many pictures there were.

    Raises:
        FaceSegKitError: the clip cannot be read, or the result not be written.
        ModuleNotFoundError: PyAV is not installed.
    """
    import av

    check_video_path(output, view)
    check_is_file(source)
    follower = FaceTracker(segmenter)
    done = 0
    with _reading(source), av.open(source) as clip:
        if not clip.streams.video:
            raise FaceSegKitError(f"{source} has no moving picture, only sound.")
        video = clip.streams.video[0]
        video.thread_type = "AUTO"
        with atomic_write(output) as unfinished, av.open(unfinished, "w") as result:
            writer = _Writer(result, video, _sound(clip))
            for packet in clip.demux(*writer.read):
                if packet.stream is not video:
                    writer.add_sound(packet)
                    continue
                for frame in packet.decode():
                    segmentation = follower(Image.fromarray(_upright(frame)))
                    writer.add(np.asarray(render(segmentation, view)), frame)
                    done += 1
                    if progress:
                        progress(done, video.frames)
            if not done:
                raise FaceSegKitError(f"{source} has no moving picture that can be read.")
            writer.finish()
    return done


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Say in one sentence why a clip cannot be read."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise FaceSegKitError(
            f"{source} is not a clip that can be read, or it is damaged ({error.strerror})."
        ) from error


def _upright(frame: VideoFrame) -> NDArray[np.uint8]:
    """A picture of a clip, RGB uint8 [H, W, 3]; phones note how they were held."""
    pixels = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
    height, width = (side - side % 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width])


def _sound(clip: InputContainer) -> AudioStream | None:
    audio = clip.streams.audio
    return audio[0] if audio and audio[0].codec_context.name in _SOUNDS else None


class _Writer:
    """Writes pictures with the times of those that they were made of, and sound as it was."""

    def __init__(
        self, result: OutputContainer, video: VideoStream, sound: AudioStream | None
    ) -> None:
        self.result = result
        self.read: list[Any] = [video] + ([sound] if sound else [])
        rate = video.average_rate or 25  # the file does not say; times are those of the pictures
        self.video = result.add_stream("libx264", lr=rate, options=_OPTIONS)
        self.video.pix_fmt = "yuv420p"  # all that many players know
        self.sound = result.add_stream_from_template(sound) if sound else None
        self.waiting: list[Any] = []  # sound before the first picture, which says its size

    def add(self, picture: NDArray[np.uint8], like: VideoFrame) -> None:
        import av

        if not self.video.codec_context.is_open:
            self.video.height, self.video.width = picture.shape[:2]
            if like.time_base:
                self.video.codec_context.time_base = like.time_base
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = like.pts, like.time_base
        self.result.mux(self.video.encode(frame))
        while self.waiting:
            self.result.mux(self.waiting.pop(0))

    def add_sound(self, packet: Any) -> None:
        if self.sound is None or packet.dts is None:  # the last packet is empty
            return
        packet.stream = self.sound
        if self.video.codec_context.is_open:
            self.result.mux(packet)
        else:
            self.waiting.append(packet)

    def finish(self) -> None:
        """Write what the encoder still holds back."""
        if self.video.codec_context.is_open:
            self.result.mux(self.video.encode(None))


def _or(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
