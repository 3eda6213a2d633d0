"""Pictures of one recording and of one decision: what the system hears, and where it draws the line."""

import io

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from helpers import SAMPLE_RATE, metrics, quality
from helpers.plots.style import BLUE, DECIBELS, GREEN, GREY, ORANGE


def plot_recording(waveform, spectrogram):
    """A clip as the system hears it: the waveform, speech apart from pauses, and the spectrogram.

    Parameters
    ----------
    waveform : float array (samples,)
        At 16,000 Hz.
    spectrogram : features.Spectrogram
        What the network reads; a logarithmic one with linear frequencies.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(4.6, 3.1), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[2, 3])
    parts, time = quality.speech_parts(waveform) / SAMPLE_RATE, np.arange(len(waveform)) / SAMPLE_RATE
    upper.plot(time, waveform, color="#BBBBBB", linewidth=0.6)
    for begin, end in parts:
        upper.axvspan(begin, end, color=BLUE, alpha=0.1, linewidth=0)
        inside = (time >= begin) & (time < end)
        upper.plot(time[inside], waveform[inside], color=BLUE, linewidth=0.6)
    upper.set(yticks=[], ylabel="waveform")
    shades = DECIBELS * spectrogram(waveform[None])[0]
    extent = (0, time[-1], 0, SAMPLE_RATE / 2000)
    lower.imshow(
        shades.T, origin="lower", aspect="auto", extent=extent, vmin=shades.max() - 70, vmax=shades.max(),
        cmap="magma",
    )  # fmt: skip
    lower.set(xlabel="time (s)", ylabel="kHz", xlim=(0, time[-1]))
    return figure


def plot_rates(scores, labels, points, score=None, title=""):
    """Both error rates over the threshold, with operating points and perhaps the score of one trial.

    Parameters
    ----------
    scores, labels : arrays (trials,)
        Log likelihood ratios of trials whose truth is known; 1 for target trials.
    points : dict
        Name: threshold.
    score : float, optional
        Of the trial at hand.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    thresholds, accepted, rejected = metrics.error_rates(scores, labels)
    figure, axes = plt.subplots(figsize=(8, 3.6))
    axes.plot(thresholds, 100 * accepted, color=ORANGE, label="others let in")
    axes.plot(thresholds, 100 * rejected, color=BLUE, label="the same person turned away")
    for height, (name, threshold) in zip(np.linspace(92, 60, len(points)), points.items(), strict=True):
        axes.axvline(threshold, color=GREY, linewidth=1)
        axes.text(threshold, height, f" {name}", color="#444444")
    if score is not None:
        axes.plot(score, 0, "^", color=GREEN, markersize=12, clip_on=False, label="this recording")
    edge = np.abs([*points.values(), score or 0, *np.percentile(scores[np.asarray(labels) == 1], [90])]).max()
    axes.set(xlim=(-1.6 * edge, 1.3 * edge), ylim=(0, 100), title=title)
    axes.set(xlabel="log likelihood ratio: threshold", ylabel="share of trials (%)")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def plot_robustness(table, title=""):
    """What `robustness_table` found: errors of each kind as bars, and how many recordings were refused.

    Parameters
    ----------
    table : pandas.DataFrame
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    place = np.arange(len(table))
    left.barh(place - 0.2, 100 * table["missed"], 0.4, color=BLUE, label="the same person turned away")
    left.barh(place + 0.2, 100 * table["let_in"], 0.4, color=ORANGE, label="others let in")
    right.barh(place, 100 * table["refused"], color=GREY, label="refused")
    right.barh(
        place, 100 * table["warned"], left=100 * table["refused"], color="#E69F00", label="remarked on"
    )
    left.set(yticks=place, yticklabels=table.index, xlabel="share of trials (%)", title="decided wrongly")
    right.set(xlabel="share of recordings (%)", xlim=(0, 100), title="noticed beforehand")
    left.invert_yaxis()
    figure.suptitle(title, fontsize="medium")
    for axis in (left, right):
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure


def plot_operating_point(scores, labels, threshold, score):
    """Where a score lies among measured ones, and the threshold from which on it is accepted.

    Parameters
    ----------
    scores, labels : arrays (trials,)
        Log likelihood ratios; labels are 1 for one person, 0 for two.
    threshold, score : float

    Returns
    -------
    matplotlib.figure.Figure
    """
    low, high = np.quantile(scores, [0.02, 0.998])
    low, high = min(low, -8, threshold - 1), max(high, 8, threshold + 1)
    figure = Figure(figsize=(6.4, 2.9), layout="constrained")
    axes, edges = figure.subplots(), np.linspace(low, high, 61)
    for kind, colour, who in ((0, ORANGE, "two people"), (1, BLUE, "one person")):
        chosen = np.clip(scores[labels == kind], low, high)
        axes.hist(
            chosen, edges, weights=np.full(len(chosen), 100 / len(chosen)), color=colour, alpha=0.6, label=who
        )
    top = axes.get_ylim()[1]
    axes.axvline(threshold, color="0.2", linestyle="--", label=f"accepted from {threshold:+.1f}")
    axes.axvspan(threshold, high, color=GREY, alpha=0.08, linewidth=0)
    at = float(np.clip(score, low, high))
    beyond = ", off the picture" if at != score else ""
    axes.plot([at], [0.55 * top], "v", color="black", markersize=10, label=f"this clip: {score:+.1f}{beyond}")
    axes.vlines(at, 0, 0.55 * top, color="black", linewidth=1.2)
    axes.set(xlabel="score (log likelihood ratio)", ylabel="share of trials (%)", xlim=(low, high))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", fontsize=9, frameon=False)
    return figure


def png_bytes(figure):
    """A figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    return file.getvalue()
