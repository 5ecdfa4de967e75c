"""The bootstrap over photos."""

import numpy as np
import pytest

from facesegkit.evaluation.per_photo import bootstrap, confidence_interval
from facesegkit.metrics import SegmentationMetrics

BY_HAND = np.array([[5, 1], [2, 7]])


def test_bootstrap_sums_and_their_interval():
    """The mean of n values has a normal interval of 1.96 standard errors, for many values."""
    values = np.random.default_rng(3).normal(5, 2, 400)
    means = bootstrap(values, resamples=4000) / len(values)
    low, high = confidence_interval(means)
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)
    np.testing.assert_array_equal(means, bootstrap(values, resamples=4000) / 400)  # seeded
    assert not np.array_equal(means, bootstrap(values, resamples=4000, seed=1) / 400)


def test_bootstrap_of_matrices_pools_whole_photos():
    matrices = np.stack([BY_HAND, BY_HAND, BY_HAND])
    np.testing.assert_array_equal(bootstrap(matrices, 5), np.stack([3 * BY_HAND] * 5))
    two = np.stack([np.diag([0, 9]), np.array([[0, 0], [9, 0]])])  # all right, and all wrong
    f1 = [SegmentationMetrics(matrix).mean_f1 for matrix in bootstrap(two, 100)]
    assert {*np.round(f1, 6)} == {0, round(2 / 3, 6), 1}
    assert confidence_interval([*f1, np.nan]) == (0, 1)
