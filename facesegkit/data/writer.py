"""Writes pairs of photos and part masks in CelebAMask-HQ's layout.

The masks of a pair are written first and its photo last, each of them completely or not at all.
So a photo implies that its pair is complete, and an interrupted program can continue.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.data.celebamask_hq import MASK_FOLDER, PHOTO_FOLDER
from facesegkit.system.files import atomic_write

_IDS_PER_FOLDER = 2000  # of masks, as in CelebAMask-HQ


def write_pair(
    folder: Path,
    photo_id: int,
    photo: NDArray[np.uint8],
    masks: Mapping[str, NDArray[Any]],
    quality: int = 95,
) -> None:
    """Write a photo, RGB uint8 [H, W, 3], as JPEG and its masks, [h, w] by part name, as PNG.

    A mask covers the part where it is not 0. Raises a FaceSegKitError if a file cannot be written.
    """
    mask_folder = folder / MASK_FOLDER / str(photo_id // _IDS_PER_FOLDER)
    for part, mask in masks.items():
        with atomic_write(mask_folder / f"{photo_id:05d}_{part}.png") as unfinished:
            image = Image.fromarray((mask != 0).astype(np.uint8) * 255)
            image.save(unfinished, "PNG", compress_level=1)
    with atomic_write(photo_path(folder, photo_id)) as unfinished:
        Image.fromarray(photo).save(unfinished, "JPEG", quality=quality)


def photo_path(folder: Path, photo_id: int) -> Path:
    """The file of a photo."""
    return folder / PHOTO_FOLDER / f"{photo_id}.jpg"
