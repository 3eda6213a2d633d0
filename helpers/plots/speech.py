"""Pictures of speech: waveforms, levels, spectra, spectrograms, pairs."""

import matplotlib.pyplot as plt
import numpy as np

from helpers import SAMPLE_RATE
from helpers.plots.style import BLUE, DECIBELS, GREY, ORANGE, draw_spectrogram, new_panels, place_legend


def plot_waveforms(rows, titles, start=0.0):
    """Waveforms (samples,) one above the other, in [-1, 1] at 16,000 Hz; the first sample is at `start` s."""
    figure, axes = new_panels(rows, 1, 9, 1.3 + 0.6 / len(rows), sharex=True, sharey=True)
    for axis, row, title in zip(axes, rows, titles, strict=True):
        axis.plot(start + np.arange(len(row)) / SAMPLE_RATE, row, linewidth=0.7)
        axis.set_title(title, loc="left")
    figure.supylabel("amplitude (full scale = 1)", fontsize="medium")
    axes[-1].set_xlabel("time (s)")
    return figure


def draw_speech(axes, waveform, parts):
    """Draw a waveform (samples,) over time, and in colour its `parts` that are speech: samples (parts, 2)."""
    seconds = np.arange(len(waveform)) / SAMPLE_RATE
    axes.plot(seconds, waveform, color="0.75", linewidth=0.6, label="left out")
    for number, (start, end) in enumerate(parts):
        label = "kept as speech" if number == 0 else None
        axes.axvspan(start / SAMPLE_RATE, end / SAMPLE_RATE, color=BLUE, alpha=0.1, linewidth=0)
        axes.plot(seconds[start:end], waveform[start:end], color=BLUE, linewidth=0.6, label=label)


def plot_by_speaker(values, speakers, quantity):
    """A dot for each utterance, a column for each speaker, in the order of the speakers' means.

    Parameters
    ----------
    values : float array (utterances,)
    quantity : str
        What the values are, with their unit.
    """
    values, (names, column) = np.asarray(values), np.unique(speakers, return_inverse=True)
    means = np.bincount(column, values) / np.bincount(column)
    place = np.argsort(np.argsort(means))
    figure, axis = plt.subplots(figsize=(9, 2.8))
    ends = [[end(values[column == i]) for i in range(len(names))] for end in (np.min, np.max)]
    axis.vlines(place, *ends, color="#CCCCCC", linewidth=1)
    axis.plot(place[column], values, "o", markersize=3, alpha=0.6, label="an utterance")
    axis.plot(place, means, "_", markersize=9, markeredgewidth=2, color=ORANGE, label="a speaker's mean")
    axis.set(xlabel=f"{len(names)} speakers, in the order of their means", ylabel=quantity, xticks=[])
    place_legend(axis)
    return figure


def plot_average_spectra(groups, frequencies, titles):
    """Long-term average spectra: a thin line for each utterance, a thick one for the mean.

    Parameters
    ----------
    groups : sequence of float arrays (utterances, bands), in dB
        A panel each.
    frequencies : float array (bands,), in Hz
    """
    figure, axes = new_panels(groups, len(groups), 9 / len(groups), 3, sharey=True)
    for axis, spectra, title in zip(axes, groups, titles, strict=True):
        axis.plot(frequencies, spectra.T, color=BLUE, linewidth=0.7, alpha=0.6)
        axis.plot(frequencies, spectra.mean(axis=0), color=ORANGE, linewidth=2.5)
        axis.set(title=title, xlabel="frequency (Hz)", xscale="log")
        axis.set_xticks([125, 250, 500, 1000, 2000, 4000, 8000], [125, 250, 500, "1k", "2k", "4k", "8k"])
        axis.minorticks_off()
    axes[0].set_ylabel("level (dB below the loudest)")
    return figure


def plot_frame(frame, window):
    """A frame of sound (samples,), the same under a window, and the levels of both in frequency."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
    milliseconds = 1000 * np.arange(len(frame)) / SAMPLE_RATE
    hertz = np.fft.rfftfreq(len(frame), 1 / SAMPLE_RATE)
    windowed = frame * window
    for samples, colour, name in ((frame, GREY, "cut out as it is"), (windowed, BLUE, "under the window")):
        left.plot(milliseconds, samples, color=colour, linewidth=1)
        level = 20 * np.log10(np.abs(np.fft.rfft(samples)) + 1e-12)
        right.plot(hertz, level - level.max(), color=colour, linewidth=1, label=name)
    left.set(xlabel="time (ms)", ylabel="amplitude (full scale = 1)", title="one frame")
    right.set(xlabel="frequency (Hz)", ylabel="level (dB below the peak)", title="its Fourier transform")
    right.set(xlim=(0, 2000), ylim=(-70, 3))
    right.legend(loc="lower left")
    return figure


def plot_spectrograms(values, settings, titles, highest=8000, decibels=80, start=0.0):
    """Spectrograms side by side, with one colour scale.

    Parameters
    ----------
    values : sequence of float arrays (frames, bins)
        As `features.Spectrogram` makes them: logarithms, or magnitudes where the compression is "none".
    settings : sequence of features.Spectrogram
        What each was made with.
    highest : float
        Where the frequency axis ends, in Hz; mel bands are shown whole.
    decibels : float
        Range of the colours, for logarithms.
    start : float
        Time of the first frame's centre, in seconds.
    """
    figure, axes = new_panels(values, len(values), 9 / len(values), 3.2)
    linear = settings[0].compression == "none"
    limits = (0, max(value.max() for value in values)) if linear else (-decibels, 0)
    for axis, value, setting, title in zip(axes, values, settings, titles, strict=True):
        hop, bins = setting.hop_length / setting.sample_rate, setting.bins
        height = 1 if setting.mel_bands else setting.sample_rate / setting.n_fft  # of a bin
        extent = (start - hop / 2, start + (len(value) - 0.5) * hop, -height / 2, (bins - 0.5) * height)
        shades = value if linear else DECIBELS * value
        picture = draw_spectrogram(axis, shades, extent, vmin=limits[0], vmax=limits[1])
        axis.set(title=title, xlabel="time (s)", ylabel="mel band" if setting.mel_bands else "frequency (Hz)")
        if not setting.mel_bands:
            axis.set_ylim(0, highest)
    figure.colorbar(picture, ax=axes, label="magnitude" if linear else "level (dB below the loudest)")
    return figure


def plot_label_matrix(speakers, zoom):
    """Labels of all pairs, and those of the first `zoom` utterances: same speaker, different, not a pair."""
    speakers = np.asarray(speakers)
    kind = (speakers[:, None] == speakers).astype(float)
    kind[np.tril_indices(len(speakers))] = np.nan
    colours = plt.matplotlib.colors.ListedColormap(["#C6DBEF", ORANGE])
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.4))
    for axis, size in zip(axes, (len(speakers), zoom), strict=True):
        picture = axis.imshow(kind[:size, :size], cmap=colours, vmin=0, vmax=1, interpolation="nearest")
        axis.set(title=f"{size} by {size} utterances", xlabel="right utterance", ylabel="left utterance")
    bar = figure.colorbar(picture, ax=axes, ticks=[0.25, 0.75], shrink=0.7)
    bar.ax.set_yticklabels(["0: different", "1: same\nspeaker"])
    return figure
