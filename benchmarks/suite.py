"""Runs tests in a process of their own, and counts how they ended."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree


class Ended(NamedTuple):
    """One test: whether it passed, failed, was in error or skipped, and its seconds."""

    name: str
    result: str
    seconds: float


def run_tests(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> list[Ended]:
    """Run pytest, and tell how each test ended.

    Args:
        command: pytest and its options, but for --junitxml.
        cwd: the folder to run it in.
        env: the whole environment, but for the one core that each test may use, as in `make test`.

    Raises:
        FileNotFoundError: pytest has not come as far as running tests.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)  # pytest may be another user's
        report = Path(folder, "report.xml")
        subprocess.run(
            [*command, f"--junitxml={report}"],
            cwd=cwd,
            env={**env, "OMP_NUM_THREADS": "1"},
            check=False,
        )
        return [
            Ended(
                f"{case.get('classname')}::{case.get('name')}",
                next((child.tag for child in case if child.tag in _ENDS), "passed"),
                round(float(case.get("time", "0")), 1),
            )
            for case in ElementTree.parse(report).getroot().iter("testcase")
        ]


_ENDS = ("failure", "error", "skipped")
