"""`python -m facesegkit.exercises`: make notebooks/exercises/ from notebooks/solutions/."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from facesegkit.course.exercises.blanking import write_exercises
from facesegkit.errors import FaceSegKitError


def main() -> int:
    """Write the exercises; what was answered in them before is lost."""
    parser = argparse.ArgumentParser(prog="python -m facesegkit.exercises", description=__doc__)
    parser.add_argument("--notebooks", type=Path, default=Path("notebooks"), help="their folder")
    options = parser.parse_args()
    try:
        for path in write_exercises(options.notebooks):
            print(path)
    except FaceSegKitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
