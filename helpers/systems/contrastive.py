"""A Siamese CNN trained with the contrastive loss on distances."""

import time

import keras
import numpy as np
from keras import layers, ops
from scipy.spatial.distance import cdist

from helpers import InputError
from helpers.batches import SpeakerBatches
from helpers.bootstrap import evaluate, trial_scores
from helpers.checkpoint import adam, fit_epochs, open_checkpoint
from helpers.losses import same_speaker
from helpers.metrics import equal_error
from helpers.models import StatisticsPooling, embed_by_length, embed_spectrograms, layer_seed
from helpers.models import registered, standardisation

MARGIN = 1.4  # embeddings at right angles, as unrelated ones nearly are, are the root of 2 apart


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


def cnn_encoder(views, segments=1):
    """A convolutional network over time, of whatever values a frame has.

    Standardised values, three convolutions over five frames each, with half the frames kept after the first.
    What each of them finds is pooled over time, all of it projected, and taken to length 1.

    Parameters
    ----------
    views : list of float arrays (frames, values)
        Training data: each value is standardised with its mean and variance there.
    segments : int
        Of `SegmentPooling`.

    Returns
    -------
    keras.Model
        `(batch, frames, values)` to embeddings `(batch, 48)` of length 1.
    """
    frames = np.concatenate(views)
    inputs = keras.Input((None, frames.shape[-1]), name="frames")
    x = standardisation(frames)(inputs)
    pooled = []
    for number in (1, 2, 3):
        name = f"convolution_{number}"
        x = layers.Conv1D(64, 5, padding="same", activation="relu", name=name)(x)
        if number == 1:
            x = layers.MaxPooling1D(2, padding="same", name="halve")(x)
        x = layers.Dropout(0.2, seed=layer_seed(), name=f"hide_{number}")(x)
        pooled.append(SegmentPooling(segments, name=f"pooling_{number}")(x))
    x = layers.Dense(48, name="projection")(layers.Concatenate(name="pooled")(pooled))
    return keras.Model(inputs, layers.UnitNormalization(name="embedding")(x), name="cnn")


def distance_model(encoder):
    """A batch of views `(n, frames, values)`, each encoded once: the distances `(n, n)` of all its pairs."""
    inputs = keras.Input(encoder.input_shape[1:], name="views")
    return keras.Model(inputs, EuclideanDistances(name="distances")(encoder(inputs)), name="all_pairs")


def embed_views(encoder, views):
    """Embeddings (utterances, dimensions) of views of any lengths.

    Where there is more than one length, views are cut to a multiple of eight frames: a backend compiles each
    length anew.
    """
    lengths = np.array([len(view) for view in views])
    if len(set(lengths)) > 1:
        lengths = np.maximum(lengths // 8 * 8, np.minimum(lengths, 8))
    return embed_by_length(lambda batch: embed_spectrograms(encoder, batch), views, lengths)


def embedding_distances(encoder, views):
    """Euclidean distances (utterances, utterances) of the embeddings of views."""
    embeddings = embed_views(encoder, views)
    return cdist(embeddings, embeddings).astype(np.float32)


def train(task, config=None, margin=MARGIN, loss=None, show_progress=False):
    """Train a Siamese CNN on a task.

    Parameters
    ----------
    task : contrastive_tasks.Task
    config : batches.TrainingConfig, optional
        The task's own by default.
    margin : float
        Distance from which on different ones no longer push each other away; at most 2, as embeddings of
        length 1 are never farther apart.
    loss : keras.losses.Loss, optional
        Of labels (n,) and distances (n, n); `ContrastiveLoss(margin)` by default.
    show_progress : bool

    Returns
    -------
    encoder : keras.Model
    losses : list of float
        Of the training batches, an epoch each.

    Raises
    ------
    InputError
        When the margin is not above 0 and at most 2.
    """
    if not 0 < margin <= 2:
        raise InputError(f"is {margin}", file="margin", expected="a distance above 0 and at most 2")
    started, config = time.perf_counter(), config or task.config
    keras.utils.set_random_seed(config.seed)
    batches = SpeakerBatches(*task.learn, config)
    encoder = cnn_encoder(task.learn[0], task.segments)
    model = distance_model(encoder)
    optimizer = adam(config.learning_rate, config.epochs * batches.steps)
    model.compile(optimizer, loss or ContrastiveLoss(margin))
    parts = [*task.learn[0], task.learn[1], config, margin]
    module = None if loss else __name__  # a loss may be made elsewhere
    state = open_checkpoint(model, config.epochs, parts, module, history={"loss": []})
    size, total = batches.size, config.epochs
    fit_epochs(model, state, lambda n: [batches.epoch(n)], size, total, started, bar=show_progress)
    return encoder, state.history["loss"]


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
        `accuracy` (both kinds half each), `eer`, `roc_auc`, `min_dcf`, each with its 95 % interval over
        speakers under `..._ci`; `threshold` as a score, which is minus the distance; `speakers_test`,
        `trials`.
    """
    _, threshold = equal_error(*trial_scores(-held_out[0], held_out[1]))
    return evaluate(-matrix, speakers, threshold, draws, seed, words)
