"""Adapt a model to photos without masks with pseudo-labels, as docs/training.md says.

    python benchmarks/adaptation.py --portraits PORTRAITS --data data/CelebAMask-HQ --keep

The model starts from `unet-synthetic`. It labels the portraits, learns from them together with 700
synthetic faces for a few minutes, and is evaluated on the validation split of CelebAMask-HQ, which
nothing is trained on. The control learns from the synthetic faces alone, from as many photos. Both
are repeated with five seeds.
"""

import argparse
import os
from pathlib import Path

import facesegkit  # noqa: F401  before torch, because it sets OMP_WAIT_POLICY

# isort: split
from common import report

from facesegkit.checkpoint import load
from facesegkit.cli.common import trained_model
from facesegkit.cli.main import main as facesegkit_command
from facesegkit.data.cache import build_cache
from facesegkit.dataset import TrainingData
from facesegkit.metrics import evaluate

START = "unet-synthetic"
FACES, EPOCHS, SEEDS = 700, 6, 5


def run(*arguments: str | Path) -> None:
    """Run a facesegkit command; end the program if it fails."""
    if status := facesegkit_command([str(argument) for argument in arguments]):
        raise SystemExit(status)


def train(name: str, seed: int, epochs: float, *data: str) -> Path:
    """Fine-tune the start; returns the model's file."""
    model = Path(f"{name}-{seed}.pth")
    if not model.exists():
        run("train", "--data", *data, "--init-from", START, "--crop", "face", "--lr", "0.004",
            "--epochs", str(epochs), "--seed", str(seed), "--model", model)  # fmt: skip
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--portraits", type=Path, required=True, help="folder of photos")
    parser.add_argument("--data", type=Path, required=True, help="CelebAMask-HQ")
    parser.add_argument("--work", type=Path, default=Path("runs", "adaptation"))
    parser.add_argument("--keep", action="store_true", help="write the results file")
    options = parser.parse_args()
    portraits, research = options.portraits.resolve(), options.data.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    os.chdir(options.work)
    run("synthesize", "synthetic", "--count", str(FACES), "--seed", "31")
    run("pseudo-label", portraits, "--model", START, "--output", "mine")
    start = trained_model(START)
    side = start.crop.full_size(start.input_size)
    val = TrainingData.from_cache(build_cache(research, photo_size=side), "val", crop=start.crop)
    synthetic, mine = (build_cache(folder, photo_size=side) for folder in ("synthetic", "mine"))
    more = 1 + len(mine.rows("train")) / len(synthetic.rows("train"))
    results: dict[str, list[float]] = {"start": [evaluate(start.model, val).metrics.mean_f1]}
    for seed in range(SEEDS):
        models = {
            "adapted": train("adapted", seed, EPOCHS, "synthetic", "mine"),
            "control": train("control", seed, EPOCHS * more, "synthetic"),
        }
        for name, file in models.items():
            results.setdefault(name, []).append(evaluate(load(file).model, val).metrics.mean_f1)
    rounded = {name: [round(f1, 4) for f1 in values] for name, values in results.items()}
    report("adaptation", {"portraits": len(mine.ids), "validation mean F1": rounded}, options.keep)


if __name__ == "__main__":
    main()
