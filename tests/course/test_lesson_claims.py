"""What benchmarks/lesson_claims.py checks are sentences of the lessons, and they hold."""

import json
import re
from pathlib import Path
from statistics import mean

import pytest
from common import load_results
from lesson_claims import SEEDS, claims_of, lessons

TOP = Path(__file__).parents[2]


def plain(text):
    """Text without markup, on one line."""
    return " ".join(re.sub(r"[*`_]", "", text).split())


def text_of(lesson):
    (path,) = (TOP / "notebooks").glob(f"0{lesson}-*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return plain("\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown"))


@pytest.mark.parametrize("lesson", lessons())
def test_each_claim_is_in_its_lesson_and_holds_on_all_seeds_or_says_how_often(lesson):
    results = {row["sentence"]: row for row in load_results("lesson_claims")[f"lesson {lesson}"]}
    sentences = [claim.sentence for claim in claims_of(lesson)]
    assert sorted(results) == sorted(sentences), f"run lesson_claims.py --lesson {lesson} --keep"
    text = text_of(lesson)
    for sentence, row in results.items():
        assert plain(sentence) in text, sentence
        assert row["of"] >= SEEDS
        assert row["holds"] == row["of"] or f"{row['holds']} of {row['of']}" in sentence, row


def test_what_lesson_7_says_about_int8_agrees_with_its_benchmark():
    results = load_results("int8_processors")
    text = text_of(7)
    for processor, by_model in results.items():
        for name in ("unet-synthetic", "separable-synthetic"):
            kinds = [f"{name} {kind}" for kind in ("float32", "8 bits", "7 bits")]
            values = [f"{mean(by_model[kind]):.3f}" if kind in by_model else "" for kind in kinds]
            row = plain(f"| {name}, {processor} | " + " | ".join(values) + " |")
            assert row in text, row
    (with_it, without_it) = results.values()
    for name in ("unet-synthetic", "separable-synthetic"):
        float32, eight = with_it[f"{name} float32"], without_it[f"{name} 8 bits"]
        assert all(lost < kept for lost, kept in zip(eight, float32, strict=True))
        assert without_it[f"{name} 7 bits"] == with_it[f"{name} 7 bits"]
