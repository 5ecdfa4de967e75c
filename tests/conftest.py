"""A tiny data set in CelebAMask-HQ's layout, and the choice of tests that run without PyTorch."""

import ast
import importlib
import importlib.util
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facesegkit.labels import PARTS
from facesegkit.synthetic import synthesize_dataset

# Only a CPU computes the same result twice, to the last digit.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

TESTS = Path(__file__).parent

# Warnings caused by our own code are errors, also in processes that tests start.
_OURS = (file.relative_to(TESTS.parent) for file in (TESTS.parent / "facesegkit").rglob("*.py"))
os.environ["PYTHONWARNINGS"] = ",".join(
    "error:::" + ".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in _OURS
)


def _imports(file: Path) -> Iterator[str]:
    """Modules that a file imports at its top level."""
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Import):
            yield from (module.name for module in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            yield statement.module


def _can_be_imported(module: str) -> bool:
    if (helper := TESTS / f"{module}.py").exists():
        return all(map(_can_be_imported, _imports(helper)))
    try:
        importlib.import_module(module)
    except ModuleNotFoundError:
        return False
    return True


# `facesegkit segment` needs neither PyTorch nor matplotlib; without them its tests still run.
_RUN_LESSONS = ("test_notebooks.py", "test_exercises.py")
collect_ignore = [
    file.relative_to(TESTS).as_posix()
    for file in sorted(TESTS.rglob("test_*.py"))
    if importlib.util.find_spec("torch") is None
    and (file.name in _RUN_LESSONS or not all(map(_can_be_imported, _imports(file))))
]


def pytest_report_header() -> list[str]:
    return [f"without PyTorch: {', '.join(collect_ignore)} ignored"] if collect_ignore else []


@pytest.hookimpl(tryfirst=True)  # before fixtures are made
def pytest_runtest_setup() -> None:
    """Give each test the same random numbers, whichever tests have run before it."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


MASK_MODES = ("RGB", "L", "P", "1")


class TinyDataSet:
    """Photos of noise and masks of random, overlapping rectangles."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.masks: dict[int, dict[str, NDArray[np.bool_]]] = {}  # as written

    def photo(self, photo_id: int) -> Path:
        return self.root / "CelebA-HQ-img" / f"{photo_id}.jpg"

    def mask(self, photo_id: int, part: str) -> Path:
        folder = self.root / "CelebAMask-HQ-mask-anno" / str(photo_id // 2000)
        return folder / f"{photo_id:05d}_{part}.png"

    def add(self, photo_id: int, masks: Mapping[str, NDArray[np.bool_]] | None = None,
            mode: str = "L", mask_size: tuple[int, int] = (64, 64),
            photo_size: tuple[int, int] = (96, 96)) -> None:  # fmt: skip
        """Write a photo and its masks, by default random ones. Sizes are (H, W)."""
        rng = np.random.default_rng(photo_id)
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        self.photo(photo_id).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize(photo_size[::-1]).save(self.photo(photo_id), quality=95)
        self.masks[photo_id] = dict(random_masks(rng, mask_size) if masks is None else masks)
        for part, pixels in self.masks[photo_id].items():
            self.mask(photo_id, part).parent.mkdir(parents=True, exist_ok=True)
            mask_image(pixels, mode).save(self.mask(photo_id, part))

    def zip(self, path: Path, prefix: str = "", method: int = zipfile.ZIP_DEFLATED) -> Path:
        """Write the folder into a zip whose names start with `prefix`."""
        with zipfile.ZipFile(path, "w", method) as archive:
            for file in sorted(self.root.rglob("*")):
                archive.write(file, prefix + file.relative_to(self.root).as_posix())
        return path


def random_masks(rng: np.random.Generator, size: tuple[int, int]) -> dict[str, NDArray[np.bool_]]:
    """Rectangles for skin and about two thirds of the other parts."""
    masks = {}
    for part in PARTS[1:]:
        if part == "skin" or rng.random() < 0.66:
            top, left = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 8)
            height, width = rng.integers(4, size[0] // 2, 2)
            masks[part] = np.zeros(size, dtype=bool)
            masks[part][top : top + height, left : left + width] = True
    return masks


def mask_image(pixels: NDArray[np.bool_], mode: str) -> Image.Image:
    """A mask in the given mode: white, or in mode 'P' red, where the part is."""
    if mode == "P":  # index 0 is the part: only the palette says so
        image = Image.fromarray(np.where(pixels, 0, 1).astype(np.uint8), "P")
        image.putpalette([255, 0, 0, 0, 0, 0])
        return image
    return Image.fromarray(pixels.astype(np.uint8) * 255).convert(mode)


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty synthetic faces, which no test changes."""
    folder = tmp_path_factory.mktemp("faces") / "synthetic"
    synthesize_dataset(folder, 40, seed=0, progress=False)
    return folder


@pytest.fixture
def empty_data_set(tmp_path: Path) -> TinyDataSet:
    """Nothing yet; the test fills it."""
    return TinyDataSet(tmp_path / "CelebAMask-HQ")


@pytest.fixture
def data_set(empty_data_set: TinyDataSet) -> TinyDataSet:
    """Twelve pairs with gaps in their ids, in two mask folders, in all modes and some sizes."""
    sizes: list[dict[str, Any]] = [{}, {"photo_size": (520, 520)}, {"mask_size": (40, 72)}]
    for number, photo_id in enumerate((0, 1, 5, 6, 9, 17, 100, 1999, 2000, 2001, 2501, 3999)):
        empty_data_set.add(photo_id, mode=MASK_MODES[number % 4], **sizes[number % 3])
    return empty_data_set
