"""Drawn faces: same seed same bytes, the data set's layout, masks that fit, and resuming."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from facesegkit.errors import FaceSegKitError
from facesegkit.labels import PART_IDS, PARTS, paint_parts
from facesegkit.synthetic import SyntheticFace, files, synthesize_dataset, synthesize_face

MANY = 60


@pytest.fixture(scope="module")
def faces() -> list[SyntheticFace]:
    return [synthesize_face(11, index) for index in range(MANY)]


@pytest.fixture(scope="module")
def drawn_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three faces drawn in this process; read only."""
    out = tmp_path_factory.mktemp("drawn") / "set"
    synthesize_dataset(out, 3, 5, workers=1, progress=False)
    return out


def contents(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }


def centre(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean column and row of a mask."""
    rows, cols = np.nonzero(mask)
    return float(cols.mean()), float(rows.mean())


def test_a_face_depends_on_seed_and_index_alone() -> None:
    first, again = synthesize_face(3, 7), synthesize_face(3, 7)
    assert np.array_equal(first.photo, again.photo)
    assert first.masks.keys() == again.masks.keys()
    assert all(np.array_equal(first.masks[name], again.masks[name]) for name in first.masks)
    assert not np.array_equal(first.photo, synthesize_face(4, 7).photo)
    assert not np.array_equal(first.photo, synthesize_face(3, 8).photo)


def test_shapes_and_types(faces: list[SyntheticFace]) -> None:
    for face in faces:
        assert face.photo.shape == (512, 512, 3) and face.photo.dtype == np.uint8
        assert set(face.masks) <= set(PARTS[1:])
        for mask in face.masks.values():
            assert mask.shape == (512, 512) and mask.dtype == bool and mask.any()


def test_another_size_is_the_same_face() -> None:
    large, small = synthesize_face(3, 7), synthesize_face(3, 7, size=128)
    assert small.photo.shape == (128, 128, 3)
    halved = large.photo.reshape(128, 4, 128, 4, 3).mean((1, 3))
    assert np.abs(halved - small.photo).mean() < 2
    assert small.masks["nose"].sum() * 16 == pytest.approx(large.masks["nose"].sum(), rel=0.1)


def test_painting_the_masks_gives_back_each_of_them(faces: list[SyntheticFace]) -> None:
    for face in faces[:10]:
        label_map = paint_parts(face.masks, (512, 512))
        for name, mask in face.masks.items():
            assert np.array_equal(label_map == PART_IDS[name], mask)


def test_the_persons_left_is_the_pictures_right(faces: list[SyntheticFace]) -> None:
    for left, right in (("l_eye", "r_eye"), ("l_brow", "r_brow"), ("l_ear", "r_ear")):
        both = [f.masks for f in faces if left in f.masks and right in f.masks]
        assert len(both) > 5
        assert all(centre(m[left])[0] > centre(m[right])[0] + 20 for m in both)


def test_features_lie_where_they_belong(faces: list[SyntheticFace]) -> None:
    checked = 0
    for masks in (face.masks for face in faces):
        if not {"l_eye", "r_eye", "l_brow", "r_brow", "nose", "u_lip", "l_lip"} <= masks.keys():
            continue
        if min(masks[n].sum() for n in ("l_eye", "r_eye", "l_brow", "r_brow", "nose")) < 200:
            continue  # mostly covered: its centre means nothing
        height = {name: centre(mask)[1] for name, mask in masks.items()}
        assert height["l_brow"] < height["l_eye"] < height["nose"] < height["u_lip"]
        assert height["r_brow"] < height["r_eye"] < height["nose"] < height["u_lip"]
        assert height["u_lip"] < height["l_lip"]
        if "mouth" in masks and masks["mouth"].sum() > 100:
            assert height["u_lip"] < height["mouth"] < height["l_lip"]
        checked += 1
    assert checked > MANY / 3


def test_positions_are_those_counted_on_the_annotations(faces: list[SyntheticFace]) -> None:
    """Mean centres over 700 real label maps, in pixels of 512."""
    counted = {
        "l_eye": (316, 245), "r_eye": (195, 245), "l_brow": (318, 211), "r_brow": (191, 212),
        "nose": (255, 295), "u_lip": (256, 370), "l_lip": (255, 393),
    }  # fmt: skip
    for name, (x, y) in counted.items():
        drawn = np.array([centre(f.masks[name]) for f in faces if name in f.masks])
        assert np.abs(np.median(drawn, axis=0) - (x, y)).max() < 9, name


def test_pixel_shares_are_near_those_of_the_annotations(faces: list[SyntheticFace]) -> None:
    counted = {  # percent of the picture where the part is seen, over 700 real label maps
        "skin": 25.4, "nose": 2.08, "l_eye": 0.23, "r_eye": 0.23, "l_brow": 0.43,
        "r_brow": 0.43, "mouth": 0.55, "u_lip": 0.43, "l_lip": 0.69, "hair": 32.3, "neck": 4.2,
    }  # fmt: skip
    for name, share in counted.items():
        drawn = np.mean([f.masks[name].mean() * 100 for f in faces if name in f.masks])
        assert 0.6 * share < drawn < 1.5 * share, f"{name}: {drawn:.2f} %, counted {share} %"


def test_sizes_are_near_those_of_the_annotations(faces: list[SyntheticFace]) -> None:
    """Median widths and heights over 700 real label maps, in pixels of 512."""
    counted = {"l_eye": (43, 16), "l_brow": (79, 25), "nose": (77, 101), "u_lip": (102, 17),
               "l_lip": (102, 33)}  # fmt: skip
    for name, size in counted.items():
        seen = [np.nonzero(f.masks[name]) for f in faces if name in f.masks]
        drawn = np.median([(np.ptp(cols) + 1, np.ptp(rows) + 1) for rows, cols in seen], axis=0)
        assert drawn == pytest.approx(size, rel=0.25), f"{name}: {drawn}, counted {size}"


def test_lips_enclose_what_shows_between_them(faces: list[SyntheticFace]) -> None:
    """Above the mouth's middle column lies the upper lip, below it the lower one."""
    checked = 0
    for masks in (face.masks for face in faces if "mouth" in face.masks):
        column = int(centre(masks["mouth"])[0])
        rows = np.flatnonzero(masks["mouth"][:, column])
        if len(rows) < 5 or not {"u_lip", "l_lip"} <= masks.keys():
            continue
        checked += 1
        above = masks["u_lip"][rows[0] - 4 : rows[0], column]
        below = masks["l_lip"][rows[-1] + 1 : rows[-1] + 5, column]
        assert above.any() or below.any()  # something may hide one of them
    assert checked > MANY / 4


def test_the_iris_is_darker_than_the_face_and_inside_the_eye(faces: list[SyntheticFace]) -> None:
    """Masks and photo belong together: shifted by 30 pixels the eye masks see skin instead."""
    darker = 0
    for face in faces:
        if "l_eye" not in face.masks or "eye_g" in face.masks:
            continue
        grey, mask = face.photo.mean(2), face.masks["l_eye"]
        darker += np.percentile(grey[mask], 10) < np.percentile(grey[np.roll(mask, 30, 0)], 10)
    assert darker > MANY / 2


def grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """The mask and all that is at most `by` pixels away, level, upright or both."""
    size = 2 * by + 1
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(picture.filter(ImageFilter.MaxFilter(size))) > 0


def shares_of_skin(faces: list[SyntheticFace], part: str, percent: float) -> NDArray[np.floating]:
    """A percentile of each face's brightness in a part, as a share of its skin's mean."""
    shares = []
    for face in faces:
        if part in face.masks and face.masks[part].sum() > 300 and "eye_g" not in face.masks:
            grey = face.photo.mean(2)
            seen = np.percentile(grey[face.masks[part]], percent)
            shares.append(seen / grey[face.masks["skin"]].mean())
    assert len(shares) > MANY / 2
    return np.array(shares)


@pytest.mark.parametrize("part", ["l_brow", "r_brow"])
def test_brows_are_dark_cores_that_fade_out_inside_their_masks(
    faces: list[SyntheticFace], part: str
) -> None:
    """Counted on 250 photos of the train split: 0.38 +- 0.17 and 0.99 +- 0.2 of the skin."""
    dark, bright = shares_of_skin(faces, part, 5), shares_of_skin(faces, part, 95)
    assert 0.28 < np.median(dark) < 0.52 and dark.std() > 0.1
    assert 0.85 < np.median(bright) < 1.15
    assert dark.max() > 0.65  # hardly to be seen


def test_brows_vary_in_height_slope_and_thickness(faces: list[SyntheticFace]) -> None:
    rises, slopes, thicknesses = [], [], []
    for masks in (face.masks for face in faces):
        if not {"l_brow", "l_eye"} <= masks.keys() or masks["l_brow"].sum() < 300:
            continue
        rows, cols = np.nonzero(masks["l_brow"])
        rises.append(centre(masks["l_eye"])[1] - rows.mean())
        slopes.append(-np.polyfit(cols, rows, 1)[0])
        thicknesses.append(len(rows) / (np.ptp(cols) + 1))
    assert np.median(rises) == pytest.approx(33, abs=5) and np.std(rises) > 5
    assert np.std(slopes) > 0.08 and np.std(thicknesses) > 2.5


def test_what_surrounds_an_eye_is_about_as_dark_as_the_eye(faces: list[SyntheticFace]) -> None:
    """Counted on photos: 0.98 +- 0.3 as bright (lashes, creases, make-up)."""
    ratios = []
    for face in faces:
        for name in {"l_eye", "r_eye"} & face.masks.keys():
            mask = face.masks[name]
            around = grown(mask, 6) & face.masks["skin"]
            if "eye_g" not in face.masks and mask.sum() > 300 and around.sum() > 300:
                ratios.append(face.photo[mask].mean() / face.photo[around].mean())
    assert len(ratios) > MANY / 2
    assert 0.8 < np.median(ratios) < 1.15


def test_the_nose_stands_out_by_light_but_its_underside_is_not_black(
    faces: list[SyntheticFace],
) -> None:
    """Counted on photos: the lowest quarter has 0.93 +- 0.12 of the skin's light, the rest 1.12."""
    low, high = [], []
    for face in faces:
        grey, rows = face.photo.mean(2), np.nonzero(face.masks["nose"])[0]
        below = face.masks["nose"].copy()
        below[: int(np.percentile(rows, 75))] = False
        skin = grey[face.masks["skin"]].mean()
        low.append(grey[below].mean() / skin)
        high.append(grey[face.masks["nose"] & ~below].mean() / skin)
    assert 0.8 < np.median(low) < 1.02
    assert 1.0 < np.median(high) < 1.25 and np.std(high) > 0.06


def test_lips_are_mostly_darker_and_redder_than_skin_and_of_many_colours(
    faces: list[SyntheticFace],
) -> None:
    ratios = np.array([
        face.photo[face.masks["u_lip"]].mean(0) / face.photo[face.masks["skin"]].mean(0)
        for face in faces if "u_lip" in face.masks
    ])  # fmt: skip
    assert ratios[:, 0].mean() == pytest.approx(0.84, abs=0.1)  # counted on photos
    assert ratios[:, 1].mean() == pytest.approx(0.63, abs=0.12)
    assert (ratios[:, 1] < 1).mean() > 0.9 and ratios[:, 1].std() > 0.1


def test_hair_hides_some_brows_in_part(faces: list[SyntheticFace]) -> None:
    sizes = np.array([
        sum(f.masks[n].sum() for n in ("l_brow", "r_brow") if n in f.masks) for f in faces
    ])  # fmt: skip
    assert 1 <= (sizes < 0.5 * np.median(sizes)).sum() < 0.3 * MANY


def test_everything_occurs(faces: list[SyntheticFace]) -> None:
    seen = {name: sum(name in face.masks for face in faces) for name in PARTS[1:]}
    assert 0.35 * MANY < seen["mouth"] < 0.8 * MANY
    assert seen["skin"] == MANY and seen["nose"] > 0.9 * MANY and seen["hair"] > 0.8 * MANY
    assert min(seen["l_eye"], seen["l_brow"], seen["u_lip"]) > 0.8 * MANY
    assert 2 <= seen["eye_g"] < 0.4 * MANY
    assert 1 <= seen["hat"] < 0.3 * MANY
    assert seen["ear_r"] >= 3 and seen["neck_l"] >= 1
    assert seen["cloth"] > 0.3 * MANY and seen["neck"] > 0.8 * MANY


def test_skin_and_light_spread_wide(faces: list[SyntheticFace]) -> None:
    tones = np.array([face.photo[face.masks["skin"]].mean() for face in faces])
    assert tones.min() < 75 and tones.max() > 185 and tones.std() > 30


def test_faces_turn_both_ways(faces: list[SyntheticFace]) -> None:
    sides = np.array(
        [centre(face.masks["nose"])[0] - centre(face.masks["skin"])[0] for face in faces]
    )
    assert (sides > 10).sum() > 5 and (sides < -10).sum() > 5


def test_layout_of_the_files(drawn_set: Path) -> None:
    for index in range(3):
        with Image.open(drawn_set / "CelebA-HQ-img" / f"{index}.jpg") as photo:
            assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (512, 512))
        masks = sorted((drawn_set / "CelebAMask-HQ-mask-anno" / "0").glob(f"{index:05d}_*.png"))
        assert {p.stem[6:] for p in masks} == synthesize_face(5, index).masks.keys()
        for path in masks:
            with Image.open(path) as mask:
                assert (mask.format, mask.mode, mask.size) == ("PNG", "L", (512, 512))
                expected = synthesize_face(5, index).masks if path == masks[0] else None
                values = np.asarray(mask)
            assert set(np.unique(values)) <= {0, 255}
            if expected is not None:
                assert np.array_equal(values != 0, expected[path.stem[6:]])
    record = json.loads((drawn_set / "synthetic.json").read_text())
    assert record == {"seed": 5, "count": 3, "version": files.GENERATOR_VERSION}
    assert not list(drawn_set.rglob("*.part"))


def test_the_bytes_do_not_depend_on_the_workers(drawn_set: Path, tmp_path: Path) -> None:
    synthesize_dataset(tmp_path, 3, 5, workers=2, progress=False)
    assert contents(tmp_path) == contents(drawn_set)


def test_an_interrupted_set_is_finished_and_nothing_redrawn(
    drawn_set: Path, tmp_path: Path
) -> None:
    synthesize_dataset(tmp_path, 2, 5, workers=1, progress=False)
    (tmp_path / "CelebA-HQ-img" / "1.jpg").unlink()  # as if killed before the photo
    (tmp_path / "CelebAMask-HQ-mask-anno" / "0" / "00001_nose.png").unlink()
    (tmp_path / "CelebAMask-HQ-mask-anno" / "0" / "00001_skin.png").write_bytes(b"half a fi")
    finished = tmp_path / "CelebA-HQ-img" / "0.jpg"
    before = finished.stat().st_mtime_ns
    synthesize_dataset(tmp_path, 3, 5, workers=1, progress=False)
    assert contents(tmp_path) == contents(drawn_set)
    assert finished.stat().st_mtime_ns == before


def test_a_complete_set_is_left_alone(drawn_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.stat().st_mtime_ns for path in drawn_set.rglob("*")}
    monkeypatch.setattr(files, "synthesize_face", None)  # to draw would raise TypeError
    synthesize_dataset(drawn_set, 3, 5, progress=False)
    synthesize_dataset(drawn_set, 2, 5, progress=False)
    assert {path: path.stat().st_mtime_ns for path in drawn_set.rglob("*")} == before


def test_a_file_half_written_by_a_killed_run_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "synthetic.json.part").write_bytes(b'{"se')
    synthesize_dataset(tmp_path, 0, 5, workers=1, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["synthetic.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"synthetic.json": '{"seed": 6, "count": 3, "version": 1}'}, "seed 6, not 5"),
        ({"synthetic.json": '{"seed": 5, "count": 3, "version": 0}'}, "generator version 0"),
        ({"synthetic.json": "[]"}, "not a record"),
        ({"synthetic.json": '{"seed": 5, '}, "not a record"),
        ({"holiday.txt": "sun"}, "'holiday.txt'"),
    ],
)
def test_a_folder_with_something_else_is_refused(
    tmp_path: Path, content: dict[str, str], message: str
) -> None:
    for name, text in content.items():
        text = text.replace('"version": 1', f'"version": {files.GENERATOR_VERSION}')
        (tmp_path / name).write_text(text)
    before = contents(tmp_path)
    with pytest.raises(FaceSegKitError, match=message) as caught:
        synthesize_dataset(tmp_path, 3, 5, workers=1, progress=False)
    assert str(tmp_path) in str(caught.value)
    assert contents(tmp_path) == before


def test_a_path_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(FaceSegKitError, match="Cannot write synthetic faces to .*file"):
            synthesize_dataset(out, 1, 5, workers=1, progress=False)


@pytest.mark.parametrize(("count", "seed", "workers"), [(-1, 5, 1), (1, -5, 1), (1, 5, 0)])
def test_numbers_out_of_range(tmp_path: Path, count: int, seed: int, workers: int) -> None:
    with pytest.raises(FaceSegKitError, match="Cannot synthesize"):
        synthesize_dataset(tmp_path, count, seed, workers=workers, progress=False)


def test_no_space_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(FaceSegKitError, match="No space left on device"):
        synthesize_dataset(tmp_path, 1, 5, workers=1, progress=False)
    assert set(contents(tmp_path)) == {"synthetic.json"}


def test_drawing_does_not_import_torch_or_scipy() -> None:
    code = "import sys, facesegkit.synthetic; print({'torch', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
