"""What every lesson begins with: data to learn on, packed."""

from __future__ import annotations

from pathlib import Path

from facesegkit.data.cache import DatasetCache, build_cache
from facesegkit.synthetic import synthesize_dataset
from facesegkit.synthetic.files import GENERATOR_VERSION


def lesson_data(faces: int = 150) -> Path:
    """The data set that a lesson runs on, and a line on the screen that says which.

    It is the reader's CelebAMask-HQ where `data/` has it, as a folder or a zip; else faces are
    drawn there, once for all lessons.

    Args:
        faces: how many to draw where there is no data set.
    """
    data = _data_folder()
    for own in (data / "CelebAMask-HQ", data / "CelebAMask-HQ.zip"):
        if own.exists():
            print("This lesson runs on CelebAMask-HQ: do not publish its outputs.")
            return own
    drawn = data / f"drawn-for-lessons-{faces}-v{GENERATOR_VERSION}"
    synthesize_dataset(drawn, faces, seed=0, progress=False)
    print(f"This lesson runs on {faces} drawn faces.")
    return drawn


def lesson_cache(data: Path) -> DatasetCache:
    """What `lesson_data` found, packed for training."""
    return build_cache(data, cache=_data_folder() / "packed" / data.stem, progress=False)


def _data_folder() -> Path:
    """The project's `data/` when run from `notebooks/` or below it, else one in this folder."""
    here = Path()
    for folder in (here, here / "..", here / ".." / ".."):
        if (folder / "data" / "README.md").is_file():
            return folder / "data"
    return here / "data"
