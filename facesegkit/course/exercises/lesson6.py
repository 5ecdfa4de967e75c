"""Checks of the exercises of lesson 6, notebooks/exercises/06-segment-your-own-photos.ipynb."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facesegkit.course.exercises import TryAgain, as_number, expect, expect_array, expect_number
from facesegkit.inference.results import SegmentationResult
from facesegkit.labels import FIVE_FEATURES


def check_face_width(prediction: float | None) -> None:
    """Exercise 1: width, in the network's 256 x 256 input, of a face 600 pixels wide on 4000."""
    hint = "By what do you divide the sides of the photo, and so the face, to make the longer 256?"
    expect_number(prediction, 38.4, "prediction", hint, rtol=0.1, reveal=False)
    print(f"Right: about 38 of 600 pixels remain (your answer: {prediction:g}).")


def check_cutout(cutout: Callable[[SegmentationResult, Sequence[str]], Any]) -> None:
    """Exercise 2: segmentation and class names -> these classes alone, RGBA uint8 [H, W, 4]."""
    pixels = np.random.default_rng(0).integers(1, 256, (6, 9, 3), dtype=np.uint8)
    labels = np.arange(54).reshape(6, 9).astype(np.uint8) % 6
    segmentation = SegmentationResult(labels, FIVE_FEATURES, Image.fromarray(pixels))
    for names, ids in ((["eyes", "lips"], (1, 5)), (["nose"], (3,)), ([], ())):
        name = f"cutout(segmentation, {names})"
        hint = "Stack the three colours and alpha with np.dstack."
        answer = expect_array(cutout(segmentation, names), (6, 9, 4), np.uint8, name, hint)
        visible = np.isin(labels, ids)
        alpha = answer[..., 3]
        wrong = int((alpha != np.where(visible, 255, 0)).sum())
        values = np.unique(alpha)[:5].tolist()
        expect(
            wrong == 0,
            f"expected an alpha of 255 on {visible.sum()} pixels of {name} and of 0 on all others; "
            f"{wrong} of {alpha.size} pixels differ, the values are {values}.",
            "How do you combine the masks of several classes, and turn True into 255?",
        )
        is_photo = np.array_equal(answer[visible, :3], pixels[visible])
        hint = "The first three channels are those of the photo, only the fourth is new."
        expect(is_photo, f"expected the photo's own colours where {name} is opaque.", hint)
    print("Right: only the named parts are visible.")


def check_segment_box(segment_box: Callable[..., Any]) -> None:
    """Exercise 3: segmenter, photo, (left, top, right, bottom) -> class ids uint8 [H, W]."""
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    left, top, right, bottom = box = (35, 5, 55, 17)
    inside = np.zeros((40, 60), dtype=bool)
    inside[top:bottom, left:right] = True
    name = f"segment_box(segmenter, photo, {box}) of a photo 60 pixels wide and 40 high"
    try:
        answer = segment_box(_segment_by_redness, Image.fromarray(pixels), box)
    except ValueError as error:
        hint = "Do both arrays have the same shape? In an array rows come first, then columns."
        raise TryAgain(f"expected class ids from {name}, got the error {error}.", hint) from error
    hint = "Start with zeros of the whole photo's height and width."
    answer = expect_array(answer, (40, 60), np.uint8, name, hint)
    is_empty = not answer[~inside].any()
    hint = "fill only the rows from top to bottom and the columns from left to right."
    expect(is_empty, f"expected background outside the box from {name}, got a class.", hint)
    is_right = np.array_equal(answer[inside], pixels[inside][:, 0] % 6)
    hint = "pass the crop to the segmenter, at its own size."
    expect(is_right, f"expected the segmentation of the crop inside the box from {name}.", hint)
    print("Right: the segmentation of the crop is in the right place.")


def _segment_by_redness(photo: Image.Image) -> SegmentationResult:
    """A segmenter with predictable results."""
    return SegmentationResult(np.asarray(photo)[..., 0] % 6, FIVE_FEATURES, photo)


def check_best_angle(best_angle: Callable[..., Any]) -> None:
    """Exercise 4: segmenter, photo, angles -> the angle with the most confident parts."""
    photo = Image.new("RGB", (32, 32))
    photo.paste("white", (0, 0, 16, 16))
    angles = [270, 0, 180, 90]
    name = f"best_angle(segmenter, photo, {angles})"
    answer = best_angle(_segment_by_rotation, photo, angles)
    hints = {
        0: "It has the most pixels of parts, but the model is not confident of them.",
        90: "No part is detected at this angle, so it scores 0. Handle this case before the mean.",
        180: "",
        270: "The mean over all pixels includes the background; use only pixels of parts.",
        angles.index(180): "This is an index into the list; return the angle at that index.",
    }
    hint = hints.get(as_number(answer, name), "Return one of the given angles.")  # type: ignore[call-overload]
    expect(
        not hint,
        f"expected 180 from {name}: there the mean confidence over the pixels of parts is 0.95, at "
        f"the other angles at most 0.7; got {answer!r}.",
        hint,
    )
    print("Right: at this angle the model is most confident of the parts.")


@dataclass(frozen=True, eq=False)
class _ResultWithConfidence(SegmentationResult):
    of_parts: float = 0.0
    of_background: float = 0.0

    def confidence(self, size: tuple[int, int] | None = None) -> NDArray[np.float32]:
        return np.where(self.labels > 0, self.of_parts, self.of_background).astype(np.float32)


def _segment_by_rotation(photo: Image.Image) -> SegmentationResult:
    """A segmenter whose result depends on which quarter of the photo is white."""
    whitest = int(np.asarray(photo.resize((2, 2)).convert("L")).argmax())
    # Rotated by 0, 270, 90 and 180 degrees.
    quarters = (20, 0.6, 0.9), (2, 0.7, 0.99), (0, 0.5, 0.97), (4, 0.95, 0.7)
    rows, of_parts, of_background = quarters[whitest]
    labels = np.zeros((32, 32), dtype=np.uint8)
    labels[:rows] = 1
    return _ResultWithConfidence(labels, FIVE_FEATURES, photo, (), of_parts, of_background)
