"""The published recipe stays what it was, flaws included."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from helpers import InputError, pairs
from helpers.data.corpora import Corpus
from helpers.research import baselines
from helpers.systems import published_recipe

pytestmark = [pytest.mark.backend, pytest.mark.slow]


def tones(speakers, samples, seed=0):
    """Four utterances a speaker, each speaker a chord of its own in noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / 16_000
    rows = []
    for speaker in range(speakers):
        for _ in range(4):
            chord = sum(
                np.sin(2 * np.pi * (200 + 170 * speaker) * k * time + rng.uniform(0, 6)) for k in (1, 2)
            )
            rows.append(0.2 * chord + 0.02 * rng.standard_normal(samples))
    names = np.repeat(np.arange(speakers), 4)
    return Corpus("tones", np.array(rows, dtype=np.float32), names, pd.DataFrame({"speaker": names}))


@pytest.fixture(scope="module")
def trained():
    return published_recipe.train(tones(5, 4096), seed=1, epochs=2)


def test_parameters_and_shapes():
    model = published_recipe.build()
    assert model.count_params() == 2 * 3 * 128 * (513 + 128 + 2) + 2 == 493_826
    assert [shape[1:] for shape in model.input_shape] == [(None, 513)] * 2
    for frames in (32, 45):
        inputs = [np.ones((3, frames, 513), "float32")] * 2
        assert model.predict(inputs, verbose=0).shape == (3, 1)


def test_spectrograms_are_linear_magnitudes():
    for samples, frames in ((16_180, 32), (22_631, 45)):
        wave = np.random.default_rng(0).uniform(-1, 1, (2, samples)).astype("float32")
        spectrograms = published_recipe.magnitudes(wave)
        assert spectrograms.shape == (2, frames, 513)
        assert spectrograms.dtype == np.float32
        assert np.allclose(published_recipe.magnitudes(3 * wave), 3 * spectrograms, rtol=1e-4)


def test_pairs_of_the_course():
    drawn = pairs.balanced_pairs(np.repeat(np.arange(50), 10), seed=0)
    assert np.bincount(drawn.label).tolist() == [2250, 2250]


@pytest.mark.slow
def test_every_pair_pays_for_its_own_spectrograms(monkeypatch):
    """Its cost is part of the exhibit: 2 x 60 transforms for the 60 pairs of 20 utterances."""
    counted = []
    stft = published_recipe.librosa.stft
    monkeypatch.setattr(published_recipe.librosa, "stft", lambda *a, **k: counted.append(1) or stft(*a, **k))
    published_recipe.train(tones(5, 2048), epochs=1)
    assert len(counted) == 120


@pytest.mark.slow
def test_encoders_share_nothing(trained):
    model, _ = trained
    gru = [layer for layer in model.layers if isinstance(layer, keras.layers.GRU)]
    assert len(gru) == 2
    assert not {id(w) for w in gru[0].weights} & {id(w) for w in gru[1].weights}
    a, b = published_recipe.magnitudes(tones(2, 4096).waveforms[[0, 4]])[:, None]
    forth, back = (model.predict(pair, verbose=0).item() for pair in ([a, b], [b, a]))
    assert abs(forth - back) > 1e-4


@pytest.mark.slow
def test_training_is_the_recipes_and_repeatable(trained):
    model, history = trained
    assert len(history.history["loss"]) == 2
    assert not any(key.startswith("val_") for key in history.history)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert model.loss == "binary_crossentropy"
    assert (published_recipe.EPOCHS, published_recipe.BATCH, published_recipe.THRESHOLD) == (100, 64, 0.5)
    again, _ = published_recipe.train(tones(5, 4096), seed=1, epochs=2)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        assert np.allclose(one, other, atol=1e-5)


def test_score_matrix_is_the_network_s_own(trained):
    """Element (i, j) is what the two-input network says of i on the left and j on the right."""
    model, _ = trained
    waveforms = tones(2, 5120, seed=2).waveforms
    scores = expit(published_recipe.logit_matrix(model, waveforms))
    spectrograms = published_recipe.magnitudes(waveforms)
    left, right = np.indices(scores.shape).reshape(2, -1)
    expected = model.predict([spectrograms[left], spectrograms[right]], verbose=0).reshape(scores.shape)
    assert np.allclose(scores, expected, atol=1e-4)
    assert not np.allclose(scores, scores.T, atol=1e-4)


@pytest.mark.slow
def test_run_writes_its_row(monkeypatch, tmp_path):
    monkeypatch.setattr(baselines.corpora, "load_course", lambda _: (tones(5, 4096), tones(8, 5120, seed=3)))
    row = baselines.run_published_recipe("anywhere", tmp_path, seed=2, epochs=1)
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"published_recipe": row}
    assert row["parameters"] == 493_826
    assert (row["speakers_train"], row["speakers_test"], row["trials"]) == (5, 8, 496)
    assert (row["threshold"], row["corpus"], row["seed"]) == (0.5, "tones", 2)
    assert row["accuracy_ci"][0] <= row["accuracy"] <= row["accuracy_ci"][1]
    assert row["train_seconds"] > 0


def test_bad_folder_is_one_line(tmp_path, capsys):
    assert baselines.main(["published_recipe", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "trs.pkl" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError):
        baselines.run_published_recipe(tmp_path, tmp_path / "out")
