"""The settings of a training, its folds of speakers, and its batches of P speakers with K utterances."""

from dataclasses import dataclass, fields

import numpy as np

from helpers import InputError, check_values
from helpers.augmentation import random_crops


CONDITIONS = (
    "0 <= seed < 2**32",
    "epochs >= 1",
    "1 <= held_out_folds <= folds",
    "batch_speakers >= 2",
    "batch_utterances >= 2",
    "learning_rate >= 0",
    "0 < crop <= 1",
    "0 <= widest_mask <= 1",
    "all(0.5 <= speed <= 2 for speed in speeds)",
)


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of a training run; an InputError, as of `check_values`, refuses what makes no sense.

    Parameters
    ----------
    seed : int
        Settles the folds, first weights, batches and dropout.
    epochs : int
        An epoch draws as many utterances as there are.
    folds : int
        Number of folds that the speakers are divided into.
    held_out_folds : int
        Number of folds that are held out, each from its own training; they give the calibration.
    batch_speakers, batch_utterances : int
        P speakers with K utterances each in a batch.
    learning_rate : float
        Adam's step size at the start; it falls to zero along a cosine.
    crop : float
        Utterances are cut, at a random place, to this share of the shortest one's frames: one length for
        all, as a backend compiles each length anew.
    widest_mask : float
        Up to this share of neighbouring bins is masked in each utterance.
    speeds : tuple of float
        Copies at other speeds count as other speakers: pitch and vocal tract move with the speed.
    """

    seed: int = 0
    epochs: int = 20
    folds: int = 5
    held_out_folds: int = 1
    batch_speakers: int = 25
    batch_utterances: int = 4
    learning_rate: float = 1.5e-3
    crop: float = 0.7
    widest_mask: float = 1 / 3
    speeds: tuple = (0.8, 0.9, 1.1, 1.2)

    def __post_init__(self):
        check_values(vars(self), {each.name: each.default for each in fields(self)}, CONDITIONS)


def assign_folds(speakers, folds, seed=0):
    """Divide speakers into folds at random.

    Parameters
    ----------
    speakers : int array (utterances,)
    folds, seed : int

    Returns
    -------
    int array (utterances,)
        The fold, 0 to `folds` - 1, of each utterance's speaker; as equal in size as can be.

    Raises
    ------
    InputError
        When there are not at least two folds with two speakers each.
    """
    names, index = np.unique(speakers, return_inverse=True)
    if folds < 2 or len(names) < 2 * folds:
        found = f"{len(names)} speakers in {folds} folds"
        raise InputError(found, expected="at least 2 folds with at least 2 speakers each")
    return (np.random.default_rng(seed).permutation(len(names)) % folds)[index]


def hold_out_speakers(speakers, count, seed=0):
    """Hold out some speakers.

    Parameters
    ----------
    speakers : int array (utterances,)
    count, seed : int

    Returns
    -------
    bool array (utterances,)
        True for the utterances of `count` speakers drawn at random.

    Raises
    ------
    InputError
        When fewer than two speakers would be kept aside, or fewer than two would be left.
    """
    names = np.unique(speakers)
    if not 2 <= count <= len(names) - 2:
        found = f"{count} of {len(names)} speakers held out"
        raise InputError(found, expected="at least 2 held out and 2 to learn from")
    return np.isin(speakers, np.random.default_rng(seed).choice(names, size=count, replace=False))


def sample_speakers(speakers, utterances):
    """Draw as many random speakers as have at most `utterances` together, but at least two.

    Parameters
    ----------
    speakers : int array (n,)
    utterances : int

    Returns
    -------
    bool array (n,)
        True for their utterances.
    """
    names, index, counts = np.unique(speakers, return_inverse=True, return_counts=True)
    order = np.random.default_rng(0).permutation(len(names))
    kept = max(2, np.searchsorted(np.cumsum(counts[order]), utterances, side="right"))
    return np.isin(index, order[:kept])


class SpeakerBatches:
    """Batches of P speakers with K utterances each, cropped and masked at random.

    An epoch is one pair of arrays, drawn ahead: rows 0 to PK - 1 are its first batch, and so on. It follows
    from the seed and its number alone, so that a resumed run sees the same batches. Arrays and not a
    generator, because TensorFlow can wait for ever when it drops a Python generator that reads ahead.

    Parameters
    ----------
    spectrograms : list of float arrays (frames, bins)
    speakers : int array (utterances,)
    config : TrainingConfig
    stream : int
        Batches of another stream with the same seed hold other utterances.
    frames : int, optional
        Length to cut to, at most that of the shortest utterance; the config's `crop` of it by default.

    Raises
    ------
    InputError
        When a batch asks for more speakers or utterances than there are.
    """

    def __init__(self, spectrograms, speakers, config, stream=0, frames=None):
        names, counts = np.unique(speakers, return_counts=True)
        if config.batch_speakers > len(names) or config.batch_utterances > counts.min():
            found = f"batches of {config.batch_speakers} speakers with {config.batch_utterances} utterances"
            raise InputError(found, expected=f"at most {len(names)} speakers with {counts.min()} each")
        self.spectrograms, self.speakers = spectrograms, speakers
        self.config, self.stream = config, stream
        self.names, self.rows = names, [np.flatnonzero(speakers == name) for name in names]
        self.frames = frames or max(1, round(config.crop * min(map(len, spectrograms))))
        self.size = config.batch_speakers * config.batch_utterances
        self.steps = max(1, round(len(speakers) / self.size))

    def epoch(self, number):
        """The spectrograms and speakers of an epoch, counted from 0.

        Returns
        -------
        float32 array (steps * P * K, frames, bins), int array (steps * P * K,)
            Drawn anew in each epoch.
        """
        (whole,) = self.parts(number, self.steps)
        return whole

    def parts(self, number, batches):
        """The same in parts, because an epoch of a large corpus may not fit into memory."""
        config, rng = self.config, np.random.default_rng([self.config.seed, number, self.stream])
        rows = []
        for _ in range(self.steps):  # speaker by speaker
            chosen = rng.choice(len(self.rows), config.batch_speakers, replace=False)
            rows += [rng.choice(self.rows[i], config.batch_utterances, replace=False) for i in chosen]
        rows = np.concatenate(rows)
        for start in range(0, len(rows), batches * self.size):
            mine = rows[start : start + batches * self.size]
            whole = [self.spectrograms[row] for row in mine]
            yield random_crops(whole, self.frames, config.widest_mask, rng), self.speakers[mine]
