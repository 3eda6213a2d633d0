"""Utterances and who spoke them: matrices of speech checked, scaled, and told apart by speaker."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers import InputError
from helpers.pickles import naming, read_array, shown

SAMPLE_RATE = 16_000
SHORTEST = 1024  # samples: one STFT window


class Corpus(NamedTuple):
    """Utterances of one length, and who spoke them.

    `waveforms` are float32 (utterances, samples) in [-1, 1] at 16,000 Hz, `speakers` int (utterances,),
    `table` has a row per utterance and a column ``speaker``, perhaps ``gender``, ``words`` and more.
    """

    name: str
    waveforms: np.ndarray
    speakers: np.ndarray
    table: pd.DataFrame


def load_utterances(path, utterances_per_speaker=10):
    """Load utterances and the numbers of their speakers from a pickle, in the course's format or near it.

    Rows are ordered by speaker, equally many each, unless a table of the same name (``trs.csv`` beside
    ``trs.pkl``) says in its column ``speaker`` who spoke each row. Integers are 16-bit samples. Floats are
    taken as they are up to a peak of 1, divided by the peak up to 2, and by 32,768 from there up to that.

    Parameters
    ----------
    path : path of the pickle
    utterances_per_speaker : int, at least 2; not used where there is a table

    Returns
    -------
    Corpus

    Raises
    ------
    InputError
        As `read_array`; for a shape, scale or table that does not fit; and for rows that are silent, clipped
        throughout or not finite, which it names by number, counted from 0.
    """
    path = Path(path)
    samples = read_array(path)
    with naming(path, f"rows of speech, {SHORTEST} samples or more, in floats up to 1 or 16-bit integers"):
        waveforms = _scaled(samples)
    csv = path.with_suffix(".csv")
    if csv.exists():
        with naming(csv, "a column speaker, a row per utterance, at least 2 speakers of 2 utterances each"):
            speakers, table = _read_table(csv, len(samples))
    else:
        with naming(path, "at least 2 speakers with equally many utterances, at least 2 each"):
            speakers = _counted_speakers(len(samples), utterances_per_speaker)
            table = pd.DataFrame({"speaker": speakers})
    return Corpus(_corpus_name(path), waveforms, speakers, table)


def load_course(folder, utterances_per_speaker=10):
    """Load the course's two files from a folder: ``trs.pkl`` to train on and ``tes.pkl`` to test on.

    Parameters
    ----------
    folder : path of the folder
    utterances_per_speaker : int, as for `load_utterances`

    Returns
    -------
    tuple of Corpus
        the training and the test utterances

    Raises
    ------
    InputError
        When one is missing, and as `load_utterances`.
    """
    paths = [Path(folder) / name for name in ("trs.pkl", "tes.pkl")]
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} is missing; expected trs.pkl (training) and tes.pkl (test) beside it")
    return tuple(load_utterances(path, utterances_per_speaker) for path in paths)


# ---- checking and scaling ----------------------------------------------------------------------------------


def _scaled(samples):
    """Float32 waveforms in [-1, 1], when no row is unusable."""
    if samples.shape[1] < SHORTEST:
        raise InputError(f"has rows of {samples.shape[1]} samples, less than one STFT window")
    _refuse_rows(~np.isfinite(samples).all(axis=1), "not finite (NaN or infinite)")
    peak = max(float(samples.max()), -float(samples.min()))
    if peak > 32768:
        raise InputError(f"has samples up to {peak:.6g}")
    scale = 32768.0 if samples.dtype.kind == "i" or peak > 2 else max(peak, 1.0)
    waveforms = (samples / np.float64(scale)).astype(np.float32)
    _refuse_rows(np.ptp(waveforms, axis=1) < 2e-4, "silent (all samples within 0.0002 of each other)")
    level = np.abs(waveforms)
    at_peak = level >= 0.999 * level.max(axis=1, keepdims=True)
    _refuse_rows(at_peak.mean(axis=1) >= 0.5, "clipped throughout (half the samples at the row's peak)")
    return waveforms


def _refuse_rows(bad, what):
    rows = np.flatnonzero(bad)
    if len(rows):
        named = ", ".join(map(str, rows[:10])) + ", …" * (len(rows) > 10)
        raise InputError(f"has {len(rows)} of {len(bad)} rows {what}: {named} (counted from 0)")


def _counted_speakers(rows, each):
    if type(each) is not int or each < 2:
        raise InputError(f"is to be read with {shown(each)} utterances per speaker")
    if rows % each or rows < 2 * each:
        raise InputError(f"has {rows} rows, read with {each} utterances per speaker")
    return np.repeat(np.arange(rows // each), each)


def _read_table(csv, rows):
    try:
        table = pd.read_csv(csv, dtype={"speaker": str}, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise InputError(f"cannot be read ({shown(error)})") from None
    if "speaker" not in table:
        raise InputError(f"has no column speaker (its columns: {shown(', '.join(table))})")
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes the surplus for row labels
        raise InputError("has rows with more fields than its first line")
    if len(table) != rows:
        raise InputError(f"has {len(table)} rows for {rows} utterances")
    _refuse_rows(table["speaker"].isna().to_numpy(), "without a speaker")
    speakers, labels = pd.factorize(table["speaker"])
    counts = np.bincount(speakers)
    if len(labels) < 2 or counts.min() < 2:
        fewest = shown(labels[counts.argmin()])
        raise InputError(f"has {len(labels)} speakers, and {counts.min()} utterances of {fewest}")
    return speakers, table


def _corpus_name(path):
    """The name that corpus.json gives to this very file, known by its SHA-256; else the folder's."""
    try:
        about = json.loads((path.parent / "corpus.json").read_text(encoding="utf-8"))
        if about["files"][path.name] == hashlib.sha256(path.read_bytes()).hexdigest():
            return str(about["name"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no description, or none of this file
    return path.resolve().parent.name
