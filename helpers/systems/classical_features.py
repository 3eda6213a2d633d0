"""Classical features of speech, frame by frame, and how well each alone separates labels.

Throughout, a waveform is a float array (samples,) at 16,000 Hz.
"""

import librosa
import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import SAMPLE_RATE, InputError
from helpers.bootstrap import draw_speakers, equal_errors_over_draws, interval
from helpers.pairs import all_trials

N_FFT, HOP = 512, 160  # 32 ms every 10 ms, as in speech recognition
MEL_BANDS, MFCCS = 64, 20
UNITS = {
    "MFCC": "dB",
    "mel spectrogram": "dB",
    "chroma": "share of the strongest",
    "spectral roll-off": "Hz",
    "spectral flux": "distance",
    "zero-crossing rate": "share of samples",
}


def spectral_flux(spectrum):
    """How much the shape of the spectrum changes from a frame to the next.

    The distance of successive magnitude spectra, each taken to length 1, so that loudness does not count: 0
    for the same shape, the root of 2 for shapes that share no bin. Scheirer and Slaney (1997), "Construction
    and evaluation of a robust multifeature speech/music discriminator", section 2; on normalised spectra as
    in Tzanetakis and Cook (2002), "Musical genre classification of audio signals", section III-A.

    Parameters
    ----------
    spectrum : float array (bins, frames)
        Magnitudes.

    Returns
    -------
    float array (1, frames)
        0 for the first frame, which follows none.
    """
    length = np.linalg.norm(spectrum, axis=0)
    shape = spectrum / np.maximum(length, np.finfo(np.float32).tiny)
    return np.linalg.norm(np.diff(shape, axis=1, prepend=shape[:, :1]), axis=0, keepdims=True)


def frame_features(waveform):
    """The classical features of one utterance, frame by frame.

    The waveform is taken to a root mean square of 1 first: a gain is neither a voice nor a word.

    Returns
    -------
    dict of str to float array (values, frames)
        The names, and their units, are those of `UNITS`.

    Raises
    ------
    InputError
        When the waveform is shorter than a frame or silent.
    """
    waveform = np.asarray(waveform, dtype=np.float32)
    level = np.sqrt(np.mean(np.square(waveform))) if waveform.size else 0
    if waveform.ndim != 1 or len(waveform) < N_FFT or not level > 0:
        found = f"a waveform {waveform.shape} of level {level:.3g}"
        raise InputError(found, expected=f"{N_FFT} samples or more of speech")
    waveform = waveform / level
    spectrum = np.abs(librosa.stft(waveform, n_fft=N_FFT, hop_length=HOP))
    power, rate = spectrum**2, {"sr": SAMPLE_RATE}
    crossings = librosa.feature.zero_crossing_rate(waveform, frame_length=N_FFT, hop_length=HOP)
    mel = librosa.power_to_db(librosa.feature.melspectrogram(S=power, n_mels=MEL_BANDS, **rate), top_db=None)
    return {
        "MFCC": librosa.feature.mfcc(S=mel, n_mfcc=MFCCS),
        "mel spectrogram": mel,
        "chroma": librosa.feature.chroma_stft(S=power, tuning=0, **rate),
        "spectral roll-off": librosa.feature.spectral_rolloff(S=spectrum, **rate),
        "spectral flux": spectral_flux(spectrum),
        "zero-crossing rate": crossings,
    }


def summaries(waveforms):
    """Each feature of each waveform, of any length, in a few numbers: mean and deviation over its frames.

    Returns
    -------
    dict of str to float array (utterances, 2 * values)
        Means, then standard deviations.
    """
    rows = [frame_features(waveform) for waveform in waveforms]
    return {
        name: np.stack([np.concatenate([row[name].mean(axis=1), row[name].std(axis=1)]) for row in rows])
        for name in UNITS
    }


def ranking(known, learnt, unknown, labels, speakers, draws=100):
    """How well each feature alone tells labels apart, the best first.

    Two utterances are compared by the Euclidean distance of their summaries: once as they are, each number
    standardised, and once after linear discriminant analysis has learnt which of their directions matter.

    Parameters
    ----------
    known, unknown : dicts of str to float arrays (utterances, values), of `summaries`
        Of training speakers, and of others.
    learnt, labels : arrays (utterances,)
        What is to be told apart, the speaker or the word, of either.
    speakers : array (utterances,)
        Who spoke the unknown ones, for the intervals.
    draws : int
        Of the speakers, with replacement.

    Returns
    -------
    pandas.DataFrame
        A row a feature: `values` a summary has, `eer` and after LDA `eer_lda`, and the ends of their 95 %
        intervals over speakers, `low`, `high`, `low_lda`, `high_lda`.
    """
    index = np.unique(speakers, return_inverse=True)[1]
    trials, counts = all_trials(labels), draw_speakers(index, draws)
    sides, rows = (index[trials.left], index[trials.right]), {}
    for name in known:
        size = known[name].shape[1]
        dimensions = min(size, len(np.unique(learnt)) - 1, 40)
        row = {"values": size}
        for suffix, steps in (("", []), ("_lda", [LinearDiscriminantAnalysis(n_components=dimensions)])):
            compare = make_pipeline(StandardScaler(), *steps).fit(known[name], learnt)
            scores = -pdist(compare.transform(unknown[name]))
            found = interval(equal_errors_over_draws(scores, trials.label, *sides, counts))
            row |= {f"eer{suffix}": found.value, f"low{suffix}": found.low, f"high{suffix}": found.high}
        rows[name] = row
    return pd.DataFrame(rows).T.astype({"values": int}).sort_values("eer")


def ranking_table(tables):
    """Tables of `ranking`, a dict by task, as one pandas.DataFrame of text: EER in % with its 95 % interval.

    A row a feature, with how many values its summary has, and two columns a task.
    """
    first = next(iter(tables.values()))
    text = pd.DataFrame({"values": first["values"]})
    for task, table in tables.items():
        for suffix, how in (("", "distance"), ("_lda", "LDA")):
            ends = 100 * table[[f"{end}{suffix}" for end in ("eer", "low", "high")]]
            found = ends.apply(lambda row: "{:.0f} ({:.0f} to {:.0f})".format(*row), axis=1)
            text[f"{task}: {how}"] = found
    return text
