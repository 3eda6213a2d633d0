"""Every system judged on the same trials, and on the same draws of the speakers."""

import numpy as np
import pandas as pd

from helpers import metrics, pairs
from helpers.calibration import Difference, min_cllr


def draw_speakers(speakers, draws=1000, seed=0):
    """How often each speaker counts: all once in the first row, then as in each draw of `metrics.bootstrap`.

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


def sides(speakers):
    """The speakers on either side of the trials of `trial_scores`, counted from 0."""
    trials, index = pairs.all_trials(speakers), np.unique(speakers, return_inverse=True)[1]
    return index[trials.left], index[trials.right]


def sweep(scores, labels, first, second, counts):
    """Move the threshold over scored trials, in each draw of the speakers.

    As `metrics.error_rates` with the weights of `metrics.bootstrap`, but sorted once for all draws.

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


def in_order(scores, *arrays):
    """Scores and more arrays of trials, in the order of the scores."""
    order = np.argsort(scores, kind="stable")
    return [np.asarray(each)[order] for each in (scores, *arrays)]


def crossing(accepted, rejected):
    """The equal error rate of a sweep, as `metrics.equal_error` interpolates it."""
    after = int(np.argmax(rejected >= accepted))
    gap = accepted - rejected
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return accepted[after - 1] + share * (accepted[after] - accepted[after - 1])


def equal_errors(matrices, speakers, counts):
    """Equal error rates (matrices, draws) of score matrices, of the trials of `trial_scores`."""
    trials = (in_order(*trial_scores(matrix, speakers), *sides(speakers)) for matrix in matrices)
    return np.array([[crossing(*rates) for *rates, _ in sweep(*each, counts)] for each in trials])


def enrolled_errors(matrix, speakers, numbers, counts):
    """Equal error rates (numbers, draws) with one, two, ... utterances enrolled.

    A test utterance's score is the mean of its scores against the enrolled ones, which any system has; where
    there are embeddings, `metrics.enrolled_scores` takes their mean instead.
    """
    index, rates = np.unique(speakers, return_inverse=True)[1], []
    for number in numbers:
        trials = pairs.enrolments(index, number)
        scores = np.asarray(matrix)[trials.enrolled, trials.test[:, None]].mean(axis=1)
        each = in_order(scores, trials.label, trials.speaker, index[trials.test])
        rates.append([crossing(*rates) for *rates, _ in sweep(*each, counts)])
    return np.array(rates)


def judge(system, counts, enrolled=5):
    """Every figure of a system over all trials of its test set, in each draw of the speakers.

    Parameters
    ----------
    system : Scores
    counts : int array (draws, speakers), of `draw_speakers`
        The same for systems that are to be compared: each draw then judges all on the same speakers.
    enrolled : int
        Utterances enrolled for the last figure.

    Returns
    -------
    pandas.DataFrame
        A row a draw, the first with every speaker once; columns `accuracy` (both kinds half each, threshold
        fixed without test data), `eer`, `roc_auc`, `min_dcf`, `cllr`, `min_cllr`, `eer_enrol5`.
    """

    trials = in_order(*trial_scores(system.scores, system.speakers), *sides(system.speakers))
    scores, labels = trials[:2]
    thresholds = np.append(np.unique(scores), np.inf)
    at, target = np.searchsorted(thresholds, system.threshold), labels == 1
    costs = np.logaddexp(0, np.where(target, -1, 1) * system.calibration.llr(scores)) / np.log(2)
    prior, values = metrics.TARGET_PRIOR, []
    for accepted, rejected, weights in sweep(*trials, counts):
        values.append(
            (
                1 - (accepted[at] + rejected[at]) / 2,
                crossing(accepted, rejected),
                np.trapezoid((1 - rejected)[::-1], accepted[::-1]),
                np.min(prior * rejected + (1 - prior) * accepted) / prior,
                np.mean([np.average(costs[kind], weights=weights[kind]) for kind in (target, ~target)]),
                min_cllr(scores, labels, weights),
            )
        )
    names = ("accuracy", "eer", "roc_auc", "min_dcf", "cllr", "min_cllr")
    table = pd.DataFrame(values, columns=names)
    table[f"eer_enrol{enrolled}"] = enrolled_errors(system.scores, system.speakers, [enrolled], counts)[0]
    return table


def interval(drawn):
    """A figure and the ends of its 95 % interval: the first of `drawn`, then percentiles of the others."""
    drawn = np.asarray(drawn)
    return Difference(float(drawn[0]), *np.percentile(drawn[1:], [2.5, 97.5]).tolist())


def difference(ours, theirs):
    """A figure of ours less that of theirs, both (draws,) of the same draws: a `calibration.Difference`.

    The same as `calibration.paired_difference`.
    """
    return interval(np.asarray(ours) - np.asarray(theirs))


def figures(tables):
    """The figures of systems as text, with 95 % intervals over speakers; rates in per cent.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame, of `judge`

    Returns
    -------
    pandas.DataFrame
        A row a system.
    """
    words = {
        "accuracy": "accuracy %",
        "eer": "EER %",
        "roc_auc": "AUC %",
        "min_dcf": "minDCF",
        "cllr": "Cllr",
    }
    text = {}
    for name, table in tables.items():
        text[name] = {}
        for column in table:
            label = words.get(column, column.replace("eer_enrol", "EER % enrolled ").replace("_c", " C"))
            scale = 100 if "%" in label else 1
            form = "{:.1f} ({:.1f} to {:.1f})" if scale == 100 else "{:.2f} ({:.2f} to {:.2f})"
            text[name][label] = form.format(*(scale * end for end in interval(table[column])))
    return pd.DataFrame(text).T


def row(system, table):
    """A row for metrics.json from what `judge` found."""
    found = {"corpus": system.corpus, "threshold": float(system.threshold)}
    for name in table:
        value, *ends = interval(table[name])
        found |= {name: value, f"{name}_ci": ends}
    count = len(system.speakers)
    return found | {"speakers_test": len(np.unique(system.speakers)), "trials": count * (count - 1) // 2}
