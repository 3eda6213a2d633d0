"""What an operating point costs: error rates on test speakers, and what another threshold would change."""

from typing import NamedTuple

import numpy as np

from helpers import InputError, pairs
from helpers.data import corpora, course
from helpers.evaluation.results import mean_scores
from helpers.notebook import output_folder
from helpers.search import open_set, voice_index
from helpers.verifier import embed_recordings

ATTEMPTS = 1000
STEP = 2.0  # from an operating point to its neighbours, in log likelihood ratio
LARGEST = 2000  # voices of an index whose impostors are counted: their scores are a square matrix


class ReferenceVoices(NamedTuple):
    """Voices at hand: an `index` to search, and the recordings that error rates are measured on.

    `embeddings` (n, dimensions) are those of `test`; an index from disk may hold others.
    """

    index: voice_index.VoiceIndex
    test: corpora.Recordings
    embeddings: np.ndarray

    def sound(self, row):
        """The waveform (samples,) behind a voice of the index; None where it is not among those at hand."""
        apart = np.abs(self.embeddings - self.index.embeddings[row]).max(axis=1)
        return self.test.waveforms[apart.argmin()] if apart.min() < 1e-3 else None


def load_reference_voices(verifier, data="", out=""):
    """The test utterances as `ReferenceVoices`, with notebook 10's index of voices or else one of them.

    Parameters
    ----------
    verifier : verifier.Verifier
    data : path, optional
        As for `course.course_folder`.
    out : path, optional
        As for `notebook.output_folder`; an index there that is damaged or another model's is passed over.

    Raises
    ------
    InputError
        As `corpora.load_utterances`.
    """
    found = corpora.load_utterances(corpora.course_file(course.course_folder(data), "tes"))
    test = corpora.Recordings(found.name, list(found.waveforms), found.speakers, found.table)
    embeddings = embed_recordings(verifier, test.waveforms)
    try:
        index = voice_index.VoiceIndex.load(output_folder(out) / "index" / "voices.zip", verifier)
    except InputError:
        index = voice_index.VoiceIndex(embeddings, voice_index.index_rows(test, "tes"), verifier)
    return ReferenceVoices(index, test, embeddings)


def enrolled_scores(verifier, known, enrolled):
    """Scores and labels (trials,) of test utterances against speakers with `enrolled` other utterances.

    Where a speaker has too few utterances, all but the one that is tested are enrolled.
    """
    most = np.bincount(known.test.labels).min() - 1
    trials = pairs.enrolments(known.test.labels, min(enrolled, int(most)))
    return mean_scores(verifier.scores(known.embeddings), trials), trials.label


def error_shares(scores, labels, threshold):
    """Shares of one person's trials refused, and of two people's accepted, from a threshold on."""
    return float(np.mean(scores[labels == 1] < threshold)), float(np.mean(scores[labels == 0] >= threshold))


class OperatingPoint(NamedTuple):
    """What a threshold does in `ATTEMPTS` attempts: false rejections, false acceptances, and cost."""

    name: str
    threshold: float
    refused: float
    let_in: float
    cost: float


def operating_points(scores, labels, threshold, prior, cost_miss, cost_false_alarm):
    """An operating point beside its neighbours and the two that need no scores: a list of `OperatingPoint`.

    Parameters
    ----------
    scores, labels : arrays (trials,)
        Measured; log likelihood ratios, labels 1 for one person.
    threshold : float
        The one that prior and costs ask for.
    prior, cost_miss, cost_false_alarm : float
        As for `calibration.Calibration.threshold`.
    """
    names = ["everybody let in", "laxer", "as set", "stricter", "nobody let in"]
    places, found = [-np.inf, threshold - STEP, threshold, threshold + STEP, np.inf], []
    for name, place in zip(names, places, strict=True):
        miss, false_alarm = error_shares(scores, labels, place)
        refused, let_in = ATTEMPTS * prior * miss, ATTEMPTS * (1 - prior) * false_alarm
        cost = refused * cost_miss + let_in * cost_false_alarm
        found.append(OperatingPoint(name, place, refused, let_in, cost))
    return found


def impostor_share(verifier, index, score):
    """Share of voices whose nearest voice of *another* speaker has this score or more, as for an impostor.

    None for an index of one speaker, or of more than `LARGEST` voices.
    """
    if len(index) > LARGEST or len(set(index.speakers)) < 2:
        return None
    strangers = open_set.impostor_scores(verifier.scores(index.embeddings), index.speakers).max(axis=1)
    return float(np.mean(strangers >= score))
