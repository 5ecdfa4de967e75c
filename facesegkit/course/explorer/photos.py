"""The explorer's photos: samples, uploads and files, and the Python that opens each of them."""

from __future__ import annotations

import io
import re
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from itertools import chain, count
from pathlib import Path
from typing import Any

from PIL import Image

from facesegkit.course.lesson_data import course_file, portraits
from facesegkit.image_io import read_photo, read_reduced, shrink_to, upright_rgb
from facesegkit.synthetic import synthesize_face

PhotoSource = Path | bytes | Image.Image

_ASTRONAUT = "figures/astronaut.jpg"
_SYNTHETIC = (55, 160, 150)  # indices of synthetic faces with seed 0
_GROUP = (1, 4, 7, 2, 9, 5)  # numbers of the portraits in the group scene
_THUMBNAIL = 96  # pixels

# Sources of the samples, by a regular expression of their names.
_CREDITS = {
    "astronaut": "NASA, public domain",
    r"group|portrait \d+": "US federal sources (figures/portraits/CREDITS.md), public domain",
    r"synthetic face \d+": "made by facesegkit, no real person",
}


@dataclass(frozen=True)
class NamedPhoto:
    """A photo that can be chosen."""

    name: str
    source: PhotoSource
    credit: str = ""
    python: str = ""  # an expression that opens it; by default one that opens a file of its name

    def load(self) -> Image.Image:
        """The full photo, upright, RGB.

        Raises a FaceSegKitError if it cannot be read.
        """
        if isinstance(self.source, Image.Image):
            return upright_rgb(self.source)
        return read_photo(self._file())

    def thumbnail(self) -> str:
        """A small JPEG as a data URL; raises the same."""
        if isinstance(self.source, Image.Image):
            photo, size = upright_rgb(self.source), self.source.size
        else:
            photo, size = read_reduced(self._file(), 2 * _THUMBNAIL)
        return "data:image/jpeg;base64," + b64encode(jpeg(_square(photo, size))).decode()

    def _file(self) -> Path | io.BytesIO:
        if isinstance(self.source, bytes):
            file = io.BytesIO(self.source)
            file.name = self.name  # for error messages
            return file
        assert isinstance(self.source, Path)
        return self.source

    @property
    def opened_by(self) -> str:
        """The Python expression that opens the photo."""
        return self.python or f"Image.open({self.name!r})"


def _square(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of a photo, upper part if it is tall: that is where faces are."""
    small = shrink_to(photo, 2 * _THUMBNAIL, size)
    side = min(small.size)
    left, top = (small.width - side) // 2, (small.height - side) // 4
    return small.crop((left, top, left + side, top + side)).resize((_THUMBNAIL, _THUMBNAIL))


def jpeg(picture: Image.Image, quality: int = 88) -> bytes:
    """An image as JPEG: ten times as fast as PNG; contours stay sharp without subsampling."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def samples() -> dict[str, PhotoSource]:
    """Sample photos by name: photos in the public domain, if there are any, and synthetic faces."""
    photos: dict[str, PhotoSource] = {}
    if course_file(_ASTRONAUT).is_file():
        photos = {"astronaut": course_file(_ASTRONAUT), "group": group_scene(), **portraits()}
    faces = enumerate(map(_synthetic_photo, _SYNTHETIC), start=1)
    return photos | {f"synthetic face {number}": face for number, face in faces}


def sample_photos() -> dict[str, NamedPhoto]:
    """The samples with their credits, by name."""
    photos = {}
    for name, source in samples().items():
        credits = (text for names, text in _CREDITS.items() if re.fullmatch(names, name))
        photos[name] = NamedPhoto(name, source, next(credits, ""), _python_of(name, source))
    return photos


def _python_of(name: str, source: PhotoSource) -> str:
    if isinstance(source, Path):
        below = source.as_posix().partition("figures/")[2]
        return f"Image.open('figures/{below}')"
    if name == "group":
        return "group_scene()"
    return f"synthesize_face(seed=0, index={_SYNTHETIC[int(name.split()[-1]) - 1]}).photo"


@cache  # synthesizing a face takes a fifth of a second
def _synthetic_photo(index: int) -> Image.Image:
    return Image.fromarray(synthesize_face(seed=0, index=index).photo)


@cache
def group_scene() -> Image.Image:
    """Six portraits in the public domain in two rows before one background, 880 x 600, RGB."""
    scene = Image.new("RGB", (880, 600), (98, 112, 128))
    files = portraits()
    for place, number in enumerate(_GROUP):
        portrait = read_photo(files[f"portrait {number}"])
        row, column = divmod(place, 3)
        height = (330, 350, 320, 300, 310, 325)[place]
        width = round(height * portrait.width / portrait.height)
        left = 25 + 280 * column + 15 * row
        resized = portrait.resize((width, height), Image.Resampling.LANCZOS)
        scene.paste(resized.crop((0, 0, width, 280)), (left, 10 + 300 * row))
    return scene


def unused(name: str, taken: dict[str, Any]) -> str:
    """The name, with a number before its suffix if it is taken."""
    numbered = (f"{Path(name).stem} ({number}){Path(name).suffix}" for number in count(2))
    return next(free for free in chain([name], numbered) if free not in taken)


def as_file_name(name: str) -> str:
    """A name without folders, suffix and characters that some file systems do not allow."""
    return re.sub(r"[^\w-]+", "-", Path(name).stem).strip("-") or "photo"
