"""The network, its windows, and which speaker is named: against loops and hand-made cases."""

import keras
import numpy as np
import pytest

from samples import array

from helpers import InputError
from helpers.augmentation import random_crops
from helpers.systems import cnn, identification
from helpers.systems.identification import IdentificationConfig
from helpers.verifier import save_system

RNG = np.random.default_rng(0)
BANDS = 16
PICTURES = [RNG.normal(size=(40, BANDS)).astype("float32") for _ in range(6)]
backend = pytest.mark.backend


# ---- the network -------------------------------------------------------------------------------------------


@pytest.mark.slow
@backend
def test_an_utterance_does_not_know_its_neighbours():
    encoder, batch = cnn.cnn_encoder(PICTURES, width=4), np.stack(PICTURES)
    together = encoder.predict(batch, verbose=0)
    alone = np.concatenate([encoder.predict(one[None], verbose=0) for one in batch])
    order = RNG.permutation(len(batch))
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(encoder.predict(batch[order], verbose=0), together[order], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3


@backend
@pytest.mark.parametrize("pooling", cnn.POOLINGS)
def test_a_gradient_reaches_every_weight(pooling):
    encoder = cnn.cnn_encoder(PICTURES, 4, pooling)
    logits = keras.layers.Dense(3)(encoder.get_layer("projection").output)
    model, loss = (
        keras.Model(encoder.input, logits),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    jax = keras.backend.backend() == "jax"  # the others take a single step sooner than they compile it
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=jax, run_eagerly=not jax)
    before = [array(variable) for variable in model.trainable_variables]
    cost = float(model.train_on_batch(np.stack(PICTURES), np.array([0, 1, 2, 0, 1, 2])))
    assert np.isfinite(cost)
    for variable, old in zip(model.trainable_variables, before, strict=True):
        new = array(variable)
        assert np.isfinite(new).all()
        # The last score's bias moves all scores alike, which a softmax does not notice.
        assert (old != new).any() or variable.shape == (1,), variable.path


def test_a_frame_is_eight():
    encoder = cnn.cnn_encoder([np.zeros((8, 40), "float32")], width=2)
    inside = keras.Model(encoder.input, encoder.get_layer("frames").output)
    for frames in (80, 96, 97):
        assert inside.compute_output_shape((1, frames, 40))[1] in (None, -(-frames // 8))
    assert inside(np.zeros((1, 97, 40), "float32")).shape[1] == 13


def test_what_does_not_exist_is_refused():
    with pytest.raises(InputError, match="pooling is 'max'; expected one of attention, average"):
        cnn.cnn_encoder(PICTURES, pooling="max")
    with pytest.raises(InputError, match="width is 0"):
        cnn.cnn_encoder(PICTURES, width=0)
    with pytest.raises(InputError, match="epochs is 0"):
        IdentificationConfig(epochs=0)


# ---- windows and the split ---------------------------------------------------------------------------------


def test_windows_cover_an_utterance_and_nothing_else():
    whole = np.arange(25, dtype="float32")[:, None]
    found = identification.sliding_windows(whole, 10)[:, :, 0]
    assert found.shape == (4, 10)
    assert set(found.ravel()) == set(range(25))
    assert (np.diff(found, axis=1) == 1).all()
    assert np.diff(found[:, 0]).max() <= 5
    np.testing.assert_array_equal(identification.sliding_windows(whole, 25)[:, :, 0], whole.T)


def test_a_short_utterance_is_repeated_and_not_padded():
    whole = np.arange(1, 5, dtype="float32")[:, None]
    found = identification.sliding_windows(whole, 10)
    assert found.shape[1:] == (10, 1)
    np.testing.assert_array_equal(found[0, :, 0], [1, 2, 3, 4, 1, 2, 3, 4, 1, 2])
    crops = random_crops([whole], 10, 0, np.random.default_rng(0))
    assert crops.min() >= 1


def test_kept_utterances():
    speakers = np.repeat([3, 5, 9], [12, 12, 14])
    mask = identification.split_utterances(speakers, 9, seed=0)
    assert [mask[speakers == name].sum() for name in (3, 5, 9)] == [9, 9, 9]
    np.testing.assert_array_equal(mask, identification.split_utterances(speakers, 9, seed=0))
    assert (mask != identification.split_utterances(speakers, 9, seed=1)).any()
    for kept in (0, 12):
        with pytest.raises(InputError, match=f"{kept} utterances .* a speaker has 12"):
            identification.split_utterances(speakers, kept)


# ---- which speaker is named --------------------------------------------------------------------------------


def test_top_k_by_hand():
    logits = np.array([[9, 5, 1, 0], [9, 5, 1, 0], [9, 5, 1, 0], [0, 1, 2, 3]], dtype=float)
    speakers = np.array([0, 1, 3, 3])
    found = [identification.top_k(logits, speakers, k).mean() for k in (1, 2, 3, 4)]
    assert found == [0.5, 0.75, 0.75, 1]


def test_a_tie_counts_against_the_network():
    """Equal logits for all name nobody, whatever the speaker; those of two share the worse rank."""
    speakers = np.array([0, 1, 2])
    assert not identification.top_k(np.zeros((3, 8)), speakers, 5).any()
    assert not identification.top_k(np.full((3, 8), np.nan), speakers, 5).any()
    two = np.array([[5.0, 5, 1]])
    for speaker in (0, 1):
        found = [bool(identification.top_k(two, np.array([speaker]), k)[0]) for k in (1, 2)]
        assert found == [False, True]


def test_confusions_by_hand():
    logits = np.array([[3, 1, 0], [0, 5, 1], [7, 5, 1]], dtype=float)
    expected = [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    np.testing.assert_array_equal(identification.confusions(logits, np.array([0, 1, 1])), expected)


def tones(seed=0):
    """Three people who hum four times, each on a pitch of their own: waveforms of unlike length, speakers."""
    rng, waveforms = np.random.default_rng(seed), []
    for speaker in range(3):
        for _ in range(4):
            seconds = np.arange(rng.integers(8_000, 16_000)) / 16_000
            hum = np.sin(2 * np.pi * (150 + 400 * speaker) * seconds + rng.uniform(0, 6))
            waveforms.append((0.3 * hum + 0.01 * rng.normal(size=len(hum))).astype("float32"))
    return waveforms, np.repeat([10, 20, 30], 4)


@pytest.mark.slow
@backend
def test_it_learns_is_saved_and_loaded(tmp_path):
    waveforms, speakers = tones()
    config = IdentificationConfig(width=4, epochs=6, window=0.5, batch=12, speeds=(0.9,))
    identifier, losses = identification.train_identifier(waveforms, speakers, config)
    assert losses[-1] < losses[0]
    assert identifier.names == [10, 20, 30]
    assert identifier.network.outputs[1].shape[1] == 6  # the copies are speakers of their own
    embeddings, logits = identifier.predict_utterances(tones(1)[0])
    assert logits.shape == (12, 3)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert identification.top_k(logits, np.repeat([0, 1, 2], 4)).all()

    save_system(identifier, tmp_path / "it.keras")
    loaded = identification.load_identifier(tmp_path / "it.keras")
    for ours, theirs in zip(
        loaded.predict_utterances(waveforms), identifier.predict_utterances(waveforms), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert (loaded.names, loaded.frames, loaded.spectrogram) == (
        identifier.names,
        identifier.frames,
        identifier.spectrogram,
    )


def test_a_network_with_the_layers_of_the_release_before_is_loaded(tmp_path):
    inputs = keras.Input((None, 40))
    pooled = cnn.SelfAttentivePooling(heads=2, hidden=3, penalty=0.001)(inputs)
    network = keras.Model(inputs, [pooled, cnn.ClassCosines(3)(pooled)])
    identifier = identification.Identifier(network, identification.FILTER_BANKS, 20, ["a", "b", "c"])
    save_system(identifier, tmp_path / "it.keras")
    loaded, heard = identification.load_identifier(tmp_path / "it.keras"), tones()[0][:3]
    for ours, theirs in zip(
        loaded.predict_utterances(heard), identifier.predict_utterances(heard), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.slow
def test_an_utterance_is_scored_by_the_mean_of_its_windows():
    """Utterances of unlike length in one call, each as if it were alone."""
    waveforms, banks = tones()[0], identification.FILTER_BANKS
    encoder = cnn.cnn_encoder([banks(waveform)[0] for waveform in waveforms], width=2)
    logits = keras.layers.Dense(3)(encoder.get_layer("projection").output)
    network = keras.Model(encoder.input, [encoder.output, logits])
    identifier = identification.Identifier(network, banks, 20, ["a", "b", "c"])
    embeddings, logits = identifier.predict_utterances(waveforms[:3])
    for waveform, embedding, logit in zip(waveforms, embeddings, logits, strict=False):
        parts = identification.sliding_windows(identifier.spectrogram(waveform)[0], identifier.frames)
        assert len(parts) > 1
        each, theirs = identifier.network.predict(parts, verbose=0)
        mean = each.mean(axis=0)
        np.testing.assert_allclose(embedding, mean / np.linalg.norm(mean), atol=1e-4)
        np.testing.assert_allclose(logit, theirs.mean(axis=0), atol=1e-4)


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"it.keras does not exist; notebook 09 makes it"):
        identification.load_identifier(tmp_path / "it.keras")
    (tmp_path / "it.keras").write_bytes(b"PK no archive")
    with pytest.raises(
        InputError, match=r"it.keras cannot be read as a saved model \(not a whole .keras file"
    ):
        identification.load_identifier(tmp_path / "it.keras")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "it.keras")
    with pytest.raises(InputError, match=r"it.keras holds a Sequential; expected an Identifier"):
        identification.load_identifier(tmp_path / "it.keras")
