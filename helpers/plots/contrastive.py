"""Pictures of classical features, of the contrastive loss, and of distances during training."""

import matplotlib.pyplot as plt
import numpy as np
import scipy.stats

from helpers import SAMPLE_RATE
from helpers.metrics import equal_error
from helpers.pairs import all_trials
from helpers.plots import curves
from helpers.plots.style import BLUE, DIFFERENT, GREY, SAME, draw_spectrogram, new_panels, place_legend

KINDS = {"speaker": ("same speaker", "different speakers"), "word": ("same word", "different words")}


def plot_features(waveform, features, units, window, hop, title=""):
    """A waveform and its classical features, one above the other on one time axis.

    Parameters
    ----------
    waveform : float array (samples,)
        At 16,000 Hz.
    features : dict of str to float array (values, frames), of `classical_features.frame_features`
    units : dict of str to str, `classical_features.UNITS`
    window, hop : int
        Samples of a frame, and from one frame to the next.
    """
    heights = [1, *(1 + (len(values) > 1) for values in features.values())]
    figure, rows = plt.subplots(len(heights), figsize=(9, 11), sharex=True, height_ratios=heights)
    rows[0].plot(np.arange(len(waveform)) / SAMPLE_RATE, waveform, color=GREY, linewidth=0.6)
    rows[0].set(ylabel="amplitude", title=f"waveform, {title}")
    step = hop / SAMPLE_RATE
    for axes, (name, values) in zip(rows[1:], features.items(), strict=True):
        seconds = np.arange(values.shape[1]) * step
        axes.set_title(name)
        if len(values) == 1:
            axes.plot(seconds, values[0], color=BLUE)
            axes.set(ylabel=units[name], ylim=(0, None))
            continue
        unit = units[name]
        if name == "MFCC":  # the first ones are many times as large as the others
            values, unit = scipy.stats.zscore(values, axis=1), "deviations from its mean"
        extent = (-step / 2, seconds[-1] + step / 2, -0.5, len(values) - 0.5)
        figure.colorbar(draw_spectrogram(axes, values.T, extent), ax=axes, label=unit, pad=0.01)
        axes.set_ylabel({"MFCC": "coefficient", "chroma": "pitch class"}.get(name, "mel band"))
        if name == "chroma":
            axes.set_yticks([0, 4, 7], ["C", "E", "G"])
    milliseconds = [f"{1000 * samples / SAMPLE_RATE:g} ms" for samples in (window, hop)]
    rows[-1].set_xlabel("time (s); frames of {} every {}".format(*milliseconds))
    return figure


def plot_contrastive_cost(distances, costs, margin):
    """What a pair costs over its distance, for the same and for different ones, with the margin.

    Parameters
    ----------
    distances : float array (points,)
    costs : dict of str to (same, different) float arrays (points,)
        A panel each.
    margin : float
    """
    figure, panels = new_panels(costs, len(costs), 9 / len(costs), 3, sharey=True)
    for axes, (title, (same, different)) in zip(panels, costs.items(), strict=True):
        axes.plot(distances, same, color=SAME, label="label 1")
        axes.plot(distances, different, color=DIFFERENT, label="label 0")
        axes.axvline(margin, color="0.6", linestyle="--")
        axes.text(margin, axes.get_ylim()[1], " margin", va="top", color="0.4")
        axes.set(xlabel="distance of the pair", title=title)
    panels[0].set_ylabel("cost")
    panels[0].legend(loc="upper center")
    return figure


def plot_distances(matrices, labels, margin, kind="speaker", title=""):
    """Distances over the epochs: the medians, and the middle 80 % of the pairs.

    Parameters
    ----------
    matrices : list of float arrays (n, n)
        Distances before training and after each epoch.
    labels : array (n,)
    margin : float
    kind : {"speaker", "word"}
    """
    figure, axes = plt.subplots(figsize=(8, 3.4))
    trials = all_trials(labels)
    distances = np.array([matrix[trials.left, trials.right] for matrix in matrices])
    for label, colour, name in zip((1, 0), (SAME, DIFFERENT), KINDS[kind], strict=True):
        low, middle, high = np.percentile(distances[:, trials.label == label], [10, 50, 90], axis=1)
        epochs = np.arange(len(middle))
        axes.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(epochs, middle, "o-", color=colour, markersize=3, label=name)
    axes.axhline(margin, color="0.5", linestyle="--", label=f"margin {margin:g}")
    axes.set(xlabel="epochs trained", ylabel="Euclidean distance", ylim=(0, None), title=title)
    axes.xaxis.get_major_locator().set_params(integer=True)
    place_legend(axes)
    return figure


def plot_distance_histograms(parts, labels, kind="speaker", margin=None, title=""):
    """How distances of the same and of different ones are spread, a panel a set.

    Parameters
    ----------
    parts : dict of str to float array (n, n)
        Distances.
    labels : array (n,)
    kind : {"speaker", "word"}
    margin : float, optional
    """
    trials, panels = all_trials(labels), {}
    for name, matrix in parts.items():
        distances = matrix[trials.left, trials.right]
        error = 100 * equal_error(-distances, trials.label)[0]
        panels[f"{name}: EER {error:.0f} %"] = distances
    words = "Euclidean distance", KINDS[kind], "margin"
    return curves.plot_score_histograms(panels, trials.label, margin, title, *words)


def plot_mean_distances(matrix, labels, title=""):
    """Mean distance of every two labels' recordings, as a picture: what is close is easily confused.

    Parameters
    ----------
    matrix : float array (n, n)
        Distances.
    labels : array (n,)
    """
    names, index = np.unique(labels, return_inverse=True)
    share = np.eye(len(names))[index]
    counts = share.sum(axis=0)
    pairs = np.outer(counts, counts) - np.diag(counts)  # nothing is compared with itself
    means = share.T @ matrix @ share / np.maximum(pairs, 1)
    figure, axes = plt.subplots(figsize=(6.4, 5.4))
    image = axes.imshow(means, cmap="cividis_r", vmin=0)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_title(title)
    figure.colorbar(image, label="mean Euclidean distance")
    return figure
