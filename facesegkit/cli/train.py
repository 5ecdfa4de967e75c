"""Runs `facesegkit train` and `facesegkit evaluate`."""

import argparse
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from threading import current_thread, main_thread

import torch

from facesegkit.checkpoint import Checkpoint, build_model, save
from facesegkit.cli.common import say, trained_model
from facesegkit.config import Budget, RunOptions, TrainConfig
from facesegkit.data.cache import PHOTO_SIZE, DatasetCache, build_cache
from facesegkit.dataset import TrainingData
from facesegkit.errors import FaceSegKitError, counted
from facesegkit.geometry import CROPS, FULL_IMAGE, RelativeCrop
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES, LabelScheme
from facesegkit.metrics import Evaluation, evaluate
from facesegkit.plots import confusion_figure, example_cases, save_figure, training_curves
from facesegkit.profile import profile_model
from facesegkit.synthetic import synthesize_dataset
from facesegkit.system import distributed
from facesegkit.system.files import check_is_file, check_writable
from facesegkit.system.history import save_history
from facesegkit.system.torch_speed import bf16_is_faster
from facesegkit.train import fit, is_complete
from facesegkit.transforms import ALIGNED_AUGMENTATION, Augmentation

SYNTHETIC = Path("data", "synthetic")
NUM_SYNTHETIC = 1600
FEW = 10  # photos of a split whose metrics mean little


def _open_caches(options: argparse.Namespace, crop: RelativeCrop) -> list[DatasetCache]:
    """Open the caches of the data sets; build them first if need be; synthesize without --data."""
    faces = options.num_synthetic or NUM_SYNTHETIC
    if options.data is None:
        print(f"no --data given: using {counted(faces, 'synthetic face')} in {SYNTHETIC}")
        if distributed.is_first():
            synthesize_dataset(SYNTHETIC, faces, seed=0)
        distributed.barrier()
    elif options.num_synthetic:
        raise FaceSegKitError("--num-synthetic is for training without --data; leave one out.")
    photo_size = crop.full_size(PHOTO_SIZE)  # so that the crop has the input size of the models
    sources = options.data or [SYNTHETIC]
    if options.cache and len(sources) > 1:
        raise FaceSegKitError("--cache is for one data set; leave it out with several.")
    caches = [build_cache(root, options.cache, photo_size=photo_size) for root in sources]
    if options.data is None:  # there may be more faces, of an earlier run
        caches = [cache.first(faces) for cache in caches]
    print(_summary(caches))
    return caches


def _summary(caches: Sequence[DatasetCache]) -> str:
    return "; ".join(cache.summary() for cache in caches)


def _split(
    caches: Sequence[DatasetCache], split: str, scheme: LabelScheme, crop: RelativeCrop
) -> TrainingData:
    """A split of one or several data sets, some of which may have no photo in it.

    Raises a FaceSegKitError if none of them has any.
    """
    having = [cache for cache in caches if cache.has(split)] or caches[:1]
    several = [TrainingData.from_cache(cache, split, scheme, crop) for cache in having]
    return several[0] if len(several) == 1 else TrainingData.joined(*several)


def run_train(options: argparse.Namespace) -> None:
    """Train a model, evaluate it and save everything."""
    _check_outputs(options)
    initial = trained_model(options.init_from, "--init-from") if options.init_from else None
    teacher = trained_model(options.teacher, "--teacher") if options.teacher else None
    arch, scheme, crop = _choose(options, initial, teacher)
    caches = _open_caches(options, crop)
    torch.manual_seed(options.seed)
    model = initial.model if initial else build_model(arch, classes=len(scheme.class_names))
    print(f"{type(model).__name__}: {profile_model(model)}")
    device = distributed.best_device()
    config = _config(options, crop, device)
    about = {"init_from": options.init_from, "teacher": options.teacher, "data": _summary(caches)}
    metadata = {**about, "arch": arch, "scheme": scheme.to_dict(), "crop": crop.to_dict()}
    train, val, _ = (_split(caches, name, scheme, crop) for name in ("train", "val", options.split))
    _warn_of_few_photos(train, val)
    with _lock(options.model), _interruptible() as is_interrupted:
        run = RunOptions(
            teacher.model.to(device) if teacher else None,
            state_file=options.model.with_suffix(".training.pth"),
            resume=options.resume, metadata=metadata, stop=is_interrupted,
        )  # fmt: skip
        trained, history = fit(model.to(device), train, val, config, run)
    about |= {"split_rule": caches[0].split_rule, "config": asdict(config), "history": history}
    checkpoint = Checkpoint(arch, trained, scheme, about=about, crop=crop)
    if is_complete(history, train, config):
        if distributed.is_first():
            _save(checkpoint, options.model)  # evaluating may fail, or be interrupted
        checkpoint.model.to(device)
        data, evaluation = _evaluate_split(checkpoint, caches, options.split)
        if distributed.is_first():
            checkpoint.model.cpu()
            save(replace(checkpoint, about=about | {"scores": evaluation.to_dict()}), options.model)
            _report(evaluation, data, checkpoint, options.report)
        return
    if sum(row["val_mean_f1"] >= 0 for row in history) < 2:
        print("Training was stopped too early for a model; only the state for --resume is saved.")
        raise KeyboardInterrupt
    if distributed.is_first():  # after Ctrl-C, nobody wants to wait for an evaluation
        _save(checkpoint, options.model)
        print(f"It is the best model of the first {history[-1]['minutes']:.1f} minutes.")
        raise KeyboardInterrupt


def _warn_of_few_photos(train: TrainingData, val: TrainingData) -> None:
    """Say, before training, that its metrics will mean little."""
    if distributed.is_first() and len(val) < FEW:
        photos = f"{counted(len(train), 'photo')} and validated on {counted(len(val), 'photo')}"
        say(f"the model is trained on {photos}: so few that its metrics mean little.")


@contextmanager
def _lock(model: Path) -> Iterator[None]:
    """Be the only training that writes this model; raise a FaceSegKitError if there is another.

    The operating system releases the lock if the process is killed.
    """
    from filelock import FileLock, Timeout

    resolved = model.resolve()
    file = resolved.with_name(f".{resolved.name}.lock")
    lock = FileLock(file, timeout=0)
    if not distributed.is_first():
        yield
        return
    try:
        lock.acquire()
    except Timeout as error:
        other = f"Another training is writing {model}"
        raise FaceSegKitError(f"{other}; wait for its end, or give another --model.") from error
    except (OSError, NotImplementedError):
        pass  # some network drives know no locks
    try:
        yield
    finally:
        with suppress(OSError):  # while it is locked: nobody else can have it
            file.unlink()
        lock.release()


def _check_outputs(options: argparse.Namespace) -> None:
    """Check that the model and the report can be saved, before any work is done."""
    path: Path = options.model
    if path.suffix != ".pth" or path.is_dir():
        raise FaceSegKitError(f"Cannot save a model as {path}; give a file that ends in .pth.")
    check_is_file(path)
    for folder in (path.parent, options.report):
        check_writable(folder)


def _choose(
    options: argparse.Namespace, initial: Checkpoint | None, teacher: Checkpoint | None
) -> tuple[str, LabelScheme, RelativeCrop]:
    """Architecture, scheme and crop: those of the options, or else those of the given models.

    Raises a FaceSegKitError if one of the models differs from that.
    """
    first = initial or teacher
    arch = options.arch or (initial.arch if initial else "separable")
    scheme = first.scheme if first else FIVE_FEATURES
    if options.scheme:
        scheme = read_scheme(options.scheme)
    crop = first.crop if first else FULL_IMAGE
    if options.crop:
        crop = CROPS[options.crop]
    if initial and initial.arch != arch:
        other = f"{options.init_from} has the architecture {initial.arch}, not {arch}"
        raise FaceSegKitError(f"{other}; leave out --arch or give another model.")
    for name, model in ((options.init_from, initial), (options.teacher, teacher)):
        if model and model.scheme.class_names != scheme.class_names:
            own, needed = (", ".join(s.class_names) for s in (model.scheme, scheme))
            classes = f"{name} has the classes {own}, not {needed}"
            raise FaceSegKitError(f"{classes}; give models and a --scheme that agree.")
        if model and model.crop != crop:
            regions = f"{name} was trained with {_region(model.crop)}, not {_region(crop)}"
            raise FaceSegKitError(f"{regions}; give models and a --crop that agree.")
    return arch, scheme, crop


def _region(crop: RelativeCrop) -> str:
    """A crop as the option for it, if there is one."""
    return next((f"--crop {name}" for name, known in CROPS.items() if known == crop), f"{crop}")


def _config(options: argparse.Namespace, crop: RelativeCrop, device: torch.device) -> TrainConfig:
    """The training recipe: the defaults, and what the options change."""
    minutes = None if options.epochs else options.minutes or 10
    return TrainConfig(
        budget=Budget(minutes=minutes, epochs=options.epochs),
        lr=options.lr or TrainConfig.lr,
        # A trained model has already learned what small photos teach.
        resize_schedule=((0.5, 192),) if options.init_from else TrainConfig.resize_schedule,
        bf16=distributed.broadcast(bf16_is_faster(device)),
        seed=options.seed,
        augmentation=ALIGNED_AUGMENTATION if crop != FULL_IMAGE else Augmentation(),
    )


def _save(checkpoint: Checkpoint, path: Path) -> None:
    """Save a trained model with its metadata, the training history and its curves."""
    checkpoint.model.cpu()
    save(checkpoint, path)
    history = checkpoint.about["history"]
    save_history(history, path.with_suffix(".csv"))
    curves = path.with_name("training_loss.png")
    save_figure(training_curves(history), curves)
    print(f"saved {path} and {curves}")


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C was pressed; pressed twice, it interrupts."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is not signal.default_int_handler or current_thread() is not main_thread():
        yield lambda: False  # part of a program that handles the signal itself
        return
    pressed = False

    def press(*_: object) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, usual)
        # Not print: a signal handler may run in the middle of another print.
        with suppress(OSError):  # standard error may be closed
            os.write(2, b"\nstopping; press Ctrl-C again to stop at once\n")

    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, usual)


def read_scheme(name: str) -> LabelScheme:
    """A scheme by name, or from a JSON file such as {"classes": {"eyes": ["l_eye", "r_eye"]}}.

    A file may also hold only the table of classes. Raises a FaceSegKitError if it is neither a name
    nor a readable file, or not a scheme.
    """
    known = {"five": FIVE_FEATURES, "all": ALL_PARTS}
    if name in known:
        return known[name]
    check_is_file(name)
    try:
        plain = json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        neither = f"The scheme {name!r} is neither 'five' nor 'all' nor a file that can be read"
        raise FaceSegKitError(f"{neither} ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise FaceSegKitError(f"The scheme file {name} is not valid JSON: {error}.") from error
    if isinstance(plain, dict) and "classes" not in plain:
        plain = {"classes": plain}
    if not isinstance(plain, dict):
        raise FaceSegKitError(f"The scheme file {name} holds no table of classes and part names.")
    return LabelScheme.from_dict({"name": Path(name).stem, **plain})


def run_evaluate(options: argparse.Namespace) -> None:
    """Evaluate a trained model and save a report."""
    checkpoint = trained_model(options.model)
    check_writable(options.report)
    caches = _open_caches(options, checkpoint.crop)
    checkpoint.model.to(distributed.best_device())
    data, evaluation = _evaluate_split(checkpoint, caches, options.split)
    if distributed.is_first():
        _report(evaluation, data, checkpoint, options.report)


def _evaluate_split(
    checkpoint: Checkpoint, caches: Sequence[DatasetCache], split: str
) -> tuple[TrainingData, Evaluation]:
    """Evaluate a model on a split and print its scores."""
    data = _split(caches, split, checkpoint.scheme, checkpoint.crop)
    evaluation = evaluate(checkpoint.model, data, split=split, progress=True)
    print(evaluation.table())
    return data, evaluation


def _report(scores: Evaluation, data: TrainingData, checkpoint: Checkpoint, folder: Path) -> None:
    """Save the metrics as JSON, and as figures the confusion matrix and the best to worst cases."""
    scores.save(folder)
    confusion = confusion_figure(scores.metrics, scores.scheme.class_names)
    save_figure(confusion, folder / "confusion.png")
    save_figure(example_cases(scores, data, checkpoint.model), folder / "cases.png")
    print(f"metrics and figures in {folder}")
