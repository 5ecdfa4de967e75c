"""`facesegkit segment`, and `python inference.py`, which segments one photo."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from facesegkit.batch.command import add_batch_options, engine, photos_at, prepared_batch
from facesegkit.batch.photo import open_segmenter
from facesegkit.batch.remote import base_name
from facesegkit.cli.common import (
    MODEL,
    Commands,
    a_name,
    a_path,
    check_all_succeeded,
    progress_bar,
    say,
    write,
)
from facesegkit.cli.inputs import (
    Folder,
    a_path_or_uri,
    expanded,
    is_same_file,
    list_folder,
    photo_suffixes,
    same_name,
)
from facesegkit.cli.start import interrupted_at_once
from facesegkit.errors import FaceSegKitError, counted
from facesegkit.inference.animation import check_animation_view, segment_animation
from facesegkit.inference.model_zoo import DEFAULT_MODEL, MODEL_NAMES, is_shipped, licence_notice
from facesegkit.inference.results import SegmentationResult
from facesegkit.inference.search_config import MIN_CONFIDENCE, SEARCHES
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.video import WRITTEN, check_video_path, is_video, segment_video
from facesegkit.inference.visualize import VIEWS, check_view_path, save_view
from facesegkit.system.decode_limits import has_more_frames
from facesegkit.system.files import check_writable

RESULT = Path("segmentation_result.png")
SEARCH_HELP = (
    "fast: only large faces, for webcams; thorough: also the smallest faces in the full resolution "
    "of large photos (default: default)"
)
PHOTO_VIEW, VIDEO_VIEW = "mask", "overlay"  # defaults of --view


def one_photo_parser() -> argparse.ArgumentParser:
    """The arguments of inference.py."""
    parser = argparse.ArgumentParser(description="Segment the parts of the faces in one photo.")
    parser.set_defaults(command=_segment_one)
    parser.add_argument("--image", type=a_path, required=True, help="the photo")
    _add_options(parser, f"{MODEL} if it exists, else {DEFAULT_MODEL}")
    parser.add_argument("--output", type=a_path, help=f"file (default: {RESULT}; .json for json)")
    return parser


def add_segment(commands: Commands) -> None:
    """Add `segment` to the commands."""
    segment = commands.add_parser("segment", help="segment the faces in photos and videos")
    segment.set_defaults(command=_segment)
    segment.add_argument(
        "photos", nargs="+", type=a_path_or_uri, help="photos, folders of photos, videos"
    )
    _add_options(segment, DEFAULT_MODEL)
    add = segment.add_mutually_exclusive_group().add_argument
    default, about = Path("segmentations"), "folder for the results (default: segmentations)"
    add("--output-dir", type=a_path, default=default, help=about)
    add("--output", type=a_path, help="file for the result of one photo or video")
    add_batch_options(segment)


def _add_options(parser: argparse.ArgumentParser, default_model: str) -> None:
    """Add the options that both commands have; of `--model` and `--view` the default is None."""
    add = parser.add_argument
    about = f"{', '.join(MODEL_NAMES)}, or an .onnx or .pth file (default: {default_model})"
    add("--model", type=a_name, help=about)
    about = "faces of a photo to segment (default: all)"
    add("--faces", choices=("all", "largest"), default="all", help=about)
    add("--require-face", action="store_true", help="fail if no face is detected in a photo")
    add("--search", choices=tuple(SEARCHES), default="default", help=SEARCH_HELP)
    about = f"lowest confidence of a face, 0..1 (default: {MIN_CONFIDENCE})"
    add("--min-confidence", type=float, help=about)
    about = "skip face detection: each photo is one face, aligned as in CelebAMask-HQ"
    add("--aligned", action="store_true", help=about)
    views = "; ".join(f"{name}: {about}" for name, about in VIEWS.items())
    about = f"{views} (default: {PHOTO_VIEW}; of a video, {VIDEO_VIEW}, and only mask or overlay)"
    add("--view", choices=tuple(VIEWS), help=about)


def _segment_one(options: argparse.Namespace) -> None:
    view = options.view or PHOTO_VIEW
    output = options.output or RESULT.with_suffix(_suffix(view))
    check_view_path(output, view)
    _check_not_overwritten({options.image: output})
    if options.model is None:
        options.model = str(MODEL) if MODEL.exists() else DEFAULT_MODEL
    result = _chosen_faces(_segmenter(options.model, options)(options.image), options)
    if has_more_frames(options.image):
        _tell_frames(options.image)
    save_view(result, view, output)
    print(f"saved {output}")
    is_empty = not result.labels.any() and _is_empty(len(result.faces), options.image, options)
    if is_empty and options.require_face:
        raise FaceSegKitError(f"No face was detected in {options.image}, but one is required.")


def _segment(options: argparse.Namespace) -> None:
    outputs, left_out = _output_paths(options)
    _check_outputs(outputs, options)
    segmenter = _segmenter(DEFAULT_MODEL if options.model is None else options.model, options)
    moving = [path for path, output in outputs.items() if _is_moving(path, output)]
    photos = {path: output for path, output in outputs.items() if path not in moving}
    failed, empty = _segment_photos([*segmenter.model.scheme.classes], photos, options)
    for path in moving:
        view = options.view or VIDEO_VIEW
        failed += not _segment_video(segmenter, Path(path), outputs[path], view)
    if not options.output:
        print(f"{counted(len(outputs) - failed, 'result')} in {options.output_dir}")
    elif not failed:
        print(f"saved {options.output}")
    failed, total = failed + left_out, len(outputs) + left_out
    some = f"{failed:,} of {counted(total, 'file')}"
    check_all_succeeded(failed, total, f"{some} could not be segmented.")
    if options.require_face:
        some = f"{empty:,} of {counted(len(photos), 'photo')}"
        message = f"No face was detected in {some}, but one is required."
        check_all_succeeded(empty, len(photos), message)


def _segment_photos(
    classes: Sequence[str], outputs: Mapping[Path | str, Path], options: argparse.Namespace
) -> tuple[int, int]:
    """Segment photos; returns how many of them failed and how many have no face."""
    failed = empty = 0
    batch = prepared_batch(outputs, options, classes, options.view or PHOTO_VIEW)
    if batch.done:
        print(f"{counted(batch.done, 'photo')} done before")
    with progress_bar("photo") as update, closing(batch.outcomes(engine(options))) as outcomes:
        for number, outcome in enumerate(outcomes, start=1):
            if outcome.error:
                failed += 1
                say(outcome.error)
            elif outcome.is_empty:
                empty += _is_empty(outcome.faces, outcome.job.photo, options)
            if outcome.has_more_frames:
                _tell_frames(outcome.job.photo)
            update(number, len(batch.jobs))
    return failed, empty


def _segment_video(segmenter: FaceSegmenter, video: Path, output: Path, view: str) -> bool:
    """Segment a video or an animation; returns whether that succeeded."""
    try:
        with progress_bar("frame") as update:
            if is_video(video):
                frames = segment_video(segmenter, video, output, view, update, say)
            else:
                frames = segment_animation(segmenter, video, output, view, update)
    except FaceSegKitError as error:
        say(str(error))
        return False
    print(f"{video}: {counted(frames, 'frame')}")
    return True


def _is_moving(source: Path | str, output: Path) -> bool:
    """Whether it is a video, or an animation whose result shall be one."""
    if isinstance(source, str):  # a URI, of which only photos are read
        return False
    if is_video(source):
        return True
    return output.suffix.lower() in WRITTEN and has_more_frames(source)


def _check_outputs(outputs: Mapping[Path | str, Path], options: argparse.Namespace) -> None:
    """Check that all results can be written, before any work is done."""
    for source, output in outputs.items():
        if is_video(source):
            check_video_path(output, options.view or VIDEO_VIEW)
        elif _is_moving(source, output):
            check_animation_view(options.view or VIDEO_VIEW)
        else:
            check_view_path(output, options.view or PHOTO_VIEW)
    _check_not_overwritten(outputs)
    for folder in {output.parent for output in outputs.values()}:
        check_writable(folder)


def _check_not_overwritten(outputs: Mapping[Path | str, Path]) -> None:
    """Check that no result would replace one of the photos or videos."""

    def identity(path: Path) -> tuple[int, int]:  # some systems accept several spellings of a name
        return path.stat().st_dev, path.stat().st_ino

    # Not `Path.exists`, which raises an error for a name that is too long before Python 3.12.
    local = (source for source in outputs if isinstance(source, Path))
    originals = {identity(source): source for source in local if os.path.exists(source)}
    for output in outputs.values():
        if os.path.exists(output) and (original := originals.get(identity(output))):
            other = "choose another --output or --output-dir"
            raise FaceSegKitError(f"A result would overwrite {original}; {other}.")


def _segmenter(model: str, options: argparse.Namespace) -> FaceSegmenter:
    """Open a segmenter, and print the licence notice of a model that ships to standard error."""
    if options.aligned and (options.search != "default" or options.min_confidence is not None):
        problem = "--search and --min-confidence have no effect with --aligned"
        raise FaceSegKitError(f"{problem}, which skips face detection; leave out one or the other.")
    with interrupted_at_once():  # imports ONNX Runtime or PyTorch
        segmenter = open_segmenter(model, options.aligned, options.search, options.min_confidence)
    if is_shipped(model) and (notice := licence_notice(model)):
        print(notice, file=sys.stderr)
    return segmenter


def _chosen_faces(result: SegmentationResult, options: argparse.Namespace) -> SegmentationResult:
    return result.largest() if options.faces == "largest" else result


def _tell_frames(photo: Path | str) -> None:
    say(f"only the first of the pictures in {photo} is segmented; it is animated, or has pages.")


def _suffix(view: str) -> str:
    return ".json" if view == "json" else ".png"


def _is_empty(faces: int, photo: Path | str, options: argparse.Namespace) -> bool:
    """Whether an empty mask, which is written like any other, has no face; says why it is empty."""
    if faces:
        write(f"no part of a face could be segmented in {photo}")
        return options.aligned  # nothing was detected then
    write(f"no face was detected in {photo}")
    if not is_shipped(options.model or DEFAULT_MODEL):
        write(
            f"--aligned takes the whole photo for a face, and --model {DEFAULT_MODEL} uses a "
            "detector that finds more"
        )
    return True


def _output_paths(options: argparse.Namespace) -> tuple[dict[Path | str, Path], int]:
    """The file for the result of each photo and video; a folder stands for the photos in it.

    Also returns how many photos of folders are left out, because nothing here reads their kind.
    """
    given = expanded(options.photos)
    if options.output:
        if len(given) > 1 or isinstance(given[0], str) or os.path.isdir(given[0]):
            several = "--output is for one photo or video; give --output-dir for several."
            raise FaceSegKitError(several)
        return {given[0]: options.output}, 0
    files: list[Path | str] = []
    left_out = 0
    for path in given:
        if isinstance(path, str):
            files += photos_at(path, options, photo_suffixes())
            continue
        folder = list_folder(path) if os.path.isdir(path) else Folder([path])
        folder.tell(path)
        if not folder.photos and not folder.unreadable:
            raise FaceSegKitError(f"There is no photo (.jpg, .png, ...) in the folder {path}.")
        files += folder.photos
        left_out += len(folder.unreadable)
    return _named_results(files, options), left_out


def _named_results(
    files: Sequence[Path | str], options: argparse.Namespace
) -> dict[Path | str, Path]:
    """The file for the result of each photo and video; a file of two names has one result."""
    outputs: dict[Path | str, Path] = {}
    sources: dict[str, Path | str] = {}
    for file in files:
        suffix = ".mp4" if is_video(file) else _suffix(options.view or PHOTO_VIEW)
        name = file.name if isinstance(file, Path) else base_name(file)
        output = options.output_dir / f"{Path(name).stem}{suffix}"
        other = sources.setdefault(same_name(output), file)
        if other is file:
            outputs[file] = output
        elif not is_same_file(other, file):
            both = f"{other} and {file} would both be written to {output}"
            fix = "rename one, or segment them into different folders"
            raise FaceSegKitError(f"{both}; {fix}.")
    return outputs
