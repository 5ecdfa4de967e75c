"""Videos: read, segmented, written with their timestamps and their audio."""

import os
from fractions import Fraction

import numpy as np
import pytest
from fake_models import GREY
from PIL import Image

from facesegkit.cli.main import main
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.video import check_video_path, segment_video
from facesegkit.synthetic import synthesize_face

av = pytest.importorskip("av")

FRAMES = 24


@pytest.fixture(scope="module")
def segmenter():
    return FaceSegmenter("unet-synthetic")


def frame_with_face(x=160, y=120, side=150):
    frame = Image.new("RGB", (320, 240), GREY)
    face = Image.fromarray(synthesize_face(seed=9_000, index=2).photo)
    frame.paste(face.resize((side, side)), (round(x - side / 2), round(y - side / 2)))
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


def test_odd_display_matrices_pixels_and_times():
    from facesegkit.inference.video_frames import _shown_size, fitted

    assert _shown_size(256, 512, Fraction(2)) == (512, 512)
    assert _shown_size(512, 256, Fraction(1, 2)) == (512, 512)
    assert max(_shown_size(17_000, 32, None)) == 16_384
    assert np.prod(_shown_size(7680, 4320, None)) <= 9_010_000
    portrait = fitted(np.full((640, 360, 3), 255, np.uint8), (640, 360))
    assert portrait.shape == (360, 640, 3)
    rows, columns = np.nonzero(portrait[..., 0] > 128)
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(640 / 360, abs=0.03)


def test_audio_only(segmenter, tmp_path):
    with av.open(tmp_path / "audio.mkv", "w") as container:
        write_audio(container, container.add_stream("aac", rate=16_000), 1)
    with pytest.raises(FaceSegKitError, match="contains no video, only audio"):
        segment_video(segmenter, tmp_path / "audio.mkv", tmp_path / "out.mp4")


def test_views_and_suffixes_that_are_not_written(tmp_path):
    with pytest.raises(FaceSegKitError, match="no view 'panel' of a video; choose overlay or mask"):
        check_video_path(tmp_path / "out.mp4", "panel")
    with pytest.raises(FaceSegKitError, match="video as .*out.gif; use .mp4, .mov or .mkv"):
        check_video_path(tmp_path / "out.gif", "mask")


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
