"""From figures of single photos: means over photos, and how much a metric depends on the photos."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

PER_IMAGE_DEFINITION = (
    "The mean over photos of each photo's own mean F1, over the classes that are annotated or "
    "predicted in it: each photo counts the same, however small its face."
)


def bootstrap(per_photo: NDArray[Any], resamples: int = 2000, seed: int = 0) -> NDArray[Any]:
    """Sums over as many photos drawn with replacement, [resamples, ...], of values [n, ...].

    The sums of confusion matrices are pooled matrices. See B. Efron, R. Tibshirani, "An
    Introduction to the Bootstrap", 1993, chapter 6.
    """
    n = len(per_photo)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    return np.tensordot(drawn, per_photo, axes=1)


def confidence_interval(samples: ArrayLike) -> tuple[float, float]:
    """The 95 % percentile interval of a metric's bootstrap samples, without nan."""
    low, high = np.nanpercentile(np.asarray(samples, np.float64), (2.5, 97.5)).tolist()
    return low, high
