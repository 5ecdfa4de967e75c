"""Camera effects: exposure, tone curve, blur, sharpening, noise and JPEG quality."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from facesegkit.synthetic.canvas import SIDE
from facesegkit.synthetic.curves import Floats

SHOULDER = np.float32(0.8)  # display value above which highlights are compressed


def photograph(rng: np.random.Generator, rgb: Floats) -> NDArray[np.uint8]:
    """Exposure, colour cast, contrast, blur and noise: float32 [512, 512, 3] to uint8."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gain = np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.04, 3))
    curve = shoulder(levels * gain, steep=1.2)
    if rng.random() < 0.5:  # film-like tone curve: deep shadows, soft highlights
        bend = rng.uniform(0.0, 0.7)
        curve = curve * (1 - bend) + bend * curve * curve * (3 - 2 * curve)
    values = (np.clip(rgb, 0, 1) * np.float32(255)).astype(np.uint8)
    image = Image.fromarray(values).point((curve.T.ravel() * 255).astype(np.uint8).tolist())
    if rng.random() < 0.05:
        image = image.convert("L").convert("RGB")
    elif rng.random() < 0.5:
        image = ImageEnhance.Color(image).enhance(rng.uniform(0.7, 1.5))
    return _with_noise(rng, _with_blur(rng, image))


def shoulder(values: Floats, steep: float = 0.7) -> Floats:
    """Display values with highlights compressed smoothly, as a camera does, instead of clipped.

    The curve has the slope `steep` where the compression begins.
    """
    over = np.maximum(values - SHOULDER, 0) / (1 - SHOULDER)
    return np.minimum(values, SHOULDER) + (1 - SHOULDER) * np.tanh(steep * over)


def _with_blur(rng: np.random.Generator, image: Image.Image) -> NDArray[np.uint8]:
    """As sharp as a studio photo, blurred, or upsampled from a small image; perhaps sharpened."""
    kind = rng.random()
    if kind < 0.14:
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.6, 2.8)))
    elif kind < 0.5:
        small = image.resize((int(rng.uniform(170, 450)),) * 2, Image.Resampling.BOX)
        image = small.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    if rng.random() < 0.25:  # cameras and editors sharpen, which leaves halos
        percent = int(rng.uniform(30, 120))
        image = image.filter(ImageFilter.UnsharpMask(rng.uniform(1, 3), percent, 0))
    return np.asarray(image)


def _with_noise(rng: np.random.Generator, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Sensor noise, the same in all channels, from almost none to plenty."""
    strength = rng.gamma(1.2, 2.2)
    if strength < 0.7:
        return photo
    grain = (rng.standard_normal((SIDE, SIDE), dtype=np.float32) * strength).astype(np.int16)
    return np.clip(photo + grain[..., None], 0, 255).astype(np.uint8)


def jpeg_quality(rng: np.random.Generator) -> int:
    """JPEG quality from 35, heavily compressed, to 95."""
    kind = rng.random()
    return 95 if kind < 0.4 else int(rng.integers(*((75, 95) if kind < 0.8 else (35, 75))))
