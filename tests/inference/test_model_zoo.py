"""The models that ship: complete, as their cards say, and good at faces."""

import importlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesegkit.checkpoint import load
from facesegkit.cli.main import main, segment_one
from facesegkit.errors import FaceSegKitError
from facesegkit.export import compare
from facesegkit.inference import model_zoo
from facesegkit.inference.model_zoo import (
    DETECTOR_NAMES,
    MODEL_NAMES,
    licence_notice,
    load_model,
    model_card,
    weights_path,
)
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES

TOP = Path(__file__).parents[2]
ASTRONAUT = TOP / "figures" / "astronaut.jpg"
FACE = np.array((129, 11, 319, 201))  # of the astronaut, aligned as in CelebAMask-HQ

# Where the centroid of each part is in that box, by eye, in fractions of its side.
CENTROIDS = {"eyes": (0.51, 0.48), "eyebrows": (0.52, 0.42), "nose": (0.50, 0.56),
             "mouth": (0.50, 0.71), "lips": (0.50, 0.71)}  # fmt: skip


SCHEMES = {"unet-19": ALL_PARTS}  # of the others: five features


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_both_files_predict_the_same(name):
    checkpoint = load(weights_path(name, ".pth"))
    photos = np.random.default_rng(0).random((2, 3, 256, 256), dtype=np.float32)
    agreement = compare(checkpoint, weights_path(name), photos)
    assert agreement.largest_difference < 1e-4 and agreement.same_classes >= 0.9999
    card, parameters = model_card(name), checkpoint.model.parameters()
    assert sum(weights.numel() for weights in parameters) == card["parameters"]
    model = load_model(name)
    assert model.about["licence"] == card["licence"]
    assert model.scheme.to_dict() == SCHEMES.get(name, FIVE_FEATURES).to_dict()
    for pth in (FaceSegmenter(checkpoint).model, load_model(weights_path(name, ".pth"))):
        logits = pth.predict_logits(photos)
        np.testing.assert_allclose(logits, model.predict_logits(photos), atol=1e-4)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_they_segment_the_parts_of_a_real_face(name):
    """Once in the photo, once upsampled to fill it."""
    with Image.open(ASTRONAUT) as image:
        photo = image.convert("RGB")
    close_up = photo.crop(FACE.tolist()).resize((512, 512), Image.Resampling.LANCZOS)
    for image, box in ((photo, FACE), (close_up, np.array((0, 0, 512, 512)))):
        result, side = FaceSegmenter(name)(image), box[2] - box[0]
        (face,), labels = result.faces, result.labels
        assert np.hypot(face.roi.x - box[::2].mean(), face.roi.y - box[1::2].mean()) < 0.11 * side
        if result.scheme.class_names == ALL_PARTS.class_names:
            labels = FIVE_FEATURES.merge(labels)
        assert (labels > 0).sum() == (labels[box[1] : box[3], box[0] : box[2]] > 0).sum()
        for class_id, class_name in enumerate(FIVE_FEATURES.classes, start=1):
            rows, columns = np.nonzero(labels == class_id)
            assert len(rows) > 0.001 * side**2, f"no {class_name}"
            centroid = (np.array((columns.mean(), rows.mean())) - box[:2]) / side
            assert np.abs(centroid - CENTROIDS[class_name]).max() < 0.05, (class_name, centroid)


def test_cards_have_the_figures_of_the_json_files(monkeypatch):
    command = [sys.executable, str(TOP / "benchmarks" / "model_cards.py"), "--check"]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    monkeypatch.syspath_prepend(TOP / "benchmarks")
    module = importlib.import_module("train_detector")
    for name in DETECTOR_NAMES:
        path = model_zoo.FOLDER / name
        figures = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        assert card == module.card_text(name, figures)
        assert (figures["licence"] == "MIT") == (name == "detector-open")


def test_the_command_lists_them_with_their_licence_first(capsys):
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    lines = {line.split()[0]: line for line in printed.splitlines() if line}
    for name in MODEL_NAMES:
        card = model_card(name)
        figures = f"{card['test']['mean_f1']:.3f}"
        size = f"{weights_path(name).stat().st_size / 1e6:.2f} MB"
        at = [lines[name].index(text) for text in (name, card["licence"], size, figures)]
        assert at == sorted(at)
    assert "that of eyes, eyebrows, nose, mouth and lips" in printed


def test_a_notice_names_a_free_model_only_if_there_is_one():
    assert licence_notice("unet").endswith("; 'unet-open' is free for any use.")
    assert licence_notice("unet-19").endswith("like the photos it was trained on.")
    assert licence_notice("unet-synthetic") == ""


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_a_limited_licence_is_printed_in_one_line(name, tmp_path, capsys):
    result = tmp_path / "result.png"
    arguments = ["--image", str(ASTRONAUT), "--output", str(result), "--model", name]
    assert segment_one(arguments) == 0
    printed = capsys.readouterr().err
    assert printed == (f"{licence_notice(name)}\n" if licence_notice(name) else "")
    assert bool(printed) == ("non-commercial" in model_card(name)["licence"])


def test_inference_uses_the_default_model_if_nothing_was_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert segment_one(["--image", str(ASTRONAUT)]) == 0
    assert f"'{model_zoo.DEFAULT_MODEL}'" in capsys.readouterr().err
    assert (tmp_path / "segmentation_result.png").exists()


def test_unknown_and_incomplete_models(tmp_path, monkeypatch):
    with pytest.raises(FaceSegKitError, match="There is no model 'best'; the names are"):
        weights_path("best")
    monkeypatch.setattr(model_zoo, "FOLDER", tmp_path)
    with pytest.raises(FaceSegKitError, match="separable.onnx .* install facesegkit again"):
        load_model("separable")
    with pytest.raises(FaceSegKitError, match="detector.onnx .* install facesegkit again"):
        model_zoo.load_detector("detector")
    with pytest.raises(
        FaceSegKitError, match="There is no detector 'yunet'; the names are detector"
    ):
        model_zoo.load_detector("yunet")
    (tmp_path / "unet.json").write_text("{")
    with pytest.raises(FaceSegKitError, match="unet.json .* damaged"):
        model_card("unet")


FILES_OF_THE_COURSE = [
    "figures/astronaut.jpg",
    *(f"figures/portraits/{number:02}.jpg" for number in range(1, 11)),
    *(f"benchmarks/results/confusion-{name}.npz" for name in MODEL_NAMES),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # setuptools writes beside the sources, which may be read-only
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TOP / "facesegkit", source / "facesegkit", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", *FILES_OF_THE_COURSE):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TOP / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


SEGMENT_ISOLATED = """
import sys
site, photo, output = sys.argv[1:]
sys.path.insert(0, site)

class OnlyThree:
    "Hides all other installed packages."
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        allowed = ("facesegkit", "numpy", "PIL", "onnxruntime")
        if top not in allowed and top not in sys.stdlib_module_names and not top.startswith("_"):
            raise ModuleNotFoundError("not installed: " + name, name=name)

sys.meta_path.insert(0, OnlyThree())
from facesegkit import __file__
from facesegkit.cli import main
assert __file__.startswith(site), __file__
status = main.main(["segment", photo, "--output-dir", output])
assert "torch" not in sys.modules
sys.exit(status)
"""


def test_the_wheel_is_small_and_segments_with_three_packages(wheel, tmp_path):
    assert wheel.stat().st_size < 8_000_000
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        names = set(archive.namelist())
    suffixes = (".onnx", ".pth", ".json", ".md")
    assert {f"facesegkit/weights/{name}{s}" for name in MODEL_NAMES for s in suffixes} <= names
    paths = [str(tmp_path / "site"), str(ASTRONAUT), str(tmp_path / "out")]
    command = [sys.executable, "-I", "-c", SEGMENT_ISOLATED, *paths]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    with Image.open(tmp_path / "out" / "astronaut.png") as mask:
        assert mask.size == (512, 512)


COURSE_WITHOUT_THE_PROJECT = """
import sys
site, *files = sys.argv[1:]
sys.path.insert(0, site)
from facesegkit.course.lesson_data import course_file, portraits
assert course_file.__code__.co_filename.startswith(site)
assert all(course_file(file).is_file() for file in files), files
assert len(portraits()) == 10 and all(path.is_file() for path in portraits().values())
assert not course_file("figures/no.jpg").exists()
"""


def test_the_wheel_has_the_files_that_the_course_reads(wheel, tmp_path):
    pytest.importorskip("torch")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    # Without --ignore-installed, pip removes the installed package, in spite of the prefix.
    command += ["--ignore-installed", "--prefix", str(tmp_path), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    (module,) = tmp_path.rglob("facesegkit/__init__.py")
    site = str(module.parents[1])
    command = [sys.executable, "-c", COURSE_WITHOUT_THE_PROJECT, site, *FILES_OF_THE_COURSE]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
