"""Other objectives against plain loops over hand-made batches."""

import keras
import numpy as np
import pytest

from samples import array

from helpers.batches import TrainingConfig
from helpers.losses import BalancedPairLoss
from helpers.research import objectives
from helpers.systems import ge2e

pytestmark = pytest.mark.backend

P, K, D = 3, 4, 5
RNG = np.random.default_rng(0)
SPEAKERS = np.repeat(np.arange(P), K)


def voices(seed=0):
    made = np.random.default_rng(seed).normal(size=(P * K, D)).astype("float32")
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def unit(vector):
    return vector / np.linalg.norm(vector)


def softplus(z):
    return np.log1p(np.exp(z))


def test_centroids_leave_the_utterance_out():
    e, expected = voices(), np.empty((P * K, P))
    for row in range(P * K):
        for speaker in range(P):
            others = [i for i in range(P * K) if SPEAKERS[i] == speaker and i != row]
            expected[row, speaker] = e[row] @ unit(e[others].mean(axis=0))
    np.testing.assert_allclose(array(ge2e.CentroidCosines(K)(e)), expected, atol=1e-5)


def test_ge2e_softmax_by_hand():
    logits = RNG.normal(size=(P * K, P)).astype("float32")
    costs = [-z[s] + np.log(np.exp(z).sum()) for z, s in zip(logits, SPEAKERS, strict=True)]
    assert float(ge2e.GE2ELoss(K)(SPEAKERS, logits)) == pytest.approx(np.mean(costs), abs=1e-5)


def test_ge2e_contrast_by_hand():
    logits = RNG.normal(size=(P * K, P)).astype("float32")
    costs = []
    for z, speaker in zip(logits, SPEAKERS, strict=True):
        chance = 1 / (1 + np.exp(-z))
        costs.append(1 - chance[speaker] + max(chance[i] for i in range(P) if i != speaker))
    loss = ge2e.GE2ELoss(K, contrast=True)(SPEAKERS, logits)
    assert float(loss) == pytest.approx(np.mean(costs), abs=1e-5)


def test_prototypes_are_the_means_of_the_other_utterances():
    e = voices().reshape(P, K, D)
    expected = [[e[i, -1] @ unit(e[j, :-1].mean(axis=0)) for j in range(P)] for i in range(P)]
    found = array(objectives.PrototypeCosines(K)(voices()))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_classes_are_directions():
    layer = objectives.ClassCosines(7)
    found = array(layer(voices()))
    directions = array(layer.directions)
    expected = voices() @ (directions / np.linalg.norm(directions, axis=0))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found).max() <= 1 + 1e-5


def test_additive_margin_by_hand():
    cosines = RNG.uniform(-1, 1, (P * K, P)).astype("float32")
    costs = []
    for c, speaker in zip(cosines, SPEAKERS, strict=True):
        z = 30 * (c - 0.2 * (np.arange(P) == speaker))
        costs.append(-z[speaker] + np.log(np.exp(z).sum()))
    assert float(objectives.AdditiveMarginLoss()(SPEAKERS, cosines)) == pytest.approx(
        np.mean(costs), rel=1e-5
    )


def test_few_pairs_are_one_of_either_kind_for_each_utterance():
    logits = RNG.normal(size=(P * K, P * K)).astype("float32")
    missed, fooled = [], []
    for row in range(P * K):
        own = row + 1 if (row + 1) % K else row + 1 - K
        other = (row + K) % (P * K)
        assert SPEAKERS[own] == SPEAKERS[row] != SPEAKERS[other]
        missed.append(softplus(-logits[row, own]))
        fooled.append(softplus(logits[row, other]))
    loss = float(objectives.FewPairLoss(K)(SPEAKERS, logits))
    assert loss == pytest.approx((np.mean(missed) + np.mean(fooled)) / 2, abs=1e-5)


def test_hard_pairs_are_the_costliest_fifth():
    logits = RNG.normal(size=(P * K, P * K)).astype("float32")
    same = SPEAKERS[:, None] == SPEAKERS
    costs = np.sort(softplus(logits[~same]))[::-1]
    hardest = costs[: int(0.2 * (P * K) ** 2)].mean()
    missed = softplus(-logits[same & ~np.eye(P * K, dtype=bool)]).mean()
    assert float(objectives.HardPairLoss()(SPEAKERS, logits)) == pytest.approx(
        (missed + hardest) / 2, abs=1e-5
    )
    assert float(objectives.HardPairLoss()(SPEAKERS, logits)) > float(BalancedPairLoss()(SPEAKERS, logits))


def test_sides_are_the_halves():
    e = np.concatenate([voices(1), voices(2)], axis=1)
    np.testing.assert_allclose(array(objectives.SidePairs()(e)), voices(1) @ voices(2).T, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_every_objective_teaches(name):
    """A step along its gradient, taken by fit, changes the layer below, and its loss is finite."""
    config = TrainingConfig(batch_speakers=P, batch_utterances=K)
    width = 2 * D if name == "unshared" else D
    inputs = keras.Input((6,))
    dense = keras.layers.Dense(width)
    outputs, losses = objectives.objective({name: 0.5})(
        keras.layers.UnitNormalization()(dense(inputs)), config, P
    )
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.01), losses)
    before = array(dense.kernel)
    x = RNG.normal(size=(P * K, 6)).astype("float32")
    history = model.fit(x, SPEAKERS, batch_size=P * K, epochs=30, shuffle=False, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert history[-1] < history[0]
    assert (array(dense.kernel) != before).any()


def test_weights_weigh():
    config, e = TrainingConfig(batch_speakers=P, batch_utterances=K), voices()
    _, (whole,) = objectives.objective({"pairs": 1})(keras.Input((D,)), config, P)
    _, (half,) = objectives.objective({"pairs": 0.5})(keras.Input((D,)), config, P)
    logits = (e @ e.T).astype("float32")
    assert float(half(SPEAKERS, logits)) == pytest.approx(0.5 * float(whole(SPEAKERS, logits)), rel=1e-5)
