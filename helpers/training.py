"""How the encoders learn: side by side, each with a fold of the speakers held out from it."""

import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from tqdm.auto import tqdm

from helpers.batches import SpeakerBatches, TrainingConfig, assign_folds, sample_speakers
from helpers.calibration import calibrate
from helpers.checkpoint import Checkpoint
from helpers.features import spectrograms_of
from helpers.files import fingerprint
from helpers.losses import BalancedPairLoss
from helpers.metrics import equal_error
from helpers.models import ScaledCosine, concatenate_encoders, embed_spectrograms, gru_encoder, pair_logits
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
    config : Recipe

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
    """What the encoder is taught by: outputs and their losses, here all pairs of a batch.

    Parameters
    ----------
    embeddings : keras tensor (n, dimensions)
    config : Recipe
    speakers : int
        How many there are, copies included.

    Returns
    -------
    list of keras tensors, list of keras.losses.Loss
    """
    return [pair_logits(embeddings, ScaledCosine())], [BalancedPairLoss()]


class TrainingHooks(NamedTuple):
    """The exchangeable parts of a training; those of the course by default.

    `encoder` (spectrograms) builds an encoder. `objective` (embeddings, recipe, speakers) gives the outputs
    and losses that teach it. `copies` (corpus, speakers, spectrogram, recipe) gives what it is taught from as
    `speed_copies` does: first the utterances themselves; a copy that counts as another speaker's has a
    multiple of the number of speakers added to its own. `augment` (spectrograms, rng) varies the batches of
    an epoch.
    """

    encoder: Any = gru_encoder
    objective: Any = pair_objective
    copies: Any = speed_copies
    augment: Any = None


class Fold(NamedTuple):
    """One encoder in training: the speakers it learns from, in `batches`, and those held out from it; and the
    spectrograms of all utterances."""

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
    config : Recipe
    hooks : Ingredients, optional

    Returns
    -------
    list of Fold
        As many as the recipe has encoders; `held_out` is a bool array (utterances,).
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
            encoder = hooks.encoder(originals[rows[:: -(-len(rows) // STATISTICS)]])
        encoder.name = f"encoder_{number}"
        inputs = keras.Input(encoder.input_shape[1:])
        objective = hooks.objective(encoder(inputs), config, int(known.max()) + 1)
        prepared.append(Fold(encoder, batches, fold == number, originals, inputs, *objective))
    return prepared


def draw_epoch(folds, number, augment=None, batches=BATCHES):
    """An epoch, so many batches at a time: spectrograms, one array a fold, and speakers, one an output.

    As many batches for each fold as the smallest has.
    """
    rows = min(fold.batches.steps for fold in folds) * folds[0].batches.size
    seeds = [[fold.batches.config.seed, number, fold.batches.stream, 1] for fold in folds]
    rngs, drawn = [np.random.default_rng(seed) for seed in seeds], 0
    for parts in zip(*(fold.batches.parts(number, batches) for fold in folds), strict=False):
        left, drawn = rows - drawn, drawn + len(parts[0][1])
        spectrograms = [spectrograms[:left] for spectrograms, _ in parts]
        if augment:
            spectrograms = [augment(each, rng) for each, rng in zip(spectrograms, rngs, strict=True)]
        labels = [
            speakers[:left] for fold, (_, speakers) in zip(folds, parts, strict=True) for _ in fold.outputs
        ]
        yield spectrograms, labels


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
    corpus,
    spectrogram,
    config=None,
    checkpoint_file=None,
    show_progress=False,
    after_epoch=None,
    hooks=None,
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
    config : Recipe, optional
    checkpoint_file : path, optional
        Kept up to date after each epoch; a killed run with the same settings goes on from it, and its
        result equals that of an unbroken run. Removed at the end.
    show_progress : bool
        Show a progress bar.
    after_epoch : callable (history, folds), optional
        Called after each epoch, to draw the curves for one.
    hooks : Ingredients, optional

    Returns
    -------
    verifier : verifier.Verifier
        Its `facts` hold the seconds, the recipe, the corpus, the share of telephone calls in it, and the
        held-out equal error rate.
    history : dict of lists
        `loss` and `val_loss` of each epoch, means over the folds.

    Raises
    ------
    InputError
        When the corpus has too few speakers or utterances for the recipe.
    """
    config, hooks, started = (
        config or TrainingConfig(),
        hooks or TrainingHooks(),
        time.perf_counter(),
    )
    keras.utils.set_random_seed(config.seed)
    speakers = np.unique(corpus.speakers, return_inverse=True)[1]  # small numbers: Keras makes floats of them
    folds = prepare_folds(corpus, speakers, spectrogram, config, hooks)
    spectrograms = folds[0].spectrograms
    batches = [fold.batches for fold in folds]
    model = keras.Model(
        [fold.inputs for fold in folds], [output for fold in folds for output in fold.outputs]
    )
    steps = config.epochs * min(each.steps for each in batches)
    schedule = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
    model.compile(
        keras.optimizers.Adam(schedule, name="adam"), [loss for fold in folds for loss in fold.losses]
    )
    model.optimizer.build(model.trainable_variables)

    design = re.sub(r'_\d+"', '"', model.to_json())  # without the numbers that Keras counts up as it names
    drawn, _ = next(draw_epoch(folds[:1], 0, hooks.augment))
    parts = corpus.waveforms, corpus.speakers, config, spectrogram, keras.backend.backend(), design, *drawn
    progress = Checkpoint(model, checkpoint_file, fingerprint(*parts))
    compared = [compared_utterances(fold.held_out, speakers) for fold in folds]
    unseen = [spectrograms[rows] for rows in compared]
    theirs = [speakers[rows] for rows, fold in zip(compared, folds, strict=True) for _ in fold.outputs]
    model.test_on_batch(unseen, theirs)  # builds the losses: built inside `fit`, TensorFlow traces it twice
    left = range(progress.epoch, config.epochs)
    for number in tqdm(
        left, initial=progress.epoch, total=config.epochs, unit="epoch", disable=not show_progress
    ):
        total, drawn = 0.0, 0
        for inputs, labels in draw_epoch(folds, number, hooks.augment, BATCHES):
            fitted = model.fit(inputs, labels, batch_size=batches[0].size, shuffle=False, verbose=0)
            total, drawn = total + len(labels[0]) * fitted.history["loss"][-1], drawn + len(labels[0])
        # All pairs of a fold at once; folds may differ in size, which `fit` would not take.
        tested = model.test_on_batch(unseen, theirs, return_dict=True)
        losses = {"loss": total / drawn, "val_loss": tested["loss"]}
        now = time.perf_counter()
        progress.record({name: loss / len(folds) for name, loss in losses.items()}, now - started)
        started = now
        if after_epoch:
            after_epoch(progress.history, folds)
            started = time.perf_counter()  # what is drawn or tested there is no training

    encoder = concatenate_encoders([fold.encoder for fold in folds])
    embeddings, held_out = embed_spectrograms(encoder, spectrograms), [fold.held_out for fold in folds]
    plda = PLDA(len(folds), embeddings.shape[1] // len(folds)).fit(embeddings, speakers, held_out)
    scores, labels, *_ = held_out_scores(plda, embeddings, held_out, speakers)
    calibration = calibrate(scores, labels)
    learnt = [variable for fold in folds for variable in fold.encoder.trainable_variables] + plda.weights
    facts = {
        "corpus": corpus.name,
        "backend": keras.backend.backend(),
        "parameters": sum(int(np.prod(variable.shape)) for variable in learnt) + len(calibration),
        "speakers_train": int(speakers.max()) + 1,
        "calls": telephone_share(corpus.waveforms),
        "recipe": asdict(config),
        "held_out_eer": equal_error(scores, labels)[0],
        "train_seconds": progress.seconds + time.perf_counter() - started,
    }
    if checkpoint_file is not None:
        Path(checkpoint_file).unlink(missing_ok=True)
    scale = ScaledCosine(*calibration, name="calibration")
    return Verifier(encoder, plda, scale, spectrogram, 0.0, facts), progress.history
