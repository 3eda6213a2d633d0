"""Pictures of notebook 06: what is speech, similarities with centroids, errors over the threshold."""

import matplotlib.pyplot as plt
import numpy as np

from helpers import SAMPLE_RATE
from helpers.metrics import equal_error, error_rates
from helpers.plots.style import BLUE, GREEN, GREY, ORANGE


def plot_voice_activity(waveform, kept, title=""):
    """A waveform (samples,), with the stretches `kept`, int array (parts, 2) in samples, in colour."""
    figure, axes = plt.subplots(figsize=(9, 2.4))
    seconds = np.arange(len(waveform)) / SAMPLE_RATE
    axes.plot(seconds, waveform, color="0.75", linewidth=0.7, label="left out")
    for number, (start, end) in enumerate(kept):
        label = "kept as speech" if number == 0 else None
        axes.plot(seconds[start:end], waveform[start:end], color=BLUE, linewidth=0.7, label=label)
    axes.set(xlabel="time (s)", ylabel="amplitude (full scale = 1)", title=title)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def plot_similarity_batch(matrix, utterances, shown=8, title=""):
    """Similarities of utterances with centroids: a picture for each of the first speakers.

    Parameters
    ----------
    matrix : float array (P K, P)
        Speaker by speaker.
    utterances : int
        K.
    shown : int
        Speakers drawn.
    title : str
    """
    groups = matrix.reshape(-1, utterances, matrix.shape[1])[:shown]
    figure, grid = plt.subplots(
        2, -(-len(groups) // 2), figsize=(10, 3.6), sharex=True, sharey=True, squeeze=False
    )
    low, high = np.min(matrix), np.max(matrix)
    for speaker, (axes, group) in enumerate(zip(grid.flat, groups, strict=False)):
        image = axes.imshow(
            group, vmin=low, vmax=high, cmap="viridis", aspect="auto", interpolation="nearest"
        )
        axes.axvline(speaker - 0.5, color="white", linewidth=0.8)
        axes.axvline(speaker + 0.5, color="white", linewidth=0.8)
        axes.set_title(f"speaker {speaker}", fontsize="small")
    for axes in grid.flat[len(groups) :]:
        axes.axis("off")
    figure.supxlabel("centroid of speaker (their own between the white lines)", fontsize="medium")
    figure.supylabel("utterance", fontsize="medium")
    figure.colorbar(image, ax=grid, label="cosine similarity")
    figure.suptitle(title)
    return figure


def plot_losses(histories, title=""):
    """Training losses over the epochs, a panel for each loss.

    Parameters
    ----------
    histories : dict of str to dict of str to list
        Panel, then line, then the loss of each epoch.
    title : str
    """
    figure, panels = plt.subplots(1, len(histories), figsize=(9.5, 3), squeeze=False)
    for axes, (name, lines) in zip(panels[0], histories.items(), strict=True):
        for label, losses in lines.items():
            axes.plot(np.arange(1, len(losses) + 1), losses, label=label)
        axes.set(xlabel="epoch", ylabel=f"{name} loss", title=f"{name} loss", ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    figure.suptitle(title)
    return figure


def plot_rates_over_threshold(scores, labels, threshold, title=""):
    """False acceptance and false rejection over the threshold, their crossing, and the threshold in use."""
    thresholds, accepted, rejected = error_rates(scores, labels)
    rate, at = equal_error(scores, labels)
    figure, axes = plt.subplots(figsize=(7, 3.2))
    axes.plot(thresholds[:-1], 100 * accepted[:-1], color=ORANGE, label="false acceptance (FAR)")
    axes.plot(thresholds[:-1], 100 * rejected[:-1], color=BLUE, label="false rejection (FRR)")
    axes.plot(at, 100 * rate, "o", color=GREEN, label=f"equal error rate {100 * rate:.1f} %")
    axes.axvline(threshold, color=GREY, linestyle="--", label="threshold from training speakers")
    axes.set(xlabel="threshold (cosine similarity)", ylabel="rate (%)", title=title, ylim=(0, 100))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def plot_batch_rates(rates, pooled, title=""):
    """How equal error rates of small batches scatter, beside the rate of all trials together.

    Parameters
    ----------
    rates : float array (batches,)
    pooled : float
    title : str
    """
    figure, axes = plt.subplots(figsize=(7, 2.8))
    axes.hist(100 * np.asarray(rates), bins=25, color="#CFE3F5", edgecolor=BLUE, label="one batch each")
    axes.axvline(100 * np.mean(rates), color=BLUE, label=f"their mean, {100 * np.mean(rates):.1f} %")
    axes.axvline(100 * pooled, color=ORANGE, label=f"one threshold for all trials, {100 * pooled:.1f} %")
    axes.set(xlabel="equal error rate of a batch (%)", ylabel="batches", title=title)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def plot_errors_in_noise(decibels, lines, title=""):
    """Equal error rates over the signal-to-noise ratio.

    Parameters
    ----------
    decibels : sequence of float
    lines : dict of str to sequence of float
    title : str
    """
    figure, axes = plt.subplots(figsize=(7, 3))
    for name, rates in lines.items():
        axes.plot(decibels, 100 * np.asarray(rates), "o-", label=name)
    axes.set(xlabel="signal-to-noise ratio (dB)", ylabel="equal error rate (%)", title=title, ylim=(0, None))
    axes.set_xticks(decibels)
    axes.invert_xaxis()
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
