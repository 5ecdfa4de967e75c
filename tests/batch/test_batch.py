"""Many photos: worker processes, continuing a run, and faces as numbers."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from damage import encoded, noise
from measured import hashes
from PIL import Image

from facesegkit.batch import run
from facesegkit.batch.index import INDEX, Index
from facesegkit.batch.photo import PhotoJob, Settings, segment_photo
from facesegkit.batch.remote import base_name, download, list_photos, remote_version
from facesegkit.batch.rle import mask_of, run_lengths
from facesegkit.batch.run import local_engine, prepare
from facesegkit.cli.main import main
from facesegkit.course.lesson_data import course_file
from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import BBox
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.system.processes import process_map

ASTRONAUT = course_file("figures/astronaut.jpg")
CLASSES = ("eyes", "eyebrows", "nose", "mouth", "lips")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten photos of one face, of different sizes, and a broken one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    with Image.open(ASTRONAUT) as astronaut:
        for number in range(10):
            side = 300 + 10 * number
            astronaut.resize((side, side)).save(folder / f"{number}.png", compress_level=1)
    (folder / "broken.jpg").write_bytes(b"not a photo")
    return folder


def images(folder: Path) -> dict[str, str]:
    return {name: value for name, value in hashes(folder).items() if name.endswith(".png")}


def segment(photos: Path, folder: Path, *options: str) -> dict[str, str]:
    main(["segment", str(photos), "--output-dir", str(folder), *options])
    return images(folder)


def test_workers_give_the_same_files_as_one_process(photos, tmp_path, capsys):
    alone = segment(photos, tmp_path / "alone", "--workers", "1")
    assert len(alone) == 10
    assert segment(photos, tmp_path / "two", "--workers", "2") == alone
    said = capsys.readouterr().err
    assert said.count("broken.jpg is not an image in a supported format") == 2
    assert said.count("1 of 11 files could not be segmented") == 2


def test_a_run_continues_with_what_is_not_done(photos, tmp_path, capsys):
    out = tmp_path / "out"
    before = segment(photos, out, "--workers", "1")
    (out / "0.png").write_bytes((out / "0.png").read_bytes()[:-1])  # half-written
    (out / "1.png").unlink()
    os.utime(photos / "2.png", (1, 1))  # changed
    written = {name: (out / name).stat().st_mtime_ns for name in before if name not in ("1.png",)}
    with (out / INDEX).open("a") as index:
        index.write('{"photo": "torn')
    assert segment(photos, out, "--resume", "--workers", "1") == before
    assert "7 photos done before" in capsys.readouterr().out
    kept = [name for name, at in written.items() if (out / name).stat().st_mtime_ns == at]
    assert sorted(kept) == [f"{number}.png" for number in range(3, 10)]
    assert segment(photos, out, "--resume", "--workers", "1") == before
    assert "10 photos done before" in capsys.readouterr().out


def test_other_settings_and_other_models_are_segmented_again(photos, tmp_path):
    outputs = {str(p): tmp_path / "out" / f"{p.stem}.png" for p in photos.glob("*.png")}
    settings = Settings("separable")
    list(prepare(outputs, settings, tmp_path / "out", classes=CLASSES).outcomes(local_engine(1)))

    def done(settings: Settings) -> int:
        return prepare(outputs, settings, tmp_path / "out", classes=CLASSES, resume=True).done

    assert done(settings) == 10
    assert done(Settings("unet")) == done(replace(settings, search="fast")) == 0
    assert done(replace(settings, view="overlay")) == 0


@pytest.mark.skipif(os.name != "posix", reason="this system has no such signals")
def test_a_killed_worker_is_replaced_and_its_photo_repeated(tmp_path):
    killed = tmp_path / "killed"
    code = f"import os; (os.path.exists({str(killed)!r}) or open({str(killed)!r}, 'w').close() "
    code += "or os.kill(os.getpid(), 9)); "
    results = process_map(exec, [code, "1", "2"], 1, doing="tried", lost=lambda *_: "lost")
    assert sorted(results) == sorted([(code, None), ("1", None), ("2", None)])


@pytest.mark.skipif(os.name != "posix", reason="this system has no such signals")
def test_a_photo_that_kills_its_worker_twice_is_reported():
    items = ["1", "import os; os.kill(os.getpid(), 9)", "2"]
    results = dict(process_map(exec, items, 2, doing="tried", lost=lambda item, why: why))
    assert results["1"] is results["2"] is None
    assert "ended unexpectedly (exit code -9), also a second time" in results[items[1]]
    with pytest.raises(FaceSegKitError, match="that tried has ended unexpectedly"):
        list(process_map(exec, items[1:2] * 20, 1, doing="tried", lost=lambda *_: None))


@pytest.mark.skipif(os.name != "posix", reason="this system has no such signals")
def test_ctrl_c_ends_the_workers_at_once_and_keeps_what_is_done(photos, tmp_path):
    slow = encoded(noise(1000, 1000), "PNG")
    for number in range(60):
        (photos / f"n{number}.png").write_bytes(slow)
    out = tmp_path / "out"
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from facesegkit.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "segment", str(photos), "--output-dir", str(out)]
    command += ["--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not (out / INDEX).exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, said = process.communicate(timeout=30)  # until all that hold its standard error have ended
    assert process.returncode == 130 and time.monotonic() - started < 5
    assert "Traceback" not in said and "--resume" in said
    assert [name for name in os.listdir(out) if name.startswith(".")] == [INDEX]
    done = Index(out).entries
    assert 0 < len(done) < 70
    assert all((out / entry.image).exists() for entry in done.values())


def test_what_a_fault_of_the_program_does_to_a_batch(monkeypatch):
    monkeypatch.setattr(FaceSegmenter, "__call__", lambda *_: 1 / 0)
    outcome = segment_photo(Settings("separable"), PhotoJob(str(ASTRONAUT), "a.png"))
    assert "ZeroDivisionError" in outcome.error and "please report it" in outcome.error


def test_few_photos_need_no_processes(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "cores", lambda: 8)
    monkeypatch.setattr(run, "process_map", None)
    (photos / "9.png").unlink()
    (photos / "8.png").unlink()
    (photos / "7.png").unlink()
    assert len(segment(photos, tmp_path / "out")) == 7


@pytest.mark.parametrize("shape", [(7, 5), (1, 9), (9, 1)])
def test_run_lengths_give_the_mask_again(shape):
    rng = np.random.default_rng(shape[0])
    for box in (BBox(0, 0, shape[1], shape[0]), BBox(2, 3, 2 + shape[1], 3 + shape[0])):
        size = (box.right + 2 * box.left, box.bottom + box.left)
        for fraction in (0, 0.3, 0.8, 1):
            mask = rng.random(shape) < fraction
            counts = run_lengths(mask, box, size)
            expected = np.zeros(size[::-1], bool)
            expected[box.slices] = mask
            assert (mask_of(counts, size) == expected).all() and counts.sum() == expected.size
            assert (counts[1:] > 0).all()  # no run is empty but the first


def test_parquet_has_the_faces_of_the_photos(photos, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "out"
    assert segment(photos, out, "--format", "parquet", "--workers", "2") == {}
    rows = parquet.read_table(out / "faces").to_pylist()
    segmenter = FaceSegmenter()
    results = {str(photo): segmenter(photo) for photo in photos.glob("*.png")}
    assert len(rows) == sum(len(result.faces) for result in results.values())
    for row in rows:
        face = results[row["photo"]].faces[row["face"]]
        size = row["width"], row["height"]
        assert row["areas"] == face.areas and row["bbox"] == face.bbox._asdict()
        assert row["confidence"] == pytest.approx(face.confidence)
        assert np.allclose(np.reshape(row["points"], (5, 2)), face.points)
        for name, counts in row["masks"].items():
            assert (mask_of(np.array(counts), size) == face.mask(name)).all()


def test_parquet_continues_without_doubles(photos, tmp_path, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    out, options = tmp_path / "out", ("--format", "both", "--workers", "1")
    before = segment(photos, out, *options)
    segment(photos, out, *options)
    assert "from an earlier run; continue that run with --resume" in capsys.readouterr().err
    with Image.open(ASTRONAUT) as astronaut:
        astronaut.save(photos / "more.png")
    segment(photos, out, *options, "--resume")
    assert "10 photos done before" in capsys.readouterr().out
    assert len(list((out / "faces").iterdir())) == 2
    os.utime(photos / "2.png", (1, 1))
    segment(photos, out, *options, "--resume")
    rows = parquet.read_table(out / "faces").to_pylist()
    assert len({(row["photo"], row["face"]) for row in rows}) == len(rows)
    assert len({row["photo"] for row in rows}) == 11
    assert before.items() <= images(out).items()
    os.utime(photos / "3.png", (1, 1))
    few = [str(photos / "3.png"), str(photos / "4.png")]
    assert main(["segment", *few, "--output-dir", str(out), *options, "--resume"]) == 1
    assert "has faces of photos that were not given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--output", "a.png", "--resume"], "need --output-dir"),
        (["--output", "a.png", "--format", "parquet"], "need --output-dir"),
    ],
)
def test_options_that_do_not_fit(options, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["segment", str(ASTRONAUT), *options]) == 1
    assert said in capsys.readouterr().err


def test_a_uri_needs_ray(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["segment", "s3://bucket/photos"]) == 1
    assert "s3://bucket/photos can be read only with --ray" in capsys.readouterr().err


def test_names_in_uris(tmp_path):
    pytest.importorskip("pyarrow.fs")
    for name in ("a b#1?é.jpg" if os.name == "posix" else "a b#1é.jpg", ".hidden.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    (uri,) = list_photos(tmp_path.as_uri(), {".jpg"})
    assert list_photos(uri, {".jpg"}) == [uri]
    assert download(uri, tmp_path / "copy") == remote_version(uri)
    assert (tmp_path / "copy").read_bytes().decode() == base_name(uri)
    assert base_name("s3://bucket/photos/a%20b.jpg?region=x") == "a b.jpg"
    with pytest.raises(FaceSegKitError, match="There is no photo"):
        list_photos(tmp_path.as_uri(), {".png"})
