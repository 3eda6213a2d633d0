"""Attention over time, its penalty, the networks' sizes, who is named: against loops and hand-made cases."""

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
FRAMES = RNG.normal(size=(5, 7, 6)).astype("float32")
backend = pytest.mark.backend


def pooling(**settings):
    layer = cnn.SelfAttentivePooling(heads=3, hidden=4, **settings)
    layer.build(FRAMES.shape)
    return layer


# ---- the attention -----------------------------------------------------------------------------------------


@backend
def test_the_weights_sum_to_one_over_time():
    weights = array(pooling().attention(keras.ops.convert_to_tensor(FRAMES)))
    assert weights.shape == (5, 7, 3)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert np.abs(weights.sum(axis=0) - 1).max() > 0.1  # and not over the batch, nor over the heads
    assert np.abs(weights.sum(axis=2) - 1).max() > 0.1


@backend
def test_pooling_against_loops():
    layer = pooling()
    first, second, expected = array(layer.first), array(layer.second), np.empty((5, 3, 6))
    for n, frames in enumerate(FRAMES):
        for head in range(3):
            scores = np.array([np.tanh(frame @ first) @ second[:, head] for frame in frames])
            weights = np.exp(scores) / np.exp(scores).sum()
            expected[n, head] = sum(w * frame for w, frame in zip(weights, frames, strict=True))
    np.testing.assert_allclose(array(layer(FRAMES)), expected.reshape(5, 18), atol=1e-5)


@pytest.mark.slow
@backend
@pytest.mark.parametrize("network", ["vgg", "resnet18"])
def test_an_utterance_does_not_know_its_neighbours(network):
    encoder, batch = cnn.cnn_encoder(PICTURES, network, width=4), np.stack(PICTURES)
    together = encoder.predict(batch, verbose=0)
    alone = np.concatenate([encoder.predict(one[None], verbose=0) for one in batch])
    order = RNG.permutation(len(batch))
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(encoder.predict(batch[order], verbose=0), together[order], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3


@backend
def test_the_penalty_by_hand():
    apart = [[1, 0], [0, 1]]  # frames x heads: each head looks at a frame of its own
    alike = [[1, 1], [0, 0]]  # A A^T is all ones: two of the four are not those of I
    spread = [[0.5, 0.5], [0.5, 0.5]]  # A A^T is all halves, each a half away from I
    weights = np.array([apart, alike, spread], dtype="float32")
    np.testing.assert_allclose(array(cnn.redundancy(keras.ops.convert_to_tensor(weights))), [0, 2, 1])


@backend
def test_the_penalty_is_part_of_the_loss():
    layer = pooling(penalty=0.5)
    weights = array(layer.attention(keras.ops.convert_to_tensor(FRAMES)))
    costs = [np.square(a.T @ a - np.eye(3)).sum() for a in weights]
    inputs = keras.Input((7, 6))
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    target = model.predict(FRAMES, verbose=0)  # of which the mean squared error is 0
    found = model.train_on_batch(FRAMES, target)
    assert float(found) == pytest.approx(0.5 * np.mean(costs), rel=1e-4)


# ---- the networks ------------------------------------------------------------------------------------------


def step(network, pooling="attention", head="margin", width=4, **settings):
    """One step of a network with its head: variables before and after, the loss, the embeddings."""
    encoder = cnn.cnn_encoder(PICTURES, network, pooling, width, **settings)
    both, loss = identification.add_head(encoder, head, 3)
    model = keras.Model(both.input, both.outputs[1])
    jax = keras.backend.backend() == "jax"  # the others take a single step sooner than they compile it
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=jax, run_eagerly=not jax)
    before = [array(variable) for variable in model.trainable_variables]
    cost = float(model.train_on_batch(np.stack(PICTURES), np.array([0, 1, 2, 0, 1, 2])))
    after = [array(variable) for variable in model.trainable_variables]
    return model, before, after, cost


@backend
@pytest.mark.parametrize(
    ("network", "pooling", "head"),
    [("vgg", "attention", "softmax"), ("resnet18", "average", "margin")],
)
def test_a_gradient_reaches_every_weight(network, pooling, head):
    model, before, after, cost = step(network, pooling, head)
    assert np.isfinite(cost)
    for variable, old, new in zip(model.trainable_variables, before, after, strict=True):
        assert np.isfinite(new).all()
        assert (old != new).any(), variable.path


@pytest.mark.slow
def test_resnet_50_at_full_width():
    model, before, after, cost = step("resnet50", width=64)
    assert np.isfinite(cost)
    assert all(np.isfinite(new).all() and (old != new).any() for old, new in zip(before, after, strict=True))
    assert model.get_layer("frames").output.shape == (None, None, 2048)  # 16 bands are halved to one
    # The published 25,557,032 weights, less the 1,000 classes, and less two of three colours.
    ours = sum(
        np.prod(w.shape) for layer in model.layers[: names(model).index("frames")] for w in learnt(layer)
    )
    assert ours == 25_557_032 - (2048 + 1) * 1000 - 2 * 7 * 7 * 64


def names(model):
    return [layer.name for layer in model.layers]


def learnt(layer):
    return layer.trainable_weights


def test_resnet_18_at_full_width():
    encoder = cnn.cnn_encoder(PICTURES, "resnet18", width=64)
    convolutions = encoder.layers[: names(encoder).index("frames")]
    ours = sum(np.prod(w.shape) for layer in convolutions for w in learnt(layer))
    assert ours == 11_689_512 - (512 + 1) * 1000 - 2 * 7 * 7 * 64  # published


@pytest.mark.slow
@pytest.mark.parametrize("network", cnn.NETWORKS)
def test_a_frame_is_eight(network):
    encoder = cnn.cnn_encoder([np.zeros((8, 40), "float32")], network, width=2)
    inside = keras.Model(encoder.input, encoder.get_layer("frames").output)
    for frames in (80, 96, 97):
        assert inside.compute_output_shape((1, frames, 40))[1] in (None, -(-frames // 8))
    found = inside(np.zeros((1, 97, 40), "float32"))
    assert found.shape[1] == 13


def test_what_does_not_exist_is_refused():
    with pytest.raises(InputError, match="network is 'vgg16'; expected one of vgg, resnet18, resnet50"):
        cnn.cnn_encoder(PICTURES, "vgg16")
    with pytest.raises(InputError, match="pooling is 'max'; expected one of attention, average"):
        cnn.cnn_encoder(PICTURES, pooling="max")
    with pytest.raises(InputError, match="width is 0"):
        cnn.cnn_encoder(PICTURES, width=0)
    with pytest.raises(InputError, match="head is 'arc'; expected one of softmax, margin"):
        IdentificationConfig(head="arc")
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


# ---- who is named ------------------------------------------------------------------------------------------


def test_top_k_by_hand():
    logits = np.array([[9, 5, 1, 0], [9, 5, 1, 0], [9, 5, 1, 0], [0, 1, 2, 3]], dtype=float)
    speakers = np.array([0, 1, 3, 3])
    assert [identification.top_k(logits, speakers, k) for k in (1, 2, 3, 4)] == [0.5, 0.75, 0.75, 1]


def test_who_says_the_same_of_everybody_names_nobody():
    speakers = np.array([0, 1, 2])
    assert identification.top_k(np.zeros((3, 8)), speakers, 5) == 0
    assert identification.top_k(np.full((3, 8), np.nan), speakers, 5) == 0


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
    config = IdentificationConfig("vgg", width=4, epochs=6, window=0.5, batch=12, speeds=(0.9,))
    identifier, losses = identification.train_identifier(waveforms, speakers, config)
    assert losses[-1] < losses[0]
    assert identifier.names == [10, 20, 30]
    assert identifier.network.outputs[1].shape[1] == 6  # the copies are speakers of their own
    voices, logits = identifier.predict_utterances(tones(1)[0])
    assert logits.shape == (12, 3)
    np.testing.assert_allclose(np.linalg.norm(voices, axis=1), 1, atol=1e-5)
    assert identification.top_k(logits, np.repeat([0, 1, 2], 4)) == 1

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
    looks = loaded.attention(loaded.spectrogram(waveforms[0])[0])
    np.testing.assert_allclose(looks.sum(axis=0), 1, atol=1e-5)


@pytest.mark.slow
def test_an_utterance_is_scored_by_the_mean_of_its_windows():
    """Utterances of unlike length in one call, each as if it were alone."""
    waveforms, banks = tones()[0], identification.FILTER_BANKS
    encoder = cnn.cnn_encoder([banks(waveform)[0] for waveform in waveforms], "vgg", width=2)
    network, _ = identification.add_head(encoder, "softmax", 3)
    identifier = identification.Identifier(network, banks, 20, ["a", "b", "c"])
    voices, logits = identifier.predict_utterances(waveforms[:3])
    for waveform, voice, logit in zip(waveforms, voices, logits, strict=False):
        parts = identification.sliding_windows(identifier.spectrogram(waveform)[0], identifier.frames)
        assert len(parts) > 1
        each, theirs = identifier.network.predict(parts, verbose=0)
        mean = each.mean(axis=0)
        np.testing.assert_allclose(voice, mean / np.linalg.norm(mean), atol=1e-4)
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
