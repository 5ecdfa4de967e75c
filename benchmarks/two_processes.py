"""One model trained by one process with two threads, and by two processes with one thread each.

    python benchmarks/two_processes.py --faces 700 --epochs 12

Both see the same batches for as many steps, so they should end alike; and two processes on one
machine's cores show what it costs to keep them in step. Results go to
benchmarks/results/two_processes.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from torch import nn

from facesegkit.config import TrainConfig
from facesegkit.data.cache import build_cache
from facesegkit.models import LightweightSegmentationModel
from facesegkit.synthetic import synthesize_dataset

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "two_processes.json"
SCRIPT = HERE.parent / "face_segmentation.py"
# A gigabit a second, and what a message takes from one machine to the next in one room.
MEGABYTES_A_SECOND, SECONDS_A_MESSAGE = 110, 0.0002
MESSAGES = 12  # in a step: the loss's sums, their gradients, what the first process decides

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def trained(processes: int, data: Path, cache: Path, epochs: float) -> dict[str, Any]:
    """Train in a folder of its own; what came of it, and how fast it went."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                sys.executable, *(TORCHRUN if processes == 2 else []), str(SCRIPT),
                "--data", str(data), "--cache", str(cache),
                "--epochs", str(epochs), "--split", "test",
            ],
            cwd=folder, env={**os.environ, "OMP_NUM_THREADS": str(2 // processes)}, check=True,
        )  # fmt: skip
        scores = json.loads(Path(folder, "evaluation", "scores.json").read_text(encoding="utf-8"))
        with Path(folder, "face_segmentation_model.csv").open(encoding="utf-8") as file:
            last = list(csv.DictReader(file))[-1]
    return {
        "processes": processes,
        "photos per second": round(int(last["photos"]) / float(last["minutes"]) / 60, 1),
        "minutes": round(float(last["minutes"]), 2),
        "test mean F1": round(scores["mean_f1"], 4),
    }


def packed(processes: int, data: Path) -> float:
    """Seconds that `build_cache` takes."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["facesegkit", "prepare", str(data), "--cache", f"{folder}/cache"]
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, *(TORCHRUN if processes == 2 else []), "-m", *command], check=True
        )
        return round(time.perf_counter() - started, 1)


def parameters(model: nn.Module) -> int:
    """How many numbers a model learns."""
    return sum(weights.numel() for weights in model.parameters())


def estimated(machines: int, alone: dict[str, Any]) -> float:
    """Photos a second that so many machines like this one would train on, together."""
    batch, megabytes = TrainConfig().batch, 4e-6 * parameters(LightweightSegmentationModel())
    # In a ring each sends and gets the gradients nearly twice; and a step has a dozen messages.
    sending = 2 * (machines - 1) / machines * megabytes / MEGABYTES_A_SECOND
    waiting = MESSAGES * 2 * (machines - 1) * SECONDS_A_MESSAGE
    computing = batch / alone["photos per second"] / machines
    return round(batch / (computing + sending + waiting), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=700)
    parser.add_argument("--epochs", type=float, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, cache = Path(folder, "drawn"), Path(folder, "cache")
        synthesize_dataset(data, options.faces, seed=0)
        build_cache(data, cache)
        runs = [trained(processes, data, cache, options.epochs) for processes in (1, 2)]
        seconds = [packed(processes, data) for processes in (1, 2)]
    result = {
        "faces": options.faces,
        "epochs": options.epochs,
        "training": runs,
        "mean F1 of two less that of one": round(
            runs[1]["test mean F1"] - runs[0]["test mean F1"], 4
        ),
        "speed of two over that of one": round(
            runs[1]["photos per second"] / runs[0]["photos per second"], 2
        ),
        "seconds to prepare, by one and by two": seconds,
        "photos per second by arithmetic": {
            str(machines): estimated(machines, runs[0]) for machines in (2, 4)
        },
    }
    print(json.dumps(result, indent=2))
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
