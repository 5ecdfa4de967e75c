"""Runs commands in a process of their own, and says what they took."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_MOST_BY_THE_CLOCK = 60  # seconds, also on a busy machine

REPORT = """
import json, resource, sys, time
from pathlib import Path
from facesegkit import main

def peak():
    status = Path("/proc/self/status").read_text()
    lines = dict(line.split(":", 1) for line in status.splitlines())
    of_processes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(int(lines["VmHWM"].split()[0]), of_processes) * 1024

def processor_seconds():
    of_processes = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + of_processes.ru_utime + of_processes.ru_stime

report = {}
for file in sys.argv[2:]:
    started, worked = time.perf_counter(), processor_seconds()
    status = main([*sys.argv[1].split(), file])
    took = time.perf_counter() - started, processor_seconds() - worked
    report[file] = [status, *took, peak()]
print(json.dumps(report))
"""


def measured(command: str, files: list[Path], folder: Path) -> tuple[dict[str, Any], str]:
    """Run a command on each of the files in one process.

    Returns:
        Exit status, seconds and highest memory by file, and standard error. Seconds are those
        that the work takes by the clock, or the processor's where other programs run beside it.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not say how much memory a process has had")
    finished = subprocess.run(
        [sys.executable, "-c", REPORT, command, *map(str, files)],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    report = {}
    for file, found in json.loads(finished.stdout.splitlines()[-1]).items():
        status, by_the_clock, of_the_processor, memory = found
        assert by_the_clock < _MOST_BY_THE_CLOCK, file
        report[file] = (status, min(by_the_clock, of_the_processor), memory)
    return report, finished.stderr
