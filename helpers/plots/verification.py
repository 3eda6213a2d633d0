"""Pictures of one recording and of one decision."""

import io

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from helpers import SAMPLE_RATE, quality
from helpers.plots.curves import draw_histograms, score_range
from helpers.plots.speech import draw_speech
from helpers.plots.style import DECIBELS, DIFFERENT, GREY, SAME, draw_spectrogram


def plot_recording(waveform, spectrogram):
    """The waveform of a recording, its speech marked, above its logarithmic spectrogram."""
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
    """Errors and remarks for each alteration of a `robustness.robustness_table`, in three panels.

    The EER with its interval, both errors at the threshold, and what was said of the recordings beforehand.
    """
    figure, panels = plt.subplots(1, 3, figsize=(11, 4), sharey=True, width_ratios=[3, 4, 4])
    place, percent = np.arange(len(table)), 100 * table
    ends = np.abs(percent[["low", "high"]].T.to_numpy() - percent["eer"].to_numpy())
    panels[0].errorbar(percent["eer"], place, xerr=ends, fmt="o", color="0.2", label="with 95 % interval")
    rejected, accepted = percent["false_rejection"], percent["false_acceptance"]
    panels[1].barh(place - 0.2, rejected, 0.4, color=SAME, label="false rejection")
    panels[1].barh(place + 0.2, accepted, 0.4, color=DIFFERENT, label="false acceptance")
    nothing, left = 100 - percent["refused"] - percent["warned"], 0
    for share, colour, label in (
        (percent["refused"], GREY, "refused"),
        (percent["warned"], "#E69F00", "answered with a remark"),
        (nothing, "#DDDDDD", "answered without"),
    ):
        panels[2].barh(place, share, left=left, color=colour, label=label)
        left = left + share
    panels[0].set(yticks=place, yticklabels=table.index, xlabel="share of trials (%)", xlim=(0, None))
    panels[1].set(xlabel="share of trials (%)")
    panels[2].set(xlabel="share of recordings (%)", xlim=(0, 100))
    panels[0].invert_yaxis()
    headings = "equal error rate", "errors at the threshold", "said beforehand"
    for axes, heading in zip(panels, headings, strict=True):
        axes.set_title(heading)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))
    figure.suptitle(title)
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
