"""The data set cache: arrays, interruptions, changed files, bad pairs, full disks."""

import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import TinyDataSet, mask_image
from PIL import Image

from facesegkit.data import cache as cache_module
from facesegkit.data.cache import DatasetCache, build_cache, default_cache, write_rows
from facesegkit.data.celebamask_hq import Archive, hash_split
from facesegkit.errors import FaceSegKitError
from facesegkit.labels import paint_parts

# The ids of `data_set`; 17 and 3999 are bad in `broken`.
IDS = [0, 1, 5, 6, 9, 17, 100, 1999, 2000, 2001, 2501, 3999]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def broken(data_set: TinyDataSet) -> TinyDataSet:
    """`data_set` with a truncated photo and a mask of another size."""
    os.truncate(data_set.photo(17), data_set.photo(17).stat().st_size // 2)
    mask_image(np.ones((30, 20), dtype=bool), "L").save(data_set.mask(3999, "skin"))
    return data_set


def build(root: Path, cache: Path, workers: int = 2, **options: Any) -> DatasetCache:
    return build_cache(root, cache, workers=workers, progress=False, **options)


def digests(cache: Path) -> dict[str, str]:
    names = ("photos.npy", "labels.npy", "state")
    return {name: hashlib.sha256((cache / name).read_bytes()).hexdigest() for name in names}


def test_rows_contain_what_the_files_contain(data_set, cache, tmp_path):
    cached = build(data_set.root, cache)
    assert cached.ids.tolist() == IDS
    assert cached.photos.shape == (12, 256, 256, 3) and cached.photos.dtype == np.uint8
    assert cached.labels.shape == (12, 512, 512) and cached.labels.dtype == np.uint8
    for array in (cached.photos, cached.labels):
        assert isinstance(array, np.memmap) and not array.flags.writeable
    for row, photo_id in enumerate(IDS):
        masks = data_set.masks[photo_id]
        label_map = Image.fromarray(paint_parts(masks, masks["skin"].shape))
        np.testing.assert_array_equal(cached.labels[row], label_map.resize((512, 512), 0))
        photo = Image.open(data_set.photo(photo_id)).resize((256, 256))
        assert np.abs(cached.photos[row].astype(int) - np.asarray(photo)).mean() < 3, photo_id
    build(data_set.zip(tmp_path / "faces.zip", "CelebAMask-HQ/"), tmp_path / "other")
    assert digests(cache) == digests(tmp_path / "other")


def test_rows_of_the_splits(data_set, cache):
    data_set.add(24)
    if sys.platform == "linux":  # strange names beside the photos do not matter
        (data_set.photo(0).parent / os.fsdecode(b"caf\xe9.jpg")).touch()
    cached = build(data_set.root, cache)
    assert cached.rows("all").tolist() == list(range(13))
    for split in ("train", "val", "test"):
        ids = cached.ids[cached.rows(split)].tolist()
        assert ids and ids == [i for i in sorted([*IDS, 24]) if hash_split(i) == split]
    assert cached.summary() == (
        f"13 pairs of {data_set.root.name}: {len(cached.rows('train'))} train, "
        f"{len(cached.rows('val'))} val, {len(cached.rows('test'))} test "
        f"(split: hash of the id, 80/10/10)"
    )
    with pytest.raises(FaceSegKitError, match="There is no split 'training'"):
        cached.rows("training")


def test_empty_split(empty_data_set, cache):
    bad = next(photo_id for photo_id in range(1, 100) if hash_split(photo_id) == "train")
    for photo_id in (0, bad):
        empty_data_set.add(photo_id)
    empty_data_set.photo(bad).write_bytes(b"no photo")
    with pytest.raises(
        FaceSegKitError, match=r"is empty \(good pairs: 1, .*; give about 30 photos"
    ):
        build(empty_data_set.root, cache).rows("test")


def test_default_cache(data_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cached = build_cache("CelebAMask-HQ/CelebA-HQ-img", progress=False)
    assert cached.folder == default_cache(data_set.root)
    assert re.fullmatch("data/cache/CelebAMask-HQ-[0-9a-f]{8}", cached.folder.as_posix())
    larger = build_cache(data_set.root, photo_size=320, progress=False)
    assert larger.folder == default_cache(data_set.root, 320)
    assert larger.folder == cached.folder.with_name(f"{cached.folder.name}-320")
    assert DatasetCache.open(cached.folder).photos.shape == (12, 256, 256, 3)  # unchanged
    assert larger.photos.shape == (12, 320, 320, 3)
    np.testing.assert_array_equal(larger.labels, cached.labels)
    small = Image.fromarray(larger.photos[0]).resize((256, 256), Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(small, np.int16) - cached.photos[0]).mean() < 4


def test_workers_do_without_torch():
    code = "import sys, facesegkit.data.cache; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_finished_rows_are_kept_and_missing_ones_written(data_set, cache, capsys):
    build(data_set.root, cache)
    whole = digests(cache)
    photos = np.load(cache / "photos.npy", mmap_mode="r+")
    original = photos[0].copy()
    photos[0], photos[11] = 77, 77
    edit_manifest(cache, complete=False)
    with pytest.raises(FaceSegKitError, match="run prepare first"):
        DatasetCache.open(cache)
    (cache / "state").write_bytes(b"\1" * 9 + bytes(3))
    build_cache(data_set.root, cache)
    shown = capsys.readouterr().err.split("\r")
    assert "9/12" in shown[1] and "12/12" in shown[-1] and "photos/s" in shown[-1]
    assert (photos[0] == 77).all(), "a finished row was written again"
    photos[0] = original
    assert digests(cache) == whole


def test_a_cache_is_invalid_while_it_is_built_again(data_set, cache, monkeypatch):
    build(data_set.root, cache)
    edit_manifest(cache, photo_size=64)
    monkeypatch.setattr(cache_module, "open_memmap", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(data_set.root, cache)
    assert not (cache / "manifest.json").exists()


def test_missing_rows_are_an_error(data_set, cache, monkeypatch):
    monkeypatch.setattr(cache_module, "_fill", lambda *_: {})
    with pytest.raises(FaceSegKitError, match="Not all pairs have been written to .*; run"):
        build(data_set.root, cache)
    monkeypatch.undo()
    assert len(build(data_set.root, cache).rows()) == 12


def test_only_another_cache_is_built_again(data_set, cache, capsys, monkeypatch):
    build(data_set.root, cache)
    for key, said in {
        "format": "another version of facesegkit made it",
        "photo_size": "its photos have another size",
        "annotation_size": "its label maps have another size",
    }.items():
        edit_manifest(cache, **{key: 0})
        build(data_set.root, cache)
        assert capsys.readouterr().err == f"{cache} is built again: {said}.\n"
    monkeypatch.setattr(cache_module, "_fill", None)
    assert len(build(data_set.root, cache).ids) == 12
    manifest = json.loads((cache / "manifest.json").read_text())  # as this version writes it
    names = "format photo_size annotation_size fingerprint source split_rule ids splits bad"
    assert {*manifest} == {*names.split(), "complete"} and manifest["format"] == 2


def test_changed_files_are_noticed(data_set, cache, capsys):
    before = build(data_set.root, cache)
    mask_image(np.ones((40, 72), dtype=bool), "L").save(data_set.mask(5, "cloth"))
    after = build(data_set.root, cache)
    assert (after.labels[2] == 18).all()
    assert (before.labels[2] != 18).any(), "the old arrays were overwritten while in use"
    os.utime(data_set.photo(5), ns=(1, 1))
    build(data_set.root, cache)
    data_set.add(4000)
    assert len(build(data_set.root, cache).ids) == 13
    said = f"{cache} is built again: files of {data_set.root} have changed.\n"
    assert capsys.readouterr().err == 3 * said


def edit_manifest(cache: Path, **changes: Any) -> None:
    manifest = json.loads((cache / "manifest.json").read_text())
    (cache / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def write(name: str, content: str) -> Callable[[Path], object]:
    return lambda cache: (cache / name).write_text(content)


def save_labels(*shape: int, dtype: type = np.uint8) -> Callable[[Path], object]:
    return lambda cache: np.save(cache / "labels.npy", np.zeros(shape, dtype))


ANOTHER_VERSION = "another version of facesegkit made it"
DAMAGES: list[tuple[str, Callable[[Path], object]]] = [
    (ANOTHER_VERSION, write("manifest.json", "{")),
    (ANOTHER_VERSION, write("manifest.json", "[1]")),
    (ANOTHER_VERSION, write("manifest.json", "[" * 100_000)),
    ("its manifest is damaged", partial(edit_manifest, ids=[0, 2])),
    ("its manifest is damaged", partial(edit_manifest, ids=[0, "1"])),
    ("its manifest is damaged", partial(edit_manifest, splits=["val", "test"])),
    ("its manifest is damaged", partial(edit_manifest, splits=["val", []])),
    ("its manifest is damaged", partial(edit_manifest, bad=None)),
    ("its manifest is damaged", partial(edit_manifest, bad={"first": "?"})),
    ("its file labels.npy is missing", lambda cache: (cache / "labels.npy").unlink()),
    ("its file state is missing or damaged", lambda cache: (cache / "state").unlink()),
    ("its file state is missing or damaged", write("state", "\1")),
    ("its file photos.npy has a damaged header", write("photos.npy", "no array")),
    ("its file labels.npy has a damaged header", lambda c: os.truncate(c / "labels.npy", 128)),
    ("its file labels.npy contains uint8 [1, 512, 512]", save_labels(1, 512, 512)),
    ("its file labels.npy contains int8 [2, 512, 512]", save_labels(2, 512, 512, dtype=np.int8)),
]


@pytest.mark.parametrize(("said", "damage"), DAMAGES)
def test_a_damaged_cache_is_built_again(said, damage, empty_data_set, cache, capsys):
    for photo_id in (0, 1):
        empty_data_set.add(photo_id)
    build(empty_data_set.root, cache)
    whole = digests(cache)
    damage(cache)
    build(empty_data_set.root, cache)
    assert capsys.readouterr().err == f"{cache} is built again: {said}.\n"
    assert digests(cache) == whole


def test_open_needs_a_complete_cache(empty_data_set, cache):
    with pytest.raises(FaceSegKitError, match=f"{cache} is not a data set cache that this"):
        DatasetCache.open(cache)
    empty_data_set.add(0)
    build(empty_data_set.root, cache)
    (cache / "photos.npy").write_text("no array")
    with pytest.raises(FaceSegKitError) as caught:
        DatasetCache.open(cache)
    assert str(caught.value) == (
        f"The data set cache {cache} is damaged (its file photos.npy has a damaged header); "
        f"delete that folder and run prepare again."
    )
    edit_manifest(cache, splits="train")
    with pytest.raises(FaceSegKitError, match="its manifest is damaged"):
        DatasetCache.open(cache)


def test_bad_pairs_are_reported_and_skipped(broken, cache, capsys):
    cached = build(broken.root, cache)
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "2 of 12 pairs are skipped:"
    assert re.fullmatch(r"  CelebA-HQ-img/17\.jpg cannot be read: .*truncated.*\.", second)
    assert re.fullmatch(r"  CelebAMask-HQ-mask-anno/1/03999_.*20 x 30.*\.", third)
    assert cached.ids[cached.rows()].tolist() == [i for i in IDS if i not in (17, 3999)]
    assert list(cached.bad) == [17, 3999]
    assert cached.summary().startswith("10 pairs of ")
    assert not cached.photos[5].any() and not cached.labels[11].any()


def test_bad_pairs_are_reported_in_the_order_of_their_ids(empty_data_set, cache, capsys):
    for photo_id in (*range(8, 24), 100):  # two chunks of work
        empty_data_set.add(photo_id, {"nose": np.ones((4, 4), bool)}, mask_size=(4, 4))
    for photo_id in (9, 100):
        empty_data_set.photo(photo_id).write_bytes(b"no photo")
    assert sorted(build(empty_data_set.root, cache, workers=1).bad) == [9, 100]
    first, *reasons = capsys.readouterr().err.splitlines()
    assert first == "2 of 17 pairs are skipped:"
    assert [reason.split()[0] for reason in reasons] == [f"CelebA-HQ-img/{i}.jpg" for i in (9, 100)]


def test_ids_without_a_split_are_bad_pairs(data_set, cache):
    lines = ["idx orig_idx orig_file", *(f"{i} {i} {i:06d}.jpg" for i in IDS if i != 9)]
    (data_set.root / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(lines))
    cached = build(data_set.root, cache)
    assert cached.split_rule == "official"
    assert list(cached.bad) == [9] and len(cached.rows("train")) == 11
    assert "CelebA-HQ-to-CelebA-mapping.txt" in cached.bad[9]
    assert not cached.photos[IDS.index(9)].any()  # it has not been read in vain


def test_strict_stops_at_a_bad_pair(broken, cache):
    with pytest.raises(FaceSegKitError, match=r"17\.jpg cannot be read|20 x 30"):
        build(broken.root, cache, strict=True)
    assert len(build(broken.root, cache).bad) == 2
    with pytest.raises(FaceSegKitError, match=r"17\.jpg cannot be read"):
        build(broken.root, cache, strict=True)


def test_all_pairs_bad(empty_data_set, cache):
    for photo_id in (9, 100):  # ordered as numbers, not as texts
        empty_data_set.add(photo_id)
        empty_data_set.photo(photo_id).write_bytes(b"x")
    with pytest.raises(FaceSegKitError) as caught:
        build(empty_data_set.root, cache)
    assert str(caught.value) == (
        f"None of the 2 pairs of {empty_data_set.root} can be used; "
        f"the first one: CelebA-HQ-img/9.jpg cannot be read: it is not an image, or is damaged."
    )


def test_what_a_worker_writes(broken, cache):
    cached, expected = build(broken.root, cache), digests(cache)
    for name in ("photos.npy", "labels.npy"):
        np.load(cache / name, mmap_mode="r+")[...] = 0
    archive = Archive(broken.root)
    jobs = list(enumerate(archive.pairs.values()))
    assert write_rows(archive.files, cache, jobs) == cached.bad
    assert digests(cache) == expected


def test_a_file_that_is_unreadable_for_now_is_no_bad_pair(data_set, cache):
    build(data_set.root, cache)
    archive = Archive(data_set.root)
    data_set.photo(5).unlink()  # like all files of an unplugged drive
    said = r"5\.jpg cannot be read: No such file or directory\. Run it again when that is fixed"
    with pytest.raises(FaceSegKitError, match=said):
        write_rows(archive.files, cache, [(2, archive.pairs[5])])


def test_invalid_arguments(data_set, cache, tmp_path):
    with pytest.raises(FaceSegKitError, match="with 0 workers"):
        build_cache(data_set.root, cache, workers=0)
    (tmp_path / "file").touch()
    with pytest.raises(FaceSegKitError, match="Cannot write the .*/cache: Not a directory; "):
        build(data_set.root, tmp_path / "file" / "cache")


def test_too_little_space_is_reported_in_advance(data_set, cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3_000_000))
    with pytest.raises(FaceSegKitError) as caught:
        build(data_set.root, cache)
    assert str(caught.value) == (
        f"The data set cache needs 0.01 GB more in {cache}, but only 0.00 GB are free; make room "
        f"or give another folder."
    )
    monkeypatch.undo()
    build(data_set.root, cache)
    edit_manifest(cache, complete=False)
    (cache / "state").write_bytes(bytes(12))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    assert len(build(data_set.root, cache).rows()) == 12  # the files occupy the space already


@pytest.fixture
def files_of_two_rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the disk were full after the second row, once the arrays have been created."""
    start, limits = cache_module._start, resource.getrlimit(resource.RLIMIT_FSIZE)

    def start_on_a_full_disk(folder: Path, manifest: cache_module.Manifest) -> Any:
        started = start(folder, manifest)
        resource.setrlimit(resource.RLIMIT_FSIZE, (128 + 2 * 512 * 512, limits[1]))
        return started

    monkeypatch.setattr(cache_module, "_start", start_on_a_full_disk)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("files_of_two_rows")
def test_disk_that_fills_up(data_set, cache):
    with pytest.raises(FaceSegKitError) as caught:
        build(data_set.root, cache)
    assert str(caught.value) == (
        f"Cannot write the data set cache {cache}: File too large; make room or give another "
        f"folder and run it again, rows written so far are kept."
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert len(build(data_set.root, cache).rows()) == 12


class DeadFromTheStart(subprocess.Popen):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.wait()


@pytest.mark.parametrize("process", [subprocess.Popen, DeadFromTheStart])
def test_worker_that_dies(data_set, cache, monkeypatch, process):
    monkeypatch.setattr(subprocess, "Popen", process)
    monkeypatch.setenv("PYTHONHASHSEED", "not a number")  # Python refuses to start with that
    said = r"process that built the data set cache has ended unexpectedly \(exit code 1\); run"
    with pytest.raises(FaceSegKitError, match=said):
        build(data_set.root, cache)
    monkeypatch.undo()
    assert len(build(data_set.root, cache).rows()) == 12
