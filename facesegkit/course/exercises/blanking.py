"""Makes exercises of solutions, so that the two cannot drift apart.

In a solution's code cell the lines between `# BEGIN SOLUTION` and `# END SOLUTION` are what a
learner has to write. Markdown cells tagged `solution` explain what only those may read who have
written it; the exercises go without them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from facesegkit.errors import FaceSegKitError
from facesegkit.system.files import atomic_write

BEGIN, END, BLANK = "# BEGIN SOLUTION", "# END SOLUTION", "...  # your code here"

Notebook = dict[str, Any]  # as JSON has it


def blank_source(source: str) -> str:
    """A cell's source with each solution replaced by one line at the same indentation.

    Raises:
        FaceSegKitError: a solution begins within another or does not end, or ends unbegun.
    """
    kept: list[str] = []
    inside = False
    for line in source.split("\n"):
        text = line.strip()
        if text in (BEGIN, END) and inside == (text == BEGIN):
            raise FaceSegKitError(f"'{text}' stands alone in the cell that starts {source[:60]!r}.")
        if text == BEGIN:
            kept.append(line[: line.index(BEGIN)] + BLANK)
        if text in (BEGIN, END):
            inside = text == BEGIN
        elif not inside:
            kept.append(line)
    if inside:
        raise FaceSegKitError(f"'{BEGIN}' has no end in the cell that starts {source[:60]!r}.")
    return "\n".join(kept)


def blank_notebook(solved: Notebook) -> Notebook:
    """The exercises of a notebook of solutions: blanks, no outputs, nothing of who ran it.

    Raises:
        FaceSegKitError: as `blank_source` does.
    """
    cells = [_blank_cell(cell) for cell in solved["cells"] if "solution" not in tags(cell)]
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
    else:  # badges open the notebook that they stand in
        source = source.replace("notebooks/solutions/", "notebooks/exercises/")
    return {**cell, "source": source.splitlines(keepends=True)}


def tags(cell: Notebook) -> list[str]:
    """A cell's tags."""
    return list(cell["metadata"].get("tags", []))


def write_exercises(notebooks: Path) -> list[Path]:
    """Make all of `<notebooks>/exercises/` from `<notebooks>/solutions/`; returns what it wrote.

    Raises:
        FaceSegKitError: there are no solutions, one cannot be blanked, or a file not be written.
    """
    solutions = sorted((notebooks / "solutions").glob("*.ipynb"))
    if not solutions:
        raise FaceSegKitError(
            f"There are no notebooks in {notebooks / 'solutions'}; "
            f"run this in the project's folder, or say where with --notebooks."
        )
    written = []
    for path in solutions:
        exercise = blank_notebook(json.loads(path.read_text(encoding="utf-8")))
        written.append(notebooks / "exercises" / path.name)
        with atomic_write(written[-1]) as unfinished:
            unfinished.write_text(as_text(exercise), encoding="utf-8", newline="\n")
    return written


def as_text(notebook: Notebook) -> str:
    """A notebook as Jupyter itself writes it."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
