"""Pictures of speech: waveforms, levels, spectra, spectrograms, pairs."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import find_peaks

from helpers import SAMPLE_RATE
from helpers.plots.style import BLUE, DECIBELS, GREY, ORANGE, draw_spectrogram, new_panels, place_legend


def plot_waveforms(rows, titles, periods=None):
    """Waveforms (samples,) one above the other, in [-1, 1] at 16,000 Hz; `periods` are marked, in samples."""
    figure, axes = new_panels(rows, 1, 9, 1.3 + 0.6 / len(rows), sharex=True, sharey=True)
    for number, (axis, row, title) in enumerate(zip(axes, rows, titles, strict=True)):
        axis.plot(np.arange(len(row)) / SAMPLE_RATE, row, linewidth=0.7)
        if periods:
            for mark in range(np.argmax(row[: periods[number]]), len(row), periods[number]):
                axis.axvline(mark / SAMPLE_RATE, color="black", linestyle="--", linewidth=0.8)
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

    `values` are a float array (utterances,); `quantity` says what they are, with their unit.
    """
    values, (names, column) = np.asarray(values), np.unique(speakers, return_inverse=True)
    means = np.bincount(column, values) / np.bincount(column)
    place = np.argsort(np.argsort(means))
    figure, axis = plt.subplots(figsize=(9, 2.8))
    ends = [[end(values[column == i]) for i in range(len(names))] for end in (np.min, np.max)]
    axis.vlines(place, *ends, color="#CCCCCC", linewidth=1)
    axis.plot(place[column], values, "o", markersize=3, alpha=0.6, color=GREY, label="an utterance")
    axis.plot(place, means, "_", markersize=9, markeredgewidth=2, color="black", label="a speaker's mean")
    axis.set(xlabel=f"{len(names)} speakers, in the order of their means", ylabel=quantity, xticks=[])
    place_legend(axis)
    return figure


def plot_average_spectra(groups, frequencies, titles):
    """Long-term average spectra, a panel for each speaker: of all utterances, their mean, the others' means.

    `groups` are float arrays (utterances, bands), in dB; `frequencies` (bands,) are in Hz.
    """
    figure, axes = new_panels(groups, len(groups), 9 / len(groups), 3, sharey=True)
    means = np.transpose([spectra.mean(axis=0) for spectra in groups])
    for axis, spectra, mean, title in zip(axes, groups, means.T, titles, strict=True):
        lines = axis.plot(frequencies, spectra.T, color=GREY, linewidth=0.7, alpha=0.7)[:1]
        lines += axis.plot(frequencies, mean, color="black", linewidth=2.5)
        lines += axis.plot(frequencies, means, color="black", linewidth=1, linestyle="--")[:1]
        axis.set(title=title, xlabel="frequency (Hz)", xscale="log")
        axis.set_xticks([125, 250, 500, 1000, 2000, 4000, 8000], [125, 250, 500, "1k", "2k", "4k", "8k"])
        axis.minorticks_off()
    axes[0].set_ylabel("level (dB, loudest = 0)")
    place_legend(axis, handles=lines, labels=["an utterance", "the speaker's mean", "the other's mean"])
    return figure


def plot_frame(frame, window, pitch):
    """A frame (samples,), as it is and windowed, and its levels, with harmonics and formants marked."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), width_ratios=(2, 3))
    milliseconds = 1000 * np.arange(len(frame)) / SAMPLE_RATE
    hertz = np.fft.rfftfreq(len(frame), 1 / SAMPLE_RATE)
    for samples, colour, name in ((frame, "silver", "as it is"), (frame * window, "black", "windowed")):
        left.plot(milliseconds, samples, color=colour, linewidth=1)
        level = 20 * np.log10(np.abs(np.fft.rfft(samples)) + 1e-12)
        level -= level.max()
        right.plot(hertz, level, color=colour, linewidth=1, label=name)
    near = [np.flatnonzero(np.abs(hertz - each) < pitch / 2) for each in np.arange(pitch, 4000, pitch)]
    tops = np.array([bins[level[bins].argmax()] for bins in near])
    right.plot(hertz[tops], level[tops], ".:", color="C2", label="harmonics")
    hills = tops[find_peaks(level[tops], prominence=6)[0]]
    right.plot(hertz[hills], level[hills] + 5, "v", color="C2", markersize=8, label="formants")
    left.set(xlabel="time (ms)", ylabel="amplitude (full scale = 1)", title="one frame")
    right.set(xlabel="frequency (Hz)", ylabel="level (dB, loudest = 0)", title="its Fourier transform")
    right.set(xlim=(0, 4000), ylim=(-70, 10))
    place_legend(right)
    return figure


def plot_spectrograms(values, settings, titles, highest=8000, decibels=80, start=0.0):
    """Spectrograms side by side, with one colour scale.

    `values` (frames, bins) are made by the `settings`, each a `features.Spectrogram`. The frequency axis ends
    at `highest` Hz, except for mel bands; the colours of logarithms reach `decibels` down; the centre of the
    first frame is at `start` seconds.
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
        if axis is not axes[0] and axis.get_ylabel() == axes[0].get_ylabel():
            axis.sharey(axes[0])
            axis.label_outer()
    figure.colorbar(picture, ax=axes, label="magnitude" if linear else "level (dB, loudest = 0)")
    return figure


def plot_pair_matrix(values, speakers, label, lowest=-1, shades=256):
    """Values of pairs (n, n), `lowest` in orange and 1 in blue; lines part the speakers (n,), in order."""
    colours = plt.matplotlib.colors.LinearSegmentedColormap.from_list("", [ORANGE, "#F7F7F7", BLUE], N=shades)
    names, starts, counts = np.unique(speakers, return_index=True, return_counts=True)
    figure, axis = plt.subplots(figsize=(6, 4.8))
    picture = axis.imshow(values, cmap=colours, vmin=lowest, vmax=1, interpolation="nearest")
    for start in starts[1:] - 0.5:
        axis.axhline(start, color="black", linewidth=0.8)
        axis.axvline(start, color="black", linewidth=0.8)
    axis.set(xlabel="speaker of the right utterance", ylabel="speaker of the left utterance")
    axis.set_xticks(starts + (counts - 1) / 2, names)
    axis.set_yticks(starts + (counts - 1) / 2, names)
    figure.colorbar(picture, ax=axis, label=label)
    return figure
