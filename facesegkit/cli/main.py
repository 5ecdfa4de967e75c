"""The `facesegkit` command: prepare, draw, train, evaluate, export, weights, segment."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from facesegkit.cli.common import MODEL, Commands, positive, say, trained_model
from facesegkit.cli.segment import add_segment, one_photo_parser
from facesegkit.cli.train import add_evaluate, add_train
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.model_zoo import DEFAULT_MODEL, MODEL_NAMES, model_card, weights_path
from facesegkit.system import distributed
from facesegkit.system.files import atomic_write, check_writable

_PATIENCE = 5.0  # seconds that one of several processes waits for the first to say what is wrong
_OTHER_HAS_ENDED = ("closed by peer", "reset by peer", "Broken pipe")  # said by gloo


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status, 0, or 1 after one sentence on what went wrong."""
    return _run(_parser().parse_args(arguments))


def segment_one(arguments: Sequence[str] | None = None) -> int:
    """What `python inference.py` does: segment one photo. Returns the exit status, as `main`."""
    return _run(one_photo_parser().parse_args(arguments))


def _run(options: argparse.Namespace) -> int:
    command: Callable[[argparse.Namespace], None] = options.command
    distributed.join()
    try:
        command(options)
        distributed.leave()
    except KeyboardInterrupt:
        if distributed.is_first():
            say("stopped; train goes on with --resume, all else when it is run again.")
        return 130
    except Exception as error:
        sentence = _what_went_wrong(error)
        if sentence is None:
            raise
        if not distributed.is_first():
            time.sleep(_PATIENCE)  # what stops the first one, too, it says; torchrun then ends us
        say(sentence)
        return 1
    return 0


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
        add_segment,
        _add_models,
        _add_prepare,
        _add_synthesize,
        add_train,
        add_evaluate,
        _add_export,
    ):
        add(commands)
    return parser


# --- prepare and draw ---------------------------------------------------------------------------


def _add_prepare(commands: Commands) -> None:
    build_cache = commands.add_parser("prepare", help="pack CelebAMask-HQ for training, once")
    build_cache.add_argument("root", type=Path, help="CelebAMask-HQ, a folder or CelebAMask-HQ.zip")
    build_cache.add_argument("--cache", type=Path, help="where to (default: below data/cache)")
    build_cache.add_argument("--workers", type=positive(int), help="processes (default: all cores)")
    build_cache.add_argument("--strict", action="store_true", help="stop at the first bad pair")
    build_cache.set_defaults(command=_prepare)


def _prepare(options: argparse.Namespace) -> None:
    from facesegkit.data.cache import build_cache

    pack = build_cache(options.root, options.cache, workers=options.workers, strict=options.strict)
    print(pack.summary())
    print(f"packed in {pack.cache}")


def _add_synthesize(commands: Commands) -> None:
    draw = commands.add_parser(
        "synthesize", help="make a data set of synthetic faces, without any photo"
    )
    draw.add_argument("out", type=Path, help="folder to fill, laid out like CelebAMask-HQ")
    draw.add_argument("--count", type=positive(int), default=1600, help="faces (default: 1600)")
    draw.add_argument("--seed", type=int, default=0, help="same seed, same faces (default: 0)")
    draw.add_argument("--workers", type=positive(int), help="processes (default: all cores)")
    draw.set_defaults(command=_synthesize)


def _synthesize(options: argparse.Namespace) -> None:
    from facesegkit.synthetic import synthesize_dataset

    synthesize_dataset(options.out, options.count, options.seed, workers=options.workers)
    print(f"{options.count:,} drawn faces in {options.out}")


# --- train and evaluate -------------------------------------------------------------------------


def _add_export(commands: Commands) -> None:
    export = commands.add_parser("export", help="write a trained model as ONNX, and check it")
    export.add_argument("--model", default=str(MODEL), help=f"name or file (default: {MODEL})")
    export.add_argument("--output", type=Path, help="(default: the model's name, .onnx)")
    export.set_defaults(command=_export)


def _export(options: argparse.Namespace) -> None:
    import numpy as np

    from facesegkit.export import OPSET, check_agreement, compare, export_onnx

    checkpoint = trained_model(options.model)
    output = options.output or Path(options.model).with_suffix(".onnx")
    if output.suffix != ".onnx":
        raise FaceSegKitError(f"An ONNX file's name ends in .onnx, not as {output}.")
    check_writable(output.parent)
    size = checkpoint.input_size
    photos = np.random.default_rng(0).random((2, 3, size, size), dtype=np.float32)
    with atomic_write(output) as unfinished:  # which only a file that does the same may do
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


def _add_models(commands: Commands) -> None:
    weights = commands.add_parser("models", help="list the models that come with facesegkit")
    weights.set_defaults(command=_models)


def _models(options: argparse.Namespace) -> None:
    print(f"{'name':16}{'size':>9}{'mean F1':>9}  licence")
    for name in MODEL_NAMES:
        size, about = weights_path(name).stat().st_size, model_card(name)
        print(f"{name:16}{size / 1e6:>6.2f} MB{about['test']['mean_f1']:>9.3f}  {about['licence']}")
    print(f"mean F1 on the test split of CelebAMask-HQ; the default is {DEFAULT_MODEL!r}")
    print(f"files and model cards in {weights_path(DEFAULT_MODEL).parent}")


if __name__ == "__main__":
    sys.exit(main())
