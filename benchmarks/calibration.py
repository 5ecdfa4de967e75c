"""What the scores of the face detectors mean: the numbers of `model_zoo.CALIBRATION`.

    python benchmarks/calibration.py --photos PHOTOS --keep

PHOTOS is a folder as of real_photos.py; its validation split is used, which no detector was trained
on. Each region that the detector looks at twice is a face (its box has an IoU of 0.3 with a true
one), no face, or left out. A logistic regression gives the probability of a face from the logits of
both scores. How well it is calibrated is measured with a regression fitted on one half of the
photos and applied to the other: the expected calibration error (ECE) over ten bins of equal width
(C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017), of all regions and of those
with a probability of at least 0.1, since nearly all regions are easily seen to be no face. --keep
writes benchmarks/results/calibration.json and figures/reliability.png.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from common import TOP, report
from matplotlib.figure import Figure
from numpy.typing import NDArray
from real_photos import Truth, touches_any, validation_photos
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from facesegkit.image_io import read_photo
from facesegkit.inference.alignment import box_of
from facesegkit.inference.detector import iou
from facesegkit.inference.model_zoo import DETECTOR_NAMES
from facesegkit.inference.onnx_model import DetectorModel
from facesegkit.inference.pipeline import ScaledImage
from facesegkit.inference.search_config import SEARCHES
from facesegkit.inference.segmenter import FaceSegmenter
from facesegkit.plots import BLUE, save_figure

Floats = NDArray[np.float64]
BINS = 10
LIKELY = 0.1  # from this probability on, a region may be shown to somebody


@dataclass(frozen=True, eq=False)
class Recorder(DetectorModel):
    """A detector that remembers the scores behind each confidence."""

    scores: dict[float, tuple[float, float]] = field(default_factory=dict)

    def confidence(self, first: float, second: float) -> float:
        confidence = super().confidence(first, second)
        self.scores[confidence] = first, second
        return confidence


def regions(name: str, photos: list[Truth]) -> Iterator[tuple[int, Floats, bool]]:
    """Number of the photo, logits [2], and whether it is a face, of all regions of a detector."""
    search = replace(SEARCHES["default"], min_confidence=0.0)
    analyzer = FaceSegmenter(detector=name, search=search).analyzer
    assert analyzer
    network = Recorder(analyzer.network.predict, analyzer.network.calibration)
    analyzer = replace(analyzer, network=network)
    for number, truth in enumerate(photos):
        image = read_photo(truth.path)
        faces = np.array([face.box for face in truth.faces]).reshape(-1, 4)
        for candidate in analyzer.candidates(ScaledImage(image, image.size)):
            box = box_of(candidate.roi)
            is_face = bool((iou(box, faces) >= 0.3).any())
            if is_face or not touches_any(box, truth):
                scores = np.array(network.scores[candidate.confidence]).clip(0, 1 - 1e-6)
                yield number, np.log(scores / (1 - scores)), is_face


def calibrate(name: str, photos: list[Truth]) -> dict[str, Any]:
    """Calibration of a detector, and its expected calibration error."""
    numbers, logits, is_face = map(np.array, zip(*regions(name, photos), strict=True))
    regression = LogisticRegression(C=100)
    predicted = np.zeros(len(is_face))
    for half in (0, 1):
        held_out = numbers % 2 == half
        regression.fit(logits[~held_out], is_face[~held_out])
        predicted[held_out] = regression.predict_proba(logits[held_out])[:, 1]
    regression.fit(logits, is_face)
    likely = predicted >= LIKELY
    weights = [*regression.intercept_, *regression.coef_[0]]
    return {
        "calibration": [round(float(weight), 2) for weight in weights],
        "regions": len(is_face),
        "faces": int(is_face.sum()),
        "ECE": round(calibration_error(predicted, is_face), 4),
        "likely regions": int(likely.sum()),
        "ECE of likely regions": round(calibration_error(predicted[likely], is_face[likely]), 4),
        "bins": reliability(predicted, is_face),
    }


def reliability(predicted: Floats, is_face: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Regions, mean probability and fraction of faces of each bin that has regions."""
    numbers = np.minimum((predicted * BINS).astype(int), BINS - 1)
    members = [numbers == number for number in range(BINS) if (numbers == number).any()]
    return [
        {
            "regions": int(chosen.sum()),
            "probability": round(float(predicted[chosen].mean()), 4),
            "faces": round(float(is_face[chosen].mean()), 4),
        }
        for chosen in members
    ]


def calibration_error(predicted: Floats, is_face: NDArray[np.bool_]) -> float:
    """Mean distance between probability and fraction of faces, weighted by the bins' regions."""
    bins = reliability(predicted, is_face)
    errors = [one["regions"] * abs(one["probability"] - one["faces"]) for one in bins]
    return sum(errors) / len(predicted)


def figure_of(results: dict[str, Any]) -> Figure:
    """Reliability diagram of all detectors."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    plots = figure.subplots(1, len(results), sharey=True)
    for axes, (name, result) in zip(plots, results.items(), strict=True):
        axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
        x, y = ([one[key] for one in result["bins"]] for key in ("probability", "faces"))
        axes.plot(x, y, color=BLUE, marker="o")
        for one in result["bins"]:
            at = one["probability"], one["faces"]
            axes.annotate(one["regions"], at, (5, -11), textcoords="offset points", fontsize=8)
        axes.set(title=name, xlabel="mean confidence", aspect="equal", ylim=(-0.08, 1.05))
    plots[0].set_ylabel("fraction that are faces")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder with faces.json")
    parser.add_argument("--keep", action="store_true", help="write the result file and the figure")
    options = parser.parse_args()
    photos = list(validation_photos(options.photos))
    results = {name: calibrate(name, photos) for name in DETECTOR_NAMES}
    report("calibration", results, options.keep)
    if options.keep:
        save_figure(figure_of(results), TOP / "figures" / "reliability.png")


if __name__ == "__main__":
    main()
