"""The processor, from the files of other machines; products and layers of ONNX Runtime."""

import numpy as np
import pytest
from torch import nn

from facesegkit.course.speed import convolution_times, onnx_product, this_processor
from facesegkit.inference.model_zoo import weights_path
from facesegkit.models import LightweightUNet

XEON = """processor\t: 0
model name\t: Intel(R) Xeon(R) CPU E5-2690 v3
flags\t\t: fpu sse2 avx avx2 fma

processor\t: 1
model name\t: another core
flags\t\t: fpu avx512_vnni
"""


@pytest.mark.parametrize(
    ("text", "name", "answer"),
    [
        (XEON, "Intel(R) Xeon(R) CPU E5-2690 v3", "no"),
        ("model name : i7\nflags : avx2 avx_vnni\n", "i7", "yes"),
        ("model name : EPYC\nflags : avx512f avx512_vnni\n", "EPYC", "yes"),
        ("processor : 0\nFeatures : fp asimd asimddp\n", "by platform", "yes"),
        ("processor : 0\nFeatures : fp asimd\n", "by platform", "no"),
        ("processor : 0\n", "by platform", "unknown"),
    ],
)
def test_linux(text, name, answer, tmp_path, monkeypatch):
    monkeypatch.setattr("platform.processor", lambda: "by platform")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (tmp_path / "cpuinfo").write_text(text)
    found = str(this_processor(tmp_path / "cpuinfo"))
    assert found.startswith(f"{name}, vectors: ") and found.endswith(f": {answer}")


@pytest.mark.parametrize(
    ("system", "machine", "answer"),
    [("Darwin", "arm64", "yes"), ("Darwin", "x86_64", "unknown"), ("Windows", "AMD64", "unknown")],
)
def test_systems_without_the_file(system, machine, answer, tmp_path, monkeypatch):
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("platform.processor", lambda: "")
    found = str(this_processor(tmp_path / "none"))
    assert found.startswith(f"{machine}, ") and found.endswith(f": {answer}")


def test_products():
    rng = np.random.default_rng(0)
    left, right = rng.random((5, 7), np.float32), rng.random((7, 3), np.float32)
    np.testing.assert_allclose(onnx_product(left, right)(), left @ right, rtol=1e-6)
    left, right = rng.integers(0, 256, (5, 8), np.uint8), rng.integers(-64, 64, (8, 3), np.int8)
    product = onnx_product(left, right)()
    assert product.dtype == np.int32  # 7 bits do not overflow on any processor
    assert np.array_equal(product, left.astype(np.int32) @ right.astype(np.int32))


def test_each_convolution_of_a_model_has_a_time():
    images = np.zeros((1, 3, 256, 256), dtype=np.float32)
    times = convolution_times(weights_path("unet-synthetic"), images, runs=3)
    layers = [layer for layer in LightweightUNet().modules() if isinstance(layer, nn.Conv2d)]
    assert len(times) == len(layers)
    assert all(0 <= seconds < 10 for seconds in times) and sum(times) > 0
