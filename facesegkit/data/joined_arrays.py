"""Arrays of several data sets, indexed like one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class JoinedArrays:
    """Arrays one after the other along their first axis, indexed like one array."""

    def __init__(self, arrays: "Sequence[Array]") -> None:
        self.arrays = arrays
        self.ends = np.cumsum([len(array) for array in arrays])
        self.shape: tuple[int, ...] = (int(self.ends[-1]), *arrays[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        values = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        owner = np.searchsorted(self.ends, rows, side="right")
        for index, array in enumerate(self.arrays):
            own = owner == index
            values[own] = array[rows[own] - (self.ends[index] - len(array))]
        return values


Array = NDArray[np.uint8] | JoinedArrays


def joined_or_zero(arrays: "Sequence[Array | None]", lengths: Sequence[int]) -> JoinedArrays | None:
    """Arrays one after the other, with zeros of these lengths in the place of missing ones."""
    shape = next((array.shape[1:] for array in arrays if array is not None), None)
    if shape is None:
        return None
    nothing = np.uint8(0)  # broadcast, so it takes no memory
    return JoinedArrays([
        np.broadcast_to(nothing, (length, *shape)) if array is None else array
        for array, length in zip(arrays, lengths, strict=True)
    ])  # fmt: skip
