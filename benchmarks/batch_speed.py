"""Throughput and memory of `facesegkit segment FOLDER`, by number of worker processes.

    python benchmarks/batch_speed.py            # about five minutes
    python benchmarks/batch_speed.py --keep     # writes benchmarks/results/batch_speed.json

The photos are the portraits of figures/portraits/, enlarged to 1024 pixels of width, as JPEG. Runs
with one worker and with one per core take turns, and the fastest of each counts, since other
programs can only slow one down; if they do, processor time says more. Memory is that of all
processes, when 100 photos are done and from then on to the last of 5,000; pages that processes
share count once (PSS). What a run keeps of each photo is measured with names alone.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common import TOP, report
from PIL import Image
from prepare_speed import processor_seconds

from facesegkit.batch.index import Entry, Index
from facesegkit.batch.photo import Outcome, PhotoJob, Settings, Written, rows_of
from facesegkit.batch.run import prepare
from facesegkit.image_io import read_reduced
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.inference.visualize import save_view
from facesegkit.system.processes import cores

WIDTH, DISTINCT = 1024, 40
COMMAND = [sys.executable, "-m", "facesegkit", "segment"]


def write_photos(folder: Path, count: int) -> int:
    """Write photos, of which a few are distinct; returns the mean bytes of one."""
    folder.mkdir()
    portraits = sorted((TOP / "figures" / "portraits").glob("*.jpg"))
    for number in range(min(count, DISTINCT)):
        with Image.open(portraits[number % len(portraits)]) as photo:
            width = WIDTH + number  # no two are the same
            size = width, round(width * photo.height / photo.width)
            photo.resize(size, Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=92)
    for number in range(DISTINCT, count):
        os.link(folder / f"{number % DISTINCT}.jpg", folder / f"{number}.jpg")
    return sum(file.stat().st_size for file in folder.iterdir()) // count


def megabytes(pid: int) -> float:
    """Memory of a process and its descendants."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    own = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return own + sum(megabytes(int(child)) for child in children)


def seconds(photos: Path, workers: int) -> tuple[float, float]:
    """Wall and processor time of a run, with the start of its processes."""
    with tempfile.TemporaryDirectory() as out:
        options = ["--output-dir", out, "--workers", str(workers)]
        started, before = time.perf_counter(), processor_seconds()
        subprocess.run([*COMMAND, str(photos), *options], check=True, capture_output=True)
        return time.perf_counter() - started, processor_seconds() - before


def steps(photos: Path) -> dict[str, float]:
    """Processor time per photo of reading, searching and segmenting, and writing, on one core."""
    segmenter = FaceSegmenter()
    assert segmenter.analyzer is not None
    files = sorted(photos.iterdir())[:DISTINCT]
    segmenter(files[0])
    with tempfile.TemporaryDirectory() as out:
        side = segmenter.analyzer.config.scale_without_faces
        reading = milliseconds(lambda file: read_reduced(file, side), files)
        all_of_it = milliseconds(segmenter, files)
        results = {file: segmenter(file) for file in files}
        writing = milliseconds(lambda f: save_view(results[f], "mask", Path(out, "a.png")), files)
        rows = milliseconds(lambda file: rows_of(results[file], file.name), files)
    return {"reading": reading, "networks": round(all_of_it - reading, 2), "writing": writing,
            "run lengths": rows}  # fmt: skip


def milliseconds(work: Callable[[Path], object], files: Sequence[Path]) -> float:
    started = time.process_time()
    for file in files:
        work(file)
    return round(1000 * (time.process_time() - started) / len(files), 2)


def memory(photos: Path, count: int, options: Sequence[str]) -> dict[str, float]:
    """Megabytes after 100 photos, at the end, and at most between."""
    with tempfile.TemporaryDirectory() as out:
        command = [*COMMAND, str(photos), "--output-dir", out, *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        samples = []
        while process.poll() is None:
            done = sum(name.endswith(".png") for name in os.listdir(out))
            if 100 <= done < count and (now := megabytes(process.pid)):
                samples.append(now)
            time.sleep(1)
    first, last = (sum(part) / len(part) for part in (samples[:5], samples[-5:]))
    growth = 100 * (last / first - 1)
    return {"MB after 100": round(first), "MB at the end": round(last),
            "MB at most": round(max(samples)), "growth in %": round(growth, 1)}  # fmt: skip


def bytes_per_photo(count: int = 100_000) -> int:
    """Memory that a run that is continued keeps for each photo: its paths and its index entry."""
    with tempfile.TemporaryDirectory() as name:
        folder, settings = Path(name), Settings("separable")
        jobs = (PhotoJob(f"/data/photos/{i:08}.jpg", f"{folder}/{i:08}.png") for i in range(count))
        done = (Outcome(job, version=(10**5, 10**18), image=Written(5000, 10**9)) for job in jobs)
        Index(folder).add(Entry.of(outcome, "0" * 16, None) for outcome in done)
        before = megabytes(os.getpid())
        photos = [Path(f"/data/photos/{i:08}.jpg") for i in range(count)]
        outputs = {str(photo): folder / f"{photo.stem}.png" for photo in photos}
        batch = prepare(outputs, settings, folder, classes=(), resume=True)
        kept = megabytes(os.getpid()) - before
    assert len(batch.jobs) == len(photos) == count
    return round(1e6 * kept / count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1000, help="for the throughput")
    parser.add_argument("--many", type=int, default=5000, help="for the memory")
    parser.add_argument("--runs", type=int, default=2, help="the fastest is reported")
    parser.add_argument("--keep", action="store_true", help="write the result file")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    several = cores()
    with tempfile.TemporaryDirectory() as folder:
        photos, many = Path(folder, "photos"), Path(folder, "many")
        size = write_photos(photos, options.photos)
        runs = [[seconds(photos, n) for n in (1, several)] for _ in range(options.runs)]
        (one, one_cpu), (all_cores, all_cpu) = (min(times) for times in zip(*runs, strict=True))
        results: dict[str, Any] = {
            "cores": several, "photos": options.photos, "kB per photo": round(size / 1000),
            "photos/s, one worker": round(options.photos / one, 1),
            f"photos/s, {several} workers": round(options.photos / all_cores, 1),
            "speed-up": round(one / all_cores, 2),
            "speed-up by processor time": round(several * one_cpu / all_cpu, 2),
            "processor ms per photo": round(1000 * all_cpu / options.photos, 1),
            "processor ms of each step": steps(photos),
        }  # fmt: skip
        results["bytes per photo of a run"] = bytes_per_photo()
        print(results, flush=True)
        write_photos(many, options.many)
        for name in ("images", "both"):
            results[f"memory of {options.many} photos, {name}"] = memory(
                many, options.many, ["--format", name]
            )
    report("batch_speed", results, options.keep)


if __name__ == "__main__":
    main()
