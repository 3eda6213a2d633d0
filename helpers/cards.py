"""From recordings to what an index of voices takes: their embeddings, and a card that says whose each is."""

from pathlib import Path

import numpy as np
import pandas as pd

from helpers import InputError
from helpers.corpora import SAMPLE_RATE
from helpers.recordings import decoded

TOLD = ("gender", "age", "words")  # columns of a corpus's table that a card repeats


def cards_of(recordings, part):
    """A table for `nearest.VoiceIndex`: whose each recording is, and where it can be found again.

    Parameters
    ----------
    recordings : recordings.Recordings
        Labels are speakers, numbered.
    part : str
        Name of the pickle in the course's format, ``tes`` for one: its speakers have no names of their own.

    Returns
    -------
    pandas.DataFrame
        Columns `speaker`, `file`, `row` (in the part), and `gender`, `age`, `words` where they are known.
    """
    table, rows = recordings.table, np.arange(len(recordings.labels))
    if "path" in table:
        cards = pd.DataFrame({"speaker": table["speaker"], "file": table["path"], "row": rows})
    else:
        names = [f"{part} {label:02d}" for label in recordings.labels]
        cards = pd.DataFrame({"speaker": names, "file": f"{part}.pkl", "row": rows})
    return cards.assign(**{name: table[name].to_numpy() for name in TOLD if name in table})


def embed(verifier, waveforms, lengths=4):
    """Voices of recordings of any length.

    A backend compiles the encoder anew for each length. Where there are more than `lengths` different ones,
    recordings of a second or more are cut, at their end, to a multiple of half a second.

    Parameters
    ----------
    verifier : models.Verifier
    waveforms : sequence of float arrays (samples,)
    lengths : int

    Returns
    -------
    float array (recordings, dimensions)
    """
    samples, half = np.array([len(waveform) for waveform in waveforms]), SAMPLE_RATE // 2
    if len(np.unique(samples)) > lengths:
        samples = np.where(samples < 2 * half, samples, samples // half * half)
    voices = {}
    for count in np.unique(samples):
        rows = np.flatnonzero(samples == count)
        batch = np.stack([waveforms[row][:count] for row in rows])
        voices |= dict(zip(rows, verifier.embed(batch), strict=True))
    return np.stack([voices[row] for row in range(len(samples))])


def recordings_in(folder):
    """Paths of the files in a folder, sorted, hidden ones left out.

    Raises
    ------
    InputError
        When there is no such folder, or nothing in it.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; expected one with recordings of one person")
    found = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not found:
        raise InputError(f"{folder} is empty; expected recordings of one person")
    return found


def load_query(path):
    """One recording in any format that `decoding.decode` reads, as float32 (samples,) at 16,000 Hz, mono.

    Raises
    ------
    InputError
        When it is missing, cannot be decoded, or is silent or too short.
    """
    path = Path(path).expanduser()
    return decoded(path, path.name)
