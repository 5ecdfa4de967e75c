"""Tests of data/skin_tone.py."""

import numpy as np
import pytest

from facesegkit.data.skin_tone import ITA_GROUPS, ita, ita_group, lab, skin_colour
from facesegkit.labels import PART_IDS


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [  # Lab of sRGB's primaries and greys under D65, as tables of colours give it
        ((1.0, 1.0, 1.0), (100.0, 0.0, 0.0)),
        ((0.5, 0.5, 0.5), (53.389, 0.0, 0.0)),
        ((1.0, 0.0, 0.0), (53.241, 80.092, 67.203)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    ],
)
def test_lab_matches_published_values(rgb, expected):
    np.testing.assert_allclose(lab(rgb), expected, atol=0.02)


def test_ita_orders_skin_from_dark_to_light():
    dark, medium, light = ita([(0.30, 0.19, 0.14), (0.70, 0.52, 0.42), (0.94, 0.80, 0.72)])
    assert dark < -30 < medium < light
    assert ita_group(float(dark)) == "dark"


def test_grey_skin_has_no_ita():
    assert np.isnan(ita((0.5, 0.5, 0.5)))
    assert ita_group(float("nan")) == "none"


def test_each_group_starts_at_its_lowest_angle():
    for name, lowest in ITA_GROUPS.items():
        assert ita_group(lowest) == name


def test_skin_colour_is_the_median_within_the_skin():
    photo, labels = np.zeros((8, 8, 3), np.uint8), np.zeros((16, 16), np.uint8)
    photo[:4], labels[:8] = (200, 150, 100), PART_IDS["skin"]
    photo[0, 0] = 255  # an outlier
    np.testing.assert_allclose(skin_colour(photo, labels), np.array([200, 150, 100]) / 255)
    assert skin_colour(photo, np.zeros_like(labels)) is None
