"""Pairs and trials, held against brute force."""

from itertools import combinations

import numpy as np
import pytest

from helpers import InputError
from helpers.pairs import all_trials, balanced_pairs, enrolments, within_groups

pytestmark = pytest.mark.backend

COURSE = np.repeat(np.arange(50), 10)


def random_speakers(seed):
    """Speakers in any order, unequally many utterances each, names with gaps."""
    rng = np.random.default_rng(seed)
    names = rng.choice(1000, size=rng.integers(2, 7), replace=False)
    return rng.permutation(np.concatenate([names, names, rng.choice(names, size=rng.integers(0, 12))]))


def same_speaker_pairs(speakers):
    trials = all_trials(speakers)
    return trials.select(trials.label == 1)


def as_set(pairs):
    return set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))


def assert_sound(pairs, speakers):
    assert (pairs.left < pairs.right).all()
    assert pairs.right.max(initial=0) < len(speakers)
    assert len(as_set(pairs)) == len(pairs.left) == len(pairs.right) == len(pairs.label)
    np.testing.assert_array_equal(pairs.label, speakers[pairs.left] == speakers[pairs.right])
    for part in pairs:
        assert np.issubdtype(part.dtype, np.integer)


def test_counts_of_the_course():
    assert len(all_trials(COURSE).label) == 124_750
    assert all_trials(COURSE).label.sum() == 2250
    positive = same_speaker_pairs(COURSE)
    assert len(positive.label) == 2250
    np.testing.assert_array_equal(np.bincount(COURSE[positive.left]), 45)
    balanced = balanced_pairs(COURSE)
    assert len(balanced.label) == 4500
    assert balanced.label.sum() == 2250


@pytest.mark.parametrize("seed", range(20))
def test_every_list_against_brute_force(seed):
    speakers = random_speakers(seed)
    every = set(combinations(range(len(speakers)), 2))
    same = {(a, b) for a, b in every if speakers[a] == speakers[b]}

    trials = all_trials(speakers)
    assert_sound(trials, speakers)
    assert as_set(trials) == every

    positive = same_speaker_pairs(speakers)
    assert_sound(positive, speakers)
    assert as_set(positive) == same

    if len(same) <= len(every) - len(same):
        balanced = balanced_pairs(speakers, seed)
        assert_sound(balanced, speakers)
        assert as_set(balanced.select(balanced.label == 1)) == same
        assert np.sum(balanced.label == 0) == len(same)
        assert balanced.label[: len(same)].all()  # positives first

    groups = np.random.default_rng(seed).choice(["f", "m", "x"], size=len(speakers))
    within = within_groups(trials, groups)
    assert_sound(within, speakers)
    assert as_set(within) == {(a, b) for a, b in every if groups[a] == groups[b]}


def test_lists_work_on_plain_lists():
    assert as_set(all_trials([4, 4, 9])) == {(0, 1), (0, 2), (1, 2)}
    assert as_set(same_speaker_pairs([4, 4, 9])) == {(0, 1)}
    assert as_set(same_speaker_pairs([1, 2, 3])) == set()


def test_seeds_settle_the_negatives():
    first, again, other = balanced_pairs(COURSE, 1), balanced_pairs(COURSE, 1), balanced_pairs(COURSE, 2)
    for ours, theirs in zip(first, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    shared = as_set(first) & as_set(other)
    assert 2250 <= len(shared) < 2400  # the positives, and a few negatives by chance


def test_negatives_are_drawn_from_everywhere():
    speakers = np.repeat(np.arange(6), 2)  # 6 of the 60 negatives are drawn
    drawn = set()
    for seed in range(200):
        pairs = balanced_pairs(speakers, seed)
        drawn |= as_set(pairs.select(pairs.label == 0))
    assert len(drawn) == 60


def test_all_negatives_can_be_needed():
    pairs = balanced_pairs([0, 0, 1])  # one positive, two negatives
    assert len(pairs.label) == 2
    pairs = balanced_pairs([0, 0, 0, 1])  # three and three
    assert as_set(pairs) == set(combinations(range(4), 2))


@pytest.mark.parametrize("speakers", [[0, 1, 2], [0, 0, 0], [0, 0, 0, 0, 1], [0]])
def test_lists_that_cannot_be_balanced_are_refused(speakers):
    with pytest.raises(InputError, match=r"positive and \d+ negative") as refusal:
        balanced_pairs(speakers)
    assert "\n" not in str(refusal.value)


def test_select_takes_masks_and_indices():
    trials = all_trials([0, 0, 1])
    assert as_set(trials.select(trials.label == 0)) == {(0, 2), (1, 2)}
    assert as_set(trials.select(np.array([2]))) == {(1, 2)}


def test_within_groups_of_one_group_is_everything():
    trials = all_trials(COURSE[:30])
    assert as_set(within_groups(trials, ["f"] * 30)) == as_set(trials)
    gender = np.where(COURSE[:30] == 1, "f", "m")
    within = within_groups(trials, gender)
    assert within.label.sum() == trials.label.sum()  # no speaker is split
    assert np.sum(within.label == 0) == 100  # speakers 0 and 2


@pytest.mark.parametrize("seed", range(10))
def test_enrolments_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(4, 8, size=5)
    speakers = rng.permutation(np.repeat(rng.choice(100, 5, replace=False), counts))
    draws = 3
    trials = enrolments(speakers, enrolled=3, draws=draws, seed=seed)
    tested = len(speakers) - 5 * 3
    assert len(trials.test) == len(trials.label) == len(trials.speaker) == draws * 5 * tested
    assert trials.enrolled.shape == (draws * 5 * tested, 3)
    for draw in np.split(np.arange(len(trials.test)), draws):
        models = {name: trials.enrolled[draw][trials.speaker[draw] == name] for name in np.unique(speakers)}
        held = set()
        for name, rows in models.items():
            assert len(rows) == tested
            assert (rows == rows[0]).all()  # one model a speaker and draw
            assert len(set(rows[0])) == 3
            assert (speakers[rows[0]] == name).all()
            held |= set(rows[0].tolist())
        # Every other utterance meets every model once, and no enrolled one is tested.
        met = set(zip(trials.speaker[draw].tolist(), trials.test[draw].tolist(), strict=True))
        assert met == {(int(n), u) for n in models for u in range(len(speakers)) if u not in held}
    np.testing.assert_array_equal(trials.label, trials.speaker == speakers[trials.test])


def test_enrolments_of_the_course():
    trials = enrolments(np.repeat(np.arange(20), 10))
    assert len(trials.label) == 10 * 20 * 100
    assert trials.label.sum() == 10 * 100


def test_enrolments_are_drawn_anew_and_seeded():
    speakers = np.repeat(np.arange(4), 10)
    trials = enrolments(speakers, draws=8)
    models = {tuple(sorted(row)) for row in trials.enrolled[trials.speaker == 2]}
    assert len(models) > 5
    for ours, theirs in zip(trials, enrolments(speakers, draws=8), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (enrolments(speakers, draws=8, seed=1).enrolled != trials.enrolled).any()
    assert set(np.concatenate([enrolments(speakers, draws=30).test]).tolist()) == set(range(40))


def test_too_few_utterances_to_enrol_are_refused():
    with pytest.raises(InputError, match=r"speaker 7 has 5 utterances.* 5 that are enrolled") as refusal:
        enrolments([3] * 9 + [7] * 5, enrolled=5)
    assert "\n" not in str(refusal.value)
    assert len(enrolments([3] * 9 + [7] * 6, enrolled=5, draws=1).test) == 2 * (4 + 1)
