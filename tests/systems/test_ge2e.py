"""The GE2E encoder: a projected LSTM against a plain loop, its size, and what it makes of an utterance."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from samples import array

from helpers import quality
from helpers.batches import TrainingConfig
from helpers.features import Spectrogram
from helpers.models import ScaledCosine, batch_model
from helpers.systems import ge2e
from helpers.systems.ge2e import CentroidCosines, GE2ELoss, ProjectedLSTMCell, lstm_encoder

pytestmark = pytest.mark.backend

RNG = np.random.default_rng(0)


def mel(utterances=4, frames=6, bands=40):
    return RNG.normal(size=(utterances, frames, bands)).astype("float32")


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


def test_the_number_of_weights():
    encoder, scale = lstm_encoder(mel()), ScaledCosine()
    model = batch_model(encoder, scale)
    weights = [sum(int(np.prod(w.shape)) for w in each.trainable_weights) for each in encoder.layers]
    assert [number for number in weights if number] == [61_952, 74_240, 74_240]
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 210_434


def test_the_embedding_holds_mean_and_deviation_over_the_frames_at_length_one():
    encoder, inputs = lstm_encoder(mel()), mel()
    embeddings = encoder.predict(inputs, verbose=0)
    assert embeddings.shape == (4, 128)
    states = keras.Model(encoder.inputs, encoder.get_layer("lstm_3").output).predict(inputs, verbose=0)
    pooled = np.concatenate([states.mean(axis=1), np.sqrt(states.var(axis=1) + 1e-5)], axis=1)
    np.testing.assert_allclose(embeddings, pooled / np.linalg.norm(pooled, axis=1, keepdims=True), atol=1e-5)
    for frame in (0, -1):
        changed = inputs.copy()
        changed[:, frame] += 1
        assert np.abs(encoder.predict(changed, verbose=0) - embeddings).max() > 1e-3
    alone = encoder.predict(inputs[1:2], verbose=0)
    np.testing.assert_allclose(alone, embeddings[1:2], atol=1e-5)


def test_the_bands_are_standardised_by_all_frames():
    frames = 3 + 2 * RNG.normal(size=(500, 7)).astype("float32")
    layer = lstm_encoder(frames).get_layer("standardise")
    found = array(layer(frames[None]))[0]
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(axis=0), 1, atol=1e-4)


def test_it_survives_the_disk(tmp_path):
    encoder, inputs = lstm_encoder(mel()), mel()
    encoder.save(tmp_path / "ge2e.keras")
    loaded = keras.saving.load_model(tmp_path / "ge2e.keras")
    np.testing.assert_allclose(
        loaded.predict(inputs, verbose=0), encoder.predict(inputs, verbose=0), atol=1e-6
    )


def test_the_loss_of_an_example_worked_by_hand():
    """Two speakers, two utterances each: the first's are alike, the second's 60 degrees apart."""
    angles = np.radians([0, 0, 60, 120])
    voices = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("float32")
    matrix = array(CentroidCosines(2)(voices))
    # Without the utterance itself, a centroid is the other one; the second speaker's mean is at 90.
    expected = [[1, 0], [1, 0], [np.cos(np.radians(60)), np.cos(np.radians(60))], [-0.5, 0.5]]
    np.testing.assert_allclose(matrix, expected, atol=1e-6)
    softmax = [np.log(1 + np.exp(-1)), np.log(1 + np.exp(-1)), np.log(2), np.log(1 + np.exp(-1))]
    contrast = [1 - sigmoid(1) + sigmoid(0)] * 2 + [1, 1 - sigmoid(0.5) + sigmoid(-0.5)]
    labels = np.array([0, 0, 1, 1])
    assert float(GE2ELoss(2)(labels, matrix)) == pytest.approx(np.mean(softmax), abs=1e-6)
    assert float(GE2ELoss(2, contrast=True)(labels, matrix)) == pytest.approx(np.mean(contrast), abs=1e-6)


def voices_of(speakers=8, each=4, frames=12, bands=10):
    """Spectrograms of speakers who each have a spectrum of their own, of unlike lengths."""
    rng = np.random.default_rng(1)
    own = rng.normal(size=(speakers, bands))
    labels = np.repeat(np.arange(speakers), each)
    mels = [own[i] + rng.normal(size=(frames + n % 5, bands)) for n, i in enumerate(labels)]
    return [mel.astype("float32") for mel in mels], labels


CONFIG = TrainingConfig(epochs=40, learning_rate=0.003, batch_speakers=8, batch_utterances=4, widest_mask=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("contrast", [False, True])
def test_training_pulls_a_speakers_voices_together(contrast):
    mels, labels = voices_of()
    encoder, facts = ge2e.train(mels, labels, CONFIG, 8, contrast)
    assert facts["parameters"] == 4 * 128 * (10 + 64 + 1) + 128 * 64 + 2 * 74_240 + 2
    assert facts["loss"][-1] < 0.7 * facts["loss"][0]
    assert facts["w"] > 0
    voices = ge2e.embed_windows(encoder, mels, 8)
    cosines, same = voices @ voices.T, labels[:, None] == labels
    assert cosines[same].mean() > cosines[~same].mean() + 0.3


@pytest.mark.slow
def test_every_weight_learns():
    mels, labels = voices_of()
    batch = np.stack([mel[:8] for mel in mels])
    model, loss = ge2e.training_model(lstm_encoder(batch), CONFIG, contrast=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    before = [array(weight) for weight in model.trainable_weights]
    model.fit(batch, labels, batch_size=32, shuffle=False, verbose=0)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.abs(array(weight) - old).max() > 0, weight.path


@pytest.mark.slow
def test_a_training_begins_with_another_encoder_and_leaves_it_as_it_is():
    mels, labels = voices_of()
    first, _ = ge2e.train(mels, labels, replace(CONFIG, epochs=1, learning_rate=0.0, seed=5), 8)
    weights = first.get_weights()
    still, _ = ge2e.train(mels, labels, replace(CONFIG, epochs=1, learning_rate=0.0), 8, start=first)
    for ours, theirs in zip(still.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    ge2e.train(mels, labels, replace(CONFIG, epochs=1), 8, start=first)
    for ours, theirs in zip(first.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_w_stays_positive_and_the_softmax_loss_ignores_b():
    """Cosines that are all wrong, the own centroid far and the others near, pull w below zero."""
    similarity, inputs = ScaledCosine(), keras.Input((4,))
    model = keras.Model(inputs, similarity(inputs))
    model.compile(keras.optimizers.SGD(100.0, global_clipnorm=3.0), GE2ELoss(8))
    wrong = np.repeat(0.9 - 1.8 * np.eye(4, dtype="float32"), 8, axis=0)
    model.fit(wrong, np.repeat(np.arange(4), 8), batch_size=32, shuffle=False, verbose=0)
    assert float(array(similarity.w)) == 0
    assert float(array(similarity.b)) == pytest.approx(-5, abs=1e-3)


@pytest.mark.slow
def test_long_recordings_are_heard_window_by_window():
    mels, _ = voices_of()
    encoder = lstm_encoder(np.stack([mel[:8] for mel in mels]))
    long = np.concatenate(mels[:2])[:22]
    starts = [0, 4, 8, 12, 14]  # the last one ends with the recording
    each = encoder.predict(np.stack([long[start : start + 8] for start in starts]), verbose=0)
    mean = each.mean(axis=0)
    found = ge2e.embed_windows(encoder, [long, mels[0][:8], mels[0][:5]], 8)
    np.testing.assert_allclose(found[0], mean / np.linalg.norm(mean), atol=1e-5)
    repeated = np.concatenate([mels[0][:5], mels[0][:3]])
    expected = encoder.predict(np.stack([mels[0][:8], repeated]), verbose=0)
    np.testing.assert_allclose(found[1:], expected, atol=1e-5)


def test_silence_is_left_out():
    rng = np.random.default_rng(2)
    speech = rng.normal(0, 0.1, 16_000).astype("float32")
    pause = rng.normal(0, 1e-5, 16_000).astype("float32")
    kept = quality.keep_speech(np.concatenate([pause, speech, pause, speech]))
    assert 32_000 <= len(kept) < 36_000
    np.testing.assert_allclose(np.sort(quality.keep_speech(speech)), np.sort(speech))
    assert len(quality.keep_speech(np.zeros(5000, "float32"))) == 5000


def test_copies_at_another_speed_are_shorter():
    waves = [np.random.default_rng(3).normal(0, 0.1, size).astype("float32") for size in (8000, 16_000)]
    plain, faster = (ge2e.log_mels(waves, Spectrogram(mel_bands=40), speed) for speed in (1.0, 1.25))
    assert [mel.shape for mel in plain] == [(16, 40), (32, 40)]
    assert [mel.shape for mel in faster] == [(13, 40), (26, 40)]


@pytest.mark.parametrize("speed", [1.0, 0.9])
def test_recordings_of_other_lengths_do_not_change_a_spectrogram(speed):
    waves = [np.random.default_rng(3).normal(0, 0.1, size).astype("float32") for size in (8123, 16_777)]
    spectrogram = Spectrogram(mel_bands=40)
    together = ge2e.log_mels(waves, spectrogram, speed)
    for wave, found in zip(waves, together, strict=True):
        (alone,) = ge2e.log_mels([wave], spectrogram, speed)
        assert found.shape == alone.shape
        np.testing.assert_allclose(found[:-1], alone[:-1], atol=0.1)  # resampling rings on after the end
        np.testing.assert_allclose(found[:-2], alone[:-2], atol=1e-3)
