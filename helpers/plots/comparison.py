"""Pictures of systems side by side: DET curves, differences, hard conditions, decisions."""

import matplotlib.pyplot as plt
import numpy as np

from helpers.bootstrap import difference, interval, trial_scores
from helpers.calibration import det_curve, reliability
from helpers.plots.curves import DET_ENDS, draw_histograms, draw_det_axes
from helpers.plots.style import BLUE, GREY, ORANGE, new_panels, place_legend, system_colours, system_name


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


def draw_intervals(axes, found, shades, adjusted=None):
    """Draw dots with 95 % intervals, one below the other.

    Parameters
    ----------
    found : dict of str to bootstrap.Interval
        In per cent.
    shades : sequence of colours
    adjusted : dict of str to bootstrap.Interval, optional
        The same adjusted for all comparisons, as thin lines; the line of no difference is then drawn too.
    """
    if adjusted is not None:
        axes.axvline(0, color="0.3", linewidth=1)
    for y, ((name, (value, *ends)), colour) in enumerate(zip(found.items(), shades, strict=True)):
        if adjusted is not None:
            axes.plot(adjusted[name][1:], [y, y], color=colour, linewidth=1)
        axes.plot(ends, [y, y], color=colour, linewidth=3, solid_capstyle="butt")
        axes.plot(value, y, "o", color=colour)
    axes.set(ylim=(len(found) - 0.5, -0.5), yticks=range(len(found)), yticklabels=list(found))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="0.93")
    axes.set_axisbelow(True)


def difference_colour(found):
    """A difference's colour: better, worse, or none that can be told."""
    return GREY if not found.excludes_zero else BLUE if found.value < 0 else ORANGE


def plot_differences(found, adjusted, title="", ylabel="compared with"):
    """A forest plot: paired differences with 95 % intervals (thick), and adjusted for all of them (thin).

    `found` and `adjusted` are dicts of names to `bootstrap.Interval`, in percentage points; `ylabel` says
    what the names are.
    """
    figure, axes = plt.subplots(figsize=(8, 1.3 + 0.34 * len(found)))
    draw_intervals(axes, found, list(map(difference_colour, found.values())), adjusted)
    axes.set(xlabel="EER, difference (percentage points)", ylabel=ylabel, title=title)
    return figure


def plot_systems(tables, title=""):
    """Each system's EER with its interval, the lowest on top.

    `tables` are a dict of systems to what `results.evaluate_over_draws` gives, a pandas.DataFrame each.
    """
    shades, found = system_colours(tables), {name: interval(100 * tables[name]["eer"]) for name in tables}
    names = sorted(found, key=lambda name: found[name].value)
    figure, axes = plt.subplots(figsize=(8, 1.3 + 0.34 * len(names)))
    draw_intervals(axes, {system_name(name): found[name] for name in names}, [shades[name] for name in names])
    axes.set(xlabel="equal error rate (%)", ylabel="system", xlim=(0, None), title=title)
    return figure


def plot_paired_draws(parts, title=""):
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
        label = f"{one}: the lower EER"
        axes.fill_between(ends, ends, 0, color=BLUE, alpha=0.07, linewidth=0, label=label)
        axes.plot(ends, ends, color="0.3", linewidth=1)
        axes.plot(theirs[1:], ours[1:], ".", color=GREY, alpha=0.4, label="a draw of the speakers")
        axes.plot(theirs[0], ours[0], "o", color="0.1", label="all speakers once")
        edge, own = 0.012 * ends[1], {"color": ORANGE, "linewidth": 4, "solid_capstyle": "butt"}
        axes.plot([edge, edge], interval(ours)[1:], **own, label="95 % interval by itself")
        axes.plot(interval(theirs)[1:], [edge, edge], **own)
        axes.set(xlim=ends, ylim=ends, aspect="equal")
        axes.set(xlabel=f"{other}: equal error rate (%)", ylabel=f"{one}: equal error rate (%)")
        found = difference(ours, theirs)
        axes.set_title(f"{found.value:+.1f} points ({found.low:+.1f} to {found.high:+.1f})")
        axes.legend(loc="upper left", fontsize=8)
    figure.suptitle(title, fontsize="medium")
    return figure


def plot_conditions(conditions, title=""):
    """Equal error rates of systems under harder conditions, on one scale.

    Parameters
    ----------
    conditions : dict of str to (xlabel, places, curves)
        `places` (conditions,) are numbers or names; `curves` a dict of systems to arrays (conditions, draws)
        of rates in per cent, the first draw with every speaker once.
    """
    columns, legend = min(2, len(conditions)), {}
    figure, panels = new_panels(conditions, columns, 4.8 if columns > 1 else 6.5, 3.3, sharey=True)
    for axes, (heading, (label, places, curves)) in zip(panels, conditions.items(), strict=True):
        ticks = np.arange(len(places))
        for i, (name, drawn) in enumerate(curves.items()):
            value, low, high = np.transpose([interval(each) for each in drawn])
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
    figure.legend(legend.values(), legend, loc="outside lower center", ncols=min(3, len(legend)))
    figure.suptitle(title)
    return figure


def plot_evidence(scores, labels, calibration, title=""):
    """How the scores of both kinds of trials are spread, and the log of the two shares' ratio in each bin.

    The line of a `calibration.Calibration` is drawn through it.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.3))
    edges = np.linspace(scores.min(), scores.max(), 41)
    draw_histograms(left, scores, labels, edges)
    left.set(xlabel="score", ylabel="share of the kind's trials (%)", title="how often each score occurs")
    left.legend(loc="upper left")
    same, different = (np.histogram(scores[labels == kind], edges)[0] for kind in (1, 0))
    both = (same > 0) & (different > 0)
    ratio = np.log(same[both] / same.sum() / (different[both] / different.sum()))
    middles = (edges[:-1] + edges[1:])[both] / 2
    sizes = 8 + 3 * np.sqrt(np.minimum(same, different)[both])
    right.scatter(middles, ratio, sizes, color="0.3", label="log of the two bars' ratio", zorder=3)
    right.plot(edges, calibration.llr(edges), color=BLUE, label="logistic regression")
    right.axhline(0, color="0.7", linewidth=1)
    right.set(xlabel="score", ylabel="log likelihood ratio", title="the evidence in a score")
    right.set(ylim=(1.4 * ratio.min() - 1, 1.4 * ratio.max() + 1))
    right.set_xlim(middles.min() - 0.3 * np.ptp(middles), middles.max() + 0.3 * np.ptp(middles))
    right.legend(loc="upper left")
    figure.suptitle(title)
    return figure


def plot_reliability(parts, title="", shades=None):
    """Stated probability of one speaker against the share of target trials, a panel each.

    The larger a dot, the more trials.

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
    figure.supxlabel("stated probability of one speaker (%)", fontsize="medium")
    figure.supylabel("share that are target trials (%)", fontsize="medium")
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
    axes.barh(places, least, color=GREY, height=0.6, label="min Cllr: trials in the wrong order")
    axes.barh(places, actual - least, left=least, color=ORANGE, height=0.6, label="added by the calibration")
    for y, value in zip(places, actual, strict=True):
        axes.text(value, y, f" {value:.2f}", va="center")
    axes.axvline(1, color="0.3", linestyle="--", label="ratios that say nothing")
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="Cllr (bits)", ylabel="system", yticks=places, yticklabels=list(parts), title=title)
    axes.set_xlim(0, 1.12 * max(1, actual.max()))
    axes.invert_yaxis()
    place_legend(axes)
    return figure


def plot_detection_costs(costs, title=""):
    """What deciding costs each system, at three thresholds: a row a system, 1 for ignoring the scores.

    `costs` are a dict of systems to three costs: at a log likelihood ratio of 0, at the one that prior and
    costs ask for, and at the best one, which is known only afterwards.
    """
    figure, axes = plt.subplots(figsize=(8, 1.3 + 0.34 * len(costs)))
    for y, (name, (at_zero, at_prior, least)) in enumerate(costs.items()):
        style = {"color": system_colours(costs)[name], "markersize": 9}
        axes.plot([least, at_zero], [y, y], color="0.85", zorder=0)
        axes.plot(at_zero, y, "o", fillstyle="none", markeredgewidth=2, **style)
        axes.plot(at_prior, y, "o", **style)
        axes.plot(least, y, "|", markeredgewidth=3, **style | {"markersize": 14})
    axes.axvline(1, color="0.3", linestyle="--", label="scores ignored")
    kinds = ("o", "none", "at 0"), ("o", "full", "at prior and costs"), ("|", "full", "least possible")
    for marker, fill, label in kinds:
        axes.plot([], [], marker, color="0.3", fillstyle=fill, markersize=9, label=label)
    axes.set(xlabel="expected cost", ylabel="system", xlim=(0, None), title=title)
    axes.set(ylim=(len(costs) - 0.5, -0.5), yticks=range(len(costs)), yticklabels=map(system_name, costs))
    axes.tick_params(axis="y", length=0)
    place_legend(axes)
    return figure
