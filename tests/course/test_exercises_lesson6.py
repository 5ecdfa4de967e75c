"""Checks of lesson 6 let the solutions pass, and neither blanks nor typical mistakes."""

import warnings

import numpy as np
import pytest
from exercise_cells import answers, assert_asks_for_answers, assert_passes
from PIL import Image

from facesegkit.course.exercises import TryAgain
from facesegkit.course.exercises.lesson6 import (
    check_best_angle,
    check_cut_out,
    check_face_width,
    check_segment_box,
)

NOTEBOOK = "06-segment-your-own-photos"
NAMES = {"np": np, "Image": Image}

EXERCISES = [
    (1, ["prediction"], check_face_width),
    (2, ["cut_out"], check_cut_out),
    (3, ["segment_box"], check_segment_box),
    (4, ["best_angle"], check_best_angle),
]


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_solutions_pass(number, wanted, check, capsys):
    assert_passes(check, answers(NOTEBOOK, number, wanted, NAMES), capsys)


@pytest.mark.parametrize(("number", "wanted", "check"), EXERCISES)
def test_blanks_are_told_what_is_missing(number, wanted, check):
    blanks = answers(NOTEBOOK, number, wanted, NAMES, blank=True)
    assert_asks_for_answers(check, blanks)


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (600, "too wide.*divide the photo's sides"),
        (256, "too wide"),
        (51.2, "too wide"),  # the shorter side was made 256
        (9, "too narrow"),
        ("small", "expected a number of pixels, got 'small'"),
    ],
)
def test_wrong_widths(prediction, message):
    with pytest.raises(TryAgain, match=message):
        check_face_width(prediction)


def test_a_width_need_not_be_exact():
    check_face_width(40)


def with_alpha(alpha_of):
    """A `warp_crop` whose alpha is what `alpha_of(segmentation, names)` says."""

    def cut_out(segmentation, names):
        alpha = np.asarray(alpha_of(segmentation, names)).astype(np.uint8)
        return np.dstack([np.asarray(segmentation.photo), alpha])

    return cut_out


def shown(segmentation, names):
    ids = [segmentation.scheme.class_names.index(name) for name in names]
    return np.isin(segmentation.labels, ids)


def only_the_last(segmentation, names):
    mask = np.zeros(segmentation.labels.shape, dtype=bool)
    for name in names:
        mask = segmentation.mask(name)
    return 255 * mask


def without_alpha(segmentation, names):
    return np.asarray(segmentation.photo) * shown(segmentation, names)[..., None]


def black_and_alpha(segmentation, names):
    mask = shown(segmentation, names)
    return np.dstack([np.zeros_like(segmentation.photo), 255 * mask.astype(np.uint8)])


@pytest.mark.parametrize(
    ("cut_out", "message"),
    [
        (with_alpha(shown), r"alpha of 255.*the values are \[0, 1\].*255 of True"),
        (with_alpha(lambda *given: 255 * ~shown(*given)), "alpha of 255"),
        (with_alpha(only_the_last), "alpha of 255 on the 18 pixels.*one mask of several"),
        (with_alpha(lambda segmentation, names: segmentation.labels), "alpha of 255"),
        (without_alpha, r"expected uint8 \[6, 9, 4\].*got uint8 \[6, 9, 3\].*np.dstack"),
        (lambda *given: with_alpha(shown)(*given).astype(float), "got float64"),
        (black_and_alpha, "photo's own colours"),
    ],
)
def test_wrong_cut_outs(cut_out, message):
    with pytest.raises(TryAgain, match=message):
        check_cut_out(cut_out)


def test_a_pillow_picture_is_as_good():
    check_cut_out(
        lambda *given: Image.fromarray(with_alpha(lambda *g: 255 * shown(*g))(*given), "RGBA")
    )


def only_the_crop(segmenter, photo, box):
    return segmenter(photo.crop(box)).labels


def the_whole_photo(segmenter, photo, box):
    return segmenter(photo).labels


def rows_and_columns_swapped(segmenter, photo, box):
    left, top, right, bottom = box
    labels = np.zeros((photo.height, photo.width), dtype=np.uint8)
    labels[left:right, top:bottom] = segmenter(photo.crop(box)).labels
    return labels


def sides_swapped(segmenter, photo, box):
    left, top, right, bottom = box
    labels = np.zeros(photo.size, dtype=np.uint8)
    labels[top:bottom, left : min(right, 40)] = 1
    return labels


def in_the_corner(segmenter, photo, box):
    labels = np.zeros((photo.height, photo.width), dtype=np.uint8)
    found = segmenter(photo.crop(box)).labels
    labels[: found.shape[0], : found.shape[1]] = found
    return labels


def shrunk_whole(segmenter, photo, box):
    left, top, right, bottom = box
    labels = np.zeros((photo.height, photo.width), dtype=np.uint8)
    small = photo.resize((right - left, bottom - top))
    labels[top:bottom, left:right] = segmenter(small).labels
    return labels


@pytest.mark.parametrize(
    ("segment_box", "message"),
    [
        (only_the_crop, r"expected uint8 \[40, 60\].*got uint8 \[12, 20\].*whole photo's height"),
        (the_whole_photo, "background outside the box"),
        (rows_and_columns_swapped, "got the error .*rows come first"),
        (sides_swapped, r"got uint8 \[60, 40\]"),
        (in_the_corner, "background outside the box"),
        (shrunk_whole, "inside the box.*given the crop"),
    ],
)
def test_wrong_boxes(segment_box, message):
    with pytest.raises(TryAgain, match=message):
        check_segment_box(segment_box)


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


@pytest.mark.parametrize(
    ("best_angle", "message"),
    [
        (by(lambda found, confidence: found.sum()), "got 0.*most pixels"),
        (by(lambda found, confidence: confidence[found].sum()), "got 0"),
        (by(lambda found, confidence: confidence[found].mean()), "got 90.*worth 0"),
        (by(lambda found, confidence: confidence.mean()), "got 270.*background too"),
        (lambda segmenter, photo, angles: 2, "got 2.*place in the list"),
        (lambda segmenter, photo, angles: 45, "got 45.*one of the given angles"),
        (lambda segmenter, photo, angles: [180, 0], "return a number"),
    ],
)
def test_wrong_angles(best_angle, message):
    with pytest.raises(TryAgain, match=message):
        check_best_angle(best_angle)
