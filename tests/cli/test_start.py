"""The command as services, pipes and terminals start it; most of these run it as a process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from facesegkit.cli import start

FACESEGKIT = [sys.executable, "-m", "facesegkit"]
MODEL = ["--model", "separable-synthetic"]
TOP = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TOP)}
on_posix = pytest.mark.skipif(os.name != "posix", reason="this system closes no streams")


@pytest.fixture
def photos(tmp_path):
    """Three small photos without faces; of two, names that few encodings have."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "пейзаж.jpg", "я.jpg"):
        Image.new("RGB", (80, 60), "grey").save(folder / name)
    return folder


def run(*arguments, cwd, env=None, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(
        [*FACESEGKIT, *map(str, arguments)], cwd=cwd, env={**ENVIRONMENT, **(env or {})}, **options
    )


@on_posix
@pytest.mark.parametrize("closed", [(2,), (1,), (0, 1, 2)])
def test_closed_streams_do_not_matter(closed, photos, tmp_path):
    """As services, cron jobs and pythonw have them."""
    finished = run(
        "segment", photos, *MODEL, cwd=tmp_path, preexec_fn=lambda: [os.close(fd) for fd in closed]
    )
    assert finished.returncode == 0
    assert len(list((tmp_path / "segmentations").glob("*.png"))) == 3


@on_posix
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_nobody_reads_what_is_printed_but_the_work_goes_on(unbuffered, photos, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    finished = run(
        "segment", photos, *MODEL, cwd=tmp_path, stdout=writing, stderr=writing,
        env={"PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    os.close(writing)
    assert finished.returncode == 0
    assert len(list((tmp_path / "segmentations").glob("*.png"))) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_a_full_disk_for_the_output_is_told_and_ends_nothing(photos, tmp_path):
    with open("/dev/full", "w") as full:
        finished = run("segment", photos, *MODEL, cwd=tmp_path, stdout=full)
        assert finished.returncode == 1
        lost = b"facesegkit: what was printed is incomplete: No space left on device."
        assert finished.stderr.splitlines()[-1] == lost
        assert len(list((tmp_path / "segmentations").glob("*.png"))) == 3
        assert run("models", cwd=tmp_path, stdout=full, stderr=full).returncode == 1


@pytest.mark.parametrize("encoding", ["cp1252", "ascii:strict", "utf-8:strict"])
def test_a_name_that_cannot_be_printed_ends_nothing(encoding, photos, tmp_path):
    if sys.platform == "linux":  # the only one whose file systems take any bytes
        (photos / "a.jpg").rename(photos / os.fsdecode(b"a\xff.jpg"))
    finished = run("segment", photos, *MODEL, cwd=tmp_path, env={"PYTHONIOENCODING": encoding})
    assert finished.returncode == 0 and b"Traceback" not in finished.stderr
    assert len(list((tmp_path / "segmentations").glob("*.png"))) == 3
    expected = "я.jpg".encode() if encoding.startswith("utf-8") else rb"\u044f.jpg"
    assert expected in finished.stdout


@on_posix
@pytest.mark.parametrize("milliseconds", [120, 240, 400])
def test_ctrl_c_at_the_start_gives_no_traceback(milliseconds, photos, tmp_path):
    process = subprocess.Popen(
        [*FACESEGKIT, "segment", str(photos), *MODEL], cwd=tmp_path, env=ENVIRONMENT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    time.sleep(milliseconds / 1000)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    # Killed by the signal if it came while the interpreter exited; a shell shows 130 for that too.
    assert process.returncode in (0, 130, -signal.SIGINT)
    # Nobody can handle what interrupts the interpreter's own start, before `main` is called.
    assert b"Traceback" not in errors or b", in main\n" not in errors


def test_ctrl_c_that_is_ignored_stays_so():
    """As after nohup, or in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with start.interrupted_at_once():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_invalid_command_line_has_the_status_2(capsys):
    assert start.main(["segment"]) == 2
    assert start.main(["--help"]) == 0
    assert start.segment_one(["--image"]) == 2
