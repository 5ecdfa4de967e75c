"""Runs single exercises of a solutions notebook, as they are and blanked, for the tests of checks.

names = run_exercise("02-merge-the-masks", 1, {"np": np})             # the solution
names = run_exercise("02-merge-the-masks", 1, {"np": np}, blank=True)  # what learners start from
check_merge(names["merge"])
"""

import json
from pathlib import Path

import pytest

from facesegkit.course.exercises import TryAgain
from facesegkit.course.exercises.blanking import blank_source, tags

SOLUTIONS = Path(__file__).parent.parent / "notebooks" / "solutions"


def exercise_sources(notebook):
    """Sources of the cells tagged `exercise`, in order; `notebook` is a name without suffix."""
    cells = json.loads((SOLUTIONS / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if "exercise" in tags(cell)]


def run_exercise(notebook, number, names=None, *, blank=False):
    """Run the cell of exercise `number` (from 1) with these names defined; returns all names."""
    source = exercise_sources(notebook)[number - 1]
    namespace = dict(names or {})
    exec(blank_source(source) if blank else source, namespace)
    return namespace


def answers(notebook, number, wanted, names=None, *, blank=False):
    """What the names in `wanted` stand for after the cell of exercise `number` has run."""
    defined = run_exercise(notebook, number, names, blank=blank)
    return [defined[name] for name in wanted]


def assert_passes(check, given, capsys):
    """A check takes these answers, and says so in one line."""
    check(*given)
    said = capsys.readouterr().out
    assert said.startswith("Right") and said.count("\n") == 1


def assert_asks_for_answers(check, given, message="still None.*your code here"):
    """A check tells a learner who has written nothing where to write."""
    with pytest.raises(TryAgain, match=message):
        check(*given)
