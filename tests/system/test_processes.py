"""Work in other processes: answers, errors, and scripts of any kind."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from math import sqrt
from operator import truediv
from pathlib import Path

import numpy as np
import pytest

from facesegkit.data.cache import DatasetCache, build_cache
from facesegkit.errors import FaceSegKitError
from facesegkit.synthetic import synthesize_dataset
from facesegkit.system.processes import cores, folder_lock, process_map


def test_every_order_is_answered_once() -> None:
    answered = dict(process_map(sqrt, [0, 1, 4, 9, 16, 25], 2, doing="tried"))
    assert answered == {0: 0, 1: 1, 4: 2, 9: 3, 16: 4, 25: 5}


def test_what_a_task_prints_is_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(process_map(print, ["aside"], 1, doing="tried")) == [("aside", None)]
    assert capfd.readouterr().err == "aside\n"


def test_an_error_of_a_task_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        list(process_map(partial(truediv, 1), [1, 0], 1, doing="tried"))


def test_a_process_that_ends_is_told() -> None:
    with pytest.raises(FaceSegKitError, match=r"that tried has ended unexpectedly \(exit code 7\)"):
        list(process_map(sys.exit, [7], 1, doing="tried"))


def test_workers_import_nothing_from_where_the_user_happens_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(tmp_path)
    assert list(process_map(sqrt, [4], 1, doing="tried")) == [(4, 2)]


def test_a_containers_share_of_the_processor_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facesegkit.system.processes._CGROUP", tmp_path / "none")
    all_of_them = cores()
    for share, expected in {
        "max 100000": all_of_them,
        "50000 100000": 1,
        "10 x": all_of_them,
    }.items():
        (tmp_path / "cpu.max").write_text(share)
        monkeypatch.setattr("facesegkit.system.processes._CGROUP", tmp_path / "cpu.max")
        assert cores() == expected


HOLDS_THE_LOCK = """
import sys
from pathlib import Path
from facesegkit.processes import alone_in
with alone_in(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


class Listener(io.StringIO):
    """A file that does something as soon as something is written to it."""

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__()
        self.then = then

    def write(self, text: str) -> int:
        self.then()
        return super().write(text)


def test_who_comes_second_waits_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_THE_LOCK, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as first:
        assert first.stdin and first.stdout and first.stdout.readline() == b"in\n"
        said = Listener(first.kill)  # the lock of a killed process is free
        monkeypatch.setattr(sys, "stderr", said)
        with folder_lock(tmp_path):
            assert first.wait() != 0
    assert f"Another process is at work in {tmp_path}; waiting" in said.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_two_that_draw_and_pack_the_same_at_once(tmp_path: Path) -> None:
    command = "import sys; from facesegkit import main; sys.exit(main(sys.argv[1:]))"
    for arguments in (
        ["synthesize", tmp_path / "faces", "--count", "6", "--seed", "2"],
        ["prepare", tmp_path / "faces", "--cache", tmp_path / "cache"],
    ):
        both = [subprocess.Popen([sys.executable, "-c", command, *arguments]) for _ in range(2)]
        assert [process.wait(300) for process in both] == [0, 0]
    synthesize_dataset(tmp_path / "alone", 6, seed=2, progress=False)
    assert contents(tmp_path / "faces") == contents(tmp_path / "alone")
    packed = DatasetCache.open(tmp_path / "cache")
    alone = build_cache(tmp_path / "faces", tmp_path / "own", progress=False)
    assert packed.rows().tolist() == list(range(6))
    np.testing.assert_array_equal(packed.photos, alone.photos)
    np.testing.assert_array_equal(packed.labels, alone.labels)


def test_two_that_train_on_one_cache_at_once(tmp_path: Path) -> None:
    """They pack the photos once, and each ends as one does that is alone."""
    torch = pytest.importorskip("torch")
    from facesegkit.checkpoint import load

    synthesize_dataset(tmp_path / "faces", 12, seed=2, progress=False)
    command = (
        "import sys; from facesegkit import training; from facesegkit import main; "
        "training.bf16_is_faster = lambda *_: False; "  # which is measured, and so by chance
        "sys.exit(main(sys.argv[1:]))"
    )

    def start(name: str, cache: str) -> subprocess.Popen[bytes]:
        (tmp_path / name).mkdir()
        arguments = ["train", "--data", tmp_path / "faces", "--cache", tmp_path / cache]
        return subprocess.Popen(
            [sys.executable, "-c", command, *arguments, "--epochs", "1"],
            cwd=tmp_path / name, env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL, stderr=(tmp_path / name / "said").open("wb"),
        )  # fmt: skip

    both = [start("one", "shared"), start("other", "shared")]
    assert [process.wait(300) for process in both] == [0, 0]
    assert not any(
        "made anew" in (tmp_path / name / "said").read_text() for name in ("one", "other")
    )
    assert start("alone", "own").wait(300) == 0
    ends = [
        load(tmp_path / name / "face_segmentation_model.pth").model.state_dict()
        for name in ("one", "other", "alone")
    ]
    for of_one, of_other, of_alone in zip(*(end.values() for end in ends), strict=True):
        assert torch.equal(of_one, of_alone) and torch.equal(of_other, of_alone)


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    """As `multiprocessing` would, since it imports the script again in every process."""
    script = tmp_path / "script.py"
    script.write_text(
        "from facesegkit.drawn import draw_data_set\n"
        "print('once')\n"
        f"draw_data_set({str(tmp_path / 'faces')!r}, 3, seed=1, workers=2, progress=False)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "once\n" and done.stderr == ""
    assert len(list((tmp_path / "faces" / "CelebA-HQ-img").iterdir())) == 3
