"""How many small faults the tests find: mutation testing of the modules that all else stands on.

    pip install mutmut==3.8.1
    python benchmarks/mutants.py

mutmut changes one thing at a time in a copy of the source (a + to -, a < to <=, a number, a text,
an argument left out), and runs the tests that come by there: they should fail. What decorators
other than staticmethod and classmethod wrap, properties above all, it leaves as it is.

Results go to benchmarks/results/mutants.json, with the changes that no test noticed. --folder keeps
the copy, in which `mutmut show NAME` tells a change, and goes on from what was done there.
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
MODULES = ("parts", "celebamask", "packing", "evaluation", "checkpoint")
# Which tests come by where is noted in the process that runs them; others would stop over it.
SITECUSTOMIZE = """
import os
if os.environ.get("MUTANT_UNDER_TEST") == "stats":
    del os.environ["MUTANT_UNDER_TEST"]
"""
TESTS = (*MODULES, "archive", "augment", "export", "looking", "segmentation")


def copy_of_the_project(folder: Path) -> None:
    """Copy what git knows, and say in pyproject.toml what mutmut is to do."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, capture_output=True, check=True)
    for name in listed.stdout.decode().rstrip("\0").split("\0"):
        if (TOP / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, folder / name)
    settings = {
        "source_paths": ["facesegkit"],
        "only_mutate": [f"facesegkit/{module}.py" for module in MODULES],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-m", "not alone"],
        "pytest_add_cli_args_test_selection": [f"tests/test_{name}.py" for name in TESTS],
        # PyTorch's threads do not survive a fork, so the process that forks runs no test.
        "process_isolation": "forkserver",
    }
    (folder / "mutants").mkdir()  # mutmut fills it, but Python forgets paths that were not there
    (folder / "startup").mkdir()
    (folder / "startup" / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n[tool.mutmut]\n")
        # Lists of texts are the same in JSON and in TOML.
        file.writelines(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())


def mutmut(*arguments: str, folder: Path) -> str:
    """What mutmut prints; its progress goes to the screen."""
    # What the tests start in other processes imports the copy, too.
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
    """The module that a mutant is of: `facesegkit.parts.x_paint_parts__mutmut_3` is of parts."""
    return name.split(".")[1]


def summary(folder: Path) -> dict[str, Any]:
    """Mutants by module and by what became of them, and what those were that no test noticed."""
    lines = mutmut("results", "--all", "true", folder=folder).splitlines()
    ends = dict(line.strip().split(": ") for line in lines)
    unnoticed = sorted(name for name, end in ends.items() if end in ("survived", "no tests"))
    counts = {
        module: Counter(end for name, end in ends.items() if of_module(name) == module)
        for module in MODULES
    }
    all_modules = sum(counts.values(), Counter[str]())
    return {
        "noticed": round(1 - len(unnoticed) / all_modules.total(), 3),
        "mutants": dict(all_modules),
        "by module": {
            module: {"noticed": round(_noticed(count), 3), **count}
            for module, count in counts.items()
        },
        "unnoticed": {name: _change(mutmut("show", name, folder=folder)) for name in unnoticed},
    }


def _noticed(count: Counter[str]) -> float:
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
    print(json.dumps({key: results[key] for key in ("noticed", "by module")}, indent=2))


if __name__ == "__main__":
    main()
