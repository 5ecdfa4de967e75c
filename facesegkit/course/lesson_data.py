"""The data set that the lessons run on, its cache, and other files that the lessons read."""

from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.data.cache import DatasetCache, build_cache
from facesegkit.synthetic import synthesize_dataset
from facesegkit.synthetic.files import GENERATOR_VERSION


def lesson_data(faces: int = 150, annotator: str = "exact") -> Path:
    """Path of the data set to run a lesson on; prints which one it is.

    It is CelebAMask-HQ if `data/` contains it as a folder or zip. Otherwise it is a synthetic data
    set of this many faces, which is generated there once for all lessons. `annotator` is as for
    `synthesize_dataset`.
    """
    data = _data_folder()
    for real in (data / "CelebAMask-HQ", data / "CelebAMask-HQ.zip"):
        if real.exists():
            print("This lesson runs on CelebAMask-HQ: do not publish its outputs.")
            return real
    name = "synthetic" if annotator == "exact" else f"synthetic-{annotator}"
    synthetic = data / f"{name}-for-lessons-{faces}-v{GENERATOR_VERSION}"
    synthesize_dataset(synthetic, faces, seed=0, annotator=annotator, progress=False)
    masks = "" if annotator == "exact" else f" with the masks of a {annotator} annotator"
    print(f"This lesson runs on {faces} synthetic faces{masks}.")
    return synthetic


def lesson_cache(data: Path) -> DatasetCache:
    """Cache of the data set that `lesson_data` returned."""
    return build_cache(data, cache=_data_folder() / "cache" / data.stem, progress=False)


def small_photos(photos: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Square photos, uint8 [N, H, H, 3], resized to `side` pixels by averaging blocks of pixels."""
    sizes = (side, side)
    resized = (Image.fromarray(photo).resize(sizes, Image.Resampling.BOX) for photo in photos)
    return np.stack([np.asarray(photo) for photo in resized])


def project_file(path: str) -> Path:
    """A file of the project, if run from its top, from `notebooks/` or below."""
    return _data_folder().parent / path


def course_file(path: str) -> Path:
    """A file of the project that the course reads, wherever the package is installed.

    It is in the project's folder if this module is; otherwise pip has put it into
    share/facesegkit/ of the environment (`data-files` in pyproject.toml).
    """
    in_project = Path(__file__).parents[2] / path
    if in_project.is_file():
        return in_project
    files = metadata.files("facesegkit") or ()
    installed = (file.locate() for file in files if file.match(f"share/facesegkit/{path}"))
    return Path(next(installed, in_project))


def portraits() -> dict[str, Path]:
    """Ten photos of people in the public domain by name; see figures/portraits/CREDITS.md."""
    names = {f"portrait {number}": f"{number:02}.jpg" for number in range(1, 11)}
    return {name: course_file(f"figures/portraits/{file}") for name, file in names.items()}


def _data_folder() -> Path:
    """The project's `data/` if run from `notebooks/` or below, else one in the current folder."""
    here = Path()
    for folder in (here, here / "..", here / ".." / ".."):
        if (folder / "data" / "README.md").is_file():
            return folder / "data"
    return here / "data"
