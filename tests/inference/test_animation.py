"""Animated images: read, segmented, and written with their durations."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from facesegkit.cli.main import main
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.animation import segment_animation
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.video import segment_video
from facesegkit.inference.video_writer import AnimationWriter, Moment, check_length
from facesegkit.synthetic import synthesize_face

DURATIONS = [100, 300, 200]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_every_frame_of_an_animation_is_segmented(suffix, tmp_path, capsys):
    face = Image.fromarray(synthesize_face(seed=9_000, index=2).photo).resize((150, 150))
    frames = [Image.new("RGB", (270, 200), (127, 127, 127)) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.paste(face, (20 + 40 * number, 25))
    source = tmp_path / f"three{suffix}"
    frames[0].save(source, save_all=True, append_images=frames[1:], duration=DURATIONS, loop=2)
    for output in (tmp_path / "out.gif", tmp_path / "out.webp"):
        command = ["segment", str(source), "--model", "unet-synthetic", "--output", str(output)]
        assert main([*command, "--view", "mask"]) == 0
        assert "3 frames" in capsys.readouterr().out
        with Image.open(output) as result:
            assert result.n_frames == 3 and result.size == (270, 200)
            seen, times = [], []
            for number in range(3):
                result.seek(number)
                result.load()
                times.append(result.info["duration"])
                seen.append(np.asarray(result.convert("RGB"), int))
        assert times == DURATIONS
        columns = [np.nonzero(mask.max(axis=2) > 100)[1].mean() for mask in seen]
        np.testing.assert_allclose(np.diff(columns), 40, atol=3)
        assert main([*command, "--view", "labels"]) == 1
        assert "no view 'labels' of an animation" in capsys.readouterr().err


@pytest.fixture(scope="module")
def segmenter():
    return FaceSegmenter("separable-synthetic")


COLOURS = [(200, 60, 30), (30, 200, 60), (60, 30, 200), (200, 200, 30)]


def flat(mode="RGB", size=(64, 48)):
    """Four frames, each of one colour."""
    return [Image.new("RGB", size, colour).convert(mode) for colour in COLOURS]


def written(path):
    """Durations and middle pixels of an animation's frames, and how often it is repeated."""
    with Image.open(path) as image:
        durations, colours = [], []
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            durations.append(image.info["duration"])
            colours.append(image.convert("RGB").getpixel((3, 2)))
        return durations, colours, image.info.get("loop")


def video_of(path):
    """Times, middle pixels and length of a video, in seconds."""
    av = pytest.importorskip("av")
    with av.open(path) as container:
        frames = list(container.decode(video=0))
        video = container.streams.video[0]
        times = [frame.time for frame in frames]
        colours = [frame.to_ndarray(format="rgb24")[20, 30] for frame in frames]
        return times, np.array(colours), float(video.duration * video.time_base)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("disposal.gif", {"disposal": [0, 1, 2, 3]}),
        ("palettes.gif", {"mode": "P"}),
        ("transparent.gif", {"mode": "RGBA", "disposal": 2}),
        ("blend.png", {"mode": "RGBA", "blend": 1, "disposal": 1}),
        ("for-others.png", {"default_image": True}),
        ("exact.webp", {"mode": "RGBA", "lossless": True}),
        ("lossy.webp", {"quality": 95}),
    ],
)
def test_animations_of_all_kinds_become_video(name, options, segmenter, tmp_path):
    frames = flat(options.get("mode", "RGB"))
    if "default_image" in options:  # of programs that know no animations
        frames.insert(0, Image.new("RGB", (64, 48), "white"))
    durations = [100, 300, 50, 1000]
    options = {key: value for key, value in options.items() if key != "mode"} | {"save_all": True}
    frames[0].save(tmp_path / name, append_images=frames[1:], duration=durations, **options)
    assert segment_animation(segmenter, tmp_path / name, tmp_path / "out.mp4") == 4
    times, colours, length = video_of(tmp_path / "out.mp4")
    np.testing.assert_allclose(times, [0, 0.1, 0.4, 0.45], atol=0.002)
    assert length == pytest.approx(1.45, abs=0.01)
    np.testing.assert_allclose(colours, COLOURS, atol=12)


@pytest.mark.parametrize(
    ("source", "written_loop", "result", "loop"),
    [(".gif", None, ".gif", None), (".gif", 3, ".webp", 4), (".webp", 1, ".gif", None),
     (".png", 0, ".gif", 0), (".webp", 5, ".apng", 5)],
)  # fmt: skip
def test_a_result_repeats_as_its_source(source, written_loop, result, loop, segmenter, tmp_path):
    options = {} if written_loop is None else {"loop": written_loop}
    first, *others = flat()
    source = tmp_path / f"in{source}"
    first.save(source, save_all=True, append_images=others, duration=40, **options)
    segment_animation(segmenter, source, tmp_path / f"out{result}")
    durations, colours, found = written(tmp_path / f"out{result}")
    assert found == loop and durations == [40] * 4
    np.testing.assert_allclose(colours, COLOURS, atol=8)


def test_frames_that_browsers_show_for_a_tenth_of_a_second(segmenter, tmp_path):
    first, *others = flat()
    first.save(tmp_path / "fast.gif", save_all=True, append_images=others, duration=10)
    segment_animation(segmenter, tmp_path / "fast.gif", tmp_path / "out.gif")
    assert written(tmp_path / "out.gif")[0] == [100] * 4


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng"])
def test_a_video_becomes_an_animation_without_sound(suffix, segmenter, tmp_path):
    av = pytest.importorskip("av")
    with av.open(tmp_path / "in.mov", "w") as container:
        video = container.add_stream("png", rate=12)
        video.width, video.height, video.pix_fmt = 64, 48, "rgb24"
        sound = container.add_stream("pcm_s16le", rate=8_000)
        for frame in flat():
            container.mux(video.encode(av.VideoFrame.from_image(frame)))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 2000), np.int16), "s16", "mono")
        silence.sample_rate = 8_000
        container.mux(sound.encode(silence))
    output, said = tmp_path / f"out{suffix}", []
    assert segment_video(segmenter, tmp_path / "in.mov", output, notice=said.append) == 4
    durations, colours, loop = written(output)
    assert sum(durations) == pytest.approx(4 / 12 * 1000, abs=10) and loop == 0
    np.testing.assert_allclose(colours, COLOURS, atol=12)
    kind = suffix[1:].upper()
    assert said == [f"{tmp_path / 'in.mov'}: its sound is left out, because {kind} has none."]


def test_a_gif_of_sixty_frames_per_second_keeps_those_that_can_be_shown(tmp_path):
    writer = AnimationWriter(tmp_path / "out.gif", Fraction(60))
    for number in range(60):
        frame = np.full((8, 8, 3), 4 * number, np.uint8)
        writer.add(frame, Moment(number, Fraction(1, 60), 1))
    writer.finish()
    durations = written_durations(tmp_path / "out.gif")
    assert min(durations) == 20 and sum(durations) == pytest.approx(1000, abs=20)


def written_durations(path):
    with Image.open(path) as image:
        return [(image.seek(n), image.info["duration"])[1] for n in range(image.n_frames)]


@pytest.mark.parametrize(("suffix", "longest"), [(".gif", 655), (".webp", 16_777), (".apng", 66)])
def test_a_frame_is_shown_as_long_as_its_format_can_tell(suffix, longest, tmp_path):
    path = tmp_path / f"out{suffix}"
    writer = AnimationWriter(path, Fraction(10), 10**9)
    for number, start in enumerate((0, 1, 90_000)):
        frame = np.full((8, 8, 3), 90 * number, np.uint8)
        writer.add(frame, Moment(start, Fraction(1), 1))
    writer.finish()
    durations, _, loop = written(path)
    assert durations[1] / 1000 == pytest.approx(longest, abs=1) and loop >= 65_534


def test_frames_that_webp_cannot_hold_are_refused(tmp_path):
    writer = AnimationWriter(tmp_path / "out.webp", Fraction(10))
    writer.add(np.zeros((8, 17_000, 3), np.uint8), Moment(0, Fraction(1), 1))
    with pytest.raises(FaceSegKitError, match="17000 x 8 pixels as WEBP: .* 16383 pixels"):
        writer.finish()


def test_the_parts_keep_their_colours_in_a_gif(tmp_path):
    rng = np.random.default_rng(0)
    photo = np.clip(np.linspace(0, 255, 200)[None, :, None] + rng.normal(0, 30, (150, 200, 3)),
                    0, 255).astype(np.uint8)  # fmt: skip
    photo[70:76, 90:98] = (0, 255, 0)  # an eyebrow
    writer = AnimationWriter(tmp_path / "out.gif", Fraction(10))
    writer.add(photo, Moment(0, Fraction(1, 10), 1))
    writer.finish()
    with Image.open(tmp_path / "out.gif") as image:
        np.testing.assert_allclose(image.convert("RGB").getpixel((94, 73)), (0, 255, 0), atol=40)


def test_animations_that_do_not_fit_into_memory_are_refused(tmp_path):
    with pytest.raises(FaceSegKitError, match="an animation of 90,000 frames of 64 x 48 pixels"):
        check_length(tmp_path / "long.mp4", 90_000, (64, 48))
