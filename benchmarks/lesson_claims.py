"""Check comparative statements of the lessons on several seeds.

    python benchmarks/lesson_claims.py --lesson 4 --keep

claims/lesson1.py, claims/lesson2.py ... have the statements of each lesson as they stand in its
text, each with a function that repeats the lesson's experiment with another seed. A statement stays
in a lesson only if it holds on all seeds, or says how often it does.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import facesegkit  # noqa: F401  before torch, because it sets OMP_WAIT_POLICY

# isort: split
import torch
from common import load_results, report

SEEDS = 5


@dataclass(frozen=True)
class Claim:
    """A sentence of a lesson, and the experiment behind it."""

    sentence: str  # as in the lesson, without markup and line breaks
    # From a seed to the figures of one run, and whether the sentence holds for them.
    run: Callable[[int], dict[str, float]]
    holds: Callable[[dict[str, float]], bool]


def lessons() -> list[int]:
    """Numbers of the lessons with claims."""
    modules = Path(__file__).with_name("claims").glob("lesson[0-9].py")
    return sorted(int(path.stem.removeprefix("lesson")) for path in modules)


def claims_of(lesson: int) -> list[Claim]:
    """The claims of a lesson."""
    return list(import_module(f"claims.lesson{lesson}").CLAIMS)


@cache  # several sentences may be about the same experiment
def run(experiment: Callable[[int], dict[str, float]], seed: int) -> dict[str, float]:
    return experiment(seed)


def figures_of(
    experiment: Callable[[int], dict[str, float]], *names: str
) -> Callable[[int], dict[str, float]]:
    """A claim's run that returns some of the figures of an experiment, which is run only once."""
    return lambda seed: {name: run(experiment, seed)[name] for name in names}


def check(claim: Claim, seeds: int) -> dict[str, object]:
    """The figures of all seeds, and in how many of them the sentence holds."""
    runs = [run(claim.run, seed) for seed in range(seeds)]
    held = [bool(claim.holds(figures)) for figures in runs]
    print(f"{sum(held)} of {seeds}: {claim.sentence}", file=sys.stderr)
    rounded = {name: [round(float(run[name]), 4) for run in runs] for name in runs[0]}
    return {"sentence": claim.sentence, "holds": sum(held), "of": seeds, "figures": rounded}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lesson", type=int, choices=lessons(), action="append")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--keep", action="store_true", help="write the results file")
    options = parser.parse_args()
    torch.set_num_threads(1)  # as in the lessons
    results = load_results("lesson_claims")
    for lesson in options.lesson or lessons():
        results[f"lesson {lesson}"] = [check(claim, options.seeds) for claim in claims_of(lesson)]
    report("lesson_claims", dict(sorted(results.items())), options.keep)


if __name__ == "__main__":
    main()
