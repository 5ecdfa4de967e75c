"""The training loop, made for CPUs: learning rate schedule, EMA of the weights, `fit`.

Random numbers come from generators seeded with (seed, step), so a resumed run (system/resume.py)
sees the same batches as one that was not interrupted.
"""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from facesegkit.config import RunOptions, TrainConfig
from facesegkit.dataset import TrainingBatch, TrainingData
from facesegkit.errors import FaceSegKitError, counted
from facesegkit.losses import Loss, segmentation_loss
from facesegkit.metrics import evaluate, predict_logits
from facesegkit.models import FaceParser, upsample_bilinear_quarter
from facesegkit.system import distributed
from facesegkit.system.history import (
    HISTORY_COLUMNS,
    History,
    ends_with_validation,
    mean,
    summary,
    validated_mean_f1,
)
from facesegkit.system.resume import restore, state_dict, state_to_resume
from facesegkit.system.tensor_files import save_tensors
from facesegkit.system.torch_speed import keep_freed_memory

_SAVE_EVERY = 30.0  # seconds between two saves of the training state
_BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


class BatchSource(Protocol):
    """What `fit` trains on: `dataset.TrainingData`, or `detection.canvases.CanvasMaker`."""

    def __len__(self) -> int: ...

    def training_batch(
        self, step: int, progress: float, config: TrainConfig, device: torch.device
    ) -> TrainingBatch: ...


def lr_factor(progress: float, warmup: float) -> float:
    """Fraction of the highest learning rate: linear warm-up, then cosine decay to 0.

    The one-cycle policy of L. Smith and N. Topin ("Super-Convergence", 2018). torch's OneCycleLR
    needs the number of steps beforehand, which a budget in minutes does not have. `progress` and
    `warmup` are fractions of the run, 0..1: what is done, and how long the rate rises.
    """
    if progress < warmup:
        return 0.04 + 0.96 * progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


Tensors = tuple[Tensor, ...] | list[Tensor]


def ema_update(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """In-place exponential moving average of the weights: `multi_avg_fn` of `AveragedModel`.

    The decay is smaller at first, as in TensorFlow's ExponentialMovingAverage: otherwise the
    random initial weights would still contribute after hundreds of steps. torch's own
    get_ema_multi_avg_fn has no such warm-up.
    """

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        decay_now = min(decay, (1 + float(count)) / (10 + float(count)))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - decay_now)
        else:  # batch norm's count of steps
            torch._foreach_copy_(averaged, current)

    return update


def quarter_logits(model: nn.Module, images: Tensor, row: int, column: int) -> Tensor:
    """Logits of every second row and column, from `row` and `column` (0 or 1): [B, C, H/2, W/2].

    The package's own models need not upsample their logits to the full resolution for that.
    """
    if isinstance(model, FaceParser):
        return upsample_bilinear_quarter(model.half_logits(images), row, column)
    return model(images)[:, :, row::2, column::2]


class _Forward(nn.Module):
    """A model's output where the target is, as a module: only modules can be data-parallel."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, offset: tuple[int, int] | None) -> Tensor:
        return quarter_logits(self.model, images, *offset) if offset else self.model(images)


class TrainState:
    """All that changes during training: what a step needs, and what is saved to resume."""

    def __init__(
        self, model: nn.Module, config: TrainConfig, run: RunOptions, batch_size: int | None = None
    ) -> None:
        self.config = config
        self.run = run
        self.batch_size = batch_size or config.batch_size
        # PyTorch's own type hints do not know memory_format.
        self.model = model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        update = ema_update(config.ema_decay)
        self.averaged = AveragedModel(model, multi_avg_fn=update, use_buffers=True).eval()
        self.forward = distributed.data_parallel(_Forward(self.model))
        # Decaying batch norm's scales and offsets towards 0 makes no sense.
        groups: list[dict[str, Any]] = [
            {"params": [p for p in model.parameters() if p.ndim > 1]},
            {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        # Fused: one call for all weights; one call each would be a third of a small step's time.
        self.optimizer = torch.optim.AdamW(
            groups, lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        self.step = 0
        self.seconds = 0.0
        self.history: History = []
        self.losses: list[float] = []  # of the steps since the last row of the history
        self.best_weights: dict[str, Tensor] = {}  # of the averaged model at its best validation
        self.saved_at = time.perf_counter()

    def save(self, is_end: bool) -> None:
        """Write the state to the run's file: at the end, and otherwise twice a minute."""
        is_due = is_end or time.perf_counter() - self.saved_at > _SAVE_EVERY
        if self.run.state_file is not None and distributed.is_first() and is_due:
            save_tensors(state_dict(self), self.run.state_file)
            self.saved_at = time.perf_counter()

    def validate(self, val: TrainingData, loss: Loss | None) -> tuple[float, float]:
        """Loss and mean F1 of the averaged model, whose weights are kept if they are the best.

        Only `config.validation_photos` of the photos are used, spread evenly.
        """
        config, model = self.config, self.averaged.module
        result = evaluate(
            model,
            val.subset(config.validation_photos),
            batch_size=config.batch_size,
            loss=loss or partial(segmentation_loss, config=config),
        )
        mean_f1 = result.metrics.mean_f1
        if not self.best_weights or mean_f1 > max(validated_mean_f1(self.history), default=0):
            self.best_weights = {name: v.clone() for name, v in model.state_dict().items()}
        return result.loss, mean_f1

    def add_row(self, lr: float, val_loss: float = math.nan, val_mean_f1: float = math.nan) -> None:
        """Append to the history what happened since its last row."""
        photos, minutes = self.step * self.batch_size, self.seconds / 60
        row = (self.step, photos, minutes, lr, mean(self.losses), val_loss, val_mean_f1)
        self.history.append(dict(zip(HISTORY_COLUMNS, row, strict=True)))
        self.losses = []
        if self.run.on_row is not None and distributed.is_first():
            self.run.on_row(self.history)


def train_step(
    state: TrainState, batch: TrainingBatch, lr: float, loss: Loss | None = None
) -> None:
    """One optimization step: forward, loss, backward, update of the weights and of their EMA.

    Raises a FaceSegKitError if the loss is no longer finite.
    """
    config, images = state.config, batch.images
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    teacher, teacher_probs = state.run.teacher, batch.soft_target
    with torch.autocast(images.device.type, torch.bfloat16, enabled=config.bf16):
        logits = state.forward(images, batch.offset).float()
        if teacher is not None:
            with torch.no_grad():
                teacher_probs = _Forward(teacher)(images, batch.offset).float().softmax(1)
    loss = loss or partial(segmentation_loss, config=config, teacher_probs=teacher_probs)
    value = loss(logits, batch.target)
    state.optimizer.zero_grad()
    value.backward()
    state.optimizer.step()
    distributed.mean_buffers(state.model)
    state.averaged.update_parameters(state.model)
    state.step += 1
    state.losses.append(value.item())
    if not math.isfinite(state.losses[-1]):
        problem = f"The loss is no longer finite after {state.step} steps"
        raise FaceSegKitError(f"{problem}; train again with a learning rate below {config.lr}.")


def fit(
    model: nn.Module,
    train: BatchSource,
    val: TrainingData | None,
    config: TrainConfig,
    run: RunOptions | None = None,
    *,
    loss: Loss | None = None,
    schedule: Callable[[float, float], float] = lr_factor,
) -> tuple[nn.Module, History]:
    """Train a model until the budget is used up.

    Processes started by torchrun train one model: they share each batch and each validation.

    Args:
        model: images float32 [B, 3, H, W] in 0..1 to logits [B, C, H, W]; trained on `train`.
        val: what the averaged model is validated on, `config.validations` times; None: not at all.
        config, run: the recipe with its budget; teacher, resuming, callbacks.
        loss: instead of `segmentation_loss`; knows no teacher. See `losses.Loss`.
        schedule: factor of `config.lr`, from progress and warm-up like `lr_factor`.

    Returns:
        The averaged model (EMA of the weights) in eval mode, and the history; if there is a
        `val`, its last row has a validation.

    Raises:
        FaceSegKitError: if there are no samples, fewer photos in a batch than processes, the
            saved state does not fit, or the loss is no longer finite.
        ValueError: if the model's classes are not those of the data's scheme.
    """
    run = run or RunOptions()
    state = _start(model, train, val, config, run)
    device = next(model.parameters()).device
    started = time.perf_counter() - state.seconds  # as if this process had trained from step 0
    done, stopping = _progress(train, config, state.step, state.seconds), False
    hidden = not (run.progress and distributed.is_first())
    with tqdm(total=100, desc="train", bar_format=_BAR, initial=100 * done, disable=hidden) as bar:
        while done < 1 and not stopping:
            lr = config.lr * schedule(done, config.warmup)
            batch = train.training_batch(state.step, done, config, device)
            train_step(state, batch, lr, loss)
            # All processes have to agree on what comes next, or they would wait forever.
            elapsed = time.perf_counter() - started
            state.seconds, stopping = distributed.broadcast((elapsed, run.stop()))
            before, done = done, _progress(train, config, state.step, state.seconds)
            is_end = stopping or done >= 1
            if val is not None and (is_end or _passes(before, done, config.validations)):
                metrics = state.validate(val, loss)
                state.seconds = distributed.broadcast(time.perf_counter() - started)
                state.add_row(lr, *metrics)
            elif is_end or _passes(before, done, config.validations * config.rows_per_validation):
                state.add_row(lr)
            state.save(is_end)
            bar.update(100 * done - bar.n)
            photos_per_second = state.step * state.batch_size / state.seconds
            bar.set_postfix_str(summary(state.history, state.losses, photos_per_second), False)
    _finish(state, val, loss, done)
    return state.averaged.module, state.history


def _start(
    model: nn.Module,
    train: BatchSource,
    val: TrainingData | None,
    config: TrainConfig,
    run: RunOptions,
) -> TrainState:
    """Check that there are enough samples, and return a fresh state or one to resume from."""
    if len(train) == 0 or (val is not None and len(val) == 0):
        given = f"{counted(len(train), 'photo')} to train on and {len(val or [])} to validate on"
        raise FaceSegKitError(f"Got {given}; give a data set with at least one for both.")
    batch_size = min(config.batch_size, len(train))
    if batch_size < (count := distributed.world_size()):
        batch = f"a batch of {counted(batch_size, 'photo')}"
        raise FaceSegKitError(f"{count} processes cannot share {batch}; start fewer.")
    keep_freed_memory()
    state = TrainState(model, config, run, batch_size)
    for data in (train, val):
        if isinstance(data, TrainingData):
            black = torch.zeros(1, *data.photos.shape[1:], dtype=torch.uint8)
            logits = predict_logits(state.averaged.module, black, data.crop)
            data.scheme.check_channels(logits.shape[1])
    progress = partial(_progress, train, config)
    if saved := state_to_resume(run.state_file, run.resume, progress):
        restore(state, saved)
    return state


def _finish(state: TrainState, val: TrainingData | None, loss: Loss | None, done: float) -> None:
    """Use the best weights of a run that was stopped; validate one that was over when resumed."""
    if done < 1 and state.best_weights:
        state.averaged.module.load_state_dict(state.best_weights)
    elif done >= 1 and val is not None and not ends_with_validation(state.history, state.step):
        state.add_row(0.0, *state.validate(val, loss))


def _progress(train: BatchSource, config: TrainConfig, step: int, seconds: float) -> float:
    """Fraction of the budget that is used up after `step` steps and `seconds`, 0..1."""
    steps_per_epoch = len(train) // min(config.batch_size, len(train))
    return config.budget.progress(step, steps_per_epoch, seconds)


def _passes(before: float, after: float, count: int) -> bool:
    """Whether one of `count` equal parts of the run ended between two values of its progress."""
    return math.floor(after * count) > math.floor(before * count)


def is_complete(history: History, train: BatchSource, config: TrainConfig) -> bool:
    """Whether a run has used up its budget, according to its history."""
    last = history[-1]
    return _progress(train, config, int(last["step"]), 60 * last["minutes"]) >= 1
