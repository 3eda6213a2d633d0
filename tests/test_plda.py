"""PLDA: against the normal densities that it is made of, as a layer, and where a cosine fails."""

import keras
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from samples import array

from helpers.metrics import cosine_scores, equal_error
from helpers.pairs import all_trials
from helpers.plda import PLDA, two_covariance

pytestmark = pytest.mark.backend

RNG = np.random.default_rng(4)
NAMES = np.repeat(np.arange(30), 8)
SHAPE = np.array([[3.0, 0, 0], [1, 1, 0], [0, 0.5, 0.3]])  # how utterances of one speaker scatter


def embeddings(names):
    centres = RNG.normal(size=(names.max() + 1, 3)) + np.array([5, 0, -1])
    return centres[names] + RNG.normal(size=(len(names), 3)) @ SHAPE.T * 0.4


LEARNT, TEST = embeddings(NAMES), embeddings(np.repeat(np.arange(6), 4))


def log_ratios(learnt, names, test, floor):
    """Log likelihood ratios of all pairs from the two densities, one speaker against two."""
    centres = np.stack([learnt[names == name].mean(axis=0) for name in np.unique(names)])
    between, within = (
        np.cov(centres.T),
        np.cov((learnt - centres[np.unique(names, return_inverse=True)[1]]).T),
    )
    within += floor * np.trace(within) / len(within) * np.eye(len(within))
    total, twice = between + within, np.tile(learnt.mean(axis=0), 2)
    one = np.block([[total, between], [between, total]])
    two = np.block([[total, 0 * total], [0 * total, total]])
    both = np.concatenate([np.repeat(test, len(test), axis=0), np.tile(test, (len(test), 1))], axis=1)
    ratio = multivariate_normal(twice, one).logpdf(both) - multivariate_normal(twice, two).logpdf(both)
    return ratio.reshape(len(test), len(test))


def test_scores_are_the_log_ratio_of_the_two_hypotheses():
    scores = PLDA(1, 3).fit(LEARNT, NAMES).scores(TEST)
    apart = scores - log_ratios(LEARNT, NAMES, TEST, 0.3)
    np.testing.assert_allclose(
        apart, apart[0, 0], atol=1e-3
    )  # up to a constant; weights are single precision
    np.testing.assert_allclose(scores, scores.T, atol=1e-9)


BOTH, TWICE = (np.concatenate([each, each[:, ::-1] ** 2], axis=1) for each in (LEARNT, TEST))


def parts_of(learnt, names, test):
    """Scores of a first encoder's part and of a second's, each by a PLDA of its own."""
    sides = zip(np.split(learnt, 2, axis=1), np.split(test, 2, axis=1), strict=True)
    return [PLDA(1, 3).fit(known, names).scores(asked) for known, asked in sides]


def test_each_encoder_has_a_part_of_its_own():
    plda, parts = PLDA(2, 3).fit(BOTH, NAMES), parts_of(BOTH, NAMES, TWICE)
    for number, part in enumerate(parts):
        np.testing.assert_allclose(plda.scores(TWICE, encoder=number), part, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(plda.scores(TWICE), np.mean(parts, axis=0), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(plda.scores(TWICE[:5], TWICE[3:]), plda.scores(TWICE)[:5, 3:], atol=1e-9)


def test_weights_make_the_mean_a_weighted_one():
    parts, plda = parts_of(BOTH, NAMES, TWICE), PLDA(2, 3).fit(BOTH, NAMES)
    assert plda.weigh([0.8, 0.2]) is plda
    expected = 0.8 * parts[0] + 0.2 * parts[1]
    np.testing.assert_allclose(plda.scores(TWICE), expected, rtol=1e-5, atol=1e-4)
    found = array(plda([TWICE.astype("float32")] * 2))[:, 0]
    np.testing.assert_allclose(found, np.diag(expected), rtol=1e-4, atol=1e-3)
    alone = PLDA(2, 3).fit(BOTH, NAMES).weigh([1, 0])
    np.testing.assert_allclose(alone.scores(TWICE), parts[0], rtol=1e-5, atol=1e-4)
    same = PLDA(2, 3).fit(BOTH, NAMES).weigh([0.5, 0.5])  # is the plain mean
    np.testing.assert_allclose(same.scores(TWICE), np.mean(parts, axis=0), rtol=1e-5, atol=1e-4)


def test_before_it_is_fitted_it_is_a_cosine():
    """Less 1; of encoders side by side, the mean of theirs, or a weighted one."""
    sides = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in np.split(TWICE, 2, axis=1)]
    first, second = (side @ side.T for side in sides)
    np.testing.assert_allclose(PLDA(1, 3).scores(sides[0]), first - 1, atol=1e-9)
    together = np.concatenate(sides, axis=1)
    np.testing.assert_allclose(PLDA(2, 3).scores(together), (first + second) / 2 - 1, atol=1e-9)
    weighed = PLDA(2, 3).weigh([0.25, 0.75]).scores(together)
    np.testing.assert_allclose(weighed, 0.25 * first + 0.75 * second - 1, atol=1e-6)
    layer = array(PLDA(2, 3)([together.astype("float32")] * 2))
    np.testing.assert_allclose(layer, 0, atol=1e-5)


def test_it_says_whether_it_was_fitted():
    assert not PLDA(1, 3).fitted
    assert PLDA(1, 3).fit(LEARNT, NAMES).fitted


def test_the_layer_gives_the_same_scores():
    plda = PLDA(2, 3).fit(BOTH, NAMES)
    test = TWICE.astype("float32")
    left, right = keras.Input((6,)), keras.Input((6,))
    model = keras.Model([left, right], plda([left, right]))
    found = model.predict([test[:10], test[10:20]], verbose=0)
    assert found.shape == (10, 1)
    expected = np.diag(plda.scores(test[:10], test[10:20]))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4, atol=1e-3)


def test_few_voices_do_not_break_it():
    """Fewer voices than dimensions, and voices that are all the same."""
    names = np.array([0, 0, 1, 1])
    for learnt in (RNG.normal(size=(4, 12)), np.ones((4, 12))):
        assert all(np.isfinite(part).all() for part in two_covariance(learnt, names))


def test_it_hears_what_a_cosine_misses():
    """One direction scatters within speakers only: cosines are taken in by it."""
    rng, names = np.random.default_rng(1), np.repeat(np.arange(12), 6)

    def made(names, seed):
        centres = np.random.default_rng(seed).normal(size=(names.max() + 1, 6))
        raw = centres[names] + rng.normal(size=(len(names), 6)) * [6, 0.3, 0.3, 0.3, 0.3, 0.3]
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)

    plda, test, trials = PLDA(1, 6).fit(made(NAMES, 2), NAMES), made(names, 3), all_trials(names)
    rates = [
        equal_error(matrix[trials.left, trials.right], trials.label)[0]
        for matrix in (cosine_scores(test), plda.scores(test))
    ]
    assert rates[1] < rates[0] - 0.05
