"""One bootstrap over speakers, for every interval and every comparison.

Trials that share a speaker are not independent, so whole speakers are drawn with replacement: a trial within
a speaker counts as often as the speaker was drawn, a trial of two speakers as often as both were. Poh, Martin
and Bengio (2007), "Performance generalization in biometric authentication using joint user-specific and
sample bootstraps", IEEE TPAMI 29(3), draw users so.

Throughout, `counts` (1 + draws, speakers) are the draws of `draw_speakers`, and `scores`, `labels`, `first`
and `second` (trials,) are scored trials: `labels` are 1 for one kind of pair and 0 for the other, `first` and
`second` the speakers on either side, counted from 0 unless it says names.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers import InputError, pairs
from helpers.metrics import equal_error, equal_error_of_rates, error_rates, errors_at
from helpers.metrics import min_dcf_of_rates, roc_auc_of_rates

FIGURES = ["accuracy", "false_acceptance", "false_rejection", "eer", "roc_auc", "min_dcf"]


class Interval(NamedTuple):
    """A figure, or a difference of two, with the ends of its 95 % interval over speakers."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self):
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def interval(drawn):
    """A figure and the ends of its 95 % interval: the first of `drawn`, then percentiles of the others."""
    drawn = np.asarray(drawn)
    return Interval(float(drawn[0]), *np.percentile(drawn[1:], [2.5, 97.5]).tolist())


def difference(ours, theirs):
    """The `Interval` of a figure of ours less that of theirs, both (1 + draws,) in the same draws.

    Each draw judges both systems on the same speakers: what is hard for both cancels. Bisani and Ney (2004),
    "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP, compare systems so.
    """
    return interval(np.asarray(ours) - np.asarray(theirs))


def draw_speakers(speakers, draws=1000, seed=0):
    """How often each speaker counts: all once in the first row, then as drawn with replacement.

    Parameters
    ----------
    speakers : int array (utterances,)
    draws, seed : int

    Returns
    -------
    int array (1 + draws, speakers)
        A draw of one single speaker is left out, because it has no impostor trials.
    """
    rng, count = np.random.default_rng(seed), len(np.unique(speakers))
    rows = [np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(draws)]
    return np.stack([np.ones(count, dtype=int), *(row for row in rows if np.count_nonzero(row) > 1)])


def trial_scores(matrix, speakers, mask=None):
    """The trials of a score matrix (n, n): scores, and labels, of every two different utterances once.

    Element (i, j), i < j, is the score of i against j; a boolean mask (n,) leaves some utterances out.
    """
    matrix, speakers = np.asarray(matrix), np.asarray(speakers)
    if mask is not None:
        matrix, speakers = matrix[np.ix_(mask, mask)], speakers[mask]
    trials = pairs.all_trials(speakers)
    return matrix[trials.left, trials.right], trials.label


def trial_speakers(speakers):
    """The speakers on either side of the trials of `trial_scores`, counted from 0."""
    trials, index = pairs.all_trials(speakers), np.unique(speakers, return_inverse=True)[1]
    return index[trials.left], index[trials.right]


def statistic_over_draws(statistic, scores, labels, first, second, counts):
    """What a callable (scores, labels, weights) -> float or array gives in each draw: (1 + draws, ...).

    The weights say how often each trial counts; a draw that lacks a kind of trial is left out.
    """
    order = np.argsort(scores, kind="stable")  # sorted once, quick to sort again in each draw
    scores, labels, first, second = (np.asarray(each)[order] for each in (scores, labels, first, second))
    same, target, found = first == second, labels == 1, []
    for count in counts:
        weights = np.where(same, count[first], count[first] * count[second]).astype(float)
        if weights[target].any() and weights[~target].any():
            found.append(statistic(scores, labels, weights))
    return np.array(found)


def equal_errors_over_draws(scores, labels, first, second, counts):
    """The equal error rate in each draw: float array (1 + draws,)."""
    return statistic_over_draws(equal_error, scores, labels, first, second, counts)[:, 0]


def figures_over_draws(scores, labels, first, second, counts, threshold):
    """The usual `FIGURES`, a row a draw; the first three are those at the threshold."""

    def figures(scores, labels, weights):
        errors, rates = errors_at(scores, labels, threshold, weights), error_rates(scores, labels, weights)
        whole = equal_error_of_rates(*rates)[0], roc_auc_of_rates(*rates), min_dcf_of_rates(*rates)
        return 1 - sum(errors) / 2, *errors, *whole

    rows = statistic_over_draws(figures, scores, labels, first, second, counts)
    return pd.DataFrame(rows, columns=FIGURES)


def bootstrap(statistic, scores, labels, first, second, draws=1000, seed=0):
    """Percentile interval of a statistic when the *speakers* are drawn anew.

    Parameters
    ----------
    statistic : callable (scores, labels, weights) -> float or array
    scores, labels : arrays (trials,)
    first, second : int arrays (trials,)
        Names of the speakers on either side of each trial, the same one in target trials.
    draws, seed : int

    Returns
    -------
    array (2,) or (2, ...)
        The 2.5th and 97.5th percentile.
    """
    sides = np.unique(np.stack([first, second]), return_inverse=True)[1]
    counts = draw_speakers(sides, draws, seed)[1:]
    values = statistic_over_draws(statistic, scores, labels, *sides, counts)
    return np.percentile(values, [2.5, 97.5], axis=0)


def paired_difference(statistic, ours, theirs, labels, first, second, draws=1000, seed=0):
    """The `Interval` of a statistic of ours less that of theirs, as `difference` compares them.

    How seeds scatter is not in the interval.

    Parameters
    ----------
    statistic : callable (scores, labels, weights) -> float
        With a fixed threshold in it, subtract each system's own from its scores and let it be 0.
    ours, theirs : arrays (trials,) or (seeds, trials)
        The statistic is averaged over seeds; the two may have unlike numbers of them.
    labels, first, second : int arrays (trials,)
        As for `bootstrap`; InputError when shapes differ, or no draw has both kinds of trials.
    """
    labels = np.asarray(labels)
    systems = [np.atleast_2d(np.asarray(rows, dtype=float)) for rows in (ours, theirs)]
    for array in (*systems[0], *systems[1], first, second):
        if np.shape(array) != labels.shape:
            raise InputError(f"an array {np.shape(array)} beside labels {labels.shape}", expected="one shape")
    sides = np.unique(np.stack([first, second]), return_inverse=True)[1]
    counts = draw_speakers(sides, draws, seed)
    means = [
        np.mean([statistic_over_draws(statistic, row, labels, *sides, counts) for row in rows], axis=0)
        for rows in systems
    ]
    if len(means[0]) < 2:
        raise InputError(f"none of {draws} draws of speakers holds both target and impostor trials")
    return difference(*means)


def mean_interval(values, speakers, draws=1000, seed=0):
    """The `Interval` of a mean of values (utterances,) when the *speakers* are drawn anew."""
    counts, index = draw_speakers(speakers, draws, seed), np.unique(speakers, return_inverse=True)[1]
    sums, numbers = np.bincount(index, np.asarray(values, dtype=float)), np.bincount(index)
    return interval(counts @ sums / (counts @ numbers))


def interval_row(table):
    """Each column of a table of draws as in metrics.json: its figure, and the ends under `..._ci`."""
    row = {}
    for name in table:
        value, *ends = interval(table[name])
        row |= {name: value, f"{name}_ci": ends}
    return row


def evaluate(scores, speakers, threshold, draws=1000, seed=0, words=None):
    """Every figure of a system on all trials of a test set.

    Parameters
    ----------
    scores : array (utterances, utterances)
        Symmetric; of a system that scores (a, b) unlike (b, a), only a < b is looked at.
    speakers : int array (utterances,)
    threshold : float
        Fixed without test data.
    draws, seed : int
        Of the bootstrap.
    words : array (utterances,), optional
        What is to be the same in a target trial, in place of the speaker.

    Returns
    -------
    dict
        The `FIGURES`, each with its 95 % interval over speakers under `..._ci`; `threshold`,
        `speakers_test`, `trials`.
    """
    scored = trial_scores(scores, speakers if words is None else words)
    counts = draw_speakers(speakers, draws, seed)
    row = interval_row(figures_over_draws(*scored, *trial_speakers(speakers), counts, threshold))
    totals = {"speakers_test": counts.shape[1], "trials": len(scored[0])}
    return row | {"threshold": float(threshold)} | totals
