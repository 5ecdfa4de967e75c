"""Writing segmented frames, with their times: as H.264 video, or as an animation."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.errors import FaceSegKitError
from facesegkit.inference.video_frames import MAX_PIXELS, fitted
from facesegkit.inference.video_parts import Sound
from facesegkit.system.decode_limits import MAX_MEMORY

if TYPE_CHECKING:  # PyAV (FFmpeg's libraries) is imported for videos only
    from av.container import InputContainer, OutputContainer
    from av.video.frame import VideoFrame

# Constant quality, 0 (best) to 51; below FFmpeg's 23, since flat colours suffer first.
# No B-frames: with them, an MP4 ends too early if its last frames are far apart.
_OPTIONS = {"crf": "18", "preset": "veryfast", "bf": "0"}
ANIMATIONS = (".gif", ".webp", ".apng")  # suffixes
_LARGE = {"threads": "1", "rc-lookahead": "0", "refs": "1"}  # to save memory
_BT709 = 1  # the matrix, primaries and transfer curve of HD video, in FFmpeg's numbers
_UNIT = Fraction(1, 90_000)  # seconds, if the source has no timestamps
_MILLISECONDS = Fraction(1, 1000)
_GIF_TIMES = 20, 10  # milliseconds: the shortest that browsers show, and the unit of durations
_LONGEST = {".gif": 655_350, ".webp": 2**24 - 1, ".apng": 65_535}  # milliseconds of a frame
_MOST_PLAYS = 65_535  # that all formats can tell
_NO_SOUND = "its sound is left out, because {} has none"
_FRAME_BYTES = 5  # of each pixel of an animation, which Pillow writes at once


@dataclass(frozen=True)
class Moment:
    """When a frame is shown, as far as its file says: in units of so many seconds."""

    pts: int | None
    time_base: Fraction | None
    duration: int | None


class Clock:
    """Timestamps that never repeat or go back.

    Args:
        rate: frames per second, for frames without timestamps.
        unit: of the timestamps, in seconds; by default that of the first frame, if it has one.
    """

    def __init__(self, rate: Fraction, unit: Fraction | None = None) -> None:
        self._rate, self._unit = rate, unit
        self._last: int | None = None
        self._repeats = 0  # timestamps in a row that are not later than the one before

    @property
    def unit(self) -> Fraction:
        """Of the timestamps, in seconds."""
        return self._unit or _UNIT

    def next(self, moment: Moment) -> int:
        """The frame's timestamp, or one after the last if it is missing, repeats or goes back."""
        if self._unit is None:
            self._unit = moment.time_base if moment.pts is not None else _UNIT
        pts = None if moment.pts is None else self._in_units(moment.pts, moment)
        if self._last is None:
            self._last = 0 if pts is None else pts
        elif pts is None:
            self._last += self.step(moment)
        elif pts > self._last:
            self._last, self._repeats = pts, 0
        else:  # the first that repeats comes between its neighbours; if all do, they are useless
            step = self.step(moment)
            self._last += step if self._repeats else max(1, step // 2)
            self._repeats += 1
        return self._last

    def step(self, moment: Moment) -> int:
        """How long a frame is shown, as far as the file says."""
        shown = self._in_units(moment.duration or 0, moment)
        return shown or max(1, round(1 / (self._rate * self.unit)))

    def _in_units(self, time: int, moment: Moment) -> int:
        return round(time * Fraction(moment.time_base or self.unit) / self.unit)


class VideoWriter:
    """Writes frames with the timestamps of those that they were made from, and the sound."""

    def __init__(
        self, result: OutputContainer, rate: Fraction, source: InputContainer | None = None
    ) -> None:
        self._result = result
        # The rate is only nominal; the timestamps are those of the frames.
        self._video = result.add_stream("libx264", rate=rate, options=_OPTIONS)
        self._video.pix_fmt = "yuv420p"  # the only one that many players know
        self._size: tuple[int, int] | None = None
        self._clock = Clock(rate)
        self._durations: dict[int | None, int] = {}  # of the frames that are being encoded
        self.sound = Sound(result, source) if source else None
        self._waiting: list[Any] = []  # sound before the first frame, which decides the size

    def fitted(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The frame in the size of the first."""
        self._size = self._size or (pixels.shape[1], pixels.shape[0])
        return fitted(pixels, self._size)

    def add(self, image: NDArray[np.uint8], moment: Moment) -> None:
        """Write a frame, RGB uint8 [H, W, 3], at this moment."""
        import av

        time = self._clock.next(moment)
        if not self._video.codec_context.is_open:
            self._set_up(image.shape[1], image.shape[0])
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709)
        frame.pts, frame.time_base = time, self._clock.unit
        self._durations[time] = self._clock.step(moment)
        self._mux(self._encoded(frame))
        while self._waiting:
            self._mux([self._waiting.pop(0)])

    def _set_up(self, width: int, height: int) -> None:
        context = self._video.codec_context
        self._video.height, self._video.width = height, width
        context.time_base = self._clock.unit
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = 1  # limited, as players expect
        if width * height > MAX_PIXELS // 2:
            context.options = {**_OPTIONS, **_LARGE}

    def add_audio(self, packets: list[Any]) -> None:
        """Write sound, as soon as there is a frame."""
        if self._video.codec_context.is_open:
            self._mux(packets)
        else:
            self._waiting += packets

    def finish(self) -> None:
        """Write what the encoders still buffer."""
        if self._video.codec_context.is_open:
            self._mux(self._encoded(None))
        if self.sound:
            self.add_audio(self.sound.finish())

    def _encoded(self, frame: VideoFrame | None) -> list[Any]:
        import av

        try:
            packets = self._video.encode(frame)
        except av.FFmpegError as error:  # not of the video that is read
            size = f"{self._video.width} x {self._video.height} pixels"
            raise FaceSegKitError(f"H.264 cannot encode {size}: {error.strerror}.") from error
        for packet in packets:  # the encoder forgets how long the last frame is shown
            packet.duration = self._durations.pop(packet.pts, 0) or packet.duration
        return packets

    def _mux(self, packets: list[Any]) -> None:
        import av

        try:
            self._result.mux(packets)
        except OSError:  # a full disk
            raise
        except av.FFmpegError as error:  # not of the video that is read
            problem = f"cannot contain this video or its sound ({error.strerror})"
            raise FaceSegKitError(
                f"This kind of file {problem}; save the result as .mkv."
            ) from error

    @property
    def problems(self) -> list[str]:
        """What is left out, each as the end of a sentence about the file."""
        return self.sound.problems if self.sound else []


def check_length(source: Path, frames: int, size: tuple[int, int]) -> None:
    """Raise a FaceSegKitError if so many frames of this size cannot be written as an animation."""
    if _FRAME_BYTES * frames * size[0] * size[1] > MAX_MEMORY:
        kind = f"an animation of {frames:,} frames of {size[0]} x {size[1]} pixels"
        raise FaceSegKitError(f"{source} is too large for {kind}; save the result as .mp4.")


class AnimationWriter:
    """Writes frames as an animated GIF, WebP or PNG; there is no sound.

    Args:
        path: the file, whose suffix is the format.
        rate: frames per second, for frames without timestamps.
        plays: how often the animation is shown; 0 is for ever.
        has_sound: whether the frames are of a video with sound.
        is_flat: whether the frames have few colours, which WebP stores without loss then.
    """

    sound: None = None

    def __init__(
        self,
        path: Path,
        rate: Fraction,
        plays: int = 0,
        *,
        has_sound: bool = False,
        is_flat: bool = False,
    ) -> None:
        self._path, self._plays, self._is_flat = path, min(plays, _MOST_PLAYS), is_flat
        self.problems = [_NO_SOUND.format(path.suffix[1:].upper())] if has_sound else []
        self._clock = Clock(rate, _MILLISECONDS)
        self._frames: list[Image.Image] = []
        self._starts: list[int] = []  # milliseconds
        self._end = 0
        self._is_gif = path.suffix.lower() == ".gif"
        self._least, self._step = _GIF_TIMES if self._is_gif else (1, 1)

    def fitted(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The frame in the size of the first."""
        return fitted(pixels, self._frames[0].size if self._frames else pixels.shape[1::-1])

    def add(self, image: NDArray[np.uint8], moment: Moment) -> None:
        """Keep a frame, RGB uint8 [H, W, 3], unless the format cannot show so many per second.

        Raises a FaceSegKitError if the frames do not fit into memory.
        """
        start = self._clock.next(moment)
        self._end = start + self._clock.step(moment)
        if self._starts and self._rounded(start) - self._rounded(self._starts[-1]) < self._least:
            return
        check_length(self._path, len(self._frames) + 1, (image.shape[1], image.shape[0]))
        frame = Image.fromarray(image)
        if self._is_gif:  # Pillow's own choice of colours loses those of small parts
            frame = frame.quantize(256, Image.Quantize.FASTOCTREE)
        self._frames.append(frame)
        self._starts.append(start)

    def add_audio(self, packets: list[Any]) -> None:
        """Nothing: an animation has no sound."""

    def _rounded(self, time: int) -> int:
        return self._step * round(time / self._step)

    def finish(self) -> None:
        """Write the file."""
        times = [self._rounded(time) for time in (*self._starts, self._end)]
        longest = _LONGEST[self._path.suffix.lower()]
        durations = [
            min(max(b - a, self._step), longest) for a, b in zip(times, times[1:], strict=False)
        ]
        options: dict[str, Any] = {"loop": self._plays}
        if self._is_gif:  # which tells how often it is repeated
            options = {"loop": max(0, self._plays - 1)} if self._plays != 1 else {}
        first, *others = self._frames
        try:
            first.save(
                self._path, save_all=True, append_images=others, duration=durations,
                quality=95, lossless=self._is_flat, **options,
            )  # fmt: skip
        except OSError:  # a full disk
            raise
        except Exception as error:  # each of Pillow's writers raises its own
            kind = f"{first.width} x {first.height} pixels as {self._path.suffix[1:].upper()}"
            raise FaceSegKitError(f"Cannot save frames of {kind}: {error}.") from error
