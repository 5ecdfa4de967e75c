"""`facesegkit train` and `facesegkit evaluate`."""

from __future__ import annotations

import argparse
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any

from facesegkit.cli.common import MODEL, Commands, positive, seed, trained_model
from facesegkit.errors import FaceSegKitError
from facesegkit.system import distributed
from facesegkit.system.files import check_is_file, check_writable

# PyTorch and matplotlib take seconds to import, and need not be installed for other commands.
if TYPE_CHECKING:
    import torch
    from torch import nn

    from facesegkit.checkpoint import Checkpoint
    from facesegkit.config import TrainConfig
    from facesegkit.data.cache import DatasetCache
    from facesegkit.dataset import TrainingData
    from facesegkit.geometry import RelativeCrop
    from facesegkit.labels import LabelScheme
    from facesegkit.metrics import Evaluation

SYNTHETIC = Path("data", "synthetic")


def add_train(commands: Commands) -> None:
    """Add `train` to the commands."""
    train = commands.add_parser("train", help="train a model, score it, and draw what it does")
    _add_data(train)
    train.add_argument("--arch", choices=("separable", "unet"), default="separable")
    budget = train.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=positive(float), help="of training (default: 10)")
    budget.add_argument("--epochs", type=positive(float), help="instead of minutes, repeatable")
    train.add_argument(
        "--scheme",
        default="five",
        help="'five' features, 'all' parts, or a JSON file with your own (default: five)",
    )
    train.add_argument(
        "--crop",
        choices=("photo", "face"),
        default="photo",
        help="what the model looks at: aligned photos whole (default), or their faces",
    )
    train.add_argument(
        "--init-from", metavar="MODEL", help="name or .pth file of a trained model to go on from"
    )
    train.add_argument(
        "--teacher", metavar="MODEL", help="name or .pth file of a larger model to learn from"
    )
    train.add_argument("--lr", type=positive(float), help="highest learning rate (default: 0.008)")
    train.add_argument("--seed", type=seed, default=0, help="a number from 0 (default: 0)")
    train.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    train.add_argument("--model", type=Path, default=MODEL, help=f"to save (default: {MODEL})")
    _add_scoring(train)
    train.set_defaults(command=_train)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        help=f"CelebAMask-HQ, folder or zip (default: faces drawn in {SYNTHETIC})",
    )
    parser.add_argument("--cache", type=Path, help="where the packed data goes or lies already")
    parser.add_argument(
        "--num-synthetic",
        type=positive(int),
        default=1600,
        help="to draw without --data (default: 1600)",
    )


def _add_scoring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--split",
        choices=("train", "val", "test", "all"),
        default="val",
        help="to score on (default: val; look at test when all choices are made)",
    )
    parser.add_argument(
        "--report", type=Path, default=Path("evaluation"), help="folder for scores and pictures"
    )


def _open_cache(options: argparse.Namespace, crop: RelativeCrop) -> DatasetCache:
    """The cache of the data set that was asked for, built first if need be.

    Without --data, synthetic faces are made first. Photos are stored so large that their crop has
    the models' input size.
    """
    from facesegkit.data.cache import build_cache
    from facesegkit.data.cache_worker import PHOTO_SIZE
    from facesegkit.synthetic import synthesize_dataset

    if options.data is None:
        print(f"no --data given: using {options.num_synthetic:,} synthetic faces in {SYNTHETIC}")
        if distributed.is_first():
            synthesize_dataset(SYNTHETIC, options.num_synthetic, seed=0)
        distributed.barrier()
    photo_size = crop.whole_side(PHOTO_SIZE)
    cache = build_cache(options.data or SYNTHETIC, options.cache, photo_size=photo_size)
    print(cache.summary())
    return cache


def _train(options: argparse.Namespace) -> None:
    import torch

    from facesegkit.checkpoint import Checkpoint, build_model
    from facesegkit.config import RunOptions
    from facesegkit.dataset import TrainingData
    from facesegkit.geometry import CROPS
    from facesegkit.profile import profile_model
    from facesegkit.train import fit, is_complete

    scheme, crop = read_scheme(options.scheme), CROPS[options.crop]
    _check_model_path(options.model)
    for folder in (options.model.parent, options.report):
        check_writable(folder)
    cache = _open_cache(options, crop)
    torch.manual_seed(options.seed)
    start = _with_scheme(scheme, options.init_from) if options.init_from else None
    arch = start.arch if start else options.arch
    model = start.model if start else build_model(arch, classes=len(scheme.class_names))
    print(f"{type(model).__name__}: {profile_model(model)}")
    device = distributed.best_device()
    config = _config(options, device)
    about = {"init_from": options.init_from, "teacher": options.teacher, "data": cache.summary()}
    train, val = (TrainingData.from_cache(cache, split, scheme, crop) for split in ("train", "val"))
    with _interruptible() as is_interrupted:
        run = RunOptions(
            teacher=_teacher(options, scheme, device),
            state_file=options.model.with_suffix(".training.pth"),
            resume=options.resume,
            metadata={**about, "arch": arch, "scheme": scheme.to_dict(), "crop": crop.to_dict()},
            stop=is_interrupted,
        )
        trained, history = fit(model.to(device), train, val, config, run)
    is_whole = is_complete(history, train, config)
    if not is_whole and sum(row["val_mean_f1"] >= 0 for row in history) < 2:
        print("Training was stopped too early for a model; only the state for --resume is saved.")
        raise KeyboardInterrupt
    checkpoint = Checkpoint(arch, trained, scheme, crop=crop)
    # After Ctrl-C nobody wants to wait for the evaluation of a whole split.
    evaluation = _evaluate_split(checkpoint, cache, options.split) if is_whole else None
    if not distributed.is_first():
        return
    about |= {"split_rule": cache.split_rule, "config": asdict(config), "history": history}
    _save(checkpoint, evaluation, val, about, options.model)
    if evaluation is None:
        print(f"It is the best model of the first {history[-1]['minutes']:.1f} minutes.")
        raise KeyboardInterrupt
    _report(evaluation, cache, checkpoint, options.report)


def _config(options: argparse.Namespace, device: torch.device) -> TrainConfig:
    """The training recipe: the defaults, and what the options change."""
    from facesegkit.config import Budget, TrainConfig
    from facesegkit.system.torch_speed import bf16_is_faster
    from facesegkit.transforms import ALIGNED_AUGMENTATION

    minutes = options.minutes if options.minutes or options.epochs else 10
    config = TrainConfig(
        budget=Budget(minutes=minutes, epochs=options.epochs),
        seed=options.seed,
        bf16=distributed.broadcast(bf16_is_faster(device)),
    )
    if options.lr:
        config = replace(config, lr=options.lr)
    if options.crop == "face":
        config = replace(config, augmentation=ALIGNED_AUGMENTATION)
    if options.init_from:  # what small photos teach is known already
        config = replace(config, resize_schedule=((0.5, 192),))
    return config


def _teacher(
    options: argparse.Namespace, scheme: LabelScheme, device: torch.device
) -> nn.Module | None:
    return _with_scheme(scheme, options.teacher).model.to(device) if options.teacher else None


def _save(
    checkpoint: Checkpoint,
    evaluation: Evaluation | None,
    val: TrainingData,
    about: dict[str, Any],
    path: Path,
) -> None:
    """Save a trained model with its metadata, the training history and its curves."""
    from facesegkit.checkpoint import save
    from facesegkit.inference.pipeline import CONFIDENCE_KEY, typical_confidence
    from facesegkit.plots import save_figure, training_curves
    from facesegkit.train import save_history

    checkpoint.model.cpu()
    about[CONFIDENCE_KEY] = typical_confidence(checkpoint.runnable(), val.photos[val.rows[:64]])
    if evaluation:
        about["scores"] = evaluation.to_dict()
    save(replace(checkpoint, about=about), path)
    save_history(about["history"], path.with_suffix(".csv"))
    curves = path.with_name("training_loss.png")
    save_figure(training_curves(about["history"]), curves)
    print(f"saved {path} and {curves}")


def _check_model_path(path: Path) -> None:
    """See that a model can be saved as this, its curve and its state beside it."""
    if path.suffix != ".pth" or path.is_dir():
        raise FaceSegKitError(f"A model is not saved as {path}; give a file that ends in .pth.")
    check_is_file(path)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Have Ctrl-C asked for instead of raised, once: the second one is as it always is.

    Yields what says whether it was pressed.
    """
    usual = signal.getsignal(signal.SIGINT)
    if usual is not signal.default_int_handler or current_thread() is not main_thread():
        yield lambda: False  # the program that we are a part of has plans of its own
        return
    pressed = False

    def press(*_: object) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, usual)
        # Not by print, in the middle of which this may happen.
        os.write(2, b"\nstopping; press Ctrl-C again to stop at once\n")

    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, usual)


def _with_scheme(scheme: LabelScheme, name: str) -> Checkpoint:
    """A trained model by its name or its file, for the training of another."""
    checkpoint = trained_model(name)
    if checkpoint.scheme.class_names != scheme.class_names:
        raise FaceSegKitError(
            f"{name} knows the classes {', '.join(checkpoint.scheme.class_names)}, not "
            f"{', '.join(scheme.class_names)}; give a model of the same scheme."
        )
    return checkpoint


def read_scheme(name: str) -> LabelScheme:
    """A scheme by name, or from a JSON file such as {"classes": {"eyes": ["l_eye", "r_eye"]}}.

    A file may also hold just the table of classes.

    Raises:
        FaceSegKitError: neither a name nor a file that can be read, or not a scheme.
    """
    from facesegkit.labels import ALL_PARTS, FIVE_FEATURES, LabelScheme

    known = {"five": FIVE_FEATURES, "all": ALL_PARTS}
    if name in known:
        return known[name]
    check_is_file(name)
    try:
        plain = json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise FaceSegKitError(
            f"The scheme {name!r} is neither 'five' nor 'all' nor a file that can be read "
            f"({error.strerror})."
        ) from error
    except (ValueError, RecursionError) as error:
        raise FaceSegKitError(f"The scheme file {name} is not valid JSON: {error}.") from error
    if isinstance(plain, dict) and "classes" not in plain:
        plain = {"classes": plain}
    if not isinstance(plain, dict):
        raise FaceSegKitError(f"The scheme file {name} holds no table of classes and part names.")
    return LabelScheme.from_dict({"name": Path(name).stem, **plain})


def _evaluate_split(checkpoint: Checkpoint, cache: DatasetCache, split: str) -> Evaluation:
    from facesegkit.dataset import TrainingData
    from facesegkit.metrics import evaluate

    data = TrainingData.from_cache(cache, split, checkpoint.scheme, checkpoint.crop)
    evaluation = evaluate(checkpoint.model, data, split=split, progress=True)
    print(evaluation.table())
    return evaluation


def _report(
    evaluation: Evaluation, cache: DatasetCache, checkpoint: Checkpoint, folder: Path
) -> None:
    """Save the metrics as JSON, the confusion matrix and the best to worst photos as figures."""
    from facesegkit.dataset import TrainingData
    from facesegkit.plots import confusion_figure, example_cases, save_figure

    evaluation.save(folder)
    names = evaluation.scheme.class_names
    save_figure(confusion_figure(evaluation.metrics, names), folder / "confusion.png")
    data = TrainingData.from_cache(cache, evaluation.split, checkpoint.scheme, checkpoint.crop)
    save_figure(example_cases(evaluation, data, checkpoint.model), folder / "cases.png")
    print(f"metrics and figures in {folder}")


def add_evaluate(commands: Commands) -> None:
    """Add `evaluate` to the commands."""
    evaluate = commands.add_parser("evaluate", help="score a trained model")
    _add_data(evaluate)
    evaluate.add_argument("--model", default=str(MODEL), help=f"name or file (default: {MODEL})")
    _add_scoring(evaluate)
    evaluate.set_defaults(command=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    checkpoint = trained_model(options.model)
    check_writable(options.report)
    cache = _open_cache(options, checkpoint.crop)
    checkpoint.model.to(distributed.best_device())
    evaluation = _evaluate_split(checkpoint, cache, options.split)
    if distributed.is_first():
        _report(evaluation, cache, checkpoint, options.report)
