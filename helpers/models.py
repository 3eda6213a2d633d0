"""The twin network: one GRU encoder, and the models that share its weights."""

import random
import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

import helpers.plda  # noqa: F401, saved verifiers hold one
from helpers import InputError, first_line, replacing
from helpers.features import Spectrogram

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

    def compute_output_shape(self, shape):
        return (shape[0], shape[0])


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
        positive = keras.constraints.NonNeg()
        self.w = self.add_weight(
            shape=(), name="w", initializer=constant(self.initial_w), constraint=positive
        )
        self.b = self.add_weight(shape=(), name="b", initializer=constant(self.initial_b))

    def call(self, cosine):
        return self.w * cosine + self.b

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return super().get_config() | {"w": self.initial_w, "b": self.initial_b}


def drawn_seed():
    """What Keras draws for a layer without a seed; given one, PyTorch's dropout keeps to it too."""
    return random.randint(1, 10**9)


def standardisation(values):
    """A layer that gives each bin mean 0 and variance 1 over training data.

    Bins that a telephone or a codec has left empty are put out. Blown up to variance 1 they would shout as
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


def gru_encoder(spectrograms, bands=64, units=96, dimensions=48, dropout=0.2, shortcut=True, stride=2):
    """A GRU that turns a spectrogram of any length into a voice of fixed length.

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
        So many frames are averaged into one for the GRU, which is the slow part.

    Returns
    -------
    keras.Model
        `(batch, frames, bins)` to embeddings `(batch, dimensions)` of length 1.
    """
    inputs = keras.Input((None, spectrograms.shape[-1]), name="spectrogram")
    x = layers.Dense(bands, activation="relu", name="bands")(standardisation(spectrograms)(inputs))
    x = layers.Dropout(dropout, seed=drawn_seed(), name="hide_bands")(x)
    slower = layers.AveragePooling1D(stride, padding="same", name="slower")(x) if stride > 1 else x
    states = layers.GRU(units, return_sequences=True, name="gru")(slower)
    states = layers.Dropout(dropout, seed=drawn_seed(), name="hide_states")(states)
    pooled = StatisticsPooling(name="pooling")(states)
    if shortcut:
        around = StatisticsPooling(name="pooling_around")(x)
        pooled = layers.Concatenate(name="both")([pooled, around])
    voice = layers.Dense(dimensions, name="projection")(pooled)
    return keras.Model(inputs, layers.UnitNormalization(name="embedding")(voice), name="encoder")


def joint_encoder(encoders):
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


def embeddings_of(encoder, spectrograms):
    """Embeddings `(n, dimensions)` of spectrograms `(n, frames, bins)`, mapped or not, a part at a time."""
    parts = range(0, max(1, len(spectrograms)), CHUNK)
    voices = [encoder.predict(spectrograms[i : i + CHUNK], batch_size=256, verbose=0) for i in parts]
    return np.concatenate(voices)


def pair_logits(embeddings, scale):
    """Logits `(n, n)` of all pairs of a batch of embeddings `(n, d)` of length 1."""
    return scale(AllPairs()(embeddings))


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
    return keras.Model(inputs, pair_logits(encoder(inputs), scale), name="all_pairs")


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


@registered
class Verifier(keras.Model):
    """An encoder with everything that its use needs, saved in one file.

    Parameters
    ----------
    encoder : keras.Model
        Spectrograms to embeddings of length 1.
    plda : plda.PLDA
        Compares two embeddings.
    scale : ScaledCosine
        From the PLDA's scores to log likelihood ratios, fitted to speakers that it has never heard.
    spectrogram : features.Spectrogram
        The transform it was trained with.
    threshold : float
        Log likelihood ratio at and above which two utterances are taken for one speaker.
    facts : dict, optional
        How it was trained, as JSON values.
    """

    def __init__(self, encoder, plda, scale, spectrogram, threshold, facts=None, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.plda, self.scale = encoder, plda, scale
        self.spectrogram, self.threshold, self.facts = spectrogram, float(threshold), dict(facts or {})
        if not scale.built:
            scale.build(())
        self.built = True  # its parts are

    def call(self, spectrograms):
        return self.encoder(spectrograms)

    @property
    def knows_calls(self):
        """Whether it learnt from telephone calls, for the most part: it judges them then, and only them."""
        return self.facts.get("calls", 0.0) > 0.5

    def embed(self, waveforms):
        """Embeddings `(utterances, dimensions)` of length 1 of waveforms `(utterances, samples)`."""
        waveforms = np.atleast_2d(waveforms)
        parts = range(0, max(1, len(waveforms)), CHUNK)
        spectrograms = (self.spectrogram(waveforms[i : i + CHUNK]) for i in parts)
        voices = [self.encoder.predict(each, batch_size=256, verbose=0) for each in spectrograms]
        return np.concatenate(voices)

    def scores(self, embeddings, others=None):
        """Log likelihood ratios (natural log) of embeddings with others, by default with each other.

        Parameters
        ----------
        embeddings, others : float arrays (n, dimensions), (m, dimensions)

        Returns
        -------
        float array (n, m)
        """
        return ops.convert_to_numpy(self.scale(self.plda.scores(embeddings, others).astype("float32")))

    def enrolled_scores(self, embeddings, trials):
        """Log likelihood ratios of test utterances with the mean of the enrolled ones.

        Parameters
        ----------
        embeddings : float array (utterances, dimensions)
        trials : pairs.Enrolments

        Returns
        -------
        float array (trials,)
        """
        _, first, which = np.unique(trials.enrolled, axis=0, return_index=True, return_inverse=True)
        means = embeddings[trials.enrolled[first]].mean(axis=1)
        return self.scores(means, embeddings)[which.ravel(), trials.test]

    def get_config(self):
        return {
            "name": self.name,
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "plda": keras.saving.serialize_keras_object(self.plda),
            "scale": keras.saving.serialize_keras_object(self.scale),
            "spectrogram": self.spectrogram.to_dict(),
            "threshold": self.threshold,
            "facts": self.facts,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in ("encoder", "plda", "scale"):
            config[part] = keras.saving.deserialize_keras_object(config[part])
        config["spectrogram"] = Spectrogram.from_dict(config["spectrogram"])
        return cls(**config)


def save_verifier(verifier, path):
    """Save a verifier whole or not at all.

    Raises
    ------
    InputError
        When it cannot be written; an earlier file at `path` stays.
    """
    with replacing(path) as temporary:
        verifier.save(temporary)


def load_verifier(path, spectrogram=None):
    """Load a saved verifier.

    Parameters
    ----------
    path : path
        A `.keras` file that `save_verifier` wrote.
    spectrogram : features.Spectrogram, optional
        The features about to be used; they have to be the model's own.

    Raises
    ------
    InputError
        When the file is missing, damaged, not a verifier, or trained with other features.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path} does not exist; notebook 04 makes it: python -m helpers.batch --notebooks 04 --out OUT "
            "writes OUT/models/siamese_gru.keras"
        )
    try:
        verifier = keras.saving.load_model(path, compile=False)
    except Exception as error:  # damaged archives surface as any kind of exception
        reason = (
            first_line(type(error).__name__, error)[:120]
            if zipfile.is_zipfile(path)
            else "not a whole .keras file"
        )
        raise InputError(f"{path.name} cannot be read as a saved model ({reason}); train it again") from error
    if not isinstance(verifier, Verifier):
        raise InputError(f"{path.name} holds a {type(verifier).__name__}; expected a Verifier of notebook 04")
    if spectrogram is not None and spectrogram != verifier.spectrogram:
        theirs, ours = verifier.spectrogram.to_dict(), spectrogram.to_dict()
        differ = ", ".join(f"{k}={theirs[k]} (asked for {ours[k]})" for k in ours if theirs[k] != ours[k])
        raise InputError(f"{path.name} was trained with other features: {differ}; train a model with these")
    return verifier
