"""Notebooks have launch badges exactly where pyproject.toml has the repository's address."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from exercise_cells import read

TOP = Path(__file__).parents[2]
SCRIPT = TOP / "notebooks" / "launch_badges.py"
ADDRESS = "https://github.com/someone/some-faces"
LESSON, SOLUTION = "notebooks/03-two-architectures.ipynb", "notebooks/solutions/05-evaluate.ipynb"


@pytest.fixture
def project(tmp_path):
    """A copy of the script, its settings, a lesson and a solution, without an address."""
    for name in ("pyproject.toml", "notebooks/launch_badges.py", LESSON, SOLUTION):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOP / name, tmp_path / name)
    return tmp_path


def run(project, *options):
    script = project / SCRIPT.relative_to(TOP)
    command = [sys.executable, str(script), *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=project)


def set_address(project):
    with (project / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[project.urls]\nHomepage = "x"\nRepository = "{ADDRESS}"\n')


def test_the_notebooks_are_up_to_date():
    finished = run(TOP, "--check")
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_with_an_address_every_notebook_gets_badges_and_colabs_installation(project):
    set_address(project)
    assert run(project, "--check").returncode == 1
    assert run(project).returncode == 0
    assert run(project, "--check").returncode == 0
    for name, figures in ((LESSON, "../figures"), (SOLUTION, "../../figures")):
        cells = read(project / name)["cells"]
        title = "".join(cells[0]["source"])
        assert f"({figures}/open-in-colab.svg)](https://colab.research" in title
        assert f"github/someone/some-faces/blob/main/{name})" in title
        assert f"gh/someone/some-faces/main?urlpath=lab/tree/{name})" in title
        setup = "".join(next(c for c in cells if c["cell_type"] == "code")["source"])
        assert f'SOURCE = "git+{ADDRESS}"' in setup and "%pip install" in setup
        assert max(map(len, setup.splitlines())) <= 80


def test_without_the_address_they_are_removed_again(project):
    before = [(project / name).read_bytes() for name in (LESSON, SOLUTION)]
    settings = (project / "pyproject.toml").read_text(encoding="utf-8")
    set_address(project)
    run(project)
    assert json.loads((project / LESSON).read_bytes()) != json.loads(before[0])
    (project / "pyproject.toml").write_text(settings, encoding="utf-8")
    run(project)
    assert [(project / name).read_bytes() for name in (LESSON, SOLUTION)] == before
