"""How the encoder learns: batches of speakers, early stopping on held-out ones, runs that survive a kill."""

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
from keras.ops import convert_to_numpy
from tqdm.auto import tqdm

from helpers import InputError, replacing
from helpers.augmentation import at_speed, crop, mask_bins
from helpers.losses import BalancedPairLoss
from helpers.metrics import cosine_scores, equal_error
from helpers.models import ScaledCosine, Verifier, batch_model, gru_encoder
from helpers.pairs import all_trials


@dataclass(frozen=True)
class Recipe:
    """The settings of a training run.

    Parameters
    ----------
    seed : int
        Settles the held-out speakers, first weights, batches and dropout.
    epochs : int
        At most so many; an epoch draws as many utterances as there are.
    patience : int
        Stop after so many epochs without a lower loss on the held-out speakers.
    held_out : int
        Training speakers kept aside for early stopping and for the threshold.
    batch_speakers, batch_utterances : int
        P speakers with K utterances each in a batch.
    learning_rate : float
        Adam's step size at the start; it falls to zero along a cosine.
    shortest_crop : float
        Each epoch's utterances are cut to a random share, between this and 1, of the shortest one's frames.
    widest_mask : float
        Up to this share of neighbouring bins is masked in each utterance.
    speeds : tuple of float
        Copies at other speeds count as other speakers: pitch and vocal tract move with the speed.
    """

    seed: int = 0
    epochs: int = 40
    patience: int = 20
    held_out: int = 10
    batch_speakers: int = 25
    batch_utterances: int = 4
    learning_rate: float = 1e-3
    shortest_crop: float = 0.5
    widest_mask: float = 1 / 6
    speeds: tuple = (0.9, 1.1)

    def __post_init__(self):
        if self.epochs < 1:
            raise InputError(f"epochs is {self.epochs}; expected at least 1")


def hold_out(speakers, count, seed=0):
    """Keep some speakers aside.

    Parameters
    ----------
    speakers : int array (utterances,)
    count, seed : int

    Returns
    -------
    bool array (utterances,)
        True for the utterances of `count` speakers drawn at random.

    Raises
    ------
    InputError
        When fewer than two speakers would be kept aside, or fewer than two would be left.
    """
    names = np.unique(speakers)
    if not 2 <= count <= len(names) - 2:
        raise InputError(
            f"{count} of {len(names)} speakers held out; expected at least 2 held out and 2 to learn from"
        )
    return np.isin(speakers, np.random.default_rng(seed).choice(names, size=count, replace=False))


class SpeakerBatches:
    """Batches of P speakers with K utterances each, cropped and masked at random.

    An epoch is one pair of arrays, drawn ahead: rows 0 to PK - 1 are its first batch, and so on. It follows
    from the seed and its number alone, so that a resumed run sees the same batches. Arrays and not a
    generator, because TensorFlow can wait for ever when it drops a Python generator that reads ahead.

    Parameters
    ----------
    spectrograms : list of float arrays (frames, bins)
    speakers : int array (utterances,)
    recipe : Recipe

    Raises
    ------
    InputError
        When a batch asks for more speakers or utterances than there are.
    """

    def __init__(self, spectrograms, speakers, recipe):
        names, counts = np.unique(speakers, return_counts=True)
        if recipe.batch_speakers > len(names) or recipe.batch_utterances > counts.min():
            raise InputError(
                f"batches of {recipe.batch_speakers} speakers with {recipe.batch_utterances} utterances; "
                f"expected at most {len(names)} speakers with {counts.min()} each"
            )
        self.spectrograms, self.speakers, self.recipe = spectrograms, speakers, recipe
        self.names, self.rows = names, [np.flatnonzero(speakers == name) for name in names]
        self.shortest = min(len(spectrogram) for spectrogram in spectrograms)
        self.size = recipe.batch_speakers * recipe.batch_utterances
        self.steps = max(1, round(len(speakers) / self.size))

    def rows_of_batch(self, rng):
        """Row numbers of one batch, speaker by speaker."""
        chosen = rng.choice(len(self.names), self.recipe.batch_speakers, replace=False)
        return [rng.choice(self.rows[i], self.recipe.batch_utterances, replace=False) for i in chosen]

    def epoch(self, number):
        """The spectrograms and speakers of an epoch.

        Parameters
        ----------
        number : int

        Returns
        -------
        float32 array (steps * P * K, frames, bins), int array (steps * P * K,)
            All of one length, drawn anew in each epoch.
        """
        recipe, rng = self.recipe, np.random.default_rng([self.recipe.seed, number])
        rows = np.concatenate([self.rows_of_batch(rng) for _ in range(self.steps)]).ravel()
        share = rng.choice(np.linspace(recipe.shortest_crop, 1, 5))  # few lengths: each is compiled once
        frames = max(1, round(share * self.shortest))
        crops = np.stack([crop(self.spectrograms[row], frames, rng) for row in rows])
        for spectrogram in crops:
            mask_bins(spectrogram, recipe.widest_mask, rng)
        return crops, self.speakers[rows]


class Progress:
    """Early stopping whose whole state is on disk after each epoch, so that a killed run goes on exactly.

    Parameters
    ----------
    model : keras.Model
        Compiled, its optimizer built.
    recipe : Recipe
    path : path, optional
        Where the state is kept, if anywhere.
    run : str
        Fingerprint of the run: the state of another run is not taken up.
    """

    def __init__(self, model, recipe, path=None, run=""):
        self.model, self.recipe, self.path, self.run = model, recipe, path and Path(path), run
        self.history, self.best, self.seconds = {"loss": [], "val_loss": []}, None, 0.0
        self.state = model.variables + model.optimizer.variables  # weights, dropout's seeds, Adam's moments
        if self.path is not None and self.path.exists():
            self._resume()

    @property
    def epoch(self):
        """Epochs done."""
        return len(self.history["loss"])

    @property
    def best_epoch(self):
        """Index of the epoch with the lowest loss on the held-out speakers."""
        return int(np.argmin(np.nan_to_num(self.history["val_loss"], nan=np.inf)))

    @property
    def finished(self):
        """Whether all epochs are done, or the last `patience` brought nothing."""
        waited = self.epoch - 1 - self.best_epoch if self.epoch else 0
        return self.epoch >= self.recipe.epochs or waited >= self.recipe.patience

    def record(self, losses, seconds):
        """Take down an epoch's losses, its weights when they are the best, and save the state.

        `seconds` is the time since the last record; `self.seconds` the time of all, earlier runs' included.
        """
        self.seconds += seconds
        for name, values in self.history.items():
            values.append(float(losses[name][-1]))
        if self.best_epoch == self.epoch - 1:
            self.best = [np.array(convert_to_numpy(variable)) for variable in self.model.variables]
        if self.path is not None:
            self._save()

    def restore_best(self):
        """Give the model the weights of its best epoch."""
        for variable, value in zip(self.model.variables, self.best, strict=True):
            variable.assign(value)

    def _save(self):
        arrays = {f"now_{i}": convert_to_numpy(variable) for i, variable in enumerate(self.state)}
        arrays |= {f"best_{i}": value for i, value in enumerate(self.best)}
        kept = json.dumps({"run": self.run, "history": self.history, "seconds": self.seconds})
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, kept=kept, **arrays)

    def _resume(self):
        try:
            with np.load(self.path) as saved:
                kept = json.loads(str(saved["kept"]))
                same, history, seconds = kept["run"] == self.run, kept["history"], kept["seconds"]
                now = [saved[f"now_{i}"] for i in range(len(self.state))]
                best = [saved[f"best_{i}"] for i in range(len(self.model.variables))]
        except Exception:  # a state that cannot be read is none: the run starts from its beginning
            return
        if same:
            self.history, self.best, self.seconds = history, best, seconds
            for variable, value in zip(self.state, now, strict=True):
                variable.assign(value)


def settle_graphs(model, batches):
    """Train on two lengths and forget it, so that every epoch of a run meets the same compiled graphs.

    TensorFlow compiles the first length that it sees for itself and from the second on one graph for all, and
    the two round differently: without this, a resumed run parts from an unbroken one in the seventh digit.
    """
    variables = model.variables + model.optimizer.variables
    before = [np.array(convert_to_numpy(variable)) for variable in variables]
    speakers, bins = np.arange(batches.size), batches.spectrograms[0].shape[1]
    for frames in (batches.shortest + 1, batches.shortest + 2):  # longer than any crop
        silence = np.zeros((batches.size, frames, bins), np.float32)
        model.fit(silence, speakers, batch_size=batches.size, shuffle=False, verbose=0)
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)


def fingerprint(*parts):
    """A short hash of arrays and settings, the same for the same content."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.shape} {part.dtype}".encode() + part.tobytes())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()[:16]


def train(corpus, spectrogram, recipe=None, progress_file=None, watched=False, after_epoch=None):
    """Train a Siamese GRU on a corpus.

    Speakers are held out for early stopping and for the threshold (their equal error point); the others,
    and their copies at other speeds, fill the batches.

    Parameters
    ----------
    corpus : corpora.Corpus
        Training speakers only.
    spectrogram : features.Spectrogram
    recipe : Recipe, optional
    progress_file : path, optional
        Kept up to date after each epoch; a killed run with the same settings goes on from it, and its
        result equals that of an unbroken run. Removed at the end.
    watched : bool
        Show a progress bar.
    after_epoch : callable (history), optional
        Called after each epoch, to draw the curves for one.

    Returns
    -------
    verifier : models.Verifier
        Its `facts` hold the seconds, the recipe, the corpus and the held-out equal error rate.
    history : dict of lists
        `loss` and `val_loss` of each epoch.

    Raises
    ------
    InputError
        When the corpus has too few speakers or utterances for the recipe.
    """
    recipe, started = recipe or Recipe(), time.perf_counter()
    keras.utils.set_random_seed(recipe.seed)
    aside = hold_out(corpus.speakers, recipe.held_out, recipe.seed)
    speakers = np.unique(corpus.speakers, return_inverse=True)[1]  # small numbers: Keras makes floats of them
    unseen, held_out = spectrogram(corpus.waveforms[aside]), speakers[aside]
    batches, encoder = prepare(corpus.waveforms[~aside], speakers[~aside], spectrogram, recipe)
    scale = ScaledCosine(name="scale")
    model = batch_model(encoder, scale)
    schedule = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, recipe.epochs * batches.steps)
    model.compile(keras.optimizers.Adam(schedule, name="adam"), BalancedPairLoss())
    model.optimizer.build(model.trainable_variables)

    settle_graphs(model, batches)
    parts = corpus.waveforms, corpus.speakers, recipe, spectrogram, keras.backend.backend(), model.to_json()
    progress = Progress(model, recipe, progress_file, fingerprint(*parts))
    left = range(progress.epoch, recipe.epochs)
    for number in tqdm(left, initial=progress.epoch, total=recipe.epochs, unit="epoch", disable=not watched):
        if progress.finished:
            break
        inputs, labels = batches.epoch(number)
        losses = model.fit(
            inputs,
            labels,
            batch_size=batches.size,
            shuffle=False,
            validation_data=(unseen, held_out),
            validation_batch_size=len(held_out),  # the loss is of all pairs at once
            verbose=0,
        )
        now = time.perf_counter()
        progress.record(losses.history, now - started)
        started = now
        if after_epoch:
            after_epoch(progress.history)
    progress.restore_best()

    trials = all_trials(held_out)
    scores = cosine_scores(encoder.predict(unseen, batch_size=256, verbose=0))[trials.left, trials.right]
    error, threshold = equal_error(scores, trials.label)
    facts = {
        "corpus": corpus.name,
        "backend": keras.backend.backend(),
        "parameters": sum(int(np.prod(variable.shape)) for variable in model.trainable_variables),
        "speakers_train": len(np.unique(corpus.speakers)),
        "recipe": asdict(recipe),
        "epoch": progress.best_epoch + 1,
        "held_out_eer": error,
        "train_seconds": progress.seconds + time.perf_counter() - started,
    }
    if progress_file is not None:
        Path(progress_file).unlink(missing_ok=True)
    return Verifier(encoder, scale, spectrogram, threshold, facts), progress.history


def prepare(waveforms, speakers, spectrogram, recipe):
    """The batches and the untrained encoder for some training utterances.

    Parameters
    ----------
    waveforms : float array (utterances, samples)
    speakers : int array (utterances,)
    spectrogram : features.Spectrogram
    recipe : Recipe

    Returns
    -------
    batches : SpeakerBatches
        Over the utterances and their copies at the recipe's other speeds, which count as new speakers.
    encoder : keras.Model
    """
    copies = [spectrogram(waveforms)] + [spectrogram(at_speed(waveforms, speed)) for speed in recipe.speeds]
    labels = np.concatenate([speakers + i * (speakers.max() + 1) for i in range(len(copies))])
    spectrograms = [utterance for copy in copies for utterance in copy]
    return SpeakerBatches(spectrograms, labels, recipe), gru_encoder(copies[0])
