"""Synthetic faces: determinism, plausibility against measurements on real ones, and files."""

import errno
import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from facesegkit.data.skin_tone import ITA_GROUPS, ita, ita_group, skin_colour
from facesegkit.errors import FaceSegKitError
from facesegkit.labels import PART_IDS, PARTS, paint_parts
from facesegkit.synthetic import SyntheticFace, files, synthesize_dataset, synthesize_face
from facesegkit.synthetic.face import set_up
from facesegkit.synthetic.traits import choose_light, choose_person, choose_pose

MANY = 60


@pytest.fixture(scope="module")
def faces() -> list[SyntheticFace]:
    return [synthesize_face(11, index) for index in range(MANY)]


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:  # read-only
    out = tmp_path_factory.mktemp("synthetic") / "set"
    synthesize_dataset(out, 3, 5, workers=1, progress=False)
    return out


def contents(out: Path) -> dict[str, bytes]:
    paths = (path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


def centre(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean column and row of a mask."""
    rows, cols = np.nonzero(mask)
    return float(cols.mean()), float(rows.mean())


def test_faces_depend_on_seed_and_index_only() -> None:
    first, again = synthesize_face(3, 7), synthesize_face(3, 7)
    assert np.array_equal(first.photo, again.photo)
    assert first.masks.keys() == again.masks.keys()
    assert all(np.array_equal(first.masks[name], again.masks[name]) for name in first.masks)
    assert not np.array_equal(first.photo, synthesize_face(4, 7).photo)
    assert not np.array_equal(first.photo, synthesize_face(3, 8).photo)


def test_arrays_and_disjoint_masks(faces: list[SyntheticFace]) -> None:
    for face in faces:
        assert face.photo.shape == (512, 512, 3) and face.photo.dtype == np.uint8
        assert set(face.masks) <= set(PARTS[1:])
        label_map = paint_parts(face.masks, (512, 512))
        for name, mask in face.masks.items():
            assert mask.dtype == bool and mask.any()
            assert np.array_equal(label_map == PART_IDS[name], mask)


def test_size_changes_the_resolution_only() -> None:
    large, small = synthesize_face(3, 7), synthesize_face(3, 7, size=128)
    assert small.photo.shape == (128, 128, 3)
    downsampled = large.photo.reshape(128, 4, 128, 4, 3).mean((1, 3))
    assert np.abs(downsampled - small.photo).mean() < 2
    assert small.masks["nose"].sum() * 16 == pytest.approx(large.masks["nose"].sum(), rel=0.1)


@pytest.mark.parametrize("part", ["eye", "brow", "ear"])
def test_left_parts_are_to_the_right_in_the_image(faces: list[SyntheticFace], part: str) -> None:
    left, right = f"l_{part}", f"r_{part}"
    both = [f.masks for f in faces if left in f.masks and right in f.masks]
    assert len(both) > 5
    assert all(centre(m[left])[0] > centre(m[right])[0] + 20 for m in both)


def test_parts_are_in_order_from_top_to_bottom(faces: list[SyntheticFace]) -> None:
    upper = ("l_eye", "r_eye", "l_brow", "r_brow", "nose")
    checked = 0
    for masks in (face.masks for face in faces):
        if not {*upper, "u_lip", "l_lip"} <= masks.keys():
            continue
        if min(masks[name].sum() for name in upper) < 200:
            continue  # mostly covered: its centre is meaningless
        height = {name: centre(mask)[1] for name, mask in masks.items()}
        for side in "lr":
            order = [f"{side}_brow", f"{side}_eye", "nose", "u_lip", "l_lip"]
            assert sorted(order, key=height.__getitem__) == order
        if "mouth" in masks and masks["mouth"].sum() > 100:
            assert height["u_lip"] < height["mouth"] < height["l_lip"]
        checked += 1
    assert checked > MANY / 3


# Measured on 700 real label maps, in pixels of 512: mean centre (x, y).
CENTRES = {
    "l_eye": (316, 245), "r_eye": (195, 245), "l_brow": (318, 211), "r_brow": (191, 212),
    "nose": (255, 295), "u_lip": (256, 370), "l_lip": (255, 393),
}  # fmt: skip
# Median width and height.
SIZES = {"l_eye": (43, 16), "l_brow": (79, 25), "nose": (77, 101), "u_lip": (102, 17),
         "l_lip": (102, 33)}  # fmt: skip
# Percentage of the pixels of photos where the part is visible.
AREAS = {
    "skin": 25.4, "nose": 2.08, "l_eye": 0.23, "r_eye": 0.23, "l_brow": 0.43,
    "r_brow": 0.43, "mouth": 0.55, "u_lip": 0.43, "l_lip": 0.69, "hair": 32.3, "neck": 4.2,
}  # fmt: skip


@pytest.mark.parametrize("part", AREAS)
def test_parts_match_real_annotations(faces: list[SyntheticFace], part: str) -> None:
    masks = [face.masks[part] for face in faces if part in face.masks]
    assert 0.6 < np.mean(masks) * 100 / AREAS[part] < 1.5
    if part in CENTRES:
        centres = np.median([centre(mask) for mask in masks], axis=0)
        assert centres == pytest.approx(CENTRES[part], abs=9)
    if part in SIZES:
        pixels = [np.nonzero(mask) for mask in masks]
        sizes = np.median([(np.ptp(cols) + 1, np.ptp(rows) + 1) for rows, cols in pixels], axis=0)
        assert sizes == pytest.approx(SIZES[part], rel=0.25)


def test_lips_enclose_the_inside_of_the_mouth(faces: list[SyntheticFace]) -> None:
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


@pytest.mark.parametrize("part", ["l_brow", "r_brow"])
def test_brows_have_dark_cores_and_fade_out(faces: list[SyntheticFace], part: str) -> None:
    """Measured on 250 photos of the train split: 0.38 +- 0.17 and 0.99 +- 0.2 of the skin."""
    ratios = []
    for masks, grey in ((face.masks, face.photo.mean(2)) for face in faces):
        if part in masks and masks[part].sum() > 300 and "eye_g" not in masks:
            dark_and_bright = np.percentile(grey[masks[part]], [5, 95])
            ratios.append(dark_and_bright / grey[masks["skin"]].mean())
    assert len(ratios) > MANY / 2
    dark, bright = np.transpose(ratios)
    assert 0.28 < np.median(dark) < 0.52 and dark.std() > 0.1
    assert 0.85 < np.median(bright) < 1.15
    assert dark.max() > 0.65  # barely visible


def test_brows_vary_in_height_slope_and_thickness(faces: list[SyntheticFace]) -> None:
    rises, slopes, thicknesses = [], [], []
    for masks in (face.masks for face in faces):
        if {"l_brow", "l_eye"} <= masks.keys() and masks["l_brow"].sum() >= 300:
            rows, cols = np.nonzero(masks["l_brow"])
            rises.append(centre(masks["l_eye"])[1] - rows.mean())
            slopes.append(-np.polyfit(cols, rows, 1)[0])
            thicknesses.append(len(rows) / (np.ptp(cols) + 1))
    assert np.median(rises) == pytest.approx(33, abs=5) and np.std(rises) > 5
    assert np.std(slopes) > 0.08 and np.std(thicknesses) > 2.5


def test_skin_around_an_eye_is_about_as_dark_as_the_eye(faces: list[SyntheticFace]) -> None:
    """Measured on photos: an eye is 0.98 +- 0.3 times as bright (lashes, creases, make-up)."""
    ratios = []
    for face in (face for face in faces if "eye_g" not in face.masks):
        for mask in (face.masks[name] for name in {"l_eye", "r_eye"} & face.masks.keys()):
            grown = Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(13))
            around = (np.asarray(grown) > 0) & face.masks["skin"]
            if mask.sum() > 300 and around.sum() > 300:
                ratios.append(face.photo[mask].mean() / face.photo[around].mean())
    assert len(ratios) > MANY / 2
    assert 0.8 < np.median(ratios) < 1.15


def test_all_skin_tones_and_exposures_are_frequent(faces: list[SyntheticFace]) -> None:
    rng = np.random.default_rng(2)
    skins = np.array([choose_person(rng).skin for _ in range(800)])
    deciles = np.percentile(ita(skins), np.arange(10, 100, 10))
    assert deciles == pytest.approx(np.linspace(-60, 65, 11)[1:-1], abs=9)  # uniform
    assert (skins[:, 0] > skins[:, 1]).all() and (skins[:, 1] > 1.05 * skins[:, 2]).mean() > 0.97
    labelled = [(face.photo, paint_parts(face.masks, (512, 512))) for face in faces]
    colours = [skin_colour(*pair) for pair in labelled]
    groups = [ita_group(float(ita(colour))) for colour in colours if colour is not None]
    assert min(groups.count(name) for name in ITA_GROUPS) >= 0.04 * MANY
    exposures = np.array([choose_light(rng).exposure for _ in range(800)])
    assert 0.5 < (np.abs(exposures - 1.12) < 0.25).mean() < 0.75
    assert 0.1 < (exposures < 0.55).mean() < 0.25 and exposures.max() > 1.4


def test_shadows_are_no_deeper_on_dark_skin() -> None:
    rng = np.random.default_rng(4)
    people = sorted((choose_person(rng) for _ in range(40)), key=lambda person: person.darkness)
    fair, dark = people[0], people[-1]
    assert dark.skin.max() < 0.5 * fair.skin.max()
    assert dark.tint.max() == pytest.approx(fair.tint.max())
    light, pose = choose_light(rng), choose_pose(rng)
    levels = [set_up(np.random.default_rng(4), p, pose, light).level for p in (fair, dark)]
    assert levels[0] <= levels[1]  # a camera exposes dark skin longer


def test_closed_eyes_are_annotated_as_narrow_crescents(faces: list[SyntheticFace]) -> None:
    """On real label maps, eyes that are at most 8 thick are 41 wide, 9 high, 5.3 thick on average.

    In closed eyes there is no white, so they are darker than the skin.
    """
    narrow, closed = set(), 0
    for index, face in enumerate(faces):
        for mask in (face.masks[name] for name in {"l_eye", "r_eye"} & face.masks.keys()):
            rows, cols = np.nonzero(mask)
            width, thickness = np.ptp(cols) + 1, mask.sum(0).max()
            if width < 25 or thickness > 10:
                continue  # open, or mostly hidden
            assert thickness >= 4 and np.ptp(rows) < 20 and len(rows) / width > 3
            narrow.add(index)
            closed += np.percentile(face.photo[mask], 95) < face.photo[face.masks["skin"]].mean()
    assert 0.07 * MANY < len(narrow) < 0.25 * MANY  # including squints
    assert closed >= 2


def test_hair_covers_brows(faces: list[SyntheticFace]) -> None:
    partly = fully = 0
    for masks in (face.masks for face in faces if "hat" not in face.masks):
        brows = [masks[name] for name in ("l_brow", "r_brow") if name in masks]
        near = [
            Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(5)) for mask in brows
        ]
        hair = masks.get("hair", np.zeros((512, 512), dtype=bool))
        partly += any((np.asarray(image).astype(bool) & hair).sum() > 50 for image in near)
        fully += len(brows) < 2 or min(mask.sum() for mask in brows) < 60
    assert 0.1 * MANY < partly < 0.45 * MANY and 0.03 * MANY < fully < 0.2 * MANY


def test_the_nose_is_lit_and_its_underside_is_not_black(faces: list[SyntheticFace]) -> None:
    """Measured on photos: the lowest quarter is 0.93 +- 0.12 as bright as skin, the rest 1.12."""
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


def test_lips_are_darker_and_redder_than_skin_and_vary(faces: list[SyntheticFace]) -> None:
    both = [(f.photo, f.masks["u_lip"], f.masks["skin"]) for f in faces if "u_lip" in f.masks]
    ratios = np.array([photo[lip].mean(0) / photo[skin].mean(0) for photo, lip, skin in both])
    assert ratios[:, 0].mean() == pytest.approx(0.84, abs=0.1)  # measured on photos
    assert ratios[:, 1].mean() == pytest.approx(0.63, abs=0.12)
    assert (ratios[:, 1] < 1).mean() > 0.9 and ratios[:, 1].std() > 0.1


def test_frequency_of_parts_and_variety(faces: list[SyntheticFace]) -> None:
    count = {name: sum(name in face.masks for face in faces) for name in PARTS[1:]}
    assert 0.35 * MANY < count["mouth"] < 0.8 * MANY
    assert count["skin"] == MANY and count["nose"] > 0.9 * MANY
    assert min(count[name] for name in ("l_eye", "l_brow", "u_lip", "hair", "neck")) > 0.8 * MANY
    assert 2 <= count["eye_g"] < 0.4 * MANY and 1 <= count["hat"] < 0.3 * MANY
    assert count["ear_r"] >= 3 and count["neck_l"] >= 1 and count["cloth"] > 0.3 * MANY
    tones = np.array([face.photo[face.masks["skin"]].mean() for face in faces])
    assert tones.min() < 75 and tones.max() > 185 and tones.std() > 30
    yaw = np.array([centre(f.masks["nose"])[0] - centre(f.masks["skin"])[0] for f in faces])
    assert (yaw > 10).sum() > 5 and (yaw < -10).sum() > 5  # both directions
    brows = [sum(np.sum(f.masks.get(n, 0)) for n in ("l_brow", "r_brow")) for f in faces]
    assert 1 <= np.sum(brows < 0.5 * np.median(brows)) < 0.3 * MANY  # hidden, in part by hair


def test_files_have_the_layout_of_celebamask_hq(data_set: Path) -> None:
    for index in range(3):
        face = synthesize_face(5, index)
        with Image.open(data_set / "CelebA-HQ-img" / f"{index}.jpg") as photo:
            assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (512, 512))
        paths = list((data_set / "CelebAMask-HQ-mask-anno" / "0").glob(f"{index:05d}_*.png"))
        assert {path.stem[6:] for path in paths} == face.masks.keys()
        for path in paths:
            with Image.open(path) as mask:
                assert (mask.format, mask.mode, mask.size) == ("PNG", "L", (512, 512))
                assert np.array_equal(np.asarray(mask), face.masks[path.stem[6:]] * np.uint8(255))
    record = json.loads((data_set / "synthetic.json").read_text())
    assert record == {"seed": 5, "count": 3, "version": files.GENERATOR_VERSION}
    assert not list(data_set.rglob(".*"))  # unfinished files


def test_other_workers_complete_an_interrupted_data_set(data_set: Path, tmp_path: Path) -> None:
    (tmp_path / ".synthetic.facesegkit-0-1-2.json").write_bytes(b'{"se')  # unfinished
    synthesize_dataset(tmp_path, 2, 5, workers=1, progress=False)
    (tmp_path / ".synthetic.facesegkit-0-1-2.json").unlink()
    (tmp_path / "CelebA-HQ-img" / "1.jpg").unlink()  # as if killed before the photo
    (tmp_path / "CelebAMask-HQ-mask-anno" / "0" / "00001_nose.png").unlink()
    (tmp_path / "CelebAMask-HQ-mask-anno" / "0" / "00001_skin.png").write_bytes(b"half a fi")
    finished = tmp_path / "CelebA-HQ-img" / "0.jpg"
    before = finished.stat().st_mtime_ns
    synthesize_dataset(tmp_path, 3, 5, workers=2, progress=False)
    assert contents(tmp_path) == contents(data_set)
    assert finished.stat().st_mtime_ns == before


def test_a_complete_data_set_is_unchanged(data_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.stat().st_mtime_ns for path in data_set.rglob("*")}
    monkeypatch.setattr(files, "synthesize_face", None)  # a call would raise TypeError
    synthesize_dataset(data_set, 3, 5, progress=False)
    synthesize_dataset(data_set, 2, 5, progress=False)
    assert {path: path.stat().st_mtime_ns for path in data_set.rglob("*")} == before


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("synthetic.json", '{"seed": 6, "count": 3, "version": VERSION}', "seed 6, not 5"),
        ("synthetic.json", '{"seed": 5, "count": 3, "version": 0}', "generator version 0"),
        ("synthetic.json", "[]", "not a record"),
        ("synthetic.json", '{"seed": 5, ', "not a record"),
        ("holiday.txt", "sun", "'holiday.txt'"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text.replace("VERSION", str(files.GENERATOR_VERSION)))
    before = contents(tmp_path)
    with pytest.raises(FaceSegKitError, match=message) as caught:
        synthesize_dataset(tmp_path, 3, 5, workers=1, progress=False)
    assert str(tmp_path) in str(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_path_that_cannot_be_a_folder(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FaceSegKitError, match="Cannot write synthetic faces to .*file"):
        synthesize_dataset(tmp_path / out, 1, 5, workers=1, progress=False)


@pytest.mark.parametrize(("count", "seed", "workers"), [(-1, 5, 1), (1, -5, 1), (1, 5, 0)])
def test_numbers_out_of_range(tmp_path: Path, count: int, seed: int, workers: int) -> None:
    with pytest.raises(FaceSegKitError, match="Cannot synthesize"):
        synthesize_dataset(tmp_path, count, seed, workers=workers, progress=False)


def test_no_space_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(Image.Image, "save", Mock(side_effect=full))
    with pytest.raises(FaceSegKitError, match="No space left on device"):
        synthesize_dataset(tmp_path, 1, 5, workers=1, progress=False)
    assert set(contents(tmp_path)) == {"synthetic.json"}
