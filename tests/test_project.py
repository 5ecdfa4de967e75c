"""The project files are consistent with each other."""

import importlib
import importlib.metadata
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


def dependencies_of_the_docs():
    """Rows of the table in docs/testing.md: package, extras, purpose, licence and versions."""
    text = (TOP / "docs" / "testing.md").read_text(encoding="utf-8")
    table = text.partition("| oldest tested |\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[1:]]


def test_the_docs_list_each_dependency_with_its_extras_and_versions():
    extras = {"always": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    rows = {row[0]: row for row in dependencies_of_the_docs()}
    assert set(rows) == set(requirements_of_pyproject())
    inference = importlib.import_module("environments").WITHOUT_TORCH
    for name, (_, places, purpose, _, allowed, tested) in rows.items():
        own = [extra for extra, lines in extras.items()
               if any(re.match(rf"{re.escape(name)}[>;]", line) for line in lines)]  # fmt: skip
        assert places == ", ".join(own) and purpose, name
        assert requirements_of_pyproject()[name].partition(",")[0] == f">={allowed}"
        pinned = [version for pin, version, _ in pins() if pin == name]
        lowest = min(pinned, key=lambda version: [int(part) for part in version.split(".")])
        assert tested == (allowed if name in inference else lowest), name


@pytest.mark.parametrize("row", dependencies_of_the_docs(), ids=lambda row: row[0])
def test_the_docs_state_the_licence_of_each_dependency(row):
    try:
        about = importlib.metadata.metadata(row[0].partition("[")[0])
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("it is not installed")
    fields = ("License-Expression", "License", "Classifier")
    stated = " ".join(text for field in fields for text in about.get_all(field) or [])
    assert re.match(r"\w+", row[3])[0] in stated, stated[:300]


def test_security_md_names_tests_that_exist():
    text = (TOP / "SECURITY.md").read_text(encoding="utf-8")
    files = [TOP / path for path in re.findall(r"\]\((tests/[\w/]+\.py)\)", text)]
    all_tests = "".join(path.read_text(encoding="utf-8") for path in (TOP / "tests").rglob("*.py"))
    names = re.findall(r"`(test_\w+)`", text)
    assert len(files) > 5 and len(names) > 5 and all(path.is_file() for path in files)
    assert not [name for name in names if f"def {name}(" not in all_tests]


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
