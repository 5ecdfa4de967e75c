"""`facesegkit pseudo-label`: a data set for training from photos without masks."""

import argparse
import sys
from pathlib import Path

from facesegkit.cli.common import Commands, progress_bar, say, trained_model
from facesegkit.cli.segment import find_photos
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.model_zoo import is_shipped, licence_notice

MODEL = "unet-open"


def add_pseudo_label(commands: Commands) -> None:
    """Add `pseudo-label` to the commands."""
    about = "make a data set of photos without masks, with those that a model predicts"
    parser = commands.add_parser("pseudo-label", help=about, description=about + ".")
    parser.set_defaults(command=_pseudo_label)
    add = parser.add_argument
    add("photos", nargs="+", type=Path, help="photos, folders of photos")
    about = f"name or .pth file of a trained model; of several, the mean counts (default: {MODEL})"
    add("--model", nargs="+", default=[MODEL], help=about)
    add("--output", type=Path, required=True, metavar="DATASET", help="folder of the data set")
    about = "leave out faces whose masks have a lower mean probability, 0..1 (default: 0.6)"
    add("--min-confidence", type=float, default=0.6, help=about)


def _pseudo_label(options: argparse.Namespace) -> None:
    from facesegkit.inference.segmenter import FaceSegmenter
    from facesegkit.pseudo_label.dataset import pseudo_label
    from facesegkit.pseudo_label.ensemble import Teacher

    if not 0 <= options.min_confidence <= 1:
        given = f"--min-confidence {options.min_confidence}"
        raise FaceSegKitError(f"{given} is not a probability; give a number from 0 to 1.")
    photos = [
        p for path in options.photos for p in (find_photos(path) if path.is_dir() else [path])
    ]
    checkpoints = [trained_model(name) for name in options.model]
    for name in filter(is_shipped, options.model):
        if notice := licence_notice(name):
            print(notice, file=sys.stderr)
    analyzer = FaceSegmenter(checkpoints[0]).analyzer
    assert analyzer is not None  # it is None for aligned photos only
    teacher, faces, failed = Teacher(checkpoints), 0, 0
    labelled = pseudo_label(photos, teacher, analyzer, options.output, options.min_confidence)
    with progress_bar("photo") as update:
        for number, (_, outcome) in enumerate(labelled, start=1):
            if isinstance(outcome, str):
                failed += 1
                say(outcome)
            else:
                faces += outcome
            update(number, len(photos))
    print(f"{faces:,} faces of {len(photos) - failed:,} photos in {options.output}")
    if failed:
        raise FaceSegKitError(f"{failed:,} of {len(photos):,} photos could not be read.")
