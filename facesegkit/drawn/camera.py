"""What a camera and years on the web do to a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from facesegkit.drawn.canvas import SIDE
from facesegkit.drawn.curves import Floats


def photograph(rng: np.random.Generator, rgb: Floats) -> NDArray[np.uint8]:
    """Exposure, colour cast, contrast, blur and noise: float32 [512, 512, 3] to uint8."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gain = np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.04, 3))
    curve = np.clip(levels * gain, 0, 1)
    if rng.random() < 0.5:  # a film's curve: deep shadows, soft highlights
        bend = rng.uniform(0.0, 0.7)
        curve = curve * (1 - bend) + bend * curve * curve * (3 - 2 * curve)
    values = (np.clip(rgb, 0, 1) * np.float32(255)).astype(np.uint8)
    table = (curve.T.ravel() * 255).astype(np.uint8).tolist()
    image = Image.fromarray(values).point(table)
    if rng.random() < 0.05:
        image = image.convert("L").convert("RGB")
    return _grained(rng, _blurred(rng, image))


def _blurred(rng: np.random.Generator, image: Image.Image) -> NDArray[np.uint8]:
    """As sharp as a studio's photo, or enlarged from a small one."""
    kind = rng.random()
    if kind < 0.3:
        image = image.filter(ImageFilter.BoxBlur(float(rng.uniform(0.8, 4.0))))
    elif kind < 0.65:
        side = int(rng.uniform(120, 400))
        small = image.resize((side, side), Image.Resampling.BOX)
        image = small.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
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
