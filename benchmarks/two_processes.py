"""One model trained by one process with two threads, and by two processes with one thread each.

    python benchmarks/two_processes.py --faces 700 --epochs 12

Both train on the same batches for the same number of steps, so their metrics should agree. Two
processes on one machine also show what synchronisation costs. Writes
benchmarks/results/two_processes.json.
"""

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

from common import TOP, save_results

from facesegkit.config import TrainConfig
from facesegkit.data.cache import build_cache
from facesegkit.models import LightweightSegmentationModel
from facesegkit.synthetic import synthesize_dataset

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# A network of 1 Gbit/s, and the latency between two machines in one room.
MEGABYTES_PER_SECOND, SECONDS_PER_MESSAGE = 110, 0.0002
MESSAGES = 12  # per step: the loss's sums, their gradients, the first process's decisions


def run(processes: int, folder: str, *arguments: str) -> None:
    """Run Python in one process with two threads, or in two processes with one thread each."""
    command = [sys.executable, *(TORCHRUN if processes == 2 else []), *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": str(2 // processes)}
    subprocess.run(command, cwd=folder, env=env, check=True)


def trained(processes: int, data: Path, cache: Path, epochs: float) -> dict[str, Any]:
    """Train in a folder of its own: speed and test mean F1."""
    with tempfile.TemporaryDirectory() as folder:
        given = ["--data", str(data), "--cache", str(cache), "--epochs", str(epochs)]
        run(processes, folder, str(TOP / "face_segmentation.py"), *given, "--split", "test")
        scores = json.loads(Path(folder, "evaluation", "scores.json").read_text(encoding="utf-8"))
        with Path(folder, "face_segmentation_model.csv").open(encoding="utf-8") as file:
            last = list(csv.DictReader(file))[-1]
    return {
        "processes": processes,
        "photos per second": round(int(last["photos"]) / float(last["minutes"]) / 60, 1),
        "minutes": round(float(last["minutes"]), 2),
        "test mean F1": round(scores["mean_f1"], 4),
    }


def seconds_to_prepare(processes: int, data: Path) -> float:
    """Seconds that `facesegkit prepare` takes."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run(processes, folder, "-m", "facesegkit", "prepare", str(data), "--cache", "cache")
        return round(time.perf_counter() - started, 1)


def estimated(machines: int, alone: dict[str, Any]) -> float:
    """Photos per second of several machines like this one, by arithmetic."""
    parameters = sum(p.numel() for p in LightweightSegmentationModel().parameters())
    batch, megabytes = TrainConfig().batch_size, 4e-6 * parameters
    # In a ring all-reduce each machine sends and receives the gradients nearly twice.
    sending = 2 * (machines - 1) / machines * megabytes / MEGABYTES_PER_SECOND
    waiting = MESSAGES * 2 * (machines - 1) * SECONDS_PER_MESSAGE
    computing = batch / alone["photos per second"] / machines
    return round(batch / (computing + sending + waiting), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=700)
    parser.add_argument("--epochs", type=float, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, cache = Path(folder, "faces"), Path(folder, "cache")
        synthesize_dataset(data, options.faces, seed=0)
        build_cache(data, cache)
        one, two = (trained(processes, data, cache, options.epochs) for processes in (1, 2))
        seconds = [seconds_to_prepare(processes, data) for processes in (1, 2)]
    f1, speed = "test mean F1", "photos per second"
    result = {
        "faces": options.faces,
        "epochs": options.epochs,
        "training": [one, two],
        "mean F1 of two less that of one": round(two[f1] - one[f1], 4),
        "speed of two over that of one": round(two[speed] / one[speed], 2),
        "seconds to prepare, by one and by two": seconds,
        "photos per second by arithmetic": {str(n): estimated(n, one) for n in (2, 4)},
    }
    save_results("two_processes", result)


if __name__ == "__main__":
    main()
