"""A trained system in one file: encoder, PLDA, calibration, features."""

import os
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
from keras import ops

import helpers.ensemble.members  # saved verifiers hold its layers
import helpers.plda  # noqa: F401, saved verifiers hold one
from helpers import SAMPLE_RATE, InputError
from helpers.calibration import RIDGE, Calibration, fuse
from helpers.checkpoint import load_saved
from helpers.features import Spectrogram
from helpers.files import atomic_write, fingerprint
from helpers.metrics import equal_error
from helpers.models import CHUNK, ScaledCosine, count_parameters, embed_by_length
from helpers.models import embed_spectrograms, registered
from helpers.pairs import all_trials
from helpers.quality import telephone_share

FUSION_RIDGE = 1e-3  # weights of scores that say the same stay near each other


class SavedSystem(keras.Model):
    """A model that is saved whole: its `PARTS` are Keras objects, its `SETTINGS` JSON values."""

    PARTS = SETTINGS = ()

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.PARTS}
        settings = {name: getattr(self, name) for name in ("name", *self.SETTINGS)}
        return parts | settings | {"spectrogram": self.spectrogram.to_dict()}

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in cls.PARTS}
        return cls(**config | parts | {"spectrogram": Spectrogram.from_dict(config["spectrogram"])})


@registered
class Verifier(SavedSystem):
    """An encoder with everything that its use needs, saved in one file.

    Parameters
    ----------
    encoder : keras.Model
        Spectrograms to embeddings of length 1.
    plda : plda.PLDA
        Compares two embeddings.
    scale : ScaledCosine
        From the PLDA's scores to log likelihood ratios, fitted to held-out speakers.
    spectrogram : features.Spectrogram
        The transform it was trained with.
    threshold : float
        Log likelihood ratio at and above which two utterances are taken for one speaker.
    facts : dict, optional
        How it was trained, as JSON values.
    """

    PARTS, SETTINGS = ("encoder", "plda", "scale"), ("threshold", "facts")

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
        """Whether it was trained mostly on telephone calls; it then judges calls, and nothing else."""
        return self.facts.get("calls", 0.0) > 0.5

    def held_out_scores(self):
        """What the calibration was fitted to: log likelihood ratios between speakers held out from training.

        Returns
        -------
        list of tuple of float array (n, n) and int array (n,)
            For each fold, all utterances with one another, 0 on the diagonal, and who spoke them.

        Raises
        ------
        InputError
            When the model was saved before it kept them.
        """
        if "held_out" not in self.facts:
            raise InputError("a model without held-out scores", expected="one that 04 or 06 has trained")
        folds = []
        for ratios, speakers in self.facts["held_out"]:
            trials, matrix = all_trials(speakers), np.zeros((len(speakers), len(speakers)))
            matrix[trials.left, trials.right] = ratios
            folds.append((matrix + matrix.T, np.array(speakers)))
        return folds

    def embed(self, waveforms):
        """Embeddings `(utterances, dimensions)` of length 1 of waveforms `(utterances, samples)`."""
        waveforms = np.atleast_2d(waveforms)
        parts = range(0, max(1, len(waveforms)), CHUNK)
        spectrograms = (self.spectrogram(waveforms[i : i + CHUNK]) for i in parts)
        return np.concatenate([embed_spectrograms(self.encoder, each) for each in spectrograms])

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

    def pair_scores(self, first, second):
        """Log likelihood ratios (n,) of embeddings with others, row by row: both (n, dimensions)."""
        pairs = [np.asarray(side, dtype="float32") for side in (first, second)]
        return ops.convert_to_numpy(self.scale(self.plda(pairs)))[:, 0]

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


def assemble(corpus, spectrogram, config, encoder, plda, scored, seconds):
    """A `verifier.Verifier` with its calibration and its facts.

    Parameters
    ----------
    corpus, spectrogram, config
        As for `training.train`.
    encoder : keras.Model
    plda : plda.PLDA
    scored : list of tuple
        For each fold, what `training.held_out_scores` gives.
    seconds : list of float
        Of each training; the last one is that of the encoder.
    """
    scores = np.concatenate([each[0] for each in scored])
    labels = np.concatenate([all_trials(each[1]).label for each in scored])
    weights, offset = fuse(scores, labels, ridge=FUSION_RIDGE if plda.encoders > 1 else RIDGE)
    error, threshold = equal_error(scores @ weights + offset, labels)
    plda.weigh(weights / weights.sum())
    scale = ScaledCosine(weights.sum(), offset, name="calibration")
    ratios = [np.round(values @ weights + offset, 2).tolist() for values, _ in scored]
    facts = {
        "corpus": corpus.name,
        "backend": keras.backend.backend(),
        "parameters": count_parameters(encoder) + plda.fitted * plda.count_params() + len(weights) + 1,
        "speakers_train": len(np.unique(corpus.speakers)),
        "calls": telephone_share(corpus.waveforms),
        "recipe": asdict(config),
        "weights": weights.tolist(),
        "held_out_eer": error,
        "held_out": [(own, who.tolist()) for own, (_, who) in zip(ratios, scored, strict=True)],
        "train_seconds": sum(seconds),
        "final_seconds": seconds[-1],
    }
    return Verifier(encoder, plda, scale, spectrogram, threshold, facts)


def save_system(system, path):
    """Save a model whole or not at all; InputError when it cannot, and an earlier file at `path` stays."""
    with atomic_write(path) as temporary:
        system.save(temporary)


def load_verifier(path, spectrogram=None):
    """Load a saved verifier.

    Parameters
    ----------
    path : path
        A `.keras` file that `save_system` wrote.
    spectrogram : features.Spectrogram, optional
        The features about to be used; they have to be the model's own.

    Raises
    ------
    InputError
        When the file is missing, damaged, not a verifier, or trained with other features.
    """
    path = Path(os.path.expanduser(path))
    missing = (
        f"{path} does not exist; notebooks 04 and 06 make models: python -m helpers.batch --notebooks 04,06 "
        "--out OUT writes OUT/models/siamese_gru.keras and ensemble.keras"
    )
    verifier = load_saved(path, Verifier, "a Verifier of notebook 04 or 06", missing, "train it again")
    if spectrogram is not None and spectrogram != verifier.spectrogram:
        theirs, ours = verifier.spectrogram.to_dict(), spectrogram.to_dict()
        differ = ", ".join(f"{k}={theirs[k]} (asked for {ours[k]})" for k in ours if theirs[k] != ours[k])
        raise InputError(f"{path.name} was trained with other features: {differ}; train a model with these")
    return verifier


def calibration_of(verifier):
    """The line from its PLDA's scores to log likelihood ratios that a `verifier.Verifier` carries."""
    offset, top = ops.convert_to_numpy(verifier.scale(np.array([0, 1], dtype=np.float32))).tolist()
    return Calibration(top - offset, offset)


def model_digest(verifier):
    """A short hash of weights and calibration: models with different ones cannot share embeddings."""
    weights = map(ops.convert_to_numpy, verifier.encoder.weights + verifier.plda.weights)
    return fingerprint(*weights, np.array(calibration_of(verifier), dtype=np.float32))


def embed_recordings(verifier, waveforms, lengths=4):
    """Embeddings of recordings of any length.

    Where there are more than `lengths` different ones, recordings of a second or more are cut, at their end,
    to a multiple of half a second: a backend compiles the encoder anew for each length.

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
    return embed_by_length(verifier.embed, waveforms, samples)
