"""Skin tones: the individual typology angle (ITA) of the skin in a photo, and its six groups.

ITA = arctan((L* - 50) / b*) in degrees, with L* and b* of CIELAB under D65 (A. Chardon, I. Cretois,
C. Hourseau, "Skin colour typology and suntanning pathways", International Journal of Cosmetic
Science, 1991). The groups are those of S. Del Bino and F. Bernerd ("Variations in skin colour and
the biological consequences of ultraviolet radiation exposure", British Journal of Dermatology,
2013). In a photo the angle also depends on the light: the groups are of photos, not of people.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from facesegkit.labels import PART_IDS

# Group and its lowest ITA in degrees, from light to dark.
ITA_GROUPS = {
    "very light": 55.0, "light": 41.0, "intermediate": 28.0, "tan": 10.0, "brown": -30.0,
    "dark": -90.0,
}  # fmt: skip

_XYZ = np.array([
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
])  # fmt: skip
_WHITE = _XYZ.sum(axis=1)  # D65


def lab(rgb: ArrayLike) -> NDArray[np.float64]:
    """CIELAB (L* 0..100, a*, b*) of sRGB display values in 0..1, [..., 3] in and out.

    Formulas and constants of IEC 61966-2-1 (sRGB) and CIE 15 (CIELAB).
    """
    display = np.asarray(rgb, dtype=np.float64)
    linear = np.where(display > 0.04045, ((display + 0.055) / 1.055) ** 2.4, display / 12.92)
    ratio = linear @ _XYZ.T / _WHITE
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def ita(rgb: ArrayLike) -> NDArray[np.float64]:
    """Individual typology angle, -90..90 degrees, [...], of sRGB values in 0..1, [..., 3].

    It is nan where b* is below 1, as in black-and-white photos: no skin is grey or blue.
    """
    lightness, _, yellow = np.moveaxis(lab(rgb), -1, 0)
    angle = np.degrees(np.arctan2(lightness - 50, yellow))
    return np.where(yellow < 1, np.nan, angle)


def ita_group(angle: float) -> str:
    """The group of an angle in degrees, see `ITA_GROUPS`; "none" for nan."""
    return next((name for name, lowest in ITA_GROUPS.items() if angle >= lowest), "none")


def skin_pixels(photo: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The colours of the skin, RGB uint8 [n, 3]; None if less than 1 % of the photo is skin.

    `photo` is RGB, uint8 [H, W, 3], `labels` its label map (part ids, uint8 [h, w]).
    """
    mask = Image.fromarray(labels == PART_IDS["skin"])
    skin = np.asarray(mask.resize((photo.shape[1], photo.shape[0]), Image.Resampling.NEAREST))
    return None if skin.mean() < 0.01 else photo[skin]


def skin_colour(photo: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """The median of `skin_pixels`, sRGB in 0..1 [3], or None."""
    pixels = skin_pixels(photo, labels)
    return None if pixels is None else np.median(pixels, axis=0) / 255
