"""Exercises are made from solutions and agree with them; each has a check that accepts them.

test_exercises_lesson*.py test that the checks reject wrong answers.
"""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from exercise_cells import SOLUTIONS, code_cells, exercise_indices, read, run_exercise

from facesegkit.course.exercises import TryAgain, require_answer
from facesegkit.course.exercises.blanking import (
    BEGIN,
    BLANK,
    as_text,
    blank_notebook,
    blank_source,
    write_exercises,
)
from facesegkit.errors import FaceSegKitError

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
EXERCISES = [
    pytest.param(path, number, id=f"{path.stem}-{number + 1}")
    for path in SOLUTIONS
    for number in range(len(exercise_indices(code_cells(read(path)))))
]


@pytest.fixture(params=SOLUTIONS, ids=lambda path: path.stem)
def path(request):
    return request.param


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
    [
        "# BEGIN SOLUTION\nx = 1",
        "x = 1\n# END SOLUTION",
        "# BEGIN SOLUTION\n# BEGIN SOLUTION\n# END SOLUTION",
        "# BEGIN SOLUTION\n# END SOLUTION\n# END SOLUTION",
    ],
)
def test_unpaired_markers(source):
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
    badge, exercise = blank["cells"]  # the explanation is left out
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


COMMAND = [sys.executable, "-m", "facesegkit.course.exercises"]


def test_the_command_writes_all_exercises(tmp_path):
    (tmp_path / "solutions").mkdir()
    for name in ("01-a.ipynb", "02-b.ipynb"):
        (tmp_path / "solutions" / name).write_text(json.dumps(a_notebook()))
    command = [*COMMAND, "--notebooks", str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    written = sorted((tmp_path / "exercises").iterdir())
    assert [path.name for path in written] == ["01-a.ipynb", "02-b.ipynb"]
    assert finished.stdout.split() == [str(path) for path in written]
    assert written[0].read_text() == as_text(blank_notebook(a_notebook()))


def test_the_command_without_solutions(tmp_path):
    finished = subprocess.run(COMMAND, capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode == 1
    assert "no notebooks in notebooks" in finished.stderr and "Traceback" not in finished.stderr
    with pytest.raises(FaceSegKitError, match="--notebooks"):
        write_exercises(tmp_path)


# --- The checks' messages ------------------------------------------------------------------------


def test_jupyter_shows_the_message_without_a_traceback(capsys):
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


@pytest.mark.parametrize(("path", "number"), EXERCISES)
def test_checks_accept_the_solutions_and_say_so_in_one_line(path, number, capsys):
    run_exercise(path, number)
    printed = capsys.readouterr().out
    assert printed.startswith("Right") and printed.count("\n") == 1


@pytest.mark.parametrize(("path", "number"), EXERCISES)
def test_checks_say_where_to_write_an_answer(path, number):
    with pytest.raises(TryAgain, match="(is still None|no layers yet|nothing has been).*code here"):
        run_exercise(path, number, blank=True)


# --- The notebooks -------------------------------------------------------------------------------


def test_every_exercise_notebook_has_its_solutions_and_lesson():
    names = {path.name for path in SOLUTIONS}
    assert {path.name for path in (NOTEBOOKS / "exercises").glob("*.ipynb")} == names
    assert all((NOTEBOOKS / name).exists() for name in names)


def test_exercises_agree_with_the_solutions(path):
    made = (NOTEBOOKS / "exercises" / path.name).read_text(encoding="utf-8")
    assert made == as_text(blank_notebook(read(path))), "run make exercises"


def test_there_are_two_to_four_exercises_each_with_its_own_check(path):
    cells = code_cells(read(path))
    exercises = exercise_indices(cells)
    assert 2 <= len(exercises) <= 4
    checks = set()
    for index in exercises:
        module, check = find_check(cells[index + 1][0])
        assert module == f"facesegkit.course.exercises.lesson{int(path.name[:2])}"
        assert callable(getattr(importlib.import_module(module), check))
        checks.add(check)
    assert len(checks) == len(exercises), "two exercises share a check"
    assert [i for i, (source, _) in enumerate(cells) if BEGIN in source] == exercises, "tags"


def find_check(source):
    """Module and name of the check that a cell imports and calls."""
    nodes = list(ast.walk(ast.parse(source)))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    modules = {alias.name: node.module for node in imports for alias in node.names}
    called = [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]
    [check] = [name for name in modules if name.startswith("check_") and name in called]
    return modules[check], check


def test_the_checks_of_each_lesson_are_tested(path):
    assert (Path(__file__).parent / f"test_exercises_lesson{int(path.name[:2])}.py").exists()
