"""Whatever a file contains: a result or one sentence, soon, in little memory, and nothing else.

Damage to single kinds of files is tested with their modules. FUZZ=10 in the environment tries ten
times as many cases.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import TinyDataSet
from damage import (
    animation,
    damaged,
    encoded,
    noise,
    odd_photos,
    write_hostile_photos,
    write_hostile_zips,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from measured import measured
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from facesegkit.checkpoint import Checkpoint, build_model, load, save
from facesegkit.cli.train import read_scheme
from facesegkit.data.cache import DatasetCache, build_cache
from facesegkit.data.celebamask_hq import Archive
from facesegkit.dataset import TrainingData
from facesegkit.errors import FaceSegKitError
from facesegkit.export import export_onnx
from facesegkit.inference.animation import segment_animation
from facesegkit.inference.onnx_model import open_onnx
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.video import is_video, segment_video
from facesegkit.inference.visualize import VIEWS, save_view
from facesegkit.labels import FIVE_FEATURES
from facesegkit.metrics import evaluate

MAX_SECONDS = 10
MAX_MEMORY = 1e9  # bytes


def cases(count: int) -> Callable[[Any], Any]:
    """Settings of a test with this number of cases, the same ones each time."""
    return settings(
        max_examples=count * int(os.environ.get("FUZZ", "1")),
        deadline=timedelta(seconds=6 * MAX_SECONDS),  # wall time, on a machine that may be busy
        derandomize="FUZZ" not in os.environ,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def is_one_sentence(error: FaceSegKitError) -> bool:
    message = str(error)
    return bool(message) and "\n" not in message and "Traceback" not in message


KINDS = {
    "jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "tif": "TIFF", "bmp": "BMP",
    "jp2": "JPEG2000", "ico": "ICO", "tga": "TGA", "ppm": "PPM", "pcx": "PCX", "avif": "AVIF",
}  # fmt: skip
Image.init()
GOOD_PHOTOS = {s: encoded(noise(), kind) for s, kind in KINDS.items() if kind in Image.SAVE} | {
    "cmyk.jpg": encoded(noise(mode="CMYK"), "JPEG"),
    "alpha.png": encoded(noise(mode="RGBA"), "PNG"),
    "alpha.webp": encoded(noise(mode="RGBA"), "WEBP"),
} | odd_photos()  # fmt: skip


@pytest.fixture(scope="module")
def segmenter() -> FaceSegmenter:
    return FaceSegmenter("separable-synthetic")


@pytest.mark.filterwarnings("error")
@cases(700)
@given(st.sampled_from(sorted(GOOD_PHOTOS)), seeds, st.sampled_from(sorted(VIEWS)))
def test_a_damaged_photo(segmenter, tmp_path, suffix, rng, view):
    for file in tmp_path.iterdir():  # of the previous case
        file.unlink()
    photo = tmp_path / f"photo.{suffix}"
    result = tmp_path / ("result.json" if view == "json" else "result.png")
    content = damaged(GOOD_PHOTOS[suffix], rng)
    photo.write_bytes(content[: len(content) // int(rng.choice([1, 1, 2]))])
    try:
        save_view(segmenter(photo), view, result)
    except FaceSegKitError as error:
        assert is_one_sentence(error) and not result.exists()
    else:
        json.loads(result.read_bytes()) if view == "json" else Image.open(result).verify()
    photo.unlink()
    assert set(tmp_path.iterdir()) <= {result}  # and nothing unfinished


def videos(folder: Path) -> dict[str, bytes]:
    """HDR and other videos with sound, and animations, by suffix."""
    av = pytest.importorskip("av")
    made = {f"a.{kind}": animation(kind.upper(), 4) for kind in ("gif", "webp", "png")}
    kinds = [
        ("a.mp4", "libx264", "yuv420p", "aac"),
        ("a.mkv", "ffv1", "yuv420p10le", "pcm_s16le"),
        ("a.avi", "mjpeg", "yuvj420p", "libmp3lame"),
        ("a.mov", "png", "rgb48be", ""),
    ]
    nothing = np.zeros((1, 9600), np.float32)
    for name, codec, pixels, audio in kinds:
        with av.open(folder / name, "w") as container:
            video = container.add_stream(codec, rate=10)
            video.width, video.height, video.pix_fmt = 64, 48, pixels
            sound = container.add_stream(audio, rate=16_000, layout="mono") if audio else None
            if "10" in pixels:  # HLG
                context = video.codec_context
                context.colorspace, context.color_primaries, context.color_trc = 9, 9, 18
            for _ in range(6):
                frame = av.VideoFrame.from_image(noise(64, 48)).reformat(format=pixels)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
            if sound:
                silence = av.AudioFrame.from_ndarray(nothing, "fltp", "mono")
                silence.sample_rate = 16_000
                container.mux(sound.encode(silence))
                container.mux(sound.encode(None))
        made[name] = (folder / name).read_bytes()
    return made


@pytest.fixture(scope="module")
def good_videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return videos(tmp_path_factory.mktemp("videos"))


@cases(80)
@given(st.sampled_from(range(7)), seeds, st.sampled_from([".mp4", ".gif", ".webp"]))
def test_a_damaged_video_or_animation(segmenter, good_videos, tmp_path, number, rng, suffix):
    name, content = list(good_videos.items())[number]
    source, output, said = tmp_path / f"in-{name}", tmp_path / f"out{suffix}", []
    for file in tmp_path.iterdir():  # of the previous case
        file.unlink()
    content = damaged(content, rng)
    source.write_bytes(content[: len(content) // int(rng.choice([1, 1, 2]))])
    try:
        if is_video(source):
            segment_video(segmenter, source, output, notice=said.append)
        else:
            segment_animation(segmenter, source, output)
    except FaceSegKitError as error:
        assert is_one_sentence(error) and not output.exists()
    else:
        assert output.stat().st_size and not any("\n" in sentence for sentence in said)
    source.unlink()
    output.unlink(missing_ok=True)
    assert not list(tmp_path.iterdir())  # nothing unfinished


def succeeded(report: dict[str, Any], errors: str) -> set[str]:
    """Names of the files for which a command succeeded; the others must have been reported."""
    assert "Traceback" not in errors
    for file, (status, seconds, memory) in report.items():
        assert status in (0, 1) and seconds < MAX_SECONDS and memory < MAX_MEMORY, file
    return {Path(file).stem for file, (status, _, _) in report.items() if status == 0}


def test_hostile_photos(tmp_path):
    photos = write_hostile_photos(tmp_path / "in")
    results = tmp_path / "out"
    command = f"segment --model separable-synthetic --output-dir {results.name}"
    report, errors = measured(command, photos, tmp_path)
    good = succeeded(report, errors)
    notes = [line for line in errors.splitlines() if "only the first of the pictures in" in line]
    animated = ("animated.gif", "animated.png", "animated.webp")
    assert sorted(file.name for file in photos if file.name in "".join(notes)) == [*animated]
    for file, (status, _, _) in report.items():  # notes are about photos that are segmented
        said = [line for line in errors.splitlines() if Path(file).name in line]
        assert len(set(said) - set(notes)) == status, file
    assert {"animated", "exif", "two words, ümläut 写真", "line", "row", "one-pixel"} <= good
    assert not {"promises", "cut", "program", "empty", "pipe", "folder", "no-pixel"} & good
    assert {file.stem for file in results.iterdir()} <= good
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in", "out"]


@pytest.fixture(scope="module")
def two_pairs(tmp_path_factory: pytest.TempPathFactory) -> TinyDataSet:
    data_set = TinyDataSet(tmp_path_factory.mktemp("data") / "CelebAMask-HQ")
    for photo_id in (3, 4):
        data_set.add(photo_id)
    return data_set


def test_hostile_zips(two_pairs, tmp_path):
    files = {
        f"CelebAMask-HQ/{file.relative_to(two_pairs.root).as_posix()}": file.read_bytes()
        for file in sorted(two_pairs.root.rglob("*.*"))
    }
    zips = write_hostile_zips(tmp_path / "in", files)
    good = succeeded(*measured("prepare --cache cache", zips, tmp_path))
    assert good == {"whole", "outside", "absolute", "bomb"}  # without the bomb's one pair
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cache", "in"]
    assert not (tmp_path.parent / "escaped.txt").exists()
    assert not Path("/tmp/facesegkit-escaped.txt").exists()


@pytest.fixture(scope="module")
def whole(two_pairs: TinyDataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cache, a model, and its ONNX file."""
    folder = tmp_path_factory.mktemp("whole")
    build_cache(two_pairs.root, folder / "cache", progress=False)
    torch.manual_seed(0)  # damage the same bytes each time
    checkpoint = Checkpoint("separable", build_model("separable").eval(), FIVE_FEATURES)
    save(checkpoint, folder / "model.pth")
    export_onnx(checkpoint, folder / "model.onnx")
    return folder


DAMAGED = ("model.pth", "cache/manifest.json", "cache/photos.npy", "cache/labels.npy")


@cases(300)
@given(st.sampled_from(DAMAGED), seeds)
def test_evaluating_damaged_files(whole, tmp_path, name, rng):
    broken = tmp_path / "broken"
    shutil.rmtree(broken, ignore_errors=True)
    shutil.copytree(whole, broken, copy_function=os.link)
    (broken / name).unlink()
    (broken / name).write_bytes(damaged((whole / name).read_bytes(), rng))
    try:
        checkpoint, cache = load(broken / "model.pth"), DatasetCache.open(broken / "cache")
        data = TrainingData.from_cache(cache, "all", checkpoint.scheme, checkpoint.crop)
        evaluate(checkpoint.model, data.subset(1))
    except FaceSegKitError as error:
        assert is_one_sentence(error)


def test_a_model_that_needs_gigabytes(whole, tmp_path):
    model = onnx.load(whole / "model.onnx")
    shape = numpy_helper.from_array(np.array([60_000, 3, 64, 64]), "shape")  # 2.9 GB
    names = [value.name for value in (model.graph.input[0], model.graph.output[0])]
    images = helper.make_tensor_value_info(names[0], TensorProto.FLOAT, ["b", 3, 256, 256])
    logits = helper.make_tensor_value_info(names[1], TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("ReduceMean", [names[0]], ["small"]),
        helper.make_node("Expand", ["small", "shape"], ["large"]),
        helper.make_node("ReduceMean", ["large"], [names[1]]),
    ]
    model.graph.CopyFrom(helper.make_graph(nodes, "bomb", [images], [logits], [shape]))
    onnx.save(model, tmp_path / "bomb.onnx")
    (tmp_path / "photo.png").write_bytes(encoded(noise(), "PNG"))
    command = "segment --model bomb.onnx --output-dir out"
    report, errors = measured(command, [tmp_path / "photo.png"], tmp_path)
    assert not succeeded(report, errors)
    assert "bomb.onnx is not a model of facesegkit, or" in errors and len(errors.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no such device")
def test_a_device_is_not_a_file(segmenter):
    for read in (segmenter, Archive, load, open_onnx, read_scheme):
        with pytest.raises(FaceSegKitError):
            read(Path("/dev/zero"))  # type: ignore[operator]
