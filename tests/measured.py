"""Runs commands in a process of their own, and says what they took."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

REPORT = """
import json, resource, sys, time
from pathlib import Path
from facesegkit.commands import main

def peak():
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    of_processes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(int(lines["VmHWM"].split()[0]), of_processes) * 1024

report = {}
for file in sys.argv[2:]:
    started = time.perf_counter()
    status = main([*sys.argv[1].split(), file])
    report[file] = [status, time.perf_counter() - started, peak()]
print(json.dumps(report))
"""


def measured(command: str, files: list[Path], folder: Path) -> tuple[dict[str, Any], str]:
    """Run a command on each of the files in one process.

    Returns:
        Exit status, seconds and highest memory by file, and standard error.
    """
    finished = subprocess.run(
        [sys.executable, "-c", REPORT, command, *map(str, files)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1]), finished.stderr
