"""What the pictures of systems side by side, and of their decisions, show: their axes, and their content."""

import matplotlib

matplotlib.use("agg")

import numpy as np
import pytest
from scipy.stats import norm

from samples import labelled

from helpers import bootstrap, calibration, metrics
from helpers.evaluation.results import evaluate_over_draws
from helpers.evaluation.score_files import Scores
from helpers.plots import comparison as comparison_plots
from helpers.plots.style import BLUE, GREEN, GREY, ORANGE, system_colours, system_name

RNG = np.random.default_rng(0)
SPEAKERS = np.repeat(np.arange(6), 6)
OWN = np.repeat(RNG.normal(size=(6, 8)), 6, axis=0)


def system(spread, threshold=0.3):
    voices = OWN + spread * RNG.normal(size=(36, 8))
    line = calibration.Calibration(6.0, -1.0)
    return Scores(metrics.cosine_scores(voices), threshold, line, "tones", SPEAKERS)


SYSTEMS = {"ensemble": system(0.5), "ge2e": system(1.0), "published_recipe": system(2.0, -2.0)}
COUNTS = bootstrap.draw_speakers(SPEAKERS, 40)
TABLES = {name: evaluate_over_draws(each, COUNTS) for name, each in SYSTEMS.items()}
TRIALS = {name: bootstrap.trial_scores(each.llr, SPEAKERS) for name, each in SYSTEMS.items()}


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_system_has_one_colour_and_a_name():
    shades = system_colours(["ge2e", "ensemble", "siamese_gru", *"abcd"])
    assert (shades["ensemble"], shades["published_recipe"], shades["mfcc_lda"]) == (BLUE, ORANGE, GREEN)
    assert len({*shades.values()}) == 4 + 5
    assert system_colours([f"system_{i}" for i in range(9)])["system_8"]
    names = [system_name(name) for name in ("ensemble", "siamese_gru", "nearest_voices")]
    assert names == ["the ensemble", "Siamese GRU", "nearest voices"]


def test_matrices_show_every_system_s_ratios():
    figure = labelled(comparison_plots.plot_score_matrices(SYSTEMS, "tones"))
    for axes, (name, each) in zip(figure.axes, SYSTEMS.items(), strict=False):
        assert axes.get_title() == system_name(name)
        assert np.allclose(axes.images[0].get_array(), each.llr)
        assert axes.images[0].get_clim() == (-8, 8)


def test_det_curves_have_a_dot_at_each_system_s_own_threshold():
    axes = labelled(comparison_plots.plot_det_curves(SYSTEMS, "tones")).axes[0]
    for i, (name, each) in enumerate(SYSTEMS.items()):
        scores, labels = bootstrap.trial_scores(each.scores, SPEAKERS)
        accepted, rejected = (
            np.mean(scores[labels == 0] >= each.threshold),
            np.mean(scores[labels == 1] < each.threshold),
        )
        curve, dot = axes.lines[2 * i : 2 * i + 2]
        assert curve.get_color() == dot.get_color() == system_colours(SYSTEMS)[name]
        if 0 < accepted < 1 and 0 < rejected < 1:
            assert norm.cdf(np.ravel(dot.get_data())) == pytest.approx([accepted, rejected])
        assert legend(axes)[i] == f"{system_name(name)}: {100 * accepted:.0f} / {100 * rejected:.0f} %"
        (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        x, y = np.ravel(dot.get_data())
        assert low <= x <= high
        assert bottom <= y <= top


def test_singles_and_differences_are_those_of_the_draws():
    left, right = labelled(comparison_plots.plot_systems_and_differences(TABLES)).axes
    names = [text.get_text() for text in left.get_yticklabels()]
    assert names == ["the ensemble", "ge2e", "published recipe"]
    assert left.get_ylim() == (2.5, -0.5)  # the best on top
    for row, name in enumerate(SYSTEMS):
        value, low, high = bootstrap.interval(100 * TABLES[name]["eer"])
        bar, dot = left.lines[2 * row : 2 * row + 2]
        assert bar.get_xdata() == pytest.approx([low, high])
        assert dot.get_xdata() == pytest.approx([value])
    assert [text.get_text() for text in right.get_yticklabels()] == ["ge2e", "published recipe"]
    found = bootstrap.difference(100 * TABLES["ensemble"]["eer"], 100 * TABLES["published_recipe"]["eer"])
    assert right.lines[0].get_xdata()[0] == 0
    bar = right.lines[3]
    assert bar.get_xdata() == pytest.approx(found[1:])
    assert found.excludes_zero
    assert bar.get_color() == BLUE


def test_a_verdict_s_colour():
    colours = [
        comparison_plots.difference_colour(bootstrap.Interval(*ends))
        for ends in ((-2, -3, -1), (2, 1, 3), (1, -1, 3))
    ]
    assert colours == [BLUE, ORANGE, GREY]


def test_clouds_have_a_dot_a_draw():
    ours, theirs = (100 * TABLES[name]["eer"] for name in ("ensemble", "ge2e"))
    figure = labelled(
        comparison_plots.plot_paired_draws(
            {("one", "other"): (ours, theirs), ("other", "one"): (theirs, ours)}
        )
    )
    axes = figure.axes[0]
    drawn = [np.column_stack(line.get_data()) for line in axes.lines]
    assert np.allclose(drawn[1], np.column_stack([theirs[1:], ours[1:]]))
    assert np.allclose(drawn[2], [[theirs[0], ours[0]]])
    assert np.allclose(drawn[3][:, 1], bootstrap.interval(ours)[1:])
    assert np.allclose(drawn[4][:, 0], bootstrap.interval(theirs)[1:])
    assert axes.get_xlim() == axes.get_ylim()
    found = bootstrap.difference(ours, theirs)
    assert axes.get_title().startswith(f"{found.value:+.1f} points")
    assert axes.get_ylabel().startswith("one:")


def test_hardships_share_their_scale():
    curves = {name: np.stack([TABLES[name]["eer"], 2 * TABLES[name]["eer"]]) for name in ("ensemble", "ge2e")}
    panels = {"shorter": ("seconds", [0.5, 1], curves), "noise": ("decibels", ["clean", 0], curves)}
    panels["enrolled"] = "utterances", range(1, 3), {"ge2e": curves["ge2e"]}
    figure = labelled(comparison_plots.plot_conditions(panels, "tones"))
    axes = figure.axes
    assert [each.get_title() for each in axes[:3]] == list(panels)
    assert len({each.get_ylim() for each in axes[:3]}) == 1
    assert not axes[3].axison
    assert [text.get_text() for text in axes[1].get_xticklabels()] == ["clean", "0"]
    value = 100 * TABLES["ensemble"]["eer"][0]
    assert axes[0].containers[0][0].get_ydata() == pytest.approx([value, 2 * value])
    texts = figure.legends[0].get_texts()
    assert [text.get_text() for text in texts] == ["the ensemble", "ge2e"]


# ---- decisions


def test_evidence_is_the_log_of_the_bars_ratio():
    """Of normally distributed scores the log ratio is a line: spread 1, means -1 and 1, slope 2."""
    labels = np.repeat([0, 1], 40_000)
    scores = RNG.normal(2 * labels - 1, 1)
    left, right = labelled(
        comparison_plots.plot_evidence(scores, labels, calibration.Calibration(2, 0), "tones")
    ).axes
    assert [sum(patch.get_data().values) for patch in left.patches] == pytest.approx([100, 100])
    dots = right.collections[0].get_offsets()
    inside = np.abs(dots[:, 0]) < 1.5
    assert inside.sum() > 8
    assert np.allclose(dots[inside, 1], 2 * dots[inside, 0], atol=0.2)
    assert np.allclose(right.lines[0].get_ydata(), 2 * right.lines[0].get_xdata())


def test_reliabilities_lie_on_the_diagonal_when_they_can_be_believed():
    labels = RNG.integers(0, 2, 100_000)
    llr = RNG.normal(2 * labels - 1, np.sqrt(2))  # mean half the variance: these are their own ratios
    line = calibration.Calibration(1, 0)
    parts = {"honest": (line.probability(llr), labels), "sure": (line.probability(4 * llr), labels)}
    honest, sure = labelled(comparison_plots.plot_reliability(parts, "tones")).axes
    dots = honest.collections[0].get_offsets()
    assert len(dots) == 10
    assert np.allclose(dots[:, 0], dots[:, 1], atol=3)
    low, *_, high = sure.collections[0].get_offsets()
    assert low[1] > low[0] + 10
    assert high[1] < high[0] - 10


def test_calibration_losses_add_up():
    axes = labelled(comparison_plots.plot_cllr({"one": (0.2, 0.3), "other": (0.5, 1.4)}, "tones")).axes[0]
    least, excess = ([bar.get_width() for bar in bars] for bars in axes.containers)
    assert least == [0.2, 0.5]
    assert excess == pytest.approx([0.1, 0.9])
    assert [text.get_text().strip() for text in axes.texts] == ["0.30", "1.40"]
    assert axes.get_xlim()[1] > 1.5
    assert axes.lines[0].get_xdata()[0] == 1


def test_costs_are_marked_at_both_thresholds_and_at_the_least():
    def cost(accepted, rejected):
        return rejected + 9 * accepted

    threshold = np.log(9)
    axes = labelled(
        comparison_plots.plot_detection_costs({"ensemble": TRIALS["ensemble"]}, threshold, cost, "tones")
    ).axes[0]
    curve, dots, hole, cross = axes.lines[:4]
    x, y = curve.get_data()
    llr, labels = TRIALS["ensemble"]
    for at in (150, 400, 650):
        expected = cost(np.mean(llr[labels == 0] >= x[at]), np.mean(llr[labels == 1] < x[at]))
        assert y[at] == pytest.approx(expected)
    assert dots.get_xdata() == pytest.approx([threshold, 0], abs=0.05)
    assert hole.get_xdata() == pytest.approx([0], abs=0.05)
    assert cross.get_ydata()[0] == y.min()
    assert "least, known afterwards" in legend(axes)
