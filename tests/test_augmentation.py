"""Augmentation: other speeds, random stretches, masked bands, noise."""

import numpy as np
import pytest

from helpers import InputError
from helpers.augmentation import at_speed, mask_bins, parse_speeds, random_crops


from helpers import augmentation


@pytest.mark.parametrize(("speed", "samples"), [(0.9, 17_978), (1.1, 14_710), (1.0, 16_180), (2.0, 8090)])
def test_a_speed_moves_length_and_frequency(speed, samples):
    time = np.arange(16_180) / 16_000
    pitches = (440.0, 1000.0)
    waveforms = np.sin(2 * np.pi * np.array(pitches)[:, None] * time).astype(np.float32) / 2
    faster = at_speed(waveforms, speed)
    assert faster.shape == (2, samples)
    assert faster.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(faster * np.hanning(samples), axis=1))
    found = spectrum.argmax(axis=1) * 16_000 / samples
    np.testing.assert_allclose(found, np.array(pitches) * speed, atol=1.5)
    middle = faster[:, samples // 4 : -samples // 4]
    np.testing.assert_allclose(np.abs(middle).max(axis=1), 0.5, rtol=0.02)


def test_speeds_are_read_from_a_parameter():
    assert parse_speeds("0.8, 0.9,1.1,") == (0.8, 0.9, 1.1)
    assert parse_speeds("") == parse_speeds(" ") == ()
    assert parse_speeds(0.9) == (0.9,)  # as papermill passes a single one on
    for wrong in ("fast", "0.9;1.1", "0", "0.9,-1", "3", "nan"):
        with pytest.raises(InputError, match=r"^speeds is '.*'; expected numbers from 0\.5 to 2"):
            parse_speeds(wrong)


def test_masks_are_bands_of_the_mean_within_the_width():
    rng = np.random.default_rng(0)
    widths, places = [], set()
    for _ in range(400):
        spectrogram = rng.normal(size=(5, 12)).astype(np.float32)
        before = spectrogram.copy()
        mask_bins(spectrogram, 0.25, rng)
        changed = np.flatnonzero((spectrogram != before).any(axis=0))
        widths.append(len(changed))
        if len(changed):
            places |= set(changed)
            assert changed[-1] - changed[0] + 1 == len(changed)  # one band, over all frames
            np.testing.assert_allclose(spectrogram[:, changed], before.mean(), rtol=1e-4, atol=1e-6)
    assert set(widths) == {0, 1, 2, 3}
    assert places == set(range(12))


def test_whole_utterances_can_be_masked_and_none():
    rng = np.random.default_rng(0)
    for _ in range(20):
        spectrogram = rng.normal(size=(5, 4)).astype(np.float32)
        before = spectrogram.copy()
        mask_bins(spectrogram, 0.0, rng)
        np.testing.assert_array_equal(spectrogram, before)
        mask_bins(spectrogram, 1.0, rng)


def test_a_crop_is_a_stretch_at_a_random_place():
    spectrogram, rng = np.arange(20.0).reshape(10, 2), np.random.default_rng(0)
    np.testing.assert_array_equal(random_crops([spectrogram], 10, 0, rng)[0], spectrogram)
    starts = set()
    for _ in range(100):
        cut = random_crops([spectrogram], 7, 0, rng)[0]
        starts.add(int(cut[0, 0]) // 2)
        np.testing.assert_array_equal(cut, spectrogram[int(cut[0, 0]) // 2 :][:7])
    assert starts == {0, 1, 2, 3}


# ---- noise and length --------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
WAVES = RNG.uniform(-0.5, 0.5, (3, 16_000)).astype(np.float32) * np.array(
    [[1], [0.1], [0.3]], dtype=np.float32
)


def test_the_middle_is_left():
    assert np.array_equal(augmentation.middle(WAVES, 0.25), WAVES[:, 6000:10_000])
    assert np.array_equal(augmentation.middle(WAVES, 2), WAVES)


@pytest.mark.parametrize("decibels", [20, 0, -5])
def test_noise_is_so_many_decibels_below_each_utterance(decibels):
    noise = RNG.normal(size=WAVES.shape)
    noisy = augmentation.add_noise(WAVES, noise, decibels)
    assert noisy.dtype == np.float32
    ratio = np.mean(WAVES**2, axis=1) / np.mean((noisy - WAVES) ** 2, axis=1)
    assert 10 * np.log10(ratio) == pytest.approx([decibels] * 3, abs=0.01)


def test_babble_is_a_sum_of_voices_of_any_length():
    background = np.stack([np.full(700, 10.0**i) for i in range(4)])
    noise = augmentation.babble(background, (50, 1600), seed=1, voices=3)
    assert noise.shape == (50, 1600)
    digits = [f"{round(value):04d}" for value in noise[:, 0]]
    assert all(sum(map(int, each)) == 3 for each in digits)
    assert len(set(digits)) > 5
    assert (noise == noise[:, :1]).all()
    assert np.array_equal(noise, augmentation.babble(background, (50, 1600), seed=1, voices=3))
    assert not np.array_equal(noise, augmentation.babble(background, (50, 1600), seed=2, voices=3))


def test_babble_starts_anywhere():
    ramp = np.arange(1000.0)[None]
    starts = augmentation.babble(ramp, (20, 500), voices=1)[:, 0]
    assert len(set(starts)) > 10
