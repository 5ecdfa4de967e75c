"""Mutation testing of the modules that everything else depends on.

    pip install mutmut==3.8.1
    python benchmarks/mutants.py

mutmut makes one small change at a time in a copy of the source (+ to -, < to <=, another number or
string, a dropped argument) and runs the tests that reach it, which should fail. It skips functions
with decorators other than staticmethod and classmethod, such as properties.

Writes benchmarks/results/mutants.json with the mutants that survived. --folder keeps the copy, in
which `mutmut show NAME` prints a mutant; a run that was stopped is continued there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TOP = HERE.parent
RESULTS = HERE / "results" / "mutants.json"
MODULES = ("labels", "data.celebamask_hq", "data.cache", "metrics", "checkpoint")
# Coverage is recorded in the process that runs the tests; child processes would fail on it.
SITECUSTOMIZE = """
import os
if os.environ.get("MUTANT_UNDER_TEST") == "stats":
    del os.environ["MUTANT_UNDER_TEST"]
"""
TESTS = (
    "test_labels", "data/test_celebamask_hq", "data/test_cache", "test_metrics", "test_checkpoint",
    "test_dataset", "test_transforms", "test_export", "inference/test_pipeline",
    "inference/test_results",
)  # fmt: skip


def copy_of_the_project(folder: Path) -> None:
    """Copy the tracked files, and configure mutmut in pyproject.toml."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, capture_output=True, check=True)
    for name in listed.stdout.decode().rstrip("\0").split("\0"):
        if (TOP / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, folder / name)
    settings = {
        "source_paths": ["facesegkit"],
        "only_mutate": [f"facesegkit/{name.replace('.', '/')}.py" for name in MODULES],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-m", "not alone"],
        "pytest_add_cli_args_test_selection": [f"tests/{name}.py" for name in TESTS],
        # PyTorch's threads do not survive a fork, so the forking process must not run tests.
        "process_isolation": "forkserver",
    }
    (
        folder / "mutants"
    ).mkdir()  # filled by mutmut; Python ignores import paths that do not exist at its start
    (folder / "startup").mkdir()
    (folder / "startup" / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n[tool.mutmut]\n")
        # Lists of strings look the same in JSON and TOML.
        file.writelines(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())


def mutmut(*arguments: str, folder: Path) -> str:
    """Run mutmut; returns what it prints, except for `run`, which shows its progress."""
    # Processes started by tests must import the copy, too.
    paths = [str(folder / "startup"), str(folder / "mutants"), os.environ.get("PYTHONPATH", "")]
    finished = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdout=None if arguments[0] == "run" else subprocess.PIPE,
        text=True,
        check=True,
    )
    return finished.stdout or ""


def of_module(name: str) -> str:
    """Module of a mutant such as `facesegkit.data.cache.x_build_cache__mutmut_3`: data.cache."""
    return ".".join(name.split(".")[1:-1])


def summary(folder: Path) -> dict[str, Any]:
    """Numbers of mutants by module and outcome, and the changes that survived."""
    lines = mutmut("results", "--all", "true", folder=folder).splitlines()
    ends = dict(line.strip().split(": ") for line in lines)
    survivors = sorted(name for name, end in ends.items() if end in ("survived", "no tests"))
    counts = {
        module: Counter(end for name, end in ends.items() if of_module(name) == module)
        for module in MODULES
    }
    all_modules = sum(counts.values(), Counter[str]())
    return {
        "killed": round(1 - len(survivors) / all_modules.total(), 3),
        "mutants": dict(all_modules),
        "by module": {
            module: {"killed": round(_killed(count), 3), **count}
            for module, count in counts.items()
        },
        "not killed": {name: _change(mutmut("show", name, folder=folder)) for name in survivors},
    }


def _killed(count: Counter[str]) -> float:
    return 1 - (count["survived"] + count["no tests"]) / count.total()


def _change(shown: str) -> list[str]:
    """The lines that differ, of what `mutmut show` prints."""
    return [
        line
        for line in shown.splitlines()
        if line[:1] in ("-", "+") and not line.startswith(("---", "+++"))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="for the copy (default: a temporary one)")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not (folder / "pyproject.toml").exists():
            copy_of_the_project(folder)
        mutmut("run", "--max-children", str(os.cpu_count() or 1), folder=folder)
        results = summary(folder)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({key: results[key] for key in ("killed", "by module")}, indent=2))


if __name__ == "__main__":
    main()
