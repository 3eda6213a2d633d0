"""Error rates against closed forms, scikit-learn and brute force; intervals; metrics.json."""

import errno
import json
from statistics import NormalDist

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from helpers import InputError
from helpers.bootstrap import bootstrap, evaluate
from helpers.metrics import balanced_accuracy, cosine_scores, enrolled_scores, equal_error, error_rates
from helpers.metrics import min_dcf, roc_auc, write_row
from helpers.pairs import all_trials, enrolments, within_groups

pytestmark = pytest.mark.backend

normal = NormalDist().cdf


def tied(seed, trials=300, values=12):
    """Scores on few values, so that many are equal, and labels that lean with them."""
    rng = np.random.default_rng(seed)
    labels = np.append([0, 1], rng.integers(2, size=trials - 2))
    return (rng.integers(values, size=trials) + rng.integers(4, size=trials) * labels) / 7, labels


def figures(scores, labels, weights=None):
    return np.array(
        [
            equal_error(scores, labels, weights)[0],
            roc_auc(scores, labels, weights),
            min_dcf(scores, labels, weights),
            balanced_accuracy(scores, labels, 0.9, weights),
        ]
    )


# ---- scores ------------------------------------------------------------------------------------------------


def test_cosines_by_hand():
    scores = cosine_scores(np.array([[3.0, 4.0], [-8.0, 6.0], [0.5, 0.0]]))
    np.testing.assert_allclose(scores, [[1, 0, 0.6], [0, 1, -0.8], [0.6, -0.8, 1]], atol=1e-12)


def test_enrolled_scores_against_a_loop():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(18, 5))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    before = embeddings.copy()
    trials = enrolments(np.repeat(np.arange(3), 6), enrolled=4, draws=2)
    scores = enrolled_scores(embeddings, trials)
    for score, rows, test in zip(scores, trials.enrolled, trials.test, strict=True):
        voice = sum(embeddings[row] for row in rows) / 4
        assert score == pytest.approx(voice @ embeddings[test] / np.sqrt(voice @ voice))
    np.testing.assert_array_equal(embeddings, before)


# ---- error rates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [0.5, 2.0, 4.0])
def test_two_normals_give_the_closed_forms(distance):
    rng, n = np.random.default_rng(0), 200_000
    scores = np.concatenate([rng.normal(distance, 1, n), rng.normal(0, 1, n)])
    labels = np.repeat([1, 0], n)
    rate, threshold = equal_error(scores, labels)
    assert rate == pytest.approx(normal(-distance / 2), abs=0.003)
    assert threshold == pytest.approx(distance / 2, abs=0.02)
    assert roc_auc(scores, labels) == pytest.approx(normal(distance / np.sqrt(2)), abs=0.003)
    assert balanced_accuracy(scores, labels, distance / 2) == pytest.approx(normal(distance / 2), abs=0.003)


@pytest.mark.parametrize("seed", range(8))
def test_roc_against_scikit_learn(seed):
    scores, labels = tied(seed)
    thresholds, accepted, rejected = error_rates(scores, labels)
    theirs = roc_curve(labels, scores, drop_intermediate=False)
    for ours, expected in zip((accepted, 1 - rejected, thresholds), theirs, strict=True):
        np.testing.assert_allclose(ours[::-1], expected, atol=1e-12)
    assert roc_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("values", [3, 12, 10**9])
def test_equal_error_against_scikit_learns_roc(seed, values):
    scores, labels = tied(seed, values=values)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    low, high = 0.0, 1.0
    for _ in range(60):  # where the straight lines between its points meet fpr = 1 - tpr
        middle = (low + high) / 2
        low, high = (middle, high) if np.interp(middle, fpr, tpr) < 1 - middle else (low, middle)
    assert equal_error(scores, labels)[0] == pytest.approx(low, abs=1e-9)


def test_error_rates_by_hand():
    thresholds, accepted, rejected = error_rates([0.1, 0.4, 0.4, 0.8], [0, 1, 0, 1])
    np.testing.assert_allclose(thresholds, [0.1, 0.4, 0.8, np.inf])
    np.testing.assert_allclose(accepted, [1, 0.5, 0, 0])
    np.testing.assert_allclose(rejected, [0, 0, 0.5, 1])


@pytest.mark.parametrize("seed", range(5))
def test_rates_are_those_of_deciding(seed):
    scores, labels = tied(seed)
    for threshold, accepted, rejected in zip(*error_rates(scores, labels), strict=True):
        assert accepted == pytest.approx(np.mean(scores[labels == 0] >= threshold), abs=1e-12)
        assert rejected == pytest.approx(np.mean(scores[labels == 1] < threshold), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_equal_error_threshold_balances_the_errors(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=2000)
    scores = rng.normal(size=2000) + labels
    rate, threshold = equal_error(scores, labels)
    assert np.mean(scores[labels == 0] >= threshold) == pytest.approx(rate, abs=2e-3)
    assert np.mean(scores[labels == 1] < threshold) == pytest.approx(rate, abs=2e-3)


def test_perfect_separation():
    scores, labels = np.array([0.1, 0.2, 0.3, 0.7, 0.9]), np.array([0, 0, 0, 1, 1])
    rate, threshold = equal_error(scores, labels)
    assert rate == 0
    assert 0.3 < threshold <= 0.7
    assert balanced_accuracy(scores, labels, threshold) == 1
    assert roc_auc(scores, labels) == 1
    assert min_dcf(scores, labels) == 0


def test_reversed_separation():
    scores, labels = np.array([0.1, 0.2, 0.3, 0.7, 0.9]), np.array([1, 1, 1, 0, 0])
    assert equal_error(scores, labels)[0] == 1
    assert roc_auc(scores, labels) == 0
    assert min_dcf(scores, labels) == pytest.approx(1)  # refusing everyone is what is left


def test_scores_all_equal_are_chance():
    scores, labels = np.full(10, 0.99), np.repeat([0, 1], [7, 3])
    rate, threshold = equal_error(scores, labels)
    assert rate == pytest.approx(0.5)
    assert np.isfinite(threshold)
    assert roc_auc(scores, labels) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(5))
def test_turning_everything_round_changes_nothing(seed):
    scores, labels = tied(seed)
    assert equal_error(-scores, 1 - labels)[0] == pytest.approx(equal_error(scores, labels)[0])
    assert roc_auc(-scores, 1 - labels) == pytest.approx(roc_auc(scores, labels))
    assert roc_auc(-scores, labels) == pytest.approx(1 - roc_auc(scores, labels))
    np.testing.assert_allclose(figures(np.exp(scores), labels)[:3], figures(scores, labels)[:3])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("prior", [0.01, 0.05, 0.5, 0.9])
def test_min_dcf_by_brute_force(seed, prior):
    scores, labels = tied(seed)
    target, impostor = scores[labels == 1], scores[labels == 0]
    costs = [
        prior * np.mean(target < threshold) + (1 - prior) * np.mean(impostor >= threshold)
        for threshold in [*scores, np.inf]
    ]
    expected = min(costs) / min(prior, 1 - prior)
    assert min_dcf(scores, labels, target_prior=prior) == pytest.approx(expected)
    assert 0 <= min_dcf(scores, labels, target_prior=prior) <= 1 + 1e-12


def test_min_dcf_looks_at_the_prior_of_the_field():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=2000)
    scores = rng.normal(size=2000) + 3 * labels
    costs = [min_dcf(scores, labels, target_prior=prior) for prior in (0.01, 0.05, 0.1)]
    assert min_dcf(scores, labels) == costs[1]
    assert len(set(costs)) == 3


def test_balanced_accuracy_by_hand():
    scores, labels = [0.9, 0.5, 0.2, 0.5, 0.1, 0.1, 0.1], [1, 1, 1, 0, 0, 0, 0]
    # At 0.5: two of three targets, three of four impostors; a score at the threshold is accepted.
    assert balanced_accuracy(scores, labels, 0.5) == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert balanced_accuracy(scores, labels, 2.0) == 0.5


@pytest.mark.parametrize("seed", range(8))
def test_weights_are_repetitions(seed):
    scores, labels = tied(seed, trials=60)
    weights = np.random.default_rng(seed).integers(4, size=60)
    weights[:2] = 2  # both kinds are there
    repeated = np.repeat(np.arange(60), weights)
    np.testing.assert_allclose(
        figures(scores, labels, weights), figures(scores[repeated], labels[repeated]), atol=1e-12
    )


@pytest.mark.parametrize("statistic", [error_rates, equal_error, roc_auc, min_dcf])
def test_bad_trials_are_refused(statistic):
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(InputError, match="1 of 3 scores"):
            statistic([0.1, bad, 0.3], [0, 1, 1])
    for labels in ([1, 1, 1], [0, 0, 0]):
        with pytest.raises(InputError, match="one kind"):
            statistic([0.1, 0.2, 0.3], labels)
    with pytest.raises(InputError, match="one kind"):
        statistic([0.1, 0.2, 0.3], [0, 1, 1], [1, 0, 0])


# ---- intervals ---------------------------------------------------------------------------------------------


def drawn_weights(speakers, draws, seed=0):
    """The trials of some speakers, shuffled, and the weights that each draw gave them."""
    trials = all_trials(speakers)
    ids = np.random.default_rng(9).permutation(len(trials.label))  # scores that say which trial it is
    seen = []

    def look(scores, labels, weights):
        of_trial = np.empty(len(ids))
        of_trial[scores.astype(int)] = weights
        np.testing.assert_array_equal(labels, trials.label[np.argsort(ids)][scores.astype(int)])
        seen.append(of_trial[ids])
        return 0.0

    sides = speakers[trials.left], speakers[trials.right]
    bootstrap(look, ids.astype(float), trials.label, *sides, draws=draws, seed=seed)
    return trials, np.array(seen)


def test_a_trial_counts_as_often_as_its_speakers_were_drawn():
    speakers = np.repeat([11, 3, 40, 7, 25], 3)
    trials, seen = drawn_weights(speakers, draws=40)
    assert len(seen) >= 39
    left, right = speakers[trials.left], speakers[trials.right]
    for weights in seen:
        count = {
            name: weights[(trials.label == 1) & (left == name)] for name in np.unique(speakers)
        }  # one and the same number for all target trials of a speaker
        assert all(len(set(values)) == 1 for values in count.values())
        count = {name: values[0] for name, values in count.items()}
        assert sum(count.values()) == 5
        expected = [count[a] if a == b else count[a] * count[b] for a, b in zip(left, right, strict=True)]
        np.testing.assert_array_equal(weights, expected)
    assert seen.max() >= 4
    assert 0.2 < np.mean(seen[:, trials.label == 1] == 0) < 0.45  # (4/5)**5 = 0.33 are left out


def test_the_interval_is_of_percentiles_and_seeded():
    speakers = np.repeat(np.arange(8), 3)
    trials = all_trials(speakers)
    rng = np.random.default_rng(0)
    scores = rng.normal(size=len(trials.label)) + trials.label
    sides = speakers[trials.left], speakers[trials.right]
    values = []

    def statistic(*args):
        values.append(figures(*args))
        return values[-1]

    interval = bootstrap(statistic, scores, trials.label, *sides, draws=50)
    np.testing.assert_allclose(interval, np.percentile(values, [2.5, 97.5], axis=0))
    assert interval.shape == (2, 4)
    same = bootstrap(figures, scores, trials.label, *sides, draws=50)
    np.testing.assert_array_equal(interval, same)
    other = bootstrap(figures, scores, trials.label, *sides, draws=50, seed=1)
    assert (other != interval).any()
    one = bootstrap(roc_auc, scores, trials.label, *sides, draws=50)
    np.testing.assert_allclose(one, interval[:, 1])


def test_intervals_cover_where_speakers_differ():
    """Speakers of whom some are always hard: the interval has to know that there are only 15 of them."""
    rng = np.random.default_rng(0)
    speakers = np.repeat(np.arange(15), 4)
    trials = all_trials(speakers)
    left, right = speakers[trials.left], speakers[trials.right]
    truth = (normal(1 / np.sqrt(1 + 0.25)) + normal(1 / np.sqrt(1 + 0.25))) / 2

    def accuracy(scores, labels, weights):
        return balanced_accuracy(scores, labels, 0.0, weights)

    covered, by_trial, widths = [], [], []
    for _ in range(60):
        own, others = rng.normal(0, 1, 15), rng.normal(0, np.sqrt(0.5), 15)
        scores = np.where(trials.label == 1, 1 + own[left], -1 + others[left] + others[right])
        scores = scores + rng.normal(0, 0.5, len(scores))
        low, high = bootstrap(accuracy, scores, trials.label, left, right, draws=200)
        covered.append(low <= truth <= high)
        # The mistaken interval: trials drawn as though they were independent.
        correct = (scores >= 0) == (trials.label == 1)
        spread = np.sqrt(
            sum(correct[trials.label == k].var() / np.sum(trials.label == k) for k in (0, 1)) / 4
        )
        by_trial.append(
            abs(correct[trials.label == 1].mean() / 2 + correct[trials.label == 0].mean() / 2 - truth)
            < 1.96 * spread
        )
        widths.append((high - low) / (2 * 1.96 * spread))
    assert np.mean(covered) >= 0.85
    assert np.mean(by_trial) <= 0.7
    assert np.median(widths) > 1.5


def test_draws_without_impostors_are_left_out():
    """Two speakers in a group: a draw may hold one of each, who meet no impostor."""
    speakers = np.repeat(np.arange(4), 3)
    trials = within_groups(all_trials(speakers), speakers // 2)
    scores = np.random.default_rng(0).normal(size=len(trials.label)) + trials.label
    sides = speakers[trials.left], speakers[trials.right]
    assert np.isfinite(bootstrap(figures, scores, trials.label, *sides, draws=100)).all()


# ---- a system's row ----------------------------------------------------------------------------------------


def similarity(speakers, seed=0):
    rng = np.random.default_rng(seed)
    voices = rng.normal(size=(speakers.max() + 1, 16))
    return cosine_scores(voices[speakers] + 0.9 * rng.normal(size=(len(speakers), 16)))


def test_evaluate_gives_every_figure():
    speakers = np.repeat(np.arange(8), 5)
    scores, trials = similarity(speakers), all_trials(speakers)
    row = evaluate(scores, speakers, 0.4, draws=60)
    names = ("accuracy", "eer", "roc_auc", "min_dcf")
    assert set(row) == {*names, *(f"{n}_ci" for n in names), "threshold", "speakers_test", "trials"}
    listed = scores[trials.left, trials.right]
    assert row["accuracy"] == balanced_accuracy(listed, trials.label, 0.4)
    assert row["eer"] == equal_error(listed, trials.label)[0]
    assert row["roc_auc"] == roc_auc(listed, trials.label)
    assert row["min_dcf"] == min_dcf(listed, trials.label)
    assert (row["threshold"], row["speakers_test"], row["trials"]) == (0.4, 8, 780)
    for name in names:
        low, high = row[f"{name}_ci"]
        assert 0 <= low < high <= 1
        assert low <= row[name] <= high
    assert row["accuracy_ci"] != row["roc_auc_ci"]
    assert json.loads(json.dumps(row)) == row


def test_evaluate_looks_above_the_diagonal_only():
    speakers = np.repeat(np.arange(6), 4)
    scores = similarity(speakers)
    lopsided = np.triu(scores, k=1) + np.tril(np.random.default_rng(1).normal(size=scores.shape))
    assert evaluate(lopsided, speakers, 0.4, draws=20) == evaluate(scores, speakers, 0.4, draws=20)


def test_evaluate_does_not_mind_the_order_of_utterances():
    speakers = np.repeat(np.arange(6), 4)
    scores, order = similarity(speakers), np.random.default_rng(2).permutation(24)
    ours = evaluate(scores, speakers, 0.4, draws=20)
    theirs = evaluate(scores[np.ix_(order, order)], speakers[order], 0.4, draws=20)
    for name, value in ours.items():
        np.testing.assert_allclose(theirs[name], value, rtol=1e-9)


def test_evaluate_refuses_scores_that_are_no_numbers():
    speakers = np.repeat(np.arange(3), 3)
    scores = similarity(speakers)
    scores[0, 5] = np.nan
    with pytest.raises(InputError, match="1 of 36 scores"):
        evaluate(scores, speakers, 0.4, draws=5)


# ---- metrics.json ------------------------------------------------------------------------------------------


def rows(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_rows_are_added_and_replaced(tmp_path):
    write_row(tmp_path / "out", "siamese_gru", {"eer": 0.1, "corpus": "a"})
    write_row(tmp_path / "out", "ge2e", {"eer": 0.2})
    write_row(tmp_path / "out", "siamese_gru", {"eer": np.float64(0.3)})
    assert rows(tmp_path / "out") == {"siamese_gru": {"eer": 0.3}, "ge2e": {"eer": 0.2}}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["metrics.json"]


@pytest.mark.parametrize(
    "content", [b"", b'{"siamese_gru": {"eer": 0.1}', b"[1, 2]", b"null", b"3", b'"x"', b"\xff\xfe"]
)
def test_a_damaged_table_is_refused_and_kept(tmp_path, content):
    (tmp_path / "metrics.json").write_bytes(content)
    with pytest.raises(InputError, match=r"metrics\.json is not a JSON object") as refusal:
        write_row(tmp_path, "ge2e", {"eer": 0.2})
    assert "\n" not in str(refusal.value)
    assert (tmp_path / "metrics.json").read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_keeps_the_table(tmp_path, monkeypatch):
    write_row(tmp_path, "ge2e", {"eer": 0.2})
    write_text = type(tmp_path).write_text

    def half(path, text, *args, **kwargs):
        write_text(path, text[: len(text) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "write_text", half)
        with pytest.raises(InputError, match=r"metrics\.json could not be saved \(No space left") as refusal:
            write_row(tmp_path, "siamese_gru", {"eer": 0.1})
    assert "\n" not in str(refusal.value)
    assert rows(tmp_path) == {"ge2e": {"eer": 0.2}}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_row_that_is_no_json_keeps_the_table(tmp_path):
    write_row(tmp_path, "ge2e", {"eer": 0.2})
    for unfit in ({1, 2}, float("nan")):
        with pytest.raises(InputError, match=r"metrics\.json: the row siamese_gru cannot be written"):
            write_row(tmp_path, "siamese_gru", {"eer": unfit})
    assert rows(tmp_path) == {"ge2e": {"eer": 0.2}}
    assert len(list(tmp_path.iterdir())) == 1
