"""Figures of lessons 5 and 6 show what they are given."""

import numpy as np

from facesegkit.course import lesson_plots


def texts(axes):
    return {text.get_text(): text.get_position()[1] for text in axes.texts}


def test_labels_at_the_ends_of_lines_do_not_overlap():
    f1 = np.array([[1.0, 1.0, 1.0], [0.5, 0.9, 0.51]])
    (axes,) = lesson_plots.class_lines([0, 1], f1, ["a", "b", "c"], "shift in pixels").axes
    places = texts(axes)
    assert places["a"] == 0.5 and places["b"] == 0.9
    assert places["c"] > places["a"] + 0.04


def test_groups_have_a_row_with_an_interval_per_model():
    gaps = {"real": (-0.05, -0.08, -0.02), "synthetic": (0.01, -0.01, 0.03)}
    figure = lesson_plots.group_differences([("glasses", 33, gaps), ("hat", 21, gaps)])
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["glasses (33)", "hat (21)"]
    bars = [bars.get_segments() for bars in axes.collections]
    assert [[segment[:, 0].tolist() for segment in of_model] for of_model in bars] == [
        [[-0.08, -0.02]] * 2,
        [[-0.01, 0.03]] * 2,
    ]
    assert axes.yaxis.get_view_interval()[0] > axes.yaxis.get_view_interval()[1]  # first at top


def test_photos_without_a_class_are_not_in_its_panel():
    f1, annotated = np.array([[0.5, np.nan], [0.7, 0.2]]), np.array([[100, 0], [200, 50]])
    left, right = lesson_plots.f1_over_area(f1, annotated, ["eyes", "mouth"]).axes
    assert left.lines[0].get_xdata().tolist() == [100, 200]
    assert right.lines[0].get_ydata().tolist() == [0.2]


def test_a_zoom_shows_the_mask_with_a_margin():
    mask = np.zeros((100, 100), dtype=bool)
    mask[40:61, 30:51] = True
    figure = lesson_plots.zoomed({"confidence": np.ones((100, 100))}, mask, margin=5)
    assert figure.axes[0].get_xlim() == (25, 55) and figure.axes[0].get_ylim() == (65, 35)
    assert len(figure.axes) == 2  # with a colour bar


def test_on_a_log_axis_each_amount_has_a_tick():
    lines = {"as it is": ([1, 0.25, 0.1], [0.9, 0.8, 0.2])}
    figure = lesson_plots.curve_panels({"light": lines, "degrees": lines}, "F1", log=["light"])
    light, degrees = figure.axes
    assert sorted(light.get_xticks()) == [0.1, 0.25, 1]
    assert (light.get_xscale(), degrees.get_xscale()) == ("log", "linear")
