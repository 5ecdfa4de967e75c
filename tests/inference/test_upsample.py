"""Scores to classes at any size, against PyTorch doing the same slowly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from facesegkit.inference.upsample import upsample_argmax


def smooth_scores(classes: int, height: int, width: int, background: float) -> NDArray[np.float32]:
    """Random scores [C, h, w] in which the classes form patches."""
    generator = torch.Generator().manual_seed(height * width + classes)
    coarse = torch.randn(1, classes, height // 8 + 1, width // 8 + 1, generator=generator)
    scores = F.interpolate(coarse, (height, width), mode="bicubic")[0]
    scores[0] += background
    return scores.numpy()


def slowly(scores: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    given = torch.from_numpy(scores)[None]
    resized = F.interpolate(given, size, mode="bilinear", align_corners=False)
    return resized[0].argmax(dim=0).to(torch.uint8).numpy()


@pytest.mark.parametrize("background", [-1.0, 1.0, 9.0])
@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (64, 64, (128, 128)),
        (64, 64, (61, 157)),
        (64, 40, (20, 30)),
        (64, 1, (3000, 17)),
        (3, 64, (1, 1)),
        (1, 1, (5, 4)),
        (256, 192, (1024, 768)),
    ],
)
def test_classes_at_any_size(
    height: int, width: int, size: tuple[int, int], background: float
) -> None:
    scores = smooth_scores(6, height, width, background)
    found = upsample_argmax(scores, size)
    assert found.dtype == np.uint8 and found.shape == size
    # Rounding may decide a tie otherwise, but no more than that.
    assert (found != slowly(scores, size)).mean() < 1e-4


@pytest.mark.parametrize("classes", [1, 2, 19])
def test_any_number_of_classes(classes: int) -> None:
    scores = smooth_scores(classes, 40, 40, 0.2)
    found = upsample_argmax(scores, (90, 70))
    assert len(np.unique(found)) == classes
    assert (found != slowly(scores, (90, 70))).mean() < 1e-4


def test_of_equals_the_first_wins() -> None:
    assert not upsample_argmax(np.zeros((4, 8, 8), np.float32), (20, 20)).any()


def test_cells_are_settled_in_any_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = smooth_scores(6, 64, 64, background=0.5)
    whole = upsample_argmax(scores, (211, 187))
    for floats in (1, 5_000, 20_000):
        monkeypatch.setattr("facesegkit.inference.upsample._FLOATS", floats)
        np.testing.assert_array_equal(upsample_argmax(scores, (211, 187)), whole)


def test_scores_need_not_lie_in_one_piece() -> None:
    scores = smooth_scores(6, 64, 64, background=0.5)
    part = scores[:, 10:50, 3:60]
    np.testing.assert_array_equal(
        upsample_argmax(part, (99, 99)), upsample_argmax(part.copy(), (99, 99))
    )
