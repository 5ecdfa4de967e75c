"""The committed notebooks are executed in order, clean and small, and need no shell or network.

`make test` also runs nbval, which checks that every cell still runs and that tagged outputs are
unchanged. test_exercises.py tests `notebooks/exercises/`.
"""

import ast
import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from exercise_cells import SOLUTIONS, read, tags

TOP = Path(__file__).parents[2]
LESSONS = sorted((TOP / "notebooks").glob("*.ipynb"))
MERGING = TOP / "notebooks" / "02-merge-the-masks.ipynb"  # its first checked cell runs at once

MAGICS = {"matplotlib", "config"}
PROCESS_MODULES = {"subprocess", "pty", "multiprocessing", "pexpect", "sh"}
NETWORK_MODULES = {
    "urllib", "urllib3", "requests", "http", "httpx", "aiohttp", "socket", "ssl", "ftplib",
    "smtplib", "paramiko", "gdown", "wget", "kagglehub", "huggingface_hub", "websockets",
}  # fmt: skip
FORBIDDEN_CALLS = re.compile(
    r"\bos\.(system|popen|spawn\w+|exec\w+|posix_spawnp?)$|^(__import__|importlib.import_module)$|"
    r"(load_state_dict_from_url|download_url\w*|urlopen|urlretrieve)$"
)
# /a/b at the start of a word, C:\a, or ~/a. Not 80/10/10, F1/IoU, ../data or https://a.b/c.
MACHINE_PATH = re.compile(r"(?<![\w.\-/:<~])/[\w.-]+/[\w.-]|\b[A-Za-z]:\\\w|(?<!\w)~/\w")


def by_name(path):
    return str(path.relative_to(TOP / "notebooks"))


@pytest.fixture(params=LESSONS + SOLUTIONS, ids=by_name)
def path(request):
    return request.param


@pytest.fixture
def cells(path):
    return read(path)["cells"]


def code(cells):
    return [cell for cell in cells if cell["cell_type"] == "code"]


def is_checked(cell):
    return "nbval-check-output" in tags(cell)


def test_cells_were_run_once_in_order_without_errors_or_warnings(cells):
    counts = [cell["execution_count"] for cell in code(cells)]
    assert counts == list(range(1, len(counts) + 1))
    for output in (output for cell in code(cells) for output in cell["outputs"]):
        assert output["output_type"] != "error" and output.get("name") != "stderr", output


def test_it_is_small_and_runs_on_any_python(path):
    notebook = read(path)
    cells, metadata = notebook["cells"], notebook["metadata"]
    assert path.stat().st_size < 600_000 and len(code(cells)) <= 30
    assert metadata["kernelspec"]["name"] == "python3"
    assert metadata["language_info"]["name"] == "python"
    assert "widgets" not in metadata
    assert not [cell["id"] for cell in cells if "execution" in cell["metadata"]], "times of running"
    assert len({cell["id"] for cell in cells}) == len(cells)


def test_code_is_short_and_narrow_enough_for_any_page(cells):
    """ruff.toml limits columns of Python only, not of magics. Imports are folded in the book."""
    for cell in code(cells):
        lines = "".join(cell["source"]).splitlines()
        assert max(map(len, lines)) <= 80, cell["id"]
        assert len(lines) <= 30 or "hide-input" in tags(cell), cell["id"]


def test_the_book_hides_setup_and_imports(cells):
    """MyST-NB and Jupyter Book fold cells with this tag."""
    for cell in code(cells)[:2]:
        start = "".join(cell["source"]).split()[0]
        if start in ("%matplotlib", "import", "from") and not cell["outputs"]:
            assert "hide-input" in tags(cell), cell["id"]


def test_admonitions_are_quotations_which_every_viewer_shows(cells):
    """GitHub's viewer, Colab and JupyterLab show MyST's ::: fences as plain text."""
    assert not [cell["id"] for cell in cells if ":::" in "".join(cell["source"])]


@pytest.mark.parametrize("lesson", LESSONS, ids=by_name)
def test_enough_outputs_of_a_lesson_are_checked(lesson):
    checked = [cell for cell in code(read(lesson)["cells"]) if is_checked(cell)]
    assert len(checked) >= 3
    assert all(cell["outputs"] for cell in checked)


def output_texts(cell):
    """All text in an output: printed text, reprs, HTML, but no images."""
    for output in cell["outputs"]:
        yield "".join(output.get("text", ""))
        for kind, content in output.get("data", {}).items():
            if not kind.startswith("image/"):
                yield json.dumps(content) if isinstance(content, dict) else "".join(content)


def test_no_output_names_a_path_or_an_address_on_a_machine_or_shows_the_real_data_set(cells):
    """`lesson_data` says on which it runs; photos of CelebAMask-HQ must not be published."""
    for cell in code(cells):
        for text in output_texts(cell):
            found = MACHINE_PATH.search(text)
            assert not found, (cell["id"], found[0], text)
            assert not re.search(r"\bat 0x[0-9a-f]{6,}", text), (cell["id"], text)
            assert "do not publish" not in text, cell["id"]


def test_what_counts_as_a_path_on_a_machine():
    for text in ("saved to /tmp/a/b.png", "'/opt/me/data'", "C:\\Users\\me", "~/data/faces"):
        assert MACHINE_PATH.search(text), text
    for text in (
        "train/val/test 80/10/10",
        "F1/IoU of ../data/synthetic and data/synthetic/x.jpg",
        "https://creativecommons.org/licenses/by/4.0/",
        "<td>1</td></tr>",
    ):
        assert not MACHINE_PATH.search(text), text


def forbidden(source, first=False):
    """What a code cell must not do: shell commands, unknown magics, network access.

    The first code cell may install the package in Colab.
    """
    from IPython.core.inputtransformer2 import TransformerManager

    tree = ast.parse(TransformerManager().transform_cell(source))
    in_colab = colab_nodes(tree) if first else set()
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [n.name for n in node.names if is_outward(n.name)]
        elif isinstance(node, ast.ImportFrom) and is_outward(node.module or ""):
            found.append(node.module)
        elif isinstance(node, ast.Call):
            found += forbidden_call(node, node in in_colab)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.hub":
            found.append("torch.hub")
        elif isinstance(node, ast.Constant) and re.match(r"(https?|ftp)://", str(node.value)):
            found.append(node.value)
    return found


def is_outward(module):
    return module.partition(".")[0] in PROCESS_MODULES | NETWORK_MODULES


def colab_nodes(tree):
    """All nodes that only run in Colab: inside `if ...colab...:`, but not inside its `else`."""
    branches = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "colab" in ast.dump(n.test)]
    return {node for branch in branches for part in branch.body for node in ast.walk(part)}


def forbidden_call(call, in_colab):
    """The magic, the shell command or the download, if a call is one."""
    name = ast.unparse(call.func)
    if name.startswith("get_ipython()."):
        method, magic = name.removeprefix("get_ipython()."), ast.literal_eval(call.args[0])
        if method == "run_line_magic" and (magic in MAGICS or magic == "pip" and in_colab):
            return []
        return [f"{method} {magic}"]
    if FORBIDDEN_CALLS.search(name):
        return [name]
    return [
        f"{name}({keyword.arg}=...)"
        for keyword in call.keywords
        if keyword.arg in ("download", "pretrained", "weights")
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value not in (None, False)
    ]


def test_it_needs_no_shell_no_network_and_no_unknown_magic(cells):
    for number, cell in enumerate(code(cells)):
        assert not forbidden("".join(cell["source"]), first=number == 0), cell["id"]


INSTALL = 'if "google.colab" in sys.modules:\n    %pip install -q facesegkit\n'
FORBIDDEN = [
    "!ls", "files = !ls", "if True:\n    !pip install torch", "%%bash\nls", "%run other.ipynb",
    "%timeit 1 + 1", "%pip install torch", "get_ipython().system('ls')", "import requests",
    "import os\nos.system('ls')", "import subprocess", "from subprocess import run",
    "import urllib.request", "from http.client import HTTPSConnection", "__import__('socket')",
    "plt.imread('https://example.org/face.jpg')", "torch.hub.load('pytorch/vision', 'resnet18')",
    "torchvision.datasets.CelebA('data', download=True)", "resnet18(weights='DEFAULT')",
    INSTALL,  # not in the first cell
]  # fmt: skip
ALLOWED = [
    "%matplotlib inline\n%config InlineBackend.figure_formats = ['jpeg']",
    INSTALL,
    "percent = 7 % 3\nprint('!ls', percent != 1)",
    "np.bincount(x, weights=w, minlength=6)",
    "print('see https://pytorch.org')",
]


def test_what_a_lesson_must_not_and_may_do():
    for source in FORBIDDEN:
        assert forbidden(source), source
    for source in ALLOWED:
        assert forbidden(source, first=True) == [], source
    for not_colab in (INSTALL + "else:", "if sys.platform:"):
        assert forbidden(f"{not_colab}\n    %pip install facesegkit", first=True), not_colab


def with_another_number(notebook):
    """The same notebook with another digit in the saved output of its last cell."""
    changed = copy.deepcopy(notebook)
    output = changed["cells"][-1]["outputs"][0]
    content, key = (output, "text") if "text" in output else (output["data"], "text/plain")
    text = "".join(content[key])
    content[key] = re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), text, count=1)
    return changed


def test_a_changed_output_of_a_tagged_cell_fails(tmp_path):
    """A real lesson passes as committed and fails when changed, run as in `make test`."""
    notebook = read(MERGING)
    end = next(number for number, cell in enumerate(notebook["cells"]) if is_checked(cell))
    lesson = {**notebook, "cells": notebook["cells"][: end + 1]}
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / "data").symlink_to(TOP / "data", target_is_directory=True)
    for name, notebook in {"same": lesson, "changed": with_another_number(lesson)}.items():
        (folder / f"{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    # pytest-randomly would change the order of the cells.
    options = "-p no:randomly -p no:cacheprovider --nbval-lax --nbval-current-env -rA"
    options += " --nbval-cell-timeout=300"
    command = [sys.executable, "-m", "pytest", *options.split(), str(folder)]
    env = {**os.environ, "PYTEST_ADDOPTS": ""}
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    report = finished.stdout
    assert finished.returncode == 1, report + finished.stderr
    assert re.search(r"PASSED .*same\.ipynb", report), report
    assert not re.search(r"FAILED .*same\.ipynb", report), report
    last_cell = len(code(lesson["cells"])) - 1
    assert re.findall(r"FAILED \S*changed\.ipynb::Cell (\d+)", report) == [str(last_cell)], report
    assert "mismatch" in report
