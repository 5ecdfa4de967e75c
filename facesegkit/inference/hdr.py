"""HDR video (HLG and PQ in the colours of BT.2020) as SDR: tone-mapped to sRGB.

The curves are those of ITU-R BT.2100, the conversion of primaries that of BT.2087, white at 203
cd/m2 is from BT.2408. The tone curve, and the exposure by the mean luminance, are from E. Reinhard
et al., "Photographic Tone Reproduction for Digital Images" (2002).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # PyAV (FFmpeg's libraries) is imported for videos only
    from av.video.frame import VideoFrame

_PQ, _HLG = 16, 18  # transfer curves, in FFmpeg's numbers
_WHITE, _PEAK = 203.0, 1000.0  # cd/m2: of a white page, and of the display
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    np.float32,
)
_KEY = 0.18  # mean luminance of a usual picture, of white
_INERTIA = 0.95  # weight of the exposures before, so that it never jumps
_PIXELS = 500_000  # that are converted at once, to save memory
_STEPS = 4096  # of the table of the sRGB curve


def is_hdr(frame: VideoFrame) -> bool:
    """Whether a frame says that it is HDR; frames of early versions of PyAV do not say it."""
    return int(getattr(frame, "color_trc", 0)) in (_PQ, _HLG)


class ToneMapper:
    """Converts the frames of one HDR video; the exposure follows its brightness slowly."""

    def __init__(self) -> None:
        self._exposure: float | None = None

    def __call__(self, pixels: NDArray[np.uint16], transfer: int) -> NDArray[np.uint8]:
        """RGB in BT.2020, uint16 [H, W, 3] in 0..65535, as sRGB, uint8 [H, W, 3]."""
        exposure = self._exposed(_linear(pixels[::8, ::8], transfer))
        rows = max(1, _PIXELS // max(1, pixels.shape[1]))
        parts = (
            _compressed(_linear(pixels[top : top + rows], transfer), exposure)
            for top in range(0, len(pixels), rows)
        )
        return np.concatenate(list(parts))

    def _exposed(self, light: NDArray[np.float32]) -> float:
        """The factor that brings the mean luminance down to the key; at least, peak to white."""
        mean = float((light @ _LUMINANCE).mean())
        wanted = float(np.clip(_KEY / max(mean, 1e-6), _WHITE / _PEAK, 1))
        before = wanted if self._exposure is None else self._exposure
        self._exposure = _INERTIA * before + (1 - _INERTIA) * wanted
        return self._exposure


def _linear(pixels: NDArray[np.uint16], transfer: int) -> NDArray[np.float32]:
    """Light of the display, 1 at `_WHITE`, up to `_PEAK`."""
    light: NDArray[np.float32] = _light_of(transfer)[pixels]
    if transfer == _HLG:  # the opto-optical transfer function, of gamma 1.2
        light *= (light @ _LUMINANCE)[..., None] ** np.float32(0.2) * np.float32(_PEAK / _WHITE)
    return light


@cache
def _light_of(transfer: int) -> NDArray[np.float32]:
    """For each 16-bit value, the light: of the scene in 0..1 (HLG), or of the display (PQ)."""
    signal = np.linspace(0, 1, 65536)
    if transfer == _HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(
            np.float32
        )
    power = signal ** (32 / 2523)
    light = (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (8192 / 1305)
    return np.minimum(light * 10_000, _PEAK).astype(np.float32) / np.float32(_WHITE)


def _compressed(light: NDArray[np.float32], exposure: float) -> NDArray[np.uint8]:
    """Linear BT.2020 as sRGB; the peak becomes white, and hues are kept."""
    colours = np.maximum(light @ _TO_BT709.T, 0) * np.float32(exposure)
    white = exposure * _PEAK / _WHITE
    brightest = colours.max(axis=-1, keepdims=True)
    colours *= (1 + brightest / np.float32(white**2)) / (1 + brightest)
    steps = np.minimum(colours * (_STEPS - 1) + 0.5, _STEPS - 1).astype(np.uint16)
    return _srgb_curve()[steps]


@cache
def _srgb_curve() -> NDArray[np.uint8]:
    linear = np.linspace(0, 1, _STEPS)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)
