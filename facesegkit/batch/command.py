"""The options of `facesegkit segment` for many photos."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from facesegkit.batch.photo import Settings
from facesegkit.batch.run import Batch, Engine, local_engine, prepare
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.model_zoo import DEFAULT_MODEL


def add_batch_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for many photos."""
    add = parser.add_argument_group("many photos").add_argument
    add("--workers", type=_workers, help="number of processes (default: one per core)")
    about = "continue a run that was stopped: leave out photos that are done"
    add("--resume", action="store_true", help=about)
    about = "parquet: faces as numbers, one row each, instead of images; both (default: images)"
    add("--format", choices=("images", "parquet", "both"), default="images", help=about)
    about = "use a Ray cluster at this address, or 'local'; photos may then be URIs (s3://...)"
    add("--ray", metavar="ADDRESS", help=about)


def _workers(text: str) -> int:
    if not 0 < (number := int(text)) <= 10_000:
        raise ValueError
    return number


_workers.__name__ = "positive int"  # shown in argparse's message


def prepared_batch(
    outputs: Mapping[Path | str, Path],
    options: argparse.Namespace,
    classes: Sequence[str],
    view: str,
) -> Batch:
    """The photos that are to be segmented with these options; raises as `prepare`."""
    if options.output and (options.resume or options.format != "images" or options.ray):
        several = "--resume, --format and --ray need --output-dir"
        raise FaceSegKitError(f"{several}; leave out --output.")
    settings = Settings(
        options.model or DEFAULT_MODEL,
        options.aligned,
        options.search,
        options.min_confidence,
        options.faces == "largest",
        None if options.format == "parquet" else view,
        options.format != "images",
    )
    named = {str(photo): output for photo, output in outputs.items()}
    is_many = len(outputs) > 1 or options.resume or settings.rows
    folder = options.output_dir if is_many and not options.output else None
    return prepare(named, settings, folder, classes=classes, resume=options.resume)


def engine(options: argparse.Namespace) -> Engine:
    """What segments the photos."""
    if options.ray:
        from facesegkit.cluster import ray_engine

        return ray_engine(options.ray, options.workers)
    return local_engine(options.workers)


def photos_at(uri: str, options: argparse.Namespace, suffixes: Iterable[str]) -> list[str]:
    """The photos at a URI; raises a FaceSegKitError without --ray, or if there are none."""
    if not options.ray:
        fix = "add --ray local, or download the photos first"
        raise FaceSegKitError(f"{uri} can be read only with --ray; {fix}.")
    from facesegkit.batch.remote import list_photos

    return list_photos(uri, suffixes)
