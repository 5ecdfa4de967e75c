"""Confusion matrices of a model, photo by photo, to analyse its errors without the data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesegkit.course.lesson_data import course_file
from facesegkit.errors import FaceSegKitError
from facesegkit.system.files import atomic_write


@dataclass(frozen=True, eq=False)
class PhotoCounts:
    """What a model predicted on n photos of a split, and what is known about the photos."""

    class_names: tuple[str, ...]  # background first
    matrices: NDArray[np.int32]  # pixel counts [n, C, C]; rows are the ground truth
    ids: NDArray[np.int32]  # of the photos, [n]
    groups: dict[str, NDArray[np.bool_]]  # such as "glasses": whether a photo belongs to it, [n]
    ita: NDArray[np.float32]  # of the skin, in degrees, [n]; nan if unknown (`data.skin_tone`)
    grey: NDArray[np.float32]  # median luma of the skin, 0..255, [n]; nan if little skin is visible

    def save(self, path: Path) -> None:
        """Write a compressed .npz file, atomically."""
        arrays: dict[str, Any] = {
            "class_names": np.array(self.class_names),
            "group_names": np.array([*self.groups]),
            "groups": np.stack([*self.groups.values()]),
            **{name: getattr(self, name) for name in ("matrices", "ids", "ita", "grey")},
        }
        with atomic_write(path) as unfinished, unfinished.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> "PhotoCounts":
        """Read what `save` has written; a FaceSegKitError if there is no such file."""
        if not path.is_file():
            raise FaceSegKitError(f"There are no confusion matrices {path.name}.")
        with np.load(path) as saved:
            groups = dict(zip(saved["group_names"].tolist(), saved["groups"], strict=True))
            arrays = {name: saved[name] for name in ("matrices", "ids", "ita", "grey")}
            return cls(tuple(saved["class_names"].tolist()), groups=groups, **arrays)


def load_photo_counts(name: str = "separable") -> PhotoCounts:
    """The counts of a shipped model on the test split of CelebAMask-HQ.

    Raises a FaceSegKitError if there are none.
    """
    return PhotoCounts.load(course_file(f"benchmarks/results/confusion-{name}.npz"))
