"""What a notebook trains in visible cells is what its helper trains."""

from dataclasses import replace

import numpy as np
import pytest

from helpers import PROJECT
from helpers.batch.execute import execute
from helpers.batches import TrainingConfig, hold_out_speakers
from helpers.data import corpora, course, phrases, synthesis
from helpers.features import Spectrogram
from helpers.plda import PLDA
from helpers.quality import keep_speech, trim_silence
from helpers.systems import contrastive, contrastive_tasks, ge2e, identification
from helpers.training import train
from helpers.verifier import load_verifier


@pytest.mark.slow
def test_notebook_and_helper_train_the_same(tmp_path):
    synthesis.make_corpus(tmp_path / "voices", train_speakers=10, test_speakers=4)
    settings = {"epochs": 2, "batch_speakers": 5, "seed": 3}
    parameters = settings | {"data": str(tmp_path / "voices"), "out": str(tmp_path / "out")}
    execute(PROJECT / "notebooks" / "04_siamese_gru.ipynb", parameters=parameters)
    theirs = load_verifier(tmp_path / "out" / "models" / "siamese_gru.keras")
    corpus, test = corpora.load_course(tmp_path / "voices")
    ours, _ = train(corpus, Spectrogram(), TrainingConfig(**settings))
    np.testing.assert_allclose(ours.embed(test.waveforms), theirs.embed(test.waveforms), atol=1e-4)
    assert ours.threshold == pytest.approx(theirs.threshold, abs=0.02)
    known = {"held_out_eer", "parameters", "speakers_train", "corpus"}
    assert {name: ours.facts[name] for name in known} == {name: theirs.facts[name] for name in known}


@pytest.mark.slow
def test_the_identifiers_of_notebook_and_helper_are_the_same(tmp_path):
    synthesis.make_corpus(tmp_path / "voices", train_speakers=10, test_speakers=4)
    settings = {"epochs": 2, "width": 2, "seed": 3}
    parameters = settings | {"speeds": "1.1", "data": str(tmp_path / "voices"), "out": str(tmp_path / "out")}
    execute(PROJECT / "notebooks" / "09_identification.ipynb", parameters=parameters)
    theirs = identification.load_identifier(tmp_path / "out" / "models" / "vgg_attention.keras")
    corpus, test = course.load_speech(tmp_path / "voices")
    known = np.flatnonzero(~hold_out_speakers(corpus.labels, 2, seed=3))
    rows = known[identification.split_utterances(corpus.labels[known], 7, seed=3)]
    speech, config = trim_silence(corpus.waveforms), identification.IdentificationConfig(**settings)
    config = replace(config, speeds=(1.1,))
    ours, _ = identification.train_identifier([speech[row] for row in rows], corpus.labels[rows], config)
    for one, other in zip(*(each.predict_utterances(test.waveforms) for each in (ours, theirs)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    for fact in ("parameters", "speakers_train"):
        assert ours.facts[fact] == theirs.facts[fact]
    assert (ours.names, ours.frames) == (theirs.names, theirs.frames)


@pytest.mark.slow
def test_the_contrastive_networks_of_notebook_and_helper_are_the_same(tmp_path):
    synthesis.make_corpus(tmp_path / "voices", train_speakers=10, test_speakers=4)
    phrases.make_phrases(tmp_path / "words", phrases.NAMES.split()[:6], 1, train_speakers=10, test_speakers=4)
    parameters = {"epochs": 2, "seed": 3, "margin": 1.2}
    folders = {"data": "voices", "words": "words", "out": "out"}
    parameters |= {name: str(tmp_path / folder) for name, folder in folders.items()}
    execute(PROJECT / "notebooks" / "08_contrastive.ipynb", parameters=parameters)
    with np.load(tmp_path / "out" / "scores" / "contrastive_mel.npz") as saved:
        theirs = saved["scores"]
    task = contrastive_tasks.speaker_task(*course.load_speech(tmp_path / "voices", seed=3), seed=3)
    ours, _ = contrastive.train(task, replace(task.config, epochs=2), margin=1.2)
    known, unknown = (contrastive.embed_views(ours, part[0]) for part in (task.learn, task.test))
    expected = PLDA(1, 48).fit(known, task.learn[1]).scores(unknown)
    np.testing.assert_allclose(theirs, expected, atol=0.01 * np.abs(expected).max())


@pytest.mark.slow
def test_the_ge2e_encoders_of_notebook_and_helper_are_the_same(tmp_path):
    synthesis.make_corpus(tmp_path / "voices", train_speakers=10, test_speakers=4)
    parameters = {"epochs": 2, "phrase_epochs": 1, "speakers_per_batch": 6, "seed": 3}
    parameters |= {"data": str(tmp_path / "voices"), "out": str(tmp_path / "out")}
    execute(PROJECT / "notebooks" / "07_ge2e.ipynb", parameters=parameters)
    with np.load(tmp_path / "out" / "scores" / "ge2e_softmax.npz") as saved:
        theirs = saved["scores"]
    corpus, test = course.load_speech(tmp_path / "voices", seed=3)
    learners = corpus.select(~hold_out_speakers(corpus.labels, 2, seed=3))
    spectrogram, mels, speakers = Spectrogram(mel_bands=40, hop_length=1024), [], []
    for number, speed in enumerate((1.0, 0.8, 0.9, 1.1, 1.2)):
        mels += ge2e.log_mels([keep_speech(wave) for wave in learners.waveforms], spectrogram, speed)
        speakers.append(learners.labels + 10 * number)
    config = TrainingConfig(seed=3, epochs=2, learning_rate=0.005, batch_speakers=6, batch_utterances=5)
    first, _ = ge2e.train(mels, np.concatenate(speakers), config, 12)
    more = replace(config, seed=4, epochs=1, learning_rate=0.001)
    ours, _ = ge2e.train(mels, np.concatenate(speakers), more, 12, start=first)
    heard = ge2e.log_mels([keep_speech(wave) for wave in test.waveforms], spectrogram)
    embeddings = ge2e.embed_windows(ours, heard, 12)
    np.testing.assert_allclose(embeddings @ embeddings.T, theirs, atol=1e-3)
