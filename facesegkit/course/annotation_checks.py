"""The checks of annotations that lesson 1 writes by hand, for its exercises.

They see the masks of a data set and not its photos, so what they report may be right after all.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facesegkit.data.celebamask_hq import Archive, Pair, read_mask
from facesegkit.labels import PART_IDS, PARTS
from facesegkit.synthetic.annotator import FEATURES, PlantedError

ABOVE = (
    ("l_brow", "l_eye"), ("r_brow", "r_eye"), ("l_eye", "nose"), ("r_eye", "nose"),
    ("nose", "u_lip"), ("u_lip", "l_lip"),
)  # fmt: skip
FAR = 30  # pixels from a feature's usual place

Numbers = NDArray[np.float64]
Reports = dict[str, NDArray[np.bool_]]  # by the name of a check: which photos it reports, [N]

_FEATURE_IDS = [PART_IDS[part] for part in FEATURES]


def read_masks(archive: Archive, pair: Pair) -> dict[str, NDArray[np.bool_]]:
    """The masks of a pair by part name, bool [H, W]."""
    return {PARTS[part_id]: read_mask(archive.files, entry) for part_id, entry in pair.masks}


def measure_masks(masks: Mapping[str, NDArray[np.bool_]]) -> Numbers:
    """Number of pixels, and row and column of the centre, of each part, float64 [3, 19].

    They are nan where there is no mask; the centre, a median, also if the mask is empty.
    """
    numbers = np.full((3, len(PARTS)), np.nan)
    for part, mask in masks.items():
        rows, columns = np.nonzero(mask)
        numbers[0, PART_IDS[part]] = len(rows)
        if len(rows):
            numbers[1:, PART_IDS[part]] = np.median(rows), np.median(columns)
    return numbers


def check_masks(numbers: Numbers) -> Reports:
    """All checks of lesson 1, from what `measure_masks` returned for N photos, [3, N, 19]."""
    pixels, row, column = numbers
    sides = [column[:, PART_IDS[f"l_{what}"]] < column[:, PART_IDS[f"r_{what}"]]
             for what in ("eye", "brow")]  # fmt: skip
    order = [row[:, PART_IDS[upper]] > row[:, PART_IDS[lower]] for upper, lower in ABOVE]
    return {
        "no file": np.isnan(pixels[:, _FEATURE_IDS]).any(axis=1),
        "empty file": (pixels == 0).any(axis=1),
        "wrong side": np.any(sides, axis=0),
        "wrong order": np.any(order, axis=0),
        "unusual place": distance_from_usual(numbers) > FAR,
    }


def distance_from_usual(numbers: Numbers) -> Numbers:
    """Largest distance of a feature from its usual place in the face, in pixels [N]."""
    distances = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a photo without any feature
        for centre in numbers[1:, :, _FEATURE_IDS]:
            offset = centre - np.nanmedian(centre, axis=0)
            offset -= np.nanmedian(offset, axis=1, keepdims=True)  # the face may be elsewhere
            distances.append(np.nanmax(np.abs(offset), axis=1))
    return np.max(distances, axis=0)


def print_found(
    reports: Mapping[str, NDArray[np.bool_]],
    ids: Sequence[int],
    planted: Mapping[int, PlantedError],
) -> None:
    """Print which planted errors each check found, and its false alarms.

    `ids` are the ids of the N photos, and `planted` is what `read_planted_errors` returned.
    """
    together = np.logical_or.reduce(list(reports.values()))
    errors = [planted.get(photo_id) for photo_id in ids]
    for name, is_reported in {**reports, "all together": together}.items():
        line = f"{name:14}{np.sum(is_reported):3} photos"
        if planted:
            flags = zip(errors, is_reported, strict=True)
            kinds = [error.kind for error, flag in flags if error and flag]
            false = np.sum(is_reported) - len(kinds)
            line += f" ={false:3} false alarms +{len(kinds):2} errors: {', '.join(kinds) or 'none'}"
        print(line)
    if planted:
        flags = zip(errors, together, strict=True)
        missed = [error.kind for error, flag in flags if error and not flag]
        print(f"{'not found':14}{', '.join(missed) or 'none'}")
    else:
        print("Nobody has listed the errors of this data set: inspect the photos.")
