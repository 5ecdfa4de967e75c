"""The largest photos that are accepted take less than a gigabyte and a few seconds.

Most of them take minutes to make; LARGE=1 in the environment tries them all.
"""

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import encoded
from measured import measured
from PIL import Image, Jpeg2KImagePlugin, WebPImagePlugin

from facesegkit.errors import FaceSegKitError
from facesegkit.image_io import read_photo

ASTRONAUT = Path(__file__).parents[2] / "figures" / "astronaut.jpg"

# Orientation 6, a quarter turn.
ROTATED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06"

# Mode, megapixels that `system.decode_limits` accepts, and options of Pillow's encoder.
KINDS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "photo.jpg": ("RGB", 120, {}),
    "rotated.jpg": ("RGB", 77, {"exif": ROTATED}),
    "progressive.jpg": ("RGB", 64, {"progressive": True, "subsampling": 0}),
    "print.jpg": ("CMYK", 77, {}),
    "grey.jpg": ("L", 105, {}),
    "photo.png": ("RGB", 120, {"compress_level": 1}),
    "transparent.png": ("RGBA", 77, {"compress_level": 1}),
    "deep.png": ("I;16", 94, {"compress_level": 1}),
    "photo.webp": ("RGB", 36, {"method": 0, "quality": 30}),
    "transparent.webp": ("RGBA", 36, {"method": 0, "quality": 30}),
    "photo.avif": ("RGB", 46, {"speed": 10, "quality": 30}),
    "photo.jp2": ("RGB", 29, {}),
    "photo.tif": ("RGB", 64, {"compression": "tiff_lzw"}),
    "float.tif": ("F", 64, {}),
    "photo.gif": ("P", 105, {}),
    "photo.bmp": ("RGB", 120, {}),
}
ALWAYS = ("transparent.png", "progressive.jpg")


def write_large(path: Path, mode: str, megapixels: float, options: dict[str, Any]) -> None:
    """The astronaut with so many megapixels."""
    with Image.open(ASTRONAUT) as photo:
        side = int((1e6 * megapixels) ** 0.5)
        small = photo.convert("L" if mode in ("I;16", "F") else "RGB")
    large = small.resize((side, side), Image.Resampling.NEAREST)
    if mode == "I;16":
        large = Image.fromarray(np.asarray(large).astype(np.uint16) * 257)
    else:
        large = large.convert(mode)
    large.save(path, **options)


@pytest.mark.skipif(not ASTRONAUT.exists(), reason="needs the repository")
@pytest.mark.parametrize("name", KINDS)
def test_the_largest_photos_take_less_than_a_gigabyte(name, tmp_path):
    if name not in ALWAYS and "LARGE" not in os.environ:
        pytest.skip("LARGE is not set")
    mode, megapixels, options = KINDS[name]
    photo = tmp_path / name
    try:
        write_large(photo, mode, megapixels, options)
    except (KeyError, OSError):
        if name in ALWAYS:
            raise
        pytest.skip("this Pillow cannot write the format")
    command = "segment --model separable-synthetic --faces largest --output-dir out"
    report, errors = measured(command, [photo], tmp_path)
    ((status, seconds, memory),) = report.values()
    assert status == 0, errors
    assert memory < 1e9 and seconds < 10
    with Image.open(tmp_path / "out" / f"{photo.stem}.png") as mask:
        assert len(mask.getcolors(maxcolors=100) or []) >= 5


@pytest.mark.parametrize("name", ["photo.webp", "photo.jp2"])
def test_larger_photos_are_not_decoded(name, tmp_path, monkeypatch):
    photo = tmp_path / name
    if name.endswith(".webp"):
        Image.new("RGB", (7000, 7000)).save(photo, method=0, quality=1)
    else:  # only its head claims the size
        content = encoded(Image.new("RGB", (64, 64)), "JPEG2000", no_jp2=True)
        size, claimed = struct.pack(">II", 64, 64), struct.pack(">II", 7000, 7000)
        photo.write_bytes(content.replace(size, claimed))
    for kind in (WebPImagePlugin.WebPImageFile, Jpeg2KImagePlugin.Jpeg2KImageFile):
        monkeypatch.setattr(kind, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(FaceSegKitError, match="too large: 7000 x 7000 pixels"):
        read_photo(photo)
