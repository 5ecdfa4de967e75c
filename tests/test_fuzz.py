"""Whatever a file holds: a result or one sentence, soon, in little memory, and nothing else.

FUZZ=10 in the environment takes ten times as many cases.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
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
from damage import encoded, noise, write_hostile_photos, write_hostile_zips
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from measured import measured
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from facesegkit.checkpoint import Checkpoint, build_model, load, save
from facesegkit.cli.train import read_scheme
from facesegkit.course.explorer import Exploration
from facesegkit.data.cache import DatasetCache, build_cache
from facesegkit.data.celebamask_hq import Archive, BadPair
from facesegkit.errors import FaceSegKitError
from facesegkit.export import export_onnx
from facesegkit.inference.onnx_model import open_onnx
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.visualize import VIEWS, save_view
from facesegkit.labels import FIVE_FEATURES
from facesegkit.metrics import evaluate

MOST_SECONDS = 10
MOST_MEMORY = 1e9  # bytes

# --- Damage -------------------------------------------------------------------------------------

Edit = tuple[str, int, bytes]

_places = st.one_of(st.integers(0, 63), st.integers(0, 399), st.integers(0, 10**6))
_kinds = st.sampled_from(("flip", "overwrite", "remove", "insert", "cut"))
_edits = st.lists(st.tuples(_kinds, _places, st.binary(min_size=1, max_size=40)), max_size=8)


def edited(content: bytes, edits: list[Edit]) -> bytes:
    """A file's content after some damage."""
    changed = bytearray(content)
    for kind, place, new in edits:
        place %= max(len(changed), 1)
        if kind == "flip":
            changed[place : place + 1] = bytes(byte ^ new[0] for byte in changed[place : place + 1])
        elif kind == "overwrite":
            changed[place : place + len(new)] = new
        elif kind == "remove":
            del changed[place : place + len(new)]
        elif kind == "insert":
            changed[place:place] = new
        else:
            del changed[place:]
    return bytes(changed)


def cases(count: int) -> Callable[[Any], Any]:
    """Settings of a test that is to see so many cases, the same ones each time."""
    return settings(
        max_examples=count * int(os.environ.get("FUZZ", "1")),
        deadline=timedelta(seconds=6 * MOST_SECONDS),  # by the clock, on a machine that may be busy
        derandomize="FUZZ" not in os.environ,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def is_one_sentence(error: FaceSegKitError) -> bool:
    message = str(error)
    return bool(message) and "\n" not in message and "Traceback" not in message


# --- Photos -------------------------------------------------------------------------------------

GOOD_PHOTOS = {
    suffix: encoded(noise(mode=mode), kind)
    for suffix, kind, mode in [
        (".jpg", "JPEG", "RGB"),
        (".cmyk.jpg", "JPEG", "CMYK"),
        (".png", "PNG", "RGBA"),
        (".webp", "WEBP", "RGBA"),
        (".gif", "GIF", "RGB"),
        (".tif", "TIFF", "RGB"),
        (".bmp", "BMP", "RGB"),
        (".jp2", "JPEG2000", "RGB"),
        (".ico", "ICO", "RGBA"),
        (".tga", "TGA", "RGBA"),
        (".ppm", "PPM", "RGB"),
    ]
}


@pytest.fixture(scope="module")
def segmenter() -> FaceSegmenter:
    return FaceSegmenter("separable-synthetic")


@cases(700)
@given(
    suffix=st.sampled_from(sorted(GOOD_PHOTOS)), edits=_edits, view=st.sampled_from(sorted(VIEWS))
)
def test_a_damaged_photo(
    segmenter: FaceSegmenter, tmp_path: Path, suffix: str, edits: list[Edit], view: str
) -> None:
    for file in tmp_path.iterdir():  # of the example before
        file.unlink()
    photo = tmp_path / f"photo{suffix}"
    result = tmp_path / ("result.json" if view == "json" else "result.png")
    photo.write_bytes(edited(GOOD_PHOTOS[suffix], edits))
    try:
        save_view(segmenter(photo), view, result)
    except FaceSegKitError as error:
        assert is_one_sentence(error) and not result.exists()
    else:
        json.loads(result.read_bytes()) if view == "json" else Image.open(result).verify()
    photo.unlink()
    assert set(tmp_path.iterdir()) <= {result}  # and nothing that is half-written


@pytest.fixture(scope="module")
def exploration() -> Exploration:
    exploration = Exploration()
    exploration.photos = {}
    return exploration


@cases(400)
@given(suffix=st.sampled_from(sorted(GOOD_PHOTOS)), edits=_edits, name=st.text(max_size=30))
def test_a_damaged_upload(
    exploration: Exploration, suffix: str, edits: list[Edit], name: str
) -> None:
    exploration._forget()
    exploration._small_photo.cache_clear()
    try:
        added = exploration.add_photo(name, edited(GOOD_PHOTOS[suffix], edits))
        exploration.find(added, "separable-synthetic")
    except FaceSegKitError as error:
        assert is_one_sentence(error) or not name.isprintable()
        assert not exploration.photos
    exploration.photos = {}


def check_report(report: dict[str, Any], errors: str) -> None:
    for file, (status, seconds, memory) in report.items():
        assert status in (0, 1), file
        assert seconds < MOST_SECONDS, file
        assert memory < MOST_MEMORY, file
        told = sum(Path(file).name in line for line in errors.splitlines())
        assert told == status, file
    assert "Traceback" not in errors


def test_hostile_photos(tmp_path: Path) -> None:
    photos = write_hostile_photos(tmp_path / "in")
    results = tmp_path / "out"
    command = f"segment --model separable-synthetic --output-dir {results.name}"
    report, errors = measured(command, photos, tmp_path)
    check_report(report, errors)
    well = {Path(file).stem for file, (status, _, _) in report.items() if status == 0}
    assert {"animated", "exif", "two words, ümläut 写真", "line", "row", "one-pixel"} <= well
    assert not {"promises", "cut", "program", "empty", "pipe", "folder", "no-pixel"} & well
    assert {file.stem for file in results.iterdir()} <= well
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in", "out"]


# --- Data sets ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_pairs(tmp_path_factory: pytest.TempPathFactory) -> TinyDataSet:
    data_set = TinyDataSet(tmp_path_factory.mktemp("data") / "CelebAMask-HQ")
    for photo_id in (3, 4):
        data_set.add(photo_id)
    return data_set


@cases(400)
@given(edits=_edits)
def test_a_damaged_zip(two_pairs: TinyDataSet, tmp_path: Path, edits: list[Edit]) -> None:
    good, bad = tmp_path / "good.zip", tmp_path / "bad.zip"
    if not good.exists():
        two_pairs.zip(good)
    bad.write_bytes(edited(good.read_bytes(), edits))
    try:
        archive = Archive(bad)
        for photo_id in archive.pairs:
            try:
                archive.read_pair(photo_id)
            except BadPair as error:
                assert is_one_sentence(error)
    except FaceSegKitError as error:
        assert is_one_sentence(error)


def test_damaged_pairs_are_left_out(tmp_path: Path, empty_data_set: TinyDataSet) -> None:
    count, rng = 120, np.random.default_rng(0)
    for photo_id in range(count):
        empty_data_set.add(photo_id, mask_size=(16, 16), photo_size=(16, 16))
    edit = _edits.filter(bool)
    harm: list[list[Edit]] = []

    @settings(cases(count - 10), max_examples=count - 10)
    @given(edits=edit)
    def collect(edits: list[Edit]) -> None:
        harm.append(edits)

    collect()
    for photo_id, edits in enumerate(harm):
        masks = list(empty_data_set.root.rglob(f"{photo_id:05d}_*.png"))
        file = rng.choice([empty_data_set.photo(photo_id), *masks])
        file.write_bytes(edited(file.read_bytes(), edits))
    pack = build_cache(empty_data_set.root, tmp_path / "cache", progress=False)
    assert 10 <= len(pack.bad) <= len(harm)
    assert all(is_one_sentence(FaceSegKitError(reason)) for reason in pack.bad.values())


def test_hostile_zips(two_pairs: TinyDataSet, tmp_path: Path) -> None:
    files = {
        f"CelebAMask-HQ/{file.relative_to(two_pairs.root).as_posix()}": file.read_bytes()
        for file in sorted(two_pairs.root.rglob("*.*"))
    }
    zips = write_hostile_zips(tmp_path / "in", files)
    report, errors = measured("prepare --cache cache", zips, tmp_path)
    assert "Traceback" not in errors
    for file, (status, seconds, memory) in report.items():
        assert status in (0, 1) and seconds < MOST_SECONDS and memory < MOST_MEMORY, file
    well = {Path(file).stem for file, (status, _, _) in report.items() if status == 0}
    assert {"whole", "outside", "absolute", "bomb"} == well  # the bomb's one pair is left out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cache", "in"]
    assert not (tmp_path.parent / "escaped.txt").exists()
    assert not Path("/tmp/facesegkit-escaped.txt").exists()


# --- Models and packed data ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def packed(two_pairs: TinyDataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    build_cache(two_pairs.root, folder / "cache", progress=False)
    torch.manual_seed(0)  # the same bytes are to be damaged each time
    checkpoint = Checkpoint("separable", build_model("separable").eval(), FIVE_FEATURES)
    save(checkpoint, folder / "model.pth")
    export_onnx(checkpoint, folder / "model.onnx")
    return folder


DAMAGED = ("model.pth", "cache/manifest.json", "cache/photos.npy", "cache/labels.npy")


@cases(300)
@given(name=st.sampled_from(DAMAGED), edits=_edits)
@example("cache/labels.npy", [("overwrite", 300_000, b"\xff")])  # a part that there is not
@example("cache/labels.npy", [("cut", 128, b"x")])
def test_evaluating_what_is_damaged(
    packed: Path, tmp_path: Path, name: str, edits: list[Edit]
) -> None:
    whole, broken = packed / name, tmp_path / "packed"
    shutil.rmtree(broken, ignore_errors=True)
    (broken / "cache").mkdir(parents=True)
    for file in ("model.pth", *(f"cache/{inside.name}" for inside in (packed / "cache").iterdir())):
        if file != name:
            os.link(packed / file, broken / file)
    (broken / name).write_bytes(edited(whole.read_bytes(), edits))
    try:
        checkpoint, pack = load(broken / "model.pth"), DatasetCache.open(broken / "cache")
        rows = pack.rows("all")[:1]
        evaluate(checkpoint.model, checkpoint.scheme, pack.photos, pack.labels, rows)
    except FaceSegKitError as error:
        assert is_one_sentence(error)


@cases(200)
@given(edits=_edits)
def test_a_damaged_onnx_file(packed: Path, tmp_path: Path, edits: list[Edit]) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_bytes(edited((packed / "model.onnx").read_bytes(), edits))
    try:
        FaceSegmenter(open_onnx(broken), aligned=True)(Image.new("RGB", (40, 30)))
    except FaceSegKitError as error:
        assert is_one_sentence(error)


def test_a_model_that_asks_for_gigabytes(packed: Path, tmp_path: Path) -> None:
    model = onnx.load(packed / "model.onnx")
    shape = numpy_helper.from_array(np.array([60_000, 3, 64, 64]), "shape")  # of 2.9 GB
    photos = helper.make_tensor_value_info("photos", TensorProto.FLOAT, ["b", 3, 256, 256])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("ReduceMean", ["photos"], ["small"]),
        helper.make_node("Expand", ["small", "shape"], ["large"]),
        helper.make_node("ReduceMean", ["large"], ["scores"]),
    ]
    model.graph.CopyFrom(helper.make_graph(nodes, "bomb", [photos], [scores], [shape]))
    onnx.save(model, tmp_path / "bomb.onnx")
    (tmp_path / "photo.png").write_bytes(encoded(noise(), "PNG"))
    report, errors = measured(
        "segment --model bomb.onnx --output-dir out", [tmp_path / "photo.png"], tmp_path
    )
    ((status, seconds, memory),) = report.values()
    assert status == 1 and seconds < MOST_SECONDS and memory < MOST_MEMORY
    assert "bomb.onnx is damaged" in errors and len(errors.splitlines()) == 1


@pytest.mark.parametrize("name", ["manifest.json", "photos.npy", "labels.npy", "state"])
def test_a_damaged_cache_is_made_anew(
    two_pairs: TinyDataSet, packed: Path, tmp_path: Path, name: str
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(packed / "cache", cache)
    whole = (cache / name).read_bytes()
    (cache / name).write_bytes(whole[: len(whole) // 2])
    pack = build_cache(two_pairs.root, cache, progress=False)
    np.testing.assert_array_equal(pack.photos, DatasetCache.open(packed / "cache").photos)


BAD_SCHEMES = ["", "{", "[" * 100_000, '{"classes": 3}', '{"classes": {"a": 1}, "colours": 1}']


@pytest.mark.parametrize("content", BAD_SCHEMES)
def test_a_damaged_scheme_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "scheme.json").write_text(content)
    finished = subprocess.run(
        [sys.executable, "-m", "facesegkit", "train", "--scheme", "scheme.json"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 1 and finished.stderr.startswith("facesegkit: ")
    assert len(finished.stderr.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no such device")
def test_a_device_is_no_photo_data_set_model_or_scheme(segmenter: FaceSegmenter) -> None:
    zeros = Path("/dev/zero")
    for read in (segmenter, Archive, load, open_onnx, read_scheme):
        with pytest.raises(FaceSegKitError):
            read(zeros)  # type: ignore[operator]
