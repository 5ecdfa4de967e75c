"""What must not change a result, and how much it may: shares of the marked pixels that agree."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from damage import encoded
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from facesegkit.image_io import to_float_nchw
from facesegkit.inference.model_zoo import MODEL_NAMES, load_model
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.synthetic import synthesize_face

FACES = [Image.fromarray(synthesize_face(seed=11, index=index).photo) for index in range(6)]


def agreement(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Of the pixels that either marks, the share that both mark alike, 0..1.

    Outlines make up much of small parts: if each of them is moved by half a pixel at 256 x 256,
    0.9 of the pixels still agree.
    """
    marked = (one != 0) | (other != 0)
    return float((one == other)[marked].mean())


def sized(labels: NDArray[np.uint8], like: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(labels).resize(like.shape[::-1], Image.Resampling.NEAREST))


def saved(image: Image.Image, kind: str, **options: Any) -> Image.Image:
    """A picture as it comes back from a file."""
    return Image.open(io.BytesIO(encoded(image, kind, **options)))


@pytest.fixture(scope="module", params=MODEL_NAMES)
def aligned(request: pytest.FixtureRequest) -> FaceSegmenter:
    return FaceSegmenter(request.param, aligned=True)


@pytest.fixture(scope="module")
def finding() -> FaceSegmenter:
    return FaceSegmenter("separable-synthetic")


faces = st.sampled_from(FACES)
few = settings(max_examples=12, deadline=None, derandomize=True, database=None)


@few
@given(face=faces)
def test_a_mirrored_photo_gives_the_mirrored_mask(
    aligned: FaceSegmenter, face: Image.Image
) -> None:
    mirrored = aligned(ImageOps.mirror(face)).labels[:, ::-1]
    assert agreement(mirrored, aligned(face).labels) > 0.89


@few
@given(face=faces, scale=st.floats(0.5, 2))
def test_a_photo_of_another_size_gives_the_same_mask(
    aligned: FaceSegmenter, face: Image.Image, scale: float
) -> None:
    side = round(face.width * scale)
    other = face.resize((side, side), Image.Resampling.BICUBIC)
    labels = aligned(face).labels
    assert agreement(sized(aligned(other).labels, labels), labels) > 0.9


@few
@given(
    face=faces,
    how=st.sampled_from(
        [
            ("PNG", {}, 1.0),
            ("TIFF", {"compression": "tiff_lzw"}, 1.0),
            ("BMP", {}, 1.0),
            ("WEBP", {"lossless": True}, 1.0),
            ("JPEG", {"quality": 90}, 0.95),
            ("WEBP", {"quality": 90}, 0.93),
        ]
    ),
)
def test_a_file_of_another_format_gives_the_same_mask(
    aligned: FaceSegmenter, face: Image.Image, how: tuple[str, dict[str, Any], float]
) -> None:
    kind, options, least = how
    labels = aligned(face).labels
    assert agreement(aligned(saved(face, kind, **options)).labels, labels) >= least


@few
@given(face=faces)
def test_transparency_and_orientation_that_show_the_same_change_nothing(
    aligned: FaceSegmenter, face: Image.Image
) -> None:
    labels = aligned(face).labels
    opaque = face.convert("RGBA")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    turned = saved(face.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    for same in (saved(opaque, "PNG"), turned):
        np.testing.assert_array_equal(aligned(same).labels, labels)


@few
@given(
    face=faces,
    left=st.integers(0, 300),
    top=st.integers(0, 300),
    right=st.integers(0, 300),
    bottom=st.integers(0, 300),
)
def test_a_face_is_the_same_wherever_it_lies_in_a_photo(
    finding: FaceSegmenter, face: Image.Image, left: int, top: int, right: int, bottom: int
) -> None:
    padded = ImageOps.expand(face, (left, top, right, bottom), (90, 110, 130))
    labels = finding(padded).labels[top : top + face.height, left : left + face.width]
    assert agreement(labels, finding(face).labels) > 0.87


@few
@given(face=faces, quarters=st.integers(1, 3))
def test_a_face_is_the_same_however_it_is_turned(
    finding: FaceSegmenter, face: Image.Image, quarters: int
) -> None:
    turned = Image.fromarray(np.rot90(np.asarray(face), quarters))
    labels = np.rot90(finding(turned).labels, -quarters)
    assert agreement(labels, finding(face).labels) > 0.87


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_neither_threads_nor_batches_change_scores(name: str) -> None:
    photos = np.concatenate([to_float_nchw(face.resize((256, 256))) for face in FACES])
    one = load_model(name, threads=1)
    alone = np.concatenate([one.predict_logits(photo[None]) for photo in photos])
    for other in (one.predict_logits(photos), load_model(name, threads=2).predict_logits(photos)):
        np.testing.assert_allclose(other, alone, atol=1e-4)
        assert (other.argmax(1) == alone.argmax(1)).mean() > 0.9999
