"""What the network sees: spectrograms `(utterances, frames, bins)` of waveforms `(utterances, samples)`."""

from dataclasses import asdict, dataclass, fields

import librosa
import numpy as np

from helpers import InputError
from helpers.corpora import SAMPLE_RATE

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
