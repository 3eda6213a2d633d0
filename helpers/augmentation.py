"""Variations of what there is: other speeds, random stretches, masked bands."""

import numpy as np
from scipy.signal import resample_poly

from helpers import InputError


def at_speed(waveforms, speed):
    """Utterances played faster or slower, by resampling: pitch, formants and pace all move.

    Ko et al. (2015), "Audio augmentation for speech recognition", section 2.

    Parameters
    ----------
    waveforms : float array (utterances, samples)
    speed : float
        1.1 is a tenth faster, and about a tenth shorter; taken to the nearest hundredth.

    Returns
    -------
    float32 array (utterances, samples / speed)
    """
    up, down = 100, round(100 * speed)
    return np.asarray(waveforms if up == down else resample_poly(waveforms, up, down, axis=1), np.float32)


def speeds_of(text):
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
        raise InputError(f"speeds is {str(text)!r}; expected numbers from 0.5 to 2, such as 0.9,1.1")
    return speeds


def crop(spectrogram, frames, rng):
    """A random stretch of `frames` frames of a spectrogram `(frames, bins)`, as a view."""
    start = rng.integers(len(spectrogram) - frames + 1)
    return spectrogram[start : start + frames]


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
