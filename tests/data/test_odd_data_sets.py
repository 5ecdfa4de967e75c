"""Data sets as people bring them: zips of other programs, few pairs, grey masks."""

import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from facesegkit.data.cache import build_cache
from facesegkit.data.celebamask_hq import (
    HASH_SPLIT,
    MAPPING_FILE,
    SMALL_SPLIT,
    SPLITS,
    Archive,
    BadPair,
    read_mask,
    small_splits,
)
from facesegkit.errors import FaceSegKitError
from facesegkit.labels import PART_IDS


def square(size=64):
    mask = np.zeros((size, size), dtype=bool)
    mask[16:48, 16:48] = True
    return mask


@pytest.mark.parametrize("prefix", ["", "CelebAMask-HQ\\", "data\\CelebAMask-HQ\\"])
def test_a_zip_with_backslashes_is_read(prefix, data_set, tmp_path):
    path = tmp_path / "backslashes.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(data_set.root.rglob("*.*")):
            info = zipfile.ZipInfo("x")
            info.filename = prefix + str(file.relative_to(data_set.root)).replace("/", "\\")
            archive.writestr(info, file.read_bytes())
        archive.writestr("__MACOSX\\x.jpg", b"x")
    of_zip, of_folder = Archive(path), Archive(data_set.root)
    assert list(of_zip.pairs) == list(of_folder.pairs)
    for photo_id in of_zip.pairs:
        labels = [archive.read_pair(photo_id)[1] for archive in (of_zip, of_folder)]
        np.testing.assert_array_equal(*labels)


def test_photos_without_masks_are_said_to_be_so(data_set, tmp_path):
    zipped = data_set.zip(tmp_path / "whole.zip", "CelebAMask-HQ/")
    photos_only = tmp_path / "photos_only.zip"
    with zipfile.ZipFile(zipped) as whole, zipfile.ZipFile(photos_only, "w") as part:
        for name in whole.namelist():
            if "mask-anno" not in name:
                part.writestr(name, whole.read(name))
    masks = data_set.root / "CelebAMask-HQ-mask-anno"
    masks.rename(tmp_path / "masks elsewhere")
    expected = r"has the photos \(CelebA-HQ-img\) but not the masks .* is the download complete"
    for root in (photos_only, data_set.root, data_set.root.parent):
        with pytest.raises(FaceSegKitError, match=expected):
            Archive(root)
    masks.mkdir()
    with pytest.raises(FaceSegKitError, match="has photos but no masks: there is no"):
        Archive(data_set.root)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png"])
@pytest.mark.parametrize("quality", [30, 75])
def test_masks_saved_as_jpeg_cover_what_is_half_white(suffix, quality, data_set):
    data_set.add(0, {"nose": square()})
    path = data_set.mask(0, "nose")
    image = Image.open(path).convert("L")
    path.unlink()
    image.save(path.with_suffix(f".{suffix}"), "JPEG", quality=quality)
    for others in path.parent.glob("00000_*"):
        if "nose" not in others.name:
            others.unlink()
    labels = Archive(data_set.root).read_pair(0)[1]
    assert np.isin(np.asarray(image.point(lambda v: v)), (0, 255)).all()
    assert np.mean((labels == PART_IDS["nose"]) != square()) < 0.005
    assert not labels[:12].any()  # JPEG rings a few pixels around an edge


def grey_edges(mode):
    """A mask with an edge of grey pixels, and what it covers."""
    values = np.full((64, 64), 0, dtype=np.uint8)
    values[16:48, 16:48] = 255
    values[15], values[48] = 127, 128
    return Image.fromarray(values).convert(mode), values > 127


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_the_grey_edges_of_a_mask_are_covered_from_128_on(mode, data_set):
    image, expected = grey_edges(mode)
    assert_covered(image, expected, data_set)


def assert_covered(image, expected, data_set):
    data_set.add(0, {"nose": square()})
    image.save(data_set.mask(0, "nose"))
    archive = Archive(data_set.root)
    entry = dict(archive.pairs[0].masks)[PART_IDS["nose"]]
    np.testing.assert_array_equal(read_mask(archive.files, entry), expected)


@pytest.mark.parametrize(
    ("dtype", "highest"),
    [(np.uint8, 1), (np.uint8, 13), (np.uint8, 100), (np.uint16, 65_535), (np.uint16, 1)],
)
def test_a_mask_of_two_values_covers_the_higher_one(dtype, highest, data_set):
    assert_covered(Image.fromarray(square().astype(dtype) * dtype(highest)), square(), data_set)


def test_edges_in_16_bits(data_set):
    values = square().astype(np.uint16) * np.uint16(65_535)
    values[15], values[48] = 32_767, 32_768
    assert_covered(Image.fromarray(values), values > 32_767, data_set)


def test_a_mask_that_is_nowhere_bright_is_bad(data_set, capsys):
    data_set.add(0, {"nose": square()})
    values = np.linspace(0, 100, 64 * 64).astype(np.uint8).reshape(64, 64)
    Image.fromarray(values).save(data_set.mask(0, "nose"))
    with pytest.raises(BadPair, match="has no pixel of 128 or more, but several shades up to 100"):
        Archive(data_set.root).read_pair(0)


@pytest.mark.parametrize("count", [3, 4, 7, 10, 20])
def test_a_small_data_set_has_all_splits(count, empty_data_set):
    for photo_id in range(count):
        empty_data_set.add(photo_id, {"nose": square()})
    archive = Archive(empty_data_set.root)
    splits = [archive.split_of(photo_id) for photo_id in archive.pairs]
    assert {*splits} == {*SPLITS}
    assert (
        splits.count("train") >= count - 2 * max(1, count // 10) or archive.split_rule == HASH_SPLIT
    )
    if archive.split_rule == SMALL_SPLIT:
        assert small_splits(list(range(count))) == dict(enumerate(splits))  # of the ids alone


def test_an_empty_split_says_the_way_out(empty_data_set, tmp_path):
    for photo_id in (0, 1):
        empty_data_set.add(photo_id, {"nose": square()})
    cache = build_cache(empty_data_set.root, tmp_path / "cache", progress=False)
    with pytest.raises(FaceSegKitError, match="give about 30 photos or more"):
        for split in SPLITS:
            cache.rows(split)
    lines = ["idx orig_idx orig_file", "0 5 000006.jpg", "1 6 000007.jpg"]
    (empty_data_set.root / MAPPING_FILE).write_text("\n".join(lines))
    cache = build_cache(empty_data_set.root, tmp_path / "cache", progress=False)
    with pytest.raises(FaceSegKitError, match=f"delete {MAPPING_FILE} to split by the id instead"):
        cache.rows("val")


def test_files_without_a_number_are_listed(data_set):
    Image.new("RGB", (9, 9)).save(data_set.root / "CelebA-HQ-img" / "anna.jpg")
    Image.new("L", (9, 9)).save(data_set.mask(0, "tail"))
    assert sorted(Archive(data_set.root).ignored) == [
        "CelebA-HQ-img/anna.jpg", "CelebAMask-HQ-mask-anno/0/00000_tail.png",
    ]  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="this system keeps no time of changes")
def test_a_change_that_keeps_size_and_time_is_noticed(data_set, tmp_path, capsys):
    mask = data_set.mask(0, "skin")
    build_cache(data_set.root, tmp_path / "cache", progress=False)
    before, content = mask.stat(), mask.read_bytes()
    mask.write_bytes(content[::-1])
    os.utime(mask, ns=(before.st_atime_ns, before.st_mtime_ns))
    build_cache(data_set.root, tmp_path / "cache", progress=False)
    assert "is built again: files of" in capsys.readouterr().err


def test_the_first_pairs_of_a_cache(data_set, tmp_path):
    cache = build_cache(data_set.root, tmp_path / "cache", progress=False)
    few = cache.first(5)
    assert few.summary().startswith("5 pairs of") and few.rows().tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(few.photos, cache.photos[:5])
