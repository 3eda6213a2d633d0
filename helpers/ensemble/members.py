"""The members of the ensemble: encoders with another view or another layer each, and voice statistics."""

from functools import partial

import keras
import librosa
import numpy as np
from keras import layers, ops
from scipy.fft import dct

from helpers import SAMPLE_RATE
from helpers.models import embed_spectrograms, gru_encoder, registered


@registered
class LogMel(layers.Layer):
    """Log spectrograms `(batch, frames, bins)` to logarithms of mel bands `(batch, frames, bands)`."""

    def __init__(self, bands=80, **kwargs):
        super().__init__(**kwargs)
        self.bands = bands

    def build(self, shape):
        bank = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=2 * (shape[-1] - 1), n_mels=self.bands)
        self.bank = bank.T.astype("float32")

    def call(self, spectrograms):
        return ops.log(ops.matmul(ops.exp(2 * spectrograms), self.bank) + 1e-10) / 2

    def get_config(self):
        return super().get_config() | {"bands": self.bands}


@registered
class Cepstrum(layers.Layer):
    """Log spectrograms `(batch, frames, bins)` to cepstra `(batch, frames, coefficients)`.

    The cepstrum (Bogert, Healy and Tukey, 1963) is the cosine transform, here the orthonormal DCT-II, of a
    frame's log magnitudes. Its low coefficients say how the mouth shapes the spectrum; a voice of pitch f0
    has a peak near number ``sample rate / f0``.
    """

    def __init__(self, coefficients=200, **kwargs):
        super().__init__(**kwargs)
        self.coefficients = coefficients

    def build(self, shape):
        transform = dct(np.eye(shape[-1]), norm="ortho", axis=0)[: self.coefficients]
        self.transform = transform.T.astype("float32")

    def call(self, spectrograms):
        return ops.matmul(spectrograms, self.transform)

    def get_config(self):
        return super().get_config() | {"coefficients": self.coefficients}


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


@registered
class VoiceStatistics(layers.Layer):
    """Log spectrograms `(batch, frames, bins)` to classical statistics of a voice `(batch, 224)`.

    Mean and standard deviation over the frames of the cepstrum of 80 mel bands and of the first 30
    coefficients' deltas (MFCCs: Davis and Mermelstein, 1980), then median, 20 and 80 % quantile and standard
    deviation of the logarithm of the pitch in the louder half of the frames. The pitch of a frame is where
    its autocorrelation, the inverse Fourier transform of its power spectrum, is highest (Rabiner, 1977, "On
    the use of autocorrelation analysis for pitch detection").
    """

    BANDS, DELTAS, LOWEST, HIGHEST = 80, 30, 60, 400  # the pitch in Hz

    def build(self, shape):
        self.mel = LogMel(self.BANDS)
        self.mel.build(shape)
        self.transform = dct(np.eye(self.BANDS), norm="ortho", axis=0).T.astype("float32")
        bins, size = np.arange(shape[-1]), 2 * (shape[-1] - 1)
        lags = np.arange(SAMPLE_RATE // self.HIGHEST, SAMPLE_RATE // self.LOWEST + 1)
        twice = np.where((bins == 0) | (bins == bins[-1]), 1, 2)  # all others stand for a negative one too
        window = librosa.filters.get_window("hann", size)
        overlap = [window[:-lag] @ window[lag:] / (window @ window) for lag in lags]
        waves = twice[:, None] * np.cos(2 * np.pi * np.outer(bins, lags) / size) / np.maximum(overlap, 0.05)
        self.waves, self.twice = waves.astype("float32"), twice.astype("float32")
        self.preference = (0.0005 * np.arange(len(lags))).astype("float32")  # of twice the pitch's half
        self.pitches = np.log(SAMPLE_RATE / lags).astype("float32")

    def call(self, spectrograms):
        cepstra = ops.matmul(self.mel(spectrograms), self.transform)
        low = cepstra[..., : self.DELTAS]
        first, last = low[:, :1], low[:, -1:]
        around = ops.concatenate([first, first, low, last, last], axis=1)
        deltas = (2 * (around[:, 4:] - around[:, :-4]) + around[:, 3:-1] - around[:, 1:-3]) / 10
        both = ops.concatenate([cepstra, deltas], axis=-1)
        return ops.concatenate([ops.mean(both, axis=1), ops.std(both, axis=1), self._pitch(spectrograms)], -1)

    def _pitch(self, spectrograms):
        power = ops.exp(2 * spectrograms)
        energy = ops.matmul(power, self.twice)
        likeness = ops.matmul(power, self.waves) / energy[..., None] - self.preference
        pitch = ops.take(self.pitches, ops.argmax(likeness, axis=-1))
        half = (ops.shape(pitch)[1] + 1) // 2
        loudest = ops.take_along_axis(pitch, ops.argsort(-energy, axis=1)[:, :half], axis=1)
        quantiles = [ops.quantile(loudest, share, axis=1) for share in (0.5, 0.2, 0.8)]
        return ops.stack([*quantiles, ops.std(loudest, axis=1)], axis=-1)

    def compute_output_shape(self, shape):
        return (shape[0], 2 * (self.BANDS + self.DELTAS) + 4)


@registered
class VoiceCorrelations(layers.Layer):
    """Log spectrograms `(batch, frames, bins)` to what moves together in a voice `(batch, 220)`.

    The correlations over the frames of each two of the first 16 cepstral coefficients of 80 mel bands, by
    Fisher's (1915) z, which spreads those near 1; then mean and standard deviation of the first 50
    coefficients in the louder half of the frames. The loudness is the coefficient 0.
    """

    BANDS, CORRELATED, LOUD = 80, 16, 50

    def build(self, shape):
        self.mel = LogMel(self.BANDS)
        self.mel.build(shape)
        self.transform = dct(np.eye(self.BANDS), norm="ortho", axis=0)[: self.LOUD].T.astype("float32")
        above = np.triu_indices(self.CORRELATED, 1)
        self.pairs = np.ravel_multi_index(above, (self.CORRELATED, self.CORRELATED)).astype("int32")

    def call(self, spectrograms):
        cepstra = ops.matmul(self.mel(spectrograms), self.transform)
        low = cepstra[..., : self.CORRELATED]
        moves = low - ops.mean(low, axis=1, keepdims=True)
        spread = ops.sqrt(ops.sum(ops.square(moves), axis=1, keepdims=True))
        both = ops.matmul(ops.transpose(spread, (0, 2, 1)), spread) + 1e-6
        correlations = ops.matmul(ops.transpose(moves, (0, 2, 1)), moves) / both
        chosen = ops.take(ops.reshape(correlations, (-1, self.CORRELATED**2)), self.pairs, axis=1)
        half = (ops.shape(cepstra)[1] + 1) // 2
        loudest = ops.argsort(-cepstra[..., :1], axis=1)[:, :half]
        loud = ops.take_along_axis(cepstra, ops.repeat(loudest, self.LOUD, axis=2), axis=1)
        parts = ops.arctanh(ops.clip(chosen, -0.99, 0.99)), ops.mean(loud, axis=1), ops.std(loud, axis=1)
        return ops.concatenate(parts, axis=-1)

    def compute_output_shape(self, shape):
        return (shape[0], len(self.pairs) + 2 * self.LOUD)


def discriminants(values, speakers, dimensions=40):
    """Standardisation and linear discriminant analysis, fitted to statistics (utterances, n): a pipeline.

    The largest number of dimensions. LDA: Fisher (1936), "The use of multiple measurements in taxonomic
    problems". The covariance within speakers is shrunk, as utterances are few for n x n values: Ledoit and
    Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices", section 3.
    """
    # Imported here, because it takes half a second, and a saved member is fitted already.
    from sklearn.covariance import ledoit_wolf_shrinkage
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scaled = (scaler := StandardScaler()).fit_transform(values)
    names, index = np.unique(speakers, return_inverse=True)
    centres = np.stack([scaled[index == i].mean(axis=0) for i in range(len(names))])
    # One for all speakers: scikit-learn's "auto" has one for each, is worse, and fails for two utterances.
    shrinkage = ledoit_wolf_shrinkage(scaled - centres[index])
    lda = LinearDiscriminantAnalysis("eigen", shrinkage, n_components=min(dimensions, len(names) - 1))
    return make_pipeline(scaler, lda.fit(scaled, speakers))


def statistics_encoder(copies, labels, dimensions=48, describe=VoiceStatistics):
    """Statistics of a voice, and their `discriminants`, as an encoder.

    Parameters
    ----------
    copies : list of float arrays (utterances, frames, bins), or of lists of such utterances
        Log spectrograms.
    labels : int array
        Whose they are, of all arrays, one after the other.
    dimensions : int
    describe : type of keras.layers.Layer
        What gives the statistics.

    Returns
    -------
    keras.Model
        `(batch, frames, bins)` to embeddings `(batch, dimensions)` of length 1.
    """
    inputs = keras.Input((None, copies[0][0].shape[-1]), name="spectrogram")
    statistics = describe(name="statistics")(inputs)
    heard = keras.Model(inputs, statistics)
    values = np.concatenate([embed_spectrograms(heard, copy) for copy in copies]).astype(float)
    scaler, lda = discriminants(values, labels, dimensions)
    kernel = np.zeros((values.shape[1], dimensions))
    kernel[:, : lda.n_components] = lda.scalings_[:, : lda.n_components] / scaler.scale_[:, None]
    projection = layers.Dense(dimensions, name="projection")
    embedding = layers.UnitNormalization(name="embedding")(projection(statistics))
    encoder = keras.Model(inputs, embedding, name="encoder")
    projection.set_weights([kernel, -scaler.mean_ @ kernel])
    return encoder


def convolution():
    """What the convolutional member has in the GRU's place: five neighbouring frames at a time."""
    return layers.Conv1D(96, 5, padding="same", activation="relu", name="convolution")


MEMBERS = {
    "GRU on the spectrum": gru_encoder,
    "GRU on the cepstrum": partial(gru_encoder, view=Cepstrum),
    "CNN on the spectrum": partial(gru_encoder, sequence=convolution),
    "GRU, attentive pooling": partial(gru_encoder, pooling=AttentivePooling),
}
STATISTICS = {
    "means and pitch": statistics_encoder,
    "correlations": partial(statistics_encoder, describe=VoiceCorrelations),
}
