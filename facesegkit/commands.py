"""The `facesegkit` command: prepare, draw, train, evaluate, export, weights, segment."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from threading import current_thread, main_thread
from typing import TYPE_CHECKING

from facesegkit import distributed
from facesegkit.errors import FaceSegKitError
from facesegkit.files import check_is_file, check_writable, replacing
from facesegkit.shipped import DEFAULT, NAMES, card, is_shipped, licence_notice, weights_of

# PyTorch and matplotlib take seconds to import, and need not be installed for `segment`; so each
# command imports what it needs itself.
if TYPE_CHECKING:
    from facesegkit.checkpoint import Checkpoint
    from facesegkit.crop import Crop
    from facesegkit.evaluation import Evaluation
    from facesegkit.packing import Pack
    from facesegkit.parts import Scheme
    from facesegkit.segment import FaceSegmenter
    from facesegkit.segmentation import Segmentation

MODEL = Path("face_segmentation_model.pth")
RESULT = Path("segmentation_result.png")
DRAWN = Path("data", "drawn")
_PATIENCE = 5.0  # seconds that one of several processes waits for the first to say what is wrong
_OTHER_HAS_ENDED = ("closed by peer", "reset by peer", "Broken pipe")  # said by gloo
PHOTO_VIEW, CLIP_VIEW = "mask", "overlay"  # unless another is asked for


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status, 0, or 1 after one sentence on what went wrong."""
    return _run(_parser().parse_args(arguments))


def segment_one(arguments: Sequence[str] | None = None) -> int:
    """What `python inference.py` does: segment one photo. Returns the exit status, as `main`."""
    parser = argparse.ArgumentParser(description="Mark the parts of the face on one photo.")
    parser.add_argument("--image", type=Path, required=True, help="the photo")
    add_model(parser, f"{MODEL} if it is there, else {DEFAULT}")
    add_faces(parser)
    parser.add_argument("--output", type=Path, help=f"(default: {RESULT}, or .json for json)")
    add_view(parser)
    parser.set_defaults(command=_segment_one)
    return _run(parser.parse_args(arguments))


def _run(options: argparse.Namespace) -> int:
    command: Callable[[argparse.Namespace], None] = options.command
    distributed.join()
    try:
        command(options)
        distributed.leave()
    except KeyboardInterrupt:
        if distributed.is_first():
            _say("stopped; train goes on with --resume, all else when it is run again.")
        return 130
    except Exception as error:
        sentence = _what_went_wrong(error)
        if sentence is None:
            raise
        if not distributed.is_first():
            time.sleep(_PATIENCE)  # what stops the first one, too, it says; torchrun then ends us
        _say(sentence)
        return 1
    return 0


def _say(sentence: str) -> None:
    print(f"facesegkit: {sentence}", file=sys.stderr)


def _what_went_wrong(error: Exception) -> str | None:
    """A sentence for whoever runs a command; None for a mistake of ours."""
    if isinstance(error, FaceSegKitError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        if error.name is None or error.name.startswith("facesegkit"):
            return None
        extra = "video" if error.name == "av" else "train"
        return (
            f"this needs {error.name}, which is not installed: pip install 'facesegkit[{extra}]'."
        )
    if isinstance(error, MemoryError):
        return "there is not enough memory for this."
    if isinstance(error, OSError):  # where nobody has thought of it: a name too long, a stale mount
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}."
    if distributed.are_several() and any(sign in str(error) for sign in _OTHER_HAS_ENDED):
        return "another process has failed, and says why."
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="facesegkit", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        _add_segment,
        _add_weights,
        _add_prepare,
        _add_draw,
        _add_train,
        _add_evaluate,
        _add_export,
    ):
        add(commands)
    return parser


Commands = argparse._SubParsersAction  # argparse has no public name for it


def _positive(kind: type[int] | type[float]) -> Callable[[str], int | float]:
    """An argparse type: a number of this kind, and more than 0."""

    def number(text: str) -> int | float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError
        return value

    number.__name__ = f"positive {kind.__name__}"  # argparse puts it into its message
    return number


def _seed(text: str) -> int:
    """An argparse type: what random numbers can begin from."""
    if not 0 <= (seed := int(text)) < 2**63:
        raise ValueError
    return seed


_seed.__name__ = "seed"  # argparse puts it into its message


# --- prepare and draw ---------------------------------------------------------------------------


def _add_prepare(commands: Commands) -> None:
    prepare = commands.add_parser("prepare", help="pack CelebAMask-HQ for training, once")
    prepare.add_argument("root", type=Path, help="CelebAMask-HQ, a folder or CelebAMask-HQ.zip")
    prepare.add_argument("--cache", type=Path, help="where to (default: below data/packed)")
    prepare.add_argument("--workers", type=_positive(int), help="processes (default: all cores)")
    prepare.add_argument("--strict", action="store_true", help="stop at the first bad pair")
    prepare.set_defaults(command=_prepare)


def _prepare(options: argparse.Namespace) -> None:
    from facesegkit.packing import prepare

    pack = prepare(options.root, options.cache, workers=options.workers, strict=options.strict)
    print(pack.summary())
    print(f"packed in {pack.cache}")


def _add_draw(commands: Commands) -> None:
    draw = commands.add_parser("draw", help="draw faces and their masks: a data set without photos")
    draw.add_argument("out", type=Path, help="folder to fill, laid out like CelebAMask-HQ")
    draw.add_argument("--count", type=_positive(int), default=1600, help="faces (default: 1600)")
    draw.add_argument("--seed", type=int, default=0, help="same seed, same faces (default: 0)")
    draw.add_argument("--workers", type=_positive(int), help="processes (default: all cores)")
    draw.set_defaults(command=_draw)


def _draw(options: argparse.Namespace) -> None:
    from facesegkit.drawn import draw_data_set

    draw_data_set(options.out, options.count, options.seed, workers=options.workers)
    print(f"{options.count:,} drawn faces in {options.out}")


# --- train and evaluate -------------------------------------------------------------------------


def _add_train(commands: Commands) -> None:
    train = commands.add_parser("train", help="train a model, score it, and draw what it does")
    _add_data(train)
    train.add_argument("--arch", choices=("separable", "unet"), default="separable")
    budget = train.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=_positive(float), help="of training (default: 10)")
    budget.add_argument("--epochs", type=_positive(float), help="instead of minutes, repeatable")
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
        "--start", metavar="MODEL", help="name or .pth file of a trained model to go on from"
    )
    train.add_argument(
        "--teacher", metavar="MODEL", help="name or .pth file of a larger model to learn from"
    )
    train.add_argument(
        "--rate", type=_positive(float), help="highest learning rate (default: 0.008)"
    )
    train.add_argument("--seed", type=_seed, default=0, help="a number from 0 (default: 0)")
    train.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    train.add_argument("--model", type=Path, default=MODEL, help=f"to save (default: {MODEL})")
    _add_scoring(train)
    train.set_defaults(command=_train)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, help=f"CelebAMask-HQ, folder or zip (default: faces drawn in {DRAWN})"
    )
    parser.add_argument("--cache", type=Path, help="where the packed data goes or lies already")
    parser.add_argument(
        "--faces", type=_positive(int), default=1600, help="to draw without --data (default: 1600)"
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


def _open_pack(options: argparse.Namespace, crop: Crop) -> Pack:
    """Pack the data that was asked for, drawing it first when none was named.

    Photos are packed so large that their crop has the size that models see.
    """
    from facesegkit.drawn import draw_data_set
    from facesegkit.packing import prepare
    from facesegkit.packing_worker import PHOTO_SIZE

    if options.data is None:
        print(f"no --data given: using {options.faces:,} drawn faces in {DRAWN}")
        if distributed.is_first():
            draw_data_set(DRAWN, options.faces, seed=0)
        distributed.wait_for_all()
    photo_size = crop.whole_side(PHOTO_SIZE)
    pack = prepare(options.data or DRAWN, options.cache, photo_size=photo_size)
    print(pack.summary())
    return pack


def _train(options: argparse.Namespace) -> None:
    import torch

    from facesegkit.augment import CUT_OUT
    from facesegkit.checkpoint import Checkpoint, build_model, save
    from facesegkit.complexity import complexity
    from facesegkit.crop import CROPS, FACE
    from facesegkit.looking import CERTAIN_KEY, usual_certainty
    from facesegkit.pictures import save_figure, training_curves
    from facesegkit.training import (
        Budget,
        Samples,
        Settings,
        bf16_is_faster,
        fit,
        is_complete,
        save_history,
    )

    scheme = read_scheme(options.scheme)
    _check_model_path(options.model)
    for folder in (options.model.parent, options.report):
        check_writable(folder)
    minutes = options.minutes if options.minutes or options.epochs else 10
    crop = CROPS[options.crop]
    pack = _open_pack(options, crop)
    torch.manual_seed(options.seed)
    start = _trained(options.start, scheme) if options.start else None
    teacher = _trained(options.teacher, scheme) if options.teacher else None
    arch = start.arch if start else options.arch
    model = start.model if start else build_model(arch, classes=len(scheme.class_names))
    print(f"{type(model).__name__}: {complexity(model)}")
    device = distributed.best_device()
    origin = {"start": options.start, "teacher": options.teacher}
    settings = Settings(seed=options.seed, bf16=distributed.from_first(bf16_is_faster(device)))
    if options.rate:
        settings = replace(settings, rate=options.rate)
    if crop == FACE:
        settings = replace(settings, augmentation=CUT_OUT)
    if start:  # what small photos teach is known already
        settings = replace(settings, sides=((0.5, 192),))
    train = Samples(pack.photos, pack.labels, pack.rows("train"), crop)
    budget = Budget(minutes=minutes, epochs=options.epochs)
    with _interruptible() as is_interrupted:
        trained, history = fit(
            model.to(device),
            scheme,
            train,
            Samples(pack.photos, pack.labels, pack.rows("val"), crop),
            budget,
            settings,
            state_file=options.model.with_suffix(".training.pth"),
            resume=options.resume,
            teacher=teacher.model.to(device) if teacher else None,
            about={
                "arch": arch,
                "scheme": scheme.to_dict(),
                "data": pack.summary(),
                "crop": crop.to_dict(),
                **origin,
            },
            stop=is_interrupted,
        )
    is_whole = is_complete(history, budget, train, settings)
    if not is_whole and sum(row["val_mean_f1"] >= 0 for row in history) < 2:
        print("It was too early for a model: nothing is saved but what --resume needs.")
        raise KeyboardInterrupt
    checkpoint = Checkpoint(arch, trained, scheme, crop=crop)
    # Whoever has pressed Ctrl-C does not wait for the scores of a whole split.
    evaluation = _score(checkpoint, pack, options.split) if is_whole else None
    if not distributed.is_first():
        return
    trained.cpu()
    some = pack.photos[pack.rows("val")[:64]]
    about = {
        **origin,
        **({CERTAIN_KEY: usual_certainty(checkpoint.runnable(), some)} if len(some) else {}),
        "data": pack.summary(),
        "split_rule": pack.split_rule,
        "settings": asdict(settings),
        "history": history,
        **({"scores": evaluation.to_dict()} if evaluation else {}),
    }
    save(replace(checkpoint, about=about), options.model)
    save_history(history, options.model.with_suffix(".csv"))
    curves = options.model.with_name("training_loss.png")
    save_figure(training_curves(history), curves)
    print(f"saved {options.model} and {curves}")
    if evaluation is None:
        print(f"It is the best model of the first {history[-1]['minutes']:.1f} minutes.")
        raise KeyboardInterrupt
    _report(evaluation, pack, checkpoint, options.report)


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


def _trained(name: str, scheme: Scheme) -> Checkpoint:
    """A trained model by its name or its file, for the training of another."""
    checkpoint = _load(name)
    if checkpoint.scheme.class_names != scheme.class_names:
        raise FaceSegKitError(
            f"{name} knows the classes {', '.join(checkpoint.scheme.class_names)}, not "
            f"{', '.join(scheme.class_names)}; give a model of the same scheme."
        )
    return checkpoint


def read_scheme(name: str) -> Scheme:
    """A scheme by name, or from a JSON file such as {"classes": {"eyes": ["l_eye", "r_eye"]}}.

    A file may also hold just the table of classes.

    Raises:
        FaceSegKitError: neither a name nor a file that can be read, or not a scheme.
    """
    from facesegkit.parts import ALL_PARTS, FIVE_FEATURES, Scheme

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
    return Scheme.from_dict({"name": Path(name).stem, **plain})


def _score(checkpoint: Checkpoint, pack: Pack, split: str) -> Evaluation:
    from facesegkit.evaluation import evaluate

    evaluation = evaluate(
        checkpoint.model,
        checkpoint.scheme,
        pack.photos,
        pack.labels,
        pack.rows(split),
        crop=checkpoint.crop,
        split=split,
        progress=True,
    )
    print(evaluation.table())
    return evaluation


def _report(evaluation: Evaluation, pack: Pack, checkpoint: Checkpoint, folder: Path) -> None:
    """Save the scores as JSON, and pictures of the confusion and of best to worst cases."""
    from facesegkit.pictures import cases, confusion_picture, save_figure

    evaluation.save(folder)
    names = evaluation.scheme.class_names
    save_figure(confusion_picture(evaluation.scores, names), folder / "confusion.png")
    worst = cases(evaluation, pack.photos, pack.labels, checkpoint.model, crop=checkpoint.crop)
    save_figure(worst, folder / "cases.png")
    print(f"scores and pictures in {folder}")


def _add_evaluate(commands: Commands) -> None:
    evaluate = commands.add_parser("evaluate", help="score a trained model")
    _add_data(evaluate)
    evaluate.add_argument("--model", default=str(MODEL), help=f"name or file (default: {MODEL})")
    _add_scoring(evaluate)
    evaluate.set_defaults(command=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    checkpoint = _load(options.model)
    check_writable(options.report)
    pack = _open_pack(options, checkpoint.crop)
    checkpoint.model.to(distributed.best_device())
    evaluation = _score(checkpoint, pack, options.split)
    if distributed.is_first():
        _report(evaluation, pack, checkpoint, options.report)


def _load(model: str) -> Checkpoint:
    """The checkpoint of a model that ships, or from a .pth file."""
    from facesegkit.checkpoint import load

    return load(weights_of(model, ".pth") if is_shipped(model) else model)


# --- export and weights -------------------------------------------------------------------------


def _add_export(commands: Commands) -> None:
    export = commands.add_parser("export", help="write a trained model as ONNX, and check it")
    export.add_argument("--model", default=str(MODEL), help=f"name or file (default: {MODEL})")
    export.add_argument("--output", type=Path, help="(default: the model's name, .onnx)")
    export.set_defaults(command=_export)


def _export(options: argparse.Namespace) -> None:
    import numpy as np

    from facesegkit.export import OPSET, check_agreement, compare, export_onnx

    checkpoint = _load(options.model)
    output = options.output or Path(options.model).with_suffix(".onnx")
    if output.suffix != ".onnx":
        raise FaceSegKitError(f"An ONNX file's name ends in .onnx, not as {output}.")
    check_writable(output.parent)
    size = checkpoint.input_size
    photos = np.random.default_rng(0).random((2, 3, size, size), dtype=np.float32)
    with replacing(output) as unfinished:  # which only a file that does the same may do
        export_onnx(checkpoint, unfinished)
        agreement = compare(checkpoint, unfinished, photos)
        check_agreement(agreement, output)
    classes = len(checkpoint.scheme.class_names)
    print(
        f"saved {output}: opset {OPSET}, {output.stat().st_size / 1e6:.2f} MB\n"
        f"photos float32 [batch, 3, {size}, {size}], RGB in 0..1 -> scores before softmax "
        f"float32 [batch, {classes}, {size}, {size}]\n"
        f"checked against PyTorch: scores differ by at most {agreement.largest_difference:.1e}, "
        f"{agreement.same_classes:.2%} of the pixels get the same class"
    )


def _add_weights(commands: Commands) -> None:
    weights = commands.add_parser("weights", help="list the models that come with facesegkit")
    weights.set_defaults(command=_weights)


def _weights(options: argparse.Namespace) -> None:
    print(f"{'name':16}{'size':>9}{'mean F1':>9}  licence")
    for name in NAMES:
        size, about = weights_of(name).stat().st_size, card(name)
        print(f"{name:16}{size / 1e6:>6.2f} MB{about['test']['mean_f1']:>9.3f}  {about['licence']}")
    print(f"mean F1 on the test split of CelebAMask-HQ; the default is {DEFAULT!r}")
    print(f"files and model cards in {weights_of(DEFAULT).parent}")


# --- segment ------------------------------------------------------------------------------------


def _add_segment(commands: Commands) -> None:
    segment = commands.add_parser("segment", help="mark the parts of the face on photos and clips")
    segment.add_argument("photos", nargs="+", type=Path, help="photos, folders of photos, clips")
    add_model(segment, DEFAULT)
    add_faces(segment)
    where = segment.add_mutually_exclusive_group()
    where.add_argument("--output-dir", type=Path, default=Path("segmentations"))
    where.add_argument("--output", type=Path, help="file for the result of one photo or clip")
    add_view(segment)
    segment.set_defaults(command=_segment)


def add_model(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --model; its value is None where it was not given."""
    parser.add_argument(
        "--model",
        help=f"{', '.join(NAMES)}, or an .onnx or .pth file (default: {default})",
    )


def add_faces(parser: argparse.ArgumentParser) -> None:
    """Add what is said about a photo's faces: --faces, --require-face, --aligned."""
    parser.add_argument(
        "--faces",
        choices=("all", "largest"),
        default="all",
        help="which of a photo's faces are marked (default: all)",
    )
    parser.add_argument(
        "--require-face", action="store_true", help="it is an error if a photo has no face"
    )
    parser.add_argument(
        "--aligned",
        action="store_true",
        help="do not look for faces: each photo is one, framed as CelebAMask-HQ frames its faces",
    )


def add_view(parser: argparse.ArgumentParser) -> None:
    """Add --view, with what each view is."""
    from facesegkit.segment import VIEWS

    described = "; ".join(f"{name}: {what}" for name, what in VIEWS.items())
    parser.add_argument(
        "--view",
        choices=tuple(VIEWS),
        help=f"{described} (default: {PHOTO_VIEW}, of a clip {CLIP_VIEW}; it has no others)",
    )


def _segment_one(options: argparse.Namespace) -> None:
    from facesegkit.segment import check_view_path, save_view

    view = options.view or PHOTO_VIEW
    output = options.output or RESULT.with_suffix(_suffix(view))
    check_view_path(output, view)
    _check_originals_stay({options.image: output})
    model = options.model or (str(MODEL) if MODEL.exists() else DEFAULT)
    segmenter = _segmenter(model, options)
    segmentation = _wanted(segmenter(options.image), options)
    save_view(segmentation, view, output)
    print(f"saved {output}")
    if not segmentation.labels.any():
        _say_empty(options.image, model, options)
        if options.require_face:
            raise FaceSegKitError(f"There is no face in {options.image}, and one is required.")


def _segment(options: argparse.Namespace) -> None:
    from facesegkit.clips import is_clip
    from facesegkit.segment import save_view, segment_many

    view = options.view or PHOTO_VIEW
    results = _results(options.photos, options.output_dir, options.output, _suffix(view))
    _check_results(results, options)
    segmenter = _segmenter(options.model or DEFAULT, options)
    photos = [path for path in results if not is_clip(path)]
    failed = empty = 0
    for photo, segmentation in segment_many(segmenter, _counted(photos)):
        try:
            if isinstance(segmentation, FaceSegKitError):
                raise segmentation
            save_view(_wanted(segmentation, options), view, results[photo])
        except FaceSegKitError as error:
            failed += 1
            _say(str(error))
        else:
            if not segmentation.labels.any():
                empty += 1
                _say_empty(photo, options.model or DEFAULT, options)
    for clip in (path for path in results if is_clip(path)):
        try:
            _segment_clip(segmenter, clip, results[clip], options)
        except FaceSegKitError as error:
            failed += 1
            _say(str(error))
    if not options.output:
        print(f"{len(results) - failed:,} results in {options.output_dir}")
    elif not failed:
        print(f"saved {options.output}")
    if failed:
        raise FaceSegKitError(f"{failed:,} of {len(results):,} could not be segmented.")
    if empty and options.require_face:
        raise FaceSegKitError(
            f"There is no face in {empty:,} of {len(photos):,} photos, and one is required."
        )


def _check_results(results: dict[Path, Path], options: argparse.Namespace) -> None:
    """See that all results can be written, before any work is done."""
    from facesegkit.clips import check_clip_path, is_clip
    from facesegkit.segment import check_view_path

    for source, result in results.items():
        if is_clip(source):
            check_clip_path(result, options.view or CLIP_VIEW)
        else:
            check_view_path(result, options.view or PHOTO_VIEW)
    _check_originals_stay(results)
    for folder in {result.parent for result in results.values()}:
        check_writable(folder)


def _check_originals_stay(results: Mapping[Path, Path]) -> None:
    """See that no result takes the place of a photo or clip that was given."""
    originals = {_identity(source): source for source in results if source.exists()}
    for result in results.values():
        if result.exists() and (original := originals.get(_identity(result))):
            raise FaceSegKitError(
                f"A result would be written over {original} itself; give another --output or "
                f"--output-dir."
            )


def _identity(path: Path) -> tuple[int, int]:
    """The same for all names of a file, of which some systems allow several spellings."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _segment_clip(
    segmenter: FaceSegmenter, clip: Path, result: Path, options: argparse.Namespace
) -> None:
    from facesegkit.clips import segment_clip

    progress = _clip_progress if sys.stderr.isatty() else None
    pictures = segment_clip(segmenter, clip, result, options.view or CLIP_VIEW, progress)
    print(f"{clip}: {pictures:,} pictures")


def _clip_progress(done: int, pictures: int) -> None:
    """A bar, or where the file does not say how many pictures there are, their number."""
    filled = "#" * (30 * done // pictures) if pictures else ""
    bar = f"[{filled:30}] {done:,} of {pictures:,}" if pictures else f"{done:,}"
    print(f"\r{bar} ", end="\n" if done == pictures else "", file=sys.stderr)


def _segmenter(model: str, options: argparse.Namespace) -> FaceSegmenter:
    """A segmenter; says, on standard error, what a model that ships may not be used for."""
    from facesegkit.segment import FaceSegmenter

    segmenter = FaceSegmenter(model, aligned=options.aligned)
    if is_shipped(model) and (notice := licence_notice(model)):
        print(notice, file=sys.stderr)
    return segmenter


def _wanted(segmentation: Segmentation, options: argparse.Namespace) -> Segmentation:
    return segmentation.largest() if options.faces == "largest" else segmentation


def _suffix(view: str) -> str:
    return ".json" if view == "json" else ".png"


def _say_empty(photo: Path, model: str, options: argparse.Namespace) -> None:
    """An empty mask is a result like others, but nobody should wonder about it."""
    print(f"no face was found in {photo}")
    if not options.aligned and not is_shipped(model):
        print(
            f"{model} may have been trained too little to be sure of one; --aligned takes the "
            f"whole photo for a face, and --model {DEFAULT} is a model that ships"
        )


def _counted(photos: Collection[Path]) -> Iterator[Path]:
    """The same photos; on a terminal each says which of how many it is."""
    for number, photo in enumerate(photos, start=1):
        if sys.stderr.isatty():
            print(f"\r{number:,} of {len(photos):,} ", end="", file=sys.stderr)
        yield photo
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)


def _results(
    given: Sequence[Path], folder: Path, output: Path | None, suffix: str
) -> dict[Path, Path]:
    """Which photo or clip gives which result; folders stand for the photos in them.

    Args:
        given: the photos, folders and clips.
        folder: for the results.
        output: the only result's file, instead of the folder.
        suffix: of a photo's result.

    Raises:
        FaceSegKitError: two would give the same result, or a folder holds no photo.
    """
    from facesegkit.clips import is_clip
    from facesegkit.photos import find_photos

    if output:
        if len(given) > 1 or given[0].is_dir():
            raise FaceSegKitError(
                "--output is for one photo or clip; give --output-dir for several."
            )
        return {given[0]: output}
    results: dict[Path, Path] = {}
    owners: dict[Path, Path] = {}
    for path in given:
        for photo in find_photos(path) if path.is_dir() else [path]:
            result = folder / f"{photo.stem}{'.mp4' if is_clip(photo) else suffix}"
            if owners.setdefault(result, photo) != photo:
                raise FaceSegKitError(
                    f"{owners[result]} and {photo} would both be written to {result}; "
                    f"rename one, or segment them into different folders."
                )
            results[photo] = result
    return results


if __name__ == "__main__":
    sys.exit(main())
