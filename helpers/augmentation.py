"""Variations of recordings: other speeds, crops, masked bands, noise, microphones, rooms, telephone calls."""

import math

import librosa
import numpy as np
import scipy.signal
from scipy.signal import resample_poly

from helpers import SAMPLE_RATE, InputError


def at_speed(waveforms, speed):
    """Utterances played faster or slower, by resampling: pitch, formants and pace all move.

    Ko et al. (2015), "Audio augmentation for speech recognition", section 2.

    Parameters
    ----------
    waveforms : float array (utterances, samples) or (samples,)
    speed : float
        1.1 is a tenth faster, and about a tenth shorter; taken to the nearest hundredth.

    Returns
    -------
    float32 array (utterances, samples / speed) or (samples / speed,)
    """
    up, down = 100, round(100 * speed)
    return np.asarray(waveforms if up == down else resample_poly(waveforms, up, down, axis=-1), np.float32)


def parse_speeds(text):
    """The speeds in a notebook's parameter, a tuple of float: ``"0.9,1.1"``, or nothing for none.

    Raises
    ------
    InputError
        For anything but numbers from 0.5 to 2, with commas between them.
    """
    try:
        speeds = tuple(float(part) for part in str(text).split(",") if part.strip())
    except ValueError:
        speeds = (0.0,)
    if not all(0.5 <= speed <= 2 for speed in speeds):
        expected = "numbers from 0.5 to 2, such as 0.9,1.1"
        raise InputError(f"is {str(text)!r}", file="speeds", expected=expected)
    return speeds


def mask_bins(spectrogram, widest, rng):
    """Replace a random band of bins by the spectrogram's mean, in place.

    Frequency masking of Park et al. (2019), "SpecAugment", section 2.

    Parameters
    ----------
    spectrogram : float array (frames, bins)
    widest : float
        Largest share of the bins that is masked.
    rng : numpy.random.Generator
    """
    bins = spectrogram.shape[1]
    width = rng.integers(int(widest * bins) + 1)
    start = rng.integers(bins - width + 1)
    spectrogram[:, start : start + width] = spectrogram.mean()


def random_crops(spectrograms, frames, widest, rng):
    """Of each spectrogram (its frames, bins) a random stretch with a random band masked: (n, frames, bins).

    One that is shorter than `frames` is repeated as a whole.
    """
    crops = np.empty((len(spectrograms), frames, spectrograms[0].shape[1]), np.float32)
    for cut, spectrogram in zip(crops, spectrograms, strict=True):
        repeated = np.tile(spectrogram, (math.ceil(frames / len(spectrogram)), 1))
        start = rng.integers(len(repeated) - frames + 1)
        cut[:] = repeated[start : start + frames]
        mask_bins(cut, widest, rng)
    return crops


def middle(waveforms, seconds):
    """The middle `seconds` of waveforms (utterances, samples) at 16,000 Hz, all of shorter ones."""
    samples = round(seconds * SAMPLE_RATE)
    start = max(0, (waveforms.shape[1] - samples) // 2)
    return waveforms[:, start : start + samples]


def add_noise(waveforms, noise, decibels):
    """Waveforms with noise of the same shape, `decibels` below the power of each one."""
    power = [np.var(each, axis=1, keepdims=True) for each in (waveforms, noise)]
    gain = np.sqrt(power[0] / power[1]) * 10 ** (-decibels / 20)
    return (waveforms + gain * noise).astype(np.float32)


def babble(background, shape, seed=0, voices=6):
    """A sum of several random other waveforms for each row of a shape (utterances, samples)."""
    rng, noise = np.random.default_rng(seed), np.zeros(shape, dtype=np.float32)
    for row in noise:
        for index in rng.choice(len(background), voices):
            row += np.resize(np.roll(background[index], rng.integers(shape[1])), shape[1])
    return noise


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


def add_spectrogram_noise(spectrograms, rng, quietest=40.0, loudest=10.0, share=0.7):
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


def warp_vocal_tract(spectrograms, factor):
    """Vocal-tract-length perturbation: bins moved by `factor`, as a shorter or longer vocal tract would.

    Jaitly and Hinton (2013), "Vocal tract length perturbation improves speech recognition"; here linear over
    the whole range, the highest bin repeated.
    """
    bins = spectrograms.shape[-1]
    source = np.minimum(np.arange(bins) / factor, bins - 1)
    low = np.floor(source).astype(int)
    high, part = np.minimum(low + 1, bins - 1), (source - low).astype(np.float32)
    return spectrograms[..., low] * (1 - part) + spectrograms[..., high] * part


def random_channel(waveforms, seed=0, snr=(15.0, 30.0), strength=6.0):
    """Each waveform with a random microphone and noise of its own: no channel goes with a speaker."""
    rng = np.random.default_rng([99, seed])
    n, samples = waveforms.shape
    spectrum = np.fft.rfft(waveforms)
    gain = 10 ** (_random_curves(n, spectrum.shape[1], rng, strength) / 20)
    filtered = np.fft.irfft(spectrum * gain, n=samples)
    level = filtered.std(axis=1, keepdims=True)
    noise = rng.normal(size=waveforms.shape) * level * 10 ** (-rng.uniform(*snr, (n, 1)) / 20)
    noisy = filtered + noise
    return (noisy / np.abs(noisy).max(axis=1, keepdims=True)).astype(np.float32)


def cut_to_half_second(waveform, rng):
    """Half a second out of the middle."""
    return middle(waveform[None], 0.5)[0]


def add_white_noise(waveform, rng):
    """White noise 10 dB below the speech."""
    return add_noise(waveform[None], rng.normal(size=(1, len(waveform))), 10)[0]


def clip_peaks(waveform, rng):
    """Amplify to four times full scale and cut off the peaks."""
    waveform = waveform - np.mean(waveform)
    return np.clip(4 * waveform / np.abs(waveform).max(), -1, 1)


def telephone_call(waveform, rng):
    """A call: 300 to 3,400 Hz, 8,000 samples a second of 8 bits each by the mu-law (ITU-T G.711)."""
    rate = SAMPLE_RATE // 2
    band = scipy.signal.butter(4, [300, 3400], "bandpass", fs=rate, output="sos")
    line = scipy.signal.sosfilt(band, librosa.resample(waveform, orig_sr=SAMPLE_RATE, target_sr=rate))
    code = librosa.mu_compress(line / (2 * np.abs(line).max()), mu=255)
    heard = librosa.resample(librosa.mu_expand(code, mu=255), orig_sr=rate, target_sr=SAMPLE_RATE)
    return librosa.util.fix_length(heard, size=len(waveform)).astype(np.float32)


def random_microphone(waveform, rng):
    """Through a random smooth curve over frequency: another device."""
    return random_channel(waveform[None], seed=int(rng.integers(2**31)), snr=(60, 60))[0]


def random_room(waveform, rng):
    """In a random room: direct sound and an exponentially decaying tail of noise."""
    decay = rng.uniform(0.05, 0.3)
    time = np.arange(int(decay * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.normal(size=len(time)) * np.exp(-6.9 * time / decay) * rng.uniform(0.02, 0.1)
    tail[0] = 1
    return np.convolve(waveform, tail)[: len(waveform)].astype(waveform.dtype)


CONDITIONS = {
    "half a second": cut_to_half_second,
    "noise": add_white_noise,
    "overdriven": clip_peaks,
    "telephone": telephone_call,
    "other microphone": random_microphone,
    "a room's echo": random_room,
}
