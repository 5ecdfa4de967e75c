"""Make notebooks/exercises/ from solutions, so that they cannot drift apart.

    python notebooks/solutions/make_exercises.py     # overwrites all answers

In a solution's code cell, the lines between `# BEGIN SOLUTION` and
`# END SOLUTION` are what a learner has to write. Markdown cells tagged
`solution` explain the solution and are left out of the exercises.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from facesegkit.errors import FaceSegKitError
from facesegkit.system.files import atomic_write

BEGIN, END, BLANK = (
    "# BEGIN SOLUTION",
    "# END SOLUTION",
    "...  # your code here",
)

_MARKER = re.compile(rf"^ *({BEGIN}|{END}) *$", re.MULTILINE)
_SOLUTION = re.compile(
    rf"^(?P<indent> *){BEGIN} *\n(?:(?! *{BEGIN} *$).*\n)*? *{END} *$",
    re.MULTILINE,
)

Notebook = dict[str, Any]  # parsed JSON


def blank_source(source: str) -> str:
    """Source of a cell with each solution replaced by one indented line.

    Raises a FaceSegKitError if the markers are not in pairs.
    """
    blanked = _SOLUTION.sub(rf"\g<indent>{BLANK}", source)
    if unpaired := _MARKER.search(blanked):
        where = f"in the cell that starts {source[:60]!r}"
        raise FaceSegKitError(f"'{unpaired[0].strip()}' is unpaired {where}.")
    return blanked


def blank_notebook(solved: Notebook) -> Notebook:
    """Exercises of a notebook of solutions; raises as `blank_source`."""
    cells = [
        _blank_cell(cell)
        for cell in solved["cells"]
        if "solution" not in tags(cell)
    ]
    metadata = {
        "kernelspec": solved["metadata"]["kernelspec"],
        "language_info": {"name": "python"},
    }
    return {**solved, "cells": cells, "metadata": metadata}


def _blank_cell(cell: Notebook) -> Notebook:
    source = "".join(cell["source"])
    if cell["cell_type"] == "code":
        source = blank_source(source)
        cell = {**cell, "outputs": [], "execution_count": None}
    else:  # a badge opens the notebook that contains it
        source = source.replace("notebooks/solutions/", "notebooks/exercises/")
    return {**cell, "source": source.splitlines(keepends=True)}


def tags(cell: Notebook) -> list[str]:
    """Tags of a cell."""
    return list(cell["metadata"].get("tags", []))


def write_exercises(notebooks: Path) -> list[Path]:
    """Make `<notebooks>/exercises/` from `<notebooks>/solutions/`.

    Returns the written paths. Raises a FaceSegKitError if there are no
    solutions, one cannot be blanked, or writing fails.
    """
    solutions = sorted((notebooks / "solutions").glob("*.ipynb"))
    if not solutions:
        what = f"There are no notebooks in {notebooks / 'solutions'}"
        raise FaceSegKitError(f"{what}; give their folder with --notebooks.")
    written = []
    for path in solutions:
        exercise = blank_notebook(json.loads(path.read_text(encoding="utf-8")))
        written.append(notebooks / "exercises" / path.name)
        with atomic_write(written[-1]) as unfinished:
            unfinished.write_text(
                as_text(exercise), encoding="utf-8", newline="\n"
            )
    return written


def as_text(notebook: Notebook) -> str:
    """A notebook in the format that Jupyter writes."""
    return (
        json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
        + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = Path(__file__).parents[1]
    parser.add_argument(
        "--notebooks", type=Path, default=folder, help="their folder"
    )
    try:
        print(*write_exercises(parser.parse_args().notebooks), sep="\n")
    except FaceSegKitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
