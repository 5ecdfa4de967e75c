"""`facesegkit pseudo-label`: a data set for training from photos without masks."""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

from facesegkit.cli.common import (
    Commands,
    a_name,
    a_path,
    check_all_succeeded,
    progress_bar,
    say,
    trained_model,
)
from facesegkit.cli.inputs import check_no_uri, expanded, find_photos
from facesegkit.cli.start import interrupted_at_once
from facesegkit.errors import FaceSegKitError, counted
from facesegkit.inference.model_zoo import is_shipped, licence_notice

MODEL = "unet-open"
UNREADABLE = "unreadable"


def add_pseudo_label(commands: Commands) -> None:
    """Add `pseudo-label` to the commands."""
    about = "make a data set of photos without masks, with those that a model predicts"
    parser = commands.add_parser("pseudo-label", help=about, description=about + ".")
    parser.set_defaults(command=_pseudo_label)
    add = parser.add_argument
    add("photos", nargs="+", type=a_path, help="photos, folders of photos")
    about = f"name or .pth file of a trained model; of several, the mean counts (default: {MODEL})"
    add("--model", type=a_name, nargs="+", default=[MODEL], help=about)
    add("--output", type=a_path, required=True, metavar="DATASET", help="folder of the data set")
    about = "leave out faces whose masks have a lower mean probability, 0..1 (default: 0.6)"
    add("--min-confidence", type=float, default=0.6, help=about)


def _pseudo_label(options: argparse.Namespace) -> None:
    with interrupted_at_once():
        from facesegkit.inference.segmenter import FaceSegmenter
        from facesegkit.pseudo_label.dataset import RECORD, pseudo_label
        from facesegkit.pseudo_label.ensemble import Teacher

    if not 0 <= options.min_confidence <= 1:
        given = f"--min-confidence {options.min_confidence}"
        raise FaceSegKitError(f"{given} is not a probability; give a number from 0 to 1.")
    paths: list[Path] = []
    for path in check_no_uri(expanded(options.photos)):
        paths += find_photos(path) if os.path.isdir(path) else [path]
    photos = [*{os.path.realpath(photo): photo for photo in paths}.values()]
    checkpoints = [trained_model(name) for name in options.model]
    teacher = Teacher(checkpoints, names=options.model)
    for name in filter(is_shipped, options.model):
        if notice := licence_notice(name):
            print(notice, file=sys.stderr)
    analyzer = FaceSegmenter(checkpoints[0]).analyzer
    assert analyzer is not None  # it is None for aligned photos only
    outcomes: Counter[str] = Counter()
    labelled = pseudo_label(photos, teacher, analyzer, options.output, options.min_confidence)
    with progress_bar("photo") as update:
        for number, (_, outcome) in enumerate(labelled, start=1):
            if isinstance(outcome, str):
                outcomes[UNREADABLE] += 1
                say(outcome)
            else:
                outcomes.update(line.left_out for line in outcome)
            update(number, len(photos))
    _report(outcomes, len(photos), options, is_empty=not (options.output / RECORD).exists())


def _report(
    outcomes: Counter[str], photos: int, options: argparse.Namespace, is_empty: bool
) -> None:
    """Print how many faces there are now, and how many are left out and why."""
    from facesegkit.pseudo_label.dataset import MIN_FACE_WIDTH, NO_FACE, NOT_CONFIDENT, TOO_SMALL

    failed = outcomes[UNREADABLE]
    reasons = {
        UNREADABLE: ("photo", "that could not be read"),
        NO_FACE: ("photo", "without a face"),
        TOO_SMALL: ("face", f"less than {MIN_FACE_WIDTH} pixels wide"),
        NOT_CONFIDENT: ("face", f"below --min-confidence {options.min_confidence:g}"),
    }
    left_out = ", ".join(
        f"{counted(outcomes[reason], noun)} {why}"
        for reason, (noun, why) in reasons.items()
        if outcomes[reason]
    )
    if is_empty:
        advice = "give other photos or a lower --min-confidence"
        raise FaceSegKitError(f"There is no face for {options.output}: {left_out}; {advice}.")
    total = f"{counted(outcomes[''], 'face')} of {counted(photos, 'photo')} in {options.output}"
    print(f"{total}; left out: {left_out}" if left_out else total)
    message = f"{failed:,} of {counted(photos, 'photo')} could not be read."
    check_all_succeeded(failed, photos, message)
