"""The examples of other detectors in docs/inference.md, where these are installed."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesegkit.inference.segmenter import FaceSegmenter

TOP = Path(__file__).parents[2]
EXAMPLES = re.findall(
    r"```python\n(.*?)```", (TOP / "docs" / "inference.md").read_text(encoding="utf-8"), re.DOTALL
)


@pytest.mark.parametrize("package", ["mediapipe", "face_recognition"])
def test_they_find_a_real_face_and_none_in_noise(package):
    module = pytest.importorskip(package)
    (example,) = [text for text in EXAMPLES if f"{package}." in text and "detector(photo)" in text]
    names = {"np": np, package: module}
    exec(example, names)
    segmenter = FaceSegmenter(detector=names["detector"], min_confidence=0.5)
    with Image.open(TOP / "figures" / "astronaut.jpg") as photo:
        faces = segmenter(photo.convert("RGB")).faces  # dlib finds another one in the flag
    (expected,) = FaceSegmenter()(TOP / "figures" / "astronaut.jpg").faces
    (face,) = [face for face in faces if face.roi.change_to(expected.roi) < 0.1]
    assert all(face.areas.values())
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    assert segmenter(noise).faces == ()
