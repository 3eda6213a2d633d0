"""Pictures of one recording and of one decision: what the system hears, and where it draws the line."""

import matplotlib.pyplot as plt
import numpy as np

from helpers import metrics, quality
from helpers.corpora import SAMPLE_RATE
from helpers.features import Spectrogram
from helpers.plotting import BLUE, DECIBELS, GREEN, GREY, ORANGE


def heard(waveform, title=""):
    """A recording as the system hears it: its waveform with the parts taken for speech, its spectrogram.

    Parameters
    ----------
    waveform : float array (samples,)
        At 16,000 Hz.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 3.8), sharex=True, height_ratios=(2, 3))
    above.plot(np.arange(len(waveform)) / SAMPLE_RATE, waveform, linewidth=0.6)
    for start, end in quality.speech_parts(waveform) / SAMPLE_RATE:
        above.axvspan(start, end, color=GREEN, alpha=0.2, linewidth=0)
    above.set(title=title, ylabel="amplitude")
    above.text(1, 1.02, "green: taken for speech", color=GREEN, ha="right", transform=above.transAxes)
    spectrogram = Spectrogram(hop_length=160)
    shades = DECIBELS * spectrogram(waveform)[0].T
    extent = (0, len(waveform) / SAMPLE_RATE, 0, SAMPLE_RATE / 2000)
    shown = {"origin": "lower", "aspect": "auto", "cmap": "magma", "vmin": -80, "vmax": 0}
    picture = below.imshow(shades, extent=extent, **shown)
    below.set(xlabel="time (s)", ylabel="frequency (kHz)")
    figure.colorbar(picture, ax=below, label="level (dB)")
    return figure


def line_drawn(scores, labels, points, score=None, title=""):
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


def price_of_spoiling(table, title=""):
    """What `spoiling.cost` found: errors of each kind as bars, and how many recordings were refused.

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
