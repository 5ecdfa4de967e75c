"""`python -m facesegkit.course.exercises`: make notebooks/exercises/ from notebooks/solutions/."""

import argparse
import sys
from pathlib import Path

from facesegkit.course.exercises.blanking import write_exercises
from facesegkit.errors import FaceSegKitError


def main() -> int:
    """Overwrite the exercises, including all answers in them."""
    parser = argparse.ArgumentParser("python -m facesegkit.course.exercises", description=__doc__)
    parser.add_argument("--notebooks", type=Path, default=Path("notebooks"), help="their folder")
    try:
        print(*write_exercises(parser.parse_args().notebooks), sep="\n")
    except FaceSegKitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
