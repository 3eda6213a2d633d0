"""Pictures of scores and errors: histograms, similarity matrix, ROC and DET, error by enrolment."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from scipy.stats import norm

from helpers.calibration import det_curve
from helpers.metrics import equal_error, error_rates
from helpers.plots.style import BLUE, DIFFERENT, GREEN, GREY, SAME, new_panels, place_legend

KINDS = ("same speaker", "different speakers")
RATIOS = LinearSegmentedColormap.from_list("ratios", [DIFFERENT, "white", SAME])
COSTS = {"min_dcf": "minDCF", "cllr": "Cllr", "min_cllr": "min Cllr"}  # other figures are rates
NAMES = COSTS | {"eer": "EER", "roc_auc": "AUC", "eer_enrol5": "EER, 5 enrolled"}
DET_TICKS = np.array([0.1, 0.5, 1, 2, 5, 10, 20, 40, 60])  # in per cent
DET_ENDS = norm.ppf([0.0008, 0.7])  # a point beyond them is drawn at the edge


def draw_histograms(axes, scores, labels, edges, kinds=KINDS):
    """Draw how scores of both kinds are spread: for each bin, the share of the kind's trials in per cent.

    The bins lie between `edges` (bins + 1,).
    """
    for label, colour in ((0, DIFFERENT), (1, SAME)):
        count = np.histogram(scores[labels == label], edges)[0]
        share = 100 * count / max(1, count.sum())
        axes.stairs(share, edges, fill=True, alpha=0.6, color=colour, label=kinds[1 - label])


def plot_score_histograms(
    parts, labels, threshold=None, title="", kind="cosine similarity", kinds=KINDS, limit="threshold"
):
    """How target and impostor scores are spread, one panel a set of scores.

    Parameters
    ----------
    parts : dict of str to array (trials,)
    threshold : float, optional
    limit : str
        What the threshold is called.
    """
    figure, panels = new_panels(parts, len(parts), 9 / len(parts), 3.2)
    for axes, (name, scores) in zip(panels, parts.items(), strict=True):
        draw_histograms(axes, scores, labels, np.linspace(scores.min(), scores.max(), 60), kinds)
        if threshold is not None:
            axes.axvline(threshold, color="0.2", linestyle="--", label=f"{limit} {threshold:.2f}")
        axes.set(xlabel=kind, ylabel="share of the kind's trials (%)", title=name)
    panels[-1].legend()
    figure.suptitle(title)
    return figure


def plot_similarity_matrix(scores, speakers, title="", groups=None):
    """Log likelihood ratio of every utterance with every other, the speakers as blocks along the diagonal.

    `groups` (utterances,) are words that are put beside the speakers' names, such as their genders.
    """
    figure, axes = plt.subplots(figsize=(7, 6))
    order = np.argsort(speakers, kind="stable")
    image = axes.imshow(scores[np.ix_(order, order)], vmin=-6, vmax=6, cmap=RATIOS, interpolation="nearest")
    names, first, sizes = np.unique(speakers, return_index=True, return_counts=True)
    middles = np.cumsum(sizes) - (sizes + 1) / 2
    axes.set_xticks(middles, names, fontsize=7)
    words = names if groups is None else [f"{groups[row]} {speakers[row]}" for row in first]
    axes.set_yticks(middles, words, fontsize=7)
    axes.set(xlabel="speaker of the one utterance", ylabel="speaker of the other utterance", title=title)
    figure.colorbar(image, label="log likelihood ratio", extend="both")
    return figure


def plot_roc_det(scores, labels, marks, title=""):
    """ROC and DET curves of scored trials, with operating points, a dict of names to thresholds, on both."""
    thresholds, accepted, rejected, x, y = det_curve(scores, labels)
    figure, (roc, det) = plt.subplots(1, 2, figsize=(10, 5.2))
    roc.plot(100 * accepted, 100 * (1 - rejected), color="0.3")
    roc.plot([0, 100], [0, 100], color="0.8", linestyle="--")
    roc.set(xlabel="false acceptance (%)", ylabel="target trials accepted (%)", aspect="equal")
    roc.set_title("ROC: receiver operating characteristic")
    det.plot(x, y, color="0.3")
    for (name, threshold), marker in zip(marks.items(), "osD^v", strict=False):
        at = np.searchsorted(thresholds, threshold)
        label = f"{name}: {100 * accepted[at]:.1f} / {100 * rejected[at]:.1f} %"
        style = {"color": "black", "fillstyle": "none", "markersize": 9, "clip_on": False}
        roc.plot(100 * accepted[at], 100 * (1 - rejected[at]), marker, label=label, **style)
        det.plot(*np.clip([x[at], y[at]], *DET_ENDS), marker, **style)
    draw_det_axes(det, "DET: detection error trade-off")
    heading = "threshold: false acceptance / false rejection"
    figure.legend(title=heading, loc="outside lower center", ncols=len(marks))
    figure.suptitle(title)
    return figure


def draw_det_axes(axes, title):
    """Mark axes of normal deviates in per cent, and draw the line where both errors are equal."""
    axes.plot(DET_ENDS, DET_ENDS, color="0.8", linestyle="--", zorder=0)
    start = DET_ENDS[[0, 0]] + 0.04 * np.ptp(DET_ENDS)
    axes.text(*start, "equal errors", rotation=45, color="0.4", va="bottom", rotation_mode="anchor")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(norm.ppf(DET_TICKS / 100), [f"{tick:g}" for tick in DET_TICKS])
    axes.set(xlim=DET_ENDS, ylim=DET_ENDS, aspect="equal", title=title)
    axes.set(xlabel="false acceptance (%)", ylabel="false rejection (%)")


def threshold_slider(scores, labels, threshold, title=""):
    """A slider that moves the operating point along ROC and DET from `threshold` on; shows itself."""
    from ipywidgets import FloatSlider, interact

    ends = {"min": float(np.min(scores)), "max": float(np.max(scores))}
    slider = FloatSlider(threshold, **ends, step=0.01, description="threshold", continuous_update=False)

    def draw(threshold):
        plot_roc_det(scores, labels, {f"threshold {threshold:.2f}": threshold}, title)
        plt.show()

    interact(draw, threshold=slider)


def score_range(scores, *inside):
    """Where an axis of scores begins and ends: without the most extreme ones, but with some places inside."""
    low, high = np.quantile(scores, [0.02, 0.998])
    return min(low, *inside), max(high, *inside)


def plot_rates(scores, labels, points, score=None, title="", kind="log likelihood ratio"):
    """Both error rates over the threshold, where they cross, operating points, and one trial's `score`."""
    thresholds, accepted, rejected = error_rates(scores, labels)
    rate, crossing = equal_error(scores, labels)
    figure, axes = plt.subplots(figsize=(8, 3.6))
    x, let_in, turned_away = thresholds[:-1], 100 * accepted[:-1], 100 * rejected[:-1]
    axes.plot(x, let_in, color=DIFFERENT, label="false acceptance of impostor trials")
    axes.plot(x, turned_away, color=SAME, label="false rejection of target trials")
    axes.plot(crossing, 100 * rate, "o", color=GREEN, label=f"equal error rate {100 * rate:.1f} %")
    low, high = score_range(scores, *points.values(), crossing if score is None else score)
    for height, (name, threshold) in zip(np.linspace(92, 60, len(points)), points.items(), strict=True):
        side = "left" if threshold < (low + high) / 2 else "right"
        axes.axvline(threshold, color=GREY, linewidth=1)
        axes.text(threshold, height, f" {name} ", color="#444444", ha=side)
    if score is not None:
        axes.plot(score, 0, "^", color=GREEN, markersize=12, clip_on=False, label="this recording")
    margin = 0.05 * (high - low)
    axes.set(xlim=(low - margin, high + margin), ylim=(0, 100), title=title)
    axes.set(xlabel=f"{kind}: threshold", ylabel="share of trials (%)")
    place_legend(axes)
    return figure


def plot_error_rates(places, lines, xlabel, title="", intervals=None):
    """Equal error rates over a quantity, a line each, in the order in which its `places` are given.

    `lines` are a dict of names to rates (places,); `intervals` the first line's 95 % intervals (places, 2).
    """
    figure, axes = plt.subplots(figsize=(7, 3))
    for name, rates in lines.items():
        axes.plot(places, 100 * np.asarray(rates), "o-", label=name)
    if intervals is not None:
        low, high = 100 * np.transpose(intervals)
        axes.fill_between(places, low, high, color=BLUE, alpha=0.2, label="95 % interval over speakers")
    axes.set(xlabel=xlabel, ylabel="equal error rate (%)", xticks=places, title=title, ylim=(0, None))
    if places[0] > places[-1]:
        axes.invert_xaxis()
    place_legend(axes)
    return figure


def results_table(row):
    """The figures of a row of metrics.json, rates in per cent, with 95 % intervals: a pandas.DataFrame."""
    table = {}
    for name in (name for name in row if f"{name}_ci" in row):
        scale, form, unit = (1, ".2f", "") if name in COSTS else (100, ".1f", " %")
        value, low, high = (f"{scale * each:{form}}" for each in (row[name], *row[f"{name}_ci"]))
        table[NAMES.get(name, name.replace("_", " "))] = value + unit, f"{low} to {high}"
    return pd.DataFrame(table, index=["value", "95 % interval over speakers"]).T
