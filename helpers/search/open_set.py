"""Open-set identification by nearest neighbours: which known speaker, or none.

Throughout, `matrix` is a float array (n, n), the scores of utterances with one another, and `speakers` an
array (n,), who spoke them. `strangers` is a float array (utterances, M), what strangers score with one
speaker each (`impostor_scores`), and `known` an int, the speakers in a gallery.
"""

import numpy as np
from scipy.special import comb

from helpers import InputError


def vote(rows, speakers):
    """The k-nearest-neighbour rule: the speaker of most neighbours; of equally many, that of the nearest.

    Cover and Hart (1967), "Nearest neighbor pattern classification", IEEE Transactions on Information
    Theory 13(1).

    Parameters
    ----------
    rows : int array (queries, k)
        Neighbours, the nearest first.

    Returns
    -------
    array (queries,)
    """
    near = np.asarray(speakers)[rows]
    votes = (near[:, :, None] == near[:, None, :]).sum(axis=2)
    return near[np.arange(len(near)), np.argmax(votes, axis=1)]  # the first of the largest


def mask_diagonal(matrix):
    """Scores (n, n) with those of each utterance with itself left out, as NaN: it is no answer to itself."""
    matrix = np.array(matrix, dtype=float)
    np.fill_diagonal(matrix, np.nan)
    return matrix


def identify_leave_one_out(matrix, speakers, k=1):
    """Each utterance identified by its k nearest among all others, as `vote`: leave-one-out.

    Returns
    -------
    array (n,)
        The speaker that each is taken for; the diagonal does not count.
    """
    nearest = np.argsort(-mask_diagonal(matrix), axis=1, kind="stable")  # NaN comes last
    return vote(nearest[:, :k], speakers)


def speaker_scores(scores, speakers, pool=np.nanmax):
    """The score of each query with each speaker, pooled over the speaker's utterances.

    Parameters
    ----------
    scores : float array (queries, n)
        NaN where an utterance is no answer to a query; at least one is for each speaker.
    pool : callable
        `numpy.nanmax`, the nearest utterance alone, or `numpy.nanmean`.

    Returns
    -------
    float array (queries, speakers)
        Speakers in the order of `np.unique`.
    """
    speakers = np.asarray(speakers)
    return np.stack([pool(scores[:, speakers == name], axis=1) for name in np.unique(speakers)], axis=1)


def impostor_scores(matrix, speakers, pool=np.nanmax):
    """What strangers score: each utterance with each speaker other than its own, as `speaker_scores`.

    Returns
    -------
    float array (n, speakers - 1)
    """
    others = np.asarray(speakers)[:, None] != np.unique(speakers)
    return speaker_scores(np.asarray(matrix), speakers, pool)[others].reshape(len(others), -1)


def member_identifications(matrix, speakers, pool=np.nanmax):
    """What members get: whether each utterance's best speaker, itself left out, is its own; and the score.

    Each speaker has two utterances or more.

    Returns
    -------
    right : bool array (n,)
    scores : float array (n,)
        Of the best speaker.
    """
    best = speaker_scores(mask_diagonal(matrix), speakers, pool)
    return np.unique(speakers)[best.argmax(axis=1)] == speakers, best.max(axis=1)


def open_set_threshold(strangers, known, rate=0.05):
    """The score from which on the nearest speaker is accepted, for a gallery of so many known speakers.

    A stranger has as many chances as there are speakers: 1 - (1 - p)^known where p is the rate for one, if
    the chances are independent. So p is set by the size of the gallery, and the threshold is the score that
    a share p of impostors reaches.

    Parameters
    ----------
    strangers
        Of training speakers whom no encoder learnt from.
    rate : float
        Share of strangers who may be given a name.

    Returns
    -------
    float

    Raises
    ------
    InputError
        When there are too few scores to tell so rare an event.
    """
    single = 1 - (1 - rate) ** (1 / known)
    if single * np.size(strangers) < 1:
        found = f"{np.size(strangers)} impostor scores for a rate of 1 in {1 / single:.0f}"
        raise InputError(found, expected="more training speakers, fewer known ones, or a higher rate")
    return float(np.quantile(strangers, 1 - single, method="higher"))


def false_identification_rates(strangers, threshold, known):
    """The chance of each stranger's utterance to be given a name by a gallery of so many speakers.

    Of its M scores with one speaker each, m reach the threshold. Of `known` speakers drawn at random out of
    M, at least one is among the m with the chance 1 - C(M - m, known) / C(M, known).

    Returns
    -------
    float array (utterances,)
    """
    total, above = strangers.shape[1], (strangers >= threshold).sum(axis=1)
    return 1 - comb(total - above, known) / comb(total, known)
