"""Spectrograms of a corpus and of its copies at other speeds: those stored beside it, or made."""

import json
import tempfile

import numpy as np

from helpers import InputError, describe_value, error_context
from helpers.augmentation import at_speed
from helpers.features import BATCH

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
    found = {speed: load_features(corpus, spectrogram, speed) for speed in (1, *speeds)}
    missing = [speed for speed, stored in found.items() if stored is None]
    frames = sum(spectrogram.frames(int(corpus.waveforms.shape[1] / speed)) for speed in missing)
    on_disk = 4 * len(corpus.waveforms) * frames * spectrogram.bins > IN_MEMORY
    found |= {speed: _made(corpus.waveforms, spectrogram, speed, on_disk) for speed in missing}
    return [found[speed] for speed in (1, *speeds)]


def speed_copies(corpus, speakers, spectrogram, config):
    """Spectrograms of utterances and of their copies at other speeds, which count as other speakers.

    Parameters
    ----------
    corpus : corpora.Corpus
    speakers : int array (utterances,)
        Numbered from 0.
    spectrogram : features.Spectrogram
    config : batches.TrainingConfig

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
