"""Pictures of identification: attention over a spectrogram, and the confusion matrix."""

import matplotlib.pyplot as plt
import numpy as np

from helpers.plots.style import DECIBELS, ORANGE, draw_spectrogram, place_legend


def plot_attention(values, weights, spectrogram, title=""):
    """A spectrogram (frames, bands) above the weights of each head (fewer frames, heads), on one time axis.

    The weights are drawn as multiples of what all frames would get if they counted alike.
    """
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(9, 4.4), sharex=True)
    seconds = len(values) * spectrogram.hop_length / spectrogram.sample_rate
    extent = (0, seconds, 0, values.shape[1])
    draw_spectrogram(upper, DECIBELS * values, extent, vmin=-80, vmax=0)
    upper.set(ylabel="mel band", title=title)
    edges = np.linspace(0, seconds, len(weights) + 1)
    for number, head in enumerate(weights.T, 1):
        lower.stairs(head * len(weights), edges, label=f"head {number}", linewidth=1.5)
    lower.axhline(1, color="0.6", linestyle="--")
    lower.set(xlabel="time (s)", ylabel="weight (1: as all others)", ylim=(0, None))
    place_legend(lower, fontsize=8)
    return figure


def plot_confusions(counts, title=""):
    """Who was taken for whom: a row for each speaker, a column for each answer, counts as shades."""
    figure, axes = plt.subplots(figsize=(5.6, 4.8))
    image = axes.imshow(counts, cmap="Blues", vmin=0, interpolation="nearest")
    wrong = np.argwhere((counts > 0) & ~np.eye(len(counts), dtype=bool))
    axes.plot(wrong[:, 1], wrong[:, 0], "s", color=ORANGE, markersize=3, label="taken for another")
    axes.set(xlabel="speaker named", ylabel="speaker who spoke", title=title)
    axes.legend(loc="lower right", bbox_to_anchor=(1, -0.25), fontsize=8)
    figure.colorbar(image, label="held-out utterances")
    return figure
