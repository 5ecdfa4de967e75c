"""Checks of the exercises of lesson 6, `notebooks/exercises/06-segment-your-own-photos.ipynb`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.course.exercises import TryAgain, require_answer
from facesegkit.geometry import BBox, aligned_roi
from facesegkit.inference.results import FaceLogits, SegmentationResult, assign_pixels
from facesegkit.labels import FIVE_FEATURES

Labels = NDArray[np.uint8]


def check_face_width(prediction: float | None) -> None:
    """Exercise 1: how wide a face is in the network's square of 256 pixels.

    Args:
        prediction: the learner's number, for a face 600 pixels wide on 4000 x 3000 pixels.

    Raises:
        TryAgain: it is off by more than a tenth.
    """
    require_answer(prediction, "prediction")
    try:
        answer = float(prediction)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TryAgain(f"expected a number of pixels, got {prediction!r}.") from None
    if not 0.9 < answer / 38.4 < 1.1:
        too = "narrow" if answer < 38.4 else "wide"
        raise TryAgain(
            f"expected the width of the face once the photo fits into 256 x 256 pixels, got "
            f"{answer:g}, which is too {too}. Hint: by what do you have to divide the photo's "
            f"sides, so that the longer one is 256? The face is divided by the same number."
        )
    print(f"Right: about 38 pixels are left of 600 (you said {answer:g}).")


def check_cut_out(cut_out: Callable[[SegmentationResult, Sequence[str]], Any]) -> None:
    """Exercise 2: the pixels of some classes on a transparent ground.

    Args:
        cut_out: segmentation and class names -> RGBA, uint8 [H, W, 4].

    Raises:
        TryAgain: it gives something else.
    """
    pixels = np.random.default_rng(0).integers(1, 256, (6, 9, 3), dtype=np.uint8)
    labels = np.arange(54).reshape(6, 9).astype(np.uint8) % 6
    segmentation = SegmentationResult(labels, FIVE_FEATURES, Image.fromarray(pixels))
    for names, ids in ((["eyes", "lips"], (1, 5)), (["nose"], (3,)), ([], ())):
        what = f"cut_out(segmentation, {names})"
        answer = cut_out(segmentation, names)
        require_answer(answer, f"the result of {what}")
        answer = _array(answer, (6, 9, 4), what, "stack the three colours and alpha: np.dstack")
        shown = np.isin(labels, ids)
        alpha = answer[..., 3]
        if not np.array_equal(alpha, np.where(shown, 255, 0)):
            wrong = int((alpha != np.where(shown, 255, 0)).sum())
            raise TryAgain(
                f"expected an alpha of 255 on the {shown.sum()} pixels of {what} and of 0 on all "
                f"others, got another value on {wrong} of {alpha.size} pixels; the values are "
                f"{np.unique(alpha)[:5].tolist()}. Hint: segmentation.mask(name) is True where one "
                f"class is; what makes one mask of several, and 255 of True?"
            )
        if not np.array_equal(answer[shown, :3], pixels[shown]):
            raise TryAgain(
                f"expected the photo's own colours where {what} is to be seen, got others. Hint: "
                f"the first three channels are the photo's, only the fourth is new."
            )
    print("Right: nothing but the named parts is to be seen.")


def check_segment_box(segment_box: Callable[..., Any]) -> None:
    """Exercise 3: labels of a whole photo, found in a crop of it alone.

    Args:
        segment_box: segmenter, photo and (left, top, right, bottom) -> class ids, uint8 [H, W].

    Raises:
        TryAgain: it gives something else.
    """
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    left, top, right, bottom = box = (35, 5, 55, 17)
    expected = np.zeros((40, 60), dtype=np.uint8)
    expected[top:bottom, left:right] = _by_redness(pixels[top:bottom, left:right])
    what = f"segment_box(segmenter, photo, {box}) of a photo 60 pixels wide and 40 high"
    try:
        answer = segment_box(_segment_by_redness, Image.fromarray(pixels), box)
    except ValueError as error:
        raise TryAgain(
            f"expected labels from {what}, got the error {error!s}. Hint: do the two pieces have "
            f"the same shape? An array's rows come first, then its columns."
        ) from error
    require_answer(answer, f"the result of {what}")
    answer = _array(
        answer, (40, 60), what, "start with zeros of the whole photo's height and width"
    )
    outside = np.ones((40, 60), dtype=bool)
    outside[top:bottom, left:right] = False
    if answer[outside].any():
        raise TryAgain(
            f"expected background outside the box from {what}, got a class on "
            f"{np.count_nonzero(answer[outside])} pixels there. Hint: fill only the rows from top "
            f"to bottom and the columns from left to right."
        )
    if not np.array_equal(answer, expected):
        raise TryAgain(
            f"expected inside the box what the segmenter finds in the crop, from {what}; "
            f"{np.count_nonzero(answer != expected)} of {(~outside).sum()} pixels differ. Hint: "
            f"the segmenter has to be given the crop, at the crop's own size."
        )
    print("Right: what is found in the box lies where it belongs.")


def check_best_angle(best_angle: Callable[..., Any]) -> None:
    """Exercise 4: the angle at which the mean confidence over the pixels found is highest.

    Args:
        best_angle: segmenter, photo and angles -> one of the angles.

    Raises:
        TryAgain: it gives another one.
    """
    angles = [270, 0, 180, 90]
    answer = best_angle(_Unsteady(), _one_bright_corner(), angles)
    what = f"best_angle(segmenter, photo, {angles})"
    require_answer(answer, f"the result of {what}")
    hints = {
        0: "the most pixels are found there, but the model is not sure of them",
        90: "nothing is found there, so that angle is worth 0; look at this case first, and leave "
        "the background out of the mean",
        270: "the mean over all pixels counts the background too; take only pixels that are found",
        angles.index(180): "that is a place in the list; the angle that stands there is wanted",
    }
    if answer != 180:
        hint = hints.get(answer, "one of the given angles is wanted") if _is_number(answer) else ""
        raise TryAgain(
            f"expected 180 from {what}, where the mean confidence over the pixels found is 0.95, "
            f"and 0.7 at most at the others; got {answer!r}. Hint: {hint or 'return a number'}."
        )
    print("Right: the angle at which the model is surest of what it finds.")


def _array(answer: Any, shape: tuple[int, ...], what: str, hint: str) -> Labels:
    array = np.asarray(answer)
    if array.shape != shape or array.dtype != np.uint8:
        raise TryAgain(
            f"expected uint8 {list(shape)} from {what}, got {array.dtype} {list(array.shape)}. "
            f"Hint: {hint}."
        )
    return array


def _is_number(answer: Any) -> bool:
    return isinstance(answer, (int, float, np.number))


def _by_redness(pixels: NDArray[np.uint8]) -> Labels:
    return pixels[..., 0] % 6


def _segment_by_redness(photo: Image.Image) -> SegmentationResult:
    """A segmenter that is easy to foretell."""
    return SegmentationResult(_by_redness(np.asarray(photo)), FIVE_FEATURES, photo)


def _one_bright_corner() -> Image.Image:
    photo = Image.new("RGB", (32, 32))
    photo.paste("white", (0, 0, 16, 16))
    return photo


class _Unsteady:
    """Sees by the bright corner how `_one_bright_corner` was turned, and is sure accordingly."""

    # by angle: rows found, confidence there, confidence elsewhere
    _SEEN = {0: (20, 0.6, 0.9), 90: (0, 0.5, 0.97), 180: (4, 0.95, 0.7), 270: (2, 0.7, 0.99)}

    def __call__(self, photo: Image.Image) -> SegmentationResult:
        corners = np.asarray(photo.resize((2, 2)).convert("L")).ravel()
        angle = {0: 0, 2: 90, 3: 180, 1: 270}[int(corners.argmax())]
        rows, found, elsewhere = self._SEEN[angle]
        scores = np.zeros((6, 32, 32), dtype=np.float32)
        scores[1, :rows] = _score_of(found)
        scores[0, rows:] = _score_of(elsewhere)
        seen = FaceLogits(scores, BBox(0, 0, 32, 32))
        faces = assign_pixels([(aligned_roi(photo.size), seen)], FIVE_FEATURES, photo.size)
        return SegmentationResult.of_faces(faces, photo.size, FIVE_FEATURES, photo)


def _score_of(confidence: float) -> float:
    """Score of a class that gets this share after softmax beside five others of score 0."""
    return math.log(5 * confidence / (1 - confidence))
