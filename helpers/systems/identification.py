"""Closed-set identification: training with a softmax or margin head, scoring over windows."""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops
from sklearn.metrics import confusion_matrix

from helpers import InputError
from helpers.augmentation import at_speed, random_crops
from helpers.checkpoint import adam, fit_epochs, load_saved, open_checkpoint
from helpers.features import Spectrogram
from helpers.models import count_parameters, registered
from helpers.systems.windows import unit_length, window_means
from helpers.systems.cnn import cnn_encoder
from helpers.verifier import SavedSystem

FILTER_BANKS = Spectrogram(n_fft=512, hop_length=256, mel_bands=40)  # 32 ms every 16 ms
HEADS = ("softmax", "margin")


@dataclass(frozen=True)
class IdentificationConfig:
    """How a network learns to identify.

    Parameters
    ----------
    network, pooling, width
        As for `cnn.cnn_encoder`.
    head : {"margin", "softmax"}
        Cosines with a direction for each speaker and additive-margin softmax, or a linear layer and softmax.
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

    network: str = "resnet18"
    pooling: str = "attention"
    head: str = "margin"
    width: int = 8
    epochs: int = 12
    seed: int = 0
    window: float = 2.0
    speeds: tuple = (0.9, 1.1)
    widest_mask: float = 0.2
    batch: int = 16
    learning_rate: float = 1e-2

    def __post_init__(self):
        if self.head not in HEADS:
            raise InputError(f"is {self.head!r}", file="head", expected=f"one of {', '.join(HEADS)}")
        if self.epochs < 1:
            raise InputError(f"is {self.epochs}", file="epochs", expected="at least 1")


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
    """Share of utterances whose speaker is among the k best: logits (n, classes), speakers (n,).

    Of equal logits the speaker's own comes last, and what is not a number finds no one: a network that has
    the same to say of everybody is not right by chance.
    """
    own = logits[np.arange(len(logits)), speakers]
    rank = np.sum(logits >= own[:, None], axis=1)
    return float(np.mean((rank >= 1) & (rank <= k)))


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
        The speakers whom it knows, as its first logits count them.
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
            For the softmax head, the mean over windows is a product of probabilities; for the margin, a mean
            cosine.
        """
        windows = [sliding_windows(self.spectrogram(waveform)[0], self.frames) for waveform in waveforms]
        embeddings, logits = window_means(self.network, windows, 64)
        return unit_length(embeddings), logits[:, : len(self.names)]

    def attention(self, spectrogram):
        """Where the network looks in a spectrogram (its frames, bins): weights (frames / 8, heads)."""
        inside = keras.Model(self.network.input, self.network.get_layer("frames").output)
        frames = inside.predict(spectrogram[None], verbose=0)
        weights = self.network.get_layer("pooling").attention(ops.convert_to_tensor(frames))
        return ops.convert_to_numpy(weights)[0]


def load_identifier(path):
    """Load what `save_system` wrote; InputError when it is missing, damaged or something else."""
    again = "notebook 09 makes it: python -m helpers.batch --notebooks 09 --out OUT"
    missing = f"{Path(path).name} does not exist; {again}"
    return load_saved(path, Identifier, f"an Identifier; {again}", missing, again)


def add_head(encoder, head, classes):
    """The encoder with a head: a model to embeddings and logits, and the loss of the logits."""
    if head == "margin":
        logits = ClassCosines(classes, name="cosines")(encoder.output)
        loss = AdditiveMarginLoss()
    else:  # before the length is taken out, which leaves a softmax no room
        logits = layers.Dense(classes, name="logits")(encoder.get_layer("projection").output)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return keras.Model(encoder.input, [encoder.output, logits], name=encoder.name), loss


def train_identifier(waveforms, speakers, config, show_progress=False, after_epoch=None):
    """Train a network to identify, from the spectrograms of `FILTER_BANKS`.

    Parameters
    ----------
    waveforms : list of float arrays (samples,)
    speakers : int array (utterances,)
        Any numbers; the identifier keeps them as the names of its speakers.
    config : IdentificationConfig
    show_progress : bool
    after_epoch : callable (losses), optional
        Called after each epoch, to draw them for one.

    Returns
    -------
    identifier : Identifier
        Its `facts` hold the config, the seconds, the number of weights and of speakers.
    losses : list of float
        The mean loss of each epoch, the attention's penalty included.
    """
    started = time.perf_counter()
    keras.utils.set_random_seed(config.seed)
    names, numbers = np.unique(speakers, return_inverse=True)
    speeds = (1, *config.speeds)
    spectrograms = [FILTER_BANKS(at_speed(each, speed))[0] for speed in speeds for each in waveforms]
    labels = np.concatenate([numbers + i * len(names) for i in range(len(speeds))])
    originals = spectrograms[: len(numbers)]
    most = 0.8 * np.median([len(each) for each in originals])
    frames = max(8, int(min(config.window * FILTER_BANKS.sample_rate / FILTER_BANKS.hop_length, most)))

    encoder = cnn_encoder(originals, config.network, config.pooling, config.width)
    network, loss = add_head(encoder, config.head, len(names) * len(speeds))
    model = keras.Model(network.input, network.outputs[1])
    steps = config.epochs * math.ceil(len(labels) / config.batch)
    needed = keras.backend.backend() == "jax"  # elsewhere, compiling costs more than it saves
    model.compile(adam(config.learning_rate, steps), loss, jit_compile=needed)
    rng = np.random.default_rng(config.seed)

    def draw(number):
        order = rng.permutation(len(labels))
        crops = random_crops([spectrograms[i] for i in order], frames, config.widest_mask, rng)
        return [(crops, labels[order])]

    parts = [*waveforms, labels, config, FILTER_BANKS]
    module = None if after_epoch else __name__  # which may be looked at elsewhere
    state = open_checkpoint(model, config.epochs, parts, module, history={"loss": []})
    look = after_epoch and (lambda history: after_epoch(history["loss"]))
    fit_epochs(model, state, draw, config.batch, config.epochs, started, None, look, show_progress)
    facts = {"plan": asdict(config), "train_seconds": state.seconds}
    facts |= {"parameters": count_parameters(network), "speakers_train": len(names)}
    return Identifier(network, FILTER_BANKS, frames, names.tolist(), facts), state.history["loss"]


@registered
class ClassCosines(layers.Layer):
    """Cosines of embeddings `(n, d)` with one learnt direction for each training speaker: `(n, classes)`."""

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes

    def build(self, shape):
        self.directions = self.add_weight(shape=(shape[-1], self.classes), name="directions")

    def call(self, embeddings):
        return ops.matmul(embeddings, ops.normalize(self.directions, axis=0))


class AdditiveMarginLoss(keras.losses.Loss):
    """Softmax over classes whose own cosine is lowered by a margin.

    Wang et al. (2018), "Additive margin softmax for face verification", equation 6.
    """

    def __init__(self, margin=0.2, scale=30.0, name="additive_margin", **kwargs):
        super().__init__(name=name, reduction=None, **kwargs)
        self.margin, self.scale = margin, scale

    def call(self, speakers, cosines):
        own = ops.one_hot(ops.cast(ops.reshape(speakers, (-1,)), "int32"), cosines.shape[-1])
        logits = self.scale * (cosines - self.margin * own)
        return ops.mean(ops.logsumexp(logits, axis=1) - ops.sum(own * logits, axis=1))
