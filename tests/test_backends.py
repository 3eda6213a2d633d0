"""What can stand behind the embeddings, against its definition."""

import numpy as np
import pytest
from test_plda import LEARNT, NAMES, TEST

from helpers import metrics, pairs
from helpers.research import training_hooks


def test_whitening_makes_the_scatter_within_speakers_round():
    centres = np.stack([LEARNT[8 * i : 8 * i + 8].mean(axis=0) for i in range(30)])
    white = np.linalg.inv(np.linalg.cholesky(np.cov((LEARNT - centres[NAMES]).T)))
    expected = metrics.cosine_scores((TEST - LEARNT.mean(axis=0)) @ white.T)
    np.testing.assert_allclose(training_hooks.whitening(LEARNT, NAMES, TEST, floor=0), expected, atol=1e-6)


def test_normalised_scores_count_deviations_from_the_likest_strangers():
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (LEARNT, TEST)]
    scores = training_hooks.score_norm(unit[0], NAMES, unit[1], nearest=3)
    cohort = np.stack([unit[0][8 * i : 8 * i + 8].mean(axis=0) for i in range(30)])
    cohort /= np.linalg.norm(cohort, axis=1, keepdims=True)
    likest = [np.sort(cohort @ voice)[-3:] for voice in unit[1]]
    cosine = unit[1][0] @ unit[1][5]
    expected = np.mean([(cosine - likest[i].mean()) / likest[i].std() for i in (0, 5)])
    assert scores[0, 5] == pytest.approx(expected)
    np.testing.assert_allclose(scores, scores.T, atol=1e-9)


@pytest.mark.parametrize("name", ["lda", "whitening", "plda"])
def test_a_backend_hears_what_a_cosine_misses(name):
    """One direction scatters within speakers only: cosines are taken in by it, a projection is not."""
    rng = np.random.default_rng(1)

    def made(names, seed):
        centres = np.random.default_rng(seed).normal(size=(names.max() + 1, 6))
        noise = rng.normal(size=(len(names), 6)) * [6, 0.3, 0.3, 0.3, 0.3, 0.3]
        raw = centres[names] + noise
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)

    test_names = np.repeat(np.arange(12), 6)
    learnt, test = made(NAMES, 2), made(test_names, 3)
    trials = pairs.all_trials(test_names)

    def rate(matrix):
        return metrics.equal_error(matrix[trials.left, trials.right], trials.label)[0]

    scores = training_hooks.BACKENDS[name](learnt, NAMES, test)
    assert scores.shape == (72, 72)
    np.testing.assert_allclose(scores, scores.T, atol=1e-6)
    assert rate(scores) < rate(metrics.cosine_scores(test)) - 0.05
