"""Finding and reading CelebAMask-HQ: layouts, masks in all modes, damage, splits."""

import os
import re
import shutil
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED

import numpy as np
import pytest
from conftest import TinyDataSet, mask_image
from damage import refusals
from numpy.typing import NDArray
from PIL import Image

from facesegkit.data.celebamask_hq import Archive, BadPair, hash_split, read_photo
from facesegkit.errors import FaceSegKitError


def rows_of(*rows: str) -> NDArray[np.bool_]:
    return np.array([[sign == "#" for sign in row] for row in rows])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "P", "1"])
def test_label_map_equals_one_painted_by_hand(empty_data_set, mode):
    masks = {
        "u_lip": rows_of("....", "..##", "..##"),  # 11, over skin and nose
        "skin": rows_of("####", "####", "...."),  # 1
        "nose": rows_of(".##.", ".##.", ".#.."),  # 2, over skin
    }
    empty_data_set.add(3, masks, mode)
    photo, label_map = Archive(empty_data_set.root).read_pair(3)
    assert photo.mode == "RGB" and label_map.dtype == np.uint8
    assert label_map.tolist() == [[1, 2, 2, 1], [1, 2, 11, 11], [0, 2, 11, 11]]


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([[(0, 0, 1), (0, 0, 0), (1, 0, 0)]], np.uint8), [2, 0, 2]),  # all but black
        (np.array([[(9, 9, 9, 255), (9, 9, 9, 0), (0, 0, 0, 255)]], np.uint8), [2, 0, 0]),  # alpha
        (np.array([[0, 256, 0]], np.uint16), [0, 2, 0]),
    ],
)
def test_which_pixels_are_the_part(empty_data_set, pixels, expected):
    empty_data_set.add(0, {"nose": rows_of("...")})
    Image.fromarray(pixels).save(empty_data_set.mask(0, "nose"))
    assert Archive(empty_data_set.root).read_pair(0)[1].tolist() == [expected]


def test_a_large_photo_can_be_read_reduced(data_set):
    archive = Archive(data_set.root)
    assert [archive.read_pair(photo_id)[0].size for photo_id in (0, 1)] == [(96, 96), (520, 520)]
    assert read_photo(archive.files, archive.pairs[1], at_least=256).size == (260, 260)
    Image.new("L", (8, 8), 99).save(data_set.photo(1))
    assert archive.read_pair(1)[0].getpixel((0, 0)) == (99, 99, 99)


def all_arrays(root: Path) -> dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    archive = Archive(root)
    pairs = {photo_id: archive.read_pair(photo_id) for photo_id in archive.pairs}
    return {photo_id: (np.asarray(photo), label) for photo_id, (photo, label) in pairs.items()}


def assert_same(root: Path, data_set: TinyDataSet) -> None:
    expected, found = all_arrays(data_set.root), all_arrays(root)
    assert list(found) == list(expected)
    for photo_id, (photo, label_map) in expected.items():
        np.testing.assert_array_equal(found[photo_id][0], photo)
        np.testing.assert_array_equal(found[photo_id][1], label_map)


@pytest.mark.parametrize("level", ["..", "CelebA-HQ-img", "CelebAMask-HQ-mask-anno"])
def test_one_level_too_high_or_too_low(data_set, level):
    assert_same(data_set.root / level, data_set)


@pytest.mark.parametrize(
    ("prefix", "method"),
    [("", ZIP_DEFLATED), ("CelebAMask-HQ/", ZIP_STORED), ("some/where/", ZIP_DEFLATED)],
)
def test_zip_gives_the_same_as_the_folder(data_set, tmp_path, prefix, method):
    assert_same(data_set.zip(tmp_path / "faces.zip", prefix, method), data_set)


def test_hidden_and_foreign_files_are_ignored(data_set, tmp_path):
    path = data_set.zip(tmp_path / "faces.zip", "CelebAMask-HQ/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/CelebAMask-HQ/CelebA-HQ-img/._5.jpg", b"x")
        archive.writestr("__MACOSX/CelebAMask-HQ/CelebAMask-HQ-mask-anno/0/._00005_nose.png", b"x")
        archive.writestr("CelebAMask-HQ/CelebA-HQ-img/.DS_Store", b"x")
        archive.writestr("CelebAMask-HQ/README.txt", b"x")
        archive.writestr("A much longer path/CelebA-HQ-img/77.jpg", b"x")  # as of a second copy
        archive.writestr("A much longer path/CelebAMask-HQ-mask-anno/0/00077_skin.png", b"x")
    for name in (".DS_Store", "._5.jpg", "notes.txt", "cover.jpg"):
        (data_set.root / "CelebA-HQ-img" / name).write_bytes(b"x")
    shutil.copy(data_set.mask(0, "skin"), data_set.mask(0, "dimple"))  # an unknown part
    shutil.copy(data_set.mask(0, "skin"), data_set.mask(44, "skin"))  # without a photo
    assert_same(path, data_set)


def test_fingerprint_changes_with_the_files(data_set, tmp_path):
    def fingerprints():
        path = data_set.zip(tmp_path / "faces.zip")
        return {Archive(data_set.root).fingerprint, Archive(path).fingerprint}

    seen = fingerprints()
    assert Archive(data_set.zip(tmp_path / "b", "deeper/")).fingerprint in seen
    data_set.add(5, mode="P")
    seen |= fingerprints()
    data_set.mask(9, "skin").unlink()
    assert len(seen | fingerprints()) == 6


def message_of(root: Path) -> str:
    with pytest.raises(FaceSegKitError) as caught:
        Archive(root)
    return str(caught.value)


def test_other_folders(tmp_path, data_set):
    shutil.rmtree(data_set.root / "CelebAMask-HQ-mask-anno")
    assert "not the masks (CelebAMask-HQ-mask-anno)" in message_of(data_set.root)
    folder = tmp_path / "other"
    assert message_of(folder).startswith(f"There is no data set {folder};")
    folder.mkdir()
    expected = "expected the folders CelebA-HQ-img and CelebAMask-HQ-mask-anno"
    assert message_of(folder) == f"{folder} is empty; {expected} in it."
    for names, found in (("edcba", "a, b, c, d, e."), ("f", "a, b, c, d, e and 1 more.")):
        for name in names:
            (folder / name).mkdir()
        assert message_of(folder) == f"{folder} is not CelebAMask-HQ: {expected}, found {found}"


def test_no_photos(data_set):
    for photo in (data_set.root / "CelebA-HQ-img").iterdir():
        photo.rename(photo.with_suffix(".jpeg2000"))
    assert "has no photos: there is no CelebA-HQ-img/<id>.jpg" in message_of(data_set.root)


def test_files_that_are_not_the_data_set(data_set, tmp_path):
    path = data_set.zip(tmp_path / "faces.zip")
    for content in (b"not a zip", path.read_bytes()[:-2000]):
        path.write_bytes(content)
        assert "faces.zip is not a zip, or is damaged" in message_of(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cats/black/1.jpg", b"x")
    assert message_of(path).endswith("CelebAMask-HQ-mask-anno, found cats.")
    zipfile.ZipFile(path, "w").close()
    assert "faces.zip is empty; expected the folders" in message_of(path)


def test_encrypted_zip(data_set, tmp_path):
    path = data_set.zip(tmp_path / "faces.zip")
    content = bytearray(path.read_bytes())
    for found in re.finditer(rb"PK\x01\x02", bytes(content)):
        content[found.start() + 8] |= 1  # the flag in the table's entry
    path.write_bytes(content)
    assert message_of(path) == f"{path} is encrypted; unpack it and give the folder."


def reason_of(root: Path, photo_id: int) -> str:
    with pytest.raises(BadPair) as caught:
        Archive(root).read_pair(photo_id)
    return str(caught.value)


MASK = "CelebAMask-HQ-mask-anno/0/00005_"
BAD_PAIRS: dict[str, tuple[Callable[[TinyDataSet], object], str]] = {
    "truncated photo": (
        lambda data: os.truncate(data.photo(5), 1000),
        r"CelebA-HQ-img/5\.jpg cannot be read: .*truncated.*\.",
    ),
    "not a photo": (
        lambda data: data.photo(5).write_text("<html>no quota</html>"),
        r"CelebA-HQ-img/5\.jpg cannot be read: it is not an image, or is damaged\.",
    ),
    "a format that the data set does not have": (
        lambda data: Image.new("L", (9, 9)).save(data.photo(5), "SGI"),
        r"CelebA-HQ-img/5\.jpg cannot be read: it is not an image, or is damaged\.",
    ),
    "a photo of too many pixels": (
        lambda data: Image.new("L", (6000, 5001)).save(data.photo(5)),
        r"CelebA-HQ-img/5\.jpg cannot be read: it has 6000 x 5001 pixels\.",
    ),
    "truncated mask": (
        lambda data: os.truncate(data.mask(5, "skin"), 60),
        f"{MASK}skin.png cannot be read: .*",
    ),
    "mask of another size": (
        lambda data: mask_image(np.ones((3, 2), bool), "L").save(data.mask(5, "cloth")),
        f"{MASK}cloth.png is 2 x 3 pixels, but {MASK}skin.png is 72 x 40; they must have .*",
    ),
    "without masks": (
        lambda data: [data.mask(5, part).unlink() for part in data.masks[5]],
        r"CelebA-HQ-img/5\.jpg has no mask in CelebAMask-HQ-mask-anno\.",
    ),
}


@pytest.mark.parametrize(("damage", "said"), BAD_PAIRS.values(), ids=BAD_PAIRS)
def test_bad_pairs(damage, said, data_set):
    damage(data_set)
    assert re.fullmatch(said, reason_of(data_set.root, 5))


def test_damage_inside_a_zip(data_set, tmp_path):
    path = data_set.zip(tmp_path / "faces.zip", method=ZIP_STORED)
    entry = Archive(path).pairs[5].photo
    content = bytearray(path.read_bytes())
    for place, said in ((100, "there: the checksum differs."), (0, "there.")):
        content[entry.offset + place] ^= 0xFF
        path.write_bytes(content)
        assert reason_of(path, 5) == f"{entry.name} cannot be read: the zip is damaged {said}"


def test_a_zip_that_unpacks_to_gigabytes(data_set, tmp_path):
    os.truncate(data_set.photo(5), 300_000_000)
    path = data_set.zip(tmp_path / "faces.zip")
    assert path.stat().st_size < 1_000_000
    assert "300,000,000 bytes, more than any image here has" in reason_of(path, 5)


def test_a_zip_that_unpacks_to_more_than_it_says(data_set, tmp_path):
    data_set.photo(5).write_bytes(bytes(30_000_000))
    path = data_set.zip(tmp_path / "faces.zip")
    content, size = path.read_bytes(), (30_000_000).to_bytes(4, "little")
    path.write_bytes(content.replace(size, (1000).to_bytes(4, "little")))
    tracemalloc.start()
    reason = reason_of(path, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "the checksum differs" in reason and peak < 10_000_000


def test_any_damage_to_a_zip_is_reported_in_one_sentence(data_set, tmp_path):
    def read(path):
        archive = Archive(path)
        for photo_id in archive.pairs:
            with suppress(BadPair):
                archive.read_pair(photo_id)

    path = data_set.zip(tmp_path / "faces.zip")
    table = path.read_bytes().rindex(b"PK\x01\x02") - 4000  # the last part of the contents
    assert refusals(read, path, 200, intact=table) > 20


def test_unknown_compression_inside_a_zip(data_set, tmp_path):
    path = data_set.zip(tmp_path / "faces.zip", method=zipfile.ZIP_BZIP2)
    assert "only 'deflate' is supported" in reason_of(path, 5)


@pytest.mark.parametrize("zipped", [False, True])
def test_official_split_by_the_mapping_file(data_set, tmp_path, zipped):
    numbers = {0: 162_770, 1: 162_771, 5: 182_637, 6: 182_638, 77: 5}
    lines = [f"{idx:>8} {number:>8}   {number + 1:06d}.jpg" for idx, number in numbers.items()]
    heading = "     idx    orig_idx    orig_file\n"
    mapping = data_set.root / "CelebA-HQ-to-CelebA-mapping.txt"
    mapping.write_text(heading + "\n".join(lines) + "\n")
    archive = Archive(data_set.zip(tmp_path / "a.zip", "x/") if zipped else data_set.root)
    assert archive.split_rule == "official"
    assert [archive.split_of(i) for i in (0, 1, 5, 6)] == ["train", "val", "val", "test"]
    with pytest.raises(BadPair, match=r"CelebA-HQ-img/9\.jpg has no line in CelebA-HQ-to-CelebA"):
        archive.split_of(9)


def test_damaged_mapping_file(data_set):
    (data_set.root / "CelebA-HQ-to-CelebA-mapping.txt").write_text("idx orig_idx\n0 five\n")
    assert "CelebA-HQ-to-CelebA-mapping.txt in" in (message := message_of(data_set.root))
    assert "'five'" in message and "such as '5 100065 100066.jpg'" in message


def test_hash_split_never_changes(data_set):
    data_set.add(24)  # the only one of the test split
    archive = Archive(data_set.root)  # without a mapping file
    assert archive.split_rule == "hash of the id, 80/10/10"
    assert [archive.split_of(i) for i in archive.pairs] == [hash_split(i) for i in archive.pairs]
    splits = [hash_split(photo_id) for photo_id in range(60)]
    assert [i for i, split in enumerate(splits) if split == "val"] == [9, 14, 17, 23, 28]
    assert [i for i, split in enumerate(splits) if split == "test"] == [24, 27, 32, 55, 59]
    counts = Counter(hash_split(photo_id) for photo_id in range(30_000))
    assert counts["train"] == pytest.approx(24_000, rel=0.01)
    assert counts["val"] == pytest.approx(3_000, rel=0.05)
    assert counts["test"] == pytest.approx(3_000, rel=0.05)
