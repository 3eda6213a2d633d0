"""GE2E: the recurrent encoder of Wan et al. (2018), for text-dependent and text-independent verification."""

import keras
import numpy as np
from keras import layers, ops


@keras.saving.register_keras_serializable("siamese_voices")
class ProjectedLSTMCell(layers.Layer):
    """An LSTM cell whose output is projected to fewer numbers, which are what recurs.

    Sak, Senior and Beaufays (2014), "Long short-term memory based recurrent neural network architectures for
    large scale acoustic modeling", equations 1 to 7, without peepholes; forget gates begin at a bias of 1.

    Parameters
    ----------
    units, projection : int
        Width of the cell's memory and of its output.
    """

    def __init__(self, units, projection, **kwargs):
        super().__init__(**kwargs)
        self.units, self.projection = units, projection
        self.state_size, self.output_size = [projection, units], projection

    def build(self, shape):
        gates = 4 * self.units
        self.kernel = self.add_weight((shape[-1], gates), name="kernel")
        self.recurrent = self.add_weight((self.projection, gates), name="recurrent", initializer="orthogonal")
        self.bias = self.add_weight((gates,), name="bias", initializer="zeros")
        self.project = self.add_weight((self.units, self.projection), name="project")
        start = np.zeros(gates, dtype="float32")
        start[self.units : 2 * self.units] = 1
        self.bias.assign(start)

    def call(self, inputs, states):
        output, memory = states
        gates = ops.matmul(inputs, self.kernel) + ops.matmul(output, self.recurrent) + self.bias
        enter, forget, new, leave = ops.split(gates, 4, axis=-1)
        memory = ops.sigmoid(forget) * memory + ops.sigmoid(enter) * ops.tanh(new)
        output = ops.matmul(ops.sigmoid(leave) * ops.tanh(memory), self.project)
        return output, [output, memory]

    def get_config(self):
        return super().get_config() | {"units": self.units, "projection": self.projection}


def lstm_encoder(spectrograms, units=128, projection=64, depth=3):
    """Layers of projected LSTMs; the last frame's output, to length 1, is the voice.

    With 40 mel bands and the defaults it has 210,432 trainable weights: 61,952 in the first layer and 74,240
    in each of the others; 210,434 with the similarity's w and b (`models.ScaledCosine`). Wan et al. (2018),
    "Generalized end-to-end loss for speaker verification", section 3.

    Parameters
    ----------
    spectrograms : float array (utterances, frames, bands)
        Training data: each band is standardised with its mean and variance there.
    units, projection, depth : int

    Returns
    -------
    keras.Model
        `(batch, frames, bands)` to embeddings `(batch, projection)` of length 1.
    """
    mean, variance = spectrograms.mean(axis=(0, 1)), np.maximum(spectrograms.var(axis=(0, 1)), 0.01)
    inputs = keras.Input((None, spectrograms.shape[-1]), name="mel_spectrogram")
    x = layers.Normalization(mean=mean, variance=variance, name="standardise")(inputs)
    for number in range(1, depth + 1):
        cell = ProjectedLSTMCell(units, projection)
        x = layers.RNN(cell, return_sequences=number < depth, name=f"lstm_{number}")(x)
    return keras.Model(inputs, layers.UnitNormalization(name="embedding")(x), name="ge2e")
