"""Exchangeable parts of a training and of scoring: augmentation, copies, back-ends."""

import numpy as np
from scipy import linalg
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from helpers.augmentation import add_spectrogram_noise, band_limit, equalise, random_room
from helpers.augmentation import warp_vocal_tract
from helpers.metrics import cosine_scores
from helpers.systems.windows import unit_length
from helpers.plda import PLDA, scatter_within
from helpers.training import speed_copies

AUGMENTATIONS = {"equalise": equalise, "noise": add_spectrogram_noise, "band_limit": band_limit}


def augmenter(settings):
    """An `augment` of `training.TrainingHooks`: several by name, with their arguments."""

    def augment(spectrograms, rng):
        for name, arguments in settings.items():
            spectrograms = AUGMENTATIONS[name](spectrograms, rng, **arguments)
        return spectrograms

    return augment


def training_copies(warps=(), rooms=0):
    """`copies` of `training.TrainingHooks`: warped vocal tracts as new speakers, rooms as those there are."""

    def make(corpus, speakers, spectrogram, config):
        spectrograms, labels = speed_copies(corpus, speakers, spectrogram, config)
        rng, count = np.random.default_rng([config.seed, 3]), speakers.max() + 1
        for factor in warps:
            spectrograms.append(warp_vocal_tract(spectrograms[0], factor))
            labels = np.append(labels, speakers + (labels.max() // count + 1) * count)
        for _ in range(rooms):
            spectrograms.append(spectrogram(np.stack([random_room(each, rng) for each in corpus.waveforms])))
            labels = np.append(labels, speakers)
        return spectrograms, labels

    return make


def lda(learnt, speakers, test):
    """Cosines after linear discriminant analysis.

    Parameters
    ----------
    learnt : float array (utterances, dimensions)
        Embeddings of the speakers that the encoder learnt from.
    speakers : int array (utterances,)
    test : float array (n, dimensions)
        Of other speakers.

    Returns
    -------
    float array (n, n)
    """
    analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit(learnt, speakers)
    return cosine_scores(analysis.transform(test))


def whitening(learnt, speakers, test, floor=0.3):
    """Cosines after the covariance within speakers has been made that of a sphere; as `lda`.

    `floor` is that of `plda.scatter_within`.

    Hatch, Kajarekar and Stolcke (2006), "Within-class covariance normalization for SVM-based speaker
    recognition".
    """
    within, _ = scatter_within(learnt, speakers, floor)
    centred = (test - learnt.mean(axis=0)).T
    return cosine_scores(linalg.solve_triangular(linalg.cholesky(within, lower=True), centred, lower=True).T)


def plda(learnt, speakers, test):
    """Log likelihood ratios of the two-covariance model, up to a constant, as the course scores; as `lda`."""
    return PLDA(1, learnt.shape[1]).fit(learnt, speakers).scores(test)


def score_norm(learnt, speakers, test, nearest=20):
    """Cosines in standard deviations above those with the likest training speakers, both sides; as `lda`.

    Adaptive symmetric normalisation: Matejka et al. (2017), "Analysis of score normalization in multilingual
    speaker recognition", section 2.
    """
    cohort = unit_length(np.stack([learnt[speakers == name].mean(axis=0) for name in np.unique(speakers)]))
    unit = unit_length(test)
    likest = np.sort(unit @ cohort.T, axis=1)[:, -nearest:]
    centre, spread = likest.mean(axis=1), likest.std(axis=1)
    scores = unit @ unit.T
    return ((scores - centre[:, None]) / spread[:, None] + (scores - centre) / spread) / 2


BACKENDS = {"lda": lda, "whitening": whitening, "plda": plda, "score_norm": score_norm}
