"""One bootstrap over speakers, for every interval and every comparison."""

from typing import NamedTuple

import numpy as np

from helpers import InputError, pairs
from helpers.metrics import balanced_accuracy, equal_error, min_dcf, roc_auc
from helpers.pairs import all_trials


def draw_speakers(speakers, draws=1000, seed=0):
    """How often each speaker counts: all once in the first row, then as in each draw of `bootstrap`.

    Parameters
    ----------
    speakers : int array (utterances,)
    draws, seed : int

    Returns
    -------
    int array (1 + draws, speakers)
        Fewer rows where a draw has one speaker alone, who has no impostors.
    """
    rng, count = np.random.default_rng(seed), len(np.unique(speakers))
    rows = [np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(draws)]
    return np.stack(
        [
            np.ones(count, dtype=int),
            *(metrics_row for metrics_row in rows if np.count_nonzero(metrics_row) > 1),
        ]
    )


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


def rates_over_draws(scores, labels, first, second, counts):
    """Move the threshold over scored trials, in each draw of the speakers.

    As `metrics.error_rates` with the weights of `bootstrap.bootstrap`, but sorted once for all draws.

    Parameters
    ----------
    scores, labels : arrays (trials,)
        In the order of the scores.
    first, second : int arrays (trials,)
        The speaker on either side of each trial, counted from 0.
    counts : int array (draws, speakers), of `draw_speakers`

    Yields
    ------
    accepted, rejected : arrays (points,)
        From accepting all to rejecting all, with equal scores moved as one.
    weights : float array (trials,)
        How often each trial counts.
    """
    ends, target = np.flatnonzero(np.append(np.diff(scores) > 0, True)), labels == 1
    for count in counts:
        weights = np.where(target, count[first], count[first] * count[second]).astype(float)
        rates = (np.append(0, np.cumsum(weights * kind)[ends]) for kind in (target, ~target))
        rejected, turned_away = (rate / rate[-1] for rate in rates)
        yield 1 - turned_away, rejected, weights


def sort_by_score(scores, *arrays):
    """Scores and more arrays of trials, in the order of the scores."""
    order = np.argsort(scores, kind="stable")
    return [np.asarray(each)[order] for each in (scores, *arrays)]


def equal_error_of_rates(accepted, rejected):
    """The equal error rate of a sweep, as `metrics.equal_error` interpolates it."""
    after = int(np.argmax(rejected >= accepted))
    gap = accepted - rejected
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return accepted[after - 1] + share * (accepted[after] - accepted[after - 1])


def equal_errors_over_draws(matrices, speakers, counts):
    """Equal error rates (matrices, draws) of score matrices, of the trials of `trial_scores`."""
    trials = (
        sort_by_score(*trial_scores(matrix, speakers), *trial_speakers(speakers)) for matrix in matrices
    )
    return np.array(
        [[equal_error_of_rates(*rates) for *rates, _ in rates_over_draws(*each, counts)] for each in trials]
    )


def interval(drawn):
    """A figure and the ends of its 95 % interval: the first of `drawn`, then percentiles of the others."""
    drawn = np.asarray(drawn)
    return Interval(float(drawn[0]), *np.percentile(drawn[1:], [2.5, 97.5]).tolist())


def difference(ours, theirs):
    """A figure of ours less that of theirs, both (draws,) of the same draws: a `bootstrap.Interval`.

    The same as `bootstrap.paired_difference`.
    """
    return interval(np.asarray(ours) - np.asarray(theirs))


def bootstrap(statistic, scores, labels, first, second, draws=1000, seed=0):
    """Percentile interval of a statistic when the *speakers* are drawn anew.

    Trials that share a speaker are not independent, so whole speakers are drawn with replacement: a target
    trial counts as often as its speaker was drawn, an impostor trial as often as both of its speakers were.
    Poh, Martin and Bengio (2007), "Performance generalization in biometric authentication using joint
    user-specific and sample bootstraps", IEEE TPAMI 29(3), draw users so.

    Parameters
    ----------
    statistic : callable (scores, labels, weights) -> float or array
    scores, labels : arrays (trials,)
    first, second : int arrays (trials,)
        The speaker on either side of each trial, the same one in target trials.
    draws, seed : int

    Returns
    -------
    array (2,) or (2, ...)
        The 2.5th and 97.5th percentile.
    """
    order = np.argsort(scores, kind="stable")  # sorted once, quick to sort again in each draw
    scores, labels = np.asarray(scores)[order], np.asarray(labels)[order]
    names, index = np.unique(np.concatenate([first, second]), return_inverse=True)
    first, second = index[: len(order)][order], index[len(order) :][order]
    rng, values = np.random.default_rng(seed), []
    for _ in range(draws):
        count = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = np.where(labels == 1, count[first], count[first] * count[second]).astype(float)
        if weights[labels == 1].any() and weights[labels == 0].any():  # one speaker alone has no impostors
            values.append(statistic(scores, labels, weights))
    return np.percentile(values, [2.5, 97.5], axis=0)


def evaluate(scores, speakers, threshold, draws=1000, seed=0):
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

    Returns
    -------
    dict
        `accuracy`, `eer`, `roc_auc`, `min_dcf`, each with its 95 % interval over speakers under `..._ci`;
        `threshold`, `speakers_test`, `trials`.
    """
    speakers, trials = np.asarray(speakers), all_trials(speakers)
    scores, labels = np.asarray(scores)[trials.left, trials.right], trials.label

    def figures(scores, labels, weights=None):
        return [
            balanced_accuracy(scores, labels, threshold, weights),
            equal_error(scores, labels, weights)[0],
            roc_auc(scores, labels, weights),
            min_dcf(scores, labels, weights),
        ]

    sides = speakers[trials.left], speakers[trials.right]
    intervals = bootstrap(figures, scores, labels, *sides, draws=draws, seed=seed).T
    row = {}
    names = ("accuracy", "eer", "roc_auc", "min_dcf")
    for name, value, interval in zip(names, figures(scores, labels), intervals, strict=True):
        row |= {name: value, f"{name}_ci": interval.tolist()}
    counts = {"speakers_test": len(np.unique(speakers)), "trials": len(scores)}
    return row | {"threshold": float(threshold)} | counts


class Interval(NamedTuple):
    """A figure, or a difference of two, with the ends of its 95 % interval over speakers."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self):
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def _drawn_weights(labels, first, second, draws, seed):
    """Yield how often each trial counts when speakers are drawn anew, as in `bootstrap.bootstrap`."""
    names, index = np.unique(np.concatenate([first, second]), return_inverse=True)
    first, second = index[: len(labels)], index[len(labels) :]
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        count = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = np.where(labels == 1, count[first], count[first] * count[second]).astype(float)
        if weights[labels == 1].any() and weights[labels == 0].any():
            yield weights


def paired_difference(statistic, ours, theirs, labels, first, second, draws=1000, seed=0):
    """A statistic of ours less that of theirs, with a bootstrap interval over *speakers*: a `Interval`.

    Each draw judges both systems on the same speakers, drawn as in `bootstrap.bootstrap`: what is hard for
    both cancels. Bisani and Ney (2004), "Bootstrap estimates for confidence intervals in ASR performance
    evaluation", ICASSP, compare systems so. How seeds scatter is not in the interval.

    Parameters
    ----------
    statistic : callable (scores, labels, weights) -> float
        With a fixed threshold in it, subtract each system's own from its scores and let it be 0.
    ours, theirs : arrays (trials,) or (seeds, trials)
        The statistic is averaged over seeds; the two may have unlike numbers of them.
    labels, first, second : int arrays (trials,)
        As for `bootstrap.bootstrap`; InputError when shapes differ, or no draw has both kinds of trials.
    """
    labels = np.asarray(labels)
    systems = [np.atleast_2d(np.asarray(rows, dtype=float)) for rows in (ours, theirs)]
    for array in (*systems[0], *systems[1], first, second):
        if np.shape(array) != labels.shape:
            raise InputError(f"an array {np.shape(array)} beside labels {labels.shape}; expected one shape")
    for i, rows in enumerate(systems):  # sorted once, quick to sort again in each draw
        orders = np.argsort(rows, kind="stable")
        systems[i] = [(row[order], labels[order], order) for row, order in zip(rows, orders, strict=True)]

    def difference(weights):
        one, other = (np.mean([statistic(s, k, weights[i]) for s, k, i in rows]) for rows in systems)
        return float(one - other)

    value = difference(np.ones(len(labels)))
    values = [difference(weights) for weights in _drawn_weights(labels, first, second, draws, seed)]
    if not values:
        raise InputError(f"none of {draws} draws of speakers holds both target and impostor trials")
    return Interval(value, *np.percentile(values, [2.5, 97.5]).tolist())


def weights_over_draws(labels, first, second, counts):
    """How often each trial counts in draws of the speakers, for labels of any kind.

    As in `bootstrap.bootstrap`, where the label need not be the speaker: a trial within a speaker counts as
    often as the speaker was drawn, one of two speakers as often as both were.

    Parameters
    ----------
    labels : array (trials,)
        1 for a pair of one kind, 0 for two.
    first, second : int arrays (trials,)
        The speaker on either side, counted from 0.
    counts : int array (draws, speakers), of `bootstrap.draw_speakers`

    Yields
    ------
    float array (trials,)
        For each draw that has both kinds of trials.
    """
    for count in counts:
        weights = np.where(first == second, count[first], count[first] * count[second]).astype(float)
        if weights[labels == 1].any() and weights[labels == 0].any():
            yield weights


def errors_over_draws(scores, labels, first, second, counts):
    """Equal error rates (draws,) of scored trials, sorted once for all draws of `weights_over_draws`."""
    order = np.argsort(scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) > 0, True))  # equal scores move as one
    labels, first, second = (np.asarray(each)[order] for each in (labels, first, second))
    rates = []
    for weights in weights_over_draws(labels, first, second, counts):
        rejected, turned_away = (np.append(0, np.cumsum(weights * (labels == kind))[ends]) for kind in (1, 0))
        rates.append(equal_error_of_rates(1 - turned_away / turned_away[-1], rejected / rejected[-1]))
    return np.array(rates)


def mean_interval(values, speakers, draws=1000, seed=0):
    """Percentile interval (2,) of a mean of values (n,) when the *speakers* are drawn anew."""
    names, index = np.unique(speakers, return_inverse=True)
    sums, counts = np.bincount(index, np.asarray(values, dtype=float)), np.bincount(index)
    drawn = np.random.default_rng(seed).integers(len(names), size=(draws, len(names)))
    return np.percentile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [2.5, 97.5])
