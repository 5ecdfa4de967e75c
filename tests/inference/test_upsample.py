"""From logits to classes at any size, compared with PyTorch's interpolate and argmax."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facesegkit.inference.upsample import upsample_argmax


def smooth_logits(classes, height, width, background):
    """Random logits [C, h, w] in which the classes form patches."""
    generator = torch.Generator().manual_seed(height * width + classes)
    coarse = torch.randn(1, classes, height // 8 + 1, width // 8 + 1, generator=generator)
    logits = F.interpolate(coarse, (height, width), mode="bicubic")[0]
    logits[0] += background
    return logits.numpy()


@pytest.mark.parametrize("background", [-1.0, 1.0, 9.0])
@pytest.mark.parametrize(
    ("classes", "height", "width", "size"),
    [(6, 64, 64, (128, 128)), (6, 64, 64, (61, 157)), (6, 64, 40, (20, 30)),
     (6, 64, 1, (3000, 17)), (6, 3, 64, (1, 1)), (6, 1, 1, (5, 4)), (6, 256, 192, (1024, 768)),
     (1, 40, 40, (90, 70)), (2, 40, 40, (90, 70)), (19, 40, 40, (90, 70)),
     (19, 64, 64, (900, 700)), (19, 40, 40, (40, 40))],
)  # fmt: skip
def test_the_same_classes_as_pytorch(classes, height, width, size, background):
    logits = smooth_logits(classes, height, width, background)
    found = upsample_argmax(logits, size)
    assert found.dtype == np.uint8 and found.shape == size
    resized = F.interpolate(torch.from_numpy(logits)[None], size, mode="bilinear")
    # Rounding may decide a tie differently, but no more than that.
    assert (found != resized[0].argmax(dim=0).numpy()).mean() < 1e-4


def test_of_equal_logits_the_first_wins():
    assert not upsample_argmax(np.zeros((4, 8, 8), np.float32), (20, 20)).any()


def test_neither_portions_nor_memory_layout_change_classes(monkeypatch):
    logits = smooth_logits(6, 64, 64, background=0.5)
    part = logits[:, 10:50, 3:60]
    expected = upsample_argmax(part.copy(), (211, 187))
    np.testing.assert_array_equal(upsample_argmax(part, (211, 187)), expected)
    for floats in (1, 5_000, 20_000):
        monkeypatch.setattr("facesegkit.inference.upsample._MAX_FLOATS", floats)
        np.testing.assert_array_equal(upsample_argmax(part, (211, 187)), expected)
