"""TODO."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from facesegkit.errors import FaceSegKitError
from facesegkit.transforms import Augmentation


@dataclass(frozen=True)
class TrainConfig:
    """The recipe. benchmarks/recipe_notes.md has what else was tried."""

    batch: int = 16
    lr: float = 8e-3  # highest learning rate
    warmup: float = 0.1  # share of the run in which the rate rises
    weight_decay: float = 0.01
    ema_decay: float = 0.98  # how much of the averaged weights is kept at each step
    background_weight: float = 1.0  # in the cross-entropy, see loss_of
    dice_weight: float = 1.0
    teacher_weight: float = 0.7  # in the cross-entropy, where there is a teacher
    validations: int = 8  # how often the averaged model is scored during the run
    validation_photos: int = 100  # scored each time; all of the split are scored at the end
    rows_per_validation: int = 5  # of the history, which has the training loss more often
    # Photos are smaller in the first part of the run: (up to which share of it, their side).
    resize_schedule: tuple[tuple[float, int], ...] = ((0.35, 128), (0.6, 192))
    bf16: bool = False  # only where `bf16_is_faster`
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class Budget:
    """How long to train: minutes of wall time, or epochs (which may be a fraction).

    The learning-rate schedule is stretched over whichever is given. With epochs a run can be
    repeated to the last digit; with minutes it depends on how fast the machine is that day.
    """

    minutes: float | None = None
    epochs: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.minutes, self.epochs) if value is not None]
        if len(given) != 1 or not 0 < given[0] < math.inf:
            raise FaceSegKitError(
                f"Training needs minutes or epochs, one of the two and more than 0; got "
                f"minutes={self.minutes}, epochs={self.epochs}."
            )

    def done(self, step: int, steps_per_epoch: int, seconds: float) -> float:
        """How much of the run is done, 0..1."""
        if self.minutes is not None:
            return min(1.0, seconds / (60 * self.minutes))
        assert self.epochs is not None
        return min(1.0, step / max(1, round(self.epochs * steps_per_epoch)))
