"""Who of the known speakers is it? Training to identify, scoring over windows, and what that is worth."""

import time
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops
from tqdm.auto import tqdm

from helpers import InputError, first_line
from helpers.augmentation import at_speed, mask_bins
from helpers.features import Spectrogram
from helpers.files import atomic_write
from helpers.models import registered
from helpers.systems.cnn import cnn_encoder

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
            raise InputError(f"head is {self.head!r}; expected one of {', '.join(HEADS)}")
        if self.epochs < 1:
            raise InputError(f"epochs is {self.epochs}; expected at least 1")


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
        raise InputError(
            f"{kept} utterances of each speaker to learn from, and a speaker has {counts.min()}; expected at "
            "least one to learn from and one more to be tested with"
        )
    rng, mask = np.random.default_rng(seed), np.zeros(len(speakers), dtype=bool)
    for name in names:
        mask[rng.choice(np.flatnonzero(speakers == name), kept, replace=False)] = True
    return mask


def window_frames(spectrograms, seconds, spectrogram):
    """Frames of a window of `seconds`, at most 0.8 of the median spectrogram."""
    most = 0.8 * np.median([len(each) for each in spectrograms])
    return max(8, int(min(seconds * spectrogram.sample_rate / spectrogram.hop_length, most)))


def repeat_to_length(spectrogram, frames):
    """A spectrogram (frames, bins) that is too short is repeated: silence put there would be heard."""
    return np.tile(spectrogram, (-(-frames // len(spectrogram)), 1))


def sliding_windows(spectrogram, frames):
    """Windows that cover a spectrogram evenly, half over one another: array (windows, frames, bins).

    A spectrogram (its frames, bins) that is shorter than a window is repeated.
    """
    spectrogram = repeat_to_length(spectrogram, frames)
    count = 1 + int(np.ceil(2 * (len(spectrogram) - frames) / frames))
    starts = np.linspace(0, len(spectrogram) - frames, count).round().astype(int)
    return np.stack([spectrogram[start : start + frames] for start in starts])


def random_windows(spectrograms, frames, widest_mask, rng):
    """A window at random of each spectrogram, with a band of its bins masked: (n, frames, bins)."""
    crops = np.empty((len(spectrograms), frames, spectrograms[0].shape[1]), np.float32)
    for crop, whole in zip(crops, spectrograms, strict=True):
        whole = repeat_to_length(whole, frames)
        start = rng.integers(len(whole) - frames + 1)
        crop[:] = whole[start : start + frames]
        mask_bins(crop, widest_mask, rng)
    return crops


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
    counts = np.zeros((logits.shape[1], logits.shape[1]), dtype=int)
    np.add.at(counts, (speakers, logits.argmax(axis=1)), 1)
    return counts


@registered
class Identifier(keras.Model):
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

    def __init__(self, network, spectrogram, frames, names, facts=None, **kwargs):
        super().__init__(**kwargs)
        self.network, self.spectrogram, self.frames = network, spectrogram, int(frames)
        self.names, self.facts = list(names), dict(facts or {})
        self.built = True  # its parts are

    def call(self, spectrograms):
        return self.network(spectrograms)

    def predict_utterances(self, waveforms):
        """Embeddings and logits of utterances: the means over the windows of each.

        Parameters
        ----------
        waveforms : list of float arrays (samples,)

        Returns
        -------
        embeddings : float array (utterances, dimensions)
            Of length 1.
        logits : float array (utterances, speakers)
            For the softmax head, the mean over windows is a product of probabilities; for the margin, a mean
            cosine.
        """
        parts = [sliding_windows(self.spectrogram(waveform)[0], self.frames) for waveform in waveforms]
        embeddings, logits = self.network.predict(np.concatenate(parts), batch_size=64, verbose=0)
        starts = np.cumsum([0, *map(len, parts[:-1])])
        counts = np.array([[len(part)] for part in parts])
        embeddings, logits = (np.add.reduceat(values, starts) / counts for values in (embeddings, logits))
        return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), logits[:, : len(self.names)]

    def attention(self, spectrogram):
        """Where the network looks in a spectrogram (its frames, bins): weights (frames / 8, heads)."""
        inside = keras.Model(self.network.input, self.network.get_layer("frames").output)
        frames = inside.predict(spectrogram[None], verbose=0)
        weights = self.network.get_layer("pooling").attention(keras.ops.convert_to_tensor(frames))
        return keras.ops.convert_to_numpy(weights)[0]

    def get_config(self):
        return {
            "name": self.name,
            "network": keras.saving.serialize_keras_object(self.network),
            "spectrogram": self.spectrogram.to_dict(),
            "frames": self.frames,
            "names": self.names,
            "facts": self.facts,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["network"] = keras.saving.deserialize_keras_object(config["network"])
        config["spectrogram"] = Spectrogram.from_dict(config["spectrogram"])
        return cls(**config)


def save_identifier(identifier, path):
    """Save an identifier whole or not at all; InputError when it cannot be written."""
    with atomic_write(path) as temporary:
        identifier.save(temporary)


def load_identifier(path):
    """Load what `save_identifier` wrote; InputError when it is missing, damaged or something else."""
    path = Path(path)
    again = "; notebook 08 makes it: python -m helpers.batch --notebooks 08 --out OUT"
    if not path.is_file():
        raise InputError(f"{path.name} does not exist{again}")
    try:
        identifier = keras.saving.load_model(path, compile=False)
    except Exception as error:  # damaged archives surface as any kind of exception
        whole = zipfile.is_zipfile(path)
        reason = first_line(type(error).__name__, error)[:120] if whole else "not a whole .keras file"
        raise InputError(f"{path.name} cannot be read as a saved model ({reason}){again}") from error
    if not isinstance(identifier, Identifier):
        raise InputError(f"{path.name} holds a {type(identifier).__name__}; expected an Identifier{again}")
    return identifier


def add_head(encoder, head, classes):
    """The encoder with a head: a model to embeddings and logits, and the loss of the logits."""
    if head == "margin":
        logits = ClassCosines(classes, name="cosines")(encoder.output)
        loss = AdditiveMarginLoss()
    else:  # before the length is taken out, which leaves a softmax no room
        logits = layers.Dense(classes, name="logits")(encoder.get_layer("projection").output)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return keras.Model(encoder.input, [encoder.output, logits], name=encoder.name), loss


def train_identifier(
    waveforms, speakers, config, spectrogram=FILTER_BANKS, pooling=None, show_progress=False, after_epoch=None
):
    """Train a network to identify.

    Parameters
    ----------
    waveforms : list of float arrays (samples,)
    speakers : int array (utterances,)
        Any numbers; the identifier keeps them as the names of its speakers.
    config : Plan
    spectrogram : features.Spectrogram
    pooling : keras.layers.Layer, optional
        Called "pooling"; in place of the plan's.
    show_progress : bool
        Show a progress bar.
    after_epoch : callable (losses), optional
        Called after each epoch, to draw them for one.

    Returns
    -------
    identifier : Identifier
        Its `facts` hold the plan, the seconds, the number of weights and of speakers.
    losses : list of float
        The mean loss of each epoch, the attention's penalty included.
    """
    started = time.perf_counter()
    keras.utils.set_random_seed(config.seed)
    names, numbers = np.unique(speakers, return_inverse=True)
    copies = [waveforms] + [[at_speed(w[None], speed)[0] for w in waveforms] for speed in config.speeds]
    spectrograms = [spectrogram(waveform)[0] for copy in copies for waveform in copy]
    labels = np.concatenate([numbers + i * len(names) for i in range(len(copies))])
    frames = window_frames(spectrograms[: len(numbers)], config.window, spectrogram)

    encoder = cnn_encoder(
        spectrograms[: len(numbers)], config.network, pooling or config.pooling, config.width
    )
    network, loss = add_head(encoder, config.head, len(names) * len(copies))
    model = keras.Model(network.input, network.outputs[1])
    steps = config.epochs * -(-len(labels) // config.batch)
    schedule = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
    needed = keras.backend.backend() == "jax"  # elsewhere, compiling costs more than it saves
    model.compile(keras.optimizers.Adam(schedule), loss, jit_compile=needed)

    rng, losses = np.random.default_rng(config.seed), []
    for _ in tqdm(range(config.epochs), unit="epoch", disable=not show_progress):
        order = rng.permutation(len(labels))
        crops = random_windows([spectrograms[i] for i in order], frames, config.widest_mask, rng)
        fitted = model.fit(crops, labels[order], batch_size=config.batch, shuffle=False, verbose=0)
        losses.append(fitted.history["loss"][0])
        if after_epoch:
            after_epoch(losses)
    facts = {
        "plan": asdict(config),
        "train_seconds": time.perf_counter() - started,
        "parameters": sum(int(np.prod(weight.shape)) for weight in network.trainable_weights),
        "speakers_train": len(names),
    }
    return Identifier(network, spectrogram, frames, names.tolist(), facts), losses


@keras.saving.register_keras_serializable("siamese_voices")
class ClassCosines(layers.Layer):
    """Cosines of embeddings `(n, d)` with one learnt direction for each training speaker: `(n, classes)`."""

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes

    def build(self, shape):
        self.directions = self.add_weight(shape=(shape[-1], self.classes), name="directions")

    def call(self, embeddings):
        return ops.matmul(embeddings, ops.normalize(self.directions, axis=0))

    def get_config(self):
        return super().get_config() | {"classes": self.classes}

    def compute_output_shape(self, shape):
        return (shape[0], self.classes)


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
