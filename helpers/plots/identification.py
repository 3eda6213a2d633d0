"""Pictures of identification: attention over a spectrogram, and the confusion matrix."""

import matplotlib.pyplot as plt
import numpy as np

from helpers.plots.style import BLUE, DECIBELS, GREY, ORANGE, draw_spectrogram


def plot_attention(examples, spectrogram, titles, title=""):
    """Spectrograms, the level below each, and the weights of the attention, on one time axis.

    Parameters
    ----------
    examples : list of (float array (frames, bands), float array (its frames, fewer,))
        Log spectrograms, and the weights of the frames that the network makes of each. They are drawn as
        multiples of the weight that all would have if they counted alike.
    spectrogram : features.Spectrogram
    titles : list of str
        A column each.
    """
    shape, heights = (3, len(examples)), (2, 1, 1.3)
    settings = {"sharex": "col", "sharey": "row", "height_ratios": heights, "squeeze": False}
    figure, panels = plt.subplots(*shape, figsize=(4.8 * len(examples), 5), **settings)
    for (upper, middle, lower), (values, weights), name in zip(panels.T, examples, titles, strict=True):
        seconds = len(values) * spectrogram.hop_length / spectrogram.sample_rate
        draw_spectrogram(upper, DECIBELS * values, (0, seconds, 0, values.shape[1]), vmin=-80, vmax=0)
        upper.set_title(name)
        level = DECIBELS * np.log(np.mean(np.exp(2 * values), axis=1)) / 2
        middle.plot(np.linspace(0, seconds, len(level)), level, color=GREY)
        edges = np.linspace(0, seconds, len(weights) + 1)
        lower.stairs(weights * len(weights), edges, color=BLUE, linewidth=1.5)
        lower.axhline(1, color="0.6", linestyle="--")
        lower.set(xlabel="time (s)", ylim=(0, None))
    names = "mel band", "level (dB)", "weight\n(equal: 1)"
    for axes, name in zip(panels[:, 0], names, strict=True):
        axes.set_ylabel(name)
    figure.suptitle(title, fontsize="medium")
    return figure


def plot_confusions(counts, title="", group=None):
    """Which speaker was taken for which: a row for each speaker, a column for each answer.

    `counts` are an int array (speakers, speakers); the first `group` speakers are set apart by lines.
    """
    figure, axes = plt.subplots(figsize=(6.4, 5.2))
    image = axes.imshow(counts, cmap="Greys", vmin=0, interpolation="nearest")
    wrong = np.argwhere((counts > 0) & ~np.eye(len(counts), dtype=bool))
    axes.plot(wrong[:, 1], wrong[:, 0], "s", color=ORANGE, markersize=3.5, label="taken for another speaker")
    if group:
        axes.axhline(group - 0.5, color="0.6", linewidth=0.8)
        axes.axvline(group - 0.5, color="0.6", linewidth=0.8)
    axes.set(xlabel="speaker named", ylabel="speaker who spoke", title=title)
    axes.legend(loc="lower right", bbox_to_anchor=(1, -0.22))
    figure.colorbar(image, label="test utterances", ticks=range(int(counts.max()) + 1))
    return figure
