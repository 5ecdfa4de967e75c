"""The same photo in different files, and in each way of using the package, gives the same masks."""

import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from facesegkit.cli.main import main, segment_one
from facesegkit.course.lesson_data import course_file
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import FIVE_FEATURES

Labels = NDArray[np.uint8]

LOSSLESS = ("png.png", "webp.webp", "tiff.tiff", "turned-png.png", "turned-webp.webp",
            "turned-tiff.tiff")  # fmt: skip
LOSSY = 0.05  # largest fraction of the marked pixels that JPEG of quality 95 may change


def write(image: Image.Image, folder: Path) -> None:
    """The photo in all files: as it is, turned by EXIF, and lossy."""
    sideways = image.transpose(Image.Transpose.ROTATE_90)  # which orientation 6 turns back
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exact = {"lossless": True, "exact": True}
    kinds = {"png": {}, "tiff": {}, "webp": exact, "jpg": {"quality": 95}}
    for suffix, options in kinds.items():
        image.save(folder / f"{suffix}.{suffix}", **options)
        sideways.save(folder / f"turned-{suffix}.{suffix}", exif=exif, **options)


def by_command(photos: list[Path], folder: Path, *options: str) -> dict[str, Labels]:
    """Label maps that `facesegkit segment` writes for the photos."""
    command = ["segment", *map(str, photos), "--view", "labels", "--output-dir", str(folder)]
    assert main([*command, *options]) == 0
    return {photo.name: labels(folder / f"{photo.stem}.png") for photo in photos}


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
        _, content = exploration.file("mask", name, settings)
        found[photo.name] = classes_of(content)
    return found


def classes_of(mask: bytes) -> Labels:
    """Class ids of a PNG in the colours of the classes."""
    with Image.open(BytesIO(mask)) as image:
        colours = np.asarray(image.convert("RGB"))
    found = np.full(colours.shape[:2], 255, np.uint8)
    for number, colour in enumerate(FIVE_FEATURES.palette):
        found[(colours == colour).all(axis=2)] = number
    return found


def from_the_service(photos: list[Path], folder: Path) -> dict[str, Labels]:
    for package in ("httpx", "python_multipart", "fastapi"):
        pytest.importorskip(package)
    import anyio

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "examples"))
        import serve

        patch.setattr(serve, "segmenter", FaceSegmenter())
        found = anyio.run(_answers, serve.app, photos)
    del sys.modules["serve"]
    return found


async def _answers(app: Any, photos: list[Path]) -> dict[str, Labels]:
    import httpx

    found = {}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        for photo in photos:
            answer = await client.post("/segment?view=mask", files={"photo": photo.read_bytes()})
            found[photo.name] = classes_of(answer.content)
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
    "the service": from_the_service,
    "worker processes": by_workers,
    "Parquet": by_parquet,
    "the worker of Ray": by_ray,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    with Image.open(course_file("figures/astronaut.jpg")) as image:
        write(image.convert("RGB"), folder)
    return [folder / name for name in (*LOSSLESS, "jpg.jpg", "turned-jpg.jpg")]


@pytest.fixture(scope="module")
def expected(photos: list[Path]) -> Labels:
    return FaceSegmenter()(photos[0]).labels


def check(found: dict[str, Labels], expected: Labels) -> None:
    for name, of_file in found.items():
        assert of_file.shape == expected.shape, name
        changed = np.count_nonzero(of_file != expected)
        allowed = 0.0 if name in LOSSLESS else LOSSY
        assert changed <= allowed * np.count_nonzero(expected), name


@pytest.mark.parametrize("way", WAYS)
def test_every_way_and_file_gives_the_same_masks(way, photos, expected, tmp_path, capsys):
    check(WAYS[way](photos, tmp_path), expected)


def test_grey_gives_the_same_as_grey_in_rgb(photos, tmp_path):
    with Image.open(photos[0]) as image:
        grey = image.convert("L")
    files = {tmp_path / "grey.png": grey, tmp_path / "rgb.png": grey.convert("RGB")}
    for path, image in files.items():
        image.save(path)
    one, other = by_python(list(files), tmp_path).values()
    assert one.any() and (one == other).all()
    by_cli = by_command(list(files), tmp_path / "out")
    assert all((found == one).all() for found in by_cli.values())
