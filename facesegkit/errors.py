"""The error that the commands report in one sentence instead of a traceback."""


class FaceSegKitError(Exception):
    """Invalid input. The message says in one sentence what is wrong, where, and what to do.

    The commands print it to standard error and exit with status 1.
    """


def first_line(error: Exception) -> str:
    """First line of an exception's message, at most 120 characters long."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
