"""Pictures of one recording and of one decision."""

import io

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from helpers import SAMPLE_RATE, quality
from helpers.plots.curves import draw_histograms, score_range
from helpers.plots.speech import draw_speech
from helpers.plots.style import BLUE, DECIBELS, GREY, ORANGE, draw_spectrogram


def plot_recording(waveform, spectrogram):
    """A clip as the network reads it: the waveform, speech apart from pauses, and the spectrogram, which is a
    logarithmic one with linear frequencies."""
    figure = Figure(figsize=(4.6, 3.1), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[2, 3])
    draw_speech(upper, waveform, quality.speech_parts(waveform))
    upper.set(yticks=[], ylabel="waveform")
    shades = DECIBELS * spectrogram(waveform[None])[0]
    extent = (0, len(waveform) / SAMPLE_RATE, 0, SAMPLE_RATE / 2000)
    draw_spectrogram(lower, shades, extent, vmin=shades.max() - 70, vmax=shades.max())
    lower.set(xlabel="time (s)", ylabel="kHz", xlim=extent[:2])
    return figure


def plot_robustness(table, title=""):
    """Errors of each kind as bars, and how many recordings were refused: a `robustness.robustness_table`."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    place = np.arange(len(table))
    left.barh(place - 0.2, 100 * table["missed"], 0.4, color=BLUE, label="the same person turned away")
    left.barh(place + 0.2, 100 * table["let_in"], 0.4, color=ORANGE, label="others let in")
    right.barh(place, 100 * table["refused"], color=GREY, label="refused")
    warned = 100 * table["warned"]
    right.barh(place, warned, left=100 * table["refused"], color="#E69F00", label="remarked on")
    left.set(yticks=place, yticklabels=table.index, xlabel="share of trials (%)", title="decided wrongly")
    right.set(xlabel="share of recordings (%)", xlim=(0, 100), title="noticed beforehand")
    left.invert_yaxis()
    figure.suptitle(title, fontsize="medium")
    for axis in (left, right):
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure


def plot_operating_point(scores, labels, threshold, score):
    """Where a score lies among measured log likelihood ratios, and the threshold that accepts it."""
    low, high = score_range(scores, -8, 8, threshold - 1, threshold + 1)
    figure = Figure(figsize=(6.4, 2.9), layout="constrained")
    axes, edges = figure.subplots(), np.linspace(low, high, 61)
    draw_histograms(axes, np.clip(scores, low, high), labels, edges, ("one person", "two people"))
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
