"""`facesegkit check`, on a data set with one fault of each kind."""

import shutil

import pytest
from PIL import Image

from facesegkit.cli.main import main
from facesegkit.synthetic import synthesize_dataset


@pytest.fixture
def faces(tmp_path):
    """Twelve synthetic faces."""
    folder = tmp_path / "faces"
    synthesize_dataset(folder, 12, seed=0, workers=1, progress=False)
    return folder


def mask(faces, photo_id, part):
    return faces / "CelebAMask-HQ-mask-anno" / "0" / f"{photo_id:05d}_{part}.png"


def test_one_page_tells_contents_doubts_and_what_training_will_do(faces, capsys):
    photos = faces / "CelebA-HQ-img"
    left, right = mask(faces, 1, "l_eye"), mask(faces, 1, "r_eye")
    left.rename(faces / "x.png")
    right.rename(left)
    (faces / "x.png").rename(right)
    Image.new("L", (512, 512)).save(mask(faces, 2, "nose"))
    Image.new("L", (512, 512), 255).save(mask(faces, 3, "u_lip"))
    shutil.copy(photos / "5.jpg", photos / "6.jpg")
    (photos / "7.jpg").write_bytes(b"x")
    shutil.copy(photos / "8.jpg", photos / "anna.jpg")
    assert main(["check", str(faces), "--workers", "1"]) == 3
    printed = capsys.readouterr()
    assert "1 of 12 pairs cannot be used" in printed.err
    for expected in (
        "12 pairs in",
        "ignored, as their names are no <id>.jpg or <id>_<part>.png: CelebA-HQ-img/anna.jpg",
        "cannot be used: CelebA-HQ-img/7.jpg cannot be read",
        "left and right may be swapped (l_ is the person's own left): 1 photo, ids 1",
        "a mask is empty: 1 photo, ids 2",
        "a feature is much larger or smaller than usual: ",
        "the same photo more than once: ids 5, 6",
        "split by: rank of the id's hash",
        "10 train, 1 val, 1 test",
        "the val split is so small that its metrics mean little",
    ):
        assert expected in printed.out
    assert len(printed.out.splitlines()) < 50


def test_a_good_data_set_of_which_some_pairs_are_measured(faces, capsys):
    assert main(["check", str(faces), "--pairs", "4", "--workers", "1"]) == 0
    assert "4 pairs of them measured, spread evenly" in capsys.readouterr().out


def test_what_is_no_data_set_is_one_sentence(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 1
    assert "is empty; expected the folders" in capsys.readouterr().err
