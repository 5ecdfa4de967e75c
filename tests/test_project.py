"""The project's own files agree with each other."""

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

TOP = Path(__file__).parent.parent
CONDA_NAMES = {
    "torch": "pytorch",
    "matplotlib": "matplotlib-base",
    "playwright": "playwright-python",
}


def requirements_of_pyproject():
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    lines = sum(project["optional-dependencies"].values(), project["dependencies"])
    own = [line for line in lines if line.startswith("facesegkit[")]  # an extra within an extra
    return dict(re.fullmatch(r"([\w-]+)(.*)", line).groups() for line in lines if line not in own)


def requirements_of_conda():
    lines = re.findall(r"^  - ([\w-]+)(>=[\w.]+)?$", (TOP / "environment.yml").read_text(), re.M)
    return dict(lines)


def pins():
    text = (TOP / "requirements.txt").read_text()
    return re.findall(r"^([\w-]+)==([\w.]+)(?:; (.+))?$", text, re.M)


def test_conda_and_pyproject_ask_for_the_same():
    expected = {
        CONDA_NAMES.get(name, name): range_ for name, range_ in requirements_of_pyproject().items()
    }
    asked = requirements_of_conda()
    python = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["requires-python"]
    assert asked.pop("python") == python
    assert asked.pop("pip") == ""
    assert asked.pop("conda-forge", "") == ""
    assert asked == expected


def test_every_pin_lies_in_its_range_and_every_range_has_a_pin():
    def numbers(version):
        return tuple(int(part) for part in version.split("."))

    ranges = requirements_of_pyproject()
    assert {name for name, _, _ in pins()} == set(ranges)
    for name, version, _ in pins():
        assert numbers(version) >= numbers(ranges[name].removeprefix(">=")), name


def test_the_installed_torch_and_torchvision_are_the_pair_that_is_pinned():
    torch = pytest.importorskip("torch")
    pinned = {name: version for name, version, marker in pins() if not marker}
    # torchvision n+15 of the minor version goes with torch 2.n (pytorch.org's table of versions).
    torch_minor, vision_minor = (
        int(pinned[name].split(".")[1]) for name in ("torch", "torchvision")
    )
    assert vision_minor == torch_minor + 15
    assert torch.__version__.split("+")[0].split(".")[0] == "2"


def test_the_readmes_tables_say_what_the_results_say():
    command = [sys.executable, str(TOP / "benchmarks" / "readme_tables.py"), "--check"]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def test_the_command_is_the_one_that_pyproject_names():
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"facesegkit": "facesegkit:main"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", facesegkit.__version__)


def test_modules_import_only_what_stands_above_them():
    """The order of design: data goes one way, top to bottom."""
    order = [
        "errors", "files", "processes", "distributed", "parts", "photos", "crop", "outlines",
        "archive", "torchvision_import", "celebamask", "packing_worker", "packing", "drawn",
        "augment", "upscaling", "runtime", "faces", "models", "complexity", "checkpoint", "export",
        "shipped", "evaluation", "training", "scenes", "finder", "segmentation", "looking",
        "segment", "following", "clips", "pictures", "command_line",
        "training_commands", "segment_command", "commands", "lessons", "explorer", "exercises",
    ]  # fmt: skip
    found = {path.stem for path in (TOP / "facesegkit").glob("*.py")} - {"__init__"}
    assert found | {"drawn", "exercises"} == set(order)
    for path in (TOP / "facesegkit").rglob("*.py"):
        name = path.relative_to(TOP / "facesegkit").parts[0].removesuffix(".py")
        if name == "__init__":
            continue
        imported = set(re.findall(r"^(?:    )*from facesegkit\.(\w+)", path.read_text(), re.M)) - {
            name
        }
        assert all(order.index(other) < order.index(name) for other in imported), path


def test_nothing_of_one_machine_stands_in_the_sources():
    for folder in ("facesegkit", "benchmarks", "notebooks", "tests"):
        for path in (TOP / folder).rglob("*"):
            if path.suffix in {".py", ".ipynb", ".json", ".md", ".csv"}:
                found = re.search(r"/(root|home/\w+|Users/\w+)/", path.read_text(encoding="utf-8"))
                assert not found or path == Path(__file__), path
