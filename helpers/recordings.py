"""Recordings of any length in a folder, with a table that says what each one is."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers import InputError, corpora, first_line, phrases, synthesis
from helpers.batches import hold_out
from helpers.corpora import SHORTEST
from helpers.decoding import EXPECTED, decode


class Recordings(NamedTuple):
    """Waveforms of any length, and a label for each.

    `waveforms` are float32 arrays (samples,) in [-1, 1] at 16,000 Hz; `labels` (recordings,) is the column of
    `table` that was asked for; `table` has a row per recording.
    """

    name: str
    waveforms: list
    labels: np.ndarray
    table: pd.DataFrame

    def select(self, mask):
        """Those that a bool array (recordings,) picks."""
        chosen = [waveform for waveform, wanted in zip(self.waveforms, mask, strict=True) if wanted]
        return Recordings(self.name, chosen, self.labels[mask], self.table[mask].reset_index(drop=True))


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
    waveforms = [decoded(path.parent / each, each) for each in table["path"]]
    return Recordings(path.parent.name, waveforms, table[label].to_numpy(), table)


def load_speech(folder="", utterances_per_speaker=10, test_speakers=40, seed=0):
    """Training and test speakers of a course folder, or of a folder of recordings.

    Parameters
    ----------
    folder : path, optional
        With ``trs.pkl`` and ``tes.pkl``, or with ``utterances.csv``, whose speakers are divided at random. By
        default as `synthesis.course_folder`.
    utterances_per_speaker : int
        As for `corpora.load_course`.
    test_speakers, seed : int
        How many of a folder of recordings are for the test, and which. 0: all of them train.

    Returns
    -------
    train, test : Recordings
        Labels are ints, numbered from 0 in each. The waveforms of a course folder are equally long.

    Raises
    ------
    InputError
        As `load_recordings` or `corpora.load_course`, and when too few speakers are left to train on.
    """
    if folder and (Path(folder) / "utterances.csv").exists():
        found = load_recordings(folder)
        apart = hold_out(found.labels, test_speakers, seed) if test_speakers else found.labels == ""
        return tuple(_numbered(found.select(mask)) for mask in (~apart, apart))
    course = corpora.load_course(synthesis.course_folder(folder), utterances_per_speaker)
    return tuple(
        _numbered(Recordings(each.name, list(each.waveforms), each.speakers, each.table)) for each in course
    )


def _numbered(recordings):
    return recordings._replace(labels=np.unique(recordings.labels, return_inverse=True)[1])


def load_words(folder="", test_speakers=20, seed=0):
    """Spoken words to learn from and to be tested with.

    Parameters
    ----------
    folder : path, optional
        With ``utterances.csv`` (path, word, speaker); its speakers are divided at random where there is no
        column ``part`` that says train or test. Or with two flat folders, ``train`` and ``test``, of
        recordings whose names begin with the word and end in a number: ``anna007.wav``. By default the names
        that the embedded corpus's speakers say.
    test_speakers, seed : int
        How many of the speakers are for the test where nothing divides them, and which.

    Returns
    -------
    train, test : Recordings
        Labels are words, in lower case.

    Raises
    ------
    InputError
        As `load_recordings`; for a file without a word or number in its name; and where nothing is there.
    """
    folder = Path(folder or phrases.embedded_phrases("words"))
    if not (folder / "utterances.csv").exists():
        if not ((folder / "train").is_dir() and (folder / "test").is_dir()):
            expected = "utterances.csv, or the two folders train and test"
            raise InputError(f"{folder.name} has no spoken words; expected {expected}")
        return tuple(_load_flat(folder / part) for part in ("train", "test"))
    found = load_recordings(folder, "word")
    found = found._replace(labels=np.array([word.lower() for word in found.labels]))
    if "part" in found.table:
        apart = (found.table["part"] == "test").to_numpy()
    elif "speaker" in found.table:
        apart = hold_out(found.table["speaker"].to_numpy(dtype=str), test_speakers, seed)
    else:
        raise InputError("utterances.csv has no column speaker; expected path, word and speaker")
    return found.select(~apart), found.select(apart)


def _load_flat(folder):
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    expected = "expected recordings named by word and number, such as anna007.wav"
    if not names:
        raise InputError(f"{folder.name} of {folder.parent.name} is empty; {expected}")
    words = [re.match(r"(.*?[^\W\d])[\W_]*\d+\.\w+$", name) for name in names]
    for name, word in zip(names, words, strict=True):
        if not word:
            raise InputError(f"{name} of {folder.name} has no word and number in its name; {expected}")
    table = pd.DataFrame({"path": names, "word": [word[1].lower() for word in words]})
    waveforms = [decoded(folder / name, name) for name in names]
    return Recordings(folder.parent.name, waveforms, table["word"].to_numpy(), table)


def decoded(source, name, seconds=None):
    """A recording fit for use, as `decoding.decode` reads it, float32 (samples,) at 16,000 Hz, mono.

    Parameters
    ----------
    source : path or open binary file
    name : str
        What an error calls it.
    seconds : float, optional
        No more than this is decoded.

    Raises
    ------
    InputError
        As `decoding.decode`, and when it is shorter than one STFT window, silent or not finite.
    """
    waveform = decode(source, seconds, name)
    if len(waveform) < SHORTEST or not np.isfinite(waveform).all() or np.ptp(waveform) < 2e-4:
        found = f"{len(waveform)} samples" if len(waveform) < SHORTEST else "silence or values not finite"
        raise InputError(f"{name} holds {found}; {EXPECTED}")
    return waveform
