"""The commands as users run them: the files that they write and the messages that they print."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import MagicMock, Mock

import numpy as np
import pytest
import torch
from PIL import Image

from facesegkit.batch import photo as batch_photo
from facesegkit.checkpoint import ARCHITECTURES, Checkpoint, build_model, load, save
from facesegkit.cli import common, main, train
from facesegkit.errors import FaceSegKitError
from facesegkit.geometry import FACE_CROP, FULL_IMAGE
from facesegkit.inference.model_zoo import weights_path
from facesegkit.inference.pipeline import FaceAnalyzer
from facesegkit.inference.results import AnalyzedFace, FaceLogits
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES
from facesegkit.synthetic import synthesize_face
from facesegkit.transforms import ALIGNED_AUGMENTATION

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(synthetic, tmp_path_factory):
    """A folder in which the main command has run, briefly."""
    folder = tmp_path_factory.mktemp("trained")
    finished = run(
        "face_segmentation.py", "--data", synthetic, "--cache", folder / "cache",
        "--epochs", "2", "--split", "all", cwd=folder,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture
def model(tmp_path):
    """An untrained model, which predicts arbitrary classes."""
    path = tmp_path / "model.pth"
    fresh = build_model("separable")
    torch.nn.init.zeros_(fresh.head.bias)  # otherwise it predicts background everywhere
    save(Checkpoint("separable", fresh, FIVE_FEATURES), path)
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)).save(path)
    return path


def run(script, *arguments, cwd):
    command = [sys.executable, str(TOP / script), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def facesegkit(*arguments):
    """Exit status of the `facesegkit` command."""
    return main.main([str(argument) for argument in arguments])


def inference(*arguments):
    """Exit status of inference.py."""
    return main.segment_one([str(argument) for argument in arguments])


def message(capsys):
    """The only message on standard error, apart from progress bars."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("facesegkit")]
    assert len(lines) == 1
    return lines[0]


def test_training_saves_model_history_curves_scores_and_figures(trained):
    model = "face_segmentation_model.pth"
    assert {model, "face_segmentation_model.csv", "training_loss.png"} <= set(os.listdir(trained))
    assert set(os.listdir(trained / "evaluation")) == {"scores.json", "confusion.png", "cases.png"}
    for name in ("training_loss.png", "evaluation/confusion.png", "evaluation/cases.png"):
        with Image.open(trained / name) as figure:
            assert min(figure.size) > 300

    about = load(trained / model).about
    assert about["split_rule"].startswith("hash of the id")
    assert "40 pairs" in about["data"]
    assert about["config"]["batch_size"] == 16
    scores = json.loads((trained / "evaluation" / "scores.json").read_text())
    assert about["scores"] == scores
    assert sum(map(sum, scores["matrix"])) == 40 * 512 * 512


def test_evaluate_repeats_the_scores_of_training(trained, synthetic, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    given = ["--data", synthetic, "--cache", "cache", "--split", "all"]
    assert facesegkit("evaluate", *given, "--report", "new") == 0
    before, after = (Path(name, "scores.json").read_text() for name in ("evaluation", "new"))
    assert json.loads(before) == json.loads(after)
    assert "eyebrows" in capsys.readouterr().out


def test_a_model_of_the_face_crop_is_evaluated_as_it_was_trained(synthetic, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["--data", synthetic, "--split", "all"]
    assert facesegkit("train", "--crop", "face", "--epochs", "1", *given) == 0
    assert facesegkit("evaluate", "--report", "again", *given) == 0
    checkpoint = load("face_segmentation_model.pth")
    assert checkpoint.crop == FACE_CROP
    (cache,) = Path("data", "cache").iterdir()  # one cache, in which the face crop has 256 pixels
    assert np.load(cache / "photos.npy", mmap_mode="r").shape == (40, 320, 320, 3)
    again = json.loads(Path("again", "scores.json").read_text())
    assert checkpoint.about["scores"] == again
    assert sum(map(sum, again["matrix"])) == 40 * 512 * 512


def test_training_from_a_model_with_a_teacher(trained, synthetic, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    initial = trained / "face_segmentation_model.pth"
    arguments = ["train", "--data", synthetic, "--cache", trained / "cache", "--init-from", initial]
    arguments += ["--teacher", initial, "--epochs", "1", "--lr", "1e-9"]
    assert facesegkit(*arguments) == 0
    made, before = load("face_segmentation_model.pth"), load(initial)
    assert made.about["init_from"] == str(initial) and made.about["teacher"] == str(initial)
    for weights, others in zip(made.model.parameters(), before.model.parameters(), strict=True):
        torch.testing.assert_close(weights, others, atol=1e-5, rtol=1e-5)
    capsys.readouterr()
    for differs, expected in (
        (("--scheme", "all"), "has the classes background, eyes, "),
        (("--arch", "unet"), f"{initial} has the architecture separable, not unet; leave out"),
        (("--crop", "face"), f"{initial} was trained with --crop photo, not --crop face"),
        (("--teacher", "unet"), "unet was trained with --crop face, not --crop photo; give models"),
    ):
        assert facesegkit(*arguments, *differs) == 1
        assert expected in message(capsys)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ("separable", FIVE_FEATURES, FULL_IMAGE)),
        (["--init-from", "unet-open"], ("unet", FIVE_FEATURES, FACE_CROP)),
        (["--teacher", "unet-19"], ("separable", ALL_PARTS, FULL_IMAGE)),
    ],
)
def test_a_model_is_like_the_one_that_it_learns_from(given, expected, monkeypatch):
    fit, caches = Mock(side_effect=KeyboardInterrupt), Mock(return_value=[Mock()])
    monkeypatch.setattr(train, "_open_caches", caches)
    monkeypatch.setattr(train, "_split", MagicMock())
    monkeypatch.setattr(train, "_check_outputs", Mock())
    monkeypatch.setattr(train, "_summary", Mock())
    monkeypatch.setattr(train, "fit", fit)
    assert facesegkit("train", *given) == 130
    model, *_, config, run = fit.call_args.args
    arch, scheme, crop = expected
    assert type(model) is ARCHITECTURES[arch]
    assert run.metadata["scheme"] == scheme.to_dict() and run.metadata["crop"] == crop.to_dict()
    assert (config.augmentation == ALIGNED_AUGMENTATION) == (crop == FACE_CROP)


def test_training_on_synthetic_faces_with_a_scheme_from_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("ears.json").write_text('{"ears": ["l_ear", "r_ear"], "hair": ["hair"]}')
    options = ["--num-synthetic", "40", "--epochs", "1", "--arch", "unet", "--scheme", "ears.json"]
    assert facesegkit("train", *options) == 0
    assert len(list(Path("data/synthetic/CelebA-HQ-img").iterdir())) == 40
    assert "no --data given" in capsys.readouterr().out
    checkpoint = load("face_segmentation_model.pth")
    assert checkpoint.arch == "unet"
    assert checkpoint.scheme.class_names == ("background", "ears", "hair")
    assert train.read_scheme("five") is FIVE_FEATURES and train.read_scheme("all") is ALL_PARTS


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"eyes": ["l_eye", "third_eye"]}', "third_eye"),
        ("[1, 2]", "holds no table of classes"),
        ("{", "is not valid JSON"),
        ('{"classes": 3}', "needs 'classes'"),
        ('{"classes": {"eyes": ["l_eye"]}, "colours": 7}', "colour"),
        (None, "neither 'five' nor 'all' nor a file"),
    ],
)
def test_an_invalid_scheme_is_one_sentence(tmp_path, content, expected):
    path = tmp_path / "scheme.json"
    if content:
        path.write_text(content)
    with pytest.raises(FaceSegKitError, match=expected):
        train.read_scheme(str(path))


def test_inference_writes_the_mask_at_the_photos_size(tmp_path, photo, model):
    output = tmp_path / "mask.png"
    arguments = ["--image", photo, "--model", model, "--aligned", "--output", output]
    finished = run("inference.py", *arguments, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    with Image.open(output) as mask:
        assert mask.size == (90, 60) and mask.mode == "RGB"
        colours = {colour for _, colour in mask.getcolors()}
    assert colours <= set(map(tuple, FIVE_FEATURES.palette.tolist())) and len(colours) > 1


def test_a_photo_without_a_face_is_reported(tmp_path, photo, capsys):
    """An empty mask is still written."""
    output = tmp_path / "mask.png"
    assert inference("--image", photo, "--model", "unet-synthetic", "--output", output) == 0
    assert f"no face was detected in {photo}" in capsys.readouterr().out
    assert facesegkit("segment", photo, "--output-dir", tmp_path / "all") == 0
    printed = capsys.readouterr().out
    assert f"no face was detected in {photo}" in printed and "--aligned" not in printed
    for path in (output, tmp_path / "all" / "photo.png"):
        with Image.open(path) as mask:
            assert mask.size == (90, 60) and mask.getcolors() == [(90 * 60, (0, 0, 0))]


def test_a_hint_if_a_model_of_the_users_own_recognizes_no_face(tmp_path, photo, model, capsys):
    arguments = ["--image", photo, "--model", model, "--output", tmp_path / "a.png"]
    assert inference(*arguments) == 0
    assert "--aligned takes the whole photo for a face" in capsys.readouterr().out
    inference(*arguments, "--aligned")
    assert "--aligned" not in capsys.readouterr().out


def test_a_face_in_which_no_part_is_visible(tmp_path, two_faces, monkeypatch, capsys):
    def blank(self, photo, candidate):
        logits = np.full((6, 8, 8), -9, np.float32) * np.arange(6)[:, None, None]
        return AnalyzedFace(candidate.roi, FaceLogits(logits, candidate.roi), candidate.confidence)

    monkeypatch.setattr(FaceAnalyzer, "segment", blank)
    given = ["--image", two_faces, "--model", "unet-synthetic", "--output", tmp_path / "a.png"]
    assert inference(*given, "--require-face") == 0
    assert f"no part of a face could be segmented in {two_faces}" in capsys.readouterr().out


def test_a_face_can_be_required(tmp_path, photo, two_faces, capsys):
    """Results are still written."""
    output = tmp_path / "mask.png"
    required = ["--require-face", "--model", "unet-synthetic"]
    assert inference("--image", photo, *required, "--output", output) == 1
    assert f"No face was detected in {photo}, but one is required" in capsys.readouterr().err
    assert output.exists()
    assert inference("--image", two_faces, *required, "--output", output) == 0
    assert facesegkit("segment", photo, two_faces, *required, "--output-dir", tmp_path) == 3
    assert "No face was detected in 1 of 2 photos, but one is" in capsys.readouterr().err
    assert (tmp_path / "photo.png").exists() and (tmp_path / "two.png").exists()


@pytest.fixture(scope="session")
def two_faces(tmp_path_factory):
    """A synthetic face, and a larger one beside it."""
    image = Image.new("RGB", (900, 480), (120, 130, 140))
    for index, (side, corner) in enumerate([(260, (40, 100)), (420, (420, 30))]):
        face = Image.fromarray(synthesize_face(seed=9_000, index=index).photo)
        image.paste(face.resize((side, side)), corner)
    path = tmp_path_factory.mktemp("two") / "two.png"
    image.save(path)
    return path


def test_all_faces_or_the_largest_as_numbers(tmp_path, two_faces, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["--model", "unet-synthetic", "--view", "json"]
    assert inference("--image", two_faces, *given) == 0
    both = json.loads((tmp_path / "segmentation_result.json").read_text())
    assert (both["photo"], both["width"], both["height"]) == ("two.png", 900, 480)
    left, right = sorted(both["faces"], key=lambda face: face["roi"]["x"])
    for face, centre, side in ((left, (170, 230), 260), (right, (630, 240), 420)):
        roi = face["roi"]
        assert (roi["x"], roi["y"]) == pytest.approx(centre, abs=0.1 * side)
        assert roi["size"] == pytest.approx(side, rel=0.2)
        assert face["bbox"]["left"] < centre[0] < face["bbox"]["right"]
    assert facesegkit("segment", two_faces, *given, "--faces", "largest", "--output-dir", ".") == 0
    assert json.loads((tmp_path / "two.json").read_text())["faces"] == [right]


def test_a_search_and_a_lowest_confidence(tmp_path, two_faces, monkeypatch):
    used = Mock(wraps=FaceSegmenter)
    monkeypatch.setattr(batch_photo, "FaceSegmenter", used)
    batch_photo.open_segmenter.cache_clear()
    given = ["--model", "unet-synthetic", "--view", "json", "--output", tmp_path / "a.json"]

    def faces(*options):
        assert facesegkit("segment", two_faces, *given, *options) == 0
        return len(json.loads((tmp_path / "a.json").read_text())["faces"])

    assert faces("--search", "fast") == 2
    assert faces("--min-confidence", "0") >= 2 and faces("--min-confidence", "1") == 0
    assert inference("--image", two_faces, *given, "--search", "thorough") == 0
    assert [call.kwargs["search"] for call in used.call_args_list] == [
        "fast", "default", "default", "thorough",
    ]  # fmt: skip


@pytest.mark.parametrize("view", ["mask", "overlay", "panel", "labels"])
def test_inference_writes_each_view(tmp_path, photo, model, view):
    output = tmp_path / "result.png"
    assert inference("--image", photo, "--model", model, "--output", output, "--view", view) == 0
    with Image.open(output) as image:
        assert image.mode == ("L" if view == "labels" else "RGB")
        assert (image.size == (90, 60)) == (view != "panel")


def test_segment_takes_photos_and_folders(tmp_path, photo, model):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (30, 20), "tan").save(folder / name)
    (folder / "notes.txt").write_text("no photo")
    out = tmp_path / "out"
    given = ["--model", model, "--output-dir", out, "--view", "labels"]
    assert facesegkit("segment", photo, folder, *given) == 0
    assert sorted(path.name for path in out.glob("[!.]*")) == ["a.png", "b.png", "photo.png"]
    with Image.open(out / "a.png") as labels:
        assert labels.size == (30, 20) and np.asarray(labels).max() < 6


def test_segment_reports_bad_files_and_continues(tmp_path, photo, model, capsys):
    name = "名" * 80  # 240 bytes; most file systems allow 255
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    for stem in (name, "unwritable"):
        shutil.copy(photo, folder / f"{stem}.jpg")
    (folder / "broken.jpg").write_bytes(photo.read_bytes()[:500])
    (out / "unwritable.png").mkdir(parents=True)
    assert facesegkit("segment", folder, "--model", model, "--output-dir", out) == 3
    printed = capsys.readouterr().err
    assert "broken.jpg is damaged" in printed
    assert "unwritable.png: Is a directory" in printed
    assert "2 of 3 files could not be segmented" in printed
    assert sorted(path.name for path in out.glob("[!.]*")) == ["unwritable.png", f"{name}.png"]


def test_the_exit_status_says_whether_all_some_or_none_succeeded(tmp_path, photo, model, capsys):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo.read_bytes()[:500])
    given = ["--model", model, "--output-dir", tmp_path / "out"]
    assert facesegkit("segment", photo, *given) == 0
    assert facesegkit("segment", photo, broken, *given) == 3
    assert facesegkit("segment", broken, tmp_path / "missing.jpg", *given) == 1
    with pytest.raises(SystemExit) as stopped:
        facesegkit("segment")
    assert stopped.value.code == 2
    with pytest.raises(SystemExit):
        facesegkit("--help")
    assert "3 if only some of the inputs did" in " ".join(capsys.readouterr().out.split())


def test_originals_are_never_overwritten(tmp_path, model, capsys):
    path = tmp_path / "a.png"
    Image.new("RGB", (30, 20), "tan").save(path)
    before = path.read_bytes()
    for given in (tmp_path, path):
        assert facesegkit("segment", given, "--model", model, "--output-dir", tmp_path) == 1
        assert "would overwrite" in capsys.readouterr().err
    assert inference("--image", path, "--model", model, "--output", path) == 1
    assert path.read_bytes() == before


def test_a_terminal_shows_progress_bars(tmp_path, photo, model, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert facesegkit("segment", photo, "--model", model, "--output-dir", tmp_path) == 0
    printed = capsys.readouterr()
    assert "photo [" in printed.err and f"no face was detected in {photo}\n" in printed.out
    for total, expected in ((0, "3frame ["), (5, "3/5 [")):
        with common.progress_bar("frame") as update:
            time.sleep(0.15)  # a bar is redrawn ten times a second
            update(3, total)
        assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["prepare", "nowhere"], "nowhere"),
        (["train", "--data", "nowhere", "--epochs", "1"], "There is no data set nowhere; give a"),
        (["train", "--init-from", "nowhere.pth"], "or name another with --init-from."),
        (
            ["train", "--teacher", "x.onnx"],
            "x.onnx is a good ONNX file, but only for segmenting: --teacher of this command needs",
        ),
        (["pseudo-label", "a.jpg", "--output", "o", "--model", "x.onnx"], "a good ONNX file"),
        (["evaluate", "--model", "empty.onnx"], "empty.onnx is not a model of facesegkit"),
        (
            ["evaluate", "--model", "seperable"],
            "did you mean 'separable'? The names are",
        ),
        (["export", "--model", "UNET-OPEN"], "did you mean 'unet-open'?"),
        (["train", "--init-from", "seperable.pth"], "did you mean 'separable'?"),
        (["segment", "photo.jpg", "--model", "separable.onnx"], "did you mean 'separable'?"),
        (["evaluate", "--model", "nowhere.pth"], "nowhere.pth"),
        (["segment", "photo.jpg", "--model", "nowhere.onnx"], "nowhere.onnx"),
        (["segment", "photo.jpg", "--model", "own.pth"], "python face_segmentation.py"),
        (["segment", "photo.jpg", "photo.png"], "would both be written to"),
        (["synthesize", "file.txt"], "file.txt"),
        (["train", "--data", "nowhere", "--model", "training_loss.png"], "ends in .pth"),
        (["train", "--data", "nowhere", "--model", "folder.pth"], "ends in .pth"),
        (["train", "--data", "nowhere", "--model", "file.txt/x.pth"], "Cannot write to the folder"),
        (["train", "--data", "nowhere", "--report", "file.txt/x"], "Cannot write to the folder"),
        (["export", "--model", "unet", "--output", "model.pth"], "ends in .onnx"),
        (["segment", "file.txt", "--output", "mask.jpg"], "would change its values"),
        (["segment", "file.txt", "--output", "file.txt/x.png"], "Cannot write"),
        (["segment", "photo.jpg", "--min-confidence", "1.5"], "in 0..1, not 1.5"),
        (["segment", "photo.jpg", "--min-confidence", "nan"], "in 0..1, not nan"),
        (["segment", "photo.jpg", "--aligned", "--search", "fast"], "no effect with --aligned"),
        (["segment", "photo.jpg", "--aligned", "--min-confidence", "0"], "leave out one or"),
    ],
)
def test_each_failure_is_one_sentence(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file.txt").write_text("in the way")
    Path("folder.pth").mkdir()
    Path("empty.onnx").touch()
    shutil.copy(weights_path("separable-synthetic"), "x.onnx")
    assert facesegkit(*arguments) == 1
    assert expected in message(capsys)


def test_an_export_that_differs_replaces_no_file(model, tmp_path, monkeypatch, capsys):
    reject = Mock(side_effect=FaceSegKitError("It is another model."))
    monkeypatch.setattr("facesegkit.export.check_agreement", reject)
    path = tmp_path / "model.onnx"
    path.write_text("unchanged")
    assert facesegkit("export", "--model", model, "--output", path) == 1
    assert "another model" in message(capsys)
    assert list(tmp_path.glob("*.onnx")) == [path]
    assert path.read_text() == "unchanged"


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        *(("--seed", value, "invalid seed value") for value in ("-1", "1.5", str(2**63))),
        *(("--minutes", value, "positive float") for value in ("0", "-1", "nan", "inf", "ten")),
    ],
)
def test_an_invalid_number_is_rejected(option, value, expected, capsys):
    with pytest.raises(SystemExit) as stopped:
        facesegkit("train", option, value)
    assert stopped.value.code == 2 and expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), "there is not enough memory for this."),
        (OSError(errno.ENAMETOOLONG, "File name too long", "long.png"), "long.png: File name"),
        (OSError(errno.ESTALE, "Stale file handle"), "facesegkit: Stale file handle."),
        (OSError("no more of it"), "facesegkit: no more of it."),
        (ModuleNotFoundError(name="av"), "needs av, which is not installed: pip install 'faceseg"),
        (ModuleNotFoundError(name="av"), "[video]"),
        (ModuleNotFoundError(name="torch"), "[train]"),
        (ModuleNotFoundError(name="facesegkit.none"), None),
        (RuntimeError("?"), None),
    ],
)
def test_unexpected_errors_are_one_sentence_but_bugs_show(error, expected, monkeypatch, capsys):
    monkeypatch.setattr(main, "_models", Mock(side_effect=error))
    if expected:
        assert facesegkit("models") == 1
        assert expected in message(capsys)
    else:
        with pytest.raises(type(error)):
            facesegkit("models")


def test_help_needs_no_torch():
    program = (
        "import sys\nfrom facesegkit.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    for command in ("prepare", "synthesize", "train", "evaluate", "segment"):
        assert command in finished.stdout
