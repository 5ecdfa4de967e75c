"""Where the face detector's training photos come from, each with its faces."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from facesegkit.data.cache import DatasetCache
from facesegkit.detection.canvases import Floats, LabelledPhoto
from facesegkit.image_io import read_photo
from facesegkit.inference.alignment import MEAN_BOX, MEAN_POINTS
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.labels import PART_IDS
from facesegkit.synthetic.background import background

_MIN_PIXELS = 20  # of a part, for its position to be known


def real_photos(folder: Path, split: str = "train") -> Iterator[LabelledPhoto]:
    """Photos listed in faces.json: `split`, `faces` (`box` and five `points`) and `ignore`."""
    listed = json.loads((folder / "faces.json").read_text(encoding="utf-8"))
    for name, about in listed.items():
        if about["split"] == split:
            boxes = [face["box"] for face in about["faces"]]
            points = [face["points"] for face in about["faces"]]
            yield LabelledPhoto(
                read_photo(folder / "photos" / name),
                np.array(boxes, np.float32).reshape(-1, 4),
                np.array(points, np.float32).reshape(-1, 5, 2),
                np.array(about["ignore"], np.float32).reshape(-1, 4),
            )


def people(cache: DatasetCache, rows: Sequence[int]) -> Iterator[LabelledPhoto]:
    """Aligned photos with their part masks, which give points, box and outline of the person."""
    side = cache.photos.shape[1]
    for row in rows:
        labels = Image.fromarray(np.asarray(cache.labels[row])).resize((side, side), 0)
        parts = np.asarray(labels)
        points, skin = points_of_parts(parts), np.nonzero(parts == PART_IDS["skin"])
        if points is None or min(np.ptp(skin[0]), np.ptp(skin[1])) < side / 6:
            continue
        left, right = np.percentile(skin[1], [0.7, 99.3])  # without stray pixels
        box = np.array([[left, skin[0].min(), right, skin[0].max()]], np.float32)
        matte = Image.fromarray(((parts != PART_IDS["background"]) * 255).astype(np.uint8))
        photo, soft = Image.fromarray(cache.photos[row]), ImageFilter.GaussianBlur(side / 270)
        yield LabelledPhoto(photo, box, points[None], matte=matte.filter(soft))


def points_of_parts(parts: NDArray[np.uint8]) -> Floats | None:
    """Five points, [5, 2], from part ids, [H, W]; None if eyes, nose or lips are not visible.

    The eyes are the centroids of their masks, the corners of the mouth the ends of the lips, and
    the tip of the nose is at 78 % of its height, as marked in photos.
    """
    names = ("r_eye",), ("l_eye",), ("nose",), ("u_lip", "mouth", "l_lip")
    masks = [np.isin(parts, [PART_IDS[name] for name in together]) for together in names]
    if min(int(mask.sum()) for mask in masks) < _MIN_PIXELS:
        return None
    (eye_y, eye_x), (other_y, other_x), (nose_y, nose_x), (y, x) = map(np.nonzero, masks)
    tip = nose_y.min() + 0.78 * np.ptp(nose_y)
    away = abs(nose_y - tip)
    tip_x = nose_x[away <= max(3, away.min())].mean()  # a nose seen from the side has gaps
    corners = [[at, y[x == at].mean()] for at in (x.min(), x.max())]
    eyes = [eye_x.mean(), eye_y.mean()], [other_x.mean(), other_y.mean()]
    return np.array([*eyes, [tip_x, tip], *corners], np.float32) + 0.5


def portraits(folder: Path, segmenter: FaceSegmenter) -> Iterator[LabelledPhoto]:
    """Portraits of one person each, without labels; a segmenter says where the face is.

    Below each face comes a photo without one: suit, tie and background.
    """
    for path in sorted(folder.glob("*.jpg")):
        photo = read_photo(path)
        result = segmenter(photo).largest()
        if not result.faces or result.faces[0].confidence < 0.8:
            continue
        roi = result.faces[0].roi
        corners = roi.on_photo(MEAN_BOX.reshape(2, 2)).astype(np.float32)
        points = roi.on_photo(MEAN_POINTS).astype(np.float32)
        yield LabelledPhoto(photo, corners.reshape(1, 4), points[None], matte=_bust(photo, corners))
        below = int(corners[1, 1] + 0.05 * roi.size)
        if photo.height - below > 50:
            yield LabelledPhoto(photo.crop((0, below, photo.width, photo.height)))


def _bust(photo: Image.Image, corners: Floats) -> Image.Image:
    """Roughly the outline of a person whose face is in a box: head, neck and shoulders."""
    (left, top), (right, bottom) = corners.tolist()
    x, y, wide, high = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    matte = Image.new("L", photo.size)
    draw = ImageDraw.Draw(matte)
    draw.ellipse((x - 0.68 * wide, y - 0.72 * high, x + 0.68 * wide, y + 0.62 * high), fill=255)
    neck, shoulder = bottom - 0.15 * high, bottom + 0.3 * high
    half = [(0.42, neck), (1.1, shoulder), (1.5, photo.height)]
    outline = [(x + w * wide, h) for w, h in half] + [(x - w * wide, h) for w, h in half[::-1]]
    draw.polygon(outline, fill=255)
    return matte.filter(ImageFilter.GaussianBlur(0.012 * photo.height))


def backgrounds(count: int) -> Iterator[LabelledPhoto]:
    """Synthetic backgrounds, which contain no face."""
    for number in range(count):
        pixels = (background(np.random.default_rng([23, number])) * 255).astype(np.uint8)
        yield LabelledPhoto(Image.fromarray(pixels).resize((320, 320), Image.Resampling.BOX))


def shuffled(photo: LabelledPhoto, rng: np.random.Generator) -> LabelledPhoto:
    """A head whose face is cut into shuffled squares: eyes and mouths alone are no face."""
    number = int(rng.integers(2, 5))
    left, top, right, bottom = photo.boxes[0].astype(int).tolist()
    wide, high = (right - left) // number, (bottom - top) // number
    places = [(left + i * wide, top + j * high) for j in range(number) for i in range(number)]
    squares = [photo.image.crop((x, y, x + wide, y + high)) for x, y in places]
    order = np.roll(rng.permutation(number**2), 1)
    image = photo.image.copy()
    for place, square in zip(places, order, strict=True):
        quarter = 90 * int(rng.integers(4))
        image.paste(squares[square].rotate(quarter).resize((wide, high)), place)
    return LabelledPhoto(image)
