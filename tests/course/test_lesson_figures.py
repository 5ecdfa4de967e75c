"""Figures of lessons 5, 6 and 8 show what they are given."""

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


def test_scores_of_groups_have_no_line_at_zero():
    scores = {"real": (0.9, 0.88, 0.92)}
    (axes,) = lesson_plots.group_scores([("glasses", 33, scores)]).axes
    assert axes.get_xlim()[0] > 0.5
    assert axes.lines[0].get_xdata().tolist() == [0.9]


def test_bars_of_models_have_their_intervals():
    ends = np.array([0.6, 0.7]), np.array([0.55, 0.65]), np.array([0.66, 0.75])
    panels = [{"a": ends, "b": ends, "c": ends}, {"d": ends}]
    figure = lesson_plots.interval_bars(panels, ["eyes", "nose"], "F1")
    left, right = figure.axes
    assert [bar.get_height() for bar in right.patches] == [0.6, 0.7]
    (lines,) = right.collections
    assert [segment[:, 1].tolist() for segment in lines.get_segments()] == [
        [0.55, 0.66],
        [0.65, 0.75],
    ]
    middles = [bar.get_x() + bar.get_width() / 2 for bar in left.patches]
    assert np.allclose(middles, [-0.28, 0.72, 0, 1, 0.28, 1.28])
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["a", "b", "c"]


def test_both_ends_of_a_slope_have_their_scores():
    f1 = {"plain": [0.8, 0.4], "varied": [0.7, 0.7]}
    (axes,) = lesson_plots.domain_slopes(f1, ["plain faces", "varied faces"]).axes
    assert list(texts(axes)) == [
        "0.80",
        "0.70",
        "0.40  trained on plain",
        "0.70  trained on varied",
    ]


def test_contours_are_closed_and_each_set_is_once_in_the_legend():
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    panels = {"lips": ([square, square + 1], [square, square + 1]), "eye": ([square], [square])}
    figure = lesson_plots.two_contours(panels, ("painted", "annotated"))
    assert figure.axes[0].lines[0].get_xydata().tolist() == [*square.tolist(), [0, 0]]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["painted", "annotated"]


def test_rows_of_photos_have_their_names():
    photos = [np.zeros((4, 4, 3), dtype=np.uint8)] * 3
    figure = lesson_plots.labelled_rows({"pose": photos, "light": photos})
    assert [axes.get_ylabel() for axes in figure.axes] == ["pose", "light"]
    assert figure.axes[0].images[0].get_array().shape == (4, 12, 3)
