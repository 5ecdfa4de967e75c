"""The error that the commands report in one sentence instead of a traceback, and its wording."""


class FaceSegKitError(Exception):
    """Invalid input. The message says in one sentence what is wrong, where, and what to do.

    The commands print it to standard error and exit with status 1.
    """


def counted(number: int, noun: str) -> str:
    """A number with its noun for a message: "1 face", "1,200 faces"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def first_line(error: Exception) -> str:
    """First line of an exception's message, at most 120 characters long, all printable."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return "".join(one if one.isprintable() else "?" for one in line[:120])
