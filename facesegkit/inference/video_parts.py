"""What a video file consists of: packets that may be damaged or lacking, and sound."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from facesegkit.errors import counted

if TYPE_CHECKING:  # PyAV (FFmpeg's libraries) is imported for videos only
    from av.container import InputContainer, OutputContainer

_AUDIO_CODECS = ("aac", "mp3", "ac3")  # that all files that are written can contain
_AAC_RATES = (8_000, 96_000)  # samples per second
_LATE = 1  # seconds; players show nothing until the first frame
_GAP = 0.05  # seconds between two frames of sound that are not only rounding
_MICROSECONDS = 1_000_000
_MAX_BOXES = 1_000_000  # of a file; each fragment has two
_LACKING, _LACKING_SHARE = 0.5, 0.02  # seconds, and share of the video, that mean it was cut off


class Parts:
    """Decoded frames of some streams of a video, and what is wrong with the file.

    Args:
        container: the open video.
        streams: its video stream, and perhaps one of audio.
    """

    def __init__(self, container: InputContainer, streams: list[Any]) -> None:
        self._container, self._streams = container, streams
        self._damaged, self._is_cut = 0, _is_cut_within_a_box(container)
        start = Fraction(container.start_time or 0, _MICROSECONDS)
        self._first = start if start > _LATE else Fraction(0)
        self._incomplete = False  # whether the last packet is
        self._start: float | None = None
        self._end = 0.0

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Packets, in the order of the file, each with its stream; the last ones are empty."""
        import av

        packets = self._container.demux(*self._streams)
        try:
            for packet in packets:
                self._note_times(packet)
                self._incomplete |= self._is_cut and packet.is_corrupt
                yield packet.stream, packet
        except av.FFmpegError:  # the file ends within a packet
            if self._start is None:
                raise
            self._is_cut = True
            for stream in self._streams:
                yield stream, None

    def frames(self, stream: Any, packet: Any) -> list[Any]:
        """The frames of a packet; none if it is damaged, which is counted."""
        import av

        try:
            frames = stream.codec_context.decode(None) if packet is None else packet.decode()
        except av.InvalidDataError:
            self._damaged += 1
            return []
        except EOFError:
            return []
        return list(frames)

    def shifted(self, time: int | None, unit: Fraction | None) -> int | None:
        """A timestamp of the file, from 0 on if the file is the end of a longer recording."""
        if time is None or not unit:
            return time
        return time - round(self._first / unit)

    def _note_times(self, packet: Any) -> None:
        time = packet.dts if packet.pts is None else packet.pts
        if time is None or packet.stream is not self._streams[0] or not packet.time_base:
            return
        start, length = float(time * packet.time_base), float(packet.duration or 0)
        self._start = start if self._start is None else min(start, self._start)
        self._end = max(self._end, start + length * float(packet.time_base))

    def problems(self) -> list[str]:
        """What was skipped and what lacks, each as the end of a sentence about the file."""
        found = []
        damaged = self._damaged - (self._incomplete and self._damaged > 0)
        if damaged:
            packets = counted(damaged, "damaged packet")
            found.append(f"{packets} {'was' if damaged == 1 else 'were'} skipped")
        length, there = self._promised(), self._end - (self._start or 0)
        if "matroska" in self._container.format.name:  # whose length counts from 0
            length -= max(0.0, self._start or 0)
        lacks = length - there > max(_LACKING, _LACKING_SHARE * length)
        if self._is_cut or lacks:
            promised = f" of {length:.1f}" if lacks else ""
            found.append(f"the file is cut off; only {there:.1f}{promised} seconds are there")
        return found

    def _promised(self) -> float:
        """The length in seconds that the beginning of the file tells; 0 if it does not."""
        video = self._streams[0]
        if self._container.format.name == "avi" and video.average_rate:
            return float(video.frames / video.average_rate)  # FFmpeg shortens its duration
        if video.duration:
            return float(video.duration * video.time_base)
        return (self._container.duration or 0) / _MICROSECONDS


def _is_cut_within_a_box(container: InputContainer) -> bool:
    """Whether an MP4 or MOV file ends within one of its boxes; a fragmented one tells no length."""
    if "mov" not in container.format.name or not os.path.isfile(container.name):
        return False
    end, size = 0, os.path.getsize(container.name)
    with open(container.name, "rb") as file:
        for _ in range(_MAX_BOXES):
            file.seek(end)
            header = file.read(16)
            if len(header) < 8:
                break
            length = struct.unpack(">I", header[:4])[0]
            if length == 1 and len(header) == 16:
                length = struct.unpack(">Q", header[8:])[0]
            if length < 8:  # 0: to the end of the file
                return False
            end += length
    return end > size


class Sound:
    """The first audio stream of a video: copied, or encoded as AAC if results cannot contain it."""

    def __init__(self, result: OutputContainer, source: InputContainer) -> None:
        import av

        self.stream: Any = None  # to be read
        self.problems: list[str] = []  # ends of sentences about the file
        self._copied: Any = None
        self._encoded: Any = None
        if not source.streams.audio:
            return
        if len(source.streams.audio) > 1:
            self.problems.append("only the first of its sound tracks is kept")
        first = source.streams.audio[0]
        codec = first.codec_context
        if codec is None:
            self.problems.append("its sound is of a kind that cannot be decoded, and is left out")
        elif codec.codec.canonical_name in _AUDIO_CODECS:
            self.stream, self._copied = first, result.add_stream_from_template(first)
        else:
            self.stream = first
            rate = min(max(codec.sample_rate, _AAC_RATES[0]), _AAC_RATES[1])
            self._encoded = result.add_stream("aac", rate=rate)
            layout = "mono" if codec.layout.nb_channels == 1 else "stereo"
            self._encoded.layout = layout
            self._to_aac = av.AudioResampler("fltp", layout, rate)
            self._next = 0  # time of the next sample

    def packets(self, packet: Any, parts: Parts) -> list[Any]:
        """What a packet of the source becomes in the result."""
        if self._copied is not None:
            if packet is None or packet.dts is None:  # the last one is empty
                return []
            packet.pts = parts.shifted(packet.pts, packet.time_base)
            packet.dts = parts.shifted(packet.dts, packet.time_base)
            packet.stream = self._copied
            return [packet]
        made = []
        for frame in parts.frames(self.stream, packet):
            frame.pts = parts.shifted(frame.pts, frame.time_base)
            for resampled in self._to_aac.resample(frame):
                made += self._aac(resampled)
        return made

    def _aac(self, frame: Any) -> list[Any]:
        """Encode samples, at the end of those before unless they say that there is a gap."""
        gap = (frame.pts or 0) - self._next
        if frame.pts is not None and gap > _GAP * frame.sample_rate:
            self._next = frame.pts
        frame.pts, frame.time_base = self._next, Fraction(1, frame.sample_rate)
        self._next += frame.samples
        return list(self._encoded.encode(frame))

    def finish(self) -> list[Any]:
        """What the encoder still holds back."""
        if self._encoded is None or not self._encoded.codec_context.is_open:
            return []
        rest = [p for frame in self._to_aac.resample(None) for p in self._aac(frame)]
        return rest + list(self._encoded.encode(None))
