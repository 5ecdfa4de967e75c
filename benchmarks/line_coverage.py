"""Line coverage of facesegkit/, including the processes that tests start.

    pip install coverage==7.17.3
    python benchmarks/line_coverage.py

Without tests that measure time, and without notebooks. Writes
benchmarks/results/line_coverage.json, which lists the lines that no test runs.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import TOP, run_tests, save_results

CONFIG = f"""
[run]
source = {TOP / "facesegkit"}
parallel = true
patch = subprocess, _exit
sigterm = true
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        config, report = Path(folder, "config"), Path(folder, "report.json")
        config.write_text(CONFIG, encoding="utf-8")
        coverage, rcfile = [sys.executable, "-m", "coverage"], f"--rcfile={config}"
        env = {**os.environ, "COVERAGE_FILE": str(Path(folder, "data"))}
        run = [*coverage, "run", rcfile, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile"]
        tests = run_tests([*run, "-m", "not alone", "-p", "no:cacheprovider"], TOP, env)
        for command in (["combine", "-q"], ["json", "-q", "-o", str(report)]):
            subprocess.run([*coverage, *command, rcfile], cwd=TOP, env=env, check=True)
        measured = json.loads(report.read_text(encoding="utf-8"))
    missing = {name: file["missing_lines"] for name, file in sorted(measured["files"].items())}
    results = {
        "fraction of lines": round(measured["totals"]["percent_covered"] / 100, 4),
        "lines": measured["totals"]["num_statements"],
        "missing": {name: lines for name, lines in missing.items() if lines},
    }
    save_results("line_coverage", results)
    return int(any(test.result in ("failure", "error") for test in tests))


if __name__ == "__main__":
    sys.exit(main())
