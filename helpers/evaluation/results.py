"""Figures of a system with intervals over speakers, and its row in metrics.json."""

import json
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from scipy.stats import norm

from helpers import InputError, bootstrap, calibration, pairs
from helpers.bootstrap import Interval, interval, trial_scores, trial_speakers
from helpers.evaluation import score_files
from helpers.files import atomic_write

HEADERS = {"accuracy": "accuracy %", "false_acceptance": "FA %", "false_rejection": "FR %", "eer": "EER %"}
HEADERS |= {"roc_auc": "AUC %", "min_dcf": "minDCF", "cllr": "Cllr", "min_cllr": "min Cllr"}


def mean_scores(matrix, trials):
    """Scores (trials,) of pairs.Enrolments: means of a test utterance's scores with the enrolled ones."""
    return np.asarray(matrix)[trials.enrolled, trials.test[:, None]].mean(axis=1)


def enrolled_errors(matrix, speakers, numbers, counts, enrolled=None):
    """Equal error rates (numbers, draws) with one, two, ... utterances enrolled.

    Trials are scored by `enrolled`, as for `record_result`: by default by `mean_scores`, which any system
    has; where there are embeddings, `metrics.enrolled_scores` takes their mean instead.
    """
    index, rates = np.unique(speakers, return_inverse=True)[1], []
    for number in numbers:
        trials = pairs.enrolments(index, number)
        scores = enrolled(trials) if enrolled else mean_scores(matrix, trials)
        sides = trials.speaker, index[trials.test]
        rates.append(bootstrap.equal_errors_over_draws(scores, trials.label, *sides, counts))
    return np.array(rates)


def evaluate_over_draws(system, counts, enrolled=5):
    """Every figure of a system over all trials of its test set, in each draw of the speakers.

    Parameters
    ----------
    system : Scores
    counts : int array (draws, speakers), of `bootstrap.draw_speakers`
        The same for systems that are to be compared: each draw then judges all on the same speakers.
    enrolled : int
        Utterances enrolled for the last figure.

    Returns
    -------
    pandas.DataFrame
        A row a draw, the first with every speaker once; columns `bootstrap.FIGURES` (threshold fixed without
        test data), `cllr`, `min_cllr`, `eer_enrol5`.
    """
    trials = *trial_scores(system.scores, system.speakers), *trial_speakers(system.speakers)
    table = bootstrap.figures_over_draws(*trials, counts, system.threshold)
    table = table.assign(**costs_over_draws(system.llr, system.speakers, counts))
    table[f"eer_enrol{enrolled}"] = enrolled_errors(system.scores, system.speakers, [enrolled], counts)[0]
    return table


def costs_over_draws(llr, speakers, counts):
    """`cllr` and `min_cllr` of log likelihood ratios (n, n) in each draw of the speakers: arrays (draws,)."""
    trials = *trial_scores(llr, speakers), *trial_speakers(speakers)
    costs = {"cllr": calibration.cllr, "min_cllr": calibration.min_cllr}
    return {name: bootstrap.statistic_over_draws(cost, *trials, counts) for name, cost in costs.items()}


def intervals_table(tables):
    """The figures of systems as text, with 95 % intervals over speakers; rates in per cent.

    `tables` are a dict of systems to what `evaluate_over_draws` gives; the result is a pandas.DataFrame with
    a row a system.
    """
    text = {name: {} for name in tables}
    for name, table in tables.items():
        for column in table:
            header = HEADERS.get(column) or f"EER % enrolled {column.removeprefix('eer_enrol')}"
            scale, digits = (100, 1) if "%" in header else (1, 2)
            value, low, high = (f"{scale * number:.{digits}f}" for number in interval(table[column]))
            text[name][header] = f"{value} ({low} to {high})"
    return pd.DataFrame(text).T


def adjusted(found, comparisons):
    """A 95 % `bootstrap.Interval` made as wide as so many comparisons at once need (Bonferroni).

    All such intervals together then hold with at least 95 %. Both ends move away from the value by the ratio
    of the normal quantiles: percentiles that far out would need tens of thousands of draws.
    """
    stretch = norm.ppf(1 - 0.025 / comparisons) / norm.ppf(0.975)
    value, low, high = found
    return Interval(value, value - stretch * (value - low), value + stretch * (high - value))


def metrics_row(system, table):
    """A row for metrics.json from what `evaluate_over_draws` found."""
    count = len(system.speakers)
    facts = {"corpus": system.corpus, "threshold": float(system.threshold)}
    totals = {"speakers_test": len(np.unique(system.speakers)), "trials": count * (count - 1) // 2}
    return facts | bootstrap.interval_row(table) | totals


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
        Of the bootstrap; at most 200 for `cllr`, `min_cllr` and `eer_enrol5`.

    Returns
    -------
    dict
        The row: `bootstrap.evaluate`, `cllr`, `min_cllr`, `eer_enrol5` where the speakers have more than five
        utterances, `corpus`, `backend`, and the facts.
    """
    line = calibration.calibrate(*trial_scores(*held_out))
    return record_scores(out, name, matrix, line.threshold(), line, test, facts, enrolled, draws)


def record_scores(out, name, matrix, threshold, line, test, facts, enrolled=None, draws=1000):
    """As `record_result`, with a threshold (float) and a `calibration.Calibration` that are fixed already."""
    speakers = score_files.speakers_of(test)
    row = bootstrap.evaluate(matrix, speakers, threshold, draws)
    counts = bootstrap.draw_speakers(speakers, min(draws, 200))
    table = costs_over_draws(line.llr(matrix), speakers, counts)
    if np.unique(speakers, return_counts=True)[1].min() > 5:
        table["eer_enrol5"] = enrolled_errors(matrix, speakers, [5], counts, enrolled)[0]
    row |= bootstrap.interval_row(table)
    row |= {"corpus": test.name, "backend": keras.backend.backend(), **facts}
    write_row(out, name, row)
    score_files.save_scores(out, name, matrix, threshold, *line, test)
    return row


def _read_rows(path, corpora=False):
    """The rows of a metrics.json by system, or the corpora that they are of; none where it does not exist."""
    try:
        rows = json.loads(path.read_text()) if path.exists() else {}
        rows = {name: row["corpus"] if corpora else row for name, row in rows.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path.name} is not a JSON object with a row a system ({error})") from error
    return rows


def write_row(folder, system, row):
    """Add a system's figures to the folder's `metrics.json`, keeping the other systems' rows.

    Parameters
    ----------
    folder : path
    system : str
        Short name; an earlier row of that name is replaced.
    row : dict
        Python values; figures are finite numbers.

    Raises
    ------
    InputError
        When the row holds anything else, the file there is not a table of systems, or cannot be written.
    """
    path = Path(folder) / "metrics.json"
    rows = _read_rows(path) | {system: row}
    try:
        text = json.dumps(rows, indent=2, allow_nan=False)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path.name}: the row {system} cannot be written ({error})") from error
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n")


def add_rows(folder, rows):
    """Write the rows of systems that FOLDER/metrics.json has no row of, on their corpus; returns their names.

    A row that a system's own program has written knows more, its training time for one, and stays.
    """
    corpora = _read_rows(Path(folder) / "metrics.json", corpora=True)
    added = [name for name, row in rows.items() if corpora.get(name) != row["corpus"]]
    for name in added:
        write_row(folder, name, rows[name])
    return added
