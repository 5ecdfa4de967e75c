"""Figures of lesson 4: every axis has a label, and every curve is there."""

import numpy as np

from facesegkit.course import lesson_plots
from facesegkit.labels import FIVE_FEATURES

PHOTOS = np.full((3, 16, 16, 3), 128, dtype=np.uint8)
CLASSES = np.zeros((3, 32, 32), dtype=np.uint8)
HISTORY = [
    {"photos": 8.0 * step, "train_loss": 1 / step, "val_loss": loss, "val_mean_f1": 1 - loss}
    for step, loss in enumerate((0.9, np.nan, 0.5, np.nan, 0.4), start=1)
]


def labels_of(figure):
    return {(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes}


def curves_of(axes):
    return {line.get_label(): len(line.get_xdata()) for line in axes.lines}


def test_class_maps_are_drawn_over_photos_of_another_size():
    figure = lesson_plots.overlays(PHOTOS, {"a": CLASSES, "b": CLASSES}, FIVE_FEATURES)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["a", "b"]
    assert all(axes.images[0].get_array().shape == (32, 32, 3) for axes in figure.axes)
    sheet = lesson_plots.overlay_sheet(PHOTOS, CLASSES[:, ::2, ::2], FIVE_FEATURES)
    assert sum(len(axes.images) for axes in sheet.axes) == 3


def test_bars_have_a_group_for_each_class():
    figure = lesson_plots.class_bars({"one": [0.1, 0.2], "two": [0.3, 0.4]}, ["eyes", "nose"])
    (axes,) = figure.axes
    assert [patch.get_height() for patch in axes.patches] == [0.1, 0.2, 0.3, 0.4]
    assert axes.get_ylabel() == "F1"


def test_curves_show_all_validations_and_nothing_else():
    figure = lesson_plots.loss_grid({(f"{n} faces", "augmented"): HISTORY for n in range(4)})
    assert curves_of(figure.axes[0]) == {"training": 5, "validation": 3}
    assert ("photos seen, including repeats", "loss") in labels_of(figure)
    figure = lesson_plots.budgets(HISTORY, [(8, 0.3), (16, 0.4)])
    assert [*curves_of(figure.axes[0]).values()] == [3, 2]
    assert labels_of(figure) == {("photos seen, including repeats", "validation mean F1")}


def test_losses_by_epoch():
    figure = lesson_plots.epoch_losses({"a": [(0.9, 1.0), (0.5, 0.6)]})
    assert curves_of(figure.axes[0]) == {"training": 2, "validation": 2}
    assert labels_of(figure) == {("epoch", "loss")}


def test_learning_rates_are_on_a_logarithmic_scale():
    lrs, losses = np.geomspace(1e-4, 1, 9), np.linspace(1, 0, 9)
    figure = lesson_plots.learning_rates(lrs, losses, losses, {0.01: 0.3, 0.1: 0.5})
    assert all(axes.get_xscale() == "log" for axes in figure.axes)
    assert labels_of(figure) == {("learning rate", "loss"), ("learning rate", "validation mean F1")}


def test_a_schedule_has_its_stages():
    figure = lesson_plots.schedule([0.1, 0.2, 0.0], [(0.5, 128), (1.0, 256)])
    assert [text.get_text().split("\n")[0] for text in figure.axes[0].texts] == [
        "128 x 128", "256 x 256",
    ]  # fmt: skip
    assert labels_of(figure) == {("% of the run", "learning rate")}
