"""The project files are consistent with each other."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import facesegkit

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

TOP = Path(__file__).parents[1]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "build": "python-build",
               "playwright": "playwright-python", "ray[data]": "ray-data"}  # fmt: skip


def requirements_of_pyproject():
    lines = sum(PROJECT["optional-dependencies"].values(), PROJECT["dependencies"])
    own = [line for line in lines if line.startswith("facesegkit[")]  # an extra within an extra
    ranges = [line.partition(";")[0] for line in lines if line not in own]  # without markers
    pattern = r"([\w-]+(?:\[\w+\])?)(.*)"
    return dict(re.fullmatch(pattern, line).groups() for line in ranges)


def pins():
    text = (TOP / "requirements.txt").read_text()
    return re.findall(r"^([\w-]+(?:\[\w+\])?)==([\w.]+)(?:; (.+))?$", text, re.M)


def test_conda_and_pyproject_require_the_same():
    ranges, conda = requirements_of_pyproject(), (TOP / "environment.yml").read_text()
    found = dict(re.findall(r"^  - ([\w-]+)(>=[\w.]+(?:,<[\w.]+)?)?$", conda, re.M))
    expected = {CONDA_NAMES.get(name, name): range_ for name, range_ in ranges.items()}
    assert found.pop("python") == PROJECT["requires-python"]
    assert found.pop("pip") == found.pop("conda-forge", "") == ""
    assert found == expected


def test_pins_are_within_the_ranges():
    def numbers(version):
        return tuple(int(part) for part in version.split("."))

    ranges = requirements_of_pyproject()
    assert {name for name, _, _ in pins()} == set(ranges)
    for name, version, _ in pins():
        lowest, _, limit = ranges[name].removeprefix(">=").partition(",<")
        assert numbers(version) >= numbers(lowest), name
        assert not limit or numbers(version) < numbers(limit), name


def test_torch_and_torchvision_are_pinned_as_a_pair():
    torch = pytest.importorskip("torch")
    pinned = {name: version for name, version, marker in pins() if not marker}
    # torchvision 0.(n + 15) belongs to torch 2.n (pytorch.org's compatibility table).
    minor = {name: int(pinned[name].split(".")[1]) for name in ("torch", "torchvision")}
    assert minor["torchvision"] == minor["torch"] + 15
    assert torch.__version__.split("+")[0].split(".")[0] == "2"


def test_the_tables_in_the_docs_match_the_results():
    command = [sys.executable, str(TOP / "benchmarks" / "readme_tables.py"), "--check"]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def test_the_version_and_the_command_in_pyproject():
    assert PROJECT["scripts"] == {"facesegkit": "facesegkit.cli.start:main"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", facesegkit.__version__)


def test_make_help_lists_all_targets():
    makefile = (TOP / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)", makefile, re.M)[1].split()
    assert re.findall(r"^(\w+):.*## \w", makefile, re.M) == targets


def test_no_paths_of_a_users_machine():
    for folder in ("facesegkit", "benchmarks", "notebooks", "tests"):
        for path in (TOP / folder).rglob("*"):
            if path.suffix in {".py", ".ipynb", ".json", ".md", ".csv"}:
                found = re.search(r"/(root|home/\w+|Users/\w+)/", path.read_text(encoding="utf-8"))
                assert not found or path == Path(__file__), path
