"""Fill the tables of README.md and docs/ from benchmarks/results/ and the model cards.

    python benchmarks/readme_tables.py
    python benchmarks/readme_tables.py --check    # change nothing, only check

A table stands between the comments <!-- name --> and <!-- /name -->.
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common import TOP
from common import load_results as results

from facesegkit.inference.model_zoo import MODEL_NAMES, model_card, weights_path
from facesegkit.labels import PARTS

CLASSES = "eyes | eyebrows | nose | mouth | lips"
F1_OF_CLASSES = " | ".join(f"{{f1[{name}]:.3f}}" for name in CLASSES.split(" | "))


def table(head: str, rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; an empty column means that a key of the results was renamed."""
    assert rows and all(any(column) for column in zip(*rows, strict=True)), head
    heads = [title.strip() for title in head.split("|")]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cells(values: Mapping[str, Any], patterns: str) -> list[str]:
    """Patterns such as "{best ms:.1f} ms | {parameters}", filled in; empty without a value."""
    filled = []
    for pattern in patterns.split(" | "):
        try:
            filled.append(pattern.format(**values))
        except KeyError:
            filled.append("")
    return filled


def table_of(head: str, values: Mapping[str, Mapping[str, Any]], patterns: str) -> str:
    """A table with a row for each name, in which the patterns are filled in."""
    return table(head, [[name, *cells(row, patterns)] for name, row in values.items()])


def with_interval(value: float, interval: Sequence[float] | None, sign: str = "") -> str:
    """A figure and its interval, such as "0.891 (0.887-0.895)"."""
    text = f"{value:{sign}.3f}"
    if not interval:
        return text
    low, high = (f"{limit:{sign}.3f}" for limit in interval)
    return f"{text} ({low} to {high})" if sign else f"{text} ({low}-{high})"


def definition_list(definitions: dict[str, str]) -> str:
    """The metrics, one item each."""
    return "\n".join(f"- **{name}**: {text}" for name, text in definitions.items())


REAL_PHOTOS = {  # group in the results: its name in the table
    "all": "all",
    "clear frontal, >= 128 px": "clear, frontal, 128 pixels and more",
    "clear frontal, 64-128 px": "clear, frontal, 64 to 128 pixels",
    "clear frontal, 40-64 px": "clear, frontal, 40 to 64 pixels",
    "clear frontal, 24-40 px": "clear, frontal, 24 to 40 pixels",
    "clear frontal, dark skin or shade": "clear, frontal, dark skin or shade (median grey 55-90)",
    "clear frontal, light": "clear, frontal, light (130 and more)",
    "three-quarter": "three-quarter view",
    "profile": "profile",
    "beside another face": "beside another face",
    "group of 5 to 9": "in a group of 5 to 9",
    "group of 10 or more": "in a group of 10 or more",
    "sunglasses": "sunglasses",
    "medical mask": "medical mask",
    "dark photo": "dark photo",
    "black and white": "black and white",
    "cut": "cut by the border",
}
OTHER_DETECTORS = ("MediaPipe face mesh", "MediaPipe full-range", "YuNet")  # in the results
FALSE_FACES = {
    "people": "photos of people",
    "none": "photos without anyone",
    "animals": "photos of animals and things",
}


# The eyes, eyebrows, lips of both sides, nose and mouth, of which EHANet's authors report the mean.
EIGHT_FEATURES = ("nose", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip")
PURPOSES = {
    "separable": "the least time",
    "unet": "the best masks of large faces",
    "unet-19": "all parts: hair, skin, ears, neck, glasses, hat, clothes too",
    "separable-open": "any use, in the least time",
    "unet-open": "any use, the best free masks",
    "separable-synthetic": "comparison: trained without any photo",
    "unet-synthetic": "comparison: trained without any photo",
}


def lessons() -> str:
    """The lessons, as listed in notebooks/README.md."""
    lines = (TOP / "notebooks" / "README.md").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith("| ")).replace("](", "](notebooks/")


def shipped() -> str:
    """The models that ship, in short."""
    speed = results("inference_speed")["networks"]
    rows = []
    for name in MODEL_NAMES:
        card = model_card(name)
        card["MB"] = weights_path(name).stat().st_size / 1e6
        network = name.removesuffix("-synthetic").removesuffix("-open")
        card |= {"ms": speed[network]["median ms"]} if network in speed else {}
        card["licence"] = card["licence"].replace(" (CelebAMask-HQ)", "")
        card["purpose"] = PURPOSES[name]
        figures = cells(card, "{licence} | {purpose} | {test[mean_f1]:.3f} | {MB:.2f} | {ms:.1f}")
        rows.append([f"[`{name}`](facesegkit/weights/{name}.md)", *figures])
    return table("model | licence | for | mean F1 | MB | ms", rows)


def models() -> str:
    """The models that ship, on the test split."""
    rows = []
    for name in MODEL_NAMES:
        card = model_card(name)
        row = [f"[`{name}`](../facesegkit/weights/{name}.md)"]
        minutes = card["minutes"] + sum(card["steps before, minutes"].values())
        row += [card["trained on"], f"{minutes:.0f}"]
        row.append(with_interval(card["test"]["mean_f1"], card["test"]["interval"]))
        rows.append([*row, *cells(card["test"], F1_OF_CLASSES)])
    return table(f"model | trained on | minutes of all steps, one core | mean F1 | {CLASSES}", rows)


def definitions() -> str:
    """What the metrics are; the same for all models."""
    return definition_list(model_card(MODEL_NAMES[0])["definitions"])


def other_metrics() -> str:
    """Per-image and boundary F1, and how far the darkest tenth of the skins is from the rest."""
    rows = []
    for name in MODEL_NAMES:
        card, row = model_card(name), [f"`{name}`"]
        for key in ("per_image_f1", "boundary_f1"):
            row.append(with_interval(card["test"][key], card["test"][f"{key}_interval"]))
        for split in ("val", "test"):
            gap = card[split]["skin"]["gap"]
            row.append(with_interval(gap["mean_f1"], gap["interval"], "+"))
        rows.append(row)
    head = "model | per-image F1 | boundary F1 | darkest tenth, validation | darkest tenth, test"
    return table(head, rows)


def skin_tones() -> str:
    """Mean F1 by ITA group of the test photos."""
    of_models = [model_card(name)["test"]["ITA groups"] for name in MODEL_NAMES]
    rows = [
        [group, str(of["photos"]), *(with_interval(f1[group]["mean_f1"], f1[group].get("interval"))
                                     for f1 in of_models)]
        for group, of in of_models[0].items()
    ]  # fmt: skip
    return table("ITA group | photos | `" + "` | `".join(MODEL_NAMES) + "`", rows)


def all_parts() -> str:
    """F1 of each part of the data set, beside published figures."""
    methods = results("published")["methods"]
    of_parts = {"`unet-19`": model_card("unet-19")["test"]["all classes"]["f1"]}
    of_parts |= {name: of["f1"] for name, of in methods.items() if "f1" in of}
    rows = [
        [part, *("" if f1[part] is None else f"{f1[part]:.3f}" for f1 in of_parts.values())]
        for part in PARTS[1:]
    ]
    for name, parts in (("mean of the 8 features", EIGHT_FEATURES), ("mean of all 18", PARTS[1:])):
        means = (sum(f1[part] or 0 for part in parts) / len(parts) for f1 in of_parts.values())
        rows.append([name, *(f"{mean:.3f}" for mean in means)])
    only_means = {name: of["mean of 18"] for name, of in methods.items() if "f1" not in of}
    for row in rows:
        row += [f"{mean:.3f}" if row[0] == "mean of all 18" else "" for mean in only_means.values()]
    return table("part | " + " | ".join([*of_parts, *only_means]), rows)


def adaptation() -> str:
    """What a model gains from its own pseudo-labels."""
    found = results("adaptation")["validation mean F1"]
    names = {
        "start": "`unet-synthetic`, the start",
        "adapted": "after learning from pseudo-labels and synthetic faces",
        "control": "after learning from as many synthetic faces alone",
    }
    rows = [
        [about, f"{sum(f1) / len(f1):.3f}", str(len(f1)), f"{min(f1):.3f} to {max(f1):.3f}"]
        for about, f1 in ((names[name], found[name]) for name in names)
    ]
    return table("model | mean F1, validation | seeds | lowest and highest", rows)


def second_annotator() -> str:
    """One human annotation scored against another."""
    row = cells(results("second_annotator"), "{photos} | {mean_f1:.3f} | " + F1_OF_CLASSES)
    return table(f" | photos | mean F1 | {CLASSES}", [["a second annotator", *row]])


def robustness() -> str:
    """How much of the mean F1 is lost on changed test photos."""
    of_models = [model_card(name)["robustness"] for name in MODEL_NAMES]
    reference, *changes = of_models[0]
    rows = [[reference, *(f"{f1[reference]:.3f}" for f1 in of_models)]]
    rows += [[name, *(f"{f1[name] - f1[reference]:+.3f}" for f1 in of_models)] for name in changes]
    return table("every second test photo | `" + "` | `".join(MODEL_NAMES) + "`", rows)


def conditions() -> str:
    """Mean F1 of each model under everyday conditions: before, and now."""
    result = results("conditions")
    names = [name for name in MODEL_NAMES if any(name in part for part in result.values())]
    measured = [part.get(name, {}) for name in names for part in result.values()]
    rows = []
    for condition in next(of for of in measured if of)["conditions"]:
        row = [condition]
        for name in names:
            parts = [
                part[name]["conditions"][condition] for part in result.values() if name in part
            ]
            row.append(" → ".join(f"{of['mean_f1']:.3f}" for of in parts))
        rows.append(row)
    return table("every second test photo | `" + "` | `".join(names) + "`", rows)


def faces_found(names: Sequence[str]) -> str:
    """Faces found in everyday photos by models and other detectors, by group."""
    of_models = {name: results("real_photos")[name] for name in names}
    first = next(iter(of_models.values()))
    rows = []
    for group, name in REAL_PHOTOS.items():
        row = [name, str(first["groups"][group]["faces"])]
        for result in of_models.values():
            row += cells(result["groups"][group], "{found %:.0f} %")
        rows.append(row)
    for kind, (_, photos) in first["false faces, in photos"].items():
        counts = [str(of["false faces, in photos"][kind][0]) for of in of_models.values()]
        rows.append([f"false faces in {photos} {FALSE_FACES[kind]}", "", *counts])
    return table("faces of 24 pixels and more | faces | " + " | ".join(names), rows)


def real_photos() -> str:
    """The same, all models and other detectors."""
    return faces_found([*results("real_photos")])


def small_faces() -> str:
    """Faces found in large photos, by their width."""
    found = results("small_faces")
    widths = next(iter(found.values()))
    rows = [
        [width, *(f"{of[width]['alone']} / {of[width]['among six']}" for of in found.values())]
        for width in widths
    ]
    return table(" | ".join(["width of the faces", *found]), rows)


def calibration() -> str:
    """Expected calibration error of the detectors."""
    patterns = "{regions} | {ECE:.3f} | {likely regions} | {ECE of likely regions:.3f}"
    detectors = {f"`{name}`": row for name, row in results("calibration").items()}
    head = "detector | regions | ECE | with a confidence of 0.1 or more | ECE of these"
    return table_of(head, detectors, patterns)


def end_to_end() -> str:
    """Milliseconds from photo to masks, beside other programs."""
    kinds = ("one face", "group", "no face")
    rows = []
    for name, of in results("end_to_end").items():
        row = [name]
        for kind in kinds:
            row += cells(of[kind], "{median ms:.1f} ms | {times MediaPipe face mesh:.1f}")
        rows.append(row)
    head = " | ".join(f"{kind} | relative to MediaPipe" for kind in kinds)
    return table(f"one core | {head}", rows)


def crowds() -> str:
    """Sheets of faces: how many are found, in what time and memory."""
    rows = []
    for number, of_models in results("crowds").items():
        row = [number]
        for found in of_models.values():
            row += cells(found, "{faces} | {seconds:.1f} s | {MB} MB")
        rows.append(row)
    models = next(iter(results("crowds").values()))
    head = " | ".join(f"`{name}`: found | time | memory" for name in models)
    return table(f"faces | {head}", rows)


def worst_case() -> str:
    """Photos that no one takes."""
    rows = {}
    for name, of in results("worst_case").items():
        each = {"each": f"{of['ms'] / of['megapixels']:.0f} ms"} if of["megapixels"] >= 1 else {}
        rows[name] = of | each
    patterns = "{megapixels:.1f} | {ms:.0f} ms | {each} | {faces}"
    return table_of("image | megapixels | time | per megapixel | faces", rows, patterns)


ANY_PHOTO = {  # group in the results: its name in the table
    "all": "all",
    "upright, head of 256 pixels or more": "upright, head of 256 to 511 pixels",
    "upright, head of 128 pixels or more": "upright, 128 to 255 pixels",
    "upright, head of 64 pixels or more": "upright, 64 to 95 pixels",
    "scene: turned": "one face, rotated by any angle",
    "scene: group": "two to six faces, some of them rotated",
    "scene: cut": "cut by the border, up to half of the face",
    "scene: dark": "dark",
    "scene: blurred": "blurred",
}


def any_photo() -> str:
    """Detection and segmentation of faces in composed scenes."""
    of_models = results("any_photo")
    first = next(iter(of_models.values()))
    rows = []
    for group, name in ANY_PHOTO.items():
        row = [name, str(first["groups"][group]["faces"])]
        for result in of_models.values():
            row += cells(result["groups"][group], "{detected:.1%} | {mean_f1:.3f}")
        rows.append(row)
    row = ["no face (scenes, and false faces per scene)", str(first["scenes"]["no face"])]
    for result in of_models.values():
        row += [f"{result['false faces per scene']['no face']:.2f}", ""]
    head = " | ".join(f"`{name}`: detected | `{name}`: mean F1" for name in of_models)
    return table(f"faces in composed scenes | faces | {head}", [*rows, row])


def hard_photos() -> str:
    """Photos that are difficult in other ways."""
    head = "photos | detected | mean F1 | false faces per photo | time, one core"
    patterns = "{detected:.0%} | {mean_f1:.3f} | {false faces per photo:.2f}"
    return table_of(head, results("hard_photos")["kinds"], patterns + " | {milliseconds:.0f} ms")


def video() -> str:
    """Speed and flicker on video."""
    patterns = "{frames per second:.0f} | {flicker:.1%} | {flicker without tracking:.1%}"
    models = {f"`{name}`": row for name, row in results("video_speed").items()}
    head = "640 x 480, two cores | frames per second | flicker | without tracker"
    return table_of(head, models, patterns)


def speed() -> str:
    """The networks on ONNX Runtime, and MediaPipe in the same run."""
    patterns = "{median ms:.1f} ms | {best ms:.1f} ms | {times the roofline:.1f}"
    patterns += " | {times faster than the rival:.1f}"
    networks = results("inference_speed")["networks"]
    timed = {name: row for name, row in networks.items() if "median ms" in row}
    head = "one image, one core | median | fastest | median / roofline estimate"
    return table_of(f"{head} | times faster than MediaPipe", timed, patterns)


def photo_to_file() -> str:
    """A 12-megapixel JPEG step by step, and the command from a cold start."""
    result = results("inference_speed")
    steps = result["12-megapixel JPEG"]["milliseconds"]
    rows = [[name, f"{milliseconds:.0f} ms"] for name, milliseconds in steps.items()]
    rows.append(["the command for one photo, cold start", f"{result['cold start s']:.2f} s"])
    return table("one core | median", rows)


def costs() -> str:
    """Size and cost of the networks, and of another network timed in the same run."""
    patterns = "{parameters M:.3f} M | {macs M:.0f} M | {receptive_field} px"
    patterns += " | {bytes_on_disk M:.2f} MB | {milliseconds:.1f} ms | {relative to the rival:.2f}"
    costs = {
        name: {**cost, **{f"{key} M": value / 1e6 for key, value in cost.items()}}
        for name, cost in results("model_costs").items()
    }
    head = "model | parameters | MACs | receptive field | on disk | PyTorch, one core"
    return table_of(f"{head} | relative time", costs, patterns)


def data_speed() -> str:
    """Synthesizing faces, and preparing a data set."""
    synthesis, prepare = results("synthesis_speed"), results("prepare_speed")
    patterns = "{pairs per second} per second | {processor ms per pair} ms"
    patterns += " | {peak MB of all processes} MB"
    of_data_set = cells(prepare["the data set as it is"], patterns)
    of_original_size = cells(prepare["pairs of the original's size"], patterns)
    rows = [
        ["synthesize faces", *cells(synthesis, patterns.replace("pair", "face"))],
        ["prepare 320 px photos, one-channel masks", *of_data_set],
        ["prepare 1024 px photos, RGB masks", *of_original_size],
    ]
    return table("on two cores | throughput | processor time of each | peak memory", rows)


def time_to_quality() -> str:
    """Minutes of training to a validation mean F1, with a plain recipe and with ours."""
    result = results("time_to_quality")
    plain, runs = result["plain"], result["ours"].values()
    end = max(at["minutes"] for at in plain["course"])
    speeds = [run["photos per second"] for run in runs]
    of_ours = f"{min(speeds):.0f} to {max(speeds):.0f}, small ones first"
    rows = [["photos per second", f"{plain['photos per second']:.0f}", of_ours, ""]]
    for goal, minutes in result["minutes to a score"].items():
        of_plain, of_ours = minutes["plain minutes"], minutes["ours minutes"]
        speed_up, at_least = minutes.get("times sooner"), minutes.get("times sooner, at least")
        rows.append([
            f"minutes to a mean F1 of {goal}",
            f"{of_plain:.0f}" if of_plain else f"more than {end:.0f}",
            f"at most {of_ours:.0f}" if of_ours else "not yet",
            f"{speed_up}" if speed_up else f"more than {at_least}" if at_least else "not known",
        ])  # fmt: skip
    return table(" | plain recipe | ours | speed-up", rows)


def two_processes() -> str:
    """One model trained by one process and by two, on the same two cores."""
    result = results("two_processes")
    seconds = result["seconds to prepare, by one and by two"]
    rows = [
        [f"{run['processes']} x {2 // run['processes']} thread{'s' * (run['processes'] == 1)}"]
        + cells(run, "{photos per second:.0f} | {test mean F1:.4f}")
        + [f"{prepared:.0f}"]
        for run, prepared in zip(result["training"], seconds, strict=True)
    ]
    rows += [
        [f"{machines} machines, calculated", f"{photos:.0f}", "", ""]
        for machines, photos in result["photos per second by arithmetic"].items()
    ]
    quality = f"mean F1 after {result['epochs']:g} epochs of {result['faces']} synthetic faces"
    return table(f"processes | photos per second | {quality} | seconds to prepare them", rows)


def tested() -> str:
    """Coverage, mutants, and the environments in which the tests have passed."""
    coverage, mutants, stress = (results(n) for n in ("line_coverage", "mutants", "stress"))
    kills = f"each of four commands killed {stress['kills of each command']} times"
    rows = [
        [f"{coverage['lines']:,} lines of facesegkit/",
         f"{coverage['fraction of lines']:.1%} are covered"],
        [f"{sum(mutants['mutants'].values()):,} mutants of {', '.join(mutants['by module'])}",
         f"{mutants['caught']:.1%} are caught"],
        [f"{stress['times as many damaged files']} times as many damaged files, {kills}",
         f"{stress['passed']} of {stress['tests']} tests passed"],
    ]  # fmt: skip
    patterns = "{passed:,} tests passed | {failure} failed | {error} errors | {skipped} skipped"
    for name, environment in sorted(results("environments").items()):
        counts = ", ".join(filter(None, cells(environment, patterns)))
        rows.append([f"{name}: {environment['about'].rstrip('.')}", counts])
    return table("`make stress` | last result", rows)


def model_fuzz() -> str:
    """Damaged models, and what became of them."""
    patterns = (
        "{files:,} | {refused:,} | {opened:,} | {slowest, s:.2f} s | {peak memory so far, MB} MB"
    )
    head = (
        "damaged | files | refused | opened and used | slowest | peak memory of the process so far"
    )
    return table_of(head, results("model_fuzz")["kinds"], patterns)


def batch() -> str:
    """Throughput and memory of many photos."""
    found = results("batch_speed")
    cores = found["cores"]
    one, several = found["photos/s, one worker"], found[f"photos/s, {cores} workers"]
    steps = ", ".join(f"{k} {v:.1f} ms" for k, v in found["processor ms of each step"].items())
    rows = [
        ["one worker", f"{one:.1f} photos/s"],
        [f"{cores} workers on {cores} cores",
         f"{several:.1f} photos/s, {found['speed-up']:.2f} times one "
         f"({found['speed-up by processor time']:.2f} by processor time)"],
        ["processor time per photo", steps],
        ["a million photos", f"{1e3 * found['processor ms per photo'] / 3600:,.0f} core-hours"],
    ]  # fmt: skip
    for name, about in (("images", "images only"), ("both", "images and Parquet")):
        memory = found[f"memory of 5000 photos, {name}"]
        grown = f"{memory['growth in %']:+.1f} % to photo 5,000"
        rows.append([f"memory of all processes, {about}", f"{memory['MB after 100']} MB, {grown}"])
    kept = found["bytes per photo of a run"] / 1000
    rows.append(["and for each photo of a run", f"{kept:.1f} kB"])
    return table(f"{found['photos']:,} JPEGs, {found['kB per photo']} kB each | result", rows)


TABLES: dict[str, tuple[Callable[[], str], ...]] = {
    "README.md": (lessons, shipped),
    "docs/results.md": (definitions, models, other_metrics, skin_tones, second_annotator, all_parts,
                        conditions, robustness, real_photos, calibration, small_faces, any_photo,
                        hard_photos, end_to_end, crowds, worst_case, speed, photo_to_file, video,
                        costs, data_speed, time_to_quality, two_processes),
    "docs/scale.md": (batch,),
    "docs/testing.md": (tested, model_fuzz),
    "docs/training.md": (adaptation,),
}  # fmt: skip


def filled(path: str) -> str:
    """The text of a file with its tables filled in."""
    text = (TOP / path).read_text(encoding="utf-8")
    for make in TABLES[path]:
        name = make.__name__.replace("_", " ")
        pattern = re.compile(rf"<!-- {name} -->\n.*?<!-- /{name} -->", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise SystemExit(f"{path} must have exactly one place for the table {name!r}.")
        text = pattern.sub(f"<!-- {name} -->\n{make()}\n<!-- /{name} -->", text)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, only check")
    check = parser.parse_args().check
    for path in TABLES:
        text = filled(path)
        if not check:
            (TOP / path).write_text(text, encoding="utf-8")
        elif (TOP / path).read_text(encoding="utf-8") != text:
            sys.exit(f"{path} differs from benchmarks/results; run benchmarks/readme_tables.py.")


if __name__ == "__main__":
    main()
