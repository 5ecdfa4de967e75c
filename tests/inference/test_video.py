"""Videos: read, segmented, written with their timestamps and their audio."""

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from functools import cache
from unittest.mock import Mock

import numpy as np
import pytest
from fake_models import GREY
from PIL import Image

from facesegkit.cli.main import main
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.video import check_video_path, segment_video
from facesegkit.inference.video_writer import Clock
from facesegkit.synthetic import synthesize_face

av = pytest.importorskip("av")

FRAMES = 24


@pytest.fixture(scope="module")
def segmenter():
    return FaceSegmenter("unet-synthetic")


@cache
def face():
    return Image.fromarray(synthesize_face(seed=9_000, index=2).photo)


def frame_with_face(x=160, y=120, side=150):
    frame = Image.new("RGB", (320, 240), GREY)
    frame.paste(face().resize((side, side)), (round(x - side / 2), round(y - side / 2)))
    return frame


def write_audio(container, stream, seconds):
    silence = np.zeros((1, round(16_000 * seconds)), dtype=np.float32)
    frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
    frame.sample_rate = 16_000
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_video(path, frames, audio=None, rotation=None):
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=12)
        if rotation and not hasattr(video, "set_display_rotation"):
            pytest.skip("this PyAV cannot write the rotation")
        if rotation:
            video.set_display_rotation(rotation)
        video.width, video.height = frames[0].size
        video.pix_fmt = "yuv444p"  # allows odd sizes
        stream = container.add_stream(audio, rate=16_000) if audio else None
        for frame in frames:
            container.mux(video.encode(av.VideoFrame.from_image(frame)))
        container.mux(video.encode(None))
        if stream:
            write_audio(container, stream, len(frames) / 12)


def read_video(path):
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def nose_centre(mask):
    """x and y of the centroid of the blue pixels."""
    red, green, blue = np.moveaxis(mask.astype(int), -1, 0)
    rows, columns = np.nonzero((blue > 150) & (red < 100) & (green < 100))
    assert len(rows) > 20
    return columns.mean(), rows.mean()


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A face that moves to the right by four pixels per frame, with audio."""
    path = tmp_path_factory.mktemp("videos") / "moving.mp4"
    write_video(path, [frame_with_face(100 + 4 * n) for n in range(FRAMES)], audio="aac")
    return path


def test_masks_move_with_the_face(moving, segmenter, tmp_path):
    progress = []
    output = tmp_path / "made" / "out.mp4"
    done = segment_video(segmenter, moving, output, "mask", lambda *now: progress.append(now))
    assert done == FRAMES and progress == [(n, FRAMES) for n in range(1, FRAMES + 1)]
    masks = read_video(output)
    assert len(masks) == FRAMES and masks[0].shape == (240, 320, 3)
    centres = np.array([nose_centre(mask) for mask in masks])
    np.testing.assert_allclose(centres[:, 0] - centres[0, 0], 4 * np.arange(FRAMES), atol=3)
    assert np.ptp(centres[:, 1]) < 3


def test_timestamps_and_audio_are_kept(moving, segmenter, tmp_path):
    segment_video(segmenter, moving, tmp_path / "out.mov")
    times, lengths = [], []
    for path in (moving, tmp_path / "out.mov"):
        with av.open(path) as container:
            times.append([frame.time for frame in container.decode(video=0)])
            audio = container.streams.audio[0]
            lengths.append(float(audio.duration * audio.time_base))
    assert times[0] == pytest.approx(times[1]) and len(times[0]) == FRAMES
    assert lengths[0] == pytest.approx(lengths[1], abs=0.1) and lengths[0] > 1.5


def test_odd_sizes_lose_a_row_and_a_column_and_other_audio_becomes_aac(segmenter, tmp_path):
    frames = [frame_with_face().crop((0, 0, 319, 239))] * 3
    write_video(tmp_path / "odd.mkv", frames, audio="pcm_s16le")
    segment_video(segmenter, tmp_path / "odd.mkv", tmp_path / "out.mkv")
    assert [frame.shape for frame in read_video(tmp_path / "out.mkv")] == [(238, 318, 3)] * 3
    with av.open(tmp_path / "out.mkv") as container:
        assert container.streams.video[0].average_rate == Fraction(12)
        sound = container.streams.audio[0]
        samples = [frame.samples for frame in container.decode(sound)]
    assert sound.codec_context.name == "aac"
    assert sum(samples) / 16_000 == pytest.approx(3 / 12, abs=0.15)


def test_the_rotation_that_a_phone_wrote_is_applied(segmenter, tmp_path):
    upright = frame_with_face()
    rotated = upright.transpose(Image.Transpose.ROTATE_270)
    write_video(tmp_path / "rotated.mp4", [rotated] * 3, rotation=90)  # counter-clockwise
    segment_video(segmenter, tmp_path / "rotated.mp4", tmp_path / "out.mp4", "mask")
    mask = read_video(tmp_path / "out.mp4")[0]
    rows, columns = np.nonzero(segmenter(upright).mask("nose"))
    assert mask.shape == (240, 320, 3)
    assert nose_centre(mask) == pytest.approx((columns.mean(), rows.mean()), abs=3)


@pytest.mark.parametrize("content", [b"", b"not a video", None], ids=["empty", "text", "cut"])
def test_a_file_that_is_no_video(content, moving, segmenter, tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(moving.read_bytes()[:3000] if content is None else content)
    (tmp_path / "out.mp4").write_bytes(b"as it was")
    with pytest.raises(FaceSegKitError, match="broken.mp4 is not a video that can be read"):
        segment_video(segmenter, path, tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == b"as it was"
    assert sorted(os.listdir(tmp_path)) == ["broken.mp4", "out.mp4"]


def test_a_damaged_packet_is_skipped_and_said(moving, segmenter, tmp_path):
    with av.open(moving) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        middle = packets[len(packets) // 2]
        position, size = middle.pos, middle.size
    content = bytearray(moving.read_bytes())
    content[position : position + size] = b"\xff" * size
    (tmp_path / "damaged.mp4").write_bytes(content)
    said = []
    done = segment_video(
        segmenter, tmp_path / "damaged.mp4", tmp_path / "o.mp4", notice=said.append
    )
    assert 0 < done < FRAMES
    assert "1 damaged packet was skipped" in said[0]


def test_a_video_of_an_unknown_kind_is_refused(segmenter, tmp_path):
    write_times(tmp_path / "known.avi", range(3))
    content = (tmp_path / "known.avi").read_bytes()
    (tmp_path / "odd.avi").write_bytes(content.replace(b"MJPG", b"XQZW"))
    with pytest.raises(FaceSegKitError, match="odd.avi is of a kind of video that cannot be deco"):
        segment_video(segmenter, tmp_path / "odd.avi", tmp_path / "out.mp4")


def test_a_missing_video_is_said_to_be_missing(segmenter, tmp_path):
    with pytest.raises(FaceSegKitError, match=r"There is no video .*none.mp4"):
        segment_video(segmenter, tmp_path / "none.mp4", tmp_path / "out.mp4")


def test_a_playlist_named_as_a_video_is_refused(moving, segmenter, tmp_path):
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile '{moving}'\n")
    with pytest.raises(FaceSegKitError, match="is not a video that can be read"):
        segment_video(segmenter, tmp_path / "list.mp4", tmp_path / "out.mp4")


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no colon in a name")
def test_a_name_with_a_colon(segmenter, tmp_path):
    write_video(tmp_path / "take:1.mp4", [frame_with_face()] * 2)
    assert segment_video(segmenter, tmp_path / "take:1.mp4", tmp_path / "out:1.mp4") == 2


class Turned:
    """A frame as PyAV decodes it, with a display matrix."""

    width, height, color_trc, colorspace, format = 4, 2, 2, 2, av.VideoFormat("rgb24")

    def __init__(self, a, b, c, d):
        matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 14], np.int32) << 16
        self.side_data = {"DISPLAYMATRIX": matrix.tobytes()}

    def to_ndarray(self, **_):
        return np.repeat(np.arange(8, dtype=np.uint8).reshape(2, 4, 1), 3, axis=2)


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((1, 0, 0, 1), lambda pixels: pixels),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((-1, 0, 0, -1), lambda pixels: np.rot90(pixels, 2)),
        ((0, 1, -1, 0), lambda pixels: np.rot90(pixels, -1)),  # clockwise, as phones write it
        ((0, -1, 1, 0), np.rot90),
        ((0, 1, 1, 0), lambda pixels: pixels.swapaxes(0, 1)),  # mirrored and turned
    ],
)
def test_display_matrices_mirror_as_well_as_turn(matrix, turned):
    from facesegkit.inference.hdr import ToneMapper
    from facesegkit.inference.video_frames import upright

    frame = Turned(*matrix)
    np.testing.assert_array_equal(upright(frame, None, ToneMapper()), turned(frame.to_ndarray()))


def write_times(path, times, codec="mjpeg"):
    """One frame at each of these times, in tenths of a second."""
    with av.open(path, "w") as container:
        video = container.add_stream(codec, rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
        encoder = av.CodecContext.create(codec, "w")
        encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuvj420p"
        encoder.time_base = Fraction(1, 10)
        for number, at in enumerate(times):
            picture = Image.new("RGB", (64, 48), (20 * number, 90, 90))
            for packet in encoder.encode(av.VideoFrame.from_image(picture)):
                packet.stream, packet.pts, packet.dts = video, at, at
                packet.time_base = Fraction(1, 10)
                container.mux(packet)


def times_of(path):
    with av.open(path) as container:
        return np.array([frame.time for frame in container.decode(video=0)])


def test_repeated_and_backward_times_become_later_ones(segmenter, tmp_path):
    times = [0, 1, 1, 2, 3, 3, 4]
    write_times(tmp_path / "odd.mkv", times)
    assert segment_video(segmenter, tmp_path / "odd.mkv", tmp_path / "out.mp4") == 7
    result = times_of(tmp_path / "out.mp4")
    assert (np.diff(result) > 0).all()
    np.testing.assert_allclose(result, np.array(times) / 10, atol=0.06)

    clock = Clock(Fraction(10))
    frames = [av.VideoFrame(16, 16, "rgb24") for _ in range(5)]
    for frame, pts in zip(frames, (10, 40, 20, None, 70), strict=True):
        frame.pts, frame.time_base = pts, Fraction(1, 100)
    assert [clock.next(frame) for frame in frames] == [10, 40, 45, 55, 70]


def test_timestamps_that_are_all_equal_follow_the_frame_rate(segmenter, tmp_path):
    write_times(tmp_path / "zeros.mkv", [0] * 10)
    segment_video(segmenter, tmp_path / "zeros.mkv", tmp_path / "out.mp4")
    np.testing.assert_allclose(times_of(tmp_path / "out.mp4"), np.arange(10) / 10, atol=0.06)


def test_a_long_gap_is_as_long_in_the_result(segmenter, tmp_path):
    write_times(tmp_path / "gap.mkv", [0, 1, 2, 300, 301, 302])
    segment_video(segmenter, tmp_path / "gap.mkv", tmp_path / "out.mp4")
    assert times_of(tmp_path / "out.mp4")[-1] == pytest.approx(30.2, abs=0.01)
    with av.open(tmp_path / "out.mp4") as container:  # players stop at its end
        assert container.duration / 1e6 == pytest.approx(30.3, abs=0.05)


def test_a_recording_that_starts_late_begins_at_once(segmenter, tmp_path):
    write_times(tmp_path / "late.mkv", range(5000, 5010))
    said = []
    segment_video(segmenter, tmp_path / "late.mkv", tmp_path / "out.mp4", notice=said.append)
    np.testing.assert_allclose(times_of(tmp_path / "out.mp4"), np.arange(10) / 10, atol=0.01)
    assert not said  # such as that it is cut off


@pytest.mark.parametrize("codec", ["mp2", "libmp3lame", "pcm_s16le"])
def test_sound_of_avi_files_is_kept(codec, segmenter, tmp_path):
    with av.open(tmp_path / "sound.avi", "w") as container:
        video = container.add_stream("mjpeg", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
        sound = container.add_stream(codec, rate=16_000, layout="mono")
        for _ in range(10):
            picture = av.VideoFrame.from_image(Image.new("RGB", (64, 48)))
            container.mux(video.encode(picture))
        write_audio(container, sound, 1)
    segment_video(segmenter, tmp_path / "sound.avi", tmp_path / "out.mp4")
    with av.open(tmp_path / "out.mp4") as container:
        kept = container.streams.audio[0]
        assert kept.codec_context.codec.canonical_name == ("mp3" if "mp3" in codec else "aac")
        samples = [frame.samples for frame in container.decode(kept)]
    assert sum(samples) / 16_000 == pytest.approx(1, abs=0.15)


def test_frames_without_times_follow_the_frame_rate(segmenter, tmp_path):
    with av.open(tmp_path / "raw.mkv", "w", format="h264") as container:
        video = container.add_stream("libx264", rate=10, options={"bf": "0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for _ in range(20):
            container.mux(video.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 48)))))
        container.mux(video.encode(None))
    assert segment_video(segmenter, tmp_path / "raw.mkv", tmp_path / "out.mp4") == 20
    np.testing.assert_allclose(times_of(tmp_path / "out.mp4"), np.arange(20) / 10, atol=0.01)


def test_colours_are_those_of_bt709_and_tagged_so(segmenter, tmp_path):
    colour = (200, 60, 30)
    with av.open(tmp_path / "red.mp4", "w") as container:
        video = container.add_stream("libx264rgb", rate=10, options={"crf": "0"})
        video.width, video.height, video.pix_fmt = 320, 240, "rgb24"
        container.mux(video.encode(av.VideoFrame.from_image(Image.new("RGB", (320, 240), colour))))
        container.mux(video.encode(None))
    segment_video(segmenter, tmp_path / "red.mp4", tmp_path / "out.mp4")
    with av.open(tmp_path / "out.mp4") as container:
        frame = next(container.decode(video=0))
        luma = np.asarray(frame.planes[0]).reshape(240, -1)[9, 9]
    assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)
    wanted = 16 + 219 / 255 * (0.2126 * 200 + 0.7152 * 60 + 0.0722 * 30)
    assert luma == pytest.approx(wanted, abs=2)


@pytest.mark.parametrize(
    ("size", "matrix", "told"),
    [((1280, 720), 1, False), ((640, 480), 5, False), ((640, 480), 1, True),
     ((1280, 720), 5, True), ((480, 640), 1, False)],
)  # fmt: skip
def test_hd_that_tells_no_colours_is_taken_for_bt709(size, matrix, told):
    from facesegkit.inference.hdr import ToneMapper
    from facesegkit.inference.video_frames import upright

    frame = av.VideoFrame.from_image(Image.new("RGB", size, (200, 60, 30)))
    frame = frame.reformat(format="yuv420p", dst_colorspace=matrix)
    frame.colorspace = matrix if told else 2
    np.testing.assert_allclose(upright(frame, None, ToneMapper())[9, 9], (200, 60, 30), atol=4)


def test_a_full_range_video_keeps_black_and_white():
    from facesegkit.inference.hdr import ToneMapper
    from facesegkit.inference.video_frames import upright

    for value in (0, 255):
        frame = av.VideoFrame(64, 48, "yuvj420p")
        for plane, content in zip(frame.planes, (value, 128, 128), strict=True):
            plane.update(bytes([content]) * plane.buffer_size)
        assert abs(int(upright(frame, None, ToneMapper())[9, 9, 1]) - value) <= 1


def write_pictures(path, size, count=1):
    """Frames of one colour, PNG."""
    with av.open(path, "w") as container:
        video = container.add_stream("png", rate=10)
        video.width, video.height, video.pix_fmt = *size, "rgb24"
        picture = av.VideoFrame.from_image(Image.new("RGB", size, (90, 120, 150)))
        for _ in range(count):
            container.mux(video.encode(picture))
        container.mux(video.encode(None))


def test_a_video_that_is_too_wide_for_h264_is_shrunk_and_that_is_said(segmenter, tmp_path):
    write_pictures(tmp_path / "wide.mov", (17_000, 32))
    said = []
    segment_video(segmenter, tmp_path / "wide.mov", tmp_path / "out.mp4", notice=said.append)
    assert len(said) == 1 and "only 16384 x 30 pixels, because H.264 has at most 16,384" in said[0]
    assert read_video(tmp_path / "out.mp4")[0].shape == (30, 16384, 3)


class Stream:
    """A video stream of a size, as far as its memory is computed from it."""

    def __init__(self, codec, pixels, width, height):
        self.width, self.height = width, height
        self.codec_context = Mock(format=av.VideoFormat(pixels))
        self.codec_context.name = codec


@pytest.mark.parametrize(
    ("stream", "most"),
    [
        (("h264", "yuv420p", 1920, 1080), 9_000_000),
        (("hevc", "yuv420p10le", 3840, 2160), 9_000_000),
        (("h264", "yuv420p", 7680, 4320), 9_000_000),
        (("prores", "yuv422p10le", 8192, 4320), 9_000_000),
        (("png", "rgb24", 12_288, 6480), 8_400_000),
        (("hevc", "yuv420p10le", 7680, 4320), None),
        (("png", "rgb24", 16_000, 16_000), None),
        (("mjpeg", "yuvj420p", 16_000, 16_000), None),
    ],
)
def test_videos_whose_frames_take_a_gigabyte_are_refused(stream, most):
    from facesegkit.inference.video_limits import result_pixels

    if most:
        assert result_pixels(Stream(*stream), "film.mov") == pytest.approx(most, rel=0.03)
        return
    size = f"{stream[2]} x {stream[3]} pixels of this kind take over a gigabyte"
    with pytest.raises(FaceSegKitError, match=f"film.mov is too large: {size}"):
        result_pixels(Stream(*stream), "film.mov")


@pytest.mark.parametrize(
    ("suffix", "movflags"),
    [(".mkv", ""), (".avi", ""), (".mp4", "faststart"), (".mov", "frag_keyframe+empty_moov"),
     (".mp4", "frag_every_frame+empty_moov")],
)  # fmt: skip
def test_a_video_that_is_cut_off_is_said_to_be(suffix, movflags, segmenter, tmp_path):
    rng = np.random.default_rng(0)
    path, said = tmp_path / f"cut{suffix}", []
    options = {"movflags": movflags} if movflags else {}
    with av.open(path, "w", options=options) as container:
        video = container.add_stream("libx264", rate=12, options={"g": "6"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        for _ in range(36):
            noise = rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(video.encode(None))
    assert segment_video(segmenter, path, tmp_path / "out.mp4", notice=said.append) == 36
    assert not said
    os.truncate(path, path.stat().st_size * 6 // 10)
    assert 12 < segment_video(segmenter, path, tmp_path / "out.mp4", notice=said.append) < 30
    assert len(said) == 1 and "the file is cut off; only 1." in said[0]


def as_hlg(photo):
    """sRGB as BT.2020 HLG, uint16, with white at the peak; the inverse of what is tested."""
    from facesegkit.inference.hdr import _TO_BT709

    light = np.where(photo <= 0.04045, photo / 12.92, ((photo + 0.055) / 1.055) ** 2.4)
    light = np.clip(light @ np.linalg.inv(_TO_BT709).T, 0, 1)
    luminance = light @ np.array([0.2627, 0.6780, 0.0593])
    scene = light * np.maximum(luminance, 1e-9)[..., None] ** (1 / 1.2 - 1)
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    return np.rint(np.clip(signal, 0, 1) * 65535).astype(np.uint16)


def test_hlg_looks_as_the_photo_that_it_was_made_from():
    from facesegkit.inference.hdr import ToneMapper

    photo = np.asarray(frame_with_face())
    mapped = ToneMapper()(as_hlg(photo / 255), 18)
    assert np.abs(mapped.astype(int) - photo).mean() < 4


def test_pq_keeps_order_and_range_in_one_exposure():
    from facesegkit.inference.hdr import ToneMapper

    ramp = np.repeat(np.linspace(0, 65535, 256).astype(np.uint16)[None, :, None], 3, axis=2)
    mapped = ToneMapper()(np.repeat(ramp, 8, axis=0), 16)[0, :, 1].astype(int)
    assert mapped[0] == 0 and mapped[-1] == 255 and (np.diff(mapped) >= 0).all()
    assert 90 < mapped[148] < 200  # a white page, 203 cd/m2, in a picture with much brighter parts


def test_odd_pixels_and_sizes():
    from facesegkit.inference.video_frames import fitted, shown_size

    assert shown_size(256, 512, Fraction(2)) == (512, 512)
    assert shown_size(512, 256, Fraction(1, 2)) == (512, 512)
    assert max(shown_size(17_000, 32, None)) == 16_384
    assert shown_size(40_000, 2, None) == (16_384, 2)  # not less, which H.264 does not have
    assert np.prod(shown_size(7680, 4320, None)) <= 9_010_000
    portrait = fitted(np.full((640, 360, 3), 255, np.uint8), (640, 360))
    assert portrait.shape == (360, 640, 3)
    rows, columns = np.nonzero(portrait[..., 0] > 128)
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(640 / 360, abs=0.03)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that a process can handle")
def test_sigterm_leaves_no_unfinished_file(tmp_path):
    write_video(tmp_path / "long.mp4", [Image.new("RGB", (64, 48))] * 1500)
    command = [sys.executable, "-m", "facesegkit", "segment", "long.mp4", "--output-dir", "out"]
    process = subprocess.Popen(
        [*command, "--model", "unet-synthetic"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    out = tmp_path / "out"
    for _ in range(600):
        if out.is_dir() and any(name.endswith(".mp4") for name in os.listdir(out)):
            break
        time.sleep(0.05)
    assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=60) == -signal.SIGTERM
    assert not os.listdir(out)


def test_audio_only(segmenter, tmp_path):
    with av.open(tmp_path / "audio.mkv", "w") as container:
        write_audio(container, container.add_stream("aac", rate=16_000), 1)
    with pytest.raises(FaceSegKitError, match="contains no video, only audio"):
        segment_video(segmenter, tmp_path / "audio.mkv", tmp_path / "out.mp4")


def test_views_and_suffixes_that_are_not_written(tmp_path):
    with pytest.raises(FaceSegKitError, match="no view 'panel' of a video; choose overlay or mask"):
        check_video_path(tmp_path / "out.mp4", "panel")
    with pytest.raises(FaceSegKitError, match="video as .*out.avi; use .mp4, .mov, .mkv, .gif,"):
        check_video_path(tmp_path / "out.avi", "mask")


def test_the_command(moving, tmp_path, capsys):
    output = tmp_path / "out.mp4"
    arguments = ["segment", str(moving), "--model", "unet-synthetic"]
    assert main([*arguments, "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert f"{FRAMES} frames" in printed and f"saved {output}" in printed
    assert len(read_video(output)) == FRAMES
    assert main([*arguments, "--view", "labels", "--output", str(output)]) == 1
    assert "no view 'labels' of a video" in capsys.readouterr().err
    assert main(["segment", str(moving), str(moving), "--output", str(output)]) == 1
    assert "--output is for one photo or video" in capsys.readouterr().err
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    both = ["segment", str(tmp_path / "broken.mp4"), *arguments[1:]]
    assert main([*both, "--output-dir", str(tmp_path / "all")]) == 3
    assert "1 of 2 files could not be segmented" in capsys.readouterr().err
    assert os.listdir(tmp_path / "all") == ["moving.mp4"]
