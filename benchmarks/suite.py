"""Runs pytest in a process of its own, and counts the results of its tests."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree


class TestResult(NamedTuple):
    """One test: "passed", "failure", "error" or "skipped", and its seconds."""

    name: str
    result: str
    seconds: float


def run_tests(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> list[TestResult]:
    """Run pytest and return the result of each test.

    Args:
        command: pytest and its options, without --junitxml.
        cwd: the folder to run it in.
        env: the environment; each test process gets one core, as in `make test`.

    Raises:
        FileNotFoundError: if pytest has run no test.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)  # pytest may run as another user
        report = Path(folder, "report.xml")
        env = {**env, "OMP_NUM_THREADS": "1"}
        subprocess.run([*command, f"--junitxml={report}"], cwd=cwd, env=env, check=False)
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    failures = ("failure", "error", "skipped")
    return [
        TestResult(
            f"{case.get('classname')}::{case.get('name')}",
            next((child.tag for child in case if child.tag in failures), "passed"),
            round(float(case.get("time", "0")), 1),
        )
        for case in cases
    ]
