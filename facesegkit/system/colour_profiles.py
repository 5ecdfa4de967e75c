"""Photos with an ICC profile, converted to sRGB, for which models and screens are made."""

import io
from contextlib import suppress
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

# The channels that a profile describes, by its colour space. A profile of another space than the
# image's says nothing about its pixels, and is ignored.
_MODES = {"RGB ": ("RGB", "RGBA"), "GRAY": ("L",), "CMYK": ("CMYK",)}

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
