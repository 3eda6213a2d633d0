"""What a contrastive network learns from: same speaker or same word, as spectrograms and labels."""

from dataclasses import replace
from typing import NamedTuple

import librosa
import numpy as np

from helpers import SAMPLE_RATE, SHORTEST
from helpers.augmentation import at_speed
from helpers.batches import TrainingConfig, hold_out_speakers
from helpers.features import Spectrogram

MEL = Spectrogram(n_fft=512, hop_length=256, mel_bands=64)  # 32 ms every 16 ms
WORD_MEL = replace(MEL, floor=3e-3)  # 50 dB below the loudest: what is softer is the room's noise
WORD_FRAMES = 48  # that every word is stretched or squeezed to
QUIET = 30  # dB below the loudest frame: what is softer at either end is cut,
KEPT = SAMPLE_RATE // 20  # but for so many samples, in which a soft consonant may lie
MOVED = 0.15  # of a word's length, by which the ends of its copies are moved at most

# Speakers are learnt from stretches of utterances; words from whole ones, by as many speakers as there are.
SPEAKER_CONFIG = TrainingConfig(epochs=16, batch_speakers=25, batch_utterances=4, learning_rate=3e-3)
WORD_CONFIG = TrainingConfig(
    epochs=16, batch_speakers=20, batch_utterances=5, learning_rate=3e-3, crop=1.0, speeds=(0.9, 1.1)
)


def cut_silence(waveform, moved=(0.0, 0.0)):
    """A waveform (samples,) without the silence at both ends; one of which too little is left, as it is.

    Silence is what is 30 dB or more below the loudest frame (`librosa.effects.trim`); 50 ms of it are kept.
    `moved` are shares of the length that is left: each end is moved by so much afterwards, later where it is
    above 0.
    """
    _, ends = librosa.effects.trim(waveform, top_db=QUIET, frame_length=512, hop_length=128)
    ends = ends[0] - KEPT, ends[1] + KEPT
    begin, end = np.clip(ends + np.round(np.ptp(ends) * np.array(moved)).astype(int), 0, len(waveform))
    return waveform[begin:end] if end - begin >= SHORTEST else waveform


def stretch(view, frames):
    """A spectrogram (its frames, bands) at another number of frames, by linear interpolation over time."""
    at = np.linspace(0, len(view) - 1, frames)
    before = np.minimum(at.astype(int), len(view) - 2)
    part = (at - before)[:, None].astype(np.float32)
    return view[before] * (1 - part) + view[before + 1] * part


def word_views(waveforms, moved=None):
    """Spoken words as spectrograms of one length, whatever the microphone and the pace.

    The silence at both ends is cut (`cut_silence`), the rest stretched to 48 frames, and each band's mean
    over them is taken away: it holds the microphone and much of the voice; neither is the word.

    Parameters
    ----------
    waveforms : list of float arrays (samples,)
        At 16,000 Hz.
    moved : float array (waveforms, 2), optional
        Of `cut_silence`.

    Returns
    -------
    list of float32 arrays (48, 64)
    """
    moved = np.zeros((len(waveforms), 2)) if moved is None else moved
    cut = [cut_silence(waveform, ends) for waveform, ends in zip(waveforms, moved, strict=True)]
    views = [stretch(WORD_MEL(waveform)[0], WORD_FRAMES) for waveform in cut]
    return [view - view.mean(axis=0) for view in views]


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


def speaker_task(train, test, seed=0):
    """Same speaker? A `Task`, in which copies at other speeds count as other speakers.

    Parameters
    ----------
    train, test : corpora.Recordings
        Labels are speakers.
    seed : int
        Draws the fifth of the training speakers that is held out.
    """
    known, unknown = _hold_out(train, train.labels, seed)
    speeds, labels = (1, *SPEAKER_CONFIG.speeds), np.unique(known.labels, return_inverse=True)[1]
    learn = [MEL(at_speed(each, speed))[0] for speed in speeds for each in known.waveforms]
    labels = np.concatenate([labels + number * (labels.max() + 1) for number in range(len(speeds))])
    rest = [([MEL(each)[0] for each in part.waveforms], part.labels) for part in (unknown, test)]
    config = _fitting(SPEAKER_CONFIG, labels, seed)
    return Task("speaker", (learn, labels), *rest, (unknown.labels, test.labels), config, segments=1)


def word_task(train, test, seed=0):
    """Same word? A `Task` as `speaker_task`, but copies at other speeds are the same word.

    Their ends are moved. Labels are words; without a column `speaker`, each recording is a speaker's own.
    """
    known, unknown = _hold_out(train, speaker_ids(train), seed)
    rng, learn = np.random.default_rng(seed), word_views(known.waveforms)
    for speed in WORD_CONFIG.speeds:
        moved = rng.uniform(-MOVED, MOVED, (len(known.labels), 2))
        learn += word_views([at_speed(each, speed) for each in known.waveforms], moved)
    labels = np.tile(np.unique(known.labels, return_inverse=True)[1], 1 + len(WORD_CONFIG.speeds))
    rest = [(word_views(part.waveforms), part.labels) for part in (unknown, test)]
    whose, config = (speaker_ids(unknown), speaker_ids(test)), _fitting(WORD_CONFIG, labels, seed)
    return Task("word", (learn, labels), *rest, whose, config, segments=4)


def _hold_out(train, speakers, seed):
    """Recordings to learn from, and those of a fifth of the speakers."""
    apart = hold_out_speakers(speakers, max(2, round(len(np.unique(speakers)) / 5)), seed)
    return train.select(~apart), train.select(apart)


def _fitting(config, labels, seed):
    """A config with a seed, whose batches are smaller where there are fewer labels or utterances."""
    counts = np.bincount(labels)
    sizes = {"batch_speakers": len(counts), "batch_utterances": int(counts.min())}
    return replace(config, seed=seed, **{name: min(vars(config)[name], size) for name, size in sizes.items()})


def speaker_ids(recordings):
    """Who spoke each recording (recordings,): the table's column `speaker`; without it, each its own."""
    table = recordings.table
    return table["speaker"].to_numpy(dtype=str) if "speaker" in table else np.arange(len(table))


def describe_speakers(train, test):
    """One line: how many speakers the parts of spoken words have, or that nothing says who spoke."""
    if "speaker" not in train.table:
        return (
            "speakers of the words: unknown, as numbers do not recur over words; the threshold comes from "
            "speakers that were learnt from, and intervals, over recordings, are far too narrow"
        )
    ours, theirs = (set(speaker_ids(part)) for part in (train, test))
    both = f", {len(ours & theirs)} of them in both parts" if ours & theirs else ""
    return f"speakers of the words: {len(ours)} in training, {len(theirs)} in the test{both}"
