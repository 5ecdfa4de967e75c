"""Clips: read, followed from picture to picture, written with their times and their sound."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facesegkit.cli.main import main
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.tracker import FaceTracker
from facesegkit.inference.video import check_video_path, segment_video
from facesegkit.synthetic import synthesize_face

av = pytest.importorskip("av")

SIZE = (320, 240)
PICTURES = 24


@pytest.fixture(scope="module")
def face() -> Image.Image:
    return Image.fromarray(synthesize_face(seed=9_000, index=2).photo)


@pytest.fixture(scope="module")
def segmenter() -> FaceSegmenter:
    return FaceSegmenter("unet-synthetic")


def picture_with(face: Image.Image, x: float, y: float, side: int = 150) -> Image.Image:
    """A grey picture with a face of this side and middle."""
    picture = Image.new("RGB", SIZE, (110, 115, 120))
    picture.paste(face.resize((side, side)), (round(x - side / 2), round(y - side / 2)))
    return picture


def noisy(picture: Image.Image, seed: int, spread: float = 6) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, spread, (*picture.size[::-1], 3))
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))


def write_clip(path: Path, pictures: list[Image.Image], sound: str | None = None) -> None:
    with av.open(path, "w") as clip:
        video = clip.add_stream("libx264", rate=12)
        video.width, video.height = pictures[0].size
        video.pix_fmt = "yuv444p"  # knows odd sizes
        audio = clip.add_stream(sound, rate=16_000) if sound else None
        for picture in pictures:
            clip.mux(video.encode(av.VideoFrame.from_image(picture)))
        clip.mux(video.encode(None))
        if audio:
            silence = np.zeros((1, 16_000 * len(pictures) // 12), dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.sample_rate = 16_000
            clip.mux(audio.encode(frame))
            clip.mux(audio.encode(None))


def read_clip(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(path) as clip:
        return [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]


def middle_of_blue(picture: NDArray[np.uint8]) -> tuple[float, float]:
    """Where the nose is on a mask."""
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    rows, columns = np.nonzero((blue > 150) & (red < 100) & (green < 100))
    assert len(rows) > 20
    return columns.mean(), rows.mean()


@pytest.fixture(scope="module")
def moving(face: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that moves to the right by four pixels a picture, with sound."""
    path = tmp_path_factory.mktemp("clips") / "moving.mp4"
    pictures = [picture_with(face, 100 + 4 * number, 120) for number in range(PICTURES)]
    write_clip(path, pictures, sound="aac")
    return path


def test_masks_move_with_the_face(moving: Path, segmenter: FaceSegmenter, tmp_path: Path) -> None:
    told = []
    output = tmp_path / "made" / "out.mp4"
    number = segment_video(
        segmenter, moving, output, "mask", lambda done, of: told.append((done, of))
    )
    assert number == PICTURES and told[-1] == (PICTURES, PICTURES)
    masks = read_clip(output)
    assert len(masks) == PICTURES and masks[0].shape == (240, 320, 3)
    places = np.array([middle_of_blue(mask) for mask in masks])
    np.testing.assert_allclose(places[:, 0] - places[0, 0], 4 * np.arange(PICTURES), atol=3)
    assert np.ptp(places[:, 1]) < 3


def test_times_and_sound_stay(moving: Path, segmenter: FaceSegmenter, tmp_path: Path) -> None:
    segment_video(segmenter, moving, tmp_path / "out.mov")
    with av.open(moving) as before, av.open(tmp_path / "out.mov") as after:
        times = [[frame.time for frame in clip.decode(video=0)] for clip in (before, after)]
        assert times[0] == pytest.approx(times[1]) and len(times[0]) == PICTURES
        lengths = [float(c.streams.audio[0].duration * c.streams.audio[0].time_base)
                   for c in (before, after)]  # fmt: skip
        assert lengths[0] == pytest.approx(lengths[1], abs=0.1) and lengths[0] > 1.5


def test_an_odd_row_and_column_are_left_out(
    face: Image.Image, segmenter: FaceSegmenter, tmp_path: Path
) -> None:
    write_clip(tmp_path / "odd.mkv", [picture_with(face, 160, 120).crop((0, 0, 319, 239))] * 3)
    segment_video(segmenter, tmp_path / "odd.mkv", tmp_path / "out.mkv")
    pictures = read_clip(tmp_path / "out.mkv")
    assert [picture.shape for picture in pictures] == [(238, 318, 3)] * 3
    with av.open(tmp_path / "out.mkv") as clip:
        assert clip.streams.video[0].average_rate == Fraction(12)


def test_the_way_up_that_a_phone_noted(
    face: Image.Image, segmenter: FaceSegmenter, tmp_path: Path
) -> None:
    upright = picture_with(face, 160, 120)
    path = tmp_path / "turned.mp4"
    with av.open(path, "w") as clip:
        video = clip.add_stream("libx264", rate=12)
        if not hasattr(video, "set_display_rotation"):
            pytest.skip("this PyAV cannot write the note")
        video.width, video.height = 240, 320
        video.pix_fmt = "yuv420p"
        video.set_display_rotation(90)  # anticlockwise
        lying = upright.transpose(Image.Transpose.ROTATE_270)
        for _ in range(3):
            clip.mux(video.encode(av.VideoFrame.from_image(lying)))
        clip.mux(video.encode(None))
    segment_video(segmenter, path, tmp_path / "out.mp4", "mask")
    mask = read_clip(tmp_path / "out.mp4")[0]
    found = segmenter(upright).mask("nose")
    rows, columns = np.nonzero(found)
    assert mask.shape == (240, 320, 3)
    assert middle_of_blue(mask) == pytest.approx((columns.mean(), rows.mean()), abs=3)


# --- Following ----------------------------------------------------------------------------------


def flicker(segmentations: list[NDArray[np.uint8]]) -> float:
    """Share of the face's pixels that change from one picture to the next."""
    pairs = zip(segmentations, segmentations[1:], strict=False)
    return float(np.mean([(a != b).sum() / (a > 0).sum() for a, b in pairs]))


def test_masks_of_a_still_face_are_steadier_than_those_of_single_photos(
    face: Image.Image, segmenter: FaceSegmenter
) -> None:
    pictures = [noisy(picture_with(face, 160, 120), seed) for seed in range(12)]
    follow = FaceTracker(segmenter)
    followed = [follow(picture).labels for picture in pictures]
    single = [segmenter(picture).labels for picture in pictures]
    assert flicker(followed) < 0.6 * flicker(single)
    assert np.mean(followed[-1] != single[-1]) < 0.01


def test_a_face_that_leaves_or_jumps_is_lost_and_found(
    face: Image.Image, segmenter: FaceSegmenter
) -> None:
    follow = FaceTracker(segmenter, every=100)
    assert len(follow(picture_with(face, 90, 120)).faces) == 1
    jumped = follow(picture_with(face, 230, 110)).faces
    assert [round(one.roi.x / 10) for one in jumped] == [23]
    assert follow(Image.new("RGB", SIZE, (110, 115, 120))).faces == ()


def test_a_second_face_is_found_at_the_next_search(
    face: Image.Image, segmenter: FaceSegmenter
) -> None:
    one = picture_with(face, 80, 120, side=140)
    two = one.copy()
    two.paste(face.resize((140, 140)), (170, 50))
    follow = FaceTracker(segmenter, every=3)
    numbers = [len(follow(picture).faces) for picture in (one, two, two, two, two)]
    assert numbers == [1, 1, 1, 2, 2]


def test_only_now_and_then_is_searched(face: Image.Image) -> None:
    whole = FaceSegmenter("unet-synthetic")
    assert whole.looker is not None
    searches = 0

    def counted(photos: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal searches
        searches += photos.shape[3] == 64  # the coarsest of a search's levels
        return whole.looker.find(photos)  # type: ignore[union-attr]

    follow = FaceTracker(FaceSegmenter("unet-synthetic", find=counted), every=5)
    for _ in range(11):
        assert len(follow(picture_with(face, 160, 120)).faces) == 1
    assert searches == 3


def test_aligned_pictures_are_segmented_one_by_one(face: Image.Image) -> None:
    segmenter = FaceSegmenter("unet-synthetic", aligned=True)
    found = FaceTracker(segmenter)(face)
    np.testing.assert_array_equal(found.labels, segmenter(face).labels)


@pytest.mark.parametrize("wrong", [{"memory": 1.0}, {"memory": -0.1}, {"every": 0}])
def test_settings_that_cannot_be(segmenter: FaceSegmenter, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="memory is in 0..1|memory has to be"):
        FaceTracker(segmenter, **wrong)  # type: ignore[arg-type]


# --- What cannot be -----------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"no clip at all", None], ids=["empty", "text", "cut"])
def test_a_file_that_is_no_clip(
    content: bytes | None, moving: Path, segmenter: FaceSegmenter, tmp_path: Path
) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(moving.read_bytes()[:3000] if content is None else content)
    (tmp_path / "out.mp4").write_bytes(b"as it was")
    with pytest.raises(FaceSegKitError, match="broken.mp4 is not a clip that can be read"):
        segment_video(segmenter, path, tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == b"as it was"
    assert sorted(os.listdir(tmp_path)) == ["broken.mp4", "out.mp4"]


def test_sound_alone(segmenter: FaceSegmenter, tmp_path: Path) -> None:
    with av.open(tmp_path / "sound.mkv", "w") as clip:
        audio = clip.add_stream("aac", rate=16_000)
        silence = np.zeros((1, 16_000), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.sample_rate = 16_000
        clip.mux(audio.encode(frame))
        clip.mux(audio.encode(None))
    with pytest.raises(FaceSegKitError, match="no moving picture, only sound"):
        segment_video(segmenter, tmp_path / "sound.mkv", tmp_path / "out.mp4")


def test_outputs_that_cannot_be() -> None:
    with pytest.raises(FaceSegKitError, match="no view 'panel' of a clip; choose one of overlay"):
        check_video_path(Path("out.mp4"), "panel")
    with pytest.raises(FaceSegKitError, match="save a clip as out.gif; use .mp4, .mov or .mkv"):
        check_video_path(Path("out.gif"), "mask")


def test_the_command(moving: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.mp4"
    arguments = ["segment", str(moving), "--model", "unet-synthetic"]
    assert main([*arguments, "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert f"{PICTURES} pictures" in said and f"saved {output}" in said
    assert len(read_clip(output)) == PICTURES
    assert main([*arguments, "--view", "labels", "--output", str(output)]) == 1
    assert "no view 'labels' of a clip" in capsys.readouterr().err
    assert main(["segment", str(moving), str(moving), "--output", str(output)]) == 1
    assert "--output is for one photo or clip" in capsys.readouterr().err
    (tmp_path / "broken.mp4").write_bytes(b"no clip at all")
    both = ["segment", str(tmp_path / "broken.mp4"), *arguments[1:]]
    assert main([*both, "--output-dir", str(tmp_path / "all")]) == 1
    assert "1 of 2 could not be segmented" in capsys.readouterr().err
    assert os.listdir(tmp_path / "all") == ["moving.mp4"]
