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
