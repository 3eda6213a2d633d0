"""Pictures of features and distances: they show what they are given, with labelled axes."""

import numpy as np
import pytest

from helpers.plots import contrastive as contrastive_plots
from helpers.systems import classical_features

RNG = np.random.default_rng(0)
LABELS = np.array(["anna", "boris", "anna", "clara", "boris", "clara"])


def matrix():
    points = RNG.normal(size=(6, 3))
    return np.linalg.norm(points[:, None] - points, axis=-1)


def test_every_feature_has_a_panel_on_one_time_axis():
    waveform = RNG.normal(size=8000)
    features = classical_features.frame_features(waveform)
    figure = contrastive_plots.plot_features(waveform, features, classical_features.UNITS, 512, 160, "noise")
    assert figure.axes[len(features)].get_xlabel() == "time (s); frames of 32 ms every 10 ms"
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["waveform, noise", *classical_features.UNITS]
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert len({axes.get_xlim() for axes in panels}) == 1
    assert all(axes.get_ylabel() for axes in panels)


def test_costs_have_a_panel_each():
    x = np.linspace(0, 2, 5)
    figure = contrastive_plots.plot_contrastive_cost(x, {"ours": (x**2, 1 - x), "opposite": (1 - x, x**2)}, 1)
    assert [axes.get_title() for axes in figure.axes] == ["ours", "opposite"]
    np.testing.assert_allclose(figure.axes[1].lines[1].get_ydata(), x**2)


@pytest.mark.parametrize("kind", ["speaker", "word"])
def test_distances_are_drawn_with_their_margin(kind):
    same = LABELS[:, None] == LABELS
    matrices = [np.where(same, 0.2, 0.6), np.where(same, 0.1, 0.9)]
    (axes,) = contrastive_plots.plot_distances(matrices, LABELS, 1.2, kind).axes
    medians = [line.get_ydata() for line in axes.lines[:2]]
    np.testing.assert_allclose(medians, [[0.2, 0.1], [0.6, 0.9]])
    assert any(np.allclose(line.get_ydata(), 1.2) for line in axes.lines)
    assert f"same {kind}" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_histograms_say_the_error():
    perfect = np.where(LABELS[:, None] == LABELS, 0.1, 1.0)
    figure = contrastive_plots.plot_distance_histograms({"a": perfect, "b": 1 - perfect}, LABELS, "word", 1)
    assert [axes.get_title() for axes in figure.axes] == ["a: EER 0 %", "b: EER 100 %"]


def test_mean_distances_leave_the_recording_itself_out():
    distances = matrix()
    image = contrastive_plots.plot_mean_distances(distances, LABELS).axes[0].images[0].get_array()
    assert image.shape == (3, 3)
    assert image[0, 0] == pytest.approx(distances[0, 2])
    assert image[0, 1] == pytest.approx(distances[np.ix_([0, 2], [1, 4])].mean())
