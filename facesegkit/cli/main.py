"""The `facesegkit` command and its subcommands; those of their own modules are in `cli/`."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from facesegkit.cli.common import (
    EXIT_STATUSES,
    MODEL,
    NONE_SUCCEEDED,
    SOME_SUCCEEDED,
    Commands,
    SomeFailed,
    a_name,
    a_path,
    add_model,
    positive,
    say,
    seed,
    trained_model,
)
from facesegkit.cli.pseudo_label import add_pseudo_label
from facesegkit.cli.segment import add_segment, one_photo_parser
from facesegkit.cli.start import INTERRUPTED, interrupted_at_once
from facesegkit.errors import FaceSegKitError, counted
from facesegkit.inference.model_zoo import DEFAULT_MODEL, MODEL_NAMES, model_card, weights_path
from facesegkit.system import distributed
from facesegkit.system.files import atomic_write, check_writable

_PATIENCE = 5.0  # seconds that other processes give the first one to report an error
_CONNECTION_LOST = ("closed by peer", "reset by peer", "Broken pipe")  # in gloo's errors


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status, see `common.EXIT_STATUSES`."""
    return _run(_parser().parse_args(arguments))


def segment_one(arguments: Sequence[str] | None = None) -> int:
    """Segment one photo, as `python inference.py` does; returns the exit status like `main`."""
    return _run(one_photo_parser().parse_args(arguments))


def _run(options: argparse.Namespace) -> int:
    command: Callable[[argparse.Namespace], None] = options.command
    distributed.join()
    try:
        command(options)
        distributed.leave()
    except KeyboardInterrupt:
        if distributed.is_first():
            say("stopped. Run the command again to continue; train needs --resume for that.")
        return INTERRUPTED
    except Exception as error:
        if (message := _message(error)) is None:
            raise
        if not distributed.is_first():
            time.sleep(_PATIENCE)  # if the first process fails too, torchrun ends this one
        say(message)
        return SOME_SUCCEEDED if isinstance(error, SomeFailed) else NONE_SUCCEEDED
    return 0


def _message(error: Exception) -> str | None:
    """One sentence for the user; None for a bug, which should show its traceback."""
    if isinstance(error, FaceSegKitError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        if not error.name or error.name.startswith("facesegkit"):
            return None
        fix = f"pip install 'facesegkit[{'video' if error.name == 'av' else 'train'}]'"
        return f"this needs {error.name}, which is not installed: {fix}."
    if isinstance(error, MemoryError):
        return "there is not enough memory for this."
    if isinstance(error, OSError):  # not handled elsewhere: a file name too long, a stale mount
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}."
    if distributed.are_several() and any(text in str(error) for text in _CONNECTION_LOST):
        return "another process has failed; see its message."
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facesegkit",
        description="Segment the parts of faces in photos and videos, and train models that do.",
        epilog=f"'facesegkit COMMAND --help' lists the options of a command; {EXIT_STATUSES}.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_segment(commands)
    models = commands.add_parser("models", help="list the models that come with facesegkit")
    models.set_defaults(command=_models)
    for add in (_add_check, _add_prepare, _add_synthesize, add_pseudo_label, _add_train,
                _add_evaluate, _add_export):  # fmt: skip
        add(commands)
    return parser


def _models(options: argparse.Namespace) -> None:
    cards = {name: model_card(name) for name in MODEL_NAMES}
    names = max(map(len, MODEL_NAMES))
    licences = max(len(card["licence"]) for card in cards.values())
    print(f"{'name':{names}}  {'licence':{licences}}{'size':>10}{'mean F1':>9}")
    for name, card in cards.items():
        size = f"{weights_path(name).stat().st_size / 1e6:.2f} MB"
        figures = f"{size:>10}{card['test']['mean_f1']:>9.3f}"
        print(f"{name:{names}}  {card['licence']:{licences}}{figures}")
    print(
        "Mean F1 is that of eyes, eyebrows, nose, mouth and lips on the test split of "
        f"CelebAMask-HQ. The default is {DEFAULT_MODEL!r}."
    )
    print(f"Files and model cards are in {weights_path(DEFAULT_MODEL).parent}.")


def _add_check(commands: Commands) -> None:
    about = "tell what is in a data set, what is doubtful, and what training will do with it"
    check = commands.add_parser("check", help=about, description=about + ".")
    check.set_defaults(command=_check)
    check.add_argument("root", type=a_path, metavar="DATASET", help="folder or zip of the data set")
    about = "pairs to measure, spread evenly (default: 1000)"
    check.add_argument("--pairs", type=positive(int), default=1000, metavar="N", help=about)
    about = "number of processes (default: one per core)"
    check.add_argument("--workers", type=positive(int), help=about)


def _check(options: argparse.Namespace) -> None:
    from facesegkit.cli.check import run_check

    run_check(options)


def _add_prepare(commands: Commands) -> None:
    prepare = commands.add_parser("prepare", help="build the data set cache for training, once")
    prepare.set_defaults(command=_prepare)
    add = prepare.add_argument
    add("root", type=a_path, help="CelebAMask-HQ: its folder or CelebAMask-HQ.zip")
    add("--cache", type=a_path, help="folder of the data set cache (default: in data/cache)")
    add("--workers", type=positive(int), help="number of processes (default: one per core)")
    add("--strict", action="store_true", help="stop at the first bad pair")


def _prepare(options: argparse.Namespace) -> None:
    from facesegkit.data.cache import build_cache

    cache = build_cache(options.root, options.cache, workers=options.workers, strict=options.strict)
    print(cache.summary())
    print(f"cached in {cache.folder}")


def _add_synthesize(commands: Commands) -> None:
    synthesize = commands.add_parser("synthesize", help="make a data set of synthetic faces")
    synthesize.set_defaults(command=_synthesize)
    add = synthesize.add_argument
    add("out", type=a_path, help="folder for the data set, laid out like CelebAMask-HQ")
    add("--count", type=positive(int), default=1600, help="number of faces (default: 1600)")
    add("--seed", type=int, default=0, help="the same seed gives the same faces (default: 0)")
    about = "masks that fit exactly (default), or that overlap and have a few planted errors"
    add("--annotator", choices=("exact", "careless"), default="exact", help=about)
    add("--workers", type=positive(int), help="number of processes (default: one per core)")


def _synthesize(options: argparse.Namespace) -> None:
    from facesegkit.synthetic import synthesize_dataset

    present = synthesize_dataset(
        options.out,
        options.count,
        options.seed,
        annotator=options.annotator,
        workers=options.workers,
    )
    more = f", {options.count:,} of which were asked for" if present > options.count else ""
    print(f"{counted(present, 'synthetic face')} in {options.out}{more}")


def _add_train(commands: Commands) -> None:
    train = commands.add_parser("train", help="train a model, evaluate it and plot the results")
    train.set_defaults(command=_train)
    _add_data(train)
    add = train.add_argument
    own = "default: that of --init-from, else"
    add("--arch", choices=("separable", "unet"), help=f"({own} separable)")
    budget = train.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=positive(float, 1e6), help="training time (default: 10)")
    budget.add_argument("--epochs", type=positive(float, 1e6), help="instead, for repeatable runs")
    own = "default: that of --init-from or --teacher, else"
    add("--scheme", type=a_name, help=f"five, all or a JSON file of classes ({own} five)")
    crops = "the model sees the whole aligned photo, or a crop around the face"
    add("--crop", choices=("photo", "face"), help=f"{crops} ({own} photo)")
    add(
        "--init-from",
        type=a_name,
        metavar="MODEL",
        help="start from this trained model (name or .pth file)",
    )
    add(
        "--teacher",
        type=a_name,
        metavar="MODEL",
        help="distil this larger model (name or .pth file)",
    )
    add("--lr", type=positive(float), help="highest learning rate (default: 0.008)")
    add("--seed", type=seed, default=0, help="of the random numbers (default: 0)")
    add("--resume", action="store_true", help="continue a run that was stopped")
    add("--model", type=a_path, default=MODEL, help=f"where to save the model (default: {MODEL})")
    _add_evaluation(train)


def _add_evaluate(commands: Commands) -> None:
    evaluate = commands.add_parser("evaluate", help="evaluate a trained model")
    evaluate.set_defaults(command=_evaluate)
    _add_data(evaluate)
    add_model(evaluate)
    _add_evaluation(evaluate)


def _add_data(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    about = "CelebAMask-HQ, folder or zip, or several (default: synthetic faces)"
    add("--data", type=a_path, nargs="+", metavar="DATA", help=about)
    add("--cache", type=a_path, help="folder of the data set cache (default: in data/cache)")
    about = "synthetic faces to use without --data (default: 1600)"
    add("--num-synthetic", type=positive(int), metavar="N", help=about)


def _add_evaluation(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    about = "split to evaluate on (default: val; use test only once all choices are made)"
    add("--split", choices=("train", "val", "test", "all"), default="val", help=about)
    about = "folder for metrics and figures (default: evaluation)"
    add("--report", type=a_path, default=Path("evaluation"), help=about)


def _train(options: argparse.Namespace) -> None:
    with interrupted_at_once():  # PyTorch and matplotlib take seconds to import
        from facesegkit.cli.train import run_train

    run_train(options)


def _evaluate(options: argparse.Namespace) -> None:
    with interrupted_at_once():
        from facesegkit.cli.train import run_evaluate

    run_evaluate(options)


def _add_export(commands: Commands) -> None:
    export = commands.add_parser("export", help="export a trained model to ONNX, and check it")
    export.set_defaults(command=_export)
    add_model(export)
    export.add_argument("--output", type=a_path, help="file (default: the model's name with .onnx)")


def _export(options: argparse.Namespace) -> None:
    import numpy as np

    with interrupted_at_once():
        from facesegkit.export import OPSET, check_agreement, compare, export_onnx

    checkpoint = trained_model(options.model)
    output = options.output or Path(options.model).with_suffix(".onnx")
    if output.suffix != ".onnx":
        raise FaceSegKitError(f"Cannot export to {output}; give a file name that ends in .onnx.")
    check_writable(output.parent)
    size, classes = checkpoint.input_size, len(checkpoint.scheme.class_names)
    images = np.random.default_rng(0).random((2, 3, size, size), dtype=np.float32)
    with atomic_write(output) as unfinished:  # replaces `output` only if the outputs agree
        export_onnx(checkpoint, unfinished)
        agreement = compare(checkpoint, unfinished, images)
        check_agreement(agreement, output)
    print(
        f"saved {output}: opset {OPSET}, {output.stat().st_size / 1e6:.2f} MB\n"
        f"images float32 [batch, 3, {size}, {size}], RGB in 0..1 -> "
        f"logits float32 [batch, {classes}, {size}, {size}]\n"
        f"compared with PyTorch: logits differ by at most {agreement.largest_difference:.1e}, "
        f"{agreement.same_classes:.2%} of the pixels get the same class"
    )


if __name__ == "__main__":
    sys.exit(main())
