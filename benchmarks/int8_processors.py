"""What int8 costs on a processor with, and on one without, exact int8 products (lesson 7).

    python benchmarks/int8_processors.py --name "with VNNI (AMD EPYC)" --keep
    python benchmarks/int8_processors.py --name "without VNNI (Haswell, emulated)" --keep \
        --emulator "qemu-x86_64 -cpu Haswell"

Quantizes the two synthetic models as in the lesson, with weights of 8 and of 7 bits, and evaluates
them on its 30 faces, in five sets. `--emulator` is put before the command of a process that only
predicts. The results of other names are kept.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import TOP, load_results, open_session, report


def predict(folder: Path) -> None:
    """Logits of `images.npy` by each ONNX file in a folder, float16 [N, 6, 256, 256]."""
    images = np.load(folder / "images.npy")
    for path in sorted(folder.glob("*.onnx")):
        predict_logits = open_session(path)
        logits = np.concatenate([predict_logits(image[None]) for image in images])
        np.save(path.with_suffix(".npy"), logits.astype(np.float16))


def measure(emulator: list[str]) -> dict[str, list[float]]:
    """Mean F1 of each model on each set of faces; an emulator only runs the quantized ones."""
    # Here, because PyTorch need not run in the emulator.
    from claims.lesson7 import SETS, faces, mean_f1, quantized_models

    sets = [faces(seed) for seed in range(SETS)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        quantized_models(folder)
        if emulator:
            for path in folder.glob("*float32.onnx"):
                path.unlink()
        np.save(folder / "images.npy", np.concatenate([images for images, _ in sets]))
        command = [*emulator, sys.executable, __file__, "--predict", name]
        subprocess.run(command, check=True, cwd=TOP, stderr=subprocess.DEVNULL)
        results = {}
        for path in sorted(folder.glob("*.onnx")):
            by_set = np.split(np.load(path.with_suffix(".npy")), SETS)
            scores = [
                mean_f1(logits, targets) for logits, (_, targets) in zip(by_set, sets, strict=True)
            ]
            results[path.stem] = [round(score, 4) for score in scores]
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", help="of the processor, in the results")
    parser.add_argument("--emulator", default="", help="command that emulates another processor")
    parser.add_argument("--keep", action="store_true", help="write the results file")
    parser.add_argument("--predict", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.predict:
        predict(options.predict)
        return
    results: dict[str, Any] = load_results("int8_processors")
    results[options.name] = measure(options.emulator.split())
    report("int8_processors", results, options.keep)


if __name__ == "__main__":
    main()
