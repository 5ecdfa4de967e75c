"""`facesegkit segment`, and the same for one photo, which is what inference.py does."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from facesegkit.cli.common import MODEL, Commands, say
from facesegkit.errors import FaceSegKitError
from facesegkit.image_io import find_photos
from facesegkit.inference.model_zoo import DEFAULT_MODEL, MODEL_NAMES, is_shipped, licence_notice
from facesegkit.inference.results import SegmentationResult
from facesegkit.inference.segmenter import FaceSegmenter, segment_many
from facesegkit.inference.video import check_video_path, is_video, segment_video
from facesegkit.inference.visualize import VIEWS, check_view_path, save_view
from facesegkit.system.files import check_writable

RESULT = Path("segmentation_result.png")
PHOTO_VIEW, VIDEO_VIEW = "mask", "overlay"  # unless another is asked for


def one_photo_parser() -> argparse.ArgumentParser:
    """The arguments of inference.py."""
    parser = argparse.ArgumentParser(description="Mark the parts of the face on one photo.")
    parser.add_argument("--image", type=Path, required=True, help="the photo")
    _add_model(parser, f"{MODEL} if it is there, else {DEFAULT_MODEL}")
    _add_faces(parser)
    parser.add_argument("--output", type=Path, help=f"(default: {RESULT}, or .json for json)")
    _add_view(parser)
    parser.set_defaults(command=_segment_one)
    return parser


def add_segment(commands: Commands) -> None:
    """Add `segment` to the commands."""
    segment = commands.add_parser("segment", help="mark the parts of the face on photos and clips")
    segment.add_argument("photos", nargs="+", type=Path, help="photos, folders of photos, clips")
    _add_model(segment, DEFAULT_MODEL)
    _add_faces(segment)
    where = segment.add_mutually_exclusive_group()
    where.add_argument("--output-dir", type=Path, default=Path("segmentations"))
    where.add_argument("--output", type=Path, help="file for the result of one photo or clip")
    _add_view(segment)
    segment.set_defaults(command=_segment)


def _add_model(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --model; its value is None where it was not given."""
    parser.add_argument(
        "--model",
        help=f"{', '.join(MODEL_NAMES)}, or an .onnx or .pth file (default: {default})",
    )


def _add_faces(parser: argparse.ArgumentParser) -> None:
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


def _add_view(parser: argparse.ArgumentParser) -> None:
    """Add --view, with what each view is."""
    described = "; ".join(f"{name}: {what}" for name, what in VIEWS.items())
    parser.add_argument(
        "--view",
        choices=tuple(VIEWS),
        help=f"{described} (default: {PHOTO_VIEW}, of a clip {VIDEO_VIEW}; it has no others)",
    )


def _segment_one(options: argparse.Namespace) -> None:
    view = options.view or PHOTO_VIEW
    output = options.output or RESULT.with_suffix(_suffix(view))
    check_view_path(output, view)
    _check_originals_stay({options.image: output})
    model = options.model or (str(MODEL) if MODEL.exists() else DEFAULT_MODEL)
    segmenter = _segmenter(model, options)
    segmentation = _wanted(segmenter(options.image), options)
    save_view(segmentation, view, output)
    print(f"saved {output}")
    if not segmentation.labels.any():
        _say_empty(options.image, model, options)
        if options.require_face:
            raise FaceSegKitError(f"There is no face in {options.image}, and one is required.")


def _segment(options: argparse.Namespace) -> None:
    view = options.view or PHOTO_VIEW
    results = _results(options.photos, options.output_dir, options.output, _suffix(view))
    _check_results(results, options)
    segmenter = _segmenter(options.model or DEFAULT_MODEL, options)
    photos = [path for path in results if not is_video(path)]
    failed = empty = 0
    for photo, segmentation in segment_many(segmenter, _counted(photos)):
        try:
            if isinstance(segmentation, FaceSegKitError):
                raise segmentation
            save_view(_wanted(segmentation, options), view, results[photo])
        except FaceSegKitError as error:
            failed += 1
            say(str(error))
        else:
            if not segmentation.labels.any():
                empty += 1
                _say_empty(photo, options.model or DEFAULT_MODEL, options)
    for clip in (path for path in results if is_video(path)):
        try:
            _segment_video(segmenter, clip, results[clip], options)
        except FaceSegKitError as error:
            failed += 1
            say(str(error))
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
    for source, result in results.items():
        if is_video(source):
            check_video_path(result, options.view or VIDEO_VIEW)
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


def _segment_video(
    segmenter: FaceSegmenter, clip: Path, result: Path, options: argparse.Namespace
) -> None:
    progress = _video_progress if sys.stderr.isatty() else None
    pictures = segment_video(segmenter, clip, result, options.view or VIDEO_VIEW, progress)
    print(f"{clip}: {pictures:,} pictures")


def _video_progress(done: int, pictures: int) -> None:
    """A bar, or where the file does not say how many pictures there are, their number."""
    filled = "#" * (30 * done // pictures) if pictures else ""
    bar = f"[{filled:30}] {done:,} of {pictures:,}" if pictures else f"{done:,}"
    print(f"\r{bar} ", end="\n" if done == pictures else "", file=sys.stderr)


def _segmenter(model: str, options: argparse.Namespace) -> FaceSegmenter:
    """A segmenter; says, on standard error, what a model that ships may not be used for."""
    segmenter = FaceSegmenter(model, aligned=options.aligned)
    if is_shipped(model) and (notice := licence_notice(model)):
        print(notice, file=sys.stderr)
    return segmenter


def _wanted(segmentation: SegmentationResult, options: argparse.Namespace) -> SegmentationResult:
    return segmentation.largest() if options.faces == "largest" else segmentation


def _suffix(view: str) -> str:
    return ".json" if view == "json" else ".png"


def _say_empty(photo: Path, model: str, options: argparse.Namespace) -> None:
    """An empty mask is a result like others, but nobody should wonder about it."""
    print(f"no face was found in {photo}")
    if not options.aligned and not is_shipped(model):
        print(
            f"{model} may have been trained too little to be sure of one; --aligned takes the "
            f"whole photo for a face, and --model {DEFAULT_MODEL} is a model that ships"
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
            result = folder / f"{photo.stem}{'.mp4' if is_video(photo) else suffix}"
            if owners.setdefault(result, photo) != photo:
                raise FaceSegKitError(
                    f"{owners[result]} and {photo} would both be written to {result}; "
                    f"rename one, or segment them into different folders."
                )
            results[photo] = result
    return results
