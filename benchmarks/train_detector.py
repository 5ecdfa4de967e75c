"""Trains the face finder that ships, on drawn faces alone, and writes it with its card.

    facesegkit synthesize data/synthetic --count 4000 --seed 1
    python benchmarks/train_detector.py --data data/synthetic --minutes 25
    python benchmarks/train_detector.py --card      # writes the card anew from the figures

It takes one processor core. How well it finds faces is measured by `any_photo.py`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import facesegkit  # noqa: F401  before torch: it says how OpenMP's threads wait

# isort: split
import torch

from facesegkit.checkpoint import round_to_half, versions
from facesegkit.data.cache import build_cache
from facesegkit.detection.scenes import SceneMaker, SceneSettings
from facesegkit.detection.train import DetectorConfig, FaceDetector, fit_detector
from facesegkit.export import OPSET, export_detector
from facesegkit.inference.model_zoo import DETECTOR

LICENCE = "MIT"


def train(data: Path, cache: Path | None, minutes: float) -> None:
    """Train, round the weights to what float16 holds, and write file, figures and card."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pack = build_cache(data, cache)
    settings, scene_settings = DetectorConfig(), SceneSettings()
    scenes = SceneMaker(pack.photos, pack.rows("train"), scene_settings)
    finder, losses = fit_detector(FaceDetector(), scenes, minutes, settings)
    round_to_half(finder)
    figures = {
        "parameters": sum(weights.numel() for weights in finder.parameters()),
        "training data": pack.summary(),
        "licence": LICENCE,
        "command": f"python benchmarks/train_detector.py --data {data} --minutes {minutes:g}",
        "minutes": minutes,
        "scenes seen": len(losses) * settings.batch,
        "loss, mean of the last 100 steps": round(sum(losses[-100:]) / len(losses[-100:]), 4),
        "settings": asdict(settings),
        "scenes": asdict(scene_settings),
        "opset": OPSET,
        "versions": versions(),
    }
    export_detector(finder, {"card": "finder.md", "licence": LICENCE}, DETECTOR)
    DETECTOR.with_suffix(".json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    write_card()


def write_card() -> None:
    """Write the card from the figures."""
    figures = json.loads(DETECTOR.with_suffix(".json").read_text(encoding="utf-8"))
    DETECTOR.with_suffix(".md").write_text(card_text(figures), encoding="utf-8")


def card_text(figures: dict[str, Any]) -> str:
    """The model card, from the finder's figures."""
    return f"""# Model card: the face finder

A network of {figures["parameters"]:,} parameters that says where faces are in a photo, how large,
and at which angle. Each face is then cut out and segmented by one of the models; what turns out to
be none is dropped, and what stands askew is straightened, by what the model sees in it.

- **Licence**: {figures["licence"]}. It was trained on drawn faces alone and has never seen a photo.
- **Trained on** scenes of turned, scaled and overlapping drawn faces: {figures["training data"]}
- **With** `{figures["command"]}`: {figures["minutes"]:g} minutes on one processor core,
  {figures["scenes seen"]:,} scenes. How scenes are made was chosen on CelebAMask-HQ's validation
  split.
- **Takes** photos, float32 [batch, 3, H, W], RGB in 0..1, H and W multiples of 8; **gives** float32
  [batch, 6, H / 8, W / 8]: for each place how sure it is of a face there (before the sigmoid), x
  and y to the face's middle in places, log2 of its frame's side over 64 pixels, cosine and sine of
  its angle. ONNX, opset {figures["opset"]}.
- **How well it works** is measured together with the models: `benchmarks/results/any_photo.json`,
  and the table in the README.

It says where a face is, not whose. Profiles, faces that are half hidden, and faces below 40 pixels
are found less often; patterns with two dark spots above a third may be taken for faces.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="drawn faces")
    parser.add_argument("--cache", type=Path, help="where the packed data lies")
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--card", action="store_true", help="only write the card anew")
    options = parser.parse_args()
    if options.card:
        write_card()
    elif options.data is None:
        parser.error("give --data, a folder of drawn faces")
    else:
        train(options.data, options.cache, options.minutes)


if __name__ == "__main__":
    main()
