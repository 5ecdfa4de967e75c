"""Shared by the benchmarks: their result files, and running pytest."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

TOP = Path(__file__).parents[1]
ASTRONAUT = TOP / "figures" / "astronaut.jpg"


def load_results(name: str) -> dict[str, Any]:
    """The last results of a benchmark; empty if there are none."""
    path = TOP / "benchmarks" / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def save_results(name: str, results: Mapping[str, Any]) -> None:
    """Print the results of a benchmark, and write them to benchmarks/results/."""
    text = json.dumps(results, indent=2)
    print(text)
    path = TOP / "benchmarks" / "results" / f"{name}.json"
    path.write_text(text + "\n", encoding="utf-8")


def report(name: str, results: Mapping[str, Any], keep: bool) -> None:
    """Write the results of a benchmark if they are to be kept, and else only print them."""
    if keep:
        save_results(name, results)
    else:
        print(json.dumps(results, indent=2))


def open_session(path: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """What an ONNX file computes, on one thread: also files that facesegkit refuses to open."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


class TestResult(NamedTuple):
    """One test: "passed", "failure", "error" or "skipped", and its seconds."""

    name: str
    result: str
    seconds: float


def run_tests(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> list[TestResult]:
    """Run pytest (with options, without --junitxml) in a folder, each process on one core."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)  # pytest may run as another user
        report = Path(folder, "report.xml")
        env = {**env, "OMP_NUM_THREADS": "1"}
        subprocess.run([*command, f"--junitxml={report}"], cwd=cwd, env=env, check=False)
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    tests = []
    for case in cases:
        name = f"{case.get('classname')}::{case.get('name')}"
        failed = (child.tag for child in case if child.tag in ("failure", "error", "skipped"))
        seconds = round(float(case.get("time", "0")), 1)
        tests.append(TestResult(name, next(failed, "passed"), seconds))
    return tests
