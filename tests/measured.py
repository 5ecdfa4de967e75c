"""Running commands in a process of their own: their time, their memory, and their files."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MAX_WALL_SECONDS = 60  # also on a busy machine

REPORT = """
import json, resource, sys, time
from pathlib import Path
from facesegkit.cli.main import main

def peak():
    status = Path("/proc/self/status").read_text()
    lines = dict(line.split(":", 1) for line in status.splitlines())
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(int(lines["VmHWM"].split()[0]), of_children) * 1024

def cpu_seconds():
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + of_children.ru_utime + of_children.ru_stime

report = {}
for file in sys.argv[2:]:
    started, worked = time.perf_counter(), cpu_seconds()
    status = main([*sys.argv[1].split(), file])
    report[file] = [status, time.perf_counter() - started, cpu_seconds() - worked, peak()]
print(json.dumps(report))
"""


def hashes(folder: Path) -> dict[str, str]:
    """Hash of every file, including hidden ones."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def measured(command: str, files: list[Path], folder: Path) -> tuple[dict[str, Any], str]:
    """Exit status, seconds, and peak bytes of a command on each file, and standard error.

    Seconds are wall time, or CPU time if that is less because other programs are running.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not report the peak memory of a process")
    finished = subprocess.run(
        [sys.executable, "-c", REPORT, command, *map(str, files)],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    report = {}
    for file, (status, wall, cpu, memory) in json.loads(finished.stdout.splitlines()[-1]).items():
        assert wall < MAX_WALL_SECONDS, file
        report[file] = (status, min(wall, cpu), memory)
    return report, finished.stderr
