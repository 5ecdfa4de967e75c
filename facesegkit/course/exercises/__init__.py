"""Checks of the course's exercises, one module per lesson, and what makes the exercise notebooks.

`notebooks/solutions/` is the source: `python -m facesegkit.course.exercises` blanks the solutions
and writes the rest to `notebooks/exercises/`, see `blanking`.

A check takes a learner's answers. It prints a line that starts with "Right", or raises `TryAgain`
with what it expected, what it got and a hint, but never with the solution.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class TryAgain(AssertionError):
    """An answer is not right yet."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows: the message alone, without the lines of the check that raised it."""
        return [f"Not yet: {self}"]


def require_answer(answer: Any, name: str) -> None:
    """Raise TryAgain, with this name, if an answer is still a blank: None or an ellipsis."""
    if answer is None or answer is ...:
        hint = "Write your answer where it says 'your code here', run that cell, then this one."
        raise TryAgain(f"{name} is still {answer!r}. {hint}")


def expect_pair(answer: Any, what: str, name: str) -> tuple[Any, Any]:
    """An answer of two parts; raises TryAgain if it is blank or something else."""
    require_answer(answer, name)
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise TryAgain(f"expected two {what} from {name}, got {type(answer).__name__}.")
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
    if np.isclose(number, expected, rtol, atol):
        return
    message = f"expected {_text(expected)} for {name}, got {_text(number)}"
    if not reveal:
        direction = "high" if number > expected else "low"
        message = f"{name} is {_text(number)}, which is too {direction}"
    raise TryAgain(f"{message}. Hint: {hint}")


def _text(number: float) -> str:
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:.4g}"


def expect_array(
    answer: Any, shape: tuple[int, ...], dtype: Any, name: str, hint: str = ""
) -> NDArray[Any]:
    """An answer as an array; raises TryAgain if it is blank or has another shape or type."""
    require_answer(answer, name)
    array = np.asarray(answer)
    if array.shape != shape or array.dtype != dtype:
        raise TryAgain(
            f"expected {np.dtype(dtype)} {list(shape)} for {name}, got {array.dtype} "
            f"{list(array.shape)}.{hint and f' Hint: {hint}'}"
        )
    return array


def expect_numbers(answer: Any, count: int, name: str) -> NDArray[np.float64]:
    """An answer as float64 [count]; raises TryAgain if it is blank or has another shape."""
    require_answer(answer, name)
    numbers = np.asarray(answer, dtype=float)
    if numbers.shape != (count,):
        raise TryAgain(f"expected {count} numbers for {name}, got shape {list(numbers.shape)}.")
    return numbers


def expect_unchanged(before: Iterable[Any], after: Iterable[Any], function: str) -> None:
    """Compare a function's arguments before and after; raises TryAgain if it modified one."""
    if not all(np.array_equal(old, new) for old, new in zip(before, after, strict=True)):
        raise TryAgain(f"{function} has modified its arguments. Hint: work on a copy.")
