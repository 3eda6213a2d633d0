"""Is a recording fit to be judged, and what in it may make the answer wrong?

The limits were set on speechocean762 and the course's files, clean and altered. The error rates are those of
`python -m helpers.research.robustness` with people.keras over 39 speakers of speechocean762, clean
recordings against altered ones; clean against clean the EER is 5.5 %.
"""

from typing import NamedTuple

import librosa
import numpy as np

from helpers import SAMPLE_RATE, InputError

SILENT = 35  # dB below the loudest frame: no speech, and cut off at both ends before embedding
SHORTEST, SHORT = 0.5, 1.0  # seconds of speech; with half a second the EER is 12 %
NOISIEST, NOISY = 6.0, 13.5  # dB, as `measure_quality` finds: 2 and 10 of true ratio; at 10 the EER is 20 %
NARROW = -70.0  # dB of what lies above 4.3 kHz to all; calls have less (EER 37 %), dull speech has more
CLIPPED = 0.01  # share of samples at the peak; overdriven fourfold: EER 9 %
QUIET = -50.0  # dBFS: few of the 16 bits are used
UNLIKE = 9.0  # dB between average spectra, rarely more on one device; with random ones the EER is 10 %
LONGEST = 120.0  # seconds: what is beyond adds nothing and takes memory


class Quality(NamedTuple):
    """What `measure_quality` finds: seconds, seconds, dB re full scale, dB, a share of samples, and dB."""

    seconds: float
    speech_seconds: float
    level: float
    snr: float
    clipped: float
    high: float


def speech_parts(waveform):
    """First samples and ends (parts, 2) of speech: voice activity detection by level.

    Speech is what lies less than `SILENT` below the loudest frame (`librosa.effects.split`), after the mean,
    a DC offset, is taken out.
    """
    return librosa.effects.split(_centred(waveform), top_db=SILENT, frame_length=1024, hop_length=256)


def keep_speech(waveform):
    """The `speech_parts` of a waveform (samples,), one after the other; all of it if none is loud."""
    return np.concatenate([waveform[start:end] for start, end in speech_parts(waveform)])


def trim_silence(waveforms, decibels=40):
    """Waveforms without the silence at their ends, which is more than `decibels` below the loudest frame."""
    ends = [librosa.effects.trim(_centred(waveform), top_db=decibels)[1] for waveform in waveforms]
    return [waveform[start:end] for waveform, (start, end) in zip(waveforms, ends, strict=True)]


def _centred(waveform):
    return waveform - np.mean(waveform)


def measure_quality(waveform):
    """Measure a recording.

    Parameters
    ----------
    waveform : float array (samples,)
        At 16,000 Hz, in [-1, 1], not silent, one STFT window or longer; its silence not trimmed.

    Returns
    -------
    Quality
        `speech_seconds` of `speech_parts`; `level` of these (dBFS); `snr`, the mean
        power of the louder half of the frames over that of the quietest tenth, which is low if there is
        no pause; `clipped`, the share of samples within 2 % of the highest or the lowest; `high`, the
        power above 4.3 kHz over all, in which the first and last samples, where a cut clicks, have no
        weight. A DC offset counts in none of them.
    """
    waveform = _centred(waveform)
    speech = keep_speech(waveform).astype(float)
    frames = librosa.util.frame(np.asarray(waveform, float), frame_length=512, hop_length=256)
    power = np.mean(frames**2, axis=0) + 1e-12
    louder = power[power >= np.median(power)].mean()
    size = np.abs(waveform - (waveform.max() + waveform.min()) / 2)
    return Quality(
        seconds=len(waveform) / SAMPLE_RATE,
        speech_seconds=len(speech) / SAMPLE_RATE,
        level=_decibels(np.mean(speech**2)),
        snr=_decibels(louder / np.quantile(power, 0.1)),
        clipped=float(np.mean(size >= 0.98 * size.max())),
        high=_high(waveform),
    )


def _high(waveform):
    spectrum = (np.abs(librosa.stft(_centred(waveform), n_fft=1024, center=False)) ** 2).mean(axis=1)
    above = librosa.fft_frequencies(sr=SAMPLE_RATE, n_fft=1024) > 4300
    return _decibels(spectrum[above].sum() / spectrum.sum())


def _decibels(power):
    return float(10 * np.log10(power + 1e-12))


def check_fit(quality, name, calls=False):
    """Raise an InputError that names the recording, if no answer from it could be trusted.

    Parameters
    ----------
    quality : Quality
    name : str
    calls : bool
        Whether the model judges telephone calls and nothing else: `verifier.Verifier.trained_on_calls`.
    """
    clear = "a second or more of clear speech" + ("" if calls else ", recorded at 16,000 Hz or more")
    noise = f"is too noisy (its speech is {quality.snr:.0f} dB above its quietest parts)"
    narrow = quality.high < NARROW
    for unfit, found, expected in (
        (quality.speech_seconds < SHORTEST, f"has {quality.speech_seconds:.1f} s of speech", clear),
        (quality.seconds > LONGEST, f"is {quality.seconds:.0f} s long", f"{LONGEST:.0f} s at most"),
        (quality.snr < NOISIEST, noise, clear),
        (narrow and not calls, "has nothing above 4 kHz, like a telephone call", clear),
        (
            calls and not narrow,
            "has sound above 4 kHz",
            "a telephone call, as this model was trained on calls",
        ),
    ):
        if unfit:
            raise InputError(found, file=name, expected=expected)


def telephone_share(waveforms, most=500):
    """Share of waveforms `(utterances, samples)` with nothing above 4 kHz, counted on `most` of them."""
    rows = np.linspace(0, len(waveforms) - 1, min(most, len(waveforms))).astype(int)
    return float(np.mean([_high(waveforms[row]) < NARROW for row in rows]))


def remarks(quality):
    """What may make an answer wrong, in plain words: a list of str, empty for a good recording."""
    found = {
        f"short: {quality.speech_seconds:.1f} s of speech": quality.speech_seconds < SHORT,
        f"noisy: speech {quality.snr:.0f} dB above the quietest parts": quality.snr < NOISY,
        f"too loud: {100 * quality.clipped:.1f} % of the samples are clipped": quality.clipped > CLIPPED,
        f"too quiet: {-quality.level:.0f} dB below full scale": quality.level < QUIET,
    }
    return [remark for remark, holds in found.items() if holds]


def spectrum_distance(waveform, other):
    """Distance between the average spectra of two recordings, levels apart: RMS over mel bands, in dB.

    Another device or room changes the average spectrum; so does another voice, but less.

    Parameters
    ----------
    waveform, other : float arrays (samples,)
        At 16,000 Hz.
    """
    shapes = []
    for each in map(_centred, (waveform, other)):
        mel = librosa.feature.melspectrogram(y=each, sr=SAMPLE_RATE, n_fft=1024, hop_length=512, n_mels=24)
        loud = mel.sum(axis=0)  # the louder half of the frames counts
        decibels = 10 * np.log10(mel[:, loud >= np.median(loud)] + 1e-9).mean(axis=1)
        shapes.append(decibels - decibels.mean())
    return float(np.sqrt(np.mean((shapes[0] - shapes[1]) ** 2)))
