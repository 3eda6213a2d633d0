"""One bootstrap over speakers: what is drawn, intervals, paired differences, a system's row."""

import json
from statistics import NormalDist

import numpy as np
import pytest

from samples import figures

from helpers import InputError, bootstrap, metrics
from helpers.bootstrap import evaluate, paired_difference
from helpers.calibration import cllr, min_cllr
from helpers.metrics import balanced_accuracy, cosine_scores, equal_error, min_dcf, roc_auc
from helpers.pairs import all_trials, within_groups

normal = NormalDist().cdf
SPEAKERS = np.repeat([4, 7, 9, 12, 20, 31], 7)  # numbers with gaps
COUNTS = bootstrap.draw_speakers(SPEAKERS, 60, seed=5)


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
    bootstrap.bootstrap(look, ids.astype(float), trials.label, *sides, draws=draws, seed=seed)
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

    interval = bootstrap.bootstrap(statistic, scores, trials.label, *sides, draws=50)
    np.testing.assert_allclose(interval, np.percentile(values, [2.5, 97.5], axis=0))
    assert interval.shape == (2, 4)
    same = bootstrap.bootstrap(figures, scores, trials.label, *sides, draws=50)
    np.testing.assert_array_equal(interval, same)
    other = bootstrap.bootstrap(figures, scores, trials.label, *sides, draws=50, seed=1)
    assert (other != interval).any()
    one = bootstrap.bootstrap(roc_auc, scores, trials.label, *sides, draws=50)
    np.testing.assert_allclose(one, interval[:, 1])


@pytest.mark.slow
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
        low, high = bootstrap.bootstrap(accuracy, scores, trials.label, left, right, draws=200)
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
    assert np.isfinite(bootstrap.bootstrap(figures, scores, trials.label, *sides, draws=100)).all()


# ---- a system's row ----------------------------------------------------------------------------------------


def similarity(speakers, seed=0):
    rng = np.random.default_rng(seed)
    voices = rng.normal(size=(speakers.max() + 1, 16))
    return cosine_scores(voices[speakers] + 0.9 * rng.normal(size=(len(speakers), 16)))


def test_evaluate_gives_every_figure():
    speakers = np.repeat(np.arange(8), 5)
    scores, trials = similarity(speakers), all_trials(speakers)
    row = evaluate(scores, speakers, 0.4, draws=60)
    names = ("accuracy", "false_acceptance", "false_rejection", "eer", "roc_auc", "min_dcf")
    assert set(row) == {*names, *(f"{n}_ci" for n in names), "threshold", "speakers_test", "trials"}
    listed = scores[trials.left, trials.right]
    assert row["accuracy"] == balanced_accuracy(listed, trials.label, 0.4)
    assert row["false_acceptance"] == np.mean(listed[trials.label == 0] >= 0.4)
    assert row["false_rejection"] == pytest.approx(np.mean(listed[trials.label == 1] < 0.4))
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


# ---- paired differences ------------------------------------------------------------------------------------


def error(scores, labels, weights=None):
    return equal_error(scores, labels, weights)[0]


def systems(seeds=1, speakers=12, utterances=5):
    """Scores (seeds, trials) of a system, and all that is needed to judge it; some speakers are hard."""
    rng = np.random.default_rng(0)
    names = rng.permutation(np.repeat(np.arange(speakers) * 7, utterances))
    trials = all_trials(names)
    sides = names[trials.left], names[trials.right]
    hard = rng.normal(size=7 * speakers)
    scores = 2 * trials.label + hard[sides[0]] / 2 + hard[sides[1]] / 2
    return scores + 0.5 * rng.normal(size=(seeds, len(scores))), trials.label, *sides


@pytest.mark.parametrize("statistic", [error, cllr, min_cllr])
def test_a_system_does_not_differ_from_itself(statistic):
    ours, *trials = systems(seeds=2)
    same = paired_difference(statistic, ours, ours.copy(), *trials, draws=30)
    assert same == (0, 0, 0)
    assert not same.excludes_zero


def test_a_worse_system_is_told_from_a_better_one():
    ours, *trials = systems(seeds=3)
    worse = ours + 2 * np.random.default_rng(1).normal(size=ours.shape)
    found = paired_difference(error, ours, worse, *trials, draws=200)
    assert found.low < found.value < found.high < 0
    assert found.excludes_zero
    assert found.value == pytest.approx(
        np.mean([error(scores, trials[0], None) for scores in ours])
        - np.mean([error(scores, trials[0], None) for scores in worse])
    )
    turned = paired_difference(error, worse, ours, *trials, draws=200)
    assert turned.excludes_zero
    np.testing.assert_allclose(turned, [-found.value, -found.high, -found.low])


def test_pairing_makes_the_interval_narrow():
    """Two systems that find the same speakers hard, one a little better."""
    ours, *trials = systems()
    theirs = ours - 0.2 * trials[0] + 0.05 * np.random.default_rng(1).normal(size=ours.shape)
    found = paired_difference(metrics.roc_auc, ours[0], theirs[0], *trials, draws=300)
    apart = [bootstrap.bootstrap(metrics.roc_auc, row[0], *trials, draws=300) for row in (ours, theirs)]
    unpaired = np.hypot(*(high - low for low, high in apart))
    assert found.high - found.low < unpaired / 3
    assert found.excludes_zero
    assert found.value < unpaired / 2  # two intervals, each from draws of its own, would not tell


def test_speakers_are_drawn_as_in_bootstrap():
    """Against a system for which the statistic is always 0, the interval is that of one system."""
    ours, *trials = systems()
    nothing = np.where(trials[0] == 1, 1.0, -1.0)  # no errors
    for seed in (0, 4):
        found = paired_difference(error, ours, nothing, *trials, draws=50, seed=seed)
        expected = bootstrap.bootstrap(error, ours[0], *trials, draws=50, seed=seed)
        np.testing.assert_allclose(found[1:], expected, rtol=1e-12)
    assert found != paired_difference(error, ours, nothing, *trials, draws=50, seed=5)


def test_seeds_are_averaged_in_each_draw():
    ours, *trials = systems(seeds=3)
    nothing = np.where(trials[0] == 1, 1.0, -1.0)
    drawn = []

    def look(scores, labels, weights):
        drawn.append(error(scores, labels, weights))
        return drawn[-1]

    found = paired_difference(look, list(ours), nothing, *trials, draws=40)
    by_draw = np.reshape(drawn, (4, -1))[:3].mean(axis=0)  # three seeds of ours, one row of theirs
    assert found.value == pytest.approx(by_draw[0])
    np.testing.assert_allclose(found[1:], np.percentile(by_draw[1:], [2.5, 97.5]))


def test_the_order_of_trials_does_not_matter():
    ours, *trials = systems(seeds=2)
    theirs = ours + np.random.default_rng(1).normal(size=ours.shape)
    order = np.random.default_rng(2).permutation(ours.shape[1])
    found = paired_difference(cllr, ours, theirs, *trials, draws=30)
    again = paired_difference(
        cllr, ours[:, order], theirs[:, order], *(array[order] for array in trials), draws=30
    )
    np.testing.assert_allclose(again, found, rtol=1e-9)


def test_trials_that_do_not_fit_together_are_refused():
    ours, labels, first, second = systems()
    for arguments in (
        (ours[:, 1:], ours, labels, first, second),
        (ours, ours[0, 1:], labels, first, second),
        (ours, ours, labels, first[1:], second),
        (ours[None], ours, labels, first, second),
    ):
        with pytest.raises(InputError, match="expected one shape"):
            paired_difference(error, *arguments, draws=2)
    with pytest.raises(InputError, match="none of 20 draws"):
        paired_difference(lambda *_: 0.0, [0.1, 0.2], [0.1, 0.2], [1, 1], [0, 1], [0, 1], draws=20)


def weights_over_draws(labels, *sides_and_counts):
    """How often each trial counts, in each draw."""
    order = np.arange(len(labels))
    return bootstrap.statistic_over_draws(lambda *trials: trials[2], order, labels, *sides_and_counts)


def test_draws_that_lack_a_kind_of_trial_are_left_out():
    labels, first, second = np.array([1, 1, 0]), np.array([0, 1, 0]), np.array([0, 1, 1])
    counts = np.array([[1, 1], [2, 0], [0, 2]])
    drawn = weights_over_draws(labels, first, second, counts)
    np.testing.assert_array_equal(drawn, [[1, 1, 1]])
    drawn = weights_over_draws(labels, first, second, bootstrap.draw_speakers([0, 1], 100))
    assert 30 < len(drawn) < 70
    np.testing.assert_array_equal(np.unique(drawn, axis=0), [[1, 1, 1]])


# ---- the sweep that is sorted once -------------------------------------------------------------------------


def test_the_first_draw_has_every_speaker_once():
    assert COUNTS[0].tolist() == [1] * 6
    assert (COUNTS.sum(axis=1) == 6).all()
    assert len(np.unique(COUNTS, axis=0)) > 50


def test_a_draw_of_one_speaker_alone_is_left_out():
    counts = bootstrap.draw_speakers([0, 0, 1, 1], 100)
    assert 30 < len(counts) < 70
    assert (counts > 0).all()


def test_an_interval_is_of_the_draws_and_not_of_the_figure():
    found = bootstrap.interval([100.0, *range(101)])
    assert found == (100, 2.5, 97.5)
    assert found.excludes_zero


def test_rates_and_figures_are_those_of_the_metrics_with_weights():
    speakers = np.repeat(np.arange(8), 5)
    trials, rng = all_trials(speakers), np.random.default_rng(0)
    for scores in (rng.normal(trials.label), np.round(rng.normal(trials.label), 1)):  # some of them equal
        sides, counts = bootstrap.trial_speakers(speakers), bootstrap.draw_speakers(speakers, 50)
        rates = bootstrap.equal_errors_over_draws(scores, trials.label, *sides, counts)
        assert rates[0] == pytest.approx(equal_error(scores, trials.label)[0], abs=1e-9)
        expected = bootstrap.bootstrap(error, scores, trials.label, *sides, draws=50)
        np.testing.assert_allclose(np.percentile(rates[1:], [2.5, 97.5]), expected, atol=1e-9)
        table = bootstrap.figures_over_draws(scores, trials.label, *sides, counts, threshold=0.9)
        assert list(table) == bootstrap.FIGURES
        errors = table[["false_acceptance", "false_rejection"]]
        np.testing.assert_allclose(1 - errors.mean(axis=1), table["accuracy"])
        assert errors.std().min() > 0  # they follow the draws
        by_metrics = bootstrap.statistic_over_draws(figures, scores, trials.label, *sides, counts)
        np.testing.assert_allclose(table[["eer", "roc_auc", "min_dcf", "accuracy"]], by_metrics, atol=1e-12)


def test_trials_are_those_of_one_order_of_each_pair():
    matrix = cosine_scores(np.random.default_rng(3).normal(size=(42, 8)))
    scores, labels = bootstrap.trial_scores(np.where(np.tri(42) == 1, 9.0, matrix), SPEAKERS)
    trials = all_trials(SPEAKERS)
    assert np.array_equal(scores, matrix[trials.left, trials.right])
    assert np.array_equal(labels, trials.label)
    first, second = bootstrap.trial_speakers(SPEAKERS)
    assert np.array_equal(np.unique(SPEAKERS)[first], SPEAKERS[trials.left])
    assert np.array_equal(np.unique(SPEAKERS)[second], SPEAKERS[trials.right])


def test_a_word_of_two_speakers_counts_as_often_as_both_were_drawn():
    labels = np.array([1, 1, 0, 0])
    first, second = np.array([0, 0, 1, 2]), np.array([1, 0, 2, 2])
    counts = np.array([[1, 1, 1], [2, 1, 0], [0, 0, 3], [0, 2, 3]])
    found = weights_over_draws(labels, first, second, counts)
    assert found.tolist() == [
        [1, 1, 1, 1]
    ]  # the others lack a kind: 0 twice leaves no different pair, and so on
    counts = np.array([[2, 3, 4]])
    (weights,) = weights_over_draws(labels, first, second, counts)
    assert weights.tolist() == [6, 2, 12, 4]


def test_the_interval_draws_speakers():
    speakers = np.repeat(np.arange(10), 50)
    values = speakers >= 8  # two speakers of ten are right, always
    value, low, high = bootstrap.mean_interval(values, speakers)
    assert value == pytest.approx(0.2)
    assert low == 0.0
    assert high == pytest.approx(0.5, abs=0.11)
    shuffled = np.random.default_rng(0).permutation(values)
    assert np.ptp(bootstrap.mean_interval(shuffled, speakers)[1:]) < 0.15
