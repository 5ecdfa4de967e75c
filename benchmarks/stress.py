"""Tests that take too long for `make test`: more damaged files, more kills, huge photos.

    python benchmarks/stress.py

Ten times as many damaged files, each command killed at fifty random moments, photos of every
format at the memory limit. Writes benchmarks/results/stress.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from suite import run_tests

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "stress.json"
TESTS = (
    "test_fuzz.py", "cli/test_interruptions.py", "cli/test_large_photos.py",
    "system/test_distributed.py",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fuzz", type=int, default=10, help="factor for the damaged files")
    parser.add_argument("--kills", type=int, default=50, help="kills of each command")
    options = parser.parse_args()
    more = {"FUZZ": str(options.fuzz), "KILLS": str(options.kills), "LARGE": "1"}
    files = [str(HERE.parent / "tests" / name) for name in TESTS]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", *files]
    tests = run_tests(command, HERE.parent, {**os.environ, **more})
    passed = sum(test.result == "passed" for test in tests)
    summary = {
        "times as many damaged files": options.fuzz,
        "kills of each command": options.kills,
        "tests": len(tests),
        "passed": passed,
        "results": {test.name: {"result": test.result, "seconds": test.seconds} for test in tests},
    }
    RESULTS.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return int(passed < len(tests))


if __name__ == "__main__":
    sys.exit(main())
