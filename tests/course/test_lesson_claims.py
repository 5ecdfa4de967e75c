"""What benchmarks/lesson_claims.py checks are sentences of the lessons, and they hold."""

import json
import re
from pathlib import Path

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
