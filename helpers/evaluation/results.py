"""Every system judged on the same trials, and on the same draws of the speakers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import InputError, bootstrap, calibration, metrics, pairs
from helpers.bootstrap import equal_error_of_rates, interval, rates_over_draws, sort_by_score, trial_scores
from helpers.bootstrap import trial_speakers
from helpers.calibration import min_cllr
from helpers.evaluation import score_files


def enrolled_errors(matrix, speakers, numbers, counts):
    """Equal error rates (numbers, draws) with one, two, ... utterances enrolled.

    A test utterance's score is the mean of its scores against the enrolled ones, which any system has; where
    there are embeddings, `metrics.enrolled_scores` takes their mean instead.
    """
    index, rates = np.unique(speakers, return_inverse=True)[1], []
    for number in numbers:
        trials = pairs.enrolments(index, number)
        scores = np.asarray(matrix)[trials.enrolled, trials.test[:, None]].mean(axis=1)
        each = sort_by_score(scores, trials.label, trials.speaker, index[trials.test])
        rates.append([equal_error_of_rates(*rates) for *rates, _ in rates_over_draws(*each, counts)])
    return np.array(rates)


def evaluate_over_draws(system, counts, enrolled=5):
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

    trials = sort_by_score(*trial_scores(system.scores, system.speakers), *trial_speakers(system.speakers))
    scores, labels = trials[:2]
    thresholds = np.append(np.unique(scores), np.inf)
    at, target = np.searchsorted(thresholds, system.threshold), labels == 1
    costs = np.logaddexp(0, np.where(target, -1, 1) * system.calibration.llr(scores)) / np.log(2)
    prior, values = metrics.TARGET_PRIOR, []
    for accepted, rejected, weights in rates_over_draws(*trials, counts):
        values.append(
            (
                1 - (accepted[at] + rejected[at]) / 2,
                equal_error_of_rates(accepted, rejected),
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


def intervals_table(tables):
    """The figures of systems as text, with 95 % intervals over speakers; rates in per cent.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame, of `evaluate_over_draws`

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


def metrics_row(system, table):
    """A row for metrics.json from what `evaluate_over_draws` found."""
    found = {"corpus": system.corpus, "threshold": float(system.threshold)}
    for name in table:
        value, *ends = interval(table[name])
        found |= {name: value, f"{name}_ci": ends}
    count = len(system.speakers)
    return found | {"speakers_test": len(np.unique(system.speakers)), "trials": count * (count - 1) // 2}


def record_result(out, name, held_out, matrix, test, facts, enrolled=None, draws=1000):
    """Fix a system's threshold on training speakers, score the test once, and keep the result.

    Parameters
    ----------
    out : path
        Takes the row `name` of metrics.json, and scores/NAME.npz.
    name : str
        Short, as the key of the row.
    held_out : tuple of float array (m, m) and int array (m,)
        Scores of utterances of training speakers that the system did not learn from, and who spoke them: they
        give the threshold and the calibration.
    matrix : float array (n, n)
        Scores of the test utterances, higher for one speaker.
    test : corpora.Recordings or corpora.Corpus
    facts : dict
        More of the row: `train_seconds`, `parameters`, `speakers_train`, `seed`.
    enrolled : callable (pairs.Enrolments) -> float array (trials,), optional
        Scores against several enrolled utterances; their mean score by default.
    draws : int
        Of the bootstrap.

    Returns
    -------
    dict
        The row: `bootstrap.evaluate`, `eer_enrol5` where the speakers have more than five utterances, `cllr`.
    """
    import keras

    theirs, strangers = held_out
    trials = pairs.all_trials(strangers)
    line = calibration.calibrate(theirs[trials.left, trials.right], trials.label)
    speakers = score_files.speakers_of(test)
    row = bootstrap.evaluate(matrix, speakers, line.threshold(), draws)
    trials = pairs.all_trials(speakers)
    row["cllr"] = calibration.cllr(line.llr(matrix[trials.left, trials.right]), trials.label)
    if np.unique(speakers, return_counts=True)[1].min() > 5:
        trials = pairs.enrolments(speakers, 5)
        means = enrolled(trials) if enrolled else matrix[trials.enrolled, trials.test[:, None]].mean(axis=1)
        sides = trials.speaker, speakers[trials.test]
        row["eer_enrol5"] = metrics.equal_error(means, trials.label)[0]
        row["eer_enrol5_ci"] = bootstrap.bootstrap(
            _eer, means, trials.label, *sides, min(draws, 200)
        ).tolist()
    row |= {"corpus": test.name, "backend": keras.backend.backend(), **facts}
    metrics.write_row(out, name, row)
    score_files.save_scores(out, name, matrix, line.threshold(), *line, test)
    return row


def _eer(scores, labels, weights=None):
    return metrics.equal_error(scores, labels, weights)[0]


def add_rows(folder, rows):
    """Write the rows of systems that FOLDER/metrics.json has no row of, on their corpus; returns their names.

    A row that a system's own program has written knows more, its training time for one, and stays.
    """
    path = Path(folder) / "metrics.json"
    try:
        known = json.loads(path.read_text()) if path.exists() else {}
        corpora = {name: row["corpus"] for name, row in known.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path.name} is not a JSON object with a row a system ({error})") from error
    added = [name for name, row in rows.items() if corpora.get(name) != row["corpus"]]
    for name in added:
        metrics.write_row(folder, name, rows[name])
    return added
