"""The notebooks as they are committed: executed, in order, clean and small.

That every cell still runs, and that tagged outputs are still true, is nbval's part of `make test`.
"""

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def path(request):
    return request.param


@pytest.fixture
def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def code(cells):
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_cells_were_run_once_and_in_order(cells):
    counts = [cell["execution_count"] for cell in code(cells)]
    assert counts == list(range(1, len(counts) + 1)) and len(counts) <= 30


def test_no_output_is_an_error_or_a_warning(cells):
    for cell in code(cells):
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", output


def test_enough_outputs_are_checked(cells):
    checked = [
        cell for cell in code(cells) if "nbval-check-output" in cell["metadata"].get("tags", [])
    ]
    assert len(checked) >= 3
    assert all(cell["outputs"] for cell in checked)


def test_it_is_small_and_runs_on_any_python(path):
    assert path.stat().st_size < 400_000
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert "widgets" not in notebook["metadata"]
