"""Measure how many faces per second `facesegkit synthesize` writes.

    python benchmarks/synthesis_speed.py --count 400

Faces per second are meaningful on an idle machine only; the processor time per face is also
meaningful on a busy one. Results are written to benchmarks/results/synthesis_speed.json.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from common import save_results
from prepare_speed import processor_seconds

from facesegkit.synthetic import synthesize_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=400)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        synthesize_dataset(Path(folder), count, seed=0)
        seconds = time.perf_counter() - started
    result = {
        "faces": count,
        "cores": os.cpu_count(),
        "faces per second": round(count / seconds, 1),
        "processor ms per face": round(1000 * processor_seconds() / count, 1),
    }
    save_results("synthesis_speed", result)


if __name__ == "__main__":
    main()
