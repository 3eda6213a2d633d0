"""Training: encoders that learn from all pairs of a batch, a PLDA, and the calibration of their scores."""

import math
import time
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np

from helpers.batches import SpeakerBatches, TrainingConfig, assign_folds, sample_speakers
from helpers.checkpoint import adam, fit_epochs, open_checkpoint
from helpers.data.stored_features import speed_copies
from helpers.ensemble.members import MEMBERS
from helpers.losses import BalancedPairLoss
from helpers.models import AllPairs, ScaledCosine, concatenate_encoders, embed_spectrograms, gru_encoder
from helpers.pairs import all_trials
from helpers.plda import PLDA
from helpers.verifier import assemble

# What keeps memory flat, however large a corpus; the course's own is below all three.
BATCHES = 32  # of an epoch that are in memory at a time
STATISTICS = 4096  # utterances that settle an encoder's mean and variance
COMPARED = 1000  # utterances of a fold that are compared all with all


def pair_objective(embeddings, config, speakers):
    """The course's `objective` of `TrainingHooks`: all pairs of a batch and their balanced loss."""
    return [ScaledCosine()(AllPairs()(embeddings))], [BalancedPairLoss()]


class TrainingHooks(NamedTuple):
    """The exchangeable parts of a training; those of notebook 04 by default.

    Each of `encoders` (spectrograms) builds an encoder; all learn from the same batches, each by itself. Each
    of `fitted` (list of spectrograms, speakers) gives an encoder that is fitted, not trained. Embeddings are
    compared by their cosine, or with `plda` by a PLDA for each encoder. `objective` (embeddings
    (n, dimensions), config, number of speakers, copies included) gives a list of outputs and one of the
    losses that teach them. `copies` (corpus, speakers, spectrogram, config) gives what is learnt from as
    `speed_copies` does: first the utterances themselves; a copy that counts as another speaker's has a
    multiple of the number of speakers added to its own. `augment` (spectrograms, rng) varies the batches.
    """

    encoders: Any = (gru_encoder,)
    fitted: Any = ()
    plda: bool = False
    objective: Any = pair_objective
    copies: Any = speed_copies
    augment: Any = None


class Learning(NamedTuple):
    """Encoders in training, with their batches, and the parts of the model that trains them."""

    encoders: list
    batches: SpeakerBatches
    inputs: Any
    outputs: list
    losses: list


def rows_of(learners, labels):
    """Rows of the utterances of learners, a bool array (utterances,), and of their copies, in `labels`."""
    speakers = labels[: len(learners)]
    return np.flatnonzero(np.isin(labels % (speakers.max() + 1), speakers[learners]))


def prepare(copies, labels, learners, config, hooks=None, stream=0):
    """Untrained encoders and their batches: a `Learning`.

    Parameters
    ----------
    copies, labels : list of float arrays (utterances, frames, bins), int array
        As `speed_copies` gives them.
    learners : bool array (utterances,)
        Which utterances are learnt from.
    config : batches.TrainingConfig
    hooks : TrainingHooks, optional
    stream : int
        Trainings of one seed and different streams have other first weights and batches.
    """
    hooks = hooks or TrainingHooks()
    spectrograms = [utterance for copy in copies for utterance in copy]
    kept, rows = rows_of(learners, labels), np.flatnonzero(learners)
    known = np.unique(labels[kept], return_inverse=True)[1]  # small numbers: Keras makes floats of them
    batches = SpeakerBatches([spectrograms[i] for i in kept], known, config, stream)
    keras.utils.set_random_seed((config.seed + 1_000_003 * stream) % 2**32)
    encoders, outputs, losses = [], [], []
    inputs = keras.Input((None, copies[0].shape[-1]), name="spectrogram")
    for number, build in enumerate(hooks.encoders):
        with keras.name_scope(f"encoder_{number}"):  # PyTorch's gradients need weights of different names
            encoders.append(build(copies[0][rows[:: math.ceil(len(rows) / STATISTICS)]]))
        encoders[-1].name = f"encoder_{number}"
        own = hooks.objective(encoders[-1](inputs), config, int(known.max()) + 1)
        outputs, losses = outputs + own[0], losses + own[1]
    return Learning(encoders, batches, inputs, outputs, losses)


def draw_epoch(learning, number, augment=None, batches=BATCHES):
    """An epoch, `BATCHES` batches at a time: spectrograms, and the speakers for each output."""
    own = learning.batches
    rng = np.random.default_rng([own.config.seed, number, own.stream, 1])
    for spectrograms, speakers in own.parts(number, batches):
        spectrograms = augment(spectrograms, rng) if augment else spectrograms
        yield spectrograms, [speakers] * len(learning.outputs)


def compared_utterances(held_out, speakers):
    """The part of a bool array (utterances,) of held-out speakers that is compared, all pairs."""
    rows = np.flatnonzero(held_out)
    return np.isin(np.arange(len(speakers)), rows[sample_speakers(speakers[rows], COMPARED)])


def fit_encoders(
    copies,
    labels,
    learners,
    config,
    hooks=None,
    stream=0,
    about=(),
    checkpoint_file=None,
    show_progress=False,
    after_epoch=None,
):
    """Train encoders side by side, on the same batches.

    Parameters
    ----------
    copies, labels, learners, config, hooks, stream
        As for `prepare`.
    about : sequence of arrays and settings
        What else distinguishes this training from another in its checkpoint.
    checkpoint_file, show_progress, after_epoch
        As for `train`.

    Returns
    -------
    encoders : list of keras.Model
    state : checkpoint.Checkpoint
        Its `history` has the `loss` and the `val_loss` of each epoch, means over the outputs; the latter of
        the utterances that are not learnt from, NaN where there are none. Its `seconds` are all of training.
    """
    started, hooks = time.perf_counter(), hooks or TrainingHooks()
    learning = prepare(copies, labels, learners, config, hooks, stream)
    model, batches = keras.Model(learning.inputs, learning.outputs), learning.batches
    model.compile(adam(config.learning_rate, config.epochs * batches.steps), learning.losses)

    path = checkpoint_file and f"{checkpoint_file}.{stream}.npz"
    drawn, _ = next(draw_epoch(learning, 0, hooks.augment))
    parts = *about, labels, learners, config, stream, drawn
    known = set(hooks.encoders) <= {gru_encoder, *MEMBERS.values()} and not after_epoch  # no code of others
    module = __name__ if known and hooks[3:] == TrainingHooks()[3:] else None
    state = open_checkpoint(model, config.epochs, parts, module, path)
    speakers, count = labels[: len(learners)], len(learning.outputs)
    tested = compared_utterances(learners if learners.all() else ~learners, speakers)
    unseen = copies[0][tested], [speakers[tested]] * count
    model.test_on_batch(*unseen)  # builds the losses: built inside `fit`, TensorFlow traces it twice

    def measure(loss):
        # All pairs of the held-out speakers at once.
        lost = math.nan if learners.all() else model.test_on_batch(*unseen, return_dict=True)["loss"]
        return {"loss": loss / count, "val_loss": lost / count}

    draw = partial(draw_epoch, learning, augment=hooks.augment, batches=BATCHES)
    look = after_epoch and (lambda history: after_epoch(history, learning.encoders))
    fit_epochs(model, state, draw, batches.size, config.epochs, started, measure, look, show_progress)
    return learning.encoders, state


def fit_back_end(encoders, copies, labels, learners, hooks):
    """Encoders trained and fitted as one, and the PLDA of its embeddings, fitted to what it has learnt from.

    Returns
    -------
    encoder : keras.Model
    plda : plda.PLDA
    embeddings : float array (utterances, dimensions)
        Of all utterances, copies left out.
    """
    rows, first, learnt = rows_of(learners, labels), 0, []
    for copy in copies:  # lists of views: a large corpus is not in memory
        learnt.append([copy[row - first] for row in rows if first <= row < first + len(copy)])
        first += len(copy)
    together = [*encoders, *(fit(learnt, labels[rows]) for fit in hooks.fitted)]
    for number, each in enumerate(together):
        each.name = f"encoder_{number}"
    encoder = concatenate_encoders(together)
    embeddings = embed_spectrograms(encoder, copies[0])
    plda = PLDA(len(together), embeddings.shape[1] // len(together))
    if hooks.plda:
        plda.fit(embeddings[learners], labels[: len(learners)][learners])
    return encoder, plda, embeddings


def held_out_scores(plda, embeddings, held_out, speakers):
    """Scores of all trials between utterances that were not learnt from, by each encoder's part of a PLDA.

    Parameters
    ----------
    plda : plda.PLDA
    embeddings : float array (utterances, encoders * dimensions)
    held_out : bool array (utterances,)
    speakers : int array (utterances,)

    Returns
    -------
    scores : float array (trials, encoders)
        In the order of `pairs.all_trials`, of as many speakers as have 1,000 utterances: the trials grow with
        their square.
    speakers : int array (utterances,)
        Of those speakers' utterances.
    """
    apart = compared_utterances(held_out, speakers)
    trials = all_trials(speakers[apart])
    scores = [plda.scores(embeddings[apart], encoder=number) for number in range(plda.encoders)]
    return np.stack([each[trials.left, trials.right] for each in scores], axis=1), speakers[apart]


def train(corpus, spectrogram, config=None, hooks=None, judged=None, **options):
    """Train a verifier on a corpus: by default one Siamese GRU, as notebook 04 builds it.

    First the encoders learn from all folds of the speakers but one, a training for each of
    `config.held_out_folds`. The scores of these held-out speakers give the weights of the encoders and the
    calibration: one logistic regression on the very scores that are added up. Then encoders of the same kind
    learn from all speakers, and are kept.

    Parameters
    ----------
    corpus : corpora.Corpus
        Training speakers only.
    spectrogram : features.Spectrogram
    config : batches.TrainingConfig, optional
    hooks : TrainingHooks, optional
    judged : bool array (utterances,), optional
        All utterances of the speakers that are dealt into folds; the others are always learnt from.
    checkpoint_file : path, optional
        Where files are kept after each epoch that begin like it; a killed run with the same settings goes on
        from them, and its result equals that of an unbroken run. They are removed at the end.
    show_progress : bool
    after_epoch : callable (history, encoders), optional
        Called after each epoch of each training, to draw the curves for one.

    Returns
    -------
    verifier : verifier.Verifier
        Its `facts` hold the config, the corpus, the share of telephone calls in it, the weights, the equal
        error rate of the held-out speakers, and the seconds: of all, and of the last training alone.
    history : dict of lists
        `loss` and `val_loss` of each epoch of the first training.

    Raises
    ------
    InputError
        When the corpus has too few speakers or utterances for the config.
    """
    started, config, hooks = time.perf_counter(), config or TrainingConfig(), hooks or TrainingHooks()
    speakers = np.unique(corpus.speakers, return_inverse=True)[1]
    copies, labels = hooks.copies(corpus, speakers, spectrogram, config)
    judged = np.ones(len(speakers), dtype=bool) if judged is None else judged
    fold = np.full(len(speakers), -1)
    fold[judged] = assign_folds(speakers[judged], config.folds, config.seed)
    about = corpus.waveforms, spectrogram
    seconds, scored, states = [time.perf_counter() - started], [], []
    for stream in range(config.held_out_folds + 1):
        held_out = (fold == stream) & (stream < config.held_out_folds)  # at last nobody
        encoders, state = fit_encoders(copies, labels, ~held_out, config, hooks, stream, about, **options)
        started = time.perf_counter()
        encoder, plda, embeddings = fit_back_end(encoders, copies, labels, ~held_out, hooks)
        if held_out.any():
            scored.append(held_out_scores(plda, embeddings, held_out, speakers))
        states.append(state)
        seconds.append(state.seconds + time.perf_counter() - started)
    for state in states:
        if state.path and state.last is None:  # in the checkpoint file's place, and no cache
            state.path.unlink(missing_ok=True)
    verifier = assemble(corpus, spectrogram, config, encoder, plda, scored, seconds)
    return verifier, states[0].history
