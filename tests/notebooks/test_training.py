"""What notebook 04 trains in visible cells is what `training.train` trains."""

import numpy as np
import pytest

from helpers import PROJECT
from helpers.batch.execute import execute
from helpers.batches import TrainingConfig
from helpers.data import corpora, synthesis
from helpers.features import Spectrogram
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
