"""A trained system in one file: encoder, PLDA, calibration, features."""

import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

import helpers.plda  # noqa: F401, saved verifiers hold one
from helpers import SAMPLE_RATE, InputError, first_line
from helpers.calibration import Calibration
from helpers.features import Spectrogram
from helpers.files import atomic_write, fingerprint
from helpers.models import CHUNK, registered


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
    def trained_on_calls(self):
        """Whether it learnt from telephone calls, for the most part: it judges them then, and only them."""
        return self.facts.get("calls", 0.0) > 0.5

    def embed(self, waveforms):
        """Embeddings `(utterances, dimensions)` of length 1 of waveforms `(utterances, samples)`."""
        waveforms = np.atleast_2d(waveforms)
        parts = range(0, max(1, len(waveforms)), CHUNK)
        spectrograms = (self.spectrogram(waveforms[i : i + CHUNK]) for i in parts)
        embeddings = [self.encoder.predict(each, batch_size=256, verbose=0) for each in spectrograms]
        return np.concatenate(embeddings)

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
    with atomic_write(path) as temporary:
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


def calibration_of(verifier):
    """The line from its PLDA's scores to log likelihood ratios that a `verifier.Verifier` carries."""
    from keras.ops import convert_to_numpy

    offset, top = convert_to_numpy(verifier.scale(np.array([0, 1], dtype=np.float32))).tolist()
    return Calibration(top - offset, offset)


def model_digest(verifier):
    """A short hash of a model's weights and calibration: voices of models with unlike ones do not compare."""
    weights = [
        np.asarray(ops.convert_to_numpy(each)) for each in verifier.encoder.weights + verifier.plda.weights
    ]
    return fingerprint(*weights, np.array(calibration_of(verifier), dtype=np.float32))


def embed_recordings(verifier, waveforms, lengths=4):
    """Voices of recordings of any length.

    A backend compiles the encoder anew for each length. Where there are more than `lengths` different ones,
    recordings of a second or more are cut, at their end, to a multiple of half a second.

    Parameters
    ----------
    verifier : verifier.Verifier
    waveforms : sequence of float arrays (samples,)
    lengths : int

    Returns
    -------
    float array (recordings, dimensions)
    """
    samples, half = np.array([len(waveform) for waveform in waveforms]), SAMPLE_RATE // 2
    if len(np.unique(samples)) > lengths:
        samples = np.where(samples < 2 * half, samples, samples // half * half)
    embeddings = {}
    for count in np.unique(samples):
        rows = np.flatnonzero(samples == count)
        batch = np.stack([waveforms[row][:count] for row in rows])
        embeddings |= dict(zip(rows, verifier.embed(batch), strict=True))
    return np.stack([embeddings[row] for row in range(len(samples))])
