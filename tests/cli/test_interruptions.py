"""An interrupted command, run again, ends as if nothing had happened.

KILLS=50 in the environment interrupts each of them fifty times.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from damage import encoded, noise
from measured import hashes

from facesegkit.batch.index import INDEX
from facesegkit.checkpoint import load
from facesegkit.data.cache import build_cache
from facesegkit.system.tensor_files import load_tensors

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no such signals")

KILLS = int(os.environ.get("KILLS", "0"))
MAX_IN_A_ROW = 5  # before a run may end
COMMANDS = ("synthesize", "prepare", "segment", "train")

COMMAND = """
import signal, sys
from facesegkit.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # some shells ignore it
if sys.argv[1] == "train":
    from facesegkit import train
    from facesegkit.system import torch_speed
    train._SAVE_EVERY = 0.1  # so that there is soon a state to resume from
    torch_speed.bf16_is_faster = lambda *_: False  # is measured, and may differ between runs
print("begun", flush=True)
sys.exit(main())
"""


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start a command, and wait until its first imports are done."""
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout and process.stdout.readline() == "begun\n", process.communicate()[1]
    return process


def finish(arguments: list[str], folder: Path) -> float:
    """Run a command to its end; return the seconds it takes."""
    process = start(arguments, folder)
    started = time.perf_counter()
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return time.perf_counter() - started


def send(how: signal.Signals, process: subprocess.Popen[str]) -> None:
    """Send a signal to a process, which may have ended meanwhile, and check its end."""
    # Ctrl-C reaches all processes of a terminal's command, a kill only one.
    with suppress(ProcessLookupError):
        (os.killpg if how == signal.SIGINT else os.kill)(process.pid, how)
    _, errors = process.communicate(timeout=120)
    assert process.returncode in (0, -how, 130), errors
    # While the interpreter exits, it prints that it ignores Ctrl-C.
    assert "Traceback" not in errors.split("Exception ignored")[0] or process.returncode == -how


class Job(NamedTuple):
    """A command, what must be equal in its result, and whether it has written anything."""

    arguments: list[str]
    result: Callable[[Path], dict[str, str]]
    has_begun: Callable[[Path], bool]


def trained(folder: Path) -> dict[str, str]:
    """Names of the files, which contain times, with the weights and losses of the model."""
    model = load(folder / "face_segmentation_model.pth")
    history = [row["train_loss"] for row in model.about["history"]]
    weights = {name: repr(values.tolist()) for name, values in model.model.state_dict().items()}
    return {**dict.fromkeys(hashes(folder), ""), **weights, "history": repr(history)}


def results(folder: Path) -> dict[str, str]:
    """Hashes of the files, except for the index, which contains times."""
    return {name: of for name, of in hashes(folder).items() if not name.endswith(INDEX)}


def has_files(folder: Path) -> bool:
    return any(file.is_file() and file.stat().st_size > 0 for file in folder.rglob("*.*"))


def has_rows(folder: Path) -> bool:
    state = folder / "cache" / "state"
    return state.exists() and any(state.read_bytes())


@pytest.fixture(scope="module")
def jobs(synthetic: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    photos, cache = (tmp_path_factory.mktemp(name) for name in ("photos", "cache"))
    build_cache(synthetic, cache, progress=False)
    for number in range(12):
        (photos / f"{number}.png").write_bytes(encoded(noise(300 + number, 200), "PNG"))
    train = ["train", "--data", str(synthetic), "--cache", str(cache), "--epochs", "3"]
    return {
        "synthesize": Job(["synthesize", ".", "--count", "12", "--seed", "3"], hashes, has_files),
        "prepare": Job(["prepare", str(synthetic), "--cache", "cache"], hashes, has_rows),
        "segment": Job(["segment", str(photos), "--view", "overlay"], results, has_files),
        "train": Job([*train, "--resume"], trained, has_files),
    }


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *((name, signal.SIGKILL) for name in COMMANDS),
        ("synthesize", signal.SIGTERM),
        *((name, signal.SIGINT) for name in ("prepare", "segment")),
    ],
)
def test_interrupted_in_the_middle_and_run_again(name, how, jobs, tmp_path):
    job = jobs[name]
    for attempt in range(5):  # it may end before the signal, on a busy machine
        interrupted = tmp_path / f"interrupted-{attempt}"
        process = start(job.arguments, interrupted)
        while process.poll() is None and not job.has_begun(interrupted):
            time.sleep(0.01)
        send(how, process)
        if process.returncode != 0:
            break
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    finish(job.arguments, interrupted)
    finish(job.arguments, tmp_path / "uninterrupted")
    assert job.result(interrupted) == job.result(tmp_path / "uninterrupted")


@pytest.mark.skipif(KILLS == 0, reason="KILLS is not set")
@pytest.mark.parametrize("name", COMMANDS)
def test_interrupted_at_any_moment_and_run_again(name, jobs, tmp_path):
    job = jobs[name]
    uninterrupted, interrupted = tmp_path / "uninterrupted", tmp_path / "interrupted"
    seconds = finish(job.arguments, uninterrupted)
    rng = np.random.default_rng(len(name))
    left = KILLS
    while left > 0:
        in_a_row = min(left, int(rng.integers(1, MAX_IN_A_ROW + 1)))
        for how in rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT], in_a_row):
            process = start(job.arguments, interrupted)
            with suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, seconds))
            send(signal.Signals(how), process)
        left -= in_a_row
        finish(job.arguments, interrupted)
        assert job.result(interrupted) == job.result(uninterrupted)
        interrupted = tmp_path / f"interrupted-{left}"


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while not condition():
        if time.monotonic() > until:
            process.kill()
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)


def test_ctrl_c_saves_the_best_model_and_says_how_to_resume(jobs, tmp_path):
    arguments = [*jobs["train"].arguments[:-3], "--epochs", "100"]
    process = start(arguments, tmp_path)
    state = tmp_path / "face_segmentation_model.training.pth"
    wait_for(lambda: state.exists() and load_tensors(state)["history"][4:] != [], process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "--resume" in errors.splitlines()[-1] and "Traceback" not in errors
    model = load(tmp_path / "face_segmentation_model.pth")
    assert 0 < model.about["history"][-1]["step"] < 200
    assert (tmp_path / "training_loss.png").is_file()
    steps = load_tensors(state)["step"]

    process = start([*arguments, "--resume"], tmp_path)
    wait_for(lambda: load_tensors(state)["step"] > steps, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", folder]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_loses_nothing(name, jobs, tiny_disk):
    before = {
        "segmentations/0.png": encoded(noise(), "PNG"),
        "face_segmentation_model.pth": b"an older model",
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
