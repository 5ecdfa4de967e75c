"""Damaged model files: each is refused in one sentence, or is a model that works.

`benchmarks/model_fuzz.py`, which damages them, also runs as many cases as fit into some minutes.
"""

import pytest
from model_fuzz import MUTATIONS, Fuzz, peak_memory
from test_fuzz import MAX_SECONDS


@pytest.mark.parametrize("kind", MUTATIONS)
def test_damaged_models_are_refused_or_work(kind, tmp_path):
    before, fuzz = peak_memory(), Fuzz(kind, seed=0, folder=tmp_path)
    fuzz.run(count=60)
    assert (fuzz.files, fuzz.refused + fuzz.opened) == (60, 60) and fuzz.refused > 10
    assert fuzz.slowest < MAX_SECONDS and peak_memory() - before < 500e6
