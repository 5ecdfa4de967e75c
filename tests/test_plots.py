"""The contents of figures, read back from their axes."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from facesegkit import plots
from facesegkit.dataset import TrainingData
from facesegkit.errors import FaceSegKitError
from facesegkit.inference.visualize import overlay
from facesegkit.labels import ALL_PARTS, FIVE_FEATURES
from facesegkit.metrics import Evaluation, SegmentationMetrics, evaluate

RNG = np.random.default_rng(0)
NAN = float("nan")
ROWS = [(0.5, 1.9, None, None), (1.0, 1.2, 1.1, 0.4), (1.5, 0.8, NAN, NAN), (2.0, 0.7, 0.9, 0.6),
        (2.5, 0.6, 1.0, 0.5)]  # fmt: skip
COLUMNS = ("minutes", "train_loss", "val_loss", "val_mean_f1")
HISTORY: list[dict[str, float | None]] = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]


def lines(figure: Figure) -> list[list[list[float]]]:
    """(x, y) of each point of each line."""
    return [np.asarray(line.get_xydata()).tolist() for axes in figure.axes for line in axes.lines]


def test_training_curves_show_the_history():
    figure = plots.training_curves(HISTORY)
    assert lines(figure) == [
        [[0.5, 1.9], [1.0, 1.2], [1.5, 0.8], [2.0, 0.7], [2.5, 0.6]],
        [[1.0, 1.1], [2.0, 0.9], [2.5, 1.0]],
        [[1.0, 0.4], [2.0, 0.6], [2.5, 0.5]],
    ]
    assert [text.get_text() for text in figure.axes[1].texts] == ["0.600"]  # the best


def test_figures_with_little_or_much_to_show(tmp_path):
    data = random_data(1)
    everything = plots.comparison(data.photos, data.labels, data.labels, ALL_PARTS)
    for figure in (plots.training_curves([]), plots.training_curves(HISTORY[:1]), everything):
        plots.save_figure(figure, tmp_path / "figure.png")


def test_confusion_figure_shows_percentages_of_the_true_class():
    matrix = np.array([[990, 10, 0], [50, 150, 0], [0, 0, 0]])
    figure = plots.confusion_figure(SegmentationMetrics(matrix), ["background", "nose", "mouth"])
    axes = figure.axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["99.0", "1.0", "0", "25.0", "75.0", "0", "0", "0", "0"]
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shown, [[99, 1, 0], [25, 75, 0], [0, 0, 0]])
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["background", "nose", "mouth"]


def random_data(count: int, rows: list[int] | None = None) -> TrainingData:
    """Photos of 8 x 8 pixels and label maps of 16 x 16."""
    photos = RNG.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    labels = RNG.integers(0, 19, (count, 16, 16), dtype=np.uint8)
    return TrainingData(photos, labels, np.array(rows or range(count)))


def test_comparison_shows_photo_ground_truth_prediction_and_overlay():
    data = random_data(2)
    targets = FIVE_FEATURES.merge(data.labels)
    predictions = targets[:, ::-1]
    figure = plots.comparison(data.photos, targets, predictions, FIVE_FEATURES, ["first", "second"])
    columns = [axes.get_title() for axes in figure.axes]
    assert columns == ["photo", "ground truth", "prediction", "overlay", "", "", "", ""]
    for index, prediction in enumerate(predictions):
        cells = figure.axes[4 * index : 4 * index + 4]
        photo, *others = (np.asarray(axes.images[0].get_array()) for axes in cells)
        assert photo.shape == (16, 16, 3)  # of the annotation's size
        colours = [FIVE_FEATURES.colour(ids) for ids in (targets[index], prediction)]
        expected = [*colours, overlay(photo, prediction, FIVE_FEATURES)]
        np.testing.assert_array_equal(others, expected)
    assert figure.axes[4].get_ylabel() == "second"
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == list(FIVE_FEATURES.classes)
    assert legend.get_patches()[0].get_facecolor() == (1, 0, 0, 1)


TWO_OF_EACH = ("best", "best", "median", "median", "worst", "worst")


@pytest.mark.parametrize(
    ("scores", "each", "expected"),
    [
        ([0.3, 0.9, 0.5, np.nan, 0.7, 0.1], 1, [("best", 1), ("median", 2), ("worst", 5)]),
        ([0.3, 0.9], 1, [("best", 1), ("worst", 0)]),
        ([0.3], 1, [("best", 0)]),
        ([np.nan], 1, []),
        ([0.6, 0.5, 0.4, 0.3, 0.2, 0.1], 2, [*zip(TWO_OF_EACH, range(6), strict=True)]),
        ([0.2, 0.1], 5, [("best", 0), ("best", 1)]),
    ],
)
def test_pick_cases(scores, each, expected):
    assert plots.pick_cases(np.array(scores), each) == expected


class AlwaysNose(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        logits = torch.zeros(len(images), 6, *images.shape[2:])
        logits[:, 3] = 1
        return logits


def test_example_cases():
    data = random_data(9, [8, 4, 2, 6])
    data.labels[4] = 2  # nose everywhere: this one is predicted correctly
    figure = plots.example_cases(evaluate(AlwaysNose(), data), data, AlwaysNose())
    titles = [axes.get_ylabel() for axes in figure.axes[::4]]
    assert [title.split("\n")[0] for title in titles] == ["best", "median", "worst"]
    assert titles[0] == "best\nmean F1 1.000"
    target = np.asarray(figure.axes[1].images[0].get_array())
    assert (target == FIVE_FEATURES.palette[3]).all()
    nothing = Evaluation(FIVE_FEATURES, np.zeros((1, 6, 6), np.int64), np.array([0]))
    with pytest.raises(FaceSegKitError, match="no cases to show"):
        plots.example_cases(nothing, data, AlwaysNose())


def test_contact_sheet():
    photos = [np.full((4, 6, 3), value, dtype=np.uint8) for value in (10, 20, 30)]
    image = np.asarray(plots.contact_sheet(photos, columns=2))
    assert image.shape == (4 + 2 + 4, 6 + 2 + 6, 3)
    assert (image[:4, :6] == 10).all() and (image[:4, 8:] == 20).all()
    assert (image[6:, :6] == 30).all() and (image[6:, 6:] == 255).all()
    assert plots.contact_sheet(photos, columns=10).size == (3 * 6 + 2 * 2, 4)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes(suffix, tmp_path):
    files = [tmp_path / f"{name}.{suffix}" for name in ("first", "second")]
    for file in files:
        plots.save_figure(plots.training_curves(HISTORY), file)
    assert files[0].read_bytes() == files[1].read_bytes()
    figure = plots.training_curves(HISTORY)
    figure.savefig = lambda *_, **__: 1 / 0
    with pytest.raises(ZeroDivisionError):
        plots.save_figure(figure, files[0])
    assert files[0].read_bytes() == files[1].read_bytes()
