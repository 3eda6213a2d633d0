"""Encoders of the kinds that `ideas` compares: `models.gru_encoder` with a part of it exchanged."""

from functools import partial

import keras
from keras import layers, ops

from helpers.ensemble.members import AttentivePooling, Cepstrum, convolution
from helpers.models import gru_encoder, layer_seed


class OwnMean(layers.Layer):
    """Spectrograms `(batch, frames, bins)` less each one's own mean spectrum."""

    def call(self, spectrograms):
        return spectrograms - ops.mean(spectrograms, axis=1, keepdims=True)


class LowBins(layers.Layer):
    """The lowest 400 bins of spectrograms `(batch, frames, bins)`."""

    def call(self, spectrograms):
        return spectrograms[:, :, :400]


class SpectrumAndCepstrum(layers.Layer):
    """Spectrograms `(batch, frames, bins)` with their cepstra beside them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.cepstrum = Cepstrum()

    def call(self, spectrograms):
        return ops.concatenate([spectrograms, self.cepstrum(spectrograms)], axis=-1)


def two_layers():
    """Two GRU layers, with dropout between them."""
    first, second = (layers.GRU(96, return_sequences=True) for _ in range(2))
    return keras.Sequential([first, layers.Dropout(0.2, seed=layer_seed()), second])


PARTS = {
    "view": {
        "cepstrum": Cepstrum,
        "spectrum and cepstrum": SpectrumAndCepstrum,
        "low bins": LowBins,
        "own mean": OwnMean,
    },
    "sequence": {
        "none": layers.Identity,
        "last state": partial(layers.GRU, 96),
        "lstm": partial(layers.LSTM, 80, return_sequences=True),
        "cnn": convolution,
        "two layers": two_layers,
        "bidirectional": lambda: layers.Bidirectional(layers.GRU(64, return_sequences=True)),
    },
    "pooling": {
        "none": layers.Identity,
        "mean": layers.GlobalAveragePooling1D,
        "attention": AttentivePooling,
    },
}


def build_encoder(spectrograms, towers=1, unit_length=True, **settings):
    """An encoder `(batch, frames, bins)` to `(batch, towers * dimensions)`.

    Parameters
    ----------
    spectrograms : float array (utterances, frames, bins)
        Training data.
    towers : int
        Number of encoders with separate weights, whose embeddings stand side by side.
    unit_length : bool
        Whether embeddings have length 1.
    settings
        Of `models.gru_encoder`; those in `PARTS` by a name there.
    """
    settings = {name: PARTS[name][value] if name in PARTS else value for name, value in settings.items()}
    encoders, inputs = [], keras.Input((None, spectrograms.shape[-1]), name="spectrogram")
    for number in range(towers):
        with keras.name_scope(f"tower_{number}"):  # PyTorch's gradients need weights of different names
            encoder = gru_encoder(spectrograms, **settings)
        end = encoder.output if unit_length else encoder.get_layer("projection").output
        encoders.append(keras.Model(encoder.inputs, end, name=f"tower_{number}"))
    if towers == 1:
        return encoders[0]
    embeddings = layers.Concatenate()([encoder(inputs) for encoder in encoders])
    return keras.Model(inputs, embeddings, name="encoder")
