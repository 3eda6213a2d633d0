"""Spectrograms: librosa's transform, whatever the batch, the level or the length."""

import dataclasses
import math

import librosa
import numpy as np
import pytest

from helpers import InputError, features
from helpers.features import Spectrogram, compress

pytestmark = pytest.mark.backend


def noise(utterances=3, samples=4000, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (utterances, samples)).astype(np.float32)


@pytest.mark.parametrize(("n_fft", "hop_length"), [(1024, 512), (512, 160), (400, 100)])
def test_magnitude_is_librosas(n_fft, hop_length):
    waveforms = noise()
    ours = Spectrogram(n_fft, hop_length, compression="none")(waveforms)
    for spectrogram, waveform in zip(ours, waveforms, strict=True):
        theirs = np.abs(librosa.stft(waveform, n_fft=n_fft, hop_length=hop_length))
        np.testing.assert_allclose(spectrogram.T, theirs, rtol=1e-6, atol=1e-6)


def test_a_frame_is_the_fourier_transform_of_a_hann_window_around_its_centre():
    waveform = noise(1)[0]
    k = np.arange(1024)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * k / 1024)
    by_hand = np.abs(np.fft.rfft(hann * waveform[2 * 512 : 2 * 512 + 1024]))
    frame = Spectrogram(compression="none")(waveform[None])[0, 3]  # its centre is sample 3 * 512
    np.testing.assert_allclose(frame, by_hand, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("samples", "frames"), [(16_180, 32), (22_631, 45), (1024, 3), (1535, 3), (1536, 4)])
@pytest.mark.parametrize("settings", [{}, {"compression": "none"}, {"mel_bands": 40}])
def test_shapes(samples, frames, settings):
    spectrogram = Spectrogram(**settings)
    result = spectrogram(noise(2, samples))
    assert result.shape == (2, frames, 40 if "mel_bands" in settings else 513)
    assert (frames, result.shape[2]) == (spectrogram.frames(samples), spectrogram.bins)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_results_are_float32(dtype):
    for settings in ({}, {"compression": "none"}, {"mel_bands": 20}):
        assert Spectrogram(**settings)(noise(2).astype(dtype)).dtype == np.float32


@pytest.mark.parametrize("settings", [{}, {"compression": "none"}, {"mel_bands": 20}])
def test_a_batch_gives_what_single_utterances_give(settings, monkeypatch):
    # Unequally loud, so that a level taken over the batch would show.
    waveforms = noise(7, 2000) * np.geomspace(1e-3, 1, 7, dtype=np.float32)[:, None]
    spectrogram = Spectrogram(**settings)
    monkeypatch.setattr(features, "BATCH", 3)
    batched = spectrogram(waveforms)
    one_by_one = np.concatenate([spectrogram(waveform) for waveform in waveforms])
    np.testing.assert_allclose(batched, one_by_one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mel_bands", [0, 40])
@pytest.mark.parametrize("gain", [0.25, 2.0**-12, 2.0])
def test_log_compression_takes_the_level_out(gain, mel_bands):
    waveforms = noise()
    spectrogram = Spectrogram(mel_bands=mel_bands)
    np.testing.assert_allclose(spectrogram(gain * waveforms), spectrogram(waveforms), atol=1e-4)


def test_without_compression_the_level_stays():
    spectrogram = Spectrogram(compression="none")
    np.testing.assert_allclose(spectrogram(noise() / 4), spectrogram(noise()) / 4, rtol=1e-6)


def test_compression_by_hand():
    magnitudes = np.array([[[8.0, 4.0], [0.8, 0.0]], [[0.02, 0.002], [0.002, 1e-9]]])
    expected = [[[0, math.log(0.5)], [math.log(0.1), math.log(0.01)]]]
    expected += [[[0, math.log(0.1)], [math.log(0.1), math.log(0.01)]]]
    np.testing.assert_allclose(compress(magnitudes, floor=0.01), expected, rtol=1e-6)
    assert compress(magnitudes).dtype == np.float32


def test_compression_spans_floor_to_zero():
    tone = np.sin(2 * np.pi * 1000 / 16_000 * np.arange(4096), dtype=np.float32)[None]
    for floor in (1e-5, 1e-2):
        result = Spectrogram(floor=floor)(tone)
        assert result.max() == 0
        np.testing.assert_allclose(result.min(), math.log(floor), rtol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"mel_bands": 20}, {"compression": "none"}])
def test_silence_stays_finite(settings):
    waveforms = np.zeros((2, 2048), np.float32)
    waveforms[1, 700] = 1e-30  # next to silence
    assert np.isfinite(Spectrogram(**settings)(waveforms)).all()


def test_mel_bands_are_librosas():
    waveforms = noise()
    ours = Spectrogram(mel_bands=40, compression="none")(waveforms)
    for spectrogram, waveform in zip(ours, waveforms, strict=True):
        power = librosa.feature.melspectrogram(
            y=waveform, sr=16_000, n_fft=1024, hop_length=512, n_mels=40, power=2.0
        )
        np.testing.assert_allclose(spectrogram.T**2, power, rtol=1e-4)


def test_the_sample_rate_places_the_mel_bands():
    tone = np.sin(2 * np.pi * 1000 / 16_000 * np.arange(4096), dtype=np.float32)[None]
    loudest = {
        rate: Spectrogram(mel_bands=40, sample_rate=rate)(tone)[0, 4].argmax() for rate in (8000, 16_000)
    }
    centres = librosa.mel_frequencies(42, fmax=8000)[1:-1]
    assert loudest[16_000] == np.abs(centres - 1000).argmin()
    assert loudest[8000] != loudest[16_000]


def test_utterances_shorter_than_a_window_are_refused():
    with pytest.raises(InputError, match=r"1023 samples.*1024") as refusal:
        Spectrogram()(noise(2, 1023))
    assert "\n" not in str(refusal.value)
    with pytest.raises(InputError, match=r"1024 samples.*2048"):
        Spectrogram(n_fft=2048)(noise(2, 1024))


def test_an_unknown_compression_is_refused():
    with pytest.raises(InputError, match="'root'"):
        Spectrogram(compression="root")


def test_settings_survive_a_round_trip():
    spectrogram = Spectrogram(512, 128, "none", 1e-3, 30, 8000)
    assert Spectrogram.from_dict(spectrogram.to_dict()) == spectrogram
    assert Spectrogram.from_dict({}) == Spectrogram()
    for field in dataclasses.fields(Spectrogram):  # each of them tells two transforms apart
        assert spectrogram.to_dict()[field.name] != Spectrogram().to_dict()[field.name]


def test_unknown_settings_are_refused_by_name():
    with pytest.raises(InputError, match="centre, window"):
        Spectrogram.from_dict({"n_fft": 512, "window": "hann", "centre": True})


def test_the_input_is_left_as_it_was():
    waveforms = noise()
    before = waveforms.copy()
    Spectrogram(mel_bands=20)(waveforms)
    np.testing.assert_array_equal(waveforms, before)
