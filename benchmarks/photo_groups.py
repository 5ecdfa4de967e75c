"""Groups of photos by which models are reported: what their masks show, and the skin's tone."""

import numpy as np
from numpy.typing import NDArray

from facesegkit.course.photo_counts import PhotoCounts
from facesegkit.data.cache import DatasetCache
from facesegkit.data.skin_tone import ITA_GROUPS, ita, ita_group, skin_pixels
from facesegkit.labels import PART_IDS

NARROW_EYES = "narrow or closing eyes (neither mask larger than 0.2 of its width squared)"
HAIR_OVER_BROW = "hair over a brow (one brow smaller than 0.4 of the other, eyes alike)"
_LUMA = np.array((0.299, 0.587, 0.114))  # of RGB, ITU-R BT.601


def photo_counts(
    class_names: tuple[str, ...],
    matrices: NDArray[np.int64],
    cache: DatasetCache,
    rows: NDArray[np.int64],
) -> PhotoCounts:
    """Confusion matrices [n, C, C] with what label maps and skins say about the photos, [n]."""
    belongs = [mask_groups(cache.labels[row]) for row in rows]
    none = np.full((1, 3), np.nan)
    skins = [skin_pixels(cache.photos[row], cache.labels[row]) for row in rows]
    known = [none if skin is None else skin for skin in skins]
    colours = np.array([np.median(skin, axis=0) for skin in known]) / 255
    return PhotoCounts(
        class_names,
        matrices.astype(np.int32),
        ids=cache.ids[rows].astype(np.int32),
        groups={group: np.array([of[group] for of in belongs]) for group in belongs[0]},
        ita=ita(colours).astype(np.float32),
        grey=np.array([np.median(skin @ _LUMA) for skin in known], dtype=np.float32),
    )


def mask_groups(labels: NDArray[np.uint8]) -> dict[str, bool]:
    """Which groups a photo belongs to, according to its label map (part ids [H, W])."""
    area = np.bincount(labels.ravel(), minlength=len(PART_IDS))
    pixels = {part: int(area[part_id]) for part, part_id in PART_IDS.items()}
    eyes = sorted((pixels["l_eye"], pixels["r_eye"]))
    brows = sorted((pixels["l_brow"], pixels["r_brow"]))
    return {
        "glasses": pixels["eye_g"] > 0,
        "hat": pixels["hat"] > 0,
        "open mouth": pixels["mouth"] > 0.002 * labels.size,
        "turned head (one eye smaller than 0.6 of the other)": eyes[0] < 0.6 * eyes[1],
        NARROW_EYES: _all_narrow(labels),
        HAIR_OVER_BROW: (
            brows[0] < 0.4 * brows[1] and eyes[0] >= 0.6 * eyes[1] and pixels["hair"] > 0
        ),
    }


def _all_narrow(labels: NDArray[np.uint8]) -> bool:
    """Whether an eye is visible, and none is open wide: about a tenth of the photos."""
    columns = [np.nonzero(labels == PART_IDS[eye])[1] for eye in ("l_eye", "r_eye")]
    visible = [of_eye for of_eye in columns if len(of_eye)]
    return bool(visible) and all(
        len(of_eye) < 0.2 * (np.ptp(of_eye) + 1) ** 2 for of_eye in visible
    )


def ita_members(angles: NDArray[np.float32]) -> dict[str, NDArray[np.bool_]]:
    """Photos of each ITA group and of "none", by angles in degrees [n]; bool [n] each."""
    names = np.array([ita_group(float(angle)) for angle in angles])
    return {name: names == name for name in (*ITA_GROUPS, "none")}


def darkest_tenth(grey: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The tenth of the photos whose skin has the lowest grey, and the rest, bool [n] each.

    Photos without a grey are in neither. Of equally dark photos, the first ones count as darker.
    """
    known = ~np.isnan(grey)
    darkest = np.zeros(len(grey), dtype=bool)
    darkest[np.argsort(grey, kind="stable")[: round(known.sum() / 10)]] = True  # nan comes last
    return darkest, known & ~darkest
