"""What the commands say instead of a traceback."""


class FaceSegKitError(Exception):
    """Bad input, in one sentence: what was wrong, where, and what to do.

    The commands print it to standard error and exit with status 1.
    """
