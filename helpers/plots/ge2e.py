"""Pictures of GE2E: voice activity, similarities with centroids, errors of batches and in noise."""

import matplotlib.pyplot as plt
import numpy as np

from helpers.plots.speech import draw_speech
from helpers.plots.style import BLUE, ORANGE, new_panels, place_legend


def plot_voice_activity(waveform, kept, title=""):
    """A waveform (samples,), with the stretches `kept`, int array (parts, 2) in samples, in colour."""
    figure, axes = plt.subplots(figsize=(9, 2.4))
    draw_speech(axes, waveform, kept)
    axes.set(xlabel="time (s)", ylabel="amplitude (full scale = 1)", title=title)
    place_legend(axes)
    return figure


def plot_similarity_batch(matrix, utterances, title=""):
    """Similarities of utterances with centroids: a picture for each of the first eight speakers.

    Parameters
    ----------
    matrix : float array (P K, P)
        Speaker by speaker.
    utterances : int
        K.
    """
    groups = matrix.reshape(-1, utterances, matrix.shape[1])[:8]
    columns = -(-len(groups) // 2)
    figure, panels = new_panels(groups, columns, 10 / columns, 1.8, sharex=True, sharey=True)
    style = {"vmin": np.min(matrix), "vmax": np.max(matrix), "aspect": "auto", "interpolation": "nearest"}
    for speaker, (axes, group) in enumerate(zip(panels, groups, strict=True)):
        image = axes.imshow(group, cmap="viridis", **style)
        for edge in (speaker - 0.5, speaker + 0.5):
            axes.axvline(edge, color="white", linewidth=0.8)
        axes.set_title(f"speaker {speaker}", fontsize="small")
    figure.supxlabel("centroid of speaker (their own between the white lines)", fontsize="medium")
    figure.supylabel("utterance", fontsize="medium")
    figure.colorbar(image, ax=figure.axes, label="cosine similarity")
    figure.suptitle(title)
    return figure


def plot_batch_rates(rates, pooled, title=""):
    """How equal error rates (batches,) of small batches scatter, beside the `pooled` one of all trials."""
    figure, axes = plt.subplots(figsize=(7, 2.8))
    axes.hist(100 * np.asarray(rates), bins=25, color="#CFE3F5", edgecolor=BLUE, label="one batch each")
    axes.axvline(100 * np.mean(rates), color=BLUE, label=f"their mean, {100 * np.mean(rates):.1f} %")
    axes.axvline(100 * pooled, color=ORANGE, label=f"one threshold for all trials, {100 * pooled:.1f} %")
    axes.set(xlabel="equal error rate of a batch (%)", ylabel="batches", title=title)
    place_legend(axes)
    return figure
