"""Reading photos of any kind, and resizing them to a square."""

from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from damage import encoded, noise, png
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from facesegkit.cli.inputs import find_photos
from facesegkit.errors import FaceSegKitError
from facesegkit.image_io import PADDING, fit_square, read_photo, read_reduced, upright_rgb

EXIF_ORIENTATION = 0x0112

# The operation that converts the upright photo to the pixels stored with each EXIF orientation.
STORED = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def pattern(height: int = 20, width: int = 30) -> NDArray[np.uint8]:
    """RGB uint8 [H, W, 3] without any symmetry."""
    y, x = np.mgrid[:height, :width]
    return np.stack([8 * x, 12 * y, 255 - 4 * x - 6 * y], axis=2).astype(np.uint8)


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    return exif


def read_saved(image: Image.Image, path: Path, **options: Any) -> NDArray[np.uint8]:
    image.save(path, **options)
    photo = read_photo(path)
    assert photo.mode == "RGB"
    return np.asarray(photo)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_applied(orientation, suffix, tmp_path):
    upright = Image.fromarray(pattern())
    transpose = STORED[orientation]
    stored = upright if transpose is None else upright.transpose(transpose)
    path = tmp_path / f"photo.{suffix}"
    photo = read_saved(stored, path, exif=exif_of(orientation), lossless=True)
    np.testing.assert_array_equal(photo, pattern())
    small, size = read_reduced(path, 10)
    assert size == upright.size
    np.testing.assert_array_equal(np.asarray(small), pattern())


def test_unreadable_exif_data_is_ignored(tmp_path):
    exif = b"Exif\0\0MM\0*\xff\xff"
    photo = read_saved(Image.fromarray(pattern()), tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(photo, pattern())


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "bmp", "ppm", "gif", "jpg", "jp2"])
def test_formats(suffix, tmp_path):
    grey = Image.fromarray(pattern()[..., 0])
    photo = read_saved(grey.convert("RGB"), tmp_path / f"photo.{suffix}")
    np.testing.assert_allclose(photo, np.asarray(grey.convert("RGB")), atol=6)


def test_greyscale_and_one_bit(tmp_path):
    grey = pattern()[..., 0]
    photo = read_saved(Image.fromarray(grey), tmp_path / "photo.png")
    np.testing.assert_array_equal(photo, np.stack([grey] * 3, axis=2))
    photo = read_saved(Image.fromarray(grey > 100), tmp_path / "photo.png")
    np.testing.assert_array_equal(photo[..., 1], (grey > 100) * 255)


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (np.uint16, [0, 257, 32_896, 65_535], [0, 1, 128, 255]),
        (np.uint16, [2570], [160]),  # 12 bits in 16
        (np.int32, [0, 32_896, 65_535], [0, 128, 255]),
        (np.int32, [-100_000, 0, 100_000], [0, 128, 255]),
        (np.float32, [0.0, 0.5, 1.0], [0, 128, 255]),  # fractions
        (np.float32, [0.0, 100.0, 255.0], [0, 100, 255]),  # 8-bit values
        (np.float32, [0.0, 65535.0, 257.0], [0, 255, 1]),  # 16-bit values
        (np.float32, [-1.0, 0.0, 3.0], [0, 64, 255]),  # anything else: darkest to lightest
        (np.float32, [np.nan, 0.0, 1.0], [0, 0, 255]),
        (np.float32, [-3e38, 0, 3e38], [0, 128, 255]),  # must not overflow
        (np.float32, [-7, -7], [0, 0]),  # no range to divide by
    ],
)
def test_more_than_8_bits_are_scaled_not_clipped(dtype, values, expected, tmp_path):
    photo = read_saved(Image.fromarray(np.array([values], dtype)), tmp_path / "photo.tif")
    np.testing.assert_array_equal(photo[0, :, 0], expected)
    if dtype == np.uint16:
        other = Image.frombytes("I;16B", (len(values), 1), np.array(values, ">u2").tobytes())
        np.testing.assert_array_equal(np.asarray(upright_rgb(other))[0, :, 0], expected)


def test_alpha_is_blended_over_white(tmp_path):
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], dtype=np.uint8)
    photo = read_saved(Image.fromarray(pixels), tmp_path / "photo.png")
    np.testing.assert_array_equal(photo[0], [[10, 20, 30], [255, 255, 255], [127, 127, 127]])


@pytest.mark.parametrize("mode", ["LA", "La"])
def test_grey_with_alpha(mode):
    image = Image.frombytes("LA", (3, 1), bytes([0, 255, 0, 0, 0, 128])).convert(mode)
    photo = np.asarray(upright_rgb(image))
    np.testing.assert_array_equal(photo[0, :, 2], [0, 255, 127])


@pytest.mark.parametrize("options", [{}, {"transparency": 0}])
def test_palette(options, tmp_path):
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([9, 8, 7, 200, 100, 50])
    photo = read_saved(image, tmp_path / "photo.png", **options)
    np.testing.assert_array_equal(photo[0], [[255] * 3 if options else [9, 8, 7], [200, 100, 50]])


@pytest.mark.parametrize("suffix", ["jpg", "tif"])  # Pillow writes CMYK JPEG as Adobe does
def test_cmyk(suffix, tmp_path):
    photo = read_saved(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), tmp_path / f"photo.{suffix}")
    np.testing.assert_allclose(photo[8, 8], [0, 255, 255], atol=4)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    photo = read_saved(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(photo[0, 0], [255, 0, 0])


def test_an_open_file():
    file = BytesIO(encoded(Image.fromarray(pattern())))
    np.testing.assert_array_equal(np.asarray(read_photo(file)), pattern())
    with pytest.raises(FaceSegKitError, match="^the photo is not an image"):
        read_photo(BytesIO(b"text"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.jpg", None, "no photo"),
        ("", None, "folder"),
        ("x" * 300, None, "Cannot read"),
        ("empty.png", b"", "empty"),
        ("text.jpg", b"not a photo", "not an image"),
        ("phone.HEIC", b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        ("huge.pgm", b"P5 13000 13000 255\n", "too large"),  # our limit; a header claims the size
        ("huge.pgm", b"P5 20000 20000 255\n", "too large"),  # Pillow's own limit
    ],
)
def test_errors_say_what_is_wrong(name, content, said, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FaceSegKitError, match=said) as caught:
        read_photo(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7, 8])
def test_the_size_of_a_reduced_photo_that_is_almost_square(orientation):
    image = Image.new("RGB", (2048, 2047), "tan")
    file = BytesIO(encoded(image, "JPEG", exif=exif_of(orientation)))
    photo, shape = read_reduced(file, 512)
    assert photo.size == (1024, 1024)  # which does not say which side is longer
    assert shape == read_photo(file).size == ((2047, 2048) if orientation > 4 else (2048, 2047))


def test_too_many_pixels_are_not_decoded_and_too_little_memory_is_reported(monkeypatch):
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(FaceSegKitError, match="too large"):
        read_photo(BytesIO(png(13_000, 13_000)))
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", Mock(side_effect=MemoryError))
    with pytest.raises(FaceSegKitError, match="not enough memory for the photo"):
        read_photo(BytesIO(encoded(noise())))


def test_find_photos(tmp_path):
    with pytest.raises(FaceSegKitError, match="no photo"):
        find_photos(tmp_path)
    with pytest.raises(FaceSegKitError, match="Cannot read the folder"):
        find_photos(tmp_path / "missing")
    for name in ("b.jpg", "a.PNG", ".hidden.jpg", "notes.txt", "film.mpeg", "c.webp"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert [photo.name for photo in find_photos(tmp_path)] == ["a.PNG", "b.jpg", "c.webp"]
    with pytest.raises(FaceSegKitError, match="Not a directory"):
        find_photos(tmp_path / "b.jpg")


@pytest.mark.parametrize(
    ("photo_size", "box"),
    [((100, 100), (0, 0, 64, 64)), ((200, 100), (0, 16, 64, 48)), ((50, 100), (16, 0, 48, 64)),
     ((1, 1), (0, 0, 64, 64)), ((1, 200), (31, 0, 32, 64)), ((3000, 17), (0, 31, 64, 32))],
)  # fmt: skip
def test_fit_square(photo_size, box):
    square, found = fit_square(Image.new("RGB", photo_size, "red"), 64)
    assert found == box and square.size == (64, 64)
    pixels = np.asarray(square)
    inside = np.zeros((64, 64), dtype=bool)
    inside[found.slices] = True
    assert (pixels[inside] == (255, 0, 0)).all() and (pixels[~inside] == PADDING).all()


def test_shrinking_does_not_alias():
    stripes = np.zeros((1024, 1024, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    square, _ = fit_square(Image.fromarray(stripes), 64)
    np.testing.assert_allclose(np.asarray(square), 127, atol=3)


def striped_jpeg(path: Path, width: int, height: int, orientation: int = 1) -> Path:
    """A photo whose left half is red and whose upper quarter is brighter."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 150
    pixels[: height // 4] += 100
    Image.fromarray(pixels).save(path, quality=95, exif=exif_of(orientation))
    return path


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize(("width", "height"), [(1600, 1200), (1001, 1999), (800, 800), (90, 60)])
def test_a_reduced_photo_shows_the_same(tmp_path, width, height, orientation):
    path = striped_jpeg(tmp_path / "photo.jpg", width, height, orientation)
    full = read_photo(path)
    small, size = read_reduced(path, 100)
    assert size == full.size
    assert max(small.size) < max(width, height) / 4 or max(width, height) < 800
    assert min(100, max(width, height)) <= max(small.size)
    one, other = (np.asarray(fit_square(image, 64, size)[0], int) for image in (small, full))
    # Pixels on an edge may belong to either side.
    assert (np.abs(one - other).max(axis=2) > 12).mean() < 0.04


def test_other_formats_are_not_reduced():
    image = noise(500, 300)
    small, size = read_reduced(BytesIO(encoded(image)), 50)
    assert size == (500, 300)
    np.testing.assert_array_equal(np.asarray(small), np.asarray(image))


def test_a_truncated_photo_is_damaged_for_a_reduced_reading_too(tmp_path):
    path = striped_jpeg(tmp_path / "photo.jpg", 1600, 1200)
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(FaceSegKitError, match="photo.jpg is damaged or truncated"):
        read_reduced(path, 100)
