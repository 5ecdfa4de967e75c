"""Line coverage of facesegkit/, including the processes that tests start.

    pip install coverage==7.17.3
    python benchmarks/line_coverage.py

Without tests that measure time, and without notebooks. Writes
benchmarks/results/line_coverage.json, which lists the lines that no test runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from suite import run_tests

HERE = Path(__file__).parent
TOP = HERE.parent
RESULTS = HERE / "results" / "line_coverage.json"
SETTINGS = f"""
[run]
source = {TOP / "facesegkit"}
parallel = true
patch = subprocess, _exit
sigterm = true
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "settings")
        settings.write_text(SETTINGS, encoding="utf-8")
        coverage = [sys.executable, "-m", "coverage"]
        rcfile = f"--rcfile={settings}"
        run = [*coverage, "run", rcfile, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile"]
        env = {**os.environ, "COVERAGE_FILE": str(Path(folder, "data"))}
        tests = run_tests([*run, "-m", "not alone", "-p", "no:cacheprovider"], TOP, env)
        subprocess.run([*coverage, "combine", "-q", rcfile], cwd=TOP, env=env, check=True)
        report = Path(folder, "report.json")
        command = [*coverage, "json", "-q", rcfile, "-o", str(report)]
        subprocess.run(command, cwd=TOP, env=env, check=True)
        found = json.loads(report.read_text(encoding="utf-8"))
    results = {
        "fraction of lines": round(found["totals"]["percent_covered"] / 100, 4),
        "lines": found["totals"]["num_statements"],
        "missing": {
            name: file["missing_lines"]
            for name, file in sorted(found["files"].items())
            if file["missing_lines"]
        },
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))
    return int(any(test.result in ("failure", "error") for test in tests))


if __name__ == "__main__":
    sys.exit(main())
