"""Identification among known speakers, against cases worked by hand."""

from itertools import combinations

import numpy as np
import pytest

from helpers import InputError
from helpers.search import open_set

SPEAKERS = np.array([0, 0, 1, 1, 2, 2])
# Utterance 3 of speaker 1 is nearer to speaker 2; the diagonal would answer everything.
MATRIX = np.array(
    [
        [9, 5, 1, 2, 0, 1],
        [5, 9, 2, 1, 1, 0],
        [1, 2, 9, 4, 3, 2],
        [2, 1, 4, 9, 6, 3],
        [0, 1, 3, 6, 9, 7],
        [1, 0, 2, 3, 7, 9],
    ],
    dtype=float,
)


def test_the_vote_goes_to_most_and_then_to_the_nearest():
    names = np.array(["a", "a", "b", "b", "c"])
    rows = [[4, 0, 1], [2, 0, 4], [0, 2, 3], [4, 2, 0]]
    assert open_set.vote(np.array(rows), names).tolist() == ["a", "b", "b", "c"]
    assert open_set.vote(np.array(rows)[:, :1], names).tolist() == ["c", "b", "a", "c"]


def test_an_utterance_does_not_name_itself():
    assert open_set.identify_leave_one_out(MATRIX, SPEAKERS).tolist() == [0, 0, 1, 2, 2, 2]
    assert open_set.identify_leave_one_out(MATRIX, SPEAKERS, k=5).tolist() == [1, 1, 2, 2, 1, 1]
    assert MATRIX[0, 0] == 9  # not changed
    alone = np.array([[9.0, 1], [1, 9]])
    assert open_set.identify_leave_one_out(alone, np.array([3, 4])).tolist() == [4, 3]


def test_scores_with_each_speaker():
    matrix = open_set.mask_diagonal(MATRIX)
    best = open_set.speaker_scores(matrix, SPEAKERS)
    assert best.tolist() == [[5, 2, 1], [5, 2, 1], [2, 4, 3], [2, 4, 6], [1, 6, 7], [1, 3, 7]]
    mean = open_set.speaker_scores(matrix, SPEAKERS, np.nanmean)
    assert mean.tolist() == [
        [5, 1.5, 0.5],
        [5, 1.5, 0.5],
        [1.5, 4, 2.5],
        [1.5, 4, 4.5],
        [0.5, 4.5, 7],
        [0.5, 2.5, 7],
    ]


def test_strangers_meet_every_speaker_but_themselves():
    strangers = open_set.impostor_scores(MATRIX, SPEAKERS)
    assert strangers.tolist() == [[2, 1], [2, 1], [2, 3], [2, 6], [1, 6], [1, 3]]
    assert open_set.impostor_scores(MATRIX, SPEAKERS, np.nanmean)[3].tolist() == [1.5, 4.5]


def test_members_meet_all():
    right, scores = open_set.member_identifications(MATRIX, SPEAKERS)
    assert right.tolist() == [True, True, True, False, True, True]
    assert scores.tolist() == [5, 5, 4, 6, 7, 7]
    right, scores = open_set.member_identifications(MATRIX, SPEAKERS, np.nanmean)
    assert right.tolist() == [True, True, True, False, True, True]
    assert scores.tolist() == [5, 5, 4, 4.5, 7, 7]


def test_the_threshold_lets_a_share_of_strangers_pass():
    scores = np.random.default_rng(0).normal(size=(4000, 10))
    for known in (1, 10, 50):
        threshold = open_set.open_set_threshold(scores, known, rate=0.1)
        assert np.mean(scores >= threshold) == pytest.approx(1 - 0.9 ** (1 / known), rel=0.01)
    threshold = open_set.open_set_threshold(scores, 10, rate=0.1)
    assert np.mean(scores.max(axis=1) >= threshold) == pytest.approx(0.1, abs=0.015)  # independent
    assert np.mean(scores.max(axis=1) >= open_set.open_set_threshold(scores, 1, 0.1)) > 0.6


def test_a_rate_too_rare_to_measure_is_refused():
    with pytest.raises(InputError, match=r"20 impostor scores for a rate of 1 in \d+; expected more"):
        open_set.open_set_threshold(np.ones((10, 2)), 19)


@pytest.mark.parametrize("known", [1, 2, 4, 5])
def test_the_chance_of_passing_is_that_of_all_draws(known):
    strangers = np.array([[1, 5, 2, 7, 3], [0, 1, 0, 2, 1], [9, 9, 9, 9, 9]])
    drawn = [list(each) for each in combinations(range(5), known)]
    expected = [np.mean([(row[each] >= 5).any() for each in drawn]) for row in strangers]
    np.testing.assert_allclose(open_set.false_identification_rates(strangers, 5, known), expected)
