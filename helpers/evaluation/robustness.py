"""Error rates of a verifier on altered recordings: short, noisy, clipped, telephone, microphone, room."""

import numpy as np
import pandas as pd

from helpers import InputError, bootstrap, quality
from helpers.augmentation import CONDITIONS
from helpers.verifier import embed_recordings


def robustness_table(verifier, waveforms, speakers, ways=CONDITIONS, seed=0, draws=200):
    """Errors of a verifier when clean utterances are enrolled and altered ones are verified, all pairs.

    Parameters
    ----------
    verifier : verifier.Verifier
    waveforms : sequence of float arrays (samples,)
        At 16,000 Hz.
    speakers : int array (utterances,)
    ways : dict
        Name: callable (waveform, rng) -> waveform.
    seed : int
        Of the alterations.
    draws : int
        Of the bootstrap over speakers.

    Returns
    -------
    pandas.DataFrame
        A row per way, "as they are" first: `eer`, with the ends `low` and `high` of its 95 % interval;
        `more`, the EER less that of "as they are" in the same draws, with `more_low` and `more_high`;
        `false_rejection` and `false_acceptance` at the verifier's threshold; `refused`, the share of
        recordings that `quality.check_fit` refuses; and `warned`, the share of recordings that are not
        refused but get a remark, for themselves or beside the speaker's next utterance, which is clean.
    """
    clean = embed_recordings(verifier, quality.trim_silence(waveforms, quality.SILENT))
    speakers, rows, reference = np.unique(speakers, return_inverse=True)[1], {}, None
    counts = bootstrap.draw_speakers(speakers, draws)
    first, second = np.nonzero(~np.eye(len(speakers), dtype=bool))
    sides = speakers[first], speakers[second]
    following = pd.Series(range(len(speakers))).groupby(speakers).transform(np.roll, -1)
    others, calls = [waveforms[row] for row in following], verifier.trained_on_calls
    same = sides[0] == sides[1]
    for name, alter in {"as they are": lambda waveform, rng: waveform, **ways}.items():
        rng = np.random.default_rng(seed)
        altered = [alter(waveform, rng).astype(np.float32) for waveform in waveforms]
        embeddings = embed_recordings(verifier, quality.trim_silence(altered, quality.SILENT))
        scores = verifier.scores(clean, embeddings)[first, second]
        errors = bootstrap.equal_errors_over_draws(scores, same.astype(int), *sides, counts)
        reference = errors if reference is None else reference
        judged = [_quality_verdict(*each, calls) for each in zip(altered, others, strict=True)]
        rows[name] = {
            **dict(zip(("eer", "low", "high"), bootstrap.interval(errors), strict=True)),
            **dict(
                zip(("more", "more_low", "more_high"), bootstrap.difference(errors, reference), strict=True)
            ),
            "false_rejection": np.mean(scores[same] < verifier.threshold),
            "false_acceptance": np.mean(scores[~same] >= verifier.threshold),
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
