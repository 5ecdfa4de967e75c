"""What is behind the person: walls, lights, rooms, leaves and clutter."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from facesegkit.synthetic.canvas import SIDE
from facesegkit.synthetic.curves import Floats, noise

BACKGROUND_SIDE = 128  # backgrounds are out of focus; this is plenty


def background(rng: np.random.Generator) -> Floats:
    """A wall, lights, a room or leaves, sharp or far out of focus, float32 [512, 512, 3]."""
    side = BACKGROUND_SIDE
    kinds = [_wall, _lights, _room, _leaves, _clutter]
    make = kinds[rng.choice(len(kinds), p=[0.3, 0.15, 0.2, 0.15, 0.2])]
    picture = make(rng, _ramp(rng, side))
    blur = float(rng.choice([0.0, 0.8, 2.0, 4.5], p=[0.15, 0.3, 0.3, 0.25]))
    if blur > 0:
        picture = picture.filter(ImageFilter.GaussianBlur(blur))
    picture = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(picture, dtype=np.float32) * np.float32(1 / 255)


def _ramp(rng: np.random.Generator, side: int) -> Image.Image:
    """Two mostly dull colours running into each other, with stains."""
    dark = rng.choice([0.02, 0.6], p=[0.7, 0.3])  # a studio's wall is bright
    first, second = rng.uniform(dark, 1, 3), rng.uniform(dark, 1, 3)
    if rng.random() < 0.8:  # most places are dull
        first, second = (0.75 * c.mean() + 0.25 * c for c in (first, second))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    ramp = np.clip(0.5 + np.cos(angle) * x + np.sin(angle) * y, 0, 1)[..., None]
    values = first * (1 - ramp) + second * ramp * rng.uniform(0.4, 1)
    stains = noise(rng, (side, side), (12, 12)) + noise(rng, (side, side), (4, 4))
    values = values + 0.06 * rng.random() * stains[..., None]
    if rng.random() < 0.25:  # a stage, the night, a studio's black cloth
        values = values * rng.uniform(0.03, 0.4)
    return Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))


def _palette(rng: np.random.Generator, count: int) -> list[tuple[int, int, int]]:
    """Colours that go together: most of them dull."""
    colours = rng.uniform(0, 256, (count, 3))
    if rng.random() < 0.7:
        colours = colours * 0.3 + 0.7 * colours.mean(1, keepdims=True)
    return [(int(r), int(g), int(b)) for r, g, b in colours]


def _wall(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Nothing else, letters, or rows of a sponsor's signs."""
    if rng.random() < 0.4:
        return _letters(rng, picture)
    if rng.random() < 0.3:
        pencil, (ink,) = ImageDraw.Draw(picture), _palette(rng, 1)
        step, wide = rng.integers(16, 45), rng.integers(3, 12)
        for y in range(int(rng.integers(0, 20)), BACKGROUND_SIDE, int(step)):
            for x in range(int(rng.integers(-20, 5)), BACKGROUND_SIDE, int(wide)):
                if rng.random() < 0.7:
                    top = y + int(rng.integers(-2, 3))
                    pencil.rectangle((x, top, x + wide * 0.5, y + wide), outline=ink)
    return picture


def _letters(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Lines of writing that says nothing: uprights, bars, slants and bows in a row."""
    pencil, (ink,) = ImageDraw.Draw(picture), _palette(rng, 1)
    for _ in range(rng.integers(1, 5)):
        x, y = rng.uniform(-0.2, 0.6) * BACKGROUND_SIDE, rng.uniform(-0.1, 0.9) * BACKGROUND_SIDE
        high = rng.uniform(8, 45)
        wide, thick = high * rng.uniform(0.4, 0.7), max(1, round(high * rng.uniform(0.1, 0.22)))
        for _ in range(rng.integers(3, 11)):
            left, top, right, low = x, y, x + wide, y + high
            strokes = [(left, top, left, low), (left, top, right, top), (right, top, left, low),
                       (left, low, right, low), (right, top, right, low),
                       (left, (top + low) / 2, right, (top + low) / 2)]  # fmt: skip
            for k in rng.choice(len(strokes), int(rng.integers(1, 4)), replace=False):
                pencil.line(strokes[k], fill=ink, width=thick)
            if rng.random() < 0.5:
                pencil.arc((left, top, right, low), 0, int(rng.integers(120, 361)), ink, thick)
            x += 1.35 * wide
    return picture


def _lights(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Round blurred lights of about one size."""
    pencil, colours = ImageDraw.Draw(picture), _palette(rng, 4)
    size = rng.uniform(2, 12)
    for _ in range(rng.integers(6, 50)):
        x, y = rng.uniform(-0.05, 1.05, 2) * BACKGROUND_SIDE
        r = size * rng.uniform(0.5, 1.2)
        pencil.ellipse((x - r, y - r, x + r, y + r), fill=colours[rng.integers(4)])
    return picture


def _room(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Upright and level panels, some divided again: walls, windows, doors, shelves."""
    pencil, colours = ImageDraw.Draw(picture), _palette(rng, 6)
    for _ in range(rng.integers(2, 9)):
        x, y = rng.uniform(-0.2, 1.0, 2) * BACKGROUND_SIDE
        w, h = rng.uniform(10, 70, 2)
        pencil.rectangle((x, y, x + w, y + 1.5 * h), fill=colours[rng.integers(6)])
        if rng.random() < 0.5:
            step = rng.uniform(4, 16)
            for k in range(int(w / step)):
                line = (x + k * step, y, x + k * step, y + 1.5 * h)
                line = line if rng.random() < 0.9 else (x, y + k * step, x + w, y + k * step)
                pencil.line(line, fill=colours[rng.integers(6)], width=int(rng.integers(1, 4)))
    return picture


def _leaves(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Foliage, a crowd, rock: bumps of several sizes in one family of colours."""
    side = BACKGROUND_SIDE
    bumps = sum(noise(rng, (side, side), (n, n)) * w for n, w in ((7, 0.6), (20, 0.5), (50, 0.4)))
    green = np.array([0.5, 0.8, 0.3]) if rng.random() < 0.5 else rng.uniform(0.3, 0.9, 3)
    level = np.clip(0.45 + rng.uniform(0.1, 0.35) * np.asarray(bumps), 0, 1.3)[..., None]
    values = level * green * rng.uniform(0.4, 1.1) * 255
    mixed = 0.25 * np.asarray(picture) + 0.75 * values
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def _clutter(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Boxes, bars and discs of all sizes: anything that is not a face."""
    pencil, colours = ImageDraw.Draw(picture), _palette(rng, 5)
    for _ in range(rng.integers(3, 40)):
        colour, kind = colours[rng.integers(5)], rng.integers(3)
        x, y = rng.uniform(-0.1, 1.1, 2) * BACKGROUND_SIDE
        w, h = rng.gamma(1.5, 7, 2)
        if kind == 0:
            pencil.rectangle((x, y, x + 2 * w, y + 3 * h), fill=colour)
        elif kind == 1:
            end = (x + rng.normal(0, 40), y + rng.normal(0, 40))
            pencil.line((x, y, *end), fill=colour, width=int(rng.integers(1, 9)))
        else:
            pencil.ellipse((x - w / 2, y - w / 2, x + w / 2, y + w / 2), fill=colour)
    return picture
