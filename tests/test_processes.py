"""Work in other processes: answers, errors, and scripts of any kind."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from math import sqrt
from operator import truediv
from pathlib import Path

import pytest

from facesegkit.errors import FaceSegKitError
from facesegkit.processes import in_processes


def test_every_order_is_answered_once() -> None:
    answered = dict(in_processes(sqrt, [0, 1, 4, 9, 16, 25], 2, doing="tried"))
    assert answered == {0: 0, 1: 1, 4: 2, 9: 3, 16: 4, 25: 5}


def test_what_a_task_prints_is_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(in_processes(print, ["aside"], 1, doing="tried")) == [("aside", None)]
    assert capfd.readouterr().err == "aside\n"


def test_an_error_of_a_task_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_processes(partial(truediv, 1), [1, 0], 1, doing="tried"))


def test_a_process_that_ends_is_told() -> None:
    with pytest.raises(FaceSegKitError, match=r"that tried has ended unexpectedly \(exit code 7\)"):
        list(in_processes(sys.exit, [7], 1, doing="tried"))


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    """As `multiprocessing` would, since it imports the script again in every process."""
    script = tmp_path / "script.py"
    script.write_text(
        "from facesegkit.drawn import draw_data_set\n"
        "print('once')\n"
        f"draw_data_set({str(tmp_path / 'faces')!r}, 3, seed=1, workers=2, progress=False)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "once\n" and done.stderr == ""
    assert len(list((tmp_path / "faces" / "CelebA-HQ-img").iterdir())) == 3
