"""What test_distributed.py has torchrun start: `one_of_several.py loss FILE`, or a command.

A command saves its training state after every step. The second process dies once, before the step
DIE_AT_STEP, and leaves a file `died` behind. A process that has finished but still has threads of
PyTorch's backend fails: it would abort now and then.
"""

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
from facesegkit.system import distributed, torch_speed


def save_loss_and_gradient(file: str) -> None:
    """Compute the loss of this process's part of a batch, and its gradient."""
    case = torch.load(file, weights_only=True)
    distributed.join()
    model = nn.Conv2d(3, 4, 1)
    model.load_state_dict(case["weights"])
    part = slice(0, 1) if distributed.is_first() else slice(1, None)  # of unequal size
    parallel = distributed.data_parallel(model)  # has to outlive backward()
    logits = parallel(case["photos"][part])
    target, teacher_probs = case["target"][part], case["teacher_probs"][part]
    loss = losses.segmentation_loss(logits, target, config.TrainConfig(), teacher_probs)
    loss.backward()
    if distributed.is_first():
        torch.save({"loss": loss.detach(), "gradient": model.weight.grad}, file)
    distributed.leave()


def check_threads_have_ended() -> None:
    """Fail if threads of the backend keep running; ended ones may be listed a moment longer."""
    until = time.monotonic() + 10
    while names := [name for name in thread_names() if "gloo" in name]:
        assert time.monotonic() < until, names
        time.sleep(0.1)


def thread_names() -> Iterator[str]:
    for file in Path("/proc/self/task").glob("*/comm"):  # on Linux
        with suppress(OSError):
            yield file.read_text()


def record_indices() -> None:
    """Make each process write the indices of its part of each batch to a file `seen-RANK`."""
    original = dataset.TrainingData.batch

    def batch(self: dataset.TrainingData, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        with Path(f"seen-{distributed.rank()}").open("a") as file:
            print(*indices, file=file)
        return original(self, indices)

    dataset.TrainingData.batch = batch  # type: ignore[method-assign]


def die_at(step: int) -> None:
    original = train.train_step

    def train_step(state: train.TrainState, *arguments: Any) -> None:
        if state.step == step and distributed.rank() == 1:
            Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        original(state, *arguments)

    train.train_step = train_step


if __name__ == "__main__":
    if sys.argv[1] == "loss":
        save_loss_and_gradient(sys.argv[2])
        check_threads_have_ended()
        sys.exit()
    train._SAVE_EVERY = 0.0
    torch_speed.bf16_is_faster = lambda *_: False  # it is measured, so it may vary
    main._PATIENCE = float(os.environ.get("PATIENCE", main._PATIENCE))
    record_indices()
    if "DIE_AT_STEP" in os.environ and not Path("died").exists():
        die_at(int(os.environ["DIE_AT_STEP"]))
    status = main.main(sys.argv[1:])
    if status == 0:
        check_threads_have_ended()
    sys.exit(status)
