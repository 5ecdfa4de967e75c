"""Packing: the arrays, killing it half-way, changed sources, bad pairs, full disks."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TinyDataSet, mask_image
from PIL import Image

from facesegkit.data import cache as cache_module
from facesegkit.data.cache import DatasetCache, build_cache, default_cache
from facesegkit.data.cache_worker import pack_rows
from facesegkit.data.celebamask_hq import Archive, hash_split
from facesegkit.errors import FaceSegKitError
from facesegkit.labels import paint_parts

# The ids of `data_set`, of which 17 and 3999 are bad in `broken`.
IDS = [0, 1, 5, 6, 9, 17, 100, 1999, 2000, 2001, 2501, 3999]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def broken(data_set: TinyDataSet) -> TinyDataSet:
    """`data_set` with a truncated photo and a mask of another size."""
    photo = data_set.photo(17)
    photo.write_bytes(photo.read_bytes()[: photo.stat().st_size // 2])
    mask_image(np.ones((30, 20), dtype=bool), "L").save(data_set.mask(3999, "skin"))
    return data_set


def pack(root: Path, cache: Path, strict: bool = False) -> DatasetCache:
    return build_cache(root, cache, workers=2, strict=strict, progress=False)


def digests(cache: Path) -> dict[str, str]:
    names = ("photos.npy", "labels.npy", "state")
    return {name: hashlib.sha256((cache / name).read_bytes()).hexdigest() for name in names}


# --- The arrays ---------------------------------------------------------------------------------


def test_rows_hold_what_the_files_hold(data_set: TinyDataSet, cache: Path) -> None:
    packed = pack(data_set.root, cache)
    assert packed.ids.tolist() == IDS
    assert packed.photos.shape == (12, 256, 256, 3) and packed.photos.dtype == np.uint8
    assert packed.labels.shape == (12, 512, 512) and packed.labels.dtype == np.uint8
    for row, photo_id in enumerate(IDS):
        masks = data_set.masks[photo_id]
        label_map = Image.fromarray(paint_parts(masks, masks["skin"].shape))
        np.testing.assert_array_equal(packed.labels[row], label_map.resize((512, 512), 0))
        photo = Image.open(data_set.photo(photo_id)).resize((256, 256))
        error = np.abs(packed.photos[row].astype(int) - np.asarray(photo)).mean()
        assert error < 3, photo_id


def test_zip_gives_the_same_arrays(data_set: TinyDataSet, cache: Path, tmp_path: Path) -> None:
    pack(data_set.root, cache)
    pack(data_set.zip(tmp_path / "faces.zip", "CelebAMask-HQ/"), tmp_path / "other")
    assert digests(cache) == digests(tmp_path / "other")


def test_rows_of_the_splits(data_set: TinyDataSet, cache: Path) -> None:
    data_set.add(24)
    packed = pack(data_set.root, cache)
    assert packed.rows("all").tolist() == list(range(13))
    for split in ("train", "val", "test"):
        ids = packed.ids[packed.rows(split)].tolist()
        assert ids and ids == [i for i in sorted([*IDS, 24]) if hash_split(i) == split]
    assert packed.summary() == (
        f"13 pairs of {data_set.root.name}: {len(packed.rows('train'))} train, "
        f"{len(packed.rows('val'))} val, {len(packed.rows('test'))} test "
        f"(split: hash of the id, 80/10/10)"
    )
    with pytest.raises(FaceSegKitError, match="There is no split 'training'"):
        packed.rows("training")


def test_empty_split(empty_data_set: TinyDataSet, cache: Path) -> None:
    bad = next(photo_id for photo_id in range(1, 100) if hash_split(photo_id) == "train")
    for photo_id in (0, bad):
        empty_data_set.add(photo_id)
    empty_data_set.photo(bad).write_bytes(b"no photo")
    with pytest.raises(FaceSegKitError, match=r"The test split of .* is empty \(good pairs: 1, "):
        pack(empty_data_set.root, cache).rows("test")


def test_arrays_are_read_only(data_set: TinyDataSet, cache: Path) -> None:
    packed = pack(data_set.root, cache)
    assert isinstance(packed.photos, np.memmap) and not packed.photos.flags.writeable
    assert isinstance(packed.labels, np.memmap) and not packed.labels.flags.writeable


def test_default_cache(
    data_set: TinyDataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    packed = build_cache("CelebAMask-HQ/CelebA-HQ-img", progress=False)
    assert packed.cache == default_cache(data_set.root)
    assert packed.cache.parent == Path("data/cache")
    assert packed.cache.name.startswith("CelebAMask-HQ-") and len(packed.cache.name) == 14 + 8
    larger = build_cache(data_set.root, photo_size=320, progress=False)
    assert larger.cache == default_cache(data_set.root, 320)
    assert larger.cache == packed.cache.with_name(f"{packed.cache.name}-320")
    assert DatasetCache.open(packed.cache).photos.shape == (
        12,
        256,
        256,
        3,
    )  # it has stayed as it was


def test_workers_do_without_torch() -> None:
    code = "import sys, facesegkit.data.cache; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_progress_bar(
    data_set: TinyDataSet, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_cache(data_set.root, cache)
    assert "12/12" in (shown := capsys.readouterr().err) and "photos/s" in shown


# --- Going on, and starting anew ----------------------------------------------------------------


def test_progress_begins_where_it_was(
    data_set: TinyDataSet, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack(data_set.root, cache)
    edit_manifest(cache, complete=False)
    (cache / "state").write_bytes(b"\1" * 9 + bytes(3))
    build_cache(data_set.root, cache)
    shown = capsys.readouterr().err.split("\r")
    assert "9/12" in shown[1] and "12/12" in shown[-1]


def test_what_is_to_be_replaced_counts_for_nothing_any_more(
    data_set: TinyDataSet, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(data_set.root, cache)
    edit_manifest(cache, photo_size=64)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "open_memmap", fail)
        with pytest.raises(FaceSegKitError, match="No space left"):
            pack(data_set.root, cache)
    assert not (cache / "manifest.json").exists()


def test_forgotten_rows_are_told(
    data_set: TinyDataSet, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "_fill", lambda *_: {})
        with pytest.raises(FaceSegKitError, match="Not all pairs have come to lie in .*cache; run"):
            pack(data_set.root, cache)
    assert len(pack(data_set.root, cache).rows()) == 12


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for a parent that never asks for its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] == "Z"
    except OSError:
        return True


def wait_until_gone(pids: list[int], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if all(has_ended(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def kill_when_begun(root: Path, cache: Path) -> list[int]:
    """Run `build_cache`, kill it as soon as a row is packed; returns its worker processes."""
    code = (
        "import sys, facesegkit.data.cache as p; p.build_cache(sys.argv[1], sys.argv[2], workers=1)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(root), str(cache)], stderr=subprocess.DEVNULL
    )
    state = cache / "state"
    while not (state.exists() and any(state.read_bytes())):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.001)
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return workers


@pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="finds processes in /proc"
)
def test_killed_and_run_again(empty_data_set: TinyDataSet, cache: Path, tmp_path: Path) -> None:
    for photo_id in range(16):
        empty_data_set.add(photo_id, mode="RGB", mask_size=(256, 256))
    for photo_id in range(16, 200):  # the same files again: quick to make, slow to pack
        os.link(empty_data_set.photo(photo_id % 16), empty_data_set.photo(photo_id))
        for part in empty_data_set.masks[photo_id % 16]:
            os.link(empty_data_set.mask(photo_id % 16, part), empty_data_set.mask(photo_id, part))
    workers = kill_when_begun(empty_data_set.root, cache)
    assert workers and wait_until_gone(workers)
    state = np.fromfile(cache / "state", dtype=np.uint8)
    assert 0 < state.sum() < 200
    with pytest.raises(FaceSegKitError, match="run prepare first"):
        DatasetCache.open(cache)

    photos = np.load(cache / "photos.npy", mmap_mode="r+")
    row = int(np.flatnonzero(state)[0])
    original = photos[row].copy()
    photos[row] = 77
    pack(empty_data_set.root, cache)
    assert (photos[row] == 77).all(), "a finished row was packed again"
    photos[row] = original

    pack(empty_data_set.root, tmp_path / "in one go")
    assert digests(cache) == digests(tmp_path / "in one go")


def test_finished_cache_is_only_opened(
    data_set: TinyDataSet, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(data_set.root, cache)
    monkeypatch.setattr(cache_module, "_fill", None)
    assert len(pack(data_set.root, cache).ids) == 12


def test_another_version_or_size_is_made_anew(
    data_set: TinyDataSet, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack(data_set.root, cache)
    for key, said in {
        "format": "another version of facesegkit made it",
        "photo_size": "its photos have another size",
        "annotation_size": "its label maps have another size",
    }.items():
        manifest = json.loads((cache / "manifest.json").read_text())
        (cache / "manifest.json").write_text(json.dumps({**manifest, key: 0}))
        pack(data_set.root, cache)
        assert capsys.readouterr().err == f"{cache} is made anew: {said}.\n"
    assert json.loads((cache / "manifest.json").read_text())["photo_size"] == 256


def test_changed_files_are_noticed(
    data_set: TinyDataSet, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = pack(data_set.root, cache)
    mask_image(np.ones((40, 72), dtype=bool), "L").save(data_set.mask(5, "cloth"))
    after = pack(data_set.root, cache)
    assert (after.labels[2] == 18).all()
    assert (before.labels[2] != 18).any(), "the old arrays were overwritten while in use"
    os.utime(data_set.photo(5), ns=(1, 1))
    pack(data_set.root, cache)
    data_set.add(4000)
    assert len(pack(data_set.root, cache).ids) == 13
    said = f"{cache} is made anew: files of {data_set.root} have changed since.\n"
    assert capsys.readouterr().err == 3 * said


def edit_manifest(cache: Path, **changes: Any) -> None:
    manifest = json.loads((cache / "manifest.json").read_text())
    (cache / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def damage_the_head(cache: Path) -> None:
    with (cache / "photos.npy").open("r+b") as file:
        file.write(b"no array")


DAMAGES: list[tuple[str, Callable[[Path], Any]]] = [
    ("another version of facesegkit made it", lambda at: (at / "manifest.json").write_text("{")),
    ("another version of facesegkit made it", lambda at: (at / "manifest.json").write_text("[1]")),
    ("its manifest is damaged", lambda at: edit_manifest(at, ids=[0, 2])),
    ("its manifest is damaged", lambda at: edit_manifest(at, splits=["val", "test"])),
    ("its manifest is damaged", lambda at: edit_manifest(at, bad=None)),
    ("its file labels.npy is missing", lambda at: (at / "labels.npy").unlink()),
    ("its file state is missing", lambda at: (at / "state").unlink()),
    ("its file state is damaged", lambda at: (at / "state").write_bytes(b"\1")),
    ("its arrays are damaged (photos.npy has a damaged head)", damage_the_head),
    (
        "its arrays are damaged (labels.npy is uint8 [1, 512, 512])",
        lambda at: np.save(at / "labels.npy", np.zeros((1, 512, 512), np.uint8)),
    ),
    (
        "its arrays are damaged (labels.npy is int8 [2, 512, 512])",
        lambda at: np.save(at / "labels.npy", np.zeros((2, 512, 512), np.int8)),
    ),
]


@pytest.mark.parametrize(("said", "damage"), DAMAGES)
def test_damaged_cache_is_made_anew(
    said: str,
    damage: Callable[[Path], Any],
    empty_data_set: TinyDataSet,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for photo_id in (0, 1):
        empty_data_set.add(photo_id)
    pack(empty_data_set.root, cache)
    whole = digests(cache)
    damage(cache)
    pack(empty_data_set.root, cache)
    assert capsys.readouterr().err == f"{cache} is made anew: {said}.\n"
    assert digests(cache) == whole


def test_open_wants_a_finished_cache(cache: Path) -> None:
    with pytest.raises(FaceSegKitError, match=f"{cache} holds no packed data set"):
        DatasetCache.open(cache)


def test_open_says_what_is_damaged_and_what_to_do(empty_data_set: TinyDataSet, cache: Path) -> None:
    empty_data_set.add(0)
    pack(empty_data_set.root, cache)
    damage_the_head(cache)
    with pytest.raises(FaceSegKitError) as caught:
        DatasetCache.open(cache)
    assert str(caught.value) == (
        f"The packed data set in {cache} is damaged (photos.npy has a damaged head); "
        f"delete that folder and run prepare again."
    )


# --- Bad pairs ----------------------------------------------------------------------------------


def test_bad_pairs_are_named_and_the_rest_is_packed(
    broken: TinyDataSet, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = pack(broken.root, cache)
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "2 of 12 pairs are left out:"
    assert second.startswith("  CelebA-HQ-img/17.jpg cannot be read: ") and "truncated" in second
    assert third.startswith("  CelebAMask-HQ-mask-anno/1/03999_") and "20 x 30" in third
    assert second.endswith(".") and third.endswith(".")
    assert packed.ids[packed.rows()].tolist() == [i for i in IDS if i not in (17, 3999)]
    assert list(packed.bad) == [17, 3999]
    assert packed.summary().startswith("10 pairs of ")
    assert not packed.photos[5].any() and not packed.labels[11].any()


def test_bad_pairs_are_named_by_number_however_far_apart(
    empty_data_set: TinyDataSet, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [*range(8, 24), 100]  # which come in two pieces of work
    for photo_id in ids:
        empty_data_set.add(photo_id, {"nose": np.ones((4, 4), bool)}, mask_size=(4, 4))
    for photo_id in (9, 100):
        empty_data_set.photo(photo_id).write_bytes(b"no photo")
    assert sorted(pack(empty_data_set.root, cache).bad) == [9, 100]
    first, *reasons = capsys.readouterr().err.splitlines()
    assert first == "2 of 17 pairs are left out:"
    assert [reason.split()[0] for reason in reasons] == [
        "CelebA-HQ-img/9.jpg", "CelebA-HQ-img/100.jpg",
    ]  # fmt: skip


def test_ids_without_a_split_are_bad_pairs(data_set: TinyDataSet, cache: Path) -> None:
    lines = ["idx orig_idx orig_file", *(f"{i} {i} {i:06d}.jpg" for i in IDS if i != 9)]
    (data_set.root / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(lines))
    packed = pack(data_set.root, cache)
    assert packed.split_rule == "official"
    assert list(packed.bad) == [9] and len(packed.rows("train")) == 11
    assert "CelebA-HQ-to-CelebA-mapping.txt" in packed.bad[9]
    assert not packed.photos[IDS.index(9)].any()  # it has not been packed in vain


def test_strict_stops_at_a_bad_pair(broken: TinyDataSet, cache: Path) -> None:
    with pytest.raises(FaceSegKitError, match=r"17\.jpg cannot be read|20 x 30"):
        pack(broken.root, cache, strict=True)
    assert len(pack(broken.root, cache).bad) == 2
    with pytest.raises(FaceSegKitError, match=r"17\.jpg cannot be read"):
        pack(broken.root, cache, strict=True)


def test_all_pairs_bad(empty_data_set: TinyDataSet, cache: Path) -> None:
    for photo_id in (9, 100):  # of which the first is the first of these numbers, not of texts
        empty_data_set.add(photo_id)
        for part in empty_data_set.masks[photo_id]:
            empty_data_set.mask(photo_id, part).unlink()
    with pytest.raises(FaceSegKitError) as caught:
        pack(empty_data_set.root, cache)
    assert str(caught.value) == (
        f"None of the 2 pairs of {empty_data_set.root} can be used; "
        f"the first one: CelebA-HQ-img/9.jpg has no mask in CelebAMask-HQ-mask-anno."
    )


def test_a_file_that_cannot_be_read_now_is_no_bad_pair(data_set: TinyDataSet, cache: Path) -> None:
    pack(data_set.root, cache)
    archive = Archive(data_set.root)
    data_set.photo(5).unlink()  # as all are, when a drive is unplugged
    said = r"5\.jpg cannot be read: No such file or directory\. What is packed stays; run it again"
    with pytest.raises(FaceSegKitError, match=said):
        pack_rows(archive.files, cache, [(2, archive.pairs[5])])


@pytest.mark.skipif(sys.platform != "linux", reason="this system has no such names")
def test_strange_names_beside_the_photos_do_not_matter(data_set: TinyDataSet, cache: Path) -> None:
    (data_set.photo(0).parent / os.fsdecode(b"caf\xe9.jpg")).touch()
    assert len(pack(data_set.root, cache).ids) == 12


def test_nobody_packs_nothing(data_set: TinyDataSet, cache: Path) -> None:
    with pytest.raises(FaceSegKitError, match="0 workers pack nothing"):
        build_cache(data_set.root, cache, workers=0)


# --- Where it cannot write ----------------------------------------------------------------------


def test_folder_that_cannot_be_written(data_set: TinyDataSet, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FaceSegKitError, match="Packing into .*/cache failed: Not a directory; "):
        pack(data_set.root, tmp_path / "file" / "cache")


def test_too_little_space_is_noticed_beforehand(
    data_set: TinyDataSet, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(free=3_000_000))
    with pytest.raises(FaceSegKitError) as caught:
        pack(data_set.root, cache)
    assert str(caught.value) == (
        f"Packing needs 0.01 GB more in {cache}, but only 0.00 GB are free there; "
        f"make room or give another folder."
    )


def test_space_that_the_files_hold_already_is_not_asked_for(
    data_set: TinyDataSet, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(data_set.root, cache)
    edit_manifest(cache, complete=False)
    (cache / "state").write_bytes(bytes(12))
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(free=100_000))
    assert len(pack(data_set.root, cache).rows()) == 12


@pytest.fixture
def files_of_two_rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the disk were full after the second row, from when the arrays are begun."""
    start, limits = cache_module._start, resource.getrlimit(resource.RLIMIT_FSIZE)

    def start_on_a_full_disk(*arguments: object) -> None:
        start(*arguments)  # type: ignore[arg-type]
        resource.setrlimit(resource.RLIMIT_FSIZE, (128 + 2 * 512 * 512, limits[1]))

    monkeypatch.setattr(cache_module, "_start", start_on_a_full_disk)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("files_of_two_rows")
def test_disk_that_fills_up(data_set: TinyDataSet, cache: Path) -> None:
    with pytest.raises(FaceSegKitError) as caught:
        pack(data_set.root, cache)
    assert str(caught.value) == (
        f"Packing into {cache} failed: File too large; "
        f"what was packed stays, make room or give another folder and run it again."
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert len(pack(data_set.root, cache).rows()) == 12


class DeadFromTheStart(subprocess.Popen[bytes]):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.wait()


@pytest.mark.parametrize("process", [subprocess.Popen, DeadFromTheStart])
def test_worker_that_dies(
    data_set: TinyDataSet, cache: Path, monkeypatch: pytest.MonkeyPatch, process: Any
) -> None:
    monkeypatch.setattr(subprocess, "Popen", process)
    monkeypatch.setenv("PYTHONHASHSEED", "not a number")  # Python refuses to start with that
    with pytest.raises(
        FaceSegKitError, match=r"process that packed has ended unexpectedly \(exit code 1\); the"
    ):
        pack(data_set.root, cache)
    monkeypatch.undo()
    assert len(pack(data_set.root, cache).rows()) == 12


def test_archive_and_pack_agree(data_set: TinyDataSet, cache: Path) -> None:
    archive, packed = Archive(data_set.root), pack(data_set.root, cache)
    assert packed.ids.tolist() == list(archive.pairs)
    assert packed.splits.tolist() == [archive.split_of(photo_id) for photo_id in archive.pairs]
