"""A careless annotator: masks as people draw them, and a few errors planted among them.

The generator knows the part of every pixel, so its masks fit together without gaps or overlaps. An
annotator's contours are smooth and a pixel or two off, parts continue below those in front of them,
and a few masks are wrong. Lessons 1 and 2 let the reader discover this. The errors are listed in
`planted_errors.json` in the data set's folder.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from facesegkit.errors import FaceSegKitError
from facesegkit.labels import PART_IDS, paint_parts
from facesegkit.synthetic.face import synthesize_face
from facesegkit.system.files import atomic_write

Mask = NDArray[np.bool_]  # [H, W]
Masks = dict[str, Mask]  # by part name

PLANTED = "planted_errors.json"

KINDS = ("swapped", "missing", "shifted", "empty", "stray blob", "two lips in one")

# The first faces of a seed have one error of each kind, and so have every further 300: 2 %.
FIRST_FACES, MORE_FACES = 150, 300

# What nearly every face shows.
FEATURES = ("nose", "l_eye", "r_eye", "l_brow", "r_brow", "u_lip", "l_lip")
_ON_SKIN = (*FEATURES, "mouth", "eye_g")
_VISIBLE = 150  # pixels of a part in which an error is seen
_GRID = 4  # pixels between the vertices of a contour, roughly
_REACH = 8  # pixels by which a part is drawn on below those in front of it

# Second and third numbers of the seeds. Those of `synthesize_face` are the seed and the index.
_HAND, _PLAN = 1, 2


@dataclass(frozen=True)
class PlantedError:
    """An error in the masks of one face."""

    id: int  # of the photo
    kind: str  # one of KINDS
    parts: tuple[str, ...]  # whose masks are wrong


def annotate(masks: Masks, seed: int, index: int, error: PlantedError | None = None) -> Masks:
    """The masks of a face, as an annotator draws them: bool [H, W] by part name.

    `masks` are those of `synthesize_face(seed, index)`, which do not overlap. Parts of a few pixels
    get lost. A mask is empty only by a planted error.
    """
    labels = paint_parts(masks, next(iter(masks.values())).shape)
    drawn = {part: _draw(_hand(seed, index, part), _extend(part, labels)) for part in masks}
    drawn = {part: mask for part, mask in drawn.items() if mask.any()}
    return _plant(np.random.default_rng([seed, index, _HAND]), drawn, error) if error else drawn


def _hand(seed: int, index: int, part: str) -> np.random.Generator:
    """Random numbers for one part.

    Processors round differently, so a part of one pixel may be missing on some of them. That must
    not change how the other parts are drawn.
    """
    return np.random.default_rng([seed, index, _HAND, PART_IDS[part]])


def _extend(part: str, labels: NDArray[np.uint8]) -> Mask:
    """The mask of a part with what continues below the parts in front of it."""
    mask = labels == PART_IDS[part]
    near = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.BoxBlur(_REACH))) > 0
    if part == "skin":  # drawn around the whole face, with the features on top
        near = near | np.isin(labels, [PART_IDS[feature] for feature in _ON_SKIN])
    return mask | near & (labels > PART_IDS[part])


def _draw(rng: np.random.Generator, mask: Mask) -> Mask:
    """A mask with a smooth contour, 1 to 2 pixels off. All arithmetic is on integers."""
    height, width = mask.shape
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    coarse = image.reduce(_GRID)
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR))
    level = int(rng.integers(70, 110))  # of 255; below 128, so that most masks grow a little
    return _shift(smooth > level, *rng.integers(-1, 2, 2))


def _shift(mask: Mask, down: int, right: int) -> Mask:
    """Move a mask; what leaves the image is lost."""
    height, width = mask.shape
    padded = np.pad(mask, ((max(down, 0), max(-down, 0)), (max(right, 0), max(-right, 0))))
    top, left = max(-down, 0), max(-right, 0)
    return padded[top : top + height, left : left + width]


def _plant(rng: np.random.Generator, masks: Masks, error: PlantedError) -> Masks:
    first, last = error.parts[0], error.parts[-1]
    changed = dict(masks)
    if error.kind == "swapped":
        changed[first], changed[last] = masks[last], masks[first]
    elif error.kind == "missing":
        del changed[first]
    elif error.kind == "shifted":
        changed[first] = _shift(masks[first], *rng.choice((-1, 1), 2) * rng.integers(32, 49, 2))
    elif error.kind == "empty":
        changed[first] = np.zeros_like(masks[first])
    elif error.kind == "stray blob":
        changed[first] = masks[first] | _blob(rng, masks[first])
    else:
        changed[first] = masks[first] | masks[last]
        del changed[last]
    return changed


def _blob(rng: np.random.Generator, mask: Mask) -> Mask:
    """A dot of 3 to 5 pixels' radius, far above or below a mask."""
    height, width = mask.shape
    centre = int(np.flatnonzero(mask.any(axis=1)).mean())
    away = int(rng.integers(150, 200)) * (1 if centre < height / 2 else -1)
    column, radius = int(rng.integers(width // 4, 3 * width // 4)), int(rng.integers(3, 6))
    y, x = np.ogrid[:height, :width]
    return np.asarray((y - centre - away) ** 2 + (x - column) ** 2 <= radius**2)


def plan_errors(seed: int, count: int) -> dict[int, PlantedError]:
    """The errors among faces 0..count-1 of a seed, by photo id; more faces keep them.

    Synthesizes the faces with errors, to see which parts they show.
    """
    errors: dict[int, PlantedError] = {}
    start, size = 0, FIRST_FACES
    while start < count:
        rng = np.random.default_rng([seed, start, _PLAN])
        candidates = iter(rng.permutation(size))
        for kind in KINDS:
            error = next(_possible_errors(rng, seed, start, kind, candidates))
            errors[error.id] = error
        start, size = start + size, MORE_FACES
    return {i: error for i, error in sorted(errors.items()) if i < count}


def _possible_errors(
    rng: np.random.Generator, seed: int, start: int, kind: str, candidates: Iterator[np.int64]
) -> Iterator[PlantedError]:
    """Errors of a kind in the candidates that show the parts for it."""
    for offset in candidates:
        index = start + int(offset)
        masks = synthesize_face(seed, index).masks
        visible = {part for part, mask in masks.items() if mask.sum() >= _VISIBLE}
        choices: list[tuple[str, ...]] = [(part,) for part in FEATURES]
        if kind == "swapped":
            choices = [("l_eye", "r_eye"), ("l_brow", "r_brow")]
        elif kind == "two lips in one":
            choices = [("u_lip", "l_lip")]
        choices = [parts for parts in choices if visible.issuperset(parts)]
        if choices:
            yield PlantedError(index, kind, choices[int(rng.integers(len(choices)))])


def write_planted_errors(out: Path, seed: int, count: int) -> dict[int, PlantedError]:
    """Plan the errors of a data set and list them in its folder, unless they are listed already."""
    path = out / PLANTED
    if path.exists() and (listed := _read(path))[0] >= count:
        return listed[1]
    errors = plan_errors(seed, count)
    plain = {"count": count, "errors": [asdict(error) for error in errors.values()]}
    with atomic_write(path) as unfinished:
        unfinished.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    return errors


def read_planted_errors(folder: Path) -> dict[int, PlantedError]:
    """The errors planted in a data set, by photo id; none if its annotator is not careless.

    Raises a FaceSegKitError if their list is damaged.
    """
    path = Path(folder) / PLANTED
    return _read(path)[1] if path.exists() else {}


def _read(path: Path) -> tuple[int, dict[int, PlantedError]]:
    """For how many faces errors were planned, and which."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        errors = [PlantedError(e["id"], e["kind"], tuple(e["parts"])) for e in plain["errors"]]
        return int(plain["count"]), {error.id: error for error in errors}
    except (ValueError, TypeError, KeyError) as error:
        message = f"{path} is not a list of planted errors; delete it and synthesize again."
        raise FaceSegKitError(message) from error
