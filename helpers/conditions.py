"""Harder conditions: utterances cut short, or heard in noise."""

import numpy as np

from helpers.corpora import SAMPLE_RATE


def middle(waveforms, seconds):
    """The middle `seconds` of waveforms (utterances, samples) at 16,000 Hz, all of shorter ones."""
    samples = round(seconds * SAMPLE_RATE)
    start = max(0, (waveforms.shape[1] - samples) // 2)
    return waveforms[:, start : start + samples]


def add_noise(waveforms, noise, decibels):
    """Waveforms with noise of the same shape, so many decibels below each one's speech (by mean power)."""
    power = [np.mean(np.square(each), axis=1, keepdims=True) for each in (waveforms, noise)]
    gain = np.sqrt(power[0] / power[1]) * 10 ** (-decibels / 20)
    return (waveforms + gain * noise).astype(np.float32)


def babble(background, shape, seed=0, voices=6):
    """So many voices at once, for each row of a shape (utterances, samples), drawn from other waveforms."""
    rng, noise = np.random.default_rng(seed), np.zeros(shape, dtype=np.float32)
    for row in noise:
        for index in rng.choice(len(background), voices):
            row += np.resize(np.roll(background[index], rng.integers(shape[1])), shape[1])
    return noise
