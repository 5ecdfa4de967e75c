"""Masks of the careless annotator: overlaps, planted errors, and their list in the folder."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facesegkit.cli.main import main
from facesegkit.data.celebamask_hq import Archive
from facesegkit.errors import FaceSegKitError
from facesegkit.labels import FIVE_FEATURES, paint_parts
from facesegkit.synthetic import SyntheticFace, annotator, files, synthesize_dataset
from facesegkit.synthetic import synthesize_face as original
from facesegkit.synthetic.annotator import (
    KINDS,
    PLANTED,
    PlantedError,
    annotate,
    plan_errors,
    read_planted_errors,
)

SHAPE = 512, 512


@pytest.fixture(scope="module")
def faces() -> list[SyntheticFace]:
    return [original(11, index) for index in range(8)]


def rectangle(top: int, left: int, bottom: int, right: int) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def a_face(seed: int, index: int) -> SyntheticFace:
    """Rectangles instead of a face, with a fringe of hair over the left brow of every second."""
    masks = {
        "nose": rectangle(260, 230, 340, 280),
        "l_eye": rectangle(240, 300, 260, 350),
        "r_eye": rectangle(240, 160, 260, 210),
        "r_brow": rectangle(200, 150, 215, 220),
        "u_lip": rectangle(370, 200, 385, 310),
        "l_lip": rectangle(385, 200, 405, 310),
    }
    if index % 2:
        masks["l_brow"] = rectangle(200, 290, 215, 360)
    masks["skin"] = rectangle(100, 100, 450, 410) & (paint_parts(masks, SHAPE) == 0)
    masks["hair"] = rectangle(50, 100, 100, 410)
    return SyntheticFace(np.zeros((*SHAPE, 3), dtype=np.uint8), masks, 90)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (annotator, files):
        monkeypatch.setattr(module, "synthesize_face", a_face)


def test_masks_overlap_and_hardly_change_the_painted_label_map(faces: list[SyntheticFace]) -> None:
    agreement, overlaps = [], []
    for index, face in enumerate(faces):
        drawn = annotate(face.masks, 11, index)
        assert set(drawn) <= set(face.masks)
        assert all(mask.dtype == bool and mask.any() for mask in drawn.values())
        exact, careless = (FIVE_FEATURES.merge(paint_parts(m, SHAPE)) for m in (face.masks, drawn))
        both = [np.sum((exact == c) & (careless == c)) for c in range(1, 6)]
        agreement.append(2 * sum(both) / (np.sum(exact > 0) + np.sum(careless > 0)))
        overlaps.append(np.sum([*drawn.values()], axis=0).max())
        hidden = np.sum(face.masks["nose"] & drawn["skin"]) / face.masks["nose"].sum()
        assert hidden > 0.9  # the skin continues below the nose
    assert min(overlaps) >= 2
    assert 0.85 < min(agreement) and 0.9 < np.mean(agreement) < 0.98


def test_masks_depend_on_seed_and_index_only(faces: list[SyntheticFace]) -> None:
    masks = faces[0].masks
    first, again = annotate(masks, 11, 0), annotate(masks, 11, 0)
    assert all(np.array_equal(first[part], again[part]) for part in masks)
    other = annotate(masks, 11, 1)
    assert not all(np.array_equal(first[part], other[part]) for part in masks)


@pytest.mark.usefixtures("fast")
def test_the_first_150_faces_have_each_kind_once_and_later_ones_2_percent() -> None:
    planned = plan_errors(0, 150)
    assert sorted(error.kind for error in planned.values()) == sorted(KINDS)
    assert all(index == error.id for index, error in planned.items())
    more = plan_errors(0, 450)
    assert len(more) == 12 and {i: e for i, e in more.items() if i < 150} == planned
    assert {i: e for i, e in planned.items() if i < 60} == plan_errors(0, 60)
    assert list(plan_errors(1, 150)) != list(planned)
    for error in more.values():  # in parts that the face shows
        assert set(error.parts) <= a_face(0, error.id).masks.keys()


def test_the_errors_of_the_lessons_are_the_same_on_every_machine() -> None:
    assert [(error.id, error.kind) for error in plan_errors(0, 150).values()] == [
        (25, "empty"), (36, "stray blob"), (81, "swapped"), (90, "missing"), (98, "shifted"),
        (124, "two lips in one"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_wrong_with_the_masks(kind: str) -> None:
    masks = a_face(0, 1).masks
    parts = {"swapped": ("l_eye", "r_eye"), "two lips in one": ("u_lip", "l_lip")}
    error = PlantedError(1, kind, parts.get(kind, ("nose",)))
    right, wrong = annotate(masks, 0, 1), annotate(masks, 0, 1, error)
    changed = {p for p in right if p not in wrong or not np.array_equal(right[p], wrong[p])}
    assert changed == set(error.parts)
    first, last = error.parts[0], error.parts[-1]
    if kind == "swapped":
        assert np.array_equal(wrong[first], right[last])
        assert np.array_equal(wrong[last], right[first])
    elif kind in ("missing", "two lips in one"):
        assert last not in wrong
    if kind == "two lips in one":
        assert np.array_equal(wrong[first], right[first] | right[last])
    elif kind == "empty":
        assert not wrong[first].any()
    elif kind == "shifted":
        assert wrong[first].sum() == right[first].sum()
        moved = np.argwhere(wrong[first])[0] - np.argwhere(right[first])[0]
        assert np.all((np.abs(moved) >= 32) & (np.abs(moved) <= 48))
    elif kind == "stray blob":
        rows = np.flatnonzero((wrong[first] & ~right[first]).any(axis=1))
        assert 6 < len(rows) < 12
        assert np.abs(rows[:, None] - np.flatnonzero(right[first].any(axis=1))).min() > 50


@pytest.mark.usefixtures("fast")
def test_a_data_set_lists_its_errors(tmp_path: Path) -> None:
    synthesize_dataset(tmp_path, 100, 0, annotator="careless", workers=1, progress=False)
    planned = plan_errors(0, 100)
    assert read_planted_errors(tmp_path) == planned
    assert json.loads((tmp_path / "synthetic.json").read_text())["annotator"] == "careless"
    pairs = Archive(tmp_path).pairs
    sizes = {len(pairs[i].masks) - len(a_face(0, i).masks) for i in pairs if i not in planned}
    assert sizes == {0}
    assert {planned[i].kind for i in planned if len(pairs[i].masks) < len(a_face(0, i).masks)} <= {
        "missing",
        "two lips in one",
    }
    # More faces add to the list, and a data set that was interrupted in between is completed.
    (tmp_path / PLANTED).unlink()
    synthesize_dataset(tmp_path, 150, 0, annotator="careless", workers=1, progress=False)
    assert read_planted_errors(tmp_path) == plan_errors(0, 150)
    before = (tmp_path / PLANTED).stat().st_mtime_ns
    synthesize_dataset(tmp_path, 20, 0, annotator="careless", workers=1, progress=False)
    assert (tmp_path / PLANTED).stat().st_mtime_ns == before


@pytest.mark.usefixtures("fast")
def test_the_command_has_an_option_for_it(tmp_path: Path) -> None:
    arguments = ["synthesize", str(tmp_path), "--count", "1", "--annotator", "careless"]
    assert main([*arguments, "--workers", "1"]) == 0
    assert (tmp_path / PLANTED).is_file()


@pytest.mark.usefixtures("fast")
def test_annotators_are_not_mixed(tmp_path: Path) -> None:
    exact, careless = tmp_path / "exact", tmp_path / "careless"
    synthesize_dataset(exact, 1, 0, workers=1, progress=False)
    assert not (exact / PLANTED).exists() and read_planted_errors(exact) == {}
    synthesize_dataset(careless, 1, 0, annotator="careless", workers=1, progress=False)
    photo = Path("CelebA-HQ-img", "0.jpg")
    assert (exact / photo).read_bytes() == (careless / photo).read_bytes()
    with pytest.raises(FaceSegKitError, match="faces of annotator exact, not careless"):
        synthesize_dataset(exact, 1, 0, annotator="careless", workers=1, progress=False)
    with pytest.raises(FaceSegKitError, match="faces of annotator careless, not exact"):
        synthesize_dataset(careless, 1, 0, workers=1, progress=False)
    with pytest.raises(FaceSegKitError, match="no annotator 'sloppy'; use exact or careless"):
        synthesize_dataset(tmp_path / "new", 1, 0, annotator="sloppy", progress=False)


@pytest.mark.parametrize("text", ["", "[]", '{"count": 1}', '{"count": 1, "errors": [{"id": 1}]}'])
def test_a_damaged_list_of_errors(tmp_path: Path, text: str) -> None:
    (tmp_path / PLANTED).write_text(text)
    with pytest.raises(FaceSegKitError, match="not a list of planted errors"):
        read_planted_errors(tmp_path)
