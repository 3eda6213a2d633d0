"""Error rates against closed forms, scikit-learn and brute force."""

from statistics import NormalDist

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from samples import figures

from helpers import InputError
from helpers.metrics import balanced_accuracy, cosine_scores, enrolled_scores, equal_error, error_rates
from helpers.metrics import errors_at, min_dcf, roc_auc
from helpers.pairs import enrolments

pytestmark = pytest.mark.backend

normal = NormalDist().cdf


def tied(seed, trials=300, values=12):
    """Scores on few values, so that many are equal, and labels that lean with them."""
    rng = np.random.default_rng(seed)
    labels = np.append([0, 1], rng.integers(2, size=trials - 2))
    return (rng.integers(values, size=trials) + rng.integers(4, size=trials) * labels) / 7, labels


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


def test_errors_at_a_threshold_by_hand():
    scores, labels = [0.9, 0.5, 0.2, 0.5, 0.1, 0.1, 0.1], [1, 1, 1, 0, 0, 0, 0]
    assert errors_at(scores, labels, 0.5) == pytest.approx((1 / 4, 1 / 3))
    assert errors_at(scores, labels, 2.0) == (0, 1)
    weights = [1, 1, 3, 2, 1, 1, 0]
    assert errors_at(scores, labels, 0.5, weights) == pytest.approx((2 / 4, 3 / 5))
    with pytest.raises(InputError, match="all trials are of one kind"):
        errors_at([0.1, 0.2], [1, 1], 0.1)


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
