"""The loss, the schedule, the EMA of the weights, and runs that are stopped and resumed."""

import csv
import math
import re
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from facesegkit import train
from facesegkit.config import Budget, RunOptions, TrainConfig
from facesegkit.dataset import TrainingData, batch_indices, generator_for
from facesegkit.errors import FaceSegKitError
from facesegkit.labels import FIVE_FEATURES, IGNORED, PART_IDS, LabelScheme
from facesegkit.losses import segmentation_loss
from facesegkit.metrics import evaluate
from facesegkit.models import LightweightSegmentationModel
from facesegkit.system.history import HISTORY_COLUMNS, save_history, summary
from facesegkit.system.resume import state_to_resume
from facesegkit.system.tensor_files import load_tensors, save_tensors
from facesegkit.system.torch_speed import keep_freed_memory
from facesegkit.transforms import Augmentation

SMALL = TrainConfig(batch_size=4, validations=2, validation_photos=8, rows_per_validation=1,
                    resize_schedule=((0.5, 32),), seed=3)  # fmt: skip
UNCHANGED = Augmentation(0, (1, 1), 0, 0, 0, 0, 0, 0, 0, 0, 0)
CPU = torch.device("cpu")


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


def fit_small(epochs=None, config=SMALL, val=True, loss=None, schedule=train.lr_factor,
              minutes=None, **run):  # fmt: skip
    config = replace(config, budget=Budget(epochs=epochs, minutes=minutes))
    return train.fit(small_model(), samples(), samples(seed=1) if val else None, config,
               RunOptions(progress=False, **run), loss=loss, schedule=schedule)  # fmt: skip


@pytest.fixture
def state(tmp_path):
    """The file to which the state is saved."""
    return tmp_path / "run.training.pth"


def stop_at(step):
    """A function for `RunOptions.stop` that stops the run after this step."""
    steps = iter(range(1, 13))
    return lambda: next(steps) == step


def assert_same_weights(model, other):
    torch.testing.assert_close(model.state_dict(), other.state_dict(), rtol=0, atol=0)


def test_loss_worked_out_by_hand():
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.3, 0.6]])  # of 3 pixels
    logits, target = probabilities.log().T[None, :, None], torch.tensor([[[0, 1, 1]]])
    config = TrainConfig(background_weight=0.5, dice_weight=2.0)
    cross_entropy = -(0.5 * math.log(0.7) + math.log(0.5) + math.log(0.3)) / 2.5
    # Class 1: TP 0.8, predicted 1, annotated 2. Class 2: TP 0, predicted 1, annotated 0.
    dice = ((2 * 0.8 + 1) / (1 + 2 + 1) + 1 / (1 + 0 + 1)) / 2
    expected = cross_entropy + 2.0 * (1 - dice)
    assert segmentation_loss(logits, target, config).item() == pytest.approx(expected, rel=1e-5)


def test_soft_targets_replace_a_part_of_the_annotation():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    teacher_probs = torch.randn(2, 3, 4, 4).softmax(dim=1)
    config = TrainConfig(dice_weight=0.0, teacher_weight=0.25)
    hard = nn.functional.cross_entropy(logits, target)
    soft = nn.functional.cross_entropy(logits, teacher_probs)  # torch takes probabilities as well
    loss = segmentation_loss(logits, target, config, teacher_probs)
    assert torch.allclose(loss, 0.75 * hard + 0.25 * soft, atol=1e-6)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_quarter_logits_are_every_second_row_and_column(row, column):
    images = torch.rand(2, 3, 64, 96, generator=generator_for(1))
    own = small_model().eval()
    other = nn.Conv2d(3, 6, 3, padding=1)  # one without logits at half the resolution
    for model in (own, other):
        with torch.no_grad():
            expected = model(images)[:, :, row::2, column::2]
            quarter = train.quarter_logits(model, images, row, column)
            assert torch.allclose(quarter, expected, atol=1e-5)


class ReadsClasses(nn.Module):
    """Reads the class of each pixel off its grey value, 40 per class."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 1))

    def forward(self, images):
        classes = (images[:, :1] * 255 / 40).round().clamp(0, 5).long()[:, 0]
        return 20 * self.scale * nn.functional.one_hot(classes, 6).permute(0, 3, 1, 2).float()


def test_logits_and_target_of_a_step_belong_to_the_same_pixels():
    data = samples(4)
    classes = FIVE_FEATURES.class_of_part[data.labels][:, ::2, ::2]  # at the photos' resolution
    data = replace(data, photos=np.repeat(40 * classes[..., None], 3, axis=3))
    config = TrainConfig(batch_size=4, augmentation=UNCHANGED, resize_schedule=())
    state = train.TrainState(ReadsClasses(), config, RunOptions())
    for step in range(6):
        train.train_step(state, data.training_batch(step, 0.0, config, CPU), lr=0.0)
    assert state.step == 6 and len(state.losses) == 6 and max(state.losses) < 1e-3


def test_lr_factor_rises_to_one_and_falls_to_zero():
    factors = [train.lr_factor(step / 1000, warmup=0.1) for step in range(1001)]
    assert factors[0] == pytest.approx(0.04) and factors[-1] == pytest.approx(0, abs=1e-9)
    assert max(factors) == pytest.approx(1) and factors.index(max(factors)) == 100
    assert (np.diff(factors[:101]) > 0).all() and (np.diff(factors[100:]) < 0).all()


def test_progress_of_a_budget():
    budgets = Budget(minutes=2), Budget(epochs=3), Budget(epochs=0.5)
    progress = [budget.progress(15, steps_per_epoch=10, seconds=30) for budget in budgets]
    assert progress == pytest.approx([0.25, 0.5, 1])


@pytest.mark.parametrize("budget", [(None, None), (1, 1), (0, None), (1e999, None)])
def test_budget_needs_one_positive_number(budget):
    with pytest.raises(FaceSegKitError, match="either minutes or epochs"):
        Budget(*budget)


def test_an_epoch_visits_all_samples_once_and_the_next_in_another_order():
    batches = [batch_indices(step, 12, 4, seed=0) for step in range(6)]
    first, second = ([*np.concatenate(epoch)] for epoch in (batches[:3], batches[3:]))
    assert sorted(first) == sorted(second) == list(range(12)) and first != second


def test_ema_forgets_the_initial_weights_and_then_uses_its_decay():
    update, value = train.ema_update(0.9), torch.tensor(100.0)
    for count in range(30):
        update([value], [torch.tensor(0.0)], count)
    assert value < 1e-3
    averaged = [torch.tensor(1.0), torch.ones(2)]
    update(averaged, [torch.tensor(0.0), torch.full((2,), 2.0)], 1000)
    assert averaged[0].item() == pytest.approx(0.9)
    assert averaged[1].tolist() == pytest.approx([1.1, 1.1])
    update([steps := torch.tensor(3)], [torch.tensor(8)], 1000)  # of batch norm, an integer
    assert steps.item() == 8


def test_keep_freed_memory_works_on_any_system():
    keep_freed_memory()
    assert torch.ones(10_000_000).sum().item() == 10_000_000


def test_fit_learns():
    config = TrainConfig(
        budget=Budget(epochs=25), batch_size=4, lr=1e-2, ema_decay=0.9,
        validations=4, validation_photos=8, rows_per_validation=1,
        augmentation=Augmentation(occluder=0, scales=(0.8, 1.2), colour=0.1),
    )  # fmt: skip
    model, history = train.fit(small_model(), samples(16), samples(seed=1), config)
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    assert not model.training
    assert evaluate(model, samples(seed=2)).metrics.iou[3] > 0.8


def test_history_has_evenly_spaced_rows_of_plain_data(tmp_path):
    lengths = []
    _, history = fit_small(4, on_row=lambda rows: lengths.append(len(rows)))
    assert [row["step"] for row in history] == [6, 12] and lengths == [1, 2]
    assert [row["photos"] for row in history] == [24, 48]
    assert all(tuple(row) == HISTORY_COLUMNS for row in history)
    save_history(history, tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in read] == [row["val_loss"] for row in history]


@pytest.mark.parametrize("val", [True, False])
def test_the_training_loss_is_recorded_more_often_than_validations_take_place(val):
    _, history = fit_small(4, replace(SMALL, rows_per_validation=3), val=val)
    assert [row["step"] for row in history] == [2, 4, 6, 8, 10, 12]
    expected = [True, True, False] * 2 if val else [True] * 6
    for column in ("val_loss", "val_mean_f1"):
        assert [math.isnan(row[column]) for row in history] == expected
    assert not any(math.isnan(row["train_loss"]) for row in history)


def test_the_seed_decides_everything_but_the_time():
    (first, history), (again, history_again) = fit_small(2), fit_small(2)
    for row, row_again in zip(history, history_again, strict=True):
        assert row | {"minutes": 0} == row_again | {"minutes": 0}
    assert_same_weights(first, again)
    other, _ = fit_small(2, replace(SMALL, seed=4))
    assert not torch.equal(first.head.weight, other.head.weight)


def test_ignored_pixels_have_no_effect_on_the_loss():
    generator = torch.Generator().manual_seed(0)
    logits, teacher_logits = torch.randn(2, 2, 3, 4, 6, generator=generator)
    target = torch.randint(3, (2, 4, 6), generator=generator)
    given = SMALL, teacher_logits.softmax(dim=1)
    target[:, :, 4:] = IGNORED
    expected = segmentation_loss(logits[..., :4], target[..., :4], SMALL, given[1][..., :4])
    assert torch.allclose(segmentation_loss(logits, target, *given), expected, atol=1e-6)


def test_the_loss_and_the_schedule_are_the_given_ones():
    sizes, progress = [], []

    def loss(logits, target):
        if logits.requires_grad:  # not in a validation
            sizes.append(target.shape[-1])
        return 7 + 0 * logits.sum()

    def schedule(done, warmup):
        progress.append(done)
        return 0.25

    _, history = fit_small(2, loss=loss, schedule=schedule)
    assert progress == pytest.approx([step / 6 for step in range(6)])
    assert sizes == [16] * 3 + [32] * 3  # half the photos' sides, which are small at first
    for row in history:
        assert (row["lr"], row["train_loss"], row["val_loss"]) == (0.25 * SMALL.lr, 7, 7)


def test_the_teacher_gives_soft_targets(monkeypatch):
    def loss(logits, target, config, teacher_probs):
        assert teacher_probs.shape == logits.shape and not teacher_probs.requires_grad
        torch.testing.assert_close(teacher_probs.sum(1), torch.ones_like(teacher_probs[:, 0]))
        return segmentation_loss(logits, target, config, teacher_probs)

    alone, _ = fit_small(1, val=False)
    monkeypatch.setattr(train, "segmentation_loss", loss)
    distilled, _ = fit_small(1, val=False, teacher=small_model().eval())
    assert not torch.equal(distilled.head.weight, alone.head.weight)


@pytest.mark.alone
def test_a_budget_in_minutes_is_kept_and_the_learning_rate_decays():
    started = time.perf_counter()
    _, history = fit_small(minutes=0.05)
    assert 3 <= time.perf_counter() - started < 10
    assert len(history) == 2
    assert history[-1]["lr"] < 0.05 * SMALL.lr < history[0]["lr"]
    assert history[-1]["minutes"] == pytest.approx(0.05, rel=0.4)


def test_the_progress_bar_shows_loss_speed_and_validation(capsys):
    train.fit(small_model(), samples(), samples(), replace(SMALL, budget=Budget(epochs=1)))
    shown = capsys.readouterr().err
    assert re.search(r"train 100%\|.*\d, \d+ photos/s, val mean F1 0\.\d{3} *\n$", shown)
    assert summary([], [9.0] + [0.5] * 20, 10.4) == "loss 0.500, 10 photos/s"


def test_a_resumed_run_ends_like_an_uninterrupted_one(state, monkeypatch):
    expected, expected_history = fit_small(4)
    monkeypatch.setattr("facesegkit.train._SAVE_EVERY", 0.0)
    with pytest.raises(ZeroDivisionError):  # as in a power cut
        fit_small(4, state_file=state, on_row=lambda _: 1 / 0)
    assert 0 < load_tensors(state)["step"] < 12
    resumed, history = fit_small(4, state_file=state, resume=True)
    assert_same_weights(resumed, expected)
    for column in ("step", "val_mean_f1", "train_loss"):
        assert [row[column] for row in history] == [row[column] for row in expected_history]


@pytest.mark.parametrize("step", [1, 5, 11])
def test_a_run_that_was_stopped_at_any_step_can_be_completed(step, state):
    """Also in the last part, in which a row was written when it stopped."""
    config = replace(SMALL, budget=Budget(epochs=4), validations=1, rows_per_validation=2)
    _, history = fit_small(4, config, state_file=state, stop=stop_at(step))
    assert history[-1]["step"] == step and not train.is_complete(history, samples(), config)
    _, history = fit_small(4, config, state_file=state, resume=True)
    assert history[-1]["step"] == 12 and train.is_complete(history, samples(), config)
    assert not math.isnan(history[-1]["val_loss"])
    assert [row["step"] for row in history] == sorted({step, 6, 12})


def test_a_stopped_run_returns_the_weights_of_its_best_validation(state):
    stopped, history = fit_small(4, state_file=state, stop=stop_at(8))
    best = load_tensors(state)["best_weights"]
    assert [row["step"] for row in history] == [6, 8]
    torch.testing.assert_close(dict(stopped.state_dict()), best, rtol=0, atol=0)


def test_a_finished_run_continues_with_a_larger_budget_only(state):
    finished, _ = fit_small(2, state_file=state)
    again, _ = fit_small(2, state_file=state, resume=True)
    assert_same_weights(finished, again)
    assert load_tensors(state)["step"] == 6
    _, history = fit_small(4, state_file=state, resume=True)
    assert train.is_complete(history, samples(), replace(SMALL, budget=Budget(epochs=4)))
    assert [row["step"] for row in history] == [3, 6, 12]  # half of two epochs, and of four


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_that_used_up_its_budget_before_is_validated_once(epochs, state):
    fit_small(2, state_file=state)
    save_tensors(load_tensors(state) | {"history": []}, state)  # saved before there was a row
    _, history = fit_small(epochs, state_file=state, resume=True)
    assert [row["step"] for row in history] == [6] and math.isfinite(history[0]["val_loss"])
    assert train.is_complete(history, samples(), replace(SMALL, budget=Budget(epochs=epochs)))


def test_torchrun_resumes_its_own_run_only(state, monkeypatch):
    def restarted(count, machines="1", name="none", resume=False, steps=12):
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", name)  # 'none' for a run without a name
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", count)
        monkeypatch.setenv("GROUP_WORLD_SIZE", machines)
        return state_to_resume(state, resume, lambda step, seconds: step / steps)

    assert restarted("0", resume=True) is None  # there is none
    fit_small(4, state_file=state, stop=stop_at(4))
    assert restarted("1")["step"] == 4
    assert restarted("1", steps=4) is None  # it is over
    assert restarted("1", name="other") is None and state.exists()
    assert restarted("0", machines="2", name="other") is None and state.exists()
    assert restarted("0") is None and not state.exists()


def test_resuming_with_another_recipe_or_data_set_is_refused(state):
    run = {"state_file": state, "resume": True}
    fit_small(1, **run, metadata={"data": "A"})
    with pytest.raises(FaceSegKitError, match="data = A, not B"):
        fit_small(1, **run, metadata={"data": "B"})
    with pytest.raises(FaceSegKitError, match="batch_size = 4, not 8"):
        fit_small(1, replace(SMALL, batch_size=8), **run, metadata={"data": "A"})
    fit_small(1, replace(SMALL, bf16=True), **run, metadata={"data": "A"})  # bf16 is measured
    save_tensors(load_tensors(state) | {"step": 3, "model": {}}, state)
    with pytest.raises(FaceSegKitError, match="another version, or its file is damaged"):
        fit_small(1, **run, metadata={"data": "A"})
    save_tensors({"kind": "facesegkit model"}, state)
    with pytest.raises(FaceSegKitError, match="not a training state"):
        fit_small(1, **run)


def test_a_model_of_other_classes_is_refused_before_training():
    eyes = LabelScheme("eyes only", {"eyes": ("l_eye", "r_eye")}, [(1, 2, 3)])
    for data in ((replace(samples(), scheme=eyes), samples()), (samples(), samples())):
        model = LightweightSegmentationModel(classes=6 if data[0].scheme is eyes else 2)
        before = model.stem[0][1].running_mean.clone()
        with pytest.raises(ValueError, match="The model has . classes, but the scheme"):
            train.fit(model, *data, SMALL, RunOptions(progress=False))
        assert torch.equal(model.stem[0][1].running_mean, before)
    with pytest.raises(ValueError, match=r"has 6 classes, but .*'eyes only' has 2 \(backg.*, eyes"):
        train.fit(small_model(), samples(), replace(samples(), scheme=eyes), SMALL)


def test_training_that_cannot_succeed_is_an_error():
    with pytest.raises(FaceSegKitError, match="no longer finite after 1 steps"):
        fit_small(1, loss=lambda logits, *_: logits.sum() * float("nan"))
    none = replace(samples(), rows=np.arange(0))
    with pytest.raises(FaceSegKitError, match="0 photos to train on and 12"):
        train.fit(small_model(), none, samples(), SMALL)
    with pytest.raises(FaceSegKitError, match="12 photos to train on and 0"):
        train.fit(small_model(), samples(), none, SMALL)
