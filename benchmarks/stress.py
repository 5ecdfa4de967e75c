"""What would take too long in `make test`, and the last result of it.

    python benchmarks/stress.py

Damaged files ten times as many, every command stopped at fifty random moments, photos of every
format at the limit of memory. Results go to benchmarks/results/stress.json.
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
TESTS = ("test_fuzz.py", "test_interruptions.py", "test_large_photos.py", "test_distributed.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fuzz", type=int, default=10, help="times as many damaged files")
    parser.add_argument("--kills", type=int, default=50, help="of each command")
    options = parser.parse_args()
    more = {"FUZZ": str(options.fuzz), "KILLS": str(options.kills), "LARGE": "1"}
    tests = [str(HERE.parent / "tests" / name) for name in TESTS]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", *tests]
    ended = run_tests(command, HERE.parent, {**os.environ, **more})
    passed = sum(test.result == "passed" for test in ended)
    summary = {
        "times as many damaged files": options.fuzz,
        "kills of each command": options.kills,
        "tests": len(ended),
        "passed": passed,
        "results": {test.name: {"result": test.result, "seconds": test.seconds} for test in ended},
    }
    RESULTS.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return int(passed < len(ended))


if __name__ == "__main__":
    sys.exit(main())
