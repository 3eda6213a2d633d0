"""Pictures of GE2E: voice activity, similarities with centroids, errors of batches and in noise."""

import matplotlib.pyplot as plt
import numpy as np

from helpers import SAMPLE_RATE
from helpers.plots.speech import draw_speech
from helpers.plots.style import BLUE, GREEN, GREY, new_panels, place_legend


def plot_voice_activity(waveform, parts, level, limit, title=""):
    """A waveform with its speech in colour, and the level that decides, in dB below the loudest frame.

    Parameters
    ----------
    waveform : float array (samples,)
    parts : int array (parts, 2)
        First samples and ends of speech.
    level : float array (frames,)
        At most 0.
    limit : float
        What lies below it is left out.
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 4), sharex=True)
    draw_speech(above, waveform, parts)
    above.set(ylabel="amplitude", title=title)
    place_legend(above)
    seconds = np.linspace(0, len(waveform) / SAMPLE_RATE, len(level))
    below.plot(seconds, level, color="0.3", label="level of the frame")
    below.axhline(limit, color="black", linestyle="--", label=f"limit, {limit:.0f} dB")
    below.set(xlabel="time (s)", ylabel="level (dB)", ylim=(max(-90, level.min()) - 5, 5))
    place_legend(below)
    return figure


def plot_similarity_matrices(matrices, utterances, title=""):
    """Cosines of a batch's utterances with its centroids, a panel a matrix, the own centroids framed.

    Parameters
    ----------
    matrices : dict of str to float array (P K, P)
        Speaker by speaker, of one shape.
    utterances : int
        K.
    """
    figure, panels = new_panels(matrices, len(matrices), 5, 5.2, sharey=True)
    lowest = min(matrix.min() for matrix in matrices.values())
    for axes, (name, matrix) in zip(panels, matrices.items(), strict=True):
        rows, columns = matrix.shape
        style = {"cmap": "Greys", "vmin": lowest, "vmax": 1, "aspect": "auto", "interpolation": "nearest"}
        image = axes.imshow(matrix, extent=(0.5, columns + 0.5, rows + 0.5, 0.5), **style)
        for speaker in range(columns):
            corner = speaker + 0.5, speaker * utterances + 0.5
            axes.add_patch(plt.Rectangle(corner, 1, utterances, fill=False, edgecolor=BLUE, linewidth=1.2))
        axes.set(xlabel="centroid of speaker", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel(f"utterance, {utterances} of each speaker")
    figure.colorbar(image, ax=figure.axes, label="cosine similarity")
    figure.suptitle(title, fontsize="medium")
    return figure


def plot_batch_rates(rates, pooled, title=""):
    """How equal error rates (batches,) of small batches scatter, beside the `pooled` one of all trials."""
    figure, axes = plt.subplots(figsize=(8, 2.8))
    axes.hist(100 * np.asarray(rates), bins=25, color="0.85", edgecolor=GREY, label="one batch each")
    mean = 100 * np.mean(rates)
    axes.axvline(mean, color="black", linestyle="--", label=f"mean of the batches, {mean:.1f} %")
    axes.axvline(100 * pooled, color="black", label=f"one threshold for all, {100 * pooled:.1f} %")
    axes.set(xlabel="equal error rate of a batch (%)", ylabel="batches", title=title)
    place_legend(axes)
    return figure


def plot_noise(decibels, errors, title=""):
    """Equal error rates in noise with their 95 % intervals over speakers.

    Parameters
    ----------
    decibels : list of float
        Signal-to-noise ratios; infinity is no noise.
    errors : dict of str to list of bootstrap.Interval
        Kind of noise, then an interval for each ratio.
    """
    figure, axes = plt.subplots(figsize=(7, 3.2))
    for shift, colour, marker, (kind, found) in zip(
        (-0.06, 0.06), (GREEN, GREY), "os", errors.items(), strict=True
    ):
        value, low, high = 100 * np.transpose(found)
        whiskers = value - low, high - value
        places = np.arange(len(decibels)) + shift
        axes.errorbar(places, value, whiskers, color=colour, marker=marker, capsize=3, label=kind)
    names = ["no noise" if np.isinf(each) else f"{each:g} dB" for each in decibels]
    axes.set(xlabel="signal-to-noise ratio", ylabel="equal error rate (%)", title=title, ylim=(0, None))
    axes.set_xticks(range(len(names)), names)
    place_legend(axes)
    return figure
