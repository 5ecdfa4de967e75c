"""The training loop, made for CPUs: learning rate schedule, EMA of the weights, `fit`.

All random numbers come from generators seeded with (seed, step), so a run that was killed and
resumed sees the same batches as one that was not.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from facesegkit.checkpoint import load_tensors, save_tensors
from facesegkit.config import Budget, History, RunOptions, TrainConfig
from facesegkit.dataset import TrainingBatch, TrainingData
from facesegkit.errors import FaceSegKitError, first_line
from facesegkit.losses import Loss, segmentation_loss
from facesegkit.metrics import evaluate
from facesegkit.models import FaceParser, upsample_bilinear_quarter
from facesegkit.system import distributed
from facesegkit.system.files import atomic_write
from facesegkit.system.torch_speed import keep_freed_memory

HISTORY_COLUMNS = (
    "step",
    "photos",  # seen so far, with repeats
    "minutes",  # of training, validation included
    "lr",
    "train_loss",  # mean since the row before
    "val_loss",  # nan in the rows without a validation, like the next
    "val_mean_f1",
)

_STATE_KIND = "training state"
_SAVE_EVERY = 30.0  # seconds between two saves of the training state
_BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


class BatchSource(Protocol):
    """What `fit` trains on: `dataset.TrainingData`, or `detection.scenes.SceneMaker`."""

    def __len__(self) -> int: ...

    def training_batch(
        self, step: int, progress: float, config: TrainConfig, device: torch.device
    ) -> TrainingBatch: ...


def lr_factor(progress: float, warmup: float) -> float:
    """Fraction of the highest learning rate: linear warm-up, then cosine decay to 0.

    The one-cycle policy of L. Smith and N. Topin ("Super-Convergence", 2018). torch's OneCycleLR
    needs the number of steps beforehand, which a budget in minutes does not have.

    Args:
        progress: fraction of the run that is done, 0..1.
        warmup: fraction of the run during which the learning rate rises.
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
    """Logits of every second row and column, from `row` and `column` (0 or 1) on.

    Our own models need not even upsample their logits to the full resolution for that.

    Shape: [B, 3, H, W] -> [B, C, H / 2, W / 2].
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

    def __init__(self, model: nn.Module, config: TrainConfig, run: RunOptions) -> None:
        self.config = config
        self.run = run
        # PyTorch's own type hints do not know memory_format.
        self.model = model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = AveragedModel(
            model, multi_avg_fn=ema_update(config.ema_decay), use_buffers=True
        )
        self.averaged.eval()
        self.forward = distributed.data_parallel(_Forward(self.model))
        # Decaying batch norm's scales and offsets towards 0 makes no sense.
        weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": weights, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        # Fused: one call for all weights; one call each would be a third of a small step's time.
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, fused=True)
        self.step = 0
        self.seconds = 0.0
        self.history: History = []
        self.losses: list[float] = []  # of the steps since the last row of the history
        self.best_weights: dict[str, Tensor] = {}  # of the averaged model at its best validation

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to resume, as tensors and plain data."""
        return {
            "kind": _STATE_KIND,
            "given": {**self.config.recipe(), **self.run.metadata},
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
            "losses": self.losses,
            "best_weights": self.best_weights,
            "run_id": distributed.run_id(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned.

        Raises:
            FaceSegKitError: if it was saved with other settings or for another model or data set,
                by another version, or is not a training state.
        """
        self._check_same_run(saved)
        try:
            self.model.load_state_dict(saved["model"])
            self.averaged.load_state_dict(saved["averaged"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.step = saved["step"]
            self.seconds = saved["seconds"]
            self.history = saved["history"]
            self.losses = saved["losses"]
            self.best_weights = saved["best_weights"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise FaceSegKitError(
                f"The run to resume was saved by another version, or its file is damaged "
                f"({first_line(error)}); start again without --resume."
            ) from error

    def _check_same_run(self, saved: dict[str, Any]) -> None:
        before = saved.get("given")
        if saved.get("kind") != _STATE_KIND or not isinstance(before, dict):
            raise FaceSegKitError(
                "The file to resume from is not a training state; start again without --resume."
            )
        # Whether bfloat16 is faster is measured, and today's measurement may differ.
        self.config = replace(self.config, bf16=bool(before.get("bf16")))
        given = {**self.config.recipe(), **self.run.metadata}
        changed = [name for name in given if given[name] != before.get(name)]
        if changed:
            raise FaceSegKitError(
                f"The run to resume was started with {changed[0]} = {before.get(changed[0])}, not "
                f"{given[changed[0]]}; give the same again, or start again without --resume."
            )

    def validate(self, val: TrainingData, loss: Loss) -> tuple[float, float]:
        """Loss and mean F1 of the averaged model, whose weights are kept if they are the best.

        Only `config.validation_photos` of the photos are used, spread evenly.
        """
        config, model = self.config, self.averaged.module
        result = evaluate(
            model,
            val.subset(config.validation_photos),
            batch_size=config.batch_size,
            loss=lambda logits, target: loss(logits, target, config, None),
        )
        mean_f1 = result.metrics.mean_f1
        before = (row["val_mean_f1"] for row in self.history if row["val_mean_f1"] >= 0)
        if not self.best_weights or mean_f1 > max(before, default=0):
            self.best_weights = {name: v.clone() for name, v in model.state_dict().items()}
        return result.loss, mean_f1

    def add_row(self, batch_size: int, lr: float, val_loss: float, val_mean_f1: float) -> None:
        """Append to the history what happened since its last row."""
        train_loss = sum(self.losses) / len(self.losses) if self.losses else math.nan
        photos, minutes = self.step * batch_size, self.seconds / 60
        row = (self.step, photos, minutes, lr, train_loss, val_loss, val_mean_f1)
        self.history.append(dict(zip(HISTORY_COLUMNS, row, strict=True)))
        self.losses = []

    def ends_with_validation(self) -> bool:
        """Whether the last row of the history validates the weights as they are now."""
        last = self.history[-1] if self.history else {"step": -1}
        return last["step"] == self.step and not math.isnan(last["val_loss"])

    def summary(self, batch_size: int) -> str:
        """Loss, speed and last validation in a few words, for the progress bar."""
        parts = [f"{self.step * batch_size / self.seconds:.0f} photos/s"]
        if self.losses:
            parts.insert(0, f"loss {sum(self.losses[-20:]) / len(self.losses[-20:]):.3f}")
        validated = [score for row in self.history if (score := row["val_mean_f1"]) >= 0]
        if validated:
            parts.append(f"val mean F1 {validated[-1]:.3f}")
        return ", ".join(parts)


def train_step(
    state: TrainState, batch: TrainingBatch, lr: float, loss: Loss = segmentation_loss
) -> None:
    """One optimisation step: forward, loss, backward, update of the weights and of their EMA.

    Raises:
        FaceSegKitError: if the loss is no longer finite.
    """
    config, images = state.config, batch.images
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    teacher, teacher_probs = state.run.teacher, None
    with torch.autocast(images.device.type, torch.bfloat16, enabled=config.bf16):
        logits = state.forward(images, batch.offset).float()
        if teacher is not None:
            with torch.no_grad():
                teacher_probs = _Forward(teacher)(images, batch.offset).float().softmax(1)
    value = loss(logits, batch.target, config, teacher_probs)
    state.optimizer.zero_grad()
    value.backward()
    state.optimizer.step()
    distributed.mean_buffers(state.model)
    state.averaged.update_parameters(state.model)
    state.step += 1
    state.losses.append(value.item())
    if not math.isfinite(state.losses[-1]):
        raise FaceSegKitError(
            f"The loss is no longer finite after {state.step} steps; train again with a "
            f"learning rate below {config.lr}."
        )


def fit(
    model: nn.Module,
    train: BatchSource,
    val: TrainingData | None,
    config: TrainConfig,
    run: RunOptions | None = None,
    *,
    loss: Loss = segmentation_loss,
    schedule: Callable[[float, float], float] = lr_factor,
) -> tuple[nn.Module, History]:
    """Train a model until the budget is used up.

    Processes started by torchrun train one model: they share each batch and each validation.

    Args:
        model: images float32 [B, 3, H, W] in 0..1 to logits [B, C, H, W]; trained in place.
        train: what to train on.
        val: what the averaged model is validated on, `config.validations` times; None: not at all.
        config: the recipe, with the budget.
        run: teacher, resuming, callbacks.
        loss: see `losses.Loss`.
        schedule: see `lr_factor`.

    Returns:
        The averaged model (EMA of the weights), in eval mode, and the history; if there is a
        `val`, its last row has a validation.

    Raises:
        FaceSegKitError: if there are no samples, fewer photos in a batch than processes, the
            saved state does not fit, or the loss is no longer finite.
    """
    run = run or RunOptions()
    batch_size = _batch_size(train, config)
    _check_enough_samples(train, val, batch_size)
    keep_freed_memory()
    state = TrainState(model, config, run)
    steps_per_epoch = len(train) // batch_size
    is_first = distributed.is_first()
    saved = _state_to_resume(run, config.budget, steps_per_epoch) if is_first else None
    if saved := distributed.broadcast(saved):
        state.load_state_dict(saved)
    saved_at = time.perf_counter()
    started = saved_at - state.seconds  # as if this process had trained from the first step
    done = config.budget.progress(state.step, steps_per_epoch, state.seconds)
    stopping = False
    hidden = not (run.progress and is_first)
    with tqdm(total=100, desc="train", bar_format=_BAR, initial=100 * done, disable=hidden) as bar:
        while done < 1 and not stopping:
            lr = config.lr * schedule(done, config.warmup)
            batch = train.training_batch(state.step, done, config, state.device)
            train_step(state, batch, lr, loss)
            # All processes have to agree on what comes next, or they would wait forever.
            elapsed = time.perf_counter() - started
            state.seconds, stopping = distributed.broadcast((elapsed, run.stop()))
            before, done = done, config.budget.progress(state.step, steps_per_epoch, state.seconds)

            is_end = stopping or done >= 1
            if is_end or _passes(before, done, config.validations * config.rows_per_validation):
                val_metrics = (math.nan, math.nan)
                if val is not None and (is_end or _passes(before, done, config.validations)):
                    val_metrics = state.validate(val, loss)
                    state.seconds = distributed.broadcast(time.perf_counter() - started)
                state.add_row(batch_size, lr, *val_metrics)
                if run.on_row is not None and is_first:
                    run.on_row(state.history)
            is_due = is_end or time.perf_counter() - saved_at > _SAVE_EVERY
            if run.state_file is not None and is_first and is_due:
                save_tensors(state.state_dict(), run.state_file)
                saved_at = time.perf_counter()
            bar.update(100 * done - bar.n)
            bar.set_postfix_str(state.summary(batch_size), refresh=False)
    if val is not None and done >= 1 and not state.ends_with_validation():  # resumed when over
        state.add_row(batch_size, 0.0, *state.validate(val, loss))
    elif done < 1 and state.best_weights:
        state.averaged.module.load_state_dict(state.best_weights)
    return state.averaged.module, state.history


def _passes(before: float, after: float, count: int) -> bool:
    """Whether one of `count` equal parts of the run ended between two values of its progress."""
    return math.floor(after * count) > math.floor(before * count)


def _batch_size(train: BatchSource, config: TrainConfig) -> int:
    """Photos in a batch: fewer than configured if there are fewer."""
    return min(config.batch_size, len(train))


def _check_enough_samples(train: BatchSource, val: TrainingData | None, batch_size: int) -> None:
    if len(train) == 0 or (val is not None and len(val) == 0):
        raise FaceSegKitError(
            f"There are {len(train)} photos to train on and {len(val or [])} to validate on; "
            f"both need at least one, so give a larger data set."
        )
    if batch_size < distributed.world_size():
        raise FaceSegKitError(
            f"A batch of {batch_size} photos cannot be shared by {distributed.world_size()} "
            f"processes; start fewer."
        )


def _state_to_resume(
    run: RunOptions, budget: Budget, steps_per_epoch: int
) -> dict[str, Any] | None:
    """The saved state, if the run is to be resumed; None for a fresh start.

    A run is resumed where this was asked for, and where torchrun restarts it after a failure.
    torchrun's first start removes the state of earlier runs: the run might be killed before it
    saves its own.
    """
    path = run.state_file
    if path is None or not path.exists():
        return None
    if run.resume:
        return load_tensors(path)
    if distributed.run_id() is None:
        return None
    if not distributed.may_be_a_restart():
        path.unlink()
        return None
    with suppress(FaceSegKitError, KeyError, TypeError):  # nobody has asked for this file
        saved = load_tensors(path)
        is_over = budget.progress(saved["step"], steps_per_epoch, saved["seconds"]) >= 1
        if saved["run_id"] == distributed.run_id() and not is_over:
            return saved
    return None


def is_complete(history: History, train: BatchSource, config: TrainConfig) -> bool:
    """Whether a run has used up its budget, according to its history."""
    steps_per_epoch = len(train) // _batch_size(train, config)
    last = history[-1]
    return config.budget.progress(int(last["step"]), steps_per_epoch, 60 * last["minutes"]) >= 1


def save_history(history: History, path: Path) -> None:
    """Write the history as CSV.

    Raises:
        FaceSegKitError: if the file cannot be written.
    """
    with atomic_write(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, HISTORY_COLUMNS)
        writer.writeheader()
        writer.writerows(history)
