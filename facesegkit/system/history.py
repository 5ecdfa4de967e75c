"""The history of a training run: its rows, its summary for the progress bar, its CSV file."""

import csv
import math
from pathlib import Path

from facesegkit.system.files import atomic_write

History = list[dict[str, float]]

HISTORY_COLUMNS = (
    "step",
    "photos",  # seen so far, with repeats
    "minutes",  # of training, validation included
    "lr",
    "train_loss",  # mean since the row before
    "val_loss",  # nan in the rows without a validation, like the next
    "val_mean_f1",
)


def mean(values: list[float]) -> float:
    """Arithmetic mean, nan of nothing."""
    return sum(values) / len(values) if values else math.nan


def validated_mean_f1(history: History) -> list[float]:
    """Mean F1 at each validation so far, without nan."""
    return [row["val_mean_f1"] for row in history if not math.isnan(row["val_mean_f1"])]


def ends_with_validation(history: History, step: int) -> bool:
    """Whether the last row validates the weights after this step."""
    return bool(history) and history[-1]["step"] == step and not math.isnan(history[-1]["val_loss"])


def summary(history: History, losses: list[float], photos_per_second: float) -> str:
    """Loss of the last steps, speed and last validation in a few words."""
    parts = [f"loss {mean(losses[-20:]):.3f}"] if losses else []
    parts.append(f"{photos_per_second:.0f} photos/s")
    if validated := validated_mean_f1(history):
        parts.append(f"val mean F1 {validated[-1]:.3f}")
    return ", ".join(parts)


def save_history(history: History, path: Path) -> None:
    """Write the history as CSV, atomically; raise a FaceSegKitError if that fails."""
    with atomic_write(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, HISTORY_COLUMNS)
        writer.writeheader()
        writer.writerows(history)
