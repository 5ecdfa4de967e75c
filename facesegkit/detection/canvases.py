"""Training images of the face detector: photos and people, rescaled, rotated, composed and changed.

A canvas is a square of one or four tiles. A tile shows a face at a random size, position and angle,
or no face; a person whose outline is known may stand in front of another photo. Single faces are
shaded, covered by sunglasses, a mask or something else, and then the canvas as a whole is changed
as cameras and files change photos.
"""

import io
import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from torch import device as Device

from facesegkit.config import TrainConfig
from facesegkit.dataset import TrainingBatch
from facesegkit.detection.train import TrueFaces
from facesegkit.image_io import PADDING, to_float_nchw
from facesegkit.inference.alignment import MIRRORED_POINTS

Floats = NDArray[np.floating[Any]]
Rng = np.random.Generator
_Point = Sequence[float] | Floats
_MIN_SIZE, _MIN_VISIBLE = 9.0, 0.45  # pixels, and fraction, of a face that has to be found


def _none(*shape: int) -> Any:
    return field(default_factory=lambda: np.zeros((0, *shape), np.float32))


@dataclass(frozen=True, eq=False)
class LabelledPhoto:
    """A photo, RGB, and its faces. Positions are in pixels."""

    image: Image.Image
    boxes: Floats = _none(4)  # left, top, right, bottom, [n, 4]
    points: Floats = _none(5, 2)  # as of `inference.detector.Detector`, [n, 5, 2]
    ignore: Floats = _none(4)  # boxes of what is neither face nor background, [m, 4]
    matte: Image.Image | None = None  # opacity of the person, L
    weight: float = 1.0  # how often it is shown, among those without a face

    def warped(self, matrix: Floats, side: int, fill: tuple[int, int, int]) -> "LabelledPhoto":
        """Seen through an affine map, [2, 3], from its pixels to those of a square."""
        linear, shift = matrix[:, :2], matrix[:, 2]
        points = self.points @ linear.T + shift
        if np.linalg.det(linear) < 0:
            points = points[:, MIRRORED_POINTS]
        image = _warp(self.image, matrix, side, fill)
        matte = _warp(self.matte, matrix, side, 0) if self.matte else None
        boxes, ignore = (_warp_boxes(boxes, matrix) for boxes in (self.boxes, self.ignore))
        return LabelledPhoto(image, boxes, points.astype(np.float32), ignore, matte)

    def moved(self, x: int, y: int) -> "LabelledPhoto":
        """The same with all positions moved."""
        by = np.array([x, y], np.float32)
        boxes, ignore = self.boxes + np.tile(by, 2), self.ignore + np.tile(by, 2)
        return replace(self, boxes=boxes, points=self.points + by, ignore=ignore)

    def cut(self, left: int, top: int, right: int, bottom: int) -> "LabelledPhoto":
        """Boxes cut at these limits; faces of which little is left are to be ignored."""
        low, high = np.array([left, top] * 2), np.array([right, bottom] * 2)
        boxes, ignore = self.boxes.clip(low, high), self.ignore.clip(low, high)
        whole, left_over = (_areas(some) for some in (self.boxes, boxes))
        visible = left_over / np.maximum(whole, 1e-6)
        kept = (visible > _MIN_VISIBLE) & (np.sqrt(whole) >= _MIN_SIZE)
        unsure = np.concatenate([ignore[_areas(ignore) > 0], boxes[~kept & (visible > 0.05)]])
        return replace(self, boxes=boxes[kept], points=self.points[kept], ignore=unsure)


def _areas(boxes: Floats) -> Floats:
    return (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1)


def _warp_boxes(boxes: Floats, matrix: Floats) -> Floats:
    """Bounding boxes of the ellipses in boxes after an affine map: heads have no corners."""
    linear, shift = matrix[:, :2], matrix[:, 2]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 @ linear.T + shift
    half = np.sqrt(
        (linear[None] ** 2 * (((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2)[:, None]).sum(-1)
    )
    return np.hstack([centre - half, centre + half]).astype(np.float32)


def _warp(
    image: Image.Image, matrix: Floats, side: int, fill: int | tuple[int, int, int]
) -> Image.Image:
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if (reduction := int(0.9 / scale)) > 1:  # a transform samples single pixels
        image, matrix = image.reduce(reduction), matrix * ([reduction, reduction, 1],) * 2
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2].ravel().tolist()
    affine, bilinear = Image.Transform.AFFINE, Image.Resampling.BILINEAR
    return image.transform((side, side), affine, inverse, bilinear, fillcolor=fill)


def _matrix(
    scale: float,
    angle: float,
    mirror: bool,
    source: _Point,
    target: _Point,
) -> Floats:
    """The affine map, [2, 3], that scales, rotates, and moves `source` to `target` (x and y)."""
    cosine, sine = math.cos(angle) * scale, math.sin(angle) * scale
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([-1 if mirror else 1, 1])
    return np.hstack([linear, (np.asarray(target) - linear @ np.asarray(source))[:, None]])


class CanvasMaker:
    """Makes canvases; `train.fit` trains on it.

    Args:
        photos: with faces and without. Those without also serve as backgrounds.
        hard: parts of photos that a detector took for a face: photo and box, [4].
        side: width and height of a canvas, in pixels; a multiple of 32.
    """

    def __init__(
        self,
        photos: Sequence[LabelledPhoto],
        hard: Sequence[tuple[LabelledPhoto, Floats]] = (),
        side: int = 320,
    ) -> None:
        self.people = [photo for photo in photos if len(photo.boxes)]
        self.empty = [p for p in photos if not len(p.boxes) and not len(p.ignore)]
        weights = np.array([photo.weight for photo in self.empty])
        self.hard, self.side, self.weights = hard, side, weights / weights.sum()
        self._ahead: tuple[int, Future[TrainingBatch]] | None = None
        self._executor = ThreadPoolExecutor(1)  # canvases take a third of the time of a step

    def __len__(self) -> int:
        return len(self.people)

    def training_batch(
        self, step: int, progress: float, config: TrainConfig, device: Device
    ) -> TrainingBatch:
        """The canvases of a training step, and their faces. The next one is made meanwhile."""
        ahead, future = self._ahead or (-1, None)
        batch = future.result() if future and ahead == step else self._batch(step, config)
        self._ahead = step + 1, self._executor.submit(self._batch, step + 1, config)
        return batch

    def _batch(self, step: int, config: TrainConfig) -> TrainingBatch:
        seeds = ([config.seed, step, number] for number in range(config.batch_size))
        made = [self(np.random.default_rng(seed)) for seed in seeds]
        images = torch.from_numpy(np.concatenate([to_float_nchw(one.image) for one in made]))
        images = images.contiguous(memory_format=torch.channels_last)
        arrays = (
            [one.boxes for one in made],
            [one.points for one in made],
            [one.ignore for one in made],
        )
        return TrainingBatch(images, TrueFaces(*map(_padded, arrays)))

    def __call__(self, rng: Rng) -> LabelledPhoto:
        """A canvas."""
        side = self.side
        x, y = (int(rng.uniform(0.3, 0.7) * side) for _ in range(2))
        four = [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]
        limits = four if rng.random() < 0.5 else [(0, 0, side, side)]
        canvas, tiles = Image.new("RGB", (side, side)), []
        for left, top, right, bottom in limits:
            width, height = right - left, bottom - top
            tile = self._tile(rng, max(width, height))
            canvas.paste(tile.image.crop((0, 0, width, height)), (left, top))
            tiles.append(tile.moved(left, top).cut(left, top, right, bottom))
        boxes, points, ignore = (
            np.concatenate([getattr(tile, name) for tile in tiles]).astype(np.float32)
            for name in ("boxes", "points", "ignore")
        )
        _cover(rng, canvas, points)
        return LabelledPhoto(_photographed(rng, _shaded(rng, canvas, boxes)), boxes, points, ignore)

    def _tile(self, rng: Rng, side: int) -> LabelledPhoto:
        if self.hard and rng.random() < 0.16:
            photo, box = self.hard[int(rng.integers(len(self.hard)))]
            return self._around(rng, photo, box, side)
        if rng.random() < 0.27:
            photo = self._empty(rng)
            width, height = photo.image.size
            scale = side / max(width, height) * math.exp(rng.uniform(-0.5, 1.2))
            source = rng.uniform(0.25, 0.75) * width, rng.uniform(0.25, 0.75) * height
            centre = (side / 2, side / 2)
            matrix = _matrix(scale, _angle(rng), rng.random() < 0.5, source, centre)
            return photo.warped(matrix, side, _fill(rng))
        photo = self.people[rng.integers(len(self.people))]
        return self._around(rng, photo, photo.boxes[rng.integers(len(photo.boxes))], side)

    def _around(self, rng: Rng, photo: LabelledPhoto, box: Floats, side: int) -> LabelledPhoto:
        """A box of a photo at any size, from `_MIN_SIZE` pixels to the whole tile."""
        size = math.sqrt(max(1.0, float((box[2:] - box[:2]).prod())))
        target = math.exp(rng.uniform(math.log(_MIN_SIZE), math.log(1.05 * side)))
        scale = min(target / size, 2.5 if size < 60 else 1.8)
        margin = 0.05 if rng.random() < 0.85 else -0.15  # sometimes cut by the border
        centre = rng.uniform(margin, 1 - margin, 2) * side
        middle = (box[:2] + box[2:]) / 2
        matrix = _matrix(scale, _angle(rng), rng.random() < 0.5, middle, centre)
        tile, fill = photo.warped(matrix, side, _fill(rng)), _fill(rng)
        opacity = tile.matte
        if opacity is None or rng.random() > 0.7:
            # A photo in a photo, or else it is seen beside an even colour too often.
            small = scale * max(photo.image.size) < 1.2 * side and rng.random() < 0.65
            whole = Image.new("L", photo.image.size, 255)
            opacity = _warp(whole, matrix, side, 0) if small else None
        if opacity is None:
            return tile
        back = self._empty(rng).image
        zoom = side / min(back.size) * math.exp(rng.uniform(0, 0.9))
        matrix = _matrix(zoom, 0, rng.random() < 0.5, np.array(back.size) / 2, [side / 2] * 2)
        behind = _warp(back, matrix, side, fill)
        behind.paste(tile.image, (0, 0), opacity)
        return replace(tile, image=behind)

    def _empty(self, rng: Rng) -> LabelledPhoto:
        return self.empty[rng.choice(len(self.empty), p=self.weights)]


def _padded(arrays: Sequence[Floats]) -> torch.Tensor:
    """Arrays [n, ...] of B photos as one tensor [B, K, ...], padded with zeros; K is at least 1."""
    longest = max(1, *(len(array) for array in arrays))
    padded = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), np.float32)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(padded)


def _angle(rng: Rng) -> float:
    """Mostly nearly upright; one in six by any angle, one in seventeen on its side or head."""
    kind = rng.random()
    if kind < 0.16:
        return rng.uniform(-math.pi, math.pi)
    quarters = float(rng.choice([-1, 1, 2])) if kind < 0.22 else 0.0
    return quarters * math.pi / 2 + rng.normal(0, 0.1 if quarters else 0.2)


def _fill(rng: Rng) -> tuple[int, int, int]:
    """A colour for what is beyond a photo's border."""
    kind = rng.random()
    if kind < 0.3:
        return (0, 0, 0)
    return _colour(rng, 0, 256) if kind < 0.65 else PADDING


def _colour(rng: Rng, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = rng.integers(low, high, 3).tolist()
    return red, green, blue


def _cover(rng: Rng, canvas: Image.Image, points: Floats) -> None:
    """Draw sunglasses, a mask or a blot on an eighth of the faces."""
    draw = ImageDraw.Draw(canvas)
    for face in points:
        eyes = float(np.linalg.norm(face[1] - face[0]))
        if eyes < 5 or (kind := rng.random()) > 0.13:
            continue
        if kind < 0.06:
            draw_sunglasses(rng, draw, face)
        elif kind < 0.12:
            _draw_mask(rng, draw, face)
        else:
            x, y = face[rng.integers(5)].tolist()
            width, height = eyes * rng.uniform(0.2, 0.6, 2)
            box = x - width, y - height, x + width, y + height
            draw.ellipse(box, fill=_colour(rng, 0, 256))


def _axes(face: Floats) -> tuple[Floats, Floats]:
    """The face's right and down, as long as the distance between its eyes; of points [5, 2]."""
    right = face[1] - face[0]
    down = np.array([-right[1], right[0]])
    to_mouth = (face[3] + face[4]) / 2 - (face[0] + face[1]) / 2
    return right, down if down @ to_mouth >= 0 else -down


def draw_sunglasses(rng: Rng, draw: ImageDraw.ImageDraw, face: Floats) -> None:
    """Opaque lenses over the eyes, temples and a bridge; `face` are its five points, [5, 2]."""
    right, down = _axes(face)
    colour, turns = _colour(rng, 0, 70), np.linspace(0, 2 * math.pi, 14)[:, None]
    width, height = rng.uniform(0.35, 0.5), rng.uniform(0.24, 0.38)
    for eye, ear in zip(face[:2], (-right, right), strict=True):
        lens = eye + width * np.cos(turns) * right + (height * np.sin(turns) + 0.05) * down
        draw.polygon([*map(tuple, lens.tolist())], fill=colour)
        ends = [tuple(eye.tolist()), tuple((eye + 0.8 * ear).tolist())]
        draw.line(ends, fill=colour, width=max(1, round(0.07 * float(np.linalg.norm(right)))))
    bridge = [tuple(eye) for eye in face[:2].tolist()]
    draw.line(bridge, fill=colour, width=max(1, round(0.09 * float(np.linalg.norm(right)))))


def _draw_mask(rng: Rng, draw: ImageDraw.ImageDraw, face: Floats) -> None:
    right, down = _axes(face)
    between, mouth = (face[0] + face[1]) / 2, (face[3] + face[4]) / 2
    long = down * float(np.linalg.norm(mouth - between) / np.linalg.norm(down))
    top, chin = between + long * rng.uniform(0.35, 0.6), mouth + long * rng.uniform(0.45, 0.75)
    wide = right * rng.uniform(0.75, 1)
    outline = [
        top - wide, top - 0.1 * long, top + wide, mouth + 0.85 * wide, chin + 0.35 * wide,
        chin - 0.35 * wide, mouth - 0.85 * wide,
    ]  # fmt: skip
    usual = [(200, 220, 235), (240, 240, 240), (30, 30, 35), (90, 150, 200), _colour(rng, 0, 256)]
    draw.polygon([tuple(corner.tolist()) for corner in outline], fill=usual[rng.integers(5)])


def _shaded(rng: Rng, canvas: Image.Image, boxes: Floats) -> Floats:
    """The canvas as RGB in 0..1, [H, W, 3], with a third of the faces darker or lighter.

    Faces differ in skin and light by far more than whole photos do.
    """
    if rng.random() < 0.16:
        canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.8)))
    pixels = np.asarray(canvas).astype(np.float32) / 255
    for left, top, right, bottom in boxes:
        if rng.random() > 0.3 or right - left <= 8:
            continue
        x, y, wide, high = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        rows = slice(max(0, int(y - 1.45 * high)), max(0, int(y + 1.45 * high)))
        columns = slice(max(0, int(x - 1.5 * wide)), max(0, int(x + 1.5 * wide)))
        part = pixels[rows, columns]
        down, across = np.ogrid[: part.shape[0], : part.shape[1]]
        radius = ((across + columns.start - x) / (0.75 * wide)) ** 2
        radius = radius + ((down + rows.start - y) / (0.72 * high)) ** 2
        inside = 1 / (1 + np.exp(((radius - 1) * rng.uniform(3, 9)).clip(-50, 50)))[..., None]
        light = rng.uniform(0.22, 0.75) if rng.random() < 0.8 else rng.uniform(1.1, 1.6)
        tint = np.array([1, rng.uniform(0.8, 1), rng.uniform(0.65, 1)]) * light
        pixels[rows, columns] = part * (1 - inside) + (part * tint).clip(0, 1) * inside
    return pixels


def _photographed(rng: Rng, pixels: Floats) -> Image.Image:
    """Random exposure, gamma, contrast, colours, noise and JPEG compression of RGB in 0..1."""
    exposure = math.exp(rng.normal(0, 0.25)) * (
        rng.uniform(0.08, 0.5) if rng.random() < 0.12 else 1
    )
    exposure = max(exposure, 0.035 / max(float(pixels.mean()), 1e-3))  # something can be seen
    pixels = (pixels * exposure).clip(0, 1) ** math.exp(rng.normal(0, 0.28))
    mean = pixels.mean()
    pixels = (pixels - mean) * math.exp(rng.normal(0, 0.2)) + mean
    grey = (pixels @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    colour = 0.0 if rng.random() < 0.17 else rng.uniform(0.4, 1.5)
    cast = np.exp(rng.normal(0, 0.08, 3)) if colour else 1.0
    pixels = (grey + (pixels - grey) * colour) * cast
    if rng.random() < 0.2:
        pixels = pixels + rng.normal(0, rng.uniform(0.01, 0.08), pixels.shape)
    image = Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8))
    if rng.random() > 0.25:
        return image
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(15, 85)))
    return Image.open(file).convert("RGB")
