"""Spectrograms `(utterances, frames, bins)` of waveforms `(utterances, samples)`."""

from dataclasses import asdict, dataclass, fields

import librosa
import numpy as np

from helpers import SAMPLE_RATE, InputError

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
        Magnitudes below it are raised to it before the logarithm: a share of the utterance's loudest bin;
        1e-5 is 100 dB below it.
    mel_bands : int
        Number of mel bands in which the power is summed first; 0 keeps the bins of the STFT.
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
    """Magnitudes relative to each utterance's loudest bin, which takes out the recording level."""
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
