"""Work in other processes: results, errors, locks, and scripts of any kind."""

import os
import subprocess
import sys
from functools import partial
from math import sqrt
from operator import truediv
from types import SimpleNamespace

import pytest
from measured import hashes

from facesegkit.data.cache import build_cache
from facesegkit.errors import FaceSegKitError
from facesegkit.synthetic import synthesize_dataset
from facesegkit.system import processes
from facesegkit.system.processes import cores, folder_lock, process_map

MAIN = "import sys; from facesegkit.cli.main import main; sys.exit(main(sys.argv[1:]))"


def test_every_item_has_one_result(tmp_path, monkeypatch):
    (tmp_path / "queue.py").write_text("raise SystemExit('another module of this name')")
    monkeypatch.chdir(tmp_path)  # workers import nothing from there
    results = dict(process_map(sqrt, [0, 1, 4, 9, 16, 25], 2, doing="tried"))
    assert results == {0: 0, 1: 1, 4: 2, 9: 3, 16: 4, 25: 5}


def test_what_the_function_prints_is_not_a_result(capfd):
    assert list(process_map(print, ["aside"], 1, doing="tried")) == [("aside", None)]
    assert capfd.readouterr().err == "aside\n"


def test_errors_of_the_function_and_of_its_process():
    with pytest.raises(ZeroDivisionError):
        list(process_map(partial(truediv, 1), [1, 0], 1, doing="tried"))
    with pytest.raises(FaceSegKitError, match=r"that tried has ended unexpectedly \(exit code 7\)"):
        list(process_map(sys.exit, [7], 1, doing="tried"))


def test_workers_end_when_their_parent_is_killed():
    code = (
        "import time; from facesegkit.system.processes import process_map\n"
        "for _ in process_map(eval, ['1'], 2, doing='tried'): print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as parent:
        assert parent.stdout and parent.stdout.readline()
        parent.kill()
        parent.communicate(timeout=10)  # standard error stays open as long as a worker lives


def test_a_containers_cpu_quota_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_CGROUP", tmp_path / "none")
    all_cores = cores()
    monkeypatch.setattr(processes, "_CGROUP", tmp_path / "cpu.max")
    for quota, expected in (("max 100000", all_cores), ("50000 100000", 1), ("10 x", all_cores)):
        (tmp_path / "cpu.max").write_text(quota)
        assert cores() == expected


HOLDS_THE_LOCK = """
import sys
from pathlib import Path
from facesegkit.system.processes import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_the_second_process_waits_and_says_so(tmp_path, monkeypatch):
    command = [sys.executable, "-c", HOLDS_THE_LOCK, tmp_path]
    said = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"in\n"

        def write(text):
            said.append(text)
            first.kill()  # which releases the lock

        monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=write, flush=lambda: None))
        with folder_lock(tmp_path):
            assert first.wait() != 0
    assert f"Waiting for another process that is writing to {tmp_path}." in "".join(said)


def test_two_processes_that_fill_the_same_folder(tmp_path):
    for arguments in (
        ["synthesize", tmp_path / "faces", "--count", "6", "--seed", "2"],
        ["prepare", tmp_path / "faces", "--cache", tmp_path / "cache"],
    ):
        both = [subprocess.Popen([sys.executable, "-c", MAIN, *arguments]) for _ in range(2)]
        assert [process.wait(300) for process in both] == [0, 0]
    synthesize_dataset(tmp_path / "alone", 6, seed=2, progress=False)
    assert hashes(tmp_path / "faces") == hashes(tmp_path / "alone")
    build_cache(tmp_path / "faces", tmp_path / "own", progress=False)
    assert hashes(tmp_path / "cache") == hashes(tmp_path / "own")


def test_two_trainings_on_one_cache(tmp_path):
    """The cache is built once, and each training gives the same model as one alone."""
    torch = pytest.importorskip("torch")
    from facesegkit.checkpoint import load

    synthesize_dataset(tmp_path / "faces", 12, seed=2, progress=False)
    # Which precision is faster is measured, and may differ between runs.
    patch = "import facesegkit.system.torch_speed as t; t.bf16_is_faster = lambda *_: False"

    def start(name: str, cache: str) -> subprocess.Popen[bytes]:
        (tmp_path / name).mkdir()
        arguments = ["train", "--data", tmp_path / "faces", "--cache", tmp_path / cache]
        return subprocess.Popen(
            [sys.executable, "-c", f"{patch}; {MAIN}", *arguments, "--epochs", "1"],
            cwd=tmp_path / name, env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL, stderr=(tmp_path / name / "said").open("wb"),
        )  # fmt: skip

    both = [start("one", "shared"), start("other", "shared")]
    assert [process.wait(300) for process in both] == [0, 0]
    assert not any("built again" in (tmp_path / n / "said").read_text() for n in ("one", "other"))
    assert start("alone", "own").wait(300) == 0
    one, other, alone = (
        load(tmp_path / name / "face_segmentation_model.pth").model.state_dict()
        for name in ("one", "other", "alone")
    )
    assert all(torch.equal(one[k], alone[k]) and torch.equal(other[k], alone[k]) for k in alone)


def test_a_script_needs_no_main_guard(tmp_path):
    """Unlike with `multiprocessing`, which imports the script again in every process."""
    script = tmp_path / "script.py"
    script.write_text(
        "from facesegkit.synthetic import synthesize_dataset\n"
        "print('once')\n"
        f"synthesize_dataset({str(tmp_path / 'faces')!r}, 3, seed=1, workers=2, progress=False)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "once\n" and done.stderr == ""
    assert len(list((tmp_path / "faces" / "CelebA-HQ-img").iterdir())) == 3
