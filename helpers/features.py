"""What the network sees: spectrograms `(utterances, frames, bins)` of waveforms `(utterances, samples)`."""

import json
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import librosa
import numpy as np

from helpers import SAMPLE_RATE, InputError, describe_value, error_context
from helpers.augmentation import at_speed

BATCH = 256  # utterances transformed at a time, so that memory stays flat however many there are


@dataclass(frozen=True)
class Spectrogram:
    """A short-time Fourier transform with its settings, the same for training and for use.

    Parameters
    ----------
    n_fft : int
        Samples in a frame's Fourier transform, giving ``n_fft // 2 + 1`` bins.
    hop_length : int
        Samples from the start of a frame to the start of the next.
    compression : {"log", "power", "none"}
        Natural logarithm of the magnitude, its power of 0.2, or the magnitude itself.
    floor : float
        Smallest magnitude that the logarithm sees, as a share of the utterance's loudest bin;
        1e-5 is 100 dB below it.
    mel_bands : int
        0 keeps the STFT's own bins; otherwise the power is summed in so many mel bands first.
    sample_rate : int
        Samples a second, in Hz; it places the mel bands.

    Raises
    ------
    InputError
        For a compression that does not exist, or waveforms shorter than one frame.
    """

    n_fft: int = 1024
    hop_length: int = 512
    compression: str = "log"
    floor: float = 1e-5
    mel_bands: int = 0
    sample_rate: int = SAMPLE_RATE

    def __post_init__(self):
        if self.compression not in ("log", "power", "none"):
            raise InputError(f"compression is {self.compression!r}; expected 'log', 'power' or 'none'")
        if not 0 < self.floor < 1:
            raise InputError(f"floor is {self.floor}; expected a share between 0 and 1")

    @property
    def bins(self):
        """Values in a frame."""
        return self.mel_bands or self.n_fft // 2 + 1

    def frames(self, samples):
        """Frames of a waveform of `samples` samples (frames are centred, the ends padded)."""
        return 1 + samples // self.hop_length

    def __call__(self, waveforms):
        """Transform waveforms.

        Parameters
        ----------
        waveforms : array (utterances, samples)
            In [-1, 1], at `sample_rate`.

        Returns
        -------
        float32 array (utterances, frames, bins)
        """
        waveforms = np.atleast_2d(np.asarray(waveforms, dtype=np.float32))
        utterances, samples = waveforms.shape
        if samples < self.n_fft:
            raise InputError(
                f"utterances of {samples} samples are shorter than one window; expected {self.n_fft} or more"
            )
        spectrograms = np.empty((utterances, self.frames(samples), self.bins), dtype=np.float32)
        for start in range(0, utterances, BATCH):
            spectrograms[start : start + BATCH] = self._transform(waveforms[start : start + BATCH])
        return spectrograms

    def _transform(self, waveforms):
        magnitude = np.abs(librosa.stft(waveforms, n_fft=self.n_fft, hop_length=self.hop_length))
        magnitude = np.ascontiguousarray(np.swapaxes(magnitude, 1, 2))
        if self.mel_bands:
            bank = librosa.filters.mel(sr=self.sample_rate, n_fft=self.n_fft, n_mels=self.mel_bands)
            magnitude = np.sqrt(magnitude**2 @ bank.T)
        if self.compression == "none":
            return magnitude
        if self.compression == "power":
            loudest = magnitude.max(axis=(1, 2), keepdims=True)
            return (magnitude / np.maximum(loudest, np.finfo(np.float32).tiny)) ** 0.2
        return compress(magnitude, self.floor)

    def to_dict(self):
        """The settings, to be saved with a model."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings):
        """Features with saved settings.

        Raises
        ------
        InputError
            When `settings` names something that this version does not know.
        """
        unknown = sorted(set(settings) - {field.name for field in fields(cls)})
        if unknown:
            raise InputError(f"saved features have unknown settings {', '.join(unknown)}")
        return cls(**settings)


def compress(magnitude, floor=1e-5):
    """Natural logarithm of magnitudes relative to each utterance's loudest bin.

    Dividing by the loudest bin takes the recording level out: a gain is not a voice.

    Parameters
    ----------
    magnitude : array (utterances, frames, bins)
    floor : float
        Smallest relative magnitude, so that silence stays finite.

    Returns
    -------
    float32 array of the same shape, between ``log(floor)`` and 0.
    """
    loudest = magnitude.max(axis=(1, 2), keepdims=True)
    relative = magnitude / np.maximum(loudest, np.finfo(np.float32).tiny)
    return np.log(np.maximum(relative, floor)).astype(np.float32)


IN_MEMORY = 2**30  # bytes of spectrograms; more are put on the disk


def features_name(stem, speed=1):
    """The file that holds the features of ``trs`` or ``tes``, or of its copy at another speed."""
    return f"{stem}.features.npy" if speed == 1 else f"{stem}.features-{speed:g}.npy"


def spectrograms_of(corpus, spectrogram, speeds=()):
    """Spectrograms of a corpus and of its copies at other speeds.

    Those stored beside its file are mapped, when their settings are those asked for. The others are made: in
    memory, or, beyond `IN_MEMORY`, in files without a name, in Python's folder for temporary files, which are
    gone when the process is.

    Parameters
    ----------
    corpus : corpora.Corpus
    spectrogram : features.Spectrogram
    speeds : sequence of float

    Returns
    -------
    list of float32 arrays (utterances, frames, bins)
        The corpus first; a copy has fewer frames or more.

    Raises
    ------
    InputError
        When stored ones are damaged or another corpus's, or the disk is full.
    """
    found = {speed: _stored(corpus, spectrogram, speed) for speed in (1, *speeds)}
    samples = {speed: at_speed(corpus.waveforms[:1], speed).shape[1] for speed in found}
    shapes = {s: (len(corpus.waveforms), spectrogram.frames(samples[s]), spectrogram.bins) for s in found}
    needed = sum(4 * np.prod(shape) for speed, shape in shapes.items() if found[speed] is None)
    for speed, shape in shapes.items():
        if found[speed] is None:
            found[speed] = _made(corpus.waveforms, spectrogram, speed, shape, needed > IN_MEMORY)
    return [found[speed] for speed in (1, *speeds)]


def load_features(folder, stem, spectrogram, speed=1):
    """Features that were stored beside a corpus, mapped: they may be larger than memory.

    Parameters
    ----------
    folder : path
        With ``features.json``, the settings, and ``trs.features.npy`` or ``tes.features.npy``, which
        ``python -m helpers.convert --features`` writes.
    stem : {"trs", "tes"}
    spectrogram : features.Spectrogram
    speed : float
        Of the copy; 1: the recordings themselves.

    Returns
    -------
    float32 array (utterances, frames, bins) or None
        Read-only; frames are read from the disk when they are used. None where none are stored with these
        settings.

    Raises
    ------
    InputError
        When they are damaged.
    """
    path, about = Path(folder) / features_name(stem, speed), Path(folder) / "features.json"
    if not path.exists():
        return None
    with error_context(path, "features as python -m helpers.convert --features writes them"):
        try:
            settings = json.loads(about.read_text())
            stored = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError) as error:
            raise InputError(f"or {about.name} cannot be read ({describe_value(error)})") from None
        if settings != spectrogram.to_dict():
            return None
        if stored.ndim != 3 or stored.dtype != np.float32 or stored.shape[2] != spectrogram.bins:
            raise InputError(f"holds an array of {stored.dtype} and shape {stored.shape}")
    return np.asarray(stored)  # its rows are lighter than a map's own


def _stored(corpus, spectrogram, speed):
    """What a conversion has stored of a corpus, if it has, with these settings; three rows are compared."""
    found = corpus.path and load_features(corpus.path.parent, corpus.path.stem, spectrogram, speed)
    if found is None:
        return None
    path = corpus.path.with_name(features_name(corpus.path.stem, speed))
    with error_context(path, f"the features of {corpus.path.name}: convert the corpus again, or remove them"):
        if len(found) != len(corpus.waveforms):
            raise InputError(f"holds {len(found)} utterances of {len(corpus.waveforms)}")
        for row in np.unique([0, len(corpus.waveforms) // 2, len(corpus.waveforms) - 1]):
            ours = spectrogram(at_speed(corpus.waveforms[row : row + 1], speed))[0]
            if ours.shape != found[row].shape or not np.allclose(ours, found[row], atol=1e-2):
                raise InputError(f"holds other speech in row {row} (counted from 0)")
    return found


def _made(waveforms, spectrogram, speed, shape, on_disk):
    starts = range(0, len(waveforms), BATCH)
    parts = ((i, spectrogram(at_speed(waveforms[i : i + BATCH], speed))) for i in starts)
    if not on_disk:
        made = np.empty(shape, np.float32)
        for start, part in parts:
            made[start : start + BATCH] = part
        return made
    try:
        with tempfile.TemporaryFile() as file:
            for _, part in parts:
                file.write(part.tobytes())
            file.flush()
            return np.asarray(np.memmap(file, np.float32, "r", shape=shape))
    except OSError as error:
        raise InputError(
            f"spectrograms could not be put into {tempfile.gettempdir()} ({error.strerror or error}); "
            f"expected {4 * np.prod(shape) / 1e9:.1f} GB of space: set TMPDIR to another folder"
        ) from error
