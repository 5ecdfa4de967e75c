"""What a camera and years on the web do to a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from facesegkit.synthetic.canvas import SIDE
from facesegkit.synthetic.curves import Floats

SHOULDER = np.float32(0.8)  # display value from which on highlights are compressed


def photograph(rng: np.random.Generator, rgb: Floats) -> NDArray[np.uint8]:
    """Exposure, colour cast, contrast, blur and noise: float32 [512, 512, 3] to uint8."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gain = np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.04, 3))
    curve = shoulder(levels * gain, steep=1.2)
    if rng.random() < 0.5:  # a film's curve: deep shadows, soft highlights
        bend = rng.uniform(0.0, 0.7)
        curve = curve * (1 - bend) + bend * curve * curve * (3 - 2 * curve)
    values = (np.clip(rgb, 0, 1) * np.float32(255)).astype(np.uint8)
    table = (curve.T.ravel() * 255).astype(np.uint8).tolist()
    image = Image.fromarray(values).point(table)
    if rng.random() < 0.05:
        image = image.convert("L").convert("RGB")
    elif rng.random() < 0.5:
        image = ImageEnhance.Color(image).enhance(float(rng.uniform(0.6, 1.5)))
    return _grained(rng, _blurred(rng, image))


def shoulder(values: Floats, steep: float = 0.7) -> Floats:
    """Let bright values run into white softly, as a camera does, instead of cutting them off.

    Args:
        values: display values, above 1 where it is too bright.
        steep: slope where the compression begins.
    """
    over = np.maximum(values - SHOULDER, 0) / (1 - SHOULDER)
    return np.minimum(values, SHOULDER) + (1 - SHOULDER) * np.tanh(steep * over)


def _blurred(rng: np.random.Generator, image: Image.Image) -> NDArray[np.uint8]:
    """As sharp as a studio's photo, or enlarged from a small one."""
    kind = rng.random()
    if kind < 0.14:
        image = image.filter(ImageFilter.BoxBlur(float(rng.uniform(0.6, 2.8))))
    elif kind < 0.5:
        side = int(rng.uniform(170, 450))
        small = image.resize((side, side), Image.Resampling.BOX)
        image = small.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    if rng.random() < 0.25:  # cameras and editors sharpen, which leaves halos
        strength = int(rng.uniform(30, 120))
        image = image.filter(ImageFilter.UnsharpMask(float(rng.uniform(1, 3)), strength, 0))
    return np.asarray(image)


def _grained(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Sensor noise, the same in all channels or not, from nearly none to plenty."""
    strength = rng.gamma(1.2, 2.2)
    if strength < 0.7:
        return picture
    grain = (rng.standard_normal((SIDE, SIDE), dtype=np.float32) * strength).astype(np.int16)
    return np.clip(picture + grain[..., None], 0, 255).astype(np.uint8)


def jpeg_quality(rng: np.random.Generator) -> int:
    """From heavily squeezed to nearly untouched."""
    kind = rng.random()
    if kind < 0.4:
        return 95
    return int(rng.integers(75, 95) if kind < 0.8 else rng.integers(35, 75))
