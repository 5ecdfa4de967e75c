"""How sure a model has to be of a face depends on how sure it usually is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facesegkit.geometry import FaceROI
from facesegkit.inference.landmarks import CERTAIN, LEAST_CERTAIN
from facesegkit.inference.onnx_model import Model
from facesegkit.inference.pipeline import (
    CONFIDENCE_KEY,
    FaceAnalyzer,
    ScaledImage,
    typical_confidence,
)
from facesegkit.labels import FIVE_FEATURES

SIDE = 64
PLACES = {"eyes": (0.48, 0.2, 0.8), "nose": (0.58, 0.44, 0.56), "lips": (0.75, 0.4, 0.6)}


class AsSureAs:
    """Sees a face wherever it looks; its share is what the photo's upper left pixel says."""

    def __call__(self, photos: NDArray[np.float32]) -> NDArray[np.float32]:
        share = float(photos[0, 0, 0, 0])
        score = np.log(5 * share / (1 - share))  # against five others of score 0
        scores = np.zeros((1, 6, SIDE, SIDE), dtype=np.float32)
        scores[0, 0] = 0.01
        for name, (middle, left, right) in PLACES.items():
            rows = slice(round((middle - 0.04) * SIDE), round((middle + 0.04) * SIDE))
            columns = slice(round(left * SIDE), round(right * SIDE))
            scores[0, FIVE_FEATURES.class_names.index(name), rows, columns] = score
        return scores


def finds_none(photos: NDArray[np.float32]) -> NDArray[np.float32]:
    raise AssertionError("it is told where to look")


def photo(share: float) -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), round(255 * share), dtype=np.uint8)


def is_found(share: float, **about: object) -> bool:
    look = FaceAnalyzer(Model(AsSureAs(), FIVE_FEATURES, SIDE, about), finds_none)
    shown = ScaledImage(Image.fromarray(photo(share)), (SIDE, SIDE))
    return look.at_one(shown, FaceROI(32, 32, SIDE, 0, 1), turned=False) is not None


def test_a_model_that_ships_has_to_be_as_sure_as_they_are() -> None:
    assert is_found(CERTAIN + 0.02) and not is_found(CERTAIN - 0.02)


@pytest.mark.parametrize("usual", [0.7, 0.8])
def test_a_model_of_a_few_minutes_has_to_be_as_sure_as_it_usually_is(usual: float) -> None:
    about = {CONFIDENCE_KEY: usual}
    assert is_found(usual + 0.02, **about) and not is_found(usual - 0.02, **about)


def test_neither_the_surest_nor_the_worst_model_moves_the_bounds_further() -> None:
    assert is_found(CERTAIN + 0.02, **{CONFIDENCE_KEY: 0.99})
    assert not is_found(LEAST_CERTAIN - 0.02, **{CONFIDENCE_KEY: 0.1})
    assert is_found(CERTAIN + 0.02, **{CONFIDENCE_KEY: "very"})  # a stranger's file


def test_usual_certainty_is_below_that_of_nine_faces_in_ten() -> None:
    model = Model(AsSureAs(), FIVE_FEATURES, SIDE)
    shares = np.linspace(0.6, 0.95, 11)
    photos = np.stack([photo(share) for share in shares])
    assert typical_confidence(model, photos) == pytest.approx(shares[1], abs=0.005)


@pytest.mark.parametrize(
    ("upright", "upside_down", "turned"),
    [(0.9, 0.97, True), (0.97, 0.9, False), (0.95, 0.97, False), (0.92, 0.9, False)],
)
def test_a_doubtful_face_is_looked_at_upside_down_too(
    upright: float, upside_down: float, turned: bool
) -> None:
    pixels = photo(0.5)
    half = SIDE // 2
    pixels[:half, :half], pixels[half:, half:] = photo(upright)[0, 0], photo(upside_down)[0, 0]
    look = FaceAnalyzer(Model(AsSureAs(), FIVE_FEATURES, SIDE), finds_none)
    found = look.at_one(
        ScaledImage(Image.fromarray(pixels), (SIDE, SIDE)), FaceROI(32, 32, SIDE, 0, 1)
    )
    assert found is not None
    assert (abs(found[0].angle) > 3) == turned
