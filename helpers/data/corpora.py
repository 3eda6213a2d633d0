"""Utterances and who spoke them: matrices of speech checked, scaled, and told apart by speaker."""

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers import SHORTEST, InputError, describe_value, error_context
from helpers.data.audio import OFFSET, load_recording
from helpers.data.pickles import read_array
from helpers.data.tables import find_file, read_table
from helpers.files import file_digest

SAMPLES = {"trs": 16_180, "tes": 22_631}  # of an utterance of the course's two files
CHUNK = 1024  # rows of a mapped array that are checked at a time
SHIFTED = f"with a DC offset, a mean beyond {OFFSET} (without: array -= array.mean(axis=1, keepdims=True))"
SOFTEST = 256  # peak of floats that are taken for 16-bit samples: -42 dB, where speech has 8 bits left


class Corpus(NamedTuple):
    """Utterances of one length, and who spoke them.

    `waveforms` are float32 (utterances, samples) in [-1, 1] at 16,000 Hz, `speakers` int (utterances,),
    `table` has a row per utterance and a column ``speaker``, perhaps ``gender``, ``words`` and more; `path`
    is the file that they came from, if any.
    """

    name: str
    waveforms: np.ndarray
    speakers: np.ndarray
    table: pd.DataFrame
    path: Path | None = None


def load_utterances(path, utterances_per_speaker=10):
    """Load utterances and the numbers of their speakers, in the course's format or near it.

    From a pickle, or from an ``.npy`` file of float32 in [-1, 1], which is mapped: it may be larger than
    memory, and rows are read when they are used. Rows are ordered by speaker, equally many each, unless a
    table of the same name (``trs.csv`` beside ``trs.pkl``) says in its column ``speaker`` who spoke each row.
    Integers are 16-bit samples, and so are floats with a peak from 256 to 32,768, or from 2 if all are whole
    numbers; other floats are taken as they are up to a peak of 1 and divided by the peak up to 2. From rows
    of a pickle whose mean is beyond 0.001, which is a DC offset, the mean is taken out.

    Parameters
    ----------
    path : path of the pickle or ``.npy`` file
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
    path = Path(os.path.expanduser(path))
    if path.suffix == ".npy":
        expected = f"a 2-D array of float32 up to 1, rows of {SHORTEST} samples or more, as saved by NumPy"
        with error_context(path, expected):
            waveforms = _mapped(path)
    else:
        samples = read_array(path)
        expected = f"rows of speech, {SHORTEST} samples or more, in floats up to 1 or 16-bit integers"
        with error_context(path, expected):
            waveforms = _scaled(samples)
    csv = path.with_suffix(".csv")
    if csv.exists():
        expected = "a column speaker, a row per utterance, at least 2 speakers of 2 utterances each"
        table = read_table(csv, expected)
        with error_context(csv, expected):
            speakers = _named_speakers(table, len(waveforms))
    else:
        with error_context(path, "at least 2 speakers with equally many utterances, at least 2 each"):
            speakers = _counted_speakers(len(waveforms), utterances_per_speaker)
            table = pd.DataFrame({"speaker": speakers})
    return Corpus(_corpus_name(path), waveforms, speakers, table, path)


def load_course(folder, utterances_per_speaker=10):
    """Load the course's two files from a folder: ``trs.pkl`` to train on and ``tes.pkl`` to test on.

    Large ones come as ``trs.npy`` and ``tes.npy``: see `load_utterances`.

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
        When one is missing, when a recording is in both, and as `load_utterances`.
    """
    paths = [course_file(folder, stem) for stem in SAMPLES]
    for path in paths:
        if not path.exists():
            beside = "trs.pkl (training) and tes.pkl (test) beside it"
            raise InputError("is missing", file=path, expected=beside)
    course = tuple(load_utterances(path, utterances_per_speaker) for path in paths)
    _refuse_shared(course)
    return course


def _refuse_shared(course):
    """InputError where a row of one corpus begins as a row of the other, as long as the shorter ones are."""
    shorter = min(each.waveforms.shape[1] for each in course)
    middle = (shorter - SHORTEST) // 2
    chosen = [range(len(each.waveforms)) for each in course]
    # All of a row is read only where its middle is alike: arrays may be larger than memory.
    for begin, end in ((middle, middle + SHORTEST), (0, shorter)):
        found = [dict(_digests(*each, begin, end)) for each in zip(course, chosen, strict=True)]
        both = set(found[0].values()) & set(found[1].values())
        chosen = [[row for row, digest in rows.items() if digest in both] for rows in found]
    if both:
        train, test = (each.path.name for each in course)
        first = {digest: row for row, digest in reversed(found[0].items())}
        pairs = [f"row {first[found[1][row]]} of {train} is row {row} of {test}" for row in chosen[1][:3]]
        named = ", ".join(pairs) + ", …" * (len(chosen[1]) > 3)
        what = f"share {len(chosen[1])} recordings: {named} (counted from 0)"
        raise InputError(what, file=f"{train} and {test}", expected="different speakers")


def _digests(corpus, rows, begin, end):
    """Pairs of a row and a hash of where its samples rise, which neither an offset nor a gain changes."""
    waveforms, mapped = corpus.waveforms, isinstance(corpus.waveforms, np.memmap)
    with open(corpus.path, "rb") as file:  # as in `_mapped`
        for row in rows:
            file.seek(mapped and waveforms.offset + 4 * (row * waveforms.shape[1] + begin))
            samples = np.fromfile(file, np.float32, end - begin) if mapped else waveforms[row, begin:end]
            yield row, hashlib.blake2b(np.packbits(np.diff(samples) > 0), digest_size=16).digest()


def course_file(folder, stem):
    """The path of ``trs`` or ``tes`` in a folder: the pickle, or the ``.npy`` file if only that is there."""
    pickle, array = (Path(os.path.expanduser(folder), f"{stem}{suffix}") for suffix in (".pkl", ".npy"))
    return array if array.is_file() and not pickle.exists() else pickle


def _scaled(samples):
    """Float32 waveforms in [-1, 1], when no row is unusable."""
    if samples.shape[1] < SHORTEST:
        raise InputError(f"has rows of {samples.shape[1]} samples, less than one STFT window")
    _refuse_rows(~np.isfinite(samples).all(axis=1), "not finite (NaN or infinite)")
    peaks = np.maximum(samples.max(axis=1), -samples.min(axis=1).astype(float))
    peak, row = float(peaks.max()), int(peaks.argmax())
    loud = np.median(peaks) > 2  # not a row or two alone
    whole = samples.dtype.kind == "i" or (loud and (peak > SOFTEST or not (samples % 1).any()))
    if peak > (32768 if whole else 2):
        raise InputError(f"has samples up to {peak:.6g} in row {row} (counted from 0)")
    waveforms = samples / np.float64(32768 if whole else 1)
    means = waveforms.mean(axis=1, keepdims=True)
    waveforms -= np.where(np.abs(means) > OFFSET, means, 0)
    waveforms = (waveforms / max(1.0, float(np.abs(waveforms).max()))).astype(np.float32)
    for bad, what in find_faults(waveforms):
        _refuse_rows(bad, what)
    return waveforms


def find_faults(waveforms):
    """Which rows (utterances, samples) are of no use, and why: pairs of a bool array and a text."""
    yield ~np.isfinite(waveforms).all(axis=1), "not finite (NaN or infinite)"
    yield np.ptp(waveforms, axis=1) < 2e-4, "silent (all samples within 0.0002 of each other)"
    high, low = waveforms.max(axis=1, keepdims=True), waveforms.min(axis=1, keepdims=True)
    at_peak = np.abs(waveforms - (high + low) / 2) >= 0.999 * (high - low) / 2  # wherever the zero lies
    yield at_peak.mean(axis=1) >= 0.5, "clipped throughout (half the samples at the row's peak)"


def _mapped(path):
    """The array in an .npy file, its rows read only when they are used; checked as a pickle's are."""
    try:
        rows = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:  # an array of Python objects is refused, not unpickled
        found = "is missing" if not path.exists() else f"cannot be read ({describe_value(error)})"
        raise InputError(found) from None
    if rows.ndim != 2 or rows.dtype != np.float32 or not rows.size:
        raise InputError(f"holds an array of {rows.dtype} and shape {rows.shape}")
    if not rows.flags.c_contiguous:
        raise InputError("is in Fortran order (in C order: np.save(path, np.ascontiguousarray(array)))")
    if rows.shape[1] < SHORTEST:
        raise InputError(f"has rows of {rows.shape[1]} samples, less than one STFT window")
    found = {}
    with open(path, "rb") as file:  # pages of a map would stay in memory
        file.seek(rows.offset)
        for start in range(0, len(rows), CHUNK):
            count = min(CHUNK, len(rows) - start)
            part = np.fromfile(file, np.float32, count * rows.shape[1]).reshape(count, -1)
            with np.errstate(invalid="ignore"):  # infinities, which are found
                shifted = np.abs(part.mean(axis=1)) > OFFSET
                loud = np.abs(part).max(axis=1) > 1
                for bad, what in ((loud, "beyond 1"), *find_faults(part), (shifted, SHIFTED)):
                    found.setdefault(what, []).append(bad)
    for what, masks in found.items():
        _refuse_rows(np.concatenate(masks), what)
    return rows


def _refuse_rows(bad, what):
    rows = np.flatnonzero(bad)
    if len(rows):
        named = ", ".join(map(str, rows[:10])) + ", …" * (len(rows) > 10)
        raise InputError(f"has {len(rows)} of {len(bad)} rows {what}: {named} (counted from 0)")


def _counted_speakers(rows, each):
    if type(each) is not int or each < 2:
        raise InputError(f"is to be read with {describe_value(each)} utterances per speaker")
    if rows % each or rows < 2 * each:
        raise InputError(f"has {rows} rows, read with {each} utterances per speaker")
    return np.repeat(np.arange(rows // each), each)


def _named_speakers(table, rows):
    if "speaker" not in table:
        raise InputError(f"has no column speaker (its columns: {describe_value(', '.join(table))})")
    if len(table) != rows:
        raise InputError(f"has {len(table)} rows for {rows} utterances")
    _refuse_rows((table["speaker"] == "").to_numpy(), "without a speaker")
    speakers, labels = pd.factorize(table["speaker"])
    counts = np.bincount(speakers)
    if len(labels) < 2 or counts.min() < 2:
        fewest = describe_value(labels[counts.argmin()])
        raise InputError(f"has {len(labels)} speakers, and {counts.min()} utterances of {fewest}")
    return speakers


def _corpus_name(path):
    """The name that corpus.json gives to this very file, known by its SHA-256; else the folder's."""
    try:
        about = json.loads((path.parent / "corpus.json").read_text(encoding="utf-8"))
        if about["files"][path.name] == file_digest(path):
            return str(about["name"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no description, or none of this file
    return path.resolve().parent.name


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
        Column of the table with the label of a recording: a speaker, a word.

    Returns
    -------
    Recordings
        Resampled to 16,000 Hz and mixed to mono.

    Raises
    ------
    InputError
        When the table is missing or lacks a column or a value, or a recording is missing, unreadable, silent,
        shorter than one STFT window or there twice, whatever it is called; it names the first one.
    """
    path = Path(os.path.expanduser(folder), "utterances.csv")
    shown = f"{path.name} of {path.parent.name}"
    expected = f"a table with the columns path and {label}, a row per recording"
    if not path.exists():
        raise InputError("is missing", file=shown, expected=expected)
    table = read_table(path, expected, shown)
    lacking = [name for name in ("path", label) if name not in table or (table[name] == "").any()]
    if lacking or table.empty:
        found = f"has no or not every {lacking[0]}" if lacking else "has no rows"
        raise InputError(found, file=shown, expected=expected)
    names = table["path"].tolist()
    waveforms = [load_recording(path.parent / find_file(path.parent, name), name) for name in names]
    refuse_copies(names, waveforms, shown, expected)
    return Recordings(path.parent.name, waveforms, table[label].to_numpy(), table)


def refuse_copies(names, waveforms, shown, expected):
    """InputError where two waveforms are the same, sample by sample, with the names of the first two."""
    known = {}
    for number, waveform in enumerate(waveforms):
        other = known.setdefault(hashlib.blake2b(waveform.tobytes()).digest(), number)
        if other != number:
            twice = " and ".join(describe_value(names[each]) for each in (other, number))
            raise InputError(f"has one recording twice: {twice}", file=shown, expected=expected)
