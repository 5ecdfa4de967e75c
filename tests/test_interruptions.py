"""Whatever stops a command, the same command again ends as if nothing had happened.

KILLS=50 in the environment stops each of them fifty times.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from damage import encoded, noise

from facesegkit.checkpoint import load, load_plain
from facesegkit.drawn import draw_data_set
from facesegkit.files import replacing
from facesegkit.packing import prepare

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system stops processes otherwise")

KILLS = int(os.environ.get("KILLS", "0"))
IN_A_ROW = 5  # at most, before a run may end

# Saves more often than usual, so that there is something to go on from after a second.
COMMAND = """
import sys
from facesegkit import commands, training
training._SAVE_EVERY = 0.1
sys.exit(commands.main())
"""


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=folder, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def finish(arguments: list[str], folder: Path) -> float:
    """Let a command end; returns the seconds it takes."""
    started = time.perf_counter()
    process = start(arguments, folder)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return time.perf_counter() - started


def stop(arguments: list[str], folder: Path, seconds: float, how: signal.Signals) -> None:
    """Stop a command after some seconds, if it still runs."""
    process = start(arguments, folder)
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # Ctrl-C reaches all processes that belong to a terminal's command, a kill but one.
        send = os.killpg if how == signal.SIGINT else os.kill
        send(process.pid, how)
        _, errors = process.communicate(timeout=60)
    assert process.returncode in (0, -how, 130), errors
    assert "Traceback" not in errors or process.returncode == -how


@dataclass(frozen=True)
class Job:
    """A command, and what counts of that which it leaves behind."""

    arguments: list[str]
    result: Callable[[Path], dict[str, str]]
    kills: int  # in the usual run of the suite


def files(folder: Path) -> dict[str, str]:
    """All files, by their content, hidden ones too."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def trained(folder: Path) -> dict[str, str]:
    """Files by name only, since minutes stand in them; weights and scores by content."""
    model = load(folder / "face_segmentation_model.pth")
    history = [row["train_loss"] for row in model.about["history"]]
    content = {name: repr(values.tolist()) for name, values in model.model.state_dict().items()}
    return {
        **dict.fromkeys(files(folder), ""),
        **content,
        "history": repr(history),
        "scores": repr(model.about["scores"]),
    }


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    given = tmp_path_factory.mktemp("given")
    faces, photos = given / "faces", given / "photos"
    draw_data_set(faces, 40, seed=0, progress=False)
    prepare(faces, given / "cache", progress=False)
    photos.mkdir()
    for number in range(12):
        (photos / f"{number}.png").write_bytes(encoded(noise(300 + number, 200), "PNG"))
    train = ["train", "--data", str(faces), "--cache", str(given / "cache"), "--epochs", "3"]
    return {
        "draw": Job(["draw", ".", "--count", "12", "--seed", "3"], files, 2),
        "prepare": Job(["prepare", str(faces), "--cache", "cache"], files, 2),
        "segment": Job(["segment", str(photos), "--view", "overlay"], files, 2),
        "train": Job([*train, "--resume"], trained, 1),
    }


@pytest.mark.parametrize("name", ["draw", "prepare", "segment", "train"])
def test_stopped_and_run_again(name: str, jobs: dict[str, Job], tmp_path: Path) -> None:
    job = jobs[name]
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    seconds = finish(job.arguments, undisturbed)
    rng = np.random.default_rng(len(name))
    left = KILLS or job.kills
    while left > 0:
        in_a_row = min(left, int(rng.integers(1, IN_A_ROW + 1)) if KILLS else left)
        for how in rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT], in_a_row):
            stop(job.arguments, disturbed, rng.uniform(0, seconds), signal.Signals(how))
        left -= in_a_row
        finish(job.arguments, disturbed)
        assert job.result(disturbed) == job.result(undisturbed)
        disturbed = tmp_path / f"disturbed-{left}"


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while not condition():
        if time.monotonic() > until:
            process.kill()
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)


def test_ctrl_c_saves_the_best_model_and_says_how_to_go_on(
    jobs: dict[str, Job], tmp_path: Path
) -> None:
    arguments = [*jobs["train"].arguments[:-3], "--epochs", "100"]
    process = start(arguments, tmp_path)
    state = tmp_path / "face_segmentation_model.training.pth"
    wait_for(lambda: state.exists() and load_plain(state)["history"][4:] != [], process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "--resume" in errors.splitlines()[-1] and "Traceback" not in errors
    model = load(tmp_path / "face_segmentation_model.pth")
    assert 0 < model.about["history"][-1]["step"] < 200
    assert (tmp_path / "training_loss.png").is_file()
    steps = load_plain(state)["step"]

    process = start([*arguments, "--resume"], tmp_path)
    wait_for(lambda: load_plain(state)["step"] > steps, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 600 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", folder]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only an administrator may mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system as Linux does")
@pytest.mark.parametrize("name", ["draw", "prepare", "segment", "train"])
def test_a_disk_that_is_full_loses_nothing(
    name: str, jobs: dict[str, Job], tiny_disk: Path
) -> None:
    before = {
        "segmentations/0.png": encoded(noise(), "PNG"),
        "face_segmentation_model.pth": b"a model of yesterday",
        "evaluation/scores.json": b"{}",
    }
    for path, content in before.items():
        (tiny_disk / path).parent.mkdir(exist_ok=True)
        (tiny_disk / path).write_bytes(content)
    (tiny_disk / "fill").write_bytes(bytes(500_000))
    process = start(jobs[name].arguments, tiny_disk)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in errors and "facesegkit: " in errors.splitlines()[-1]
    for path, content in before.items():
        assert (tiny_disk / path).read_bytes() == content
    assert not [file for file in tiny_disk.rglob(".*") if file.is_file()]  # nothing unfinished


def test_what_a_killed_process_left_unfinished_is_removed(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from facesegkit.files import replacing
with replacing(sys.argv[1]) as unfinished:
    unfinished.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, tmp_path / "new.json"], check=False)
    assert [file.suffix for file in tmp_path.iterdir()] == [".json"]
    own = tmp_path / ".other.json"
    own.write_text("hidden, but none of ours")
    with replacing(tmp_path / "next.json") as unfinished:
        unfinished.write_text("whole")
    assert sorted(file.name for file in tmp_path.iterdir()) == [".other.json", "next.json"]


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    with replacing(tmp_path / "one.txt") as one:
        one.write_text("first")
        code = "import sys; from facesegkit.files import replacing\n"
        code += "with replacing(sys.argv[1]) as unfinished: unfinished.write_text('second')"
        subprocess.run([sys.executable, "-c", code, tmp_path / "two.txt"], check=True)
    assert (tmp_path / "one.txt").read_text() == "first"
    assert (tmp_path / "two.txt").read_text() == "second"
