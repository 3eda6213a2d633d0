"""What ends every notebook that trains a system: its threshold, its figures, its row, its scores kept."""

import numpy as np

from helpers import calibration, comparison, metrics, pairs


def conclude(out, name, held_out, matrix, test, facts, enrolled=None, draws=1000):
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
    test : recordings.Recordings or corpora.Corpus
    facts : dict
        More of the row: `train_seconds`, `parameters`, `speakers_train`, `seed`.
    enrolled : callable (pairs.Enrolments) -> float array (trials,), optional
        Scores against several enrolled utterances; their mean score by default.
    draws : int
        Of the bootstrap.

    Returns
    -------
    dict
        The row: `metrics.evaluate`, `eer_enrol5` where the speakers have more than five utterances, `cllr`.
    """
    import keras

    theirs, strangers = held_out
    trials = pairs.all_trials(strangers)
    line = calibration.calibrate(theirs[trials.left, trials.right], trials.label)
    speakers = comparison.speakers_of(test)
    row = metrics.evaluate(matrix, speakers, line.threshold(), draws)
    trials = pairs.all_trials(speakers)
    row["cllr"] = calibration.cllr(line.llr(matrix[trials.left, trials.right]), trials.label)
    if np.unique(speakers, return_counts=True)[1].min() > 5:
        trials = pairs.enrolments(speakers, 5)
        means = enrolled(trials) if enrolled else matrix[trials.enrolled, trials.test[:, None]].mean(axis=1)
        sides = trials.speaker, speakers[trials.test]
        row["eer_enrol5"] = metrics.equal_error(means, trials.label)[0]
        row["eer_enrol5_ci"] = metrics.bootstrap(_eer, means, trials.label, *sides, min(draws, 200)).tolist()
    row |= {"corpus": test.name, "backend": keras.backend.backend(), **facts}
    metrics.write_row(out, name, row)
    comparison.save_scores(out, name, matrix, line.threshold(), *line, test)
    return row


def _eer(scores, labels, weights=None):
    return metrics.equal_error(scores, labels, weights)[0]
