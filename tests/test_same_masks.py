"""The same photo in different files, and in each way of using the package, gives the same masks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from facesegkit.cli.main import main, segment_one
from facesegkit.course.lesson_data import course_file
from facesegkit.inference.segmenter import FaceSegmenter

Labels = NDArray[np.uint8]

LOSSLESS = ("plain.png", "plain.webp", "plain.tiff", "turned.tiff", "turned.png", "exif.webp")
LOSSY = 0.05  # largest fraction of the marked pixels that JPEG of quality 95 may change


def write(image: Image.Image, folder: Path) -> None:
    """The photo in all files: as it is, turned by EXIF, and lossy."""
    sideways = image.transpose(Image.Transpose.ROTATE_90)  # which orientation 6 turns back
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image.save(folder / "plain.png")
    image.save(folder / "plain.webp", lossless=True, exact=True)
    image.save(folder / "plain.tiff")
    sideways.save(folder / "turned.tiff", exif=exif)
    sideways.save(folder / "turned.png", exif=exif)
    sideways.save(folder / "exif.webp", lossless=True, exact=True, exif=exif)
    image.save(folder / "lossy.jpg", quality=95)
    sideways.save(folder / "lossy_turned.jpg", quality=95, exif=exif)


def by_command(photos: list[Path], folder: Path, *options: str) -> dict[str, Labels]:
    """Label maps that `facesegkit segment` writes for the photos, one run for each format."""
    found = {}
    for suffix in {photo.suffix for photo in photos}:  # plain.png and plain.tiff share a name
        of_kind = [str(photo) for photo in photos if photo.suffix == suffix]
        out = folder / suffix[1:]
        command = ["segment", *of_kind, "--view", "labels", "--output-dir", str(out), *options]
        assert main(command) == 0
        found |= {Path(p).name: labels(out / f"{Path(p).stem}.png") for p in of_kind}
    return found


def labels(path: Path) -> Labels:
    with Image.open(path) as image:
        return np.asarray(image)


def by_python(photos: list[Path], folder: Path) -> dict[str, Labels]:
    segmenter = FaceSegmenter()
    return {photo.name: segmenter(photo).labels for photo in photos}


def by_python_decoded(photos: list[Path], folder: Path) -> dict[str, Labels]:
    segmenter = FaceSegmenter()
    found = {}
    for photo in photos:
        with Image.open(photo) as image:
            found[photo.name] = segmenter(image).labels
    return found


def by_inference_py(photos: list[Path], folder: Path) -> dict[str, Labels]:
    output = folder / "one.png"
    options = ["--view", "labels", "--output", str(output), "--model", "separable"]
    found = {}
    for photo in photos:
        assert segment_one(["--image", str(photo), *options]) == 0
        found[photo.name] = labels(output)
    return found


def in_the_explorer(photos: list[Path], folder: Path) -> dict[str, Labels]:
    explorer = pytest.importorskip("facesegkit.course.explorer.exploration")
    exploration, settings = explorer.Exploration(), explorer.Settings("separable")
    found = {}
    for photo in photos:
        name = exploration.add_photo(photo.name, photo.read_bytes())  # as it is uploaded
        found[photo.name] = exploration.segment(name, settings).segmentation.labels
    return found


def by_workers(photos: list[Path], folder: Path) -> dict[str, Labels]:
    return by_command(photos, folder, "--workers", "2")


def by_parquet(photos: list[Path], folder: Path) -> dict[str, Labels]:
    parquet = pytest.importorskip("pyarrow.parquet")
    from facesegkit.batch.rle import mask_of

    command = ["segment", *map(str, photos[:1]), "--output-dir", str(folder)]
    assert main([*command, "--format", "parquet"]) == 0
    (row,) = parquet.read_table(folder / "faces").to_pylist()
    size = row["width"], row["height"]
    found = np.zeros(size[::-1], np.uint8)
    for number, counts in enumerate(row["masks"].values(), start=1):
        found[mask_of(np.array(counts), size)] = number
    return {photos[0].name: found}


def by_ray(photos: list[Path], folder: Path) -> dict[str, Labels]:
    """The worker of Ray, without Ray, which tests/batch/test_cluster.py starts."""
    import pickle
    from io import BytesIO

    from facesegkit.batch.photo import PhotoJob, Settings
    from facesegkit.cluster import SegmentBatch

    jobs = [pickle.dumps(PhotoJob(str(photo), f"{photo.name}.png")) for photo in photos]
    outcomes = SegmentBatch(Settings("separable", view="labels"))({"job": jobs})["outcome"]
    found = {}
    for photo, outcome in zip(photos, map(pickle.loads, outcomes), strict=True):
        with Image.open(BytesIO(outcome.content)) as image:
            found[photo.name] = np.asarray(image)
    return found


WAYS: dict[str, Callable[[list[Path], Path], dict[str, Labels]]] = {
    "facesegkit segment": by_command,
    "inference.py": by_inference_py,
    "Python, from paths": by_python,
    "Python, from images": by_python_decoded,
    "the explorer": in_the_explorer,
    "worker processes": by_workers,
    "Parquet": by_parquet,
    "the worker of Ray": by_ray,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    with Image.open(course_file("figures/astronaut.jpg")) as image:
        write(image.convert("RGB"), folder)
    return [folder / name for name in (*LOSSLESS, "lossy.jpg", "lossy_turned.jpg")]


@pytest.fixture(scope="module")
def expected(photos: list[Path]) -> Labels:
    return FaceSegmenter()(photos[0]).labels


@pytest.mark.parametrize("way", WAYS)
def test_every_way_and_file_gives_the_same_masks(way, photos, expected, tmp_path, capsys):
    found = WAYS[way](photos, tmp_path)
    for name, of_file in found.items():
        assert of_file.shape == expected.shape, name
        changed = np.count_nonzero(of_file != expected)
        allowed = 0.0 if name in LOSSLESS else LOSSY
        assert changed <= allowed * np.count_nonzero(expected), name


def test_grey_gives_the_same_as_grey_in_rgb(photos, tmp_path):
    with Image.open(photos[0]) as image:
        grey = image.convert("L")
    files = {tmp_path / "grey.png": grey, tmp_path / "rgb.png": grey.convert("RGB")}
    for path, image in files.items():
        image.save(path)
    one, other = by_python(list(files), tmp_path).values()
    assert one.any() and (one == other).all()
    assert all((labels == one).all() for labels in by_command(list(files), tmp_path).values())
