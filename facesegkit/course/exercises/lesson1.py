"""Checks of the exercises of lesson 1, notebooks/exercises/01-explore-the-data.ipynb."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesegkit.course.exercises import TryAgain, expect, expect_number, expect_numbers
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


def check_largest_gap(largest_gap: Callable[..., Any]) -> None:
    """Exercise 4: mask bool [H, W] -> most consecutive empty rows or columns inside it."""
    margins = "Rows above the first pixel, or below the last one, are no gap; the same for columns."
    between = "Two neighbouring rows have no row between them: subtract 1 from their distance."
    several = "Take the largest gap, not the sum of all."
    for boxes, expected, case, hint in (
        ([(4, 3, 9, 12)], 0, "a mask in one piece, 4 rows below the upper edge", margins),
        ([(0, 0, 5, 8), (9, 2, 12, 6)], 4, "two pieces with 4 empty rows between them", between),
        ([(2, 0, 5, 8), (2, 15, 5, 20)], 7, "two pieces with 7 empty columns between them",
         "Look for gaps in the columns as well as in the rows."),
        ([(0, 0, 3, 8), (5, 0, 6, 8), (11, 0, 16, 8)], 5, "gaps of 2 and of 5 rows", several),
        ([(0, 0, 3, 8), (6, 14, 9, 20)], 6, "3 empty rows and 6 empty columns",
         "Take the larger of the gap in the rows and the gap in the columns."),
        ([], 0, "an empty mask", "An empty mask has no first pixel; handle this case first."),
    ):  # fmt: skip
        mask = np.zeros((16, 20), dtype=bool)
        for top, left, bottom, right in boxes:
            mask[top:bottom, left:right] = True
        expect_number(_call(largest_gap, mask), expected, f"largest_gap() of {case}", hint)
    print("Right: it measures gaps, in rows and in columns.")


def _call(largest_gap: Callable[..., Any], mask: NDArray[np.bool_]) -> Any:
    """The answer for a mask; raises TryAgain with the error of the reader's function."""
    try:
        return largest_gap(mask)
    except (IndexError, ValueError) as error:
        size = "an empty mask" if not mask.any() else "a mask"
        hint = "Which arrays are empty, or have one number only, if the mask is empty?"
        raise TryAgain(f"largest_gap() of {size} raised an error: {error}.", hint) from error


def _list(numbers: Numbers) -> str:
    return "[" + ", ".join(f"{number:.4g}" for number in numbers) + "]"
