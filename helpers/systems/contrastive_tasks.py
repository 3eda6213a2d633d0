"""What a contrastive network learns from: same speaker or same word, as features and labels."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.fft import dct

from helpers import InputError
from helpers.augmentation import at_speed
from helpers.batches import TrainingConfig, hold_out_speakers
from helpers.features import Spectrogram

MEL = Spectrogram(n_fft=512, hop_length=256, mel_bands=64)  # 32 ms every 16 ms
MFCCS = 24
WORD_FRAMES = 48  # that every word is stretched or squeezed to

# Speakers are learnt from stretches of utterances; words from whole ones, by as many speakers as there are.
SPEAKER_CONFIG = TrainingConfig(epochs=12, batch_speakers=25, batch_utterances=4, learning_rate=3e-3)
WORD_CONFIG = TrainingConfig(
    epochs=12, batch_speakers=20, batch_utterances=5, learning_rate=3e-3, crop=1.0, speeds=(0.9, 1.1)
)


def compute_views(waveforms, feature="mel", frames=None):
    """What the CNN sees of each utterance.

    Parameters
    ----------
    waveforms : list of float arrays (samples,)
        At 16,000 Hz.
    feature : {"mel", "mfcc"}
        Natural logarithms of 64 mel bands, or 24 MFCCs of them.
    frames : int, optional
        For words: every utterance is stretched to so many, by linear interpolation, and each value's mean
        over them is taken away. It holds the microphone and much of the voice; neither is the word.

    Returns
    -------
    list of float32 arrays (frames, values)

    Raises
    ------
    InputError
        For another feature, and as `features.Spectrogram`.
    """
    if feature not in ("mel", "mfcc"):
        raise InputError(f"is {feature!r}", file="feature", expected="'mel' or 'mfcc'")
    views = [MEL(waveform)[0] for waveform in waveforms]
    if frames:
        for number, view in enumerate(views):
            at = np.linspace(0, len(view) - 1, frames)
            before = np.minimum(at.astype(int), len(view) - 2)
            part = (at - before)[:, None].astype(np.float32)
            stretched = view[before] * (1 - part) + view[before + 1] * part
            views[number] = stretched - stretched.mean(axis=0)
    return [dct(view, axis=1, norm="ortho")[:, :MFCCS] for view in views] if feature == "mfcc" else views


class Task(NamedTuple):
    """What is to be told apart: views to learn from, held out from training speakers, and to be tested with.

    Each of `learn`, `held_out` and `test` is a tuple of a list of views (frames, values) and labels (n,);
    `speakers` (held out, test) are who spoke those. `config` and `segments` fit the task.
    """

    name: str
    learn: tuple
    held_out: tuple
    test: tuple
    speakers: tuple
    config: TrainingConfig
    segments: int


def speaker_task(train, test, feature="mel", seed=0):
    """Same speaker? A `Task`, in which copies at other speeds count as other speakers.

    Parameters
    ----------
    train, test : corpora.Recordings
        Labels are speakers.
    feature : {"mel", "mfcc"}
    seed : int
        Draws the fifth of the training speakers that is held out.
    """
    return _task(train, test, SPEAKER_CONFIG, lambda recordings: recordings.labels, feature, seed)


def word_task(train, test, feature="mel", seed=0):
    """Same word? A `Task` as `speaker_task`, but copies at other speeds are the same word, of another voice.

    Labels are words; where the table has no column `speaker`, every recording counts as one's own.
    """
    return _task(train, test, WORD_CONFIG, speaker_ids, feature, seed, WORD_FRAMES)


def _task(train, test, config, speakers_of, feature, seed, word_frames=None):
    """A task of speakers, or of words where there is a number of frames that every word is stretched to."""
    speakers = speakers_of(train)
    apart = hold_out_speakers(speakers, max(2, round(len(np.unique(speakers)) / 5)), seed)
    known, unknown = train.select(~apart), train.select(apart)
    speeds = (1, *config.speeds)
    waveforms = [at_speed(each, speed) for speed in speeds for each in known.waveforms]
    labels = np.tile(np.unique(known.labels, return_inverse=True)[1], len(speeds))
    if not word_frames:  # a copy at another speed is another speaker
        labels += np.repeat(np.arange(len(speeds)), len(known.labels)) * (labels.max() + 1)
    views = partial(compute_views, feature=feature, frames=word_frames)
    rest = [(views(each.waveforms), each.labels) for each in (unknown, test)]
    counts = np.bincount(labels)  # where there are fewer labels or utterances, batches are smaller
    config = replace(
        config,
        seed=seed,
        widest_mask=config.widest_mask if feature == "mel" else 0.0,  # MFCCs side by side do not say the same
        batch_speakers=min(config.batch_speakers, len(counts)),
        batch_utterances=int(min(config.batch_utterances, counts.min())),
    )
    name, segments = ("word", 4) if word_frames else ("speaker", 1)
    whose = speakers_of(unknown), speakers_of(test)
    return Task(name, (views(waveforms), labels), *rest, whose, config, segments)


def speaker_ids(recordings):
    """Who spoke each recording (recordings,): the table's column `speaker`; without it, each its own."""
    table = recordings.table
    return table["speaker"].to_numpy(dtype=str) if "speaker" in table else np.arange(len(table))
