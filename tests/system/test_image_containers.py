"""Odd kinds of image files: profiles, depths, texts, tails, and files that are no photos."""

import io
import os
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from facesegkit.errors import FaceSegKitError
from facesegkit.image_io import read_photo

RAMP = np.tile(np.linspace(0, 1, 64), (64, 1))


def ramp(mode="RGB"):
    return Image.fromarray((RAMP * 255).astype(np.uint8)).convert(mode)


@pytest.mark.parametrize("depth", [10, 12, 14, 16])
def test_fewer_bits_in_sixteen_are_scaled_by_their_depth(tmp_path, depth):
    values = np.rint(RAMP * (2**depth - 1)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert np.asarray(read_photo(tmp_path / "deep.png")).max() == 255
    Image.fromarray(values).save(tmp_path / "deep.tif")
    np.testing.assert_allclose(np.asarray(read_photo(tmp_path / "deep.tif")), ramp(), atol=1)


@pytest.mark.parametrize(("bits", "white"), [(None, 1), (8, 255), (12, 16), (16, 1)])
def test_the_bits_that_a_file_tells_decide(tmp_path, bits, white):
    values = np.rint(RAMP * 255).astype(np.uint16)  # of 8 bits, or of a very dark photo
    info, tags = PngImagePlugin.PngInfo(), TiffImagePlugin.ImageFileDirectory_v2()
    if bits:
        info.add(b"sBIT", bytes([bits]))
        tags[281] = 2**bits - 1
    Image.fromarray(values).save(tmp_path / "deep.png", pnginfo=info)
    Image.fromarray(values).save(tmp_path / "deep.tif", tiffinfo=tags)
    for name in ("deep.png", "deep.tif"):
        assert np.asarray(read_photo(tmp_path / name)).max() == pytest.approx(white, abs=1)


@pytest.mark.parametrize("bits", [None, 12, 16])
def test_a_dark_photo_of_sixteen_bits_stays_dark_if_its_file_says_so(tmp_path, bits):
    info = PngImagePlugin.PngInfo()
    if bits:
        info.add(b"sBIT", bytes([bits]))
    Image.fromarray(np.rint(RAMP * 4000).astype(np.uint16)).save(tmp_path / "d.png", pnginfo=info)
    assert np.asarray(read_photo(tmp_path / "d.png")).max() == (16 if bits == 16 else 249)


@pytest.mark.parametrize("kind", ["ztxt", "itxt", "text", "icc", "after"])
def test_a_png_with_megabytes_of_text_is_read(tmp_path, kind):
    info, text = PngImagePlugin.PngInfo(), "long " * 500_000
    if kind == "itxt":
        info.add_itxt("XML:com.adobe.xmp", text, zip=True)
    elif kind in ("ztxt", "text"):
        info.add_text("Comment", text, zip=kind == "ztxt")
    elif kind == "after":
        info.add(b"tEXt", b"Comment\0" + text.encode(), after_idat=True)
    profile = b"\0" * 3_000_000 if kind == "icc" else None
    ramp().save(tmp_path / "text.png", pnginfo=info, icc_profile=profile)
    np.testing.assert_array_equal(np.asarray(read_photo(tmp_path / "text.png")), ramp())


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P"])
def test_a_damaged_or_foreign_profile_is_ignored(tmp_path, mode):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (b"no profile", lab):
        ramp(mode).save(tmp_path / "odd.png", icc_profile=profile)
        np.testing.assert_allclose(np.asarray(read_photo(tmp_path / "odd.png")), ramp(), atol=1)


def swapped_profile():
    """A profile with red and blue exchanged that still calls itself sRGB, as some writers do."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", content[128:132])[0]
    for at in range(132, 132 + 12 * count, 12):
        name = bytes(content[at : at + 4])
        if name in (b"rXYZ", b"bXYZ"):
            content[at : at + 4] = b"bXYZ" if name == b"rXYZ" else b"rXYZ"
    return bytes(content)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_profile_is_applied_and_left_out(tmp_path, suffix):
    options = {"lossless": True} if suffix == ".webp" else {}
    red = Image.new("RGB", (32, 32), (255, 0, 0))
    red.save(tmp_path / f"red{suffix}", icc_profile=swapped_profile(), **options)
    photo = read_photo(tmp_path / f"red{suffix}")
    np.testing.assert_allclose(photo.getpixel((9, 9)), (0, 0, 255), atol=4)
    assert "icc_profile" not in photo.info


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_what_follows_the_photo_is_not_read(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"tail{suffix}"
    ramp().save(path, **({"progressive": True} if suffix == ".jpg" else {}))
    os.truncate(path, 1_200_000_000)
    read = []

    class Counted(io.FileIO):
        def read(self, size=-1):
            content = super().read(size)
            read.append(len(content))
            return content

    with Counted(path) as file:
        assert read_photo(file).size == (64, 64)
    assert sum(read) < 450_000_000


@pytest.mark.parametrize(
    ("make", "kind"),
    [("NIKON CORPORATION", "NEF"), ("SONY", "ARW"), ("PENTAX", "PEF"), ("", "DNG")],
)
def test_a_tiff_whose_first_page_is_a_preview_is_refused(tmp_path, make, kind):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254], tags[271], tags[330] = 1, make, 8
    if kind == "DNG":
        tags[50706] = bytes((1, 4, 0, 0))
        tags.tagtype[50706] = 1
    ramp().save(tmp_path / "raw.tif", tiffinfo=tags)
    with pytest.raises(FaceSegKitError, match=rf"raw.tif is a camera's raw file \({kind}\)"):
        read_photo(tmp_path / "raw.tif")


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"II*\0\x10\0\0\0CR\2\0", "CR2"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "CR3"),
        (b"FUJIFILMCCD-RAW 0201", "RAF"),
        (b"IIRO\x08\0\0\0", "ORF"),
        (b"IIU\0\x18\0\0\0", "RW2"),
    ],
)
def test_raw_files_are_known_by_their_content(tmp_path, start, kind):
    (tmp_path / "photo.jpg").write_bytes(start + bytes(200))
    with pytest.raises(FaceSegKitError, match=rf"camera's raw file \({kind}\)"):
        read_photo(tmp_path / "photo.jpg")


def test_heic_is_known_by_its_content(tmp_path):
    path = tmp_path / "photo.jpg"
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        path.write_bytes(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(99))
        with pytest.raises(FaceSegKitError, match=r"photo.jpg is a HEIC photo; run pip install"):
            read_photo(path)
    else:
        pillow_heif.register_heif_opener()
        ramp().save(path, format="HEIF", quality=-1)
        np.testing.assert_allclose(np.asarray(read_photo(path)), ramp(), atol=4)
