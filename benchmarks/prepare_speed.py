"""Speed and memory of building the data set cache (`build_cache`).

    python benchmarks/prepare_speed.py --data data/CelebAMask-HQ

measures the data set as it is; then 300 pairs resized to the original's sizes (photos of 1024 x
1024, RGB masks of 512 x 512), each five times, so that the start-up hardly counts; then the index
of 30,000 such pairs. Writes benchmarks/results/prepare_speed.json.

The fastest run is reported, since other programs can only slow one down; if they do, processor
time says more than wall time. For comparison: decoding the same files with Pillow and nothing else.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from facesegkit.data.cache import PHOTO_SIZE
from facesegkit.data.celebamask_hq import MASK_FOLDER, PHOTO_FOLDER, Archive

RESULTS = Path(__file__).parent / "results" / "prepare_speed.json"
WHOLE = 30_000  # pairs of the original

_PREPARE = """
import sys
from facesegkit.data.cache import build_cache
print(len(build_cache(sys.argv[1], sys.argv[2]).rows()))
"""

_INDEX = """
import resource, sys, time
from facesegkit.data.celebamask_hq import Archive
begin = time.perf_counter()
Archive(sys.argv[1])
print(time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measure_prepare(root: Path, runs: int) -> dict[str, Any]:
    """The fastest of some runs that cache all of `root`."""
    seconds, cpu, megabytes, pairs = min(time_prepare(root) for _ in range(runs))
    return {
        "pairs": pairs,
        "pairs per second": round(pairs / seconds, 1),
        "processor ms per pair": round(1000 * cpu / pairs, 2),
        "of it, decoding with Pillow alone": round(1000 * decoding_seconds(Archive(root)), 2),
        f"minutes for {WHOLE:,}": round(WHOLE * seconds / pairs / 60, 2),
        f"minutes for {WHOLE:,} by processor time": round(WHOLE * cpu / pairs / cores() / 60, 2),
        "peak MB of all processes": round(megabytes),
    }


def time_prepare(root: Path) -> tuple[float, float, float, int]:
    """Cache `root` in a process of its own: wall and processor seconds, peak MB, pairs."""
    with tempfile.TemporaryDirectory() as cache:
        before, begin = processor_seconds(), time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", _PREPARE, str(root), cache], stdout=subprocess.PIPE, text=True
        )
        megabytes = 0.0
        while process.poll() is None:
            megabytes = max(megabytes, tree_megabytes(process.pid))
            time.sleep(0.1)
        seconds = time.perf_counter() - begin
        pairs = int(process.communicate()[0])
    return seconds, processor_seconds() - before, megabytes, pairs


def processor_seconds() -> float:
    """Processor seconds of all finished child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def decoding_seconds(archive: Archive, count: int = 100) -> float:
    """Processor seconds for decoding a pair's files with Pillow, without reading them."""
    pairs = list(archive.pairs.values())
    contents = [
        [archive.files.read(entry) for entry in (pair.photo, *(mask for _, mask in pair.masks))]
        for pair in pairs[:: max(1, len(pairs) // count)]
    ]
    begin = time.process_time()
    for photo, *masks in contents:
        image = Image.open(io.BytesIO(photo))
        image.draft("RGB", (PHOTO_SIZE, PHOTO_SIZE))
        image.load()
        for mask in masks:
            Image.open(io.BytesIO(mask)).load()
    return (time.process_time() - begin) / len(contents)


def tree_megabytes(pid: int) -> float:
    """Resident memory of a process and its descendants; shared pages count repeatedly."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return own + sum(tree_megabytes(int(child)) for child in children)


def measure_index(root: Path) -> dict[str, float]:
    """List the files of `root` in a process of its own."""
    command = [sys.executable, "-c", _INDEX, str(root)]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    seconds, megabytes = (float(value) for value in printed.split())
    return {"pairs": WHOLE, "seconds": round(seconds, 2), "peak MB": round(megabytes)}


def write_original_size(data: Path, root: Path, count: int) -> None:
    """Some pairs of `data`, as ids 0, 1, ..., with the original's sizes and modes."""
    archive = Archive(data)
    pairs = list(archive.pairs.values())
    (root / PHOTO_FOLDER).mkdir(parents=True)
    for photo_id, pair in enumerate(pairs[:: max(1, len(pairs) // count)][:count]):
        photo, _ = archive.read_pair(pair.id)
        photo = photo.resize((1024, 1024), Image.Resampling.BICUBIC)
        photo.save(root / PHOTO_FOLDER / f"{photo_id}.jpg", quality=92)
        folder = root / MASK_FOLDER / str(photo_id // 2000)
        folder.mkdir(parents=True, exist_ok=True)
        for _, entry in pair.masks:
            mask = Image.open(io.BytesIO(archive.files.read(entry))).convert("RGB")
            part = Path(entry.name).name.partition("_")[2]
            mask.resize((512, 512), Image.Resampling.NEAREST).save(
                folder / f"{photo_id:05d}_{part}"
            )


def link_pairs(root: Path, whole: Path, count: int) -> None:
    """`count` pairs that are links to those of `root`, cyclically."""
    pairs = list(Archive(root).pairs.values())
    (whole / PHOTO_FOLDER).mkdir(parents=True)
    for photo_id in range(count):
        pair = pairs[photo_id % len(pairs)]
        os.link(root / pair.photo.name, whole / PHOTO_FOLDER / f"{photo_id}.jpg")
        folder = whole / MASK_FOLDER / str(photo_id // 2000)
        folder.mkdir(parents=True, exist_ok=True)
        for _, entry in pair.masks:
            part = Path(entry.name).name.partition("_")[2]
            os.link(root / entry.name, folder / f"{photo_id:05d}_{part}")


def cores() -> int:
    return len(os.sched_getaffinity(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a data set, folder or zip")
    parser.add_argument("--count", type=int, default=300, help="pairs at the original's size")
    parser.add_argument(
        "--runs", type=int, default=3, help="runs, of which the fastest is reported"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        few, five_times, whole = (Path(folder, name) for name in ("few", "five times", "whole"))
        write_original_size(options.data, few, options.count)
        link_pairs(few, five_times, 5 * options.count)
        link_pairs(few, whole, WHOLE)
        results = {
            "cores": cores(),
            "the data set as it is": measure_prepare(options.data, options.runs),
            "pairs of the original's size": measure_prepare(five_times, options.runs),
            f"index of {WHOLE:,} pairs": measure_index(whole),
        }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(RESULTS.read_text(), end="")


if __name__ == "__main__":
    main()
