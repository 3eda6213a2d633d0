"""The Siamese network: one GRU encoder, and the models that share its weights."""

import random

import keras
import numpy as np
from keras import layers, ops

CHUNK = 4096  # utterances whose spectrograms are in memory at a time
EMPTY = 0.8  # share of frames; speech that fills its band has the lowest value in less than a fifth

registered = keras.saving.register_keras_serializable("siamese_voices")


@registered
class StatisticsPooling(layers.Layer):
    """Mean and standard deviation over time: `(batch, frames, d)` to `(batch, 2 d)`.

    Snyder et al. (2017), "Deep neural network embeddings for text-independent speaker verification",
    section 3.1. A batch's utterances are equally long, so there are no padded frames to leave out.
    """

    def call(self, frames):
        spread = ops.sqrt(ops.var(frames, axis=1) + 1e-5)  # the gradient of a root is infinite at 0
        return ops.concatenate([ops.mean(frames, axis=1), spread], axis=-1)

    def compute_output_shape(self, shape):
        return (shape[0], 2 * shape[-1])


@registered
class AllPairs(layers.Layer):
    """Cosines of all pairs of a batch: embeddings of length 1 `(n, d)` to their Gram matrix `(n, n)`."""

    def call(self, embeddings):
        return ops.matmul(embeddings, ops.transpose(embeddings))


@registered
class ScaledCosine(layers.Layer):
    """Cosine similarities, of any shape, to logits ``w cosine + b`` with learnt w >= 0 and b.

    A cosine spans two units, too few for a sigmoid to be sure of anything; w stretches it, b places the
    decision. Wan et al. (2018), "Generalized end-to-end loss for speaker verification", equation 5.
    """

    def __init__(self, w=10.0, b=-5.0, **kwargs):
        super().__init__(**kwargs)
        self.initial_w, self.initial_b = w, b

    def build(self, shape):
        constant = keras.initializers.Constant
        self.w = self.add_weight((), constant(self.initial_w), name="w", constraint="non_neg")
        self.b = self.add_weight((), constant(self.initial_b), name="b")

    def call(self, cosine):
        return self.w * cosine + self.b


def layer_seed():
    """What Keras draws for a layer without a seed; given one, PyTorch's dropout keeps to it too."""
    return random.randint(1, 10**9)


def standardisation(values):
    """A layer that gives each bin mean 0 and variance 1 over training data.

    Bins that a telephone or a codec has left empty are put out. Scaled to variance 1 they would be as loud as
    soon as something is in them: faster copies reach above the band, which tells them from the originals at a
    glance, and nothing is learnt of voices.

    Parameters
    ----------
    values : float array (..., bins)
        Empty is a bin that has the lowest value of all in more than `EMPTY` of the frames.

    Returns
    -------
    keras.layers.Normalization
    """
    frames = tuple(range(values.ndim - 1))
    mean, variance = values.mean(axis=frames), np.maximum(values.var(axis=frames), 0.01)
    empty = (values <= values.min()).mean(axis=frames) > EMPTY
    return layers.Normalization(mean=mean, variance=np.where(empty, 1e6, variance), name="standardise")


def gru_encoder(
    spectrograms,
    bands=64,
    units=96,
    dimensions=48,
    dropout=0.2,
    shortcut=True,
    stride=2,
    view=None,
    sequence=None,
    pooling=StatisticsPooling,
):
    """A GRU that turns a spectrogram of any length into an embedding.

    Standardised bins, a learnt reduction of the bins to `bands`, a GRU, mean and standard deviation over
    time, and a projection to length 1. The GRU's settings are those that cuDNN accepts.

    Parameters
    ----------
    spectrograms : float array (utterances, frames, bins)
        Training data: each bin is standardised with its mean and variance there.
    bands, units, dimensions : int
        Width of the reduction, of the GRU's state, and of the embedding.
    dropout : float
        Share of values dropped before and after the GRU while training.
    shortcut : bool
        Whether the bands are pooled too, beside the GRU's states.
    stride : int
        Number of frames averaged into one before the GRU, the slow part.
    view : callable () -> keras.layers.Layer, optional
        What is looked at in place of the spectrogram, such as `ensemble.members.LogMel`.
    sequence : callable () -> keras.layers.Layer, optional
        What stands in the GRU's place, `(batch, frames, bands)` to `(batch, frames, n)`.
    pooling : callable () -> keras.layers.Layer
        Of the states over time.

    Returns
    -------
    keras.Model
        `(batch, frames, bins)` to embeddings `(batch, dimensions)` of length 1.
    """
    inputs = keras.Input((None, spectrograms.shape[-1]), name="spectrogram")
    x = inputs
    if view:
        look = view()
        x, spectrograms = look(x), ops.convert_to_numpy(look(spectrograms))
    x = layers.Dense(bands, activation="relu", name="bands")(standardisation(spectrograms)(x))
    x = layers.Dropout(dropout, seed=layer_seed(), name="hide_bands")(x)
    slower = layers.AveragePooling1D(stride, padding="same", name="slower")(x) if stride > 1 else x
    gru = sequence() if sequence else layers.GRU(units, return_sequences=True, name="gru")
    states = layers.Dropout(dropout, seed=layer_seed(), name="hide_states")(gru(slower))
    pooled = pooling(name="pooling")(states)
    if shortcut:
        around = StatisticsPooling(name="pooling_around")(x)
        pooled = layers.Concatenate(name="both")([pooled, around])
    projected = layers.Dense(dimensions, name="projection")(pooled)
    return keras.Model(inputs, layers.UnitNormalization(name="embedding")(projected), name="encoder")


def concatenate_encoders(encoders):
    """Several encoders as one, whose embedding is theirs side by side: its cosine is the mean of theirs.

    Parameters
    ----------
    encoders : list of keras.Model
        Spectrograms to embeddings of length 1.

    Returns
    -------
    keras.Model
        Of their inputs' kind, to embeddings of length 1, as many times longer as there are encoders.
    """
    if len(encoders) == 1:
        return encoders[0]
    inputs = keras.Input(encoders[0].input_shape[1:], name="spectrogram")
    together = layers.Concatenate(name="side_by_side")([encoder(inputs) for encoder in encoders])
    return keras.Model(inputs, layers.UnitNormalization(name="embedding")(together), name="encoders")


def siamese_model(encoder, scale, plda=None):
    """Two spectrograms through one encoder: the chance that one person spoke both.

    Parameters
    ----------
    encoder : keras.Model
        Spectrograms to embeddings of length 1; used twice, so that the twins share every weight.
    scale : ScaledCosine
    plda : plda.PLDA, optional
        Compares the embeddings; their cosine by default.

    Returns
    -------
    keras.Model
        Two spectrograms `(batch, frames, bins)`, which may differ in frames, to probabilities `(batch, 1)`.
    """
    first, second = (keras.Input(encoder.input_shape[1:], name=name) for name in ("first", "second"))
    compare = plda or layers.Dot(axes=1)
    score = compare([encoder(first), encoder(second)])
    return keras.Model([first, second], layers.Activation("sigmoid")(scale(score)), name="siamese")


def embed_spectrograms(encoder, spectrograms):
    """Embeddings `(n, dimensions)` of spectrograms `(n, frames, bins)`, array or list, a part at a time."""
    starts = range(0, max(1, len(spectrograms)), CHUNK)
    parts = (np.asarray(spectrograms[i : i + CHUNK]) for i in starts)
    return np.concatenate([encoder.predict(part, batch_size=256, verbose=0) for part in parts])


def embed_by_length(embed, recordings, lengths):
    """Embeddings of recordings of any length, in one call for all that are cut to the same length.

    A backend compiles an encoder anew for each length.

    Parameters
    ----------
    embed : callable (array (n, length, ...)) -> array (n, dimensions)
    recordings : sequence of arrays (at least its length, ...)
        Waveforms or spectrograms.
    lengths : int array (recordings,)
        What each is cut to, at its end.

    Returns
    -------
    float array (recordings, dimensions)
    """
    embeddings = {}
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        found = embed(np.stack([recordings[row][:length] for row in rows]))
        embeddings |= dict(zip(rows, found, strict=True))
    return np.stack([embeddings[row] for row in range(len(lengths))])


def count_parameters(model):
    """Number of trainable weights of a model or a layer."""
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def batch_model(encoder, scale):
    """A batch of spectrograms, each encoded once: the logits of all its pairs.

    Parameters
    ----------
    encoder : keras.Model
    scale : ScaledCosine

    Returns
    -------
    keras.Model
        `(n, frames, bins)` to logits `(n, n)`, for `losses.BalancedPairLoss`.
    """
    inputs = keras.Input(encoder.input_shape[1:], name="spectrograms")
    return keras.Model(inputs, scale(AllPairs()(encoder(inputs))), name="all_pairs")


def cudnn_obstacles(gru):
    """Why a GRU layer could not use NVIDIA's fused cuDNN kernel.

    Parameters
    ----------
    gru : keras.layers.GRU

    Returns
    -------
    list of str
        Empty when it can; the conditions are those of Keras' documentation of the layer.
    """
    conditions = {
        "activation is not tanh": gru.activation is not keras.activations.tanh,
        "recurrent_activation is not sigmoid": gru.recurrent_activation is not keras.activations.sigmoid,
        "recurrent dropout": gru.recurrent_dropout > 0,
        "unrolled": gru.unroll,
        "use_cudnn is off": gru.use_cudnn is False,
        "no bias": not gru.use_bias,
        "reset_after is off": not gru.reset_after,
    }
    return [reason for reason, holds in conditions.items() if holds]
