"""Mutation testing of the modules that everything else depends on.

    pip install mutmut==3.8.1
    python benchmarks/mutants.py

mutmut makes one small change at a time in a copy of the source (+ to -, < to <=, another number or
string, a dropped argument) and runs the tests that reach it, which should fail. It skips functions
with decorators other than staticmethod and classmethod, such as properties.

Writes benchmarks/results/mutants.json with the mutants that survived. --folder keeps the copy, in
which `mutmut show NAME` prints a mutant; a run that was stopped is continued there.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from common import TOP, save_results

MODULES = ("labels", "dataset", "data.celebamask_hq", "data.cache", "metrics", "checkpoint")
SURVIVED = ("survived", "no tests")
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
    for name in ("mutants", "startup"):  # Python ignores import paths that do not exist at first
        (folder / name).mkdir()
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


def summary(folder: Path) -> dict[str, Any]:
    """Numbers of mutants by module and outcome, and the changes that survived."""
    lines = mutmut("results", "--all", "true", folder=folder).splitlines()
    outcomes = dict(line.strip().split(": ") for line in lines)
    counts: dict[str, Counter[str]] = {module: Counter() for module in MODULES}
    for name, outcome in outcomes.items():  # such as facesegkit.data.cache.x_build_cache__mutmut_3
        counts[".".join(name.split(".")[1:-1])][outcome] += 1
    survivors = sorted(n for n, outcome in outcomes.items() if outcome in SURVIVED)
    return {
        "caught": round(1 - len(survivors) / len(outcomes), 3),
        "mutants": dict(Counter(outcomes.values())),
        "by module": {
            module: {"caught": round(1 - sum(n[key] for key in SURVIVED) / n.total(), 3), **n}
            for module, n in counts.items()
        },
        "survivors": {name: change(name, folder) for name in survivors},
    }


def change(mutant: str, folder: Path) -> list[str]:
    """The lines that a mutant changes."""
    lines = mutmut("show", mutant, folder=folder).splitlines()
    return [line for line in lines if re.match(r"[-+](?![-+]{2})", line)]


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
    save_results("mutants", results)


if __name__ == "__main__":
    main()
