"""Pictures of learning and of scores: the twin network, its training, its voices, its errors."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import norm

from helpers.metrics import error_rates
from helpers.plots.style import BLUE, ORANGE


def plot_score_histograms(parts, labels, threshold=None, title="", kind="cosine similarity"):
    """How target and impostor scores are spread, one panel a set of scores.

    Parameters
    ----------
    parts : dict of str to array (trials,)
    labels : int array (trials,)
    threshold : float, optional
    title, kind : str
        `kind` names the scores.
    """
    figure, rows = plt.subplots(1, len(parts), figsize=(8, 3.2), squeeze=False, sharex=True)
    lowest, highest = (function(list(parts.values())) for function in (np.min, np.max))
    edges = np.linspace(lowest, highest, 60)
    for axes, (name, scores) in zip(rows[0], parts.items(), strict=True):
        for label, colour, who in ((0, ORANGE, "different speakers"), (1, BLUE, "same speaker")):
            axes.hist(scores[labels == label], edges, density=True, alpha=0.6, color=colour, label=who)
        if threshold is not None:
            axes.axvline(threshold, color="0.2", linestyle="--", label=f"threshold {threshold:.2f}")
        axes.set(xlabel=kind, ylabel="density", title=name)
    rows[0, -1].legend()
    figure.suptitle(title)
    return figure


def plot_similarity_matrix(scores, speakers, title=""):
    """Log likelihood ratio of every utterance with every other, the speakers as blocks along the diagonal."""
    figure, axes = plt.subplots(figsize=(6.2, 5.4))
    image = axes.imshow(scores, vmin=-8, vmax=8, cmap="cividis", interpolation="nearest")
    names, starts = np.unique(speakers, return_index=True)
    axes.set_xticks(starts - 0.5, names, fontsize=7)
    axes.set_yticks(starts - 0.5, names, fontsize=7)
    axes.set(xlabel="utterances, marked where a speaker begins", ylabel="utterances", title=title)
    figure.colorbar(image, label="log likelihood ratio", extend="both")
    return figure


def plot_roc_det(scores, labels, marks, title=""):
    """ROC and DET curves of scored trials with operating points on both.

    The DET plot's axes are normal deviates (Martin et al., 1997, "The DET curve in assessment of detection
    task performance"), so that normally distributed scores give a straight line.

    Parameters
    ----------
    scores : array (trials,)
    labels : int array (trials,)
    marks : dict of str to float
        Names and thresholds of operating points.
    title : str
    """
    thresholds, accepted, rejected = error_rates(scores, labels)
    figure, (roc, det) = plt.subplots(1, 2, figsize=(9.5, 4.3))
    roc.plot(100 * accepted, 100 * (1 - rejected), color="0.3")
    roc.plot([0, 100], [0, 100], color="0.8", linestyle="--")
    roc.set(xlabel="false acceptance (%)", ylabel="targets accepted (%)", title="ROC", aspect="equal")
    inside = (accepted > 0) & (rejected > 0)
    det.plot(norm.ppf(accepted[inside]), norm.ppf(rejected[inside]), color="0.3")
    ticks = np.array([0.1, 0.5, 1, 2, 5, 10, 20, 40, 60])
    for axis in (det.xaxis, det.yaxis):
        axis.set_ticks(norm.ppf(ticks / 100), [f"{tick:g}" for tick in ticks])
    det.set(xlim=norm.ppf([0.0008, 0.65]), ylim=norm.ppf([0.0008, 0.65]), aspect="equal", title="DET")
    det.set(xlabel="false acceptance (%)", ylabel="false rejection (%)")
    for (name, threshold), marker in zip(marks.items(), "osD^v", strict=False):
        at = np.searchsorted(thresholds, threshold)
        label = f"{name}: {100 * accepted[at]:.1f} / {100 * rejected[at]:.1f} %"
        roc.plot(100 * accepted[at], 100 * (1 - rejected[at]), marker, label=label)
        det.plot(*norm.ppf(np.clip([accepted[at], rejected[at]], 1e-4, 1 - 1e-4)), marker)
    roc.legend(title="false acceptance / false rejection", fontsize=8, title_fontsize=8, loc="lower right")
    figure.suptitle(title)
    return figure


def threshold_slider(scores, labels, threshold, title=""):
    """A slider that moves the operating point along ROC and DET, for a person; shows itself.

    Parameters
    ----------
    scores, labels
        As for `plot_roc_det`.
    threshold : float
        Where the point starts.
    title : str
    """
    from ipywidgets import FloatSlider, interact

    low, high = float(np.min(scores)), float(np.max(scores))
    slider = FloatSlider(
        threshold, min=low, max=high, step=0.01, description="threshold", continuous_update=False
    )

    def draw(threshold):
        plot_roc_det(scores, labels, {f"threshold {threshold:.2f}": threshold}, title)
        plt.show()

    interact(draw, threshold=slider)


def plot_error_by_enrolment(counts, errors, intervals, title=""):
    """Equal error rate over the number of enrolled utterances, with its spread."""
    figure, axes = plt.subplots(figsize=(6, 3.2))
    low, high = 100 * np.transpose(intervals)
    axes.fill_between(counts, low, high, color=BLUE, alpha=0.2, label="95 % interval over speakers")
    axes.plot(counts, 100 * np.asarray(errors), "o-", color=BLUE)
    axes.set(xlabel="utterances enrolled", ylabel="equal error rate (%)", xticks=counts, title=title)
    axes.set_ylim(0, None)
    axes.legend()
    return figure


def results_table(row):
    """A system's figures as a table, in per cent where they are rates, with their 95 % intervals.

    Parameters
    ----------
    row : dict
        As `bootstrap.evaluate` gives it.

    Returns
    -------
    pandas.DataFrame
    """
    figures = {name: value for name, value in row.items() if f"{name}_ci" in row}
    scale = {name: 1 if name == "min_dcf" else 100 for name in figures}
    unit = {name: "" if name == "min_dcf" else " %" for name in figures}
    table = {
        name: {
            "value": f"{scale[name] * value:.2f}{unit[name]}",
            "95 % interval over speakers": "{:.2f} to {:.2f}".format(
                *scale[name] * np.array(row[f"{name}_ci"])
            ),
        }
        for name, value in figures.items()
    }
    return pd.DataFrame(table).T
