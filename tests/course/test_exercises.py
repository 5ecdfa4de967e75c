"""Exercises are made of solutions and agree with them; each has a check.

That the checks tell right from wrong is tested lesson by lesson, in test_exercises_lesson*.py.
"""

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from facesegkit.course.exercises import TryAgain, require_answer
from facesegkit.course.exercises.blanking import (
    BEGIN,
    BLANK,
    END,
    as_text,
    blank_notebook,
    blank_source,
    tags,
    write_exercises,
)
from facesegkit.errors import FaceSegKitError

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
SOLUTIONS = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(params=SOLUTIONS, ids=lambda path: path.stem)
def path(request):
    return request.param


def code_cells(notebook):
    """(source, tags) of each code cell."""
    return [
        ("".join(cell["source"]), tags(cell))
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


# --- Blanking ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "blank"),
    [
        ("x = 1", "x = 1"),
        ("# BEGIN SOLUTION\nx = 1\n\ny = 2\n# END SOLUTION\nz = 3", f"{BLANK}\nz = 3"),
        (
            "def f():\n    '''Doc.'''\n    # BEGIN SOLUTION\n    return 1\n    # END SOLUTION",
            f"def f():\n    '''Doc.'''\n    {BLANK}",
        ),
        (
            "a\n# BEGIN SOLUTION\n# END SOLUTION\nb\n# BEGIN SOLUTION\nc\n# END SOLUTION",
            f"a\n{BLANK}\nb\n{BLANK}",
        ),
        ("print('# BEGIN SOLUTION')", "print('# BEGIN SOLUTION')"),
    ],
)
def test_blank_source(source, blank):
    assert blank_source(source) == blank


@pytest.mark.parametrize(
    "source",
    ["# BEGIN SOLUTION\nx = 1", "x = 1\n# END SOLUTION", "# BEGIN SOLUTION\n# BEGIN SOLUTION"],
)
def test_unpaired_marks(source):
    with pytest.raises(FaceSegKitError, match="BEGIN SOLUTION|END SOLUTION"):
        blank_source(source)


def cell(cell_id, kind, source, *cell_tags):
    lines = source.splitlines(keepends=True)
    made = {"cell_type": kind, "id": cell_id, "metadata": {"tags": list(cell_tags)}}
    made["source"] = lines
    if kind == "code":
        made |= {"execution_count": 3, "outputs": [{"output_type": "stream", "text": ["1\n"]}]}
    return made


def a_notebook():
    cells = [
        cell("cell-00", "markdown", "[badge](blob/main/notebooks/solutions/01.ipynb)"),
        cell("cell-01", "code", "x = None\n# BEGIN SOLUTION\nx = 1\n# END SOLUTION", "exercise"),
        cell("cell-02", "markdown", "Why it is 1.", "solution"),
    ]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    language = {"name": "python", "version": "3.11.7"}
    metadata = {"kernelspec": kernel, "language_info": language}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def test_blank_notebook():
    solved = a_notebook()
    before = json.dumps(solved)
    blank = blank_notebook(solved)
    assert json.dumps(solved) == before
    badge, exercise = blank["cells"]  # the explanation is gone
    assert "".join(badge["source"]).endswith("notebooks/exercises/01.ipynb)")
    assert "".join(exercise["source"]) == f"x = None\n{BLANK}"
    assert exercise["outputs"] == [] and exercise["execution_count"] is None
    assert exercise["metadata"] == {"tags": ["exercise"]}
    assert blank["metadata"]["language_info"] == {"name": "python"}


def test_exercises_open_in_jupyter():
    nbformat = pytest.importorskip("nbformat")
    text = as_text(blank_notebook(a_notebook()))
    nbformat.validate(nbformat.reads(text, as_version=4))
    assert nbformat.writes(nbformat.reads(text, as_version=4)) + "\n" == text


def test_the_command_makes_them_all(tmp_path):
    (tmp_path / "solutions").mkdir()
    for name in ("01-a.ipynb", "02-b.ipynb"):
        (tmp_path / "solutions" / name).write_text(json.dumps(a_notebook()))
    command = [sys.executable, "-m", "facesegkit.course.exercises", "--notebooks", str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    written = sorted((tmp_path / "exercises").iterdir())
    assert [path.name for path in written] == ["01-a.ipynb", "02-b.ipynb"]
    assert written[0].read_text() == as_text(blank_notebook(a_notebook()))


def test_the_command_says_what_is_missing(tmp_path):
    command = [sys.executable, "-m", "facesegkit.course.exercises"]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode == 1
    assert "no notebooks in notebooks" in finished.stderr and "Traceback" not in finished.stderr
    with pytest.raises(FaceSegKitError, match="--notebooks"):
        write_exercises(tmp_path)


# --- What checks say -----------------------------------------------------------------------------


def test_jupyter_shows_the_message_without_the_lines_of_the_check(capsys):
    interactiveshell = pytest.importorskip("IPython.core.interactiveshell")
    assert issubclass(TryAgain, AssertionError)
    shell = interactiveshell.InteractiveShell()
    shell.user_ns["TryAgain"] = TryAgain
    shell.run_cell("raise TryAgain('expected 3, got 2; count the background too')")
    assert capsys.readouterr().out == "Not yet: expected 3, got 2; count the background too\n"


@pytest.mark.parametrize("blank", [None, ...])
def test_require_answer(blank):
    with pytest.raises(TryAgain, match="the answer is still .*your code here"):
        require_answer(blank, "the answer")
    require_answer(0, "the answer")


# --- The notebooks -------------------------------------------------------------------------------


def test_every_exercise_notebook_has_its_solutions():
    made = {path.name for path in (NOTEBOOKS / "exercises").glob("*.ipynb")}
    assert made == {path.name for path in SOLUTIONS}


def test_every_solution_belongs_to_a_lesson(path):
    assert (NOTEBOOKS / path.name).exists()


def test_exercises_have_not_drifted_from_solutions(path):
    made = (NOTEBOOKS / "exercises" / path.name).read_text(encoding="utf-8")
    assert made == as_text(blank_notebook(read(path))), "run make exercises"


def test_nothing_of_a_solution_is_left(path):
    for source, _ in code_cells(read(NOTEBOOKS / "exercises" / path.name)):
        assert BEGIN not in source and END not in source


def test_there_are_two_to_four_exercises_each_with_a_check(path):
    cells = code_cells(read(path))
    exercises = [number for number, (_, cell_tags) in enumerate(cells) if "exercise" in cell_tags]
    assert 2 <= len(exercises) <= 4
    checks = set()
    for number in exercises:
        assert BEGIN in cells[number][0]
        module, check = find_check(cells[number + 1][0])
        assert module == f"facesegkit.course.exercises.lesson{int(path.name[:2])}"
        assert callable(getattr(importlib.import_module(module), check))
        checks.add(check)
    assert len(checks) == len(exercises), "two exercises share a check"
    assert sum(BEGIN in source for source, _ in cells) == len(exercises), "a tag is missing"


def find_check(source):
    """Module and name of the check that a cell imports and calls."""
    names = {
        alias.name: node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    called = [
        ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)
    ]
    [check] = [name for name in names if name.startswith("check_") and name in called]
    return names[check], check


def test_a_blank_can_be_run(path):
    """A blank is no syntax error: learners run the cell first and are told what is missing."""
    for source, cell_tags in code_cells(read(NOTEBOOKS / "exercises" / path.name)):
        if "exercise" in cell_tags:
            assert re.search(r"^\s*\.\.\.  # your code here$", source, re.M)
            ast.parse(source)


def test_each_lesson_with_exercises_tests_its_checks(path):
    number = int(path.name[:2])
    assert (Path(__file__).parent / f"test_exercises_lesson{number}.py").exists()
