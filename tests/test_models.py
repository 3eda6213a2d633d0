"""The twin network: one set of weights, whatever uses it, before and after the disk."""

import errno
import json
import zipfile

import keras
import numpy as np
import pytest

from samples import array

from helpers import InputError
from helpers.features import Spectrogram
from helpers.files import atomic_write
from helpers.losses import BalancedPairLoss
from helpers.models import AllPairs, ScaledCosine, StatisticsPooling, batch_model, concatenate_encoders
from helpers.models import (
    cudnn_obstacles,
    embed_by_length,
    embed_spectrograms,
    gru_encoder,
    siamese_model,
    standardisation,
)
from helpers.pairs import enrolments
from helpers.plda import PLDA
from helpers.verifier import Verifier, load_verifier, save_system

pytestmark = pytest.mark.backend

BINS = 12
FEATURES = Spectrogram(n_fft=22, hop_length=11)
FACTS = {
    "corpus": "tones",
    "recipe": {"seed": 3, "speeds": [0.9, 1.1]},
    "held_out_eer": 0.125,
    "nothing": None,
}


def speech(utterances=6, frames=9, seed=0):
    return np.random.default_rng(seed).normal(3, 2, (utterances, frames, BINS)).astype(np.float32)


@pytest.fixture
def encoder():
    keras.utils.set_random_seed(0)
    return gru_encoder(speech(), bands=8, units=6, dimensions=5)


@pytest.fixture
def scale():
    return ScaledCosine(name="scale")


@pytest.fixture
def verifier(encoder, scale):
    scale.build(())
    scale.w.assign(7.5)
    return Verifier(encoder, PLDA(1, 5).fit(*known(5)), scale, FEATURES, 0.4375, FACTS)


def known(dimensions, encoders=1):
    """Voices and their speakers."""
    rng, speakers = np.random.default_rng(5), np.repeat(np.arange(8), 4)
    embeddings = rng.normal(size=(8, dimensions * encoders))[speakers] + rng.normal(
        size=(32, dimensions * encoders)
    )
    return embeddings, speakers


def embed(encoder, spectrograms):
    return encoder.predict(spectrograms, verbose=0)


def one_line(refusal):
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


# ---- layers ------------------------------------------------------------------------------------------------


def test_pooling_is_over_time_and_not_over_the_batch():
    frames = speech(4, 7)
    pooled = array(StatisticsPooling()(frames))
    expected = np.concatenate([frames.mean(axis=1), np.sqrt(frames.var(axis=1) + 1e-5)], axis=1)
    np.testing.assert_allclose(pooled, expected, rtol=1e-4, atol=1e-4)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(array(StatisticsPooling()(frames[order])), pooled[order], rtol=1e-5, atol=1e-5)
    in_time = array(StatisticsPooling()(frames[:, ::-1]))
    np.testing.assert_allclose(in_time, pooled, rtol=1e-4, atol=1e-4)
    assert tuple(StatisticsPooling().compute_output_shape((None, None, 5))) == (None, 10)


def test_all_pairs_is_the_gram_matrix():
    embeddings = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_allclose(array(AllPairs()(embeddings)), embeddings @ embeddings.T, rtol=1e-5)


def test_a_verifier_is_whole_before_it_has_scored(encoder, tmp_path):
    fresh = Verifier(encoder, PLDA(1, 5).fit(*known(5)), ScaledCosine(0.25, 2.5), FEATURES, 0.0)
    save_system(fresh, tmp_path / "v.keras")
    for each in (fresh, load_verifier(tmp_path / "v.keras")):
        assert (float(each.scale.w), float(each.scale.b)) == (0.25, 2.5)


def test_scaled_cosine_by_hand():
    cosines = np.array([[-1.0, 0.0], [0.5, 1.0]], dtype=np.float32)
    np.testing.assert_allclose(array(ScaledCosine()(cosines)), 10 * cosines - 5)
    np.testing.assert_allclose(array(ScaledCosine(w=2.0, b=1.0)(cosines)), 2 * cosines + 1)
    again = ScaledCosine.from_config(ScaledCosine(w=2.0, b=1.0, name="mine").get_config())
    assert again.name == "mine"
    np.testing.assert_allclose(array(again(cosines)), 2 * cosines + 1)


def test_the_scale_cannot_turn_similarity_round():
    """Labels that say the opposite push w down, step by step; it stops at zero."""
    scale = ScaledCosine(w=0.5, b=0.0, name="scale")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, scale(AllPairs()(inputs)))
    model.compile(keras.optimizers.SGD(5.0), BalancedPairLoss())
    opposite = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]], dtype=np.float32)
    model.fit(opposite, np.array([0, 0, 1, 1]), batch_size=4, epochs=5, verbose=0)
    assert float(array(scale.w)) == 0


# ---- the encoder -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 2, 9, 31])
def test_embeddings_have_length_one_for_any_number_of_frames(encoder, frames):
    embeddings = embed(encoder, speech(5, frames, seed=1))
    assert embeddings.shape == (5, 5)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_an_embedding_does_not_depend_on_its_batch(encoder):
    spectrograms = speech(7, seed=1) * np.geomspace(0.1, 10, 7, dtype=np.float32)[:, None, None]
    together = embed(encoder, spectrograms)
    alone = np.concatenate([embed(encoder, spectrograms[i : i + 1]) for i in range(7)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(embed(encoder, spectrograms[::-1].copy()), together[::-1], atol=1e-5)


def test_embeddings_differ_and_depend_on_time(encoder):
    spectrograms = speech(seed=1)
    embeddings = embed(encoder, spectrograms)
    cosines = embeddings @ embeddings.T
    assert cosines[~np.eye(6, dtype=bool)].max() < 0.9999
    assert np.abs(embed(encoder, spectrograms[:, ::-1].copy()) - embeddings).max() > 1e-3  # a GRU, not a mean


def test_bins_are_standardised_one_by_one():
    spectrograms = speech(20) * np.geomspace(0.1, 10, BINS, dtype=np.float32)
    layer = gru_encoder(spectrograms, 4, 4, 4).get_layer("standardise")
    standard = array(layer(spectrograms))
    np.testing.assert_allclose(standard.mean(axis=(0, 1)), 0, atol=1e-3)
    np.testing.assert_allclose(standard.std(axis=(0, 1)), 1, atol=1e-3)


def test_bins_that_are_left_empty_are_put_out():
    spectrograms = np.maximum(speech(20), -11)
    spectrograms[..., -3:] = -11.5
    spectrograms[:, 0, -3:] = -9  # but for the click at the start
    layer = standardisation(spectrograms)
    copies = spectrograms.copy()
    copies[..., -3:] = -5  # faster speech reaches further up
    standard = array(layer(copies))
    assert np.abs(standard[..., -3:]).max() < 0.01
    np.testing.assert_allclose(standard[..., :-3].std(axis=(0, 1)), 1, atol=1e-3)
    half = spectrograms.copy()
    half[::2, :, -3:] = -5  # of every other recording only: that may well be a voice
    assert np.abs(array(standardisation(half)(half))[..., -3:]).max() > 0.5


def test_frames_are_averaged_for_the_gru_the_last_one_alone(encoder):
    frames = speech(2, 5)
    expected = np.stack([frames[:, 0:2].mean(axis=1), frames[:, 2:4].mean(axis=1), frames[:, 4]], axis=1)
    np.testing.assert_allclose(array(encoder.get_layer("slower")(frames)), expected, rtol=1e-5)


def test_what_the_gru_sees_can_be_all_there_is():
    plain = gru_encoder(speech(), bands=8, units=6, dimensions=5, shortcut=False, stride=1)
    assert "slower" not in [layer.name for layer in plain.layers]
    assert plain.get_layer("projection").kernel.shape == (2 * 6, 5)
    assert embed(plain, speech(4)).shape == (4, 5)
    both = gru_encoder(speech(), bands=8, units=6, dimensions=5)
    assert both.get_layer("projection").kernel.shape == (2 * 6 + 2 * 8, 5)


class Halves(keras.layers.Layer):
    """The lower half of the bins, three times as loud."""

    def call(self, spectrograms):
        return 3 * spectrograms[..., : BINS // 2]


def test_a_view_is_looked_at_in_place_of_the_spectrogram():
    spectrograms = speech(20)
    viewed = gru_encoder(spectrograms, 8, 6, 5, view=Halves)
    assert viewed.input_shape == (None, None, BINS)
    assert viewed.get_layer("bands").kernel.shape == (BINS // 2, 8)
    standard = array(viewed.get_layer("standardise")(3 * spectrograms[..., : BINS // 2]))
    np.testing.assert_allclose(standard.mean(axis=(0, 1)), 0, atol=1e-3)
    np.testing.assert_allclose(standard.std(axis=(0, 1)), 1, atol=1e-3)
    other = spectrograms.copy()
    other[..., BINS // 2 :] = 0
    np.testing.assert_allclose(embed(viewed, other), embed(viewed, spectrograms), atol=1e-5)


def test_what_stands_in_the_gru_s_place_gets_its_input():
    def still():
        return keras.layers.Dense(7, use_bias=False, name="still")

    encoder = gru_encoder(speech(), 8, 6, 5, sequence=still, stride=1)
    assert "gru" not in [layer.name for layer in encoder.layers]
    assert encoder.get_layer("still").kernel.shape == (8, 7)
    assert encoder.get_layer("projection").kernel.shape == (2 * 7 + 2 * 8, 5)
    turned = speech(4)[:, ::-1].copy()
    np.testing.assert_allclose(embed(encoder, turned), embed(encoder, speech(4)), atol=1e-5)  # no order left


def test_states_are_pooled_as_asked():
    encoder = gru_encoder(speech(), 8, 6, 5, pooling=keras.layers.GlobalMaxPooling1D)
    assert isinstance(encoder.get_layer("pooling"), keras.layers.GlobalMaxPooling1D)
    assert isinstance(encoder.get_layer("pooling_around"), StatisticsPooling)
    assert encoder.get_layer("projection").kernel.shape == (6 + 2 * 8, 5)


def test_a_list_is_embedded_as_an_array_is(encoder, monkeypatch):
    monkeypatch.setattr("helpers.models.CHUNK", 4)
    found = embed_spectrograms(encoder, list(speech(10)))
    np.testing.assert_allclose(found, embed(encoder, speech(10)), atol=1e-5)
    np.testing.assert_array_equal(embed_spectrograms(encoder, speech(10)), found)


def test_dropout_only_while_training(encoder):
    spectrograms = speech()
    np.testing.assert_array_equal(embed(encoder, spectrograms), embed(encoder, spectrograms))
    first, second = (array(encoder(spectrograms, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3


def test_a_step_reaches_every_weight(encoder, scale):
    model = batch_model(encoder, scale)
    model.compile(keras.optimizers.SGD(1.0), BalancedPairLoss())
    before = {weight.path: array(weight) for weight in model.trainable_variables}
    model.fit(speech(8), np.repeat(np.arange(4), 2), batch_size=8, verbose=0)
    # w and b; kernel and bias of bands and projection; kernel, recurrent kernel and bias of the GRU
    assert len(before) == 2 + 2 + 2 + 3
    for weight in model.trainable_variables:
        after = array(weight)
        assert np.isfinite(after).all()
        assert (after != before[weight.path]).any(), weight.path


def test_frames_that_do_not_vary_keep_gradients_finite():
    model = keras.Sequential([keras.Input((5, 2)), keras.layers.Dense(3), StatisticsPooling()])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(np.ones((4, 5, 2), np.float32), np.ones((4, 6), np.float32), verbose=0)
    assert all(np.isfinite(array(weight)).all() for weight in model.trainable_variables)


def test_constant_input_keeps_gradients_finite(encoder, scale):
    model = batch_model(encoder, scale)
    model.compile(keras.optimizers.SGD(0.1), BalancedPairLoss())
    model.fit(np.full((4, 9, BINS), 3.0, np.float32), np.array([0, 0, 1, 1]), batch_size=4, verbose=0)
    assert all(np.isfinite(array(weight)).all() for weight in model.trainable_variables)


# ---- one encoder, three uses -------------------------------------------------------------------------------


def test_the_siamese_model_is_symmetric(encoder, scale):
    siamese = siamese_model(encoder, scale)
    a, b = speech(5, 9, seed=1), speech(5, 14, seed=2)
    forth = siamese.predict([a, b], verbose=0)
    assert forth.shape == (5, 1)
    assert forth.std() > 0
    np.testing.assert_allclose(siamese.predict([b, a], verbose=0), forth, rtol=1e-5)
    # With itself, cosine 1: w - b = 10 - 5 logits.
    np.testing.assert_allclose(siamese.predict([a, a], verbose=0), 1 / (1 + np.exp(-5)), rtol=1e-4)


def test_all_uses_agree(encoder, scale):
    a, b = speech(5, seed=1), speech(5, seed=2)
    embeddings = embed(encoder, np.concatenate([a, b]))
    logits = 10 * embeddings @ embeddings.T - 5
    all_pairs = batch_model(encoder, scale).predict(np.concatenate([a, b]), verbose=0)
    np.testing.assert_allclose(all_pairs, logits, atol=1e-4)
    chances = siamese_model(encoder, scale).predict([a, b], verbose=0)[:, 0]
    np.testing.assert_allclose(chances, 1 / (1 + np.exp(-np.diag(logits[:5, 5:]))), rtol=1e-4)


def test_the_twins_share_every_weight(encoder, scale):
    siamese = siamese_model(encoder, scale)
    assert siamese.count_params() == encoder.count_params() + 2
    assert len(siamese.trainable_variables) == len(encoder.trainable_variables) + 2
    a, b = speech(3, seed=1), speech(3, seed=2)
    before = embed(encoder, np.concatenate([a, b]))
    kernel = encoder.get_layer("gru").trainable_variables[0]
    kernel.assign(3 * array(kernel))
    after = embed(encoder, np.concatenate([a, b]))
    assert (np.abs(after - before).max(axis=1) > 1e-4).all()  # on the left and on the right
    expected = 1 / (1 + np.exp(5 - 10 * np.sum(after[:3] * after[3:], axis=1)))
    np.testing.assert_allclose(siamese.predict([a, b], verbose=0)[:, 0], expected, rtol=1e-4)
    np.testing.assert_allclose(siamese.predict([b, a], verbose=0)[:, 0], expected, rtol=1e-4)


@pytest.mark.slow
def test_training_on_batches_trains_all_uses(encoder, scale):
    training, siamese = batch_model(encoder, scale), siamese_model(encoder, scale)
    a, b = speech(4, seed=1), speech(4, seed=2)
    before = embed(encoder, a)
    training.compile(keras.optimizers.SGD(0.5), BalancedPairLoss())
    training.fit(speech(8), np.repeat(np.arange(4), 2), batch_size=8, epochs=2, verbose=0)
    embeddings = embed(encoder, np.concatenate([a, b]))
    assert np.abs(embeddings[:4] - before).max() > 1e-3
    w, b_ = float(array(scale.w)), float(array(scale.b))
    assert w != 10
    expected = 1 / (1 + np.exp(-w * np.sum(embeddings[:4] * embeddings[4:], axis=1) - b_))
    np.testing.assert_allclose(siamese.predict([a, b], verbose=0)[:, 0], expected, rtol=1e-4)


def test_pair_logits_are_scaled_cosines_of_all_pairs(encoder, scale):
    embeddings = embed(encoder, speech(5, seed=1))
    logits = array(ScaledCosine(w=3.0, b=1.0)(AllPairs()(embeddings)))
    np.testing.assert_allclose(logits, 3 * embeddings @ embeddings.T + 1, atol=1e-5)
    expected = batch_model(encoder, scale).predict(speech(5, seed=1), verbose=0)
    np.testing.assert_allclose(array(scale(AllPairs()(embeddings))), expected, atol=1e-4)


# ---- several encoders as one -------------------------------------------------------------------------------


@pytest.fixture
def three():
    keras.utils.set_random_seed(0)
    encoders = [gru_encoder(speech(), bands=8, units=6, dimensions=5) for _ in range(3)]
    for number, encoder in enumerate(encoders):
        encoder.name = f"encoder_{number}"
    return encoders


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 9, 31])
def test_the_cosine_of_several_encoders_is_the_mean_of_theirs(three, frames):
    spectrograms = speech(7, frames, seed=1)
    together = embed(concatenate_encoders(three), spectrograms)
    assert together.shape == (7, 3 * 5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    embeddings = [embed(encoder, spectrograms) for encoder in three]
    cosines = [each @ each.T for each in embeddings]
    assert np.abs(cosines[0] - cosines[1]).max() > 0.01
    np.testing.assert_allclose(together @ together.T, np.mean(cosines, axis=0), atol=1e-5)
    np.testing.assert_allclose(
        together, np.hstack(embeddings) / np.sqrt(3), atol=1e-5
    )  # side by side, in order


def test_one_encoder_stays_itself(encoder):
    assert concatenate_encoders([encoder]) is encoder


def test_several_encoders_keep_their_weights(three):
    joint = concatenate_encoders(three)
    assert joint.count_params() == sum(encoder.count_params() for encoder in three)
    before = embed(joint, speech())
    kernel = three[1].get_layer("projection").trainable_variables[0]
    kernel.assign(-array(kernel))
    changed = np.abs(embed(joint, speech()) - before).max(axis=0) > 1e-4
    np.testing.assert_array_equal(changed, np.repeat([False, True, False], 5))


@pytest.mark.slow
def test_several_encoders_survive_the_disk(three, tmp_path):
    scale = ScaledCosine(7.5, -3.0, name="calibration")
    verifier = Verifier(concatenate_encoders(three), PLDA(3, 5).fit(*known(5, 3)), scale, FEATURES, 0.4)
    save_system(verifier, tmp_path / "v.keras")
    loaded = load_verifier(tmp_path / "v.keras", FEATURES)
    for samples in (200, 400):  # another number of frames
        waveforms = np.random.default_rng(1).uniform(-0.5, 0.5, (4, samples)).astype(np.float32)
        embeddings = loaded.embed(waveforms)
        np.testing.assert_array_equal(embeddings, verifier.embed(waveforms))
        np.testing.assert_array_equal(loaded.scores(embeddings), verifier.scores(embeddings))
    np.testing.assert_allclose(array(loaded.scale(np.float32([0.4, 1.0]))), [0, 4.5], atol=1e-5)
    assert loaded.encoder.count_params() == verifier.encoder.count_params()
    siamese = siamese_model(loaded.encoder, loaded.scale, loaded.plda)
    chances = siamese.predict([speech(3), speech(3, 14)], verbose=0)
    assert chances.shape == (3, 1)


def test_pairs_are_scored_row_by_row(verifier):
    embeddings = known(5)[0][:6].astype(np.float32)
    found = verifier.pair_scores(embeddings[:4], embeddings[2:])
    expected = np.diag(verifier.scores(embeddings[:4], embeddings[2:]))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert np.ptp(expected) > 0.01


def test_recordings_of_unlike_length_are_embedded_by_length():
    calls = []

    def embed(batch):
        calls.append(batch.shape)
        return batch.sum(axis=1, keepdims=True)

    rows = [np.arange(1.0, 6), np.arange(3.0), np.arange(10.0, 14), np.arange(7.0, 10)]
    found = embed_by_length(embed, rows, np.array([3, 2, 3, 2]))
    assert found.tolist() == [[1 + 2 + 3], [0 + 1], [10 + 11 + 12], [7 + 8]]
    assert calls == [(2, 2), (2, 3)]


def test_enrolled_voices_are_their_mean(verifier):
    embeddings, speakers = known(5)
    trials = enrolments(speakers, 3)
    found = verifier.enrolled_scores(embeddings, trials)
    for index in (0, 7, len(found) - 1):
        mean = embeddings[trials.enrolled[index]].mean(axis=0)
        score = verifier.plda.scores(mean[None], embeddings[trials.test[index]][None]).item()
        assert found[index] == pytest.approx(7.5 * score - 5, rel=1e-5)
    assert len(found) == len(trials.label)


# ---- cuDNN -------------------------------------------------------------------------------------------------


def test_our_gru_may_use_cudnn(encoder):
    assert cudnn_obstacles(encoder.get_layer("gru")) == []
    again = keras.layers.GRU.from_config(encoder.get_layer("gru").get_config())
    assert cudnn_obstacles(again) == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"activation": "relu"}, "activation is not tanh"),
        ({"activation": "linear"}, "activation is not tanh"),
        ({"recurrent_activation": "hard_sigmoid"}, "recurrent_activation is not sigmoid"),
        ({"recurrent_dropout": 0.1}, "recurrent dropout"),
        ({"unroll": True}, "unrolled"),
        ({"use_bias": False}, "no bias"),
        ({"reset_after": False}, "reset_after is off"),
    ],
)
def test_obstacles_to_cudnn_are_named(settings, named):
    assert cudnn_obstacles(keras.layers.GRU(4, **settings)) == [named]


def test_all_obstacles_are_named_together():
    bad = keras.layers.GRU(4, activation="relu", recurrent_dropout=0.5, reset_after=False)
    assert cudnn_obstacles(bad) == ["activation is not tanh", "recurrent dropout", "reset_after is off"]


# ---- saving and loading ------------------------------------------------------------------------------------


def test_a_verifier_survives_the_disk(verifier, tmp_path):
    path = tmp_path / "models" / "siamese.keras"
    save_system(verifier, path)
    loaded = load_verifier(path, FEATURES)
    assert loaded.threshold == 0.4375
    assert loaded.spectrogram == FEATURES
    assert dict(loaded.facts) == FACTS
    assert float(array(loaded.scale.w)) == 7.5
    waveforms = np.random.default_rng(1).uniform(-0.5, 0.5, (4, 200)).astype(np.float32)
    np.testing.assert_array_equal(loaded.embed(waveforms), verifier.embed(waveforms))
    theirs, ours = (array(m.encoder.get_layer("standardise").mean) for m in (loaded, verifier))
    np.testing.assert_array_equal(theirs, ours)
    assert [file.name for file in path.parent.iterdir()] == ["siamese.keras"]
    save_system(loaded, path)  # and once more
    np.testing.assert_array_equal(load_verifier(path).embed(waveforms), verifier.embed(waveforms))


def test_embed_takes_waveforms(verifier):
    waveforms = np.random.default_rng(1).uniform(-0.5, 0.5, (4, 200)).astype(np.float32)
    expected = embed(verifier.encoder, FEATURES(waveforms))
    np.testing.assert_array_equal(verifier.embed(waveforms), expected)
    np.testing.assert_allclose(array(verifier(FEATURES(waveforms))), expected, atol=1e-6)
    np.testing.assert_allclose(verifier.embed(waveforms / 4), expected, atol=1e-3)  # a gain is not a voice


def test_the_loaded_model_can_be_used_in_all_ways(verifier, tmp_path):
    save_system(verifier, tmp_path / "v.keras")
    loaded = load_verifier(tmp_path / "v.keras")
    a, b = speech(3, seed=1), speech(3, seed=2)
    expected = siamese_model(verifier.encoder, verifier.scale, verifier.plda).predict([a, b], verbose=0)
    np.testing.assert_array_equal(
        siamese_model(loaded.encoder, loaded.scale, loaded.plda).predict([a, b], verbose=0), expected
    )
    assert cudnn_obstacles(loaded.encoder.get_layer("gru")) == []


def test_other_features_are_refused(verifier, tmp_path):
    save_system(verifier, tmp_path / "v.keras")
    for other, named in [
        (Spectrogram(n_fft=24, hop_length=11), r"n_fft=22 \(asked for 24\)"),
        (Spectrogram(n_fft=22, hop_length=11, compression="none"), "compression=log"),
        (Spectrogram(n_fft=22, hop_length=11, mel_bands=4), "mel_bands=0"),
    ]:
        with pytest.raises(
            InputError, match=rf"v\.keras was trained with other features.*{named}"
        ) as refusal:
            load_verifier(tmp_path / "v.keras", other)
        assert "hop_length" not in one_line(refusal)


def test_a_missing_model_is_named_with_the_command_that_makes_it(tmp_path):
    for path in (tmp_path / "none.keras", tmp_path):
        with pytest.raises(InputError, match=rf"{path.name}.*helpers\.batch"):
            load_verifier(path)


def test_damaged_models_are_refused_in_one_line(verifier, tmp_path):
    path = tmp_path / "v.keras"
    save_system(verifier, path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"Verifier")] ^= 1  # in config.json
    contents = [whole[: int(len(whole) * share)] for share in (0, 0.01, 0.5, 0.9, 0.999)]
    contents += [np.random.default_rng(0).bytes(5000), b"PK\x03\x04" + bytes(100), bytes(flipped)]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"v\.keras cannot be read as a saved model") as refusal:
            load_verifier(path)
        assert len(one_line(refusal)) < 250


def rewritten(path, new, change):
    """A copy of a saved model whose config.json was changed."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(new, "w") as archive:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config["config"])
                content = json.dumps(config)
            archive.writestr(name, content)
    return new


def test_settings_of_a_later_version_are_refused_by_name(verifier, tmp_path):
    save_system(verifier, tmp_path / "v.keras")
    for change, named in [
        (lambda config: config["spectrogram"].update(window="hann"), "window"),
        (lambda config: config["spectrogram"].update(compression="root"), "root"),
    ]:
        with pytest.raises(InputError, match=rf"w\.keras.*{named}") as refusal:
            load_verifier(rewritten(tmp_path / "v.keras", tmp_path / "w.keras", change))
        one_line(refusal)


def test_models_of_another_kind_are_refused(encoder, tmp_path):
    encoder.save(tmp_path / "encoder.keras")
    with pytest.raises(
        InputError, match=r"encoder\.keras holds a Functional; expected a Verifier"
    ) as refusal:
        load_verifier(tmp_path / "encoder.keras")
    one_line(refusal)


def test_a_full_disk_keeps_the_earlier_model(verifier, tmp_path):
    resource = pytest.importorskip("resource")  # a largest file size fails the write as a full disk does
    path = tmp_path / "v.keras"
    save_system(verifier, path)
    earlier = path.read_bytes()
    verifier.threshold = 0.9
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (0, 500, len(earlier) // 2, len(earlier) - 200):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            with pytest.raises(
                InputError, match=r"v\.keras could not be saved \(File too large\)"
            ) as refusal:
                save_system(verifier, path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        one_line(refusal)
        assert path.read_bytes() == earlier
        assert [file.name for file in tmp_path.iterdir()] == ["v.keras"]
    save_system(verifier, path)
    assert load_verifier(path).threshold == 0.9


def test_replacing_is_all_or_nothing(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("earlier")

    def fail(error):
        with atomic_write(path) as temporary:
            assert temporary.suffix == ".txt"
            temporary.write_text("half")
            raise error

    full = OSError(errno.ENOSPC, "No space left on device")
    for error, seen, message in [
        (full, InputError, r"a\.txt.*No space left"),
        (KeyError("x"), KeyError, "x"),
    ]:
        with pytest.raises(seen, match=message):
            fail(error)
        assert path.read_text() == "earlier"
        assert list(tmp_path.iterdir()) == [path]
    with atomic_write(path) as temporary:
        temporary.write_text("later")
    assert path.read_text() == "later"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_is_refused(verifier, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"v\.keras could not be saved") as refusal:
        save_system(verifier, tmp_path / "file" / "v.keras")
    one_line(refusal)
    assert (tmp_path / "file").read_text() == "no folder"
