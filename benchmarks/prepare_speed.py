"""Speed and memory of building the data set cache (`build_cache`).

    python benchmarks/prepare_speed.py --data data/CelebAMask-HQ

measures the data set as it is; then 300 pairs resized to the original's sizes (photos of 1024 x
1024, RGB masks of 512 x 512), each five times, so that the start-up hardly counts. Writes
benchmarks/results/prepare_speed.json.

The fastest run is reported, since other programs can only slow one down; if they do, processor
time says more than wall time.
"""

import argparse
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import save_results
from PIL import Image

from facesegkit.data.celebamask_hq import MASK_FOLDER, PHOTO_FOLDER, Archive
from facesegkit.system.processes import cores

REPEATED = 5  # times that each pair of the original's size is there
PREPARE = """
import sys
from facesegkit.data.cache import build_cache
print(len(build_cache(sys.argv[1], sys.argv[2]).rows()))
"""


def measure(root: Path, runs: int) -> dict[str, Any]:
    """The fastest of some runs that cache all of `root`."""
    seconds, cpu, megabytes, pairs = min(time_prepare(root) for _ in range(runs))
    return {
        "pairs": pairs,
        "pairs per second": round(pairs / seconds, 1),
        "processor ms per pair": round(1000 * cpu / pairs, 2),
        "minutes for 30,000": round(500 * seconds / pairs, 2),
        "minutes for 30,000 by processor time": round(500 * cpu / pairs / cores(), 2),
        "peak MB of all processes": round(megabytes),
    }


def time_prepare(root: Path) -> tuple[float, float, float, int]:
    """Cache `root` in a process of its own: wall and processor seconds, peak MB, pairs."""
    with tempfile.TemporaryDirectory() as cache:
        before, started = processor_seconds(), time.perf_counter()
        command = [sys.executable, "-c", PREPARE, str(root), cache]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        megabytes = 0.0
        while process.poll() is None:
            megabytes = max(megabytes, tree_megabytes(process.pid))
            time.sleep(0.1)
        seconds = time.perf_counter() - started
        pairs = int(process.communicate()[0])
    return seconds, processor_seconds() - before, megabytes, pairs


def processor_seconds() -> float:
    """Processor seconds of all finished child processes."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])  # in user and system mode


def tree_megabytes(pid: int) -> float:
    """Resident memory of a process and its descendants; shared pages count repeatedly."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return own + sum(tree_megabytes(int(child)) for child in children)


def write_original_size(data: Path, root: Path, count: int) -> None:
    """Some pairs of `data`, with the original's sizes and modes, each of them several times."""
    archive = Archive(data)
    pairs = list(archive.pairs.values())
    pairs = pairs[:: max(1, len(pairs) // count)][:count]
    (root / PHOTO_FOLDER).mkdir(parents=True)
    for number, pair in enumerate(pairs):
        photo, _ = archive.read_pair(pair.id)
        photo = photo.resize((1024, 1024), Image.Resampling.BICUBIC)
        masks = [
            (Path(entry.name).name.partition("_")[2], archive.files.read(entry))
            for _, entry in pair.masks
        ]
        for photo_id in range(number, REPEATED * len(pairs), len(pairs)):
            photo.save(root / PHOTO_FOLDER / f"{photo_id}.jpg", quality=92)
            folder = root / MASK_FOLDER / str(photo_id // 2000)
            folder.mkdir(parents=True, exist_ok=True)
            for part, content in masks:
                mask = Image.open(io.BytesIO(content)).convert("RGB")
                mask = mask.resize((512, 512), Image.Resampling.NEAREST)
                mask.save(folder / f"{photo_id:05d}_{part}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a data set, folder or zip")
    parser.add_argument("--count", type=int, default=300, help="pairs at the original's size")
    parser.add_argument("--runs", type=int, default=3, help="the fastest is reported")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        original = Path(folder, "CelebAMask-HQ")
        write_original_size(options.data, original, options.count)
        results = {
            "cores": cores(),
            "the data set as it is": measure(options.data, options.runs),
            "pairs of the original's size": measure(original, options.runs),
        }
    save_results("prepare_speed", results)


if __name__ == "__main__":
    main()
