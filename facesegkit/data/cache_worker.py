"""What a process that packs does: decodes pairs and writes them into rows of the packed arrays.

It stands by itself, so that such a process loads no more than it needs.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.data.celebamask_hq import BadPair, Files, Pair, read_label_map, read_photo
from facesegkit.errors import FaceSegKitError

PHOTO_SIZE = 256
ANNOTATION_SIZE = 512

# What a zip that names impossible places, or a folder in a photo's place, gives.
_OF_DAMAGE = (errno.EINVAL, errno.EISDIR)

Job = tuple[int, Pair]  # a row and what goes into it


def pack_rows(files: Files, cache: Path, jobs: Sequence[Job]) -> dict[int, str]:
    """Decode pairs and write them into the rows of the packed arrays.

    Args:
        files: reads the pairs.
        cache: folder of the arrays.
        jobs: which pair goes into which row.

    Returns:
        {photo id: reason} of the bad pairs, whose rows stay as they are.

    Raises:
        FaceSegKitError: a pair cannot be read at the moment, be it good or bad.
    """
    bad = {}
    with _Rows(cache / "photos.npy") as photos, _Rows(cache / "labels.npy") as labels:
        side = photos.shape[0]
        for row, pair in jobs:
            try:
                photo, label_map = _small_photo(files, pair, side), _square_labels(files, pair)
            except BadPair as error:
                if _may_pass(error):
                    raise FaceSegKitError(
                        f"{error} What is packed stays; run it again when that is mended."
                    ) from error
                bad[pair.id] = str(error)
            else:
                photos.write(row, photo)
                labels.write(row, label_map)
    return bad


def _may_pass(error: BadPair) -> bool:
    """Whether a file could not be read: a drive was unplugged, memory was short."""
    cause = error.__cause__
    if isinstance(cause, OSError):  # what is said of contents has no number
        return cause.errno not in (None, *_OF_DAMAGE)
    return isinstance(cause, MemoryError)


def _small_photo(files: Files, pair: Pair, side: int) -> NDArray[np.uint8]:
    """uint8 [side, side, 3]"""
    # What the JPEG decoder reduces comes out as good as averaged (53 dB PSNR for 4 x 4 pixels).
    photo = read_photo(files, pair, at_least=side)
    return np.asarray(photo.resize((side, side), Image.Resampling.BILINEAR))


def _square_labels(files: Files, pair: Pair) -> NDArray[np.uint8]:
    """uint8 [512, 512]"""
    label_map = read_label_map(files, pair)
    size = (ANNOTATION_SIZE, ANNOTATION_SIZE)
    if label_map.shape == size:
        return label_map
    return np.asarray(Image.fromarray(label_map).resize(size, Image.Resampling.NEAREST))


class _Rows:
    """Rows of an .npy file, written with plain writes.

    Pages written through a memory map would count as memory of this process, all 14 GB of them.
    """

    def __init__(self, path: Path) -> None:
        array = np.load(path, mmap_mode="r")
        self._offset, self._row_bytes, self.shape = array.offset, array[0].nbytes, array.shape[1:]
        self._file = path.open("r+b")

    def __enter__(self) -> _Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, row: int, values: NDArray[np.uint8]) -> None:
        self._file.seek(self._offset + row * self._row_bytes)
        self._file.write(np.ascontiguousarray(values).data)
