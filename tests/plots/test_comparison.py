"""What the pictures of systems side by side, and of their decisions, show: their axes, and their content."""

import matplotlib

matplotlib.use("agg")

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from scipy.stats import norm

from samples import labelled

from helpers import bootstrap, calibration, metrics
from helpers.evaluation.results import adjusted, evaluate_over_draws
from helpers.evaluation.score_files import COMMANDS, Scores
from helpers.plots import comparison as comparison_plots
from helpers.plots.style import BLUE, GREEN, GREY, ORANGE, SYSTEM_COLOURS, system_colours, system_name

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


# Machado, Oliveira and Fernandes (2009): how linear RGB looks to those who lack one kind of cone.
EYES = {
    "all cones": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
XYZ = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])


def seen(colour, eye):
    """A colour in CIELAB as an eye sees it."""
    value = np.array(to_rgb(colour))
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    ratio = XYZ @ np.clip(eye @ linear, 0, 1) / XYZ.sum(axis=1)
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eye", EYES.values(), ids=EYES)
def test_colours_of_systems_differ_for_every_eye(eye):
    colours = [seen(colour, np.array(eye)) for colour in SYSTEM_COLOURS.values()]
    apart = [np.linalg.norm(one - other) for i, one in enumerate(colours) for other in colours[:i]]
    assert min(apart) > 15
    assert max(lightness for lightness, _, _ in colours) < 80  # on white paper


def test_a_system_has_one_colour_and_a_name():
    assert set(SYSTEM_COLOURS) == set(COMMANDS)  # all that the course compares
    assert GREY not in SYSTEM_COLOURS.values()
    for others in (["ge2e_softmax", "mine"], ["mine", "theirs", "vgg_attention"], []):
        shades = system_colours(others)
        assert {name: shades[name] for name in SYSTEM_COLOURS} == SYSTEM_COLOURS
        assert len({*shades.values()}) == len(set(others) | set(SYSTEM_COLOURS))
    assert (SYSTEM_COLOURS["ensemble"], SYSTEM_COLOURS["mfcc_lda"]) == (BLUE, GREEN)
    assert system_colours([f"system_{i}" for i in range(9)])["system_8"]
    names = [system_name(name) for name in ("ensemble", "siamese_gru", "nearest_voices")]
    assert names == ["the ensemble", "Siamese GRU", "nearest voices"]


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


def test_systems_stand_with_their_intervals_the_best_on_top():
    axes = labelled(comparison_plots.plot_systems(TABLES, "tones")).axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["the ensemble", "ge2e", "published recipe"]
    assert axes.get_ylim() == (2.5, -0.5)
    for row, name in enumerate(SYSTEMS):
        value, low, high = bootstrap.interval(100 * TABLES[name]["eer"])
        bar, dot = axes.lines[2 * row : 2 * row + 2]
        assert bar.get_xdata() == pytest.approx([low, high])
        assert dot.get_xdata() == pytest.approx([value])
        assert dot.get_color() == system_colours(TABLES)[name]


def test_differences_have_both_intervals_and_a_line_of_none():
    ends = {"lower": (-2, -3, -1), "none": (1, -1, 3), "higher": (2, 1, 3)}
    found = {name: bootstrap.Interval(*each) for name, each in ends.items()}
    wider = {name: adjusted(each, 3) for name, each in found.items()}
    axes = labelled(comparison_plots.plot_differences(found, wider, "tones")).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == list(found)
    assert axes.lines[0].get_xdata()[0] == 0
    for row, (name, colour) in enumerate(zip(found, (BLUE, GREY, ORANGE), strict=True)):
        thin, thick, dot = axes.lines[1 + 3 * row : 4 + 3 * row]
        assert tuple(thin.get_xdata()) == wider[name][1:]
        assert tuple(thick.get_xdata()) == found[name][1:]
        assert dot.get_xdata()[0] == found[name].value
        assert {line.get_color() for line in (thin, thick, dot)} == {colour}
        assert thin.get_linewidth() < thick.get_linewidth()


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
    rates = {name: 100 * TABLES[name]["eer"] for name in ("ensemble", "ge2e")}
    curves = {name: np.stack([rate, 2 * rate]) for name, rate in rates.items()}
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
    costs = {"ensemble": (1.3, 0.4, 0.3), "mfcc_lda": (2.5, 0.7, 0.6)}
    axes = labelled(comparison_plots.plot_detection_costs(costs, "tones")).axes[0]
    for row, (name, each) in enumerate(costs.items()):
        at_zero, at_prior, least = axes.lines[1 + 4 * row : 4 + 4 * row]
        assert [dot.get_xdata()[0] for dot in (at_zero, at_prior, least)] == list(each)
        assert at_zero.get_fillstyle() == "none"
        assert at_prior.get_color() == system_colours(costs)[name]
    assert legend(axes) == ["scores ignored", "at 0", "at prior and costs", "least possible"]
