"""Photos with an ICC profile, converted to sRGB, for which models and screens are made."""

import io
from contextlib import suppress
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

# The channels that a profile describes, by its colour space. A profile of another space than the
# image's says nothing about its pixels, and is ignored.
_MODES = {"RGB ": ("RGB", "RGBA", "P"), "GRAY": ("L", "LA", "I;16", "I"), "CMYK": ("CMYK",)}

_USUAL_GAMMA, _GAMMAS = 1 / 2.2, (0.1, 3.0)  # others than the latter are damaged
_TOLERANCE = 3  # levels of 255: variants of sRGB round differently


def profile_of(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The ICC profile by which an image must be converted; None for sRGB and damaged profiles."""
    content = image.info.get("icc_profile")
    if not content:
        return None
    with suppress(Exception):  # a photo with a damaged profile is still a photo
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        fits = image.mode in _MODES.get(profile.profile.xcolor_space, ())
        if fits and not (image.mode in _MODES["RGB "] and _is_srgb(content)):
            return profile
    return None


@lru_cache(maxsize=16)  # most photos of a folder have the same one
def _is_srgb(content: bytes) -> bool:
    """Whether a profile leaves colours as they are; its description may say anything."""
    levels = np.arange(0, 256, 51).astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    converted = to_srgb(Image.fromarray(colours), ImageCms.ImageCmsProfile(io.BytesIO(content)))
    change = np.abs(np.asarray(converted, np.int16) - colours)
    return bool(change.max() <= _TOLERANCE)


def to_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    """A copy of an image in sRGB: RGB, or RGBA if the image has an alpha channel."""
    if image.mode == "LA":
        grey, alpha = image.split()
        coloured = to_srgb(grey, profile)
        coloured.putalpha(alpha)
        return coloured
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        converted = ImageCms.profileToProfile(
            image, profile, ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except ImageCms.PyCMSError:  # a profile without the tables for this direction
        return image
    if converted is None:
        return image
    converted.info = {k: v for k, v in image.info.items() if k != "icc_profile"}
    return converted


def gamma_table(image: Image.Image) -> list[int] | None:
    """What each 8-bit value is in sRGB, if a PNG tells another gamma and nothing else."""
    gamma = image.info.get("gamma")
    told = "srgb" in image.info or "icc_profile" in image.info
    if image.format != "PNG" or told or not isinstance(gamma, float):
        return None
    if abs(gamma - _USUAL_GAMMA) < 0.02 or not _GAMMAS[0] <= gamma <= _GAMMAS[1]:
        return None
    linear = np.linspace(0, 1, 256) ** (1 / gamma)
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return list(map(int, np.rint(srgb * 255)))
