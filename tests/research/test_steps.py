"""The steps to the ensemble: trials within folds, weights fitted to other folds, the table."""

import numpy as np
import pytest

from samples import voices

from helpers.batches import assign_folds
from helpers.metrics import equal_error
from helpers.research import steps

SPEAKERS = np.repeat(np.arange(20), 6)
FOLDS = assign_folds(SPEAKERS, 5)


def result(parts, seed=0, noise=1.0):
    """What `steps.run` gives, of invented voices; every part is a noisy view of them."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, 20, 48))[:, SPEAKERS]
    views = [centres + noise * (1 + k) * rng.normal(size=centres.shape) for k in range(parts)]
    views = [view / np.linalg.norm(view, axis=-1, keepdims=True) for view in views]
    held_out = np.stack([number == FOLDS for number in range(5)])
    return {"speakers": SPEAKERS, "held_out": held_out, "embeddings": np.concatenate(views, axis=-1)}


def test_trials_lie_within_folds():
    scores, labels, first, second, enrolled, theirs, accepted = steps.score(result(1), 1, False, False)
    each = 24 * 23 // 2  # four speakers of six utterances in a fold
    assert len(scores) == len(labels) == 5 * each
    folds = [FOLDS[name == SPEAKERS][0] for name in range(20)]
    assert all(folds[a] == folds[b] for a, b in zip(first, second, strict=True))
    np.testing.assert_array_equal(labels, first == second)
    assert len(enrolled) == len(theirs) > 0
    for fold in range(5):  # a fold's threshold is where the other four have equal errors
        mine = np.arange(len(scores)) // each == fold
        threshold = equal_error(scores[~mine], labels[~mine])[1]
        np.testing.assert_array_equal(accepted[mine], scores[mine] >= threshold)


def test_one_part_by_cosine():
    found = result(1)
    scores, *_ = steps.score(found, 1, False, False)
    test = found["embeddings"][0][FOLDS == 0]
    assert scores[0] == pytest.approx(test[0] @ test[1] - 1, abs=1e-5)


def test_weights_of_a_fold_come_from_the_others():
    found = result(2)
    before, *_ = steps.score(found, 2, True, True)
    spoilt = found | {"embeddings": found["embeddings"].copy()}
    mine = FOLDS == 4
    rng = np.random.default_rng(1)
    spoilt["embeddings"][4, mine] = rng.permutation(spoilt["embeddings"][4, mine])  # labels mean nothing now
    after, *_ = steps.score(spoilt, 2, True, True)
    last = len(before) // 5
    assert not np.allclose(before[:last], after[:last], rtol=1e-3)  # fold 0's weights saw fold 4
    own = found | {"embeddings": found["embeddings"].copy()}
    rows = np.flatnonzero(FOLDS == 0)
    own["embeddings"][0, rows[0]] = -own["embeddings"][0, rows[0]]
    changed, _, *_ = steps.score(own, 2, True, True)
    same = np.arange(len(rows) - 1, last)  # trials of fold 0 without its first utterance
    np.testing.assert_allclose(changed[same], before[same], rtol=1e-6)  # its own scores had no say


def test_fusion_is_better_than_a_bad_mean():
    found = result(3, noise=1.5)
    rate = [equal_error(*steps.score(found, 3, True, fused)[:2])[0] for fused in (False, True)]
    assert rate[1] < rate[0]


def test_table():
    runs = {"last": result(1, 1, 4.0), "pooled": result(1, 2, 3.0), "members": result(6, 3, 1.0)}
    table = steps.summarise({("speech", name, 0): each for name, each in runs.items()}, draws=20)
    assert table["step"].tolist() == list(steps.STEPS)
    assert np.isnan(table["difference"][0])
    np.testing.assert_allclose(np.diff(table["eer"]), table["difference"][1:])
    assert (table["low"][1:] <= table["high"][1:]).all()
    assert table["cllr"].notna().sum() == 1


@pytest.mark.slow
def test_runs_are_kept_and_the_table_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "TABLE", tmp_path / "steps.csv")
    monkeypatch.setattr(steps, "RUNS", {"last": steps.RUNS["last"]})
    monkeypatch.setattr(steps, "STEPS", {name: how for name, how in steps.STEPS.items() if how[0] == "last"})
    monkeypatch.setattr(steps.corpora, "load_course", lambda data: (voices(32, 6, 8192), None))
    call = ["--data", "any", "--out", str(tmp_path / "runs"), "--epochs", "1"]
    assert steps.main(call) == 0
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert len(kept) == len(steps.RUNS)
    assert steps.main(call) == 0
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    assert len((tmp_path / "steps.csv").read_text().splitlines()) == 1 + len(steps.STEPS)
