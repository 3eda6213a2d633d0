"""The end of a system's training: threshold from strangers, one row, scores kept."""

import json

import numpy as np
import pandas as pd
import pytest

from helpers import calibration, metrics, pairs
from helpers.data.corpora import Recordings
from helpers.evaluation import score_files
from helpers.evaluation.results import record_result

RNG = np.random.default_rng(0)


def scored(speakers, utterances, gap=2.0):
    """A symmetric score matrix in which one speaker's utterances score higher, and who spoke."""
    labels = np.repeat(np.arange(speakers), utterances)
    noise = RNG.normal(size=(len(labels), len(labels)))
    return gap * (labels[:, None] == labels) + (noise + noise.T) / 2, labels


@pytest.fixture
def test_set():
    matrix, labels = scored(6, 8)
    waves = [RNG.normal(size=1000 + i).astype(np.float32) for i in range(len(labels))]
    return matrix, Recordings("stand-in", waves, labels, pd.DataFrame({"speaker": labels}))


def test_threshold_and_calibration_come_from_the_strangers(test_set, tmp_path):
    matrix, test = test_set
    held_out = scored(5, 6, gap=1.5)
    row = record_result(tmp_path, "mine", held_out, matrix, test, {"seed": 3, "parameters": 7}, draws=20)
    trials = pairs.all_trials(held_out[1])
    line = calibration.calibrate(held_out[0][trials.left, trials.right], trials.label)
    assert row["threshold"] == line.threshold()
    trials = pairs.all_trials(test.labels)
    scores = matrix[trials.left, trials.right]
    assert row["accuracy"] == metrics.balanced_accuracy(scores, trials.label, line.threshold())
    accepted = scores >= line.threshold()
    assert row["false_acceptance"] == np.mean(accepted[trials.label == 0])
    assert row["false_rejection"] == pytest.approx(1 - np.mean(accepted[trials.label == 1]))
    assert row["cllr"] == pytest.approx(calibration.cllr(line.llr(scores), trials.label))
    assert row["min_cllr"] == pytest.approx(calibration.min_cllr(scores, trials.label))
    assert row["min_cllr_ci"][0] < row["cllr"] < row["cllr_ci"][1]
    assert row["eer_enrol5"] < row["eer"]
    assert (row["seed"], row["parameters"], row["corpus"]) == (3, 7, "stand-in")
    assert json.loads((tmp_path / "metrics.json").read_text())["mine"] == row
    kept = score_files.load_scores(tmp_path, test)["mine"]
    np.testing.assert_allclose(kept.scores, matrix, atol=1e-6)
    assert kept.calibration == line


def test_enrolment_as_the_system_does_it(test_set, tmp_path):
    matrix, test = test_set
    perfect = record_result(
        tmp_path, "mine", scored(5, 6), matrix, test, {}, lambda trials: trials.label.astype(float), draws=20
    )
    assert perfect["eer_enrol5"] == 0
    few = test.select(np.tile([True] * 4 + [False] * 4, 6))
    small = matrix[np.ix_(*[np.tile([True] * 4 + [False] * 4, 6)] * 2)]
    assert "eer_enrol5" not in record_result(tmp_path, "mine", scored(5, 6), small, few, {}, draws=20)
