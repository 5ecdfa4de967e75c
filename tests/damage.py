"""Damaged files, and files that were made to do harm."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from facesegkit.errors import FaceSegKitError


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Change, delete or insert some bytes, mostly near the start."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 30])):
        at = int(rng.integers(min(len(changed), rng.choice([64, 400, len(changed)]))))
        kind = rng.integers(4)
        if kind == 0:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[at : at + 4] = rng.choice([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0"])
        elif kind == 2:
            del changed[at : at + min(int(rng.choice([1, 2, 8, 100])), len(changed) - 1)]
        else:
            changed[at:at] = rng.bytes(int(rng.choice([1, 4, 50])))
    return bytes(changed)


def refusals(read: Callable[[Path], object], path: Path, times: int, intact: int = 0) -> int:
    """How many damaged versions of a file are refused in one sentence; `intact` bytes stay."""
    content, rng, refused = path.read_bytes(), np.random.default_rng(3), 0
    for _ in range(times):
        path.write_bytes(content[:intact] + damaged(content[intact:], rng))
        try:
            read(path)
        except FaceSegKitError as error:
            assert "\n" not in str(error)
            refused += 1
    return refused


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """An image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width: int = 60, height: int = 40, mode: str = "RGB") -> Image.Image:
    """An image of random pixels."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(5).integers(0, 255, (height, width, channels), dtype=np.uint8)
    return Image.frombytes(mode, (width, height), values.tobytes())


def png(width: int, height: int, pixels: bytes = b"", *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG that may claim more pixels than it has; `extra` are chunks before the pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    chunks = b"".join(chunk(kind, content) for kind, content in extra)
    body = chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + chunks + body


def _exif(size: int) -> bytes:
    """EXIF data of one entry of this size."""
    entry = struct.pack(">HHII", 0x010E, 2, size, 26)
    return b"MM\0*" + struct.pack(">IH", 8, 1) + entry + b"\0" * 4 + b"x" * size


def animation(kind: str, frames: int = 25, **options: object) -> bytes:
    """An animation of frames of different shades."""
    shades = [Image.new("RGB", (40, 30), (10 * number, 0, 0)) for number in range(frames)]
    return encoded(shades[0], kind, save_all=True, append_images=shades[1:], **options)


def odd_photos() -> dict[str, bytes]:
    """Photos with profiles, EXIF data, more than 8 bits, or further frames, by suffix."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    about = {"icc_profile": profile, "exif": b"Exif\0\0" + _exif(200)}
    deep = Image.fromarray(np.random.default_rng(5).integers(0, 4096, (40, 60), dtype=np.uint16))
    photos = {
        "animated.gif": animation("GIF", 4), "animated.webp": animation("WEBP", 4),
        "animated.png": animation("PNG", 4), "deep.png": encoded(deep),
        "deep.tif": encoded(deep, "TIFF"), "lab.png": encoded(noise(), icc_profile=lab),
        "palette.png": encoded(noise().convert("P"), icc_profile=profile),
        "grey.png": encoded(noise(mode="LA"), icc_profile=profile),
    }  # fmt: skip
    for suffix, kind in {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tif": "TIFF"}.items():
        photos[f"about.{suffix}"] = encoded(noise(), kind, **about)
    with suppress(ImportError, KeyError):  # of the package, and of Pillow without AVIF
        photos["about.avif"] = encoded(noise(), "AVIF", **about)
        import pillow_heif

        pillow_heif.register_heif_opener()
        photos["about.heic"] = encoded(noise(), "HEIF", **about)
    return photos


HOSTILE_PHOTOS: dict[str, Callable[[], bytes]] = {
    "empty.jpg": lambda: b"",
    "text.png": lambda: b"no photo at all\n" * 100,
    "a-png.jpg": lambda: encoded(noise(), "PNG"),
    "a-jpeg.webp": lambda: encoded(noise(), "JPEG"),
    "cut.jpg": lambda: encoded(noise(), "JPEG")[:700],
    "one-pixel.png": lambda: encoded(noise(1, 1), "PNG"),
    "line.png": lambda: encoded(noise(1, 20_000), "PNG"),
    "row.png": lambda: encoded(noise(20_000, 1), "PNG"),
    "no-pixel.png": lambda: png(0, 0),
    "promises.png": lambda: png(50_000, 50_000),
    "promises-less.png": lambda: png(13_000, 13_000),
    "promises-what-may-be.png": lambda: png(10_500, 10_500),
    "promises.bmp": lambda: encoded(noise(), "BMP").replace(
        struct.pack("<ii", 60, 40), struct.pack("<ii", 50_000, 50_000)
    ),
    "promises.gif": lambda: b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b";",
    "promises.ppm": lambda: b"P6 50000 50000 255\n",
    "bomb.png": lambda: png(60, 40, b"\0" * 300_000_000),
    "animated.gif": lambda: animation("GIF"),
    "animated.webp": lambda: animation("WEBP"),
    "animated.png": lambda: animation("PNG"),
    "exif.jpg": lambda: encoded(noise(), "JPEG", exif=b"Exif\0\0" + _exif(60_000)),
    "exif.png": lambda: png(2, 1, b"\0" * 7, (b"eXIf", _exif(30_000_000))),
    "exif-loop.jpg": lambda: encoded(
        noise(), "JPEG", exif=b"Exif\0\0MM\0*" + struct.pack(">IHHHIII", 8, 1, 0x8769, 4, 1, 8, 8)
    ),
    "icc.jpg": lambda: encoded(noise(), "JPEG", icc_profile=np.random.default_rng(0).bytes(10**6)),
    "icc.png": lambda: png(
        2, 1, b"\0" * 7, (b"iCCP", b"x\0\0" + zlib.compress(b"\0" * 100_000_000))
    ),
    "text.jpg": lambda: png(2, 1, b"\0" * 7, (b"zTXt", b"x\0\0" + zlib.compress(b"x" * 10**8))),
    "program.eps": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
    "program.jpg": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
    "two words, ümläut 写真.png": lambda: encoded(noise(), "PNG"),
}


def hostile_photos() -> dict[str, Callable[[], bytes]]:
    """All of them if FUZZ is in the environment, else those that are made quickly."""
    slow = () if "FUZZ" in os.environ else ("bomb.png", "icc.png", "text.jpg")
    return {name: make for name, make in HOSTILE_PHOTOS.items() if name not in slow}


def write_hostile_photos(folder: Path) -> list[Path]:
    """Write them all, and a folder and (if the system has them) a pipe named like photos."""
    folder.mkdir(parents=True)
    for name, content in HOSTILE_PHOTOS.items():
        (folder / name).write_bytes(content())
    (folder / "folder.jpg").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.jpg")
    return sorted(folder.iterdir())


def write_hostile_zips(folder: Path, good: dict[str, bytes]) -> list[Path]:
    """Write zips of a data set with these files, each wrong in another way."""
    folder.mkdir(parents=True)
    name, content = next(iter(good.items()))

    def write(zip_name: str, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
        with zipfile.ZipFile(folder / zip_name, "w", method) as archive:
            for inside, bytes_inside in files.items():
                archive.writestr(inside, bytes_inside)

    write("outside.zip", {**good, f"../../{name}": content, "../../escaped.txt": b"x"})
    write("absolute.zip", {**good, "/tmp/facesegkit-escaped.txt": b"x"})
    write("bomb.zip", {**good, name: b"\0" * 400_000_000})
    write("bzip2.zip", good, zipfile.ZIP_BZIP2)
    write("empty.zip", {})
    write("other.zip", {"readme.txt": b"x"})
    write("whole.zip", good)
    whole = (folder / "whole.zip").read_bytes()
    (folder / "cut.zip").write_bytes(whole[: len(whole) // 2])
    (folder / "no-zip.zip").write_bytes(b"x" * 1000)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.zip")
    return sorted(folder.iterdir())
