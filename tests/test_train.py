"""The loss, the schedule, the averaged weights, and what a run that was killed comes to."""

import csv
import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from facesegkit import train
from facesegkit.checkpoint import load_tensors, save_tensors
from facesegkit.config import Budget, TrainConfig
from facesegkit.dataset import TrainingData, batch_indices, generator_for
from facesegkit.errors import FaceSegKitError
from facesegkit.labels import FIVE_FEATURES, PART_IDS, LabelScheme
from facesegkit.losses import segmentation_loss
from facesegkit.metrics import validate
from facesegkit.models import LightweightSegmentationModel
from facesegkit.system.torch_speed import keep_freed_memory
from facesegkit.train import (
    HISTORY_COLUMNS,
    TrainState,
    ema_update,
    fit,
    is_complete,
    lr_factor,
    quarter_logits,
    save_history,
)
from facesegkit.transforms import Augmentation

SMALL = TrainConfig(
    batch=4,
    validations=2,
    validation_photos=8,
    rows_per_validation=1,
    resize_schedule=((0.5, 32),),
    seed=3,
)


def samples(count=12, size=64, seed=0):
    """Grey photos with a red square that is annotated as the nose."""
    rng = np.random.default_rng(seed)
    photos = rng.integers(90, 110, (count, size, size, 3), dtype=np.uint8)
    labels = np.zeros((count, 2 * size, 2 * size), dtype=np.uint8)
    for photo, label in zip(photos, labels, strict=True):
        y, x = rng.integers(8, size - 32, 2)
        photo[y : y + 24, x : x + 24] = (220, 40, 40)
        label[2 * y : 2 * y + 48, 2 * x : 2 * x + 48] = PART_IDS["nose"]
    return TrainingData(photos, labels, np.arange(count))


def small_model():
    torch.manual_seed(0)
    return LightweightSegmentationModel(classes=6, widths=[8, 8, 8, 8])


def train_small(budget, settings=SMALL, **options):
    return fit(
        small_model(), FIVE_FEATURES, samples(), samples(seed=1), budget, settings,
        progress=False, **options,
    )  # fmt: skip


# --- the loss -----------------------------------------------------------------------------------


def test_loss_worked_out_by_hand():
    # Two pixels, two classes, shares 0.75 / 0.25 for the true class of each.
    scores = torch.log(torch.tensor([[0.75, 0.75], [0.25, 0.25]]))[None, :, None, :]
    target = torch.tensor([[[0, 1]]])
    settings = TrainConfig(background_weight=0.5, dice_weight=2.0)
    cross_entropy = -(0.5 * math.log(0.75) + math.log(0.25)) / 1.5
    dice = (2 * 0.25 + 1) / (0.5 + 1 + 1)  # class 1: hits 0.25, predicted 0.5, annotated 1
    expected = cross_entropy + 2.0 * (1 - dice)
    assert segmentation_loss(scores, target, settings).item() == pytest.approx(expected, rel=1e-5)


def test_loss_agrees_with_torchs_weighted_cross_entropy():
    torch.manual_seed(0)
    scores, target = torch.randn(3, 6, 8, 8), torch.randint(0, 6, (3, 8, 8))
    weights = torch.tensor([0.3, 1, 1, 1, 1, 1])
    expected = nn.functional.cross_entropy(scores, target, weight=weights)
    mine = segmentation_loss(scores, target, TrainConfig(background_weight=0.3, dice_weight=0.0))
    assert torch.allclose(mine, expected, atol=1e-6)


def test_loss_is_smallest_where_the_prediction_is_right():
    target = torch.randint(0, 6, (2, 16, 16), generator=generator_for(0))
    right = 20 * nn.functional.one_hot(target, 6).permute(0, 3, 1, 2).float()
    assert segmentation_loss(right, target, TrainConfig()).item() < 0.01
    assert segmentation_loss(-right, target, TrainConfig()).item() > 5


def test_dice_is_what_minds_that_everything_is_called_background():
    target = torch.zeros(1, 32, 32, dtype=torch.long)
    target[0, 10:12, 10:12] = 1
    lazy = torch.zeros(1, 2, 32, 32)
    lazy[:, 0] = 5
    without = segmentation_loss(
        lazy, target, TrainConfig(background_weight=1, dice_weight=0)
    ).item()
    with_dice = segmentation_loss(
        lazy, target, TrainConfig(background_weight=1, dice_weight=1)
    ).item()
    assert without < 0.05 and with_dice > 0.7


def test_a_teacher_takes_the_annotations_place_in_a_part_of_the_cross_entropy():
    torch.manual_seed(0)
    scores, target = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    teacher_probs = torch.randn(2, 3, 4, 4).softmax(dim=1)
    settings = TrainConfig(dice_weight=0.0, teacher_weight=0.25)
    annotated = nn.functional.cross_entropy(scores, target)
    followed = nn.functional.cross_entropy(scores, teacher_probs)  # torch takes shares as well
    mine = segmentation_loss(scores, target, settings, teacher_probs)
    assert torch.allclose(mine, 0.75 * annotated + 0.25 * followed, atol=1e-6)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_quarter_of_the_scores_is_every_second_row_and_column(row, column):
    images = torch.rand(2, 3, 64, 96, generator=generator_for(1))
    ours = small_model().eval()
    other = nn.Conv2d(3, 6, 3, padding=1)  # one that does not work at half the size
    for model in (ours, other):
        with torch.no_grad():
            expected = model(images)[:, :, row::2, column::2]
            assert torch.allclose(quarter_logits(model, images, row, column), expected, atol=1e-5)


def test_the_loss_sees_the_labels_of_the_same_places_as_the_scores(monkeypatch):
    """A model that is told the truth by the photo's colour has no loss, whichever places count."""
    data = samples(4)
    classes = FIVE_FEATURES.class_of_part[data.labels][:, ::2, ::2]  # at the photos' size
    photos = np.repeat(40 * classes[..., None], 3, axis=3)

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1, 1))

        def forward(self, images):
            told = (images[:, :1] * 255 / 40).round().clamp(0, 5).long()[:, 0]
            return 20 * self.scale * nn.functional.one_hot(told, 6).permute(0, 3, 1, 2).float()

    still = Augmentation(
        degrees=0, scales=(1, 1), shift=0, light=0, colour=0, grey=0, blur=0, noise=0, occluder=0
    )
    training = TrainState(Reader(), TrainConfig(augmentation=still), {})
    for _ in range(6):
        training.train_step(
            torch.from_numpy(photos), torch.from_numpy(data.labels), FIVE_FEATURES, lr=0.0
        )
    assert max(training.losses) < 1e-3


# --- schedule, order, average -------------------------------------------------------------------


def test_one_cycle_rises_to_one_and_ends_at_nothing():
    rates = [lr_factor(step / 1000, warmup=0.1) for step in range(1001)]
    assert rates[0] == pytest.approx(0.04) and rates[-1] == pytest.approx(0, abs=1e-9)
    assert max(rates) == pytest.approx(1) and rates.index(max(rates)) == 100
    assert all(a < b for a, b in zip(rates[:100], rates[1:101], strict=True))
    assert all(a > b for a, b in zip(rates[100:-1], rates[101:], strict=True))


@pytest.mark.parametrize(
    ("budget", "expected"),
    [(Budget(minutes=2), 0.25), (Budget(epochs=3), 0.5), (Budget(epochs=0.5), 1.0)],
)
def test_budget_says_how_much_is_done(budget, expected):
    assert budget.done(step=15, steps_per_epoch=10, seconds=30) == pytest.approx(expected)


@pytest.mark.parametrize(
    "budget", [{}, {"minutes": 1, "epochs": 1}, {"minutes": 0}, {"epochs": -1}, {"minutes": 1e999}]
)
def test_budget_needs_one_positive_number(budget):
    with pytest.raises(FaceSegKitError, match="minutes or epochs"):
        Budget(**budget)


def test_an_epoch_goes_through_all_samples_once_and_the_next_in_another_order():
    first = np.concatenate([batch_indices(step, 12, 4, seed=0) for step in range(3)])
    second = np.concatenate([batch_indices(step, 12, 4, seed=0) for step in range(3, 6)])
    assert sorted(first) == sorted(second) == list(range(12))
    assert list(first) != list(second)


def test_moving_average_forgets_the_start_and_then_keeps_its_share():
    average = ema_update(0.9)
    value = torch.tensor(100.0)
    for count in range(30):
        average([value], [torch.tensor(0.0)], count)
    assert value < 1e-3
    averaged = [torch.tensor(1.0), torch.ones(2)]
    average(averaged, [torch.tensor(0.0), torch.full((2,), 2.0)], 1000)
    assert averaged[0].item() == pytest.approx(0.9)
    assert averaged[1].tolist() == pytest.approx([1.1, 1.1])


def test_batch_norms_count_of_steps_is_taken_over_as_it_is():
    count = torch.tensor(3)
    ema_update(0.9)([count], [torch.tensor(8)], 1000)
    assert count.item() == 8


def test_batches_pair_each_photo_with_its_own_labels():
    some = samples()
    photos, labels = some.batch(np.array([7, 2, 5]))
    red = photos[..., 0] > 200
    assert torch.equal(labels[:, ::2, ::2] != 0, red)


def test_keeping_freed_memory_may_be_asked_for_anywhere():
    keep_freed_memory()
    assert torch.ones(10_000_000).sum().item() == 10_000_000


# --- fit ----------------------------------------------------------------------------------------


def test_fit_learns():
    settings = TrainConfig(
        batch=4, lr=1e-2, ema_decay=0.9,
        validations=4, validation_photos=8, rows_per_validation=1,
        augmentation=Augmentation(occluder=0, scales=(0.8, 1.2), colour=0.1),
    )  # fmt: skip
    model, history = fit(
        small_model(), FIVE_FEATURES, samples(16), samples(seed=1), Budget(epochs=25), settings,
        progress=False,
    )  # fmt: skip
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    one_class = LabelScheme("nose alone", {"nose": ["nose"]}, [(0, 0, 255)])
    assert not model.training
    rows = samples(seed=2)
    images = torch.from_numpy(rows.photos).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        predicted = (model(images).argmax(dim=1) == 3).numpy()
    truth = one_class.merge(rows.labels[:, ::2, ::2]) == 1
    assert (predicted & truth).sum() / (predicted | truth).sum() > 0.8


def test_history_is_plain_data_that_grows_evenly(tmp_path):
    seen = []
    _, history = train_small(Budget(epochs=4), on_row=lambda rows: seen.append(len(rows)))
    assert [row["step"] for row in history] == [6, 12] and seen == [1, 2]
    assert [row["photos"] for row in history] == [24, 48]
    assert all(tuple(row) == HISTORY_COLUMNS for row in history)
    save_history(history, tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in read] == [row["val_loss"] for row in history]


def test_the_training_loss_is_noted_more_often_than_validations_take_place():
    settings = TrainConfig(
        batch=4, validations=2, validation_photos=8, rows_per_validation=3, seed=3
    )
    _, history = fit(
        small_model(), FIVE_FEATURES, samples(), samples(), Budget(epochs=4), settings,
        progress=False,
    )  # fmt: skip
    assert [row["step"] for row in history] == [2, 4, 6, 8, 10, 12]
    assert [math.isnan(row["val_loss"]) for row in history] == [True, True, False] * 2
    assert not any(math.isnan(row["train_loss"]) for row in history)


def test_same_seed_same_curve_and_another_seed_another():
    first, history = train_small(Budget(epochs=2))
    again, history_again = train_small(Budget(epochs=2))

    def timeless(rows):
        return [{k: v for k, v in row.items() if k != "minutes"} for row in rows]

    assert timeless(history) == timeless(history_again)
    for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    other, _ = fit(
        small_model(), FIVE_FEATURES, samples(), samples(seed=1), Budget(epochs=2),
        TrainConfig(batch=4, validations=1, seed=4), progress=False,
    )  # fmt: skip
    assert not torch.equal(first.state_dict()["head.weight"], other.state_dict()["head.weight"])


def test_the_first_part_of_a_run_sees_photos_at_half_their_size(monkeypatch):
    sizes = []
    original = quarter_logits

    def note_size(model, images, row, column):
        sizes.append(images.shape[-1])
        return original(model, images, row, column)

    monkeypatch.setattr("facesegkit.train.quarter_logits", note_size)
    train_small(Budget(epochs=4))
    assert sizes == [32] * 6 + [64] * 6


@pytest.mark.alone
def test_a_budget_in_minutes_is_kept_and_ends_annealed():
    started = time.perf_counter()
    _, history = train_small(Budget(minutes=0.05))
    assert 3 <= time.perf_counter() - started < 10
    assert len(history) == 2
    assert history[-1]["rate"] < 0.05 * SMALL.lr < history[0]["rate"]
    assert history[-1]["minutes"] == pytest.approx(0.05, rel=0.4)


def test_a_run_that_stops_and_resumes_ends_like_one_that_did_not(tmp_path, monkeypatch):
    state = tmp_path / "run.training.pth"
    whole, whole_history = train_small(Budget(epochs=4))

    class PowerCut(Exception):
        pass

    def pull_the_plug(history):
        raise PowerCut

    monkeypatch.setattr("facesegkit.train._SAVE_EVERY", 0.0)
    with pytest.raises(PowerCut):
        train_small(Budget(epochs=4), state_file=state, on_row=pull_the_plug)
    stopped_at = load_tensors(state)["step"]
    assert 0 < stopped_at < 12
    resumed, history = train_small(Budget(epochs=4), state_file=state, resume=True)
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert [row["val_mean_f1"] for row in history] == [row["val_mean_f1"] for row in whole_history]
    assert [row["train_loss"] for row in history] == [row["train_loss"] for row in whole_history]


def test_resuming_a_finished_run_trains_no_further(tmp_path):
    state = tmp_path / "run.training.pth"
    whole, _ = train_small(Budget(epochs=1), state_file=state)
    again, _ = train_small(Budget(epochs=1), state_file=state, resume=True)
    assert load_tensors(state)["step"] == 3
    for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("stop_at", [1, 5, 11])
def test_a_run_that_was_stopped_at_any_step_comes_to_its_end(stop_at, tmp_path):
    """Also in the last part, in which a row was written when it stopped."""
    state, asked = tmp_path / "run.training.pth", iter(range(1, 13))
    budget, settings = Budget(epochs=4), replace(SMALL, validations=1, rows_per_validation=2)
    whole, history = train_small(
        budget, settings=settings, state_file=state, stop=lambda: next(asked) == stop_at
    )
    assert history[-1]["step"] == stop_at and not is_complete(history, budget, samples(), settings)
    resumed, history = train_small(budget, settings=settings, state_file=state, resume=True)
    assert history[-1]["step"] == 12 and is_complete(history, budget, samples(), settings)
    assert not math.isnan(history[-1]["val_loss"])
    assert [row["step"] for row in history] == sorted({stop_at, 6, 12})


def test_a_finished_run_goes_on_when_it_is_given_more_time(tmp_path):
    state = tmp_path / "run.training.pth"
    train_small(Budget(epochs=2), state_file=state)
    _, history = train_small(Budget(epochs=4), state_file=state, resume=True)
    assert is_complete(history, Budget(epochs=4), samples(), SMALL)
    assert [row["step"] for row in history] == [3, 6, 12]  # half of two epochs, and of four


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_is_over_when_it_has_had_more_than_it_is_given_now(epochs, tmp_path, monkeypatch):
    state = tmp_path / "run.training.pth"
    train_small(Budget(epochs=2), state_file=state)
    save_tensors(load_tensors(state) | {"history": []}, state)  # saved before there was a row
    _, history = train_small(Budget(epochs=epochs), state_file=state, resume=True)
    assert [row["step"] for row in history] == [6] and math.isfinite(history[0]["val_loss"])
    assert is_complete(history, Budget(epochs=epochs), samples(), SMALL)


def test_torchrun_goes_on_with_its_own_run_only(tmp_path, monkeypatch):
    state, budget = tmp_path / "run.training.pth", Budget(epochs=4)
    asked = iter(range(1, 13))

    def leave_a_state():
        train_small(budget, state_file=state, stop=lambda: next(asked) == 4)

    def resumed(count, machines="1", name="none"):
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", name)
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", count)
        monkeypatch.setenv("GROUP_WORLD_SIZE", machines)
        return train._state_to_resume(state, False, budget, 3)

    assert train._state_to_resume(state, True, budget, 3) is None  # there is none
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # what it is called unless it has a name
    leave_a_state()
    assert resumed("1")["step"] == 4
    assert resumed("1", name="other") is None and state.exists()
    assert resumed("0", machines="2", name="other") is None and state.exists()
    assert resumed("0") is None and not state.exists()


def test_resuming_with_other_settings_or_data_is_refused(tmp_path):
    state = tmp_path / "run.training.pth"
    train_small(Budget(epochs=1), state_file=state, about={"data": "A"})
    with pytest.raises(FaceSegKitError, match="data = A, not B"):
        train_small(Budget(epochs=1), state_file=state, resume=True, about={"data": "B"})
    with pytest.raises(FaceSegKitError, match="batch = 4, not 8"):
        fit(
            small_model(), FIVE_FEATURES, samples(), samples(), Budget(epochs=1),
            replace(SMALL, batch=8),
            state_file=state, resume=True, about={"data": "A"}, progress=False,
        )  # fmt: skip


def test_a_loss_that_is_no_number_is_said(monkeypatch):
    monkeypatch.setattr(
        "facesegkit.train.segmentation_loss", lambda scores, *_: scores.sum() * float("nan")
    )
    with pytest.raises(FaceSegKitError, match="no longer a number after 1 steps"):
        train_small(Budget(epochs=1))


def test_nothing_to_train_on_is_said():
    none = TrainingData(
        np.zeros((0, 64, 64, 3), np.uint8), np.zeros((0, 64, 64), np.uint8), np.arange(0)
    )
    with pytest.raises(FaceSegKitError, match="0 photos to train on"):
        fit(small_model(), FIVE_FEATURES, none, samples(), Budget(epochs=1), SMALL)


def test_validate_scores_at_the_annotations_size():
    class Redness(nn.Module):
        """Calls red pixels nose."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, images):
            scores = torch.zeros(len(images), 6, *images.shape[2:])
            scores[:, 3] = (images[:, 0] - 0.6) * 50
            return scores

    loss, mean_f1 = validate(Redness().eval(), FIVE_FEATURES, samples(), TrainConfig())
    assert mean_f1 > 0.97 and loss > 0
