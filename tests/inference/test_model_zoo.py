"""The models that ship: complete, what their cards say, and good at faces."""

from __future__ import annotations

import importlib.util
import json
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
from facesegkit.inference.model_zoo import (
    DEFAULT_MODEL,
    DETECTOR,
    MODEL_NAMES,
    licence_notice,
    load_model,
    model_card,
    weights_path,
)
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import FIVE_FEATURES, paint_parts
from facesegkit.metrics import SegmentationMetrics, confusion_matrix
from facesegkit.synthetic import synthesize_face

TOP = Path(__file__).parent.parent
ASTRONAUT = TOP / "figures" / "astronaut.jpg"
FACE = (129, 11, 319, 201)  # of the astronaut, framed as CelebAMask-HQ frames its faces

# Where the middle of each part lies on that crop, seen by eye, as shares of its side.
PLACES = {
    "eyes": (0.51, 0.48),
    "eyebrows": (0.52, 0.42),
    "nose": (0.50, 0.56),
    "mouth": (0.50, 0.71),
    "lips": (0.50, 0.71),
}


def astronaut() -> Image.Image:
    with Image.open(ASTRONAUT) as image:
        return image.convert("RGB").crop(FACE).resize((512, 512), Image.Resampling.LANCZOS)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_both_forms_are_there_and_alike(name):
    checkpoint = load(weights_path(name, ".pth"))
    photos = np.random.default_rng(0).random((2, 3, 256, 256), dtype=np.float32)
    agreement = compare(checkpoint, weights_path(name), photos)
    assert agreement.largest_difference < 1e-4 and agreement.same_classes >= 0.9999
    model = load_model(name)
    assert model.about["licence"] == model_card(name)["licence"]
    assert model.scheme.to_dict() == FIVE_FEATURES.to_dict()
    assert (
        sum(weights.numel() for weights in checkpoint.model.parameters())
        == (model_card(name)["parameters"])
    )


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_they_find_the_parts_of_a_real_face(name):
    found = FaceSegmenter(name)(astronaut())
    for class_name, place in PLACES.items():
        rows, columns = np.nonzero(found.mask(class_name))
        assert len(rows) > 0.001 * 512 * 512, f"no {class_name}"
        middle = columns.mean() / 512, rows.mean() / 512
        assert np.abs(np.subtract(middle, place)).max() < 0.05, (class_name, middle)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_they_know_drawn_faces(name):
    """Faces that no model was trained on: another seed."""
    segmenter = FaceSegmenter(name)
    matrix = np.zeros((6, 6), dtype=np.int64)
    for index in range(6):
        face = synthesize_face(seed=9_000, index=index)
        truth = FIVE_FEATURES.merge(paint_parts(face.masks, face.photo.shape[:2]))
        matrix += confusion_matrix(truth, segmenter(face.photo).labels, 6)
    assert SegmentationMetrics(matrix).mean_f1 > 0.7


def test_cards_say_what_their_figures_say():
    command = [sys.executable, str(TOP / "benchmarks" / "ship_weights.py"), "--check"]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def test_the_finders_card_says_what_its_figures_say():
    specification = importlib.util.spec_from_file_location(
        "train_detector", TOP / "benchmarks" / "train_detector.py"
    )
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    figures = json.loads(DETECTOR.with_suffix(".json").read_text(encoding="utf-8"))
    assert DETECTOR.with_suffix(".md").read_text(encoding="utf-8") == module.card_text(figures)
    assert figures["licence"] == "MIT" and "synthetic" in figures["training data"]


def test_the_whole_astronaut_has_one_face_and_its_parts_lie_in_it():
    with Image.open(ASTRONAUT) as image:
        whole = image.convert("RGB")
    for name in MODEL_NAMES:
        found = FaceSegmenter(name)(whole)
        frame = found.faces[0].roi
        assert len(found.faces) == 1
        middle = (FACE[0] + FACE[2]) / 2, (FACE[1] + FACE[3]) / 2
        assert np.hypot(frame.x - middle[0], frame.y - middle[1]) < 20
        rows, columns = np.nonzero(found.labels)
        assert columns.min() > FACE[0] and columns.max() < FACE[2]
        assert rows.min() > FACE[1] and rows.max() < FACE[3]
        assert len(np.unique(found.labels)) == 6


def test_the_command_lists_them(capsys):
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    for name in MODEL_NAMES:
        (line,) = (line for line in said.splitlines() if line.split()[0] == name)
        assert (
            f"{model_card(name)['test']['mean_f1']:.3f}" in line
            and model_card(name)["licence"] in line
        )


def test_the_licence_is_told_in_one_line_where_there_is_a_limit(tmp_path, capsys):
    for name in MODEL_NAMES:
        result = tmp_path / "result.png"
        arguments = ["--image", str(ASTRONAUT), "--output", str(result), "--model", name]
        assert segment_one(arguments) == 0
        said = capsys.readouterr().err
        assert said == (f"{licence_notice(name)}\n" if licence_notice(name) else "")
        assert bool(said) == ("non-commercial" in model_card(name)["licence"])


def test_inference_takes_the_default_where_nothing_was_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert segment_one(["--image", str(ASTRONAUT)]) == 0
    assert f"'{DEFAULT_MODEL}'" in capsys.readouterr().err
    assert (tmp_path / "segmentation_result.png").exists()


def test_unknown_and_incomplete_models(tmp_path, monkeypatch):
    with pytest.raises(FaceSegKitError, match="There is no model 'best'; the names are"):
        weights_path("best")
    monkeypatch.setattr("facesegkit.inference.model_zoo.FOLDER", tmp_path)
    with pytest.raises(FaceSegKitError, match="separable.onnx .* install facesegkit again"):
        load_model("separable")
    (tmp_path / "unet.json").write_text("{")
    with pytest.raises(FaceSegKitError, match="unet.json .* damaged"):
        model_card("unet")


# --- the wheel ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # Setuptools writes beside the sources, which may be read-only or someone else's.
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        source.mkdir(exist_ok=True)
        (source / name).write_bytes((TOP / name).read_bytes())
    for path in (TOP / "facesegkit").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = source / path.relative_to(TOP)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_holds_the_models_and_is_small(wheel):
    assert wheel.stat().st_size < 5_000_000
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name in MODEL_NAMES:
        for suffix in (".onnx", ".pth", ".json", ".md"):
            assert f"facesegkit/weights/{name}{suffix}" in names


def test_the_wheel_segments_with_its_three_packages_alone(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path / "site")!r})

class Nothing:
    "Finds no other installed package, as in an environment where there is none."
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        allowed = ("facesegkit", "numpy", "PIL", "onnxruntime")
        if top not in allowed and top not in sys.stdlib_module_names and not top.startswith("_"):
            raise ModuleNotFoundError("not installed: " + name, name=name)

sys.meta_path.insert(0, Nothing())
from facesegkit import __file__
from facesegkit.cli import main
assert __file__.startswith({str(tmp_path / "site")!r}), __file__
status = main.main(["segment", {str(ASTRONAUT)!r}, "--output-dir", {str(tmp_path / "out")!r}])
assert "torch" not in sys.modules
sys.exit(status)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out" / "astronaut.png") as mask:
        assert mask.size == (512, 512)
