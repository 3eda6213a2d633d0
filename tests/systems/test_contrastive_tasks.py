"""What a contrastive network learns from: views of recordings, and speakers kept apart."""

import numpy as np
import pandas as pd
import pytest
from scipy.fft import dct

from helpers import InputError
from helpers.data.corpora import Recordings
from helpers.systems import contrastive_tasks

RNG = np.random.default_rng(0)


def recordings(speakers, each, label, samples=(3000, 3001)):
    """Noise, with a table of speakers and words; the level tells the speaker's number."""
    table = pd.DataFrame(
        {
            "speaker": [f"S{number:02d}" for number in np.repeat(speakers, each)],
            "word": np.tile([f"word{number}" for number in range(each)], len(speakers)),
        }
    )
    waveforms = [RNG.normal(size=RNG.integers(*samples)).astype(np.float32) for _ in range(len(table))]
    labels = np.repeat(speakers, each) if label == "speaker" else table["word"].to_numpy()
    return Recordings("noise", waveforms, labels, table)


def test_views_are_logarithms_of_mel_bands_or_their_cosine_transform():
    waveforms = [RNG.normal(size=n).astype(np.float32) for n in (3000, 4000)]
    mel, mfcc = (contrastive_tasks.compute_views(waveforms, feature) for feature in ("mel", "mfcc"))
    assert [view.shape for view in mel] == [(1 + 3000 // 256, 64), (1 + 4000 // 256, 64)]
    for ours, bands in zip(mfcc, mel, strict=True):
        np.testing.assert_allclose(ours, dct(bands, axis=1, norm="ortho")[:, :24], atol=1e-4)
    equal = contrastive_tasks.compute_views([waveforms[0]] * 2)
    np.testing.assert_array_equal(equal[1], mel[0])
    with pytest.raises(InputError, match="feature is 'chroma'; expected 'mel' or 'mfcc'"):
        contrastive_tasks.compute_views(waveforms, "chroma")


def test_words_are_stretched_and_their_mean_taken_away():
    waveforms = [RNG.normal(size=n).astype(np.float32) for n in (3000, 9000)]
    for short, view in zip(
        contrastive_tasks.compute_views(waveforms, frames=20),
        contrastive_tasks.compute_views(waveforms),
        strict=True,
    ):
        assert short.shape == (20, 64)
        at = np.linspace(0, len(view) - 1, 20)
        expected = [np.interp(at, np.arange(len(view)), band) for band in view.T]
        expected = np.transpose(expected)
        np.testing.assert_allclose(short, expected - expected.mean(axis=0), atol=1e-4)


def test_speakers_held_out_are_not_learnt_from_and_speeds_make_new_ones():
    train, test = recordings(range(10), 4, "speaker"), recordings(range(3), 4, "speaker")
    task = contrastive_tasks.speaker_task(train, test, seed=1)
    apart = set(task.held_out[1])
    assert len(apart) == 2
    assert len(task.learn[0]) == len(task.learn[1]) == 5 * 8 * 4
    assert sorted(set(task.learn[1])) == list(range(5 * 8))
    seen = {view.tobytes() for view in task.learn[0]}
    for speaker, view in zip(train.labels, contrastive_tasks.compute_views(train.waveforms), strict=True):
        assert (view.tobytes() in seen) != (speaker in apart)
    assert not seen & {view.tobytes() for view in task.test[0]}
    assert len({len(view) for view in task.learn[0]}) == 5  # each speed has its length
    assert task.config.seed == 1
    assert task.segments == 1


def test_words_keep_their_label_at_every_speed():
    train, test = recordings(range(10), 6, "word"), recordings(range(10, 13), 6, "word", (2500, 5000))
    task = contrastive_tasks.word_task(train, test, seed=1)
    assert sorted(set(task.learn[1])) == list(range(6))
    assert np.bincount(task.learn[1]).tolist() == [3 * 8] * 6
    assert len(set(task.speakers[0])) == 2
    assert set(task.speakers[1]) == {"S10", "S11", "S12"}
    assert {view.shape for view in task.test[0]} == {(contrastive_tasks.WORD_FRAMES, 64)}
    assert task.segments > 1
    assert (task.config.batch_speakers, task.config.batch_utterances) == (6, 5)


def test_without_a_table_of_speakers_recordings_are_held_out():
    train, test = (recordings(range(n), 3, "word") for n in (10, 4))
    train, test = (each._replace(table=each.table.drop(columns="speaker")) for each in (train, test))
    task = contrastive_tasks.word_task(train, test)
    assert len(task.held_out[1]) == 6
    assert len(set(task.speakers[1])) == 12


def test_coefficients_are_not_masked():
    train, test = (recordings(range(n), 6, "word") for n in (10, 3))
    configs = [contrastive_tasks.word_task(train, test, feature).config for feature in ("mel", "mfcc")]
    assert [config.widest_mask for config in configs] == [contrastive_tasks.WORD_CONFIG.widest_mask, 0]


def test_small_collections_get_small_batches():
    task = contrastive_tasks.speaker_task(
        recordings(range(4), 2, "speaker"), recordings(range(2), 2, "speaker")
    )
    assert (task.config.batch_speakers, task.config.batch_utterances) == (10, 2)
