"""Checks of the exercises of lesson 1, `notebooks/exercises/01-explore-the-data.ipynb`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from facesegkit.course.exercises import TryAgain, as_number, require_answer
from facesegkit.labels import PART_IDS

Numbers = NDArray[np.float64]
LabelMaps = NDArray[np.uint8]


def check_eye_pixels(prediction: float | None, at_512: float) -> None:
    """Exercise 1: how many pixels are left of an eye at 64 x 64.

    Args:
        prediction: the learner's number.
        at_512: how many pixels the eye has at 512 x 512.

    Raises:
        TryAgain: it is further than a quarter from what is left.
    """
    require_answer(prediction, "prediction")
    left = at_512 / 8**2
    answer = as_number(prediction, "prediction")
    if not abs(answer - left) <= left / 4:  # so that nan is wrong, too
        too = "many" if answer > left else "few"
        raise TryAgain(
            f"expected the number of pixels that {at_512:.0f} become, got {answer:.1f}, which is "
            f"too {too}. Hint: draw a square of 8 x 8 pixels. What is left of its height when the "
            f"picture's sides are divided by 8, and what of its area?"
        )
    print(f"Right: of {at_512:.0f} pixels about {left:.0f} are left.")


def check_share_where_present(
    share_where_present: Callable[[LabelMaps, int], float | None],
) -> None:
    """Exercise 2: the share of pixels that a part covers on those photos that have it.

    Args:
        share_where_present: label maps [N, H, W] and part id -> share, 0..1.

    Raises:
        TryAgain: it gives another number.
    """
    label_maps = np.zeros((4, 10, 10), dtype=np.uint8)
    label_maps[1, :2] = label_maps[3, :4] = PART_IDS["hat"]  # 20 % and 40 % of two photos
    name = "share_where_present(label_maps, hat)"
    _expect(
        share_where_present(label_maps, PART_IDS["hat"]),
        0.3,
        f"{name} for four photos, of which two have no hat and two have one on 20 % and 40 % of "
        f"their pixels",
        "leave out the photos on which the part has no pixel before you take the mean",
    )
    _expect(
        share_where_present(label_maps, PART_IDS["neck_l"]),
        0.0,
        "share_where_present(label_maps, necklace) where no photo has one",
        "the mean of nothing is not a number; look at this case first",
    )
    print("Right: rare parts are counted where they are.")


def check_class_weights(class_weights: Callable[[Numbers], Numbers | None]) -> None:
    """Exercise 3: weights of classes, the higher the rarer.

    Args:
        class_weights: each class's number of pixels [C] -> weights [C].

    Raises:
        TryAgain: they are others.
    """
    pixels = np.array([900.0, 90.0, 10.0])
    weights = class_weights(pixels)
    require_answer(weights, "the result of class_weights([900, 90, 10])")
    weights = np.asarray(weights, dtype=float)
    what = "class_weights([900, 90, 10])"
    if weights.shape != (3,):
        raise TryAgain(f"expected 3 weights from {what}, got shape {weights.shape}.")
    products = weights * pixels
    if not np.all(np.isfinite(weights)) or not np.allclose(products, products[0]):
        raise TryAgain(
            f"expected weights from {what} with which all classes weigh the same in sum, got "
            f"{_list(weights)}, with which the classes weigh {_list(products)}. Hint: a class that "
            f"has ten times fewer pixels needs a weight ten times as high."
        )
    if not np.isclose(weights.mean(), 1):
        raise TryAgain(
            f"expected weights from {what} whose mean is 1, got a mean of {weights.mean():.4g}. "
            f"Hint: the ratios are right; what do you have to divide all of them by?"
        )
    with np.errstate(all="ignore"):  # what is wrong is said below, and better than by a warning
        with_absent = np.asarray(class_weights(np.array([900.0, 0.0, 100.0])), dtype=float)
    if not np.allclose(with_absent, [0.2, 0, 1.8]):
        raise TryAgain(
            f"expected a weight of 0 for the class without pixels in class_weights([900, 0, 100]), "
            f"and a mean of 1 over the other two, got {_list(with_absent)}. Hint: work out the "
            f"weights of the classes that have pixels, and leave the others at 0."
        )
    print("Right: every class that is there weighs the same in sum.")


def check_mouth_outside_lips(mouth_outside_lips: Callable[[LabelMaps], float | None]) -> None:
    """Exercise 4: the share of the mouth's pixels outside the box around both lips.

    Args:
        mouth_outside_lips: label map [H, W] -> share, 0..1.

    Raises:
        TryAgain: it gives another number.
    """
    mouth, upper, lower = (PART_IDS[part] for part in ("mouth", "u_lip", "l_lip"))
    face = np.zeros((20, 30), dtype=np.uint8)
    face[8:10, 10:20] = upper
    face[10:12, 11:19] = mouth
    face[12:15, 9:21] = lower
    function = "mouth_outside_lips"
    _expect(
        mouth_outside_lips(face),
        0.0,
        f"{function} of a mouth that lies between the lips",
        "the box spans both lips: from the first row of either to the last row of either",
    )
    astray = face.copy()
    astray[14:17, 20:22] = mouth  # 6 more pixels, of which only the one at 14, 20 is in the box
    _expect(
        mouth_outside_lips(astray),
        5 / 22,
        f"{function} of 22 pixels of mouth, of which 5 lie outside the box",
        "count the pixels of the mouth that lie in none of the box's rows or columns, borders "
        "included, and divide by all pixels of the mouth",
    )
    closed = np.where(face == mouth, lower, face).astype(np.uint8)
    _expect(
        mouth_outside_lips(closed),
        0.0,
        f"{function} where no pixel is mouth",
        "closed lips are no mistake; look at this case first",
    )
    lipless = np.where(face == mouth, mouth, 0).astype(np.uint8)
    _expect(
        mouth_outside_lips(lipless),
        1.0,
        f"{function} where there is a mouth but no lips",
        "without lips there is no box, so all of the mouth lies outside",
    )
    print("Right: the rule knows a mouth that went astray.")


def _expect(answer: float | None, expected: float, what: str, hint: str) -> None:
    require_answer(answer, f"the result of {what}")
    number = as_number(answer, what)
    if not np.isclose(number, expected):
        raise TryAgain(f"expected {expected:.4g} from {what}, got {number:.4g}. Hint: {hint}.")


def _list(numbers: Numbers) -> str:
    return "[" + ", ".join(f"{number:.4g}" for number in numbers) + "]"
