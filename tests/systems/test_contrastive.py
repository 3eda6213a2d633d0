"""The contrastive network: distances, their loss and gradients, its encoder, its training."""

import keras
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from samples import array

from helpers import InputError, metrics, pairs
from helpers.batches import TrainingConfig
from helpers.models import StatisticsPooling
from helpers.systems import contrastive
from helpers.systems.contrastive_tasks import Task

pytestmark = pytest.mark.backend

RNG = np.random.default_rng(0)
LABELS = np.array([0, 1, 0, 2, 1, 2, 2])


def points(count=7, dimensions=3):
    return RNG.normal(size=(count, dimensions)).astype("float32")


def test_distances_are_euclidean():
    some = points()
    found = array(contrastive.EuclideanDistances()(some))
    np.testing.assert_allclose(found, cdist(some, some), atol=1e-5)
    assert np.abs(np.diag(found)).max() < 1e-5


def test_the_gradient_stays_finite_at_distance_zero():
    inputs, dense = keras.Input((3,)), keras.layers.Dense(2)
    model = keras.Model(inputs, contrastive.EuclideanDistances()(dense(inputs)))
    dense.kernel.assign(np.float32([[0.3, 0.2], [0.2, 0.3], [0.3, 0.3]]))  # the three are hard to tell apart
    model.compile(keras.optimizers.SGD(0.1), contrastive.ContrastiveLoss())
    before = [array(weight).copy() for weight in model.weights]
    twice = points(4)[[0, 1, 2, 0]]  # off the diagonal too, a distance is 0, and its pair is to be pushed
    model.train_on_batch(twice, np.array([0, 0, 1, 1]))
    after = [array(weight) for weight in model.weights]
    assert all(np.isfinite(weight).all() for weight in after)
    assert np.abs(after[0] - before[0]).max() > 0  # and it has learnt from the others


def test_equation_4_by_hand():
    def cost(distance, label, margin=1.0):
        same = np.float32([label])
        return float(contrastive.contrastive_cost(np.float32([distance]), same, 1 - same, margin))

    # Half of equation 4, as each of the two kinds counts half.
    assert cost(0.5, 1) == pytest.approx(0.5**2 / 2 / 2)
    assert cost(0.0, 1) == 0
    assert cost(3.0, 1) == pytest.approx(9 / 4)
    assert cost(0.25, 0) == pytest.approx(0.75**2 / 2 / 2)
    assert cost(0.0, 0) == pytest.approx(1 / 4)
    assert cost(0.25, 0, margin=2.0) == pytest.approx(1.75**2 / 2 / 2)
    assert cost(1.0, 0) == cost(1.7, 0) == 0  # beyond the margin nobody pushes


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_the_loss_is_the_mean_of_either_kind(shape):
    distances, margin = cdist(points(), points()).astype("float32"), 1.5
    near, far = [], []
    for i, one in enumerate(LABELS):
        for j, other in enumerate(LABELS):
            if i != j and one == other:
                near.append(distances[i, j] ** 2 / 2)
            elif one != other:
                far.append(max(0, margin - distances[i, j]) ** 2 / 2)
    expected = (np.mean(near) + np.mean(far)) / 2
    found = contrastive.ContrastiveLoss(margin)(LABELS.reshape(shape), distances)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_learning_draws_the_same_together_and_different_ones_apart():
    inputs, dense = keras.Input((3,)), keras.layers.Dense(2)
    model = keras.Model(inputs, contrastive.EuclideanDistances()(dense(inputs)))
    dense.kernel.assign(np.float32([[0.3, 0.2], [0.2, 0.3], [0.3, 0.3]]))  # the three are hard to tell apart
    model.compile(keras.optimizers.SGD(0.3), contrastive.ContrastiveLoss(2.0))
    same, labels = LABELS[:, None] == LABELS, np.float32([[4, 0, 0], [0, 4, 0], [0, 0, 4]])
    some = 0.3 * (labels[LABELS] + points())
    before = model.predict_on_batch(some)
    for _ in range(60):
        model.train_on_batch(some, LABELS)
    after = model.predict_on_batch(some)
    ratio = [np.mean(each[same]) / np.mean(each[~same]) for each in (before, after)]
    assert ratio[1] < ratio[0] / 2


def test_segments_keep_the_order_of_time():
    frames = RNG.normal(size=(2, 13, 3)).astype("float32")
    one, three = contrastive.SegmentPooling(), contrastive.SegmentPooling(3)
    whole = array(StatisticsPooling()(frames))
    np.testing.assert_allclose(array(one(frames)), whole, atol=1e-6)
    pooled = array(three(frames))
    assert pooled.shape == three.compute_output_shape((2, 13, 3)) == (2, 18)
    for part in range(3):
        stretch = frames[:, 4 * part : 4 * part + 4]  # of 13 frames the last is left out
        np.testing.assert_allclose(pooled[:, 6 * part : 6 * part + 3], stretch.mean(axis=1), atol=1e-5)
        spread = pooled[:, 6 * part + 3 : 6 * part + 6]
        np.testing.assert_allclose(spread, np.sqrt(stretch.var(axis=1) + 1e-5), atol=1e-5)
    backwards = frames[:, ::-1]
    np.testing.assert_allclose(array(one(backwards)), whole, atol=1e-5)
    assert np.abs(array(three(backwards)) - pooled).max() > 0.1


def views(count=6, frames=20, values=8):
    return [RNG.normal(size=(frames, values)).astype("float32") for _ in range(count)]


def test_an_embedding_depends_on_its_own_utterance_alone():
    some = views()
    encoder = contrastive.cnn_encoder(some, segments=2)
    together = contrastive.embed_views(encoder, some)
    assert together.shape == (6, 48)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(contrastive.embed_views(encoder, some[2:3]), together[2:3], atol=1e-5)
    np.testing.assert_allclose(contrastive.embed_views(encoder, some[::-1]), together[::-1], atol=1e-5)
    matrix = contrastive.embedding_distances(encoder, some)
    np.testing.assert_allclose(matrix, cdist(together, together), atol=1e-4)


@pytest.mark.slow
def test_views_of_unlike_lengths_are_cut_by_less_than_eight_frames():
    some = [*views(2, 21), *views(2, 16), *views(1, 9), *views(1, 5)]
    encoder = contrastive.cnn_encoder(some)
    for view, length, found in zip(
        some, (16, 16, 16, 16, 8, 5), contrastive.embed_views(encoder, some), strict=True
    ):
        np.testing.assert_allclose(contrastive.embed_views(encoder, [view[:length]])[0], found, atol=1e-5)


def test_network_and_loss_survive_the_disk(tmp_path):
    some = views()
    encoder = contrastive.cnn_encoder(some, segments=3)
    inputs = keras.Input(encoder.input_shape[1:])
    model = keras.Model(inputs, contrastive.EuclideanDistances()(encoder(inputs)))
    model.compile("adam", contrastive.ContrastiveLoss(1.25))
    model.save(tmp_path / "pairs.keras")
    loaded = keras.saving.load_model(tmp_path / "pairs.keras")
    batch = np.stack(some)
    np.testing.assert_allclose(loaded.predict(batch, verbose=0), model.predict(batch, verbose=0), atol=1e-5)
    assert loaded.loss.margin == 1.25


def toy(labels=6, each=8):
    """Labels told apart by their mean frame."""
    centres = 2 * np.random.default_rng(1).normal(size=(labels, 1, 8))

    def part(count):
        numbers = np.repeat(np.arange(labels), count)
        return [(centres[i] + RNG.normal(size=(20, 8))).astype("float32") for i in numbers], numbers

    config = TrainingConfig(epochs=3, batch_speakers=labels, batch_utterances=4, crop=0.8)
    speakers = np.tile(np.arange(3), labels), np.tile(np.arange(4), labels)
    return Task("toy", part(each), part(3), part(4), speakers, config, 1)


@pytest.mark.slow
def test_training_tells_labels_apart():
    task = toy()
    encoder, history = contrastive.train(task)
    assert len(history) == 3
    assert history[-1] < history[0]
    matrix = contrastive.embedding_distances(encoder, task.test[0])
    trials = pairs.all_trials(task.test[1])
    distances = matrix[trials.left, trials.right]
    assert np.median(distances[trials.label == 0]) > 0.8  # near the margin of 1.4
    assert metrics.equal_error(-distances, trials.label)[0] < 0.1
    row = contrastive.word_results(
        (contrastive.embedding_distances(encoder, task.held_out[0]), task.held_out[1]),
        matrix,
        task.test[1],
        task.speakers[1],
        draws=20,
    )
    assert row["eer_ci"][0] <= row["eer"] <= row["eer_ci"][1]
    assert row["accuracy"] > 0.85
    assert (row["speakers_test"], row["trials"]) == (4, 24 * 23 // 2)


@pytest.mark.parametrize("margin", [0, -1, 2.5])
def test_margins_that_no_distance_reaches_are_refused(margin):
    with pytest.raises(InputError, match="expected a distance above 0 and at most 2"):
        contrastive.train(toy(), margin=margin)


def test_the_threshold_of_words_comes_from_held_out_speakers():
    held_out = np.float32([[0, 0.2, 0.9, 1.0], [0.2, 0, 0.8, 1.1], [0.9, 0.8, 0, 0.3], [1.0, 1.1, 0.3, 0]])
    words, speakers = np.array(["a", "a", "b", "b"]), np.array([0, 1, 0, 1])
    row = contrastive.word_results((held_out, words), 2 * held_out, words, speakers, draws=10)
    assert -0.8 < row["threshold"] < -0.3
    assert row["eer"] == 0
    assert row["roc_auc"] == 1
    assert row["accuracy"] == pytest.approx((1 / 2 + 1) / 2)  # 2 x 0.3 of b, b is too far
