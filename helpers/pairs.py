"""Pairs and trials as index arrays, label 1 for the same speaker; trials with several enrolled utterances."""

from typing import NamedTuple

import numpy as np

from helpers import InputError


class Pairs(NamedTuple):
    """Utterances compared two by two, as three int arrays of one length.

    `left` and `right` index utterances, left < right; `label` is 1 for one speaker (a target trial) and
    0 for two (an impostor trial).
    """

    left: np.ndarray
    right: np.ndarray
    label: np.ndarray

    def select(self, mask):
        """The pairs that a boolean mask or an index array picks."""
        return Pairs(self.left[mask], self.right[mask], self.label[mask])


class Enrolments(NamedTuple):
    """Trials of one test utterance against a speaker enrolled with several.

    `enrolled` (trials, k) and `test` (trials,) index utterances; `label` (trials,) is 1 where the test
    utterance is the enrolled speaker's; `speaker` (trials,) is the enrolled speaker.
    """

    enrolled: np.ndarray
    test: np.ndarray
    label: np.ndarray
    speaker: np.ndarray


def all_trials(speakers):
    """Every pair of different utterances once: n (n - 1) / 2 trials.

    Parameters
    ----------
    speakers : int array (n,)

    Returns
    -------
    Pairs
    """
    speakers = np.asarray(speakers)
    left, right = np.triu_indices(len(speakers), k=1)
    return Pairs(left, right, (speakers[left] == speakers[right]).astype(int))


def balanced_pairs(speakers, seed=0):
    """All positive pairs and as many different negative ones, drawn without replacement.

    Parameters
    ----------
    speakers : int array (n,)
    seed : int
        The same seed draws the same pairs.

    Returns
    -------
    Pairs
        Positives first; no pair twice, none of an utterance with itself.

    Raises
    ------
    InputError
        When there are no positive pairs, or fewer negative than positive ones.
    """
    trials = all_trials(speakers)
    positive, negative = np.flatnonzero(trials.label == 1), np.flatnonzero(trials.label == 0)
    if not 0 < len(positive) <= len(negative):
        raise InputError(
            f"{len(positive)} positive and {len(negative)} negative pairs",
            expected="at least one positive and as many negative: more speakers, or at least two utterances "
            "a speaker",
        )
    drawn = np.random.default_rng(seed).choice(negative, size=len(positive), replace=False)
    return trials.select(np.concatenate([positive, np.sort(drawn)]))


def within_groups(trials, groups):
    """The trials whose two utterances share a group, gender for one: the harder impostors.

    Parameters
    ----------
    trials : Pairs
    groups : array (utterances,)
        Any labels.

    Returns
    -------
    Pairs
    """
    groups = np.asarray(groups)
    return trials.select(groups[trials.left] == groups[trials.right])


def enrolments(speakers, enrolled=5, draws=10, seed=0):
    """Trials of each utterance that is not enrolled against every speaker enrolled with `enrolled` others.

    Parameters
    ----------
    speakers : int array (n,)
    enrolled : int
        Utterances enrolled per speaker; the speaker's others are tested.
    draws : int
        How often the enrolled ones are drawn anew, so that the result does not depend on a single draw.
    seed : int

    Returns
    -------
    Enrolments

    Raises
    ------
    InputError
        When a speaker has too few utterances to enrol and to test.
    """
    speakers = np.asarray(speakers)
    names, counts = np.unique(speakers, return_counts=True)
    if enrolled < 1 or not len(names):
        found = f"{enrolled} utterances to enrol of {len(names)} speakers"
        raise InputError(found, expected="at least one of each")
    if counts.min() <= enrolled:
        found = f"speaker {names[counts.argmin()]} has {counts.min()} utterances"
        raise InputError(found, expected=f"more than the {enrolled} that are enrolled")
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(draws):
        models = np.stack([rng.permutation(np.flatnonzero(speakers == name))[:enrolled] for name in names])
        tests = np.setdiff1d(np.arange(len(speakers)), models)
        model, test = (grid.ravel() for grid in np.meshgrid(np.arange(len(names)), tests, indexing="ij"))
        label = (names[model] == speakers[test]).astype(int)
        parts.append((models[model], test, label, names[model]))
    return Enrolments(*(np.concatenate(part) for part in zip(*parts, strict=True)))
