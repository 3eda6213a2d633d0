"""A CNN over spectrograms, with attentive pooling over its frames."""

import keras
import numpy as np
from keras import layers, ops

from helpers import InputError
from helpers.ensemble.members import AttentivePooling
from helpers.models import StatisticsPooling, layer_seed, registered, standardisation

BLOCKS = ((1,), (2,), (4, 4), (8, 8))  # times `width`, the channels of the convolutions of each block
POOLINGS = {"attention": AttentivePooling, "average": StatisticsPooling}


def _convolve(x, channels):
    """A 3 x 3 convolution, batch normalisation and ReLU."""
    settings = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(channels, 3, **settings)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)  # trainings of a few hundred steps: a short memory
    return layers.Activation("relu")(x)


def cnn_encoder(spectrograms, width=8, pooling="attention"):
    """A VGG-like CNN with pooling over time that turns a spectrogram of any length into an embedding.

    Simonyan and Zisserman (2015), "Very deep convolutional networks for large-scale image recognition", here
    with four blocks and batch normalisation; a frame of its output is eight of the input. The bands
    themselves are pooled beside these frames, as in `models.gru_encoder`.

    Parameters
    ----------
    spectrograms : list of float arrays (frames, bands)
        Training data: each band is standardised with its mean and variance there.
    width : int
        Channels of the first convolution; 64 in the paper.
    pooling : {"attention", "average"}
        Weighted mean and standard deviation of the frames, or plain ones.

    Returns
    -------
    keras.Model
        `(batch, frames, bands)` to embeddings `(batch, 64)` of length 1. Of use by themselves are its layers
        "standardise", "frames", "pooling", "both" (all that is pooled, side by side) and "projection" (the
        embedding before it is scaled to length 1).

    Raises
    ------
    InputError
        For a pooling or width that does not exist.
    """
    if pooling not in POOLINGS:
        raise InputError(f"is {pooling!r}", file="pooling", expected=f"one of {', '.join(POOLINGS)}")
    if width < 1:
        raise InputError(f"is {width}", file="width", expected="at least 1 channel")
    everything = np.concatenate(spectrograms)
    inputs = keras.Input((None, everything.shape[1]), name="spectrogram")
    bands = standardisation(everything)(inputs)
    x = layers.Reshape((-1, everything.shape[1], 1), name="picture")(bands)
    for number, block in enumerate(BLOCKS):
        for times in block:
            x = _convolve(x, times * width)
        x = layers.MaxPooling2D((2, 2) if number < 3 else (1, 2), padding="same")(x)
    frames = layers.Reshape((-1, x.shape[2] * x.shape[3]), name="frames")(x)
    pooled = [POOLINGS[pooling](name="pooling")(frames), StatisticsPooling(name="pooling_around")(bands)]
    x = layers.BatchNormalization(momentum=0.9, name="even")(layers.Concatenate(name="both")(pooled))
    x = layers.Dropout(0.2, seed=layer_seed(), name="hide")(x)
    x = layers.Dense(64, name="projection")(x)
    return keras.Model(inputs, layers.UnitNormalization(name="embedding")(x), name="vgg")


# Layers of models saved before, which still load; `research.objectives` also trains with the second one.


@registered
class SelfAttentivePooling(layers.Layer):
    """Several weighted means over time: `(batch, frames, d)` to `(batch, heads * d)`.

    The weights are a softmax over the frames of tanh(H W1) W2: Lin et al. (2017), "A structured
    self-attentive sentence embedding", equations 6 and 7.
    """

    def __init__(self, heads=4, hidden=32, penalty=0.0, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.hidden = heads, hidden  # `penalty` counted in training alone

    def build(self, shape):
        self.first = self.add_weight(shape=(shape[-1], self.hidden), name="first")
        self.second = self.add_weight(shape=(self.hidden, self.heads), name="second")

    def call(self, frames):
        weights = ops.softmax(ops.matmul(ops.tanh(ops.matmul(frames, self.first)), self.second), axis=1)
        pooled = ops.matmul(ops.transpose(weights, (0, 2, 1)), frames)
        return ops.reshape(pooled, (-1, self.heads * frames.shape[-1]))


@registered
class ClassCosines(layers.Layer):
    """Cosines of embeddings `(n, d)` with one learnt direction for each training speaker: `(n, classes)`."""

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes

    def build(self, shape):
        self.directions = self.add_weight(shape=(shape[-1], self.classes), name="directions")

    def call(self, embeddings):
        return ops.matmul(embeddings, ops.normalize(self.directions, axis=0))
