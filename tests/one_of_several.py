"""What tests/test_distributed.py has torchrun start: `one_of_several.py loss FILE`, or a command.

A command saves the state of its training after every step. The second process dies before the
step that DIE_AT_STEP says, once, and leaves a file `died` behind. A process that has done its work
but has threads of PyTorch's engine left over fails: now and then it would abort.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facesegkit import distributed, training
from facesegkit.commands import main


def gradient_of_own_share(file: str) -> None:
    """Have all processes compute the loss of their shares of a batch, and its gradient."""
    case = torch.load(file, weights_only=True)
    distributed.join()
    model = nn.Conv2d(3, 4, 1)
    model.load_state_dict(case["weights"])
    scorer = distributed.in_step(model)
    share = slice(0, 1) if distributed.is_first() else slice(1, None)  # of unequal size
    taught = case["taught"][share]
    scores = scorer(case["photos"][share])
    settings = training.Settings()
    loss = training.loss_of(scores, case["target"][share], settings, taught, training._total)
    loss.backward()
    if distributed.is_first():
        torch.save({"loss": loss.detach(), "gradient": model.weight.grad}, file)
    distributed.leave()


def check_threads_have_ended() -> None:
    names = [file.read_text() for file in Path("/proc/self/task").glob("*/comm")]  # Linux's
    assert not [name for name in names if "gloo" in name], names


def die_at(step: int) -> None:
    usual = training.Training.train_on

    def train_on(self: training.Training, *arguments: Any, **options: Any) -> None:
        if self.step == step and distributed.rank() == 1:
            Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        usual(self, *arguments, **options)

    training.Training.train_on = train_on  # type: ignore[method-assign]


if __name__ == "__main__":
    if sys.argv[1] == "loss":
        gradient_of_own_share(sys.argv[2])
        check_threads_have_ended()
        sys.exit()
    training._SAVE_EVERY = 0.0
    if "DIE_AT_STEP" in os.environ and not Path("died").exists():
        die_at(int(os.environ["DIE_AT_STEP"]))
    status = main(sys.argv[1:])
    if status == 0:
        check_threads_have_ended()
    sys.exit(status)
