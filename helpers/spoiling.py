"""Recordings spoilt on purpose, as phones, rooms and hurry spoil them, and what that costs a verifier.

`python -m helpers.spoiling --data FOLDER` counts the errors on recordings of real people, and how often
`helpers.verify` is right with three recordings enrolled.
"""

import argparse
import sys

import librosa
import numpy as np
import pandas as pd
import scipy.signal

from helpers import InputError, cards, channels, conditions, identification, metrics, models, quality
from helpers import recordings, verify
from helpers.corpora import SAMPLE_RATE


def cut_short(waveform, rng):
    """Half a second out of the middle."""
    return conditions.middle(waveform[None], 0.5)[0]


def hiss(waveform, rng):
    """White noise 10 dB below the speech."""
    return conditions.add_noise(waveform[None], rng.normal(size=(1, len(waveform))), 10)[0]


def overdrive(waveform, rng):
    """Four times as loud as the converter takes: the peaks are cut off."""
    return np.clip(4 * waveform / np.abs(waveform).max(), -1, 1)


def telephone(waveform, rng):
    """A call: 300 to 3,400 Hz, 8,000 samples a second of 8 bits each by the mu-law (ITU-T G.711)."""
    rate = SAMPLE_RATE // 2
    band = scipy.signal.butter(4, [300, 3400], "bandpass", fs=rate, output="sos")
    line = scipy.signal.sosfilt(band, librosa.resample(waveform, orig_sr=SAMPLE_RATE, target_sr=rate))
    code = librosa.mu_compress(line / (2 * np.abs(line).max()), mu=255)
    heard = librosa.resample(librosa.mu_expand(code, mu=255), orig_sr=rate, target_sr=SAMPLE_RATE)
    return librosa.util.fix_length(heard, size=len(waveform)).astype(np.float32)


def microphone(waveform, rng):
    """Through a random smooth curve over frequency: another device."""
    return channels.disturb(waveform[None], seed=int(rng.integers(2**31)), snr=(60, 60))[0]


def room(waveform, rng):
    """In a random reverberant room."""
    return channels.in_room(waveform[None], rng)[0]


WAYS = {
    "half a second": cut_short,
    "noise": hiss,
    "overdriven": overdrive,
    "telephone": telephone,
    "other microphone": microphone,
    "a room's echo": room,
}


def cost(verifier, waveforms, speakers, ways=WAYS, seed=0):
    """What spoiling does to a verifier: clean utterances enrolled, spoilt ones verified, all pairs of two.

    Parameters
    ----------
    verifier : models.Verifier
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
    clean = cards.embed(verifier, identification.trimmed(waveforms, quality.SILENT))
    speakers, rows = np.asarray(speakers), {}
    first, second = np.nonzero(~np.eye(len(speakers), dtype=bool))
    beside = [waveforms[_next(speakers, row)] for row in range(len(speakers))]
    same = speakers[first] == speakers[second]
    for name, spoil in {"as they are": lambda waveform, rng: waveform, **ways}.items():
        rng = np.random.default_rng(seed)
        spoilt = [spoil(waveform, rng).astype(np.float32) for waveform in waveforms]
        voices = cards.embed(verifier, identification.trimmed(spoilt, quality.SILENT))
        scores = verifier.scores(clean, voices)[first, second]
        judged = [_judged(*each, verifier.knows_calls) for each in zip(spoilt, beside, strict=True)]
        rows[name] = {
            "eer": metrics.equal_error(scores, same.astype(int))[0],
            "missed": np.mean(scores[same] < verifier.threshold),
            "let_in": np.mean(scores[~same] >= verifier.threshold),
            "refused": np.mean([each == "refused" for each in judged]),
            "warned": np.mean([each == "warned" for each in judged]),
        }
    return pd.DataFrame(rows).T


def decisions(verifier, waveforms, speakers, enrolled=3, seed=0):
    """How often `verify.listen` is right: a speaker's first utterances enrolled, the next of theirs verified,
    and one of another speaker, drawn at random.

    Parameters
    ----------
    verifier, waveforms, speakers, seed
        As for `cost`; speakers with fewer than `enrolled` + 1 utterances are passed over.
    enrolled : int

    Returns
    -------
    dict
        `same` and `other`: pairs of how many were decided rightly, and of how many; `refused`: how many were
        not decided.
    """
    rng, names = np.random.default_rng(seed), [f"recording {number}" for number in range(enrolled + 1)]
    rows = {name: np.flatnonzero(speakers == name) for name in np.unique(speakers)}
    rows = {name: mine[: enrolled + 1] for name, mine in rows.items() if len(mine) > enrolled}
    found = {"same": [], "other": []}
    for name, mine in rows.items():
        stranger = rng.choice([other for other in rows if other != name])
        for kind, last in (("same", mine[-1]), ("other", rows[stranger][-1])):
            try:
                answer = verify.listen(verifier, names, [waveforms[row] for row in (*mine[:-1], last)])
            except InputError:
                continue
            found[kind].append(verify.decided(answer)["same"] == (kind == "same"))
    counted = {kind: (sum(each), len(each)) for kind, each in found.items()}
    return counted | {"refused": 2 * len(rows) - sum(count for _, count in counted.values())}


def _next(speakers, row):
    """The row after this one of the same speaker, the first one after the last."""
    own = np.flatnonzero(speakers == speakers[row])
    return own[(np.searchsorted(own, row) + 1) % len(own)]


def _judged(waveform, other, calls):
    measured = quality.examine(waveform)
    try:
        quality.check_fit(measured, "it", calls)
    except InputError:
        return "refused"
    unlike = quality.spectrum_distance(waveform, other) > quality.UNLIKE
    return "warned" if unlike or quality.remarks(measured) else "fine"


def drawn(found, speakers, each, seed=0):
    """Some speakers of recordings, drawn at random, with so many recordings each: `recordings.Recordings`."""
    names, counts = np.unique(found.labels, return_counts=True)
    names = np.random.default_rng(seed).permutation(names[counts >= each])[:speakers]
    rows = np.concatenate([np.flatnonzero(found.labels == name)[:each] for name in names])
    return found.select(np.isin(np.arange(len(found.labels)), rows))


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m helpers.spoiling", description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="", help="folder with utterances.csv, or with trs.pkl and tes.pkl")
    parser.add_argument("--model", default="", help="a saved model (default: that of helpers.verify)")
    parser.add_argument("--speakers", type=int, default=40, help="speakers drawn (default: 40)")
    parser.add_argument("--each", type=int, default=6, help="recordings of each (default: 6)")
    options = parser.parse_args(arguments)
    try:
        verifier = models.load_verifier(options.model or verify.find_model())
        train, test = recordings.load_speech(options.data, test_speakers=0)
        chosen = drawn(test if len(test.labels) else train, options.speakers, options.each)
        table = cost(verifier, chosen.waveforms, chosen.labels)
        found = decisions(verifier, chosen.waveforms, chosen.labels)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(chosen.labels)} recordings of {len(set(chosen.labels))} speakers, {chosen.name}, in %")
    print((100 * table).round(1).to_string())
    for kind in ("same", "other"):
        right, count = found[kind]
        print(f"three enrolled, {kind} person verified: {right} of {count} decided rightly")
    print(f"not decided: {found['refused']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
