"""Training of the encoders: side by side, each with a fold of the speakers held out from it."""

import math
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from helpers.batches import SpeakerBatches, TrainingConfig, assign_folds, sample_speakers
from helpers.calibration import calibrate
from helpers.checkpoint import adam, fit_epochs, open_checkpoint
from helpers.data.stored_features import spectrograms_of
from helpers.losses import BalancedPairLoss
from helpers.metrics import equal_error
from helpers.models import AllPairs, ScaledCosine, concatenate_encoders, count_parameters
from helpers.models import embed_spectrograms, gru_encoder
from helpers.pairs import all_trials
from helpers.plda import PLDA
from helpers.quality import telephone_share
from helpers.verifier import Verifier

# What keeps memory flat, however large a corpus; the course's own is below all three.
BATCHES = 32  # of an epoch that are in memory at a time
STATISTICS = 4096  # utterances that settle an encoder's mean and variance
COMPARED = 1000  # utterances of a fold that are compared all with all


def speed_copies(corpus, speakers, spectrogram, config):
    """Spectrograms of utterances and of their copies at other speeds, which count as other speakers.

    Parameters
    ----------
    corpus : corpora.Corpus
    speakers : int array (utterances,)
        Numbered from 0.
    spectrogram : features.Spectrogram
    config : batches.TrainingConfig

    Returns
    -------
    spectrograms : list of float arrays (utterances, frames, bins)
        First the utterances, then their copies, an array each.
    speakers : int array
        Of all arrays, one after the other.
    """
    copies = spectrograms_of(corpus, spectrogram, config.speeds)
    labels = np.concatenate([speakers + i * (speakers.max() + 1) for i in range(len(copies))])
    return copies, labels


def pair_objective(embeddings, config, speakers):
    """The course's `objective` of `TrainingHooks`: all pairs of a batch and their balanced loss."""
    return [ScaledCosine()(AllPairs()(embeddings))], [BalancedPairLoss()]


class TrainingHooks(NamedTuple):
    """The exchangeable parts of a training; those of the course by default.

    `encoder` (spectrograms) builds an encoder. `objective` (embeddings (n, dimensions), config, number of
    speakers, copies included) gives a list of outputs and one of the losses that teach it. `copies` (corpus,
    speakers, spectrogram, config) gives what it is taught from as `speed_copies` does: first the utterances
    themselves; a copy that counts as another speaker's has a multiple of the number of speakers added to its
    own. `augment` (spectrograms, rng) varies the batches of an epoch.
    """

    encoder: Any = gru_encoder
    objective: Any = pair_objective
    copies: Any = speed_copies
    augment: Any = None


class Fold(NamedTuple):
    """One encoder in training, those who are held out from it, and the spectrograms of all utterances."""

    encoder: keras.Model
    batches: SpeakerBatches
    held_out: np.ndarray
    spectrograms: np.ndarray
    inputs: Any
    outputs: list
    losses: list


def prepare_folds(corpus, speakers, spectrogram, config, hooks=None):
    """The folds of a training: untrained encoders with their batches and held-out utterances.

    Parameters
    ----------
    corpus : corpora.Corpus
    speakers : int array (utterances,)
        Numbered from 0.
    spectrogram : features.Spectrogram
    config : batches.TrainingConfig
    hooks : TrainingHooks, optional

    Returns
    -------
    list of Fold
        As many as the config has encoders; `held_out` is a bool array (utterances,).
    """
    hooks = hooks or TrainingHooks()
    fold = assign_folds(speakers, config.folds, config.seed)
    copies, labels = hooks.copies(corpus, speakers, spectrogram, config)
    originals, spectrograms = copies[0], [utterance for copy in copies for utterance in copy]
    prepared = []
    for number in range(config.encoders):
        others = np.unique(speakers[fold != number])
        learners = np.random.default_rng([config.seed, number]).permutation(others)[: config.max_speakers]
        kept = np.flatnonzero(np.isin(labels % (speakers.max() + 1), learners))
        known = np.unique(labels[kept], return_inverse=True)[1]
        batches = SpeakerBatches([spectrograms[i] for i in kept], known, config, number)
        with keras.name_scope(f"encoder_{number}"):  # PyTorch's gradients need weights of different names
            rows = np.flatnonzero(np.isin(speakers, learners))
            encoder = hooks.encoder(originals[rows[:: math.ceil(len(rows) / STATISTICS)]])
        encoder.name = f"encoder_{number}"
        inputs = keras.Input(encoder.input_shape[1:])
        objective = hooks.objective(encoder(inputs), config, int(known.max()) + 1)
        prepared.append(Fold(encoder, batches, fold == number, originals, inputs, *objective))
    return prepared


def draw_epoch(folds, number, augment=None, batches=BATCHES):
    """An epoch, so many batches at a time: spectrograms, one array a fold, and speakers, one an output.

    As many batches for each fold as the smallest has.
    """
    left = min(fold.batches.steps for fold in folds) * folds[0].batches.size
    seeds = [[fold.batches.config.seed, number, fold.batches.stream, 1] for fold in folds]
    rngs = [np.random.default_rng(seed) for seed in seeds]
    for parts in zip(*(fold.batches.parts(number, batches) for fold in folds), strict=False):
        spectrograms, speakers = ([each[:left] for each in side] for side in zip(*parts, strict=True))
        left -= len(parts[0][1])
        if augment:
            spectrograms = [augment(each, rng) for each, rng in zip(spectrograms, rngs, strict=True)]
        yield spectrograms, [own for fold, own in zip(folds, speakers, strict=True) for _ in fold.outputs]


def compared_utterances(held_out, speakers):
    """Of a bool array (utterances,) of held-out speakers, so many as are compared all with all."""
    rows = np.flatnonzero(held_out)
    return np.isin(np.arange(len(speakers)), rows[sample_speakers(speakers[rows], COMPARED)])


def held_out_scores(plda, embeddings, held_out, speakers):
    """Scores of all trials within each fold, by the encoder that never heard its speakers.

    Parameters
    ----------
    plda : plda.PLDA
        Each encoder's part of it has never heard them either.
    embeddings : float array (utterances, encoders * dimensions)
    held_out : list of bool arrays (utterances,)
        The utterances of the speakers that each encoder did not learn from.
    speakers : int array (utterances,)

    Returns
    -------
    scores, labels : arrays (trials,)
        Of a fold's speakers as many as have 1,000 utterances: the trials grow with their square.
    first, second : int arrays (trials,)
        The speaker on either side of a trial.
    """
    parts = []
    for number, apart in enumerate(held_out):
        apart = compared_utterances(apart, speakers)
        mine = speakers[apart]
        trials = all_trials(mine)
        scores = plda.scores(embeddings[apart], encoder=number)[trials.left, trials.right]
        parts.append((scores, trials.label, mine[trials.left], mine[trials.right]))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def train(
    corpus, spectrogram, config=None, checkpoint_file=None, show_progress=False, after_epoch=None, hooks=None
):
    """Train a Siamese GRU on a corpus: one encoder for each fold of speakers, side by side.

    Each encoder learns from all speakers but its fold's. What it makes of that fold is cross-validation:
    it gives the calibration, for which every training speaker is a stranger once, and with it the threshold.
    Together the encoders are one, whose embedding is theirs side by side; a PLDA compares two of them.

    Parameters
    ----------
    corpus : corpora.Corpus
        Training speakers only.
    spectrogram : features.Spectrogram
    config : batches.TrainingConfig, optional
    checkpoint_file : path, optional
        Kept up to date after each epoch; a killed run with the same settings goes on from it, and its
        result equals that of an unbroken run. Removed at the end.
    show_progress : bool
    after_epoch : callable (history, folds), optional
        Called after each epoch, to draw the curves for one.
    hooks : TrainingHooks, optional

    Returns
    -------
    verifier : verifier.Verifier
        Its `facts` hold the seconds, the config, the corpus, the share of telephone calls in it, and the
        held-out equal error rate.
    history : dict of lists
        `loss` and `val_loss` of each epoch, means over the folds.

    Raises
    ------
    InputError
        When the corpus has too few speakers or utterances for the config.
    """
    started, config, hooks = time.perf_counter(), config or TrainingConfig(), hooks or TrainingHooks()
    keras.utils.set_random_seed(config.seed)
    speakers = np.unique(corpus.speakers, return_inverse=True)[1]  # small numbers: Keras makes floats of them
    folds = prepare_folds(corpus, speakers, spectrogram, config, hooks)
    spectrograms, batches = folds[0].spectrograms, [fold.batches for fold in folds]
    outputs = [output for fold in folds for output in fold.outputs]
    model = keras.Model([fold.inputs for fold in folds], outputs)
    steps = config.epochs * min(each.steps for each in batches)
    model.compile(adam(config.learning_rate, steps), [loss for fold in folds for loss in fold.losses])

    drawn, _ = next(draw_epoch(folds[:1], 0, hooks.augment))
    parts = corpus.waveforms, corpus.speakers, config, spectrogram, *drawn
    module = __name__ if hooks == TrainingHooks() and not after_epoch else None  # these are code of others
    state = open_checkpoint(model, config.epochs, parts, module, checkpoint_file)
    compared = [compared_utterances(fold.held_out, speakers) for fold in folds]
    unseen = [spectrograms[rows] for rows in compared]
    theirs = [speakers[rows] for rows, fold in zip(compared, folds, strict=True) for _ in fold.outputs]
    model.test_on_batch(unseen, theirs)  # builds the losses: built inside `fit`, TensorFlow traces it twice

    def measure(loss):
        # All pairs of a fold at once; folds may differ in size, which `fit` would not take.
        tested = model.test_on_batch(unseen, theirs, return_dict=True)
        return {"loss": loss / len(folds), "val_loss": tested["loss"] / len(folds)}

    draw = partial(draw_epoch, folds, augment=hooks.augment, batches=BATCHES)
    look = after_epoch and (lambda history: after_epoch(history, folds))
    fit_epochs(model, state, draw, batches[0].size, config.epochs, started, measure, look, show_progress)

    started = time.perf_counter()
    encoder = concatenate_encoders([fold.encoder for fold in folds])
    embeddings, held_out = embed_spectrograms(encoder, spectrograms), [fold.held_out for fold in folds]
    plda = PLDA(len(folds), embeddings.shape[1] // len(folds)).fit(embeddings, speakers, held_out)
    scores, labels, *_ = held_out_scores(plda, embeddings, held_out, speakers)
    calibration = calibrate(scores, labels)
    learnt = sum(count_parameters(fold.encoder) for fold in folds) + plda.count_params()
    facts = {
        "corpus": corpus.name,
        "backend": keras.backend.backend(),
        "parameters": learnt + len(calibration),
        "speakers_train": int(speakers.max()) + 1,
        "calls": telephone_share(corpus.waveforms),
        "recipe": asdict(config),
        "held_out_eer": equal_error(scores, labels)[0],
        "train_seconds": state.seconds + time.perf_counter() - started,
    }
    if checkpoint_file and state.path == Path(checkpoint_file):
        state.path.unlink(missing_ok=True)
    scale = ScaledCosine(*calibration, name="calibration")
    return Verifier(encoder, plda, scale, spectrogram, 0.0, facts), state.history
