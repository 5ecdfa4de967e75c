"""What the commands say instead of a traceback."""


class FaceSegKitError(Exception):
    """Bad input, in one sentence: what was wrong, where, and what to do.

    The commands print it to standard error and exit with status 1.
    """


def first_line(error: Exception) -> str:
    """What an error of a library says, as far as it fits into a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
