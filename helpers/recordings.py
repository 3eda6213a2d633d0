"""Recordings of any length in a folder, with a table that says what each one is."""

import warnings
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import pandas as pd

from helpers import InputError, first_line
from helpers.corpora import SAMPLE_RATE, SHORTEST


class Recordings(NamedTuple):
    """Waveforms of any length, and a label for each.

    `waveforms` are float32 arrays (samples,) in [-1, 1] at 16,000 Hz; `labels` (recordings,) is the column of
    `table` that was asked for; `table` has a row per recording.
    """

    name: str
    waveforms: list
    labels: np.ndarray
    table: pd.DataFrame


def load_recordings(folder, label="speaker"):
    """Load the recordings that FOLDER/utterances.csv lists in its column `path`, relative to the folder.

    Parameters
    ----------
    folder : path
    label : str
        Column of the table with what tells recordings apart: a speaker, a word.

    Returns
    -------
    Recordings
        Resampled to 16,000 Hz and mixed to mono.

    Raises
    ------
    InputError
        When the table is missing or lacks a column or a value, or a recording is missing, unreadable, silent
        or shorter than one STFT window; it names the first one.
    """
    path = Path(folder) / "utterances.csv"
    expected = f"expected a table with the columns path and {label}, a row per recording"
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        reason = "is missing" if not path.exists() else f"cannot be read ({first_line('', error)[:100]})"
        raise InputError(f"{path.name} of {path.parent.name} {reason}; {expected}") from error
    lacking = [name for name in ("path", label) if name not in table or table[name].isna().any()]
    if lacking or table.empty:
        found = f"has no or not every {lacking[0]}" if lacking else "has no rows"
        raise InputError(f"{path.name} of {path.parent.name} {found}; {expected}")
    waveforms = [_load(path.parent / each, each) for each in table["path"]]
    return Recordings(path.parent.name, waveforms, table[label].to_numpy(), table)


def _load(path, name):
    expected = f"expected a recording of speech, {SHORTEST} samples or more at {SAMPLE_RATE:,} Hz"
    if not path.is_file():
        raise InputError(f"{name} is missing; {expected}")
    try:
        with warnings.catch_warnings(action="ignore"):  # of one decoder's failure, before the next tries
            waveform, _ = librosa.load(path, sr=SAMPLE_RATE, mono=True)
    except Exception as error:  # decoders raise anything
        reason = first_line(type(error).__name__, error)[:100]
        raise InputError(f"{name} cannot be decoded ({reason}); {expected}") from error
    if len(waveform) < SHORTEST or not np.isfinite(waveform).all() or np.ptp(waveform) < 2e-4:
        found = f"{len(waveform)} samples" if len(waveform) < SHORTEST else "silence or values not finite"
        raise InputError(f"{name} holds {found}; {expected}")
    return waveform.astype(np.float32)
