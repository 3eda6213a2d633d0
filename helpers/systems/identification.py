"""Closed-set identification: a CNN learns to name speakers by a softmax, and scores whole utterances."""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers
from sklearn.metrics import confusion_matrix

from helpers import InputError
from helpers.augmentation import at_speed, random_crops
from helpers.checkpoint import adam, fit_epochs, load_saved, open_checkpoint
from helpers.features import Spectrogram
from helpers.models import count_parameters, registered
from helpers.systems.cnn import cnn_encoder
from helpers.systems.windows import unit_length, window_means
from helpers.verifier import SavedSystem

FILTER_BANKS = Spectrogram(n_fft=512, hop_length=256, mel_bands=40)  # 32 ms every 16 ms
JIT = keras.backend.backend() == "jax"  # elsewhere, compiling so short a training costs more than it saves


@dataclass(frozen=True)
class IdentificationConfig:
    """How a network learns to identify.

    Parameters
    ----------
    pooling, width
        As for `cnn.cnn_encoder`.
    epochs : int
        In each, every utterance and every copy is seen once, in a new crop.
    seed : int
        Settles first weights, crops, masks and dropout.
    window : float
        Seconds that the network sees at a time, at most 0.8 of the median utterance.
    speeds : tuple of float
        Copies at other speeds count as other speakers.
    widest_mask : float
        Up to this share of neighbouring bands is masked in each crop.
    batch : int
    learning_rate : float
        Adam's step size at the start; it falls to zero along a cosine.
    """

    pooling: str = "attention"
    width: int = 8
    epochs: int = 12
    seed: int = 0
    window: float = 2.0
    speeds: tuple = (0.8, 0.9, 1.1, 1.2)
    widest_mask: float = 0.2
    batch: int = 16
    learning_rate: float = 1e-2

    def __post_init__(self):
        if self.epochs < 1:
            raise InputError(f"is {self.epochs}", file="epochs", expected="at least 1")

    def frames(self, spectrograms):
        """Frames of a window, for spectrograms (their frames, bands) to learn from."""
        asked = self.window * FILTER_BANKS.sample_rate / FILTER_BANKS.hop_length
        return max(8, int(min(asked, 0.8 * np.median([len(each) for each in spectrograms]))))


def split_utterances(speakers, kept, seed=0):
    """Which utterances the network learns from, so many of each speaker; the others test it.

    Parameters
    ----------
    speakers : int array (utterances,)
    kept, seed : int

    Returns
    -------
    bool array (utterances,)

    Raises
    ------
    InputError
        When a speaker would have none to learn from, or none to be tested with.
    """
    names, counts = np.unique(speakers, return_counts=True)
    if not 1 <= kept < counts.min():
        found = f"{kept} utterances of each speaker to learn from, and a speaker has {counts.min()}"
        raise InputError(found, expected="at least one to learn from and one more to be tested with")
    rng, mask = np.random.default_rng(seed), np.zeros(len(speakers), dtype=bool)
    for name in names:
        mask[rng.choice(np.flatnonzero(speakers == name), kept, replace=False)] = True
    return mask


def sliding_windows(spectrogram, frames):
    """Windows that cover a spectrogram evenly, half over one another: array (windows, frames, bins).

    A spectrogram (its frames, bins) that is shorter than a window is repeated.
    """
    spectrogram = np.tile(spectrogram, (math.ceil(frames / len(spectrogram)), 1))
    count = 1 + int(np.ceil(2 * (len(spectrogram) - frames) / frames))
    starts = np.linspace(0, len(spectrogram) - frames, count).round().astype(int)
    return np.stack([spectrogram[start : start + frames] for start in starts])


def top_k(logits, speakers, k=1):
    """Whether each utterance's speaker is among the k best: bool array (n,) of logits (n, classes).

    A tie counts against the network: of equal logits the speaker's own, `speakers` (n,), comes last. What is
    not a number finds no one.
    """
    own = logits[np.arange(len(logits)), speakers]
    rank = np.sum(logits >= own[:, None], axis=1)
    return (rank >= 1) & (rank <= k)


def confusions(logits, speakers):
    """How often each speaker (row) was taken for each (column): int array (classes, classes)."""
    return confusion_matrix(speakers, logits.argmax(axis=1), labels=range(logits.shape[1]))


@registered
class Identifier(SavedSystem):
    """A network that names speakers, with everything that its use needs, saved in one file.

    Parameters
    ----------
    network : keras.Model
        Spectrograms to embeddings of length 1, and to logits.
    spectrogram : features.Spectrogram
        The transform it was trained with.
    frames : int
        Of a window.
    names : list
        The speakers that it knows, in the order of its first logits.
    facts : dict, optional
        How it was trained, as JSON values.
    """

    PARTS, SETTINGS = ("network",), ("frames", "names", "facts")

    def __init__(self, network, spectrogram, frames, names, facts=None, **kwargs):
        super().__init__(**kwargs)
        self.network, self.spectrogram, self.frames = network, spectrogram, int(frames)
        self.names, self.facts = list(names), dict(facts or {})
        self.built = True  # its parts are

    def call(self, spectrograms):
        return self.network(spectrograms)

    def predict_utterances(self, waveforms):
        """Embeddings and logits of waveforms (samples,): the means over the windows of each.

        Returns
        -------
        embeddings : float array (utterances, dimensions)
            Of length 1.
        logits : float array (utterances, speakers)
            Those of copies at other speeds are left out.
        """
        windows = [sliding_windows(self.spectrogram(waveform)[0], self.frames) for waveform in waveforms]
        embeddings, logits = window_means(self.network, windows, 64)
        return unit_length(embeddings), logits[:, : len(self.names)]


def load_identifier(path):
    """Load what `save_system` wrote; InputError when it is missing, damaged or something else."""
    again = "notebook 09 makes it: python -m helpers.batch --notebooks 09 --out OUT"
    missing = f"{Path(path).name} does not exist; {again}"
    return load_saved(path, Identifier, f"an Identifier; {again}", missing, again)


def speed_copies(waveforms, speakers, speeds):
    """Spectrograms of waveforms and of their copies at other speeds, and the class of each.

    Parameters
    ----------
    waveforms : list of float arrays (samples,)
    speakers : int array (utterances,)
    speeds : sequence of float

    Returns
    -------
    spectrograms : list of float arrays (frames, bands)
        First those of the waveforms themselves.
    classes : int array
        The speakers, numbered from 0; a copy counts as another speaker.
    """
    names, numbers = np.unique(speakers, return_inverse=True)
    copies = [FILTER_BANKS(at_speed(each, speed))[0] for speed in (1, *speeds) for each in waveforms]
    return copies, np.concatenate([numbers + i * len(names) for i in range(1 + len(speeds))])


def train_identifier(waveforms, speakers, config, show_progress=False):
    """Train a network to identify, as notebook 09 does.

    Parameters
    ----------
    waveforms : list of float arrays (samples,)
    speakers : int array (utterances,)
        Any numbers; the identifier keeps them as the names of its speakers.
    config : IdentificationConfig
    show_progress : bool

    Returns
    -------
    identifier : Identifier
        Its `facts` hold the config, the seconds, the number of weights and of speakers.
    losses : list of float
        The mean loss of each epoch.
    """
    started = time.perf_counter()
    keras.utils.set_random_seed(config.seed)
    spectrograms, classes = speed_copies(waveforms, speakers, config.speeds)
    originals = spectrograms[: len(waveforms)]
    encoder, frames = cnn_encoder(originals, config.width, config.pooling), config.frames(originals)
    logits = layers.Dense(int(classes.max()) + 1, name="logits")(encoder.get_layer("projection").output)
    classifier = keras.Model(encoder.input, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = adam(config.learning_rate, config.epochs * math.ceil(len(classes) / config.batch))
    classifier.compile(optimizer, loss, jit_compile=JIT)
    rng = np.random.default_rng(config.seed)

    def draw(number):
        order = rng.permutation(len(classes))
        crops = random_crops([spectrograms[i] for i in order], frames, config.widest_mask, rng)
        return [(crops, classes[order])]

    parts = [*waveforms, classes, config, FILTER_BANKS]
    state = open_checkpoint(classifier, config.epochs, parts, __name__, history={"loss": []})
    fit_epochs(classifier, state, draw, config.batch, config.epochs, started, bar=show_progress)
    network = keras.Model(encoder.input, [encoder.output, logits], name=encoder.name)
    identifier = assemble(network, frames, speakers, config, state.seconds)
    return identifier, state.history["loss"]


def assemble(network, frames, speakers, config, seconds):
    """A trained network as an `Identifier` with its facts; arguments as in `train_identifier`."""
    names = np.unique(speakers).tolist()
    facts = {"plan": asdict(config), "train_seconds": seconds}
    facts |= {"parameters": count_parameters(network), "speakers_train": len(names)}
    return Identifier(network, FILTER_BANKS, frames, names, facts)
