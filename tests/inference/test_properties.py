"""What must not change a result, or only a little: how many of the foreground pixels agree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from facesegkit.image_io import to_float_nchw
from facesegkit.inference.model_zoo import MODEL_NAMES, load_model
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import MIRROR, PARTS
from facesegkit.synthetic import synthesize_face

FACES = [Image.fromarray(synthesize_face(seed=11, index=index).photo) for index in range(6)]

faces = st.sampled_from(FACES)
margins = st.tuples(*[st.integers(0, 300)] * 4)
few = settings(max_examples=12, deadline=None, derandomize=True, database=None)


def agreement(one, other):
    """Of the pixels that are foreground in either, the fraction of equal class, 0..1.

    Contours are much of small parts: if each is moved by half a pixel at 256 x 256, 0.9 of the
    pixels still agree.
    """
    return float((one == other)[(one != 0) | (other != 0)].mean())


@pytest.fixture(scope="module", params=MODEL_NAMES)
def aligned(request):
    return FaceSegmenter(request.param, aligned=True)


@pytest.fixture(scope="module")
def detecting():
    return FaceSegmenter("separable-synthetic")


@pytest.mark.parametrize("index", range(len(FACES)))
def test_a_mirrored_photo_gives_the_mirrored_mask(aligned, index, request):
    if (request.node.callspec.params["aligned"], index) == ("separable", 0):
        reason = "0.856: an eye and a brow under hair, and lips that touch"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    mirrored = aligned(ImageOps.mirror(FACES[index])).labels[:, ::-1]
    if aligned.model.scheme.class_names == PARTS:  # left and right are two classes
        mirrored = MIRROR[mirrored]
    assert agreement(mirrored, aligned(FACES[index]).labels) > 0.86


@few
@given(face=faces, scale=st.floats(0.5, 2))
def test_a_photo_of_another_size_gives_the_same_mask(aligned, face, scale):
    side = round(face.width * scale)
    labels = aligned(face).labels
    resized = Image.fromarray(aligned(face.resize((side, side), Image.Resampling.BICUBIC)).labels)
    assert agreement(np.asarray(resized.resize(face.size, Image.Resampling.NEAREST)), labels) > 0.9


@few
@given(face=faces, margin=margins)
def test_a_face_is_the_same_wherever_it_is_in_a_photo(detecting, face, margin):
    padded = ImageOps.expand(face, margin, (90, 110, 130))
    left, top = margin[:2]
    labels = detecting(padded).labels[top : top + face.height, left : left + face.width]
    assert agreement(labels, detecting(face).labels) > 0.87


def test_a_face_is_the_same_however_it_is_rotated(detecting):
    """By one, two or three quarters. One of the 18 photos is missed, as it always was."""
    agreements = []
    for face in FACES:
        labels = detecting(face).labels
        for quarters in (1, 2, 3):
            rotated = np.ascontiguousarray(np.rot90(face, quarters))
            agreements.append(agreement(np.rot90(detecting(rotated).labels, -quarters), labels))
    assert sum(value > 0.87 for value in agreements) >= 17


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_neither_threads_nor_batches_change_logits(name):
    photos = np.concatenate([to_float_nchw(face.resize((256, 256))) for face in FACES])
    model = load_model(name, threads=1)
    alone = np.concatenate([model.predict_logits(photo[None]) for photo in photos])
    for other in (model.predict_logits(photos), load_model(name, threads=2).predict_logits(photos)):
        np.testing.assert_allclose(other, alone, atol=1e-4)
        assert (other.argmax(1) == alone.argmax(1)).mean() > 0.9999
