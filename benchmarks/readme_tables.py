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

from facesegkit.inference.model_zoo import MODEL_NAMES, model_card

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
CLASSES = ("eyes", "eyebrows", "nose", "mouth", "lips")


def results(name: str) -> dict[str, Any]:
    return json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


# Published figures, and those of a trial that was not ours; see `scores`.
RIVALS = {
    "a second human annotator, 7 photos": (0.895, (0.890, 0.849, 0.907, 0.935, 0.895)),
    "MediaPipe face mesh 0.10.14, contours filled, 500 photos": (
        0.804,
        (0.823, 0.680, 0.874, 0.806, 0.838),
    ),
}


def scores() -> str:
    """The models that ship on the test split, and what others get on photos of the same data."""
    rows = []
    for name in MODEL_NAMES:
        about = model_card(name)
        rows.append(
            [
                f"[`{name}`](facesegkit/weights/{name}.md)",
                about["trained on"],
                f"{about['minutes']:.0f}",
                f"**{about['test']['mean_f1']:.3f}**",
                *(f"{about['test']['f1'][class_name]:.3f}" for class_name in CLASSES),
            ]
        )
    for name, (mean, classes) in RIVALS.items():
        rows.append([name, "", "", f"{mean:.3f}", *(f"{f1:.3f}" for f1 in classes)])
    return table(["", "trained on", "minutes, one core", "mean F1", *CLASSES], rows)


def speed() -> str:
    """The models on ONNX Runtime, the arithmetic floor, and the rival of the same run."""
    networks = results("inference_speed")["networks"]
    rows = []
    for name, row in networks.items():
        if "median ms" not in row:
            continue
        rows.append(
            [
                name,
                f"{row['median ms']:.1f} ms",
                f"{row['best ms']:.1f} ms",
                f"{row['times the floor']:.1f}" if "times the floor" in row else "",
                f"{row['times faster than the rival']:.1f}"
                if "times faster than the rival" in row
                else "",
            ]
        )
    head = ["one photo, one core", "median", "best", "times the arithmetic floor",
            "times faster than MediaPipe"]  # fmt: skip
    return table(head, rows)


def path() -> str:
    """A 12-megapixel JPEG, step by step, and the command from a cold start."""
    found = results("inference_speed")
    steps = found["12-megapixel JPEG"]["milliseconds"]
    rows = [[name, f"{milliseconds:.0f} ms"] for name, milliseconds in steps.items()]
    rows.append(["the command for one photo, from a cold start", f"{found['cold start s']:.2f} s"])
    return table(["one core", "median"], rows)


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
        "model", "parameters", "multiply-adds", "receptive field", "on disk", "PyTorch, one core",
        "of the rival's time",
    ]  # fmt: skip
    return table(head, rows)


def speeds() -> str:
    """Drawing and packing."""
    drawing, packing = results("synthesis_speed"), results("prepare_speed")
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


ANY_PHOTO = {  # group in the results: what it is called in the README
    "all": "all",
    "upright, head of 256 pixels or more": "upright, head of 256 to 511 pixels",
    "upright, head of 128 pixels or more": "128 to 255 pixels",
    "upright, head of 64 pixels or more": "64 to 95 pixels",
    "scene: turned": "one face, turned by any angle",
    "scene: group": "two to six faces, some of them turned",
    "scene: cut": "cut by the border, up to half of the face",
    "scene: dark": "dark",
    "scene: blurred": "blurred",
}


def any_photo() -> str:
    """Faces found and segmented where they are not aligned, by circumstance."""
    found = results("any_photo")
    rows = []
    for group, name in ANY_PHOTO.items():
        cells = [name, str(next(iter(found.values()))["groups"][group]["faces"])]
        for of_model in found.values():
            scored = of_model["groups"][group]
            cells += [f"{scored['found']:.1%}", f"{scored['mean_f1']:.3f}"]
        rows.append(cells)
    false = [of_model["false faces a scene"] for of_model in found.values()]
    scenes = next(iter(found.values()))["scenes"]
    nobody = ["nobody (scenes, and false faces a scene)", str(scenes["nobody"])]
    for of_model in false:
        nobody += [f"{of_model['nobody']:.2f}", ""]
    heads = [f"`{name}`: {what}" for name in found for what in ("found", "mean F1")]
    return table(["faces in composed scenes", "faces", *heads], [*rows, nobody])


def robust() -> str:
    """The test photos moved and lit otherwise: how much of the mean F1 is lost."""
    kept = {name: model_card(name)["robustness"] for name in MODEL_NAMES}
    conditions = list(next(iter(kept.values())))
    rows = []
    for condition in conditions:
        cells = [condition]
        for robustness in kept.values():
            aligned, f1 = robustness[conditions[0]], robustness[condition]
            cells.append(f"{f1:.3f}" if condition == conditions[0] else f"{f1 - aligned:+.3f}")
        rows.append(cells)
    return table(["every second test photo", *(f"`{name}`" for name in MODEL_NAMES)], rows)


def hard_photos() -> str:
    """Photos that are hard in other ways, kind by kind."""
    rows = [
        [
            kind,
            f"{scored['found']:.0%}",
            f"{scored['mean_f1']:.3f}",
            f"{scored['false faces a photo']:.2f}",
            f"{scored['milliseconds']:.0f} ms",
        ]
        for kind, scored in results("hard_photos")["kinds"].items()
    ]
    head = ["photos", "faces found", "mean F1", "false faces a photo", "time, one core"]
    return table(head, rows)


def clips() -> str:
    """Speed and steadiness where pictures move."""
    rows = [
        [
            f"`{name}`",
            f"{found['pictures a second']:.0f}",
            f"{found['flicker']:.1%}",
            f"{found['flicker of single photos']:.1%}",
        ]
        for name, found in results("video_speed").items()
    ]
    head = ["640 x 480, two cores", "pictures a second", "flicker", "without following"]
    return table(head, rows)


def time_to_quality() -> str:
    """Minutes of training to a validation mean F1, by the plain recipe and by ours."""
    found = results("time_to_quality")
    plain, ours = found["plain"], found["ours"]
    stopped = max(at["minutes"] for at in plain["course"])
    speeds = [run["photos per second"] for run in ours.values()]
    of_ours = f"{min(speeds):.0f} to {max(speeds):.0f}, small ones at first"
    rows = [["photos a second", f"{plain['photos per second']:.0f}", of_ours, ""]]
    for goal, minutes in found["minutes to a score"].items():
        exact = minutes.get("times sooner")
        at_least = minutes.get("times sooner, at least")
        times = f"{exact}" if exact else f"more than {at_least}" if at_least else "not known"
        first, first_of_ours = minutes["plain minutes"], minutes["ours minutes"]
        rows.append(
            [
                f"minutes to a mean F1 of {goal}",
                f"{first:.0f}" if first else f"not within {stopped:.0f}",
                f"at most {first_of_ours:.0f}" if first_of_ours else "not yet",
                times,
            ]
        )
    return table(["", "plain recipe", "ours", "times sooner"], rows)


def two_processes() -> str:
    """One model trained by one process and by two, on the same cores."""
    found = results("two_processes")
    rows = [
        [
            f"{run['processes']} x {2 // run['processes']} thread{'s' * (run['processes'] == 1)}",
            f"{run['photos per second']:.0f}",
            f"{run['test mean F1']:.4f}",
            f"{seconds:.0f}",
        ]
        for run, seconds in zip(
            found["training"], found["seconds to prepare, by one and by two"], strict=True
        )
    ]
    rows += [
        [f"{machines} machines, by arithmetic", f"{speed:.0f}", "", ""]
        for machines, speed in found["photos per second by arithmetic"].items()
    ]
    head = [
        "processes on two cores",
        "photos a second",
        f"mean F1 after {found['epochs']:g} epochs of {found['faces']} drawn faces",
        "seconds to pack them",
    ]
    return table(head, rows)


def tested() -> str:
    """How much the tests see, and where they have passed."""
    lines, stress = results("line_coverage"), results("stress")
    mutants, everywhere = results("mutants"), results("everywhere")
    faults = sum(mutants["mutants"].values())
    rows = [
        [f"the {lines['lines']:,} lines of facesegkit/", f"{lines['share of lines']:.1%} are run"],
        [
            f"{faults:,} small faults in {', '.join(mutants['by module'])}",
            f"{mutants['noticed']:.1%} are noticed",
        ],
        [
            f"{stress['times as many damaged files']} times as many damaged files, and each of "
            f"four commands stopped {stress['kills of each command']} times",
            f"{stress['passed']} of {stress['tests']} tests passed",
        ],
    ]
    rows += [
        [f"{name}: {found['about'].rstrip('.')}", _passed(found)]
        for name, found in sorted(everywhere.items())
    ]
    return table(["`make stress`", "last result"], rows)


def _passed(found: dict[str, Any]) -> str:
    """How many tests passed in a circumstance, and how many did not if any."""
    others = {kind: found[kind] for kind in ("failure", "error", "skipped") if found.get(kind)}
    counts = [f"{found['passed']:,} tests passed", *(f"{n} {kind}" for kind, n in others.items())]
    return ", ".join(counts)


def lessons() -> str:
    """The notebooks, as notebooks/README.md has them."""
    lines = (HERE.parent / "notebooks" / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    return "\n".join(rows).replace("](", "](notebooks/")


TABLES = {
    "scores": scores,
    "robust": robust,
    "any photo": any_photo,
    "hard photos": hard_photos,
    "clips": clips,
    "time to quality": time_to_quality,
    "two processes": two_processes,
    "tested": tested,
    "lessons": lessons,
    "speed": speed,
    "path": path,
    "costs": costs,
    "speeds": speeds,
}


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
