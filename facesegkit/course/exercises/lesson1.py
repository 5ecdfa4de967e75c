"""Checks of the exercises of lesson 1, notebooks/exercises/01-explore-the-data.ipynb."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesegkit.course.exercises import expect, expect_number, expect_numbers
from facesegkit.labels import PART_IDS

Numbers = NDArray[np.float64]


def check_eye_pixels(prediction: float | None, at_512: float) -> None:
    """Exercise 1: pixels of an eye at 64 x 64, given those `at_512`, to within a quarter."""
    expected = at_512 / 8**2
    hint = "Divide the sides of a square of 8 x 8 pixels by 8. What remains of its area?"
    expect_number(prediction, expected, "prediction", hint, rtol=0.25, reveal=False)
    print(f"Right: about {expected:.0f} of {at_512:.0f} pixels remain.")


def check_fraction_where_present(fraction_where_present: Callable[..., Any]) -> None:
    """Exercise 2: label maps uint8 [N, H, W] and a part id -> fraction, 0..1, where it is shown."""
    label_maps = np.zeros((4, 10, 10), dtype=np.uint8)
    label_maps[1, :2] = label_maps[3, :4] = PART_IDS["hat"]
    answer = fraction_where_present(label_maps, PART_IDS["hat"])
    name = "the hat's fraction (hats cover 20 % of one photo, 40 % of another, and 0 % of two)"
    hint = "Leave out the photos on which the part has no pixels before you take the mean."
    expect_number(answer, 0.3, name, hint)
    answer = fraction_where_present(label_maps, PART_IDS["neck_l"])
    hint = "The mean of an empty array is not a number; handle this case first."
    expect_number(answer, 0.0, "the necklace's fraction (no photo shows one)", hint)
    print("Right: rare parts are measured only where they are present.")


def check_class_weights(class_weights: Callable[[Numbers], Numbers | None]) -> None:
    """Exercise 3: number of pixels of each class [C] -> weights [C], higher for rarer classes."""
    pixels = np.array([900.0, 90.0, 10.0])
    name = "class_weights([900, 90, 10])"
    weights = expect_numbers(class_weights(pixels), 3, name)
    products = weights * pixels
    are_equal = np.all(np.isfinite(weights)) and np.allclose(products, products[0])
    message = f"expected the same total weight for all classes in {name}, got {_list(products)}."
    hint = "A class with ten times fewer pixels needs a weight ten times as high."
    expect(are_equal, message, hint)
    hint = "The ratios are right; by what do you have to divide all weights?"
    expect_number(weights.mean(), 1, f"the mean of {name}", hint)
    with np.errstate(all="ignore"):  # the message below explains more than NumPy's warning
        with_absent = np.asarray(class_weights(np.array([900.0, 0.0, 100.0])), dtype=float)
    expect(
        np.allclose(with_absent, [0.2, 0, 1.8]),
        f"expected a weight of 0 for the class without pixels in class_weights([900, 0, 100]), and "
        f"a mean of 1 over the other two, got {_list(with_absent)}.",
        "Compute the weights of the classes that have pixels, and leave the others at 0.",
    )
    print("Right: every class that is present has the same total weight.")


def check_mouth_outside_lips(mouth_outside_lips: Callable[..., Any]) -> None:
    """Exercise 4: label map uint8 [H, W] -> fraction, 0..1, of the mouth outside the lips' box."""
    mouth, upper, lower = (PART_IDS[part] for part in ("mouth", "u_lip", "l_lip"))
    face = np.zeros((20, 30), dtype=np.uint8)
    face[8:10, 10:20] = upper
    face[10:12, 11:19] = mouth
    face[12:15, 9:21] = lower
    astray = face.copy()
    astray[14:17, 20:22] = mouth  # 6 more pixels, of which only the one at 14, 20 is in the box
    closed = np.where(face == mouth, lower, face).astype(np.uint8)
    lipless = np.where(face == mouth, mouth, 0).astype(np.uint8)
    outside = "Divide the pixels outside the box, which includes its borders, by all of the mouth."
    for label_map, expected, case, hint in (
        (face, 0.0, "a mouth between the lips", "The box contains *both* lips."),
        (astray, 5 / 22, "a mouth with 5 of 22 pixels outside the box", outside),
        (closed, 0.0, "a face without a mouth", "Closed lips are no error; handle them first."),
        (lipless, 1.0, "a mouth without lips", "Without lips there is no box to be inside of."),
    ):
        answer = mouth_outside_lips(label_map)
        expect_number(answer, expected, f"mouth_outside_lips() of {case}", hint)
    print("Right: the rule recognizes a misplaced mouth.")


def _list(numbers: Numbers) -> str:
    return "[" + ", ".join(f"{number:.4g}" for number in numbers) + "]"
