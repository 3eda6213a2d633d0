"""Spectrograms of whole corpora, which may be larger than memory: stored by a conversion, or put on disk."""

import json
import tempfile
from pathlib import Path

import numpy as np

from helpers import InputError
from helpers.augmentation import at_speed
from helpers.features import BATCH
from helpers.pickles import naming, shown

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
    with naming(path, "features as python -m helpers.convert --features writes them"):
        try:
            settings = json.loads(about.read_text())
            stored = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError) as error:
            raise InputError(f"or {about.name} cannot be read ({shown(error)})") from None
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
    with naming(path, f"the features of {corpus.path.name}: convert the corpus again, or remove them"):
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
