"""Harder conditions: what is left of an utterance, and how loud the noise is."""

import numpy as np
import pytest

from helpers import augmentation

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
