"""Tests that take too long for `make test`: more damaged files, more kills, huge photos.

    python benchmarks/stress.py

Ten times as many damaged files, each command killed at fifty random moments, photos of every
format at the memory limit. Writes benchmarks/results/stress.json.
"""

import argparse
import os
import sys

from common import TOP, run_tests, save_results

TESTS = "test_fuzz cli/test_interruptions cli/test_large_photos system/test_distributed".split()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fuzz", type=int, default=10, help="factor for the damaged files")
    parser.add_argument("--kills", type=int, default=50, help="kills of each command")
    options = parser.parse_args()
    more = {"FUZZ": str(options.fuzz), "KILLS": str(options.kills), "LARGE": "1"}
    files = [str(TOP / "tests" / f"{name}.py") for name in TESTS]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", *files]
    tests = run_tests(command, TOP, {**os.environ, **more})
    passed = sum(test.result == "passed" for test in tests)
    summary = {
        "times as many damaged files": options.fuzz,
        "kills of each command": options.kills,
        "tests": len(tests),
        "passed": passed,
        "results": {test.name: {"result": test.result, "seconds": test.seconds} for test in tests},
    }
    save_results("stress", summary)
    return int(passed < len(tests))


if __name__ == "__main__":
    sys.exit(main())
