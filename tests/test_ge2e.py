"""The GE2E encoder: a projected LSTM against a plain loop, its size, and what it makes of an utterance."""

import keras
import numpy as np
import pytest

from helpers.ge2e import ProjectedLSTMCell, lstm_encoder
from helpers.models import ScaledCosine, batch_model

pytestmark = pytest.mark.backend

RNG = np.random.default_rng(0)


def mel(utterances=4, frames=6, bands=40):
    return RNG.normal(size=(utterances, frames, bands)).astype("float32")


def array(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_cell_is_an_lstm_whose_projected_output_recurs():
    units, projection, inputs = 5, 3, mel(2, 4, 7)
    layer = keras.layers.RNN(ProjectedLSTMCell(units, projection), return_sequences=True)
    found = array(layer(inputs))
    kernel, recurrent, bias, project = (array(weight) for weight in layer.cell.weights)
    assert bias.tolist() == [0] * 5 + [1] * 5 + [0] * 10  # forget gates begin open
    for utterance, outputs in zip(inputs, found, strict=True):
        output, memory = np.zeros(projection), np.zeros(units)
        for frame, expected in zip(utterance, outputs, strict=True):
            enter, forget, new, leave = np.split(frame @ kernel + output @ recurrent + bias, 4)
            memory = sigmoid(forget) * memory + sigmoid(enter) * np.tanh(new)
            output = (sigmoid(leave) * np.tanh(memory)) @ project
            np.testing.assert_allclose(expected, output, atol=1e-5)


def test_the_size_is_that_of_the_paper():
    encoder, scale = lstm_encoder(mel()), ScaledCosine()
    model = batch_model(encoder, scale)
    weights = [sum(int(np.prod(w.shape)) for w in each.trainable_weights) for each in encoder.layers]
    assert [number for number in weights if number] == [61_952, 74_240, 74_240]
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 210_434


def test_the_voice_is_the_last_frame_at_length_one():
    encoder, inputs = lstm_encoder(mel()), mel()
    voices = encoder.predict(inputs, verbose=0)
    assert voices.shape == (4, 64)
    np.testing.assert_allclose(np.linalg.norm(voices, axis=1), 1, atol=1e-5)
    last = keras.Model(encoder.inputs, encoder.get_layer("lstm_3").output).predict(inputs, verbose=0)
    np.testing.assert_allclose(voices, last / np.linalg.norm(last, axis=1, keepdims=True), atol=1e-5)
    changed = inputs.copy()
    changed[:, -1] += 1
    assert np.abs(encoder.predict(changed, verbose=0) - voices).max() > 1e-3
    alone = encoder.predict(inputs[1:2], verbose=0)
    np.testing.assert_allclose(alone, voices[1:2], atol=1e-5)


def test_it_survives_the_disk(tmp_path):
    encoder, inputs = lstm_encoder(mel()), mel()
    encoder.save(tmp_path / "ge2e.keras")
    loaded = keras.saving.load_model(tmp_path / "ge2e.keras")
    np.testing.assert_allclose(
        loaded.predict(inputs, verbose=0), encoder.predict(inputs, verbose=0), atol=1e-6
    )
