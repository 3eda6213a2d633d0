"""Figures: what is drawn, and that every axis says what it shows."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest

from samples import labelled

from helpers.features import Spectrogram
from helpers.plots import speech as speech_plots

RNG = np.random.default_rng(0)
SPEAKERS = np.repeat(np.arange(4), 5)
WAVES = RNG.uniform(-0.5, 0.5, (2, 4096)).astype(np.float32)


def test_waveforms_stand_at_their_times():
    figure = labelled(speech_plots.plot_waveforms(WAVES, ["a", "b"]))
    (line,) = figure.axes[1].lines
    assert np.array_equal(line.get_ydata(), WAVES[1])
    assert line.get_xdata()[0] == 0
    assert line.get_xdata()[-1] == pytest.approx(4095 / 16000)
    assert figure.axes[1].get_xlabel() == "time (s)"
    assert figure.axes[0].get_title(loc="left") == "a"
    with pytest.raises(ValueError, match="zip"):
        speech_plots.plot_waveforms(WAVES, ["a title too few"])


def test_periods_are_marked_from_the_first_peak():
    wave = np.cos(2 * np.pi * (np.arange(1024) - 30) / 100)
    figure = labelled(speech_plots.plot_waveforms([wave, wave], ["a", "b"], periods=[100, 200]))
    for axis, period in zip(figure.axes, (100, 200), strict=True):
        marks = [line.get_xdata()[0] * 16000 for line in axis.lines[1:]]
        assert np.allclose(marks, np.arange(30, 1024, period))


def test_speakers_stand_in_the_order_of_their_means():
    values = np.array([30.0, 10.0, 40.0, 20.0])[SPEAKERS] + RNG.normal(0, 1, len(SPEAKERS))
    axis = labelled(speech_plots.plot_by_speaker(values, SPEAKERS + 7, "level (dBFS)")).axes[0]
    dots, means = axis.lines
    assert axis.get_ylabel() == "level (dBFS)"
    assert np.array_equal(dots.get_ydata(), values)
    assert np.array_equal(dots.get_xdata(), np.array([2, 0, 3, 1])[SPEAKERS])
    assert np.allclose(means.get_ydata(), values.reshape(4, 5).mean(axis=1))
    ends = [sorted(segment[:, 1]) for segment in axis.collections[0].get_segments()]
    assert np.allclose(ends, np.stack([values.reshape(4, 5).min(1), values.reshape(4, 5).max(1)], axis=1))


def test_average_spectra_and_their_means():
    spectra, frequencies = RNG.normal(-30, 5, (5, 8)), np.geomspace(100, 7000, 8)
    figure = labelled(speech_plots.plot_average_spectra([spectra, spectra + 3], frequencies, ["a", "b"]))
    lines = figure.axes[0].lines
    assert np.array_equal([line.get_ydata() for line in lines[:5]], spectra)
    assert np.allclose(lines[5].get_ydata(), spectra.mean(axis=0))
    assert np.allclose(lines[7].get_ydata(), spectra.mean(axis=0) + 3)
    assert len(lines) == 8
    assert np.array_equal(lines[0].get_xdata(), frequencies)
    assert len(figure.axes[1].get_legend().get_texts()) == 3


def test_one_frame_peaks_where_its_tone_is():
    tone = np.sin(2 * np.pi * 1000 * np.arange(1024) / 16000)
    window = np.hanning(1024)
    left, right = labelled(speech_plots.plot_frame(tone, window, 200)).axes
    assert np.array_equal(left.lines[0].get_ydata(), tone)
    assert np.array_equal(left.lines[1].get_ydata(), tone * window)
    for line in right.lines[:3]:
        assert line.get_xdata()[np.argmax(line.get_ydata())] == 1000
        assert np.max(line.get_ydata()) == 0
    harmonics, formants = right.lines[2:]
    assert np.all(np.abs(harmonics.get_xdata() - np.arange(200, 4000, 200)) <= 100)
    assert list(formants.get_xdata()) == [1000]


@pytest.mark.parametrize(
    "setting", [Spectrogram(), Spectrogram(compression="none"), Spectrogram(mel_bands=20)]
)
def test_spectrograms_in_their_units(setting):
    values = setting(WAVES)
    figure = labelled(
        speech_plots.plot_spectrograms(values, [setting] * 2, ["a", "b"], decibels=60, start=1.0)
    )
    picture = figure.axes[1].images[0]
    linear = setting.compression == "none"
    scale = 1 if linear else 20 / np.log(10)
    assert np.allclose(picture.get_array(), scale * values[1].T, atol=1e-4)
    assert picture.get_clim() == ((0, values.max()) if linear else (-60, 0))
    left, right, bottom, top = picture.get_extent()
    frames, bins = values.shape[1:]
    assert (left + right) / 2 == pytest.approx(1 + (frames - 1) / 2 * 512 / 16000)  # frames centred
    assert (bottom + top) / 2 == pytest.approx((bins - 1) / 2 if setting.mel_bands else 4000)
    assert figure.axes[0].get_ylabel() == ("mel band" if setting.mel_bands else "frequency (Hz)")
    assert figure.axes[1].get_ylabel() == ""
    assert figure.axes[-1].get_ylabel() == ("magnitude" if linear else "level (dB, loudest = 0)")


def test_pair_matrix_and_its_speakers():
    values = RNG.uniform(-1, 1, (20, 20))
    values[np.tril_indices(20)] = np.nan
    figure = labelled(speech_plots.plot_pair_matrix(values, SPEAKERS + 7, "cosine", lowest=-1))
    axis, bar = figure.axes
    picture = axis.images[0]
    assert np.array_equal(np.ma.filled(picture.get_array(), np.nan), values, equal_nan=True)
    assert picture.get_clim() == (-1, 1)
    assert bar.get_ylabel() == "cosine"
    assert axis.get_xticks().tolist() == axis.get_yticks().tolist() == [2, 7, 12, 17]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["7", "8", "9", "10"]
    across = {line.get_ydata()[0] for line in axis.lines if line.get_ydata()[0] == line.get_ydata()[1]}
    assert across == {4.5, 9.5, 14.5}
