"""Checks of the course's exercises, one module a lesson, and what makes exercises of solutions.

`notebooks/solutions/` is the source. `python -m facesegkit.exercises` blanks the solutions and
writes the rest to `notebooks/exercises/`, see `blanking`.
"""

from __future__ import annotations

from typing import Any


class TryAgain(AssertionError):
    """An answer is not right yet: what was expected, what came, and a hint, but no solution."""

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows: the message alone, without the lines of the check that raised it."""
        return [f"Not yet: {self}"]


def require_answer(answer: Any, name: str) -> None:
    """See that something has been written in place of the blank.

    Args:
        answer: what was assigned or returned; a blank leaves None or an ellipsis.
        name: what to call it in the message, such as "the result of merge()".

    Raises:
        TryAgain: it is still blank.
    """
    if answer is None or answer is ...:
        raise TryAgain(
            f"{name} is still {answer!r}. Write your answer where it says 'your code here', run "
            f"that cell, then this one."
        )


def as_number(answer: Any, what: str) -> float:
    """An answer as a float, with or without a gradient.

    Args:
        answer: what was assigned or returned.
        what: where it comes from, for the message.

    Raises:
        TryAgain: it is no number.
    """
    try:
        return float(answer.detach() if hasattr(answer, "detach") else answer)
    except (TypeError, ValueError, RuntimeError):
        raise TryAgain(f"expected a number from {what}, got {answer!r}.") from None
