"""Draw the book's logo: `make figures`, or

    python figures/make_logo.py

A face of the five classes, in their colours.
"""

from __future__ import annotations

from pathlib import Path

from facesegkit.labels import FIVE_FEATURES
from facesegkit.system.files import atomic_write

LOGO = Path(__file__).parents[1] / "docs" / "book" / "static" / "logo.svg"

SHAPES = {  # within 64 x 64; a class that lies on another one comes after it
    "eyebrows": '<path d="M14 23q6-5 12 0M38 23q6-5 12 0" {stroke}/>',
    "eyes": '<ellipse cx="20" cy="30" rx="5" ry="3" {fill}/>'
    '<ellipse cx="44" cy="30" rx="5" ry="3" {fill}/>',
    "nose": '<path d="M32 29l5 12q-5 3-10 0z" {fill}/>',
    "lips": '<ellipse cx="32" cy="50" rx="11" ry="6" {fill}/>',
    "mouth": '<ellipse cx="32" cy="50" rx="7" ry="2.5" {fill}/>',
}


def logo() -> str:
    """The logo as SVG."""
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">',
             '<rect x="6" y="2" width="52" height="60" rx="26" fill="#39424e"/>']  # fmt: skip
    colours = dict(zip(FIVE_FEATURES.classes, FIVE_FEATURES.colours, strict=True))
    for name, shape in SHAPES.items():
        colour = "#{:02x}{:02x}{:02x}".format(*colours[name])
        stroke = f'fill="none" stroke="{colour}" stroke-width="3" stroke-linecap="round"'
        parts.append(shape.format(fill=f'fill="{colour}"', stroke=stroke))
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    with atomic_write(LOGO) as unfinished:
        unfinished.write_text(logo(), encoding="utf-8", newline="\n")
