"""PLDA: against the normal densities that it is made of, as a layer, and where a cosine fails."""

import keras
import numpy as np
import pytest
from scipy.stats import multivariate_normal

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
NOBODY = np.zeros(len(NAMES), dtype=bool)


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
    scores = PLDA(1, 3).fit(LEARNT, NAMES, [NOBODY]).scores(TEST)
    apart = scores - log_ratios(LEARNT, NAMES, TEST, 0.3)
    np.testing.assert_allclose(
        apart, apart[0, 0], atol=1e-3
    )  # up to a constant; weights are single precision
    np.testing.assert_allclose(scores, scores.T, atol=1e-9)


def test_each_encoder_has_a_part_of_its_own_that_knows_no_held_out_speaker():
    both, half = np.concatenate([LEARNT, LEARNT[:, ::-1] ** 2], axis=1), NAMES < 15
    plda = PLDA(2, 3).fit(both, NAMES, [half, ~half])
    first = PLDA(1, 3).fit(LEARNT[~half], NAMES[~half], [NOBODY[~half]])
    second = PLDA(1, 3).fit(LEARNT[half][:, ::-1] ** 2, NAMES[half], [NOBODY[half]])
    parts = first.scores(TEST), second.scores(TEST[:, ::-1] ** 2)
    test = np.concatenate([TEST, TEST[:, ::-1] ** 2], axis=1)
    for number, part in enumerate(parts):
        np.testing.assert_allclose(plda.scores(test, encoder=number), part, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(plda.scores(test), np.mean(parts, axis=0), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(plda.scores(test[:5], test[3:]), plda.scores(test)[:5, 3:], atol=1e-9)


def test_the_layer_gives_the_same_scores():
    half = NAMES < 15
    plda = PLDA(2, 3).fit(np.tile(LEARNT, 2), NAMES, [half, ~half])
    test = np.tile(TEST, 2).astype("float32")
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

    plda, test, trials = PLDA(1, 6).fit(made(NAMES, 2), NAMES, [NOBODY]), made(names, 3), all_trials(names)
    rates = [
        equal_error(matrix[trials.left, trials.right], trials.label)[0]
        for matrix in (cosine_scores(test), plda.scores(test))
    ]
    assert rates[1] < rates[0] - 0.05
