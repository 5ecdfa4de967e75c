"""Exercises are generated from solutions, and each has a check that accepts its solution.

test_exercise_checks.py tests that the checks reject wrong answers.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from exercise_cells import CHECKS, SOLUTIONS, code_cells, find_check, read, run_exercise
from make_exercises import BEGIN, BLANK, as_text, blank_notebook, blank_source, write_exercises

from facesegkit.course.exercises import TryAgain, require_answer
from facesegkit.errors import FaceSegKitError

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.mark.parametrize(
    ("source", "blank"),
    [
        ("x = 1", "x = 1"),
        ("# BEGIN SOLUTION\nx = 1\n\ny = 2\n# END SOLUTION\nz = 3", f"{BLANK}\nz = 3"),
        ("if x:\n    # BEGIN SOLUTION\n    y = 1\n    # END SOLUTION", f"if x:\n    {BLANK}"),
        ("a\n# BEGIN SOLUTION\n# END SOLUTION\n" * 2, f"a\n{BLANK}\n" * 2),
        ("print('# BEGIN SOLUTION')", "print('# BEGIN SOLUTION')"),
    ],
)
def test_blank_source(source, blank):
    assert blank_source(source) == blank


@pytest.mark.parametrize("order", ["BEGIN x", "x END", "BEGIN BEGIN END", "BEGIN END END"])
def test_unpaired_markers(order):
    lines = ["x = 1" if word == "x" else f"# {word} SOLUTION" for word in order.split()]
    with pytest.raises(FaceSegKitError, match="BEGIN SOLUTION|END SOLUTION"):
        blank_source("\n".join(lines))


def cell(kind, source, *tags, **other):
    lines = source.splitlines(keepends=True)
    metadata = {"tags": list(tags)}
    return {"cell_type": kind, "id": f"cell-{kind}", "metadata": metadata, "source": lines, **other}


def a_notebook():
    answer = "x = None\n# BEGIN SOLUTION\nx = 1\n# END SOLUTION"
    outputs = [{"output_type": "stream", "text": ["1\n"]}]
    cells = [
        cell("markdown", "[badge](blob/main/notebooks/solutions/01.ipynb)"),
        cell("code", answer, "exercise", execution_count=3, outputs=outputs),
        cell("markdown", "Why it is 1.", "solution"),
    ]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python", "version": "3.11.7"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def test_blank_notebook():
    solved = a_notebook()
    blank = blank_notebook(solved)
    assert solved == a_notebook()  # unchanged
    badge, exercise = blank["cells"]  # the explanation is left out
    assert "".join(badge["source"]).endswith("notebooks/exercises/01.ipynb)")
    source = f"x = None\n{BLANK}"
    assert exercise == cell("code", source, "exercise", execution_count=None, outputs=[])
    assert blank["metadata"]["language_info"] == {"name": "python"}


def test_exercises_open_in_jupyter():
    nbformat = pytest.importorskip("nbformat")
    text = as_text(blank_notebook(a_notebook()))
    nbformat.validate(nbformat.reads(text, as_version=4))
    assert nbformat.writes(nbformat.reads(text, as_version=4)) + "\n" == text


def run_command(notebooks):
    script = NOTEBOOKS / "solutions" / "make_exercises.py"
    command = [sys.executable, script, "--notebooks", notebooks]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_writes_all_exercises(tmp_path):
    (tmp_path / "solutions").mkdir()
    for name in ("01-a.ipynb", "02-b.ipynb"):
        (tmp_path / "solutions" / name).write_text(json.dumps(a_notebook()))
    finished = run_command(tmp_path)
    assert finished.returncode == 0, finished.stderr
    written = sorted((tmp_path / "exercises").iterdir())
    assert [path.name for path in written] == ["01-a.ipynb", "02-b.ipynb"]
    assert finished.stdout.split() == [str(path) for path in written]
    assert written[0].read_text() == as_text(blank_notebook(a_notebook()))


def test_the_command_without_solutions(tmp_path):
    finished = run_command(tmp_path)
    assert finished.returncode == 1
    assert f"no notebooks in {tmp_path}" in finished.stderr and "Traceback" not in finished.stderr
    with pytest.raises(FaceSegKitError, match="--notebooks"):
        write_exercises(tmp_path)


def test_jupyter_shows_the_message_without_a_traceback(capsys):
    interactiveshell = pytest.importorskip("IPython.core.interactiveshell")
    shell = interactiveshell.InteractiveShell()
    shell.user_ns["TryAgain"] = TryAgain
    shell.run_cell("raise TryAgain('expected 3, got 2; count the background too')")
    assert capsys.readouterr().out == "Not yet: expected 3, got 2; count the background too\n"


@pytest.mark.parametrize("blank", [None, ...])
def test_require_answer(blank):
    with pytest.raises(TryAgain, match="the answer is still .*your code here"):
        require_answer(blank, "the answer")
    require_answer(0, "the answer")


@pytest.mark.parametrize("check", CHECKS)
def test_checks_accept_the_solutions_and_say_so_in_one_line(check, capsys):
    run_exercise(check)
    printed = capsys.readouterr().out
    assert printed.startswith("Right") and printed.count("\n") == 1


@pytest.mark.parametrize("check", CHECKS)
def test_checks_say_where_to_write_an_answer(check):
    with pytest.raises(TryAgain, match="(is still None|no layers yet|nothing has been).*code here"):
        run_exercise(check, blank=True)


def test_every_exercise_notebook_has_its_solutions_and_lesson():
    names = {path.name for path in SOLUTIONS}
    assert {path.name for path in (NOTEBOOKS / "exercises").glob("*.ipynb")} == names
    assert all((NOTEBOOKS / name).exists() for name in names)


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_a_notebook_has_two_to_five_exercises_each_with_its_own_check(path):
    generated = (NOTEBOOKS / "exercises" / path.name).read_text(encoding="utf-8")
    assert generated == as_text(blank_notebook(read(path))), "run make exercises"
    cells = code_cells(path)
    exercises = [i for i, (source, _) in enumerate(cells) if BEGIN in source]
    tagged = [index for notebook, index in CHECKS.values() if notebook == path]
    assert tagged == exercises, "a tag is missing, or two exercises share a check"
    lesson = f"facesegkit.course.exercises.lesson{int(path.name[:2])}"
    assert {find_check(cells[index + 1][0])[0] for index in exercises} == {lesson}
    assert 2 <= len(exercises) <= 5
