"""Train the face detector that ships, on synthetic faces only; write it with its model card.

    facesegkit synthesize data/synthetic --count 4000 --seed 1
    python benchmarks/train_detector.py --data data/synthetic --minutes 25
    python benchmarks/train_detector.py --card      # only write the card again from the figures

Training uses one processor core. `any_photo.py` measures how well the detector works.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import facesegkit  # noqa: F401  before torch, because it sets OMP_WAIT_POLICY

# isort: split
import torch

from facesegkit.config import Budget
from facesegkit.data.cache import build_cache
from facesegkit.detection.scenes import SceneMaker, SceneSettings
from facesegkit.detection.train import RECIPE, FaceDetector, detection_loss, export_detector
from facesegkit.export import OPSET
from facesegkit.inference.model_zoo import DETECTOR
from facesegkit.system.tensor_files import round_to_half, versions
from facesegkit.train import fit

TEMPLATE = Path(__file__).parent / "card_templates" / "detector.md"
CONFIG_KEYS = ("batch_size", "lr", "warmup", "weight_decay", "ema_decay", "seed")


def train(data: Path, minutes: float) -> None:
    """Train, round the weights to float16 values, and write the ONNX file, figures and card."""
    torch.set_num_threads(1)
    torch.manual_seed(RECIPE.seed)
    cache, scene_settings = build_cache(data), SceneSettings()
    scenes = SceneMaker(cache.photos, cache.rows("train"), scene_settings)
    config = replace(RECIPE, budget=Budget(minutes=minutes))
    detector, history = fit(FaceDetector(), scenes, None, config, loss=detection_loss)
    round_to_half(detector)
    figures = {
        "parameters": sum(weights.numel() for weights in detector.parameters()),
        "training data": cache.summary(),
        "licence": "MIT",
        "command": f"python benchmarks/train_detector.py --data {data} --minutes {minutes:g}",
        "minutes": minutes,
        "scenes seen": int(history[-1]["photos"]),
        "loss at the end of training": round(history[-1]["train_loss"], 4),
        "config": {key: getattr(config, key) for key in CONFIG_KEYS},
        "scenes": asdict(scene_settings),
        "opset": OPSET,
        "versions": versions(),
    }
    export_detector(detector, {"card": "detector.md", "licence": figures["licence"]}, DETECTOR)
    DETECTOR.with_suffix(".json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def card_text(figures: dict[str, Any]) -> str:
    return TEMPLATE.read_text(encoding="utf-8").format(**figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of synthetic faces")
    parser.add_argument("--minutes", type=float, default=25, help="training time (default: 25)")
    parser.add_argument("--card", action="store_true", help="only write the card again")
    options = parser.parse_args()
    if options.data is not None and not options.card:
        train(options.data, options.minutes)
    elif not options.card:
        parser.error("--data is required: a folder of synthetic faces")
    figures = json.loads(DETECTOR.with_suffix(".json").read_text(encoding="utf-8"))
    DETECTOR.with_suffix(".md").write_text(card_text(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
