"""What a contrastive network learns from: same speaker or same word, as views of recordings and labels."""

from dataclasses import replace
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

# Voices from stretches of utterances. Words whole, from as many mouths as there are.
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
        raise InputError(f"feature is {feature!r}; expected 'mel' or 'mfcc'")
    if len(set(map(len, waveforms))) == 1:
        views = list(MEL(np.stack(waveforms)))
    else:
        views = [MEL(waveform)[0] for waveform in waveforms]
    if frames:
        stretched = (_stretched(view, frames) for view in views)
        views = [view - view.mean(axis=0) for view in stretched]
    if feature == "mfcc":
        views = [dct(view, axis=1, norm="ortho")[:, :MFCCS] for view in views]
    return views


def _stretched(view, frames):
    at = np.linspace(0, len(view) - 1, frames)
    before = np.minimum(at.astype(int), len(view) - 2)
    part = (at - before)[:, None].astype(np.float32)
    return view[before] * (1 - part) + view[before + 1] * part


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
    """Same speaker? Copies at other speeds count as other speakers.

    Parameters
    ----------
    train, test : corpora.Recordings
        Labels are speakers.
    feature : {"mel", "mfcc"}
    seed : int
        Draws the fifth of the training speakers that is held out.

    Returns
    -------
    Task
    """
    apart = hold_out_speakers(train.labels, _fifth(train.labels), seed)
    config = _config(SPEAKER_CONFIG, feature, seed)
    known, unknown = train.select(~apart), train.select(apart)
    waveforms, labels = [], []
    for i, speed in enumerate((1, *config.speeds)):
        waveforms += [_at(speed, waveform) for waveform in known.waveforms]
        labels.append(known.labels + i * (train.labels.max() + 1))
    learn = compute_views(waveforms, feature), np.unique(np.concatenate(labels), return_inverse=True)[1]
    rest = [(compute_views(each.waveforms, feature), each.labels) for each in (unknown, test)]
    return Task("speaker", learn, *rest, (unknown.labels, test.labels), _fitting(config, learn[1]), 1)


def word_task(train, test, feature="mel", seed=0):
    """Same word? Copies at other speeds are the same word, from another mouth.

    Parameters
    ----------
    train, test : corpora.Recordings
        Labels are words; where the table has no column `speaker`, every recording counts as one's own.
    feature : {"mel", "mfcc"}
    seed : int
        Draws the fifth of the training speakers that is held out.

    Returns
    -------
    Task
    """
    apart = hold_out_speakers(speaker_ids(train), _fifth(speaker_ids(train)), seed)
    config = _config(WORD_CONFIG, feature, seed)
    known, unknown = train.select(~apart), train.select(apart)
    waveforms = [_at(speed, each) for speed in (1, *config.speeds) for each in known.waveforms]
    labels = np.unique(np.tile(known.labels, 1 + len(config.speeds)), return_inverse=True)[1]
    learn = compute_views(waveforms, feature, WORD_FRAMES), labels
    rest = [(compute_views(each.waveforms, feature, WORD_FRAMES), each.labels) for each in (unknown, test)]
    speakers = speaker_ids(unknown), speaker_ids(test)
    return Task("word", learn, *rest, speakers, _fitting(config, labels), 4)


def speaker_ids(recordings):
    """Who spoke each recording (recordings,): the table's column `speaker`; without it, each its own."""
    table = recordings.table
    return table["speaker"].to_numpy(dtype=str) if "speaker" in table else np.arange(len(table))


def _config(config, feature, seed):
    """With a seed; neighbouring bands are masked, but coefficients have no neighbours that say the same."""
    return replace(config, seed=seed, widest_mask=config.widest_mask if feature == "mel" else 0.0)


def _fifth(labels):
    return max(2, round(len(np.unique(labels)) / 5))


def _at(speed, waveform):
    return waveform if speed == 1 else at_speed(waveform[None], speed)[0]


def _fitting(config, labels):
    """The recipe, with smaller batches where there are fewer labels or utterances."""
    counts = np.bincount(labels)
    p, k = min(config.batch_speakers, len(counts)), min(config.batch_utterances, counts.min())
    return replace(config, batch_speakers=p, batch_utterances=int(k))
