"""Checks of the course's exercises, one module per lesson.

`make exercises` makes the exercise notebooks from `notebooks/solutions/`.

A check takes a learner's answers. It prints a line that starts with "Right", or raises `TryAgain`
with what it expected, what it got and a hint, but never with the solution.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class TryAgain(AssertionError):
    """An answer is not right yet."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} Hint: {hint}" if hint else message)

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows: the message alone, without the lines of the check that raised it."""
        return [f"Not yet: {self}"]


def expect(is_right: object, message: str, hint: str = "") -> None:
    """Raise TryAgain unless a condition is true."""
    if not is_right:
        raise TryAgain(message, hint)


def require_answer(answer: Any, name: str) -> None:
    """Raise TryAgain, with this name, if an answer is still a blank: None or an ellipsis."""
    hint = "Write your answer where it says 'your code here', run that cell, then this one."
    expect(answer is not None and answer is not ..., f"{name} is still {answer!r}.", hint)


def expect_pair(answer: Any, what: str, name: str) -> tuple[Any, Any]:
    """An answer of two parts; raises TryAgain if it is blank or something else."""
    require_answer(answer, name)
    is_pair = isinstance(answer, (tuple, list)) and len(answer) == 2
    expect(is_pair, f"expected two {what} from {name}, got {type(answer).__name__}.")
    return answer[0], answer[1]


def as_number(answer: Any, name: str) -> float:
    """An answer, possibly with a gradient, as a float; raises TryAgain if it is blank or none."""
    require_answer(answer, name)
    try:
        return float(answer.detach() if hasattr(answer, "detach") else answer)
    except (TypeError, ValueError, RuntimeError):
        raise TryAgain(f"expected a number for {name}, got {answer!r}.") from None


def expect_number(
    answer: Any,
    expected: float,
    name: str,
    hint: str,
    *,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    reveal: bool = True,
) -> None:
    """Compare numbers like `numpy.isclose`; raises TryAgain with a hint if one is too far off.

    Unless `reveal`, the message says "too high" or "too low" and not which number is expected.
    """
    number = as_number(answer, name)
    message = f"expected {_text(expected)} for {name}, got {_text(number)}."
    if not reveal:
        direction = "high" if number > expected else "low"
        message = f"{name} is {_text(number)}, which is too {direction}."
    expect(np.isclose(number, expected, rtol, atol), message, hint)


def _text(number: float) -> str:
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:.4g}"


def expect_array(
    answer: Any, shape: tuple[int, ...], dtype: Any, name: str, hint: str = ""
) -> NDArray[Any]:
    """An answer as an array; raises TryAgain if it is blank or has another shape or type."""
    require_answer(answer, name)
    array = np.asarray(answer)
    expected, got = f"{np.dtype(dtype)} {list(shape)}", f"{array.dtype} {list(array.shape)}"
    expect(got == expected, f"expected {expected} for {name}, got {got}.", hint)
    return array


def expect_numbers(answer: Any, count: int, name: str) -> NDArray[np.float64]:
    """An answer as float64 [count]; raises TryAgain if it is blank or has another shape."""
    require_answer(answer, name)
    numbers = np.asarray(answer, dtype=float)
    shape = list(numbers.shape)
    expect(shape == [count], f"expected {count} numbers for {name}, got shape {shape}.")
    return numbers


def expect_unchanged(before: Iterable[Any], after: Iterable[Any], function: str) -> None:
    """Compare a function's arguments before and after; raises TryAgain if it modified one."""
    are_same = all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    expect(are_same, f"{function} has modified its arguments.", "Work on a copy.")
