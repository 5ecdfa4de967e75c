"""Masks of the careless annotator, on which lessons 1 and 2 run."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from facesegkit.synthetic.annotator import annotate, plan_errors
from facesegkit.synthetic.face import synthesize_face

FACES = 150  # as in the lessons


def careless_masks(seed: int) -> Iterator[dict[str, NDArray[np.bool_]]]:
    """The masks of each face of a seed, errors included."""
    errors = plan_errors(seed, FACES)
    for index in range(FACES):
        yield annotate(synthesize_face(seed, index).masks, seed, index, errors.get(index))
