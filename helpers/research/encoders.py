"""Encoders of all the kinds that `ideas` compares; the one that was kept is in `models`."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops
from scipy.fft import dct

from helpers.models import StatisticsPooling, layer_seed, registered


@registered
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


@registered
class AttentivePooling(layers.Layer):
    """Weighted mean and spread over time, with learnt weights: `(batch, frames, d)` to `(batch, 2 d)`.

    The weights are a softmax over the *frames*. Okabe et al. (2018), "Attentive statistics pooling for deep
    speaker embedding", equations 3 to 6.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.score = keras.Sequential([layers.Dense(32, activation="tanh"), layers.Dense(1)])

    def build(self, shape):
        self.score.build(shape)

    def call(self, frames):
        weights = ops.softmax(self.score(frames), axis=1)
        mean = ops.sum(weights * frames, axis=1)
        variance = ops.sum(weights * ops.square(frames), axis=1) - ops.square(mean)
        return ops.concatenate([mean, ops.sqrt(ops.maximum(variance, 0) + 1e-5)], axis=-1)


DROPOUT = 0.2
POOLINGS = {
    "mean": layers.GlobalAveragePooling1D,
    "statistics": StatisticsPooling,
    "attentive_statistics": AttentivePooling,
}


@dataclass(frozen=True)
class EncoderConfig:
    """An encoder of any of the kinds compared; with the defaults, the one of `models.gru_encoder`.

    Parameters
    ----------
    cell : {"gru", "lstm", "cnn", "none"}
        What looks at the sequence; "cnn" convolves over five frames, "none" leaves it out.
    bands, units, depth, dimensions : int
    bidirectional : bool
    stride : int
        So many frames are averaged into one before the recurrence.
    pooling : {"last", "mean", "statistics", "attentive_statistics"}
        Of the states.
    shortcut : bool
        Whether the reduced frames are pooled beside the states.
    views : tuple
        "spectrum", "cepstrum" or both.
    bins : int, optional
        Only so many of the lowest bins are looked at.
    subtract_mean : bool
        Take each utterance's own mean spectrum away first.
    unit_length : bool
        Whether embeddings have length 1.
    towers : int
        So many encoders with weights of their own, whose embeddings stand side by side.
    """

    cell: str = "gru"
    bands: int = 64
    units: int = 96
    depth: int = 1
    bidirectional: bool = False
    stride: int = 2
    pooling: str = "statistics"
    shortcut: bool = True
    views: tuple = ("spectrum",)
    bins: int | None = None
    subtract_mean: bool = False
    dimensions: int = 48
    unit_length: bool = True
    towers: int = 1


def _look(x, seen, config):
    """The bands that a network sees of its input x, standardised as the training data `seen` are."""
    if config.subtract_mean:
        x = layers.Subtract()([x, layers.GlobalAveragePooling1D(keepdims=True)(x)])
        seen = seen - seen.mean(axis=1, keepdims=True)
    looks = []
    if "spectrum" in config.views:
        mean, variance = seen.mean(axis=(0, 1)), np.maximum(seen.var(axis=(0, 1)), 0.01)
        look = layers.Normalization(mean=mean, variance=variance)(x)
        looks.append(layers.Dense(config.bands, activation="relu")(look))
    if "cepstrum" in config.views:
        cepstral_bands = CepstralBands(config.bands)
        looks.append(cepstral_bands(x))
        cepstral_bands.adapt(seen)
    return layers.Dropout(DROPOUT, seed=layer_seed())(_side_by_side(looks))


def _side_by_side(parts):
    return layers.Concatenate()(parts) if len(parts) > 1 else parts[0]


def _tower(x, seen, config):
    x, parts = _look(x, seen, config), []
    if config.cell != "none":
        states = layers.AveragePooling1D(config.stride, padding="same")(x) if config.stride > 1 else x
        for _ in range(config.depth):
            if config.cell == "cnn":
                cell = layers.Conv1D(config.units, 5, padding="same", activation="relu")
            else:
                recurrent = {"gru": layers.GRU, "lstm": layers.LSTM}[config.cell]
                cell = recurrent(config.units, return_sequences=True)
            cell = layers.Bidirectional(cell) if config.bidirectional else cell
            states = layers.Dropout(DROPOUT, seed=layer_seed())(cell(states))
        parts.append(states[:, -1] if config.pooling == "last" else POOLINGS[config.pooling]()(states))
    if config.shortcut or config.cell == "none":
        parts.append(StatisticsPooling()(x))
    x = layers.Dense(config.dimensions)(_side_by_side(parts))
    return layers.UnitNormalization()(x) if config.unit_length else x


def build_encoder(spectrograms, config=None):
    """An encoder as an `EncoderConfig` says: `(batch, frames, bins)` to `(batch, towers * dimensions)`.

    Each bin is standardised with its mean and variance in training data (utterances, frames, bins).
    """
    config = config or EncoderConfig()
    inputs = keras.Input((None, spectrograms.shape[-1]), name="spectrogram")
    seen = spectrograms[:, :, : config.bins]
    towers = [_tower(inputs[:, :, : config.bins], seen, config) for _ in range(config.towers)]
    return keras.Model(inputs, _side_by_side(towers), name="encoder")
