"""Figures of the lessons: what they show, their labels and their size."""

import numpy as np
import pytest

from facesegkit.course.lesson_plots import (
    average_masks,
    image_grid,
    labelled_point,
    part_frequencies,
    split_fractions,
)
from facesegkit.labels import FIVE_FEATURES


@pytest.mark.parametrize(("count", "columns", "axes"), [(5, 3, 6), (3, 3, 3), (1, 4, 4)])
def test_image_grid(count, columns, axes):
    images = [np.full((40, 60, 3), 10 * number, dtype=np.uint8) for number in range(count)]
    titles = [f"image {number}" for number in range(count)]
    figure = image_grid(images, titles, columns=columns, scheme=FIVE_FEATURES)
    assert len(figure.axes) == axes
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    assert len(shown) == count and all(map(np.array_equal, shown, images))
    assert [axis.get_title() for axis in figure.axes[:count]] == titles
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(FIVE_FEATURES.classes)
    assert figure.get_figwidth() == 9


def test_part_frequencies_has_the_most_frequent_part_at_the_top():
    figure = part_frequencies(["a", "b"], np.array([0.9, 0.1]), np.array([0.001, 0.5]))
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["b", "a"]
    assert [bar.get_width() for bar in left.patches] == pytest.approx([10, 90])
    assert [bar.get_width() for bar in right.patches] == pytest.approx([50, 0.1])
    assert "% of the photos" in left.get_xlabel() and "% of all pixels" in right.get_xlabel()


def test_average_masks_shows_each_part_up_to_its_own_maximum():
    averages = {"nose": np.eye(8) / 2, "skin": np.ones((8, 8))}
    figure = average_masks(np.zeros((8, 8, 3), dtype=np.uint8), averages)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:3] == ["photos", "nose, max 50%", "skin, max 100%"]
    assert figure.axes[-1].get_ylabel() == "relative to the part's maximum"
    assert [axes.images[0].get_array().max() for axes in figure.axes[1:3]] == [1, 1]


def test_split_fractions_leaves_out_an_empty_split():
    fractions = np.array([[0.1, 0.2], [0.3, 0.2], [0.5, 0.1]])
    figure = split_fractions(["eyes", "nose"], fractions, np.array(["train", "train", "val"]))
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["train, 2 photos", "val, 1 photos"]


def test_labelled_point_points_at_the_place():
    images = [np.zeros((40, 40, 3), dtype=np.uint8)] * 2
    figure = labelled_point(images, ["a", "b"], [(10, 5), (30, 6)], "l_eye", FIVE_FEATURES)
    assert [axes.texts[0].xy for axes in figure.axes] == [(10, 5), (30, 6)]
    assert {axes.texts[0].get_text() for axes in figure.axes} == {"l_eye"}
