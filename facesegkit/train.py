"""Training, made for CPUs: the loss, the schedule, the averaged weights, and `fit`, the loop.

Everything that follows from chance is drawn from generators seeded with (seed, step), so a run
that was killed and resumed sees the same batches as one that was not.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from facesegkit.checkpoint import load_tensors, save_tensors
from facesegkit.config import Budget, TrainConfig
from facesegkit.dataset import TrainingData, batch_indices, generator_for
from facesegkit.errors import FaceSegKitError, first_line
from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.labels import LabelScheme
from facesegkit.losses import segmentation_loss
from facesegkit.metrics import validate
from facesegkit.models import FaceParser, upsample_bilinear_quarter
from facesegkit.system import distributed
from facesegkit.system.files import atomic_write
from facesegkit.system.torch_speed import keep_freed_memory
from facesegkit.transforms import augment

History = list[dict[str, float]]
Tensors = tuple[Tensor, ...] | list[Tensor]
HISTORY_COLUMNS = (
    "step",
    "photos",  # seen so far, with repeats
    "minutes",  # of training, validation included
    "rate",  # learning rate
    "train_loss",  # mean since the row before
    "val_loss",  # nan in the rows without a validation, like the next
    "val_mean_f1",
)

_STATE_KIND = "training state"
_SAVE_EVERY = 30.0  # seconds between two saves of what a resumed run needs
_BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}, {postfix}"


def lr_factor(progress: float, warmup: float) -> float:
    """Share of the highest learning rate: a straight rise, then half a cosine down to 0.

    After L. Smith and N. Topin, "Super-Convergence", 2018. torch's OneCycleLR does the same for
    a number of steps known beforehand, which a budget in minutes does not have.
    """
    if progress < warmup:
        return 0.04 + 0.96 * progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def quarter_logits(model: nn.Module, images: Tensor, row: int, column: int) -> Tensor:
    """A model's scores for every second row and column, from `row` and `column` (0 or 1) on.

    Neighbouring pixels say nearly the same, but the loss at a photo's full size would take a
    quarter of a step's time. Our own models need not even enlarge their scores to that size.

    Shape: [B, 3, H, W] -> [B, C, H / 2, W / 2].
    """
    if isinstance(model, FaceParser):
        return upsample_bilinear_quarter(model.half_logits(images), row, column)
    return model(images)[:, :, row::2, column::2]


class _AllReduceSum(torch.autograd.Function):
    """The sum of a tensor over all processes, through which gradients flow.

    Each process then has the same loss, and gets the gradients of all of them, summed up. That is
    as many times too large as `distributed.data_parallel`, which takes the mean, makes it smaller.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        everyone = own.clone()
        torch.distributed.all_reduce(everyone)
        return everyone

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        everyone = gradients[0].clone()
        torch.distributed.all_reduce(everyone)
        return everyone


def _all_reduce_sum(amount: Tensor) -> Tensor:
    total: Tensor = _AllReduceSum.apply(amount) if distributed.world_size() > 1 else amount
    return total


class _QuarterLogits(nn.Module):
    """`quarter_logits` as a module, since only modules can be kept in step with others."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, row: int, column: int) -> Tensor:
        return quarter_logits(self.model, images, row, column)


def ema_update(keep: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Exponential moving average of the weights, in place: `multi_avg_fn` of `AveragedModel`.

    It follows quickly at first, as in TensorFlow's ExponentialMovingAverage: otherwise the
    random weights of the start would still be in the mix after hundreds of steps.
    """

    @torch.no_grad()
    def average(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        kept = min(keep, (1 + float(count)) / (10 + float(count)))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - kept)
        else:  # batch norm's count of steps
            torch._foreach_copy_(averaged, current)

    return average


class TrainState:
    """All that changes while a model is trained: what a step needs, and what a save keeps."""

    def __init__(
        self,
        model: nn.Module,
        settings: TrainConfig,
        about: dict[str, Any],
        teacher: nn.Module | None = None,
    ) -> None:
        self.settings = settings
        self.about = about
        self.teacher = teacher
        # PyTorch's own type hints do not know memory_format.
        self.model = model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = AveragedModel(
            model, multi_avg_fn=ema_update(settings.ema_decay), use_buffers=True
        )
        self.averaged.eval()
        self.scorer = distributed.data_parallel(_QuarterLogits(self.model))
        # Decay is for the convolutions' weights; pulling scales and offsets to 0 has no meaning.
        weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": weights, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        # Fused: all weights in one call, where each by itself is a third of a small step's time.
        self.optimizer = torch.optim.AdamW(groups, lr=settings.lr, fused=True)
        self.step = 0
        self.seconds = 0.0
        self.history: History = []
        self.losses: list[float] = []  # of the steps since the last row of the history
        self.best_weights: dict[str, Tensor] = {}  # of the averaged model, where it scored best

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs to go on, as tensors and plain data."""
        return {
            "kind": _STATE_KIND,
            "given": {**asdict(self.settings), **self.about},
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
            "losses": self.losses,
            "best weights": self.best_weights,
            "run": distributed.run_id(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken.

        Raises:
            FaceSegKitError: it was taken with other settings, or about something else; or it is
                no state of a training, or one of another version.
        """
        given = {**asdict(self.settings), **self.about}
        before = state.get("given")
        if state.get("kind") != _STATE_KIND or not isinstance(before, dict):
            raise FaceSegKitError(
                "What the run should be resumed from is not the state of a training; "
                "start afresh without --resume."
            )
        # Whether bfloat16 is faster is measured, and may come out otherwise today.
        self.settings = replace(self.settings, bf16=bool(before.get("bf16")))
        given = {**given, "bf16": self.settings.bf16}
        changed = [name for name in given if given[name] != before.get(name)]
        if changed:
            raise FaceSegKitError(
                f"The run to resume was started with {changed[0]} = {before.get(changed[0])}, not "
                f"{given[changed[0]]}; give the same again, or start afresh without --resume."
            )
        try:
            self.model.load_state_dict(state["model"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimiser"])
            self.step = state["step"]
            self.seconds = state["seconds"]
            self.history = state["history"]
            self.losses = state["losses"]
            self.best_weights = state["best weights"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise FaceSegKitError(
                f"The run to resume was saved by another version, or its file is damaged "
                f"({first_line(error)}); start afresh without --resume."
            ) from error

    def train_step(
        self,
        photos: Tensor,
        labels: Tensor,
        scheme: LabelScheme,
        lr: float,
        side: int | None = None,
        crop: RelativeCrop = FULL_IMAGE,
    ) -> None:
        """One step on a batch: augment, score, loss, backward, update.

        The loss is taken on every second row and column, other ones in each step. Where several
        processes train one model, each has its share of the batch, and the loss is that of all.

        Args:
            photos: uint8 [B, H, W, 3].
            labels: part ids, uint8 [B, h, w].
            scheme: merges the parts into the model's classes.
            rate: learning rate of this step.
            side: of the photos as the model sees them, in pixels; by default they stay as they are.
            crop: the part of the photos that the model is to look at.
        """
        settings = self.settings
        device = next(self.model.parameters()).device
        of_this_process = [distributed.rank()] if distributed.world_size() > 1 else []
        generator = generator_for(settings.seed, 1, self.step, *of_this_process)
        images, parts = augment(
            photos.to(device), labels.to(device), settings.augmentation, generator, side, crop
        )
        row, column = torch.randint(2, (2,), generator=generator).tolist()
        parts = parts[:, row::2, column::2].int()
        target = torch.from_numpy(scheme.class_of_part).to(device).long()[parts]
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        images = images.contiguous(memory_format=torch.channels_last)
        teacher_probs = None
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
            scores = self.scorer(images, row, column).float()
            if self.teacher is not None:
                with torch.no_grad():
                    teacher_probs = (
                        quarter_logits(self.teacher, images, row, column).float().softmax(1)
                    )
        loss = segmentation_loss(scores, target, settings, teacher_probs, _all_reduce_sum)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        distributed.mean_buffers(self.model)
        self.averaged.update_parameters(self.model)
        self.step += 1
        self.losses.append(loss.item())
        if not math.isfinite(self.losses[-1]):
            raise FaceSegKitError(
                f"The loss is no longer a number after {self.step} steps; train again with a "
                f"learning rate below {settings.lr}."
            )

    def add_row(self, batch: int, lr: float, val_loss: float, val_mean_f1: float) -> None:
        """Add to the history what happened since its last row."""
        row = (
            self.step,
            self.step * batch,
            self.seconds / 60,
            lr,
            sum(self.losses) / len(self.losses) if self.losses else math.nan,
            val_loss,
            val_mean_f1,
        )
        self.history.append(dict(zip(HISTORY_COLUMNS, row, strict=True)))
        self.losses = []

    def validated(self, scheme: LabelScheme, samples: TrainingData) -> tuple[float, float]:
        """As `validate`, of the averaged model, whose weights are kept if none were better."""
        loss, mean_f1 = validate(self.averaged.module, scheme, samples, self.settings)
        before = (row["val_mean_f1"] for row in self.history if row["val_mean_f1"] >= 0)
        if not self.best_weights or mean_f1 > max(before, default=0):
            weights = self.averaged.module.state_dict()
            self.best_weights = {name: values.clone() for name, values in weights.items()}
        return loss, mean_f1

    def ends_with_a_score(self) -> bool:
        """Whether the last row of the history has a validation of the weights as they are."""
        last = self.history[-1] if self.history else {"step": -1}
        return last["step"] == self.step and not math.isnan(last["val_loss"])

    def summary(self, batch: int) -> str:
        """Loss, speed and last validation score in a few words, for the progress bar."""
        parts = [f"{self.step * batch / self.seconds:.0f} photos/s"]
        if self.losses:
            parts.insert(0, f"loss {sum(self.losses[-20:]) / len(self.losses[-20:]):.3f}")
        validated = [score for row in self.history if (score := row["val_mean_f1"]) >= 0]
        if validated:
            parts.append(f"val mean F1 {validated[-1]:.3f}")
        return ", ".join(parts)


def fit(
    model: nn.Module,
    scheme: LabelScheme,
    train: TrainingData,
    val: TrainingData,
    budget: Budget,
    settings: TrainConfig,
    *,
    teacher: nn.Module | None = None,
    state_file: Path | None = None,
    resume: bool = False,
    about: Mapping[str, Any] | None = None,
    on_row: Callable[[History], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: bool = True,
) -> tuple[nn.Module, History]:
    """Train a model until the budget is used up.

    Processes that torchrun has started train one model: they share each batch and each
    validation, and the first one does what is seen from outside.

    Args:
        model: photos float32 [B, 3, H, W] in 0..1 to scores [B, C, H, W]; it is trained in place.
        scheme: merges parts into the model's C classes.
        train: what to learn from.
        val: what the averaged model is scored on, `settings.validations` times.
        budget: how long.
        settings: the recipe.
        teacher: a trained model with the same classes, in eval mode, for the loss to follow.
        state_file: where to save, twice a minute, what is needed to go on after a kill.
        resume: go on from `state_file` where there is one.
        about: plain data (model, scheme, data set) that has to be the same on resuming.
        on_row: called with the history each time it has grown, for curves that live.
        stop: asked after each step; once it says yes, training ends early, and the weights are
            those of the best validation so far.
        progress: show a progress bar on standard error.

    Returns:
        The averaged model, in eval mode, and the history; its last row has a validation.

    Raises:
        FaceSegKitError: there is no sample to train on, or a process would get none of a batch;
            the state to resume from does not fit, or the loss is no longer a number.
    """
    batch = _batch(train, settings)
    _check_there_are_enough(train, val, batch)
    keep_freed_memory()
    training = TrainState(model, settings, dict(about or {}), teacher)
    steps_per_epoch = len(train.rows) // batch
    first = distributed.is_first()
    state = _state_to_resume(state_file, resume, budget, steps_per_epoch) if first else None
    if state := distributed.broadcast(state):
        training.load_state(state)
    saved = time.perf_counter()
    began = saved - training.seconds  # had this process done it all
    done = budget.done(training.step, steps_per_epoch, training.seconds)
    stopping = False
    progress = progress and first
    bar = tqdm(total=100, desc="train", bar_format=_BAR, initial=100 * done, disable=not progress)
    with bar:  # which else would be drawn once more below what goes wrong
        while done < 1 and not stopping:
            places = batch_indices(training.step, len(train.rows), batch, settings.seed)
            lr = settings.lr * lr_factor(done, settings.warmup)
            # A photo at half its size takes a quarter of the time and teaches nearly as much at
            # first (J. Howard's progressive resizing, DAWNBench 2018).
            side = next((side for until, side in settings.resize_schedule if done < until), None)
            own = distributed.shard(places)
            training.train_step(*train.batch(own), scheme, lr, side, train.crop)
            seconds = time.perf_counter() - began
            # All have to agree on what comes next, or they would wait for each other forever.
            training.seconds, stopping = distributed.broadcast((seconds, stop()))
            before, done = done, budget.done(training.step, steps_per_epoch, training.seconds)

            is_end = stopping or done >= 1
            if is_end or _passes(before, done, settings.validations * settings.rows_per_validation):
                val_scores = (math.nan, math.nan)
                if is_end or _passes(before, done, settings.validations):
                    val_scores = training.validated(scheme, val)
                    training.seconds = distributed.broadcast(time.perf_counter() - began)
                training.add_row(batch, lr, *val_scores)
                if on_row is not None and first:
                    on_row(training.history)
            is_due = is_end or time.perf_counter() - saved > _SAVE_EVERY
            if state_file is not None and first and is_due:
                save_tensors(training.state(), state_file)
                saved = time.perf_counter()
            bar.update(100 * done - bar.n)
            bar.set_postfix_str(training.summary(batch), refresh=False)
    if done >= 1 and not training.ends_with_a_score():  # what was resumed was over already
        training.add_row(batch, 0.0, *training.validated(scheme, val))
    elif done < 1:
        training.averaged.module.load_state_dict(training.best_weights)
    return training.averaged.module, training.history


def _passes(before: float, after: float, count: int) -> bool:
    """Whether one of `count` equal parts of a training ended between two shares of it."""
    return math.floor(after * count) > math.floor(before * count)


def _check_there_are_enough(train: TrainingData, val: TrainingData, batch: int) -> None:
    if len(train.rows) == 0 or len(val.rows) == 0:
        raise FaceSegKitError(
            f"There are {len(train.rows)} photos to train on and {len(val.rows)} to validate on; "
            f"both need at least one, so give a larger data set."
        )
    if batch < distributed.world_size():
        raise FaceSegKitError(
            f"A batch of {batch} photos cannot be shared by {distributed.world_size()} processes; "
            f"start fewer."
        )


def _state_to_resume(
    state_file: Path | None, asked: bool, budget: Budget, steps_per_epoch: int
) -> dict[str, Any] | None:
    """What was saved, if it is to be gone on from; None for a fresh start.

    It is where this was asked for, and where torchrun has had to start the same run again. Its
    first start removes what another run has left: it might be killed before it saves anything.
    """
    if state_file is None or not state_file.exists():
        return None
    if asked:
        return load_tensors(state_file)
    if distributed.run_id() is None:
        return None
    if not distributed.may_be_a_restart():
        state_file.unlink()
        return None
    with suppress(FaceSegKitError, KeyError, TypeError):  # whatever lies there is not asked for
        state = load_tensors(state_file)
        is_over = budget.done(state["step"], steps_per_epoch, state["seconds"]) >= 1
        if state["run"] == distributed.run_id() and not is_over:
            return state
    return None


def _batch(train: TrainingData, settings: TrainConfig) -> int:
    """Photos in each batch: fewer than is set where there are fewer."""
    return min(settings.batch, len(train.rows))


def is_complete(
    history: History, budget: Budget, train: TrainingData, settings: TrainConfig
) -> bool:
    """Whether a training has used up its budget, as far as its history says."""
    steps_per_epoch = len(train.rows) // _batch(train, settings)
    last = history[-1]
    return budget.done(int(last["step"]), steps_per_epoch, 60 * last["minutes"]) >= 1


def save_history(history: History, path: Path) -> None:
    """Write the history as CSV.

    Raises:
        FaceSegKitError: the file cannot be written.
    """
    with (
        atomic_write(path) as unfinished,
        unfinished.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, HISTORY_COLUMNS)
        writer.writeheader()
        writer.writerows(history)
