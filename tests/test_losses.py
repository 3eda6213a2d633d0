"""The loss over all pairs of a batch: numbers worked out by hand, on every backend."""

import math

import keras
import numpy as np
import pytest

from helpers.losses import BalancedPairLoss, same_speaker

pytestmark = pytest.mark.backend


def softplus(x):
    return math.log1p(math.exp(-abs(x))) + max(x, 0)


def loss(speakers, logits):
    return float(BalancedPairLoss()(np.array(speakers), np.array(logits, dtype=np.float32)))


def after_one_step(speakers, logits):
    """Logits after a step of plain gradient descent of length 1 on themselves."""
    n = len(speakers)
    model = keras.Sequential([keras.Input((n,)), keras.layers.Dense(n, use_bias=False)])
    model.layers[0].kernel.assign(np.array(logits, dtype=np.float32))
    model.compile(keras.optimizers.SGD(1.0), BalancedPairLoss())
    eye = np.eye(n, dtype=np.float32)  # the kernel is the output
    model.fit(eye, np.array(speakers), batch_size=n, shuffle=False, verbose=0)
    return model.predict(eye, verbose=0)


def test_pairs_of_a_kind():
    positive, negative = (keras.ops.convert_to_numpy(kind) for kind in same_speaker(np.array([7, 3, 7])))
    np.testing.assert_array_equal(positive, [[0, 0, 1], [0, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(negative, [[0, 1, 0], [1, 0, 1], [0, 1, 0]])


def test_by_hand():
    # Positive: (0, 1) and (1, 0); negative: the four with utterance 2; the diagonal is no pair.
    logits = [[99, 2.0, -1.0], [2.5, -99, 0.5], [-3.0, 1.5, 99]]
    missed = (softplus(-2.0) + softplus(-2.5)) / 2
    fooled = (softplus(-1.0) + softplus(0.5) + softplus(-3.0) + softplus(1.5)) / 4
    assert loss([4, 4, 9], logits) == pytest.approx((missed + fooled) / 2, rel=1e-6)


@pytest.mark.parametrize("speakers", [[0, 0, 1], [0, 0, 1, 1, 2, 2, 2], np.repeat(np.arange(25), 4)])
def test_undecided_costs_ln_2(speakers):
    assert loss(speakers, np.zeros((len(speakers),) * 2)) == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("constant", [-3.0, -0.1, 0.2, 5.0])
def test_a_constant_answer_costs_more_than_ln_2(constant):
    speakers = np.repeat(np.arange(10), 4)
    cost = loss(speakers, np.full((40, 40), constant))
    assert cost == pytest.approx((softplus(constant) + softplus(-constant)) / 2, rel=1e-5)
    assert cost > math.log(2)


def test_the_diagonal_does_not_count():
    rng = np.random.default_rng(0)
    speakers, logits = [0, 0, 1, 1], rng.normal(size=(4, 4))
    expected = loss(speakers, logits)
    np.fill_diagonal(logits, 1e6)
    assert loss(speakers, logits) == expected


def test_more_negatives_do_not_outweigh_the_positives():
    few, many = [0, 0, 1, 1], np.repeat(np.arange(20), 2)
    for right, wrong in ((0.7, -1.5), (-2.0, 1.0)):
        costs = [
            loss(speakers, np.where(np.equal.outer(speakers, speakers), right, wrong))
            for speakers in (np.array(few), many)
        ]
        assert costs[0] == pytest.approx(costs[1], rel=1e-5)
        assert costs[0] == pytest.approx((softplus(-right) + softplus(wrong)) / 2, rel=1e-5)


def test_right_answers_cost_less_than_wrong_ones():
    same = np.equal.outer([0, 0, 1, 1], [0, 0, 1, 1])
    signs = np.where(same, 1.0, -1.0)
    assert loss([0, 0, 1, 1], 9 * signs) < 1e-3
    assert loss([0, 0, 1, 1], -9 * signs) == pytest.approx(9, abs=1e-3)


def test_names_and_order_of_speakers_do_not_matter():
    rng = np.random.default_rng(1)
    speakers, logits = np.array([0, 1, 0, 2, 1]), rng.normal(size=(5, 5))
    order = rng.permutation(5)
    expected = loss(speakers, logits)
    assert loss([50, -7, 50, 9000, -7], logits) == pytest.approx(expected, rel=1e-6)
    assert loss(speakers[order], logits[np.ix_(order, order)]) == pytest.approx(expected, rel=1e-6)


def test_speakers_as_column_and_as_floats():
    rng = np.random.default_rng(2)
    speakers, logits = np.array([0, 0, 1, 2]), rng.normal(size=(4, 4))
    assert loss(speakers[:, None], logits) == loss(speakers, logits)
    assert loss(speakers.astype(np.float32), logits) == loss(speakers, logits)


def test_each_kind_is_pushed_its_way():
    speakers = np.array([0, 0, 1, 1, 2])
    logits = np.random.default_rng(3).normal(size=(5, 5)).astype(np.float32)
    same = np.equal.outer(speakers, speakers)
    positive, negative = same & ~np.eye(5, dtype=bool), ~same
    moved = after_one_step(speakers, logits) - logits
    assert (moved[positive] > 0).all()
    assert (moved[negative] < 0).all()
    np.testing.assert_array_equal(np.diag(moved), 0)
    chance = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(moved[positive], (1 - chance[positive]) / positive.sum() / 2, atol=1e-6)
    np.testing.assert_allclose(moved[negative], -chance[negative] / negative.sum() / 2, atol=1e-6)


@pytest.mark.parametrize("size", [100.0, 1e4, 1e30])
def test_large_logits_stay_finite(size):
    speakers = [0, 0, 1]
    wrong = np.where(np.equal.outer(speakers, speakers), -size, size)
    assert loss(speakers, -wrong) == pytest.approx(0, abs=1e-6)
    assert loss(speakers, wrong) == pytest.approx(size, rel=1e-5)
    assert np.isfinite(after_one_step(speakers, wrong)).all()
    assert np.isfinite(after_one_step(speakers, -wrong)).all()


@pytest.mark.parametrize(
    ("speakers", "count"), [([0, 1, 2], "negative"), ([5, 5, 5], "positive"), ([1], None)]
)
def test_a_kind_without_pairs_leaves_the_loss_finite(speakers, count):
    logits = np.full((len(speakers),) * 2, 0.3)
    assert np.isfinite(loss(speakers, logits))
    if count:  # the pairs there are still pull
        moved = after_one_step(speakers, logits) - np.float32(0.3)
        off_diagonal = moved[~np.eye(3, dtype=bool)]
        assert (np.sign(off_diagonal) == (1 if count == "positive" else -1)).all()


def test_it_survives_serialisation(tmp_path):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(BalancedPairLoss()))
    assert isinstance(again, BalancedPairLoss)
    speakers, logits = np.array([0, 0, 1]), np.random.default_rng(4).normal(size=(3, 3)).astype(np.float32)
    assert float(again(speakers, logits)) == float(BalancedPairLoss()(speakers, logits))

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile("sgd", BalancedPairLoss())
    model.save(tmp_path / "compiled.keras")
    loaded = keras.saving.load_model(tmp_path / "compiled.keras")
    x = np.eye(3, dtype=np.float32)
    expected = model.evaluate(x, speakers, batch_size=3, verbose=0)
    assert loaded.evaluate(x, speakers, batch_size=3, verbose=0) == pytest.approx(expected, rel=1e-6)
