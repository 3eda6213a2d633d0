"""The curves of open-set identification."""

import numpy as np

from helpers.plots import voices as voice_plots


def test_each_threshold_has_its_error_rates():
    strangers, answers = np.array([1.0, 2, 3, 4]), (np.array([True, True, False]), np.array([5.0, 2, 9]))
    figure = voice_plots.plot_open_set(strangers, answers, {"here": 3.0})
    assert "here: 50.0 % / 66.7 %" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_each_threshold_has_a_panel():
    curves = {"lax": np.array([[0.1, 0.2], [0.1, 0.19]]), "strict": np.array([[0, 0.1], [0, 0.1]])}
    figure = voice_plots.plot_false_identifications([1, 2], curves, 0.05)
    assert [axes.get_title() for axes in figure.axes] == ["lax", "strict"]
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    np.testing.assert_allclose(lines["measured"], [10, 20])
    np.testing.assert_allclose(lines["wanted: 5 %"], [5, 5])
