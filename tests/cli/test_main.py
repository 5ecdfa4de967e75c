"""The commands as people call them: what they leave behind, and what they say."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from facesegkit.checkpoint import Checkpoint, build_model, load, save
from facesegkit.cli.main import main, segment_one
from facesegkit.cli.train import read_scheme
from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import FACE_CROP
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES
from facesegkit.synthetic import synthesize_dataset, synthesize_face

TOP = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces") / "drawn"
    synthesize_dataset(folder, 40, seed=0, progress=False)
    return folder


@pytest.fixture(scope="module")
def trained(drawn, tmp_path_factory):
    """A folder in which the main command has run, briefly."""
    folder = tmp_path_factory.mktemp("trained")
    finished = run(
        "face_segmentation.py", "--data", drawn, "--cache", folder / "cache",
        "--epochs", "2", "--split", "all", cwd=folder,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture
def model(tmp_path):
    """An untrained model, which marks something somewhere."""
    path = tmp_path / "model.pth"
    fresh = build_model("separable")
    torch.nn.init.zeros_(fresh.head.bias)  # or else it finds the same everywhere
    save(Checkpoint("separable", fresh, FIVE_FEATURES), path)
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)).save(path)
    return path


def run(script, *arguments, cwd):
    return subprocess.run(
        [sys.executable, str(TOP / script), *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip


def sentence(capsys):
    """What was printed to standard error, without progress bars; one line that names the tool."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("facesegkit")]
    assert len(lines) == 1
    return lines[0]


# --- train and evaluate -------------------------------------------------------------------------


def test_the_main_command_leaves_model_curve_history_scores_and_pictures(trained):
    assert {
        "face_segmentation_model.pth",
        "face_segmentation_model.csv",
        "training_loss.png",
        "evaluation",
    } <= set(os.listdir(trained))
    assert set(os.listdir(trained / "evaluation")) == {"scores.json", "confusion.png", "cases.png"}
    for name in ("training_loss.png", "evaluation/confusion.png", "evaluation/cases.png"):
        with Image.open(trained / name) as picture:
            assert min(picture.size) > 300


def test_the_checkpoint_says_where_it_comes_from(trained):
    checkpoint = load(trained / "face_segmentation_model.pth")
    assert checkpoint.about["split_rule"].startswith("hash of the id")
    assert "40 pairs" in checkpoint.about["data"]
    assert checkpoint.about["settings"]["batch"] == 16
    scores = json.loads((trained / "evaluation" / "scores.json").read_text())
    assert checkpoint.about["scores"] == scores
    assert sum(map(sum, scores["matrix"])) == 40 * 512 * 512
    assert 0 <= checkpoint.about["certain"] < 1


def test_evaluate_gives_the_scores_that_training_ended_with(trained, drawn, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    status = main(
        ["evaluate", "--data", str(drawn), "--cache", "cache", "--split", "all", "--report", "new"]
    )
    assert status == 0
    before, after = (Path(name, "scores.json").read_text() for name in ("evaluation", "new"))
    assert json.loads(before) == json.loads(after)
    assert "eyebrows" in capsys.readouterr().out


def test_a_model_that_looks_at_faces_only_is_scored_as_it_was_trained(drawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["--data", str(drawn), "--split", "all"]
    assert main(["train", "--crop", "face", "--epochs", "1", *given]) == 0
    assert main(["evaluate", "--report", "again", *given]) == 0
    checkpoint = load("face_segmentation_model.pth")
    assert checkpoint.crop == FACE_CROP
    (pack,) = Path("data", "cache").iterdir()  # packed once, so large that the face has 256 pixels
    assert np.load(pack / "photos.npy", mmap_mode="r").shape == (40, 320, 320, 3)
    again = json.loads(Path("again", "scores.json").read_text())
    assert checkpoint.about["scores"] == again
    assert sum(map(sum, again["matrix"])) == 40 * 512 * 512


def test_training_goes_on_from_a_model_and_learns_from_another(
    trained, drawn, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    start = trained / "face_segmentation_model.pth"
    arguments = ["train", "--data", drawn, "--cache", trained / "cache", "--init-from", start]
    arguments = [*map(str, arguments), "--teacher", "unet", "--epochs", "1", "--lr", "1e-9"]
    assert main(arguments) == 0
    made, before = load("face_segmentation_model.pth"), load(start)
    assert made.about["start"] == str(start) and made.about["teacher"] == "unet"
    for weights, others in zip(made.model.parameters(), before.model.parameters(), strict=True):
        torch.testing.assert_close(weights, others, atol=1e-5, rtol=1e-5)
    capsys.readouterr()
    assert main([*arguments, "--scheme", "all"]) == 1
    assert "knows the classes background, eyes, " in sentence(capsys)


def test_training_without_data_draws_faces(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--num-synthetic", "40", "--epochs", "1", "--arch", "unet"]) == 0
    assert len(list(Path("data/synthetic/CelebA-HQ-img").iterdir())) == 40
    assert "no --data given" in capsys.readouterr().out
    assert load("face_segmentation_model.pth").arch == "unet"


def test_own_scheme_from_a_file(tmp_path, drawn, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("ears.json").write_text('{"ears": ["l_ear", "r_ear"], "hair": ["hair"]}')
    arguments = ["train", "--data", str(drawn), "--epochs", "1", "--scheme", "ears.json"]
    assert main(arguments) == 0
    assert load("face_segmentation_model.pth").scheme.class_names == ("background", "ears", "hair")


def test_schemes_by_name():
    assert read_scheme("five") is FIVE_FEATURES and read_scheme("all") is ALL_PARTS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"eyes": ["l_eye", "third_eye"]}', "unknown part 'third_eye'"),
        ('{"eyes": ["l_eye"], "all": ["l_eye"]}', "'l_eye' into both 'eyes' and 'all'"),
        ("[1, 2]", "holds no table of classes"),
        ("{", "is not valid JSON"),
        ('{"classes": 3}', "needs 'classes'"),
        ('{"classes": {"eyes": ["l_eye"]}, "colours": [[0, 0, 300]]}', "from 0 to 255"),
        ('{"classes": {"eyes": 3}}', "needs a list of part names"),
        ('{"classes": {"eyes": ["l_eye"]}, "colours": 7}', "colour"),
    ],
)
def test_a_scheme_that_cannot_be_used_is_one_sentence(tmp_path, content, said):
    path = tmp_path / "scheme.json"
    path.write_text(content)
    with pytest.raises(FaceSegKitError, match=said):
        read_scheme(str(path))


def test_a_scheme_that_is_not_there_is_one_sentence():
    with pytest.raises(FaceSegKitError, match="neither 'five' nor 'all' nor a file"):
        read_scheme("none.json")


# --- segment ------------------------------------------------------------------------------------


def test_inference_writes_the_mask_at_the_photos_size(tmp_path, photo, model):
    output = tmp_path / "mask.png"
    finished = run(
        "inference.py", "--image", photo, "--model", model, "--aligned", "--output", output,
        cwd=tmp_path,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    with Image.open(output) as mask:
        assert mask.size == (90, 60) and mask.mode == "RGB"
        colours = {colour for _, colour in mask.getcolors()}
    assert colours <= set(map(tuple, FIVE_FEATURES.palette.tolist())) and len(colours) > 1


def test_a_photo_without_a_face_is_told(tmp_path, photo, capsys):
    """An empty mask is written all the same."""
    output = tmp_path / "mask.png"
    assert (
        segment_one(["--image", str(photo), "--model", "unet-synthetic", "--output", str(output)])
        == 0
    )
    assert f"no face was found in {photo}" in capsys.readouterr().out
    assert main(["segment", str(photo), "--output-dir", str(tmp_path / "all")]) == 0
    said = capsys.readouterr().out
    assert f"no face was found in {photo}" in said and "--aligned" not in said
    for path in (output, tmp_path / "all" / "photo.png"):
        with Image.open(path) as mask:
            assert mask.size == (90, 60) and mask.getcolors() == [(90 * 60, (0, 0, 0))]


def test_where_a_model_of_ones_own_finds_no_face_there_is_a_hint(tmp_path, photo, model, capsys):
    """This model has learnt nothing at all."""
    arguments = ["--image", str(photo), "--model", str(model), "--output", str(tmp_path / "a.png")]
    assert segment_one(arguments) == 0
    said = capsys.readouterr().out
    assert f"no face was found in {photo}" in said
    assert f"{model} may have been trained too little" in said and "--aligned" in said
    segment_one([*arguments, "--aligned"])
    assert "trained too little" not in capsys.readouterr().out


def test_a_face_can_be_required(tmp_path, photo, two_faces, capsys):
    """What was found is written all the same."""
    output = tmp_path / "mask.png"
    required = ["--require-face", "--model", "unet-synthetic"]
    assert segment_one(["--image", str(photo), *required, "--output", str(output)]) == 1
    assert f"There is no face in {photo}, and one is required" in capsys.readouterr().err
    assert output.exists()
    assert segment_one(["--image", str(two_faces), *required, "--output", str(output)]) == 0
    both = ["segment", str(photo), str(two_faces), *required, "--output-dir", str(tmp_path)]
    assert main(both) == 1
    assert "There is no face in 1 of 2 photos, and one is required" in capsys.readouterr().err
    assert (tmp_path / "photo.png").exists() and (tmp_path / "two.png").exists()


@pytest.fixture(scope="session")
def two_faces(tmp_path_factory):
    """A drawn face, and a larger one beside it."""
    picture = Image.new("RGB", (900, 480), (120, 130, 140))
    for index, (side, corner) in enumerate([(260, (40, 100)), (420, (420, 30))]):
        face = Image.fromarray(synthesize_face(seed=9_000, index=index).photo)
        picture.paste(face.resize((side, side)), corner)
    path = tmp_path_factory.mktemp("two") / "two.png"
    picture.save(path)
    return path


def test_all_faces_or_the_largest_as_numbers(tmp_path, two_faces, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--image", str(two_faces), "--model", "unet-synthetic", "--view", "json"]
    assert segment_one(arguments) == 0
    both = json.loads((tmp_path / "segmentation_result.json").read_text())
    assert (both["photo"], both["width"], both["height"]) == ("two.png", 900, 480)
    left, right = sorted(both["faces"], key=lambda face: face["frame"]["x"])
    for face, middle, side in ((left, (170, 230), 260), (right, (630, 240), 420)):
        frame = face["frame"]
        assert (frame["x"], frame["y"]) == pytest.approx(middle, abs=0.1 * side)
        assert frame["size"] == pytest.approx(side, rel=0.2)
        assert face["box"]["left"] < middle[0] < face["box"]["right"]
    arguments = ["segment", str(two_faces), "--model", "unet-synthetic", "--view", "json"]
    assert main([*arguments, "--faces", "largest", "--output-dir", "out"]) == 0
    largest = json.loads((tmp_path / "out" / "two.json").read_text())
    assert largest["faces"] == [right]


@pytest.mark.parametrize("view", ["mask", "overlay", "panel", "labels"])
def test_inference_knows_the_views(tmp_path, photo, model, view):
    output = tmp_path / "result.png"
    arguments = ["--image", photo, "--model", model, "--output", output, "--view", view]
    assert segment_one([str(argument) for argument in arguments]) == 0
    with Image.open(output) as picture:
        assert picture.mode == ("L" if view == "labels" else "RGB")
        assert (picture.size == (90, 60)) == (view != "panel")


def test_segment_takes_photos_and_folders(tmp_path, photo, model, capsys):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (30, 20), "tan").save(folder / name)
    (folder / "notes.txt").write_text("no photo")
    out = tmp_path / "out"
    arguments = ["segment", photo, folder, "--model", model, "--output-dir", out]
    assert main([*map(str, arguments), "--view", "labels"]) == 0
    assert sorted(os.listdir(out)) == ["a.png", "b.png", "photo.png"]
    with Image.open(out / "a.png") as labels:
        assert labels.size == (30, 20) and np.asarray(labels).max() < 6


def test_segment_goes_on_after_a_bad_photo_and_says_so(tmp_path, photo, model, capsys):
    (tmp_path / "broken.jpg").write_bytes(photo.read_bytes()[:500])
    out = tmp_path / "out"
    arguments = ["segment", tmp_path / "broken.jpg", photo, "--model", model, "--output-dir", out]
    assert main([str(argument) for argument in arguments]) == 1
    said = capsys.readouterr().err
    assert "broken.jpg is damaged or cut short" in said
    assert "1 of 2 could not be segmented" in said
    assert os.listdir(out) == ["photo.png"]


def test_a_result_that_cannot_be_saved_does_not_stop_the_rest(tmp_path, photo, model, capsys):
    name = "名" * 80  # of 240 bytes: a file system's most are 255
    (tmp_path / "photos").mkdir()
    for stem in (name, "other"):
        shutil.copy(photo, tmp_path / "photos" / f"{stem}.jpg")
    out = tmp_path / "out"
    (out / "other.png").mkdir(parents=True)
    arguments = ["segment", tmp_path / "photos", "--model", model, "--output-dir", out]
    assert main([str(argument) for argument in arguments]) == 1
    said = capsys.readouterr().err
    assert "other.png: Is a directory" in said and "1 of 2 could not be segmented" in said
    assert (out / f"{name}.png").is_file()


@pytest.mark.parametrize("as_folder", [True, False])
def test_originals_are_never_written_over(as_folder, tmp_path, model, capsys):
    Image.new("RGB", (30, 20), "tan").save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    given = tmp_path if as_folder else tmp_path / "a.png"
    arguments = ["segment", given, "--model", model, "--output-dir", tmp_path]
    assert main([str(argument) for argument in arguments]) == 1
    assert "would be written over" in sentence(capsys)
    one = ["--image", tmp_path / "a.png", "--model", model, "--output", tmp_path / "a.png"]
    assert segment_one([str(argument) for argument in one]) == 1
    assert (tmp_path / "a.png").read_bytes() == before


def test_two_photos_of_one_name_are_refused_before_any_work(tmp_path, photo, capsys):
    (tmp_path / "photo.png").touch()
    status = main(["segment", str(photo), str(tmp_path / "photo.png"), "--output-dir", "x"])
    assert status == 1 and "would both be written to" in sentence(capsys)


# --- what goes wrong ----------------------------------------------------------------------------


def test_a_missing_model_says_which_file_and_what_to_run(photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert segment_one(["--image", str(photo), "--model", "own.pth"]) == 1
    said = sentence(capsys)
    assert "own.pth" in said and "python face_segmentation.py" in said
    assert sorted(os.listdir(tmp_path)) == ["photo.jpg"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prepare", "nowhere"], "nowhere"),
        (["train", "--data", "nowhere", "--epochs", "1"], "nowhere"),
        (["evaluate", "--model", "nowhere.pth"], "nowhere.pth"),
        (["segment", "photo.jpg", "--model", "nowhere.onnx"], "nowhere.onnx"),
        (["synthesize", "file.txt"], "file.txt"),
        (["train", "--data", "nowhere", "--model", "."], "ends in .pth"),
        (["train", "--data", "nowhere", "--model", "training_loss.png"], "ends in .pth"),
        (["train", "--data", "nowhere", "--model", "folder.pth"], "ends in .pth"),
    ],
)
def test_each_failure_is_one_sentence_and_a_status(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file.txt").write_text("in the way")
    Path("folder.pth").mkdir()
    assert main(arguments) == 1
    assert said in sentence(capsys)


@pytest.mark.parametrize("value", ["-1", "1.5", str(2**63)])
def test_a_seed_that_is_none_is_refused(value, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--seed", value])
    assert stopped.value.code == 2 and "invalid seed value" in capsys.readouterr().err


def test_an_export_that_is_not_the_same_takes_no_files_place(model, tmp_path, monkeypatch, capsys):
    def refuse(agreement, path):
        raise FaceSegKitError("It is another model.")

    monkeypatch.setattr("facesegkit.export.check_agreement", refuse)
    (tmp_path / "model.onnx").write_text("as it was")
    assert main(["export", "--model", str(model), "--output", str(tmp_path / "model.onnx")]) == 1
    assert "another model" in sentence(capsys)
    assert [file.name for file in tmp_path.glob("*.onnx")] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_text() == "as it was"


@pytest.mark.parametrize("option", ["--model", "--report"])
def test_training_sees_first_that_it_can_save(option, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    arguments = ["train", "--data", "nowhere", option, str(tmp_path / "file" / "x.pth")]
    assert main(arguments) == 1
    assert "Cannot write to the folder" in sentence(capsys)


def test_an_output_that_cannot_be_written_is_one_sentence(photo, model, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    status = segment_one(
        ["--image", str(photo), "--model", str(model), "--output", str(tmp_path / "file" / "x.png")]
    )
    assert status == 1 and "Cannot write" in sentence(capsys)


def test_a_lossy_mask_is_refused_before_any_work(tmp_path, capsys):
    status = segment_one(["--image", "none.jpg", "--output", str(tmp_path / "mask.jpg")])
    assert status == 1 and "would change its values" in sentence(capsys)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "ten"])
def test_a_budget_that_is_no_positive_number_is_refused(value, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--minutes", value])
    assert stopped.value.code == 2
    assert "positive float" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there is not enough memory for this."),
        (OSError(errno.ENAMETOOLONG, "File name too long", "long.png"), "long.png: File name"),
        (OSError(errno.ESTALE, "Stale file handle"), "facesegkit: Stale file handle."),
        (OSError("no more of it"), "facesegkit: no more of it."),
        (ModuleNotFoundError(name="av"), "needs av, which is not installed: pip install 'faceseg"),
        (ModuleNotFoundError(name="av"), "[video]"),
        (ModuleNotFoundError(name="torch"), "[train]"),
    ],
)
def test_what_nobody_has_thought_of_is_one_sentence_too(error, said, monkeypatch, capsys):
    monkeypatch.setattr("facesegkit._weights", Mock(side_effect=error))
    assert main(["models"]) == 1
    assert said in sentence(capsys)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), ModuleNotFoundError(name="facesegkit.none"), RuntimeError("?")]
)
def test_a_mistake_of_ours_is_not_hidden(error, monkeypatch):
    monkeypatch.setattr("facesegkit._weights", Mock(side_effect=error))
    with pytest.raises(type(error)):
        main(["models"])


def test_help_is_quick_and_needs_no_torch(tmp_path):
    program = (
        "import sys\nfrom facesegkit import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    for command in ("prepare", "synthesize", "train", "evaluate", "segment"):
        assert command in finished.stdout
