"""Pictures of decisions: what a score is worth as evidence, how honest a probability is, what errors cost."""

import matplotlib.pyplot as plt
import numpy as np

from helpers import metrics
from helpers.calibration import reliability
from helpers.contests import colours, named
from helpers.plotting import BLUE, GREY, ORANGE


def evidence(scores, labels, calibration, title=""):
    """What scores are worth: how both kinds of trials are spread, and the log of their ratio with the line.

    Parameters
    ----------
    scores, labels : arrays (trials,)
    calibration : calibration.Calibration
    title : str
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.3))
    edges = np.linspace(scores.min(), scores.max(), 41)
    same, different = (np.histogram(scores[labels == kind], edges)[0] for kind in (1, 0))
    for count, colour, kind in ((different, ORANGE, "different speakers"), (same, BLUE, "same speaker")):
        share = 100 * count / count.sum()
        left.stairs(share, edges, fill=True, alpha=0.6, color=colour, label=kind)
    left.set(xlabel="score", ylabel="share of the kind's trials (%)", title="how often a score comes up")
    left.legend(loc="upper left")
    both = (same > 0) & (different > 0)
    ratio = np.log(same[both] / same.sum() / (different[both] / different.sum()))
    middles = (edges[:-1] + edges[1:])[both] / 2
    sizes = 8 + 3 * np.sqrt(np.minimum(same, different)[both])
    right.scatter(middles, ratio, sizes, color="0.3", label="log of the two bars' ratio", zorder=3)
    right.plot(edges, calibration.llr(edges), color=BLUE, label="logistic regression")
    right.axhline(0, color="0.7", linewidth=1)
    right.set(xlabel="score", ylabel="log likelihood ratio", title="what the score is worth")
    right.set_ylim(1.4 * ratio.min() - 1, 1.4 * ratio.max() + 1)
    right.legend(loc="upper left")
    figure.suptitle(title)
    return figure


def reliabilities(parts, title="", shades=None):
    """Stated probability of one speaker against what came true, a panel each; large dots are many trials.

    Parameters
    ----------
    parts : dict of str to (probabilities, labels), arrays (trials,)
        For a target prior of one half.
    title : str
    shades : dict of str to colour, optional
        By default, the systems' own.
    """
    shades = shades or colours(parts)
    columns = min(4, len(parts))
    rows = -(-len(parts) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(2.7 * columns, 3.2 * rows), squeeze=False, sharex=True, sharey=True
    )
    for axes, (name, (probability, labels)) in zip(grid.flat, parts.items(), strict=False):
        stated, true, weight = reliability(probability, labels)
        axes.plot([0, 100], [0, 100], color="0.6", linestyle="--")
        axes.plot(100 * stated, 100 * true, color=shades[name], linewidth=1)
        axes.scatter(100 * stated, 100 * true, 20 + 500 * weight, color=shades[name], alpha=0.8)
        axes.set(xlim=(-6, 106), ylim=(-6, 106), aspect="equal")
        axes.set_title(named(name))
    for axes in grid.flat[len(parts) :]:
        axes.axis("off")
    figure.supxlabel("probability stated (%)", fontsize="medium")
    figure.supylabel("one speaker indeed (%)", fontsize="medium")
    figure.suptitle(title)
    return figure


def calibration_losses(parts, title=""):
    """Cllr of several sets of log likelihood ratios: what ranking costs, and what miscalibration adds.

    Parameters
    ----------
    parts : dict of str to (least, actual)
        Names, and `calibration.min_cllr` and `calibration.cllr` of each, in bits.
    title : str
    """
    figure, axes = plt.subplots(figsize=(8, 0.9 + 0.45 * len(parts)))
    least, actual = np.transpose(list(parts.values()))
    places = np.arange(len(parts))
    axes.barh(places, least, color=GREY, height=0.6, label="minimum: the ranking's part")
    axes.barh(places, actual - least, left=least, color=ORANGE, height=0.6, label="calibration's part")
    for y, value in zip(places, actual, strict=True):
        axes.text(value, y, f" {value:.2f}", va="center")
    axes.axvline(1, color="0.3", linestyle="--", label="not listening")
    axes.set_yticks(places, list(parts))
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="Cllr (bits)", ylabel="ratios of", xlim=(0, 1.12 * max(1, actual.max())), title=title)
    axes.invert_yaxis()
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def costs(systems, threshold, cost_of, title=""):
    """Cost of deciding over the threshold on log likelihood ratios, and where three habits put it.

    Parameters
    ----------
    systems : dict of str to (llr, labels), arrays (trials,)
    threshold : float
        The one that prior and costs ask for.
    cost_of : callable (false acceptance, false rejection) -> cost
        1 for not listening.
    title : str
    """
    figure, axes = plt.subplots(figsize=(8, 3.6))
    grid, top = np.linspace(min(-3, threshold - 2), max(3, threshold) + 5, 801), 2.0
    for name, (llr, labels) in systems.items():
        thresholds, accepted, rejected = metrics.error_rates(llr, labels)
        curve = cost_of(accepted, rejected)[np.searchsorted(thresholds, grid)]
        at, shade = np.searchsorted(grid, [threshold, 0]), colours(systems)[name]
        axes.plot(grid, curve, color=shade, label=named(name))
        axes.plot(grid[at], curve[at], "o", color=shade)
        axes.plot(grid[at[1]], curve[at[1]], "o", color="white", markersize=3)
        axes.plot(grid[np.argmin(curve)], curve.min(), "x", color=shade, markersize=9, markeredgewidth=2)
        top = min(max(top, 1.1 * curve[at[1]]), 6)
    axes.axhline(1, color="0.6", linestyle="--")
    axes.text(grid[-1], 1, "not listening", ha="right", va="bottom", color="0.4")
    for x, text in ((0, "at probability ½"), (threshold, "at prior and costs")):
        axes.axvline(x, color="0.6", linewidth=1, linestyle=":")
        axes.text(x, 1.02 * top, text, ha="center", va="bottom", color="0.3")
    axes.plot([], [], "x", color="0.3", markersize=9, markeredgewidth=2, label="least, known afterwards")
    axes.set(xlabel="threshold on the log likelihood ratio", ylabel="cost", ylim=(0, top), xlim=grid[[0, -1]])
    axes.set_title(title, pad=24)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
