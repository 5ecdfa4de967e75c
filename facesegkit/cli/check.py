"""`facesegkit check`: what a data set contains, what is doubtful in it, what training will do."""

import argparse
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from facesegkit.cli.common import check_all_succeeded, progress_bar
from facesegkit.course.annotation_checks import check_masks, measure_masks, read_masks
from facesegkit.data.celebamask_hq import (
    SPLITS,
    Archive,
    BadPair,
    Pair,
    read_label_map,
    read_photo,
    way_out,
)
from facesegkit.errors import FaceSegKitError, counted
from facesegkit.labels import PART_IDS, PARTS
from facesegkit.synthetic.annotator import FEATURES
from facesegkit.system.processes import cores, process_map

FEW = 10  # photos of a split whose metrics mean little
_AREA_FACTOR = 6  # a part this many times larger or smaller than usual is doubtful
_SHOWN = 6  # ids, files and reasons of each kind
_CHUNK = 8  # pairs that a process measures at a time


@dataclass(frozen=True)
class MeasuredPair:
    """What is seen in the files of a pair."""

    id: int
    numbers: NDArray[np.float64]  # [3, 19], see `annotation_checks.measure_masks`, of 512 x 512
    bad: str = ""


def run_check(options: argparse.Namespace) -> None:
    """Measure a data set and print the page; raises an error if some of its pairs are bad."""
    archive = Archive(options.root)
    pairs = list(archive.pairs.values())
    indices = np.linspace(0, len(pairs) - 1, min(options.pairs, len(pairs))).astype(int)
    chosen = [pairs[i] for i in indices]
    chunks = [chosen[i : i + _CHUNK] for i in range(0, len(chosen), _CHUNK)]
    measured: list[MeasuredPair] = []
    measure = partial(measure_pairs, archive)
    with progress_bar("pair") as update:
        results = process_map(measure, chunks, options.workers or cores(), doing="checked pairs")
        for _, some in results:
            measured += some
            update(len(measured), len(chosen))
    measured.sort(key=lambda pair: pair.id)
    good = [pair for pair in measured if not pair.bad]
    bad = [pair for pair in measured if pair.bad]
    print("\n".join([*_contents(archive, measured), *_doubts(archive, good), *_training(archive)]))
    message = f"{len(bad):,} of {counted(len(measured), 'pair')} cannot be used."
    check_all_succeeded(len(bad), len(measured), message)


def measure_pairs(archive: Archive, pairs: Sequence[Pair]) -> list[MeasuredPair]:
    """Measure pairs in a worker process."""
    return [_measure(archive, pair) for pair in pairs]


def _measure(archive: Archive, pair: Pair) -> MeasuredPair:
    numbers = np.full((3, 19), np.nan)
    try:
        read_photo(archive.files, pair, at_least=512)
        labels = read_label_map(archive.files, pair)
        numbers = measure_masks(read_masks(archive, pair))
    except BadPair as error:
        return MeasuredPair(pair.id, numbers, bad=str(error))
    height, width = labels.shape
    numbers *= np.array([512 * 512 / (height * width), 512 / height, 512 / width])[:, None]
    return MeasuredPair(pair.id, numbers)


def _contents(archive: Archive, measured: Sequence[MeasuredPair]) -> list[str]:
    lines = ["What is there", f"  {counted(len(archive.pairs), 'pair')} in {archive.files.path}"]
    if len(measured) < len(archive.pairs):
        lines.append(f"  {counted(len(measured), 'pair')} of them measured, spread evenly")
    if archive.ignored:
        names = _some(archive.ignored)
        lines.append(f"  ignored, as their names are no <id>.jpg or <id>_<part>.png: {names}")
    bad = [pair for pair in measured if pair.bad]
    lines += [f"  cannot be used: {pair.bad}" for pair in bad[:_SHOWN]]
    if len(bad) > _SHOWN:
        lines.append(f"  ... and {len(bad) - _SHOWN:,} more")
    lines.append("  part       masks   usual area (share of the photo)")
    areas = np.array([pair.numbers[0] for pair in measured])
    for number, part in enumerate(PARTS[1:], start=1):
        present = areas[:, number][~np.isnan(areas[:, number])]
        usual = f"{np.median(present) / 512**2:8.2%}" if len(present) else f"{'-':>8}"
        lines.append(f"  {part:9}{len(present):7,}  {usual}")
    return lines


def _doubts(archive: Archive, good: Sequence[MeasuredPair]) -> list[str]:
    lines = ["What is doubtful (look at these photos; they may be right)"]
    if good:
        numbers = np.array([pair.numbers for pair in good]).transpose(1, 0, 2)
        words = {"no file": "a feature has no mask", "empty file": "a mask is empty",
                 "wrong side": "left and right may be swapped (l_ is the person's own left)",
                 "wrong order": "parts are above each other in a wrong order",
                 "unusual place": "a part is far from its usual place"}  # fmt: skip
        reports = {words[name]: flags for name, flags in check_masks(numbers).items()}
        reports["a feature is much larger or smaller than usual"] = _unusual_areas(numbers[0])
        for words_of, flags in reports.items():
            if ids := [pair.id for pair, flag in zip(good, flags, strict=True) if flag]:
                lines.append(f"  {words_of}: {counted(len(ids), 'photo')}, ids {_some(ids)}")
    for ids in (same := duplicates(archive))[:_SHOWN]:
        splits = {archive.split_of(photo_id) for photo_id in ids}
        across = ", in different splits" if len(splits) > 1 else ""
        lines.append(f"  the same photo more than once: ids {_some(ids)}{across}")
    if len(same) > _SHOWN:
        lines.append(f"  ... and {len(same) - _SHOWN:,} more photos")
    return lines if len(lines) > 1 else [lines[0], "  nothing"]


def _unusual_areas(pixels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of N photos have a feature of an unusual area, from pixels [N, 19].

    Ears, hair and clothes vary too much.
    """
    pixels = pixels[:, [PART_IDS[part] for part in ("skin", *FEATURES)]]
    with np.errstate(all="ignore"):
        positive_areas = np.where(pixels > 0, pixels, np.nan)
        has_any = ~np.isnan(positive_areas).all(axis=0)
        usual = np.nanmedian(positive_areas[:, has_any], axis=0)
        factor = np.abs(np.log(positive_areas[:, has_any] / usual))
        return np.asarray((factor > np.log(_AREA_FACTOR)).any(axis=1))


def duplicates(archive: Archive) -> list[list[int]]:
    """Ids of photos whose files have the same content, each list of two or more."""
    by_size: defaultdict[int, list[Pair]] = defaultdict(list)
    for pair in archive.pairs.values():
        by_size[pair.photo.size].append(pair)
    by_content: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for size, pairs in by_size.items():
        for pair in pairs if len(pairs) > 1 else []:
            try:
                checksum = zlib.crc32(archive.files.read(pair.photo))
            except OSError:
                continue  # is told with the other bad pairs
            by_content[size, checksum].append(pair.id)
    return [ids for ids in by_content.values() if len(ids) > 1]


def _training(archive: Archive) -> list[str]:
    counts: Counter[str] = Counter()
    for photo_id in archive.pairs:
        try:
            counts[archive.split_of(photo_id)] += 1
        except FaceSegKitError:
            counts["none"] += 1
    numbers = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS)
    lines = ["What training will do", f"  split by: {archive.split_rule}", f"  photos: {numbers}"]
    if counts["none"]:
        lines.append(f"  without a split, not used: {counted(counts['none'], 'photo')}")
    for split in SPLITS:
        if not counts[split]:
            lines.append(f"  the {split} split is empty: {way_out(archive.split_rule)}")
        elif split != "train" and counts[split] < FEW:
            lines.append(f"  the {split} split is so small that its metrics mean little")
    return lines


def _some(items: Sequence[object] | Iterable[object]) -> str:
    """The first of some items, and how many more there are."""
    all_items = [str(item) for item in items]
    more = f" and {len(all_items) - _SHOWN:,} more" if len(all_items) > _SHOWN else ""
    return ", ".join(all_items[:_SHOWN]) + more
