"""Encoders of all the kinds that `ideas` compares; what earned its place is in `models`."""

import keras
import numpy as np
from keras import layers, ops
from scipy.fft import dct

from helpers.models import StatisticsPooling, layer_seed


@keras.saving.register_keras_serializable("siamese_voices")
class CepstralBands(layers.Layer):
    """Learnt sums of standardised cepstral coefficients: `(batch, frames, bins)` to `(batch, frames, bands)`.

    The cepstrum (Bogert, Healy and Tukey, 1963) is the cosine transform, here the orthonormal DCT-II, of a
    frame's log magnitudes. Its low coefficients say how the mouth shapes the spectrum; a voice of pitch f0
    has a peak near number ``sample rate / f0``. Transform, standardising and sums are all linear, and so they
    are multiplied into one matrix first, which spares each frame the transform.

    Parameters
    ----------
    bands, coefficients : int
    """

    def __init__(self, bands, coefficients=200, **kwargs):
        super().__init__(**kwargs)
        self.bands, self.coefficients = bands, coefficients

    def build(self, shape):
        self.transform = dct(np.eye(shape[-1]), norm="ortho", axis=0)[: self.coefficients].T.astype("float32")
        width = self.transform.shape[1]
        self.mean = self.add_weight(shape=(width,), name="mean", initializer="zeros", trainable=False)
        self.spread = self.add_weight(shape=(width,), name="spread", initializer="ones", trainable=False)
        self.kernel = self.add_weight(shape=(width, self.bands), name="kernel")
        self.bias = self.add_weight(shape=(self.bands,), name="bias", initializer="zeros")

    def adapt(self, spectrograms):
        """Take the coefficients' mean and spread from `(utterances, frames, bins)`."""
        cepstra = spectrograms @ self.transform
        self.mean.assign(cepstra.mean(axis=(0, 1)))
        self.spread.assign(np.maximum(cepstra.std(axis=(0, 1)), 0.1))

    def call(self, spectrograms):
        kernel = self.kernel / self.spread[:, None]
        sums = ops.matmul(spectrograms, ops.matmul(ops.convert_to_tensor(self.transform), kernel))
        return ops.relu(sums + self.bias - ops.matmul(self.mean, kernel))

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.bands)

    def get_config(self):
        return super().get_config() | {"bands": self.bands, "coefficients": self.coefficients}


@keras.saving.register_keras_serializable("siamese_voices")
class AttentivePooling(layers.Layer):
    """Weighted mean over time, and spread where asked for, with learnt weights.

    `(batch, frames, d)` to `(batch, d)` or `(batch, 2 d)`. The weights are a softmax over the *frames*.
    Okabe et al. (2018), "Attentive statistics pooling for deep speaker embedding", equations 3 to 6.
    """

    def __init__(self, hidden=32, spread=True, **kwargs):
        super().__init__(**kwargs)
        self.hidden, self.spread = hidden, spread
        self.score = keras.Sequential([layers.Dense(hidden, activation="tanh"), layers.Dense(1)])

    def build(self, shape):
        self.score.build(shape)

    def call(self, frames):
        weights = ops.softmax(self.score(frames), axis=1)
        mean = ops.sum(weights * frames, axis=1)
        if not self.spread:
            return mean
        variance = ops.sum(weights * ops.square(frames), axis=1) - ops.square(mean)
        return ops.concatenate([mean, ops.sqrt(ops.maximum(variance, 0) + 1e-5)], axis=-1)

    def compute_output_shape(self, shape):
        return (shape[0], shape[-1] * (2 if self.spread else 1))

    def get_config(self):
        return super().get_config() | {"hidden": self.hidden, "spread": self.spread}


def _pooled(x, pooling):
    if pooling == "last":
        return x[:, -1]
    kinds = {
        "mean": layers.GlobalAveragePooling1D,
        "max": layers.GlobalMaxPooling1D,
        "statistics": StatisticsPooling,
        "attentive_mean": lambda: AttentivePooling(spread=False),
        "attentive_statistics": AttentivePooling,
    }
    return kinds[pooling]()(x)


def _sequence(x, cell, units, depth, bidirectional, dropout):
    for _ in range(depth):
        if cell == "cnn":
            x = layers.Conv1D(units, 5, padding="same", activation="relu")(x)
        else:
            kind = {"gru": layers.GRU, "lstm": layers.LSTM}[cell](units, return_sequences=True)
            x = layers.Bidirectional(kind)(x) if bidirectional else kind(x)
        x = layers.Dropout(dropout, seed=layer_seed())(x)
    return x


def build_encoder(
    spectrograms,
    cell="gru",
    bands=64,
    units=96,
    depth=1,
    bidirectional=False,
    stride=2,
    pooling="statistics",
    shortcut=True,
    views=("spectrum",),
    coefficients=200,
    bins=None,
    subtract_mean=False,
    dimensions=48,
    dropout=0.2,
    unit_length=True,
    towers=1,
):
    """An encoder of any of the kinds compared; with the defaults, the one of `models.gru_encoder`.

    Parameters
    ----------
    spectrograms : float array (utterances, frames, bins)
    cell : {"gru", "lstm", "cnn", "none"}
        What looks at the sequence; "cnn" convolves over five frames, "none" leaves it out.
    bands, units, depth, dimensions, coefficients : int
    bidirectional : bool
    stride : int
        So many frames are averaged into one before the recurrence.
    pooling : {"last", "mean", "max", "statistics", "attentive_mean", "attentive_statistics"}
        Of the states.
    shortcut : bool
        Whether the reduced frames are pooled beside the states.
    views : tuple
        "spectrum", "cepstrum" or both.
    bins : int, optional
        Only so many of the lowest bins are looked at.
    subtract_mean : bool
        Take each utterance's own mean spectrum away first.
    dropout : float
    unit_length : bool
        Whether embeddings have length 1.
    towers : int
        So many encoders with weights of their own, whose embeddings stand side by side.

    Returns
    -------
    keras.Model
    """
    inputs, seen = keras.Input((None, spectrograms.shape[-1]), name="spectrogram"), spectrograms[:, :, :bins]

    def tower():
        x = inputs[:, :, :bins]
        flat = seen
        if subtract_mean:
            x = layers.Subtract()([x, layers.GlobalAveragePooling1D(keepdims=True)(x)])
            flat = seen - seen.mean(axis=1, keepdims=True)
        looks = []
        if "spectrum" in views:
            mean, variance = flat.mean(axis=(0, 1)), np.maximum(flat.var(axis=(0, 1)), 0.01)
            look = layers.Normalization(mean=mean, variance=variance)(x)
            looks.append(layers.Dense(bands, activation="relu")(look))
        if "cepstrum" in views:
            cepstral_bands = CepstralBands(bands, coefficients)
            looks.append(cepstral_bands(x))
            cepstral_bands.adapt(flat)
        x = layers.Concatenate()(looks) if len(looks) > 1 else looks[0]
        x = layers.Dropout(dropout, seed=layer_seed())(x)
        parts = []
        if cell != "none":
            slower = layers.AveragePooling1D(stride, padding="same")(x) if stride > 1 else x
            parts.append(_pooled(_sequence(slower, cell, units, depth, bidirectional, dropout), pooling))
        if shortcut or cell == "none":
            parts.append(StatisticsPooling()(x))
        x = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
        x = layers.Dense(dimensions)(x)
        return layers.UnitNormalization()(x) if unit_length else x

    outputs = layers.Concatenate()([tower() for _ in range(towers)]) if towers > 1 else tower()
    return keras.Model(inputs, outputs, name="encoder")
