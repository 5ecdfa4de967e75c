"""The reader's own face parser through the lessons: the score of each of its steps, and its file.

    record("first loop", model)  # evaluates it on the test faces, and keeps the score
    plot_progress()  # all scores so far

The test faces are synthetic, of a seed of their own, and the same in all lessons. Scores are in
`data/my_parser.json`, the parser itself in `data/my_parser.pth`.
"""

import json
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from facesegkit.checkpoint import Checkpoint
from facesegkit.course.lesson_data import lesson_cache, project_file, small_photos
from facesegkit.dataset import TrainingData
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.onnx_model import Model
from facesegkit.metrics import Predictor, evaluate
from facesegkit.plots import BLUE, STYLE
from facesegkit.synthetic import synthesize_dataset
from facesegkit.synthetic.files import GENERATOR_VERSION
from facesegkit.system.files import atomic_write
from facesegkit.system.processes import folder_lock

# Of lessons 4, 7 and 8. Other steps come after these, in the order in which they were recorded.
STEPS = ("baseline", "first loop", "loss", "fit", "augmentation", "longer", "exported", "distilled")

_FACES, _SEED = 40, 4  # of the test faces; the lessons' own faces have seed 0


def unseen_faces(side: int = 64) -> TrainingData:
    """The test faces, with photos of `side` pixels; synthesized at the first call."""
    data = project_file(f"data/synthetic-for-my-parser-v{GENERATOR_VERSION}")
    synthesize_dataset(data, _FACES, _SEED, progress=False)
    cache = lesson_cache(data)
    return TrainingData(small_photos(cache.photos, side), cache.labels, np.arange(_FACES))


def record(step: str, parser: Predictor | Checkpoint | Model, side: int = 64) -> None:
    """Evaluate the parser on the test faces, print its mean F1, and keep it as a step.

    A module or function is given images of `side` pixels, float32 [B, 3, side, side], and returns
    logits of `FIVE_FEATURES`; a `Checkpoint` or `Model` has its own size.
    """
    if isinstance(parser, Checkpoint):
        parser = parser.runnable()
    if isinstance(parser, Model):
        faces = unseen_faces(parser.crop.full_size(parser.input_size))
        faces, parser = replace(faces, crop=parser.crop), _with_tensors(parser)
    else:
        faces = unseen_faces(side)
    score = evaluate(parser, faces).metrics.mean_f1
    file = _scores_file()
    with folder_lock(file), atomic_write(file) as unfinished:
        text = json.dumps({**scores(), step: round(score, 4)}, indent=2)
        unfinished.write_text(text + "\n", encoding="utf-8")
    print(f"my_parser, {step}: mean F1 {score:.3f} on {len(faces)} test faces")


def _with_tensors(model: Model) -> Predictor:
    """A model for inference, which takes arrays, as a function of tensors."""

    def predict(images: Tensor) -> Tensor:
        return torch.from_numpy(model.predict_logits(images.contiguous().numpy()))

    return predict


def scores() -> dict[str, float]:
    """Mean F1 of each step so far, 0..1, in the order of the lessons.

    Raises a FaceSegKitError if their file is damaged.
    """
    if not (file := _scores_file()).exists():
        return {}
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        found = {str(step): float(score) for step, score in plain.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise FaceSegKitError(f"{file} is damaged; delete it and run lesson 4 again.") from error
    return {step: found[step] for step in dict.fromkeys((*STEPS, *found)) if step in found}


def parser_file() -> Path:
    """Where the parser is: lesson 4 saves it, later lessons load it and replace it."""
    return project_file("data/my_parser.pth")


def _scores_file() -> Path:
    return project_file("data/my_parser.json")


@matplotlib.rc_context(STYLE)
def plot_progress() -> Figure:
    """Mean F1 of each step of `my_parser` so far."""
    steps = scores()
    figure = Figure(figsize=(8, 3))
    axes = figure.subplots()
    axes.plot([*steps], [*steps.values()], "o-", color=BLUE)
    for index, score in enumerate(steps.values()):
        axes.annotate(
            f"{score:.2f}", (index, score), (0, 7), textcoords="offset points", ha="center"
        )
    axes.set(title="my_parser", ylabel=f"mean F1 on {_FACES} test faces", ylim=(0, 1))
    return figure
