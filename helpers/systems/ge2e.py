"""GE2E: the recurrent encoder and the two losses of Wan et al. (2018), arXiv 1710.10467.

Throughout, `mels` is a list of float arrays (frames, bands), one a recording, of any length.
"""

import math
import time

import keras
import numpy as np
from keras import layers, ops

from helpers.augmentation import at_speed
from helpers.batches import SpeakerBatches
from helpers.checkpoint import adam, fit_epochs, open_checkpoint
from helpers.models import ScaledCosine, StatisticsPooling, count_parameters, registered, standardisation
from helpers.systems.windows import repeat_to_length, unit_length, window_means


@registered
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
        self.bias.assign(np.repeat([0.0, 1.0, 0.0, 0.0], self.units))

    def call(self, inputs, states):
        output, memory = states
        gates = ops.matmul(inputs, self.kernel) + ops.matmul(output, self.recurrent) + self.bias
        enter, forget, new, leave = ops.split(gates, 4, axis=-1)
        memory = ops.sigmoid(forget) * memory + ops.sigmoid(enter) * ops.tanh(new)
        output = ops.matmul(ops.sigmoid(leave) * ops.tanh(memory), self.project)
        return output, [output, memory]


def lstm_encoder(spectrograms):
    """Three layers of projected LSTMs, then mean and deviation of the last one's outputs, scaled to length 1.

    The layers have the sizes of the text-dependent network of Wan et al. (2018), section 3, which takes the
    output of the last frame in place of mean and standard deviation over all frames.

    Parameters
    ----------
    spectrograms : float array (..., bands)
        Frames of training data: each band is standardised with its mean and variance there.

    Returns
    -------
    keras.Model
        `(batch, frames, bands)` to embeddings `(batch, 128)` of length 1.
    """
    inputs = keras.Input((None, spectrograms.shape[-1]), name="mel_spectrogram")
    x = standardisation(spectrograms)(inputs)
    for number in (1, 2, 3):
        x = layers.RNN(ProjectedLSTMCell(128, 64), return_sequences=True, name=f"lstm_{number}")(x)
    x = StatisticsPooling(name="pooling")(x)
    return keras.Model(inputs, layers.UnitNormalization(name="embedding")(x), name="ge2e")


def log_mels(waveforms, spectrogram, speed=1.0):
    """Spectrograms of waveforms (samples,) of any length, played at another speed if asked for: `mels`.

    All are transformed in one array, and the silence that fills its rows is cut off again.
    """
    lengths = [math.ceil(len(waveform) * 100 / round(100 * speed)) for waveform in waveforms]
    filled = np.zeros((len(waveforms), max(map(len, waveforms))), np.float32)
    for row, waveform in zip(filled, waveforms, strict=True):
        row[: len(waveform)] = waveform
    found = spectrogram(at_speed(filled, speed))
    return [mel[: spectrogram.frames(length)] for mel, length in zip(found, lengths, strict=True)]


def embed_windows(encoder, mels, frames):
    """Embeddings `(recordings, dimensions)` of length 1: the mean over sliding windows that overlap by half.

    Wan et al. (2018), section 2.2: each window's embedding has length 1, and so has their mean in the end.

    Parameters
    ----------
    encoder : keras.Model
    mels : list of float arrays
    frames : int
        In a window; a shorter recording is repeated to fill one.
    """
    windows = []
    for mel in mels:
        mel = repeat_to_length(mel, frames)
        starts = np.unique(np.append(np.arange(0, len(mel) - frames, max(1, frames // 2)), len(mel) - frames))
        windows.append(np.stack([mel[start : start + frames] for start in starts]))
    return unit_length(window_means(encoder, windows, 256)[0])


def training_model(encoder, config, contrast=False):
    """A model of batches of P x K spectrograms to their similarity matrix `(P K, P)`, and the paper's loss.

    Parameters
    ----------
    encoder : keras.Model
    config : batches.TrainingConfig
    contrast : bool
        Contrast loss in place of softmax loss.
    """
    cosines = CentroidCosines(config.batch_utterances)(encoder.output)
    model = keras.Model(encoder.input, ScaledCosine(name="similarity")(cosines))
    return model, GE2ELoss(config.batch_utterances, contrast)


def train(mels, speakers, config, frames, contrast=False, start=None, show_progress=False):
    """Train an encoder with one of the two losses, as notebook 07 does.

    Parameters
    ----------
    mels : list of float arrays
    speakers : int array (recordings,)
    config : batches.TrainingConfig
        Its `epochs`, `learning_rate`, `batch_speakers` (N in the paper), `batch_utterances` (M),
        `widest_mask` and `seed` count.
    frames : int
        Length of the random stretches that are learnt from.
    contrast : bool
        As for `training_model`.
    start : keras.Model, optional
        A trained encoder to begin with, which stays as it is; a new one by default.
    show_progress : bool

    Returns
    -------
    encoder : keras.Model
    facts : dict
        `loss` of each epoch, `w` and `b` of the similarity at the end, `parameters`, `train_seconds`.

    Raises
    ------
    InputError
        As `batches.SpeakerBatches`.
    """
    started = time.perf_counter()
    keras.utils.set_random_seed(config.seed)
    batches = SpeakerBatches(mels, speakers, config, frames=frames)
    encoder = lstm_encoder(np.concatenate(mels))
    if start is not None:
        encoder.set_weights(start.get_weights())
    model, loss = training_model(encoder, config, contrast)
    model.compile(adam(config.learning_rate, config.epochs * batches.steps, global_clipnorm=3.0), loss)
    parts = [*mels, speakers, config, frames, contrast] + (start.get_weights() if start else [])
    state = open_checkpoint(model, config.epochs, parts, __name__, history={"loss": []})
    size, epochs = batches.size, config.epochs
    fit_epochs(model, state, lambda n: [batches.epoch(n)], size, epochs, started, bar=show_progress)
    w, b = (float(ops.convert_to_numpy(weight)) for weight in model.get_layer("similarity").weights)
    facts = {"w": w, "b": b, "parameters": count_parameters(model), "train_seconds": state.seconds}
    return encoder, state.history | facts


class CentroidCosines(layers.Layer):
    """Cosines of each utterance of a P x K batch with each speaker's centroid, its own leaving it out.

    Embeddings `(P K, d)`, speaker by speaker, to `(P K, P)`. Wan et al. (2018), equations 8 and 9.
    """

    def __init__(self, utterances, **kwargs):
        super().__init__(**kwargs)
        self.utterances = utterances

    def call(self, embeddings):
        grouped = ops.reshape(embeddings, (-1, self.utterances, embeddings.shape[-1]))
        total = ops.sum(grouped, axis=1)
        others = ops.reshape(total[:, None] - grouped, ops.shape(embeddings))
        speakers = ops.shape(total)[0]
        own = ops.repeat(ops.eye(speakers), self.utterances, axis=0)
        cosine = ops.matmul(embeddings, ops.transpose(ops.normalize(total, axis=-1)))
        left_out = ops.sum(embeddings * ops.normalize(others, axis=-1), axis=-1, keepdims=True)
        return own * left_out + (1 - own) * cosine

    def compute_output_shape(self, shape):
        return (shape[0], None)


class GE2ELoss(keras.losses.Loss):
    """Softmax or contrast loss over an utterance's logits with all centroids. Wan et al. (2018), eq. 6, 7."""

    def __init__(self, utterances, contrast=False, name="ge2e", **kwargs):
        super().__init__(name=name, reduction=None, **kwargs)
        self.utterances, self.contrast = utterances, contrast

    def call(self, speakers, logits):
        own = ops.repeat(ops.eye(ops.shape(logits)[1]), self.utterances, axis=0)
        target = ops.sum(own * logits, axis=1)
        if self.contrast:
            rival = ops.max(ops.sigmoid(logits) - 2 * own, axis=1)
            return ops.mean(1 - ops.sigmoid(target) + rival)
        return ops.mean(ops.logsumexp(logits, axis=1) - target)
