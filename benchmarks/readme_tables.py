"""Writes the last results into the README's tables; with --check only says whether they differ.

    python benchmarks/readme_tables.py

A table stands between <!-- name --> and <!-- /name -->.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
CLASSES = ("eyes", "eyebrows", "nose", "mouth", "lips")


def results(name: str) -> dict[str, Any]:
    return json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def scores() -> str:
    """Each training run: mean F1 on the two splits, and each class's on the validation split."""
    rows = []
    for name, run in results("train_and_score").items():
        test = f"{run['test']['mean F1']:.3f}" if "test" in run else ""
        val = [f"{run['val'][key]:.3f}" for key in ("mean F1", *CLASSES)]
        rows.append([name, f"{run['photos per second']:.0f}", test, *val])
    head = ["model, trained on, for", "photos/s", "test: mean F1", "validation: mean F1", *CLASSES]
    return table(head, rows)


def costs() -> str:
    """What the models cost, beside a rival timed in the same run."""
    rows = []
    for name, cost in results("model_costs").items():
        known = "multiply_adds" in cost
        rows.append(
            [
                name,
                f"{cost['parameters'] / 1e6:.3f} M",
                f"{cost['multiply_adds'] / 1e6:.0f} M" if known else "",
                f"{cost['receptive_field']} px" if known else "",
                f"{cost['bytes_on_disk'] / 1e6:.2f} MB" if known else "",
                f"{cost['milliseconds']:.1f} ms",
                f"{cost['relative to the rival']:.2f}",
            ]
        )
    head = [
        "model", "parameters", "multiply-adds", "receptive field", "on disk", "a photo, one core",
        "of the rival's time",
    ]  # fmt: skip
    return table(head, rows)


def speeds() -> str:
    """Drawing and packing."""
    drawing, packing = results("drawing_speed"), results("prepare_speed")
    rows = [
        [
            "draw faces",
            f"{drawing['faces per second']} a second",
            f"{drawing['processor ms per face']} ms",
            "",
        ]
    ]
    kinds = {
        "pack 320 px photos, one-channel masks": "the data set as it is",
        "pack 1024 px photos, RGB masks": "pairs of the original's size",
    }
    for label, key in kinds.items():
        kind = packing[key]
        rows.append(
            [
                label,
                f"{kind['pairs per second']} a second",
                f"{kind['processor ms per pair']} ms",
                f"{kind['peak MB of all processes']} MB",
            ]
        )
    return table(["on two cores", "speed", "processor time of each", "peak memory"], rows)


TABLES = {"scores": scores, "costs": costs, "speeds": speeds}


def filled(readme: str) -> str:
    """The README with its tables as the results have them."""
    for name, make in TABLES.items():
        place = re.compile(rf"<!-- {name} -->\n.*?<!-- /{name} -->", re.DOTALL)
        if len(place.findall(readme)) != 1:
            raise SystemExit(f"README.md has not one place for the table {name!r}.")
        readme = place.sub(f"<!-- {name} -->\n{make()}\n<!-- /{name} -->", readme)
    return readme


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    before = README.read_text(encoding="utf-8")
    after = filled(before)
    if check and before != after:
        sys.exit("README.md does not say what benchmarks/results say: run readme_tables.py.")
    if not check:
        README.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
