"""From a photo of any size to the class of each of its pixels, and to pictures that show them."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from facesegkit.errors import FaceSegKitError
from facesegkit.faces import LEVELS, LEVELS_BETWEEN, Find, Frame, aligned_frame, next_level
from facesegkit.files import replacing
from facesegkit.looking import Looker, Shown
from facesegkit.parts import Scheme
from facesegkit.photos import Box, fit_square, pieces, planes, read_small, upright_rgb
from facesegkit.runtime import Model
from facesegkit.segmentation import Seen, Segmentation, faces_of
from facesegkit.shipped import DEFAULT, open_model, shipped_finder

if TYPE_CHECKING:  # a segmenter runs where PyTorch is not installed
    from facesegkit.checkpoint import Checkpoint

VIEWS = {
    "mask": "the classes' colours on black",
    "overlay": "the photo with the classes' colours laid over it",
    "panel": "photo, mask and overlay side by side, with a legend",
    "labels": "one channel of class ids",
    "json": "each face's box, angle, confidence, areas and outlines as numbers, in a .json file",
}

_PANEL_SIDE = 768  # longest side, in pixels, of each of a panel's three pictures
_PANEL_GAP = 12

# Class ids and colours must come back as they were written, so these views take no lossy format.
_EXACT_VIEWS = ("mask", "labels")
_LOSSLESS = (".png", ".tif", ".tiff", ".bmp")
_LOSSY = (".jpg", ".jpeg", ".webp")


class FaceSegmenter:
    """Finds the classes that a model knows in photos of any size.

    Args:
        model: the name of a model that ships (`shipped.NAMES`), the path of an .onnx or .pth
            file, or a checkpoint. PyTorch is needed for the last two only.
        aligned: take each photo for one face, framed as CelebAMask-HQ frames its faces, instead
            of looking for faces in it.
        find: a face finder other than the one that ships (see `faces.find_frames`).
        threads: for ONNX Runtime. One photo is too little work to share.

    Attributes:
        model: what it runs.
        looker: finds the faces; None if photos are taken for aligned.

    Raises:
        FaceSegKitError: there is no such model, or its file is damaged.
    """

    def __init__(
        self,
        model: Model | Checkpoint | Path | str = DEFAULT,
        *,
        aligned: bool = False,
        find: Find | None = None,
        threads: int = 1,
    ) -> None:
        if isinstance(model, (str, Path)):
            model = open_model(model, threads=threads)
        self.model = model if isinstance(model, Model) else model.runnable()
        finder = None if aligned else find or shipped_finder(threads=threads)
        self.looker = Looker(self.model, finder) if finder else None

    def __call__(self, photo: Path | str | Image.Image | NDArray[np.uint8]) -> Segmentation:
        """Segment one photo: a path, a Pillow image of any mode, or RGB uint8 [H, W, 3].

        Each face is found, cut out at the size and angle that the model was trained on, and its
        classes are pasted back. An aligned photo is fitted into a square, and the scores of what
        the model sees of it are resized to the photo's own size.

        Raises:
            FaceSegKitError: the photo cannot be read.
            ValueError: an array of another form.
        """
        if self.looker is None:
            return self._see_aligned(photo)
        return self._see_faces(photo, self.looker)

    def _segmentation(
        self, seen: dict[Frame, Seen], size: tuple[int, int], source: Image.Image | Path
    ) -> Segmentation:
        """What was seen in a photo of this width and height, put together."""
        faces = faces_of(seen.items(), self.model.scheme, size)
        return Segmentation.of_faces(faces, size, self.model.scheme, source)

    def _see_faces(
        self, photo: Path | str | Image.Image | NDArray[np.uint8], look: Looker
    ) -> Segmentation:
        """Find the faces, coarse to fine, and look at each of them on its own."""
        level = LEVELS[-1]
        picture, size, source = _opened(photo, level)
        shown = Shown(picture, size)
        faces = look.for_faces(shown)
        if not faces and look.can_tell:  # one may be so near that the finder sees none in it
            faces = look.at_all_of(shown)
        if not faces:
            faces = look.for_faces(shown, LEVELS_BETWEEN)
        while finer := next_level(level, list(faces), max(size)):
            level = finer
            shown = self._finer(shown, source, level)
            faces = look.for_faces(shown, (level,), faces)
        if not faces and not look.can_tell:
            faces = look.at_all_of(shown)
        if faces:
            # The smallest face should fill the model's square, or nearly: reading takes long.
            smallest = self.model.crop.size * min(face.size for face in faces)
            enough = math.ceil(max(size) * 0.8 * self.model.input_size / smallest)
            finest = self._finer(shown, source, enough)
            if finest is not shown:
                faces = look.at(finest, list(faces))
        return self._segmentation(faces, size, source)

    @staticmethod
    def _finer(shown: Shown, source: Image.Image | Path, side: int) -> Shown:
        """The photo with its longest side at `side` pixels or more, as far as it has them."""
        if isinstance(source, Image.Image) or max(shown.picture.size) >= min(side, max(shown.size)):
            return shown
        return Shown(read_small(source, side)[0], shown.size)

    def _see_aligned(self, photo: Path | str | Image.Image | NDArray[np.uint8]) -> Segmentation:
        """Take the whole photo for one aligned face, and look at the part that the model knows."""
        crop = self.model.crop
        side = crop.whole_side(self.model.input_size)
        small, (width, height), source = _opened(photo, side)
        square, filled = fit_square(small, side, (width, height))
        known = crop.box(side)
        left, top = max(known.left, filled.left), max(known.top, filled.top)
        right, bottom = min(known.right, filled.right), min(known.bottom, filled.bottom)
        part = Box(left - known.left, top - known.top, right - known.left, bottom - known.top)
        scores = self.model.score(planes(square.crop(known)))[0]
        scores = scores[:, part.slices[0], part.slices[1]]
        across, down = width / (filled.right - filled.left), height / (filled.bottom - filled.top)
        box = Box(
            round((left - filled.left) * across),
            round((top - filled.top) * down),
            round((right - filled.left) * across),
            round((bottom - filled.top) * down),
        )
        seen = {aligned_frame((width, height)): Seen(scores, box)}
        return self._segmentation(seen, (width, height), source)


def segment_many(
    segmenter: FaceSegmenter, paths: Iterable[Path]
) -> Iterator[tuple[Path, Segmentation | FaceSegKitError]]:
    """Segment photos one after the other; one that cannot be read does not stop the rest.

    Yields each path with its segmentation, or with the error that says what is wrong with it.
    """
    for path in paths:
        try:
            yield path, segmenter(path)
        except FaceSegKitError as error:
            yield path, error


def _opened(
    photo: Path | str | Image.Image | NDArray[np.uint8], side: int
) -> tuple[Image.Image, tuple[int, int], Image.Image | Path]:
    """A photo to be shrunk until its longest side has `side` pixels, upright, RGB.

    Also its own width and height, and what a `Segmentation` keeps as its source.
    """
    if isinstance(photo, (str, Path)):
        return *read_small(photo, side), Path(photo)
    picture = _as_picture(photo)
    return picture, picture.size, picture


def _as_picture(photo: Image.Image | NDArray[np.uint8]) -> Image.Image:
    if isinstance(photo, Image.Image):
        return upright_rgb(photo)
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0:
        raise ValueError(f"expected uint8 [H, W, 3], got {photo.dtype} {list(photo.shape)}")
    return Image.fromarray(photo)


def render(segmentation: Segmentation, view: str) -> Image.Image:
    """Picture of a segmentation.

    Args:
        segmentation: what to show.
        view: one of `VIEWS`. "mask", "overlay" (RGB) and "labels" (one channel, mode L) have
            the photo's size; "panel" (RGB) is for looking at, each of its pictures at most 768
            pixels wide or high.

    Raises:
        FaceSegKitError: no such view, or none that is a picture.
    """
    if view == "mask":
        return _mask(segmentation)
    if view == "labels":
        return Image.fromarray(segmentation.labels)
    if view == "overlay":
        return _overlay(segmentation)
    if view == "panel":
        return _panel(segmentation)
    pictures = ", ".join(name for name in VIEWS if name != "json")
    raise FaceSegKitError(f"There is no picture of the view {view!r}; choose one of {pictures}.")


def _mask(segmentation: Segmentation) -> Image.Image:
    mask = Image.new("RGB", segmentation.labels.shape[::-1])
    for box, labels in _with_something(segmentation):
        # By way of a palette, which is four times as fast as numpy's indexing.
        colours = Image.fromarray(labels).convert("P")
        colours.putpalette(segmentation.scheme.palette.tobytes())
        mask.paste(colours.convert("RGB"), box)
    return mask


def _overlay(segmentation: Segmentation) -> Image.Image:
    picture = segmentation.own_photo()
    every, scheme = segmentation.labels, segmentation.scheme
    width = _outline_width(every)
    for box, labels in _with_something(segmentation):
        # Outlines depend on what lies around a piece, too.
        left, top = min(box.left, width), min(box.top, width)
        around = every[
            box.top - top : box.bottom + width,
            box.left - left : box.right + width,
        ]
        outline = _outlines(around, width)[top:, left:][: labels.shape[0], : labels.shape[1]]
        photo = np.asarray(picture.crop(box))
        picture.paste(Image.fromarray(_blend(photo, labels, outline, scheme)), box)
    return picture


def _with_something(segmentation: Segmentation) -> Iterator[tuple[Box, NDArray[np.uint8]]]:
    """Those pieces of a photo in which a class was found, and their class ids."""
    for box in pieces(segmentation.labels.shape[::-1]):
        labels = segmentation.labels[box.slices]
        if labels.any():
            yield box, labels


def overlay(
    photo: NDArray[np.uint8], labels: NDArray[np.uint8], scheme: Scheme, opacity: float = 0.5
) -> NDArray[np.uint8]:
    """Lay the classes' colours over a photo, with their outlines in full.

    Args:
        photo: RGB, uint8 [H, W, 3].
        labels: class ids, uint8 [H, W].
        scheme: gives the colours.
        opacity: of the colours within the outlines: 0 leaves the photo, 1 hides it.

    Returns:
        RGB, uint8 [H, W, 3].
    """
    outline = _outlines(labels, _outline_width(labels))
    return _blend(photo, labels, outline, scheme, opacity)


def _blend(
    photo: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    outline: NDArray[np.bool_],
    scheme: Scheme,
    opacity: float = 0.5,
) -> NDArray[np.uint8]:
    """What `overlay` gives, with the outlines found already."""
    blended = photo.copy()
    foreground = labels != 0
    levels = np.arange(256)
    photo_part = (levels * (1 - opacity)).astype(np.uint8)
    colour_part = (levels * opacity).astype(np.uint8)
    blended[foreground] = photo_part[photo[foreground]]
    blended[foreground] += colour_part[scheme.colour(labels[foreground])]
    blended[outline] = scheme.colour(labels[outline])
    return blended


def _outline_width(labels: NDArray[np.uint8]) -> int:
    """In pixels, for a picture to be shrunk until it fits on a screen."""
    return max(1, round(max(labels.shape) / 400))


def _outlines(labels: NDArray[np.uint8], width: int) -> NDArray[np.bool_]:
    """Where another class is met within `width` pixels up, down, left or right, bool [H, W]."""
    differs = np.zeros(labels.shape, dtype=bool)
    down = labels[width:] != labels[:-width]
    differs[width:] |= down
    differs[:-width] |= down
    across = labels[:, width:] != labels[:, :-width]
    differs[:, width:] |= across
    differs[:, :-width] |= across
    return differs & (labels != 0)


def _panel(segmentation: Segmentation) -> Image.Image:
    """Photo, mask and overlay side by side on white, and the classes' colours below."""
    photo = segmentation.small_photo(_PANEL_SIDE)
    labels = Image.fromarray(segmentation.labels).resize(photo.size, Image.Resampling.NEAREST)
    small = Segmentation(np.asarray(labels), segmentation.scheme, photo)
    pictures = [small.photo, render(small, "mask"), render(small, "overlay")]
    width, height = small.photo.size
    scheme = segmentation.scheme
    side = max(12, min(28, height // 24))  # of a legend's squares and letters
    font = ImageFont.load_default(size=side)
    lengths = [int(font.getlength(name)) for name in scheme.classes]
    places, room = _legend_places(lengths, side, 3 * width + 2 * _PANEL_GAP)
    canvas = Image.new("RGB", (room[0], height + room[1]), "white")
    for number, picture in enumerate(pictures):
        canvas.paste(picture, (number * (width + _PANEL_GAP), 0))
    draw = ImageDraw.Draw(canvas)
    for name, colour, (x, y) in zip(scheme.classes, scheme.colours, places, strict=True):
        top = height + y
        draw.rectangle((x, top, x + side, top + side), tuple(colour), "grey")
        draw.text((x + 1.5 * side, top + side / 2), name, "black", font, anchor="lm")
    return canvas


def _legend_places(
    lengths: Iterable[int], side: int, width: int
) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Lay out a legend's entries, a square and a name each, in lines of at most `width` pixels.

    Args:
        lengths: of the names, in pixels.
        side: of a square, and the height of a letter.
        width: of a line, unless a single entry is longer.

    Returns:
        The left top corner of each entry, and the width (at least `width`) and height of them all.
    """
    places = []
    x, y, right = 0, _PANEL_GAP, width
    for length in lengths:
        end = x + int(1.5 * side) + length
        if x > 0 and end > width:
            end -= x
            x, y = 0, y + int(1.5 * side)
        places.append((x, y))
        right = max(right, end)
        x = end + side
    return places, (right, y + side + _PANEL_GAP)


def check_view_path(path: Path | str, view: str) -> None:
    """See that a view can be saved under a name, before any work is done for it.

    Raises:
        FaceSegKitError: no picture format goes by the name's suffix, or only a lossy one for a
            view whose exact values matter ("mask", "labels"); or not .json for "json".
    """
    suffix = Path(path).suffix.lower()
    if view == "json":
        if suffix != ".json":
            raise FaceSegKitError(f"Cannot save the view 'json' as {path}; use .json.")
        return
    allowed = _LOSSLESS if view in _EXACT_VIEWS else (*_LOSSLESS, *_LOSSY)
    if suffix in _LOSSY and suffix not in allowed:
        raise FaceSegKitError(
            f"Cannot save the view {view!r} as {path}: {suffix} would change its values; use .png."
        )
    if suffix not in allowed:
        raise FaceSegKitError(f"Cannot save a picture as {path}; use {', '.join(allowed)}.")


def save_view(segmentation: Segmentation, view: str, path: Path | str) -> None:
    """Write a view to a file.

    Raises:
        FaceSegKitError: an unknown view, a suffix that does not fit (see `check_view_path`), or a
            file that cannot be written.
    """
    check_view_path(path, view)
    if view == "json":
        with replacing(path) as unfinished:
            unfinished.write_text(json.dumps(segmentation.to_dict()) + "\n", encoding="utf-8")
        return
    save_picture(render(segmentation, view), path, flat=view in _EXACT_VIEWS)


def save_picture(image: Image.Image, path: Path | str, *, flat: bool = False) -> None:
    """Write a picture whole or not at all, in the format of the path's suffix.

    Args:
        image: the picture.
        path: its suffix says which format.
        flat: the picture has large areas of one colour; then a PNG is written three times as
            fast by looking for run lengths only.

    Raises:
        FaceSegKitError: the file cannot be written.
    """
    # Each format looks at its own options only.
    options: dict[str, Any] = {"quality": 95}
    if flat:
        options["compress_type"] = zlib.Z_RLE
    with replacing(path) as unfinished:
        try:
            image.save(unfinished, **options)
        except ValueError as error:  # WebP's sides end at 16,383 pixels
            raise FaceSegKitError(f"Cannot save {path}: {error}.") from error
