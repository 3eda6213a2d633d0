"""Error rates of a verifier on altered recordings: short, noisy, clipped, telephone, microphone, room."""

import numpy as np
import pandas as pd

from helpers import InputError, metrics, quality
from helpers.augmentation import CONDITIONS
from helpers.verifier import embed_recordings


def robustness_table(verifier, waveforms, speakers, ways=CONDITIONS, seed=0):
    """What spoiling does to a verifier: clean utterances enrolled, spoilt ones verified, all pairs of two.

    Parameters
    ----------
    verifier : verifier.Verifier
    waveforms : sequence of float arrays (samples,)
        At 16,000 Hz.
    speakers : int array (utterances,)
    ways : dict
        Name: callable (waveform, rng) -> waveform.
    seed : int

    Returns
    -------
    pandas.DataFrame
        A row per way, "as they are" first: `eer`; `missed` and `let_in`, the shares of target and impostor
        trials decided wrongly at the verifier's threshold; `refused`, the share of recordings that
        `quality.check_fit` refuses, and `warned`, of those not refused but remarked on, for themselves or
        beside the speaker's next utterance, which is clean.
    """
    clean = embed_recordings(verifier, quality.trim_silence(waveforms, quality.SILENT))
    speakers, rows = np.asarray(speakers), {}
    first, second = np.nonzero(~np.eye(len(speakers), dtype=bool))
    following = pd.Series(range(len(speakers))).groupby(speakers).transform(np.roll, -1)
    others, calls = [waveforms[row] for row in following], verifier.trained_on_calls
    same = speakers[first] == speakers[second]
    for name, spoil in {"as they are": lambda waveform, rng: waveform, **ways}.items():
        rng = np.random.default_rng(seed)
        spoilt = [spoil(waveform, rng).astype(np.float32) for waveform in waveforms]
        embeddings = embed_recordings(verifier, quality.trim_silence(spoilt, quality.SILENT))
        scores = verifier.scores(clean, embeddings)[first, second]
        judged = [_quality_verdict(*each, calls) for each in zip(spoilt, others, strict=True)]
        rows[name] = {
            "eer": metrics.equal_error(scores, same.astype(int))[0],
            "missed": np.mean(scores[same] < verifier.threshold),
            "let_in": np.mean(scores[~same] >= verifier.threshold),
            "refused": np.mean([each == "refused" for each in judged]),
            "warned": np.mean([each == "warned" for each in judged]),
        }
    return pd.DataFrame(rows).T


def _quality_verdict(waveform, other, calls):
    """Whether a recording is "refused", "warned" about, by itself or beside another one, or "fine"."""
    measured = quality.measure_quality(waveform)
    try:
        quality.check_fit(measured, "it", calls)
    except InputError:
        return "refused"
    unlike = quality.spectrum_distance(waveform, other) > quality.UNLIKE
    return "warned" if unlike or quality.remarks(measured) else "fine"
