"""What tests/test_distributed.py has torchrun start: `one_of_several.py loss FILE`, or a command.

A command saves the state of its training after every step. The second process dies before the
step that DIE_AT_STEP says, once, and leaves a file `died` behind. A process that has done its work
but has threads of PyTorch's engine left over fails: now and then it would abort.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facesegkit import config, dataset, losses, train
from facesegkit.cli import main
from facesegkit.system import distributed


def gradient_of_own_share(file: str) -> None:
    """Have all processes compute the loss of their shares of a batch, and its gradient."""
    case = torch.load(file, weights_only=True)
    distributed.join()
    model = nn.Conv2d(3, 4, 1)
    model.load_state_dict(case["weights"])
    scorer = distributed.data_parallel(model)
    share = slice(0, 1) if distributed.is_first() else slice(1, None)  # of unequal size
    teacher_probs = case["taught"][share]
    scores = scorer(case["photos"][share])
    settings = config.TrainConfig()
    loss = losses.segmentation_loss(
        scores, case["target"][share], settings, teacher_probs, train._all_reduce_sum
    )
    loss.backward()
    if distributed.is_first():
        torch.save({"loss": loss.detach(), "gradient": model.weight.grad}, file)
    distributed.leave()


def check_threads_have_ended() -> None:
    """Fail if threads of the engine go on; those that have ended may be listed a moment longer."""
    until = time.monotonic() + 10
    while names := [name for name in thread_names() if "gloo" in name]:
        assert time.monotonic() < until, names
        time.sleep(0.1)


def thread_names() -> Iterator[str]:
    for file in Path("/proc/self/task").glob("*/comm"):  # Linux's
        with suppress(OSError):
            yield file.read_text()


def note_places() -> None:
    """Have each process leave a file `seen-RANK` with the places of its share of each batch."""
    usual = dataset.TrainingData.batch

    def batch(self: dataset.TrainingData, places: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        with Path(f"seen-{distributed.rank()}").open("a") as file:
            print(*places, file=file)
        return usual(self, places)

    dataset.TrainingData.batch = batch  # type: ignore[method-assign]


def die_at(step: int) -> None:
    usual = train.TrainState.train_step

    def train_step(self: train.TrainState, *arguments: Any, **options: Any) -> None:
        if self.step == step and distributed.rank() == 1:
            Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        usual(self, *arguments, **options)

    train.TrainState.train_step = train_step  # type: ignore[method-assign]


if __name__ == "__main__":
    if sys.argv[1] == "loss":
        gradient_of_own_share(sys.argv[2])
        check_threads_have_ended()
        sys.exit()
    train._SAVE_EVERY = 0.0
    train.bf16_is_faster = lambda *_: False  # is measured, and so by chance
    main._PATIENCE = float(os.environ.get("PATIENCE", main._PATIENCE))
    note_places()
    if "DIE_AT_STEP" in os.environ and not Path("died").exists():
        die_at(int(os.environ["DIE_AT_STEP"]))
    status = main.main(sys.argv[1:])
    if status == 0:
        check_threads_have_ended()
    sys.exit(status)
