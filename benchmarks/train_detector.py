"""Train a face detector that ships; write it with its figures and its model card.

    python benchmarks/train_detector.py detector --data CelebAMask-HQ --photos PHOTOS
    python benchmarks/train_detector.py detector-open --data SYNTHETIC --portraits PORTRAITS
    python benchmarks/train_detector.py --cards     # only write the cards again from the figures

PHOTOS is a folder with faces.json (see `detection.sources.real_photos`), PORTRAITS one of photos of
one person each; SYNTHETIC comes from `facesegkit synthesize SYNTHETIC --count 3000 --seed 11`, and
--empty has further photos without faces. Each cycle begins with what the detector of the cycle
before takes for a face where there is none. Training uses one processor core, another one makes the
canvases, and a run that was stopped goes on where it was. `calibration.py` says what its scores
mean, and `real_photos.py` measures it.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import facesegkit  # noqa: F401  before torch, because it sets OMP_WAIT_POLICY

# isort: split
import numpy as np
import torch
from common import TOP, load_results
from readme_tables import OTHER_DETECTORS, faces_found

from facesegkit.config import Budget, RunOptions
from facesegkit.data.cache import build_cache
from facesegkit.detection.canvases import CanvasMaker, Floats, LabelledPhoto
from facesegkit.detection.model import FaceDetector
from facesegkit.detection.sources import backgrounds, people, portraits, real_photos, shuffled
from facesegkit.detection.train import RECIPE, detection_loss, export_detector
from facesegkit.export import OPSET
from facesegkit.image_io import read_photo
from facesegkit.inference.detector import detect, iou, nms
from facesegkit.inference.model_zoo import (
    DETECTOR_NAMES,
    FOLDER,
    MODEL_NAMES,
    detector_for,
    load_model,
)
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.system.tensor_files import round_to_half, versions
from facesegkit.train import fit

TEMPLATE = Path(__file__).parent / "card_templates" / "detector.md"
DATA = {
    "detector": """everyday photos with marked faces, and photos without; 2,000 photos of
  CelebAMask-HQ's train split, from whose masks box and points follow; synthetic backgrounds""",
    "detector-open": """synthetic faces; portraits in the public domain, in which the model
  `unet-synthetic` finds the face; and, without faces, synthetic backgrounds and a dozen photos in
  the public domain. No photo of research data""",
}
WHERE = {
    "detector": "Its photos are from the same collections as those of the validation split.",
    "detector-open": """In the photos that it learned from, before training rotated and darkened
them, nearly all faces are frontal, upright and in good light.""",
}
CYCLES = ((14_000, 4e-3), (9_000, 2e-3), (9_000, 2e-3), (2_500, 1.5e-3))  # steps, highest lr
PEOPLE = 2_000  # of the data set


def training_photos(options: argparse.Namespace) -> Iterator[LabelledPhoto]:
    """Photos with and without faces, of the kinds whose folders are given."""
    cache = build_cache(options.data)
    composed = list(people(cache, cache.rows("train")[:PEOPLE].tolist()))
    yield from composed
    if options.photos:
        yield from real_photos(options.photos)
    if options.portraits:
        yield from portraits(options.portraits, FaceSegmenter("unet-synthetic"))
        rng = np.random.default_rng(0)
        yield from (shuffled(photo, rng) for photo in composed[:650])
    yield from backgrounds(700 if options.portraits else 300)
    for path in sorted(options.empty.iterdir()) if options.empty else ():
        yield LabelledPhoto(read_photo(path), weight=40.0)  # few real ones among many synthetic


def hard_negatives(
    network: torch.nn.Module, photos: list[LabelledPhoto]
) -> Iterator[tuple[LabelledPhoto, Floats]]:
    """Boxes in which a detector sees a face where there is none, with scores of 0.12 and more."""

    def predict(images: Floats) -> Floats:
        with torch.inference_mode():
            return network(torch.from_numpy(images)).numpy()

    for photo in photos:
        known = np.concatenate([photo.boxes, photo.ignore])
        for side in (320, 640):
            found = nms(detect(photo.image, predict, side, 0.12), 0.4)
            for box, score in zip(found.boxes, found.scores, strict=True):
                if not (iou(box, known) > 0.03).any():
                    yield from [(photo, box)] * (1 + int(50 * score**2))


def train(options: argparse.Namespace, name: str) -> None:
    """Train in cycles, round the weights to float16 values, and write ONNX file and figures."""
    torch.set_num_threads(1)
    torch.manual_seed(RECIPE.seed)
    photos = list(training_photos(options))
    hard: list[tuple[LabelledPhoto, Floats]] = []
    network: torch.nn.Module = FaceDetector()
    for number, (steps, lr) in enumerate(CYCLES):
        maker = CanvasMaker(photos, hard)
        epochs = steps / (len(maker) // RECIPE.batch_size)
        config = replace(RECIPE, lr=lr, seed=number, budget=Budget(epochs=epochs))
        run = RunOptions(state_file=options.state / f"{name}-{number}.pt", resume=True)
        network, history = fit(network, maker, None, config, run, loss=detection_loss)
        hard = list(hard_negatives(network, photos))
    round_to_half(network)
    figures = {
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "licence": "MIT" if options.portraits else "non-commercial research and education only",
        "canvases seen": RECIPE.batch_size * sum(steps for steps, _ in CYCLES),
        "loss at the end of training": round(history[-1]["train_loss"], 4),
        "opset": OPSET,
        "versions": versions(),
    }
    about = {"card": f"{name}.md", "licence": figures["licence"]}
    export_detector(network, about, FOLDER / f"{name}.onnx")
    text = json.dumps(figures, indent=2) + "\n"
    (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")


def card_text(name: str, figures: dict[str, Any]) -> str:
    """The text of a detector's model card, from its figures and those of real_photos.py."""
    models = [model for model in MODEL_NAMES if detector_for(load_model(model)) == name]
    calibration = load_results("calibration")[name]
    return TEMPLATE.read_text(encoding="utf-8").format(
        name=name,
        training_data=DATA[name],
        where=WHERE[name],
        others=" and models of your own" if name == "detector-open" else "",
        models=", ".join(f"`{model}`" for model in models),
        found=faces_found([*models, *OTHER_DETECTORS]),
        calibration=calibration,
        **figures,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=DETECTOR_NAMES)
    parser.add_argument("--data", type=Path, help="CelebAMask-HQ, or a folder of synthetic faces")
    parser.add_argument("--photos", type=Path, help="folder with faces.json")
    parser.add_argument("--portraits", type=Path, help="folder of portraits that are free to use")
    parser.add_argument("--empty", type=Path, help="folder of photos without faces")
    parser.add_argument("--state", type=Path, default=TOP / "runs", help="folder to resume from")
    parser.add_argument("--cards", action="store_true", help="only write the cards again")
    options = parser.parse_args()
    if options.name and options.data:
        train(options, options.name)
    elif not options.cards:
        parser.error("give a name and --data, or --cards")
    for name in DETECTOR_NAMES:
        figures = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        (FOLDER / f"{name}.md").write_text(card_text(name, figures), encoding="utf-8")


if __name__ == "__main__":
    main()
