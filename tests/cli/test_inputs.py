"""Files, folders and wildcards on the command line."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesegkit.cli import inputs, main
from facesegkit.errors import FaceSegKitError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with an empty folder of photos."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    return tmp_path


def photo(path):
    Image.new("RGB", (40, 30), "grey").save(path)
    return path


def segment(*arguments):
    given = ["segment", *map(str, arguments), "--aligned", "--model", "separable-synthetic"]
    return main.main(given)


def results():
    """The names of all results, without the hidden index."""
    return sorted(path.name for path in Path("segmentations").glob("[!.]*"))


def test_what_is_left_out_of_a_folder_is_named_and_counted(folder, capsys, monkeypatch):
    monkeypatch.setattr(inputs, "photo_suffixes", lambda: {".jpg"})  # as without pillow-heif
    photo("photos/IMG_0002.jpg")
    for name in ("IMG_0001.HEIC", "IMG_0003.MOV", "raw.NEF", "notes.txt", ".DS_Store"):
        (folder / "photos" / name).write_bytes(b"x")
    (folder / "photos" / "more").mkdir()
    assert segment("photos") == 3  # two photos could not be read
    printed = capsys.readouterr().err.replace("\\", "/")
    for expected in (
        "photos/IMG_0001.HEIC is left out: a HEIC photo, which is not supported; save it",
        "photos/IMG_0003.MOV is left out: it is a video; name it on the command line, too.",
        "photos/raw.NEF is left out: a camera's raw file",
        "photos/notes.txt is left out: it is not a photo, by its name.",
        "photos/.DS_Store is left out: it is hidden.",
        "photos/more is left out: it is a folder; name it",
        "left out of the folder photos: 6 files.",
        "2 of 3 files could not be segmented.",
    ):
        assert expected in printed
    assert results() == ["IMG_0002.png"]
    for name in ("IMG_0001.HEIC", "raw.NEF"):
        (folder / "photos" / name).unlink()
    assert segment("photos") == 0  # all of its photos
    (folder / "photos" / "IMG_0002.jpg").unlink()
    assert segment("photos") == 1


def test_wildcards_that_the_shell_has_not_expanded(folder, capsys):
    for name in ("a.jpg", "b.jpg", "c.png", "[x].jpg"):
        photo(folder / "photos" / name)
    assert segment("photos/?.jpg", "photos/[x].jpg") == 0
    assert results() == ["[x].png", "a.png", "b.png"]
    assert segment("photos/*.tif") == 1
    assert "There is no photo photos" in capsys.readouterr().err.replace("\\", "/")
    shutil.rmtree("segmentations")
    assert segment("phot*") == 0 and len(results()) == 4
    assert segment("photos/*.png", "--output", "one.png") == 0
    assert inputs.expanded(["s3://bucket/*.jpg"]) == ["s3://bucket/*.jpg"]
    assert segment("s3://bucket/*.jpg") == 1
    assert "s3://bucket/*.jpg can be read only with --ray" in capsys.readouterr().err


def test_one_photo_by_two_names_is_segmented_once(folder, capsys):
    photo("face.jpg")
    assert segment("face.jpg", folder / "face.jpg", "./face.jpg", ".", "photos/../face.jpg") == 0
    assert "1 result in" in capsys.readouterr().out
    photo("photos/face.jpg")
    assert segment("face.jpg", "photos") == 1
    assert "would both be written to" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
def test_two_links_to_one_photo_have_two_results(folder):
    photo("face.jpg")
    os.symlink(folder / "face.jpg", "photos/one.jpg")
    os.symlink(folder / "face.jpg", "photos/two.jpg")
    os.symlink("nowhere", "photos/three.jpg")
    assert segment("photos", "face.jpg") == 0
    assert results() == ["face.png", "one.png", "two.png"]


def test_names_that_a_system_takes_for_one(monkeypatch):
    composed, decomposed = inputs.Path("\xc9.png"), inputs.Path("e\u0301.png")
    if sys.platform == "linux":
        assert inputs.same_name(composed) != inputs.same_name(decomposed)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert inputs.same_name(composed) == inputs.same_name(decomposed)


def test_a_name_that_is_too_long_stops_no_other_photo(folder, capsys):
    photo("photos/good.jpg")
    long = photo(folder / "photos" / ("n" * 251 + ".jpg"))  # with .json 256 bytes
    os.mkdir("segmentations")
    assert segment("photos", "--view", "json") == 3
    assert f"{long.stem}.json: File name too long" in capsys.readouterr().err
    assert results() == ["good.json"]
    assert segment("photos/good.jpg", "n" * 300 + ".jpg") == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["segment", ""], ["segment", "a.jpg", "--model", ""], ["segment", "a.jpg", "--output", ""],
        ["segment", "a.jpg", "--output-dir", " "], ["train", "--data", ""],
        ["train", "--init-from", ""], ["evaluate", "--model", ""], ["prepare", ""],
        ["synthesize", ""], ["pseudo-label", "", "--output", "x"], ["export", "--output", ""],
    ],
)  # fmt: skip
def test_an_empty_name_is_refused(arguments, folder, capsys):
    """A shell's variable that nobody has set."""
    photo("a.jpg")
    with pytest.raises(SystemExit) as stopped:
        main.main(arguments)
    assert stopped.value.code == 2 and "the name is empty" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="names that Windows does not allow")
def test_names_with_a_colon_a_new_line_or_an_escape(folder, capsys):
    for name in ("take:1.jpg", "two\nlines.jpg", "\x1b[31mred.jpg", "-.jpg"):
        photo(f"photos/{name}")
    (folder / "photos" / "take:1.jpg").write_bytes(b"")
    (folder / "photos" / "two\nlines.jpg").write_bytes(b"")
    assert segment("photos") == 3
    printed = capsys.readouterr().err
    assert "take:1.jpg is empty" in printed and "two\\nlines.jpg is empty" in printed


@pytest.mark.parametrize(
    ("name", "frames"),
    [("a.gif", 3), ("a.webp", 3), ("a.tif", 3), ("a.png", 3), ("one.gif", 1), ("one.tif", 1),
     ("phone.mpo", 2)],
)  # fmt: skip
def test_it_is_said_if_only_the_first_of_several_pictures_is_segmented(
    name, frames, folder, capsys
):
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (30, 40, 3), np.uint8)) for _ in range(frames)]
    images[0].save(name, save_all=True, append_images=images[1:])
    assert segment(name) == 0
    expected = frames > 1 and name != "phone.mpo"  # its second picture is a preview
    assert (f"only the first of the pictures in {name}" in capsys.readouterr().err) == expected


@pytest.mark.parametrize("command", ["segment", "evaluate", "pseudo-label"])
@pytest.mark.parametrize(
    ("name", "meant"), [("seperable", "separable"), ("UNET", "unet"), ("unet-opn", "unet-open")]
)
def test_a_misspelt_model_is_answered_with_the_names(command, name, meant, folder, capsys):
    photo("a.jpg")
    given = {"segment": ["a.jpg"], "evaluate": [], "pseudo-label": ["a.jpg", "--output", "x"]}
    assert main.main([command, *given[command], "--model", name]) == 1
    printed = capsys.readouterr().err
    assert f"There is no model '{name}'; did you mean '{meant}'? The names are" in printed


def test_models_in_capital_letters_are_opened(folder):
    from facesegkit.inference.model_zoo import check_name, load_model, weights_path

    shutil.copy(weights_path("separable-synthetic"), "MODEL.ONNX")
    assert load_model("MODEL.ONNX").input_size == 256
    with pytest.raises(FaceSegKitError, match="The name of the model is empty"):
        check_name("")
