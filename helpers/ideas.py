"""Ideas put to the test by `experiments`: the encoders, and the table of what each idea changes.

What earned its place is in the course's own files. The rest was measured and left out, or stands beside it as
a comparison; notebook 10 shows what each gave.
"""

import keras
import numpy as np
from keras import layers, ops
from scipy.fft import dct

from helpers.models import StatisticsPooling, drawn_seed


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
        x = layers.Dropout(dropout, seed=drawn_seed())(x)
    return x


def encoder(
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
    unshared=False,
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
    unshared : bool
        Two encoders with weights of their own, whose embeddings stand side by side: one for either side.

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
        x = layers.Dropout(dropout, seed=drawn_seed())(x)
        parts = []
        if cell != "none":
            slower = layers.AveragePooling1D(stride, padding="same")(x) if stride > 1 else x
            parts.append(_pooled(_sequence(slower, cell, units, depth, bidirectional, dropout), pooling))
        if shortcut or cell == "none":
            parts.append(StatisticsPooling()(x))
        x = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
        x = layers.Dense(dimensions)(x)
        return layers.UnitNormalization()(x) if unit_length else x

    outputs = layers.Concatenate()([tower(), tower()]) if unshared else tower()
    return keras.Model(inputs, outputs, name="encoder")


# Name: group, description, the idea that it is compared with, changes to the course's training.
PLAIN = {
    "encoder": {"stride": 1, "shortcut": False},
    "recipe": {"speeds": (0.9, 1.1), "widest_mask": 1 / 6},
}


def _plain(**changes):
    return {part: PLAIN.get(part, {}) | changes.get(part, {}) for part in (*PLAIN, *changes)}


IDEAS = {
    "course": ("", "the course's network", "", {}),
    "plain": ("", "the plain Siamese GRU", "", PLAIN),
    # alone: added to the plain network
    "plain_shortcut": (
        "alone",
        "bands pooled beside the states",
        "plain",
        _plain(encoder={"shortcut": True}),
    ),
    "plain_speeds": (
        "alone",
        "four other speeds, not two",
        "plain",
        _plain(recipe={"speeds": (0.8, 0.9, 1.1, 1.2)}),
    ),
    "plain_stride": ("alone", "GRU at half the frame rate", "plain", _plain(encoder={"stride": 2})),
    "plain_mask": (
        "alone",
        "masks up to a third, not a sixth",
        "plain",
        _plain(recipe={"widest_mask": 1 / 3}),
    ),
    # ablation: taken from the course's network
    "no_gru": ("ablation", "no GRU", "course", {"encoder": {"cell": "none"}}),
    "no_shortcut": (
        "ablation",
        "no bands pooled beside the states",
        "course",
        {"encoder": {"shortcut": False}},
    ),
    "no_speeds": ("ablation", "no copies at other speeds", "course", {"recipe": {"speeds": ()}}),
    "no_masks": ("ablation", "no masks", "course", {"recipe": {"widest_mask": 0}}),
    "no_crops": ("ablation", "no crops", "course", {"recipe": {"crop": 1.0}}),
    "no_logarithm": (
        "ablation",
        "magnitudes, no logarithm",
        "course",
        {"spectrogram": {"compression": "none"}},
    ),
    "last_state": (
        "ablation",
        "last state, no pooling",
        "course",
        {"encoder": {"pooling": "last", "shortcut": False}},
    ),
    "few_pairs": ("ablation", "two pairs an utterance, not all", "course", {"objective": {"few_pairs": 1}}),
    "unshared": (
        "ablation",
        "weights not shared",
        "course",
        {"encoder": {"unshared": True}, "objective": {"unshared": 1}},
    ),
    # features
    "cepstrum": (
        "features",
        "cepstrum as a second view",
        "course",
        {"encoder": {"views": ("spectrum", "cepstrum"), "bands": 32}},
    ),
    "cepstrum_only": ("features", "cepstrum, no spectrum", "course", {"encoder": {"views": ("cepstrum",)}}),
    "power": (
        "features",
        "power law (0.2) in place of the logarithm",
        "course",
        {"spectrogram": {"compression": "power"}},
    ),
    "mel": (
        "features",
        "80 mel bands",
        "course",
        {"spectrogram": {"mel_bands": 80}},
    ),
    "fast_frames": (
        "features",
        "half the window and hop",
        "course",
        {"spectrogram": {"n_fft": 512, "hop_length": 256}},
    ),
    "below_6_kHz": ("features", "bins below 6.25 kHz only", "course", {"encoder": {"bins": 400}}),
    "own_mean": ("features", "own mean spectrum taken away", "course", {"encoder": {"subtract_mean": True}}),
    # encoder
    "cnn": ("encoder", "CNN in place of the GRU", "course", {"encoder": {"cell": "cnn"}}),
    "lstm": ("encoder", "LSTM in place of the GRU", "course", {"encoder": {"cell": "lstm", "units": 80}}),
    "two_layers": ("encoder", "two GRU layers", "course", {"encoder": {"depth": 2}}),
    "bidirectional": (
        "encoder",
        "bidirectional GRU",
        "course",
        {"encoder": {"bidirectional": True, "units": 64}},
    ),
    "mean_only": ("encoder", "mean of the states only", "course", {"encoder": {"pooling": "mean"}}),
    "attention": (
        "encoder",
        "attentive statistics",
        "course",
        {"encoder": {"pooling": "attentive_statistics"}},
    ),
    "full_rate": ("encoder", "GRU at the full frame rate", "course", {"encoder": {"stride": 1}}),
    # loss
    "hard_pairs": ("loss", "hardest fifth of negative pairs", "course", {"objective": {"hard_pairs": 1}}),
    "inner_product": (
        "loss",
        "inner product, no unit length",
        "course",
        {"objective": {"inner_product": 1}, "encoder": {"unit_length": False}},
    ),
    "ge2e": ("loss", "GE2E softmax", "course", {"objective": {"ge2e_softmax": 1}}),
    "prototypes": ("loss", "angular prototypical", "course", {"objective": {"prototypes": 1}}),
    "additive_margin": ("loss", "additive-margin softmax", "course", {"objective": {"additive_margin": 1}}),
    "pairs_prototypes": (
        "loss",
        "pairs and angular prototypical",
        "course",
        {"objective": {"pairs": 1, "prototypes": 0.3}},
    ),
    "pairs_margin": (
        "loss",
        "pairs and additive margin",
        "course",
        {"objective": {"pairs": 1, "additive_margin": 0.1}},
    ),
    # batches
    "fewer_speakers": (
        "batches",
        "10 speakers x 10 utterances",
        "course",
        {"recipe": {"batch_speakers": 10, "batch_utterances": 10}},
    ),
    "larger": (
        "batches",
        "50 speakers x 4, twice the step",
        "course",
        {"recipe": {"batch_speakers": 50, "learning_rate": 3e-3}},
    ),
    "shorter_training": ("batches", "10 epochs", "course", {"recipe": {"epochs": 10}}),
    "longer_training": ("batches", "40 epochs", "course", {"recipe": {"epochs": 40}}),
    # augmentation
    "equalise": ("augmentation", "random microphones", "course", {"augment": {"equalise": {}}}),
    "equalise_mild": (
        "augmentation",
        "mild random microphones",
        "course",
        {"augment": {"equalise": {"strength": 2}}},
    ),
    "noise": ("augmentation", "noise, 10 to 40 dB", "course", {"augment": {"noise": {}}}),
    "band_limit": ("augmentation", "random band limits", "course", {"augment": {"band_limit": {}}}),
    "rooms": ("augmentation", "a copy in random rooms", "course", {"copies": {"rooms": 1}}),
    "warps": ("augmentation", "warped vocal tracts as speakers", "course", {"copies": {"warps": (0.9, 1.1)}}),
}
