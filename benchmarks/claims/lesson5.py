"""Statements of lesson 5, on other synthetic faces and on halves of the real test photos."""

import numpy as np
import torch
import torch.nn.functional as F
from lesson_claims import Claim, figures_of
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from facesegkit.checkpoint import load
from facesegkit.course.photo_counts import PhotoCounts, load_photo_counts
from facesegkit.evaluation.boundary import boundary_f1
from facesegkit.evaluation.per_photo import bootstrap, confidence_interval
from facesegkit.inference.model_zoo import MODEL_NAMES, weights_path
from facesegkit.labels import FIVE_FEATURES, paint_parts
from facesegkit.metrics import SegmentationMetrics, confusion_matrix
from facesegkit.synthetic import synthesize_face

FACES, CALIBRATION_FACES = 120, 60
FIRST_SEED = 9000  # of the faces: far from those of the training
EYES, BROWS, NOSE, MOUTH = range(1, 5)  # class ids of FIVE_FEATURES
COMPARED = {"eyes": EYES, "eyebrows": BROWS, "nose": NOSE}  # by F1 and by boundary F1

Figures = dict[str, float]


def on_synthetic_faces(seed: int) -> Figures:
    """Figures of `unet-synthetic` on the lesson's number of faces."""
    model = load(weights_path("unet-synthetic", ".pth")).model
    targets, predicted, logits = _predict(model, seed)
    pairs = list(zip(targets, predicted, strict=True))
    matrices = np.stack([confusion_matrix(*pair, 6) for pair in pairs])
    per_image = np.array([SegmentationMetrics(matrix).mean_f1 for matrix in matrices])
    pooled = SegmentationMetrics(matrices.sum(axis=0))
    contours = np.nanmean([boundary_f1(*pair, 6) for pair in pairs], axis=0)
    missed = pooled.matrix[EYES : NOSE + 1].copy()
    missed[range(3), range(EYES, NOSE + 1)] = 0
    return {
        "pooled": pooled.mean_f1,
        "per image": float(per_image.mean()),
        "missed as background": float((missed[:, 0] / missed.sum(axis=1)).min()),
        **{name: pooled.f1[index] for name, index in COMPARED.items()},
        **{f"{name}, boundary": contours[index] for name, index in COMPARED.items()},
        **_near_boundaries(targets, predicted),
        **_shifted(targets),
        **_confidence(logits, targets, per_image),
    }


@torch.inference_mode()
def _predict(
    model: torch.nn.Module, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[Tensor]]:
    """True and predicted classes, uint8 [N, 512, 512], and some photos' logits [6, 512, 512]."""
    targets, predicted, logits = [], [], []
    for index in range(FACES):
        face = synthesize_face(FIRST_SEED + seed, index)
        photo = Image.fromarray(face.photo).resize((256, 256), Image.Resampling.BOX)
        pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None] / 255
        upsampled = F.interpolate(model(pixels), (512, 512), mode="bilinear", align_corners=False)
        predicted.append(upsampled[0].argmax(0).numpy().astype(np.uint8))
        targets.append(FIVE_FEATURES.merge(paint_parts(face.masks, (512, 512))))
        if index < CALIBRATION_FACES:
            logits.append(upsampled[0])
    return np.stack(targets), np.stack(predicted), logits


def _moved(image: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    return [np.roll(image, step, axis) for axis in (-1, -2) for step in (-1, 1)]


def _near_boundaries(targets: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> Figures:
    """Fractions of the errors and of the pixels in a band of three steps."""
    band = np.any([targets != other for other in _moved(targets)], axis=0)
    for _ in range(2):
        band = np.any([band, *_moved(band)], axis=0)
    errors = targets != predicted
    return {"errors in band": (errors & band).sum() / errors.sum(), "band": band.mean()}


def _shifted(targets: NDArray[np.uint8]) -> Figures:
    """The smallest lead of the nose over a class, at shifts of 1 to 6 pixels, and two examples."""
    f1 = np.ones((7, 5))
    for shift in range(1, 7):
        both = (np.roll(targets, shift, axis) for axis in (1, 2))
        of_both = [SegmentationMetrics(confusion_matrix(targets, one, 6)).f1[1:] for one in both]
        f1[shift] = np.mean(of_both, axis=0)
    nose, others = f1[1:, NOSE - 1], np.delete(f1[1:], NOSE - 1, axis=1)
    return {
        "lead of the nose": float((nose[:, None] - others).min()),
        "shift for eyebrows of 0.85": float(np.interp(-0.85, -f1[:, BROWS - 1], range(7))),
        "shift for a nose of 0.9": float(np.interp(-0.9, -f1[:, NOSE - 1], range(7))),
    }


def _confidence(
    logits: list[Tensor], targets: NDArray[np.uint8], per_image: NDArray[np.float64]
) -> Figures:
    """Calibration errors before and after scaling, and how well confidence indicates F1."""
    pixels = []
    for of_photo, target in zip(logits, targets, strict=False):
        is_feature = of_photo.argmax(0) > 0
        true = torch.from_numpy(target)[is_feature].long()
        pixels.append((of_photo[:, is_feature].T, true))
    halves = [zip(*pixels[start::2], strict=True) for start in (0, 1)]
    (logits_a, labels_a), (logits_b, labels_b) = (map(torch.cat, part) for part in halves)
    temperatures = np.linspace(0.5, 4, 36)
    losses = [float(F.cross_entropy(logits_b / t, labels_b)) for t in temperatures]
    temperature = float(temperatures[int(np.argmin(losses))])
    confidences = np.array([_mean_confidences(one / temperature) for one, _ in pixels])
    f1 = per_image[: len(pixels)]
    kept = confidences >= np.quantile(confidences, 0.2, axis=0)
    ranks = [values.argsort().argsort() for values in (f1, *confidences.T)]
    return {
        "ECE": _calibration_error(logits_a, labels_a),
        "ECE, scaled": _calibration_error(logits_a / temperature, labels_a),
        "ranks, pixels": np.corrcoef(ranks)[0, 1],
        "ranks, classes": np.corrcoef(ranks)[0, 2],
        "kept, pixels": f1[kept[:, 0]].mean(),
        "kept, classes": f1[kept[:, 1]].mean(),
    }


def _mean_confidences(logits: Tensor) -> tuple[float, float]:
    """Mean confidence over the pixels of a photo, and over the classes in it."""
    confidence, classes = logits.softmax(dim=1).max(dim=1)
    of_classes = [confidence[classes == index].mean() for index in classes.unique()]
    return float(confidence.mean()), float(torch.stack(of_classes).mean())


def _calibration_error(logits: Tensor, labels: Tensor, bins: int = 12) -> float:
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    index = (confidence * bins).long().clamp(max=bins - 1)
    gap = (confidence - (predicted == labels).float()).double()
    return float(torch.bincount(index, gap, minlength=bins).abs().sum() / len(labels))


def half(seed: int) -> dict[str, PhotoCounts]:
    """The counts of all models of five features on a random half of the test photos, by name."""
    found = {name: load_photo_counts(name) for name in MODEL_NAMES}
    rows = np.random.default_rng(seed).permutation(504)[:252]
    return {
        name: PhotoCounts(
            counts.class_names,
            counts.matrices[rows],
            counts.ids[rows],
            {group: members[rows] for group, members in counts.groups.items()},
            counts.ita[rows],
            counts.grey[rows],
        )
        for name, counts in found.items()
        if counts.class_names == FIVE_FEATURES.class_names
    }


def _mean_f1(matrices: NDArray[np.int32]) -> float:
    return SegmentationMetrics(matrices.sum(axis=0)).mean_f1


def per_image_gap(seed: int) -> Figures:
    """Pooled minus per-image mean F1 of each model."""
    gaps = {}
    for name, counts in half(seed).items():
        per_image = np.array([SegmentationMetrics(one).mean_f1 for one in counts.matrices])
        gaps[name] = _mean_f1(counts.matrices) - np.nanmean(per_image)
    return gaps


def gap_of_glasses(seed: int) -> Figures:
    """Mean F1 of photos with glasses minus that of the others, of the two models of the figure."""
    gaps = {}
    for name in ("separable", "separable-synthetic"):
        counts = half(seed)[name]
        members = counts.groups["glasses"]
        gaps[name] = _mean_f1(counts.matrices[members]) - _mean_f1(counts.matrices[~members])
    return gaps


def gap_of_open_mouths(seed: int) -> Figures:
    """The same for open mouths: of the class mouth, and the mean of the four other classes."""
    gaps = {}
    for name, counts in half(seed).items():
        members = counts.groups["open mouth"]
        of_open, of_others = (
            SegmentationMetrics(counts.matrices[rows].sum(axis=0)).f1
            for rows in (members, ~members)
        )
        gaps[f"{name}, mouth"] = of_open[MOUTH] - of_others[MOUTH]
        gaps[f"{name}, others"] = float(np.delete(of_open - of_others, (0, MOUTH)).mean())
    return gaps


def dependence_on_area(seed: int) -> Figures:
    """Rank correlation of F1 and annotated area of each class, of `separable`."""
    counts, found = half(seed)["separable"], {}
    f1 = np.array([SegmentationMetrics(one).f1 for one in counts.matrices])
    annotated = counts.matrices.sum(axis=2)
    for index, name in enumerate(counts.class_names[1:], start=1):
        rows = annotated[:, index] > 0
        ranks = [x[rows, index].argsort().argsort() for x in (f1, annotated)]
        found[name] = float(np.corrcoef(ranks)[0, 1])
    return found


def widths_of_intervals(seed: int) -> Figures:
    """Width of the paired divided by that of the unpaired interval, for each pair of versions."""
    counts, ratios = half(seed), {}
    for network in ("separable", "unet"):
        first, *others = [name for name in counts if name.split("-")[0] == network]
        for other in others:
            samples = _samples(counts[first], 0)
            low, high = confidence_interval(samples - _samples(counts[other], 0))
            low_apart, high_apart = confidence_interval(samples - _samples(counts[other], 1))
            ratios[other] = (high - low) / (high_apart - low_apart)
    return ratios


def _samples(counts: PhotoCounts, seed: int) -> NDArray[np.float64]:
    sums = bootstrap(counts.matrices, resamples=500, seed=seed)
    return np.array([SegmentationMetrics(one).mean_f1 for one in sums])


CLAIMS = [
    Claim(
        "Eyes, eyebrows and nose are hardly ever confused with one another: nearly all of their "
        "missed pixels are predicted as background.",
        figures_of(on_synthetic_faces, "missed as background"),
        lambda found: found["missed as background"] > 0.95,
    ),
    Claim(
        "The histogram has a tail to the left, and the mean of the photos' scores (dashed) is "
        "below the pooled score (orange).",
        figures_of(on_synthetic_faces, "pooled", "per image"),
        lambda found: found["per image"] < found["pooled"],
    ),
    Claim(
        "A band of three steps covers most of the errors, but only a small part of the image.",
        figures_of(on_synthetic_faces, "errors in band", "band"),
        lambda found: found["errors in band"] > 0.6 and found["band"] < 0.06,
    ),
    Claim(
        "Whatever the shift, the nose loses least.",
        figures_of(on_synthetic_faces, "lead of the nose"),
        lambda found: found["lead of the nose"] > 0,
    ),
    Claim(
        "So an F1 of 0.85 for eyebrows can mean a better segmentation than 0.9 for a nose.",
        figures_of(on_synthetic_faces, "shift for eyebrows of 0.85", "shift for a nose of 0.9"),
        lambda found: found["shift for eyebrows of 0.85"] < found["shift for a nose of 0.9"],
    ),
    Claim(
        "Compared with the nose, eyes and eyebrows do better by the boundary F1 than by the F1",
        figures_of(on_synthetic_faces, *COMPARED, *(f"{name}, boundary" for name in COMPARED)),
        lambda found: all(
            found[f"{name}, boundary"] - found["nose, boundary"] > found[name] - found["nose"]
            for name in ("eyes", "eyebrows")
        ),
    ),
    Claim(
        "Temperature scaling reduces the calibration error, even on photos that were not used to "
        "choose T.",
        figures_of(on_synthetic_faces, "ECE", "ECE, scaled"),
        lambda found: found["ECE, scaled"] < found["ECE"],
    ),
    Claim(
        "The rank correlation is higher for the mean over classes.",
        figures_of(on_synthetic_faces, "ranks, pixels", "ranks, classes"),
        lambda found: found["ranks, classes"] > found["ranks, pixels"],
    ),
    Claim(
        "In 4 of 5 repetitions with other faces, the mean of the photos' F1 was also higher "
        "without the photos that it flags than without those that the other mean flags.",
        figures_of(on_synthetic_faces, "kept, pixels", "kept, classes"),
        lambda found: found["kept, classes"] > found["kept, pixels"],
    ),
    Claim(
        "The per-image F1 is lower than the pooled F1 for every model",
        per_image_gap,
        lambda found: min(found.values()) > 0,
    ),
    Claim(
        "Of the five classes, the mouth depends most on its size",
        dependence_on_area,
        lambda found: max(found, key=lambda name: found[name]) == "mouth",
    ),
    Claim(
        "Photos with glasses score lower than the others, with both models.",
        gap_of_glasses,
        lambda found: max(found.values()) < 0,
    ),
    Claim(
        "The whole advantage of an open mouth comes from one class, the mouth",
        gap_of_open_mouths,
        lambda found: all((gap > 0) == name.endswith("mouth") for name, gap in found.items()),
    ),
    Claim(
        "The paired interval is narrower than the unpaired one, for each pair of models.",
        widths_of_intervals,
        lambda found: max(found.values()) < 1,
    ),
]
