"""Nothing that facesegkit does opens a connection, also in its child processes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from facesegkit.inference.model_zoo import weights_path
from facesegkit.synthetic import synthesize_dataset

pytest.importorskip("torch")

# Python imports a module of this name in each process. Connections are refused and written down,
# since a library might try again without a word. Local sockets have no address.
SITE = """
import os, socket, sys

def refuse(event, arguments):
    if not event.startswith(("socket.", "urllib.", "http.")):
        return
    if event == "socket.__new__" and arguments[1] not in (socket.AF_INET, socket.AF_INET6):
        return
    if event in ("socket.connect", "socket.bind") and isinstance(arguments[1], (str, bytes)):
        return
    with open(os.environ["CONNECTIONS"], "a") as file:
        file.write(f"{event} {arguments[1:]}\\n")
    raise OSError("no network")

sys.addaudithook(refuse)
"""

ALL_COMMANDS = """
import sys
from facesegkit.cli.main import main
from facesegkit.course.explorer import explore

photo = "data/CelebA-HQ-img/0.jpg"
for command in (
    "synthesize data --count 4", "check data", "prepare data", "models",
    "train --data data --epochs 0.5 --model own.pth --report report",
    "evaluate --data data --model own.pth",
    "export --model own.pth --output own.onnx", f"segment {photo} --model own.onnx --output-dir a",
    f"segment {photo} --model own.pth --view json --output-dir b",
    "segment data/CelebA-HQ-img --model separable-synthetic --workers 2 --output-dir c",
    "segment https://example.org/a.jpg",
    "segment a.jpg --model https://example.org/model.onnx",
):
    print(command, main(command.split()))
explore(photo).part.value = "nose"
"""


def in_python(code: str, folder: Path, *prefix: str, env: dict[str, str] | None = None) -> str:
    command = [*prefix, sys.executable, "-c", code]
    finished = subprocess.run(
        command, cwd=folder, env={**os.environ, **(env or {})}, text=True, capture_output=True
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_no_command_and_no_explorer_opens_a_connection(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {"PYTHONPATH": path, "CONNECTIONS": str(tmp_path / "connections")}
    printed = in_python(ALL_COMMANDS, tmp_path, env=env)
    statuses = [line.split()[-1] for line in printed.splitlines() if line.split()[-1] in "01"]
    assert statuses == ["0"] * 10 + ["1"] * 2, printed
    assert not (tmp_path / "connections").exists(), (tmp_path / "connections").read_text()


def test_the_hook_of_this_test_sees_connections(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SITE)
    env = {"PYTHONPATH": str(tmp_path), "CONNECTIONS": str(tmp_path / "connections")}
    code = (
        "import urllib.request\n"
        "try: urllib.request.urlopen('http://localhost:1')\n"
        "except OSError: pass"
    )
    in_python(code, tmp_path, env=env)
    assert "urllib.Request" in (tmp_path / "connections").read_text()


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_the_libraries_ask_the_system_for_no_connection(tmp_path):
    """ONNX Runtime and PyTorch are not written in Python."""
    synthesize_dataset(tmp_path / "data", 1, seed=0, progress=False)
    photo, log = tmp_path / "data" / "CelebA-HQ-img" / "0.jpg", tmp_path / "calls"
    code = "from facesegkit import FaceSegmenter\n"
    for suffix in (".onnx", ".pth"):
        model = weights_path("separable-synthetic", suffix)
        code += f"assert FaceSegmenter({str(model)!r}, aligned=True)({str(photo)!r}).faces\n"
    strace = ["strace", "-f", "-q", "-o", str(log), "-e", "trace=network"]
    in_python(code, tmp_path, *strace)
    assert "AF_INET" not in log.read_text()
