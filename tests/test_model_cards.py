"""How models are reported: groups, intervals, changed photos, and cards."""

import json
from dataclasses import replace

import conditions
import model_cards
import numpy as np
import pytest
from conditions import EVERYDAY, to_five_features
from model_figures import count, five_feature_matrices, gap_figures, pooled_figures, split_figures
from photo_groups import NARROW_EYES, darkest_tenth, ita_members, mask_groups, photo_counts

from facesegkit.checkpoint import Checkpoint, build_model, load
from facesegkit.course.photo_counts import PhotoCounts, load_photo_counts
from facesegkit.data.cache import build_cache
from facesegkit.dataset import TrainingData
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.model_zoo import FOLDER, MODEL_NAMES
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES, PART_IDS, LabelScheme
from facesegkit.metrics import confusion_matrix, evaluate

RNG = np.random.default_rng(0)
PERFECT, WRONG = np.diag([9, 1, 1]), np.array([[9, 0, 0], [1, 0, 0], [1, 0, 0]])


@pytest.fixture(scope="module")
def cache(synthetic, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    return build_cache(synthetic, folder, photo_size=320, workers=1, progress=False)


def made_counts(n=40, scheme=FIVE_FEATURES):
    classes = len(scheme.class_names)
    matrices = RNG.integers(1, 9, (n, classes, classes)) + 40 * np.eye(classes, dtype=np.int64)
    grey = np.arange(n, dtype=np.float32)
    flags = {"glasses": grey > 20, "hat": np.zeros(n, dtype=bool)}
    return PhotoCounts(scheme.class_names, matrices, grey.astype(int), flags, grey - 10, grey)


def test_intervals_of_a_constructed_case():
    """Ten equal photos leave nothing to chance. Of one perfect and nine wrong ones, 35 % of the
    resamples have no perfect one, 7 % more than two, and 1.3 % more than three.
    """
    equal = pooled_figures(np.stack([PERFECT] * 10), ("nose", "lips"), by_class=True)
    assert equal["mean_f1"] == 1 and equal["interval"] == [1, 1]
    assert equal["intervals"] == {"nose": [1, 1], "lips": [1, 1]}
    mixed = pooled_figures(np.stack([PERFECT] + [WRONG] * 9), ("nose", "lips"))
    low, high = mixed["interval"]
    # Pooled: with k perfect photos of ten, F1 = 2k / (2k + 10 - k).
    assert low == 0 and high == pytest.approx(2 * 3 / 13, abs=1e-4)
    assert mixed["mean_f1"] == pytest.approx(2 / 11, abs=1e-4)
    few = pooled_figures(np.stack([PERFECT] * 9), ("nose", "lips"), by_class=True)
    assert "interval" not in few and "intervals" not in few


def test_the_darkest_tenth_leaves_out_photos_without_skin():
    grey = np.array([50, np.nan, 10, 10, *range(60, 77)], dtype=np.float32)  # 20 are known
    darkest, rest = darkest_tenth(grey)
    assert np.flatnonzero(darkest).tolist() == [2, 3]
    assert rest.sum() == 18 and not rest[1] and not (darkest & rest).any()


def test_the_gap_is_darkest_minus_rest():
    wrong, perfect = np.zeros((6, 6), dtype=int), np.eye(6, dtype=int)
    wrong[:, 0] = 1
    matrices = np.stack([wrong] * 10 + [perfect] * 90)
    skin = gap_figures(matrices, np.arange(100, dtype=np.float32))
    assert skin["darkest tenth"]["photos"] == 10 and skin["rest"]["photos"] == 90
    assert skin["gap"] == {"mean_f1": -1, "interval": [-1, -1]} and skin["highest grey"] == 9


def test_ita_groups_are_disjoint_and_complete():
    members = ita_members(np.array([60, 50, 30, 20, 0, -40, np.nan], dtype=np.float32))
    assert [np.flatnonzero(of).tolist() for of in members.values()] == [[i] for i in range(7)]
    assert [*members][-1] == "none"


def test_groups_and_skins_are_read_off_the_masks(cache):
    rows = cache.rows("all")[:5]
    counts = photo_counts(("a", "b"), np.zeros((5, 2, 2), dtype=np.int64), cache, rows)
    assert counts.ids.tolist() == cache.ids[rows].tolist() and not np.isnan(counts.grey).any()
    labels = cache.labels[rows[0]]
    bare = np.where(labels == PART_IDS["eye_g"], PART_IDS["skin"], labels).astype(np.uint8)
    glasses = bare.copy()
    glasses[:9, :9] = PART_IDS["eye_g"]
    assert mask_groups(glasses)["glasses"] and not mask_groups(bare)["glasses"]
    for group, of_photos in counts.groups.items():
        assert of_photos[0] == mask_groups(labels)[group]
    without = replace(cache, labels=np.zeros_like(cache.labels[:3]))
    nothing = photo_counts(("a", "b"), counts.matrices[:3], without, np.arange(3))
    assert np.isnan(nothing.grey).all() and np.isnan(nothing.ita).all()


def test_eyes_are_narrow_if_none_is_open():
    labels = np.zeros((64, 64), dtype=np.uint8)
    labels[20:24, 4:28] = PART_IDS["l_eye"]  # height 4, width 24
    labels[20:24, 34:58] = PART_IDS["r_eye"]
    assert mask_groups(labels)[NARROW_EYES]
    labels[16:24, 34:58] = PART_IDS["r_eye"]
    assert not mask_groups(labels)[NARROW_EYES]  # a wink


def test_finer_classes_are_pooled_to_five_features():
    target, predicted = RNG.integers(0, 19, (2, 3, 40, 40), dtype=np.uint8)
    fine = np.stack([confusion_matrix(*pair, 19) for pair in zip(target, predicted, strict=True)])
    counts = replace(made_counts(3, ALL_PARTS), matrices=fine)
    merged = FIVE_FEATURES.merge(target), FIVE_FEATURES.merge(predicted)  # ids are part ids here
    expected = np.stack([confusion_matrix(*pair, 6) for pair in zip(*merged, strict=True)])
    np.testing.assert_array_equal(five_feature_matrices(counts, ALL_PARTS), expected)
    both = LabelScheme("both", {"face": ["nose", "l_eye"]}, [(1, 2, 3)])
    with pytest.raises(SystemExit, match="'both' does not tell"):
        to_five_features(both)


def test_counting_agrees_with_evaluate(cache):
    checkpoint = load(FOLDER / "separable.pth")
    counted = count(checkpoint, cache, cache, "test")
    data = TrainingData.from_cache(cache, "test", checkpoint.scheme, checkpoint.crop)
    np.testing.assert_array_equal(counted.own.matrices, evaluate(checkpoint.model, data).matrices)
    (boundary,) = counted.boundary.values()
    assert boundary.shape == (len(data), 6) and 0.3 < np.nanmean(boundary[:, 1:]) <= 1


def test_a_model_of_all_parts_has_figures_of_both_schemes(cache):
    model = build_model("separable", classes=19).eval()
    counted = count(Checkpoint("separable", model, ALL_PARTS), cache, cache, "test")
    figures = split_figures(counted, ALL_PARTS)
    assert [*figures["f1"]] == [*FIVE_FEATURES.classes]
    assert [*figures["all classes"]["f1"]] == [*ALL_PARTS.classes]
    assert "NaN" not in json.dumps(figures)


def test_counts_survive_saving(tmp_path):
    counts, path = made_counts(), tmp_path / "counts.npz"
    counts.save(path)
    loaded = PhotoCounts.load(path)
    assert loaded.class_names == counts.class_names and [*loaded.groups] == [*counts.groups]
    for name in ("matrices", "ids", "ita", "grey"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(counts, name))
    np.testing.assert_array_equal(loaded.groups["glasses"], counts.groups["glasses"])
    with pytest.raises(FaceSegKitError, match="no confusion matrices none.npz"):
        PhotoCounts.load(tmp_path / "none.npz")


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_shipped_counts_are_small_and_of_the_test_split(name):
    counts = load_photo_counts(name)
    assert counts.matrices.shape[0] == len(counts.ids) == 504 == len(set(counts.ids.tolist()))
    assert counts.matrices.dtype == np.int32
    assert (counts.matrices.sum(axis=(1, 2)) == 512 * 512).all()
    assert model_cards.counts_path(name).stat().st_size < 100_000


def test_a_card_of_all_parts_has_a_row_for_each():
    figures = model_cards.read_figures("unet")
    finer, interval = dict.fromkeys(ALL_PARTS.classes, 0.5), [0.4, 0.6]
    for split in ("val", "test"):
        figures[split]["all classes"] = figures[split] | {
            "f1": finer, "boundary_f1_of_classes": finer,
            "intervals": dict.fromkeys(finer, interval),
        }  # fmt: skip
    card = model_cards.card_text(figures | {"classes": [*finer]})
    for part in ALL_PARTS.classes:
        assert f"\n| {part} | 0.500 (0.400-0.600) | 0.500 | 0.500 |" in card
    assert card.index("Licence") < card.index("Intended use") < card.index("Known faults")


@pytest.mark.parametrize(
    ("name", "licence"), [("unet-open", "MIT"), ("unet-synthetic", "MIT"), ("unet-19", "non-comm")]
)
def test_every_kind_of_model_has_a_licence_and_an_origin(name, licence):
    kind = model_cards.kind_of(name)
    assert model_cards.LICENCES[kind].startswith(licence) and kind in model_cards.PROVENANCE


def test_cards_name_all_that_labelled_the_training_photos():
    of_unet, of_open = (
        " ".join(model_cards.provenance(name).split()) for name in ("unet", "unet-open")
    )
    assert "`unet-first` it also learned" in of_unet and "MediaPipe" not in of_unet
    assert "Apache License 2.0; weight 0.35)" in of_open and "2.0; weight 0.2)" in of_open
    assert "research collections" not in of_open
    for name in ("unet-19", "unet-synthetic"):
        assert model_cards.provenance(name) == model_cards.PROVENANCE[model_cards.kind_of(name)]


def test_evaluating_again_keeps_what_is_known_about_training(tmp_path, monkeypatch):
    before = model_cards.read_figures("separable")
    monkeypatch.setattr(model_cards, "FOLDER", tmp_path)
    monkeypatch.setattr(model_cards, "counts_path", lambda name: tmp_path / f"{name}.npz")
    evaluated = {key: of for key, of in before.items() if key not in model_cards.TRAINING_KEYS}
    monkeypatch.setattr(model_cards, "evaluate", lambda name, data: (evaluated, made_counts()))
    with pytest.raises(SystemExit, match="Nothing says how separable was trained"):
        model_cards.write_card("separable", "data")
    assert not [*tmp_path.iterdir()]
    (tmp_path / "separable.json").write_text(json.dumps(before))
    model_cards.write_card("separable", "data")
    assert model_cards.read_figures("separable") == before
    fresh = {key: before[key] for key in model_cards.TRAINING_KEYS} | {"command": "train it"}
    model_cards.write_card("separable", "data", fresh)
    assert model_cards.read_figures("separable")["command"] == "train it"
    assert "`train it`" in (tmp_path / "separable.md").read_text()


def test_everyday_conditions_keep_photo_and_classes_together(cache):
    row = next(r for r in cache.rows("all") if _has_two_eyes(cache, r))
    sizes = {}
    for name, make in EVERYDAY.items():
        if getattr(make, "func", None) is conditions.of_group:
            continue  # the photo is not changed, and need not belong to the group
        photo, classes = make(cache, int(row))
        assert photo.dtype == classes.dtype == np.uint8 and photo.shape[:2] == classes.shape
        again, _ = make(cache, int(row))
        np.testing.assert_array_equal(photo, again)
        sizes[name] = (classes > 0).sum() / (320 if classes.shape == (320, 320) else 1) ** 2
    assert sizes["blurred"] == sizes["unchanged"]
    ratio = sizes["face 96 pixels wide"] / sizes["face 40 pixels wide"]
    assert ratio == pytest.approx((96 / 40) ** 2, rel=0.1)


def _has_two_eyes(cache, row):
    return conditions.with_sunglasses(cache, int(row)) is not None


def test_sunglasses_hide_the_eyes(cache):
    row = next(r for r in cache.rows("all") if _has_two_eyes(cache, r))
    bare, before = conditions.with_sunglasses(cache, row, worn=False)
    photo, after = conditions.with_sunglasses(cache, row)
    covered = (photo != bare).any(axis=2)
    assert (after[covered] == 0).all() and (after == before)[~covered].all()
    assert ((before == 1) & ~covered).sum() < 0.2 * (before == 1).sum()
    matrix = np.diag([9, 0, 4, 4, 4, 4])
    matrix[1, 0] = 9  # eyes, missed
    assert conditions.mean_f1(matrix, "sunglasses, mean without the eyes") == 1
    assert conditions.mean_f1(matrix, "unchanged") == pytest.approx(0.8)


def test_figures_of_before_and_now_are_kept_apart():
    results = conditions.merged({}, "before", {"unet": 1})
    results = conditions.merged(results, "now", {"unet": 2, "unet-open": 3})
    assert results == {"before": {"unet": 1}, "now": {"unet": 2, "unet-open": 3}}
    assert conditions.merged(results, "now", {"unet": 4})["now"] == {"unet": 4, "unet-open": 3}
