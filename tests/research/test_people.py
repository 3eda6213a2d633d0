"""The model for recordings of people: what it learns from, and whose trials its scores are calibrated by."""

from unittest import mock

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers import calibration, features, pairs, training
from helpers.batches import TrainingConfig, assign_folds
from helpers.data import corpora
from helpers.data.corpora import Corpus
from helpers.models import gru_encoder
from helpers.research import people
from helpers.verifier import FUSION_RIDGE

RNG = np.random.default_rng(0)


def corpus(name, speakers, each, samples):
    """Rows that say whose and which they are: 100 x speaker + number, at every sample."""
    whose = RNG.permutation(np.repeat(np.arange(speakers), each))
    number = pd.Series(whose).groupby(whose).cumcount().to_numpy()
    rows = np.repeat((100 * whose + number)[:, None], samples, axis=1).astype(np.float32)
    return Corpus(name, rows, whose, None)


def test_short_utterances_are_joined_within_their_speaker():
    short = corpus("voices", 3, 4, 10)
    longer = people.lengthen(short, 25)
    assert longer.waveforms.shape == (12, 25)
    np.testing.assert_array_equal(np.bincount(longer.speakers), [4, 4, 4])
    for row, speaker in zip(longer.waveforms.astype(int), longer.speakers, strict=True):
        assert set(row // 100) == {speaker}
        parts = row[::10] % 100
        assert (np.diff(parts) % 4 == 1).all()  # the next ones of the speaker, the first after the last
        np.testing.assert_array_equal(row, np.repeat(row[::10], 10)[:25])
    assert len({tuple(row) for row in longer.waveforms}) == 12


def test_nobody_is_taken_for_another():
    both = people.concatenate(corpus("people", 3, 4, 10), corpus("voices", 2, 5, 10))
    assert both.name == "people and synthesised speech"
    assert both.waveforms.shape == (22, 10)
    np.testing.assert_array_equal(np.bincount(both.speakers), [4, 4, 4, 5, 5])


@pytest.fixture(scope="module")
def learnt():
    """A model of one epoch from six people of noises and six voices of others, and what it was scored by."""
    rng, parts, scored, real = np.random.default_rng(1), [], [], training.held_out_scores

    def score(*given):
        scored.append((given[2], *real(*given)))
        return scored[-1][1:]

    for name, level in (("people", 0.1), ("voices", 0.4)):
        whose = np.repeat(np.arange(6), 4)
        rows = [np.convolve(rng.normal(size=9000), np.ones(2 + who), "same")[:8192] for who in whose]
        parts.append(Corpus(name, (level * np.tanh(rows)).astype(np.float32), whose, None))
    config = TrainingConfig(epochs=1, folds=2, batch_speakers=4, batch_utterances=2, speeds=())
    with mock.patch.object(training, "held_out_scores", score):
        return people.train_on_people(*parts, config), people.concatenate(*parts), scored


@pytest.mark.slow
def test_the_scores_are_calibrated_by_people_alone(learnt):
    verifier, both, ((held_out, scores, speakers),) = learnt
    np.testing.assert_array_equal(held_out[:24], assign_folds(both.speakers[:24], 2) == 0)
    assert not held_out[24:].any()
    assert scores.shape == (12 * 11 // 2, people.ENCODERS)
    np.testing.assert_array_equal(speakers, both.speakers[held_out])
    weights, offset = calibration.fuse(scores, pairs.all_trials(speakers).label, ridge=FUSION_RIDGE)
    assert float(verifier.scale.initial_w) == pytest.approx(weights.sum(), rel=1e-3)
    assert float(verifier.scale.initial_b) == pytest.approx(offset, rel=1e-3)
    assert verifier.plda.encoders == 3
    assert (verifier.facts["speakers_train"], verifier.facts["corpus"]) == (12, both.name)


def test_every_kind_of_disturbance_is_in_the_training(monkeypatch):
    seen = {}

    def train(corpus, spectrogram, config, hooks, judged, **options):
        seen.update(hooks._asdict() | options, judged=judged)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", train)
    with pytest.raises(KeyboardInterrupt):
        people.train_on_people(
            corpus("people", 3, 4, 4096), corpus("voices", 2, 5, 4096), TrainingConfig(), show_progress=True
        )
    assert seen["judged"].tolist() == [True] * 12 + [False] * 10
    assert (seen["encoders"], seen["plda"], seen["show_progress"]) == ((gru_encoder,) * 3, True, True)
    noise = corpus("noise", 3, 4, 4096)
    noise = noise._replace(waveforms=RNG.normal(0, 0.1, noise.waveforms.shape).astype(np.float32))
    copies, labels = seen["copies"](noise, noise.speakers, features.Spectrogram(), TrainingConfig(speeds=()))
    np.testing.assert_array_equal(labels, np.tile(noise.speakers, 2))  # a room is no other person
    assert np.abs(copies[0] - copies[1]).max() > 0.1
    changed = seen["augment"](copies[0], np.random.default_rng(0))
    assert (np.abs(changed - copies[0]).max(axis=(1, 2)) > 0.1).mean() > 0.5


@pytest.mark.slow
def test_command_line(tmp_path, capsys, monkeypatch):
    time = np.arange(48000) / 16000
    for speaker in range(5):
        for number in range(2):
            wave = 0.3 * np.sin(2 * np.pi * (120 + 30 * speaker) * time) * (1 + np.sin(9 * time + number)) / 2
            path = tmp_path / "voices" / f"s{speaker}" / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, wave + 1e-3 * RNG.normal(size=len(wave)), 16000)
    seen = []

    class Made:
        facts = {"speakers_train": 53, "corpus": "both"}  # noqa: RUF012

    monkeypatch.setattr(
        people, "train_on_people", lambda *given, **more: seen.append((*given, more)) or Made()
    )
    monkeypatch.setattr(people, "save_system", lambda verifier, path: path.touch())
    arguments = ["--data", str(tmp_path / "voices"), "--out", str(tmp_path / "out"), "--test-speakers", "2"]
    assert people.main(arguments) == 0
    assert "53 speakers of both" in capsys.readouterr().out
    ((known, voices, config, options),) = seen
    assert known.waveforms.shape == (6, 40000)
    assert voices.waveforms.shape == (500, 40000)
    assert (config.epochs, options["checkpoint_file"]) == (20, tmp_path / "out" / "people.progress")
    assert len(corpora.load_course(tmp_path / "out" / "corpus", 2)[1].waveforms) == 4
    assert people.main(["--data", str(tmp_path / "none"), "--out", str(tmp_path / "other")]) == 1
    assert "none does not exist" in capsys.readouterr().err
