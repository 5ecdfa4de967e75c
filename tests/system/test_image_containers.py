"""Odd kinds of image files: profiles, depths, texts, tails, and files that are no photos."""

import io
import os
import struct
import sys

import numpy as np
import pytest
from damage import refusals
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


def grey_profile(gamma=1.0):
    """An ICC profile (version 2) of grey values with this gamma."""
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256)) + bytes(2)
    white = b"XYZ " + struct.pack(">Iiii", 0, 63190, 65536, 54061)
    text = b"desc" + struct.pack(">II", 0, 2) + b"g\0" + bytes(78)
    parts = {b"desc": text + bytes(-len(text) % 4), b"wtpt": white, b"kTRC": curve}
    table, content = struct.pack(">I", len(parts)), b""
    for name, part in parts.items():
        table += name + struct.pack(">II", 132 + 12 * len(parts) + len(content), len(part))
        content += part
    size = 128 + len(table) + len(content)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02100000, b"mntr", b"GRAY", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061) + bytes(48)
    return head + table + content


def test_a_grey_profile_is_applied_to_grey_of_all_kinds(tmp_path):
    linear = Image.fromarray((RAMP * 255).astype(np.uint8))
    with_alpha = linear.copy()
    with_alpha.putalpha(255)
    deep = Image.fromarray((RAMP * 255).astype(np.uint8).astype(np.uint16) * 257)
    found = []
    for image in (linear, with_alpha, deep):
        image.save(tmp_path / "grey.png", icc_profile=grey_profile())
        found.append(np.asarray(read_photo(tmp_path / "grey.png"), int))
    assert found[0][0, 14, 0] == pytest.approx(130, abs=8)  # 14 / 63 of the light in sRGB
    assert all(np.abs(other - found[0]).max() <= 1 for other in found[1:])


@pytest.mark.parametrize("transparency", [None, 0])
def test_a_profile_is_applied_to_a_palette(tmp_path, transparency):
    image = Image.new("P", (32, 32), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    options = {} if transparency is None else {"transparency": transparency}
    image.save(tmp_path / "p.png", icc_profile=swapped_profile(), **options)
    photo = read_photo(tmp_path / "p.png")
    np.testing.assert_allclose(photo.getpixel((9, 9)), (0, 0, 255), atol=4)


@pytest.mark.parametrize(
    ("gamma", "srgb", "value"),
    [(1.0, False, 188), (1.0, True, 128), (1 / 2.2, False, 128), (0.0, False, 128),
     (1 / 1.8, False, 145)],
)  # fmt: skip
def test_the_gamma_of_a_png_counts_if_it_tells_no_more(tmp_path, gamma, srgb, value):
    info = PngImagePlugin.PngInfo()
    if srgb:
        info.add(b"sRGB", b"\0")
    info.add(b"gAMA", struct.pack(">I", round(gamma * 100_000)))
    Image.new("RGB", (8, 8), (128, 128, 128)).save(tmp_path / "g.png", pnginfo=info)
    assert read_photo(tmp_path / "g.png").getpixel((3, 3))[1] == pytest.approx(value, abs=2)


def test_lab_and_cmyk_are_read_as_the_colours_that_they_are(tmp_path):
    colour = Image.new("RGB", (16, 16), (200, 60, 30))
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    in_lab = ImageCms.profileToProfile(colour, srgb, lab, outputMode="LAB")
    for image in (colour.convert("CMYK"), in_lab):
        image.save(tmp_path / "c.tif")
        photo = read_photo(tmp_path / "c.tif")
        np.testing.assert_allclose(photo.getpixel((9, 9)), (200, 60, 30), atol=4)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\x0a" + bytes(99), "a JPEG XL image, which is not supported"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), "a JPEG XL image"),
        (b"%PDF-1.4" + bytes(99), "a PDF document"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "a video; give it a name that ends in .mp4"),
    ],
)
def test_what_is_no_photo_is_named(tmp_path, content, said):
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(FaceSegKitError, match=rf"photo.jpg is {said}"):
        read_photo(tmp_path / "photo.jpg")


@pytest.mark.parametrize("suffix", [".nef", ".ARW", ".dng", ".kdc"])
@pytest.mark.parametrize("is_tiff", [True, False])
def test_a_raw_file_of_any_camera_is_known_by_its_name(tmp_path, suffix, is_tiff):
    path = tmp_path / f"photo{suffix}"
    path.write_bytes(b"II*\0\x08\0\0\0\0\0" + bytes(99))
    if is_tiff:
        ramp().save(path, format="TIFF")
    kind = suffix[1:].upper()
    with pytest.raises(FaceSegKitError, match=rf"camera's raw file \({kind}\)"):
        read_photo(path)


def test_avif_and_webp_are_read_under_any_name(tmp_path):
    for kind, options in {"AVIF": {"quality": 95}, "WEBP": {"lossless": True}}.items():
        ramp().save(tmp_path / "photo.jpg", format=kind, **options)
        np.testing.assert_allclose(np.asarray(read_photo(tmp_path / "photo.jpg")), ramp(), atol=6)


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


def test_heic_is_known_by_its_content_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(99))
    said = r"photo.jpg is a HEIC photo; run pip install 'facesegkit\[heic\]', or save it as JPEG"
    with pytest.raises(FaceSegKitError, match=said):
        read_photo(path)


@pytest.fixture
def heif():
    package = pytest.importorskip("pillow_heif")
    package.register_heif_opener()
    return package


@pytest.mark.parametrize("name", ["photo.heic", "photo.jpg", "photo"])
def test_heic_is_read_whatever_its_name(heif, tmp_path, name):
    ramp().save(tmp_path / name, format="HEIF", quality=-1)
    np.testing.assert_allclose(np.asarray(read_photo(tmp_path / name)), ramp(), atol=4)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_is_turned_once(heif, tmp_path, orientation):
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:20, :30] = 255
    exif = Image.Exif()
    exif[274] = orientation
    stored = Image.fromarray(pixels)
    stored.save(tmp_path / "a.jpg", quality=95, exif=exif)
    stored.info["exif"] = exif.tobytes()  # written twice, as phones do: also as a box that counts
    stored.save(tmp_path / "a.heic", quality=95)
    one, other = (read_photo(tmp_path / name) for name in ("a.heic", "a.jpg"))
    assert one.size == other.size
    assert np.abs(np.asarray(one, int) - np.asarray(other, int)).mean() < 3


def test_the_profile_of_heic_is_applied(heif, tmp_path):
    red = Image.new("RGB", (64, 64), (255, 0, 0))
    red.save(tmp_path / "red.heic", quality=95, icc_profile=swapped_profile())
    photo = read_photo(tmp_path / "red.heic")
    np.testing.assert_allclose(photo.getpixel((9, 9)), (0, 0, 255), atol=8)


def test_a_damaged_heic_is_refused_in_one_sentence(heif, tmp_path):
    Image.effect_noise((64, 64), 50).convert("RGB").save(tmp_path / "a.heic")
    assert refusals(read_photo, tmp_path / "a.heic", 40) > 10
