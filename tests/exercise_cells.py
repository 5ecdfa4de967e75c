"""Runs exercises of the solutions notebooks and their checks: solved, blanked or with mistakes."""

import ast
import functools
import json
import re
from pathlib import Path

from make_exercises import BLANK, blank_source, tags

SOLUTIONS = sorted((Path(__file__).parent.parent / "notebooks" / "solutions").glob("*.ipynb"))


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@functools.cache
def code_cells(path):
    """(source, tags) of each code cell of a notebook."""
    cells = [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]
    return [("".join(cell["source"]), tags(cell)) for cell in cells]


def find_check(source):
    """Module and name of the check that a cell imports and calls."""
    nodes = list(ast.walk(ast.parse(source)))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    modules = {alias.name: node.module for node in imports for alias in node.names}
    called = [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]
    [check] = [name for name in modules if name.startswith("check_") and name in called]
    return modules[check], check


# The notebook and the index of the exercise's cell for the name of each check.
CHECKS = {
    find_check(code_cells(path)[index + 1][0])[1]: (path, index)
    for path in SOLUTIONS
    for index, (_, cell_tags) in enumerate(code_cells(path))
    if "exercise" in cell_tags
}


def run_exercise(check, *edits, blank=False):
    """Run the cell of an exercise, with `edits` or `blank`, and its check; returns all names.

    An edit changes the solution, "old -> new", or replaces all of it, "-> new". Of the cells
    before, only imports and definitions run.
    """
    path, index = CHECKS[check]
    names = {"eye": 512.0}  # lesson 1 measures it on the data set
    for source, _ in code_cells(path)[:index]:
        source = re.sub(r"^( *)%.*", r"\1pass", source, flags=re.M)  # magics are no Python
        wanted = (ast.Import, ast.ImportFrom, ast.FunctionDef)
        body = [node for node in ast.parse(source).body if isinstance(node, wanted)]
        exec(compile(ast.Module(body, []), path.name, "exec"), names)
    source = code_cells(path)[index][0]
    if blank or edits and edits[0].startswith("-> "):
        source = blank_source(source)
    for edit in edits:
        old, new = (f" {edit}" if edit.startswith("->") else edit).split(" -> ")
        assert (old or BLANK) in source, f"{check} has no {old!r}"
        source = source.replace(old or BLANK, new)
    exec(source, names)
    exec(code_cells(path)[index + 1][0], names)
    return names
