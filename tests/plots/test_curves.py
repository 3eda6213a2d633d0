"""What the pictures of learning and scores show: their axes, and their content."""

from typing import ClassVar

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import norm

from samples import labelled

from helpers import metrics
from helpers.features import Spectrogram
from helpers.plots import curves, learning as learning_plots, style

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1], [900, 100])
SCORES = RNG.normal(size=1000) * 0.2 + 0.5 * LABELS
SPEAKERS = np.repeat(np.arange(4), 5)
VOICES = RNG.normal(size=(20, 8)) + np.repeat(RNG.normal(size=(4, 8)), 5, axis=0) * 3


def test_twins_name_both_utterances_and_the_shared_encoder():
    words = " ".join(text.get_text() for text in learning_plots.plot_siamese_network().axes[0].texts)
    assert all(part in words for part in ("utterance a", "utterance b", "the same weights", "cosine"))
    assert words.count("encoder") == 2


def test_learning_curves_mark_ln_2():
    history = {"loss": [0.9, 0.5, 0.3], "val_loss": [0.8, 0.4, 0.6]}  # the first before the first step
    axes = labelled(learning_plots.plot_learning_curves(history)).axes[0]
    drawn = [line.get_xydata().tolist() for line in axes.lines]
    assert [[0, 0.9], [1, 0.5], [2, 0.3]] in drawn
    assert [[0, 0.8], [1, 0.4], [2, 0.6]] in drawn
    assert any(np.allclose(line.get_ydata(), np.log(2)) for line in axes.lines)


def test_losses_have_a_panel_each():
    histories = {"one": {"Adam": [0.5, 0.25]}, "other": {"Adam": [2, 1, 0.5], "descent": [2, 2, 2]}}
    one, other = labelled(learning_plots.plot_losses(histories, "speech", "loss (nats)")).axes
    assert [axes.get_title() for axes in (one, other)] == ["one", "other"]
    assert one.lines[0].get_xydata().tolist() == [[1, 0.5], [2, 0.25]]
    assert [line.get_ydata().tolist() for line in other.lines] == [[2, 1, 0.5], [2, 2, 2]]
    assert [text.get_text() for text in other.get_legend().get_texts()] == ["Adam", "descent"]
    assert one.get_ylabel() == "loss (nats)"


def test_a_live_picture_is_drawn_anew_after_each_epoch(monkeypatch):
    class Shown:
        figures: ClassVar = []

        def update(self, figure):
            self.figures.append(figure)

    monkeypatch.setattr("IPython.display.display", lambda display_id: Shown())
    live = style.LivePicture(lambda losses: learning_plots.plot_losses({"": {"net": losses}}))
    live([0.5])
    live([0.5, 0.25], "an encoder")
    drawn = [figure.axes[0].lines[0].get_ydata().tolist() for figure in Shown.figures]
    assert drawn == [[0.5], [0.5, 0.25]]
    assert plt.get_fignums() == []


def test_panels_are_as_many_as_parts():
    figure, axes = style.new_panels("abcde", 3, 2, 1.5)
    assert (len(axes), len(figure.axes), figure.axes[5].axison) == (5, 6, False)
    assert figure.get_size_inches().tolist() == [6, 3]


def test_voice_maps_draw_every_utterance_in_two_principal_components():
    figure = labelled(learning_plots.plot_embeddings({"before": VOICES, "after": 2 * VOICES}, SPEAKERS))
    first, second = ([c.get_offsets() for c in axes.collections] for axes in figure.axes)
    points = np.concatenate(first)
    assert points.shape == (20, 2)
    centred = VOICES - VOICES.mean(axis=0)
    values = np.linalg.svd(centred, compute_uv=False)[:2]
    assert np.allclose(np.linalg.norm(points, axis=0), values)
    assert np.allclose(np.abs(np.concatenate(second)), 2 * np.abs(points))


def test_score_histograms_show_both_kinds_and_the_threshold():
    figure = labelled(curves.plot_score_histograms({"test": SCORES}, LABELS, 0.3, "speech"))
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "different speakers",
        "same speaker",
        "threshold 0.30",
    ]
    assert axes.lines[0].get_xdata()[0] == 0.3
    different, same = (patch.get_data() for patch in axes.patches)
    assert different.values.sum() == pytest.approx(100)
    bin_of_a_half = np.searchsorted(same.edges, 0.5) - 1
    low, high = same.edges[bin_of_a_half : bin_of_a_half + 2]
    expected = np.mean((SCORES[LABELS == 1] >= low) & (SCORES[LABELS == 1] < high))
    assert same.values[bin_of_a_half] == pytest.approx(100 * expected)


def test_similarity_matrix_names_the_speakers_in_the_middle_of_their_blocks():
    matrix = metrics.cosine_scores(VOICES)
    axes = labelled(curves.plot_similarity_matrix(matrix, SPEAKERS, "speech")).axes[0]
    assert np.array_equal(axes.images[0].get_array(), matrix)
    assert axes.get_xticks().tolist() == axes.get_yticks().tolist() == [2, 7, 12, 17]
    mixed = RNG.permutation(len(SPEAKERS))
    groups = np.array(["woman", "man"])[SPEAKERS[mixed] % 2]
    figure = curves.plot_similarity_matrix(matrix[np.ix_(mixed, mixed)], SPEAKERS[mixed], groups=groups)
    drawn = figure.axes[0].images[0].get_array()
    assert drawn[:5, :5].mean() == pytest.approx(matrix[:5, :5].mean())
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [
        "woman 0",
        "man 1",
        "woman 2",
        "man 3",
    ]


def test_roc_and_det_pass_through_their_operating_points():
    eer, threshold = metrics.equal_error(SCORES, LABELS)
    figure = labelled(curves.plot_roc_det(SCORES, LABELS, {"equal error": threshold, "none": 9.0}))
    roc, det = figure.axes
    assert "receiver operating characteristic" in roc.get_title()
    assert "detection error trade-off" in det.get_title()
    point = roc.lines[2].get_xydata()[0]
    assert point == pytest.approx([100 * eer, 100 - 100 * eer], abs=1.5)
    deviates = det.lines[1].get_xydata()[0]
    assert 100 * norm.cdf(deviates) == pytest.approx([point[0], 100 - point[1]])
    assert np.isfinite(det.lines[2].get_xydata()).all()
    assert f"{point[0]:.1f} /" in figure.legends[0].get_texts()[0].get_text()


def test_rates_and_points_are_drawn():
    rng, labels = np.random.default_rng(0), np.repeat([1, 0], 500)
    scores = rng.normal(4 * labels - 2, 2)
    axes = labelled(curves.plot_rates(scores, labels, {"here": 0.0, "there": 3.0}, score=1.5)).axes[0]
    accepted, rejected, crossing, here, there, own = axes.lines
    rate, threshold = metrics.equal_error(scores, labels)
    assert np.ravel(crossing.get_data()) == pytest.approx([threshold, 100 * rate])
    for line, expected in (
        (accepted, np.mean(scores[labels == 0] >= 0)),
        (rejected, np.mean(scores[labels == 1] < 0)),
    ):
        thresholds, rates = line.get_data()
        assert np.interp(0, thresholds, rates) == pytest.approx(100 * expected, abs=0.5)
    assert (here.get_xdata()[0], there.get_xdata()[0], own.get_xdata()[0]) == (0, 3, 1.5)
    left, right = axes.get_xlim()
    assert left < 0 < 3 < right
    assert [text.get_text().strip() for text in axes.texts] == ["here", "there"]
    axes = curves.plot_rates(scores, labels, {"far away": 40.0}).axes[0]
    assert axes.get_xlim()[1] > 40
    assert "this recording" not in [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_slider_starts_at_the_threshold(monkeypatch):
    shown = []
    monkeypatch.setattr(curves, "plot_roc_det", lambda scores, labels, marks, title: shown.append(marks))
    curves.threshold_slider(SCORES, LABELS, 0.25)
    assert shown == [{"threshold 0.25": 0.25}]


def test_enrolment_and_shift_curves_are_labelled():
    ends = [np.array([0.05, 0.2]), np.array([0.01, 0.1])]
    figure = curves.plot_error_rates([1, 2], {"net": [0.1, 0.05]}, "utterances enrolled", intervals=ends)
    axes = labelled(figure).axes[0]
    assert axes.lines[0].get_ydata().tolist() == [10, 5]
    assert axes.collections[0].get_paths()[0].get_extents().intervaly == pytest.approx([1, 20])
    assert axes.get_xlim()[0] < axes.get_xlim()[1]
    noisy = curves.plot_error_rates([20, 0], {"hiss": [0.1, 0.3], "babble": [0.1, 0.2]}, "ratio (dB)").axes[0]
    assert [line.get_ydata().tolist() for line in noisy.lines] == [[10, 30], [10, 20]]
    assert noisy.get_xlim()[0] > noisy.get_xlim()[1]  # more noise to the right
    shifts = np.array([-3, -2, -1, 0])
    shift = labelled(learning_plots.plot_loss_over_shift(shifts, [0.8, 0.7, 0.75, 0.9], start=-1)).axes[0]
    assert any(np.allclose(line.get_ydata(), np.log(2)) for line in shift.lines)
    marks = {line.get_label(): np.ravel(line.get_data()).tolist() for line in shift.lines[-2:]}
    assert marks == {"training starts here": [-1, 0.75], "the best b": [-2, 0.7]}


def test_a_batch_shows_its_widest_masks_and_its_pairs():
    setting = Spectrogram()
    batch = RNG.normal(size=(4, 10, setting.bins))
    for row, width in ((0, 9), (2, 50), (3, 20)):  # row 1 has no masked band
        batch[row, :, 30 : 30 + width] = 0
    figure = labelled(learning_plots.plot_batch(batch, np.array([0, 0, 1, 1]), setting))
    seconds = 10 * setting.hop_length / setting.sample_rate
    assert figure.axes[0].images[0].get_extent() == pytest.approx((0, seconds, 0, 8))
    assert figure.axes[-1].images[0].get_array().sum() == 8
    assert [axes.get_title()[:5] for axes in figure.axes[:3]] == ["row 0", "row 2", "row 3"]
    assert np.array_equal(figure.axes[1].images[0].get_array(), batch[2].T)


def test_results_table_is_in_per_cent_with_intervals():
    row = {"accuracy": 0.9, "accuracy_ci": [0.8, 0.95], "min_dcf": 0.5, "min_dcf_ci": [0.4, 0.6], "trials": 7}
    row |= {"false_rejection": 0.0333, "false_rejection_ci": [0, 0.2], "cllr": 0.32, "cllr_ci": [0.2, 0.5]}
    table = curves.results_table(row)
    assert table.loc["accuracy"].tolist() == ["90.0 %", "80.0 to 95.0"]
    assert table.loc["false rejection"].tolist() == ["3.3 %", "0.0 to 20.0"]
    assert table.loc["minDCF"].tolist() == ["0.50", "0.40 to 0.60"]
    assert table.loc["Cllr"].tolist() == ["0.32", "0.20 to 0.50"]
    assert "trials" not in table.index
