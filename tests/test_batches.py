"""Batches: folds of whole speakers, and what an epoch is made of."""

from dataclasses import replace

import numpy as np
import pytest

from helpers import InputError
from helpers.batches import SpeakerBatches, TrainingConfig, assign_folds, hold_out_speakers, sample_speakers

pytestmark = pytest.mark.backend

COUNTING = replace(TrainingConfig(), batch_speakers=3, batch_utterances=2, widest_mask=0.0, crop=0.5)
SPEAKERS = np.random.default_rng(0).permutation(np.repeat([3, 5, 7, 20, 21], [2, 3, 4, 4, 5]))
LENGTHS = np.random.default_rng(1).integers(16, 30, size=len(SPEAKERS))


def numbered(lengths, bins=6):
    """Spectrograms whose every value says its utterance, frame and bin: 10,000 u + 10 f + b."""
    return [
        (10_000 * u + 10 * np.arange(n)[:, None] + np.arange(bins)).astype(np.float32)
        for u, n in enumerate(lengths)
    ]


def rows(batches, number):
    """The utterances of an epoch."""
    return (batches.epoch(number)[0][:, 0, 0] // 10_000).astype(int).tolist()


@pytest.fixture
def batches():
    return SpeakerBatches(numbered(LENGTHS), SPEAKERS, COUNTING)


def test_some_speakers_are_whole_and_as_many_as_fit():
    speakers = np.repeat([3, 5, 7, 20, 21], [2, 3, 4, 4, 5])
    for wanted in range(9, 19):
        chosen = sample_speakers(speakers, wanted)
        for name in np.unique(speakers):
            assert len(set(chosen[speakers == name])) == 1
        left = np.unique(speakers[~chosen], return_counts=True)[1]
        assert chosen.sum() <= wanted
        assert (wanted == 18) == (len(left) == 0)
        np.testing.assert_array_equal(chosen, sample_speakers(speakers + 1, wanted))
    assert len(set(speakers[sample_speakers(speakers, 0)])) == 2


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_parts_of_an_epoch_are_the_epoch(batches, size):
    parts = list(batches.parts(3, size))
    assert len(parts) == -(-batches.steps // size)
    assert {len(speakers) % batches.size for _, speakers in parts} == {0}
    for ours, whole in zip(zip(*parts, strict=True), batches.epoch(3), strict=True):
        np.testing.assert_array_equal(np.concatenate(ours), whole)


# ---- the config and its folds ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0; expected a whole number, epochs >= 1"),
        ({"epochs": -1}, "epochs is -1; expected a whole number, epochs >= 1"),
        ({"held_out_folds": 0}, "held_out_folds is 0; expected a whole number, 1 <= held_out_folds <= folds"),
        ({"held_out_folds": 6}, "held_out_folds is 6; expected a whole number, 1 <= held_out_folds <= folds"),
        ({"held_out_folds": 4, "folds": 3}, "held_out_folds is 4; expected a whole number, 1 <= held_out_"),
    ],
)
def test_configs_that_make_no_sense_are_refused(change, message):
    with pytest.raises(InputError, match=message) as refusal:
        TrainingConfig(**change)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("seed", range(5))
def test_folds_are_whole_speakers_and_as_equal_as_can_be(seed):
    names, counts = [4, 8, 15, 16, 23, 42, 99], [2, 3, 4, 5, 6, 7, 8]
    speakers = np.random.default_rng(seed).permutation(np.repeat(names, counts))
    fold = assign_folds(speakers, 3, seed)
    assert fold.shape == speakers.shape
    members = [set(speakers[fold == number]) for number in range(3)]
    assert sorted(map(len, members)) == [2, 2, 3]
    assert sum(map(len, members)) == len(set.union(*members)) == 7  # nobody in two of them, nobody in none
    np.testing.assert_array_equal(fold, assign_folds(speakers, 3, seed))


def test_fifty_one_speakers_in_five_folds():
    fold = assign_folds(np.repeat(np.arange(51), 10), 5)
    assert sorted(np.bincount(fold)) == [100, 100, 100, 100, 110]


def test_folds_are_drawn():
    speakers = np.repeat(np.arange(6), 2)
    drawn = {tuple(sorted(set(speakers[assign_folds(speakers, 3, seed) == 0]))) for seed in range(100)}
    assert len(drawn) == 15


@pytest.mark.parametrize("folds", [-1, 0, 1, 4, 6, 7])
def test_folds_of_fewer_than_two_speakers_are_refused(folds):
    speakers = np.repeat(np.arange(7), 3)
    expected = f"7 speakers in {folds} folds; expected at least 2 folds with at least 2 speakers each"
    with pytest.raises(InputError, match=expected) as refusal:
        assign_folds(speakers, folds)
    assert "\n" not in str(refusal.value)
    for fits in (2, 3):
        assert set(assign_folds(speakers, fits)) == set(range(fits))


# ---- batches -----------------------------------------------------------------------------------------------


def test_a_batch_holds_speakers_with_distinct_utterances(batches):
    assert batches.size == 6
    assert batches.steps == 3  # 18 utterances
    for number in range(30):
        crops, speakers = batches.epoch(number)
        assert len(crops) == len(speakers) == batches.steps * batches.size
        assert crops.dtype == np.float32
        rows = (crops[:, 0, 0] // 10_000).astype(int)
        np.testing.assert_array_equal(SPEAKERS[rows], speakers)
        for batch in np.split(np.arange(len(rows)), batches.steps):
            assert len(set(rows[batch])) == 6
            names, counts = np.unique(speakers[batch], return_counts=True)
            assert (len(names), set(counts)) == (3, {2})
            np.testing.assert_array_equal(speakers[batch], np.repeat(speakers[batch][::2], 2))  # one by one


def test_every_utterance_comes_up(batches):
    assert {row for number in range(60) for row in rows(batches, number)} == set(range(len(SPEAKERS)))


def test_crops_are_stretches_within_their_utterance(batches):
    assert LENGTHS.min() == 16
    assert batches.frames == 8
    edges = set()
    for number in range(60):
        crops, _ = batches.epoch(number)
        assert crops.shape[1:] == (8, 6)
        for cut in crops:
            row, start = int(cut[0, 0] // 10_000), int(cut[0, 0] % 10_000 // 10)
            np.testing.assert_array_equal(cut, batches.spectrograms[row][start : start + 8])
            edges |= {"first"} if start == 0 else set()
            edges |= {"last"} if start == LENGTHS[row] - 8 else set()
    assert edges == {"first", "last"}


@pytest.mark.parametrize(("share", "frames"), [(1.0, 16), (0.7, 11), (0.01, 1)])
def test_a_crop_is_a_share_of_the_shortest_utterance(share, frames):
    batches = SpeakerBatches(numbered(LENGTHS), SPEAKERS, replace(COUNTING, crop=share))
    assert batches.epoch(0)[0].shape == (18, frames, 6)


def test_epochs_follow_from_seed_and_number(batches):
    again = SpeakerBatches(numbered(LENGTHS), SPEAKERS, COUNTING)
    for _ in range(3):
        batches.epoch(0)  # what came before does not matter
    for ours, theirs in zip(batches.epoch(4), again.epoch(4), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert rows(batches, 4) != rows(batches, 5)
    other = SpeakerBatches(numbered(LENGTHS), SPEAKERS, replace(COUNTING, seed=1))
    assert rows(batches, 4) != rows(other, 4)


def test_streams_hold_other_utterances(batches):
    streams = [batches] + [SpeakerBatches(numbered(LENGTHS), SPEAKERS, COUNTING, i) for i in (1, 2)]
    for number in range(10):
        assert len({tuple(rows(each, number)) for each in streams}) == 3


def test_masks_are_drawn_utterance_by_utterance_and_leave_the_data_alone():
    spectrograms = numbered(LENGTHS)
    masked = SpeakerBatches(spectrograms, SPEAKERS, replace(COUNTING, widest_mask=0.5))
    crops, _ = masked.epoch(0)
    plain = [np.diff(cut[:2, :], axis=0)[0] == 10 for cut in crops]  # where a frame is 10 above the last
    assert len({tuple(bins) for bins in plain}) > 3
    for spectrogram, whole in zip(spectrograms, numbered(LENGTHS), strict=True):
        np.testing.assert_array_equal(spectrogram, whole)


@pytest.mark.parametrize("change", [{"batch_speakers": 6}, {"batch_utterances": 3}])
def test_batches_larger_than_the_data_are_refused(change):
    with pytest.raises(InputError, match="at most 5 speakers with 2 each") as refusal:
        SpeakerBatches(numbered(LENGTHS), SPEAKERS, replace(COUNTING, **change))
    assert "\n" not in str(refusal.value)
    SpeakerBatches(numbered(LENGTHS), SPEAKERS, replace(COUNTING, batch_speakers=5))


@pytest.mark.parametrize("seed", range(5))
def test_held_out_speakers_are_whole_and_as_many_as_asked(seed):
    speakers = np.random.default_rng(seed).permutation(np.repeat([4, 8, 15, 16, 23, 42], [2, 3, 4, 5, 6, 7]))
    aside = hold_out_speakers(speakers, 2, seed)
    assert aside.dtype == bool
    assert len(set(speakers[aside])) == 2
    assert not set(speakers[aside]) & set(speakers[~aside])
    np.testing.assert_array_equal(aside, hold_out_speakers(speakers, 2, seed))


def test_held_out_speakers_are_drawn():
    speakers = np.repeat(np.arange(6), 2)
    drawn = {tuple(sorted(set(speakers[hold_out_speakers(speakers, 2, seed)]))) for seed in range(100)}
    assert len(drawn) == 15


@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, -1])
def test_a_count_that_leaves_too_few_speakers_is_refused(count):
    speakers = np.repeat(np.arange(6), 3)
    with pytest.raises(InputError, match=f"{count} of 6 speakers held out; expected at least 2"):
        hold_out_speakers(speakers, count)
    for fits in (2, 4):
        assert hold_out_speakers(speakers, fits).sum() == 3 * fits
