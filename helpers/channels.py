"""Other microphones, rooms, noises and vocal tracts: what `experiments` varies, and how it disturbs."""

import numpy as np

from helpers.training import at_all_speeds


def equalise(spectrograms, rng, strength=6.0, share=0.7):
    """Add a smooth random curve over frequency to most utterances, as another microphone would.

    `strength` is the standard deviation of the curve's coarsest part, in dB.
    """
    n, _, bins = spectrograms.shape
    chosen = rng.random((n, 1)) < share
    curves = chosen * _random_curves(n, bins, rng, strength) * (np.log(10) / 20)
    return spectrograms + curves[:, None].astype(np.float32)


def _random_curves(n, bins, rng, strength, terms=6):
    """Smooth random curves `(n, bins)`: sums of cosines, the coarser the larger."""
    number = np.arange(1, terms + 1)
    cosines = np.cos(np.pi * np.outer(number, np.linspace(0, 1, bins))) / np.sqrt(number)[:, None]
    return rng.normal(0, strength, (n, terms)) @ cosines


def add_noise(spectrograms, rng, quietest=40.0, loudest=10.0, share=0.7):
    """Stationary coloured noise in most utterances, `loudest` to `quietest` dB below the speech, by power."""
    n, _, bins = spectrograms.shape
    power = np.exp(2 * spectrograms)
    colour = (np.arange(1, bins + 1) / bins) ** -rng.uniform(0, 1.5, (n, 1))
    colour /= colour.mean(axis=1, keepdims=True)
    snr = 10 ** (-rng.uniform(loudest, quietest, (n, 1)) / 10)
    level = power.mean(axis=(1, 2))[:, None] * snr * colour * (rng.random((n, 1)) < share)
    level = level[:, None].astype(np.float32)
    return np.log(power + level * rng.standard_exponential(power.shape, np.float32) + 1e-12) / 2


def band_limit(spectrograms, rng, share=0.3, floor=-11.5):
    """Drop all above a random frequency, as telephones and codecs do, in some utterances."""
    n, _, bins = spectrograms.shape
    cutoff = np.where(rng.random(n) < share, rng.uniform(0.4, 1, n), 1) * bins
    return np.where(np.arange(bins) > cutoff[:, None, None], floor, spectrograms).astype(np.float32)


def warp(spectrograms, factor):
    """Vocal-tract-length perturbation: bins moved by `factor`, as a shorter or longer vocal tract would.

    Jaitly and Hinton (2013), "Vocal tract length perturbation improves speech recognition"; here linear over
    the whole range, the highest bin repeated.
    """
    bins = spectrograms.shape[-1]
    source = np.minimum(np.arange(bins) / factor, bins - 1)
    low = np.floor(source).astype(int)
    high, part = np.minimum(low + 1, bins - 1), (source - low).astype(np.float32)
    return spectrograms[..., low] * (1 - part) + spectrograms[..., high] * part


AUGMENTATIONS = {"equalise": equalise, "noise": add_noise, "band_limit": band_limit}


def augmentation(settings):
    """An `augment` of `training.Ingredients`: several by name, with their arguments."""

    def augment(spectrograms, rng):
        for name, arguments in settings.items():
            spectrograms = AUGMENTATIONS[name](spectrograms, rng, **arguments)
        return spectrograms

    return augment


def copies(warps=(), rooms=0):
    """`copies` of `training.Ingredients`: warped vocal tracts as new speakers, rooms as those there are."""

    def make(corpus, speakers, spectrogram, recipe):
        spectrograms, labels = at_all_speeds(corpus, speakers, spectrogram, recipe)
        rng, count = np.random.default_rng([recipe.seed, 3]), speakers.max() + 1
        for factor in warps:
            spectrograms.append(warp(spectrograms[0], factor))
            labels = np.append(labels, speakers + (labels.max() // count + 1) * count)
        for _ in range(rooms):
            spectrograms.append(spectrogram(in_room(corpus.waveforms, rng)))
            labels = np.append(labels, speakers)
        return spectrograms, labels

    return make


def in_room(waveforms, rng):
    """Waveforms heard in a random room each: direct sound and an exponentially decaying tail of noise."""
    out = np.empty_like(waveforms)
    for i, waveform in enumerate(waveforms):
        decay = rng.uniform(0.05, 0.3)
        time = np.arange(int(decay * 16000)) / 16000
        tail = rng.normal(size=len(time)) * np.exp(-6.9 * time / decay) * rng.uniform(0.02, 0.1)
        tail[0] = 1
        out[i] = np.convolve(waveform, tail)[: len(waveform)]
    return out


def disturb(waveforms, seed=0, snr=(15.0, 30.0), strength=6.0):
    """Each waveform with a microphone and a noise of its own: what a channel teaches is of no use here."""
    rng = np.random.default_rng([99, seed])
    n, samples = waveforms.shape
    spectrum = np.fft.rfft(waveforms)
    gain = 10 ** (_random_curves(n, spectrum.shape[1], rng, strength) / 20)
    filtered = np.fft.irfft(spectrum * gain, n=samples)
    level = np.sqrt((filtered**2).mean(axis=1, keepdims=True))
    noise = rng.normal(size=waveforms.shape) * level * 10 ** (-rng.uniform(*snr, (n, 1)) / 20)
    noisy = filtered + noise
    return (noisy / np.abs(noisy).max(axis=1, keepdims=True)).astype(np.float32)
