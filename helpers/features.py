"""Spectrograms `(utterances, frames, bins)` of waveforms `(utterances, samples)`, in memory or on disk."""

import json
import tempfile
from dataclasses import asdict, dataclass, fields

import librosa
import numpy as np

from helpers import SAMPLE_RATE, InputError, describe_value, error_context
from helpers.augmentation import at_speed

BATCH = 256  # utterances transformed at a time, so that memory stays flat however many there are
IN_MEMORY = 2**30  # bytes of spectrograms; more are put on the disk


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
            expected = "'log', 'power' or 'none'"
            raise InputError(f"is {self.compression!r}", file="compression", expected=expected)
        if not 0 < self.floor < 1:
            raise InputError(f"is {self.floor}", file="floor", expected="a share between 0 and 1")

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
            found = f"utterances of {samples} samples are shorter than one window"
            raise InputError(found, expected=f"{self.n_fft} or more")
        spectrograms = np.empty((utterances, self.frames(samples), self.bins), dtype=np.float32)
        for start in range(0, utterances, BATCH):
            part = waveforms[start : start + BATCH]
            magnitude = np.abs(librosa.stft(part, n_fft=self.n_fft, hop_length=self.hop_length))
            magnitude = np.ascontiguousarray(np.swapaxes(magnitude, 1, 2))
            if self.mel_bands:
                bank = librosa.filters.mel(sr=self.sample_rate, n_fft=self.n_fft, n_mels=self.mel_bands)
                magnitude = np.sqrt(magnitude**2 @ bank.T)
            if self.compression == "power":
                magnitude = _relative(magnitude) ** 0.2
            elif self.compression == "log":
                magnitude = compress(magnitude, self.floor)
            spectrograms[start : start + BATCH] = magnitude
        return spectrograms

    def to_dict(self):
        """The settings, to be saved with a model."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings):
        """Features with saved settings; InputError when one is not known to this version."""
        unknown = sorted(set(settings) - {field.name for field in fields(cls)})
        if unknown:
            raise InputError(f"saved features have unknown settings {', '.join(unknown)}")
        return cls(**settings)


def _relative(magnitude):
    """Magnitudes relative to each utterance's loudest bin: the recording level, a gain, is not a voice."""
    loudest = magnitude.max(axis=(1, 2), keepdims=True)
    return magnitude / np.maximum(loudest, np.finfo(np.float32).tiny)


def compress(magnitude, floor=1e-5):
    """Natural logarithm of magnitudes relative to each utterance's loudest bin.

    Parameters
    ----------
    magnitude : array (utterances, frames, bins)
    floor : float
        Smallest relative magnitude, so that silence stays finite.

    Returns
    -------
    float32 array of the same shape, between ``log(floor)`` and 0.
    """
    return np.log(np.maximum(_relative(magnitude), floor)).astype(np.float32)


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
    found = {speed: load_features(corpus, spectrogram, speed) for speed in (1, *speeds)}
    missing = [speed for speed, stored in found.items() if stored is None]
    frames = sum(spectrogram.frames(int(corpus.waveforms.shape[1] / speed)) for speed in missing)
    on_disk = 4 * len(corpus.waveforms) * frames * spectrogram.bins > IN_MEMORY
    found |= {speed: _made(corpus.waveforms, spectrogram, speed, on_disk) for speed in missing}
    return [found[speed] for speed in (1, *speeds)]


def load_features(corpus, spectrogram, speed=1):
    """Spectrograms that ``python -m helpers.convert --features`` has stored beside a corpus, mapped.

    Parameters
    ----------
    corpus : corpora.Corpus
        Three of its rows are compared with what is stored.
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
        When they are damaged, or another corpus's.
    """
    path = corpus.path and corpus.path.with_name(features_name(corpus.path.stem, speed))
    if path is None or not path.exists():
        return None
    with error_context(path, "features as python -m helpers.convert --features writes them"):
        try:
            settings = json.loads(path.with_name("features.json").read_text())
            stored = np.asarray(np.lib.format.open_memmap(path, mode="r"))  # rows of a map are heavier
        except (OSError, ValueError) as error:
            raise InputError(f"or features.json cannot be read ({describe_value(error)})") from None
        if settings != spectrogram.to_dict():
            return None
        if stored.ndim != 3 or stored.dtype != np.float32 or stored.shape[2] != spectrogram.bins:
            raise InputError(f"holds an array of {stored.dtype} and shape {stored.shape}")
    with error_context(path, f"the features of {corpus.path.name}: convert the corpus again, or remove them"):
        if len(stored) != len(corpus.waveforms):
            raise InputError(f"holds {len(stored)} utterances of {len(corpus.waveforms)}")
        for row in np.unique([0, len(corpus.waveforms) // 2, len(corpus.waveforms) - 1]):
            ours = spectrogram(at_speed(corpus.waveforms[row : row + 1], speed))[0]
            if ours.shape != stored[row].shape or not np.allclose(ours, stored[row], atol=1e-2):
                raise InputError(f"holds other speech in row {row} (counted from 0)")
    return stored


def _made(waveforms, spectrogram, speed, on_disk):
    samples = at_speed(waveforms[:1], speed).shape[1]
    shape = len(waveforms), spectrogram.frames(samples), spectrogram.bins
    starts = range(0, len(waveforms), BATCH)
    parts = (spectrogram(at_speed(waveforms[start : start + BATCH], speed)) for start in starts)
    if not on_disk:
        made = np.empty(shape, np.float32)
        for start, part in zip(starts, parts, strict=True):
            made[start : start + BATCH] = part
        return made
    try:
        with tempfile.TemporaryFile() as file:
            for part in parts:
                file.write(part.tobytes())
            file.flush()
            return np.asarray(np.memmap(file, np.float32, "r", shape=shape))
    except OSError as error:
        reason = f"could not be put into {tempfile.gettempdir()} ({error.strerror or error})"
        expected = f"{4 * np.prod(shape) / 1e9:.1f} GB of space: set TMPDIR to another folder"
        raise InputError(reason, file="spectrograms", expected=expected) from error
