"""What would take too long in `make test`, and the last result of it.

    make torture

Damaged files ten times as many, every command stopped at fifty random moments, photos of every
format at the limit of memory. Results go to benchmarks/results/torture.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "torture.json"
TESTS = ("test_fuzz.py", "test_interruptions.py", "test_large_photos.py", "test_distributed.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fuzz", type=int, default=10, help="times as many damaged files")
    parser.add_argument("--kills", type=int, default=50, help="of each command")
    options = parser.parse_args()
    more = {"FUZZ": str(options.fuzz), "KILLS": str(options.kills), "LARGE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        tests = [str(HERE.parent / "tests" / name) for name in TESTS]
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", f"--junitxml={report}", *tests]
        status = subprocess.run(command, cwd=HERE.parent, env={**os.environ, **more}).returncode
        cases = ElementTree.parse(report).getroot().iter("testcase")
        results = {
            case.get("name", ""): {
                "result": next((child.tag for child in case), "passed"),
                "seconds": round(float(case.get("time", "0")), 1),
            }
            for case in cases
        }
    passed = sum(result["result"] == "passed" for result in results.values())
    summary = {
        "times as many damaged files": options.fuzz,
        "kills of each command": options.kills,
        "tests": len(results),
        "passed": passed,
        "results": results,
    }
    RESULTS.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
