"""What a contrastive network learns from: views of recordings, and speakers kept apart."""

import numpy as np
import pandas as pd

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


def test_silence_at_the_ends_is_cut_and_ends_are_moved():
    sound = RNG.normal(size=8000).astype(np.float32)
    padded = np.concatenate([0.01 * RNG.normal(size=6000), sound, np.zeros(4000)]).astype(np.float32)
    cut = contrastive_tasks.cut_silence(padded)
    assert abs(len(cut) - 8000 - 2 * 800) < 1024  # 50 ms are kept at either end
    longer = contrastive_tasks.cut_silence(padded, (-0.1, 0.1))
    assert abs(len(longer) - 1.2 * len(cut)) <= 2
    shorter = contrastive_tasks.cut_silence(padded, (0.1, -0.05))
    assert abs(len(shorter) - 0.85 * len(cut)) <= 2
    np.testing.assert_array_equal(
        contrastive_tasks.cut_silence(sound, (-0.15, 0.15)), sound
    )  # nothing around
    click = np.zeros(5000, np.float32)
    click[2500] = 1
    assert len(contrastive_tasks.cut_silence(click)) >= 1024


def test_words_are_stretched_and_their_mean_taken_away():
    waveforms = [RNG.normal(size=n).astype(np.float32) for n in (3000, 9000)]
    for waveform, short in zip(waveforms, contrastive_tasks.word_views(waveforms), strict=True):
        assert short.shape == (48, 64)
        view = contrastive_tasks.WORD_MEL(contrastive_tasks.cut_silence(waveform))[0]
        at = np.linspace(0, len(view) - 1, 48)
        expected = np.transpose([np.interp(at, np.arange(len(view)), band) for band in view.T])
        np.testing.assert_allclose(short, expected - expected.mean(axis=0), atol=1e-4)


def test_silence_around_a_word_changes_little():
    time = np.arange(9000) / 16_000
    word = np.sin(2 * np.pi * (300 + 4000 * time) * time).astype(np.float32)  # a tone that rises
    one, other = contrastive_tasks.word_views([np.pad(word, 5120), np.pad(word, (2048, 9216))])
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9


def test_speakers_held_out_are_not_learnt_from_and_speeds_make_new_ones():
    train, test = recordings(range(10), 4, "speaker"), recordings(range(3), 4, "speaker")
    task = contrastive_tasks.speaker_task(train, test, seed=1)
    apart = set(task.held_out[1])
    assert len(apart) == 2
    assert len(task.learn[0]) == len(task.learn[1]) == 5 * 8 * 4
    assert sorted(set(task.learn[1])) == list(range(5 * 8))
    seen = {view.tobytes() for view in task.learn[0]}
    for speaker, view in zip(
        train.labels, (contrastive_tasks.MEL(each)[0] for each in train.waveforms), strict=True
    ):
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


def test_a_line_says_what_is_known_of_the_speakers():
    train, test = (recordings(range(*ends), 2, "word") for ends in ((6,), (4, 9)))
    line = contrastive_tasks.describe_speakers(train, test)
    assert line == "speakers of the words: 6 in training, 5 in the test, 2 of them in both parts"
    train, test = (each._replace(table=each.table.drop(columns="speaker")) for each in (train, test))
    line = contrastive_tasks.describe_speakers(train, test)
    assert "unknown" in line
    assert "\n" not in line


def test_small_collections_get_small_batches():
    task = contrastive_tasks.speaker_task(
        recordings(range(4), 2, "speaker"), recordings(range(2), 2, "speaker")
    )
    assert (task.config.batch_speakers, task.config.batch_utterances) == (10, 2)
