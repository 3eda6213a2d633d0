"""A Siamese CNN taught by distances: one speaker or word near each other, two at least a margin apart."""

import keras
import numpy as np
from keras import layers, ops
from scipy.spatial.distance import cdist
from tqdm.auto import tqdm

from helpers import InputError
from helpers.batches import SpeakerBatches
from helpers.bootstrap import draw_speakers, errors_over_draws, weights_over_draws
from helpers.losses import same_speaker
from helpers.metrics import balanced_accuracy, equal_error, roc_auc
from helpers.models import StatisticsPooling, layer_seed, standardisation
from helpers.pairs import all_trials

MARGIN = 1.4  # embeddings at right angles, as unrelated ones nearly are, are the root of 2 apart

registered = keras.saving.register_keras_serializable("siamese_voices")


@registered
class EuclideanDistances(layers.Layer):
    """Euclidean distances of all pairs of a batch: embeddings `(n, d)` to `(n, n)`.

    The slope of a square root at 0 is infinite, and infinity times a difference of 0 is no number: one step
    with it makes every weight NaN. It takes two rows that are one recording under two labels; under JAX and
    PyTorch the diagonal suffices. Squares below 1e-12 are therefore raised to it, where the gradient is 0.
    """

    def call(self, embeddings):
        differences = ops.expand_dims(embeddings, 1) - ops.expand_dims(embeddings, 0)
        return ops.sqrt(ops.maximum(ops.sum(ops.square(differences), axis=-1), 1e-12))

    def compute_output_shape(self, shape):
        return (shape[0], shape[0])


def contrastive_cost(distances, same, different, margin):
    """Contrastive cost of distances of any shape: pairs `same` pull, pairs `different` push up to a margin.

    Hadsell, Chopra and LeCun (2006), "Dimensionality reduction by learning an invariant mapping", equation 4:
    half the square of the distance for the same, half the square of what is missing to the margin for
    different ones. The paper's Y is 0 for similar and 1 for dissimilar pairs; here the masks say which is
    which. Each kind counts half, however many pairs it has.

    Parameters
    ----------
    distances, same, different : float tensors of one shape
        The masks hold 1 where a pair is of the kind.
    margin : float

    Returns
    -------
    scalar tensor
    """
    near = ops.sum(ops.square(distances) * same) / ops.maximum(ops.sum(same), 1)
    far = ops.sum(ops.square(ops.relu(margin - distances)) * different) / ops.maximum(ops.sum(different), 1)
    return (near / 2 + far / 2) / 2


@registered
class ContrastiveLoss(keras.losses.Loss):
    """`contrastive_cost` over all pairs of a batch: labels (n,) or (n, 1), and distances (n, n).

    Pairs with equal labels are the same. An utterance is not compared with itself.
    """

    def __init__(self, margin=1.0, name="contrastive_loss", **kwargs):
        kwargs["reduction"] = None  # one number for the whole batch: its pairs are not independent samples
        super().__init__(name=name, **kwargs)
        self.margin = margin

    def call(self, labels, distances):
        return contrastive_cost(distances, *same_speaker(labels), self.margin)

    def get_config(self):
        return super().get_config() | {"margin": self.margin}


@registered
class SegmentPooling(StatisticsPooling):
    """Mean and standard deviation of each of some equal stretches of time, one after the other.

    `(batch, frames, d)` to `(batch, 2 d segments)`. One segment forgets the order of the sounds, as a voice
    should; several keep it, as a word needs. Up to `segments` - 1 frames at the end are left out.
    """

    def __init__(self, segments=1, **kwargs):
        super().__init__(**kwargs)
        self.segments = segments

    def call(self, frames):
        length = ops.shape(frames)[1] // self.segments
        parts = [frames[:, i * length : (i + 1) * length] for i in range(self.segments)]
        return ops.concatenate([super(SegmentPooling, self).call(part) for part in parts], axis=-1)

    def compute_output_shape(self, shape):
        return (shape[0], 2 * shape[-1] * self.segments)

    def get_config(self):
        return super().get_config() | {"segments": self.segments}


def cnn_encoder(views, segments=1, channels=64, depth=3, dimensions=48, dropout=0.2):
    """A convolutional network over time, of whatever values a frame has.

    Standardised values, `depth` convolutions over five frames each, with half the frames kept after the
    first. What each of them finds is pooled over time, all of it projected, and taken to length 1.

    Parameters
    ----------
    views : list of float arrays (frames, values)
        Training data: each value is standardised with its mean and variance there.
    segments : int
        Of `SegmentPooling`.
    channels, depth, dimensions : int
        Width and number of the convolutions, and width of the embedding.
    dropout : float

    Returns
    -------
    keras.Model
        `(batch, frames, values)` to embeddings `(batch, dimensions)` of length 1.
    """
    frames = np.concatenate(views)
    inputs = keras.Input((None, frames.shape[-1]), name="frames")
    x = standardisation(frames)(inputs)
    pooled = []
    for number in range(1, depth + 1):
        convolve = layers.Conv1D(channels, 5, padding="same", activation="relu", name=f"convolution_{number}")
        x = convolve(x)
        if number == 1:
            x = layers.MaxPooling1D(2, padding="same", name="halve")(x)
        x = layers.Dropout(dropout, seed=layer_seed(), name=f"hide_{number}")(x)
        pooled.append(SegmentPooling(segments, name=f"pooling_{number}")(x))
    x = layers.Dense(dimensions, name="projection")(layers.Concatenate(name="pooled")(pooled))
    return keras.Model(inputs, layers.UnitNormalization(name="embedding")(x), name="cnn")


# ---- training and use --------------------------------------------------------------------------------------


def embed_views(encoder, views):
    """Embeddings (utterances, dimensions) of views of any lengths.

    Views of unlike lengths go through the encoder in groups, cut to a multiple of eight frames: a backend
    compiles each length anew.
    """
    lengths = np.array([len(view) for view in views])
    if len(set(lengths)) > 1:
        lengths = np.maximum(lengths // 8 * 8, np.minimum(lengths, 8))
    found = np.empty((len(views), encoder.output_shape[-1]), np.float32)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        found[rows] = encoder.predict(np.stack([views[i][:length] for i in rows]), batch_size=256, verbose=0)
    return found


def embedding_distances(encoder, views):
    """Euclidean distances (utterances, utterances) of the embeddings of views."""
    embeddings = embed_views(encoder, views)
    return cdist(embeddings, embeddings).astype(np.float32)


def distance_percentiles(distances, labels):
    """Tenth, fiftieth and ninetieth percentile of the distances of same pairs, and of different ones."""
    trials = all_trials(labels)
    values = distances[trials.left, trials.right]
    return [np.percentile(values[trials.label == kind], [10, 50, 90]) for kind in (1, 0)]


def train(task, config=None, margin=MARGIN, loss=None, show_progress=False, after_epoch=None):
    """Train a Siamese CNN on a task.

    Parameters
    ----------
    task : Task
    config : batches.TrainingConfig, optional
        The task's own by default.
    margin : float
        Distance from which on different ones no longer push each other away; at most 2, as embeddings of
        length 1 are never farther apart.
    loss : keras.losses.Loss, optional
        Of labels (n,) and distances (n, n); `ContrastiveLoss(margin)` by default.
    show_progress : bool
        Show a progress bar.
    after_epoch : callable (history, encoder), optional
        Called before the first epoch and after each.

    Returns
    -------
    encoder : keras.Model
    history : dict of lists
        `loss` of the training batches; before the first epoch and after each, `same` and `different`: the
        `distance_percentiles` of distances on the held-out speakers.

    Raises
    ------
    InputError
        When the margin is not above 0 and at most 2.
    """
    if not 0 < margin <= 2:
        raise InputError(f"margin is {margin}; expected a distance above 0 and at most 2")
    config = config or task.config
    keras.utils.set_random_seed(config.seed)
    batches = SpeakerBatches(*task.learn, config)
    encoder = cnn_encoder(task.learn[0], task.segments)
    inputs = keras.Input(encoder.input_shape[1:])
    model = keras.Model(inputs, EuclideanDistances()(encoder(inputs)))
    schedule = keras.optimizers.schedules.CosineDecay(config.learning_rate, config.epochs * batches.steps)
    model.compile(keras.optimizers.Adam(schedule), loss or ContrastiveLoss(margin))
    history = {"loss": [], "same": [], "different": []}

    def look():
        same, different = distance_percentiles(
            embedding_distances(encoder, task.held_out[0]), task.held_out[1]
        )
        history["same"].append(same)
        history["different"].append(different)
        if after_epoch:
            after_epoch(history, encoder)

    look()
    for number in tqdm(range(config.epochs), unit="epoch", disable=not show_progress):
        fitted = model.fit(*batches.epoch(number), batch_size=batches.size, shuffle=False, verbose=0)
        history["loss"].append(fitted.history["loss"][-1])
        look()
    return encoder, history


def word_results(held_out, matrix, words, speakers, draws=200, seed=0):
    """How well words are matched across unseen speakers.

    Parameters
    ----------
    held_out : tuple of float array (m, m) and array (m,)
        Distances of recordings of held-out training speakers, and their words: they give the threshold.
    matrix : float array (n, n)
        Distances of the test recordings.
    words, speakers : arrays (n,)
    draws, seed : int
        Of the speakers, for the intervals.

    Returns
    -------
    dict
        `accuracy` (both kinds half each), `eer`, `roc_auc`, the first two with their 95 % interval over
        speakers; `threshold` as a score, which is minus the distance; `speakers_test`, `trials`.
    """
    theirs = all_trials(held_out[1])
    _, threshold = equal_error(-held_out[0][theirs.left, theirs.right], theirs.label)
    trials, index = all_trials(words), np.unique(speakers, return_inverse=True)[1]
    scores, labels = -matrix[trials.left, trials.right], trials.label
    counts, sides = draw_speakers(index, draws, seed), (index[trials.left], index[trials.right])
    shares = [
        balanced_accuracy(scores, labels, threshold, weights)
        for weights in weights_over_draws(labels, *sides, counts)
    ]
    rates = errors_over_draws(scores, labels, *sides, counts)
    return {
        "accuracy": shares[0],
        "accuracy_ci": np.percentile(shares[1:], [2.5, 97.5]).tolist(),
        "eer": float(rates[0]),
        "eer_ci": np.percentile(rates[1:], [2.5, 97.5]).tolist(),
        "roc_auc": roc_auc(scores, labels),
        "threshold": float(threshold),
        "speakers_test": len(counts[0]),
        "trials": len(labels),
    }


def count_parameters(encoder):
    """How many numbers an encoder has learnt."""
    return sum(int(np.prod(weight.shape)) for weight in encoder.trainable_weights)
