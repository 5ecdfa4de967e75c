"""Backgrounds: walls, lights, rooms, foliage and clutter."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from facesegkit.synthetic.canvas import SIDE
from facesegkit.synthetic.curves import Floats, noise

BACKGROUND_SIDE = 128  # sufficient, because backgrounds are out of focus
Colour = tuple[int, int, int]


def background(rng: np.random.Generator) -> Floats:
    """A wall, lights, a room or foliage, sharp or far out of focus, float32 [512, 512, 3]."""
    kinds = [_wall, _lights, _room, _foliage, _clutter]
    make = kinds[rng.choice(len(kinds), p=[0.3, 0.15, 0.2, 0.15, 0.2])]
    image = make(rng, _gradient(rng, BACKGROUND_SIDE))
    blur = float(rng.choice([0.0, 0.8, 2.0, 4.5], p=[0.15, 0.3, 0.3, 0.25]))
    if blur > 0:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.float32) * np.float32(1 / 255)


def _gradient(rng: np.random.Generator, side: int) -> Image.Image:
    """A gradient between two mostly dull colours, with stains."""
    dark = rng.choice([0.02, 0.6], p=[0.7, 0.3])  # the wall of a studio is bright
    first, second = rng.uniform(dark, 1, 3), rng.uniform(dark, 1, 3)
    if rng.random() < 0.8:  # most places are dull
        first, second = (0.75 * c.mean() + 0.25 * c for c in (first, second))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    ramp = np.clip(0.5 + np.cos(angle) * x + np.sin(angle) * y, 0, 1)[..., None]
    values = first * (1 - ramp) + second * ramp * rng.uniform(0.4, 1)
    stains = noise(rng, (side, side), (12, 12)) + noise(rng, (side, side), (4, 4))
    values = values + 0.06 * rng.random() * stains[..., None]
    if rng.random() < 0.25:  # a stage, the night, black cloth in a studio
        values = values * rng.uniform(0.03, 0.4)
    return Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))


def _palette(rng: np.random.Generator, count: int) -> list[Colour]:
    """Matching colours, most of them dull."""
    colours = rng.uniform(0, 256, (count, 3))
    if rng.random() < 0.7:
        colours = colours * 0.3 + 0.7 * colours.mean(1, keepdims=True)
    return [(int(r), int(g), int(b)) for r, g, b in colours]


def _wall(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Nothing else, letters, or rows of a sponsor's signs."""
    if rng.random() < 0.4:
        return _letters(rng, image)
    if rng.random() < 0.3:
        draw, (ink,) = ImageDraw.Draw(image), _palette(rng, 1)
        step, wide = rng.integers(16, 45), rng.integers(3, 12)
        for y in range(int(rng.integers(0, 20)), BACKGROUND_SIDE, int(step)):
            for x in range(int(rng.integers(-20, 5)), BACKGROUND_SIDE, int(wide)):
                if rng.random() < 0.7:
                    top = y + int(rng.integers(-2, 3))
                    draw.rectangle((x, top, x + wide * 0.5, y + wide), outline=ink)
    return image


def _letters(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Lines of meaningless writing: verticals, bars, diagonals and arcs in a row."""
    draw, (ink,) = ImageDraw.Draw(image), _palette(rng, 1)
    for _ in range(rng.integers(1, 5)):
        left, top = rng.uniform((-0.2, -0.1), (0.6, 0.9)) * BACKGROUND_SIDE
        high = rng.uniform(8, 45)
        wide, thick = high * rng.uniform(0.4, 0.7), max(1, round(high * rng.uniform(0.1, 0.22)))
        low, middle = top + high, (top + top + high) / 2
        for _ in range(rng.integers(3, 11)):
            right = left + wide
            strokes = [(left, top, left, low), (left, top, right, top), (right, top, left, low),
                       (left, low, right, low), (right, top, right, low),
                       (left, middle, right, middle)]  # fmt: skip
            for k in rng.choice(len(strokes), int(rng.integers(1, 4)), replace=False):
                draw.line(strokes[k], fill=ink, width=thick)
            if rng.random() < 0.5:
                draw.arc((left, top, right, low), 0, int(rng.integers(120, 361)), ink, thick)
            left += 1.35 * wide
    return image


def _lights(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Round blurred lights of about one size."""
    draw, colours = ImageDraw.Draw(image), _palette(rng, 4)
    size = rng.uniform(2, 12)
    for _ in range(rng.integers(6, 50)):
        x, y = rng.uniform(-0.05, 1.05, 2) * BACKGROUND_SIDE
        r = size * rng.uniform(0.5, 1.2)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colours[rng.integers(4)])
    return image


def _room(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Rectangles, some of them with bars: walls, windows, doors, shelves."""
    draw, colours = ImageDraw.Draw(image), _palette(rng, 6)
    for _ in range(rng.integers(2, 9)):
        x, y = rng.uniform(-0.2, 1.0, 2) * BACKGROUND_SIDE
        w, h = rng.uniform(10, 70, 2)
        draw.rectangle((x, y, x + w, y + 1.5 * h), fill=colours[rng.integers(6)])
        if rng.random() < 0.5:
            step = rng.uniform(4, 16)
            for k in range(int(w / step)):
                line = (x + k * step, y, x + k * step, y + 1.5 * h)
                line = line if rng.random() < 0.9 else (x, y + k * step, x + w, y + k * step)
                draw.line(line, fill=colours[rng.integers(6)], width=int(rng.integers(1, 4)))
    return image


def _foliage(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Foliage, a crowd, rock: noise of several scales in one family of colours."""
    side = (BACKGROUND_SIDE, BACKGROUND_SIDE)
    bumps = sum(noise(rng, side, (n, n)) * w for n, w in ((7, 0.6), (20, 0.5), (50, 0.4)))
    tint = np.array([0.5, 0.8, 0.3]) if rng.random() < 0.5 else rng.uniform(0.3, 0.9, 3)
    level = np.clip(0.45 + rng.uniform(0.1, 0.35) * np.asarray(bumps), 0, 1.3)[..., None]
    values = level * tint * rng.uniform(0.4, 1.1) * 255
    mixed = np.clip(0.25 * np.asarray(image) + 0.75 * values, 0, 255)
    return Image.fromarray(mixed.astype(np.uint8))


def _clutter(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Boxes, bars and discs of all sizes: anything that is not a face."""
    draw, colours = ImageDraw.Draw(image), _palette(rng, 5)
    for _ in range(rng.integers(3, 40)):
        colour, kind = colours[rng.integers(5)], rng.integers(3)
        x, y = rng.uniform(-0.1, 1.1, 2) * BACKGROUND_SIDE
        w, h = rng.gamma(1.5, 7, 2)
        if kind == 0:
            draw.rectangle((x, y, x + 2 * w, y + 3 * h), fill=colour)
        elif kind == 1:
            end = (x + rng.normal(0, 40), y + rng.normal(0, 40))
            draw.line((x, y, *end), fill=colour, width=int(rng.integers(1, 9)))
        else:
            draw.ellipse((x - w / 2, y - w / 2, x + w / 2, y + w / 2), fill=colour)
    return image
