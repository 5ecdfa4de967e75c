"""The checks of lesson 6 reject typical mistakes and name them."""

import warnings

import numpy as np
import pytest
from exercise_cells import assert_rejects, rows_of
from PIL import Image

from facesegkit.course.exercises import lesson6


def test_a_width_need_not_be_exact():
    lesson6.check_face_width(42)


def with_alpha(alpha_of):
    """A `cutout` with the alpha that `alpha_of(segmentation, names)` returns."""

    def cutout(segmentation, names):
        alpha = np.asarray(alpha_of(segmentation, names)).astype(np.uint8)
        return np.dstack([np.asarray(segmentation.photo), alpha])

    return cutout


def visible(segmentation, names):
    ids = [segmentation.scheme.class_names.index(name) for name in names]
    return np.isin(segmentation.labels, ids)


def only_the_last(segmentation, names):
    mask = np.zeros(segmentation.labels.shape, dtype=bool)
    for name in names:
        mask = segmentation.mask(name)
    return 255 * mask


def without_alpha(segmentation, names):
    return np.asarray(segmentation.photo) * visible(segmentation, names)[..., None]


def black_and_alpha(segmentation, names):
    mask = visible(segmentation, names)
    return np.dstack([np.zeros_like(segmentation.photo), 255 * mask.astype(np.uint8)])


def test_a_pillow_image_is_as_good():
    lesson6.check_cutout(
        lambda *given: Image.fromarray(with_alpha(lambda *g: 255 * visible(*g))(*given), "RGBA")
    )


def segment_at(window):
    """A `segment_box` that puts the labels at `window(left, top, right, bottom)`."""

    def segment_box(segmenter, photo, box):
        labels = np.zeros((photo.height, photo.width), dtype=np.uint8)
        labels[window(*box)] = segmenter(photo.crop(box)).labels
        return labels

    return segment_box


def sides_swapped(segmenter, photo, box):
    return np.zeros(photo.size, dtype=np.uint8)


def shrunk_whole(segmenter, photo, box):
    left, top, right, bottom = box
    labels = np.zeros((photo.height, photo.width), dtype=np.uint8)
    small = photo.resize((right - left, bottom - top))
    labels[top:bottom, left:right] = segmenter(small).labels
    return labels


def by(criterion):
    """A `best_angle` that maximises `criterion(found, confidence)`."""

    def best_angle(segmenter, photo, angles):
        def worth(angle):
            segmentation = segmenter(photo.rotate(angle))
            return criterion(segmentation.labels > 0, segmentation.confidence())

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # means of nothing
            return angles[int(np.argmax([worth(angle) for angle in angles]))]

    return best_angle


WRONG = {
    lesson6.check_face_width: [
        (600, "too high.*divide the sides of the photo"),
        (51.2, "too high"),  # the shorter side was made 256
        (9, "too low"),
        ("small", "expected a number for prediction, got 'small'"),
    ],
    lesson6.check_cutout: [
        (with_alpha(visible), r"alpha of 255.*the values are \[0, 1\].*True into 255"),
        (with_alpha(lambda *given: 255 * ~visible(*given)), "54 of 54 pixels differ"),
        (with_alpha(only_the_last), "255 on 18 pixels.*combine the masks of several"),
        (without_alpha, r"expected uint8 \[6, 9, 4\].*got uint8 \[6, 9, 3\].*np.dstack"),
        (lambda *given: with_alpha(visible)(*given).astype(float), "got float64"),
        (black_and_alpha, "photo's own colours"),
    ],
    lesson6.check_segment_box: [
        (
            lambda segmenter, photo, box: segmenter(photo.crop(box)).labels,
            r"expected uint8 \[40, 60\].*got uint8 \[12, 20\].*whole photo's height",
        ),
        (lambda segmenter, photo, box: segmenter(photo).labels, "background outside the box"),
        (
            segment_at(lambda left, top, right, bottom: np.s_[left:right, top:bottom]),
            "got the error .*rows come first",
        ),
        (sides_swapped, r"got uint8 \[60, 40\]"),
        (
            segment_at(lambda left, top, right, bottom: np.s_[: bottom - top, : right - left]),
            "background outside the box",
        ),
        (shrunk_whole, "inside the box.*pass the crop"),
    ],
    lesson6.check_best_angle: [
        (by(lambda found, confidence: found.sum()), "got 0.*most pixels"),
        (by(lambda found, confidence: confidence[found].sum()), "got 0"),
        (by(lambda found, confidence: confidence[found].mean()), "got 90.*scores 0"),
        (by(lambda found, confidence: confidence.mean()), "got 270.*includes the background"),
        (lambda segmenter, photo, angles: 2, "got 2.*index into the list"),
        (lambda segmenter, photo, angles: 45, "got 45.*one of the given angles"),
        (lambda segmenter, photo, angles: [180, 0], "expected a number"),
    ],
}


@pytest.mark.parametrize(("check", "answers", "message"), rows_of(WRONG))
def test_wrong_answers(check, answers, message):
    assert_rejects(check, answers, message)
