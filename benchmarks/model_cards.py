"""Evaluate a model that lies in facesegkit/weights/, and write its figures and its model card.

    python benchmarks/model_cards.py separable --data data/CelebAMask-HQ
    python benchmarks/model_cards.py --cards     # only write the cards again from the figures
    python benchmarks/model_cards.py --check     # only check that cards, figures and counts agree

NAME.json gets the metrics on the validation and test split and on groups of their photos, and how
robust the model is (conditions.py). What it says about training stays as it is, or comes from
ship_weights.py. The confusion matrices of the test photos go to benchmarks/results/. All models
are measured on the five features, so that they can be compared; one with other classes gets their
metrics as well.
"""

import argparse
import json
import sys
from pathlib import Path
from textwrap import wrap
from typing import Any

import facesegkit  # noqa: F401  before torch, because it sets OMP_WAIT_POLICY

# isort: split
from common import TOP
from conditions import ALIGNED, PHOTO_SIZE, robustness
from model_figures import MIN_PHOTOS, count, model_figures, pooled_figures, split_figures
from readme_tables import definition_list, table, with_interval
from recipes import CONTOURS_WEIGHT, TEACHERS, TRAININGS, needed

from facesegkit import metrics
from facesegkit.checkpoint import load
from facesegkit.course.photo_counts import PhotoCounts
from facesegkit.data.cache import build_cache
from facesegkit.data.skin_tone import ITA_GROUPS
from facesegkit.evaluation.boundary import BOUNDARY_DEFINITION
from facesegkit.evaluation.per_photo import PER_IMAGE_DEFINITION
from facesegkit.geometry import FULL_IMAGE, RelativeCrop
from facesegkit.inference.model_zoo import FOLDER, MODEL_NAMES
from facesegkit.labels import FIVE_FEATURES
from facesegkit.system.tensor_files import versions

TEMPLATES = Path(__file__).parent / "card_templates"
# What ship_weights.py says about a model's training. It stays when a model is evaluated again.
TRAINING_KEYS = (
    "trained on", "training data", "licence", "command", "minutes", "photos seen", "config", "onnx",
    "steps before, minutes",
)  # fmt: skip

_RESEARCH = "non-commercial research and education only"
OPEN = "synthetic faces, and public-domain portraits labelled by models and MediaPipe"
LICENCES = {  # by what a model was trained on
    "photos": f"{_RESEARCH} (CelebAMask-HQ)",
    "synthetic faces": "MIT",
    OPEN: "MIT",
}
PROVENANCE = {
    "photos": (
        "The photos and masks are those of C.-H. Lee, Z. Liu, L. Wu, P. Luo, MaskGAN, CVPR 2020,\n"
        f"for {_RESEARCH}; so are these weights."
    ),
    "synthetic faces": (
        "No photo was used in training. The appearance of the synthetic faces and the recipe were\n"
        "chosen with the photos of CelebAMask-HQ's train split and the metrics on its validation\n"
        "split."
    ),
    OPEN: (
        "No photo of a research data set was used in training: the portraits, 884 faces found in\n"
        "879 photos, are in the public domain, and their masks are pseudo-labels. The recipe was\n"
        "chosen by the metrics on CelebAMask-HQ's validation split."
    ),
}
USES = {
    "MIT": "Any use, also commercial",
    LICENCES["photos"]: "Non-commercial research, teaching and learning",
}
DEFINITIONS = {
    "Mean F1": metrics.DEFINITION,
    "Per-image F1": PER_IMAGE_DEFINITION,
    "Boundary F1": BOUNDARY_DEFINITION,
    "95 % interval": (
        "Percentiles of 2,000 bootstrap samples of the photos. It says how much a figure depends "
        f"on which photos were drawn; groups of fewer than {MIN_PHOTOS} photos have none."
    ),
}


def kind_of(name: str) -> str:
    """What a model of this name is trained on, see `LICENCES`."""
    if name.endswith("-synthetic"):
        return "synthetic faces"
    if name.endswith("-open"):
        return OPEN
    return "photos"


def read_figures(name: str) -> dict[str, Any]:
    """The figures of a model; empty if there are none yet."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def counts_path(name: str) -> Path:
    """The file with the confusion matrices of a model's test photos."""
    return TOP / "benchmarks" / "results" / f"confusion-{name}.npz"


def write_card(name: str, data: str | Path, training: dict[str, Any] | None = None) -> None:
    """Evaluate a model of facesegkit/weights/; write its figures, its counts and its card.

    `data` is CelebAMask-HQ, a folder or a zip. `training` has all `TRAINING_KEYS`; without it they
    are taken from the model's figures.
    """
    origin = read_figures(name) if training is None else training
    if missing := ", ".join(key for key in TRAINING_KEYS if key not in origin):
        sys.exit(f"Nothing says how {name} was trained ({missing}); use ship_weights.py.")
    figures, counts = evaluate(name, data)
    figures |= {key: origin[key] for key in TRAINING_KEYS}
    counts.save(counts_path(name))
    text = json.dumps(figures, indent=2) + "\n"
    (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
    (FOLDER / f"{name}.md").write_text(card_text(figures), encoding="utf-8")
    print(f"{name}: validation {figures['val']['mean_f1']}, test {figures['test']['mean_f1']}")


def evaluate(name: str, data: str | Path) -> tuple[dict[str, Any], PhotoCounts]:
    """All figures of a model but those of its training, and its counts on the test split."""
    checkpoint = load(FOLDER / f"{name}.pth")
    size = checkpoint.crop.full_size(checkpoint.input_size)
    cache, photos = (build_cache(data, photo_size=side) for side in (size, PHOTO_SIZE))
    figures = model_figures(name, checkpoint)
    # By its own name, whatever its folder is called here.
    figures["scored on"] = cache.summary().replace(Path(cache.source).name, "CelebAMask-HQ")
    figures["definitions"] = DEFINITIONS
    counted = {split: count(checkpoint, cache, photos, split) for split in ("val", "test")}
    figures |= {split: split_figures(of, checkpoint.scheme) for split, of in counted.items()}
    # Apart from the splits, because lesson 8 reads it there.
    figures["groups of the test split"] = figures["test"].pop("groups")
    figures["robustness"] = robustness(name, photos, photos.rows("test")[::2])
    return figures | {"versions": versions()}, counted["test"].own


def write_cards(check: bool) -> None:
    """Write the cards of all models from their figures, or check that they agree."""
    for name in MODEL_NAMES:
        figures, path = read_figures(name), FOLDER / f"{name}.md"
        text = card_text(figures)
        if not check:
            path.write_text(text, encoding="utf-8")
            continue
        if path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path.name} differs from {name}.json; run model_cards.py --cards.")
        counts = PhotoCounts.load(counts_path(name))
        own = figures["test"].get("all classes", figures["test"])
        counted = pooled_figures(counts.matrices, counts.class_names[1:], by_class=True)
        if counted != {key: own[key] for key in counted}:
            sys.exit(f"{name}.json differs from {counts_path(name).name}; evaluate {name} again.")


def card_text(figures: dict[str, Any]) -> str:
    """The text of the model card, from a model's figures."""
    test, changes = figures["test"], figures["robustness"]
    weakest = min(test["f1"], key=test["f1"].__getitem__)
    template = (TEMPLATES / "model.md").read_text(encoding="utf-8")
    return template.format(
        **figures,
        million_macs=figures["macs"] / 1e6,
        steps_before=steps_before(figures["steps before, minutes"]),
        class_list=", ".join(figures["classes"]),
        use=USES[figures["licence"]],
        input_region=_input_region(RelativeCrop.from_dict(figures["crop"])),
        provenance=provenance(figures["name"]),
        definition_list=definition_list(figures["definitions"]),
        split_table=split_table(figures),
        class_table=class_table(figures),
        class_note=class_note(figures),
        group_table=group_table(figures["groups of the test split"]),
        ita_table=ita_table(figures),
        gap_table=gap_table(figures),
        robustness_table=robustness_table(changes),
        weakest=f"{weakest} ({test['f1'][weakest]:.3f})",
        worst_change=min(changes, key=changes.__getitem__),
        known_faults=known_faults(figures["name"]),
        config_json=json.dumps(figures["config"], sort_keys=True),
    )


def provenance(name: str) -> str:
    """Whose the photos of a model's trainings are, and what labelled those without masks."""
    sentences = []
    for step in needed(name):
        training = TRAININGS[step]
        where = "In the last training" if step == name else f"In the step `{step}`"
        teacher = training.teacher or ""
        models = " and ".join(f"`{model}`" for model in TEACHERS.get(teacher, ()))
        if "everyday" in training.data:
            sentences.append(
                f"{where} it also learned from the train split of everyday photos from public "
                f"research collections; {models}, a larger network trained on CelebAMask-HQ, "
                "predicted their masks (pseudo-labels)."
            )
        if "portraits" in training.data:
            weight = CONTOURS_WEIGHT[teacher]
            sentences.append(
                f"{where} the masks of the portraits are a mean of the predictions of {models} "
                f"(weight {1 - weight:g}) and the contours of MediaPipe's face mesh 0.10.14 "
                f"(Google, Apache License 2.0; weight {weight:g})."
            )
    return "\n".join([PROVENANCE[kind_of(name)], *wrap(" ".join(sentences), width=105)])


def steps_before(minutes: dict[str, float]) -> str:
    """The trainings that a model needs, in words."""
    steps = ", ".join(f"`{step}` {value:g}" for step, value in minutes.items())
    return f",\nafter these steps, in minutes: {steps}" if steps else ""


def known_faults(name: str) -> str:
    """The list that is kept by hand, in card_templates/known_faults.json."""
    faults = json.loads((TEMPLATES / "known_faults.json").read_text(encoding="utf-8")).get(name)
    return "\n".join(f"- {fault}" for fault in faults or ["None is known besides these limits."])


def split_table(figures: dict[str, Any]) -> str:
    """Metrics on the validation and test split."""
    rows = []
    for name, of in (("validation", figures["val"]), ("test", figures["test"])):
        row = [name, str(of["photos"]), with_interval(of["mean_f1"], of["interval"])]
        for key in ("per_image_f1", "boundary_f1"):
            row.append(with_interval(of[key], of[f"{key}_interval"]))
        rows.append(row)
    return table("split | photos | mean F1 | per-image F1 | boundary F1", rows)


def class_table(figures: dict[str, Any]) -> str:
    """Metrics of each class of the model, on the test split."""
    val, test = (figures[split].get("all classes", figures[split]) for split in ("val", "test"))
    rows = [
        [name, with_interval(f1, test["intervals"][name]),
         f"{test['boundary_f1_of_classes'][name]:.3f}", f"{val['f1'][name]:.3f}"]
        for name, f1 in test["f1"].items()
    ]  # fmt: skip
    mean = with_interval(test["mean_f1"], test["interval"])
    rows.append(["mean", mean, f"{test['boundary_f1']:.3f}", f"{val['mean_f1']:.3f}"])
    return table("class | F1, test | boundary F1, test | F1, validation", rows)


def class_note(figures: dict[str, Any]) -> str:
    """What comes before the metrics of classes that are finer than the five features."""
    if "all classes" not in figures["test"]:
        return ""
    val, test = figures["val"]["groups"], figures["groups of the test split"]
    return (
        f"\nFor the model's own {len(figures['classes'])} classes, none of them merged, which is "
        "why the mean is another. `hat` rests on\n"
        f"few photos: {test['hat']['photos']} of the test and {val['hat']['photos']} of the "
        "validation split.\n"
    )


def group_table(groups: dict[str, Any]) -> str:
    """Mean F1 and F1 of each class by group."""
    rows = [
        [name, str(of["photos"]), with_interval(of["mean_f1"], of.get("interval")),
         *("" if f1 is None else f"{f1:.3f}" for f1 in of["f1"].values())]
        for name, of in groups.items()
    ]  # fmt: skip
    return table("group | photos | mean F1 | " + " | ".join(FIVE_FEATURES.classes), rows)


def ita_table(figures: dict[str, Any]) -> str:
    """Mean F1 by ITA group, on both splits."""
    rows = []
    for group in (*ITA_GROUPS, "none"):
        row = [f"{group} (from {ITA_GROUPS[group]:.0f})" if group in ITA_GROUPS else group]
        for split in ("val", "test"):
            if of := figures[split]["ITA groups"].get(group):
                row += [str(of["photos"]), with_interval(of["mean_f1"], of.get("interval"))]
            else:
                row += ["0", ""]
        rows.append(row)
    head = "ITA in degrees | validation photos | mean F1 | test photos | mean F1"
    return table(head, [row for row in rows if row[1] != "0" or row[3] != "0"])


def gap_table(figures: dict[str, Any]) -> str:
    """The darkest tenth of the skins beside the rest, on both splits."""
    rows = []
    for name, split in (("validation", "val"), ("test", "test")):
        skin = figures[split]["skin"]
        groups = [skin[group] for group in ("darkest tenth", "rest")]
        row = [name, f"{skin['highest grey']:.0f}", str(groups[0]["photos"])]
        row += [with_interval(of["mean_f1"], of.get("interval")) for of in groups]
        rows.append([*row, with_interval(skin["gap"]["mean_f1"], skin["gap"]["interval"], "+")])
    return table("split | grey up to | photos | darkest tenth | the rest | gap", rows)


def robustness_table(changes: dict[str, float]) -> str:
    """Mean F1 on changed photos, and the difference to aligned ones."""
    rows = [[name, f"{f1:.3f}", f"{f1 - changes[ALIGNED]:+.3f}"] for name, f1 in changes.items()]
    return table(" | mean F1 | difference", rows)


def _input_region(crop: RelativeCrop) -> str:
    """The part of an aligned photo that a model takes, in words."""
    if crop == FULL_IMAGE:
        return "the whole aligned photo, 256 x 256 pixels"
    return (
        f"a square crop of an aligned photo, resized to 256 x 256 pixels. Its side is\n"
        f"  {crop.size:.0%} of the photo's side, its centre at {crop.x:.0%} of the width and "
        f"{crop.y:.1%} of the height"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", help="of a model in facesegkit/weights/")
    parser.add_argument("--data", help="CelebAMask-HQ, a folder or a zip, to evaluate on")
    parser.add_argument("--cards", action="store_true", help="only write the model cards")
    parser.add_argument("--check", action="store_true", help="only check them")
    options = parser.parse_args()
    if options.cards or options.check:
        write_cards(options.check)
    elif options.name and not (FOLDER / f"{options.name}.pth").exists():
        parser.error(f"there is no {options.name}.pth in facesegkit/weights/")
    elif options.name and options.data:
        write_card(options.name, options.data)
    else:
        parser.error("give a name and --data, or --cards or --check")


if __name__ == "__main__":
    main()
