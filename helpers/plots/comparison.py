"""Pictures of systems side by side: scores, DET curves, differences, hard conditions, decisions."""

import matplotlib.pyplot as plt
import numpy as np

from helpers import metrics
from helpers.bootstrap import difference, interval, trial_scores
from helpers.calibration import det_curve, reliability
from helpers.plots.curves import DET_ENDS, draw_histograms, draw_det_axes
from helpers.plots.style import BLUE, GREY, ORANGE, new_panels, place_legend, system_colours, system_name


def plot_score_matrices(systems, title=""):
    """Every system as a picture: log likelihood ratios of all utterances with one another."""
    figure, panels = new_panels(systems, 4, 2.8, 3.1, sharex=True, sharey=True)
    for axes, (name, system) in zip(panels, systems.items(), strict=True):
        image = axes.imshow(system.llr, vmin=-8, vmax=8, cmap="RdBu", interpolation="nearest")
        axes.set_title(system_name(name))
    figure.supxlabel("utterance", fontsize="medium")
    figure.supylabel("utterance", fontsize="medium")
    figure.colorbar(image, ax=figure.axes, label="log likelihood ratio", extend="both", shrink=0.8)
    figure.suptitle(title)
    return figure


def plot_det_curves(systems, title=""):
    """DET curves of several systems in one plot, a dot where each one's own threshold puts it."""
    figure, axes = plt.subplots(figsize=(8, 5))
    shades = system_colours(systems)
    for name, system in systems.items():
        scores, labels = trial_scores(system.scores, system.speakers)
        thresholds, accepted, rejected, x, y = det_curve(scores, labels)
        at = np.searchsorted(thresholds, system.threshold)
        point = f"{system_name(name)}: {100 * accepted[at]:.0f} / {100 * rejected[at]:.0f} %"
        axes.plot(x, y, color=shades[name])
        dot = np.clip([x[at], y[at]], *DET_ENDS)
        axes.plot(*dot, "o", color=shades[name], markersize=8, label=point, clip_on=False)
    draw_det_axes(axes, title)
    heading = "dot: at its own threshold\nfalse acceptance / false rejection"
    place_legend(axes, title=heading, alignment="left")
    return figure


def draw_intervals(axes, rows, zero=False):
    """Draw dots with intervals, one below the other.

    Parameters
    ----------
    rows : sequence of (str, bootstrap.Interval or None, colour)
        In per cent; without a difference, a heading.
    zero : bool
        Draw the line of no difference.
    """
    if zero:
        axes.axvline(0, color="0.3", linewidth=1)
    for y, (_, found, colour) in enumerate(rows):
        if found is not None:
            axes.plot([found.low, found.high], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot(found.value, y, "o", color=colour)
    axes.set(ylim=(len(rows) - 0.5, -0.5), yticks=range(len(rows)), yticklabels=[row[0] for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="0.93")
    axes.set_axisbelow(True)


def difference_colour(found):
    """A difference's colour: better, worse, or as good as none."""
    return GREY if not found.excludes_zero else BLUE if found.value < 0 else ORANGE


def plot_systems_and_differences(tables):
    """Each system's EER with its interval, and the ensemble's less each other one's, paired.

    `tables` are a dict of systems to what `results.evaluate_over_draws` gives, a pandas.DataFrame each.
    """
    shades, names = system_colours(tables), list(tables)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 1.2 + 0.4 * max(3, len(names))))
    rates = {name: 100 * table["eer"] for name, table in tables.items()}
    names.sort(key=lambda name: rates[name].iloc[0])
    draw_intervals(left, [(system_name(name), interval(rates[name]), shades[name]) for name in names])
    left.set(xlabel="equal error rate (%)", ylabel="system", title="each by itself", xlim=(0, None))
    rows = []
    for other in (name for name in names if name != "ensemble"):
        found = difference(rates["ensemble"], rates[other])
        rows.append((system_name(other), found, difference_colour(found)))
    draw_intervals(right, rows, zero=True)
    heading = "the ensemble less another, on the same speakers"
    right.set(xlabel="difference (percentage points)", ylabel="the other system", title=heading)
    figure.suptitle("95 % intervals over speakers", fontsize="medium")
    return figure


def plot_paired_draws(parts):
    """Two equal error rates in each draw of the speakers: a dot a draw, and what either shows by itself.

    Parameters
    ----------
    parts : dict of (str, str) to (ours, theirs)
        Two names, and their rates in per cent: arrays (draws,) of the same draws, the first with every
        speaker once.
    """
    figure, panels = new_panels(parts, len(parts), 4.6, 4.6)
    for axes, ((one, other), (ours, theirs)) in zip(panels, parts.items(), strict=True):
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        ends = np.array([0, 1.05 * max(ours.max(), theirs.max())])
        axes.fill_between(ends, ends, 0, color=BLUE, alpha=0.07, linewidth=0)
        axes.plot(ends, ends, color="0.3", linewidth=1)
        axes.plot(theirs[1:], ours[1:], ".", color=GREY, alpha=0.4, label="a draw of the speakers")
        axes.plot(theirs[0], ours[0], "o", color="0.1", label="all speakers once")
        edge, own = 0.012 * ends[1], {"color": ORANGE, "linewidth": 4, "solid_capstyle": "butt"}
        axes.plot([edge, edge], interval(ours)[1:], **own, label="95 % interval by itself")
        axes.plot(interval(theirs)[1:], [edge, edge], **own)
        axes.text(0.96, 0.06, f"{one} is better", transform=axes.transAxes, ha="right", color=BLUE)
        axes.set(xlim=ends, ylim=ends, aspect="equal")
        axes.set(xlabel=f"{other}: equal error rate (%)", ylabel=f"{one}: equal error rate (%)")
        found = difference(ours, theirs)
        axes.set_title(f"{found.value:+.1f} points ({found.low:+.1f} to {found.high:+.1f})")
    panels[0].legend(loc="upper left", fontsize=8)
    return figure


def plot_conditions(conditions, title=""):
    """Equal error rates of systems where it gets harder, on one scale.

    Parameters
    ----------
    conditions : dict of str to (xlabel, places, curves)
        `places` (conditions,) are numbers or names; `curves` a dict of systems to arrays (conditions, draws),
        the first draw with every speaker once.
    """
    columns, legend = (len(conditions) + 1) // 2, {}
    figure, panels = new_panels(conditions, columns, 9.5 / columns, 3.3, sharey=True)
    for axes, (heading, (label, places, curves)) in zip(panels, conditions.items(), strict=True):
        ticks = np.arange(len(places))
        for i, (name, drawn) in enumerate(curves.items()):
            value, low, high = np.transpose([interval(100 * each) for each in drawn])
            x, shade = ticks + 0.08 * (i - (len(curves) - 1) / 2), system_colours(curves)[name]
            bars = np.maximum([value - low, high - value], 0)
            legend[system_name(name)] = axes.errorbar(x, np.maximum(value, 0.1), bars, color=shade, fmt="o-")
        axes.set(xlabel=label, title=heading, xticks=ticks, xticklabels=places)
        axes.set_yscale("log")  # a rise by a half looks the same everywhere
        axes.set_yticks([1, 2, 5, 10, 20, 50], [1, 2, 5, 10, 20, 50], minor=False)
        axes.minorticks_off()
        axes.grid(axis="y", color="0.93")
    for axes in panels[::columns]:
        axes.set_ylabel("equal error rate (%)")
    figure.legend(legend.values(), legend, loc="outside lower center", ncols=len(legend))
    figure.suptitle(title)
    return figure


def plot_evidence(scores, labels, calibration, title=""):
    """What scores are worth: how both kinds of trials are spread, and the log of their ratio with the line of
    a `calibration.Calibration`."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.3))
    edges = np.linspace(scores.min(), scores.max(), 41)
    draw_histograms(left, scores, labels, edges)
    left.set(xlabel="score", ylabel="share of the kind's trials (%)", title="how often a score comes up")
    left.legend(loc="upper left")
    same, different = (np.histogram(scores[labels == kind], edges)[0] for kind in (1, 0))
    both = (same > 0) & (different > 0)
    ratio = np.log(same[both] / same.sum() / (different[both] / different.sum()))
    middles = (edges[:-1] + edges[1:])[both] / 2
    sizes = 8 + 3 * np.sqrt(np.minimum(same, different)[both])
    right.scatter(middles, ratio, sizes, color="0.3", label="log of the two bars' ratio", zorder=3)
    right.plot(edges, calibration.llr(edges), color=BLUE, label="logistic regression")
    right.axhline(0, color="0.7", linewidth=1)
    right.set(xlabel="score", ylabel="log likelihood ratio", title="what the score is worth")
    right.set(ylim=(1.4 * ratio.min() - 1, 1.4 * ratio.max() + 1))
    right.legend(loc="upper left")
    figure.suptitle(title)
    return figure


def plot_reliability(parts, title="", shades=None):
    """Stated probability of one speaker against what came true, a panel each; large dots are many trials.

    Parameters
    ----------
    parts : dict of str to (probabilities, labels), arrays (trials,)
        For a target prior of one half.
    shades : dict of str to colour, optional
        By default, the systems' own.
    """
    shades = shades or system_colours(parts)
    figure, panels = new_panels(parts, 4, 2.7, 3.2, sharex=True, sharey=True)
    for axes, (name, (probability, labels)) in zip(panels, parts.items(), strict=True):
        stated, true, weight = reliability(probability, labels)
        axes.plot([0, 100], [0, 100], color="0.6", linestyle="--")
        axes.plot(100 * stated, 100 * true, color=shades[name], linewidth=1)
        axes.scatter(100 * stated, 100 * true, 20 + 500 * weight, color=shades[name], alpha=0.8)
        axes.set(xlim=(-6, 106), ylim=(-6, 106), aspect="equal", title=system_name(name))
    figure.supxlabel("probability stated (%)", fontsize="medium")
    figure.supylabel("one speaker indeed (%)", fontsize="medium")
    figure.suptitle(title)
    return figure


def plot_cllr(parts, title=""):
    """Cllr of several sets of log likelihood ratios: what ranking costs, and what miscalibration adds.

    Parameters
    ----------
    parts : dict of str to (least, actual)
        Names, and `calibration.min_cllr` and `calibration.cllr` of each, in bits.
    """
    figure, axes = plt.subplots(figsize=(8, 0.9 + 0.45 * len(parts)))
    least, actual = np.transpose(list(parts.values()))
    places = np.arange(len(parts))
    axes.barh(places, least, color=GREY, height=0.6, label="minimum: the ranking's part")
    axes.barh(places, actual - least, left=least, color=ORANGE, height=0.6, label="calibration's part")
    for y, value in zip(places, actual, strict=True):
        axes.text(value, y, f" {value:.2f}", va="center")
    axes.axvline(1, color="0.3", linestyle="--", label="not listening")
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="Cllr (bits)", ylabel="ratios of", yticks=places, yticklabels=list(parts), title=title)
    axes.set_xlim(0, 1.12 * max(1, actual.max()))
    axes.invert_yaxis()
    place_legend(axes)
    return figure


def plot_detection_costs(systems, threshold, cost_of, title=""):
    """Cost of deciding over the threshold on log likelihood ratios, and where three habits put it.

    Parameters
    ----------
    systems : dict of str to (log likelihood ratios, labels), arrays (trials,)
    threshold : float
        The one that prior and costs ask for.
    cost_of : callable (false acceptance, false rejection) -> cost
        1 for not listening.
    """
    figure, axes = plt.subplots(figsize=(8, 3.6))
    grid, top = np.linspace(min(-3, threshold - 2), max(3, threshold) + 5, 801), 2.0
    for name, (llr, labels) in systems.items():
        thresholds, accepted, rejected = metrics.error_rates(llr, labels)
        curve = cost_of(accepted, rejected)[np.searchsorted(thresholds, grid)]
        at, shade = np.searchsorted(grid, [threshold, 0]), system_colours(systems)[name]
        axes.plot(grid, curve, color=shade, label=system_name(name))
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
    place_legend(axes)
    return figure
