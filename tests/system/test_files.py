"""Files are written completely or not at all."""

import errno
import os
import subprocess
import sys

import pytest

from facesegkit.errors import FaceSegKitError
from facesegkit.system.files import atomic_write


def test_a_file_is_written_completely_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as unfinished:
        assert unfinished.suffix == ".txt" and unfinished.parent == path.parent
        unfinished.write_text("first")
        assert not path.exists()
    with pytest.raises(KeyError), atomic_write(path) as unfinished:
        unfinished.write_text("half of the sec")
        raise KeyError
    assert path.read_text() == "first"
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    below_a_file = atomic_write(tmp_path / "file" / "out.txt")
    with pytest.raises(FaceSegKitError, match="Cannot write .*out.txt: "), below_a_file:
        pass
    with pytest.raises(FaceSegKitError, match="No space left"), atomic_write(tmp_path / "out.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os.listdir(tmp_path) == ["file"]


WRITES = """
import os, signal, sys
from facesegkit.system.files import atomic_write
with atomic_write(sys.argv[1]) as unfinished:
    unfinished.write_text("second")
    if sys.argv[2:]:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="this system has no such signals")
def test_the_next_process_removes_what_a_killed_one_left(tmp_path):
    subprocess.run([sys.executable, "-c", WRITES, tmp_path / "new.json", "kill"], check=False)
    assert [file.suffix for file in tmp_path.iterdir()] == [".json"]
    (tmp_path / ".other.json").write_text("hidden, but not a temporary file")
    with atomic_write(tmp_path / "next.json") as unfinished:
        unfinished.write_text("whole")
    assert sorted(file.name for file in tmp_path.iterdir()) == [".other.json", "next.json"]


def test_files_that_another_process_is_writing_are_kept(tmp_path):
    with atomic_write(tmp_path / "one.txt") as one:
        one.write_text("first")
        subprocess.run([sys.executable, "-c", WRITES, tmp_path / "two.txt"], check=True)
    assert (tmp_path / "one.txt").read_text() == "first"
    assert (tmp_path / "two.txt").read_text() == "second"
