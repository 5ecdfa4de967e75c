"""Files appear whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from facesegkit.errors import FaceSegKitError
from facesegkit.system.files import atomic_write


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
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


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(FaceSegKitError, match="Cannot write .*out.txt: "),
        atomic_write(tmp_path / "file" / "out.txt"),
    ):
        pass
    with pytest.raises(FaceSegKitError, match="No space left"), atomic_write(tmp_path / "out.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os.listdir(tmp_path) == ["file"]
