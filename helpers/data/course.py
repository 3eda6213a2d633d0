"""What a notebook learns from: the course's two files, recordings of any length, spoken words."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import PROJECT, InputError, writable_folder
from helpers.batches import hold_out_speakers
from helpers.data import corpora, phrases
from helpers.data.audio import list_recordings, load_recording
from helpers.data.convert import conversion
from helpers.data.convert.listing import escaped
from helpers.data.corpora import SAMPLES, Recordings, load_recordings
from helpers.data.synthesis import embedded_corpus
from helpers.files import digest


def course_folder(data=""):
    """The folder whose `trs.pkl` and `tes.pkl` (or `trs.npy` and `tes.npy`) are used.

    Parameters
    ----------
    data : path, optional
        By default the folder that the environment variable SIAMESE_VOICES_DATA names; without it the
        project's `data` when both files are there, else the embedded corpus. A corpus in a layout of
        `layouts.LAYOUTS` is converted first, once, into ``data/converted/NAME-...``.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        When one of the two files is missing, or both are and there is no corpus that can be converted.
    """
    named = data or os.environ.get("SIAMESE_VOICES_DATA", "")
    folder = Path(os.path.expanduser(named)) if named else PROJECT / "data"
    missing = [f"{stem}.pkl" for stem in SAMPLES if not corpora.course_file(folder, stem).is_file()]
    if not missing:
        return folder
    if not named and len(missing) == 2:
        return embedded_corpus()
    found = f"{escaped(named or 'data')} has no {' and no '.join(missing)}"
    if len(missing) == 1 or not folder.exists():
        raise InputError(found, expected="trs.pkl (training) and tes.pkl (test)")
    folder = folder.resolve()
    place = escaped(f"{folder.stem}-{digest([os.fsencode(folder)])[:8]}")
    try:
        own = PROJECT / "data" / "converted"
        return conversion.convert(folder, (own if (own / place).exists() else writable_folder(own)) / place)
    except InputError as error:
        raise InputError(f"{found}, and as a corpus {error}") from error


def load_speech(folder="", utterances_per_speaker=10, test_speakers=40, seed=0):
    """Training and test speakers of a course folder, or of a folder of recordings.

    Parameters
    ----------
    folder : path, optional
        With ``trs.pkl`` and ``tes.pkl``, or with ``utterances.csv``, whose speakers are divided at random. By
        default as `course.course_folder`.
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
    if folder and Path(os.path.expanduser(folder), "utterances.csv").exists():
        found = load_recordings(os.path.expanduser(folder))
        apart = hold_out_speakers(found.labels, test_speakers, seed) if test_speakers else found.labels == ""
        return tuple(_numbered(found.select(mask)) for mask in (~apart, apart))
    course = corpora.load_course(course_folder(folder), utterances_per_speaker)
    return tuple(_numbered(Recordings(c.name, list(c.waveforms), c.speakers, c.table)) for c in course)


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
    folder = Path(os.path.expanduser(folder or phrases.embedded_phrases("words")))
    if not (folder / "utterances.csv").exists():
        if not ((folder / "train").is_dir() and (folder / "test").is_dir()):
            expected = "utterances.csv, or the two folders train and test"
            raise InputError("has no spoken words", file=folder.name, expected=expected)
        parts = train, test = tuple(_load_flat(folder / part) for part in ("train", "test"))
        names = [*("train/" + train.table["path"]), *("test/" + test.table["path"])]
        corpora.refuse_copies(names, train.waveforms + test.waveforms, folder.name, "each recording once")
        return parts
    found = load_recordings(folder, "word")
    found = found._replace(labels=np.array([word.lower() for word in found.labels]))
    if "part" in found.table:
        apart = (found.table["part"] == "test").to_numpy()
    elif "speaker" in found.table:
        apart = hold_out_speakers(found.table["speaker"].to_numpy(dtype=str), test_speakers, seed)
    else:
        raise InputError("has no column speaker", file="utterances.csv", expected="path, word and speaker")
    return found.select(~apart), found.select(apart)


def _load_flat(folder):
    names = [path.name for path in list_recordings(folder)]
    expected = "recordings named by word and number, such as anna007.wav"
    table = pd.DataFrame({"path": names})
    table["word"] = table["path"].str.extract(r"^(.*?[^\W\d])[\W_]*\d+\.\w+$", expand=False).str.lower()
    if table["word"].isna().any():
        name = f"{table['path'][table['word'].isna()].iloc[0]} of {folder.name}"
        raise InputError("has no word and number in its name", file=name, expected=expected)
    waveforms = [load_recording(folder / name, name) for name in names]
    return Recordings(folder.parent.name, waveforms, table["word"].to_numpy(), table)
