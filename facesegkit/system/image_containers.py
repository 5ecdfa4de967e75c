"""What surrounds the pixels in an image file: its kind, and parts that nobody needs."""

import io
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from PIL import Image, PngImagePlugin, TiffImagePlugin

from facesegkit.errors import FaceSegKitError

_FIX = "save it as JPEG or PNG first"
BITS = "significant bits"  # in the `info` of images of more than 8 bits whose file tells them
_PNG = b"\x89PNG\r\n\x1a\n"
# Pillow refuses a PNG that has more text than this. It reads the orientation from some of them.
_MAX_TEXT, _MAX_TEXTS = 1_000_000, 16_000_000  # bytes, of one chunk and of all
_TEXT_CHUNKS = {b"tEXt", b"zTXt", b"iTXt", b"iCCP"}
_MAX_SBIT_OFFSET = 4096  # sBIT comes before the palette and the pixels
_MAX_CHUNKS = 1_000_000
# Readers of WebP and AVIF hold the whole file in memory.
_MAX_BYTES = 200_000_000
# Parts of an AVIF or HEIC file, as ISO/IEC 14496-12 names them; a phone may append others.
_BOXES = {b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"uuid", b"idat", b"wide"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}

_RAW_STARTS = {
    b"FUJIFILMCCD-RAW": "RAF", b"IIRO": "ORF", b"IIRS": "ORF", b"MMOR": "ORF", b"IIU\0": "RW2",
    b"FOVb": "X3F",
}  # fmt: skip
# Of files that are raw whatever Pillow sees in them: a preview at best.
RAW_SUFFIXES = {
    ".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw",
    ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
}  # fmt: skip
_OTHER_STARTS = {
    b"\xff\x0a": "a JPEG XL image", b"\0\0\0\x0cJXL ": "a JPEG XL image",
    b"%PDF-": "a PDF document", b"<svg": "an SVG drawing", b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
}  # fmt: skip
_VIDEO_BRANDS = {
    b"isom",
    b"iso2",
    b"iso4",
    b"iso5",
    b"iso6",
    b"mp41",
    b"mp42",
    b"qt  ",
    b"avc1",
    b"M4V ",
}
_SUBFILE_TYPE, _MAKE, _SUB_IFDS, _DNG_VERSION = 254, 271, 330, 50706  # TIFF tags
_MAX_SAMPLE_VALUE = 281
_RAW_BY_MAKE = {"NIKON": "NEF", "SONY": "ARW", "PENTAX": "PEF", "SAMSUNG": "SRW", "CANON": "CR2"}


def without_ballast(file: BinaryIO, name: str) -> BinaryIO:
    """The file, or a copy in memory without what follows the image and without very long texts.

    Raises a FaceSegKitError if the file is a HEIC photo that no installed package reads, or a
    camera's raw file that Pillow does not know.
    """
    start = file.read(64)
    file.seek(0)
    if start.startswith(_PNG):
        return _png_without_long_texts(file)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return _beginning(file, 8 + struct.unpack("<I", start[4:8])[0])
    if start[4:8] == b"ftyp":
        _check_brand(start, name)
        return _beginning(file, _length_of_boxes(file))
    for magic, kind in _RAW_STARTS.items():
        if start.startswith(magic):
            raise FaceSegKitError(raw_message(name, kind))
    if start[:2] in (b"II", b"MM") and start[8:10] == b"CR":
        raise FaceSegKitError(raw_message(name, "CR2"))
    for magic, kind in _OTHER_STARTS.items():
        if start.startswith(magic):
            raise FaceSegKitError(f"{name} is {kind}, which is not supported; {_FIX}.")
    return file


def _check_brand(start: bytes, name: str) -> None:
    length = min(len(start), struct.unpack(">I", start[:4])[0])
    brands = {start[8:12], *(start[at : at + 4] for at in range(16, length, 4))}
    if start[8:11] == b"crx":
        raise FaceSegKitError(raw_message(name, "CR3"))
    if start[8:12] in _VIDEO_BRANDS:
        raise FaceSegKitError(f"{name} is a video; give it a name that ends in .mp4.")
    if brands & _HEIC and not can_read_heic():
        fix = "run pip install 'facesegkit[heic]', or save it as JPEG or PNG first"
        raise FaceSegKitError(f"{name} is a HEIC photo; {fix}.")


def can_read_heic() -> bool:
    """Let Pillow read HEIC if the package for it is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    if "HEIF" not in Image.OPEN:
        pillow_heif.register_heif_opener(thumbnails=False)
    return True


def check_not_raw(image: Image.Image, name: str) -> None:
    """Raise a FaceSegKitError for a camera's raw file: a TIFF whose first page is a preview."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return
    tags = image.tag_v2
    is_preview = tags.get(_SUBFILE_TYPE) == 1 and _SUB_IFDS in tags
    if (suffix := Path(name).suffix.lower()) in RAW_SUFFIXES:
        raise FaceSegKitError(raw_message(name, suffix[1:].upper()))
    if _DNG_VERSION in tags:
        raise FaceSegKitError(raw_message(name, "DNG"))
    if is_preview:
        make = str(tags.get(_MAKE, "")).upper()
        kinds = [kind for maker, kind in _RAW_BY_MAKE.items() if make.startswith(maker)]
        raise FaceSegKitError(raw_message(name, kinds[0] if kinds else "raw"))


def note_bits(image: Image.Image) -> None:
    """Put the bits per sample that the file of a deep image tells into its `info`."""
    if not image.mode.startswith("I"):
        return
    bits = 0
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        highest = image.tag_v2.get(_MAX_SAMPLE_VALUE, (0,))
        highest = max(highest) if isinstance(highest, tuple) else highest
        if isinstance(highest, int) and (highest + 1).bit_count() == 1:  # else that of the pixels
            bits = highest.bit_length()
    elif isinstance(image, PngImagePlugin.PngImageFile) and image.fp is not None:
        before = image.fp.tell()
        image.fp.seek(0)
        start = image.fp.read(_MAX_SBIT_OFFSET)
        image.fp.seek(before)
        at = start.find(b"\0\0\0\1sBIT", 0, start.find(b"IDAT"))
        bits = start[at + 8] if at >= 0 else 0
    if 8 <= bits <= 16:
        image.info[BITS] = bits


def raw_message(name: str, kind: str) -> str:
    kind = "camera's raw file" if kind == "raw" else f"camera's raw file ({kind})"
    return f"{name} is a {kind}, which is not supported; export it as JPEG or TIFF first."


def _beginning(file: BinaryIO, length: int) -> BinaryIO:
    """The first `length` bytes; the file itself if it has no more."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if min(size, length) > _MAX_BYTES:
        raise Image.DecompressionBombError(f"a file of {size:,} bytes; make it smaller first.")
    return io.BytesIO(file.read(length)) if length < size else file


def _length_of_boxes(file: BinaryIO) -> int:
    """The length of the boxes that belong to the image, from the beginning of the file."""
    size = file.seek(0, io.SEEK_END)
    end = 0
    for _ in range(_MAX_CHUNKS):
        file.seek(end)
        header = file.read(16)
        if len(header) < 8 or header[4:8] not in _BOXES:
            break
        length = struct.unpack(">I", header[:4])[0]
        if length == 1 and len(header) == 16:
            length = struct.unpack(">Q", header[8:])[0]
        if length < 8:  # 0: to the end of the file
            end = size
            break
        end += length
    file.seek(0)
    return min(end, size) or size


def _png_without_long_texts(file: BinaryIO) -> BinaryIO:
    """The file itself, or a copy in memory without the texts that Pillow would refuse."""
    unwanted: list[tuple[int, int]] = []
    at, total = len(_PNG), 0
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        header = file.read(8)
        if len(header) < 8 or header[4:] == b"IEND":
            break
        length = struct.unpack(">I", header[:4])[0]
        if header[4:] in _TEXT_CHUNKS:
            size = length if header[4:] == b"tEXt" else _unpacked_size(file.read(_MAX_TEXT))
            if max(size, length) >= _MAX_TEXT or total + size > _MAX_TEXTS:
                unwanted.append((at, at + 12 + length))
            else:
                total += size
        at += 12 + length
    file.seek(0)
    return _cut_out(file, unwanted) if unwanted else file


def _unpacked_size(chunk: bytes) -> int:
    """Bytes of a chunk's text when unpacked, up to the limit; those after its keyword and flags."""
    keyword, _, rest = chunk.partition(b"\0")
    for start in range(1, min(len(rest), 200)):
        if rest[start : start + 1] == b"\x78":  # zlib streams begin so
            try:
                unpacked = zlib.decompressobj().decompress(rest[start:], _MAX_TEXT)
            except zlib.error:
                continue
            return len(keyword) + len(unpacked)
    return 0


def _cut_out(file: BinaryIO, unwanted: list[tuple[int, int]]) -> BinaryIO:
    kept, position = io.BytesIO(), 0
    for start, end in unwanted:
        file.seek(position)
        kept.write(file.read(min(start - position, _MAX_BYTES)))
        position = end
    file.seek(position)
    kept.write(file.read(_MAX_BYTES))
    file.seek(0)
    kept.seek(0)
    return kept
