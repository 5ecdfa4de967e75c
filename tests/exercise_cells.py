"""Runs exercises of a solutions notebook and their checks, either solved or blanked."""

import ast
import json
from pathlib import Path

import pytest

from facesegkit.course.exercises import TryAgain
from facesegkit.course.exercises.blanking import blank_source, tags

SOLUTIONS = sorted((Path(__file__).parent.parent / "notebooks" / "solutions").glob("*.ipynb"))


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(notebook):
    """(source, tags) of each code cell."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [("".join(cell["source"]), tags(cell)) for cell in cells]


def exercise_indices(cells):
    return [index for index, (_, cell_tags) in enumerate(cells) if "exercise" in cell_tags]


def run_exercise(path, number, *, blank=False):
    """Run the cell of exercise `number`, from 0, and its check; returns the defined names.

    Of the cells before it, only imports and definitions run, except the first, which has magics.
    """
    cells = code_cells(read(path))
    index = exercise_indices(cells)[number]
    names = {"eye": 512.0}  # lesson 1 measures it on the data set
    for source, _ in cells[1:index]:
        wanted = (ast.Import, ast.ImportFrom, ast.FunctionDef)
        body = [node for node in ast.parse(source).body if isinstance(node, wanted)]
        exec(compile(ast.Module(body, []), path.name, "exec"), names)
    source = cells[index][0]
    exec(blank_source(source) if blank else source, names)
    exec(cells[index + 1][0], names)
    return names


def rows_of(wrong):
    """(check, answers, message) of a table of the form {check: [(answer, ..., message), ...]}."""
    return [(check, row[:-1], row[-1]) for check, rows in wrong.items() for row in rows]


def assert_rejects(check, answers, message):
    with pytest.raises(TryAgain, match=message):
        check(*answers)
