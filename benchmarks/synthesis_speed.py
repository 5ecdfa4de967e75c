"""Measure how many faces per second `facesegkit synthesize` writes.

    python benchmarks/synthesis_speed.py --count 400

Faces per second are meaningful on an idle machine only; the processor time per face is also
meaningful on a busy one. Results are written to benchmarks/results/synthesis_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

from facesegkit.synthetic import synthesize_dataset

RESULTS = Path(__file__).parent / "results" / "synthesis_speed.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=400)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        synthesize_dataset(Path(folder), count, seed=0)
        seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = {
        "faces": count,
        "cores": os.cpu_count(),
        "faces per second": round(count / seconds, 1),
        "processor ms per face": round(1000 * (used.ru_utime + used.ru_stime) / count, 1),
    }
    print(json.dumps(result, indent=2))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
