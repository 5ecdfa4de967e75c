"""Segmentation on Ray: a local one with two workers."""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from measured import hashes
from PIL import ExifTags, Image

pytest.importorskip("ray.data")

import ray

from facesegkit.batch.photo import Settings
from facesegkit.batch.run import local_engine, prepare
from facesegkit.cli.main import main
from facesegkit.cluster import BATCH, SegmentBatch, ray_engine
from facesegkit.course.lesson_data import course_file
from facesegkit.errors import FaceSegKitError

pytestmark = pytest.mark.alone  # so that Ray starts in time

ASTRONAUT = course_file("figures/astronaut.jpg")
CLASSES = ("eyes", "eyebrows", "nose", "mouth", "lips")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Two cores, both of which the workers take."""
    for _ in range(2):
        with suppress(Exception):  # Ray gives up after 30 seconds, which may be short
            ray.init(
                num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error",
                object_store_memory=100_000_000,
            )  # fmt: skip
            break
        ray.shutdown()
    else:
        pytest.skip("Ray does not start: this machine is too busy")
    yield
    ray.shutdown()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    with Image.open(ASTRONAUT) as astronaut:
        for number in range(40):
            side = 300 + number
            astronaut.resize((side, side)).save(folder / f"{number:02}.png", compress_level=1)
    (folder / "broken.jpg").write_bytes(b"not a photo")
    return folder


def images(folder: Path) -> dict[str, str]:
    return {name: value for name, value in hashes(folder).items() if name.endswith(".png")}


def test_ray_gives_the_same_files_and_reports_a_broken_photo(photos, tmp_path, capsys):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    with Image.open(ASTRONAUT) as astronaut:
        astronaut.save(photos / "lossless.webp", lossless=True)
        astronaut.save(photos / "plain.tiff")
        astronaut.convert("L").save(photos / "grey.jpg")
        astronaut.transpose(Image.Transpose.ROTATE_90).save(photos / "turned.jpg", exif=exif)
    for name, options in {"own": [], "ray": ["--ray", "auto"]}.items():
        folder = str(tmp_path / name)
        main(["segment", str(photos), "--output-dir", folder, "--format", "both", *options])
        said = capsys.readouterr().err
        assert "broken.jpg is not an image in a supported format" in said
        assert "1 of 45 files could not be segmented" in said
    assert len(images(tmp_path / "ray")) == 44
    assert images(tmp_path / "ray") == images(tmp_path / "own")
    faces = [by_photo(tmp_path / name / "faces") for name in ("own", "ray")]
    assert faces[0] == faces[1] and len(faces[0]) >= 44


def by_photo(folder):
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(folder).to_pylist()
    return {(row["photo"], row["face"]): row for row in rows}


def test_photos_by_uri_and_a_run_that_is_continued(photos, tmp_path, capsys):
    command = ["segment", photos.as_uri(), "--output-dir", str(tmp_path / "out"), "--ray", "auto"]
    (photos / "39.png").rename(tmp_path / "39.png")
    main(command)
    (tmp_path / "39.png").rename(photos / "39.png")
    capsys.readouterr()
    main([*command, "--resume"])
    said = capsys.readouterr()
    assert "39 photos done before" in said.out and "1 of 41 files" in said.err
    main(["segment", str(photos), "--output-dir", str(tmp_path / "own"), "--workers", "1"])
    assert images(tmp_path / "out") == images(tmp_path / "own")


class Counting(SegmentBatch):
    """Notes each photo that it begins, and the first worker ends in its second batch."""

    def _segment(self, file):
        folder = Path(file.job.output).parent.with_name("begun")
        (folder / f"{Path(file.photo).stem}-{time.monotonic_ns()}").touch()
        if len(os.listdir(folder)) == BATCH + 5:
            os._exit(1)
        return super()._segment(file)


def test_a_killed_worker_loses_nothing_and_repeats_at_most_its_batch(photos, tmp_path, monkeypatch):
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import it
    monkeypatch.setattr("facesegkit.cluster.SegmentBatch", Counting)
    (tmp_path / "begun").mkdir()
    outputs = {str(p): tmp_path / "out" / f"{p.stem}.png" for p in sorted(photos.glob("*.png"))}
    batch = prepare(outputs, Settings("separable"), tmp_path / "out", classes=CLASSES)
    outcomes = list(batch.outcomes(ray_engine("auto", 2)))
    assert sorted(outcome.job.photo for outcome in outcomes) == sorted(outputs)
    assert not any(outcome.error for outcome in outcomes)
    repeated = len(os.listdir(tmp_path / "begun")) - len(outputs)
    assert 0 < repeated <= BATCH
    own = prepare({k: v.parent.with_name("own") / v.name for k, v in outputs.items()},
                  Settings("separable"), tmp_path / "own", classes=CLASSES)  # fmt: skip
    list(own.outcomes(local_engine(1)))
    assert images(tmp_path / "out") == images(tmp_path / "own")


def test_more_workers_than_cores_are_refused_rather_than_waited_for(photos, tmp_path, capsys):
    folder = str(tmp_path / "out")
    command = ["segment", str(photos), "--output-dir", folder, "--ray", "auto", "--workers", "3"]
    assert main(command) == 1
    assert "--workers 3 needs as many cores, and the cluster has 2" in capsys.readouterr().err


def test_a_cluster_whose_cores_are_taken_is_reported(monkeypatch):
    @ray.remote(num_cpus=2)
    def busy():
        time.sleep(600)

    task = busy.remote()
    until = time.monotonic() + 30
    while ray.available_resources().get("CPU", 0) >= 1 and time.monotonic() < until:
        time.sleep(0.1)
    monkeypatch.setattr("facesegkit.cluster._PATIENCE", 0.5)
    with pytest.raises(FaceSegKitError, match="All 2 cores of the cluster are taken"):
        list(ray_engine("auto")(Settings("separable"), []))
    ray.cancel(task, force=True)
