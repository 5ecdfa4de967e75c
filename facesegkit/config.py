"""Configuration of training: the recipe (`TrainConfig`), its length (`Budget`), and one run."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from facesegkit.errors import FaceSegKitError
from facesegkit.system.history import History
from facesegkit.transforms import Augmentation


@dataclass(frozen=True)
class Budget:
    """Length of a run: minutes of wall time, or epochs (which may be a fraction).

    The learning rate schedule is stretched over whichever is given. With epochs a run can be
    repeated to the last digit; with minutes it depends on how fast the machine is that day. Raises
    a FaceSegKitError if not exactly one of the two is given, or it is not in 0..1e6.
    """

    minutes: float | None = None
    epochs: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.minutes, self.epochs) if value is not None]
        if len(given) != 1 or not 0 < given[0] <= 1e6:
            raise FaceSegKitError(f"A budget has either minutes or epochs, up to 1e6, not {self}.")

    def progress(self, step: int, steps_per_epoch: int, seconds: float) -> float:
        """Fraction of the run that is done after `step` steps and `seconds` of training, 0..1."""
        if self.minutes is not None:
            return min(1.0, seconds / (60 * self.minutes))
        assert self.epochs is not None
        return min(1.0, step / max(1, round(self.epochs * steps_per_epoch)))


@dataclass(frozen=True)
class TrainConfig:
    """The training recipe. benchmarks/recipe_notes.md lists what else was tried."""

    budget: Budget = Budget(minutes=10)
    batch_size: int = 16
    lr: float = 8e-3  # highest learning rate
    warmup: float = 0.1  # fraction of the run during which the learning rate rises
    weight_decay: float = 0.01
    ema_decay: float = 0.98  # of the exponential moving average of the weights, per step
    background_weight: float = 1.0  # in the cross-entropy, see losses.segmentation_loss
    dice_weight: float = 1.0
    teacher_weight: float = 0.7  # of the soft targets in the cross-entropy, if there is a teacher
    validations: int = 8  # how often the averaged model is validated during the run
    validation_photos: int = 100  # used each time; the whole split is evaluated at the end
    rows_per_validation: int = 5  # of the history, which records the training loss more often
    # Early photos are smaller: (up to which fraction of the run, side of the photos in pixels).
    # J. Howard's progressive resizing (DAWNBench, 2018): a photo of half the side takes a quarter
    # of the time and teaches nearly as much at first.
    resize_schedule: tuple[tuple[float, int], ...] = ((0.35, 128), (0.6, 192))
    bf16: bool = False  # autocast to bfloat16; only where system.torch_speed.bf16_is_faster()
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def recipe(self) -> dict[str, Any]:
        """All fields but the budget as plain data: what a resumed run must have in common."""
        return {name: value for name, value in asdict(self).items() if name != "budget"}


@dataclass(frozen=True)
class RunOptions:
    """What belongs to a single run and not to its recipe."""

    teacher: nn.Module | None = None  # with the same classes, in eval mode, to distil from
    state_file: Path | None = None  # what is needed to resume is saved here twice a minute
    resume: bool = False  # continue from `state_file` if it exists
    # Plain data (model, scheme, data set) that must be the same on resuming.
    metadata: Mapping[str, Any] = field(default_factory=dict)
    on_row: Callable[[History], None] | None = None  # called when the history has grown
    # Called after each step; True ends training early, with the weights of the best validation.
    stop: Callable[[], bool] = lambda: False
    progress: bool = True  # show a progress bar on standard error
